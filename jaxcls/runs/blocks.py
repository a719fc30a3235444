"""What came of many runs, kept in their folder while they are trained.

`members/block-<n>.safetensors` holds chunks of runs that were trained since the block before.
`members/block-<n>.json`, written after it, holds its digest and the run's config: where it stands,
the block is whole. Where one is damaged, its chunks are trained again; one of another run is
refused.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import numpy as np
import safetensors.numpy

from jaxcls import mlp
from jaxcls.config import Config
from jaxcls.epochs import History
from jaxcls.files import (
    load_arrays,
    make_folder,
    named_arrays,
    read_json,
    save_arrays,
    write_json,
)
from jaxcls.metrics import Errors, Metrics
from jaxcls.runs.clearing import remove_state, state_files
from jaxcls.runs.names import MEMBERS
from jaxcls.runs.records import check_same_run
from jaxcls.study.engine import Runs
from jaxcls.study.sweep import Done


class Shape(NamedTuple):
    """What is known of a chunk's runs before they are trained.

    Attributes:
        config: of the runs.
        least: runs that there are at least.
        most: and at most.
        scored: names of the sets that they are scored on.
        keep: whether they have histories and params.
    """

    config: Config
    least: int
    most: int
    scored: Sequence[str]
    keep: bool


def write_block(folder: Path, done: Done, config: dict) -> None:
    """Writes chunks that were trained, each under `<rung>-<group>-<chunk>`.

    Args:
        folder: the run's.
        done: the chunks.
        config: the content of `config.json`.

    Raises:
        OSError: it can't be written; earlier blocks are still there.
    """
    make_folder(folder / MEMBERS)
    stem = _stem(folder, max(_numbers(folder), default=-1) + 1)
    sha256 = save_arrays(stem.with_suffix(".safetensors"), _named(done), {})
    about = {"sha256_of_arrays": sha256, "config": config}
    write_json(stem.with_suffix(".json"), about)


def blocks_to_bytes(done: Done) -> bytes:
    """The chunks as one string of bytes, for other processes."""
    return safetensors.numpy.save(named_arrays(_named(done)))


def blocks_from_bytes(content: bytes) -> Done:
    """The inverse of `blocks_to_bytes`."""
    return _chunks(safetensors.numpy.load(content))


def read_blocks(folder: Path, config: dict | None = None) -> tuple[Done, list[str]]:
    """The chunks of every whole block, and a sentence for each block that is not whole.

    Args:
        folder: the run's.
        config: of the run whose blocks they must be; None takes any. Blocks of version 0.1.0
            don't say which run they belong to.

    Raises:
        ValueError: a block belongs to another run.
        OSError: a file can't be read, which says nothing of what it holds.
    """
    done, problems = {}, []
    for number in sorted(_numbers(folder)):
        stem = _stem(folder, number)
        try:
            chunks, about = _read(stem)
        except ValueError as error:
            problems.append(str(error))
            continue
        if config is not None and "config" in about:
            check_same_run(config, about["config"], stem.with_suffix(".json"))
        done |= chunks
    return done, problems


def fitting(
    done: Done, shape: Callable[[tuple[int, int, int]], Shape | None]
) -> tuple[Done, list[str]]:
    """The chunks that are what training would give, and a sentence for each that is not.

    Args:
        done: by rung, group and number of the chunk.
        shape: what is known of such a chunk; None if there is none of this number.
    """
    kept, problems = {}, []
    for key, runs in done.items():
        wanted = shape(key)
        problem = "there is no such chunk" if wanted is None else _misfit(runs, wanted)
        if problem is None:
            kept[key] = runs
        else:
            name = "-".join(map(str, key))
            problems.append(f"{MEMBERS}: chunk {name} does not fit its run: {problem}.")
    return kept, problems


def remove_blocks(folder: Path) -> None:
    """Removes the blocks of runs that are whole.

    Raises:
        OSError: one can't be removed.
    """
    remove_state(folder, MEMBERS)


def _misfit(runs: Runs, wanted: Shape) -> str | None:
    """What is wrong with the arrays of a chunk, or None."""
    rows = len(runs.epochs)
    if not wanted.least <= rows <= wanted.most:
        return f"{rows} runs, where {wanted.least} to {wanted.most} are wanted"
    shapes, found = _shapes(_template(rows, wanted)), _shapes(runs)
    for name in sorted(shapes.keys() | found.keys()):
        if shapes.get(name) != found.get(name):
            return f"{name} is {found.get(name)}, where {shapes.get(name)} is wanted"
    return None


def _template(rows: int, wanted: Shape) -> Runs:
    """Runs of the right shapes, without numbers."""

    def leaf(*shape: int) -> Any:
        return jax.ShapeDtypeStruct((rows, *shape), np.float32)

    config, history, params = wanted.config, None, None
    if wanted.keep:
        judged = "validation" in wanted.scored
        columns = _metrics(config, lambda: leaf(config.epochs))
        history = History(leaf(config.epochs), columns if judged else None)
        layers = jax.eval_shape(lambda: mlp.init(jax.random.key(0), config.layer_sizes))
        params = jax.tree.map(lambda layer: leaf(*layer.shape), layers)
    scores = {name: _metrics(config, leaf) for name in wanted.scored}
    rest = {name: leaf() for name in Runs._fields}
    return Runs(**rest | {"scores": scores, "history": history, "params": params})


def _metrics(config: Config, leaf: Callable[[], Any]) -> Metrics:
    """Metrics whose every leaf is made by `leaf`."""
    if config.likelihood.has_classes:
        return Metrics(leaf(), leaf(), leaf())
    none = cast(Any, None)
    return Metrics(leaf(), none, leaf(), Errors(leaf(), leaf(), leaf()))


def _metrics_of(leaves: dict) -> Metrics:
    """The metrics whose leaves have these names."""
    errors = leaves.get("errors")
    if errors is None:
        return Metrics(**leaves)
    found: dict[str, Any] = {"correct": None, **leaves, "errors": Errors(**errors)}
    return Metrics(**found)


def _shapes(runs: Runs) -> dict[str, tuple[int, ...]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(runs)
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}


def _read(stem: Path) -> tuple[Done, dict]:
    about = read_json(stem.with_suffix(".json"))
    path = stem.with_suffix(".safetensors")
    arrays = load_arrays(path, str(about.get("sha256_of_arrays")))
    try:
        return _chunks(arrays), about
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
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
        if last in branch:
            raise ValueError(f"{name} is an array and a branch")
        branch[last] = array
    scores = {name: _metrics_of(each) for name, each in tree.pop("scores").items()}
    history = tree.pop("history", None)
    if history is not None:
        validation = history.get("validation")
        history = History(
            history["loss"], None if validation is None else _metrics_of(validation)
        )
    runs = Runs(scores=scores, history=history, params=tree.pop("params", None), **tree)
    if {np.shape(leaf)[:1] for leaf in jax.tree.leaves(runs)} != {runs.epochs.shape}:
        raise ValueError("not as many of each array as there are runs")
    return runs


def _stem(folder: Path, number: int) -> Path:
    return folder / MEMBERS / f"block-{number:06}"


def _numbers(folder: Path) -> set[int]:
    """The numbers of blocks, also of those that are not whole."""
    return {number for _, number in state_files(folder, MEMBERS)}
