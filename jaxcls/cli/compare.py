"""`scripts/compare.py`: is one better than the other? Runs of the same splits and seeds, paired."""

import contextlib
import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
from tyro.conf import Positional, arg

from jaxcls.cli import train
from jaxcls.cli.device import choose_device
from jaxcls.cli.evaluate import data_of
from jaxcls.cli.flags import BinaryFlags, MulticlassFlags, TrainFlags
from jaxcls.cli.outputs import check_free
from jaxcls.cli.parsing import parse, read_flags
from jaxcls.cli.pictures import draw_differences
from jaxcls.cli.resume import check_same_flags
from jaxcls.cli.screen import hand_out, show
from jaxcls.cli.sides import (
    Side,
    check_has_members,
    check_paired,
    check_same_members,
    side_of,
    sides_of_sweep,
)
from jaxcls.cli.signals import Stopped
from jaxcls.comparisons import Comparison, McNemar, compare, holm, mcnemar
from jaxcls.runs import load_run, read_config

_LEVEL = 0.05


@dataclasses.dataclass(frozen=True)
class CompareFlags:
    """Compare trainings by the same splits and seeds: is one really better?"""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN...")] = ()
    """Folders of two or more runs with the same data, splits (--folds, --resplit) or --seeds, of
    which the first is compared with each of the others; or of one sweep, with --settings."""
    a: str | None = None
    """In the place of folders: flags of a training that is run here, such as "--hidden 32"; what
    --a and --b share may stand in --both."""
    b: str | None = None
    """Flags of the other training."""
    settings: tuple[int, ...] = ()
    """Numbers, as its ranking has them, of two or more settings of the one sweep whose folder is
    named, of which the first is compared with each of the others by what ranked them."""
    both: str = ""
    """Flags of both, such as "--folds 5 --seeds 3"."""
    binary: bool = False
    """Whether --a and --b are trained by train_binary.py, and not by train_multiclass.py."""
    output_dir: Path | None = None
    """Folder for --a and --b, which are its a and b; those that it has are resumed, or taken as
    they are."""
    test: bool = False
    """Also ask the test set, which the splits leave untouched: each run's ensemble, by McNemar."""
    plot: Path | None = None
    """New file for a picture of the paired differences, a .png; by default differences.png in
    --output-dir, if that is given."""
    plots: bool = True
    """Draw that picture, once the result is shown."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute with --test."""
    json: bool = False
    """Print everything as JSON."""


def run(flags: CompareFlags) -> None:
    """Prints what the comparison says.

    Raises:
        ValueError, OSError, FloatingPointError: one sentence for the user.
    """
    _check(flags)
    first, *others = _sides(flags)
    # Where one of them trains on fewer rows, by its own validation set, the larger is the safe one.
    ratios = [max(first.ratio, other.ratio) for other in others]
    found = [
        compare(first.accuracies, other.accuracies, ratio)
        for other, ratio in zip(others, ratios, strict=True)
    ]
    adjusted = holm(np.array([each.p_value for each in found]))
    on_test = _on_tests(first, others, flags) if flags.test else []
    _tell(flags, first, others, found, adjusted, ratios, on_test)
    picture = flags.plot
    if picture is None and flags.output_dir is not None:
        picture = flags.output_dir / "differences.png"
    if flags.plots and picture is not None:
        draw_differences(picture, first, others, found)


def _tell(
    flags: CompareFlags,
    first: Side,
    others: list[Side],
    found: list[Comparison],
    adjusted: np.ndarray,
    ratios: list[float],
    on_test: list[dict],
) -> None:
    """Prints what the comparison says, in lines or as JSON."""
    if flags.json:
        entries = [
            _entry(first, other, each, p, ratio)
            for other, each, p, ratio in zip(
                others, found, adjusted, ratios, strict=True
            )
        ]
        for entry, test in zip(entries, on_test, strict=False):
            entry["test"] = test
        hand_out(*json.dumps(entries, indent=2).splitlines())
        return
    for other, each, p in zip(others, found, adjusted, strict=True):
        hand_out(*_lines(first, other, each, float(p), len(others)))
    for other, test in zip(others, on_test, strict=False):
        hand_out(
            f"test set: {first.name} alone right {test['only_a']:,} times, {other.name} "
            f"{test['only_b']:,}; McNemar's p {test['p_value']:.3g}"
            + (f", {test['p_holm']:.3g} by Holm" if len(others) > 1 else "")
        )


