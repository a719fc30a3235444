"""Settings and data for every test."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import jax
import pytest

from jaxcls import data

# Scripts under test keep what they compile here, and not in the user's own folder; the
# environment is for their processes.
CACHE = tempfile.mkdtemp(prefix="jaxcls-tests-")
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE
jax.config.update("jax_compilation_cache_dir", CACHE)

jax.config.update("jax_legacy_prng_key", "error")
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_num_cpu_devices", 8)


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder with MNIST's four files; without it a test skips, and in CI it fails."""
    folder = Path(os.environ.get("JAXCLS_DATA_DIR", "")).absolute()
    if (folder / "train-images-idx3-ubyte.gz").is_file():
        return folder
    reason = "needs MNIST: set JAXCLS_DATA_DIR to a folder with its four .gz files"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; in CI this test may not be skipped")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mnist(mnist_dir):
    """Loads training and test batches of the given classes of real MNIST."""
    return lambda *classes: tuple(
        data.to_batch(part)
        for part in data.load("mnist", data_dir=mnist_dir, classes=classes)
    )


@pytest.fixture
def x64():
    """Runs a test with float64 switched on."""
    with jax.enable_x64(True):
        yield
