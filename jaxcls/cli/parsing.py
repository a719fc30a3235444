"""From a command line, and from what a run's folder keeps of one, to flags."""

import argparse
import contextlib
import dataclasses
import io
import itertools
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from jaxcls.cli.flags import NOT_KEPT, RECIPES, BinaryFlags, SweepFlags, TrainFlags
from jaxcls.cli.screen import note
from jaxcls.runs import read_config

AnyFlags = TypeVar("AnyFlags")
Flags = TypeVar("Flags", bound=TrainFlags | SweepFlags)
Trained = TypeVar("Trained", bound=TrainFlags)


# What `resolved` fills in.
_FILLED = ("report_every", "checkpoint_every", "validation_fraction")
# How tyro tells of the values that a flag can't take; what each of several types said follows.
_NOT_TAKEN = r"Error parsing --(\S+): .*?(?:from \[|arguments: \[|: (?='))(.*?)(?:\]|$)"
# What one value of a type is called, and several.
_CALLED = {
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    str: ("a word", "words"),
    Path: ("a path", "paths"),
    NoneType: ("None", "None"),
}
_OF_FLAGS = ("--a", "--b", "--both")  # whose values are flags


def parse(kind: type[AnyFlags], prog: str, argv: Sequence[str] | None) -> AnyFlags:
    """Parses a script's arguments; a wrong one is said in a line and ends with exit code 2.

    A recipe, or a run to resume, is looked up first, so that its values are the other
    flags' defaults: what is given beside it wins, and `--recipe a --help` shows them.

    Raises:
        ValueError: the run to resume can't be read, or is another script's.
    """
    argv = _with_values_joined(sys.argv[1:] if argv is None else argv)
    if not issubclass(kind, TrainFlags | SweepFlags):
        return _parsed(kind, prog=prog, args=argv)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--recipe")
    first.add_argument("--resume")
    given = first.parse_known_args(argv)[0]
    default = kind()
    if kind is BinaryFlags and given.recipe in RECIPES:
        default = RECIPES[given.recipe]
    if given.resume is not None:
        default = read_flags(kind, read_config(Path(given.resume))[0])
    return _parsed(kind, prog=prog, args=argv, default=default)


def _with_values_joined(argv: Sequence[str]) -> list[str]:
    """With an = before a value of `compare.py` that is flags itself.

    >>> _with_values_joined(["--a", "--no-shuffle", "--json"])
    ['--a=--no-shuffle', '--json']
    """
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in _OF_FLAGS and word.startswith("-"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _parsed(kind: type[AnyFlags], **how: Any) -> AnyFlags:
    """`tyro.cli`, with a line in the place of its box for what is wrong."""
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, **how)
    except SystemExit as end:
        if end.code:
            note(_sentence(said.getvalue(), get_type_hints(kind)))
        raise


def _sentence(box: str, hints: dict[str, Any]) -> str:
    """What tyro's box says is wrong, and the flags that it names instead.

    Args:
        box: that it draws.
        hints: the flags' types by their names.

    >>> _sentence("╭─ Oh ──╮\\n│ Unrecognized options: --sed │\\n│ ───── │\\n│ Perhaps you meant: │"
    ...           "\\n│     --seed INT │\\n╰───────╯", {})
    'Unrecognized options: --sed; perhaps --seed is meant; --help lists the flags.'
    >>> _sentence("╭─ Oh ──╮\\n│ Error parsing --n: no type matching {a}|FLOAT could be instantiated "
    ...           "from ['b']. Got errors: │\\n│ - float │\\n╰───────╯", {"n": Literal["a"] | float})
    "--n takes a or a number, got 'b'; --help lists the flags."
    """
    # Behind the title and, where it is drawn in ASCII, a rule; up to the next rule.
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]
    lines = list(itertools.dropwhile(_is_rule, filter(None, lines)))
    first = list(itertools.takewhile(lambda line: not _is_rule(line), lines))
    meant = [line.split()[0] for line in lines[len(first) :] if line.startswith("--")]
    meant = [name for name in meant if name.strip("-")]
    told = " ".join(" ".join(first).split()).rstrip(".")
    wrong = re.match(_NOT_TAKEN, told)
    hint = hints.get(wrong[1].replace("-", "_")) if wrong else None
    if wrong and hint:
        told = f"--{wrong[1]} takes {_in_words(hint)}, got {wrong[2] or 'none'}"
    if told.startswith("Unrecognized") and meant:
        told += f"; perhaps {' or '.join(dict.fromkeys(meant))} is meant"
    return f"{told}; --help lists the flags."


