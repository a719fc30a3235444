"""`scripts/compare.py`: what it says of two trainings is `comparisons.compare` of their tables."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from many_runs import handlers_kept, metrics, table

from jaxcls import load_run
from jaxcls.cli import keeping, main, seeds
from jaxcls.comparisons import compare, holm, mcnemar
from jaxcls.data import load
from jaxcls.files import digest, read_json, write_json
from jaxcls.runs import plots

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare.py"
MANY = "--dataset digits --hidden 6 --epochs 3 --batch-size 32 --no-plots"
FOLDS = f"{MANY} --folds 3 --seeds 2"
# Learning rates, of which the program that trains is one.
RUNS = {
    "a": f"{FOLDS}",
    "b": f"{FOLDS} --learning-rate 0.01",
    "c": f"{FOLDS} --learning-rate 0.0003",
    "seeds-a": f"{MANY} --seeds 4",
    "seeds-b": f"{MANY} --seeds 4 --learning-rate 0.0001",
}


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with handlers_kept():
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with `RUNS`."""
    root = tmp_path_factory.mktemp("trained")
    with handlers_kept():
        for name, flags in RUNS.items():
            assert binary(f"{flags} --output-dir {root / name}") == 0
    return root


@pytest.fixture
def here(trained):
    """Those in the current folder, by their names."""
    for name in RUNS:
        shutil.copytree(trained / name, name)


def binary(flags):
    return main.train_binary(flags.split())


def compared(*argv):
    return main.compare(argv)


def told(capsys, *argv):
    """What `--json` says."""
    capsys.readouterr()
    assert compared(*argv, "--json") == 0
    return json.loads(capsys.readouterr().out)


def accuracies(folder, num_seeds=2):
    lines = table(folder)
    name = "held_out_accuracy" if "held_out_accuracy" in lines[0] else "test_accuracy"
    return np.array([float(line[name]) for line in lines]).reshape(-1, num_seeds)


def refused(capsys, *argv):
    """The one sentence that it says in the place of a comparison."""
    capsys.readouterr()
    try:
        assert compared(*argv) == 2
    except SystemExit as end:  # of a flag that tyro refuses
        assert end.code == 2
    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    assert last.startswith("compare.py: ") and last.endswith(".")
    assert "A - B" not in out and "Traceback" not in err
    return last.removeprefix("compare.py: ")


def test_two_folders_are_paired(here, capsys):
    (entry,) = told(capsys, "a", "b")
    ratio = metrics("a")["held_out"]["ratio"]
    wanted = compare(accuracies("a"), accuracies("b"), ratio)
    assert (entry["a"], entry["b"]) == ("a", "b")
    assert entry["ratio"] == ratio and entry["p_holm"] == wanted.p_value
    for name in wanted._fields:
        assert entry[name] == getattr(wanted, name)
    (turned,) = told(capsys, "b", "a")
    assert turned["difference"] == pytest.approx(-entry["difference"])
    assert turned["p_value"] == pytest.approx(entry["p_value"])

    assert compared("a", "b") == 0
    printed = capsys.readouterr().out
    means = f"{accuracies('a').mean():.4f} and {accuracies('b').mean():.4f}"
    assert f"A a, B b: accuracy {means}, 3 splits" in printed
    assert f"95% interval {wanted.low:+.4f} to {wanted.high:+.4f}" in printed
    assert f"p               {wanted.p_value:.3g} (corrected resampled t)" in printed
    assert "on further splits of these data" in printed and "Holm" not in printed


def test_a_run_is_equal_to_itself(here, capsys):
    (entry,) = told(capsys, "a", "a")
    assert entry["difference"] == 0 and entry["p_value"] == 1
    assert entry["low"] is entry["high"] is entry["needed"] is None
    assert compared("a", "a") == 0
    printed = capsys.readouterr().out
    assert "They are equal on each: nothing tells them apart." in printed
    assert "+0.0000, no interval" in printed


