"""What came of many runs, kept in their folder while they are trained.

`members/block-<n>.safetensors` holds chunks of runs that were trained since the block before.
`members/block-<n>.json`, written after it, holds its digest: where it stands, the block is whole.
Where one is damaged, its chunks are trained again.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import safetensors.numpy

from jaxcls.files import (
    cannot_write,
    load_arrays,
    make_folder,
    named_arrays,
    read_json,
    save_arrays,
    write_json,
)
from jaxcls.many import Runs
from jaxcls.metrics import Metrics
from jaxcls.runs.folder import MEMBERS
from jaxcls.sweep import Done
from jaxcls.training import History

_NAME = re.compile(r"block-(\d{6})\.(json|safetensors)")


def write_block(folder: Path, done: Done) -> None:
    """Writes chunks that were trained, each under `<rung>-<group>-<chunk>`.

    Raises:
        OSError: it can't be written; earlier blocks are still there.
    """
    folder = folder / MEMBERS
    make_folder(folder)
    stem = folder / f"block-{max(_numbers(folder), default=-1) + 1:06}"
    sha256 = save_arrays(stem.with_suffix(".safetensors"), _named(done), {})
    write_json(stem.with_suffix(".json"), {"sha256_of_arrays": sha256})


def blocks_to_bytes(done: Done) -> bytes:
    """The chunks as one string of bytes, for other processes."""
    return safetensors.numpy.save(named_arrays(_named(done)))


def blocks_from_bytes(content: bytes) -> Done:
    """The inverse of `blocks_to_bytes`."""
    return _chunks(safetensors.numpy.load(content))


def read_blocks(folder: Path) -> tuple[Done, list[str]]:
    """The chunks of every whole block, and a sentence for each block that is not whole.

    Raises:
        OSError: a file can't be read, which says nothing of what it holds.
    """
    done, problems = {}, []
    for number in sorted(_numbers(folder / MEMBERS)):
        stem = folder / MEMBERS / f"block-{number:06}"
        try:
            done |= _read(stem)
        except ValueError as error:
            problems.append(str(error))
    return done, problems


def remove_blocks(folder: Path) -> None:
    """Removes the blocks of runs that are whole.

    Raises:
        OSError: one can't be removed.
    """
    if (folder / MEMBERS).exists():
        try:
            shutil.rmtree(folder / MEMBERS)
        except OSError as error:
            raise cannot_write(folder / MEMBERS, error) from error


def _read(stem: Path) -> Done:
    about = read_json(stem.with_suffix(".json"))
    path = stem.with_suffix(".safetensors")
    arrays = load_arrays(path, str(about.get("sha256_of_arrays")))
    try:
        return _chunks(arrays)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a block of runs ({error}).") from None


def _named(done: Done) -> dict[str, Runs]:
    return {"-".join(map(str, key)): runs for key, runs in done.items()}


def _chunks(arrays: dict[str, np.ndarray]) -> Done:
    chunks: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        chunk, _, rest = name.partition("/")
        chunks.setdefault(chunk, {})[rest] = array
    return {_key(chunk): _runs(leaves) for chunk, leaves in chunks.items()}


def _key(chunk: str) -> tuple[int, int, int]:
    rung, group, number = map(int, chunk.split("-"))
    return rung, group, number


def _runs(leaves: dict[str, np.ndarray]) -> Runs:
    """The runs whose leaves have these names."""
    tree: dict = {}
    for name, array in leaves.items():
        *parents, last = name.split("/")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = array
    scores = {name: Metrics(**each) for name, each in tree.pop("scores").items()}
    history = tree.pop("history", None)
    if history is not None:
        validation = history.get("validation")
        history = History(
            history["loss"], None if validation is None else Metrics(**validation)
        )
    return Runs(scores=scores, history=history, params=tree.pop("params", None), **tree)


def _numbers(folder: Path) -> list[int]:
    """The numbers of blocks, also of those that are not whole."""
    names = (_NAME.fullmatch(path.name) for path in folder.glob("block-*"))
    return sorted({int(name[1]) for name in names if name is not None})
