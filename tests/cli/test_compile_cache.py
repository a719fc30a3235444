"""What scripts keep of their compiled programs, where, and that nothing depends on it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcls.cli import compile_cache

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_binary.py"
FLAGS = ("--dataset", "digits", "--epochs", "2", "--no-plots", "--overwrite")


def trained(output_dir, **environment):
    """The bytes of the model of a run of the script, which must say nothing wrong."""
    left_out = {"JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME"}
    inherited = {
        name: each for name, each in os.environ.items() if name not in left_out
    }
    done = subprocess.run(
        [sys.executable, SCRIPT, *FLAGS, "--output-dir", output_dir],
        capture_output=True,
        text=True,
        env=inherited | environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return (output_dir / "model.safetensors").read_bytes()


def entries(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_programs_are_kept_in_a_folder_of_the_users_own(tmp_path):
    run, home = tmp_path / "run", tmp_path / "home"
    home.mkdir()
    model = trained(run, HOME=str(home))
    (folder,) = (home / ".cache" / "jaxcls").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "cores-of-" in folder.name
    kept = entries(folder)
    assert any(name.startswith("jit_train_epochs") for name in kept)
    # The same job compiles nothing more, and a program from the folder gives the same bits.
    assert trained(run, HOME=str(home)) == model
    assert entries(folder) == kept
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert trained(run, HOME=str(home)) == model


@pytest.mark.slow
def test_a_run_needs_no_folder_for_its_programs(tmp_path):
    kept = tmp_path / "named"
    model = trained(tmp_path / "run", JAX_COMPILATION_CACHE_DIR=str(kept))
    assert any(name.startswith("jit_train_epochs") for name in entries(kept))
    file = tmp_path / "file"
    file.touch()
    assert trained(tmp_path / "run", XDG_CACHE_HOME=str(file)) == model
    assert file.read_bytes() == b""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_folder_that_others_write_to_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = compile_cache._private_folder()
    assert folder.is_dir() and folder.parent == tmp_path / "jaxcls"
    folder.chmod(0o770)
    assert compile_cache._private_folder() is None
    folder.chmod(0o700)
    assert compile_cache._private_folder() == folder
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    assert compile_cache._private_folder() is None


def test_another_processor_has_another_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = {compile_cache._private_folder()}
    monkeypatch.setattr(compile_cache, "instruction_sets", lambda: "avx")
    folders.add(compile_cache._private_folder())
    monkeypatch.setattr(compile_cache, "machine", lambda: "64 cores of Epic 9/1")
    folders.add(compile_cache._private_folder())
    assert len(folders) == 3
    assert any("64-cores-of-Epic-9-1-" in folder.name for folder in folders)
