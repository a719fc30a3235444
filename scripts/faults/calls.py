"""A kill, a signal and a failure at every system call of a command on a run's folder, by strace.

A command is run once under strace, which tells its calls on the folder. Each of them then gets
its fault in a command of its own; the run goes on from there, and must end with the files that
it has if nothing disturbs it.
"""

import dataclasses
import itertools
import json
import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CalledProcessError, TimeoutExpired
from subprocess import run as run_command

from faults.rows import LIMIT, Broken, Row, Untried, say, trying

# The calls by which a folder is changed, and those by which it is read, on any processor.
CHANGES = (
    *("openat", "write", "fsync", "ftruncate", "flock", "mkdir", "mkdirat", "rmdir"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat"),
)
READS = ("read", "pread64", "getdents64", "newfstatat", "statx", "close")
WRITES_TEXT = ("write", "read", "pread64")
TRACED = ",".join(f"?{name}" for name in (*CHANGES, *READS))

KILL, SIGNAL, FAILURE = "signal=KILL", "signal=TERM", "error=EIO"
FAULTS = {KILL: "kill -9", SIGNAL: "SIGTERM", FAILURE: "an input/output error"}

# Small enough that a process's life is its start, and yet with every kind of file.
DATA = "--classes 3 8 --hidden 8 --batch-size 64 --device cpu "
TRAIN = (
    f"train_binary.py {DATA} --epochs 4 --checkpoint-every 2 --keep-checkpoints 1 "
    "--validation-fraction 0.2 "
)
JOBS = {
    "a run": f"{TRAIN} --learning-rate 0.1 --no-plots",
    "a run with pictures": f"{TRAIN} --learning-rate 0.1",
    "--seeds": f"train_binary.py {DATA} --epochs 2 --seeds 5 --no-plots",
    "a sweep": (
        f"sweep.py {DATA} --epochs 2 --seeds 2 --dropout 0 --learning-rate 1e-3 1e-2 1e-1 "
        "--no-plots"
    ),
    "a sweep by halving": (
        f"sweep.py {DATA} --epochs 6 --seeds 1 --halving --draws 6 --no-plots "
        "--learning-rate log-uniform:1e-3:1e-1 --dropout 0"
    ),
}
STUDIES = ("--seeds", "a sweep", "a sweep by halving")
IN_SHORT = ("a run", "--seeds", "a sweep by halving")
# After which call a run has state to go on from, and the one with pictures some of them.
STATE = re.compile(r'rename.*/(checkpoints/epoch|members/block)-\d+\.json"')
PICTURE = re.compile(r'rename.*/curves\.png"')

# Blocks of runs are kept at once, not every few seconds, of which these jobs have none.
KEEPING = """
import runpy, sys
from jaxcls.cli import keeping
keeping._SECONDS = 0
del sys.argv[:1]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Missed(Exception):
    """A process made other calls before this one than the process before it."""


@dataclasses.dataclass(frozen=True)
class Call:
    """A system call on the folder.

    Attributes:
        name: of the call.
        number: how many of that name the process has made with it.
        what: the line of strace, without the folder's path, times and process numbers.
        changes: it changes the folder.
    """

    name: str
    number: int
    what: str
    changes: bool


class Command:
    """A command on a run's folder, what it finds there, and what it leaves undisturbed.

    Attributes:
        name: of the job.
        script: of the command.
        base: the folder as the command finds it; None for none.
        straight: the folder as the command leaves it.
    """

    def __init__(self, name: str, home: Path, arguments: str, environment: dict):
        self.name, self.home = name, home
        self.script, *self.arguments = arguments.split()
        self.environment = environment
        self.straight = home / "straight"
        self.base: Path | None = None
        self._begins: tuple[str, ...] = ("--output-dir",)
        self._numbers = itertools.count(1)

    def overwriting(self, base: Path) -> "Command":
        """The same command where the run of `base` is already."""
        return self._on("over another run", base, ("--overwrite", "--output-dir"))

    def resuming(self, base: Path) -> "Command":
        """The command that resumes the part of the run that `base` holds."""
        return self._on("resumed", base, ("--resume",))

    def _on(self, how: str, base: Path, begins: tuple[str, ...]) -> "Command":
        other = Command(f"{self.name}, {how}", self.home, self.script, self.environment)
        other.arguments = [] if begins == ("--resume",) else self.arguments
        other.base, other._begins, other._numbers = base, begins, self._numbers
        return other

    def new(self) -> Path:
        """A folder as the command finds it, at a path of its own."""
        folder = self.home / f"run-{next(self._numbers)}"
        if self.base is not None:
            shutil.copytree(self.base, folder)
        return folder

    def run(self, folder: Path, *behind: str) -> tuple[int, str]:
        """Runs it; returns its exit code and what it wrote to standard error."""
        return self._run(folder, behind, *self.arguments, *self._begins)

    def go_on(self, folder: Path) -> None:
        """Does what a user does after a fault: goes on with the run, or begins it again.

        Raises:
            Broken: that fails, or leaves other files than the undisturbed command.
        """
        # A run that was there before is not this one.
        if (folder / "config.json").exists() and not self._is_of_base(folder):
            code, err = self._run(folder, (), "--resume")
        else:
            code, err = self.run(folder)
        if code or not _is_quiet(err):
            raise Broken(f"{folder}: going on ended with {code}, error output {err!r}")
        self.compare(folder)

    def _is_of_base(self, folder: Path) -> bool:
        if self.base is None or self._begins == ("--resume",):
            return False
        there = (each / "config.json" for each in (folder, self.base))
        return len({file.read_bytes() for file in there}) == 1

    def compare(self, folder: Path) -> None:
        """Raises Broken unless a folder holds what the undisturbed command leaves."""
        wanted, there = contents(self.straight), contents(folder)
        other = [
            name
            for name in sorted(wanted.keys() | there.keys())
            if wanted.get(name) != there.get(name)
        ]
        if other:
            raise Broken(f"{folder} is not as undisturbed: {', '.join(other)}")
        shutil.rmtree(folder)

    def _run(self, folder: Path, behind: tuple, *arguments) -> tuple[int, str]:
        script = Path(__file__).parents[1] / self.script
        try:
            done = run_command(
                [
                    *map(str, (*behind, sys.executable, "-c", KEEPING)),
                    *map(str, (script, *arguments, folder)),
                ],
                capture_output=True,
                text=True,
                env=self.environment,
                timeout=LIMIT,
            )
        except TimeoutExpired:
            raise Broken(f"{folder}: no end after {LIMIT} s") from None
        return done.returncode, done.stderr


def contents(folder: Path) -> dict[str, object]:
    """The files beneath a folder, what they hold, and of JSON all but the seconds."""
    return {
        str(path.relative_to(folder)): _content(path)
        for path in folder.rglob("*")
        if not path.is_dir() or not any(path.iterdir())
    }


def _content(path: Path) -> object:
    if path.is_dir():
        return "an empty folder"
    return without_seconds(path) if path.suffix == ".json" else path.read_bytes()


def without_seconds(path: Path) -> dict | None:
    """What a JSON file says, but for the seconds; None if it is not whole."""
    try:
        return json.loads(path.read_bytes()) | {"seconds": None}
    except (OSError, ValueError):
        return None


def _calls_of(command: Command) -> list[Call]:
    """Runs a command undisturbed; returns its calls on the folder, in their order.

    Raises:
        Broken: it fails.
        Untried: strace is not there, or may not trace.
    """
    folder = command.new()
    log = folder.with_suffix(".strace")
    try:
        run_command(["strace", "-o", log, "true"], check=True, capture_output=True)
    except OSError as error:
        raise Untried(str(error)) from None
    except CalledProcessError as error:
        raise Untried(error.stderr.decode().strip()) from None
    code, err = command.run(folder, *traced(log))
    if code or not _is_quiet(err):
        raise Broken(f"{folder}: undisturbed it ended with {code}, {err!r}")
    found = list(_parsed(log.read_text().splitlines(), folder))
    command.compare(folder)
    return found


def traced(log: Path, *injected: str) -> tuple[str, ...]:
    """What a command is put behind so that strace writes its main thread's calls to `log`."""
    return ("strace", "-y", "-o", str(log), "-e", f"trace={TRACED}", *injected)


def injected(call: Call, fault: str) -> tuple[str, str]:
    """The arguments of strace that bring a fault about at a call."""
    return "-e", f"inject={call.name}:{fault}:when={call.number}"


def _parsed(lines: list[str], folder: Path) -> Iterator[Call]:
    count: dict[str, int] = {}
    for line in lines:
        name = line.partition("(")[0]
        count[name] = count.get(name, 0) + 1
        # What is written, as to standard output, may have the folder's name in it.
        target = line.partition(",")[0] if name in WRITES_TEXT else line
        if str(folder) in target:
            what = re.sub(r"\d+\.tmp", "N.tmp", line).replace(str(folder), "")
            opened = name != "openat" or "O_CREAT" in line or "O_WRONLY" in line
            did = "= -1 E" not in line
            yield Call(name, count[name], what, name in CHANGES and opened and did)


def chosen(all_calls: list[Call], fault: str) -> list[Call]:
    """Those that a fault is tried at.

    A kill and a signal at a call that leaves the folder as it is are those at the next one that
    does not. A reading call that fails is tried once for each name of a file, and the size of
    a file that is open is always told.
    """
    changes = [call for call in all_calls if call.changes]
    if fault != FAILURE:
        return [call for call in changes if call.name not in ("fsync", "flock")]
    reads = {
        (call.name, re.sub(r"\d+", "N", call.what.partition(">")[0])): call
        for call in reversed(all_calls)
        if not call.changes and ', "", ' not in call.what
    }
    return [*changes, *reversed(reads.values())]


def try_call(command: Command, call: Call, fault: str) -> None:
    """Brings a fault about at a call, and goes on to the end.

    Raises:
        Broken: something did not hold.
        Missed: the fault came at another call, which is not on the folder.
    """
    folder = command.new()
    log = folder.with_suffix(".strace")
    code, err = command.run(folder, *traced(log, *injected(call, fault)))
    said = f"{FAULTS[fault]} at {call.what!r}: exit code {code}, error output {err!r}"
    came = any(
        (each.name, each.number) == (call.name, call.number)
        for each in _parsed(log.read_text().splitlines(), folder)
    )
    log.unlink()
    if not came:
        shutil.rmtree(folder, ignore_errors=True)
        raise Missed
    _check_end(fault, code, err, said)
    try:
        command.go_on(folder)
    except Broken as problem:
        raise Broken(f"{said}; {problem}") from None


def _check_end(fault: str, code: int, err: str, said: str) -> None:
    """Raises Broken unless a command ended as it should at a fault."""
    codes = {KILL: (-9, 137), SIGNAL: (0, -15, 143), FAILURE: (0, 2)}
    if code not in codes[fault] or not _is_quiet(err):
        raise Broken(said)
    if code == 2 and err.count("\n") != 1:
        raise Broken(said)


def _is_quiet(err: str) -> bool:
    """Whether an error output is a few sentences at most, and no traceback."""
    lines = err.splitlines()
    return (
        "Traceback" not in err
        and len(lines) <= 3
        and max(map(len, lines), default=0) < 500
    )


def at_each_call(
    name: str,
    home: Path,
    environment: dict,
    data: Path,
    most: int | None,
    rng: random.Random,
) -> list[Row]:
    """Tries every fault at every call of a job's commands, or at `most` random ones of each."""
    home.mkdir()
    rows: list[Row] = []
    preparing = Row(f"{name}: a fault at each call on its folder")
    with trying(preparing):
        for command, found in _commands(name, home, environment, data):
            rows.append(_tried(command, found, most, rng))
    return [preparing, *rows] if preparing.problems or preparing.untried else rows


def foreign_blocks(name: str, home: Path, environment: dict, data: Path) -> list[Row]:
    """Puts the blocks of runs that another seed's job has kept in the place of a job's own."""
    home.mkdir()
    row = Row(f"{name}: another's blocks of runs in the folder")
    arguments = f"{JOBS[name]} --dataset {data}"
    own, other = (
        Command(name, home / seed, f"{arguments} --seed {seed}", environment)
        for seed in "07"
    )
    with trying(row):
        for command in (own, other):
            command.home.mkdir()
            if command.run(command.straight) != (0, ""):
                raise Broken(f"{name}: undisturbed it does not end well")
        mine, foreign = (_killed(each, _calls_of(each)) for each in (own, other))
        folder = shutil.copytree(mine, home / "mixed")
        shutil.rmtree(folder / "members")
        shutil.copytree(foreign / "members", folder / "members")
        code, err = own.resuming(mine).run(folder)
        if code != 2 or err.count("\n") != 1 or "another" not in err:
            raise Broken(f"{folder}: not refused: exit code {code}, {err!r}")
        shutil.rmtree(folder / "members")
        shutil.copytree(mine / "members", folder / "members")
        own.go_on(folder)
        row.times += 1
    return [row]


def _commands(
    name: str, home: Path, environment: dict, data: Path
) -> Iterator[tuple[Command, list[Call]]]:
    """The commands of a job, each run once undisturbed, and their calls on the folder."""
    arguments = f"{JOBS[name]} --dataset {data}"
    begun = Command(name, home, arguments, environment)
    # Once to compile what all others load.
    if begun.run(begun.straight) != (0, ""):
        raise Broken(f"{name}: undisturbed it does not end well")
    found = _calls_of(begun)
    with_pictures = "pictures" in name
    if not with_pictures:
        yield begun, found
    others = [begun.resuming(_killed(begun, found))]
    if name == "a run":
        other = Command(name, home, f"{arguments} --seed 7", environment)
        if other.run(home / "other") != (0, ""):
            raise Broken(f"{name}: the other run does not end well")
        others.append(begun.overwriting(home / "other"))
    for command in others:
        folder = command.new()
        command.run(folder)
        command.compare(folder)
        found = _calls_of(command)
        # All but the pictures is as it is without them.
        yield command, [c for c in found if not with_pictures or ".png" in c.what]


def _killed(command: Command, found: list[Call]) -> Path:
    """What a kill leaves in the middle: some state, or a picture, and more to do."""
    middle = PICTURE if "pictures" in command.name else STATE
    places = [i for i, call in enumerate(found) if middle.search(call.what)]
    if not places:
        raise Broken(f"{command.name}: it leaves nothing to go on from")
    call = next(each for each in found[places[0] + 1 :] if each.changes)
    folder = command.new()
    log = folder.with_suffix(".strace")
    code, _ = command.run(folder, *traced(log, *injected(call, KILL)))
    if code == 0:
        raise Broken(f"{folder}: no kill came at {call.what!r}")
    return folder


def _tried(
    command: Command, found: list[Call], most: int | None, rng: random.Random
) -> Row:
    counts, missed = [], 0
    row = Row(f"{command.name}: a fault at each call on its folder")
    for fault in FAULTS:
        wanted = chosen(found, fault)
        if most is not None:
            wanted = rng.sample(wanted, min(most, len(wanted)))
        say(f"{command.name}: {FAULTS[fault]} at {len(wanted)} calls")
        counts.append(f"{len(wanted)} of {FAULTS[fault]}")
        for call in wanted:
            try:
                with trying(row):
                    try_call(command, call, fault)
                row.times += 1
            except Missed:
                missed += 1
    # Where strace counts otherwise each time, next to nothing would be tried.
    if missed > row.times:
        row.problems.append(f"{row.what}: {missed} faults came elsewhere")
    row.note = f" ({', '.join(counts)}; {missed} missed)"
    return row
