"""`--calibrate`, `--threshold`, `--costs`, `--conformal`: learned of examples not trained on."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcls.calibration import fit_temperature, tempered
from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.screen import note
from jaxcls.cli.splits import num_splits
from jaxcls.conformal import check_error, least_probability
from jaxcls.data import Dataset
from jaxcls.data.table_columns import spaced
from jaxcls.probability_scores import log_loss
from jaxcls.runs import Run
from jaxcls.runs.calibrations import calibration_of
from jaxcls.scores import calibration_error
from jaxcls.thresholds import choose_threshold


class HeldOut(NamedTuple):
    """What a run says of N examples that it was not trained on.

    Attributes:
        name: what a person calls them.
        probabilities: [N, K], as of `Run.predict_proba`.
        log_probabilities: [N, K], as of `Run.predict_log_proba`.
        labels: [N] places of the right classes.
    """

    name: str
    probabilities: np.ndarray
    log_probabilities: np.ndarray
    labels: np.ndarray


def check_calibration_flags(flags: TrainFlags) -> None:
    """Raises ValueError for flags that are wrong whatever the data are."""
    splits = num_splits(flags) is not None
    if flags.threshold is not None and flags.costs is not None:
        raise ValueError("--threshold and --costs are two ways to choose; give one.")
    if isinstance(flags.threshold, float) and not 0 <= flags.threshold <= 1:
        raise ValueError(f"--threshold must lie in [0, 1], got {flags.threshold}.")
    if flags.costs is not None and not (
        len(flags.costs) == 2
        and all(0 <= each < np.inf for each in flags.costs)
        and any(flags.costs)
    ):
        raise ValueError(
            "--costs must be two numbers of at least 0, not both 0, got "
            f"{' '.join(map(str, flags.costs))}."
        )
    if flags.conformal is not None:
        check_error("--conformal", flags.conformal)
        if splits:
            raise ValueError(
                "--conformal needs examples that no network trained on, and --folds and --resplit "
                "leave none; give --validation-fraction 0.1 in their place."
            )
    names = _learned(flags)
    if names and not splits and not flags.validation_fraction:
        raise ValueError(
            f"{names[0]} needs a validation set; give --validation-fraction 0.1"
            + ("." if names == ["--conformal"] else ", or --folds 5.")
        )


def check_threshold_classes(flags: TrainFlags, class_names: Sequence[str]) -> None:
    """Raises ValueError for a threshold between more classes than two."""
    flag = "--costs" if flags.threshold is None else "--threshold"
    asked = flags.threshold is not None or flags.costs is not None
    if asked and len(class_names) != 2:
        raise ValueError(
            f"{flag} is for two classes, got {len(class_names)}: {spaced(class_names)}; leave it "
            "out, or name two with --classes."
        )


def _learned(flags: TrainFlags) -> list[str]:
    """The flags that ask for what is learned of examples."""
    asked = {
        "--calibrate": flags.calibrate,
        f"--threshold {flags.threshold}": isinstance(flags.threshold, str),
        "--costs": flags.costs is not None,
        "--conformal": flags.conformal is not None,
    }
    return [name for name, is_asked in asked.items() if is_asked]


def asks_for_examples(flags: TrainFlags) -> bool:
    """Whether something is learned of examples that were held out."""
    return bool(_learned(flags))


def calibration_of_validation(
    flags: TrainFlags, run: Run, validation: Dataset | None
) -> dict | None:
    """`calibration_record` of what a run, as it was trained, says of its validation set."""
    held = None
    if validation is not None and asks_for_examples(flags):
        x = validation.features
        p, log_p = run.predict_proba(x), run.predict_log_proba(x)
        held = HeldOut("validation examples", p, log_p, validation.targets)
    return calibration_record(flags, held, run.class_names)


def calibrated(run: Run, record: dict | None) -> Run:
    """The run with what the record says."""
    found = calibration_of(as_kept(record), "metrics.json", len(run.labels))
    return dataclasses.replace(run, **found)


def as_kept(record: dict | None) -> dict:
    """What `metrics.json` has of it."""
    return {} if record is None else {"calibration": record}


def calibration_record(
    flags: TrainFlags, held: HeldOut | None, class_names: Sequence[str]
) -> dict | None:
    """What `metrics.json` keeps as `calibration`; None where no flag asks for any.

    Args:
        flags: of the script, checked.
        held: what is learned of; None where the flags need nothing.
        class_names: K names.

    Raises:
        ValueError: a class has no example.
    """
    if held is None or not _learned(flags):
        return None if flags.threshold is None else {"threshold": flags.threshold}
    counts = np.bincount(held.labels, minlength=len(class_names))
    if not counts.all():
        raise ValueError(
            f"{_learned(flags)[0]}: class {class_names[int(counts.argmin())]} has none of the "
            f"{len(held.labels):,} {held.name}; hold out more with --validation-fraction."
        )
    found: dict = {"of": held.name, "count": len(held.labels)}
    if flags.calibrate:
        found |= _temperature(held)
    aim = flags.threshold if flags.costs is None else flags.costs
    if isinstance(aim, float):
        found["threshold"] = aim
    elif aim is not None:
        p = held.probabilities
        if found.get("temperature", 1.0) != 1:
            # In float32, as `Run.predict_proba` gives them.
            log_p = tempered(held.log_probabilities, found["temperature"])
            p = np.exp(log_p).astype(np.float32)
        found["threshold"] = choose_threshold(p[:, 1], held.labels, aim)
        found["threshold_for"] = aim
    if flags.conformal is not None:
        least = least_probability(held.probabilities, held.labels, flags.conformal)
        found["conformal"] = {"error": flags.conformal, "least": least}
        if least == 0:
            note(
                f"--conformal {flags.conformal}: {len(held.labels):,} {held.name} are too few, and "
                "each set holds every class; hold out more with --validation-fraction."
            )
    return found


def _temperature(held: HeldOut) -> dict:
    """The temperature, and what it makes better; 1 where none is the best."""
    try:
        temperature = fit_temperature(held.log_probabilities, held.labels)
    except ValueError as error:
        reason = str(error).removeprefix("fit_temperature: ").split(";")[0]
        note(f"--calibrate: the temperature stays 1, since of {held.name} {reason}.")
        temperature = 1.0
    after = tempered(held.log_probabilities, temperature)
    return {
        "temperature": temperature,
        "log_loss": {
            "before": log_loss(held.log_probabilities, held.labels),
            "after": log_loss(after, held.labels),
        },
        "calibration_error": {
            "before": calibration_error(held.probabilities, held.labels),
            "after": calibration_error(np.exp(after), held.labels),
        },
    }


def calibration_lines(record: dict | None, class_names: Sequence[str]) -> list[str]:
    """What a person is told of it.

    >>> loss, error = {"before": 0.05, "after": 0.04}, {"before": 0.02, "after": 0.01}
    >>> scores = {"temperature": 0.8, "log_loss": loss, "calibration_error": error}
    >>> print(*calibration_lines({"of": "rows", "count": 9} | scores, "ab"), sep="\\n")
    temperature     0.8000, of 9 rows: log loss 0.0500 before and 0.0400 after, calibration error \
