"""runs.records: what a config can't hold is refused by name, and another run's state, too."""

import dataclasses
import json
import re

import pytest

from jaxcls import Config, bernoulli
from jaxcls.files import read_json, write_json
from jaxcls.runs import configs, load_run, read_config, read_metrics
from jaxcls.runs.configs import config_of, settings_record
from jaxcls.runs.records import (
    check_config,
    check_metrics,
    check_same_run,
)

RUN = {
    "flags": {"seed": 0, "seeds": 1, "epochs": 9, "plots": True, "hidden": [4]},
    "data_sha256": "aa",
    "epochs": 9,
    "patience": None,
    "schedule": "constant",
    "device": "cpu",
    "dataset": "/here/own.npz",
    "versions": {"jax": "0.10.2"},
    "elsewhere": [],
}


def changed(record, **flags):
    return record | {"flags": record["flags"] | flags}


@pytest.mark.parametrize(
    "other",
    [
        RUN,
        changed(RUN, plots=False, epochs=20, data_dir="/there", keep_checkpoints=7),
        RUN | {"epochs": 20, "patience": 3, "device": "a GPU", "dataset": "moved.npz"},
        RUN | {"versions": {"jax": "1.0"}, "elsewhere": [{"device": "a GPU"}]},
        # As a later or an earlier version has it.
        changed(RUN, preparation="none") | {"preparation": {"ink": "light"}},
        {"flags": {"seed": 0}},
        {},
    ],
)
def test_what_may_change_is_the_same_run(other):
    check_same_run(RUN, other, "state")
    check_same_run(other, RUN, "state")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (changed(RUN, seed=7), "its seed is 7, here it is 0"),
        (changed(RUN, hidden=[4, 4]), r"its hidden is \[4, 4\], here it is \[4\]"),
        (RUN | {"data_sha256": "bb"}, 'its data_sha256 is "bb", here it is "aa"'),
        (RUN | {"schedule": "cosine"}, 'its schedule is "cosine"'),
        (RUN | {"momentum": 0.5} | {"width": 2}, None),
        (None, "does not say which run it belongs to"),
    ],
)
def test_state_of_another_run_is_named(other, said):
    if said is None:
        check_same_run(RUN, other, "members/block-000003.json")
        return
    with pytest.raises(ValueError, match=f"^members/block-000003.json .*{said}"):
        check_same_run(RUN, other, "members/block-000003.json")


@pytest.mark.parametrize(
    "record",
    [
        RUN | {"schedule": "step"},
        changed(RUN, seeds=5),
        {name: value for name, value in RUN.items() if name != "schedule"},
    ],
    ids=["a schedule over all epochs", "seeds side by side", "a sweep"],
)
def test_epochs_grow_only_where_no_epoch_depends_on_them(record):
    with pytest.raises(ValueError, match="its epochs is 20, here it is 9"):
        check_same_run(record, changed(record, epochs=20), "state")


GROUPS = [{"settings": [0, 2], "width": 2}, {"settings": [1], "width": 1}]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("labels", [3, -8, 2**63 - 1], [[3, 2**63], [3, 3], ["3"], [True, False], 3]),
        ("class_names", ["a", "b", ""], [["a", "b", "b"], [1, 2, 3], None]),
        ("image_shape", [28, 20], [[28], [28, 0], [28, 28, 1], 784, [2.0, 2.0]]),
        ("layer_sizes", [4] * 1001, [[4] * 1002, [4], [4, 0], [4, -1], [4, 2.0], {}]),
        ("width", 4096, [0, -1, 4097, 2.0, True, None, "2"]),
        ("elsewhere", [{}], [{}, [5], "", None]),
        ("features", "float32", ["float64", None, 3]),
        (
            "target",
            {"name": "y", "mean": -3, "scale": 0.5},
            [
                3,
                {"name": "y", "mean": 0.0},
                {"name": None, "mean": 0.0, "scale": 1.0},
                {"name": "y", "mean": "0", "scale": 1.0},
                {"name": "y", "mean": 0.0, "scale": 0},
                {"name": "y", "mean": 0.0, "scale": -1.0},
                {"name": "y", "mean": float("inf"), "scale": 1.0},
                {"name": "y", "mean": True, "scale": 1.0},
            ],
        ),
        ("script", "train_binary.py", [None, 3]),
        ("flags", {}, [None, []]),
        (
            "plan",
            {"rungs": [1, 3], "groups": GROUPS},
            [
                None,
                {},
                {"rungs": [], "groups": GROUPS},
                {"rungs": [3, 3], "groups": GROUPS},
                {"rungs": [0, 1], "groups": GROUPS},
                {"rungs": [1], "groups": []},
                {"rungs": [1], "groups": [{"settings": [], "width": 1}]},
                {"rungs": [1], "groups": [{"settings": [0], "width": 10**7}]},
                {"rungs": [1], "groups": [*GROUPS, {"settings": [1], "width": 1}]},
                {"rungs": [1], "groups": [{"settings": [-1], "width": 1}]},
                {"rungs": 1, "groups": {}},
            ],
        ),
    ],
)
def test_each_value_of_a_config_is_checked(name, right, wrong, tmp_path):
    check_config({name: right})
    for value in wrong:
        with pytest.raises(ValueError, match=f"^{name} must be .*, got .*[.]$"):
            check_config({name: value})
    write_json(tmp_path / "config.json", {name: wrong[0]})
    with pytest.raises(
        ValueError,
        match=f"{re.escape(str(tmp_path))}: its config can't be used: {name}",
    ):
        read_config(tmp_path)


