"""The jobs in jaxcls: `fit`, or `train_epochs` where the test set ends the training."""

from pathlib import Path

import jax
import numpy as np
from common import LEARNING_RATE, Data, Job, Trained, main  # pyrefly: ignore[missing-import]

import jaxcls
from jaxcls.interop import pytorch


def load(folder: Path, job: Job) -> Data:
    parts = jaxcls.data.load("mnist", data_dir=folder, classes=job.classes)
    train, test = (jaxcls.data.to_batch(part) for part in parts)
    return Data(*map(np.asarray, (*train[:2], *test[:2])))


def train(job: Job, data: Data, seed: int) -> Trained:
    config = jaxcls.Config(
        layer_sizes=job.layer_sizes,
        likelihood=(
            jaxcls.bernoulli if job.layer_sizes[-1] == 1 else jaxcls.categorical
        ),
        optimizer=job.optimizer,
        batch_size=job.batch_size,
        shuffle=job.shuffle,
        dropout=job.dropout > 0,
        epochs=job.epochs,
    )
    keys = jaxcls.Keys.from_seed(seed)
    hyperparams = jaxcls.Hyperparams(LEARNING_RATE, job.dropout)
    # The notes' jobs begin with PyTorch's weights, as their recipes do.
    params = pytorch.init(seed, job.layer_sizes) if job.optimizer == "sgd" else None
    state = jaxcls.init_state(keys, config, params)
    batch = jaxcls.Batch(data.x_train, data.y_train)
    accuracies = []
    if job.target is None:
        state, _ = jaxcls.fit(
            keys,
            config,
            hyperparams,
            batch,
            state=state,
            report_every=job.score_every,
            on_report=lambda report: accuracies.append(float(report.train.accuracy)),
        )
    else:
        batch, test = jax.device_put((batch, jaxcls.Batch(data.x_test, data.y_test)))
        while len(accuracies) < job.epochs:
            state, _ = jaxcls.train_epochs(
                state, batch, keys, hyperparams, config=config, num_epochs=1
            )
            scores = jaxcls.evaluate(state.params, test, config=config)
            accuracies.append(float(scores.accuracy))
            if accuracies[-1] >= job.target:
                break

    def score(x: np.ndarray, y: np.ndarray) -> float:
        scores = jaxcls.evaluate(state.params, jaxcls.Batch(x, y), config=config)
        return float(scores.accuracy)

    return Trained(accuracies, score)


if __name__ == "__main__":
    main(train, ("jaxcls", "jax", "jaxlib", "numpy"), compiles=True, load=load)
