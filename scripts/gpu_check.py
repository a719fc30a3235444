#!/usr/bin/env python3
"""What only a GPU can tell of jaxcls: a line per check, pass, fail or a figure; then a table.

    python scripts/gpu_check.py --data-dir FOLDER            # some ten minutes on a GPU
    python scripts/gpu_check.py --data-dir FOLDER --quick    # half of them
    python scripts/gpu_check.py --data-dir FOLDER --device cpu --quick --epochs 2  # a dry run

Each check compares the GPU with the CPU of the same machine, a process with another, or an
estimate with what was measured. The exit code is 0 only if none fails.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

HERE = Path(__file__).resolve()


def parse() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("JAXCLS_DATA_DIR"))
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--quick", action="store_true", help="leave out slow checks")
    parser.add_argument("--epochs", type=int, help="of each job at most")
    parser.add_argument("--only", nargs="+", help="beginnings of checks' names")
    parser.add_argument("--json", type=Path, help="write the table there, too")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # one job alone, for itself
    flags = parser.parse_args()
    if not flags.data_dir or not Path(flags.data_dir).is_dir():
        parser.error(
            f"--data-dir must be the folder of MNIST's four files, got {flags.data_dir!r}; "
            "JAXCLS_DATA_DIR may name it, too."
        )
    return flags


FLAGS = parse()
# Both, so that one process can compare them; and no more memory than is asked for, so that
# the peak is the program's own.
os.environ["JAX_PLATFORMS"] = "cuda,cpu" if FLAGS.device == "gpu" else "cpu"
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import jaxcls  # noqa: E402
from jaxcls import Batch, Config, Hyperparams, Keys, mlp  # noqa: E402
from jaxcls.batches import epoch_rows  # noqa: E402
from jaxcls.study import memory, planning  # noqa: E402
from jaxcls.study.devices import member_mesh  # noqa: E402
from jaxcls.study.engine import Members, joined, train_members  # noqa: E402
from jaxcls.study.many import per_member  # noqa: E402
from jaxcls.study.sets import place  # noqa: E402

A = Config((784, 32, 1), jaxcls.bernoulli, "sgd", epochs=500)
D = dataclasses.replace(A, batch_size=16, shuffle=False, dropout=True, epochs=2)
M = Config((784, 32, 3), jaxcls.categorical, epochs=100)
T = Config((784, 128, 10), jaxcls.categorical, batch_size=128, epochs=1)


class Job(NamedTuple):
    """A job of scripts/benchmark.py, and how far a GPU's losses may be from the CPU's."""

    config: Config
    classes: tuple[int, ...]
    bound: float


# Sums of another order differ in the last bits; with ReLU, Adam and mini-batches the difference
# grows, as it does between two CPUs.
JOBS = {
    "A": Job(A, (0, 1), 2e-6),
    "D": Job(D, (0, 1), 2e-6),
    "M": Job(M, (0, 1, 2), 5e-6),
    "T": Job(T, tuple(range(10)), 2e-3),
}
if FLAGS.epochs is not None:
    JOBS = {
        name: job._replace(
            config=dataclasses.replace(
                job.config, epochs=min(job.config.epochs, FLAGS.epochs)
            )
        )
        for name, job in JOBS.items()
    }
NO_GPU = (
    "gpu_check.py: jax sees no GPU here{}; --device cpu is a dry run of every check."
)
try:
    CPU, GPU = jax.devices("cpu")[0], jax.devices()[0]
except RuntimeError as error:
    sys.exit(NO_GPU.format(f" ({error})"))
if GPU.platform != FLAGS.device:
    sys.exit(NO_GPU.format(""))
SAME_KERNELS = "--xla_gpu_exclude_nondeterministic_ops=true"
ONE_GRAPH = "--xla_gpu_enable_command_buffer=+WHILE"
ROWS: list[tuple[str, str, str]] = []


class Trained(NamedTuple):
    """A job's outcome, on the host."""

    losses: np.ndarray
    params: mlp.Params
    correct: int
    seconds: float


def load(name: str) -> tuple[jaxcls.Batch, jaxcls.Batch]:
    """The job's training and test set, on the host."""
    parts = jaxcls.data.load(
        "mnist", data_dir=FLAGS.data_dir, classes=JOBS[name].classes
    )
    train, test = map(jaxcls.data.to_batch, parts)
    return train, test


def trained(name: str, device: jax.Device, *, times: int = 2, **options) -> Trained:
    """Trains a job by `fit` some times; the seconds are the median of all but the first."""
    config, (train, test), keys = JOBS[name].config, load(name), Keys.from_seed(0)
    hyperparams = Hyperparams(1e-3, 0.5 if config.dropout else 0.0)
    seconds, runs = [], []
    with jax.default_device(device):
        for _ in range(times):
            start = time.perf_counter()
            runs = jaxcls.fit(keys, config, hyperparams, train, **options)
            seconds.append(time.perf_counter() - start)
        state, history = runs
        correct = int(jaxcls.evaluate(state.params, test, config=config).correct)
    return Trained(
        losses=np.asarray(history.loss),
        params=jax.device_get(state.params),
        correct=correct,
        seconds=median(seconds[1:] or seconds),
    )


