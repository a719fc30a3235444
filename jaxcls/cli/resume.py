"""Going on with a run: what may be changed, and what would change its past."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from jaxcls.cli.flags import NOT_KEPT, TrainFlags
from jaxcls.cli.parsing import read_flags
from jaxcls.cli.screen import note
from jaxcls.runs import Checkpoint, newest_checkpoint, read_config

# What results depend on besides the flags and the data: kept with a run.
ENVIRONMENT = ("device", "machine", "versions", "xla_flags")

# Flags that may be others than the run's, since no epoch that is done depends on them.
# Where the data lies is among them: it is known by its digest.
_FREE = NOT_KEPT | {
    "data_dir",
    "dataset",
    "device",
    "report_every",
    "checkpoint_every",
    "keep_checkpoints",
    "plots",
}


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


def read_past(flags: TrainFlags, folder: Path, script: str) -> Past:
    """Reads the run in `folder` and checks that `flags` would not have changed its past.

    A damaged checkpoint is passed over for the one before it, and a line says so.

    Raises:
        ValueError: it can't be read, or a flag would change what is done already.
    """
    config, problem = read_config(folder)
    if problem is not None:
        note(script, f"written anew: {problem}")
    checkpoint, problems = newest_checkpoint(folder)
    for each in problems:
        note(script, f"passed over: {each}")
    past = Past(config, checkpoint, problem)
    _check_flags(read_flags(type(flags), config, script), flags, past.epoch)
    return past


def check_data(past: Past, config: dict) -> None:
    """Raises ValueError unless the data of the new `config` are those of the past."""
    if past.config.get("data_sha256") != config["data_sha256"]:
        raise ValueError(
            f"the data are not those that the run began with ({config['dataset']}); bring them "
            "back, or start a new run."
        )


def note_environment(past: Past, config: dict, script: str) -> None:
    """Says in a line what of the environment is another than the run began in."""
    changed = [
        f"{name} ({past.config.get(name)}, now {config[name]})"
        for name in ENVIRONMENT
        if past.config.get(name) != config[name]
    ]
    if changed:
        note(script, f"the last bits may differ from here on: {'; '.join(changed)}.")


def _check_flags(before: TrainFlags, now: TrainFlags, done: int) -> None:
    for field in dataclasses.fields(before):
        name = field.name
        old, new = getattr(before, name), getattr(now, name)
        if name in _FREE or old == new:
            continue
        flag = f"--{name.replace('_', '-')}"
        if name == "epochs":
            _check_epochs(before, new, done)
        elif name == "patience":
            if old is None or (new is not None and new < old):
                raise ValueError(
                    f"{flag} {new}: the run began with {old}, and less would have stopped it "
                    "earlier; give as much or more."
                )
        else:
            raise ValueError(
                f"{flag} {_shown(new)}: the run began with {_shown(old)}, and its past would be "
                "another; start a new run, or leave the flag out."
            )


def _check_epochs(before: TrainFlags, epochs: int, done: int) -> None:
    if epochs < done:
        raise ValueError(
            f"--epochs {epochs}: {done} are done already; give as many or more."
        )
    if before.schedule != "constant" and done > 0:
        raise ValueError(
            f"--epochs {epochs}: the {before.schedule} schedule was laid out over "
            f"{before.epochs} epochs, and other rates would have been used; start a new run."
        )


def _shown(value) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return str(value)
