"""What a person sees: lines, progress, the result. Whatever a command prints goes through here.

Text from files and paths is made printable: what would move a cursor, turn the writing or end a
line is shown as an escape. Where the screen is gone or its disk is full, a training goes on
without it.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from jaxcls.cli.flags import TrainFlags
from jaxcls.data.table_columns import spaced
from jaxcls.fitting import Report
from jaxcls.metrics import Metrics
from jaxcls.runs.records import main_score

_NAMES = {"r_squared": "R squared"}
_MOST_OF_A_NOTE = 1200  # characters
_program = "jaxcls"  # with which each note begins
_output_is_closed = False
# What a reader who has gone away makes of a write: a pipe's, Windows's, a terminal's.
_GONE = (errno.EPIPE, errno.EINVAL, errno.EIO)


def printable(text: str) -> str:
    """The text with an escape for each character that can't be shown, or does more than that.

    >>> print(printable("3\\x1b[31m\\n\\u202e8"))
    3\\x1b[31m\\n\\u202e8
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )


def show(*lines: str) -> None:
    """Lines beside a training, which goes on where they can't be written."""
    with bearable():
        _write(sys.stdout, _text(lines))


def hand_out(*lines: str) -> None:
    """Lines that are what the script is for.

    Raises:
        OSError: they can't be written; BrokenPipeError where no one reads on.
    """
    try:
        if _output_is_closed:
            raise OSError(errno.EBADF, "it is closed")
        _write(sys.stdout, _text(lines))
    except OSError as error:
        if error.errno in _GONE:
            raise
        raise OSError(
            f"standard output can't be written ({error.strerror}), and the rest of the result is "
            "lost; make room for it, or send it elsewhere, and run this again."
        ) from None


def _text(lines: tuple[str, ...]) -> str:
    return "".join(f"{printable(line)}\n" for line in lines)


def name_program(name: str) -> None:
    """Says what the user called, for notes and for how to go on."""
    global _program
    _program = name


def how_to_resume(folder: str | os.PathLike) -> str:
    """How to resume what stopped.

    >>> name_program("jaxcls")
    >>> how_to_resume("runs/mine")
    'resume with jaxcls --resume runs/mine'
    """
    return f"resume with {_program} --resume {folder}"


def note(text: str, about: str | None = None) -> None:
    """One line on standard error, of bounded length; nothing where it can't be written.

    It begins with the program's name, or with what it is `about`.
    """
    line = printable(" ".join(f"{about or _program}: {text}".split()))
    if len(line) > _MOST_OF_A_NOTE:
        # The end of a sentence says what to do.
        half = _MOST_OF_A_NOTE // 2
        line = f"{line[:half]} [...] {line[-half:]}"
    try:
        _write(sys.stderr, f"{line}\n")
    except OSError:
        _drop(sys.stderr)


@contextlib.contextmanager
def bearable() -> Iterator[None]:
    """Goes on where standard output can't be written, and says so unless no one reads it."""
    try:
        yield
    except OSError as error:
        _drop(sys.stdout)
        if error.errno not in _GONE:
            note(
                f"it can't be written ({error.strerror}); all else goes on without it.",
                about="standard output",
            )


@contextlib.contextmanager
def ready() -> Iterator[None]:
    """Makes standard input, output and error such that a script can use them.

    Where one is closed, the null device takes its number, so that no file of a run gets it. A
    character that the terminal has not is shown as an escape.
    """
    for number in range(3):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)
    global _output_is_closed
    missing = [name for name in ("stdout", "stderr") if getattr(sys, name) is None]
    _output_is_closed = "stdout" in missing
    for name in missing:  # tqdm and tyro ask a stream of theirs what it is
        setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        # What is left is not Python's to complain of at its end.
        for stream in (sys.stdout, sys.stderr):
            try:
                _write(stream, "")
            except OSError:
                _drop(stream)
        for name in missing:
            getattr(sys, name).close()
            setattr(sys, name, None)
        _output_is_closed = False


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:  # it was closed when Python started
        stream.write(text)
        stream.flush()


def _drop(stream: TextIO | None) -> None:
    """Sends a stream, and what it still holds, to the null device."""
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), stream.fileno())


def on_terminal() -> bool:
    """Whether a person is looking; standard output may also be closed."""
    return sys.stdout is not None and sys.stdout.isatty()


def report_line(report: Report, epochs: int) -> str:
    """What a report tells, of so many epochs in all.

    >>> report_line(Report(1, None, 0.5, Metrics(0.0, 3, 4), None), 2)
    'epoch 1/2  loss 0.5000  train accuracy 0.7500'
    """
    line = (
        f"epoch {report.epoch}/{epochs}  loss {report.loss:.4f}  "
        f"train {_score(report.train)}"
    )
    if report.validation is not None:
        line += (
            f"  validation loss {float(report.validation.loss):.4f}"
            f" {_score(report.validation)}"
        )
    return line


def _score(metrics: Metrics) -> str:
    name, value = main_score(metrics)
    shown = f"{float(value):.4f}" if np.isfinite(value) else "none"
    return f"{_NAMES.get(name, name)} {shown}"


