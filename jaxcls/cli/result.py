"""What comes of a training: which parameters are scored, their metrics, and pictures."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import cast

import jax
import numpy as np

from jaxcls import mlp
from jaxcls.batches import Batch
from jaxcls.cli.calibrating import as_kept
from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.job import Job
from jaxcls.cli.number_result import band_lines, number_line
from jaxcls.cli.recorder import Training
from jaxcls.cli.screen import note, result_line, show
from jaxcls.likelihoods import class_probabilities
from jaxcls.metrics import Metrics, confusion
from jaxcls.mlp import Params
from jaxcls.runs import PICTURES, described
from jaxcls.runs.number_scoring import SCORES, number_scores
from jaxcls.runs.records import metrics_record
from jaxcls.training import evaluate


def chosen_epoch(this: Training, flags: TrainFlags) -> dict:
    """Which epoch's parameters are scored, how they were chosen, and what ended the training."""
    best = this.state.progress.best
    return {
        "params": "last" if best is None else "best",
        "epoch": this.epoch if best is None else int(best.epoch),
        "by": None if best is None else f"validation {flags.monitor}",
        "value": None if best is None else float(best.value),
        "epochs_done": this.epoch,
        "stopped_by": "epochs" if this.epoch == flags.epochs else "patience",
    }


def scores_of(
    this: Training, params: Params, batches: dict[str, Batch]
) -> dict[str, dict]:
    """What the chosen params score on each set, as `metrics.json` has it.

    Args:
        this: the run, trained.
        params: that were chosen.
        batches: of each set, by its name.
    """
    config, data = this.job.config, this.job.data
    found = {
        name: jax.device_get(evaluate(params, batch, config=config))
        for name, batch in batches.items()
    }
    if data.train.target is None:
        return {name: _numbers(each) for name, each in found.items()}
    model = dataclasses.replace(described(this.config), params=params)
    return {
        name: {"loss": float(found[name].loss)}
        | number_scores(model, part.features, part.targets)
        for name, part in data.parts().items()
    }


def score_lines(scores: dict[str, dict]) -> list[str]:
    """What a person is told of the scores of each set."""
    if "accuracy" in scores["test"]:
        return [result_line(name, each) for name, each in scores.items()]
    # Other training rows would also have trained another network: there is no interval of these.
    train = {name: scores["train"][name] for name in SCORES}
    lines = [
        number_line(name, each) for name, each in (scores | {"train": train}).items()
    ]
    return lines + band_lines(scores["test"])


def metrics_of(
    this: Training, chosen: dict, scores: dict[str, dict], calibration: dict | None
) -> dict:
    """The content of `metrics.json`."""
    data = this.job.data
    return metrics_record(
        this.config,
        data.train.class_names,
        {name: len(part.targets) for name, part in data.parts().items()},
        chosen,
        scores,
        this.seconds,
        this.environment,
        as_kept(calibration),
    )


def _numbers(metrics: Metrics) -> dict:
    return {
        "loss": float(metrics.loss),
        "accuracy": float(metrics.accuracy),
        "correct": int(metrics.correct),
        "count": int(metrics.count),
    }


def due_pictures(job: Job, flags: TrainFlags) -> tuple[str, ...]:
    """The names of the pictures that a run's folder should have, in the order of drawing."""
    if not flags.plots:
        return ()
    if job.data.test.target is not None:
        return PICTURES[:1]
    return PICTURES if job.data.test.image_shape is not None else PICTURES[:-1]


def draw(this: Training, params: Params, test: Batch, names: Sequence[str]) -> None:
    """Draws the run's pictures into its folder; one that can't be drawn is told in a line.

    Args:
        this: the run, scored and written.
        params: those that were scored.
        test: its test set on the device.
        names: of the pictures.
    """
    for name in names:
        try:
            this.folder.write_picture(name, _picture(name, this, params, test))
        # Whatever it is: the run's result stands, and a picture is no reason to doubt it.
        except Exception as error:
            reason = str(error) or type(error).__name__
            note(f"{name} could not be drawn, the result stands: {reason}")
    if names and PICTURES[-1] not in names and this.job.config.likelihood.has_classes:
        show("mistakes.png is left out: the examples are rows of numbers, not images")


def _picture(name: str, this: Training, params: Params, test: Batch) -> bytes:
    # Here and not above: matplotlib takes as long to import as a short run takes to train.
    from jaxcls.runs import plots

    if name == "curves.png":
        best = this.state.progress.best
        return plots.curves(this.history, None if best is None else int(best.epoch))
    job, data = this.job, this.job.data.test
    network = partial(mlp.apply, activation=job.config.activation)
    logits = jax.jit(network)(params, test.features)
    if name == "confusion.png":
        predictions = job.config.likelihood.predict(logits)
        counts = confusion(predictions, data.targets, len(data.class_names))
        return plots.confusion(counts, data.class_names)
    images = data.features.reshape(-1, *cast(tuple[int, int], data.image_shape))
    probabilities = np.asarray(class_probabilities(logits, job.config.likelihood))
    return plots.mistakes(images, data.targets, probabilities, data.class_names)
