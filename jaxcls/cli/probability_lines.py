"""What `evaluate.py` tells a person of a run's probabilities."""

from collections.abc import Sequence

from jaxcls.runs import Run

_SHOWN = (1.0, 0.99, 0.95, 0.9, 0.8, 0.5)  # of the curve's shares


def probability_lines(scores: dict, run: Run, class_names: Sequence[str]) -> list[str]:
    """Lines of what `runs.score` found on one set.

    Args:
        scores: as it gives them, of classes.
        run: that was scored.
        class_names: as they can be shown.
    """
    low, high = scores["calibration_interval"]
    return [
        f"balanced accuracy {scores['balanced_accuracy']:.4f}, Matthews "
        f"{scores['matthews']:.4f}, log loss {scores['log_loss']:.4f} nats, Brier "
        f"{scores['brier']:.4f}",
        *_ranking(scores),
        f"expected calibration error {scores['calibration_error']:.4f} in 15 bins of equal width "
        f"(95% interval {low:.4f} to {high:.4f})",
        *_before(scores["before"], run, class_names),
        "accuracy of the surest answers: "
        + ", ".join(
            f"{each['coverage']:.0%} {each['accuracy']:.4f} (from {each['from']:.4f} on)"
            for each in scores["coverage"]
            if each["coverage"] in _SHOWN
        ),
        *_sets(scores),
    ]


def _ranking(scores: dict) -> list[str]:
    if scores["roc_auc"] is not None and scores["average_precision"] is not None:
        return [
            f"ROC AUC {scores['roc_auc']:.4f}, average precision "
            f"{scores['average_precision']:.4f}"
        ]
    if scores["one_against_rest"] is None:
        return []
    auc, precision = (
        scores["one_against_rest"][name] for name in ("roc_auc", "average_precision")
    )
    return [
        f"each class against the rest: ROC AUC {auc['macro']:.4f} (by support "
        f"{auc['weighted']:.4f}), average precision {precision['macro']:.4f} (by support "
        f"{precision['weighted']:.4f})"
    ]


def _before(before: dict | None, run: Run, class_names: Sequence[str]) -> list[str]:
    """The scores without what was learned after the training."""
    if before is None:
        return []
    lines = []
    if run.temperature != 1:
        lines.append(
            f"before the temperature of {run.temperature:.4f}: log loss "
            f"{before['log_loss']:.4f} nats, Brier {before['brier']:.4f}, expected calibration "
            f"error {before['calibration_error']:.4f}"
        )
    if run.threshold is not None:
        lines.append(
            f"before the threshold, which takes {class_names[1]} from {run.threshold:.4f} on: "
            f"accuracy {before['accuracy']:.4f}, balanced accuracy "
            f"{before['balanced_accuracy']:.4f}, Matthews {before['matthews']:.4f}"
        )
    return lines


def _sets(scores: dict) -> list[str]:
    sets = scores["sets"]
    if sets is None:
        return []
    return [
        f"sets of classes: {sets['share']:.4f} hold the right one ({sets['held']:,} of "
        f"{scores['count']:,}), {sets['mean_size']:.2f} classes on average, {sets['empty']:,} are "
        "empty"
    ]
