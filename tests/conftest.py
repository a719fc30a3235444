"""Settings and data for every test."""

import contextlib
import os
import time
from collections import Counter
from pathlib import Path

import jax
import pytest

from jaxcls import data, layouts
from jaxcls.cli.compile_cache import use_compile_cache

# What is compiled is kept here, and not in the user's own folder: for this process, the workers
# of pytest-xdist, the scripts under test, many of which train alike, and the next session.
ROOT = Path(__file__).parents[1]
CACHE = os.environ.get("JAXCLS_TESTS_CACHE", str(ROOT / ".pytest_cache" / "programs"))
os.makedirs(CACHE, mode=0o700, exist_ok=True)
for entry in os.scandir(CACHE):
    with contextlib.suppress(OSError):  # another process may remove it
        if entry.stat().st_mtime < time.time() - 7 * 86400:
            os.unlink(entry.path)
os.environ["JAXCLS_TESTS_CACHE"] = CACHE
os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE
jax.config.update("jax_compilation_cache_dir", CACHE)
use_compile_cache()

jax.config.update("jax_legacy_prng_key", "error")
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_num_cpu_devices", 8)
# Started at once: a script that a test runs in this process first would start it with fewer.
jax.devices()


LONGEST = ("test_torture.py", "test_readme.py", "test_gpu_check.py", "test_switches.py")
collect_ignore = ["types"]  # for type checkers, with errors on purpose


def pytest_addoption(parser):
    parser.addoption(
        "--as-gpu",
        action="store_true",
        help="make every choice of layouts, memory and width as for a GPU, on the CPU",
    )


def pytest_collection_modifyitems(config, items):
    if config.getoption("--as-gpu"):
        items[:] = [
            item for item in items if not item.get_closest_marker("cpu_choices")
        ]
    # They take a minute or more alone, which other cores spend on the rest if they come first.
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def as_gpu(request):
    if request.config.getoption("--as-gpu"):
        layouts.on_cpu = lambda devices: False


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


_TALLIES: dict[str, Counter[str]] = {}


@pytest.fixture(scope="session")
def tallies():
    """Of each reader that is fuzzed, how many inputs were "whole" and how many "refused"."""
    return _TALLIES


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        tallies = {reader: dict(tally) for reader, tally in _TALLIES.items()}
        session.config.workeroutput["tallies"] = tallies


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    for reader, tally in getattr(node, "workeroutput", {}).get("tallies", {}).items():
        _TALLIES.setdefault(reader, Counter()).update(tally)


def pytest_terminal_summary(terminalreporter):
    for reader, tally in _TALLIES.items():
        terminalreporter.write_line(
            f"fuzz: {reader} {tally.total():,} inputs, {tally['whole']:,} whole, "
            f"{tally['refused']:,} refused"
        )
