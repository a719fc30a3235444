"""Times training jobs in jaxcls and in PyTorch, scikit-learn and flax.nnx, side by side.

Each measurement is a process of its own, and the contestants take turns, so that what else the
machine does hits all alike. The contestants' programs are in `peers/`, the jobs in
`peers/common.py`. It prints tables for a README.
"""

import collections
import contextlib
import dataclasses
import datetime
import importlib.util
import itertools
import json
import math
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

import tyro

# Nothing that is large: a process begins with the peak memory of the one that started it.
from peers.common import FILES, JOBS, usable_cores  # pyrefly: ignore[missing-import]

HERE = Path(__file__).parent
# And their packages.
PEERS = {"torch": "torch", "torchfunc": "torch", "sklearn": "sklearn", "nnx": "flax"}
RECIPES = {"A": "a", "D": "d"}  # the jobs that scripts/train_binary.py knows by name
SCALED, SCALED_EPOCHS = "A", (50, 100, 200)
COUNTED = "sweep"
# Who trains one model, who many, and who on scikit-learn's digits.
TRAIN_ONE = ("jaxcls", "torch", "sklearn", "nnx")
TRAIN_MANY = ("jaxcls", "torch", "torchfunc")
TRAIN_ON_DIGITS = ("jaxcls", "sklearn")
COUNTS = {"cpu": (1, 64, 1024, 10_000), "gpu": (1, 64, 1024, 16_384)}
AGREE = 0.01  # of test accuracy, within which times are compared
COLD = "jaxcls, cold"
TITLES = {
    "jaxcls": "jaxcls",
    "torch": "PyTorch",
    "torchfunc": "PyTorch, torch.func",
    "sklearn": "scikit-learn",
    "nnx": "flax.nnx",
    COLD: "jaxcls, nothing compiled before",
}

HEADS = {
    "train": "Training",
    "process": "Whole processes",
    "scale": "Scaling",
    "models": "Many models",
}
NOTES = {
    "train": (
        "Training is all from NumPy arrays to the last score, after a first run (whole where "
        "programs are compiled: `compile s` is what it took longer). Test accuracy is scored "
        "after the clock has stopped, save in T; a job of less than 1 s is timed up to 5 "
        "times, and the median counts. `GFLOP/s` counts the matrix products as if "
        "every input were multiplied; jaxcls may skip zeros. `MB` is the most that the "
        "process held, data and libraries included. A ratio is the median over the rounds, "
        f"and is shown where all test accuracies come within {100 * AGREE:g} percentage "
        "point of jaxcls's. scikit-learn has no dropout: its D trains without."
    ),
    "process": (
        "From the command to its result, with imports, data and compilation. jaxcls is "
        "`scripts/train_binary.py --recipe a` or `d`, which also checks the data's SHA-256 "
        "and writes a run's folder with checkpoints; its compiled programs are kept from an "
        "earlier run, save where the line says otherwise. The others are "
        "`scripts/peers/with_*.py JOB --once`; flax.nnx compiles each time."
    ),
    "scale": (
        f"jaxcls's job {SCALED} with its rows repeated, {SCALED_EPOCHS[0]} epochs; then as it is, "
        "with more epochs. `MB` as above."
    ),
    "models": (
        f"jaxcls's job `{COUNTED}` with more models or fewer, each number in a process of its own: "
        "all from NumPy arrays to the last score on the training set, after as many models as "
        "are trained at a time, which compiles the program. The models' first weights are drawn "
        "by jaxcls, and of each its scores alone are kept, as in a sweep. `MB` is the most that "
        "the process held, data and libraries included."
    ),
}


