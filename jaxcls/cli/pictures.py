"""The pictures of a run's, a study's or a sweep's folder, drawn from what the folder holds."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from jaxcls.cli.data import Data
from jaxcls.cli.flags import SweepFlags, TrainFlags
from jaxcls.cli.screen import note, show
from jaxcls.cli.sides import Side, rows_of
from jaxcls.cli.space import FLAGS
from jaxcls.cli.splits import num_splits
from jaxcls.comparisons import Comparison
from jaxcls.files import write_whole
from jaxcls.metrics import confusion
from jaxcls.runs import Run, RunFolder, load_run, plots, read_metrics
from jaxcls.runs.number_scoring import in_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ENDS = ("", "_low", "_high")  # of the names of a mean and its interval

Due = Mapping[str, Callable[[], "Figure"]]


def draw_run(folder: RunFolder, data: Data, flags: TrainFlags) -> list[str]:
    """Draws the pictures that the folder of a finished run or study lacks.

    One that can't be drawn is told in a line: whatever it is, the result stands.

    Args:
        folder: that has them, open to write to.
        data: the run's.
        flags: of the script.

    Returns:
        The names of those that it drew.
    """
    if not flags.plots:
        return []
    drawn = _draw(folder, lambda: _due(_Source(folder.path, data, flags)))
    if drawn and data.test.image_shape is None and data.test.target is None:
        show(
            "mistakes.png is left out, as is weights.png: the examples are rows of numbers, not "
            "images"
        )
    return drawn


def draw_sweep(folder: RunFolder, flags: SweepFlags) -> list[str]:
    """Likewise of a finished sweep; see `draw_run`."""
    if not flags.plots:
        return []
    return _draw(folder, lambda: _due_of_sweep(folder.path, flags))


def show_drawn(path: Path, names: Sequence[str]) -> None:
    """Tells which pictures a finished run, study or sweep had lacked, if any."""
    if names:
        show(f"{path}: drawn now: {', '.join(names)}")


def draw_differences(
    path: Path, first: Side, others: Sequence[Side], found: Sequence[Comparison]
) -> None:
    """Draws how far the first outscores each of the others, pair by pair, into a file.

    If it can't be drawn, that is told in a line.

    Raises:
        OSError: the file can't be written.
    """
    values = {
        other.name: (first.accuracies - other.accuracies).mean(axis=1)
        for other in others
    }
    try:
        figure = plots.differences(
            *(values, first.name, [(each.low, each.high) for each in found]),
            unit=first.unit,
            score=first.score.replace("_", " "),
        )
        content = plots.png(figure)
    except Exception as error:
        note(f"{path.name} could not be drawn, the result stands: {_reason(error)}")
        return
    # What is there is left as it is.
    if not (path.is_file() and path.read_bytes() == content):
        write_whole(path, content)


def _draw(folder: RunFolder, due_now: Callable[[], Due]) -> list[str]:
    drawn: list[str] = []
    failed: dict[str, list[str]] = {}
    # Whatever goes wrong: the result stands, and a picture is no reason to doubt it.
    try:
        due = due_now()
    except Exception as error:
        due, failed = {}, {_reason(error): ["pictures"]}
    for name, draw in due.items():
        if (folder.path / name).exists():
            continue
        try:
            folder.write_picture(name, plots.png(draw()))
            drawn.append(name)
        except Exception as error:
            failed.setdefault(_reason(error), []).append(name)
    for reason, names in failed.items():
        note(f"{', '.join(names)} could not be drawn, the result stands: {reason}")
    return drawn


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


class _Judged(NamedTuple):
    """What pictures of predictions are about.

    Attributes:
        what: they are, such as "test set".
        guesses: probabilities [N, K]; of numbers mean and standard deviation [N, 2], in their
            unit.
        answers: [N] classes that were answered, or the means.
        targets: [N] right classes, or numbers in their unit.
        features: [N, ...], of images.
    """

    what: str
    guesses: np.ndarray
    answers: np.ndarray
    targets: np.ndarray
    features: np.ndarray


class _Source:
    """What the folder of a finished run or study tells its pictures, each read once."""

    def __init__(self, path: Path, data: Data, flags: TrainFlags):
        self.path, self.data, self.flags = path, data, flags

    @property
    def is_split(self) -> bool:
        """Whether rows were held out in turn, and the test set is left untouched."""
        return num_splits(self.flags) is not None

    @cached_property
    def run(self) -> Run:
        """The run, or the ensemble of a study."""
        return load_run(self.path)

    @cached_property
    def chosen(self) -> dict:
        """What `metrics.json` tells of the parameters that are scored."""
        return (read_metrics(self.path, model_only=True) or {})["chosen"]

    @cached_property
    def finite(self) -> list[dict[str, str]] | None:
        """The rows of `seeds.csv` that did not diverge, each with its place.

        None of one run, and of a sweep's winner and ensemble, of which no run diverged.
        """
        table = self.path / "seeds.csv"
        if self.chosen.get("seeds") is None or not table.exists():
            return None
        rows = enumerate(rows_of(table))
        return [row | {"at": str(i)} for i, row in rows if row["status"] == "ok"]

    @cached_property
    def judged(self) -> _Judged:
        """Predictions of the test set by the run, or of rows held out by those without them."""
        if self.is_split:
            return self._held_out()
        test, target = self.data.test, self.data.test.target
        if target is None:
            guesses = self.run.predict_proba(test.features)
            answers = self.run.predict_places(test.features)
            return _Judged("test set", guesses, answers, test.targets, test.features)
        moments = self.run.moments(test.features)
        guesses = np.stack([moments.mean, moments.std], axis=1)
        wanted = in_unit(test.targets, target)
        return _Judged("test set", guesses, guesses[:, 0], wanted, test.features)

    def _held_out(self) -> _Judged:
        rows, data = rows_of(self.path / "predictions.csv"), self.data.train
        if data.target is not None:
            read = [
                [float(row[name]) for name in ("prediction", "std", "value")]
                for row in rows
            ]
            table = np.array(read)
            mean, wanted = table[:, 0], table[:, 2]
            return _Judged("rows held out", table[:, :2], mean, wanted, table[:0])
        names = data.class_names
        guesses = np.array(
            [[float(row[f"probability_of_{name}"]) for name in names] for row in rows]
        )
        places = {name: place for place, name in enumerate(names)}
        answers, targets = (
            np.array([places[row[column]] for row in rows])
            for column in ("prediction", "label")
        )
        features = data.features[:0]
        if data.image_shape is not None:  # a table's rows are numbered as in its file
            features = data.features[[int(row["row"]) for row in rows]]
        return _Judged("rows held out", guesses, answers, targets, features)


def _due(source: _Source) -> Due:
    """The pictures that a finished run or study should have, by name, in the order of drawing."""
    data = source.data.train
    due = {"curves.png": lambda: _curves(source)}
    if data.target is not None:
        due["predicted.png"] = lambda: _predicted(source)
        due["residuals.png"] = lambda: _residuals(source)
        return due
    due["confusion.png"] = lambda: _confusion(source)
    if data.image_shape is not None:
        due["mistakes.png"] = lambda: _mistakes(source)
        due["weights.png"] = lambda: _weights(source)
    due["reliability.png"] = lambda: _reliability(source)
    judged = data if source.is_split else source.data.test
    if (judged.targets != judged.targets[0]).any():
        due["roc.png"] = lambda: _roc(source)
    return due


def _curves(source: _Source) -> "Figure":
    lines = (source.path / "history.jsonl").read_text("utf-8").splitlines()
    history, chosen, finite = [*map(json.loads, lines)], None, source.finite
    if finite is not None:
        rows = [int(row["at"]) for row in finite]
        history = [
            {
                name: [value[row] for row in rows] if name != "epoch" else value
                for name, value in line.items()
            }
            for line in history
        ]
    if source.chosen["params"] == "best":
        own = [int(row["chosen_epoch"]) for row in finite or ()]
        chosen = own or source.chosen["epoch"]
    return plots.curves(history, chosen)


def _confusion(source: _Source) -> "Figure":
    judged, names = source.judged, source.run.class_names
    counts = confusion(judged.answers, judged.targets, len(names))
    return plots.confusion(counts, names, judged.what)


def _mistakes(source: _Source) -> "Figure":
    judged, shape = source.judged, cast(tuple[int, int], source.run.image_shape)
    images = judged.features.reshape(-1, *shape)
    what = "test images" if not source.is_split else "images held out"
    names = source.run.class_names
    seen = (images, judged.targets, judged.guesses, names, what)
    return plots.mistakes(*seen, judged.answers)


def _weights(source: _Source) -> "Figure":
    run = source.run
    units, kernel = "hidden units", np.asarray(run.params["Dense_0"]["kernel"])
    if len(run.config.layer_sizes) == 2:
        units = "output" if run.config.layer_sizes[1] == 1 else "outputs"
    if run.seeds is not None:
        units, kernel = f"{units} of seed {run.seeds[0]}", kernel[0]
    return plots.weights(kernel, cast(tuple[int, int], run.image_shape), units)


def _reliability(source: _Source) -> "Figure":
    judged = source.judged
    return plots.reliability(judged.guesses, judged.targets, judged.what)


def _roc(source: _Source) -> "Figure":
    judged, names = source.judged, source.run.class_names
    if source.is_split:  # of which the table of predictions has no logarithms
        with np.errstate(divide="ignore"):
            log_p = np.log(judged.guesses)
    else:
        log_p = source.run.predict_log_proba(source.data.test.features)
    return plots.roc(log_p, judged.targets, names, judged.what)


def _predicted(source: _Source) -> "Figure":
    judged, name = source.judged, _name_of_target(source)
    mean, std = judged.guesses.T
    told = std if std.any() else None  # by a network alone that tells its mean alone
    return plots.predicted(judged.targets, mean, told, name, judged.what)


def _residuals(source: _Source) -> "Figure":
    judged, name = source.judged, _name_of_target(source)
    return plots.residuals(judged.targets, judged.answers, name, judged.what)


def _name_of_target(source: _Source) -> str:
    return "" if source.data.train.target is None else source.data.train.target.name


def _due_of_sweep(path: Path, flags: SweepFlags) -> Due:
    """The pictures that a finished sweep should have: of what was swept, if anything was."""
    rows = sorted(rows_of(path / "sweep.csv"), key=lambda row: int(row["setting"]))
    # A flag that it lacks came with a later version.
    values = {name: [row.get(name, "") for row in rows] for name in FLAGS.values()}
    num_varied = sum(len(set(some)) > 1 for some in values.values())
    has_classes = any(row.get("validation_accuracy") for row in rows)
    kind = "accuracy" if has_classes else "loss"
    about: dict[str, Any] = {
        "score": f"{'held-out' if num_splits(flags) else 'validation'} {kind}",
        "least": kind == "loss",
    }
    scores = np.array(
        [
            [float(row[f"validation_{kind}{end}"] or "nan") for end in _ENDS]
            for row in rows
        ]
    )

    def draw_sweep() -> "Figure":
        return plots.sweep(values, scores, [row["status"] for row in rows], **about)

    def draw_heat_map() -> "Figure":
        return plots.heat_map(values, scores[:, 0], **about)

    due: dict[str, Callable[[], Figure]] = {}
    if num_varied:
        due["sweep.png"] = draw_sweep
    if num_varied > 1:
        due["heat_map.png"] = draw_heat_map
    return due
