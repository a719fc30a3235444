"""What `scripts/compare.py` compares: the members of a run's folder, or of a sweep's setting."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxcls.cli.flags import (
    BinaryFlags,
    MulticlassFlags,
    RegressionFlags,
    SweepFlags,
    TrainFlags,
)
from jaxcls.cli.parsing import read_flags
from jaxcls.cli.splits import num_splits
from jaxcls.runs import read_metrics

_KINDS: dict[str, type[TrainFlags]] = {
    kind.SCRIPT: kind for kind in (MulticlassFlags, BinaryFlags, RegressionFlags)
}
# What must be the same of two runs, so that each member of one has its partner in the other.
_PAIRING = ("folds", "repeats", "resplit", "seeds", "seed", "split_seed")


class Side(NamedTuple):
    """What is known of the members that stand on one side of a comparison.

    Attributes:
        name: for the screen.
        path: of the folder that has them.
        config: of its `metrics.json`.
        flags: of the training script; None of a sweep's settings, which share theirs.
        accuracies: [J, S] of each split and seed; of seeds alone [S, 1].
        ratio: rows held out over rows trained on; 0 where all share one split.
        score: what these are, "accuracy"; or "r_squared" of numbers that are predicted.
    """

    name: str
    path: Path
    config: dict
    flags: TrainFlags | None
    accuracies: np.ndarray
    ratio: float
    score: str = "accuracy"

    @property
    def unit(self) -> str:
        """What its numbers are spread over."""
        return "splits" if self.ratio else "seeds"


def side_of(path: Path) -> Side:
    """The members of a folder that a training script wrote.

    Raises:
        ValueError: it is none, is not finished, has one member alone, or one that diverged.
    """
    metrics = finished(path)
    config = metrics["config"]
    script = config.get("script", "")
    if script == SweepFlags.SCRIPT:
        raise ValueError(
            f"{path} is a sweep; name two or more of its settings with --settings, by their "
            "numbers in its sweep.csv."
        )
    kind = _KINDS.get(script)
    if kind is None:
        raise ValueError(f"{path}: made by {script}, which has no members.")
    flags = read_flags(kind, config)
    check_has_members(str(path), flags)
    if metrics.get("diverged"):
        raise ValueError(
            f"{path}: seeds {' '.join(map(str, metrics['diverged']))} diverged, and have no "
            "accuracy to compare; train it with a smaller learning_rate, or clip_norm."
        )
    held = metrics.get("held_out")
    part = "test" if held is None else "held_out"
    table = path / "seeds.csv"
    score = "accuracy" if config.get("target") is None else "r_squared"
    accuracies = np.array(_column(rows_of(table), f"{part}_{score}", table))
    # A table of a version that kept no digest of it; the mean that was made of it is known.
    if len(accuracies) != len(metrics["chosen"]["seeds"]) or not math.isclose(
        accuracies.mean(), metrics[part][score]["mean"], abs_tol=1e-7
    ):
        raise ValueError(f"{table}: changed since it was written; train it again.")
    accuracies = accuracies.reshape(-1, 1 if held is None else flags.seeds)
    ratio = 0.0 if held is None else held["ratio"]
    return Side(str(path), path, config, flags, accuracies, ratio, score)


def sides_of_sweep(path: Path, settings: tuple[int, ...]) -> list[Side]:
    """The members of some of a sweep's settings, by what ranked them.

    Raises:
        ValueError: it is no finished sweep, has one member of each, or a setting is none, came
            twice, diverged, or was dropped before its last epoch.
    """
    config = finished(path)["config"]
    if "plan" not in config:
        raise ValueError(
            f"{path} is no sweep; --settings names settings of one folder that sweep.py wrote."
        )
    if len(set(settings)) < max(2, len(settings)):
        raise ValueError(
            "--settings must be two or more that differ, got "
            f"{' '.join(map(str, settings))}."
        )
    flags = read_flags(SweepFlags, config)
    splits = num_splits(flags)
    if splits is None and flags.seeds == 1:
        raise ValueError(
            f"{path} has a single run of each setting, which has no error bar; sweep with --folds, "
            "--resplit or --seeds."
        )
    ratio = config["plan"].get("ratio") if splits else 0.0
    if ratio is None:
        raise ValueError(
            f"{path} does not tell how many rows its splits held out, as sweeps do since 0.2.0; "
            "sweep again."
        )
    told = {row.get("setting"): row for row in rows_of(path / "sweep.csv")}
    table, found = path / "members.csv", []
    rows = rows_of(table)
    for setting in settings:
        _check_setting(path, setting, told.get(str(setting)))
        own = [row for row in rows if row.get("setting") == str(setting)]
        accuracies = np.array(_column(own, "validation_accuracy", table))
        if len(accuracies) != flags.seeds * (splits or 1):
            raise ValueError(
                f"{table}: must have {flags.seeds * (splits or 1)} runs of setting {setting}, got "
                f"{len(accuracies)}; sweep again."
            )
        accuracies = accuracies.reshape(-1, flags.seeds if splits else 1)
        found.append(Side(f"setting {setting}", path, config, None, accuracies, ratio))
    return found


def check_paired(first: Side, other: Side) -> None:
    """Raises ValueError unless each member of one folder has its partner in the other."""
    assert first.flags is not None and other.flags is not None
    one, two = first.config, other.config
    same = ("data_sha256", "labels", "target")
    if any(one.get(name) != two.get(name) for name in same):
        raise ValueError(
            f"{first.path} and {other.path} have other data, and can't be paired; train both on "
            "the same."
        )
    check_same_members((first.name, first.flags), (other.name, other.flags))
    # Whoever takes a validation set has other rows to train on, of the same splits.
    if first.ratio == other.ratio and one.get("sha256_of_rows") != two.get(
        "sha256_of_rows"
    ):
        raise ValueError(
            f"{first.path} and {other.path} drew other splits, by other versions of scikit-learn "
            "or NumPy; train both with the same."
        )


def check_has_members(name: str, flags: TrainFlags) -> None:
    """Raises ValueError unless the flags ask for several members."""
    if num_splits(flags) is None and flags.seeds == 1:
        raise ValueError(
            f"{name} is a single run, which has no error bar; train it with --folds, --resplit or "
            "--seeds."
        )


def check_same_members(
    first: tuple[str, TrainFlags], other: tuple[str, TrainFlags]
) -> None:
    """Raises ValueError unless both have the same splits and seeds."""
    (one, mine), (two, others) = first, other
    for name in _PAIRING:
        values = [getattr(flags, name) for flags in (mine, others)]
        if name == "split_seed":  # --seed by default
            values = [
                flags.seed if value is None else value
                for flags, value in zip((mine, others), values, strict=True)
            ]
        if values[0] != values[1]:
            here, there = ("none" if value is None else value for value in values)
            raise ValueError(
                f"{one} and {two} can't be paired: --{name.replace('_', '-')} is {here} in {one} "
                f"and {there} in {two}; train both with the same."
            )


def finished(path: Path) -> dict:
    """`metrics.json` of the finished run in a folder; ValueError if there is none."""
    if not path.is_dir():
        raise ValueError(
            f"{path}: there is no such folder; name those of finished runs."
        )
    metrics = read_metrics(path)
    if metrics is None:
        raise ValueError(f"{path} holds no finished run; train it, or resume it.")
    return metrics


def _check_setting(path: Path, setting: int, told: dict | None) -> None:
    """Raises ValueError unless the sweep's table says that a setting has its last scores."""
    if told is None:
        raise ValueError(
            f"{path} has no setting {setting}; take numbers of its sweep.csv."
        )
    if told.get("status") != "ok":
        raise ValueError(
            f"{path}: setting {setting} has no scores to compare (it is {told.get('status')}); take "
            "settings that sweep.csv calls ok."
        )


def rows_of(table: Path) -> list[dict[str, str]]:
    """The rows of a table that a study wrote.

    Raises:
        ValueError: it is missing, or no table.
    """
    try:
        with open(table, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise ValueError(f"{table}: {error.strerror}; train it again.") from None
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{table}: no table of its runs ({error!r}).") from None


def _column(rows: list[dict], name: str, table: Path) -> list[float]:
    try:
        return [float(row[name]) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{table}: no table of its runs ({error!r}).") from None
