"""`Run`: a trained network or several, and predictions with them."""

import dataclasses
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxcls import ensembles
from jaxcls.calibration import tempered
from jaxcls.checks import check_finite
from jaxcls.config import Config
from jaxcls.conformal import Conformal, prediction_sets
from jaxcls.data.preparation import Preparation
from jaxcls.data.standardization import Standardization, network_features
from jaxcls.data.table_columns import spaced
from jaxcls.ensembles import Moments, Uncertainty
from jaxcls.mlp import Params
from jaxcls.regression import Target
from jaxcls.runs import outputs

# Examples that are scaled and put through the network at once, so that memory stays small. Fewer
# are filled up to a power of two, so that any mix of batches needs 14 programs at most.
CHUNK = 8_192
Features = ArrayLike | str | os.PathLike
_NOT_FINITE = (
    "the run's parameters give numbers that are not finite; train it again, with a lower learning "
    "rate."
)


@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Run:
    """A trained model: one network, or an ensemble whose mean it predicts by.

    It predicts classes, or, with a `target`, numbers.

    Attributes:
        config: of its training.
        params: the network's; those that validation chose, where there was one. Of an
            ensemble of S networks every leaf is [S, ...].
        seeds: of the networks of an ensemble; None for one network alone.
        labels: K numbers by which the dataset names the classes; none of a `target`.
        class_names: K names; none of a `target`.
        image_shape: (height, width) of an example that is an image, or None.
        takes_bytes: whether it was trained on bytes 0 to 255, divided by 255.
        light_ground: whether the training images have dark ink on light ground.
        plain_ground: whether that ground is all black or all white.
        centred: whether they are centred by mass in a box of 20/28, as MNIST's are.
        epoch: epochs after which the parameters stood; of an ensemble the most of any network.
        source: the file that they come from.
        record: the content of `config.json`.
        preparation: what makes features of a table's rows, of a run that was trained on one.
        standardization: of a run of arrays whose features were standardised; it is given them as
            they were before.
        target: the number that is predicted, and how it was standardised; None of classes.
        temperature: T of probabilities p ** (1 / T), divided by their sum, where p are the
            network's, or the mean of the ensemble's; 1 leaves them as they are.
        threshold: of two classes, the probability from which on the second is the answer; None
            answers with the more likely one.
        conformal: which classes a set of `predict_sets` holds; None of a run without.
    """

    config: Config
    params: Params
    seeds: tuple[int, ...] | None
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int] | None
    takes_bytes: bool
    light_ground: bool
    plain_ground: bool
    centred: bool
    epoch: int
    source: Path
    record: dict
    preparation: Preparation | None = None
    standardization: Standardization | None = None
    target: Target | None = None
    temperature: float = 1.0
    threshold: float | None = None
    conformal: Conformal | None = None

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.config.layer_sizes))
        networks = "" if self.seeds is None else f", {len(self.seeds)} networks"
        what = f"classes {spaced(self.class_names)}"
        if self.target is not None:
            what = f"target {self.target.name}"
        return (
            f"Run({str(self.source)!r}, {sizes}{networks}, {self.config.likelihood.name}, {what}, "
            f"epoch {self.epoch})"
        )

    def predict_proba(self, features: Features) -> np.ndarray:
        """Probabilities [N, K] of the classes.

        Args:
            features: [N, D] or images [N, height, width], [N, height, width, 1] or
                [N, 1, height, width]: bytes 0 to 255, or numbers as the run was trained on. Or the
                path of a file, a picture of any size, .npy, .npz or a table, as `predict.py`
                takes it.

        Raises:
            ValueError: the shape, the type or a value is not what the run was trained on, the
                network's numbers are beyond float32, or the run predicts no classes.
        """
        self._check_classes("predict_proba")
        if self.temperature == 1:
            return self._uncalibrated(features)
        return np.exp(self.predict_log_proba(features)).astype(np.float32)

    def _uncalibrated(self, features: Features) -> np.ndarray:
        """Probabilities [N, K] without the temperature."""
        one = self.seeds is None
        found = self._in_chunks(
            outputs.probabilities if one else ensembles.probabilities, features
        )
        if not np.isfinite(found).all():
            raise ValueError(_NOT_FINITE)
        return found

    def predict_log_proba(self, features: Features) -> np.ndarray:
        """Logarithms [N, K] of the probabilities in float64, which tell apart what `predict_proba`
        rounds to 0 or 1; see there."""
        self._check_classes("predict_log_proba")
        one = self.seeds is None
        found = self._in_chunks(
            outputs.log_probabilities if one else ensembles.log_probabilities, features
        )
        if np.isnan(found).any():
            raise ValueError(_NOT_FINITE)
        return tempered(found, self.temperature)

    def predict(self, features: Features) -> np.ndarray:
        """The label [N] of each example, one of `labels`; see `predict_places`.

        With a `target` the mean [N] float64, in its unit; see `moments`.
        """
        if self.target is not None:
            return np.asarray(self.moments(features).mean)
        return np.asarray(self.labels)[self.predict_places(features)]

    def predict_places(self, features: Features) -> np.ndarray:
        """The place [N] in `labels` of the most likely class, or of two classes of the one that
        the threshold says; see `predict_proba`."""
        self._check_classes("predict_places")
        if self.threshold is not None:
            second = np.float64(self.predict_proba(features)[:, 1])
            return (second >= self.threshold).astype(int)
        if self.seeds is not None:
            # The temperature changes no order, but may round two to one.
            return self._uncalibrated(features).argmax(axis=1)
        places = self._in_chunks(outputs.predictions, features)
        if places.min() < 0:
            raise ValueError(_NOT_FINITE)
        return places

    def predict_sets(self, features: Features) -> np.ndarray:
        """For each example the set of classes, bool [N, K], that holds the right one as often as
        `conformal` says; see `jaxcls.conformal` and `predict_proba`.

        They are of the probabilities without the temperature, which was fitted on the examples
        that tell how large a set must be.

        Raises:
            ValueError: the run was trained without, or as of `predict_proba`.
        """
        if self.conformal is None:
            raise ValueError(
                f"{self.source}: the run keeps no sets; train it with --conformal 0.1."
            )
        return prediction_sets(self._uncalibrated(features), self.conformal.least)

    def moments(self, features: Features) -> Moments:
        """Mean and spread of the numbers that are predicted, leaves [N] float64.

        They are in the target's unit. A `gaussian` network tells its mean alone, so that `within`
        is 0, and of one alone `std`, too.

        Args:
            features: as of `predict_proba`.

        Raises:
            ValueError: as of `predict_proba`, or the run predicts classes.
        """
        if self.target is None:
            raise ValueError(
                "Run.moments: the run predicts classes, which have no mean; see predict_proba."
            )
        found = self._stacked()._in_chunks(ensembles.moments, features)
        if not all(np.isfinite(leaf).all() for leaf in found):
            raise ValueError(_NOT_FINITE)
        return scaled_back(found, self.target)

    def log_odds(self, features: Features) -> np.ndarray:
        """log(P(1) / P(0)) [N] of two classes, which orders also what `predict_proba` rounds to
        0 or 1; see there."""
        self._check_classes("log_odds")
        found = self._in_chunks(
            outputs.log_odds if self.seeds is None else outputs.log_odds_of_mean,
            features,
        )
        return found if self.temperature == 1 else found / self.temperature

    def uncertainty(self, features: Features) -> Uncertainty:
        """How unsure each prediction is, leaves [N] in nats, and how much of that is the
        networks' disagreement (0 for one alone), without the temperature; see `predict_proba`."""
        self._check_classes("uncertainty")
        return self._stacked()._in_chunks(ensembles.uncertainty, features)

    def as_trained(self) -> Self:
        """The run without its temperature, threshold and sets, which were learned afterwards."""
        return dataclasses.replace(
            self, temperature=1.0, threshold=None, conformal=None
        )

    def members(self) -> list[Self]:
        """The networks of an ensemble, each alone and `as_trained`."""
        return [
            dataclasses.replace(
                self.as_trained(),
                seeds=None,
                params=jax.tree.map(lambda leaf, i=i: leaf[i], self.params),
            )
            for i in range(len(self.seeds or ()))
        ] or [self]

    def _check_classes(self, method: str) -> None:
        if self.target is not None:
            raise ValueError(
                f"Run.{method}: the run predicts a number, {self.target.name}, and no classes; see "
                "predict and moments."
            )

    def _stacked(self) -> Self:
        """With params [S, ...], also of one network."""
        if self.seeds is not None:
            return self
        params = jax.tree.map(lambda leaf: np.asarray(leaf)[None], self.params)
        return dataclasses.replace(self, params=params)

    def _in_chunks(self, function: Callable, features: Features) -> Any:
        features = self._taken(features)
        if len(features) <= CHUNK:
            return self._of_rows(function, features)
        parts = [
            self._of_rows(function, features[i : i + CHUNK])
            for i in range(0, len(features), CHUNK)
        ]
        return jax.tree.map(lambda *some: np.concatenate(some), *parts)

    def _taken(self, features: ArrayLike | os.PathLike | str) -> np.ndarray:
        """Features [N, ...] that are such as the run takes, read if a file is named."""
        if isinstance(features, (str, os.PathLike)):
            from jaxcls.runs.inputs import read_input  # which knows of a `Run`

            features = read_input(self, features).features
        elif self.preparation is not None and hasattr(features, "columns"):
            raise TypeError("Run: write a frame by .to_parquet, and give the path.")
        features = np.asarray(features)
        self.check_features(features)
        return features

    def _of_rows(self, function: Callable, features: np.ndarray) -> Any:
        """What a network gives of these rows, filled up with rows of zeros."""
        rows = features.reshape(-1, self.config.layer_sizes[0])
        rows = network_features(rows, self.standardization)
        count = len(rows)
        filled = 1 << (count - 1).bit_length()
        if filled != count:
            rows = np.pad(rows, ((0, filled - count), (0, 0)))
        found = function(
            self._device_params,
            rows,
            likelihood=self.config.likelihood,
            activation=self.config.activation,
        )
        if isinstance(found, jax.Array):
            return np.asarray(found)[:count]
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], found)

    @cached_property
    def _device_params(self) -> Params:
        """The params where they are computed with, so that they are moved there once."""
        return jax.tree.map(jnp.asarray, self.params)

    @cached_property
    def example_shapes(self) -> set[tuple[int, ...]]:
        """The shapes that one example may have: a row, or an image with or without its channel."""
        shapes: set[tuple[int, ...]] = {(self.config.layer_sizes[0],)}
        if self.image_shape is not None:
            image = self.image_shape
            shapes |= {image, (*image, 1), (1, *image)}
        return shapes

    def check_features(self, features: np.ndarray) -> None:
        """Raises ValueError unless `features` [N, ...] are such as the run was trained on.

        Beside them it takes little memory, however many there are.
        """
        num_inputs = self.config.layer_sizes[0]
        shown = f"[N, {num_inputs}]"
        if self.image_shape is not None:
            shown += f" or [N, {', '.join(map(str, self.image_shape))}]"
        if features.ndim == 0:
            raise ValueError(f"features must be {shown}, got one number.")
        if len(features) == 0:
            raise ValueError(f"features must be {shown} with N at least 1, got none.")
        if features.shape[1:] not in self.example_shapes:
            raise ValueError(f"features must be {shown}, got {list(features.shape)}.")
        is_bytes = features.dtype == np.uint8
        kind = features.dtype.kind
        if not is_bytes and kind != "f" and (self.takes_bytes or kind not in "biu"):
            raise ValueError(
                f"features must be uint8 or floats, got {features.dtype}; save .astype(np.uint8) "
                "of bytes 0 to 255, .astype(np.float32) of other numbers."
            )
        if is_bytes and not self.takes_bytes:
            raise ValueError(
                "features must be floats, scaled as those the run was trained on, got uint8; if "
                "they are, save .astype(np.float32)."
            )
        if is_bytes:
            return
        check_finite("features", features, np.float32)
        if self.takes_bytes and not _in_unit(features):
            raise ValueError(
                "features must be bytes 0 to 255, or floats in [0, 1] as bytes divided by 255, "
                f"got floats from {features.min()} to {features.max()}."
            )


def scaled_back(found: Moments, target: Target) -> Moments:
    """Moments of standardised targets in the targets' unit, leaves [N] float64."""
    mean, *spreads = (np.asarray(leaf, np.float64) for leaf in found)
    return Moments(
        target.mean + target.scale * mean, *(target.scale * each for each in spreads)
    )


def _in_unit(features: np.ndarray) -> bool:
    return bool(features.min() >= 0 and features.max() <= 1)
