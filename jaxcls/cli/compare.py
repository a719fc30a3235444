"""`scripts/compare.py`: is one better than the other? Runs of the same splits and seeds, paired."""

import csv
import dataclasses
import json
import shlex
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import jax
import numpy as np
from tyro.conf import Positional, arg

from jaxcls.cli import train
from jaxcls.cli.device import choose_device
from jaxcls.cli.evaluate import data_of
from jaxcls.cli.flags import BinaryFlags, MulticlassFlags, TrainFlags
from jaxcls.cli.parsing import parse, read_flags
from jaxcls.cli.screen import hand_out, show
from jaxcls.comparisons import Comparison, compare, holm, mcnemar
from jaxcls.files import write_whole
from jaxcls.runs import load_run, plots, read_metrics

_KINDS: dict[str, type[TrainFlags]] = {
    kind.SCRIPT: kind for kind in (MulticlassFlags, BinaryFlags)
}
# What must be the same of two runs, so that each member of one has its partner in the other.
_PAIRING = ("folds", "repeats", "resplit", "seeds", "seed", "split_seed")
_LEVEL = 0.05


@dataclasses.dataclass(frozen=True)
class CompareFlags:
    """Compare trainings by the same splits and seeds: is one really better?"""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN...")] = ()
    """Folders of two or more runs with the same data, splits (--folds, --resplit) or --seeds. The
    first is compared with each of the others."""
    a: str | None = None
    """In the place of folders: flags of a training that is run here, such as "--hidden 32"; what
    --a and --b share may stand in --both."""
    b: str | None = None
    """Flags of the other training."""
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
    """File for a picture of the paired differences, a .png."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute with --test."""
    json: bool = False
    """Print everything as JSON."""


class Side(NamedTuple):
    """What a run's folder tells of its members.

    Attributes:
        path: of the folder.
        metrics: its `metrics.json`.
        flags: of its script.
        accuracies: [J, S] of each split and seed; of seeds alone [S, 1].
    """

    path: Path
    metrics: dict
    flags: TrainFlags
    accuracies: np.ndarray

    @property
    def ratio(self) -> float:
        """Rows held out over rows trained on; 0 where all share one split."""
        held = self.metrics.get("held_out")
        return 0.0 if held is None else held["ratio"]


def run(flags: CompareFlags) -> None:
    """Prints what the comparison says.

    Raises:
        ValueError, OSError, FloatingPointError: one sentence for the user.
    """
    _check(flags)
    first, *others = [_side(path) for path in flags.runs or _trained(flags)]
    for other in others:
        _check_paired(first, other)
    found = [
        compare(first.accuracies, other.accuracies, first.ratio) for other in others
    ]
    adjusted = holm(np.array([each.p_value for each in found]))
    on_test = [_on_test(first, other, flags) for other in others] if flags.test else []
    if flags.plot is not None:
        differences = {
            str(other.path): (first.accuracies - other.accuracies).mean(axis=1)
            for other in others
        }
        write_whole(flags.plot, plots.differences(differences, str(first.path)))
    if flags.json:
        entries = [
            _entry(first, other, each, p)
            for other, each, p in zip(others, found, adjusted, strict=True)
        ]
        for entry, test in zip(entries, on_test, strict=False):
            entry["test"] = test
        hand_out(*json.dumps(entries, indent=2).splitlines())
        return
    for other, each, p in zip(others, found, adjusted, strict=True):
        hand_out(*_lines(first, other, each, float(p), len(others)))
    for other, test in zip(others, on_test, strict=False):
        hand_out(
            f"test set: {first.path} alone right {test['only_a']:,} times, {other.path} "
            f"{test['only_b']:,}; McNemar's p {test['p_value']:.3g}"
        )


def _check(flags: CompareFlags) -> None:
    given = flags.a is not None, flags.b is not None
    if flags.runs and any(given):
        raise ValueError("name folders of runs, or --a and --b, not both.")
    if not flags.runs and not all(given):
        raise ValueError(
            "name two or more folders of runs, or give --a and --b, the flags of two trainings."
        )
    if len(flags.runs) == 1:
        raise ValueError(
            f"{flags.runs[0]}: one run alone was named; name those to compare it with."
        )
    if flags.plot is not None and flags.plot.suffix.lower() != ".png":
        raise ValueError(f"--plot {flags.plot}: must be a .png file.")


def _trained(flags: CompareFlags) -> list[Path]:
    """The folders of --a and --b, trained here as far as they are not."""
    root, kind = flags.output_dir, BinaryFlags if flags.binary else MulticlassFlags
    if root is None:
        raise ValueError("--a and --b need an --output-dir, in which they are trained.")
    paths = []
    for name, own in (("a", flags.a), ("b", flags.b)):
        path, argv = root / name, [*shlex.split(own or ""), *shlex.split(flags.both)]
        where = ["--output-dir", str(path)]
        if (path / "config.json").exists():
            where = ["--resume", str(path)]
        show(f"{name}: {kind.SCRIPT} {shlex.join(argv)}")
        train.run(parse(kind, f"{kind.SCRIPT}, {name}", [*argv, "--no-plots", *where]))
        paths.append(path)
    return paths