def _in_words(hint: Any) -> str:
    """What a flag of a type takes.

    >>> _in_words(tuple[float, float] | None)
    'two numbers or None'
    >>> _in_words(Literal["balanced"] | tuple[float, ...] | None)
    'balanced, one or more numbers or None'
    """
    *most, last = _choices(hint)
    return f"{', '.join(most)} or {last}" if most else last


def _choices(hint: Any) -> list[str]:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return [each for part in parts for each in _choices(part)]
    if origin is Literal:
        return list(map(str, parts))
    if origin is tuple:
        # No flag takes another number of values than two, or any.
        count = "one or more" if parts[-1] is Ellipsis else "two"
        return [f"{count} {_CALLED[parts[0]][1]}"]
    return [_CALLED[hint][0]]


def _is_rule(line: str) -> bool:
    return not line.strip("─-")


def resolved(flags: Trained) -> Trained:
    """The flags with every default that depends on another flag filled in."""
    tenth = max(1, flags.epochs // 10)
    fraction = 0.0 if flags.patience is None else 0.1
    return dataclasses.replace(
        flags,
        report_every=tenth if flags.report_every is None else flags.report_every,
        checkpoint_every=(
            tenth if flags.checkpoint_every is None else flags.checkpoint_every
        ),
        validation_fraction=(
            fraction if flags.validation_fraction is None else flags.validation_fraction
        ),
    )


def read_flags(kind: type[Flags], config: dict) -> Flags:
    """The flags that a run's `config.json` keeps.

    Raises:
        ValueError: the run is another script's, or a flag has no value that it may have.
    """
    if config.get("script") != kind.SCRIPT:
        raise ValueError(
            f"the run was made by {config.get('script')}, not by {kind.SCRIPT}; use that."
        )
    values, hints = config.get("flags"), get_type_hints(kind)
    # A flag that it lacks came with a later version, and its default is what was done.
    if not isinstance(values, dict) or not values.keys() <= hints.keys() - NOT_KEPT:
        raise ValueError(
            "the run's config.json does not hold the flags of this version of jaxcls."
        )
    flags = {}
    for name, value in values.items():
        try:
            flags[name] = _as(hints[name], value)
        except (TypeError, OverflowError):
            raise ValueError(
                f"the run's config.json: {name} can't be {value!r}."
            ) from None
    return kind(**flags)


def words_of(flags: TrainFlags | SweepFlags) -> list[str]:
    """The words of a command line that `parse` makes these flags of, no more than it needs.

    >>> words_of(BinaryFlags(epochs=20, shuffle=False, hidden=(64, 32), report_every=2))
    ['--hidden', '64', '32', '--epochs', '20', '--no-shuffle']
    """
    default: TrainFlags | SweepFlags = type(flags)()
    words, filled = [], {}
    if isinstance(flags, BinaryFlags) and flags.recipe is not None:
        default, words = RECIPES[flags.recipe], ["--recipe", flags.recipe]
    if isinstance(flags, TrainFlags):
        empty = {name: getattr(default, name) for name in _FILLED}
        whole = resolved(dataclasses.replace(flags, **empty))
        filled = {name: getattr(whole, name) for name in _FILLED}
    for field in dataclasses.fields(flags):
        name, value = field.name, getattr(flags, field.name)
        usual = getattr(default, name)
        if name in NOT_KEPT or value in (usual, filled.get(name, usual)):
            continue
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag.removeprefix('--')}")
        else:
            many = value if isinstance(value, tuple) else (value,)
            words += [flag, *map(str, many)]
    return words


def _as(hint, value):
    """A value of JSON as a flag's type has it; TypeError if it is none."""
    origin, choices = get_origin(hint), get_args(hint)
    if origin is Literal and value in choices and isinstance(value, str):
        return value
    if origin in (Union, UnionType):
        for choice in choices:
            with contextlib.suppress(TypeError):
                return _as(choice, value)
    if origin is tuple and isinstance(value, list):
        return tuple(_as(choices[0], each) for each in value)
    if hint is float and type(value) is int and float(value) == value:
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if origin is None and type(value) is hint:
        return value
    raise TypeError
