"""`scripts/report.py`: one page, a file by itself, that tells anyone of trained runs."""

import csv
import dataclasses
import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
from tyro.conf import Positional, arg

from jaxcls.cli.evaluate import KINDS
from jaxcls.cli.flags import SweepFlags, TrainFlags
from jaxcls.cli.outputs import check_free
from jaxcls.cli.parsing import read_flags, words_of
from jaxcls.cli.screen import hand_out, note
from jaxcls.cli.sides import finished
from jaxcls.files import write_whole
from jaxcls.report import Network, Told, is_png, listed, page, why_not
from jaxcls.runs import PICTURES, WINNER, Run, load_run
from jaxcls.runs.records import SETS

_MOST_RANKED = 10  # settings of a sweep
# Flags that tell what was trained, beside what the config says.
_SHOWN = (
    *("activation", "optimizer", "learning_rate", "schedule", "batch_size", "dropout"),
    *("folds", "resplit", "seeds", "seed"),
)
_KINDS: dict[str, type[TrainFlags | SweepFlags]] = {
    **KINDS,
    SweepFlags.SCRIPT: SweepFlags,
}


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
    check_free(flags.output)
    found = {path: _whole(path) for path in flags.runs}
    _check_same_kind(found)
    names = _names(list(found))
    told = [
        _told(path, name, metrics)
        for (path, metrics), name in zip(found.items(), names, strict=True)
    ]
    content = page(told).encode(errors="replace")  # half a character may be in a name
    write_whole(flags.output, content)
    hand_out(f"{flags.output}: {len(content) / 1e6:.1f} MB; open it in a browser.")


def _whole(path: Path) -> dict:
    """`metrics.json` of a finished run; of a sweep its winner's, and the sweep's by that name.

    Raises:
        ValueError: there is none.
    """
    metrics = finished(path)
    if "plan" not in metrics["config"]:
        return metrics
    return finished(path / WINNER) | {"sweep": metrics}


def _check_same_kind(found: dict[Path, dict]) -> None:
    """Raises ValueError for runs whose results have nothing in common."""
    kinds = {path: _target(metrics) is None for path, metrics in found.items()}
    if len({*kinds.values()}) > 1:
        classes, numbers = (
            next(path for path, each in kinds.items() if each is kind)
            for kind in (True, False)
        )
        raise ValueError(
            f"{classes} predicts classes and {numbers} numbers, which have no score in common; "
            "report them one by one."
        )


def _names(paths: list[Path]) -> list[str]:
    """The folders' own names, or their paths where these are alike."""
    names = [path.resolve().name for path in paths]
    return names if len({*names}) == len(names) else [str(path) for path in paths]


def _told(path: Path, name: str, metrics: dict) -> Told:
    folder = path / WINNER if "sweep" in metrics else path
    pictures, folders = {}, dict.fromkeys((path, folder))
    for file in (where / name for name in PICTURES for where in folders):
        content = file.read_bytes() if file.is_file() else None
        if content is not None and not is_png(content):
            note(f"{file}: not a whole PNG file; it is left out.")
        elif content is not None:
            pictures[file.name] = content
    return Told(
        name=name,
        about=_about(metrics),
        metrics={name: each for name, each in metrics.items() if name != "sweep"},
        settings=_settings(metrics),
        commands=_commands(path, folder, metrics),
        pictures=pictures,
        network=_network(folder),
        ranked=_ranked(path) if "sweep" in metrics else (),
    )


def _about(metrics: dict) -> str:
    """In a sentence for anyone: what is it, and what did it learn from?"""
    config, target = metrics["config"], _target(metrics)
    seeds = metrics["chosen"].get("seeds") or [0]
    what = "A neural network" if len(seeds) == 1 else f"{len(seeds)} neural networks"
    if target is None:
        aim = f"tell {listed(config['class_names'])} apart"
    else:
        aim = f"predict {target['name']}"
    count = metrics.get("num_train")
    of = f" from {count:,} examples of {_dataset(config)}" if count else ""
    best = ""
    if "sweep" in metrics:
        count = metrics["sweep"]["num_settings"]
        best = f" The settings are the best of {count:,} that were tried."
    return f"{what} that learned to {aim}{of}.{best}"


