"""The notes' data, networks and training runs in one precision."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxcls.batches import Batch
from jaxcls.config import Config, Hyperparams, Keys
from jaxcls.data import load, to_batch
from jaxcls.epochs import History
from jaxcls.fitting import Report, fit
from jaxcls.interop import pytorch
from jaxcls.metrics import Metrics
from jaxcls.mlp import Params
from jaxcls.notes.recipes import REPEATED, TRAININGS
from jaxcls.study.engine import Runs as ManyRuns
from jaxcls.study.many import fit_many
from jaxcls.training import init_state

Precision = Literal["float64", "float32"]
# Told a run's name, how many of its epochs, or of its keys, are done, and of how many.
OnProgress = Callable[[str, int, int], None]

_DROPOUT_RATE = 0.5


class Trained(NamedTuple):
    """A run that is done: its settings, its data, and a report of each epoch looked at."""

    config: Config
    train: Batch
    test: Batch
    reports: dict[int, Report]

    @property
    def last(self) -> Report:
        """After the last epoch."""
        return self.reports[self.config.epochs]


class Repeated(NamedTuple):
    """A run with many dropout keys, done.

    Attributes:
        trace: [keys, reports] accuracy on the training set.
        test: [keys] accuracy on the test set after the last epoch.
    """

    trace: np.ndarray
    test: np.ndarray


class Runs:
    """What the notes load, draw and train; each thing once, when it is first asked for."""

    def __init__(
        self, data_dir: Path | None, precision: Precision, on_progress: OnProgress
    ):
        """Args: the folder of MNIST, as in `data.load`; the precision; whom to tell of epochs."""
        self.precision: Precision = precision
        self._data_dir, self._on_progress = data_dir, on_progress
        self.data = cache(self._load)
        self.trained = cache(self._train)
        self.repeated = cache(self._repeat)

    def array(self, values: ArrayLike) -> Array:
        """Numbers in this precision."""
        return jnp.asarray(values, self.precision)

    def network(self, seed: int, layer_sizes: tuple[int, ...], skip: int = 0) -> Params:
        """PyTorch's starting weights, float32 by nature, in this precision."""
        return jax.tree.map(self.array, pytorch.init(seed, layer_sizes, skip=skip))

    def _load(self, *classes: int) -> tuple[Batch, Batch]:
        """Training and test set; pixels are divided by 255 in float32, as in the notes."""
        train, test = (
            to_batch(part)
            for part in load("mnist", data_dir=self._data_dir, classes=classes)
        )
        return (
            train._replace(features=self.array(train.features)),
            test._replace(features=self.array(test.features)),
        )

    def _train(self, name: str) -> Trained:
        """One of `TRAININGS`."""
        recipe, reports = TRAININGS[name], {}
        config = recipe.config
        train, test = self.data(*recipe.classes)
        if recipe.one_hot:
            one_hot = jax.nn.one_hot(train.targets, len(recipe.classes))
            train = train._replace(targets=one_hot)

        def on_report(report: Report) -> None:
            reports[report.epoch] = report
            self._on_progress(shown, report.epoch, config.epochs)

        shown = f"{name} in {self.precision}"
        self._on_progress(shown, 0, config.epochs)
        keys = Keys.from_seed(0)  # of no use to a full batch without dropout
        state = init_state(keys, config, self.network(recipe.seed, config.layer_sizes))
        fit(
            keys,
            config,
            Hyperparams(),
            train,
            state=state,
            report_every=recipe.report_every,
            on_report=on_report,
        )
        return Trained(config, train, test, reports)

    def _repeat(self, name: str) -> Repeated:
        """One of `REPEATED`, with all its keys as one program."""
        recipe, num_keys = REPEATED[name]
        config, every = recipe.config, recipe.report_every
        train, test = self.data(*recipe.classes)
        params = jax.tree.map(
            lambda leaf: np.stack([leaf] * num_keys),
            self.network(recipe.seed, config.layer_sizes),
        )
        shown, done = f"{name} with {num_keys} keys", 0

        def tell(chunks: dict[int, ManyRuns]) -> None:
            nonlocal done
            done += sum(len(runs.epochs) for runs in chunks.values())
            self._on_progress(shown, done, num_keys)

        self._on_progress(shown, 0, num_keys)
        # The training set is also what is scored after each epoch, and judges nothing.
        runs = fit_many(
            range(num_keys),
            config,
            Hyperparams(dropout_rate=_DROPOUT_RATE),
            train,
            validation=train,
            test=test,
            params=params,
            on_chunks=tell,
        )
        scores = cast(Metrics, cast(History, runs.history).validation)
        trace = np.asarray(scores.accuracy)[:, every - 1 :: every]
        return Repeated(trace, np.asarray(runs.scores["test"].accuracy))
