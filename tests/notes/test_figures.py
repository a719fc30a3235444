"""scripts/reproduce.py: its figures, its table, its exit codes."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcls import Hyperparams, Keys, data, evaluate, fit, init_state
from jaxcls.cli import main
from jaxcls.cli import reproduce as command
from jaxcls.notes import recipes
from jaxcls.notes import runs as runs_module
from jaxcls.notes.figures import load_figures
from jaxcls.notes.runs import Runs
from jaxcls.notes.values import ERRORS, EXACT, STATISTICAL

SCRIPT = Path(__file__).parents[2] / "scripts" / "reproduce.py"
BY_HAND = [each.id for each in load_figures() if each.id[:3] in ("SM.", "CE.")]


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def digits(monkeypatch):
    """The notes' runs on scikit-learn's digits instead, and section D with three keys."""
    monkeypatch.setattr(
        runs_module,
        "load",
        lambda name, data_dir, classes: data.load("digits", classes=classes),
    )
    recipe = recipes.REPEATED["D"].recipe
    monkeypatch.setitem(recipes.REPEATED, "D", recipes.Repetition(recipe, num_keys=3))


def reproduce(*argv):
    return main.reproduce(argv)


def test_each_figure_has_a_value_of_its_kind():
    figures = load_figures()
    kinds = Counter(figure.kind for figure in figures)
    assert kinds == {"exact": 35, "statistical": 9, "error": 3}
    for kind, values in (
        ("exact", EXACT),
        ("statistical", STATISTICAL),
        ("error", ERRORS),
    ):
        assert [each.id for each in figures if each.kind == kind] == [
            each.id for each in figures if each.id in values
        ]
        assert len(values) == kinds[kind]


@pytest.mark.slow
def test_figures_without_data_in_a_process_of_their_own():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--json", "out.json", "--only", *reversed(BY_HAND)],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "JAXCLS_DATA_DIR"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "17 of 17 figures"
    shown = [line.split()[0] for line in done.stdout.splitlines() if line[2:3] == "."]
    assert [each for each in shown if each in BY_HAND] == BY_HAND  # the notes' order
    result = json.loads(Path("out.json").read_text())
    assert result["agreed"] == result["of"] == 17
    assert [each["id"] for each in result["figures"]] == BY_HAND
    first = result["figures"][BY_HAND.index("CE.binary_formula")]
    assert first["printed"] == "0.4399" and first["agrees"] is True
    margins = np.array([1.0, 0, 1])  # each logit's, on the side of its target
    want = np.log1p(np.exp(-margins)).mean()
    np.testing.assert_allclose(first["float64"], want, 1e-15)
    np.testing.assert_allclose(first["float32"], first["float64"], 1e-6)


def test_a_figure_that_disagrees_ends_in_exit_code_1(monkeypatch, capsys):
    (figure,) = (each for each in load_figures() if each.id == "SM.exp")
    wrong = json.loads(json.dumps(figure.printed).replace("7.3891", "7.3892", 1))
    changed = figure._replace(printed=wrong)
    monkeypatch.setattr(command, "load_figures", lambda: [changed])
    assert reproduce("--json", "out.json") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "0 of 1 figures"
    assert [line.split()[-1] for line in lines if line.startswith("SM.exp")] == ["NO"]
    assert json.loads(Path("out.json").read_text())["figures"][0]["agrees"] is False


@pytest.mark.parametrize(
    "argv, message",
    [
        (("--only", "A.tain"), r"only: there is no figure 'A\.tain'; the figures are"),
        (("--only",), "only: name one or more of the figures A.trace, "),
        (("--json", "no/out.json"), r"json: there is no folder .*/no\."),
        (("--only", "SM.exp", "--json", "."), r"json: /.* is not a file; name one"),
        (("--data-dir", "no"), "data folder no: there is no such folder"),
        (("--only", "SM.exp", "--device", "gpu"), "device gpu: jax sees no GPU"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(argv, message, capsys):
    assert reproduce(*argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("reproduce.py: ") and error.count("\n") == 1
    assert re.search(message, error)


def test_a_link_is_followed_and_a_device_refused(tmp_path, capsys):
    (tmp_path / "there").mkdir()
    Path("link.json").symlink_to("there/out.json")
    assert reproduce("--only", "SM.exp", "--json", "link.json") == 0
    assert Path("link.json").is_symlink()
    assert json.loads(Path("there/out.json").read_text())["agreed"] == 1
    os.mkfifo("pipe")
    assert reproduce("--only", "SM.exp", "--json", "pipe") == 2
    assert "pipe is not a file" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_leaves_the_verdict(monkeypatch, capsys):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert reproduce("--only", "SM.exp", "--json", "out.json") == 2
    shown = capsys.readouterr()
    assert shown.out.endswith("\n1 of 1 figures\n")
    assert "out.json could not be written: No space left" in shown.err
    assert not Path("out.json").exists()


@pytest.mark.slow
def test_a_terminal_shows_how_far_a_run_is(monkeypatch, capsys, digits):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert reproduce("--only", "D.trace", "--json", "out.json") in (0, 1)
    shown = capsys.readouterr().out
    assert "D with 3 keys:   0%" in shown and "3/3" in shown
    assert "lowest of 3 keys" in shown


@pytest.mark.slow
def test_figures_of_real_mnist(mnist_dir, capsys):
    # Those that take no long training; CI runs the script with all of them.
    ids = ("OV.sigmoid", "OV.two_bce", "OV.outputs", "M.labels", "D.trace", "D.test")
    assert reproduce("--data-dir", str(mnist_dir), "--only", *ids) == 0
    assert capsys.readouterr().out.endswith("\n6 of 6 figures\n")


@pytest.mark.slow
def test_one_key_of_many_is_that_key_alone(digits):
    runs = Runs(None, "float32", lambda *_: None)
    many, (train, test) = runs.repeated("D"), runs.data(0, 1)
    assert many.trace.shape == (3, 2) and many.test.shape == (3,)
    config = recipes.REPEATED["D"].recipe.config
    params = runs.network(1, config.layer_sizes)
    for seed in range(3):
        reports, keys = [], Keys.from_seed(seed)
        state, _ = fit(
            keys,
            config,
            Hyperparams(dropout_rate=0.5),
            train,
            state=init_state(keys, config, params),
            report_every=1,
            on_report=reports.append,
        )
        alone = [report.train.accuracy for report in reports]
        np.testing.assert_array_equal(many.trace[seed], alone)
        score = jax.device_get(evaluate(state.params, test, config=config))
        assert many.test[seed] == score.accuracy
