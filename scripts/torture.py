"""Kills, damages and starves training runs, then compares their bits with an unharmed run's.

It runs the training scripts on the digits of scikit-learn, in a folder of its own, and prints
a table of what was tried; the exit code is 0 if all that could be tried held.
"""

import contextlib
import dataclasses
import fnmatch
import itertools
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from subprocess import PIPE, CalledProcessError, Popen, TimeoutExpired
from subprocess import run as run_command

import numpy as np
import tyro
from faults import calls
from faults.rows import LIMIT, Broken, Row, TooLate, Untried, say, table, trying

from jaxcls import data
from jaxcls.runs import newest_checkpoint

KEPT = 2  # checkpoints
# Segments of 1 and 2 epochs, ended by a report, by a checkpoint or by both.
COMMON = (
    f"--keep-checkpoints {KEPT} --checkpoint-every 2 --report-every 3 --hidden 16 --batch-size 32 "
    "--dropout 0.3 --validation-fraction 0.2 --patience 1000 --device cpu --no-plots "
)
BINARY = COMMON + "--classes 3 8 --optimizer adamw --schedule warmup_cosine"
MULTICLASS = (
    COMMON + "--classes 1 3 8 9 --optimizer sgd --momentum 0.9 --learning-rate 0.05 "
    "--schedule cosine --monitor accuracy"
)
# Long enough for training to be a good part of a process's life, for the kills.
EPOCHS, EPOCHS_IF_SHORT = 240, 100

RESULT = ("model.safetensors", "last.safetensors", "history.jsonl")
ARRAYS, ABOUT = "checkpoints/epoch-*.safetensors", "checkpoints/epoch-*.json"
FILES = (ARRAYS, "config.json", "history.jsonl", ABOUT, *RESULT[:2], "metrics.json")

NINE_YEARS = 9 * 365 * 86400

