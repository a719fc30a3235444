"""The scripts' entry points: exit codes, and one sentence for what went wrong."""

import sys
from collections.abc import Sequence

import jax

from jaxcls.cli import train
from jaxcls.cli.flags import BinaryFlags, MulticlassFlags, TrainFlags, parse
from jaxcls.cli.screen import note


def train_binary(argv: Sequence[str] | None = None) -> int:
    """Runs `scripts/train_binary.py`; returns its exit code."""
    return _main(BinaryFlags, "train_binary.py", argv)


def train_multiclass(argv: Sequence[str] | None = None) -> int:
    """Runs `scripts/train_multiclass.py`; returns its exit code."""
    return _main(MulticlassFlags, "train_multiclass.py", argv)


def _main(flags: type[TrainFlags], script: str, argv: Sequence[str] | None) -> int:
    try:
        train.run(parse(flags, script, sys.argv[1:] if argv is None else argv), script)
    except KeyboardInterrupt as stop:
        note(script, f"interrupted{stop}")
        return 130
    except OSError as error:
        named = f"{error.filename}: {error.strerror}." if error.filename else str(error)
        note(script, named)
        return 2
    except (ValueError, TypeError, FloatingPointError, MemoryError) as error:
        note(script, str(error))
        return 2
    except jax.errors.JaxRuntimeError as error:  # above all, no memory for a huge layer
        note(script, f"jax could not run this: {error}")
        return 2
    return 0