def digest(tree) -> str:
    """A few digits that tell one tree of arrays from another."""
    sha256 = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        sha256.update(np.asarray(leaf).tobytes())
    return sha256.hexdigest()[:12]


def own_arguments() -> list[str]:
    """The flags that a process of one job takes over."""
    epochs = [] if FLAGS.epochs is None else ["--epochs", str(FLAGS.epochs)]
    return ["--data-dir", FLAGS.data_dir, "--device", FLAGS.device, *epochs]


def alone(name: str, **variables: str) -> dict:
    """The job in a process of its own, which compiles, and times kernels, again."""
    done = subprocess.run(
        [sys.executable, HERE, "--job", name, *own_arguments()],
        capture_output=True,
        text=True,
        env=os.environ | variables,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-200:]}")
    return json.loads(done.stdout.splitlines()[-1])


def check(name: str, test: Callable[[], tuple[bool | None, str]]) -> None:
    """Runs a check, unless `--only` leaves it out, and prints its line."""
    if FLAGS.only and not name.startswith(tuple(FLAGS.only)):
        return
    start = time.perf_counter()
    try:
        held, told = test()
    # One check that breaks must not take the others' results along: it fails, by name.
    except Exception as error:
        held, told = (
            False,
            f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
        )
    verdict = "figure" if held is None else "pass" if held else "FAIL"
    ROWS.append((verdict, name, told))
    seconds = time.perf_counter() - start
    print(f"{verdict:6} {name:50} {told}  [{seconds:.0f} s]", flush=True)


def about_device() -> tuple[bool, str]:
    """Its name, and whether it tells of its memory, as planning wants it."""
    limit = (GPU.memory_stats() or {}).get("bytes_limit")
    told = f"{GPU.device_kind}, jax {jax.__version__}"
    if limit is None:
        return GPU.platform == "cpu", f"{told}, tells of no memory"
    return GPU.platform == "gpu", f"{told}, {limit / 1e9:.1f} GB"


def draws() -> dict[str, Callable]:
    """What is drawn from a seed."""
    params = mlp.init(Keys.from_seed(7).init, (784, 32, 1))
    data = Batch(np.zeros((60_000, 1), np.float32), np.zeros(60_000))
    return {
        "starting weights": lambda keys: mlp.init(keys.init, (784, 32, 1)),
        "dropout masks": lambda keys: mlp.draw_masks(
            keys.dropout, 0.5, (10, 16), params
        ),
        "orders": lambda keys: epoch_rows(keys.shuffle, data, T)[0],
    }


def same_draws(draw: Callable) -> tuple[bool, str]:
    """Whether the GPU draws the CPU's bits."""
    trees = []
    for device in (CPU, GPU):
        with jax.default_device(device):
            # Traced, so that the device draws, and not NumPy.
            trees.append(jax.device_get(jax.jit(draw)(Keys.from_seed(7))))
    one, two = map(digest, trees)
    pairs = zip(*map(jax.tree.leaves, trees), strict=True)
    differ = sum(int(np.sum(here != there)) for here, there in pairs)
    return one == two, f"{one} {two}, {differ:,} numbers differ"


