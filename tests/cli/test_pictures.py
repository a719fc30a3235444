"""The pictures of a folder: which there are, what they are of, and drawing those that are missing."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from many_runs import handlers_kept

from jaxcls.cli import main, pictures
from jaxcls.cli.data import Data
from jaxcls.cli.flags import MulticlassFlags
from jaxcls.data.dataset import Dataset
from jaxcls.runs import plots

FLAGS = ("--dataset", "digits", "--hidden", "4", "--epochs", "2")
OF_IMAGES = ["confusion", "curves", "mistakes", "reliability", "roc", "weights"]


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with handlers_kept():
        yield


@pytest.fixture
def titles(monkeypatch):
    """The titles of what is drawn, in its order; none of it is rendered."""
    found = []

    def told(figure):
        found.append(figure.get_suptitle().replace("\n", " "))
        return b"PNG"

    monkeypatch.setattr(plots, "png", told)
    return found


def drawn(folder="run"):
    return sorted(path.stem for path in Path(folder).glob("*.png"))


def metrics(folder="run"):
    return json.loads((Path(folder) / "metrics.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run without pictures, and without checkpoints, so that it can't be resumed."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with handlers_kept():
        assert (
            main.train_binary([*FLAGS, "--no-plots", "--output-dir", f"{folder}"]) == 0
        )
    assert drawn(folder) == []
    shutil.rmtree(folder / "checkpoints")
    return folder


def test_a_run_has_those_of_its_test_set(titles, trained):
    shutil.copytree(trained, "run")
    assert main.train_binary(["--resume", "run", "--plots"]) == 0
    assert drawn() == OF_IMAGES
    score = metrics()["test"]
    wrong = score["count"] - score["correct"]
    assert titles[:2] == [
        "Loss and accuracy, epoch by epoch",
        f"Confusion, test set: {wrong} of {score['count']} wrong",
    ]
    assert titles[3] == "Weights from the 28 x 28 pixels to each of 4 hidden units"


def test_what_is_missing_is_drawn_and_nothing_is_trained_again(titles, trained, capsys):
    shutil.copytree(trained, "run")
    kept = {path: path.read_bytes() for path in Path("run").glob("*.*")}
    for name in OF_IMAGES:
        if name not in ("curves", "roc"):
            Path(f"run/{name}.png").write_bytes(b"as it was")
    assert main.train_binary(["--resume", "run", "--plots"]) == 0
    assert capsys.readouterr().out == "run: drawn now: curves.png, roc.png\n"
    assert len(titles) == 2 and drawn() == OF_IMAGES
    assert Path("run/weights.png").read_bytes() == b"as it was"
    assert kept == {path: path.read_bytes() for path in kept}
    capsys.readouterr()
    assert main.train_binary(["--resume", "run", "--plots"]) == 0
    assert "run is finished" in capsys.readouterr().out and len(titles) == 2


def test_a_picture_that_cannot_be_drawn_is_told(titles, trained, monkeypatch, capsys):
    def failing(*_):
        raise RuntimeError("no ink")

    for name in ("confusion", "roc"):
        monkeypatch.setattr(plots, name, failing)
    shutil.copytree(trained, "run")
    assert main.train_binary(["--resume", "run", "--plots"]) == 0
    assert capsys.readouterr().err == (
        "train_binary.py: confusion.png, roc.png could not be drawn, the result stands: no ink\n"
    )
    assert drawn() == ["curves", "mistakes", "reliability", "weights"]


@pytest.mark.slow
def test_seeds_have_bands_and_their_ensembles(titles):
    argv = (*FLAGS, "--seeds", "3", "--validation-fraction", "0.2")
    assert main.train_multiclass([*argv, "--output-dir", "run"]) == 0
    assert drawn() == OF_IMAGES
    together = metrics()["ensemble"]["test"]
    wrong = together["count"] - together["correct"]
    assert titles[:2] == [
        "Loss and accuracy of 3 runs: mean, middle half, range",
        f"Confusion, test set: {wrong} of {together['count']} wrong",
    ]
    error = f"expected calibration error {together['calibration_error']:.4f}"
    assert f"Reliability, test set: {error}" in titles
    Path("run/curves.png").unlink()
    assert main.train_multiclass(["--resume", "run"]) == 0
    assert drawn() == OF_IMAGES


@pytest.mark.slow
def test_folds_have_those_of_what_was_held_out(titles):
    argv = (*FLAGS, "--folds", "3", "--output-dir", "run")
    assert main.train_multiclass(argv) == 0
    pooled = metrics()["held_out"]["predictions"]
    wrong = pooled["count"] - pooled["correct"]
    confusion = f"Confusion, rows held out: {wrong} of {pooled['count']} wrong"
    assert titles[:2] == ["Loss of 3 runs: mean, middle half, range", confusion]
    of = f"mistakes in {pooled['count']} images held out, the surest first"
    assert any(title.endswith(of) for title in titles)
    assert drawn() == OF_IMAGES


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--folds", "3"), ("--likelihood", "gaussian")])
def test_numbers_have_theirs(more, titles):
    argv = ("--dataset", "diabetes", "--hidden", "4", "--epochs", "2")
    argv += ("--likelihood", "normal", "--output-dir", "run")
    assert main.train_regression([*argv, *more]) == 0
    assert drawn() == ["curves", "predicted", "residuals"]
    what = "rows held out, N = 353" if "--folds" in more else "test set, N = 89"
    assert titles[1].startswith(f"Predicted against true, {what}")
    assert ("bands" in titles[1]) == ("gaussian" not in more)
    assert titles[2].startswith(f"Residuals, {what}: mean ")


@pytest.mark.slow
def test_a_sweep_has_what_was_swept(titles, capsys):
    argv = (*FLAGS, "--seeds", "1", "--learning-rate", "1e-3", "1e30")
    assert main.sweep([*argv, "--dropout", "0", "0.5", "--output-dir", "run"]) == 0
    assert titles == [
        "Validation accuracy of 4 settings, with 95% intervals",
        "Validation accuracy by learning_rate and dropout",
    ]
    assert drawn() == ["heat_map", "sweep"]
    Path("run/sweep.png").unlink()
    assert main.sweep(["--resume", "run"]) == 0
    assert len(titles) == 3 and drawn() == ["heat_map", "sweep"]
    # Another in its place takes them away, and has none of its own.
    assert main.sweep([*argv, "--no-plots", "--overwrite", "--output-dir", "run"]) == 0
    assert drawn() == [] and len(titles) == 3


def data_of(test_targets, image_shape=(2, 2)):
    rows = [
        Dataset(
            np.zeros((len(targets), 4), np.uint8),
            targets,
            (0, 1),
            ("a", "b"),
            image_shape,
        )
        for targets in (np.array([0, 1, 0]), np.array(test_targets))
    ]
    return Data("own", None, rows[0], None, rows[1])


def test_of_one_class_there_is_no_roc_curve_and_of_rows_no_images():
    def due(*data, **flags):
        source = pictures._Source(Path("run"), data_of(*data), MulticlassFlags(**flags))
        return [name.removesuffix(".png") for name in pictures._due(source)]

    assert sorted(due([0, 1])) == OF_IMAGES
    assert sorted(due([1, 1])) == [name for name in OF_IMAGES if name != "roc"]
    assert sorted(due([1, 1], folds=2)) == OF_IMAGES  # which look at the training set
    assert sorted(due([0, 1], None)) == ["confusion", "curves", "reliability", "roc"]


def test_a_seed_that_diverged_is_in_no_band(tmp_path):
    lines = (
        {"epoch": 1, "loss": [1.0, None, 3.0]},
        {"epoch": 2, "loss": [1.0, None, 2.0]},
    )
    (tmp_path / "history.jsonl").write_text("\n".join(map(json.dumps, lines)))
    finite = [
        {"at": at, "chosen_epoch": epoch} for at, epoch in (("0", "1"), ("2", "2"))
    ]
    source = SimpleNamespace(path=tmp_path, chosen={"params": "best"}, finite=finite)
    figure = pictures._curves(source)
    assert figure.get_suptitle() == "Loss of 2 runs: mean, middle half, range"
    labels = [each.get_text() for each in figure.legends[0].get_texts()]
    assert labels == ["training", "chosen, epoch 1.5 (1 to 2)"]
