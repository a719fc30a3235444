"""runs.folder: what a run leaves behind, what it leaves alone, and who may write."""

import json
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy

from jaxcls import mlp
from jaxcls.files import read_json
from jaxcls.runs import RunFolder, new_run_path, read_metrics


def finished(path, last=None):
    params = mlp.init(jax.random.key(0), (3, 2))
    with RunFolder(path) as folder:
        folder.write_config({"seed": 1})
        folder.add_to_history({"epoch": 1, "loss": 0.5})
        folder.add_to_history({"epoch": 2, "loss": 0.25})
        metrics = {
            "config": {"flags": {"seed": 1}},
            "chosen": {"epoch": 2, "epochs_done": 2, "stopped_by": "epochs"},
        }
        folder.write_result(metrics, 2, params, last)
    return params


def test_a_folder_holds_what_was_written(tmp_path):
    path = tmp_path / "deep" / "run"
    params = finished(path)
    assert read_json(path / "config.json") == {"seed": 1}
    lines = (path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [0.5, 0.25]
    model = safetensors.numpy.load_file(path / "model.safetensors")
    np.testing.assert_array_equal(
        model["params/Dense_0/kernel"], params["Dense_0"]["kernel"]
    )
    assert set(read_metrics(path)["sha256_of"]) == {
        "history.jsonl",
        "model.safetensors",
    }
    assert sorted(os.listdir(path)) == [
        *("config.json", "history.jsonl", "metrics.json", "model.safetensors")
    ]


@pytest.mark.parametrize(
    "name", ["metrics.json", "history.jsonl", "model.safetensors", "last.safetensors"]
)
def test_a_result_with_a_file_changed_or_gone_is_refused(tmp_path, name):
    finished(tmp_path, last=mlp.init(jax.random.key(1), (3, 2)))
    path, content = tmp_path / name, (tmp_path / name).read_bytes()
    assert read_metrics(tmp_path) is not None
    for place in range(0, len(content), max(1, len(content) // 20)):
        flipped = bytearray(content)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_metrics(tmp_path)
    path.unlink()
    if name == "metrics.json":
        assert read_metrics(tmp_path) is None
        return
    with pytest.raises(ValueError, match=f"{name}: missing, changed or damaged"):
        read_metrics(tmp_path)


def test_a_run_is_not_overwritten_unasked(tmp_path):
    finished(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "mine.txt").write_text("kept")
    with RunFolder(tmp_path) as folder:
        with pytest.raises(ValueError, match=r"holds a run already.*--overwrite"):
            folder.clear(overwrite=False)
        assert (tmp_path / "metrics.json").exists()
        folder.clear(overwrite=True)
    assert os.listdir(tmp_path) == ["mine.txt"]


@pytest.mark.parametrize(
    "name", ["metrics.json", "model.safetensors", "curves.png", "config.json"]
)
def test_a_file_of_the_same_name_is_not_overwritten_unasked(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with (
        RunFolder(tmp_path) as folder,
        pytest.raises(
            ValueError,
            match=rf"holds {name}, and no config of a run .*another --output",
        ),
    ):
        folder.clear(overwrite=False)
    assert (tmp_path / name).read_text() == "mine"


def test_a_second_writer_is_refused(tmp_path):
    program = "import sys; from jaxcls.runs import RunFolder; RunFolder(sys.argv[1]).__enter__()"
    with RunFolder(tmp_path):
        with (
            pytest.raises(ValueError, match="another process is writing a run there"),
            RunFolder(tmp_path),
        ):
            pass
        other = [sys.executable, "-c", program, tmp_path]
        done = subprocess.run(other, capture_output=True, text=True)
        assert "another process is writing a run there" in done.stderr
    with RunFolder(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    left = (".config.json.12.tmp", "checkpoints/.epoch-0000000001.safetensors.3.tmp")
    mine = (".mine.tmp", ".notes.txt.12.tmp", "config.json.tmp")
    for name in (*left, *mine):
        (tmp_path / name).write_text("")
    with RunFolder(tmp_path):
        assert not any((tmp_path / name).exists() for name in left)
        assert all((tmp_path / name).exists() for name in mine)


def test_json_holds_no_nan(tmp_path):
    with RunFolder(tmp_path) as folder:
        with pytest.raises(ValueError, match="JSON"):
            folder.write_config({"loss": float("nan")})
        with pytest.raises(ValueError, match="JSON"):
            folder.add_to_history({"loss": float("inf")})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with (
            pytest.raises(
                OSError, match=f"{re.escape(str(path))} could not be written"
            ),
            RunFolder(path),
        ):
            pass


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


def a_run(path):
    """Files of every kind that a run or a sweep may leave."""
    finished(path, last=mlp.init(jax.random.key(1), (3, 2)))
    for name in ("winner", "ensemble"):
        finished(path / name)
    for name in (
        *("curves.png", "sweep.csv", "checkpoints/epoch-0000000002.json"),
        *("checkpoints/epoch-0000000001.safetensors", "members/block-000000.json"),
    ):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("{}")


def contents(path):
    return {
        str(each.relative_to(path)): each.read_bytes() if each.is_file() else None
        for each in path.rglob("*")
    }


THEIRS = (
    *("notes.txt", "checkpoints/step-100.ckpt", "checkpoints/epoch-3.json"),
    *("members/list.txt", "winner/photo.jpg", "ensemble/code/main.py", "data/a.npz"),
)


def test_overwriting_removes_a_runs_own_files_alone(tmp_path):
    a_run(tmp_path)
    for name in THEIRS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    with RunFolder(tmp_path) as folder:
        folder.clear(overwrite=True)
    assert {each for each, content in contents(tmp_path).items() if content} == {
        *THEIRS
    }
    assert not (tmp_path / "winner" / "metrics.json").exists()


def test_overwriting_leaves_no_empty_folder(tmp_path):
    a_run(tmp_path)
    with RunFolder(tmp_path) as folder:
        folder.clear(overwrite=True)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "metrics.json", "history.jsonl", "confusion.png"),
        *("sweep.csv", "last.safetensors", "checkpoints/epoch-0000000003.json"),
        *("members/block-000001.safetensors", "winner/config.json"),
        *("ensemble/config.json", "winner/model.safetensors"),
    ],
)
@pytest.mark.parametrize(
    "config", [None, "{}", '{"layers": 12, "sha256": "0"}', "\xff"]
)
def test_what_no_sealed_config_owns_is_never_removed(tmp_path, name, config):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if config is not None:
        (path.parent / "config.json").write_text(config)
    if path.name != "config.json" or config is None:
        path.write_text("theirs")
    before = contents(tmp_path)
    with (
        RunFolder(tmp_path) as folder,
        pytest.raises(ValueError, match=r"no config of a run.*nothing was removed"),
    ):
        folder.clear(overwrite=True)
    assert contents(tmp_path) == before


def test_a_sweeps_parts_are_looked_at_before_anything_is_removed(tmp_path):
    a_run(tmp_path)
    (tmp_path / "ensemble" / "config.json").write_text('{"hidden_size": 768}')
    before = contents(tmp_path)
    with RunFolder(tmp_path) as folder, pytest.raises(ValueError, match="ensemble"):
        folder.clear(overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["checkpoints", "members"])
def test_a_folder_of_state_may_be_a_link(tmp_path, name):
    scratch, run = tmp_path / "scratch", tmp_path / "run"
    scratch.mkdir()
    run.mkdir()
    (run / name).symlink_to(scratch)
    with RunFolder(run) as folder:
        folder.clear(overwrite=False)
        folder.write_config({"seed": 1})
    number = "epoch-0000000003" if name == "checkpoints" else "block-000003"
    for each in (f"{number}.json", f"{number}.safetensors", "mine.txt"):
        (scratch / each).write_text("{}")
    with RunFolder(run) as folder:
        with pytest.raises(ValueError, match="holds a run already"):
            folder.clear(overwrite=False)
        folder.clear(overwrite=True)
    assert (run / name).is_symlink() and os.listdir(scratch) == ["mine.txt"]


def test_a_long_name_is_cut(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("n" * 251, "é" * 125, "digits"):
        first, second = new_run_path(name), new_run_path(name)
        assert first.is_dir() and second.is_dir() and first != second
        assert name[:70] in first.name


@pytest.mark.parametrize(
    "path", ["n" * 256, "a/" + "n" * 300, "\0"], ids=["long", "deep", "null"]
)
def test_a_path_that_cannot_be_is_a_sentence(tmp_path, path):
    with pytest.raises((OSError, ValueError), match=r"[.]$|null"):
        RunFolder(tmp_path / path).__enter__()
