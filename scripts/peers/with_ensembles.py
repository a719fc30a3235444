"""Ten networks as one model of numbers, in jaxcls and in sklearn-contrib-bde.

Both train full batches, hold out a share for validation, and keep each network's best epoch. What is
timed of bde is the deep ensemble that its `BdeRegressor.fit` trains first, and not the sampling after
it, which jaxcls has not.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from common import (  # pyrefly: ignore[missing-import]
    Data,
    later,
    seconds_of,
    usable_cores,
    versions,
)
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

MEMBERS, HIDDEN, EPOCHS, RATE, HELD_OUT = 10, (16, 16, 16, 16), 1200, 1e-3, 0.15


def read(file: Path, target: str, seed: int) -> Data:
    """A .csv of numbers, standardised by the four fifths that train."""
    import pandas as pd

    frame = pd.read_csv(file)
    y = frame.pop(target).to_numpy(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(
        *(frame.to_numpy(np.float32), y), test_size=0.2, random_state=seed
    )

    def scaled(part: np.ndarray, by: np.ndarray) -> np.ndarray:
        return (part - by.mean(0)) / by.std(0)

    return Data(
        *(scaled(x_train, x_train), scaled(y_train, y_train)),
        *(scaled(x_test, x_train), scaled(y_test, y_train)),
    )


def fit_jaxcls(data: Data, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    import jaxcls
    from jaxcls.cli.device import choose_devices

    config = jaxcls.Config(
        (data.x_train.shape[1], *HIDDEN, 2),
        jaxcls.normal,
        optimizer="adam",
        epochs=EPOCHS,
        monitor="loss",
    )
    x, x_held, y, y_held = train_test_split(
        *(data.x_train, data.y_train), test_size=HELD_OUT, random_state=seed
    )
    runs = jaxcls.fit_many(
        range(seed * MEMBERS, (seed + 1) * MEMBERS),
        config,
        jaxcls.Hyperparams(RATE),
        jaxcls.Batch(x, y),
        jaxcls.Batch(x_held, y_held),
        devices=choose_devices("cpu"),
    )
    params, moments = cast(Any, runs.params), jaxcls.ensembles.moments
    return lambda x: np.asarray(moments(params, x, jaxcls.normal).mean)


def fit_bde(data: Data, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    import jax
    import optax

    # It trains as many members at once as there are devices.
    jax.config.update("jax_num_cpu_devices", usable_cores())
    from bde import BdeRegressor  # pyrefly: ignore[missing-import]

    model = BdeRegressor(
        *(MEMBERS, list(HIDDEN), seed),
        epochs=EPOCHS,
        patience=EPOCHS,  # without any it keeps the first weights
        validation_split=HELD_OUT,
        lr=RATE,
    )
    model._build_bde()
    members = model._bde.fit_members(
        *(jax.numpy.asarray(data.x_train), jax.numpy.asarray(data.y_train)[:, None]),
        epochs=EPOCHS,
        optimizer=optax.adam(RATE),
    )
    jax.block_until_ready([member.params for member in members])
    return lambda x: np.mean(
        [member.forward(member.params, x)[:, 0] for member in members], axis=0
    )


FIT = {"jaxcls": fit_jaxcls, "bde": fit_bde}
PACKAGES = {"jaxcls": "jaxcls", "bde": "sklearn-contrib-bde"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--who", choices=FIT, required=True)
    parser.add_argument("--table", type=Path, required=True, help="a .csv of numbers")
    parser.add_argument("--target", required=True, help="its column to predict")
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    data = read(flags.table, flags.target, flags.seed)
    first, _ = seconds_of(lambda: FIT[flags.who](data, flags.seed))
    seconds, predict = later(lambda: FIT[flags.who](data, flags.seed))
    predicting, guesses = later(lambda: predict(data.x_test))
    result = {
        "first_seconds": first,
        "train_seconds": seconds,
        "predict_ms": 1e3 * predicting,
        "train_accuracy": r2_score(data.y_train, predict(data.x_train)),
        "test_accuracy": r2_score(data.y_test, guesses),
        "versions": versions((PACKAGES[flags.who], "jax")),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
