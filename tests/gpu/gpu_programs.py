"""jaxcls's jitted programs with abstract arguments, so that they can be made for a GPU without one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    Keys,
    bernoulli,
    categorical,
    ensembles,
    gaussian,
    layouts,
    losses,
    mlp,
    normal,
    training,
)
from jaxcls.config import split_seed
from jaxcls.interop.sklearn.segments import SEGMENT, Member, train_segment
from jaxcls.optimizers import OPTIMIZERS
from jaxcls.packing import Padded
from jaxcls.schedules import ScheduleName
from jaxcls.study.engine import Members, _run_round
from jaxcls.study.rows import Rows, Which
from jaxcls.study.sets import Sets

A = Config((784, 32, 1), bernoulli, "sgd", epochs=500)
D = replace(A, batch_size=16, shuffle=False, dropout=True, epochs=2)
M = Config((784, 32, 3), categorical, epochs=100)
T = Config((784, 128, 10), categorical, batch_size=128, epochs=15)
ROWS = {"A": 12_665, "D": 12_665, "M": 18_623, "T": 60_000}
JOBS = {"A": A, "D": D, "M": M, "T": T}


class Program(NamedTuple):
    """A jitted function, and the shapes that it is called with."""

    function: Callable[..., Any]
    args: tuple
    static: Mapping[str, Any] = MappingProxyType({})


def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


def examples(count, config, *, one_hot=False, weights=False):
    units = config.layer_sizes[-1]
    targets = shape(count, dtype=jnp.int32)
    if config.likelihood in (gaussian, normal):
        targets = shape(count)
    elif one_hot:
        targets = shape(count, units)
    features = shape(count, config.layer_sizes[0])
    return Batch(features, targets, shape(count) if weights else None)


def keys():
    return jax.eval_shape(lambda: Keys(*split_seed(np.uint32(0))))


def state(config):
    return jax.eval_shape(partial(training.init_state, config=config), keys())


def hyperparams(**more):
    numbers = {"learning_rate": 1e-3, "dropout_rate": 0.5, **more}
    return Hyperparams(**{name: shape(*np.shape(x)) for name, x in numbers.items()})


def padded(data):
    """As `layouts.pad`, of shapes."""
    count, width = data.features.shape
    return data._replace(features=Padded(shape(-(-count // 256) * 256, width)))


def epochs(config, data, of=None, validation=None, num_epochs=None):
    """A segment of training."""
    return Program(
        layouts.train_epochs,
        (
            state(config),
            data,
            keys(),
            of or hyperparams(),
            validation,
            shape(dtype=jnp.int32),
        ),
        {"config": config, "num_epochs": num_epochs or min(config.epochs, 10)},
    )


def job(name):
    """One of the benchmark's, with the data as `fit` lays them out for a GPU."""
    config = JOBS[name]
    data = examples(ROWS[name], config)
    if config.batch_size is None:
        data = padded(data)
    return epochs(config, data)


def one_round(config, count, width, mesh, validation=None):
    """`width` runs on each device of a mesh."""
    numbers = Hyperparams(
        shape(mesh.size, width), shape(mesh.size, width) if config.dropout else None
    )
    members = Members(shape(mesh.size, width, dtype=jnp.uint32), numbers)
    train = padded(examples(count, config))  # as `place` lays them out
    held = None if validation is None else examples(validation, config)
    scored = {"train": train} | ({} if held is None else {"validation": held})
    sets = Sets(train, held, scored)
    return Program(
        _run_round,
        (members, sets, shape(dtype=jnp.int32)),
        {"config": config, "mesh": mesh},
    )


