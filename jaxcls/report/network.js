"use strict";
// A drawing made a training image, as jaxcls/data/images.py makes a picture one, and the network
// that names it. A drawing is [SIDE, SIDE] floats, its ink 0 to 255 on a ground of 0 that reaches
// round it: what is done there about other grounds, light, frames and ruled paper it does not need.
const SIDE = 280, DRAWING = [SIDE, SIDE];
const most = (values) => values.reduce((one, other) => Math.max(one, other), 0); // of none 0
const total = (values) => values.reduce((one, other) => one + other, 0);
// Half to even, as Python and NumPy round.
const rounded = (x) => Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);

// The connected pieces of a mask that leaves the border free: their pixels and boxes around them.
function pieces(mask) {
  const left = Uint8Array.from(mask), found = [];
  for (let first = left.indexOf(1); first >= 0; first = left.indexOf(1, first)) {
    const pixels = [first], box = [SIDE, 0, SIDE, 0]; // top, bottom, left, right
    left[first] = 0;
    for (const pixel of pixels) {
      [Math.floor(pixel / SIDE), pixel % SIDE].forEach((at, i) => {
        box[2 * i] = Math.min(box[2 * i], at), box[2 * i + 1] = Math.max(box[2 * i + 1], at + 1);
      });
      for (const dy of [-SIDE, 0, SIDE]) for (const dx of [-1, 0, 1]) {
        if (left[pixel + dy + dx]) pixels.push(pixel + dy + dx);
        left[pixel + dy + dx] = 0;
      }
    }
    found.push({ pixels, box, longer: Math.max(box[1] - box[0], box[3] - box[2]) });
  }
  return found;
}

// The box around the ink without its specks: top, bottom, left, right; null if there is no more.
function inkBox(ink) {
  const darkest = most(ink), mass = ({ pixels }) => total(pixels.map((pixel) => ink[pixel]));
  const strokes = pieces(ink.map((grey) => grey >= 0.25 * darkest))
    .filter(({ longer }) => longer >= SIDE / 28);
  if (darkest < 16 || !strokes.length) return null;
  const heaviest = most(strokes.map(mass));
  const boxes = strokes.filter((each) => mass(each) >= heaviest / 50).map(({ box }) => box);
  return [Math.min, Math.max, Math.min, Math.max].map((end, i) => end(...boxes.map((b) => b[i])));
}

// An image moved on paper of another size; what comes to lie beside it is cut off.
function moved(image, [, width], [newHeight, newWidth], [down, right]) {
  const out = new Float32Array(newHeight * newWidth);
  image.forEach((grey, place) => {
    const y = Math.floor(place / width) + down, x = (place % width) + right;
    if (y >= 0 && y < newHeight && x >= 0 && x < newWidth) out[y * newWidth + x] = grey;
  });
  return out;
}

// Rows of `from` pixels joined to fewer and turned into columns, as Pillow's BOX does it.
function joined(image, from, to, bytes) {
  const scale = from / to, rows = image.length / from, out = new Float32Array(rows * to);
  for (let place = 0; place < to; place++) {
    const centre = (place + 0.5) * scale, start = Math.trunc(centre - 0.5 * scale + 0.5);
    const length = Math.min(from, Math.trunc(centre + 0.5 * scale + 0.5)) - start;
    const isIn = (x) => (x > -0.5 && x <= 0.5 ? 1 : 0);
    let shares = Array.from({ length }, (_, i) => isIn((i + start - centre + 0.5) * (1 / scale)));
    shares = shares.map((share, _, all) => share / total(all));
    if (bytes) shares = shares.map((share) => Math.trunc(0.5 + share * 2 ** 22) / 2 ** 22);
    for (let row = 0; row < rows; row++) {
      const value = total(shares.map((share, i) => share * image[row * from + start + i]));
      out[place * rows + row] = bytes ? Math.min(255, Math.floor(0.5 + value)) : value;
    }
  }
  return out;
}

