"""What every contestant of scripts/benchmark.py shares: the jobs, the data, the protocol.

It imports none of the contestants, so that each one's process holds only its own.
"""

import argparse
import dataclasses
import gzip
import importlib.metadata
import itertools
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

LEARNING_RATE = 1e-3
LEAST_SECONDS, MOST_TIMES = 1.0, 5
FILES = tuple(
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)


@dataclasses.dataclass(frozen=True)
class Job:
    """What all contestants train.

    Attributes:
        what: in words.
        classes: of MNIST, one after the other, relabelled 0, 1, ...; None is every example
            in the order of the files.
        layer_sizes: inputs, hidden units, outputs; one output is a sigmoid and BCE.
        optimizer: "sgd" without momentum or "adam".
        epochs: at most.
        score_every: epochs between two scores of the training set, or of the test set
            where there is a target.
        batch_size: examples a step; None is the full batch.
        shuffle: a new order each epoch.
        dropout: share of hidden units dropped, before the activation.
        target: accuracy on the test set that ends the training, or None.
        models: how many are trained, each with the seed after the one before.
        learning_rates: of the first model and of the last, between which the others' are evenly
            spaced by their logarithms.
        scores_only: whether nothing but scores is kept of the models.
        folds: of scikit-learn's digits, in the place of MNIST; models are trained on each with as
            many seeds, and the accuracies are those on what it leaves out.
        device: "cpu" or "gpu".
    """

    what: str
    classes: tuple[int, ...] | None
    layer_sizes: tuple[int, int, int]
    optimizer: str
    epochs: int
    score_every: int
    batch_size: int | None = None
    shuffle: bool = False
    dropout: float = 0.0
    target: float | None = None
    models: int = 1
    learning_rates: tuple[float, float] = (LEARNING_RATE, LEARNING_RATE)
    scores_only: bool = False
    folds: int = 0
    device: str = "cpu"


MANY = (
    "scored at the end: in jaxcls one program for all, in PyTorch one after another, and all at "
    "once by torch.func; accuracies are means over the models. scikit-learn and flax.nnx take no "
    "part"
)
JOBS = {
    "A": Job(
        "0 against 1, 784-32-1, full batch, SGD, 500 epochs (the notes' section A)",
        classes=(0, 1),
        layer_sizes=(784, 32, 1),
        optimizer="sgd",
        epochs=500,
        score_every=50,
    ),
    "D": Job(
        "0 against 1, 784-32-1, batches of 16 in order, dropout 0.5, SGD, 2 epochs "
        "(the notes' section D)",
        classes=(0, 1),
        layer_sizes=(784, 32, 1),
        optimizer="sgd",
        epochs=2,
        score_every=1,
        batch_size=16,
        dropout=0.5,
    ),
    "M": Job(
        "0, 1 and 2, 784-32-3, full batch, Adam, 100 epochs",
        classes=(0, 1, 2),
        layer_sizes=(784, 32, 3),
        optimizer="adam",
        epochs=100,
        score_every=10,
    ),
    "T": Job(
        "ten classes, 784-128-10, shuffled batches of 128, Adam, until 97.5% of the test "
        "set is right",
        classes=None,
        layer_sizes=(784, 128, 10),
        optimizer="adam",
        epochs=15,
        score_every=1,
        batch_size=128,
        shuffle=True,
        target=0.975,
    ),
    "seeds": Job(
        f"M with 32 seeds, {MANY}",
        classes=(0, 1, 2),
        layer_sizes=(784, 32, 3),
        optimizer="adam",
        epochs=100,
        score_every=100,
        models=32,
    ),
    "sweep": Job(
        "one epoch of D with 64 seeds and as many learning rates from 3e-4 to 3e-3, "
        f"{MANY}",
        classes=(0, 1),
        layer_sizes=(784, 32, 1),
        optimizer="sgd",
        epochs=1,
        score_every=1,
        batch_size=16,
        dropout=0.5,
        models=64,
        learning_rates=(3e-4, 3e-3),
    ),
    "folds": Job(
        "8 learning rates from 1e-4 to 1e-1, each on 5 folds with 3 seeds, of the digits of "
        "scikit-learn, 64-32-10, shuffled batches of 64, Adam, 50 epochs: in jaxcls one program, in "
        "scikit-learn `GridSearchCV(MLPClassifier(), n_jobs=2)`; the accuracy is the mean on what "
        "the folds leave out",
        classes=None,
        layer_sizes=(64, 32, 10),
        optimizer="adam",
        epochs=50,
        score_every=50,
        batch_size=64,
        shuffle=True,
        models=8 * 5 * 3,
        learning_rates=(1e-4, 1e-1),
        folds=5,
    ),
}
# What with_estimators.py measures, in words.
ESTIMATORS = {
    "digits": "the digits of scikit-learn, 1,437 to train on and 360 to test, 64-32-10, shuffled "
    "batches of 64, Adam, 50 epochs",
    "table": "the table, four fifths to train on and one to test, 32 hidden units, shuffled batches "
    "of 32, Adam, 50 epochs",
    "mnist": "60,000 images of MNIST, 784-128-10, shuffled batches of 128, Adam, 5 epochs",
    "search": "8 learning rates from 1e-4 to 1e-1 x 5 folds x 3 seeds of the digits, as above: "
    "`jaxcls.sklearn.search`, and scikit-learn's `GridSearchCV` on all cores; the accuracy is the mean "
    "on what the folds leave out",
    "ensemble": "ten networks of 16-16-16-16 that tell mean and spread of the table's numbers, full "
    "batches, Adam, 1,200 epochs, the best by 15% held out; the accuracy is R squared of their mean",
    "accuracy": "mean accuracy (R squared of diabetes) on five folds, settings as by default, over "
    "seeds, each with a scaler; the 95% interval is that of the difference in percentage points",
}
FOLD_SEEDS = 3


