"""`scripts/report.py`: one page, a file by itself, that tells anyone of trained runs."""

import csv
import dataclasses
import os
import shlex
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
from tyro.conf import Positional, arg

from jaxcls.cli.evaluate import KINDS
from jaxcls.cli.flags import SweepFlags
from jaxcls.cli.parsing import read_flags, words_of
from jaxcls.cli.screen import hand_out
from jaxcls.cli.sides import finished
from jaxcls.files import write_whole
from jaxcls.report import Network, Told, page, why_not
from jaxcls.runs import PICTURES, WINNER, Run, load_run
from jaxcls.runs.records import SETS

_MOST_RANKED = 10  # settings of a sweep
_KINDS = {**KINDS, SweepFlags.SCRIPT: SweepFlags}


@dataclasses.dataclass(frozen=True)
class ReportFlags:
    """Write one page, a file by itself, that tells anyone of trained runs: what was trained, how
    well it does, its pictures, and of images a canvas to draw on."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN...")]
    """Folders of finished runs; several are shown side by side."""
    output: Path = Path("report.html")
    """File to write, an .html."""


def run(flags: ReportFlags) -> None:
    """Writes the page.

    Raises:
        ValueError, OSError: one sentence for the user.
    """
    if not flags.runs:
        raise ValueError("no folder was named; name those of finished runs.")
    if flags.output.suffix.lower() != ".html":
        raise ValueError(f"--output {flags.output}: must be an .html file.")
    if os.path.lexists(flags.output):
        raise ValueError(
            f"{flags.output} is there already; name another file with --output, or remove it."
        )
    found = {path: finished(path) for path in flags.runs}
    _check_same_kind(found)
    names = _names(list(found))
    told = [
        _told(path, name, metrics)
        for (path, metrics), name in zip(found.items(), names, strict=True)
    ]
    content = page(told).encode()
    write_whole(flags.output, content)
    hand_out(f"{flags.output}: {len(content) / 1e6:.1f} MB; open it in a browser.")


def _kind(metrics: dict) -> str:
    if "plan" in metrics["config"]:
        return "a sweep"
    if metrics["config"].get("target") is not None:
        return "a run that predicts numbers"
    return "a run that predicts classes"


def _check_same_kind(found: dict[Path, dict]) -> None:
    """Raises ValueError for runs whose results have nothing in common."""
    (first, metrics), *others = found.items()
    for path, other in others:
        if _kind(metrics) != _kind(other):
            raise ValueError(
                f"{first} is {_kind(metrics)} and {path} {_kind(other)}, which have no score in "
                f"common; report them one by one, or name a sweep's {WINNER}."
            )


def _names(paths: list[Path]) -> list[str]:
    """The folders' own names, or their paths where these are alike."""
    names = [path.resolve().name for path in paths]
    return names if len({*names}) == len(names) else [str(path) for path in paths]


def _told(path: Path, name: str, metrics: dict) -> Told:
    pictures = {each: path / each for each in PICTURES if (path / each).is_file()}
    is_sweep = "plan" in metrics["config"]
    return Told(
        name,
        _about(metrics),
        metrics,
        _settings(metrics),
        _commands(path, metrics),
        {each: file.read_bytes() for each, file in pictures.items()},
        f"A sweep has no network of its own; report its {WINNER}."
        if is_sweep
        else _network(path),
        _ranked(path) if is_sweep else (),
    )


def _about(metrics: dict) -> str:
    """In a sentence for anyone: what is it, and what did it learn from?"""
    config = metrics["config"]
    target, names = config.get("target"), config["class_names"]
    aim = (
        "to tell " + ", ".join(names) + " apart"
        if target is None
        else f"to predict {target['name']}"
    )
    if "winner" in metrics:
        return f"A sweep: {metrics['num_settings']:,} settings of networks {aim}, each trained {config['flags']['seeds']} times."
    seeds = metrics["chosen"].get("seeds") or [0]
    what = "A neural network" if len(seeds) == 1 else f"{len(seeds)} neural networks"
    count = metrics.get("num_train")
    of = f" from {count:,} examples of {_dataset(metrics)}" if count else ""
    return f"{what} that learned {aim}{of}."


