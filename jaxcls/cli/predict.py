"""`scripts/predict.py`: what a trained run says of a user's images, arrays and tables."""

import dataclasses
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
from tyro.conf import Positional, arg

from jaxcls.cli.answers import (
    check_abstain,
    set_in_words,
    unfinished,
    with_sets,
    withheld,
)
from jaxcls.cli.device import choose_device
from jaxcls.cli.outputs import check_free
from jaxcls.cli.screen import bounded, hand_out, note
from jaxcls.files import write_csv
from jaxcls.likelihoods import normal
from jaxcls.runs import MODEL, Run, load_run
from jaxcls.runs.inputs import Input, read_input
from jaxcls.runs.trained import CHUNK

_LEAST = 0.1  # of the largest number that there may be


@dataclasses.dataclass(frozen=True)
class PredictFlags:
    """Predict the classes of images, arrays and tables with a trained run, or their numbers."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run's folder."""
    files: Annotated[Positional[tuple[Path, ...]], arg(metavar="FILE...")]
    """PNG and other image files of any size, dark on light or light on dark; .npy and .npz
    arrays of one example or many, as the run was trained on; .csv and .parquet tables for a run
    that was trained on one."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute: a GPU if there is one, by default."""
    json: bool = False
    """Print everything as JSON."""
    abstain: float | None = None
    """Answer unsure where the probability of the answer is below this, such as 0.9."""
    output: Path | None = None
    """New file for a table, a .csv, of each example's label and probabilities, or its number."""


def run(flags: PredictFlags) -> int:
    """Prints a line, or an entry of JSON, for each example.

    Returns:
        The exit code: 0, or 2 if a file could not be read; the others' predictions are printed.

    Raises:
        ValueError, OSError: one sentence for the user.
    """
    if not flags.files:
        raise ValueError(
            "no files were named; name images, .npy or .npz arrays, or tables."
        )
    if flags.output is not None:
        if flags.output.suffix.lower() != ".csv":
            raise ValueError(f"--output {flags.output}: must be a .csv file.")
        check_free(flags.output)
    table: list[dict] = []
    failed, held = False, ["["]
    with jax.default_device(choose_device(flags.device, preallocate=False)):
        trained = load_run(flags.run)
        if trained.source.name != MODEL:
            note(unfinished(trained))
        check_abstain(flags.abstain, trained)
        for found in (each for path in flags.files for each in _told(trained, path)):
            if isinstance(found, str):
                note(found)
                failed = True
                continue
            if flags.abstain is not None:
                found = withheld(found, flags.abstain)
            if flags.output is not None:
                table += map(_table_row, found)
            if flags.json:
                # Held back until it is known whether a comma follows.
                if held != ["["]:
                    held[-1] += ","
                hand_out(*held)
                held = ",\n".join(map(_json_entry, found)).splitlines()
            else:
                hand_out(*map(_line, found))
    if flags.json:
        hand_out(*held, "]")
    if flags.output is not None and table:
        write_csv(flags.output, table)
    return 2 if failed else 0


def _told(trained: Run, path: Path) -> Iterator[list[dict] | str]:
    """The entries of a file, chunk by chunk; or why there are no more."""
    try:
        yield from _predicted(trained, path)
    except (ValueError, OSError) as error:
        named = str(error)
        yield named if str(path) in named else f"{path}: {named}"


def _predicted(trained: Run, path: Path) -> Iterator[list[dict]]:
    """The entries of a file's examples, a chunk of them at a time."""
    given = read_input(trained, path)
    # All of them, so that a row in question is named by its place in the file.
    trained.check_features(given.features)
    problem = _problem_of_scale(trained, given.features)
    if problem is not None:
        note(f"{path}: {problem}")
    for each in given.told:
        note(each)
    for start in range(0, len(given.features), CHUNK):
        yield _entries(trained, given, start)


def _problem_of_scale(trained: Run, features: np.ndarray) -> str | None:
    """Why features of bytes' scale can hardly be what the run was trained on, or None."""
    whole = 255 if features.dtype == np.uint8 else 1
    most = float(features.max())
    if not trained.takes_bytes or not 0 < most < _LEAST * whole:
        return None
    return (
        f"its numbers go up to {most:g}, and the run was trained on such as go up to {whole}; they "
        "are taken as they are. If they are of another scale, save them as bytes 0 to 255."
    )


def _number_entries(trained: Run, given: Input, start: int) -> list[dict]:
    """The entries of numbers: the mean, and what its spread is made of, where one is told."""
    found = trained.moments(given.features[start : start + CHUNK])
    leaves = [np.asarray(leaf).tolist() for leaf in found]
    # One network that tells its mean alone does not say that it is sure of it.
    told = trained.seeds is not None or trained.config.likelihood == normal
    return [
        {
            **given.named(row),
            "prediction": mean,
            "std": std if told else None,
            "std_within": within if told else None,
            "std_between": between if told else None,
            "done": given.done,
        }
        for row, (mean, std, within, between) in enumerate(
            zip(*leaves, strict=True), start
        )
    ]


def _entries(trained: Run, given: Input, start: int) -> list[dict]:
    if trained.target is not None:
        return _number_entries(trained, given, start)
    features = given.features[start : start + CHUNK]
    probabilities = trained.predict_proba(features)
    labels = trained.predict(features)
    unsure = trained.uncertainty(features)
    entries = [
        {
            **given.named(row),
            "class": trained.class_names[trained.labels.index(label)],
            "label": label,
            "probabilities": dict(zip(trained.class_names, each, strict=True)),
            "uncertainty": total,
            "disagreement": members,
            "done": given.done,
        }
        for row, (label, each, total, members) in enumerate(
            zip(
                labels.tolist(),
                probabilities.tolist(),
                unsure.total.tolist(),
                unsure.members.tolist(),
                strict=True,
            ),
            start,
        )
    ]
    if trained.conformal is None:
        return entries
    return with_sets(trained, features, entries)


def _table_row(entry: dict) -> dict:
    """The line of a table: which example, its class, and the probability of each."""
    if "std" in entry:
        return {name: value for name, value in entry.items() if name != "done"}
    return {
        **{name: entry[name] for name in ("input", "row") if name in entry},
        "prediction": entry["class"],
        **{
            f"probability_of_{name}": each
            for name, each in entry["probabilities"].items()
        },
        "uncertainty": entry["uncertainty"],
        **({"set": ";".join(entry["set"])} if "set" in entry else {}),
    }


def _json_entry(entry: dict) -> str:
    return textwrap.indent(json.dumps(entry, indent=2, allow_nan=False), "  ")


def _line(entry: dict) -> str:
    row = f", row {entry['row']}" if "row" in entry else ""
    if "std" in entry:
        spread = f"  std {bounded(entry['std'])}" if entry["std"] else ""
        return f"{entry['input']}{row}  {bounded(entry['prediction'])}{spread}  {entry['done']}"
    probabilities = entry["probabilities"]
    if entry["label"] is None:
        probability = max(probabilities.values())
    else:
        probability = probabilities[entry["class"]]
    all_of_them = " ".join(f"{name} {each:.4f}" for name, each in probabilities.items())
    return (
        f"{entry['input']}{row}  {entry['class']}  {probability:.4f}  ({all_of_them})"
        f"  uncertainty {entry['uncertainty']:.3f}{set_in_words(entry)}  {entry['done']}"
    )
