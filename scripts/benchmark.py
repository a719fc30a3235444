"""Times training jobs in jaxcls and in PyTorch, scikit-learn and flax.nnx, side by side.

Each measurement is a process of its own, and the contestants take turns, so that what else the
machine does hits all alike. The contestants' programs are in `peers/`, the jobs in
`peers/common.py`. It prints tables for a README.
"""

import contextlib
import dataclasses
import datetime
import importlib.util
import itertools
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import tyro

# Nothing that is large: a process begins with the peak memory of the one that started it.
from peers.common import (  # pyrefly: ignore[missing-import]
    ESTIMATORS,
    FILES,
    JOBS,
    usable_cores,
)
from peers.tables import (  # pyrefly: ignore[missing-import]
    COLD,
    COUNTED,
    SCALED,
    SCALED_EPOCHS,
    number,
    report,
)

HERE = Path(__file__).parent
# And their packages.
PEERS = {
    "torch": "torch",
    "torchfunc": "torch",
    "sklearn": "sklearn",
    "nnx": "flax",
    "bde": "bde",
}
RECIPES = {"A": "a", "D": "d"}  # the jobs that scripts/train_binary.py knows by name
# Who trains one model, who many, who on scikit-learn's digits, and who ensembles of numbers.
TRAIN_ONE = ("jaxcls", "torch", "sklearn", "nnx")
TRAIN_MANY = ("jaxcls", "torch", "torchfunc")
TRAIN_ON_DIGITS = ("jaxcls", "sklearn")
TRAIN_ENSEMBLES = ("jaxcls", "bde")
COUNTS = {"cpu": (1, 64, 1024, 10_000), "gpu": (1, 64, 1024, 16_384)}


@dataclasses.dataclass(frozen=True)
class Flags:
    """Time jaxcls and others at the same jobs on MNIST, and print Markdown tables."""

    data_dir: Path | None = None
    """Folder with MNIST's four .gz files; JAXCLS_DATA_DIR by default."""
    jobs: tuple[
        Literal[
            "A",
            "D",
            "M",
            "T",
            "seeds",
            "sweep",
            "folds",
            "estimators",
            "accuracy",
            "ensemble",
        ],
        ...,
    ] = (
        "A",
        "D",
        "M",
        "T",
    )
    """A, D: sections of the course notes; M: three classes; T: ten, up to an accuracy;
    seeds, sweep: many models of M and of D, in jaxcls and in PyTorch, minutes each; folds: many on
    folds of the digits, in jaxcls and in scikit-learn; estimators: `fit`, `predict` and a search of
    both; accuracy: of both over 20 seeds, minutes; ensemble: ten networks on a table of numbers, in
    jaxcls and in sklearn-contrib-bde."""
    table: Path | None = None
    """A .csv, for ensemble, and for estimators and accuracy, too."""
    target: str | None = None
    """Its column to learn: of numbers for ensemble, else of labels."""
    peers: tuple[Literal["torch", "torchfunc", "sklearn", "nnx", "bde"], ...] | None = (
        None
    )
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
        yield from plan_estimators(flags, peers)
        for job, round, who in itertools.product(flags.jobs, rounds, contestants):
            if job not in JOBS or who not in trainers(job):
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
    if JOBS[job].folds:
        return TRAIN_ON_DIGITS
    return TRAIN_MANY if JOBS[job].models > 1 else TRAIN_ONE


def plan_estimators(flags: Flags, peers: tuple[str, ...]) -> Iterator[Run]:
    """jaxcls's estimators and scikit-learn's, on each set."""
    whose = [who for who in TRAIN_ON_DIGITS if who == "jaxcls" or who in peers]
    of_table = ("--table", str(flags.table), "--target", str(flags.target))
    more = of_table if flags.table is not None else ()
    script = str(HERE / "peers" / "with_estimators.py")
    if "estimators" in flags.jobs:
        subjects = [name for name in ESTIMATORS if name not in ("accuracy", "ensemble")]
        if flags.table is None:
            subjects.remove("table")
        for name, round, who in itertools.product(
            subjects, range(1, flags.repeats + 1), whose
        ):
            where = ("--data-dir", str(flags.data_dir), "--who", who)
            record = about("estimators", name, who, round)
            yield Run(record, (script, name, *where, *more, "--seed", str(round)))
    if "ensemble" in flags.jobs:
        script_of_ensembles = str(HERE / "peers" / "with_ensembles.py")
        whose = [who for who in TRAIN_ENSEMBLES if who == "jaxcls" or who in peers]
        for round, who in itertools.product(range(1, flags.repeats + 1), whose):
            command = (script_of_ensembles, "--who", who, *more, "--seed", str(round))
            yield Run(about("estimators", "ensemble", who, round), command)
    if "accuracy" in flags.jobs and "sklearn" in peers:
        record = about("accuracy", "accuracy", "jaxcls", 1)
        yield Run(record, (script, "accuracy", "--who", "jaxcls", *more))


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
    if (flags.table is None) != (flags.target is None):
        raise ValueError(
            "--table and --target belong together: a .csv, and its column to learn."
        )
    if flags.table is not None:
        with flags.table.open() as file:
            columns = file.readline().strip().split(",")
        if flags.target not in columns:
            raise ValueError(
                f"--target {flags.target}: {flags.table} has the columns {', '.join(columns)}."
            )
    if "ensemble" in flags.jobs and flags.table is None:
        raise ValueError(
            "the job ensemble needs a --table of numbers, and its --target."
        )
    if flags.json is not None:
        flags.json.touch()  # so that all is not measured and then not written
    if flags.device == "gpu" and "sklearn" in (flags.peers or ()):
        raise ValueError(
            "sklearn trains on the CPU alone; leave it out with --device gpu."
        )
    asked = [who for who in PEERS if who != "bde" or "ensemble" in flags.jobs]
    missing = [who for who in asked if importlib.util.find_spec(PEERS[who]) is None]
    for who in missing:
        if flags.peers and who in flags.peers:
            raise ValueError(f"{who} is not installed: pip install 'jaxcls[bench]'.")
        if flags.peers is None:
            say(f"{who} is left out: it is not installed.")
    peers = tuple(asked) if flags.peers is None else flags.peers
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