@dataclasses.dataclass(frozen=True)
class Flags:
    """Time jaxcls and others at the same jobs on MNIST, and print Markdown tables."""

    data_dir: Path | None = None
    """Folder with MNIST's four .gz files; JAXCLS_DATA_DIR by default."""
    jobs: tuple[
        Literal["A", "D", "M", "T", "seeds", "sweep", "folds", "estimator"], ...
    ] = (
        "A",
        "D",
        "M",
        "T",
    )
    """A, D: sections of the course notes; M: three classes; T: ten, up to an accuracy;
    seeds, sweep: many models of M and of D, in jaxcls and in PyTorch, minutes each; folds: many on
    folds of the digits, and estimator: one by `fit`, in jaxcls and in scikit-learn."""
    peers: tuple[Literal["torch", "torchfunc", "sklearn", "nnx"], ...] | None = None
    """Whom to time beside jaxcls, by default all that are installed; no name for none. torchfunc
    trains many models at once, and one alone it leaves to torch."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where all but scikit-learn train."""
    repeats: int = 5
    """Rounds, of which medians are taken."""
    only: tuple[Literal["train", "process", "scale", "models"], ...] = (
        "train",
        "process",
        "scale",
    )
    """What to measure: training, whole processes (of jobs A and D), more rows and epochs
    (of job A), more models (of job sweep, in jaxcls; minutes)."""
    scale: tuple[int, ...] = (1, 2, 4, 8)
    """Times that the rows are repeated."""
    models: tuple[int, ...] | None = None
    """How many models: 1, 64, 1024 and 10000 by default, or on a GPU 16384."""
    json: Path | None = None
    """File for every single measurement."""


class Run(NamedTuple):
    """A process to be timed.

    Attributes:
        about: section of the tables, job, who, round (0 only prepares the others), and for
            scaling the copies of the rows and the epochs, or the models.
        command: after the interpreter.
        cache: folder for jax's compiled programs, or None for no such cache.
    """

    about: dict
    command: tuple[str, ...]
    cache: Path | None = None

    def __str__(self) -> str:
        section, job, who, *others = self.about.items()
        parts = " ".join((section[1], job[1], who[1]))
        return ", ".join([parts, *(f"{name} {what}" for name, what in others)])


class Failed(Exception):
    """A process that did not end well; the message ends with its last lines."""


# ---- what is run ----


def plan(flags: Flags, peers: tuple[str, ...], home: Path) -> Iterator[Run]:
    """All runs: section by section, round by round, the contestants in turn."""
    contestants, rounds = ("jaxcls", *peers), range(1, flags.repeats + 1)
    if "train" in flags.only:
        for job, round, who in itertools.product(flags.jobs, rounds, contestants):
            if who not in trainers(job):
                continue
            # How many epochs a target takes is a matter of luck, of which each round gets
            # its own; the other jobs keep the notes' seed.
            seed = round if JOBS[job].target else 1
            command = program(who, job, flags, "--seed", str(seed))
            yield Run(about("train", job, who, round), command)
    if "process" in flags.only:
        yield from plan_processes(flags, peers, home)
    if "scale" in flags.only and SCALED in flags.jobs:
        sizes = [(copies, SCALED_EPOCHS[0]) for copies in flags.scale]
        sizes = dict.fromkeys(sizes + [(1, epochs) for epochs in SCALED_EPOCHS])
        for round, (copies, epochs) in itertools.product(rounds, sizes):
            more = ("--copies", str(copies), "--epochs", str(epochs))
            record = about("scale", SCALED, "jaxcls", round) | {"copies": copies}
            command = program("jaxcls", SCALED, flags, *more)
            yield Run(record | {"epochs": epochs}, command)
    if "models" in flags.only:
        counts = flags.models or COUNTS[flags.device]
        for round, models in itertools.product(rounds, dict.fromkeys(counts)):
            more = ("--models", str(models), "--scores-only")
            record = about("models", COUNTED, "jaxcls", round) | {"models": models}
            yield Run(record, program("jaxcls", COUNTED, flags, *more))


def trainers(job: str) -> tuple[str, ...]:
    """Who can train a job."""
    if JOBS[job].folds or JOBS[job].estimator:
        return TRAIN_ON_DIGITS
    return TRAIN_MANY if JOBS[job].models > 1 else TRAIN_ONE


def plan_processes(flags: Flags, peers: tuple[str, ...], home: Path) -> Iterator[Run]:
    """jaxcls's own commands with compiled programs at hand and without, and the peers."""
    for job in (job for job in flags.jobs if job in RECIPES):
        script = (str(HERE / "train_binary.py"), "--recipe", RECIPES[job], "--no-plots")
        script += ("--device", flags.device, "--data-dir", str(flags.data_dir))
        script += ("--output-dir",)
        for round in range(flags.repeats + 1):
            caches = {"jaxcls": home / "warm", COLD: home / f"{job}{round}-cache"}
            if round == 0:  # which fills the warm cache
                del caches[COLD]
            for who, cache in caches.items():
                command = (*script, str(home / f"{job}{round}-{cache.name}-run"))
                yield Run(about("process", job, who, round), command, cache)
            for who in peers if round else ():
                if who not in TRAIN_ONE:
                    continue
                command = program(who, job, flags, "--once")
                yield Run(about("process", job, who, round), command)


