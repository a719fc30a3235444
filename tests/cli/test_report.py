"""scripts/report.py: a page of finished runs, and a sentence for whatever else is named."""

import dataclasses
import json
import shlex
import shutil

import jax
import pytest

import jaxcls
from jaxcls.cli import main
from jaxcls.cli.flags import (
    NOT_KEPT,
    BinaryFlags,
    MulticlassFlags,
    RegressionFlags,
    SweepFlags,
    TrainFlags,
)
from jaxcls.cli.parsing import parse, read_flags, resolved, words_of
from jaxcls.files import read_json, write_json


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders: the default run, one that isn't finished, a saved one, and one of numbers."""
    path = tmp_path_factory.mktemp("runs")
    flags = ("--dataset", "digits", "--output-dir", str(path / "two"))
    assert main.train_binary(flags) == 0
    shutil.copytree(path / "two", path / "begun")
    (path / "begun" / "metrics.json").unlink()
    shutil.copytree(path / "two", path / "numbers")
    params = jaxcls.mlp.init(jax.random.key(0), (2, 1))
    config = jaxcls.Config((2, 1), jaxcls.bernoulli)
    jaxcls.save_run(path / "saved", params, config, class_names=["no", "<yes>"])
    metrics = read_json(path / "numbers" / "metrics.json")
    metrics["config"]["target"] = {"name": "y", "mean": 0.0, "scale": 1.0}
    write_json(path / "numbers" / "metrics.json", metrics)
    return path


def reported(paths, output):
    assert main.report([*map(str, paths), "--output", str(output)]) == 0
    return output.read_text()


def test_the_default_run(runs, tmp_path, capsys):
    output = tmp_path / "report.html"
    content = reported([runs / "two"], output)
    assert capsys.readouterr().out.startswith(f"{output}: 0.")
    assert len(content) < 3_000_000
    metrics = read_json(runs / "two" / "metrics.json")
    test = metrics["test"]
    low, high = jaxcls.scores.accuracy_interval(test["correct"], test["count"])
    assert f"<strong>{test['accuracy']:.4f}</strong>" in content
    interval = f"95% interval {low:.4f} to {high:.4f}"
    assert f"{interval}; {test['correct']} of {test['count']}" in content
    for each in (
        "A neural network that learned to tell 0 and 1 apart",
        "2, 3, 4, 5, 6, 7, 8 and 9 it can&#x27;t know.",
        "784-32-1",
        "100 chosen of 100",
        "<td>0 and 1</td>",
        "scripts/train_binary.py --dataset digits --classes 0 1",
        f"scripts/evaluate.py {runs / 'two'}",
        f"scripts/predict.py {runs / 'two'} picture.png",
    ):
        assert each in content, each
    pictures = [*(runs / "two").glob("*.png")]
    assert content.count("data:image/png;base64,") == len(pictures) >= 3


def test_several_side_by_side(runs, tmp_path):
    content = reported([runs / "two", runs / "saved"], tmp_path / "both.html")
    assert "<h1>2 runs side by side</h1>" in content
    for name in ("two", "saved"):
        assert f'<th scope="col">{name}</th>' in content
    assert "&lt;yes&gt;" in content and "<yes>" not in content
    assert "They were judged by different data" in content
    # One canvas, and the one network that takes images.
    assert content.count("<canvas") == content.count('class="network"') == 1


def test_a_damaged_picture_is_left_out(runs, tmp_path, capsys):
    path = tmp_path / "run"
    shutil.copytree(runs / "two", path)
    (path / "curves.png").write_bytes(b"")
    content = reported([path], tmp_path / "report.html")
    left = len([*path.glob("*.png")]) - 1
    assert content.count("data:image/png;base64,") == left
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "curves.png: not a whole PNG file" in said


def test_a_saved_run_has_no_scores_and_no_command(runs, tmp_path):
    content = reported([runs / "saved"], tmp_path / "saved.html")
    assert "No scores are kept" in content and "Train it again" not in content
    assert "<canvas" not in content and "<script>" not in content
    assert "scripts/predict.py" in content and "rows.npy" in content


