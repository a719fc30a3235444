"""What both estimators share: a fit from checked arrays to fitted attributes."""

from abc import ABCMeta, abstractmethod
from typing import Any, Self, cast

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import (
    check_is_fitted,
    validate_data,  # pyrefly: ignore[missing-module-attribute]
)

from jaxcls.epochs import History
from jaxcls.interop.sklearn import networks, settings, training
from jaxcls.interop.sklearn.rows import (
    Examples,
    Scaling,
    checked_weights,
    without_weightless,
)
from jaxcls.interop.sklearn.training import Prepared, Problem, Scalings
from jaxcls.mlp import Params
from jaxcls.study.engine import Runs

_OUT_ACTIVATIONS = {
    "gaussian": "identity",
    "bernoulli": "logistic",
    "categorical": "softmax",
}


class MLP(BaseEstimator, metaclass=ABCMeta):
    """The estimators' common part; its parameters and attributes are described there."""

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=1e-4,
        batch_size="auto",
        learning_rate_init=1e-3,
        max_iter=200,
        tol=1e-4,
        random_state=None,
        warm_start=False,
        momentum=0.9,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        dropout=0.0,
        n_seeds=1,
        standardize=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.warm_start = warm_start
        self.momentum = momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.dropout = dropout
        self.n_seeds = n_seeds
        self.standardize = standardize

    def fit(self, X, y, sample_weight=None) -> Self:
        """Trains on all rows, from the start unless `warm_start` is on.

        Args:
            X: [N, D] numbers, an array or a frame of pandas or polars.
            y: [N] targets.
            sample_weight: [N] numbers of at least 0 that multiply the losses; an example of
                weight 0 is as if it were not there, and in steps of all examples one of weight
                2 as if it were there twice.

        Returns:
            The estimator.

        Raises:
            TypeError, ValueError: a parameter, a shape, a type or a number is wrong, or the
                training left the finite numbers; the message says which.
        """
        problem, prepared = self._prepared(X, y, sample_weight)
        params, seeds = self._start(problem), settings.seeds_of(self)
        if params is not None:
            seeds = self.seeds_ if self.random_state is None else seeds
        runs = training.train(
            [self] * len(seeds),
            prepared,
            training.config_of(self, problem, prepared),
            seeds,
            training.hyperparams_of(
                [self] * len(seeds), [self._factors(problem)] * len(seeds)
            ),
            params,
        )
        self._take(runs, seeds, prepared, problem)
        return self

    def _prepared(self, X, y, sample_weight) -> tuple[Problem, Prepared]:
        """The examples, checked and as the network takes them; sets what depends on X and y."""
        settings.check_settings(self)
        problem = self._problem(X, y, sample_weight, reset=True, learn=True)
        return problem, training.prepare(self, problem)

    def _problem(self, X, y, sample_weight, *, reset: bool, learn: bool) -> Problem:
        """The examples, checked; sets the columns if `reset`, the classes if `learn`."""
        X, y = validate_data(
            self,
            X,
            y,
            dtype=(np.float64, np.float32),
            y_numeric=not self._has_classes,
            reset=reset,
        )
        owner = type(self).__name__
        weights = checked_weights(owner, sample_weight, len(y))
        targets, likelihood, num_outputs = self._learned(y, learn=learn)
        examples = without_weightless(Examples(X, targets, weights))
        return Problem(examples, likelihood, num_outputs)

    def _start(self, problem: Problem) -> Params | None:
        """Where a warm start begins, or None for a new one."""
        if not (self.warm_start and hasattr(self, "coefs_")):
            return None
        sizes = (
            problem.examples.features.shape[1],
            *settings.hidden_layers(self),
            problem.num_outputs,
        )
        kernels, biases = self._stacked()
        had = (kernels[0].shape[1], *(each.shape[1] for each in biases))
        if had != sizes or len(kernels[0]) != self.n_seeds:
            raise ValueError(
                f"{type(self).__name__}: warm_start goes on from {len(kernels[0])} networks of "
                f"layers {had}, and hidden_layer_sizes, n_seeds and the data now ask for "
                f"{self.n_seeds} of {sizes}; keep them, or set warm_start=False."
            )
        return networks.to_params(kernels, biases)

    def _take(
        self, runs: Runs, seeds: np.ndarray, prepared: Prepared, problem: Problem
    ) -> None:
        """Sets the fitted attributes, NumPy arrays and numbers alone."""
        if not np.asarray(runs.finite).all():
            raise self._diverged()
        params, history = cast(Params, runs.params), cast(History, runs.history)
        before = list(getattr(self, "loss_curve_", [])) if self.warm_start else []
        self.__dict__.pop("_moments", None)  # of partial_fit
        self._set_networks(*networks.to_layers(params), problem)
        self._set_scaling(prepared.scaling, prepared.target_scaling)
        num_epochs = int(np.max(runs.epochs))
        losses = before + _mean_curve(history.loss, num_epochs)
        self._set_course(losses, num_epochs, seeds, runs.chosen_epoch)
        if self.early_stopping:
            scores = self._validation_scores(history.validation)
            self.validation_scores_ = _mean_curve(scores, num_epochs)
            best = scores[np.arange(len(seeds)), self.best_epoch_ - 1]
            self.best_validation_score_ = float(np.mean(best))

    def _diverged(self) -> ValueError:
        """What is raised where training left the finite numbers."""
        return ValueError(
            f"{type(self).__name__}: the loss or the weights are no longer finite; try a smaller "
            "learning_rate_init, or standardize=True."
        )

    def _set_course(
        self, losses: list[float], num_epochs: int, seeds: Any, best_epoch: Any
    ) -> None:
        """Sets the attributes that tell how training went."""
        self.loss_curve_, self.loss_ = losses, losses[-1]
        self.best_loss_ = None if self.early_stopping else min(losses)
        self.n_iter_ = num_epochs
        self.seeds_, self.best_epoch_ = np.array(seeds), np.array(best_epoch)
        self.validation_scores_ = self.best_validation_score_ = None

    def _set_networks(
        self, kernels: list[np.ndarray], biases: list[np.ndarray], problem: Problem
    ) -> None:
        """Sets `coefs_` and `intercepts_` of kernels [S, in, out] and biases [S, out]."""
        finite = (np.isfinite(each).all() for each in (*kernels, *biases))
        if not all(finite):
            raise self._diverged()
        alone = len(kernels[0]) == 1
        self.coefs_ = [each[0] if alone else each for each in kernels]
        self.intercepts_ = [each[0] if alone else each for each in biases]
        self.n_layers_, self.n_outputs_ = len(kernels) + 1, problem.num_outputs
        self.out_activation_ = _OUT_ACTIVATIONS[problem.likelihood.name]

    def _stacked(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Kernels [S, in, out] and biases [S, out], also of one network."""
        if self.coefs_[0].ndim == 3:
            return self.coefs_, self.intercepts_
        return [each[None] for each in self.coefs_], [
            each[None] for each in self.intercepts_
        ]

    def _set_scaling(self, features: Scaling | None, targets: Scaling | None) -> None:
        """Sets what `standardize` learned, or None."""
        self.feature_mean_, self.feature_scale_ = features or (None, None)
        self.target_mean_, self.target_scale_ = targets or (None, None)

    def _scalings(self) -> Scalings:
        """What `standardize` learned of features and targets, or None."""

        def scaling(mean: Any, scale: Any) -> Scaling | None:
            return None if mean is None else Scaling(mean, scale)

        return (
            scaling(self.feature_mean_, self.feature_scale_),
            scaling(self.target_mean_, self.target_scale_),
        )

    def _outputs(self, X):
        """The logits [N, K] of each member, in turn."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        scaling, _ = self._scalings()
        X = X if scaling is None else scaling.apply(X)
        return networks.outputs(*self._stacked(), X, self.activation)

    _has_classes = True

    @abstractmethod
    def _learned(self, y: np.ndarray, *, learn: bool) -> tuple[np.ndarray, Any, int]:
        """Targets as examples have them, their likelihood and the number of outputs."""

    @abstractmethod
    def _factors(self, problem: Problem) -> np.ndarray | None:
        """The factor [K] of each class, or None where there are no classes."""

    @abstractmethod
    def _validation_scores(self, metrics: Any) -> np.ndarray:
        """The score [S, E] of each member after each epoch on what is held out."""


def _mean_curve(of_members: Any, num_epochs: int) -> list[float]:
    """The mean over the members that still trained, for each epoch."""
    numbers = np.asarray(of_members, np.float64)[:, :num_epochs]
    return np.nanmean(numbers, axis=0).tolist()