def about(section: str, job: str, who: str, round: int) -> dict:
    return {"section": section, "job": job, "who": who, "round": round}


def program(who: str, job: str, flags: Flags, *more: str) -> tuple[str, ...]:
    """The command of a contestant's program in `peers/`."""
    script = str(HERE / "peers" / f"with_{who}.py")
    where = ("--data-dir", str(flags.data_dir), "--device", flags.device)
    return script, job, *where, *more


def measure(run: Run) -> dict:
    """Runs a process; returns its record: its seconds, and what its program measured."""
    start, others = time.perf_counter(), cpu_seconds_of_others()
    out = output_of(run.command, run.cache)
    seconds = time.perf_counter() - start
    others = max(0.0, cpu_seconds_of_others() - others) / seconds
    record = run.about | {"process_seconds": seconds, "cores_of_others": others}
    if run.about["section"] == "process":
        return record
    return record | json.loads(out.splitlines()[-1])


def cpu_seconds_of_others() -> float:
    """What all but this program's processes have used so far; 0 where Linux does not say."""
    with contextlib.suppress(OSError):
        user, nice, system = Path("/proc/stat").read_text().split()[1:4]
        mine = resource.getrusage(resource.RUSAGE_CHILDREN)
        ticks = int(user) + int(nice) + int(system)
        return ticks / os.sysconf("SC_CLK_TCK") - mine.ru_utime - mine.ru_stime
    return 0.0


def output_of(command: tuple[str, ...], cache: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        env=environment(command, cache),
    )
    if done.returncode:
        last = done.stderr.splitlines()[-10:]
        raise Failed(
            "\n".join([f"exit code {done.returncode} of {shlex.join(command)}", *last])
        )
    return done.stdout


def environment(command: tuple[str, ...], cache: Path | None) -> dict[str, str]:
    """The same cores for all, and no compiled programs but those of `cache`."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    mine = os.environ | {name: str(usable_cores()) for name in threads}
    mine["JAX_PLATFORMS"] = "cuda" if "gpu" in command else "cpu"
    mine.pop("JAX_COMPILATION_CACHE_DIR", None)
    return mine if cache is None else mine | {"JAX_COMPILATION_CACHE_DIR": str(cache)}


# ---- tables ----

Records = dict[str, list[dict]]  # of each contestant
Cell = Callable[[Records, str], str]  # of a contestant's row


def number(value: float) -> str:
    """Three digits, or more before the point; a count as it is.

    >>> number(0.12345), number(12.345), number(12345.6), number(7)
    ('0.123', '12.3', '12,346', '7')
    """
    if isinstance(value, int):
        return f"{value:,}"
    size = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, 2 - size)}f}"


def by_round(records: list[dict], name: str) -> dict[int, float]:
    return {each["round"]: each[name] for each in records if each[name] is not None}


def spread(records: list[dict], name: str) -> str:
    """Median and range, or a dash where nothing was measured."""
    values = sorted(by_round(records, name).values())
    if not values:
        return "-"
    if values[0] == values[-1]:
        return number(values[0])
    return f"{number(median(values))} ({number(values[0])}-{number(values[-1])})"


def ratio(above: list[dict], below: list[dict], name: str) -> str:
    """The median of the rounds' ratios."""
    tops, bottoms = by_round(above, name), by_round(below, name)
    ratios = [tops[round] / bottoms[round] for round in tops.keys() & bottoms.keys()]
    return f"{number(median(ratios))}x" if ratios else "-"


def agree(mine: list[dict], theirs: list[dict]) -> bool:
    """Whether the test accuracies of each round are close enough to compare times."""
    ours, others = (by_round(each, "test_accuracy") for each in (mine, theirs))
    rounds = ours.keys() & others.keys()
    # With room for the rounding of the difference.
    return all(abs(ours[each] - others[each]) <= AGREE + 1e-9 for each in rounds)


def ranged(name: str) -> Cell:
    return lambda whose, who: spread(whose[who], name)


def middle(name: str, form: Callable[[float], str] = number) -> Cell:
    return lambda whose, who: form(median(each[name] for each in whose[who]))