def test_three_folders_are_adjusted_by_holm(here, capsys):
    entries = told(capsys, "a", "b", "c")
    ratio = metrics("a")["held_out"]["ratio"]
    found = [compare(accuracies("a"), accuracies(name), ratio) for name in "bc"]
    assert [each["b"] for each in entries] == ["b", "c"]
    assert [each["p_value"] for each in entries] == [each.p_value for each in found]
    adjusted = holm([each.p_value for each in found])
    np.testing.assert_array_equal([each["p_holm"] for each in entries], adjusted)
    assert compared("a", "b", "c") == 0
    printed = capsys.readouterr().out
    for each in adjusted:
        assert f"{each:.3g} by Holm for 2 comparisons" in printed


def test_seeds_alone_are_paired_by_seed(here, capsys):
    (entry,) = told(capsys, "seeds-a", "seeds-b")
    wanted = compare(accuracies("seeds-a", 1), accuracies("seeds-b", 1), 0)
    assert entry["ratio"] == 0
    for name in wanted._fields:
        assert entry[name] == getattr(wanted, name)
    assert compared("seeds-a", "seeds-b") == 0
    printed = capsys.readouterr().out
    assert "4 seeds" in printed
    assert "on this one split, of which other splits may say otherwise" in printed


def test_a_difference_that_is_always_the_same_has_no_spread(here, capsys):
    # As where each seed of one run has one more example right.
    for name, correct in (("seeds-a", 70), ("seeds-b", 69)):
        lines = table(name)
        for line in lines:
            line["test_accuracy"] = correct / 71
        write_table(name, lines)
        set_metrics(name, "test", correct / 71)
    assert compared("seeds-a", "seeds-b") == 0
    printed = capsys.readouterr().out
    assert "+0.0141, no interval" in printed
    assert "The difference is the same for all seeds, so its spread is not" in printed


def write_table(name, lines):
    rows = [",".join(lines[0]), *(",".join(map(str, each.values())) for each in lines)]
    Path(name, "seeds.csv").write_text("\n".join(rows) + "\n")


def set_metrics(name, part, mean):
    """Writes the mean accuracy of a table that was made by hand."""
    path = Path(name, "metrics.json")
    found = {key: each for key, each in read_json(path).items() if key != "sha256"}
    found[part]["accuracy"]["mean"] = mean
    found["sha256_of"]["seeds.csv"] = digest(Path(name, "seeds.csv").read_bytes())
    write_json(path, found)


def set_flags(name, **flags):
    """Makes a copy of `a` one by other flags, as far as its record tells."""
    shutil.copytree("a", name)
    path = Path(name, "metrics.json")
    found = {key: each for key, each in read_json(path).items() if key != "sha256"}
    config = {key: each for key, each in found["config"].items() if key != "sha256"}
    config["flags"] |= flags
    write_json(path, found | {"config": config})


@pytest.mark.parametrize(
    ("difference", "sentence"),
    [
        (
            0.2,
            "A is better on further splits of these data, by the p value.",
        ),
        (
            -0.2,
            "B is better on further splits of these data, by the p value.",
        ),
        (
            0.001,
            "It is not shown that either is better on further splits of these data; ",
        ),
    ],
)
def test_what_follows_is_a_sentence(difference, sentence, here, capsys):
    values = np.array([0.5, 0.52, 0.48, 0.5, 0.52, 0.5])
    for name, each in (("a", values + difference), ("b", np.roll(values, 2))):
        lines = table(name)
        for line, value in zip(lines, each, strict=True):
            line["held_out_accuracy"] = value
        write_table(name, lines)
        set_metrics(name, "held_out", each.mean())
    assert compared("a", "b") == 0
    assert sentence in capsys.readouterr().out


def test_the_test_set_is_asked_by_mcnemar(here, capsys):
    (entry,) = told(capsys, "a", "c", "--test")
    test = load("digits", classes=(0, 1))[1]
    right = [
        load_run(name).predict_proba(test.features).argmax(axis=1) == test.targets
        for name in "ac"
    ]
    alone = mcnemar(*right)
    assert entry["test"] == alone._asdict() | {"p_holm": alone.p_value}
    assert compared("a", "c", "--test") == 0
    assert f"McNemar's p {entry['test']['p_value']:.3g}" in capsys.readouterr().out