def test_as_many_names_as_labels():
    with pytest.raises(ValueError, match="as many as labels, got 1 and 2"):
        check_config({"labels": [0, 1], "class_names": ["a"]})


METRICS = {
    "config": RUN,
    "chosen": {"epoch": 3, "epochs_done": 9, "stopped_by": "epochs"},
}


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"chosen": METRICS["chosen"]}, "config is missing"),
        ({"config": RUN}, "does not say which epoch was chosen"),
        ({"config": RUN, "chosen": [3]}, "does not say which epoch was chosen"),
        ({"config": RUN, "chosen": {"epoch": 3}}, "epochs_done must be a number"),
        ({"config": RUN, "chosen": {"epoch": 3, "epochs_done": 3}}, "stopped_by must"),
        ({"config": {"labels": [1, 1]}}, "labels must be integers"),
        ({"config": {"labels": [1, 2]}}, "flags are missing"),
        ({"config": {"script": "sweep.py", "flags": {}}}, "plan is missing"),
        ({"config": RUN, "chosen": {"epoch": -1}}, "epoch must be a number"),
        ({"config": RUN, "chosen": {"epoch": "3"}}, "epoch must be a number"),
        *(
            (
                {"config": RUN, "chosen": METRICS["chosen"] | {"seeds": seeds}},
                "seeds must be a list of seeds",
            )
            for seeds in (5, [], [1.5], [-1], [2**32], "01", {})
        ),
        (
            {"config": changed(RUN, seeds=2), "chosen": METRICS["chosen"]},
            "seeds must be a list of seeds, got null",
        ),
    ],
)
def test_each_value_of_a_result_is_checked(metrics, said, tmp_path):
    check_metrics(METRICS)
    with pytest.raises(ValueError, match=said):
        check_metrics(metrics)
    digests = {"model.safetensors": "aa"}
    write_json(tmp_path / "metrics.json", metrics | {"sha256_of": digests})
    with pytest.raises(ValueError, match=f"metrics.json: .*{said}"):
        read_metrics(tmp_path)


@pytest.mark.parametrize(
    "digests",
    [
        None,
        [],
        {},
        {"seeds.csv": "aa"},
        {"model.safetensors": "aa", "../other": "bb"},
        {"model.safetensors": "aa", "notes.txt": "bb"},
    ],
)
def test_a_result_has_the_digests_of_its_own_files(digests, tmp_path):
    write_json(tmp_path / "metrics.json", METRICS | {"sha256_of": digests})
    with pytest.raises(ValueError, match="lacks the digests of the run's files"):
        read_metrics(tmp_path)


def test_a_name_too_long_is_a_sentence(tmp_path):
    for path in (tmp_path / ("n" * 256), tmp_path / ("é" * 200)):
        with pytest.raises(ValueError, match=r"holds no run that can be read: .*[.]$"):
            load_run(path)
    with pytest.raises(ValueError, match="a name too long for a file"):
        read_json(tmp_path / ("n" * 256))


WITH_ALL = Config(
    (784, 64, 32, 1), bernoulli, "sgd", 0.9, 16, False, True, 7, "step", "accuracy", 3
)


@pytest.mark.parametrize("config", [Config((2, 1), bernoulli), WITH_ALL])
def test_a_config_comes_back_from_its_record(config):
    assert config_of(json.loads(json.dumps(settings_record(config)))) == config


IN_0_1_0 = {
    *("layer_sizes", "likelihood", "optimizer", "momentum", "batch_size", "shuffle"),
    *("dropout", "epochs", "schedule", "monitor", "patience"),
}


def test_each_setting_was_in_the_first_version_or_says_what_was_done_before():
    names = {field.name for field in dataclasses.fields(Config)}
    assert names == IN_0_1_0 | configs.LATER.keys()


def test_a_setting_that_came_later_stands_for_what_was_done(monkeypatch):
    record = settings_record(WITH_ALL)
    del record["schedule"]
    with pytest.raises(KeyError, match="schedule"):
        config_of(record)
    monkeypatch.setitem(configs.LATER, "schedule", "cosine")
    assert config_of(record) == dataclasses.replace(WITH_ALL, schedule="cosine")
    assert config_of(settings_record(WITH_ALL)) == WITH_ALL