# What a script's command is put behind.
FILE_LIMIT = ("sh", "-c", 'ulimit -f "$0"; exec "$@"')
# Root may write anywhere, save without this capability.
PERMISSIONS_BIND = (
    ("setpriv", "--bounding-set=-dac_override") if os.geteuid() == 0 else ()
)
OWN_DISK = ("unshare", "--map-root-user", "--mount")
# A disk at $1 of $2 kB, which takes in the run $0 and gives it back.
SMALL_DISK = """
disk=$1 size=$2; shift 2
mount -t tmpfs -o size="$size"k none "$disk" && cp -r "$0/." "$disk" || exit 99
"$@"; code=$?
rm -r "$0" && cp -r "$disk" "$0" || exit 98
exit $code
"""
CLOCK_SET_BACK = f"""
import datetime, runpy, sys, time
now = time.time
time.time = lambda: now() - {NINE_YEARS}
class Earlier(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
datetime.datetime = Earlier
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# Whether these names of files are what was waited for.
Stop = Callable[[list[str]], bool]


@dataclasses.dataclass(frozen=True)
class Flags:
    """Kill, damage and starve training runs, and see that each goes on to the same bits."""

    kills: int | None = None
    """Times to kill train_binary.py; 60 by default, 4 with --short."""
    calls: int | None = None
    """System calls of each command at which each fault is tried; all by default, 1 with --short."""
    seed: int = 0
    """Of the random moments and places."""
    short: bool = False
    """Each fault once, many on one run, without train_multiclass.py: for the tests."""


class Child:
    """A script at work on a run's folder; it is killed when its `with` ends before it does.

    Attributes:
        start: epoch of the newest whole checkpoint before it.
        newest: that of the newest one seen.
    """

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]):
        self.folder = folder
        self.start = self.newest = whole_epoch(folder)
        self.process = Popen(
            command, stdout=PIPE, stderr=PIPE, text=True, env=environment
        )

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.communicate()

    def watch(self, stop: Stop, pause: float = 0.001) -> bool:
        """Looks at the folder until `stop(names)`; False if the process ends before."""
        until = time.monotonic() + LIMIT
        while self.process.poll() is None and time.monotonic() < until:
            names = names_in(self.folder)
            self.newest = max(self.newest, newest_in(names))
            if stop(names):
                return True
            time.sleep(pause)
        return False

    def wait_for_checkpoint(self) -> None:
        """Waits for one that this process has written."""
        if not self.watch(lambda names: newest_in(names) > self.start):
            raise TooLate

    def end(self, *codes: int) -> str:
        """Waits for the end and checks the exit code, and that no checkpoint is lost.

        Returns:
            What the process wrote to standard error.
        """
        try:
            out, err = self.process.communicate(timeout=LIMIT)
        except TimeoutExpired:
            raise Broken(f"{self.folder}: no end after {LIMIT} s") from None
        code = self.process.returncode
        said = f"{self.folder}, exit code {code}, error output {err!r}"
        if "Traceback" in err or code not in codes:
            raise Broken(f"expected exit code {codes} and no traceback; {said}")
        on_from = re.search(r"resumed from epoch (\d+)", out)
        if on_from is not None and int(on_from[1]) != self.start:
            raise Broken(f"on from {on_from[1]}, not the whole {self.start}; {said}")
        if whole_epoch(self.folder) < self.newest:
            raise Broken(f"the checkpoint of epoch {self.newest} is lost; {said}")
        return err


class Bench:
    """A script, a run of it that nothing disturbed, and that run as it stood earlier.

    Attributes:
        straight: the undisturbed run.
        fresh: the same when it had a config and no checkpoint.
        interrupted: the same after a quarter of its epochs.
        life: about how many seconds a process takes from its start to its end.
        equal: runs that were found to be equal to it.
    """

    def __init__(self, home: Path, script: str, arguments: str, epochs: int):
        self.home, self.script, self.epochs = home, script, epochs
        home.mkdir()
        # From a file, as scikit-learn takes a third of a short process's life to import.
        (x_train, y_train), (x_test, y_test) = (
            (part.features, part.targets) for part in data.load("digits")
        )
        arrays = {"x_train": x_train, "y_train": y_train}
        np.savez(home / "digits.npz", **arrays, x_test=x_test, y_test=y_test)
        where = ("--dataset", home / "digits.npz", "--epochs", epochs)
        self.arguments = (*arguments.split(), *where)
        # Compiled once, so that the other processes spend their time where kills belong.
        self.environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(home / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        self.equal, self._numbers = [], itertools.count(1)
        self.straight, self.fresh, self.interrupted = (
            home / name for name in ("straight", "fresh", "interrupted")
        )
        started = time.monotonic()
        with self.child(self.straight) as child:
            copy_when(child, self.fresh, lambda names: "config.json" in names)
            copy_when(child, self.interrupted, lambda n: newest_in(n) >= epochs // 4)
            child.end(0)
        took = time.monotonic() - started
        seconds = json.loads((self.straight / "metrics.json").read_text())["seconds"]
        self.life = took - seconds["compile"] + 0.5
        training = f"{seconds['train']:.1f} s of it training"
        say(f"{script}: undisturbed {took:.1f} s, {training}")

    def child(self, folder: Path, *behind: str) -> Child:
        """Starts the run in `folder` or resumes it, `behind` another command."""
        if (folder / "config.json").exists() or whole_epoch(folder):
            return self.resumed(folder, *behind)
        return self.begun(folder, *behind)

    def resumed(self, folder: Path, *behind: str, path: Path | None = None) -> Child:
        """Resumes the run in `folder`, which the script sees at `path`."""
        return self._child(folder, behind, "--resume", path or folder)

    def begun(self, folder: Path, *behind: str, seed: int = 0) -> Child:
        """Starts a run in `folder`."""
        place = ("--seed", seed, "--output-dir", folder, "--overwrite")
        return self._child(folder, behind, *self.arguments, *place)

    def _child(self, folder: Path, behind: tuple[str, ...], *arguments) -> Child:
        command = [*behind, sys.executable, Path(__file__).with_name(self.script)]
        return Child([*map(str, [*command, *arguments])], folder, self.environment)

    def new(self, base: Path | None = None) -> Path:
        """A path where nothing is yet, or a copy of `base` there."""
        folder = self.home / f"run-{next(self._numbers)}"
        return folder if base is None else shutil.copytree(base, folder)

    def finish(self, folder: Path) -> None:
        """Resumes a run to its end and compares it."""
        with self.child(folder) as child:
            child.end(0)
        self.compare(folder)

    def compare(self, folder: Path) -> None:
        """Raises Broken unless a finished run is the undisturbed one, bit for bit."""
        different = differences(self.straight, folder)
        if different:
            raise Broken(f"{folder} is not as undisturbed: {', '.join(different)}")
        self.equal.append(folder)
        shutil.rmtree(folder)


def differences(straight: Path, folder: Path) -> list[str]:
    """In what a finished run is another than `straight`, and temporary files left in it."""
    last = max(straight.glob(ARRAYS)).relative_to(straight)
    # A finished run whose last checkpoint was damaged stays as it is.
    whole = whole_epoch(folder) == whole_epoch(straight)
    found = []
    for name in (*RESULT, *([last] if whole else [])):
        file = folder / name
        if not file.exists() or file.read_bytes() != (straight / name).read_bytes():
            found.append(file.name)
    for name in ("config.json", "metrics.json"):
        if calls.without_seconds(folder / name) != calls.without_seconds(
            straight / name
        ):
            found.append(name)
    return found + [path.name for path in folder.rglob(".*.tmp")]


def names_in(folder: Path) -> list[str]:
    """The files of a run and of its checkpoints."""
    names = []
    for each in (folder, folder / "checkpoints"):
        with contextlib.suppress(FileNotFoundError):
            names += os.listdir(each)
    return names


def any_like(names: list[str], pattern: str) -> bool:
    return bool(fnmatch.filter(names, pattern))


def newest_in(names: list[str]) -> int:
    """The newest epoch of which there is a checkpoint's JSON file; 0 for none."""
    epochs = (re.fullmatch(r"epoch-(\d+)\.json", name) for name in names)
    return max((int(epoch[1]) for epoch in epochs if epoch), default=0)


