"""How well a trained run does on labelled examples: what `evaluate.py` prints."""

import numpy as np

from jaxcls.metrics import confusion
from jaxcls.runs.number_scoring import number_ensemble_scores, number_scores
from jaxcls.runs.probability_scoring import probability_scores
from jaxcls.runs.trained import Features, Run
from jaxcls.scores import (
    accuracy_interval,
    calibration_error,
    class_scores,
    roc_auc,
)


def score(run: Run, features: Features, targets: np.ndarray) -> dict:
    """Every score of a run on labelled examples, as plain numbers and lists.

    Args:
        run: as `load_run` gives it.
        features: [N, ...], or the name of a file, as `Run.predict_proba` takes them.
        targets: [N] places 0..K-1 of the right classes in `run.labels`; of a run that predicts
            numbers as `number_scores` has them, which gives its scores.

    Returns:
        `count`, `correct`, `accuracy` and its 95% `accuracy_interval` (Wilson's); by class
        `precision`, `recall`, `f1` and `support`; `roc_auc` of two classes, else None;
        `calibration_error`; `confusion` [K, K], rows the right classes; and what
        `probability_scores` tells.

    Raises:
        ValueError: as of `Run.predict_proba`.
    """
    if run.target is not None:
        return number_scores(run, features, targets)
    probabilities = run.predict_proba(features)
    labels = run.labels
    predictions = run.predict_places(features)
    counts = confusion(predictions, targets, len(labels))
    correct, count = int(np.trace(counts)), int(counts.sum())
    by_class = class_scores(counts)
    return {
        "count": count,
        "correct": correct,
        "accuracy": correct / count,
        "accuracy_interval": accuracy_interval(correct, count),
        "precision": by_class.precision.tolist(),
        "recall": by_class.recall.tolist(),
        "f1": by_class.f1.tolist(),
        "support": by_class.support.tolist(),
        "roc_auc": (
            # By log odds: probabilities round to 0 or 1, and would tie.
            roc_auc(run.log_odds(features), targets) if len(labels) == 2 else None
        ),
        "calibration_error": calibration_error(probabilities, targets),
        "confusion": counts.tolist(),
    } | probability_scores(run, features, targets, predictions)


def ensemble_scores(run: Run, features: Features, targets: np.ndarray) -> dict:
    """An ensemble's scores beside those of its networks, each alone; see `score`.

    Returns:
        `count`, `correct`, `accuracy`, `calibration_error`, `num_networks`; `before`: the same
        as it was trained, of an ensemble with a temperature; `alone`: means over the
        networks; `uncertainty`: means in nats over what is `right` and what is `wrong`.
    """
    if run.target is not None:
        return number_ensemble_scores(run, features, targets)
    together = _in_short(run, features, targets)
    alone = [_in_short(member, features, targets) for member in run.members()]
    unsure = run.uncertainty(features)
    right = run.predict_places(features) == targets

    def mean_uncertainty(rows: np.ndarray) -> dict | None:
        if not rows.any():
            return None
        return {
            name: float(np.mean(values[rows], dtype=np.float64))
            for name, values in unsure._asdict().items()
        }

    if run.temperature != 1:
        together["before"] = _in_short(run.as_trained(), features, targets)
    return together | {
        "num_networks": len(alone),
        "alone": {
            name: float(np.mean([each[name] for each in alone]))
            for name in ("accuracy", "calibration_error")
        },
        "uncertainty": {
            "right": mean_uncertainty(right),
            "wrong": mean_uncertainty(~right),
        },
    }


def _in_short(run: Run, features: Features, targets: np.ndarray) -> dict:
    probabilities = run.predict_proba(features)
    places = probabilities.argmax(axis=1)
    if run.threshold is not None:
        places = run.predict_places(features)
    correct = int((places == targets).sum())
    return {
        "count": len(targets),
        "correct": correct,
        "accuracy": correct / len(targets),
        "calibration_error": calibration_error(probabilities, targets),
    }
