"""Checkpoints: states in a run's folder from which it goes on to the same bits.

`checkpoints/epoch-<n>.safetensors` holds every array of the `TrainState`, among them the best
parameters so far where a validation set chooses, and the history's columns.
`checkpoints/epoch-<n>.json`, written after it, holds its digest, the counters and the run's
config: where it stands, the checkpoint is whole.
"""

import contextlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxcls.files import (
    load_arrays,
    make_folder,
    read_json,
    restore,
    save_arrays,
    write_json,
)
from jaxcls.runs.clearing import remove, state_files
from jaxcls.runs.names import CHECKPOINTS, CONFIG, METRICS
from jaxcls.runs.records import check_config
from jaxcls.training import TrainState

_HISTORY = "history/"


class Checkpoint(NamedTuple):
    """A run after `epoch` epochs.

    Attributes:
        epoch: epochs done.
        arrays: the state's, by name.
        history: the lines of `history.jsonl` so far.
        config: the content of `config.json`.
        source: the file it came from, for messages.
    """

    epoch: int
    arrays: dict[str, np.ndarray]
    history: list[dict]
    config: dict
    source: Path

    def state(self, template: TrainState) -> TrainState:
        """The state.

        Args:
            template: arrays or shapes of a state with the same config.

        Raises:
            ValueError: a leaf is missing, or its shape or dtype is not the template's.
        """
        # 0.1.0 counted a state's epochs by its steps, which came to the same.
        epoch = {"epoch": np.array(self.epoch, np.int32)}
        return restore(template, epoch | self.arrays, self.source)


def write_checkpoint(
    folder: Path,
    epoch: int,
    state: TrainState,
    history: list[dict],
    config: dict,
    *,
    keep: int,
) -> None:
    """Writes a checkpoint, then removes all but the newest `keep`.

    Args:
        folder: the run's.
        epoch: epochs done.
        state: after them.
        history: lines of `history.jsonl` so far.
        config: the content of `config.json`.
        keep: checkpoints to keep, at least 1.

    Raises:
        OSError: it can't be written; earlier ones are still there.
    """
    make_folder(folder / CHECKPOINTS)
    # A report scores some lines more than others: NaN stands where there is no number.
    names = dict.fromkeys(name for record in history for name in record)
    columns = {
        name: np.array([record.get(name, np.nan) for record in history])
        for name in names
    }
    stem = folder / CHECKPOINTS / f"epoch-{epoch:010}"
    tree = state._asdict() | {"history": columns}
    sha256 = save_arrays(stem.with_suffix(".safetensors"), tree, {})
    about = {
        "epoch": epoch,
        "step": int(state.step),
        "history": list(columns),
        "sha256_of_arrays": sha256,
        "config": config,
    }
    write_json(stem.with_suffix(".json"), about)
    prune_checkpoints(folder, keep)


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Removes all but the newest `keep`, as a process does that is not killed before.

    Raises:
        OSError: one can't be removed.
    """
    kept = _epochs(folder)[-keep:]
    if kept:  # else what is left of damaged ones may still be of use to somebody
        _remove_all_but(folder, kept)


def remove_checkpoints_after(folder: Path, epoch: int) -> None:
    """Removes those of a run that is resumed from `epoch`, damaged as they must be.

    Raises:
        OSError: one can't be removed.
    """
    _remove_all_but(folder, [each for each in _epochs(folder) if each <= epoch])


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint of a run, and a sentence for each newer one that is not.

    Args:
        folder: the run's.

    Raises:
        OSError: a file can't be read, which says nothing of what it holds.
    """
    problems = []
    for epoch in reversed(_epochs(folder)):
        stem = folder / CHECKPOINTS / f"epoch-{epoch:010}"
        try:
            return _read(stem), problems
        except ValueError as error:
            problems.append(str(error))
    return None, problems


def read_config(folder: Path) -> tuple[dict, str | None]:
    """The content of a run's `config.json`; where that is damaged, its copy elsewhere.

    Returns:
        The content, and what is wrong with the file, or None.

    Raises:
        ValueError: neither can be read, or it holds what no config can.
    """
    config, problem = _found_config(folder)
    try:
        check_config(config)
    except ValueError as error:
        raise ValueError(f"{folder}: its config can't be used: {error}") from None
    return config, problem


def _found_config(folder: Path) -> tuple[dict, str | None]:
    try:
        return read_json(folder / CONFIG), None
    except ValueError as error:
        checkpoint, _ = newest_checkpoint(folder)
        if checkpoint is not None:
            return checkpoint.config, str(error)
        with contextlib.suppress(ValueError):
            config = read_json(folder / METRICS).get("config")
            if isinstance(config, dict):
                return config, str(error)
        raise ValueError(f"{folder} holds no run that can be read: {error}") from None


def _read(stem: Path) -> Checkpoint:
    path = stem.with_suffix(".json")
    about = read_json(path)
    epoch = about.get("epoch")
    if type(epoch) is not int or not (
        stem.name == f"epoch-{epoch:010}"
        and isinstance(about.get("config"), dict)
        and isinstance(about.get("history"), list)
        and all(isinstance(name, str) for name in about["history"])
        and ("epoch" in about["history"] or not about["history"])
    ):
        raise ValueError(f"{path}: not the JSON of a checkpoint of this name.")
    path = stem.with_suffix(".safetensors")
    arrays = load_arrays(path, str(about.get("sha256_of_arrays")))
    names = [_HISTORY + name for name in about["history"]]
    found = {name for name in arrays if name.startswith(_HISTORY)}
    if sorted(names) != sorted(found) or any(arrays[name].ndim != 1 for name in names):
        raise ValueError(f"{path}: its columns are not those of the history.")
    if "step" not in arrays or arrays["step"].tolist() != about.get("step"):
        raise ValueError(f"{path}: its step is not {about.get('step')!r}.")
    rows = zip(*(arrays.pop(name).tolist() for name in names), strict=True)
    history = [
        {
            name: value
            for name, value in zip(about["history"], row, strict=True)
            if value == value  # not NaN
        }
        for row in rows
    ]
    return Checkpoint(epoch, arrays, history, about["config"], path)


def _epochs(folder: Path) -> list[int]:
    """The epochs of which there is a JSON file, in order."""
    files = state_files(folder, CHECKPOINTS)
    return [epoch for path, epoch in files if path.suffix == ".json"]


def _remove_all_but(folder: Path, epochs: list[int]) -> None:
    # A .json file goes before its arrays: no checkpoint looks whole that is not.
    for path, epoch in list(state_files(folder, CHECKPOINTS)):
        if epoch not in epochs:
            remove(path)
