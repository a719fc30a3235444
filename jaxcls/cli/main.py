"""The scripts' entry points: exit codes, and one sentence for what went wrong."""

import contextlib
from collections.abc import Callable, Sequence

import jax

from jaxcls.cli import train
from jaxcls.cli.compile_cache import use_compile_cache
from jaxcls.cli.flags import BinaryFlags, MulticlassFlags, SweepFlags
from jaxcls.cli.parsing import parse
from jaxcls.cli.screen import note, ready
from jaxcls.cli.signals import Stopped, ending_at_once


def train_binary(argv: Sequence[str] | None = None) -> int:
    """Runs `scripts/train_binary.py`; returns its exit code."""
    script = "train_binary.py"
    return _main(script, lambda: train.run(parse(BinaryFlags, script, argv), script))


def train_multiclass(argv: Sequence[str] | None = None) -> int:
    """Runs `scripts/train_multiclass.py`; returns its exit code."""
    script = "train_multiclass.py"
    return _main(
        script, lambda: train.run(parse(MulticlassFlags, script, argv), script)
    )


def sweep(argv: Sequence[str] | None = None) -> int:
    """Runs `scripts/sweep.py`; returns its exit code."""
    from jaxcls.cli import sweep as command

    script = "sweep.py"
    return _main(script, lambda: command.run(parse(SweepFlags, script, argv), script))


def evaluate(argv: Sequence[str] | None = None) -> int:
    """Runs `scripts/evaluate.py`; returns its exit code."""
    from jaxcls.cli import evaluate as command

    script = "evaluate.py"
    return _main(
        script, lambda: command.run(parse(command.EvaluateFlags, script, argv))
    )


def predict(argv: Sequence[str] | None = None) -> int:
    """Runs `scripts/predict.py`; returns its exit code."""
    from jaxcls.cli import predict as command

    script = "predict.py"
    return _main(
        script, lambda: command.run(parse(command.PredictFlags, script, argv), script)
    )


def reproduce(argv: Sequence[str] | None = None) -> int:
    """Runs `scripts/reproduce.py`; returns its exit code."""
    script = "reproduce.py"

    def job() -> int:
        from jaxcls.cli.reproduce import command

        # Two devices also where there is no GPU, for the notes' error of data on another
        # device than the network. It must be said before jax looks for devices.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", 2)
        return command.run(parse(command.ReproduceFlags, script, argv))

    return _main(script, job)


# What a variable of jax's may forbid, so that code under test shows it, these commands do: data
# go to the device, biases are added to rows, and optax counts steps in integers.
_NOT_FORBIDDEN = {
    "jax_transfer_guard": "allow",
    "jax_numpy_rank_promotion": "allow",
    "jax_numpy_dtype_promotion": "standard",
}


def _main(script: str, job: Callable[[], int | None]) -> int:
    with ready():
        for name, value in _NOT_FORBIDDEN.items():
            jax.config.update(name, value)
        try:
            with ending_at_once():
                use_compile_cache(script)
                return job() or 0
        except Stopped as stop:
            note(script, str(stop))
            return 128 + stop.signum
        except KeyboardInterrupt:
            note(script, "interrupted.")
            return 130
        except BrokenPipeError:  # who reads the output has read enough
            return 0
        except OSError as error:
            named = str(error)
            if error.filename:
                named = f"{error.filename}: {error.strerror}."
            note(script, named)
            return 2
        except (ValueError, TypeError, FloatingPointError, MemoryError) as error:
            note(script, str(error) or "there is not enough memory.")
            return 2
        except jax.errors.JaxRuntimeError as error:  # above all, no memory for it
            note(script, f"jax could not run this: {error}")
            return 2
        except RuntimeError as error:
            if "can't start new thread" not in str(error):
                raise
            note(
                script,
                "the system lets this process start no more threads; allow more processes or "
                "more memory (ulimit -u, ulimit -v), or end others.",
            )
            return 2