def full_precision() -> tuple[bool, str]:
    """Whether products are float32's, and not TF32's."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2048, 784), np.float32)
    b = rng.standard_normal((784, 128), np.float32)
    exact = a.astype(np.float64) @ b

    def error(product) -> float:
        with jax.default_device(GPU):
            got = np.asarray(jax.jit(product)(a, b))
        return float(np.abs(got - exact).max() / np.abs(exact).max())

    ours = error(mlp.dot)
    return (
        ours < 2e-6,
        f"{ours:.1e} off, by jax's default precision {error(jnp.dot):.1e}",
    )


def beside_cpu(name: str) -> tuple[bool, str]:
    """The job's losses and test score beside the CPU's."""
    want, got = trained(name, CPU), trained(name, GPU, times=6)
    off, more = np.abs(want.losses - got.losses).max(), got.correct - want.correct
    few = 0 if JOBS[name].bound < 1e-4 else 30
    told = (
        f"losses {off:.1e} off, {more:+} right; CPU {want.seconds:.3f} s, here "
        f"{got.seconds:.4f} s"
    )
    return bool(off <= JOBS[name].bound and abs(more) <= few), told


def reported(name: str) -> tuple[bool, str]:
    """Whether the epochs that are reported change no bit, in one process."""
    every = max(1, JOBS[name].config.epochs // 7)
    runs = (
        trained(name, GPU, times=1),
        trained(name, GPU, times=1, report_every=every),
    )
    one, two = (digest(run.params) for run in runs)
    return one == two, f"{one} {two}"


def with_flags(*flags: str) -> str:
    """XLA_FLAGS with these besides."""
    return " ".join([os.environ.get("XLA_FLAGS", ""), *flags]).strip()


def processes(name: str, count: int, flags: str) -> tuple[bool | None, str]:
    """Whether several processes, each of which compiles for itself, give the same bits."""
    runs = [alone(name, XLA_FLAGS=with_flags(flags)) for _ in range(count)]
    bits = {run["bits"] for run in runs}
    seconds = median(run["seconds"] for run in runs)
    # Without the flag it may differ, and the README says so.
    held = len(bits) == 1 if flags else None
    return held, f"{len(bits)} results of {count} processes, {seconds:.4f} s"


def one_graph(name: str) -> tuple[bool, str]:
    """Whether epochs that run as one CUDA graph give the bits of those that the host starts."""
    hosts, graph = (
        alone(name, XLA_FLAGS=with_flags(SAME_KERNELS, *more))
        for more in ((), (ONE_GRAPH,))
    )
    told = f"{hosts['bits']} {graph['bits']}, {graph['seconds']:.4f} s and "
    told += f"{hosts['seconds']:.4f} s without"
    return hosts["bits"] == graph["bits"], told


def seeds_alone() -> tuple[bool, str]:
    """Whether each of several seeds in one program is the seed alone."""
    config = dataclasses.replace(M, epochs=min(10, JOBS["M"].config.epochs))
    (train, test), off, differ = load("M"), 0.0, 0
    runs = jaxcls.fit_many(
        range(4), config, Hyperparams(1e-3), train, None, test, devices=[GPU]
    )
    assert runs.history is not None
    losses, right = runs.history.loss, np.asarray(runs.scores["test"].correct)
    with jax.default_device(GPU):
        for seed in range(4):
            keys = Keys.from_seed(seed)
            state, history = jaxcls.fit(keys, config, Hyperparams(1e-3), train)
            off = max(off, float(np.abs(history.loss - losses[seed]).max()))
            scores = jaxcls.evaluate(state.params, test, config=config)
            differ += int(scores.correct) != int(right[seed])
    return off < 2e-6 and not differ, f"losses {off:.1e} off, {differ} counts differ"


def sweep(models: int, width: int | None) -> tuple[bool, str]:
    """An epoch of D with many models: seconds, and peak memory beside the estimate."""
    config, (train, _) = dataclasses.replace(D, epochs=1), load("D")
    planned = planning.plan_width(
        config,
        train,
        None,
        None,
        num_runs=models,
        devices=[GPU],
        memory=planning.usual_memory([GPU]),
    )
    mesh, width = member_mesh([GPU]), width or planned
    rates = jnp.geomspace(3e-4, 3e-3, models)
    members = Members(
        np.arange(models, dtype=np.uint32), per_member(Hyperparams(rates, 0.5), models)
    )
    sets = place(mesh, train, None)
    for _ in range(2):  # the first compiles
        start = time.perf_counter()
        trained = train_members(
            members, width, sets, 1, config=config, mesh=mesh, keep=False
        )
        seconds = time.perf_counter() - start
    accuracy = float(np.mean(joined(trained).scores["train"].accuracy))
    need = memory.memory_needed(config, train, None, None, width=width, devices=[GPU])
    peak = (GPU.memory_stats() or {}).get("peak_bytes_in_use")
    told = (
        f"{seconds:.3f} s, {models / seconds:,.0f} models/s, width {width}, accuracy "
    )
    told += f"{accuracy:.4f}, {need / 1e9:.2f} GB planned"
    if peak is None:
        return accuracy > 0.9, told
    told += f", {peak / 1e9:.2f} GB at most so far in this process"
    return accuracy > 0.9 and peak <= need, told


def oracle() -> tuple[bool, str]:
    """The errors of every public numeric function against float64."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--durations=0", "tests/numerics"],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=400,
    )
    told = [
        line
        for line in done.stdout.splitlines()
        if line.startswith(("FAILED", "ERROR"))
        or re.match(r"\d+ (passed|failed)", line)
    ]
    return done.returncode == 0, " ".join(told[-3:])[:300]


