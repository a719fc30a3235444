"""runs.folder: what a run leaves behind, and what it leaves alone."""

import json
import re

import jax
import numpy as np
import pytest
import safetensors.numpy

from jaxcls import mlp
from jaxcls.runs import RunFolder, new_run_path


def test_a_folder_holds_what_was_written(tmp_path):
    folder = RunFolder(tmp_path / "deep" / "run")
    folder.write_config({"seed": 1})
    folder.add_to_history({"epoch": 1, "loss": 0.5})
    folder.add_to_history({"epoch": 2, "loss": 0.25})
    params = mlp.init(jax.random.key(0), (3, 2))
    folder.write_model(params, 2)
    folder.write_metrics({"test": {"count": 3}})
    path = folder.path
    assert json.loads((path / "config.json").read_text()) == {"seed": 1}
    lines = (path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [0.5, 0.25]
    model = safetensors.numpy.load_file(path / "model.safetensors")
    np.testing.assert_array_equal(
        model["params/Dense_0/kernel"], params["Dense_0"]["kernel"]
    )
    assert json.loads((path / "metrics.json").read_text())["test"]["count"] == 3


def test_a_run_is_not_overwritten_unasked(tmp_path):
    first = RunFolder(tmp_path)
    first.write_config({"seed": 1})
    first.add_to_history({"epoch": 1})
    first.write_metrics({})
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(ValueError, match=r"holds a run already.*--overwrite"):
        RunFolder(tmp_path)
    assert (tmp_path / "metrics.json").exists()
    RunFolder(tmp_path, overwrite=True)
    assert (
        not (tmp_path / "history.jsonl").exists()
        and not (tmp_path / "metrics.json").exists()
    )
    assert (tmp_path / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize("name", ["metrics.json", "model.safetensors", "curves.png"])
def test_a_file_of_the_same_name_is_not_overwritten_unasked(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(
        ValueError, match=rf"holds a run already \({name}\).*--overwrite"
    ):
        RunFolder(tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_json_holds_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        RunFolder(tmp_path).write_metrics({"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(
            OSError, match=f"{re.escape(str(path))} could not be written"
        ):
            RunFolder(path)


def test_new_folders_never_meet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = {new_run_path("mnist-0-1") for _ in range(3)}
    assert len(paths) == 3
    assert all(
        re.fullmatch(r"runs/\d{8}-\d{6}-mnist-0-1(-\d)?", str(path)) for path in paths
    )
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OSError, match=r"runs/.* could not be written"):
        new_run_path("mnist-0-1")