def against(name: str) -> Cell:
    """How many times longer a contestant takes than jaxcls, if both reach the same."""

    def cell(whose: Records, who: str) -> str:
        if not agree(whose["jaxcls"], whose[who]):
            return "accuracies differ"
        return ratio(whose[who], whose["jaxcls"], name)

    return cell


COST: list[tuple[str, Cell]] = [
    ("compile s", ranged("compile_seconds")),
    ("train acc.", middle("train_accuracy", "{:.4f}".format)),
    ("test acc.", middle("test_accuracy", "{:.4f}".format)),
    ("GFLOP/s", middle("dense_gflops")),
    ("MB", middle("peak_mb")),
]
TRAINING = [
    ("train s", ranged("train_seconds")),
    ("/ jaxcls", against("train_seconds")),
    *COST,
]
TRAINING_MANY = [
    *TRAINING[:2],
    ("models / s", middle("models_per_second")),
    *COST,
]
TO_TARGET = [
    ("s / epoch", ranged("epoch_seconds")),
    ("/ jaxcls", against("epoch_seconds")),
    ("epochs", ranged("epochs")),
    ("s to 97.5%", ranged("target_seconds")),
    ("/ jaxcls", against("target_seconds")),
    *COST,
]
PROCESS = [
    ("s", ranged("process_seconds")),
    # Here the question is how near jaxcls comes, hence its time is divided by theirs.
    ("jaxcls / it", lambda w, who: ratio(w["jaxcls"], w[who], "process_seconds")),
]


def table(whose: Records, columns: list[tuple[str, Cell]]) -> str:
    rows = [[TITLES[who], *(cell(whose, who) for _, cell in columns)] for who in whose]
    return markdown(["", *(head for head, _ in columns)], rows)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def scaling_tables(whose: Records) -> str:
    """More rows, and more epochs."""
    rows, longer = [], []
    for who, records in whose.items():
        sizes = collections.defaultdict(list)
        for each in records:
            each["epoch_ms"] = 1e3 * each["epoch_seconds"]
            each["row_ms"] = each["epoch_ms"] / each["train_rows"] * 1e4
            sizes[each["copies"], each["epochs"]].append(each)
        for (copies, epochs), same in sizes.items():
            if epochs == SCALED_EPOCHS[0]:
                size = f"{same[0]['train_rows']:,} ({copies}x)"
                cells = (spread(same, name) for name in ("epoch_ms", "row_ms"))
                memory = number(median(each["peak_mb"] for each in same))
                rows.append([TITLES[who], size, *cells, memory])
        cells = (spread(sizes[1, epochs], "train_seconds") for epochs in SCALED_EPOCHS)
        longer.append([TITLES[who], *cells])
    head = ["", "rows", "ms / epoch", "ms / epoch and 10,000 rows", "MB"]
    more = ["", *(f"{epochs} epochs, s" for epochs in SCALED_EPOCHS)]
    return f"{markdown(head, rows)}\n\n{markdown(more, longer)}"


def models_table(whose: Records) -> str:
    rows = []
    for who, records in whose.items():
        counts = collections.defaultdict(list)
        for each in records:
            counts[each["models"]].append(each)
        for models, same in counts.items():
            seconds = spread(same, "train_seconds")
            rate, memory = (
                number(median(each[name] for each in same))
                for name in ("models_per_second", "peak_mb")
            )
            rows.append([TITLES[who], number(models), seconds, rate, memory])
    return markdown(["", "models", "train s", "models / s", "MB"], rows)


def report(measured: list[dict], machine: dict) -> str:
    """All that was measured, as Markdown."""
    sections: dict[str, dict[str, Records]] = {}
    for each in measured:
        if each["round"]:
            jobs = sections.setdefault(each["section"], {})
            records = jobs.setdefault(each["job"], {}).setdefault(each["who"], [])
            records.append(each)
    parts = []
    for section, jobs in sections.items():
        parts += [f"### {HEADS[section]}", NOTES[section]]
        for job, whose in jobs.items():
            if section == "scale":
                parts.append(scaling_tables(whose))
                continue
            if section == "models":
                parts.append(models_table(whose))
                continue
            columns = TRAINING if JOBS[job].models == 1 else TRAINING_MANY
            columns = TO_TARGET if JOBS[job].target else columns
            columns = PROCESS if section == "process" else columns
            parts += [f"**{job}**: {JOBS[job].what}", table(whose, columns)]
    return "\n\n".join([*parts, "### Machine", machine_lines(machine, measured)])