def whole_epoch(folder: Path) -> int:
    """The newest epoch of which there is a whole checkpoint; 0 for none."""
    checkpoint, _ = newest_checkpoint(folder)
    return 0 if checkpoint is None else checkpoint.epoch


def copy_when(child: Child, target: Path, due: Stop) -> None:
    """Copies a run's folder as a kill between two writes would leave it."""
    while child.watch(due):
        child.process.send_signal(signal.SIGSTOP)
        time.sleep(0.05)  # until the signal is there
        counts = {
            pattern: len(fnmatch.filter(names_in(child.folder), pattern))
            for pattern in ("epoch-*.json", "epoch-*.safetensors", ".*.tmp")
        }
        if [*counts.values()] in ([n, n, 0] for n in range(4)):
            shutil.copytree(child.folder, target)
        child.process.send_signal(signal.SIGCONT)
        if target.exists():
            return
        time.sleep(0.002)


def check_sentence(err: str, *wanted: str) -> None:
    """Raises Broken unless the error output is one line with all of `wanted` in it."""
    if len(err.splitlines()) != 1 or not all(each in err for each in wanted):
        raise Broken(f"expected one line with {wanted}; error output {err!r}")


# ---- kill -9 ----


def kills(bench: Bench, count: int, rng: random.Random) -> list[Row]:
    """Kills runs until `count` kills are made; each run goes on until it is finished."""
    row = Row(f"kill -9 of {bench.script}, at any moment and while it writes")
    writing, folder = 0, bench.new()
    while row.times < count and not row.problems:
        with trying(row), bench.child(folder) as child:
            if row.times % 2:
                until = time.monotonic() + rng.uniform(0, bench.life)
                child.watch(lambda _, until=until: time.monotonic() > until)
            elif child.watch(a_write(bench, child, rng), pause=0):
                time.sleep(rng.choice((0, rng.uniform(0, 0.002))))
            child.process.kill()
            child.end(-signal.SIGKILL, 0)
            if child.process.returncode == 0:
                bench.compare(folder)
                continue
            row.times += 1
            mine = fnmatch.filter(names_in(folder), f".*.{child.process.pid}.tmp")
            writing += len(mine)
            where = f"epoch {whole_epoch(folder)}" + "".join(f", in {m}" for m in mine)
            say(
                f"{bench.script}: kill {row.times} of {count}, newest checkpoint {where}"
            )
    with trying(row):
        if folder.exists() and not row.problems:
            bench.finish(folder)
    row.note = f" ({writing} while a file was being written)"
    return [row]


