"""The data of a study, on its devices."""

from typing import NamedTuple

import numpy as np
from jax import Array
from jax.sharding import Mesh

from jaxcls import layouts
from jaxcls.batches import Batch
from jaxcls.checks import check_data, check_judge
from jaxcls.config import Config
from jaxcls.layouts import narrow, pack, pad
from jaxcls.packing import pays_to_pack
from jaxcls.study.devices import replicate


class Sets(NamedTuple):
    """The data of many runs, held whole by each device.

    Attributes:
        train: what mini-batches are taken from.
        validation: what judges each epoch.
        scored: what is scored at the end, by name; `train` in the form that full batches train
            fastest on.
        steps: [] int32, how many mini-batches the rows of each member make, where they are filled
            up to more, so that sets of many sizes share a program; None where they are not.
    """

    train: Batch
    validation: Batch | None
    scored: dict[str, Batch]
    steps: Array | np.ndarray | None = None


def check_sets(
    caller: str,
    config: Config,
    train: Batch,
    validation: Batch | None,
    test: Batch | None,
) -> None:
    """Raises unless the sets fit the config."""
    for name, data in (("train", train), ("validation", validation), ("test", test)):
        if data is not None:
            check_data(caller, name, data, config)
    check_judge(caller, config, validation)


def place(
    mesh: Mesh, train: Batch, validation: Batch | None, test: Batch | None = None
) -> Sets:
    """Lays the sets on every device, that for training in the forms which are fastest there."""
    batches = whole = train
    if pays_to_pack(train) and layouts.on_cpu(mesh.devices.flat):
        batches, whole = narrow(train), pack(train)
    elif pays_to_pack(train):
        batches = whole = pad(train)
    sets = {"train": whole, "validation": validation, "test": test}
    scored = {
        name: replicate(data, mesh) for name, data in sets.items() if data is not None
    }
    placed = scored["train"] if batches is whole else replicate(batches, mesh)
    return Sets(placed, scored.get("validation"), scored)


def place_pool(mesh: Mesh, pool: Batch) -> Sets:
    """Lays a set on every device, of which each member has rows of its own (`study.rows`)."""
    whole = batches = replicate(pool, mesh)
    if pays_to_pack(pool) and layouts.on_cpu(mesh.devices.flat):
        batches = replicate(narrow(pool), mesh)
    return Sets(batches, None, {"train": whole})