def machine_lines(machine: dict, measured: list[dict]) -> str:
    others = max(each["cores_of_others"] for each in measured)
    made_of = ", ".join(f"{name} {what}" for name, what in machine["versions"].items())
    return (
        f"{machine['machine']}; {number(machine['matmul_gflops'])} GFLOP/s in float32 "
        f"products of 2048 x 2048 (jax, best of 20); other processes took at "
        f"most {others:.2f} cores during a run; "
        f"{made_of}; {machine['date']}; `{machine['command']}`. Medians with ranges."
    )


# ---- the whole ----


def say(text: str) -> None:
    print(f"benchmark.py: {text}", file=sys.stderr, flush=True)


def checked(flags: Flags) -> tuple[Flags, tuple[str, ...]]:
    """The flags with the data's folder filled in, and the peers that are here.

    Raises:
        ValueError, OSError: data, or a peer that is asked for by name, is missing, or the
            file for the measurements can't be written.
    """
    folder = flags.data_dir or os.environ.get("JAXCLS_DATA_DIR")
    if not folder:
        raise ValueError(
            "name the folder with MNIST's four .gz files with --data-dir or JAXCLS_DATA_DIR."
        )
    lacking = [name for name in FILES if not (Path(folder) / name).is_file()]
    if lacking:
        raise ValueError(f"data folder {folder}: lacks {', '.join(lacking)}.")
    if min(flags.repeats, *flags.scale, *(flags.models or ())) < 1:
        raise ValueError("--repeats, --scale and --models must be at least 1.")
    if flags.json is not None:
        flags.json.touch()  # so that all is not measured and then not written
    if flags.device == "gpu" and "sklearn" in (flags.peers or ()):
        raise ValueError(
            "sklearn trains on the CPU alone; leave it out with --device gpu."
        )
    missing = [who for who in PEERS if importlib.util.find_spec(PEERS[who]) is None]
    for who in missing:
        if flags.peers and who in flags.peers:
            raise ValueError(f"{who} is not installed: pip install 'jaxcls[bench]'.")
        if flags.peers is None:
            say(f"{who} is left out: it is not installed.")
    peers = tuple(PEERS) if flags.peers is None else flags.peers
    if flags.device == "gpu":
        peers = tuple(who for who in peers if who != "sklearn")
    return (
        dataclasses.replace(flags, data_dir=Path(folder).absolute()),
        tuple(who for who in dict.fromkeys(peers) if who not in missing),
    )


def about_machine(argv: list[str], device: str) -> dict:
    found = json.loads(output_of((str(HERE / "peers" / "machine.py"), device)))
    return found | {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["scripts/benchmark.py", *argv]),
    }


def run_all(flags: Flags, peers: tuple[str, ...], home: Path, measured: list) -> None:
    runs = list(plan(flags, peers, home))
    for place, run in enumerate(runs, 1):
        measured.append(measure(run))
        seconds, others = (
            measured[-1][name] for name in ("process_seconds", "cores_of_others")
        )
        # PyTorch's threads wait for each other busily: with a core less it takes many times
        # as long, and not twice.
        busy = f", DISTURBED: others took {others:.1f} cores" if others > 0.2 else ""
        say(f"{place}/{len(runs)} {run}: {number(seconds)} s{busy}")


def main(argv: list[str] | None = None) -> int:
    flags = tyro.cli(Flags, prog="benchmark.py", args=argv)
    measured, machine = [], {}
    try:
        flags, peers = checked(flags)
        machine = about_machine(sys.argv[1:] if argv is None else argv, flags.device)
        with tempfile.TemporaryDirectory(prefix="benchmark-") as home:
            run_all(flags, peers, Path(home), measured)
    except ValueError as error:
        say(str(error))
        return 2
    except OSError as error:
        say(f"{error.filename}: {error.strerror}.")
        return 2
    except KeyboardInterrupt:
        say("interrupted.")
        return 130
    except Failed as error:
        failed = str(error)
    else:
        failed = None
    finally:
        if flags.json is not None and measured:
            text = json.dumps({"machine": machine, "measured": measured}, indent=1)
            flags.json.write_text(text + "\n")
    if measured:
        print(report(measured, machine))
    if failed is not None:
        say(f"a process failed and the rest was left out: {failed}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