class Data(NamedTuple):
    """Features [N, 784] float32 in [0, 1], and labels [N] int32."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class Trained(NamedTuple):
    """What a contestant's training gives.

    Attributes:
        accuracies: at each score; of several models, their mean.
        score: `score(features, labels)`, the accuracy of what was trained, or the mean of
            several; None if it was not kept.
    """

    accuracies: list[float]
    score: Callable[[np.ndarray, np.ndarray], float] | None = None


# A contestant: everything from NumPy arrays and a seed to the last score of new networks.
Train = Callable[[Job, Data, int], Trained]


def fold_rates(job: Job) -> list[float]:
    """The learning rates that are each trained on every fold, with every seed."""
    low, high = job.learning_rates
    return np.geomspace(low, high, job.models // job.folds // FOLD_SEEDS).tolist()


def rates(job: Job) -> list[float]:
    """The learning rate of each model."""
    return np.geomspace(*job.learning_rates, job.models).tolist()


def one_after_another(train: Train) -> Train:
    """Makes of what trains one model what trains all models of a job."""

    def train_all(job: Job, data: Data, seed: int) -> Trained:
        runs = [
            train(
                dataclasses.replace(job, models=1, learning_rates=(rate, rate)),
                data,
                seed + number,
            )
            for number, rate in enumerate(rates(job))
        ]
        accuracies = np.mean([each.accuracies for each in runs], axis=0)
        scores = [each.score for each in runs if each.score is not None]
        return Trained(
            accuracies.tolist(),
            lambda x, y: float(np.mean([score(x, y) for score in scores])),
        )

    return train_all


def dense_flop(job: Job, epochs: int, train_rows: int, test_rows: int) -> float:
    """Operations of the matrix products of all models, if every input is multiplied.

    A product with a kernel is done once forward, once for the kernel's gradient and, save in
    the first layer, once for the gradient of what went in.
    """
    first, *others = (2 * i * o for i, o in itertools.pairwise(job.layer_sizes))
    forward = first + sum(others)
    scored_rows = train_rows if job.target is None else test_rows
    scores = epochs // job.score_every
    return job.models * (
        epochs * train_rows * (2 * forward + sum(others))
        + scores * scored_rows * forward
    )


def read_data(folder: Path, job: Job) -> Data:
    """What a job is trained on: MNIST, or scikit-learn's digits."""
    return read_digits(True) if job.folds else read_mnist(folder, job)


def read_digits(all_of_them: bool) -> Data:
    """All 1,797 as training set, for folds, which score what they leave out; else the first 1,437."""
    from sklearn.datasets import load_digits

    x, y = map(np.asarray, load_digits(return_X_y=True))
    x, y = (x / 16).astype(np.float32), y.astype(np.int32)
    if all_of_them:
        return Data(x, y, x[:0], y[:0])
    return Data(x[:1437], y[:1437], x[1437:], y[1437:])


