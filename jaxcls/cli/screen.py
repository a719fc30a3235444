"""What a person sees: a header, progress, the result."""

import sys
from pathlib import Path

from jaxcls.cli.flags import TrainFlags
from jaxcls.fitting import Report
from jaxcls.metrics import Metrics


class Progress:
    """A bar with loss and time left on a terminal, a line per report elsewhere.

    >>> with Progress(epochs=2, done=0) as progress:
    ...     progress.show(Report(1, None, 0.5, Metrics(0.0, 3, 4), None))
    epoch 1/2  loss 0.5000  train accuracy 0.7500
    """

    def __init__(self, epochs: int, done: int):
        from tqdm import tqdm

        self._epochs = epochs
        self._bar = None
        if on_terminal():
            self._bar = tqdm(
                initial=done,
                total=epochs,
                unit="epoch",
                file=sys.stdout,
                dynamic_ncols=True,
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, report: Report) -> None:
        """Shows a report."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {report.loss:.4f}", refresh=False)
            self._bar.update(report.epoch - self._bar.n)
            return
        line = (
            f"epoch {report.epoch}/{self._epochs}  loss {report.loss:.4f}  "
            f"train accuracy {float(report.train.accuracy):.4f}"
        )
        if report.validation is not None:
            line += (
                f"  validation loss {float(report.validation.loss):.4f}"
                f" accuracy {float(report.validation.accuracy):.4f}"
            )
        print(line, flush=True)


def on_terminal() -> bool:
    """Whether a person is looking; standard output may also be closed."""
    return sys.stdout is not None and sys.stdout.isatty()


def result_line(part: str, metrics: Metrics) -> str:
    """An accuracy with its counts.

    >>> result_line("test", Metrics(11.3, 2112, 2115))
    'test accuracy  0.9986 (2,112 of 2,115)'
    """
    accuracy = float(metrics.accuracy)
    return (
        f"{part} accuracy ".ljust(15)
        + f"{accuracy:.4f} ({int(metrics.correct):,} of {int(metrics.count):,})"
    )


def chosen_line(chosen: dict) -> str:
    """Which epoch's parameters are scored, by what, and what ended the training.

    >>> chosen = {"epoch": 37, "by": "validation loss", "value": 0.0123}
    >>> chosen_line(chosen | {"epochs_done": 52, "stopped_by": "patience"})
    'chosen         epoch 37 of 52, best validation loss 0.0123; patience ended the training'
    """
    ended = "" if chosen["stopped_by"] == "epochs" else "; patience ended the training"
    return (
        f"chosen         epoch {chosen['epoch']} of {chosen['epochs_done']}, "
        f"best {chosen['by']} {chosen['value']:.4f}{ended}"
    )


def sweep_header(about: dict, counts: dict[str, int], sizes: dict[str, int]) -> str:
    """Two lines that say what a sweep tries on what, and where."""
    classes = " ".join(about["class_names"])
    parts = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    made_of = ", ".join(
        f"{name} {version}" for name, version in about["versions"].items()
    )
    processes = f" of {sizes['processes']} processes" if sizes["processes"] > 1 else ""
    rungs = about["plan"]["rungs"]
    return (
        f"{about['dataset']}, classes {classes}: {parts} | {about['device']}, "
        f"{about['precision']} | {made_of}\n"
        f"{sizes['settings']:,} settings, {sizes['seeds']} seeds each, "
        f"{' then '.join(map(str, rungs))} epochs, {sizes['programs']} programs, on "
        f"{sizes['devices']} devices{processes}, in about {sizes['megabytes']:,} MB"
    )


def ensemble_line(scores: dict) -> str:
    """An ensemble's accuracy and calibration beside its networks', and how unsure it is.

    >>> unsure = {"right": {"total": 0.012, "members": 0.001}, "wrong": None}
    >>> alone = {"accuracy": 0.9857, "calibration_error": 0.012}
    >>> counts = {"num_networks": 32, "correct": 3, "count": 4, "accuracy": 0.75}
    >>> scores = counts | {"calibration_error": 0.01, "alone": alone, "uncertainty": unsure}
    >>> print(ensemble_line(scores))
    ensemble of 32  0.7500 (3 of 4), calibration error 0.0100; alone 0.9857 and 0.0120 on average
    uncertainty     0.012 nats where it is right (0.001 by disagreement)
    """
    alone = scores["alone"]
    line = (
        f"{'ensemble of ' + str(scores['num_networks']):15} {scores['accuracy']:.4f} "
        f"({scores['correct']:,} of {scores['count']:,}), calibration error "
        f"{scores['calibration_error']:.4f}; alone {alone['accuracy']:.4f} and "
        f"{alone['calibration_error']:.4f} on average"
    )
    unsure = ", ".join(
        f"{each['total']:.3f} nats where it is {name} ({each['members']:.3f} by disagreement)"
        for name, each in scores["uncertainty"].items()
        if each is not None
    )
    return f"{line}\n{'uncertainty':15} {unsure}"


def finished_line(folder: Path, chosen: dict, flags: TrainFlags) -> str:
    """That a run is finished, and with which flag it would go on, if one lets it."""
    more = ""
    if chosen["stopped_by"] == "patience":
        more = "; to go on, give more --patience"
    elif flags.schedule == "constant":
        more = "; to go on, give more --epochs"
    return (
        f"{folder} is finished, {chosen['epochs_done']} of {flags.epochs} epochs{more}."
    )


def header(about: dict, counts: dict[str, int]) -> str:
    """One line that says what is trained on what, where and with what."""
    classes, layers = (
        " ".join(about["class_names"]),
        "-".join(map(str, about["layer_sizes"])),
    )
    parts = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    made_of = ", ".join(
        f"{name} {version}" for name, version in about["versions"].items()
    )
    return (
        f"{about['dataset']}, classes {classes}: {parts} | "
        f"{layers} | {about['device']}, {about['precision']} | {made_of}"
    )


def note(script: str, text: str) -> None:
    """One line on standard error."""
    print(f"{script}: {' '.join(text.split())}", file=sys.stderr, flush=True)