@pytest.mark.slow
@pytest.mark.parametrize(
    "script, flags, wanted",
    [
        ("train_multiclass", "--folds 2 --epochs 2", ("held-out accuracy", "folds")),
        (
            "sweep",
            "--epochs 1 --seeds 2 --learning-rate 1e-2 --dropout 0 0.1",
            ("best of 2 that were tried", "rank 1", "ensemble test accuracy", "std"),
        ),
        ("train_regression", "--epochs 2", ("test R squared", "diabetes")),
    ],
)
def test_what_other_trainings_give(script, flags, wanted, tmp_path):
    argv = [*flags.split(), "--output-dir", str(tmp_path / "run")]
    argv += [] if script == "train_regression" else ["--dataset", "digits"]
    assert getattr(main, script)(argv) == 0
    content = reported([tmp_path / "run"], tmp_path / "report.html")
    for each in wanted:
        assert each in content
    assert ("<canvas" in content) == (script != "train_regression")
    assert f"scripts/{script}.py" in content


@pytest.mark.parametrize(
    "names, output, sentence",
    [
        ([], "new.html", "no folder was named"),
        (["none"], "new.html", "there is no such folder"),
        ([""], "new.html", "holds no finished run"),
        (["begun"], "new.html", "holds no finished run; train it, or resume it."),
        (["two", "begun"], "new.html", "begun holds no finished run"),
        (["two", "numbers"], "new.html", "have no score in common"),
        (["two"], "two", "must be an .html file"),
        (["two"], "old.html", "is there already; name another --output"),
        (["two"], "no/where.html", "there is no folder"),
    ],
)
def test_bad_input_is_a_sentence(names, output, sentence, runs, tmp_path, capsys):
    (tmp_path / "old.html").write_text("mine")
    paths = [str(runs / name) for name in names]
    assert main.report([*paths, "--output", str(tmp_path / output)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("report.py: ") and sentence in said.err
    assert (tmp_path / "old.html").read_text() == "mine"
    assert not (tmp_path / "new.html").exists()


@pytest.mark.parametrize(
    "kind, line",
    [
        (BinaryFlags, ""),
        (BinaryFlags, "--recipe d"),
        (BinaryFlags, "--recipe a --shuffle --epochs 20 --hidden"),
        (BinaryFlags, "--patience 5 --validation-fraction 0 --report-every 7"),
        (MulticlassFlags, "--classes 3 8 --class-weights 1.0 2.5 --no-plots"),
        (MulticlassFlags, "--dataset a.csv --target 'the class' --drop a b"),
        (MulticlassFlags, "--seeds 3 --folds 5"),
        (MulticlassFlags, "--dataset a.npz --standardize --conformal 0.1"),
        (BinaryFlags, "--validation-fraction 0.1 --calibrate --costs 1 5"),
        (RegressionFlags, "--patience None --batch-size full"),
        (SweepFlags, "--learning-rate 1e-3 --hidden 32 64-16 --halving"),
    ],
)
def test_the_command_is_made_again_from_what_a_run_keeps(kind, line):
    def trained(argv):
        flags = parse(kind, "x.py", argv)
        return resolved(flags) if isinstance(flags, TrainFlags) else flags

    given = shlex.split(line)
    flags = trained(given)
    kept = {
        name: value
        for name, value in dataclasses.asdict(flags).items()
        if name not in NOT_KEPT
    }
    record = {"script": kind.SCRIPT, "flags": json.loads(json.dumps(kept))}
    words = words_of(read_flags(kind, record))
    assert trained(words) == flags
    assert len(words) <= len(given)


def test_a_threshold_is_told_beside_accuracies_that_lack_it(tmp_path, capsys):
    path = tmp_path / "run"
    argv = ("--dataset", "digits", "--epochs", "2", "--threshold", "0.25", "--no-plots")
    assert main.train_binary([*argv, "--output-dir", str(path)]) == 0
    assert main.report([str(path), "--output", str(tmp_path / "page.html")]) == 0
    content = (tmp_path / "page.html").read_text()
    assert (
        "1 from a probability of 0.2500 on; the accuracies above are without it"
        in content
    )