def a_write(bench: Bench, child: Child, rng: random.Random) -> Stop:
    """The sight of this process's temporary file, of one kind of file."""
    kinds = ("config.json", *("epoch-*.safetensors", "epoch-*.json") * 2, *RESULT)
    kind, first = rng.choice((*kinds, "metrics.json")), 0
    if kind == "history.jsonl" and not child.start:
        kind = "config.json"  # only a run that is resumed writes its history again
    if kind.startswith("epoch"):
        first = rng.randint(child.start, bench.epochs)
    pattern = f".{kind}.{child.process.pid}.tmp"
    return lambda names: newest_in(names) >= first and any_like(names, pattern)


# ---- damaged files ----


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def flip(path: Path, rng: random.Random) -> None:
    changed = bytearray(path.read_bytes())
    changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
    path.write_bytes(changed)


def remove(path: Path, _: random.Random) -> None:
    path.unlink()


def leave_temporary(path: Path, rng: random.Random) -> None:
    """Leaves what a process would that was killed while it wrote this file."""
    half = path.read_bytes()[: rng.randrange(path.stat().st_size)]
    path.with_name(f".{path.name}.{rng.randrange(1, 99999)}.tmp").write_bytes(half)


DAMAGES = {
    "with a byte flipped": flip,
    "cut short": cut,
    "missing": remove,
    "with a stale temporary file beside it": leave_temporary,
}


def damages(bench: Bench, finished: bool, short: bool, rng: random.Random) -> list[Row]:
    """Damages each kind of file in each way; if `short`, each way once, all on one run."""
    base = bench.straight if finished else bench.interrupted
    kind = "finished run" if finished else "interrupted run"
    rows = {how: Row(f"{kind}: a file {how}") for how in DAMAGES}
    there = [pattern for pattern in FILES if list(base.glob(pattern))]
    if short:
        groups = [list(zip(DAMAGES, there[::-1] if finished else there, strict=False))]
    else:
        pairs = list(itertools.product(DAMAGES, there))
        more = [(how, pattern) for how, pattern in pairs if DAMAGES[how] is flip]
        groups = [[pair] for pair in pairs + more * 3]
    for group in groups:
        folder = bench.new(base)
        for how, pattern in group:
            say(f"{kind}: {pattern} {how}")
            before = whole_epoch(folder)
            DAMAGES[how](max(folder.glob(pattern)), rng)
            rows[how].lost = max(rows[how].lost, before - whole_epoch(folder))
            rows[how].times += 1
        with trying(*(rows[how] for how, _ in group)):
            bench.finish(folder)
    return list(rows.values())


def no_way_on(bench: Bench, rng: random.Random) -> list[Row]:
    """Damages config.json where there is no checkpoint from which to take another."""
    row = Row("config.json damaged before any checkpoint: refused, begun again")
    for damage in (remove, cut, flip, flip, flip):
        folder = bench.new(bench.fresh)
        damage(folder / "config.json", rng)
        row.times += 1
        say(f"{row.what}: {damage.__name__}")
        with trying(row):
            with bench.resumed(folder) as child:
                err = child.end(0, 2)
            if child.process.returncode == 2:
                check_sentence(err, "config.json")
                shutil.rmtree(folder)  # what no sealed config owns stays till then
                with bench.begun(folder) as child:
                    child.end(0)
            bench.compare(folder)
    return [row]


# ---- faults while a process works; they get an interrupted run and may leave it so ----


