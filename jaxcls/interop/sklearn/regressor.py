"""`MLPRegressor`: numbers from numbers."""

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin

from jaxcls.interop.sklearn import stepping
from jaxcls.interop.sklearn.base import MLP
from jaxcls.interop.sklearn.training import Problem
from jaxcls.likelihoods import gaussian


class MLPRegressor(RegressorMixin, MLP):
    """A network for one number, with the squared error, in scikit-learn's habits.

    Parameters and attributes are those of `MLPClassifier`, but for `class_weight` and `classes_`.
    `standardize` also takes the targets' mean off and divides by their standard deviation, in which
    `loss_curve_` then is; `predict` gives the target's own units. The loss is the mean squared error,
    where scikit-learn's is half of it, so that sgd steps twice as far at one rate. With
    `early_stopping` the validation score is R squared.

    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = MLPRegressor((16,), learning_rate_init=0.01, random_state=0).fit(X, X[:, 0] ** 2)
    >>> bool(model.score(X, X[:, 0] ** 2) > 0.9)
    True
    """

    _has_classes = False

    def partial_fit(self, X, y, sample_weight=None) -> Self:
        """Trains one epoch on these rows, and keeps the optimizer's state for the next call.

        After `fit` it begins with the fitted network and a new state of the optimizer. With
        `standardize` all calls take off and divide by what `fit`, or the first call, learned.

        Args:
            X, y, sample_weight: as of `fit`.

        Raises:
            TypeError, ValueError: as of `fit`; `early_stopping` is on.
        """
        stepping.step(self, X, y, sample_weight)
        return self

    def predict(self, X) -> np.ndarray:
        """The mean of the members' predictions [N].

        Args:
            X: [N, D] as of `fit`.
        """
        found = [each[:, 0] for each in self._outputs(X)]
        mean = np.mean(found, axis=0)
        if self.target_mean_ is None:
            return mean
        return mean * self.target_scale_ + self.target_mean_

    def _learned(self, y: np.ndarray, *, learn: bool) -> tuple[np.ndarray, Any, int]:
        """Targets as they are, in float64."""
        del learn
        return np.asarray(y, np.float64), gaussian, 1

    def _factors(self, problem: Problem) -> None:
        """There are no classes."""
        del problem

    def _validation_scores(self, metrics: Any) -> np.ndarray:
        """R squared; NaN where an epoch was not done."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(metrics.r_squared, np.float64)
