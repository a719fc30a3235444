"""The commands: `jaxcls train-binary` and the like, or scripts of the same names.

What they end with is here: exit codes, and one sentence for what went wrong.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

import jax

from jaxcls.cli import train
from jaxcls.cli.compile_cache import use_compile_cache
from jaxcls.cli.flags import BinaryFlags, MulticlassFlags, RegressionFlags, SweepFlags
from jaxcls.cli.parsing import parse
from jaxcls.cli.screen import hand_out, name_program, note, ready
from jaxcls.cli.signals import Stopped, ending_at_once


def train_binary(
    argv: Sequence[str] | None = None, called: str = "train_binary.py"
) -> int:
    """Trains and scores a classifier of two classes; returns the exit code."""
    return _main(called, lambda: train.run(parse(BinaryFlags, called, argv)))


def train_multiclass(
    argv: Sequence[str] | None = None, called: str = "train_multiclass.py"
) -> int:
    """Trains and scores a classifier of K classes; returns the exit code."""
    return _main(
        called,
        lambda: train.run(parse(MulticlassFlags, called, argv)),
    )


def train_regression(
    argv: Sequence[str] | None = None, called: str = "train_regression.py"
) -> int:
    """Trains and scores a network that predicts numbers; returns the exit code."""
    return _main(
        called,
        lambda: train.run(parse(RegressionFlags, called, argv)),
    )


def sweep(argv: Sequence[str] | None = None, called: str = "sweep.py") -> int:
    """Trains many settings with several seeds each, and ranks them; returns the exit code."""
    from jaxcls.cli import sweep as command

    return _main(called, lambda: command.run(parse(SweepFlags, called, argv)))


def evaluate(argv: Sequence[str] | None = None, called: str = "evaluate.py") -> int:
    """Scores a trained run on all its data; returns the exit code."""
    from jaxcls.cli import evaluate as command

    return _main(
        called,
        lambda: command.run(parse(command.EvaluateFlags, called, argv)),
    )


def predict(argv: Sequence[str] | None = None, called: str = "predict.py") -> int:
    """Predicts the classes of images and arrays; returns the exit code."""
    from jaxcls.cli import predict as command

    return _main(
        called,
        lambda: command.run(parse(command.PredictFlags, called, argv)),
    )


def export(argv: Sequence[str] | None = None, called: str = "export.py") -> int:
    """Writes a trained run for ONNX or PyTorch; returns the exit code."""
    from jaxcls.cli import export as command

    return _main(
        called,
        lambda: command.run(parse(command.ExportFlags, called, argv)),
    )


def compare(argv: Sequence[str] | None = None, called: str = "compare.py") -> int:
    """Compares trainings by the same splits and seeds; returns the exit code."""
    from jaxcls.cli import compare as command

    return _main(
        called,
        lambda: command.run(parse(command.CompareFlags, called, argv)),
    )


def reproduce(argv: Sequence[str] | None = None, called: str = "reproduce.py") -> int:
    """Computes every figure of the course notes, and compares; returns the exit code."""

    def job() -> int:
        from jaxcls.cli import reproduce as command

        # Two devices also where there is no GPU, for the notes' error of data on another
        # device than the network. It must be said before jax looks for devices.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", 2)
        return command.run(parse(command.ReproduceFlags, called, argv))

    return _main(called, job)


COMMANDS = {
    "train-binary": train_binary,
    "train-multiclass": train_multiclass,
    "train-regression": train_regression,
    "sweep": sweep,
    "compare": compare,
    "evaluate": evaluate,
    "predict": predict,
    "export": export,
    "reproduce": reproduce,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command `jaxcls`, whose first word names one of `COMMANDS`.

    Returns:
        The exit code.
    """
    name, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    if name in COMMANDS:
        return COMMANDS[name](rest[:-1], f"jaxcls {name}")
    with ready():
        if name not in ("-h", "--help"):
            given = (
                "no command was given" if not name else f"there is no command {name}"
            )
            note(
                f"{given}; name one of {', '.join(COMMANDS)}, or --help.",
                about="jaxcls",
            )
            return 2
        width = max(map(len, COMMANDS))
        hand_out("usage: jaxcls COMMAND [flags]; jaxcls COMMAND --help lists them.", "")
        for name, command in COMMANDS.items():
            hand_out(f"  {name:{width}}  {(command.__doc__ or '').partition(';')[0]}.")
    return 0


# What these commands need of jax, whatever its variables say. Some of them forbid what is done here:
# data go to the device, biases are added to rows, and optax counts steps in integers; another
# makes other numbers of a seed.
_SETTINGS = {
    "jax_threefry_partitionable": True,
    "jax_transfer_guard": "allow",
    "jax_numpy_rank_promotion": "allow",
    "jax_numpy_dtype_promotion": "standard",
}


def _main(called: str, job: Callable[[], int | None]) -> int:
    name_program(called)
    with ready():
        try:
            with _settled(), ending_at_once():
                use_compile_cache()
                return job() or 0
        except Stopped as stop:
            note(str(stop))
            return 128 + stop.signum
        except KeyboardInterrupt:
            note("interrupted.")
            return 130
        except BrokenPipeError:  # who reads the output has read enough
            return 0
        except OSError as error:
            named = str(error)
            if error.filename:
                named = f"{error.filename}: {error.strerror}."
            note(named)
            return 2
        except (ValueError, TypeError, FloatingPointError, MemoryError) as error:
            note(str(error) or "there is not enough memory.")
            return 2
        except jax.errors.JaxRuntimeError as error:  # above all, no memory for it
            note(f"jax could not run this: {error}")
            return 2
        except RuntimeError as error:
            if "can't start new thread" not in str(error):
                raise
            note(
                "the system lets this process start no more threads; allow more processes or "
                "more memory (ulimit -u, ulimit -v), or end others.",
            )
            return 2


@contextlib.contextmanager
def _settled() -> Iterator[None]:
    """With `_SETTINGS`, in every thread; afterwards as it was, for who calls this from Python."""
    before = {name: getattr(jax.config, name) for name in _SETTINGS}
    try:
        for name, value in _SETTINGS.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
