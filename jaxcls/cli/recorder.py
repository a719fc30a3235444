"""A training in its folder: what it writes as it goes, and how it stops when asked to."""

import dataclasses
import time

import numpy as np

from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.job import Job
from jaxcls.cli.progress import ProgressBar
from jaxcls.cli.screen import report_line
from jaxcls.cli.signals import Stopped, StopRequest
from jaxcls.epochs import History
from jaxcls.fitting import Report
from jaxcls.runs import RunFolder, write_checkpoint
from jaxcls.runs.records import history_columns, is_recorded, main_score
from jaxcls.training import TrainState

_SECONDS = 60.0  # between two checkpoints, at most, and an epoch


@dataclasses.dataclass
class Training:
    """A run in its folder, from its first epoch or from where it is resumed.

    Attributes:
        job: what it trains, with what settings.
        config: the content of `config.json`, with the environment that it began in.
        environment: device and versions that it ends in.
        folder: its folder.
        epoch: epochs done.
        state: after them.
        history: the lines of `history.jsonl` that belong to it.
        seconds: how long its parts took.
    """

    job: Job
    config: dict
    environment: dict
    folder: RunFolder
    epoch: int
    state: TrainState
    history: list[dict]
    seconds: dict[str, float]


class Recorder:
    """Writes what `fit` reports, and stops the run where a signal asked for it."""

    def __init__(
        self,
        this: Training,
        flags: TrainFlags,
        request: StopRequest,
        progress: ProgressBar,
    ):
        self.this, self.flags = this, flags
        self.request, self.progress = request, progress
        self._scored: dict[int, dict[str, float]] = {}
        self._seen = this.epoch
        self.saved, self._saved_at = this.epoch, time.monotonic()

    def report(self, report: Report) -> None:
        """Shows a line, and keeps its score for the history."""
        name, score = main_score(report.train)
        self._scored[report.epoch] = {f"train_{name}": float(score)}
        self.this.epoch, self.this.state = report.epoch, report.state
        line = report_line(report, self.flags.epochs)
        self.progress.update(report.epoch, line, f"loss {report.loss:.4f}")

    def segment(self, epoch: int, history: History) -> bool:
        """Adds epochs to the history, and shows how far the run is.

        Returns:
            Whether it is to be saved, though no checkpoint is due.
        """
        lines = self._lines(epoch, history)
        self.this.folder.add_to_history(*lines)
        self.this.history += lines
        self.progress.update(epoch)
        waits = time.monotonic() - self._saved_at > _SECONDS
        return waits or self.request.signum is not None

    def checkpoint(self, epoch: int, state: TrainState) -> None:
        """Writes a checkpoint."""
        self.this.epoch, self.this.state = epoch, state
        self.save()
        self.stop_if_asked()

    def save(self) -> None:
        """Writes a checkpoint of the latest good state, if there is none of it yet."""
        this = self.this
        whole = [line for line in this.history if line["epoch"] <= this.epoch]
        if len(whole) < len(this.history):  # it diverged after the latest good state
            this.history = whole
            this.folder.write_history(whole)
        if self.saved == this.epoch:
            return
        write_checkpoint(
            this.folder.here(),
            this.epoch,
            this.state,
            this.history,
            this.config,
            keep=self.flags.keep_checkpoints,
        )
        self.saved, self._saved_at = this.epoch, time.monotonic()

    def stop_if_asked(self) -> None:
        """Raises Stopped once a signal has come."""
        if self.request.signum is not None:
            raise Stopped(
                self.request.signum,
                self.this.folder.path,
                f" after {self.this.epoch} of {self.flags.epochs} epochs",
            )

    def _lines(self, epoch: int, history: History) -> list[dict]:
        """The lines of the epochs since it was called last, of which a report scored some."""
        columns = history_columns(history)
        lines, first, self._seen = [], self._seen + 1, epoch
        for row, number in enumerate(range(first, epoch + 1)):
            scored = self._scored.pop(number, None)
            if scored is None and not is_recorded(number):
                continue
            line = {"epoch": number}
            values = {name: float(column[row]) for name, column in columns.items()}
            # R squared of rows that are all alike is none.
            line |= {name: each for name, each in values.items() if np.isfinite(each)}
            lines.append(line | (scored or {}))
        return lines