def a_signal(signum: int, bench: Bench, folder: Path, rng: random.Random) -> None:
    with bench.child(folder) as child:
        send(bench, child, rng, signum)
        err = child.end(128 + signum)
    sentence = rf"stopped after (\d+) .* --resume {re.escape(str(folder))}$"
    stopped = re.search(sentence, err.splitlines()[-1])
    if stopped is None or err.count("--resume") != 1:
        raise Broken(f"expected one line that says how to go on; error output {err!r}")
    if whole_epoch(folder) != int(stopped[1]):
        raise Broken(f"{folder}: no checkpoint of the last epoch; error output {err!r}")


def two_signals(bench: Bench, folder: Path, rng: random.Random) -> None:
    first, second = rng.choices((signal.SIGINT, signal.SIGTERM), k=2)
    with bench.child(folder) as child:
        send(bench, child, rng, first, second)
        # It may have been done with the epochs in hand before the second came, and two that
        # come at once are taken in the order of their numbers.
        child.end(-first, -second, 128 + first, 128 + second)


def send(bench: Bench, child: Child, rng: random.Random, *signals: int) -> None:
    """Sends signals to a run that trains, and waits until they have ended it."""
    child.wait_for_checkpoint()
    time.sleep(rng.uniform(0, 0.05))
    for signum in signals:
        child.process.send_signal(signum)
        time.sleep(rng.uniform(0, 0.005))
    try:
        child.process.wait(10)
    except TimeoutExpired:
        raise Broken(f"{child.folder}: no end 10 s after {signals}") from None
    if whole_epoch(child.folder) == bench.epochs:
        raise TooLate