0.0200 and 0.0100
    >>> print(*calibration_lines({"threshold": 0.25}, "ab"), sep="\\n")
    threshold       b from a probability of 0.2500 on; accuracies above are without it
    """
    if record is None:
        return []
    of = f"{record.get('count', 0):,} {record.get('of')}"
    lines = []
    if "temperature" in record:
        loss, error = record["log_loss"], record["calibration_error"]
        lines.append(
            f"{'temperature':15} {record['temperature']:.4f}, of {of}: log loss "
            f"{loss['before']:.4f} before and {loss['after']:.4f} after, calibration error "
            f"{error['before']:.4f} and {error['after']:.4f}"
        )
    if record.get("threshold") is not None:
        aim = record.get("threshold_for")
        why = ""
        if aim is not None:
            aim = aim if isinstance(aim, str) else f"costs of {aim[0]:g} and {aim[1]:g}"
            why = f", the best for {aim} of {of}"
        lines.append(
            f"{'threshold':15} {class_names[1]} from a probability of "
            f"{record['threshold']:.4f} on{why}; accuracies above are without it"
        )
    if "conformal" in record:
        sets = record["conformal"]
        lines.append(
            f"{'sets':15} of classes from a probability of {sets['least']:.4g} on, of {of}: at most "
            f"{sets['error']:.4g} of them lack the right one, on average"
        )
    return lines