def round_of_folds(config, count, width, mesh):
    """The same, of runs that have four fifths of the rows, or one less, and the others."""
    members = one_round(config, count, width, mesh).args[0]

    def which(size):
        rows = shape(mesh.size, width, size, dtype=jnp.int32)
        return Which(rows, shape(mesh.size, width, dtype=jnp.int32))

    rows = Rows(which(4 * count // 5), None, which(count // 5))
    pool = examples(count, config)
    return Program(
        _run_round,
        (
            members._replace(rows=rows),
            Sets(pool, None, {"train": pool}),
            shape(dtype=jnp.int32),
        ),
        {"config": config, "mesh": mesh},
    )


def segment_of_estimators(config, count, width):
    """`width` members of an estimator, of mini-batches, on all of the rows."""

    def each(*sizes, dtype=jnp.int32):
        return shape(width, *sizes, dtype=dtype)

    states = jax.tree.map(
        lambda leaf: each(*leaf.shape, dtype=leaf.dtype), state(config)
    )
    floats = {"dtype": jnp.float32}
    members = Member(
        each(2, dtype=jnp.uint32),
        Hyperparams(each(**floats), each(**floats), each(**floats)),
        Rows(Which(each(count), each())),
        each(SEGMENT, count),
        each(),
    )
    pool = examples(count, config, weights=True)
    sets = Sets(pool, None, {"train": pool}, shape(dtype=jnp.int32))
    return Program(train_segment, (states, members, sets), {"config": config})


def gradient_of(loss, logits, labels):
    def mean(logits, labels):
        return loss(logits, labels).mean()

    return Program(jax.jit(jax.value_and_grad(mean)), (logits, labels))


def small_programs(mesh):
    """Every program of jaxcls, on few examples, by name."""
    n = 200
    small = {name: replace(each, epochs=3) for name, each in JOBS.items()}
    few = {name: examples(n, each) for name, each in small.items()}
    a, d, m, t = (small[name] for name in "ADMT")
    held = replace(t, monitor="loss", patience=2)
    regression = replace(a, likelihood=gaussian, optimizer="adam")
    spread = replace(regression, likelihood=normal, layer_sizes=(784, 32, 2))
    weighed = {"weight_decay": 0, "label_smoothing": 0, "clip_norm": 0}
    classes, labels = shape(n, 10), shape(n, dtype=jnp.int32)
    params, stacked = (
        state(t).params,
        jax.tree.map(lambda leaf: shape(5, *leaf.shape), state(t).params),
    )
    two_outputs = jax.tree.map(lambda leaf: shape(5, *leaf.shape), state(spread).params)
    masks = (shape(n, 32, dtype=jnp.bool_),)
    drawn = partial(mlp.draw_masks, params=state(d).params, leading_shape=(4, 16))
    return {
        "split_seed": Program(split_seed, (shape(dtype=jnp.uint32),)),
        "mlp.init": Program(
            mlp._compiled_init, (keys().init,), {"layer_sizes": a.layer_sizes}
        ),
        "init_state": Program(
            *(training.first_state, (state(a).params, hyperparams())),
            {"config": a},
        ),
        "mlp.draw_masks": Program(jax.jit(drawn), (keys().dropout, shape())),
        "mlp.apply": Program(jax.jit(mlp.apply), (params, few["T"].features)),
        "train_step": Program(
            *(training.train_step, (state(d), few["D"], masks, hyperparams())),
            {"config": d},
        ),
        "A": epochs(a, padded(few["A"])),
        "A, rows as they are": epochs(a, few["A"]),
        "B, dropout in full batches": epochs(replace(a, dropout=True), few["A"]),
        "D": epochs(d, few["D"]),
        "D, shuffled": epochs(replace(d, shuffle=True), few["D"]),
        "M": epochs(m, padded(few["M"])),
        "M, one-hot": epochs(m, examples(n, m, one_hot=True)),
        "M, weights of rows": epochs(m, examples(n, m, weights=True)),
        "T": epochs(t, few["T"]),
        "T, validation and patience": epochs(held, few["T"], None, few["T"]),
        "T, all settings": epochs(
            *(replace(t, ema_decay=0.9), few["T"]),
            hyperparams(**weighed, class_weights=np.ones(10)),
        ),
        "gaussian": epochs(regression, examples(n, regression)),
        "normal": epochs(spread, examples(n, spread)),
        **{
            f"optimizer {name}": epochs(replace(m, optimizer=name), few["M"])
            for name in OPTIMIZERS
        },
        "momentum": epochs(replace(a, momentum=0.9), few["A"]),
        **{
            f"schedule {name}": epochs(replace(a, schedule=name), few["A"])
            for name in get_args(ScheduleName)
        },
        **{
            f"activation {name}": epochs(replace(a, activation=name), few["A"])
            for name in mlp.ACTIVATIONS
        },
        "score": Program(training.score, (params, few["T"]), {"config": t}),
        "score of A": Program(
            *(layouts.score_packed, (state(a).params, padded(few["A"]))), {"config": a}
        ),
        "ensembles.probabilities": Program(
            *(ensembles.probabilities, (stacked, few["T"].features)),
            {"likelihood": categorical},
        ),
        "ensembles.log_probabilities": Program(
            *(ensembles.log_probabilities, (stacked, few["T"].features)),
            {"likelihood": categorical},
        ),
        "ensembles.uncertainty": Program(
            *(ensembles.uncertainty, (stacked, few["T"].features)),
            {"likelihood": categorical},
        ),
        "ensembles.moments": Program(
            *(ensembles.moments, (two_outputs, few["A"].features)),
            {"likelihood": normal},
        ),
        "losses.normal_nll": gradient_of(losses.normal_nll, shape(n, 2), shape(n)),
        "losses.sigmoid_bce": gradient_of(losses.sigmoid_bce, shape(n), shape(n)),
        "losses.bce": gradient_of(losses.bce, shape(n), shape(n)),
        "losses.softmax_ce": gradient_of(losses.softmax_ce, classes, labels),
        "losses.softmax_ce, one-hot": gradient_of(losses.softmax_ce, classes, classes),
        "losses.nll": gradient_of(losses.nll, classes, labels),
        "losses.squared_error": gradient_of(losses.squared_error, shape(n), shape(n)),
        "round of D": one_round(d, n, 8, mesh),
        "round of M": one_round(m, n, 4, mesh),
        "round of D's folds": round_of_folds(replace(d, shuffle=True), n, 4, mesh),
        "segment of estimators": segment_of_estimators(
            replace(t, batch_size=16, epochs=SEGMENT), n, 4
        ),
        "round of T, validation": one_round(held, n, 4, mesh, n),
    }
