"""Going on with a run: what may be changed, and what would change its past."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxcls.cli.flags import NOT_KEPT, SweepFlags, TrainFlags
from jaxcls.cli.parsing import read_flags
from jaxcls.cli.screen import note
from jaxcls.runs import (
    Checkpoint,
    RunFolder,
    check_same_run,
    newest_checkpoint,
    read_config,
    read_metrics,
)
from jaxcls.runs.records import ENVIRONMENT, FREE_FLAGS, is_recorded

_FREE = NOT_KEPT | FREE_FLAGS

AnyFlags = TrainFlags | SweepFlags


@contextlib.contextmanager
def opened(path: Path) -> Iterator[RunFolder]:
    """A run's folder to write to; a line says what can't be done where it lies."""
    with RunFolder(path) as folder:
        for problem in folder.problems:
            note(problem)
        yield folder


def whole_metrics(folder: RunFolder, config: dict, remedy: str) -> dict | None:
    """The metrics of a result that is there with all its files undamaged, else None.

    Args:
        folder: of the run or study.
        config: the content of its `config.json`.
        remedy: what is done about that, such as "trained again".

    Raises:
        ValueError: they are those of another run.
    """
    try:
        metrics = read_metrics(folder.path)
    except ValueError as error:
        note(f"{remedy}: {error}")
        return None
    if metrics is not None:
        check_same_run(config, metrics["config"], folder.path / "metrics.json")
    return metrics


class Past(NamedTuple):
    """What a run's folder tells of it.

    Attributes:
        config: the content of its `config.json`.
        checkpoint: the newest whole one, or None.
        problem: why the file could not be read and the checkpoint's copy was, or None.
    """

    config: dict
    checkpoint: Checkpoint | None
    problem: str | None

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return 0 if self.checkpoint is None else self.checkpoint.epoch


def read_past(flags: TrainFlags, folder: Path) -> Past:
    """Reads the run in `folder` and checks that `flags` would not have changed its past.

    A damaged checkpoint is passed over for the one before it, and a line says so.

    Raises:
        ValueError: it can't be read, its checkpoint is another run's, or a flag would change
            what is done already.
    """
    config, problem = read_config(folder)
    if problem is not None:
        note(f"written again: {problem}")
    checkpoint, problems = newest_checkpoint(folder)
    for each in problems:
        note(f"passed over: {each}")
    if checkpoint is not None:
        check_same_run(config, checkpoint.config, checkpoint.source)
    past = Past(config, checkpoint, problem)
    _check_flags(read_flags(type(flags), config), flags, past.epoch)
    return past


def check_data(before: dict, config: dict) -> None:
    """Raises ValueError unless the data of the new `config` are those of the one before."""
    if before.get("data_sha256") != config["data_sha256"]:
        raise ValueError(
            f"the data are not those that the run began with ({config['dataset']}); bring them "
            "back, or start a new run."
        )


def with_its_past(before: dict, config: dict) -> dict:
    """The new `config` with the environment that the run began in, and those that it met since.

    The one `before` is what the run's folder has.

    Where there are others, a line says that the last bits may differ.
    """
    began, now = (
        {name: each.get(name) for name in ENVIRONMENT} for each in (before, config)
    )
    elsewhere = list(before.get("elsewhere", []))
    if now != (elsewhere[-1] if elsewhere else began):
        elsewhere.append(now)
    if elsewhere:
        changed = [
            f"{name} ({began[name]}, now {now[name]})"
            for name in ENVIRONMENT
            if began[name] != now[name]
        ]
        told = "; ".join(changed) or "some epochs were done elsewhere"
        note(f"the last bits may differ from a run in one place: {told}.")
    if _has_older_weights(before):
        note(
            "so far each batch's loss was divided by the weights of its own examples; from here "
            "on a class weight means the same in each batch.",
        )
    return config | began | {"elsewhere": elsewhere}


def _has_older_weights(config: dict) -> bool:
    """Whether a run began by a version that weighed each mini-batch by itself."""
    flags, of_first_versions = config["flags"], "pictures" not in config
    weighs_batches = (
        flags.get("class_weights") is not None and flags.get("batch_size") != "full"
    )
    return of_first_versions and weighs_batches


def is_result_of(metrics: dict, config: dict) -> bool:
    """Whether `metrics` are those of a run with the settings of `config`."""
    one, other = _settings(metrics["config"]), _settings(config)
    # A flag or a name that only one of them has came with a later version.
    flags, others = one.pop("flags"), other.pop("flags")
    return _agree(one, other) and _agree(flags, others)


def _agree(one: dict, other: dict) -> bool:
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def kept_history(past: Past, over: bool) -> list[dict]:
    """The history up to the checkpoint of a run that is over, or goes on.

    If it goes on, the score of an end between two reports goes, since it is an end no more.
    """
    if past.checkpoint is None:
        return []
    history = past.checkpoint.history
    if over:
        return history
    kept = past.checkpoint.config
    every = kept["flags"].get("report_every") if "flags" in kept else None
    if type(every) is not int or every < 1:
        raise ValueError(
            f"{past.checkpoint.source}: does not say how often its run reported."
        )
    last = history[-1]["epoch"] if history else 0
    if last != past.epoch or last % every == 0:
        return history
    # It was scored as an end, which it is no more.
    line = {name: v for name, v in history[-1].items() if not name.startswith("train_")}
    return [*history[:-1], *([line] if is_recorded(last) else [])]


def check_new_run_flags(flags: AnyFlags) -> None:
    """Raises ValueError for a flag of a new run where a run is resumed."""
    for name, value in (
        ("--output-dir", flags.output_dir),
        ("--overwrite", flags.overwrite),
    ):
        if flags.resume is not None and value:
            raise ValueError(
                f"{name} is for a new run; with --resume the run stays in {flags.resume}."
            )


def check_same_flags(before: AnyFlags, now: AnyFlags) -> None:
    """Raises ValueError for a flag on which the runs depend and which is now another."""
    for name, old, new in _changed(before, now):
        raise _refused(name, old, new)


def _changed(before: AnyFlags, now: AnyFlags) -> Iterator[tuple[str, Any, Any]]:
    for field in dataclasses.fields(before):
        old, new = getattr(before, field.name), getattr(now, field.name)
        if field.name not in _FREE and old != new:
            yield field.name, old, new


def _check_flags(before: TrainFlags, now: TrainFlags, done: int) -> None:
    for name, old, new in _changed(before, now):
        flag = _flag(name, new)
        if name == "epochs":
            _check_epochs(before, new, done)
        elif name == "patience":
            if old is None or (new is not None and new < old):
                raise ValueError(
                    f"{flag} {new}: the run began with {_shown(old)}, and might have stopped "
                    "earlier; give as much or more, or leave the flag out."
                )
        else:
            raise _refused(name, old, new)


def _flag(name: str, value: Any) -> str:
    return f"--{'no-' if value is False else ''}{name.replace('_', '-')}"


def _refused(name: str, old: Any, new: Any) -> ValueError:
    shown = "" if isinstance(new, bool) else f" {_shown(new)}"
    return ValueError(
        f"{_flag(name, new)}{shown}: the run began with {_shown(old)}, and its past would be "
        "another; start a new run, or leave the flag out."
    )


def _check_epochs(before: TrainFlags, epochs: int, done: int) -> None:
    if done == 0:
        return
    if epochs < before.epochs:
        raise ValueError(
            f"--epochs {epochs}: the run began with {before.epochs}, of which {done} are done; "
            "give as many or more."
        )
    if before.schedule != "constant":
        raise ValueError(
            f"--epochs {epochs}: the {before.schedule} schedule was laid out over "
            f"{before.epochs} epochs, and other rates would have been used; start a new run."
        )


def _settings(config: dict) -> dict:
    """What of a config a result depends on, besides the data and where it was computed."""
    flags = {name: each for name, each in config["flags"].items() if name not in _FREE}
    # What was learned of the pictures follows from the data, and 0.1.0 did not keep it.
    left_out = {*ENVIRONMENT, "elsewhere", "dataset", "pictures"}
    return {name: each for name, each in config.items() if name not in left_out} | {
        "flags": flags
    }


def _shown(value) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return str(value)