def _sides(flags: CompareFlags) -> list[Side]:
    if flags.settings:
        return sides_of_sweep(flags.runs[0], flags.settings)
    # What a training shows is no part of the JSON.
    screen = contextlib.redirect_stdout(sys.stderr) if flags.json else None
    with screen or contextlib.nullcontext():
        paths = flags.runs or _trained(flags)
    first, *others = [side_of(path) for path in paths]
    for other in others:
        check_paired(first, other)
    return [first, *others]


def _check(flags: CompareFlags) -> None:
    given = flags.a is not None, flags.b is not None
    if flags.runs and any(given):
        raise ValueError("name folders of runs, or --a and --b, not both.")
    if not flags.runs and not all(given):
        raise ValueError(
            "name two or more folders of runs, or give --a and --b, the flags of two trainings."
        )
    if flags.runs and (flags.both or flags.binary or flags.output_dir is not None):
        raise ValueError(
            "--both, --binary and --output-dir are for trainings that run here, with --a and --b; "
            "leave them out beside folders."
        )
    if flags.settings and len(flags.runs) != 1:
        raise ValueError("--settings are those of one sweep; name its folder alone.")
    if flags.settings and flags.test:
        raise ValueError(
            "--test is for folders of runs; a sweep scores its winner alone on the test set."
        )
    if len(flags.runs) == 1 and not flags.settings:
        raise ValueError(
            f"{flags.runs[0]}: one folder alone was named; name those to compare it with, or, "
            "of a sweep, two of its --settings."
        )
    if flags.plot is not None:
        if flags.plot.suffix.lower() != ".png":
            raise ValueError(f"--plot {flags.plot}: must be a .png file.")
        check_free(flags.plot, "--plot")


def _trained(flags: CompareFlags) -> list[Path]:
    """The folders of --a and --b, trained here as far as they are not."""
    root, kind = flags.output_dir, BinaryFlags if flags.binary else MulticlassFlags
    if root is None:
        raise ValueError("--a and --b need an --output-dir, in which they are trained.")
    argvs, given = {}, {}
    for name, own in (("a", flags.a), ("b", flags.b)):
        path, argv = root / name, [*_words(own or ""), *_words(flags.both)]
        show(f"{name}: {kind.SCRIPT} {shlex.join(argv)}")
        argvs[path] = [*argv, "--no-plots"]
        given[path] = parse(kind, f"{kind.SCRIPT}, {name}", argvs[path])
        if (path / "config.json").exists():
            _check_began_so(path, given[path])
        check_has_members(str(path), given[path])
    one, two = ((str(path), each) for path, each in given.items())
    check_same_members(one, two)  # which need not be trained to tell
    for path, argv in argvs.items():
        where = ["--output-dir", str(path)]
        if (path / "config.json").exists():
            where = ["--resume", str(path)]
        try:
            train.run(parse(kind, f"{kind.SCRIPT}, {path.name}", [*argv, *where]))
        except (ValueError, TypeError, FloatingPointError) as error:
            raise ValueError(f"{path.name}: {error}") from error
        except Stopped as stop:
            stop.args = (f"stopped; the same command goes on with {root}",)
            raise
    return [*argvs]


def _check_began_so(path: Path, given: TrainFlags) -> None:
    """Raises ValueError where a folder has a training by other flags than are given now."""
    before = read_flags(type(given), read_config(path)[0])
    if given.classes is None:  # of which the folder has the numbers
        given = dataclasses.replace(given, classes=before.classes)
    try:
        check_same_flags(before, given)
    except ValueError as error:
        differs, _, _ = str(error).partition(",")
        raise ValueError(
            f"{path} is by other flags ({differs}); give those, or another --output-dir."
        ) from None


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"flags {text!r} can't be read: {error}.") from None


