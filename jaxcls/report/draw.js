// The desk: a pen on a canvas, and what each network makes of the drawing.
const [canvas, pen, state, clear] = ["canvas", "pen", "state", "clear"].map(
  (id) => document.getElementById(id));
const context = canvas.getContext("2d", { willReadFrequently: true });
const networks = [...document.querySelectorAll(".network")].map((panel) => {
  const network = JSON.parse(panel.querySelector("script").textContent);
  const bytes = Uint8Array.from(atob(network.weights), (each) => each.charCodeAt(0));
  return { ...network, panel, weights: new Float32Array(bytes.buffer) };
});
const STEPS = { ArrowUp: [0, -7], ArrowDown: [0, 7], ArrowLeft: [-7, 0], ArrowRight: [7, 0] };
let place = [SIDE / 2, SIDE / 2], isDown = false;

function answer() {
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  const drawing = Float32Array.from({ length: SIDE * SIDE }, (_, i) => 255 - data[4 * i]);
  for (const network of networks) {
    const image = prepared(drawing, network), found = image && probabilities(network, image);
    const likely = found && found.indexOf(Math.max(...found)), least = network.threshold;
    const name = found && network.class_names[least === null ? likely : Number(found[1] >= least)];
    const told = network.panel.querySelector(".told"), said = found ? name : "nothing yet";
    if (told.textContent !== said) told.textContent = said; // else it would be read out again
    network.panel.querySelectorAll("tbody tr").forEach((row, k) => {
      row.querySelector(".bar").style.width = `${100 * (found?.[k] ?? 0)}%`;
      row.querySelector(".share").textContent = found?.[k].toFixed(4) ?? "";
    });
  }
}

function go(x, y) {
  const to = [x, y].map((each) => Math.min(Math.max(each, 0), SIDE));
  context.beginPath(), context.moveTo(...place), context.lineTo(...to);
  if (isDown) context.stroke(), answer();
  [pen.style.left, pen.style.top] = to.map((each) => `${(100 * each) / SIDE}%`);
  place = to;
}

function put(down) {
  isDown = down;
  state.textContent = down ? "The pen is down." : "The pen is up.";
  go(...place);
}

function follow({ clientX, clientY }) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  go(((clientX - left) * SIDE) / width, ((clientY - top) * SIDE) / height);
}

canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId), put(false), follow(event), put(true);
};
canvas.onpointermove = (event) => event.buttons && follow(event);
canvas.onpointerup = canvas.onpointercancel = canvas.onblur = () => put(false);
canvas.onkeydown = (event) => {
  const step = STEPS[event.key];
  if (step) go(place[0] + step[0], place[1] + step[1]);
  else if (event.key === " " || event.key === "Enter") put(!isDown);
  else return;
  event.preventDefault();
};
clear.onclick = () => (context.fillRect(0, 0, SIDE, SIDE), put(false), go(140, 140), answer());
context.fillStyle = "white", context.lineWidth = 22, context.lineCap = context.lineJoin = "round";
context.fillRect(0, 0, SIDE, SIDE);
context.beginPath(), context.rect(4, 4, SIDE - 8, SIDE - 8), context.clip(); // no ink there
