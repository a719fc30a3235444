"""Which device a run is on, and which versions it is made of."""

import contextlib
import importlib.metadata
import logging
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import jax

_OWN_DEVICES = (
    "xla_force_host_platform_device_count"  # the user's own number of devices
)
_ASK_FOR_DEVICES = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
_JAX_LOGGER = "jax._src.xla_bridge"
_PACKAGES = ("jaxcls", "jax", "jaxlib", "optax", "numpy")
# What a GPU's results depend on besides.
_GPU_PLUGINS = ("jax-cuda12-plugin", "jax-cuda13-plugin")
_CUBLAS = ("nvidia-cublas-cu12", "nvidia-cublas")
# XLA times several kernels for each product on a GPU and keeps the fastest, which may be
# another one in another process, and round otherwise. With this it takes the same one always.
_SAME_KERNELS = "--xla_gpu_exclude_nondeterministic_ops"


def choose_device(name: str, *, preallocate: bool = True) -> jax.Device:
    """The device that `--device` asks for.

    Args:
        name: "cpu", "gpu", or "auto" for a GPU if jax sees one, else the CPU.
        preallocate: whether jax may take most of a GPU's memory at once, as training wants it.
            XLA_PYTHON_CLIENT_PREALLOCATE goes before.

    Raises:
        ValueError: "gpu" where jax sees none, or no device at all.

    >>> choose_device("cpu").platform
    'cpu'
    """
    if name == "cpu":
        # Before jax looks for devices, so that it takes no memory of a GPU that is not used.
        jax.config.update("jax_platforms", "cpu")
    else:
        _settle_for_gpus(preallocate)
    with _plugins_heard() as problems:
        try:
            device = jax.devices("cpu" if name == "cpu" else None)[0]
        # A variable asks for what is not here.
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device {name}: jax could start no device ({_reason(error)}); {_asked_for()}, or "
                "use --device cpu."
            ) from error
    if name == "gpu" and device.platform != "gpu":
        heard = "".join(f" ({each})" for each in problems)
        raise ValueError(
            f"device gpu: jax sees no GPU here, only {device.platform}{heard}; install "
            "jaxcls[cuda12] or jaxcls[cuda13] on a machine with an NVIDIA GPU, or use --device cpu."
        )
    return device


def choose_devices(name: str) -> list[jax.Device]:
    """The devices for many runs: all GPUs, or a CPU's cores as a device each.

    A core that trains runs of its own never waits for the others, which is the faster for
    networks as small as these.

    Args:
        name: as of `choose_device`.

    Raises:
        ValueError: as of `choose_device`.

    >>> len(choose_devices("cpu")) >= 1
    True
    """
    if _OWN_DEVICES not in os.environ.get("XLA_FLAGS", ""):
        # Once jax has started it is too late, and those that it has are taken.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", usable_cores())
    first = choose_device(name)
    devices = jax.devices(first.platform)
    if first.platform == "cpu" and jax.process_count() == 1:
        return devices[: usable_cores()]
    return devices


@contextlib.contextmanager
def _plugins_heard() -> Iterator[list[str]]:
    """Collects why jax's plugins could not start, of which jax else prints a traceback each.

    One for GPUs says so wherever there is none.
    """
    problems = []

    def without_tracebacks(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return True
        problems.append(_reason(error))
        return False

    logger = logging.getLogger(_JAX_LOGGER)
    logger.addFilter(without_tracebacks)
    try:
        yield problems
    finally:
        logger.removeFilter(without_tracebacks)


def _reason(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _asked_for() -> str:
    """What to unset of the variables that ask jax for a device."""
    given = [
        f"{name} (now {os.environ[name]!r})"
        for name in _ASK_FOR_DEVICES
        if name in os.environ
    ]
    return f"unset {' and '.join(given)}" if given else "mend what it names"


def _settle_for_gpus(preallocate: bool) -> None:
    """Tells XLA, which reads its variables once, how to use a GPU, where one can be used."""
    if not _installed(_GPU_PLUGINS):
        return
    given = os.environ.get("XLA_FLAGS", "")
    if _SAME_KERNELS not in given:
        os.environ["XLA_FLAGS"] = f"{given} {_SAME_KERNELS}=true".strip()
    if not preallocate:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def describe(device: jax.Device) -> str:
    """Platform and, where it says more, the model.

    >>> describe(choose_device("cpu"))
    'cpu'
    """
    kind = device.device_kind
    return device.platform if kind == device.platform else f"{device.platform} ({kind})"


def machine() -> str:
    """The processor and the cores that this process may use, on which the last bits depend.

    >>> "cores of" in machine()
    True
    """
    model = _cpu_info("model name") or platform.processor() or platform.machine()
    return f"{usable_cores()} cores of {model}"


def usable_cores() -> int:
    """Those that this process may use.

    >>> usable_cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def instruction_sets() -> str:
    """What the system tells of those for which programs are compiled."""
    fields = ("flags", "Features", "CPU implementer", "CPU part")  # x86 and ARM
    return " ".join(filter(None, map(_cpu_info, fields))) or platform.machine()


def _cpu_info(field: str) -> str | None:
    """What Linux says of the first processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(field):
                return line.split(":", 1)[1].strip()
    return None


def versions(device: str = "cpu") -> dict[str, str]:
    """Versions of Python and of the packages that results depend on.

    Args:
        device: as `describe` has it; on a GPU the plugin, cuBLAS and the driver count, too.

    >>> sorted(versions())
    ['jax', 'jaxcls', 'jaxlib', 'numpy', 'optax', 'python']
    """
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    found |= {"python": platform.python_version()}
    if not device.startswith("gpu"):
        return found
    found |= _installed((*_GPU_PLUGINS, *_CUBLAS))
    with contextlib.suppress(OSError):
        first = Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
        number = re.search(r"\d+\.\d+(\.\d+)?", first)
        if number is not None:
            found["nvidia driver"] = number[0]
    return found


def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of those that are here."""
    found = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
