"""What `predict.py` says beside a class: that it is unsure, and the set that holds the right one."""

import numpy as np

from jaxcls.data.table_columns import spaced
from jaxcls.runs import Run

UNSURE = "unsure"


def check_abstain(abstain: float | None, trained: Run) -> None:
    """Raises ValueError unless the run can be unsure, and the probability is one."""
    if abstain is None:
        return
    if not 0 < abstain <= 1:
        raise ValueError(f"--abstain must lie above 0 and at most be 1, got {abstain}.")
    if trained.target is not None:
        raise ValueError(
            f"--abstain is for classes, and the run predicts a number, {trained.target.name}; "
            "leave it out."
        )


def unfinished(trained: Run) -> str:
    """That a run is not finished, and what is missing yet."""
    flags = trained.record.get("flags", {})
    asked = ("calibrate", "threshold", "costs", "conformal")
    learned = any(flags.get(name) not in (None, False) for name in asked)
    return f"the run is not finished; it is taken as of {trained.source}" + (
        ", without the calibration that ends it." if learned else "."
    )


def withheld(entries: list[dict], abstain: float) -> list[dict]:
    """Entries, of which those whose class has a smaller probability are unsure.

    >>> entry = {"class": "3", "label": 3, "probabilities": {"3": 0.6, "8": 0.4}}
    >>> withheld([entry], 0.9)[0]["class"]
    'unsure'
    """
    nothing = {"class": UNSURE, "label": None}
    return [
        each | nothing if each["probabilities"][each["class"]] < abstain else each
        for each in entries
    ]


def with_sets(trained: Run, features: np.ndarray, entries: list[dict]) -> list[dict]:
    """Entries with the names of the classes in the set of each."""
    names = np.array(trained.class_names, object)
    return [
        {**entry, "set": names[held].tolist()}
        for entry, held in zip(entries, trained.predict_sets(features), strict=True)
    ]


def set_in_words(entry: dict) -> str:
    """The set of a line's entry, if it has one.

    >>> set_in_words({"set": ["3", "8"]}), set_in_words({"set": []}), set_in_words({})
    ('  one of 3 8', '  none of the classes', '')
    """
    if "set" not in entry:
        return ""
    if not entry["set"]:
        return "  none of the classes"
    return f"  one of {spaced(entry['set'])}"
