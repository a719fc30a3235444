"""What comes of a training: which parameters are scored, their metrics, and pictures."""

import jax
import numpy as np

from jaxcls import mlp
from jaxcls.batches import Batch
from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.recorder import Training
from jaxcls.cli.screen import show
from jaxcls.likelihoods import class_probabilities
from jaxcls.metrics import Metrics, confusion
from jaxcls.mlp import Params


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


def metrics_of(this: Training, chosen: dict, scores: dict[str, Metrics]) -> dict:
    """The content of `metrics.json`."""
    data, parts = this.job.data, ("train", "validation", "test")
    counts = {name: len(part.targets) for name, part in data.parts().items()}
    return {
        "dataset": data.name,
        "classes": data.train.class_names,
        **{f"num_{name}": counts.get(name, 0) for name in parts},
        "config": this.config,
        "chosen": chosen,
        **{name: _numbers(scores.get(name)) for name in parts},
        "seconds": this.seconds,
        **this.environment,
    }


def _numbers(metrics: Metrics | None) -> dict | None:
    if metrics is None:
        return None
    return {
        "loss": float(metrics.loss),
        "accuracy": float(metrics.accuracy),
        "correct": int(metrics.correct),
        "count": int(metrics.count),
    }


def draw(this: Training, params: Params, test: Batch) -> None:
    """Draws the run's pictures into its folder."""
    # Here and not above: matplotlib takes as long to import as a short run takes to train.
    from jaxcls.runs import plots

    folder, job = this.folder, this.job
    logits = jax.jit(mlp.apply)(params, test.features)
    likelihood, names = job.config.likelihood, job.data.test.class_names
    counts = confusion(likelihood.predict(logits), job.data.test.targets, len(names))
    folder.write_picture("curves.png", plots.curves(this.history))
    folder.write_picture("confusion.png", plots.confusion(counts, names))
    if job.data.test.image_shape is None:
        show("mistakes.png is left out: the examples are rows of numbers, not images")
        return
    images = job.data.test.features.reshape(-1, *job.data.test.image_shape)
    probabilities = np.asarray(class_probabilities(likelihood, logits))
    picture = plots.mistakes(images, job.data.test.targets, probabilities, names)
    folder.write_picture("mistakes.png", picture)