def file_limit(bench: Bench, folder: Path, rng: random.Random) -> None:
    blocks = rng.randrange(max(folder.glob(ARRAYS)).stat().st_size // 1024)
    with bench.child(folder, *FILE_LIMIT, str(blocks)) as child:
        check_sentence(child.end(2), "could not be written", "File too large")


def full_disk(bench: Bench, folder: Path, rng: random.Random) -> None:
    try_command(*OWN_DISK, "mount", "-t", "tmpfs", "none", str(folder))
    disk = bench.new()
    disk.mkdir()
    for pattern in (ARRAYS, ABOUT):
        for path in sorted(folder.glob(pattern))[:-KEPT]:
            path.unlink()  # as the run would at once, and then have the room for another
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    room = rng.randrange(max(sizes) * 3 // 4)  # less than the next checkpoint needs
    size = 4 * sum(-(-each // 4096) for each in sizes) + room // 1024
    behind = (*OWN_DISK, "sh", "-c", SMALL_DISK, str(folder), str(disk), str(size))
    with bench.resumed(folder, *behind, path=disk) as child:
        check_sentence(child.end(2), "could not be written", "No space left")
    disk.rmdir()


def read_only(bench: Bench, folder: Path, _: random.Random) -> None:
    folders = (folder / "checkpoints", folder)
    try:
        for each in folders:
            each.chmod(0o555)
        try_command(*PERMISSIONS_BIND, "sh", "-c", '! test -w "$0"', str(folder))
        with bench.child(folder, *PERMISSIONS_BIND) as child:
            check_sentence(child.end(2), "could not be written", "Permission denied")
    finally:
        for each in folders:
            each.chmod(0o755)


def try_command(*command: str) -> None:
    """Raises Untried if a command that a fault needs can't be run here."""
    try:
        run_command(command, check=True, capture_output=True, text=True)
    except OSError as error:
        raise Untried(str(error)) from None
    except CalledProcessError as error:
        raise Untried(error.stderr.strip() or "it does not bind this user") from None


def two_processes(bench: Bench, folder: Path, _: random.Random) -> None:
    with bench.child(folder) as first:
        first.wait_for_checkpoint()
        # Lest it end before the others begin.
        first.process.send_signal(signal.SIGSTOP)
        if first.process.poll() is not None:
            raise TooLate
        for others in (bench.resumed, bench.begun):
            with others(folder) as second:
                check_sentence(second.end(2), "another process")
        first.process.send_signal(signal.SIGCONT)
        first.end(0)


def clock_set_back(bench: Bench, folder: Path, _: random.Random) -> None:
    future = time.time() + NINE_YEARS
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (future, future))
    with bench.child(folder, sys.executable, "-c", CLOCK_SET_BACK) as child:
        child.end(0)


def moved_away(bench: Bench, folder: Path, _: random.Random) -> None:
    """Moves the folder away while its run works; another run begins under its name."""
    elsewhere = bench.new()
    with bench.child(folder) as first:
        first.wait_for_checkpoint()
        first.process.send_signal(signal.SIGSTOP)
        if first.process.poll() is not None:
            raise TooLate
        first.folder = folder.rename(elsewhere)
        with bench.begun(folder, seed=7) as second:
            second.end(0)
        first.process.send_signal(signal.SIGCONT)
        err = first.end(2)
    check_sentence(err, "is no longer the folder", "--resume")
    shutil.rmtree(folder)
    elsewhere.rename(folder)


def foreign_state(bench: Bench, folder: Path, _: random.Random) -> None:
    """Puts the checkpoints of another run, of another seed, in the place of its own."""
    other, own = bench.new(), bench.new()
    with bench.begun(other, seed=7) as child:
        child.end(0)
    shutil.move(folder / "checkpoints", own)
    shutil.copytree(other / "checkpoints", folder / "checkpoints")
    with bench.resumed(folder) as child:
        check_sentence(child.end(2), "belongs to another run", "seed")
    shutil.rmtree(folder / "checkpoints")
    shutil.move(own, folder / "checkpoints")
    shutil.rmtree(other)


def no_screen(how: str, bench: Bench, folder: Path, _: random.Random) -> None:
    """Goes on to the end where what is written to the screen is lost."""
    own = bench.new(folder)
    behind = ("bash", "-c", f'set -o pipefail; "$0" "$@" {how}')
    with bench.resumed(own, *behind) as child:
        child.end(0)
    bench.compare(own)


def damaged_programs(bench: Bench, folder: Path, rng: random.Random) -> None:
    """Damages the compiled programs that are kept; they are compiled again, and kept."""
    cache, damaged = bench.new(), {}
    for _ in range(2):
        own = bench.new(folder)
        with bench.resumed(own, "env", f"JAX_COMPILATION_CACHE_DIR={cache}") as child:
            child.end(0)
        bench.compare(own)
        for number, path in enumerate(sorted(cache.iterdir())):
            if path.read_bytes() == damaged.get(path):
                raise Broken(f"{path} stays damaged")
            (cut, flip)[number % 2](path, rng)
            damaged[path] = path.read_bytes()
    shutil.rmtree(cache)


FAULTS = {
    "SIGINT": partial(a_signal, signal.SIGINT),
    "SIGTERM": partial(a_signal, signal.SIGTERM),
    "SIGHUP, of a terminal that is closed": partial(a_signal, signal.SIGHUP),
    "a second signal at once": two_signals,
    "a limit on the size of files": file_limit,
    "a full disk": full_disk,
    "a read-only folder": read_only,
    "two processes on one run": two_processes,
    "the folder moved away, another run under its name": moved_away,
    "another run's checkpoints in the folder": foreign_state,
    "standard output and error closed": partial(no_screen, ">&- 2>&-"),
    "a full disk behind both": partial(no_screen, ">/dev/full 2>/dev/full"),
    "a reader that goes away": partial(no_screen, "| head -1"),
    "kept programs that are damaged": damaged_programs,
    "the clock set back, the files of the future": clock_set_back,
}


def faults(bench: Bench, names: list[str], times: int, rng: random.Random) -> list[Row]:
    """Brings these faults about one after the other on a run, which then goes on to its end."""
    rows = [Row(name) for name in names]
    for _ in range(times):
        folder = bench.new(bench.interrupted)
        for row in rows:
            say(row.what)
            with trying(row):
                folder = in_time(FAULTS[row.what], bench, folder, rng)
                row.times += 1
        with trying(*rows):
            finished = (folder / "metrics.json").exists()
            bench.compare(folder) if finished else bench.finish(folder)
    return rows


def in_time(fault: Callable, bench: Bench, folder: Path, rng: random.Random) -> Path:
    """Brings a fault about before the run ends; returns the folder in which it came."""
    for _ in range(5):
        try:
            fault(bench, folder, rng)
            return folder
        except TooLate:
            folder = bench.new(bench.interrupted)
    raise Broken("the run ended each time before it came")


# ---- system calls ----


def each_call(
    bench: Bench, job: str, most: int | None, rng: random.Random
) -> list[Row]:
    """Tries every fault at every system call of a job, or at `most` of each command."""
    home = bench.home / job.replace(" ", "-").strip("-")
    return calls.at_each_call(
        job, home, bench.environment, bench.home / "digits.npz", most, rng
    )


def foreign_blocks(bench: Bench, job: str, _: random.Random) -> list[Row]:
    """Puts the blocks of runs of another seed in the place of a job's own."""
    home = bench.home / f"{job.strip('-').replace(' ', '-')}-foreign"
    return calls.foreign_blocks(job, home, bench.environment, bench.home / "digits.npz")


# ---- the whole ----


def try_all(home: Path, flags: Flags) -> tuple[list[Row], int]:
    """Tries everything, two things at a time; returns also how many runs were found equal."""
    short, epochs = flags.short, EPOCHS_IF_SHORT if flags.short else EPOCHS
    count = (4 if short else 60) if flags.kills is None else flags.kills
    most = 1 if short and flags.calls is None else flags.calls
    benches = [Bench(home / "binary", "train_binary.py", BINARY, epochs)]
    bench = benches[0]

    def multiclass(rng: random.Random) -> list[Row]:
        script = "train_multiclass.py"
        benches.append(Bench(home / "multiclass", script, MULTICLASS, epochs))
        return kills(benches[1], max(1, count // 10), rng)

    # Those that share a run in short: all but the last, which ends it.
    shared = [list(FAULTS)[:-1], list(FAULTS)[-1:]]
    tasks = [
        partial(kills, bench, count),
        *([] if short else [multiclass]),
        *(
            partial(faults, bench, names, 1 if short else 3)
            for names in (shared if short else [[name] for name in FAULTS])
        ),
        partial(damages, bench, False, short),
        partial(damages, bench, True, short),
        *([] if short else [partial(no_way_on, bench)]),
        *(
            partial(each_call, bench, name, most)
            for name in (calls.IN_SHORT if short else calls.JOBS)
        ),
        *([] if short else [partial(foreign_blocks, bench, n) for n in calls.STUDIES]),
    ]
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(task, random.Random(f"{flags.seed} {number}"))
            for number, task in enumerate(tasks)
        ]
        try:
            rows = [row for job in jobs for row in job.result()]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return rows, sum(len(bench.equal) for bench in benches)


def main(argv: list[str] | None = None) -> int:
    flags = tyro.cli(Flags, prog="torture.py", args=argv)
    if flags.calls is not None and flags.calls < 1:
        say(f"--calls {flags.calls}: give at least 1, or leave it out for all.")
        return 2
    # A shell's background ignores Ctrl-C, and nohup a closed terminal; and so would the scripts,
    # which must not here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    home = Path(tempfile.mkdtemp(prefix="torture-"))
    say(f"in {home}, removed at the end if all holds")
    start = time.monotonic()
    try:
        rows, equal = try_all(home, flags)
        problems = [problem for row in rows for problem in row.problems]
        untried = [row.what for row in rows if row.untried]
        held = sum(not row.problems and not row.untried for row in rows)
        print(
            f"{table(rows)}\n\n{held} of {len(rows) - len(untried)} held in "
            f"{time.monotonic() - start:.0f} s; {equal} runs ended with the bits of one "
            "that nothing disturbed."
            + (f" Not tried here: {'; '.join(untried)}." if untried else "")
        )
    except Broken as problem:
        problems = [f"nothing was tried, as the undisturbed run failed: {problem}"]
    if problems:
        print("\n".join([*problems, f"kept: {home}"]))
        return 1
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