def bounded(value: float) -> str:
    """Four digits of a number, whatever its size.

    >>> bounded(54.1234), bounded(0.5), bounded(123456.0), bounded(1.5e-7)
    ('54.12', '0.5000', '1.235e+05', '1.500e-07')
    """
    return f"{value:#.4g}"


def result_line(part: str, scores: dict) -> str:
    """An accuracy with its counts.

    >>> result_line("test", {"accuracy": 2112 / 2115, "correct": 2112, "count": 2115})
    'test accuracy  0.9986 (2,112 of 2,115)'
    """
    return (
        f"{part} accuracy ".ljust(15)
        + f"{scores['accuracy']:.4f} ({scores['correct']:,} of {scores['count']:,})"
    )


def chosen_line(chosen: dict) -> str:
    """Which epoch's parameters are scored, by what, and what ended the training.

    >>> chosen = {"epoch": 37, "by": "validation loss", "value": 0.0123}
    >>> chosen_line(chosen | {"epochs_done": 52, "stopped_by": "patience"})
    'chosen         epoch 37 of 52, best validation loss 0.0123; patience ended the training'
    >>> chosen_line(chosen | {"epochs_done": 37, "stopped_by": "epochs"})
    'chosen         epoch 37 of 37, best validation loss 0.0123; it was still getting better: more --epochs may help'
    """
    epoch, done = chosen["epoch"], chosen["epochs_done"]
    told = f"chosen         epoch {epoch} of {done}, best {chosen['by']} {chosen['value']:.4f}"
    if chosen["stopped_by"] != "epochs":
        told += "; patience ended the training"
    if epoch == 1 < done:
        return f"{told}; no later one was better: try a lower --learning-rate"
    if epoch == done:
        return f"{told}; it was still getting better: more --epochs may help"
    return told


def sweep_header(
    about: dict, counts: dict[str, int], sizes: dict[str, int]
) -> list[str]:
    """Two lines that say what a sweep tries on what, and where."""
    classes = spaced(about["class_names"])
    parts = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    made_of = ", ".join(
        f"{name} {version}" for name, version in about["versions"].items()
    )
    processes = f" of {sizes['processes']} processes" if sizes["processes"] > 1 else ""
    rungs = about["plan"]["rungs"]
    return [
        f"{about['dataset']}, classes {classes}: {parts} | {about['device']}, "
        f"{about['precision']} | {made_of}",
        f"{sizes['settings']:,} settings, {sizes['seeds']} seeds each, "
        f"{' then '.join(map(str, rungs))} epochs, {sizes['programs']} programs, on "
        f"{sizes['devices']} devices{processes}, in about {sizes['megabytes']:,} MB",
    ]


def ensemble_lines(scores: dict) -> list[str]:
    """An ensemble's accuracy and calibration beside its networks', and how unsure it is.

    >>> unsure = {"right": {"total": 0.012, "members": 0.001}, "wrong": None}
    >>> alone = {"accuracy": 0.9857, "calibration_error": 0.012}
    >>> counts = {"num_networks": 32, "correct": 3, "count": 4, "accuracy": 0.75}
    >>> scores = counts | {"calibration_error": 0.01, "alone": alone, "uncertainty": unsure}
    >>> print(*ensemble_lines(scores), sep="\\n")
    ensemble of 32  0.7500 (3 of 4), calibration error 0.0100; alone 0.9857 and 0.0120 on average
    uncertainty     0.012 nats where it is right (0.001 by disagreement)
    """
    alone, before = scores["alone"], ""
    if "before" in scores:
        before = f" ({scores['before']['calibration_error']:.4f} uncalibrated)"
    line = (
        f"{'ensemble of ' + str(scores['num_networks']):15} {scores['accuracy']:.4f} "
        f"({scores['correct']:,} of {scores['count']:,}), calibration error "
        f"{scores['calibration_error']:.4f}{before}; alone {alone['accuracy']:.4f} and "
        f"{alone['calibration_error']:.4f} on average"
    )
    unsure = ", ".join(
        f"{each['total']:.3f} nats where it is {name} ({each['members']:.3f} by disagreement)"
        for name, each in scores["uncertainty"].items()
        if each is not None
    )
    return [line, f"{'uncertainty':15} {unsure}"]


def finished_line(folder: Path, chosen: dict, flags: TrainFlags) -> str:
    """That a run is finished, and with which flag it would go on, if one lets it."""
    more = ""
    if chosen["stopped_by"] == "patience":
        more = "; to go on, give more --patience"
    elif flags.schedule == "constant":
        more = "; to go on, give more --epochs"
    return (
        f"{folder} is finished, {chosen['epochs_done']} of {flags.epochs} epochs{more}."
    )


def header(about: dict, counts: dict[str, int]) -> str:
    """One line that says what is trained on what, where and with what."""
    layers = "-".join(map(str, about["layer_sizes"]))
    what = f"classes {spaced(about['class_names'])}"
    if about.get("target") is not None:
        what = f"target {about['target']['name']}"
    parts = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    made_of = ", ".join(
        f"{name} {version}" for name, version in about["versions"].items()
    )
    return (
        f"{about['dataset']}, {what}: {parts} | "
        f"{layers} | {about['device']}, {about['precision']} | {made_of}"
    )
