"""`fit_many`: `fit` for many seeds and hyperparams at once."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxcls.batches import Batch
from jaxcls.checks import check_hyperparams
from jaxcls.config import Config, Hyperparams, check_seed
from jaxcls.mlp import Params
from jaxcls.study.devices import member_mesh
from jaxcls.study.engine import Members, Runs, num_chunks, train_groups
from jaxcls.study.planning import plan_width, usual_memory
from jaxcls.study.rows import RowsGiven, checked_rows, groups_of, num_copied
from jaxcls.study.sets import check_sets, place, place_pool


def fit_many(
    seeds: Iterable[int],
    config: Config,
    hyperparams: Hyperparams,
    train: Batch,
    validation: Batch | None = None,
    test: Batch | None = None,
    *,
    params: Params | None = None,
    train_rows: RowsGiven | None = None,
    validation_rows: RowsGiven | None = None,
    test_rows: RowsGiven | None = None,
    width: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    on_chunks: Callable[[dict[int, Runs]], None] | None = None,
) -> Runs:
    """Trains S runs, each as `fit` would alone, and scores them.

    Each differs from `fit` by the order of float32 sums: losses agree within 3e-6, with the same
    counts, for full batches; with mini-batches training amplifies the last bit, up to 1.1e-4 and
    3 of 10,000 images in 5 epochs of ten classes of MNIST (`study/README.md`).

    They share the data and the config, and thereby one compiled program. A run whose loss or
    params are no longer finite goes on beside the others, whom it does not touch, and says so.

    With `train_rows` each run trains on rows of its own of `train`, as `fit` does on these alone,
    and is judged by other rows of it: folds and resplits (`data.folds`) are one program, or two
    where sizes differ in a way that changes a program.

    Args:
        seeds: S, of the runs' keys.
        config: static, of all.
        hyperparams: each a scalar for all runs, or [S]; class weights [K] or [S, K].
        train: the training set, on the host.
        validation: scored after each epoch; with `config.monitor` it chooses each run's params.
        test: scored once, with the chosen params.
        params: what the runs start from, leaves [S, ...]; drawn from the seeds by default.
        train_rows: [S, M] whole numbers, the rows of `train` that each run trains on, or S lists of
            them; all by default.
        validation_rows: rows likewise, in the place of `validation`.
        test_rows: rows likewise, in the place of `test`.
        width: runs that a device trains side by side, as `planning.plan_width` by default.
        devices: jax's by default.
        on_chunks: called with chunks of `width` runs, by their numbers, as they are trained; with
            rows of their own those of one program come before those of the next.

    Returns:
        What came of each, on the host.

    Raises:
        TypeError, ValueError: a shape, dtype, label or setting is wrong; the message names it.

    >>> from jaxcls import bernoulli
    >>> train = Batch(np.eye(2, dtype=np.float32), np.array([0, 1]))
    >>> config = Config((2, 8, 1), bernoulli, epochs=200)
    >>> fit_many(range(3), config, Hyperparams(0.1), train).scores["train"].correct
    array([2, 2, 2], dtype=int32)
    """
    for name, value, kind in (
        ("config", config, Config),
        ("hyperparams", hyperparams, Hyperparams),
    ):
        if not isinstance(value, kind):
            raise TypeError(
                f"fit_many: {name} must be a jaxcls.{kind.__name__}, got {type(value).__name__}."
            )
    if width is not None and width < 1:
        raise ValueError(f"fit_many: width must be at least 1, got {width}.")
    judged = train if validation_rows is not None else validation
    check_sets("fit_many", config, train, judged, test)
    members = _members(seeds, config, hyperparams, params)
    devices = jax.devices() if devices is None else devices
    mesh = member_mesh(devices)
    given = {"train": train_rows, "validation": validation_rows, "test": test_rows}
    given = {name: rows for name, rows in given.items() if rows is not None}
    if given:
        _check_apart(given, validation, test)
        rows = checked_rows("fit_many", given, len(members.seeds), len(train.targets))
        groups = groups_of(rows, config)
        sets = place_pool(mesh, train)
    else:
        groups = [(np.arange(len(members.seeds)), None)]
        sets = place(mesh, train, validation, test)
    widths = [
        width
        or plan_width(
            config,
            train,
            validation,
            test,
            num_runs=len(numbers),
            devices=devices,
            memory=usual_memory(devices),
            copied=0 if rows is None else num_copied(rows),
        )
        for numbers, rows in groups
    ]
    counts = [
        num_chunks(len(of), wide) for (of, _), wide in zip(groups, widths, strict=True)
    ]

    def tell(new: dict[tuple[int, int], Runs]) -> None:
        if on_chunks is not None:
            on_chunks(
                {sum(counts[:group]) + i: runs for (group, i), runs in new.items()}
            )

    return train_groups(
        members, groups, widths, sets, config=config, mesh=mesh, on_chunks=tell
    )


def _check_apart(
    given: dict[str, Any], validation: Batch | None, test: Batch | None
) -> None:
    if "train" not in given:
        raise ValueError(
            f"fit_many: {' and '.join(given)}_rows need train_rows: the rows that each run trains "
            "on, apart from these."
        )
    for name, data in (("validation", validation), ("test", test)):
        if data is not None:
            raise ValueError(
                f"fit_many: {name} is a set that all runs share, and train_rows give each run sets "
                f"of its own; give {name}_rows of train, or score the params with evaluate."
            )


def _members(
    seeds: Iterable[int],
    config: Config,
    hyperparams: Hyperparams,
    params: Params | None,
) -> Members:
    if not isinstance(seeds, Iterable):
        raise TypeError(
            f"fit_many: seeds must be several integers, got {seeds!r}; of one seed take fit, of "
            f"the first so many range({seeds!r})."
        )
    seeds = list(seeds)  # also of a generator
    for seed in seeds:
        check_seed("fit_many", seed)
    count = len(seeds)
    if count == 0:
        raise ValueError("fit_many: seeds must name at least one run, got none.")
    hyperparams = per_member(hyperparams, count)
    for row in range(count):
        check_hyperparams(
            "fit_many",
            jax.tree.map(lambda leaf, row=row: leaf[row], hyperparams),
            config,
        )
    if params is not None:
        params = jax.tree.map(np.asarray, params)
        sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(params)}
        if sizes != {(count,)}:
            raise ValueError(
                f"fit_many: params must have leaves [{count}, ...], one for each seed."
            )
    return Members(np.asarray(seeds, np.uint32), hyperparams, params)


def per_member(hyperparams: Hyperparams, count: int) -> Hyperparams:
    """Each hyperparam for each of so many runs, [S, ...], in the type that jax has for floats.

    Raises:
        ValueError: one is neither for all runs nor for so many.

    >>> per_member(Hyperparams(0.1), 3).learning_rate
    array([0.1, 0.1, 0.1], dtype=float32)
    """
    dtype = jax.dtypes.canonicalize_dtype(float)

    def spread_out(name: str, value: ArrayLike) -> np.ndarray:
        if np.asarray(value).dtype.kind not in "fiu":
            raise TypeError(f"fit_many: {name} must be a number, got {value!r}.")
        numbers, ndim = np.asarray(value, dtype), int(name == "class_weights")
        if numbers.ndim == ndim:
            return np.broadcast_to(numbers, (count, *numbers.shape))
        if numbers.ndim != ndim + 1 or len(numbers) != count:
            raise ValueError(
                f"fit_many: {name} must be one for all runs or {count} for as many seeds, got "
                f"{list(numbers.shape)}."
            )
        return numbers

    changed: dict[str, Any] = {
        name: spread_out(name, value)
        for name, value in hyperparams._asdict().items()
        if value is not None
    }
    return hyperparams._replace(**changed)
