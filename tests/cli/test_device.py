"""What XLA is told of a GPU before jax starts, and which versions a GPU's results depend on."""

import importlib.metadata
import os

import pytest

from jaxcls.cli import device


@pytest.fixture
def plugin(monkeypatch):
    """As if jax's plugin for GPUs were installed, with the user's own variables."""

    def install(**variables):
        for name in ("XLA_FLAGS", "XLA_PYTHON_CLIENT_PREALLOCATE"):
            monkeypatch.delenv(name, raising=False)
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
