"""What a run's folder holds of state, and how a run is removed: its own files and nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path

from jaxcls.files import cannot_write, read_json
from jaxcls.runs.names import CONFIG, ENSEMBLE, RESULTS, STATE, WINNER


def state_files(folder: Path, kind: str) -> Iterator[tuple[Path, int]]:
    """The files of a run's state and the number that each has in its name, in order.

    Args:
        folder: the run's.
        kind: `CHECKPOINTS` or `MEMBERS`.
    """
    folder = folder / kind
    # os.path, which takes a name too long for one that is not there.
    for path in sorted(folder.iterdir()) if os.path.isdir(folder) else ():
        match = STATE[kind].fullmatch(path.name)
        if match is not None:
            yield path, int(match[1])


def remove_state(folder: Path, kind: str) -> None:
    """Removes a run's state of one kind, and its folder if it has nothing else.

    Raises:
        OSError: a file can't be removed.
    """
    # A .json file goes before its arrays: nothing looks whole that is not.
    for path, _ in state_files(folder, kind):
        remove(path)
    _remove_if_empty(folder / kind)


def remove(path: Path) -> None:
    """Removes a file, if it is there.

    Raises:
        OSError: it can't be removed.
    """
    try:
        if os.path.lexists(path):
            path.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


def remove_run(path: Path) -> None:
    """Removes the files of the run in a folder, of which a sealed config tells."""
    parts = [path / each for each in (WINNER, ENSEMBLE) if (path / each).is_dir()]
    for folder in (path, *parts):
        check_owned(folder)
    for folder in parts:
        remove_run(folder)
        _remove_if_empty(folder)
    for kind in STATE:
        remove_state(path, kind)
    # The config goes last: without it the rest would be nobody's.
    for name in (*RESULTS, CONFIG):
        remove(path / name)


def check_owned(folder: Path) -> None:
    """Raises ValueError for files in a run's place of which no sealed config tells."""
    named = [name for name in (*RESULTS, CONFIG) if (folder / name).exists()]
    named += [kind for kind in STATE if any(state_files(folder, kind))]
    if not named:
        return
    try:
        read_json(folder / CONFIG)
    except ValueError as error:
        raise ValueError(
            f"{folder} holds {named[0]}, and no config of a run that it would belong to "
            f"({str(error).rstrip('.')}); nothing was removed. Name another --output-dir, or "
            "remove what is there yourself."
        ) from None


def _remove_if_empty(folder: Path) -> None:
    try:
        # A link to a folder elsewhere stays.
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise cannot_write(folder, error) from error
