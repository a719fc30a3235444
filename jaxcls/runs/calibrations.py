"""What `metrics.json` keeps of a run's calibration, and the fields of `Run` that it stands for."""

from pathlib import Path
from typing import Any

from jaxcls.conformal import Conformal
from jaxcls.runs.records import shown


def calibration_of(metrics: dict, source: Path | str, num_classes: int) -> dict:
    """`temperature`, `threshold` and `conformal` of a `Run`; none where the file has none.

    Args:
        metrics: the content of `metrics.json`.
        source: what the message calls it.
        num_classes: of the run.

    Raises:
        ValueError: a value is none that it can have.

    >>> calibration_of({"calibration": {"temperature": 2.0}}, "metrics.json", 3)["temperature"]
    2.0
    """
    if "calibration" not in metrics:
        return {}
    kept = metrics["calibration"]
    if not isinstance(kept, dict):
        raise _wrong(source, "it", "temperature, threshold and conformal by name", kept)
    temperature, threshold = kept.get("temperature", 1.0), kept.get("threshold")
    if not (_is_number(temperature) and temperature > 0):
        raise _wrong(source, "temperature", "a number above 0", temperature)
    if threshold is not None:
        if not (_is_number(threshold) and 0 <= threshold <= 1):
            raise _wrong(source, "threshold", "a number in [0, 1], or null", threshold)
        if num_classes != 2:
            raise _wrong(
                source, "threshold", "null of more classes than two", threshold
            )
    sets = kept.get("conformal")
    if sets is not None:
        names = ("error", "least")
        if not (isinstance(sets, dict) and all(_is_share(sets.get(n)) for n in names)):
            raise _wrong(
                source, "conformal", "error and least in [0, 1], or null", sets
            )
        sets = Conformal(*(sets[name] for name in names))
    return {"temperature": temperature, "threshold": threshold, "conformal": sets}


def _wrong(source: Path | str, name: str, wanted: str, got: Any) -> ValueError:
    return ValueError(
        f"{source}: calibration: {name} must be {wanted}, got {shown(got)}."
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -1e300 < value < 1e300


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1
