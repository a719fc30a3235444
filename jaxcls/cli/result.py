"""What comes of a training: which parameters are scored, and their metrics."""

import dataclasses

import jax

from jaxcls.batches import Batch
from jaxcls.cli.calibrating import as_kept
from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.number_result import band_lines, number_line
from jaxcls.cli.recorder import Training
from jaxcls.cli.screen import result_line
from jaxcls.metrics import Metrics
from jaxcls.mlp import Params
from jaxcls.runs import described
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
