"""What XLA is told of a GPU before jax starts, and which versions a GPU's results depend on."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcls.cli import device

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def plugin(monkeypatch):
    """As if jax's plugin for GPUs were installed, with the user's own variables."""

    def install(**variables):
        for name in ("XLA_FLAGS", "XLA_PYTHON_CLIENT_PREALLOCATE"):
            # Of one that is not there delenv alone keeps nothing to undo, and what a test sets
            # would stay: with other flags each later program is another, and compiled again.
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        version = importlib.metadata.version
        here = {"jax-cuda13-plugin": "0.10.2", "nvidia-cublas": "13.1.0"}
        monkeypatch.setattr(
            importlib.metadata, "version", lambda name: here.get(name) or version(name)
        )

    return install


@pytest.mark.parametrize(
    "given, want",
    [
        ({}, "--xla_gpu_exclude_nondeterministic_ops=true"),
        (
            {"XLA_FLAGS": "--xla_cpu_enable_fast_math=false"},
            "--xla_cpu_enable_fast_math=false --xla_gpu_exclude_nondeterministic_ops=true",
        ),
        (
            {"XLA_FLAGS": "--xla_gpu_exclude_nondeterministic_ops=false"},
            "--xla_gpu_exclude_nondeterministic_ops=false",
        ),
    ],
)
def test_a_gpu_takes_the_same_kernels_in_every_process(plugin, given, want):
    plugin(**given)
    device.choose_device("auto")
    assert os.environ["XLA_FLAGS"] == want
    assert "XLA_PYTHON_CLIENT_PREALLOCATE" not in os.environ


def test_without_a_plugin_or_on_the_cpu_nothing_is_told(plugin, monkeypatch):
    plugin()
    device.choose_device("cpu", preallocate=False)
    assert "XLA_FLAGS" not in os.environ
    monkeypatch.undo()
    before = dict(os.environ)
    device.choose_device("auto", preallocate=False)
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    "given, want",
    [({}, "false"), ({"XLA_PYTHON_CLIENT_PREALLOCATE": "true"}, "true")],
)
def test_a_small_job_leaves_a_gpus_memory_to_others(plugin, given, want):
    plugin(**given)
    device.choose_device("auto", preallocate=False)
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == want


def test_versions_of_a_gpu_are_told_on_a_gpu_alone(plugin):
    plugin()
    assert "jax-cuda13-plugin" not in device.versions("cpu")
    found = device.versions("gpu (NVIDIA H200)")
    assert found["jax-cuda13-plugin"] == "0.10.2"
    assert found["nvidia-cublas"] == "13.1.0"
    assert found.items() >= device.versions("cpu").items()


@pytest.fixture
def broken_plugin(tmp_path):
    """The path of a plugin of jax's that can't start, as one for GPUs where there is none."""
    (tmp_path / "a_plugin.py").write_text(
        'def initialize():\n    raise RuntimeError("no driver was found\\nnor a card")\n'
    )
    about = tmp_path / "a_plugin-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: a-plugin\nVersion: 1\n"
    )
    (about / "entry_points.txt").write_text("[jax_plugins]\na = a_plugin\n")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["auto", *(pytest.param(n, marks=pytest.mark.slow) for n in ("cpu", "gpu"))]
)
def test_a_plugin_that_finds_no_gpu_prints_no_traceback(name, broken_plugin):
    code = f"from jaxcls.cli.device import choose_device; print(choose_device({name!r}).platform)"
    path = os.pathsep.join([str(broken_plugin), str(SCRIPTS.parent)])
    left_out = {"JAX_PLATFORMS", "JAX_PLATFORM_NAME"}
    environment = {key: each for key, each in os.environ.items() if key not in left_out}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": path},
    )
    if name == "gpu":
        assert "only cpu (no driver was found); install" in done.stderr
    else:
        assert (done.stdout, done.stderr) == ("cpu\n", "")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AssertionError(), "AssertionError"),
        (RuntimeError("no such\nplatform"), "no such"),
    ],
)
def test_the_reason_is_never_empty_and_what_to_unset_is_named(
    error, reason, monkeypatch
):
    def refused(*_):
        raise error

    monkeypatch.setattr(device.jax, "devices", refused)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("JAX_PLATFORM_NAME", "tpu")
    with pytest.raises(ValueError) as told:
        device.choose_device("auto")
    assert (
        f"could start no device ({reason}); unset JAX_PLATFORM_NAME (now 'tpu')"
        in str(told.value)
    )