def killed() -> tuple[bool, str]:
    """A script that is killed and resumed gives the bits of one that is not, and is quiet."""
    with tempfile.TemporaryDirectory() as home:
        variables = os.environ | {"XDG_CACHE_HOME": home, "PYTHONUNBUFFERED": "1"}
        variables.pop("JAX_COMPILATION_CACHE_DIR", None)
        variables.pop("JAX_PLATFORMS", None)

        def script(name: str, *arguments: str, kill: bool = False) -> tuple[int, str]:
            command = [sys.executable, f"scripts/{name}.py", *arguments]
            run = subprocess.Popen(
                [*command, "--device", FLAGS.device] if "train" in name else command,
                cwd=HERE.parents[1],
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            if kill:
                for line in run.stdout or ():
                    if line.startswith("epoch"):
                        break
                run.send_signal(signal.SIGKILL)
            _, errors = run.communicate(timeout=300)
            return run.returncode, errors

        new = ("--data-dir", FLAGS.data_dir, "--no-plots", "--epochs", "20")
        whole = script("train_binary", *new, "--output-dir", f"{home}/whole")
        script("train_binary", *new, "--output-dir", f"{home}/cut", kill=True)
        resumed = script("train_binary", "--resume", f"{home}/cut", "--no-plots")
        scored = script("evaluate", f"{home}/whole", "--data-dir", FLAGS.data_dir)
        models = {
            Path(f"{home}/{run}/model.safetensors").read_bytes()
            for run in ("whole", "cut")
        }
        codes = [code for code, _ in (whole, resumed, scored)]
        said = sum(len(errors) for _, errors in (whole, resumed, scored))
        told = f"codes {codes}, {'same' if len(models) == 1 else 'other'} bits, "
        told += f"{said} bytes on standard error"
        return codes == [0, 0, 0] and len(models) == 1 and said == 0, told


def peers(name: str, how: str) -> tuple[None, str]:
    """The same job in PyTorch: each step by itself, compiled, or captured as one graph."""
    done = subprocess.run(
        [
            sys.executable,
            HERE.parent / "peers" / "torch_steps.py",
            name,
            how,
            "--device",
            "cuda:0" if FLAGS.device == "gpu" else "cpu",
            *([] if FLAGS.epochs is None else ["--epochs", str(FLAGS.epochs)]),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"JAXCLS_DATA_DIR": FLAGS.data_dir},
    )
    if done.returncode:
        return None, f"not measured: {done.stderr.strip().splitlines()[-1][:150]}"
    return None, done.stdout.splitlines()[-1]


def run_all() -> None:
    """All checks, in order."""
    check("device", about_device)
    for what, draw in draws().items():
        check(f"draws: {what} as on the CPU", lambda draw=draw: same_draws(draw))
    check("products in full float32", full_precision)
    check("errors against float64", oracle)
    for name in JOBS:
        check(f"{name}: losses as on the CPU", lambda name=name: beside_cpu(name))
    for name in JOBS:
        check(f"{name}: same bits in one process", lambda name=name: reported(name))
    for name in "AD" if FLAGS.quick else JOBS:
        for how in (
            ("eager",) if FLAGS.device == "cpu" else ("eager", "compiled", "captured")
        ):
            check(f"{name}: PyTorch {how}", lambda name=name, how=how: peers(name, how))
    names = "AM" if FLAGS.quick else JOBS
    for flags in ("", SAME_KERNELS):
        for name in names:
            check(
                f"{name}: same bits in processes {flags or 'as they are'}",
                lambda name=name, flags=flags: processes(name, 3, flags),
            )
    for name in names:
        check(f"{name}: epochs as one CUDA graph", lambda name=name: one_graph(name))
    check("M: 4 seeds in one program, each as alone", seeds_alone)
    # By width, since the peak of the memory is that of the largest so far.
    sizes: list[tuple[int, int | None]] = [(64 if FLAGS.device == "gpu" else 4, None)]
    if FLAGS.device == "gpu" and not FLAGS.quick:
        sizes += [(4096, 256), (4096, 1024)]
    if FLAGS.device == "gpu":
        sizes += [(16_384, None)]
    for models, width in sizes:
        check(
            f"sweep: {models:,} models, width {width or 'as planned'}",
            lambda models=models, width=width: sweep(models, width),
        )
    check("scripts: killed and resumed", killed)


def main() -> int:
    """Runs the checks and prints their table; returns the exit code."""
    if FLAGS.job:
        run = trained(FLAGS.job, GPU, times=6)
        found = {"bits": digest(run.params), "seconds": run.seconds}
        print(json.dumps(found | {"correct": run.correct}))
        return 0
    run_all()
    print("\n| | check | what came |\n| --- | --- | --- |")
    for row in ROWS:
        print(f"| {' | '.join(row)} |")
    if FLAGS.json:
        keys = ("verdict", "check", "told")
        table = [dict(zip(keys, row, strict=True)) for row in ROWS]
        FLAGS.json.write_text(json.dumps(table, indent=1) + "\n")
    return int(any(verdict == "FAIL" for verdict, *_ in ROWS))


if __name__ == "__main__":
    sys.exit(main())