def _settings(metrics: dict) -> dict[str, str]:
    """What was trained on what, in words."""
    config, chosen = metrics["config"], metrics.get("chosen", {})
    flags = config["flags"]
    sizes, target = config.get("layer_sizes"), config.get("target")
    counts = [
        f"{metrics[f'num_{part}']:,} {part}"
        for part in SETS
        if metrics.get(f"num_{part}")
    ]
    found = {
        "data": _dataset(metrics),
        "predicts": ", ".join(config["class_names"])
        if target is None
        else target["name"],
        "examples": ", ".join(counts),
        "layers": sizes and "-".join(map(str, sizes)),
        "likelihood": config.get("likelihood"),
        **{
            name.replace("_", " "): _plain(flags.get(name))
            for name in (
                *("activation", "optimizer", "learning_rate", "schedule"),
                *("batch_size", "dropout", "folds", "resplit", "seeds", "seed"),
            )
        },
        "epochs": chosen and f"{chosen['epoch']} chosen of {chosen['epochs_done']}",
        "winner": "winner" in metrics and _plain(metrics["winner"]["values"]),
        "device": ", ".join(
            map(str, filter(None, (metrics.get("device"), config.get("machine"))))
        ),
        "versions": _plain(metrics.get("versions", config.get("versions"))),
        "seconds": _plain(
            {
                name: round(value, 1)
                for name, value in metrics.get("seconds", {}).items()
            }
        ),
    }
    return {name: value for name, value in found.items() if value}


def _dataset(metrics: dict) -> str:
    return os.path.basename(str(metrics["config"].get("dataset")))


def _plain(value) -> str | None:
    """A value of a record as a person reads it; None where there is none."""
    if value is None or value == {} or value == []:
        return None
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _commands(path: Path, metrics: dict) -> dict[str, str]:
    """What can be typed in, by what it does; as of the folder in which the page was made."""
    config, folder = metrics["config"], shlex.quote(str(path))
    found, script = {}, config.get("script")
    if script in _KINDS:
        words = words_of(read_flags(_KINDS[script], config))
        found["Train it again:"] = shlex.join([f"scripts/{script}", *words])
    if "plan" in config:
        folder = shlex.quote(str(path / WINNER))
    file = "rows.npy"
    if config.get("preparation") is not None:
        file = "rows.csv"
    elif config.get("image_shape") is not None and config.get("features") == "uint8":
        file = "picture.png"
    return found | {
        "Score it on all its data, with every score by class:": f"scripts/evaluate.py {folder}",
        "Predict what is new:": f"scripts/predict.py {folder} {file}",
    }


def _network(path: Path) -> Network | str:
    """The run's network, or why none can be drawn for."""
    try:
        trained = load_run(path)
    except ValueError as error:  # above all, functions of a user's own
        return str(error)
    network = _of(trained)
    return why_not(network) or network


def _of(trained: Run) -> Network:
    params, config = trained.params, trained.config
    if trained.seeds is None:
        params = jax.tree.map(lambda leaf: np.asarray(leaf)[None], params)
    return Network(
        params=params,
        layer_sizes=config.layer_sizes,
        activation=config.activation,
        likelihood=config.likelihood.name,
        class_names=trained.class_names,
        image_shape=trained.image_shape,
        takes_bytes=trained.takes_bytes,
        light_ground=trained.light_ground,
        plain_ground=trained.plain_ground,
        centred=trained.centred,
    )


def _ranked(path: Path) -> list[dict[str, str]]:
    """The best lines of a sweep's table."""
    with open(path / "sweep.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))[:_MOST_RANKED]
