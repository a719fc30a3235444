"""jax's own switches: the core of training under each, in a process of its own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

# Dropout, mini-batches, patience that ends early, every optional hyperparam; a state that was
# written and read again; many runs.
CORE = """
import json, tempfile
from pathlib import Path
import jax
import numpy as np
from jaxcls import Batch, Config, Hyperparams, Keys, bernoulli, evaluate, fit, init_state
from jaxcls.study.many import fit_many
from jaxcls.runs import newest_checkpoint, write_checkpoint

rng = np.random.default_rng(3)
y = np.arange(40) % 2
x = (rng.normal(size=(40, 3)) + y[:, None]).astype(np.float32)
train, validation = Batch(x[:30], y[:30]), Batch(x[30:], y[30:])
config = Config(
    (3, 4, 1), bernoulli, epochs=6, batch_size=8, dropout=True, monitor="accuracy",
    patience=2, schedule="cosine",
)
settings = Hyperparams(np.float64(0.05), 0.25, 0.01, 1.0, 0.1, (1.0, 2.0))
keys, found = Keys.from_seed(5), {}

def save(epoch, state):
    write_checkpoint(folder, epoch, state, [], {}, keep=9)

with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    state, history = fit(
        keys, config, settings, train, validation, checkpoint_every=1, on_checkpoint=save
    )
    last, _ = newest_checkpoint(folder)
    for path in (folder / "checkpoints").glob("*"):
        if "0000000001" not in path.name:
            path.unlink()
    first, _ = newest_checkpoint(folder)
    again, _ = fit(
        keys, config, settings, train, validation, state=first.state(init_state(keys, config))
    )
jax.tree.map(np.testing.assert_array_equal, again, state)
assert last.epoch == int(state.epoch) == len(history.loss) and first.epoch == 1
runs = fit_many((4, 5), config, settings, train, validation, width=2)
assert runs.epochs[1] == len(history.loss) and runs.finite.all()
assert np.isnan(runs.history.loss[1, int(runs.epochs[1]):]).all()
found["fit"] = history.loss.tolist()
found["many"] = runs.history.loss[1, : len(history.loss)].tolist()
found["score"] = float(evaluate(state.params, validation, config=config).loss)
found["devices"] = jax.device_count()
print(json.dumps(found))
"""


def core(**switches):
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("JAX_") and name != "XLA_FLAGS"
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CORE],
        env=kept | {"JAX_PLATFORMS": "cpu"} | switches,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def plain():
    return core()


@pytest.mark.slow
@pytest.mark.parametrize(
    "switches, tolerance",
    [
        ({"JAX_ENABLE_X64": "1"}, 1e-4),
        (
            {
                **{"JAX_DEBUG_NANS": "1", "JAX_DEBUG_INFS": "1"},
                "JAX_DEFAULT_PRNG_IMPL": "unsafe_rbg",
            },
            0,
        ),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, 1e-4),
        ({"JAX_DISABLE_JIT": "1"}, 1e-4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_training_is_the_same_under(switches, tolerance, plain):
    found = core(**switches)
    if "XLA_FLAGS" in switches:
        assert found.pop("devices") == 3
    for name in ("fit", "many", "score"):
        np.testing.assert_allclose(found[name], plain[name], tolerance)
