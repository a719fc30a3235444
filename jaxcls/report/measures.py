"""Every number of a `metrics.json` with its interval, whatever it measures."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jaxcls.scores import accuracy_interval

# Where the numbers of a result are looked for first; the rest of what there is follows.
_FIRST = ("held_out", "test", "ensemble", "validation", "train")
# What is no result, or is told elsewhere on the page.
_NO_RESULT = {"config", "chosen", "seconds", "versions", "jax_variables", "winner"}
# Of a share: under which name stands how many there are, and what they are.
_HITS = {"accuracy": ("correct", "right"), "share": ("inside", "inside")}
# No measures by themselves.
_COUNTS = {"count", "correct", "inside", "num_networks", "ratio"}
_IN_WORDS = {
    "r_squared": "R squared",
    "rmse": "RMSE",
    "mae": "MAE",
    "roc_auc": "ROC AUC",
    "held_out": "held-out",
}


class Measure(NamedTuple):
    """A number of a result.

    Attributes:
        value: itself; of several runs their mean.
        interval: low and high end of its 95% interval, or None.
        more: what it comes from, in words; may be empty.
    """

    value: float
    interval: tuple[float, float] | None
    more: str

    def __str__(self) -> str:
        return ", ".join(filter(None, (shown(self.value), self.about)))

    @property
    def about(self) -> str:
        """Its interval and what it comes from, in words; may be empty."""
        interval = ""
        if self.interval is not None:
            low, high = map(shown, self.interval)
            interval = f"95% interval {low} to {high}"
        return "; ".join(filter(None, (interval, self.more)))


def measures(metrics: dict) -> dict[str, Measure]:
    """The numbers of a result by what they are, the one that tells most first.

    >>> test = {"loss": 0.01, "accuracy": 0.9, "correct": 9, "count": 10}
    >>> for name, each in measures({"train": None, "test": test}).items():
    ...     print(f"{name}: {each}")
    test accuracy: 0.9000, 95% interval 0.5958 to 0.9821; 9 of 10 right
    test loss: 0.0100
    """
    parts = [name for name in _FIRST if name in metrics]
    parts += [name for name in metrics if name not in {*_FIRST, *_NO_RESULT}]
    return {
        name: each
        for part in parts
        if isinstance(metrics[part], dict)
        for name, each in _within(_words(part), metrics[part])
    }


def _within(name: str, found: dict) -> Iterator[tuple[str, Measure]]:
    """The measures of a dict of them, the loss last, and of those that it holds."""
    if _is_number(found.get("mean")):
        yield name, _mean(found)
        return
    for key in sorted(found, key=lambda key: key == "loss"):
        value = found[key]
        if isinstance(value, dict):
            yield from _within(f"{name} {_words(key)}", value)
        elif key not in _COUNTS and _is_number(value):
            yield f"{name} {_words(key)}", _one(key, found)


def _mean(found: dict) -> Measure:
    """Of several runs, whose spread is told, too."""
    std, more = found.get("std"), ""
    if std is not None:
        ends = f"{shown(found['least'])} to {shown(found['greatest'])}"
        more = f"std {shown(std)}, range {ends}"
    return Measure(found["mean"], _ends((found.get("low"), found.get("high"))), more)


def _one(key: str, found: dict) -> Measure:
    interval, more = found.get(f"{key}_interval"), ""
    if key == "share":
        interval = found.get("interval")
    name, word = _HITS.get(key, ("", ""))
    hits = found.get(name)
    if hits is not None and "count" in found:
        more = f"{hits:,} of {found['count']:,} {word}"
        if interval is None:
            interval = accuracy_interval(hits, found["count"])
    return Measure(found[key], _ends(interval), more)


def _ends(interval: Sequence[float | None] | None) -> tuple[float, float] | None:
    """Of an interval that there is."""
    if interval is None:
        return None
    low, high = interval
    return None if low is None or high is None else (low, high)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _words(name: str) -> str:
    return _IN_WORDS.get(name, name.replace("_", " "))


def shown(value: float) -> str:
    """Four digits behind the point, or four in all where that would tell too few or too many.

    >>> shown(0.99953), shown(0.00002), shown(54.1234), shown(0.0)
    ('0.9995', '2.000e-05', '54.12', '0.0000')
    """
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 10 else f"{value:#.4g}"