def splits_of(job: Job, data: Data) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows that each fold trains on, and those that it leaves out; alike for all."""
    from sklearn.model_selection import StratifiedKFold

    splitter = StratifiedKFold(job.folds, shuffle=True, random_state=0)
    return list(splitter.split(data.x_train, data.y_train))


def read_mnist(folder: Path, job: Job) -> Data:
    """Reads the four files with gzip and NumPy alone."""
    images_train, labels_train, images_test, labels_test = (
        np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8)
        for name in FILES
    )
    return Data(
        *_examples(images_train, labels_train, job),
        *_examples(images_test, labels_test, job),
    )


def _examples(
    images: np.ndarray, labels: np.ndarray, job: Job
) -> tuple[np.ndarray, np.ndarray]:
    # After the headers of 16 and of 8 bytes.
    x, y = images[16:].reshape(-1, 784), labels[8:].astype(np.int32)
    if job.classes is not None:
        rows = [np.flatnonzero(y == label) for label in job.classes]
        x = x[np.concatenate(rows)]
        y = np.repeat(
            np.arange(len(rows), dtype=np.int32), [len(each) for each in rows]
        )
    return np.divide(x, np.float32(255), dtype=np.float32), y


def seconds_of(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    done = work()
    return time.perf_counter() - start, done


def later(work: Callable[[], Any]) -> tuple[float, Any]:
    """The median of up to five times, if they are short."""
    times, done = [], None
    while not times or (sum(times) < 1 and len(times) < 5):
        seconds, done = seconds_of(work)
        times.append(seconds)
    return median(times), done


def usable_cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Of Python and of these packages."""
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version()} | found


def peak_mb() -> float:
    """The most memory that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main(
    train: Train,
    packages: Sequence[str],
    *,
    compiles: bool = False,
    warm_up: Train | None = None,
    load: Callable[[Path, Job], Data] = read_data,
    also: Callable[[], dict] = dict,
) -> None:
    """Runs a contestant's program.

    Args:
        train: what is timed.
        packages: whose versions count.
        compiles: whether the first run of a job compiles programs for the later ones.
        warm_up: is the first run where scores alone are kept, in place of the whole job.
        load: reads the data, untimed save in a whole process.
        also: what else there is to tell once all is trained.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="other than the job's")
    parser.add_argument("--models", type=int, help="other than the job's")
    parser.add_argument("--scores-only", action="store_true", help="keep nothing else")
    parser.add_argument("--copies", type=int, default=1, help="of the training rows")
    parser.add_argument(
        "--once", action="store_true", help="train without a warm-up, print the result"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    flags = parser.parse_args()
    job = JOBS[flags.job]
    job = dataclasses.replace(
        job,
        epochs=flags.epochs or job.epochs,
        score_every=min(job.score_every, flags.epochs or job.epochs),
        models=flags.models or job.models,
        scores_only=flags.scores_only,
        device=flags.device,
    )
    data = load(flags.data_dir, job)
    if flags.once:
        trained = train(job, data, flags.seed)
        print("train accuracy", _accuracy(trained, data.x_train, data.y_train))
        print("test accuracy", _accuracy(trained, data.x_test, data.y_test))
        return
    if flags.copies > 1:
        data = data._replace(
            x_train=np.tile(data.x_train, (flags.copies, 1)),
            y_train=np.tile(data.y_train, flags.copies),
        )
    if warm_up is not None and job.scores_only:
        warm_up(job, data, flags.seed)
        first = None
    elif compiles:
        first, _ = _timed(train, job, data, flags.seed)
    else:
        # Of folds the models are the job itself: its learning rates on each fold.
        models = job.models if job.folds else 1
        short = dataclasses.replace(job, epochs=1, score_every=1, models=models)
        train(short, data, flags.seed)
        first = None
    # A short job is timed some more times, since a moment of the machine's would count.
    times, trained = [], None
    while trained is None or (sum(times) < LEAST_SECONDS and len(times) < MOST_TIMES):
        seconds, trained = _timed(train, job, data, flags.seed)
        times.append(seconds)
    seconds = median(times)
    epochs = len(trained.accuracies) * job.score_every
    flop = dense_flop(job, epochs, len(data.x_train), len(data.x_test))
    reached = job.target is not None and trained.accuracies[-1] >= job.target
    result = {
        "train_seconds": seconds,
        "compile_seconds": None if first is None else first - seconds,
        "epoch_seconds": seconds / epochs,
        "target_seconds": seconds if reached else None,
        "epochs": epochs,
        "models_per_second": job.models / seconds,
        "train_rows": len(data.x_train),
        "dense_gflops": flop / seconds / 1e9,
        "accuracies": trained.accuracies,
        # Before the scores below, which are no part of the job.
        "peak_mb": peak_mb(),
        "train_accuracy": _accuracy(trained, data.x_train, data.y_train),
        "test_accuracy": _accuracy(trained, data.x_test, data.y_test),
        "versions": versions(packages),
    }
    print(json.dumps(result | also()))


def _timed(train: Train, job: Job, data: Data, seed: int) -> tuple[float, Trained]:
    start = time.perf_counter()
    trained = train(job, data, seed)
    return time.perf_counter() - start, trained


def _accuracy(trained: Trained, x: np.ndarray, y: np.ndarray) -> float | None:
    return None if trained.score is None else trained.score(x, y)