def _on_tests(first: Side, others: list[Side], flags: CompareFlags) -> list[dict]:
    """McNemar's test of the first ensemble and each other, corrected for their number."""
    found = [_on_test(first, other, flags) for other in others]
    adjusted = holm(np.array([each.p_value for each in found]))
    return [
        each._asdict() | {"p_holm": p}
        for each, p in zip(found, adjusted.tolist(), strict=True)
    ]


def _on_test(first: Side, other: Side, flags: CompareFlags) -> McNemar:
    right = []
    with jax.default_device(choose_device(flags.device, preallocate=False)):
        for side in (first, other):
            trained = load_run(side.path)
            if trained.target is not None:
                raise ValueError(
                    f"--test counts right answers, and {side.path} predicts numbers; leave it out."
                )
            test = data_of(trained).test
            right.append(trained.predict_places(test.features) == test.targets)
    return mcnemar(*right)


def _entry(
    first: Side, other: Side, found: Comparison, adjusted: float, ratio: float
) -> dict:
    numbers = {
        "mean_a": float(first.accuracies.mean()),
        "mean_b": float(other.accuracies.mean()),
        "count": len(first.accuracies),
        "unit": first.unit,
        **found._asdict(),
        "p_holm": adjusted,
        "ratio": ratio,
        "conclusion": _conclusion(found, adjusted, first.unit, first),
    }
    return {
        "a": first.name,
        "b": other.name,
        "folders": [str(first.path), str(other.path)],
    } | {
        name: None if isinstance(value, float) and np.isnan(value) else value
        for name, value in numbers.items()
    }


def _lines(
    first: Side, other: Side, found: Comparison, adjusted: float, count: int
) -> list[str]:
    """The numbers, and one sentence of what follows and what does not."""
    a, b, unit = first.name, other.name, first.unit
    interval = "no interval"
    if not np.isnan(found.low):
        interval = f"95% interval {found.low:+.4f} to {found.high:+.4f}"
    means = f"{first.accuracies.mean():.4f} and {other.accuracies.mean():.4f}"
    lines = [
        "",
        f"A {a}, B {b}: {first.score.replace('_', ' ')} {means}, {_count(first)}",
        f"A - B           {found.difference:+.4f}, {interval}",
        f"p               {_told(found.p_value, '.3g')} (corrected resampled t), "
        f"{found.p_permutation:.3g} (sign flips)"
        + (
            f", {_told(adjusted, '.3g')} by Holm for {count} comparisons"
            if count > 1
            else ""
        ),
        f"a new one       A is better with probability {_told(found.beats, '.2f')}",
        _conclusion(found, adjusted, unit, first),
    ]
    return lines


def _count(side: Side) -> str:
    count = len(side.accuracies)
    return f"{count} {side.unit}" if count > 1 else f"one {side.unit[:-1]}"


def _told(value: float, how: str) -> str:
    return "not known" if np.isnan(value) else f"{value:{how}}"


def _conclusion(found: Comparison, adjusted: float, unit: str, first: Side) -> str:
    where = (
        "on further splits of these data"
        if unit == "splits"
        else "for further seeds on this one split, of which other splits may say otherwise"
    )
    if found.difference == 0 and np.isnan(found.low):
        return "They are equal on each: nothing tells them apart."
    if len(first.accuracies) == 1:
        return f"One of the {unit} alone tells no spread: take more."
    if np.isnan(adjusted):
        return f"The difference is the same for all {unit}, so its spread is not known: take more."
    if adjusted < _LEVEL:
        better = "A" if found.difference > 0 else "B"
        return f"{better} is better {where}, by the p value."
    if found.p_value < _LEVEL:
        return (
            f"It is not shown that either is better {where}: alone this comparison would show it, "
            "among so many it does not."
        )
    more = (
        f"; about {found.needed:,} {unit} would settle it if the difference stayed as it is"
        if found.needed is not None
        else "; with this difference and spread no number of them would settle it"
    )
    return f"It is not shown that either is better {where}{more}."
