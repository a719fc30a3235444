"""`scripts/predict.py`: classes and probabilities of a user's images and arrays."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import jax
import numpy as np
from tyro.conf import Positional, arg

from jaxcls.cli.device import choose_device
from jaxcls.cli.screen import hand_out, note
from jaxcls.data.arrays import check_file, npz_names, read_npy, read_npz
from jaxcls.data.images import read_image
from jaxcls.runs import MODEL, Run, load_run


@dataclasses.dataclass(frozen=True)
class PredictFlags:
    """Predict the classes of images and arrays with a trained run."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run's folder."""
    files: Annotated[Positional[tuple[Path, ...]], arg(metavar="FILE...")]
    """PNG and other image files of any size, dark on light or light on dark; .npy and .npz
    arrays of one example or many, as the run was trained on."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute: a GPU if there is one, by default."""
    json: bool = False
    """Print everything as JSON."""


class Input(NamedTuple):
    """Examples of a file: their names, features [N, ...], and what was done to them."""

    names: list[str]
    features: np.ndarray
    done: str


def run(flags: PredictFlags, script: str) -> int:
    """Prints a line, or an entry of JSON, for each example.

    Returns:
        The exit code: 0, or 2 if a file could not be read; the others' predictions are printed.

    Raises:
        ValueError, OSError: one sentence for the user.
    """
    if not flags.files:
        raise ValueError("no files were named; name images, or .npy or .npz arrays.")
    entries, failed = [], False
    with jax.default_device(choose_device(flags.device, preallocate=False)):
        trained = load_run(flags.run)
        if trained.source.name != MODEL:
            note(
                script, f"the run is not finished; it is taken as of {trained.source}."
            )
        for path in flags.files:
            try:
                found = _predicted(trained, path)
            except (ValueError, OSError) as error:
                named = str(error)
                note(script, named if str(path) in named else f"{path}: {named}")
                failed = True
                continue
            entries += found
            if not flags.json:
                hand_out(*map(_line, found))
    if flags.json:
        hand_out(*json.dumps(entries, indent=2).splitlines())
    return 2 if failed else 0


def _predicted(trained: Run, path: Path) -> list[dict]:
    names, features, done = read(trained, path)
    probabilities = trained.predict_proba(features)
    labels = trained.predict(features)
    unsure = trained.uncertainty(features)
    return [
        {
            "input": name,
            "class": trained.class_names[trained.labels.index(label)],
            "label": label,
            "probabilities": dict(zip(trained.class_names, row, strict=True)),
            "uncertainty": total,
            "disagreement": members,
            "done": done,
        }
        for name, label, row, total, members in zip(
            names,
            labels.tolist(),
            probabilities.tolist(),
            unsure.total.tolist(),
            unsure.members.tolist(),
            strict=True,
        )
    ]


def read(trained: Run, path: Path) -> Input:
    """The examples of a file, as the run takes them.

    Raises:
        ValueError: it can't be read, or is not what the run was trained on.
    """
    check_file(path, "an image or arrays")
    if path.suffix == ".npy":
        return _of_array(trained, str(path), read_npy(path))
    if path.suffix == ".npz":
        names = npz_names(path)
        if len(names) != 1:
            raise ValueError(
                f"{path}: holds {len(names)} arrays ({', '.join(names)}), and one is wanted; save "
                "the examples alone."
            )
        return _of_array(trained, str(path), read_npz(path, names)[names[0]])
    if trained.image_shape is None or not trained.takes_bytes:
        raise ValueError(
            f"{path}: the run was trained on rows of numbers or on floats; give .npy or .npz arrays."
        )
    # A user's digit is placed as MNIST's were; the others' images were not placed by that rule.
    centre = trained.record["dataset"] == "mnist"
    image, done = read_image(path, trained.image_shape, centre=centre)
    return Input([str(path)], image[None], done)


def _of_array(trained: Run, name: str, array: np.ndarray) -> Input:
    shape = trained.image_shape
    shapes = {(trained.config.layer_sizes[0],), shape, shape and (*shape, 1)}
    if array.shape in shapes:
        return Input([name], array[None], "as it is")
    names = [f"{name}[{row}]" for row in range(len(array) if array.ndim else 0)]
    return Input(names, array, "as it is")


def _line(entry: dict) -> str:
    probability = entry["probabilities"][entry["class"]]
    all_of_them = " ".join(
        f"{name} {each:.4f}" for name, each in entry["probabilities"].items()
    )
    return (
        f"{entry['input']}  {entry['class']}  {probability:.4f}  ({all_of_them})"
        f"  uncertainty {entry['uncertainty']:.3f}  {entry['done']}"
    )
