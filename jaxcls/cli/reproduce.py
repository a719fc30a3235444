"""`scripts/reproduce.py`: every figure of the notes, computed, compared and printed."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import jax

from jaxcls.cli.device import choose_device, describe, versions
from jaxcls.cli.progress import ProgressBar
from jaxcls.cli.screen import hand_out
from jaxcls.files import write_whole
from jaxcls.notes.figures import choose, load_figures
from jaxcls.notes.runs import Runs
from jaxcls.notes.table import as_json, lines_of
from jaxcls.notes.verdicts import PRECISIONS, Verdict, judge


@dataclasses.dataclass(frozen=True)
class ReproduceFlags:
    """Compute every figure that the course notes print, and compare it with the notes."""

    data_dir: Path | None = None
    """Folder with MNIST's four .gz files; JAXCLS_DATA_DIR by default, else
    tensorflow-datasets' cache, into which they are fetched."""
    only: tuple[str, ...] | None = None
    """Figures to compute, such as A.train 5C.nll; all by default."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute; auto is a GPU if jax sees one, else the CPU."""
    json: Path | None = None
    """File to write the same to, numbers to the last digit."""


def run(flags: ReproduceFlags) -> int:
    """Prints the table and writes the JSON file.

    Returns:
        The exit code: 0 if every figure agrees, else 1.

    Raises:
        ValueError, OSError: one sentence for the user.
    """
    figures = choose(load_figures(), None if flags.only is None else list(flags.only))
    # The file itself, so that a link to it stays; before the minutes that its content takes.
    path = None if flags.json is None else _checked_file("json", flags.json.resolve())
    device = choose_device(flags.device)
    about = {"device": describe(device), "versions": versions(describe(device))}
    made_of = (f"{name} {version}" for name, version in about["versions"].items())
    hand_out(f"{about['device']} | {', '.join(made_of)}")

    verdicts: list[Verdict] = []
    with jax.default_device(device), _Bar() as bar:
        runs = {
            precision: Runs(flags.data_dir, precision, bar.show)
            for precision in PRECISIONS
        }
        for figure in figures:
            verdict = judge(figure, runs)
            lines = lines_of(verdict, verdicts[-1] if verdicts else None)
            bar.clear()
            hand_out(*lines)
            verdicts.append(verdict)
    agreed = sum(verdict.agrees for verdict in verdicts)
    # Before the file, so that a full disk does not take the verdict with it.
    hand_out("", f"{agreed} of {len(verdicts)} figures")
    if path is not None:
        result = about | {
            "agreed": agreed,
            "of": len(verdicts),
            "figures": [as_json(verdict) for verdict in verdicts],
        }
        text = json.dumps(result, indent=2, ensure_ascii=False)
        write_whole(path, f"{text}\n".encode())
    return 0 if agreed == len(verdicts) else 1


def _checked_file(flag: str, path: Path) -> Path:
    if path.exists() and not path.is_file():
        raise ValueError(f"{flag}: {path} is not a file; name one, new or old.")
    if not path.parent.is_dir():
        raise ValueError(f"{flag}: there is no folder {path.parent}.")
    return path


class _Bar:
    """On a terminal, how far the run that is being trained is, in epochs or in keys."""

    def __init__(self):
        self._progress: ProgressBar | None = None

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_) -> None:
        self.clear()

    def show(self, name: str, done: int, total: int) -> None:
        """Shows that so much of a run is done."""
        if self._progress is None or done == 0:
            self.clear()
            self._progress = ProgressBar(total, "part", name=name, lines=False)
        self._progress.update(done)

    def clear(self) -> None:
        """Takes the bar off the screen."""
        if self._progress is not None:
            self._progress.__exit__()
            self._progress = None