const scaled = (image, size, [height, width], bytes) =>
  joined(joined(image, size[1], width, bytes), size[0], height, bytes);

const stretched = (image, whole = most(image)) =>
  image.map((grey) => rounded(Math.fround(255 * Math.fround(grey / whole))));

// MNIST's rule: the ink in a box of 20/28 of the shape, its centre of mass in the middle.
function centred(ink, size, shape) {
  const scale = (20 / 28) * Math.min(shape[0] / size[0], shape[1] / size[1]);
  if (scale > 1) return null; // it would be blurred
  const small = size.map((each) => Math.max(1, rounded(each * scale)));
  const image = stretched(scaled(ink, size, small, false));
  const places = [(place) => Math.floor(place / small[1]), (place) => place % small[1]];
  return moved(image, small, shape, places.map((along, i) => {
    const mass = total(image.map((grey, place) => grey * along(place))) / total(image);
    return Math.min(Math.max(rounded(shape[i] / 2 - mass), 0), shape[i] - small[i]);
  }));
}

// A drawing as a network's training images are, bytes; null if there is too little of it.
function prepared(drawing, { image_shape: shape, centred: centre, plain_ground, light_ground }) {
  let image = drawing;
  if (centre || plain_ground) {
    const around = inkBox(drawing);
    if (!around) return null;
    const [top, bottom, left, right] = around, size = [bottom - top, right - left];
    const ink = moved(drawing, DRAWING, size, [-top, -left]);
    if (centre) image = centred(ink, size, shape);
    else image = moved(stretched(ink), size, DRAWING, [top, left]);
  }
  if (!image || most(image) < 16) return null;
  if (!centre) {
    const side = Math.min(...shape), corner = shape.map((each) => Math.floor((each - side) / 2));
    image = moved(scaled(image, DRAWING, [side, side], true), [side, side], shape, corner);
  }
  return light_ground ? image.map((grey) => 255 - grey) : image;
}

const logistic = (x) => 1 / (1 + Math.exp(-x));
// Within 1.5e-7 (M. Abramowitz and I. Stegun, 1964, 7.1.26).
const erf = (x, t = 1 / (1 + 0.3275911 * Math.abs(x))) => Math.sign(x) * (1 - Math.exp(-x * x) *
  t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (1.061405429 * t - 1.453152027)))));
const ACTIVATIONS = { logistic, tanh: Math.tanh, relu: (x) => Math.max(x, 0), identity: (x) => x,
  silu: (x) => x * logistic(x), gelu: (x) => (x * (1 + erf(x * Math.SQRT1_2))) / 2 };

// The mean class probabilities of a network's members, with its temperature, of bytes 0 to 255.
function probabilities({ weights, layer_sizes: sizes, members, activation, ...kept }, image) {
  const inputs = Float32Array.from(image, (byte, i) =>
    kept.mean ? (byte / 255 - kept.mean[i]) * kept.inverse_scale[i] : byte / 255), means = [];
  let end = 0;
  const take = (count) => weights.subarray(end, (end += count));
  for (let member = 0; member < members; member++) {
    let x = inputs;
    for (const [depth, size] of sizes.slice(1).entries()) {
      const kernel = take(x.length * size), out = Float64Array.from(take(size));
      if (depth) x = x.map(ACTIVATIONS[activation]);
      x.forEach((value, i) => {
        if (value) for (let j = 0; j < size; j++) out[j] += value * kernel[i * size + j];
      });
      x = out;
    }
    if (x.length === 1) x = Float64Array.of(0, x[0]); // whose softmax is the sigmoid
    const top = Math.max(...x), sums = total(x.map((logit) => Math.exp(logit - top)));
    x.forEach((logit, k) => means[k] = (means[k] ?? 0) + Math.exp(logit - top) / sums / members);
  }
  const tempered = means.map((mean) => mean ** (1 / kept.temperature));
  return tempered.map((each) => each / total(tempered));
}
