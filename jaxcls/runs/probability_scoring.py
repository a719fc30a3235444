"""How much a run's probabilities are worth: what `evaluate.py` tells of them beside its counts."""

import numpy as np

from jaxcls.metrics import confusion
from jaxcls.probability_scores import average_precision, brier, log_loss, over_classes
from jaxcls.reliability import (
    accuracy_at,
    calibration_bins,
    calibration_interval,
    coverage_curve,
)
from jaxcls.runs.trained import Features, Run
from jaxcls.scores import balanced_accuracy, calibration_error, matthews, roc_auc

_COVERAGES = [percent / 100 for percent in range(100, 0, -1)]


def probability_scores(
    run: Run, features: Features, targets: np.ndarray, places: np.ndarray
) -> dict:
    """Scores of a run of classes, as plain numbers and lists.

    Args:
        run: as `load_run` gives it.
        features: [N, ...], as `Run.predict_proba` takes them.
        targets: [N] places 0..K-1 of the right classes.
        places: [N] those of the predicted ones.

    Returns:
        `balanced_accuracy`, `matthews`, `log_loss`, `brier`; `average_precision` of two classes,
        else None; `one_against_rest`, `roc_auc` and `average_precision` of more, or None, also
        where a class has no example; `calibration_interval` and `calibration_bins`; `coverage`,
        the accuracy of the surest answers; `sets` of a run that keeps some, or None; and `before`,
        some scores without temperature and threshold, or None of a run without.
    """
    log_p, p = run.predict_log_proba(features), run.predict_proba(features)
    bins = calibration_bins(p, targets)
    return _in_short(log_p, p, targets, places) | {
        "average_precision": _average_precision(log_p, targets),
        "one_against_rest": _one_against_rest(log_p, targets),
        "calibration_interval": list(calibration_interval(p, targets)),
        "calibration_bins": [
            {
                "from": low,
                "to": high,
                "count": count,
                "probability": mean,
                "accuracy": x,
            }
            for low, high, count, mean, x in zip(
                *(each.tolist() for each in bins), strict=True
            )
            if count
        ],
        "coverage": _coverage(p, targets, places),
        "sets": None if run.conformal is None else _sets(run, features, targets),
        "before": _before(run, features, targets),
    }


def _in_short(
    log_p: np.ndarray, p: np.ndarray, targets: np.ndarray, places: np.ndarray
) -> dict:
    counts = confusion(places, targets, p.shape[1])
    return {
        "balanced_accuracy": balanced_accuracy(counts),
        "matthews": matthews(counts),
        "log_loss": log_loss(log_p, targets),
        "brier": brier(p, targets),
    }


def _average_precision(log_p: np.ndarray, targets: np.ndarray) -> float | None:
    if log_p.shape[1] != 2 or not targets.any():
        return None
    return average_precision(_finite(log_p[:, 1] - log_p[:, 0]), targets)


def _one_against_rest(log_p: np.ndarray, targets: np.ndarray) -> dict | None:
    if log_p.shape[1] == 2 or len(np.unique(targets)) < log_p.shape[1]:
        return None
    return {
        "roc_auc": over_classes(roc_auc, log_p, targets)._asdict(),
        "average_precision": over_classes(average_precision, log_p, targets)._asdict(),
    }


def _finite(odds: np.ndarray) -> np.ndarray:
    """What is impossible to a likelihood of one's own is taken for the least of float32."""
    most = float(np.finfo(np.float32).max)
    return np.clip(odds, -most, most)


def _coverage(p: np.ndarray, targets: np.ndarray, places: np.ndarray) -> list[dict]:
    """Of each per cent of the examples, the surest ones, how many answers are right."""
    curve = coverage_curve(p[np.arange(len(p)), places], places == targets)
    found = []
    for share in _COVERAGES:
        least, accuracy = accuracy_at(curve, share)
        found.append({"coverage": share, "accuracy": accuracy, "from": least})
    return found


def _sets(run: Run, features: Features, targets: np.ndarray) -> dict:
    sets = run.predict_sets(features)
    held, sizes = sets[np.arange(len(sets)), targets], sets.sum(axis=1)
    return {
        "held": int(held.sum()),
        "share": float(held.mean()),
        "mean_size": float(sizes.mean()),
        "empty": int((sizes == 0).sum()),
    }


def _before(run: Run, features: Features, targets: np.ndarray) -> dict | None:
    """Some scores of the run as it was trained, or None where that is what it is."""
    if run.temperature == 1 and run.threshold is None:
        return None
    plain = run.as_trained()
    p = plain.predict_proba(features)
    places = plain.predict_places(features)
    return _in_short(plain.predict_log_proba(features), p, targets, places) | {
        "accuracy": float((places == targets).mean()),
        "calibration_error": calibration_error(p, targets),
    }
