"""`MLPClassifier`: one of K classes."""

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from jaxcls.interop.sklearn import networks, settings, stepping
from jaxcls.interop.sklearn.base import MLP
from jaxcls.interop.sklearn.training import Problem
from jaxcls.likelihoods import bernoulli, categorical


class MLPClassifier(ClassifierMixin, MLP):
    """A network for two or more classes, with cross entropy, in scikit-learn's habits.

    The training is jaxcls's: `random_state=7` gives the network that `jaxcls.fit` trains from
    `Keys.from_seed(7)` on these rows. It differs from scikit-learn's own MLP in this:

    - There is no ConvergenceWarning where all `max_iter` epochs were done. With `early_stopping` the
      best epoch's network is kept, by accuracy on what is held out, and any better one counts.
    - `alpha` is jaxcls's `weight_decay`: decoupled, each step takes learning rate * alpha off a
      kernel. scikit-learn divides its alpha by the examples of a step, and with adam passes the
      penalty through the moments: of sgd, its alpha is this one's times the examples of a step.
    - Networks start from numbers uniform in +-1/sqrt(fan_in), as PyTorch's do.
    - sgd has plain momentum, not Nesterov's; there is no lbfgs.

    Args:
        hidden_layer_sizes: whole numbers, one for each hidden layer; () for none.
        activation: relu, tanh, logistic, gelu, silu or identity.
        solver: adam, sgd, adamw, nadam, rmsprop, adagrad or lion.
        alpha: decoupled weight decay, for every solver.
        batch_size: examples a step; "auto" is 200, or all where there are fewer.
        learning_rate_init: step size.
        max_iter: epochs at most.
        tol: without `early_stopping`, by how much an epoch's training loss must be below the least one
            before it; after more than `n_iter_no_change` epochs in a row that are not, training
            stops, as scikit-learn's does. `n_iter_no_change=max_iter` stops nothing.
        random_state: a seed, a RandomState, or None for another run each time.
        warm_start: whether `fit` goes on from the networks before, with a new optimizer.
        momentum: of sgd.
        early_stopping: whether a share of each class is held out, to choose the best epoch.
        validation_fraction: that share.
        n_iter_no_change: epochs without a better one after which training stops; see `tol`.
        dropout: share of hidden units dropped while training.
        n_seeds: networks, whose mean probabilities are predicted. Member i is what `random_state`
            + i gives alone, with its own split where there is early stopping.
        standardize: whether the training rows' mean is taken off and divided by their standard
            deviation, here and in `predict`.
        class_weight: None, "balanced", or a dict of a factor of the loss for each class.

    Attributes:
        classes_: [K] labels, sorted.
        coefs_, intercepts_: for each layer [in, out] and [out], or [S, in, out] and [S, out] of
            S networks.
        loss_curve_: the training loss of each epoch, the members' mean.
        loss_, best_loss_: the last of it and the least.
        n_iter_: epochs done, the most of any member.
        best_epoch_: [S] epochs after which the kept networks stood.
        validation_scores_, best_validation_score_: with early stopping, else None.
        seeds_: [S] of the members.
        n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_: scikit-learn's.

    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), ["a", "a", "b", "b"]
    >>> model = MLPClassifier((8,), learning_rate_init=0.1, random_state=0).fit(X, y)
    >>> model.predict([[-1.0], [4.0]]).tolist()
    ['a', 'b']
    """

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
        class_weight=None,
    ):
        super().__init__(
            hidden_layer_sizes,
            activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            max_iter=max_iter,
            tol=tol,
            random_state=random_state,
            warm_start=warm_start,
            momentum=momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            dropout=dropout,
            n_seeds=n_seeds,
            standardize=standardize,
        )
        self.class_weight = class_weight

    def partial_fit(self, X, y, classes=None, sample_weight=None) -> Self:
        """Trains one epoch on these rows, and keeps the optimizer's state for the next call.

        After `fit` it begins with the fitted network and a new state of the optimizer. With
        `standardize` all calls take off and divide by what `fit`, or the first call, learned.

        Args:
            X, y, sample_weight: as of `fit`.
            classes: all labels that any call will bring; the first call needs them.

        Raises:
            TypeError, ValueError: as of `fit`; `early_stopping` or the class weight "balanced" is
                on.
        """
        owner = type(self).__name__
        if isinstance(self.class_weight, str):
            raise ValueError(
                f'{owner}: partial_fit sees too little for class_weight="balanced"; give a dict '
                "of numbers."
            )
        if classes is not None:
            classes = np.unique(classes)
            if hasattr(self, "classes_"):
                self._check_same(classes)
        elif not hasattr(self, "classes_"):
            raise ValueError(
                f"{owner}: the first call of partial_fit needs classes, all labels that any call "
                "will bring."
            )
        stepping.step(self, X, y, sample_weight, classes)
        return self

    def predict_log_proba(self, X) -> np.ndarray:
        """Logarithms [N, K] of `predict_proba`, finite also where it rounds to 0.

        Args:
            X: [N, D] as of `fit`.
        """
        return networks.log_probabilities(self._outputs(X))

    def predict_proba(self, X) -> np.ndarray:
        """The mean of the members' probabilities [N, K] of `classes_`.

        Args:
            X: [N, D] as of `fit`.
        """
        return np.exp(self.predict_log_proba(X))

    def predict(self, X) -> np.ndarray:
        """The most probable of `classes_` for each row, [N].

        Args:
            X: [N, D] as of `fit`.
        """
        check_is_fitted(self)
        return self.classes_[self.predict_log_proba(X).argmax(axis=1)]

    def _learned(self, y: np.ndarray, *, learn: bool) -> tuple[np.ndarray, Any, int]:
        """Places in `classes_`, which it sets where they are to be learned."""
        owner = type(self).__name__
        check_classification_targets(y)
        if learn:
            classes, places = np.unique(y, return_inverse=True)
            if self.warm_start and hasattr(self, "coefs_"):
                self._check_same(classes)
            self.classes_ = classes
        else:
            unknown = np.setdiff1d(y, self.classes_)
            if len(unknown):
                raise ValueError(
                    f"{owner}: y has the label {unknown.tolist()[0]!r}, which is none of the classes "
                    f"{self.classes_.tolist()}; name all of them in the first call."
                )
            places = np.searchsorted(self.classes_, y)
        count = len(self.classes_)
        if count < 2:
            raise ValueError(
                f"{owner}: y must have at least two classes to tell apart, got 1 class, "
                f"{self.classes_.tolist()[0]!r}."
            )
        if count == 2:
            return places, bernoulli, 1
        return places, categorical, count

    def _check_same(self, classes: np.ndarray) -> None:
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"{type(self).__name__}: the network goes on from the calls before, so the classes "
                f"must be theirs, {self.classes_.tolist()}, got {classes.tolist()}."
            )

    def _factors(self, problem: Problem) -> np.ndarray:
        """As `class_weight` says."""
        examples = problem.examples
        return settings.class_factors(
            self, self.classes_, examples.targets, examples.weights
        )

    def _validation_scores(self, metrics: Any) -> np.ndarray:
        """Accuracy; NaN where an epoch was not done."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(metrics.correct / metrics.count, np.float64)