def _settings(metrics: dict) -> dict[str, str]:
    """What was trained on what, in words."""
    config, chosen, target = metrics["config"], metrics["chosen"], _target(metrics)
    counts = {part: metrics.get(f"num_{part}") for part in SETS}
    aim = listed(config["class_names"]) if target is None else target["name"]
    found = {
        "data": _dataset(config),
        "predicts": aim,
        "examples": [f"{count:,} {part}" for part, count in counts.items() if count],
        "layers": "-".join(map(str, config["layer_sizes"])),
        "likelihood": config["likelihood"],
        **{name: config["flags"].get(name) for name in _SHOWN},
        "threshold": _threshold(metrics),
        "epochs": f"{chosen['epoch']} chosen of {chosen['epochs_done']}",
        "device": [metrics.get("device"), config.get("machine")],
        "versions": metrics.get("versions"),
        "seconds": {
            name: f"{each:.1f}" for name, each in metrics.get("seconds", {}).items()
        },
    }
    return {
        name.replace("_", " "): text
        for name, text in ((name, _plain(each)) for name, each in found.items())
        if text
    }


def _threshold(metrics: dict) -> str | None:
    """From where on the second class is the answer, where the run has a threshold."""
    least = metrics.get("calibration", {}).get("threshold")
    if least is None:
        return None
    second = metrics["config"]["class_names"][1]
    return f"{second} from a probability of {least:.4f} on; the accuracies above are without it"


def _target(metrics: dict) -> dict | None:
    """The number that is predicted; None of classes."""
    return metrics["config"].get("target")


def _dataset(config: dict) -> str:
    return os.path.basename(str(config.get("dataset") or "arrays"))


def _plain(value: Any) -> str:
    """A value of a record as a person reads it; empty where there is none.

    >>> _plain([None, "cpu"]), _plain({"jax": "0.12"}), _plain(None)
    ('cpu', 'jax 0.12', '')
    """
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(str(each) for each in value if each is not None)
    return "" if value is None else str(value)


def _commands(path: Path, folder: Path, metrics: dict) -> dict[str, str]:
    """What can be typed in, by what it does; `folder` has the model of the run at `path`."""
    config, found = metrics["config"], {}
    trained = metrics.get("sweep", metrics)["config"]
    kind = _KINDS.get(trained.get("script"))
    if kind is not None:
        words = words_of(read_flags(kind, trained))
        found["Train it again:"] = shlex.join([f"scripts/{kind.SCRIPT}", *words])
    file = "rows.npy"
    if config.get("preparation") is not None:
        file = "rows.csv"
    elif config.get("image_shape") is not None and config.get("features") == "uint8":
        file = "picture.png"
    words = ["scripts/evaluate.py", str(folder)]
    found["Score it on all its data, in full:"] = shlex.join(words)
    words = ["scripts/predict.py", str(folder), file]
    return found | {"Predict what is new:": shlex.join(words)}


def _network(path: Path) -> Network | str:
    """The run's network, or why none can be drawn for; nothing where no images are named."""
    try:
        trained = load_run(path)
    except ValueError as error:  # above all, functions of a user's own
        return str(error)
    of_classes = trained.target is None
    if trained.image_shape is None or not (of_classes and trained.takes_bytes):
        return ""
    network = _of(trained, trained.image_shape)
    return why_not(network) or network


def _of(trained: Run, image_shape: tuple[int, int]) -> Network:
    params, config, standard = trained.params, trained.config, trained.standardization
    if trained.seeds is None:
        params = jax.tree.map(lambda leaf: np.asarray(leaf)[None], params)
    return Network(
        params=params,
        layer_sizes=config.layer_sizes,
        activation=config.activation,
        likelihood=config.likelihood.name,
        class_names=trained.class_names,
        image_shape=image_shape,
        light_ground=trained.light_ground,
        plain_ground=trained.plain_ground,
        centred=trained.centred,
        temperature=trained.temperature,
        threshold=trained.threshold,
        mean=None if standard is None else standard.mean,
        scale=None if standard is None else standard.scale,
    )


def _ranked(path: Path) -> list[dict[str, str]]:
    """The best lines of a sweep's table."""
    with open(path / "sweep.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:_MOST_RANKED]
    if len(rows) < 2:
        return rows
    # What is the same of all says nothing of their order.
    differ = [name for name in rows[0] if len({row[name] for row in rows}) > 1]
    return [{name: row[name] for name in differ} for row in rows]
