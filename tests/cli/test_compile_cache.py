"""What scripts keep of their compiled programs, where, and that nothing depends on it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import jax
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
    first, second, *others = folder.iterdir()
    for path in others:
        path.write_bytes(path.read_bytes()[:100])
    first_content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(first_content)
    # What is damaged, or another's, is written again.
    assert trained(run, HOME=str(home)) == model
    found = entries(folder)
    assert found.keys() == kept.keys()
    assert {name for name in kept if len(found[name]) == 100} == set()
    assert trained(run, HOME=str(home)) == model
    assert entries(folder) == found


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


def test_a_sealed_program_is_whole_and_its_own(tmp_path):
    programs = compile_cache.SealedPrograms(tmp_path / "new" / "folder")
    assert programs.get("jit_f-1") is None
    programs.put("jit_f-1", b"one")
    programs.put("jit_f-2", b"two")
    assert (programs.get("jit_f-1"), programs.get("jit_f-2")) == (b"one", b"two")
    first, second = sorted((tmp_path / "new" / "folder").iterdir())
    first.write_bytes(second.read_bytes())
    assert programs.get("jit_f-1") is None and not first.exists()
    for damaged in (second.read_bytes()[:-1], second.read_bytes() + b" ", b""):
        programs.put("jit_f-2", b"two")
        second.write_bytes(damaged)
        assert programs.get("jit_f-2") is None and not second.exists()


def test_the_oldest_programs_go_beside_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "_MOST_PROGRAMS", 2)
    (tmp_path / "xla_gpu_per_fusion_autotune_cache_dir").mkdir()
    for age, name in enumerate(["newest", "newer", "old", "oldest"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    os.utime(tmp_path / "xla_gpu_per_fusion_autotune_cache_dir", (1, 1))
    compile_cache._remove_oldest(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "newer",
        "newest",
        "xla_gpu_per_fusion_autotune_cache_dir",
    ]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_named_folder_that_others_write_to_is_said_and_left_alone(
    tmp_path, monkeypatch, capsys
):
    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    try:
        tmp_path.chmod(0o777)
        compile_cache.use_compile_cache()
        assert jax.config.jax_compilation_cache_dir is None
        assert "is not used: others may write there" in capsys.readouterr().err
        tmp_path.chmod(0o700)
        compile_cache.use_compile_cache()
        assert capsys.readouterr().err == ""
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.parametrize("error", [RuntimeError, PermissionError])
def test_without_a_home_nothing_is_kept(error, monkeypatch):
    # As in a container whose user the system does not know.
    def refused():
        raise error("no home")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", refused)
    assert compile_cache._private_folder() is None