def _side(path: Path) -> Side:
    metrics = read_metrics(path)
    if metrics is None:
        raise ValueError(f"{path} holds no finished run; train it, or resume it.")
    config = metrics["config"]
    kind = _KINDS.get(config.get("script", ""))
    if kind is None:
        raise ValueError(
            f"{path}: made by {config.get('script')}, which has no members."
        )
    flags = read_flags(kind, config)
    if not (path / "seeds.csv").is_file():
        raise ValueError(
            f"{path} is a single run, which has no error bar; train it with --folds, --resplit or "
            "--seeds."
        )
    if metrics.get("diverged"):
        raise ValueError(
            f"{path}: seeds {' '.join(map(str, metrics['diverged']))} diverged, and have no "
            "accuracy to compare; train it with a smaller learning_rate, or clip_norm."
        )
    with open(path / "seeds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    part = "test" if metrics.get("held_out") is None else "held_out"
    try:
        accuracies = np.array([float(row[f"{part}_accuracy"]) for row in rows])
        splits = accuracies.reshape(-1, 1 if part == "test" else flags.seeds)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path}/seeds.csv: no table of its runs ({error}).") from None
    return Side(path, metrics, flags, splits)


def _check_paired(first: Side, other: Side) -> None:
    """Raises ValueError unless each member of one run has its partner in the other."""
    one, two = first.metrics["config"], other.metrics["config"]
    if one["data_sha256"] != two["data_sha256"] or one["labels"] != two["labels"]:
        raise ValueError(
            f"{first.path} and {other.path} have other data, and can't be paired; train both on "
            "the same."
        )
    for name in _PAIRING:
        mine, others = getattr(first.flags, name), getattr(other.flags, name)
        if mine != others:
            raise ValueError(
                f"{first.path} and {other.path} can't be paired: --{name.replace('_', '-')} is "
                f"{mine} there and {others} here; train both with the same."
            )


def _on_test(first: Side, other: Side, flags: CompareFlags) -> dict:
    """McNemar's test of two ensembles on their one test set."""
    right = []
    with jax.default_device(choose_device(flags.device, preallocate=False)):
        for side in (first, other):
            trained = load_run(side.path)
            test = data_of(trained).test
            predicted = trained.predict_proba(test.features).argmax(axis=1)
            right.append(predicted == test.targets)
    return mcnemar(*right)._asdict()


def _entry(first: Side, other: Side, found: Comparison, adjusted: float) -> dict:
    numbers = found._asdict() | {"p_holm": adjusted, "ratio": first.ratio}
    return {"a": str(first.path), "b": str(other.path)} | {
        name: None if isinstance(value, float) and np.isnan(value) else value
        for name, value in numbers.items()
    }


def _lines(
    first: Side, other: Side, found: Comparison, adjusted: float, count: int
) -> list[str]:
    """The numbers, and one sentence of what follows and what does not."""
    a, b = first.path, other.path
    unit = "splits" if first.ratio else "seeds"
    interval = "no interval"
    if not np.isnan(found.low):
        interval = f"95% interval {found.low:+.4f} to {found.high:+.4f}"
    means = f"{first.accuracies.mean():.4f} and {other.accuracies.mean():.4f}"
    lines = [
        "",
        f"A {a}, B {b}: accuracy {means}, {len(first.accuracies)} {unit}",
        f"A - B           {found.difference:+.4f}, {interval}",
        f"p               {found.p_value:.3g} (corrected resampled t), "
        f"{found.p_permutation:.3g} (sign flips)"
        + (f", {adjusted:.3g} by Holm for {count} comparisons" if count > 1 else ""),
        f"a new one       A is better with probability {found.beats:.2f}",
        _conclusion(found, adjusted, unit, first),
    ]
    return lines


def _conclusion(found: Comparison, adjusted: float, unit: str, first: Side) -> str:
    where = (
        "on further splits of these data"
        if unit == "splits"
        else "for further seeds on this one split, of which other splits may say otherwise"
    )
    if found.difference == 0 and np.isnan(found.low):
        return "They are equal on each: nothing tells them apart."
    if np.isnan(adjusted):
        return f"The difference is the same for all {unit}, so its spread is not known: take more."
    if adjusted < _LEVEL:
        better = "A" if found.difference > 0 else "B"
        return f"{better} is better {where}, by what the interval says."
    more = (
        f"; about {found.needed:,} {unit} would settle it if the difference stayed as it is"
        if found.needed is not None
        else "; with this difference and spread no number of them would settle it"
    )
    return f"It is not shown that either is better {where}{more}."
