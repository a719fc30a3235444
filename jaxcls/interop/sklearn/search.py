"""`search`: a grid, its folds and its seeds, trained as members of few programs."""

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from scipy.stats import rankdata
from sklearn.base import clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterGrid, check_cv
from sklearn.utils import (
    _safe_indexing,  # pyrefly: ignore[missing-module-attribute]
    check_random_state,
    indexable,
)

from jaxcls.config import Config
from jaxcls.interop.sklearn import settings, training
from jaxcls.interop.sklearn.base import MLP
from jaxcls.interop.sklearn.training import Prepared, Problem
from jaxcls.study.engine import Runs

# The settings on which it hangs how examples are prepared.
_PREPARING = ("standardize", "batch_size", "early_stopping", "validation_fraction")


class _Candidate(NamedTuple):
    """A setting of the grid with one seed, which may be an ensemble.

    Attributes:
        place: of the setting in the grid, and of the seed.
        estimator: to be fitted on each fold.
    """

    place: tuple[int, int]
    estimator: MLP


def search(
    estimator: MLP,
    grid: Mapping[str, Sequence] | Sequence[Mapping[str, Sequence]],
    X: Any,
    y: Any,
    cv: Any = 5,
    seeds: int = 3,
    *,
    scoring: Any = None,
    sample_weight: Any = None,
) -> dict[str, Any]:
    """Scores each setting of a grid on each fold with several seeds.

    All members of a fold whose settings ask for the same network, solver and size of a step are
    trained together by one compiled program, which the folds share: numbers such as
    `learning_rate_init`, `alpha`, `class_weight`, the seed and a `dropout` above 0 compile nothing.
    The scores are those of scikit-learn's `GridSearchCV` over the same estimator, the mean over
    `random_state`, `random_state + n_seeds`, and so on: within 1e-6 on a CPU.

    Args:
        estimator: `MLPClassifier` or `MLPRegressor`, not in a pipeline; `standardize=True` does
            within each fold what a StandardScaler before it would.
        grid: lists of values by the parameters' names, or several such.
        X: [N, D], an array or a frame.
        y: [N] targets.
        cv: how many folds, or what `sklearn.model_selection.check_cv` takes.
        seeds: how many.
        scoring: as of `GridSearchCV`, one score; the estimator's own by default.
        sample_weight: [N], in training and in scoring.

    Returns:
        What `GridSearchCV.cv_results_` holds but for times: "params", "param_*",
        "split*_test_score", "mean_test_score", "std_test_score" and "rank_test_score".
        Also "split0_seed0_test_score" [C], and so on. A member that diverges scores NaN.

    Raises:
        TypeError, ValueError: the estimator, the grid, the data or a setting is wrong.

    >>> from jaxcls.interop.sklearn import MLPClassifier
    >>> X, y = np.arange(20.0)[:, None] / 10 - 1, np.arange(20) // 10
    >>> model = MLPClassifier((4,), max_iter=50, random_state=0)
    >>> found = search(model, {"learning_rate_init": [1e-4, 0.1]}, X, y, cv=2, seeds=2)
    >>> found["rank_test_score"].tolist()
    [2, 1]
    """
    if not isinstance(estimator, MLP):
        raise TypeError(
            "search: estimator must be a jaxcls.sklearn.MLPClassifier or MLPRegressor, got "
            f"{type(estimator).__name__}; in a Pipeline use GridSearchCV, or standardize=True."
        )
    if not isinstance(seeds, Integral) or isinstance(seeds, bool) or seeds < 1:
        raise ValueError(
            f"search: seeds must be a whole number of at least 1, got {seeds!r}."
        )
    data = X, y, _ = cast(list, indexable(X, y, sample_weight))
    grid = list(ParameterGrid(grid))
    candidates = _candidates(estimator, grid, int(seeds))
    scorer = check_scoring(estimator, scoring)
    splits = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y))
    scores = np.full((len(grid), len(splits), int(seeds)), np.nan)
    compiled: set[tuple] = set()
    for fold, (train, test) in enumerate(splits):
        given, held = _part(data, train), _part(data, test)
        weights = {} if held[2] is None else {"sample_weight": held[2]}
        for (setting, seed), fitted in _fitted(candidates, *given, compiled):
            scores[setting, fold, seed] = scorer(fitted, *held[:2], **weights)
    return _results(grid, scores)


def _part(data: Sequence[Any], rows: np.ndarray) -> tuple[Any, Any, Any]:
    """These rows of X, y and the weights, if there are any."""
    X, y, weights = (
        None if each is None else _safe_indexing(each, rows) for each in data
    )
    return X, y, weights


