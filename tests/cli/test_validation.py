"""Validation, early stopping and safeguards through the scripts."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from jaxcls.cli import main
from jaxcls.cli.flags import RECIPES

DIGITS = ("--dataset", "digits", "--no-plots", "--output-dir", "run")


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def binary(*argv):
    return main.train_binary(argv)


def metrics(folder="run"):
    return json.loads(Path(folder, "metrics.json").read_text())


def test_the_best_parameters_are_scored_and_both_are_kept(capsys):
    # At this rate the loss jumps, so that the last epoch is not the best.
    flags = ("--learning-rate", "0.3", "--epochs", "12", "--validation-fraction", "0.3")
    assert binary(*DIGITS, *flags, "--report-every", "1") == 0
    shown, result = capsys.readouterr().out, metrics()
    history = [
        json.loads(line) for line in Path("run/history.jsonl").read_text().splitlines()
    ]
    losses = [record["validation_loss"] for record in history]
    best = int(np.argmin(losses))
    assert best + 1 < 12
    assert result["chosen"] == {
        **{"params": "best", "epoch": best + 1, "by": "validation loss"},
        **{"value": pytest.approx(losses[best]), "epochs_done": 12},
        "stopped_by": "epochs",
    }
    assert result["validation"]["loss"] == pytest.approx(losses[best], rel=1e-6)
    assert result["validation"]["count"] == result["num_validation"] == 87
    assert result["train"]["accuracy"] == history[best]["train_accuracy"]
    assert f"chosen         epoch {best + 1} of 12, best validation loss" in shown
    assert "validation accuracy " in shown
    model, last = (
        safetensors.numpy.load_file(f"run/{name}.safetensors")
        for name in ("model", "last")
    )
    assert model.keys() == last.keys()
    assert not np.array_equal(
        model["params/Dense_0/kernel"], last["params/Dense_0/kernel"]
    )


@pytest.mark.slow
def test_accuracy_may_choose_and_patience_holds_out_a_tenth():
    flags = ("--patience", "2", "--monitor", "accuracy", "--epochs", "60")
    assert binary(*DIGITS, *flags) == 0
    result = metrics()
    assert result["num_validation"] == 29  # of 145 and 144
    chosen = result["chosen"]
    assert chosen["by"] == "validation accuracy" and chosen["stopped_by"] == "patience"
    assert chosen["epochs_done"] == chosen["epoch"] + 2 < 60
    assert chosen["value"] == pytest.approx(result["validation"]["accuracy"])


def test_patience_without_a_validation_set_is_refused(capsys):
    assert binary(*DIGITS, "--patience", "3", "--validation-fraction", "0") == 2
    assert "patience 3 needs a validation set; give a validation_fraction" in (
        capsys.readouterr().err
    )
    assert not Path("run").exists()


def test_the_notes_recipes_hold_nothing_out():
    assert {recipe.validation_fraction for recipe in RECIPES.values()} == {0.0}


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--validation-fraction", "1"], "validation_fraction must lie above 0 and"),
        (["--validation-fraction", "-0.1"], "validation_fraction must lie above 0"),
        (["--validation-fraction", "nan"], "validation_fraction must lie above 0"),
        (["--patience", "0"], "patience must be at least 1"),
        (["--clip-norm", "0"], "clip_norm must be positive and finite"),
        (["--label-smoothing", "1"], "label_smoothing must lie in [0, 1), got 1.0"),
        (["--class-weights", "1"], "class_weights must be 2 numbers, one per class"),
        (["--class-weights", "1", "0"], "class_weights must be positive and finite"),
        (["--checkpoint-every", "0"], "checkpoint_every must be at least 1, got 0"),
        (["--keep-checkpoints", "0"], "keep_checkpoints must be at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(argv, message, capsys):
    assert binary(*DIGITS, *argv) == 2
    told = capsys.readouterr().err
    assert told.startswith("train_binary.py: ") and told.count("\n") == 1
    assert message in told and not Path("run").exists()


def test_balanced_weights_are_those_of_the_training_part(monkeypatch):
    from jaxcls.cli import job
    from jaxcls.cli.flags import BinaryFlags
    from jaxcls.cli.parsing import resolved

    x = np.arange(60, dtype=np.float32).reshape(30, 2)
    y = np.repeat([0, 1], [20, 10])
    np.savez("own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    flags = resolved(BinaryFlags(dataset="own.npz", class_weights="balanced"))
    data = job.load_data(flags)
    weights = job.prepare(flags, data).hyperparams.class_weights
    assert weights == (0.75, 1.5)


def test_a_run_that_patience_ends_soon_has_a_line_for_each_epoch():
    flags = ("--learning-rate", "0.3", "--epochs", "1000", "--patience", "3")
    assert binary(*DIGITS, *flags) == 0
    lines = [
        json.loads(line) for line in Path("run/history.jsonl").read_text().splitlines()
    ]
    done = metrics()["chosen"]["epochs_done"]
    assert [line["epoch"] for line in lines] == list(range(1, done + 1)) and done < 100
    assert all("validation_loss" in line for line in lines)
    assert [line["epoch"] for line in lines if "train_accuracy" in line] == [done]