def test_the_test_set_is_answered_by_a_runs_threshold(here, capsys, monkeypatch):
    def with_threshold(path):
        return dataclasses.replace(load_run(path), threshold=1.0)

    monkeypatch.setattr("jaxcls.cli.compare.load_run", with_threshold)
    (entry,) = told(capsys, "a", "c", "--test")
    test = load("digits", classes=(0, 1))[1]
    plain = load_run("a").predict_places(test.features)
    places = [with_threshold(name).predict_places(test.features) for name in "ac"]
    assert (places[0] != plain).any()
    alone = mcnemar(*(each == test.targets for each in places))
    assert entry["test"] == alone._asdict() | {"p_holm": alone.p_value}


def test_a_picture_is_drawn(here, capsys):
    assert compared("a", "b", "c", "--plot", "differences.png") == 0
    assert Path("differences.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert compared("a", "b", "--plot", "none.png", "--no-plots") == 0
    assert not Path("none.png").exists()
    there = "differences.png: is there already; name another --plot, or remove it."
    assert refused(capsys, "a", "b", "--plot", "differences.png") == there


def test_a_picture_that_cannot_be_drawn_leaves_the_result(here, monkeypatch, capsys):
    def failing(*_, **__):
        raise RuntimeError("no ink")

    monkeypatch.setattr(plots, "differences", failing)
    assert compared("a", "b", "--plot", "inkless.png") == 0
    printed = capsys.readouterr()
    assert "A - B" in printed.out
    told = "inkless.png could not be drawn, the result stands: no ink\n"
    assert printed.err.endswith(told)


def stop_within(monkeypatch, name):
    """Makes a signal ask for a stop in the first round of the runs in a folder of this name."""
    keep = keeping.Keeper.keep

    def stopping(self, done):
        if self._folder.path.name == name:
            self._request.signum = 15
        keep(self, done)

    monkeypatch.setattr(keeping.Keeper, "keep", stopping)


def test_what_is_not_there_is_trained(capsys, monkeypatch):
    both = f"{MANY} --folds 3"
    argv = ("--a", "--learning-rate 0.01", "--b", "", "--both", both, "--binary")
    argv += ("--output-dir", "ab")
    with monkeypatch.context() as patched:
        stop_within(patched, "b")
        assert compared(*argv) == 143
    err = capsys.readouterr().err
    assert "stopped; the same command goes on with ab" in err
    assert Path("ab/a/metrics.json").exists()
    assert not Path("ab/b/metrics.json").exists() and Path("ab/b/members").exists()

    (entry,) = told(capsys, *argv)  # the screen of a training is no part of it
    assert (entry["a"], entry["b"]) == ("ab/a", "ab/b")
    assert metrics("ab/a")["config"]["flags"]["learning_rate"] == 0.01
    assert metrics("ab/b")["config"]["flags"]["learning_rate"] == 0.001
    ratio = metrics("ab/a")["held_out"]["ratio"]
    found = compare(accuracies("ab/a", 1), accuracies("ab/b", 1), ratio)
    assert entry["difference"] == found.difference
    assert Path("ab/differences.png").read_bytes().startswith(b"\x89PNG\r\n")

    # The second time they are taken as they are.
    monkeypatch.setattr(seeds, "_train", None)
    before = {path: path.stat().st_mtime_ns for path in Path("ab").rglob("*.*")}
    assert compared(*argv) == 0
    printed = capsys.readouterr().out
    assert "a: train_binary.py --learning-rate 0.01 --dataset digits" in printed
    assert "ab/a is finished, 3 runs." in printed
    assert before == {path: path.stat().st_mtime_ns for path in Path("ab").rglob("*.*")}

    # By other flags they are not those that were asked for.
    other = ("--a", "--learning-rate 0.02", *argv[2:])
    assert refused(capsys, *other) == (
        "ab/a is by other flags (--learning-rate 0.02: the run began with 0.01); give those, or "
        "another --output-dir."
    )
    assert "ab/a is by other flags (--learning-rate 0.001: " in refused(
        capsys, "--a", "", *argv[2:]
    )
    fewer = ("--a", "--learning-rate 0.01", "--b", "", "--binary", *argv[-2:])
    assert refused(capsys, *fewer).startswith("ab/a is by other flags (--")


def test_trainings_that_cannot_be_paired_are_not_begun(capsys):
    where = ("--both", MANY, "--output-dir", "ab")
    assert refused(capsys, "--a", "--folds 3", "--b", "--folds 4", *where) == (
        "ab/a and ab/b can't be paired: --folds is 3 in ab/a and 4 in ab/b; train both with the "
        "same."
    )
    assert "ab/a is a single run, which has no error bar; " in refused(
        capsys, "--a", "--hidden 3", "--b", "", *where
    )
    assert not Path("ab").exists()


@pytest.mark.slow
def test_a_multiclass_pair_of_other_likelihoods_or_sizes(capsys):
    both = "--dataset digits --epochs 2 --batch-size 32 --resplit 4 --classes 1 7 9"
    argv = ("--a", "--hidden 6 5", "--b=--hidden", "--both", both)
    assert compared(*argv, "--output-dir", "ab") == 0
    assert "4 splits" in capsys.readouterr().out
    assert metrics("ab/b")["config"]["layer_sizes"] == [784, 3]


@pytest.mark.slow
def test_what_validation_takes_counts_whichever_is_named_first(here, capsys):
    assert binary(f"{FOLDS} --patience 9 --output-dir judged") == 0
    one, other = told(capsys, "a", "judged"), told(capsys, "judged", "a")
    assert one[0]["ratio"] == other[0]["ratio"] > metrics("a")["held_out"]["ratio"]
    assert one[0]["p_value"] == pytest.approx(other[0]["p_value"])


@pytest.mark.slow
def test_the_seed_is_the_split_seed_by_default(here, capsys):
    assert binary(f"{FOLDS} --split-seed 0 --output-dir named") == 0
    (entry,) = told(capsys, "a", "named")
    assert entry["difference"] == 0


@pytest.mark.slow
def test_one_split_tells_no_spread(capsys):
    argv = ("--a", "--learning-rate 0.01", "--b=", "--both", f"{MANY} --resplit 1")
    assert compared(*argv, "--binary", "--output-dir", "ab") == 0
    printed = capsys.readouterr().out
    assert "One of the splits alone tells no spread: take more." in printed
    assert "p               not known" in printed


@pytest.mark.slow
def test_both_likelihoods_of_two_classes_are_paired(here, capsys):
    assert main.train_multiclass(
        [*FOLDS.split(), "--classes", "0", "1", "--output-dir", "softmax"]
    ) in (0, None)
    (entry,) = told(capsys, "a", "softmax", "--test")
    assert abs(entry["difference"]) < 0.1


def test_runs_of_other_data_or_members_are_refused(here, capsys):
    set_flags("other-seeds", seeds=3)
    set_flags("other-seed", seed=9)
    set_flags("other-folds", folds=4)
    set_flags("no-folds", folds=None, resplit=3)
    set_flags("other-split", split_seed=3)
    set_flags("same-split", split_seed=0)
    for name, sentence in (
        ("other-seed", "--seed is 0 in a and 9 in other-seed"),
        ("other-folds", "--folds is 3 in a and 4 in other-folds"),
        ("no-folds", "--folds is 3 in a and none in no-folds"),
        ("other-split", "--split-seed is 0 in a and 3 in other-split"),
        ("seeds-a", "--folds is 3 in a and none in seeds-a"),
    ):
        said = refused(capsys, "a", name)
        assert said == (
            f"a and {name} can't be paired: {sentence}; train both with the same."
        )
    assert compared("a", "same-split") == 0
    set_data("other-data")
    assert refused(capsys, "a", "other-data") == (
        "a and other-data have other data, and can't be paired; train both on the same."
    )


def set_data(name):
    shutil.copytree("a", name)
    path = Path(name, "metrics.json")
    found = {key: each for key, each in read_json(path).items() if key != "sha256"}
    found["config"]["data_sha256"] = "0" * 64
    write_json(path, found)


@pytest.mark.slow
def test_real_runs_of_other_data_or_seeds_are_refused(here, capsys):
    for name, flags in (
        ("classes", f"{FOLDS} --classes 0 2"),
        ("seeds", f"{FOLDS} --seeds 3"),
        ("repeats", f"{FOLDS} --repeats 2"),
    ):
        assert binary(f"{flags} --output-dir {name}") == 0
        assert refused(capsys, "a", name).startswith(f"a and {name} ")


def test_a_table_that_was_changed_is_refused(here, capsys):
    for name, change in (
        ("digit", lambda text: text.replace(",0.9", ",0.1")),
        ("row", lambda text: text[: text.rindex("1,3,5")]),
        ("column", lambda text: text.replace("held_out_accuracy", "held_out_acuracy")),
        ("text", lambda text: text.replace(",0.9", ",o.9")),
        ("empty", lambda text: ""),
    ):
        shutil.copytree("b", name)
        path = Path(name, "seeds.csv")
        path.write_text(change(path.read_text()))
        assert refused(capsys, "a", name).startswith(f"{name}/seeds.csv: ")
    path.write_bytes(b"\xff\x00")
    assert refused(capsys, "a", name).startswith(f"{name}/seeds.csv: ")
    path.unlink()
    assert refused(capsys, "a", name).startswith(f"{name}/seeds.csv: ")


def test_runs_that_diverged_are_refused(here, capsys):
    path = Path("b", "metrics.json")
    found = {key: each for key, each in read_json(path).items() if key != "sha256"}
    write_json(path, found | {"diverged": [1, 4]})
    assert refused(capsys, "a", "b").startswith("b: seeds 1 4 diverged, and have no ")


def test_a_folder_that_holds_no_members_is_refused(here, capsys):
    set_flags("single", folds=None, seeds=1)
    assert refused(capsys, "a", "single") == (
        "single is a single run, which has no error bar; train it with --folds, --resplit or "
        "--seeds."
    )
    assert refused(capsys, "a", "nowhere") == (
        "nowhere: there is no such folder; name those of finished runs."
    )
    Path("b/metrics.json").unlink()
    assert refused(capsys, "a", "b") == (
        "b holds no finished run; train it, or resume it."
    )


@pytest.mark.slow
def test_a_single_run_is_refused(here, capsys):
    assert binary(f"{MANY} --epochs 1 --output-dir single") == 0
    assert refused(capsys, "a", "single").startswith("single is a single run, which ")


SWEPT = "--dataset digits --classes 0 1 --hidden 4 --epochs 2 --learning-rate 1e-3 1e-2 1e30 --no-plots"


def swept(capsys, *flags):
    argv = (*SWEPT.split(), "--dropout", "0", *flags, "--output-dir", "swept")
    assert main.sweep(argv) == 0
    capsys.readouterr()


def of_settings(num_seeds):
    lines = table("swept", "members.csv")
    found = {}
    for line in lines:
        found.setdefault(line["setting"], []).append(float(line["validation_accuracy"]))
    return [np.array(each).reshape(-1, num_seeds) for each in found.values()]


@pytest.mark.slow
def test_settings_of_a_sweep_are_paired_over_its_splits(here, capsys):
    swept(capsys, "--folds", "3", "--seeds", "2")
    first, other, _ = of_settings(2)
    (entry,) = told(capsys, "swept", "--settings", "0", "1")
    assert (entry["count"], entry["unit"]) == (3, "splits")
    assert entry["mean_a"] == pytest.approx(first.mean())
    assert "better on further splits of these data" in entry["conclusion"]
    assert metrics("swept")["config"]["versions"]["scikit-learn"]
    ratio = 0.5  # of three folds, one is held out
    assert entry["ratio"] == pytest.approx(ratio, abs=1e-3)
    wanted = compare(first, other, entry["ratio"])
    assert (entry["a"], entry["b"]) == ("setting 0", "setting 1")
    for name in wanted._fields:
        assert entry[name] == getattr(wanted, name)
    assert compared("swept", "--settings", "1", "0") == 0
    printed = capsys.readouterr().out
    assert "A setting 1, B setting 0: accuracy " in printed and "3 splits" in printed
    for settings, sentence in (
        (("0", "3"), "swept has no setting 3; take numbers of its sweep.csv."),
        (("0",), "--settings must be two or more that differ, got 0."),
        (("1", "1"), "--settings must be two or more that differ, got 1 1."),
        (
            ("0", "2"),
            "swept: setting 2 has no scores to compare (it is diverged); take settings that "
            "sweep.csv calls ok.",
        ),
    ):
        assert refused(capsys, "swept", "--settings", *settings) == sentence
    assert refused(capsys, "swept", "--settings", "0", "1", "--test") == (
        "--test is for folders of runs; a sweep scores its winner alone on the test set."
    )
    assert refused(capsys, "a", "--settings", "0", "1") == (
        "a is no sweep; --settings names settings of one folder that sweep.py wrote."
    )
    assert refused(capsys, "a", "swept") == (
        "swept is a sweep; name two or more of its settings with --settings, by their numbers in "
        "its sweep.csv."
    )
    assert refused(capsys, "a", "swept/winner").startswith("swept/winner")
    # As a sweep before 0.2.0 has it.
    path = Path("swept", "metrics.json")
    found = {key: each for key, each in read_json(path).items() if key != "sha256"}
    config = {key: each for key, each in found["config"].items() if key != "sha256"}
    del config["plan"]["ratio"]
    write_json(path, found | {"config": config})
    assert refused(capsys, "swept", "--settings", "0", "1").startswith(
        "swept does not tell how many rows its splits held out, "
    )


@pytest.mark.slow
def test_settings_of_a_sweep_are_paired_by_their_seeds(capsys):
    swept(capsys, "--seeds", "4")
    first, other, _ = of_settings(1)
    (entry,) = told(capsys, "swept", "--settings", "0", "1")
    wanted = compare(first, other, 0)
    for name in wanted._fields:
        assert entry[name] == getattr(wanted, name)
    shutil.rmtree("swept")
    swept(capsys, "--seeds", "1")
    assert refused(capsys, "swept", "--settings", "0", "1").startswith(
        "swept has a single run of each setting, which has no error bar; "
    )


def test_a_flag_that_can_not_be_says_whose_it_is(capsys):
    argv = ("--a", "--learning-rate -1", "--b", "", "--both", f"{MANY} --folds 3")
    assert refused(capsys, *argv, "--output-dir", "ab").startswith("a: ")


@pytest.mark.parametrize(
    "flags", [("--both", "--folds 3"), ("--binary",), ("--output-dir", "ab")]
)
def test_what_trains_here_is_refused_beside_folders(here, flags, capsys):
    assert refused(capsys, "a", "b", *flags) == (
        "--both, --binary and --output-dir are for trainings that run here, with --a and --b; leave "
        "them out beside folders."
    )


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (
            (),
            "name two or more folders of runs, or give --a and --b, the flags of two trainings.",
        ),
        (
            ("--a", "--hidden 3"),
            "name two or more folders of runs, or give --a and --b, the flags of two trainings.",
        ),
        (
            ("one",),
            "one: one folder alone was named; name those to compare it with, or, of a sweep, "
            "two of its --settings.",
        ),
        (
            ("one", "two", "--a", "--hidden 3"),
            "name folders of runs, or --a and --b, not both.",
        ),
        (("one", "two", "--plot", "x.jpg"), "--plot x.jpg: must be a .png file."),
        (
            ("--a", "--hidden 3", "--b", ""),
            "--a and --b need an --output-dir, in which they are trained.",
        ),
        (
            ("--a", "--hiden 3", "--b", "", "--output-dir", "ab"),
            "Unrecognized options: --hiden, 3; perhaps --hidden is meant; --help lists the flags.",
        ),
        (
            ("--a", "--hidden '3", "--b", "", "--output-dir", "ab"),
            """flags "--hidden '3" can't be read: No closing quotation.""",
        ),
        (
            ("--a", "--folds 1", "--b", "--folds 1", "--output-dir", "ab"),
            "folds must be at least 2, got 1.",
        ),
    ],
)
def test_a_wrong_flag_is_one_sentence(argv, sentence, capsys):
    assert refused(capsys, *argv) == sentence
    assert not any(Path.cwd().iterdir())


def test_it_is_a_command_and_a_script():
    assert main.COMMANDS["compare"] is main.compare
    assert os.access(SCRIPT, os.X_OK)
