"""`scripts/evaluate.py`: a trained run scored on all its data, from its folder alone."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import jax
from tyro.conf import Positional, arg

from jaxcls.cli.data import Data, check_there, data_digest
from jaxcls.cli.device import choose_device
from jaxcls.cli.flags import BinaryFlags, MulticlassFlags, RegressionFlags
from jaxcls.cli.job import load_data
from jaxcls.cli.number_result import band_lines, number_line
from jaxcls.cli.number_result import ensemble_lines as number_ensemble_lines
from jaxcls.cli.parsing import read_flags, resolved
from jaxcls.cli.probability_lines import probability_lines
from jaxcls.cli.screen import ensemble_lines, hand_out, printable
from jaxcls.data import select_classes
from jaxcls.data.npz import load_npz
from jaxcls.data.table_files import is_table
from jaxcls.runs import Run, ensemble_scores, load_run, score
from jaxcls.runs.saving import SCRIPT

KINDS = {kind.SCRIPT: kind for kind in (BinaryFlags, MulticlassFlags, RegressionFlags)}


@dataclasses.dataclass(frozen=True)
class EvaluateFlags:
    """Score a trained run on its training, validation and test set."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run's folder."""
    data_dir: Path | None = None
    """Folder with the dataset's four .gz files; by default the one that the run was trained on."""
    dataset: Path | None = None
    """The file of the run's arrays or table, if it was moved; of a run that was saved from Python
    also the name of a dataset."""
    test_dataset: Path | None = None
    """The test file of the run's table, if it had one and it was moved."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute: a GPU if there is one, by default."""
    json: bool = False
    """Print everything as JSON."""


def run(flags: EvaluateFlags) -> None:
    """Prints the scores.

    Raises:
        ValueError, OSError: one sentence for the user.
    """
    with jax.default_device(choose_device(flags.device, preallocate=False)):
        trained = load_run(flags.run)
        data = data_of(trained, flags.data_dir, flags.dataset, flags.test_dataset)
        scores = {
            name: score(trained, part.features, part.targets)
            for name, part in data.parts().items()
        }
        ensemble = None
        if len(trained.seeds or ()) > 1:
            ensemble = {
                name: ensemble_scores(trained, part.features, part.targets)
                for name, part in data.parts().items()
            }
    if flags.json:
        about = {"run": str(flags.run), "model": str(trained.source)}
        about |= {"epoch": trained.epoch, "class_names": trained.class_names}
        if trained.target is not None:
            about |= {"target": trained.target._asdict()}
        if ensemble is not None:
            about |= {"seeds": trained.seeds, "ensemble": ensemble}
        hand_out(*json.dumps(about | scores, indent=2).splitlines())
        return
    hand_out(f"{trained.source}, the parameters after epoch {trained.epoch}")
    if trained.target is not None:
        of_sets = scores if ensemble is None else ensemble
        hand_out(*(line for part in of_sets.items() for line in _number_lines(*part)))
        return
    for name, each in scores.items():
        hand_out(*_lines(name, each, trained))
        if ensemble is not None:
            hand_out(*ensemble_lines(ensemble[name]))


def data_of(
    trained: Run,
    data_dir: Path | None = None,
    dataset: Path | None = None,
    test_dataset: Path | None = None,
) -> Data:
    """The data of a run, loaded and split as it was, from elsewhere where that is named."""
    record, script = trained.record, trained.record.get("script")
    if script == SCRIPT:
        return _named_data(trained, data_dir, dataset)
    if script not in KINDS:
        raise ValueError(
            f"the run was made by {script}, whose data are not known here."
        )
    # A study keeps its flags as they were given, without what hangs on others.
    flags = resolved(read_flags(KINDS[script], record))
    if data_dir is not None:
        flags = dataclasses.replace(flags, data_dir=data_dir)
    if dataset is not None:
        flags = dataclasses.replace(flags, dataset=str(dataset))
    if test_dataset is not None:
        if flags.test_dataset is None:
            raise ValueError(
                "--test-dataset: the run had no test file of its own; leave it out."
            )
        flags = dataclasses.replace(flags, test_dataset=test_dataset)
    data = load_data(flags)
    if data_digest(data) != record.get("data_sha256"):
        raise ValueError(
            f"the data found ({data.name}) are not those that the run was trained on; name those "
            "with --data-dir, --dataset or --test-dataset. Others are predicted by predict.py RUN "
            "FILE, and, with labels, scored from Python by jaxcls.runs.score(jaxcls.load_run(RUN), "
            "features, targets), as jaxcls/runs/README.md shows."
        )
    return data


def _named_data(trained: Run, data_dir: Path | None, dataset: Path | None) -> Data:
    """The data of a run that was saved from Python: those that it names, or the user does."""
    name = dataset or trained.record.get("dataset")
    if name is None:
        raise ValueError(
            "the run was saved from Python, and does not name its data; give --dataset."
        )
    check_there("--dataset", name)
    if is_table(name):
        raise ValueError(
            f"{name}: the run was saved from Python, and does not say how its table was split; "
            "score it from there, by jaxcls.runs.score."
        )
    if Path(name).suffix.lower() == ".npz":
        # By its labels, since --classes would take numbers for names where these are words.
        exact = trained.standardization is not None
        sets = load_npz(name, exact=exact)
        train, test = (select_classes(each, trained.labels) for each in sets)
        data = Data(str(name), None, train, None, test)
    else:
        flags = MulticlassFlags(
            dataset=str(name), data_dir=data_dir, classes=trained.labels
        )
        data = load_data(flags)
    trained.check_features(data.test.features)
    return data


def _number_lines(part: str, scores: dict) -> list[str]:
    if "num_networks" in scores:
        return ["", f"{part}:", *number_ensemble_lines(scores)]
    return ["", number_line(part, scores), *band_lines(scores)]


def _lines(part: str, scores: dict, run: Run) -> list[str]:
    low, high = scores["accuracy_interval"]
    class_names = list(map(printable, run.class_names))
    lines = [
        "",
        f"{part}: {scores['correct']:,} of {scores['count']:,} right, accuracy "
        f"{scores['accuracy']:.4f} (95% interval {low:.4f} to {high:.4f})",
        *probability_lines(scores, run, class_names),
    ]
    width = max(5, *map(len, class_names))
    lines.append(f"{'class':>{width}} precision recall     f1   count | confusion")
    for place, name in enumerate(class_names):
        row = "".join(f"{count:7,}" for count in scores["confusion"][place])
        lines.append(
            f"{name:>{width}} {scores['precision'][place]:9.4f} "
            f"{scores['recall'][place]:.4f} {scores['f1'][place]:6.4f} "
            f"{scores['support'][place]:7,} |{row}"
        )
    return lines