def _candidates(
    estimator: MLP, grid: Sequence[Mapping[str, Any]], seeds: int
) -> list[_Candidate]:
    """An estimator for each setting and seed, whose settings are checked."""
    drawn = check_random_state(estimator.random_state).randint(2**31)
    found = []
    for setting, params in enumerate(grid):
        model = clone(estimator).set_params(**copy.deepcopy(dict(params)))
        settings.check_settings(model)
        first = model.random_state if _is_seed(model.random_state) else drawn
        for seed in range(seeds):
            own = (int(first) + seed * int(model.n_seeds)) % 2**32
            found.append(
                _Candidate((setting, seed), clone(model).set_params(random_state=own))
            )
    return found


def _is_seed(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _fitted(
    candidates: Sequence[_Candidate],
    X: Any,
    y: Any,
    sample_weight: Any,
    compiled: set[tuple],
) -> Iterator[tuple[tuple[int, int], MLP]]:
    """Each candidate with its estimator fitted on these rows; not those that diverged.

    The programs that it needs are added to those that are compiled.
    """
    first = clone(candidates[0].estimator)
    problem = first._problem(X, y, sample_weight, reset=True, learn=True)
    known = {name: value for name, value in vars(first).items() if name.endswith("_")}
    prepared: dict[tuple, Prepared] = {}
    groups: dict[tuple, list[_Candidate]] = {}
    for place, estimator in candidates:
        model = copy.copy(estimator)
        vars(model).update(known)
        how = tuple(repr(getattr(model, name)) for name in _PREPARING)
        how += (bool(model.dropout > 0),)
        if how not in prepared:
            prepared[how] = training.prepare(model, problem)
        config = training.config_of(model, problem, prepared[how])
        groups.setdefault((how, config), []).append(_Candidate(place, model))
    for (how, config), members in groups.items():
        program = config, prepared[how].size.rows, prepared[how].held_out
        yield from _trained(
            members, problem, prepared[how], config, program in compiled
        )
        compiled.add(program)


def _trained(
    candidates: Sequence[_Candidate],
    problem: Problem,
    prepared: Prepared,
    config: Config,
    is_compiled: bool,
) -> Iterator[tuple[tuple[int, int], MLP]]:
    """Candidates of one program, each fitted as it would be alone, as they are done."""
    models = [each.estimator for each in candidates]
    seeds = [settings.seeds_of(each) for each in models]
    counts = [len(each) for each in seeds]
    hyperparams = training.hyperparams_of(models, [m._factors(problem) for m in models])
    hyperparams = jax.tree.map(lambda leaf: np.repeat(leaf, counts, 0), hyperparams)
    owners = np.repeat(np.arange(len(models)), counts)
    parts: list[dict[int, Runs]] = [{} for _ in models]
    for number, run in training.train_each(
        [models[owner] for owner in owners],
        prepared,
        config,
        np.concatenate(seeds),
        hyperparams,
        is_compiled=is_compiled,
    ):
        owner = owners[number]
        (place, model), own, part = candidates[owner], seeds[owner], parts[owner]
        part[number] = run
        if len(part) < len(own):
            continue
        runs = training.stacked([part[each] for each in sorted(part)])
        part.clear()
        try:
            model._take(runs, own, prepared, problem)
        except ValueError as error:
            warnings.warn(f"{error} It scores NaN.", FitFailedWarning, stacklevel=4)
            continue
        yield place, model


def _results(grid: Sequence[Mapping[str, Any]], scores: np.ndarray) -> dict[str, Any]:
    """As `GridSearchCV` lays them out, of scores [C, folds, seeds]."""
    found: dict[str, Any] = {}
    for name in sorted({name for params in grid for name in params}):
        found[f"param_{name}"] = _column(name, grid)
    found["params"] = [dict(params) for params in grid]
    of_splits = scores.mean(axis=2)
    for fold, column in enumerate(of_splits.T):
        found[f"split{fold}_test_score"] = column.copy()
        for seed in range(scores.shape[2]):
            found[f"split{fold}_seed{seed}_test_score"] = scores[:, fold, seed]
    means = of_splits.mean(axis=1)
    found["mean_test_score"], found["std_test_score"] = means, of_splits.std(axis=1)
    ranks = np.ones(len(grid), np.int32)
    if np.isfinite(means).any():
        filled = np.nan_to_num(means, nan=np.nanmin(means) - 1)
        ranks = rankdata(-filled, method="min").astype(np.int32)
    found["rank_test_score"] = ranks
    return found


def _column(name: str, grid: Sequence[Mapping[str, Any]]) -> np.ma.MaskedArray:
    """The values of a parameter [C], masked where a setting does not name it."""
    values = [params[name] for params in grid if name in params]
    numbers = all(isinstance(each, int | float | np.number) for each in values)
    dtype = np.asarray(values).dtype if numbers else object
    column = np.ma.MaskedArray(np.zeros(len(grid), dtype), mask=True)
    for row, params in enumerate(grid):
        if name in params:
            column[row] = params[name]
    return column
