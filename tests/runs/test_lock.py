"""runs.lock: held, told where there is none, and known when what is locked was moved away."""

import errno
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from jaxcls.runs import RunFolder, lock
from jaxcls.runs.lock import Lock


def test_a_lock_is_held_until_it_is_given_back(tmp_path):
    held = Lock(tmp_path)
    assert held.problem is None and held.is_in_place()
    with pytest.raises(BlockingIOError):
        Lock(tmp_path)
    held.release()
    Lock(tmp_path).release()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("how", ["moved", "removed", "replaced", "a file"])
def test_a_folder_that_is_another_is_known(tmp_path, how):
    path = tmp_path / "run"
    with RunFolder(path) as folder:
        folder.write_config({"seed": 1})
        path.rename(tmp_path / "moved")
        if how == "removed":
            shutil.rmtree(tmp_path / "moved")
        elif how == "replaced":
            path.mkdir()
        elif how == "a file":
            path.write_text("")
        for write in (
            lambda: folder.write_config({}),
            lambda: folder.add_to_history({}),
            lambda: folder.write_history([]),
            lambda: folder.write_table("seeds.csv", [{"seed": 0}]),
            lambda: folder.write_result({}, 0, {}, None),
            lambda: folder.write_sweep_result({}),
            lambda: folder.write_picture("curves.png", b""),
            lambda: folder.clear(overwrite=True),
            folder.reopen,
        ):
            with pytest.raises(OSError, match=r"run is no longer the folder .*[.]$"):
                write()
    assert how != "replaced" or os.listdir(path) == []


def test_a_folder_that_came_back_is_the_same(tmp_path):
    path = tmp_path / "run"
    with RunFolder(path) as folder:
        path.rename(tmp_path / "moved")
        (tmp_path / "moved").rename(path)
        folder.write_config({"seed": 1})


@pytest.mark.parametrize("number", [errno.EBADF, errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with RunFolder(tmp_path) as folder:
        folder.write_config({})
    (problem,) = folder.problems
    assert "can't be locked, its file system has no locks: " in problem
    assert os.strerror(number) in problem


def test_a_disk_that_fails_is_no_file_system_without_locks(tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(lock.fcntl, "flock", failing)
        with pytest.raises(OSError, match="could not be written: Input"):
            RunFolder(tmp_path).__enter__()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="could not be written: Input"):
            RunFolder(tmp_path).__enter__()
    with RunFolder(tmp_path):
        pass


def test_where_a_folder_cannot_be_opened_it_is_not_flushed(tmp_path, monkeypatch):
    real = os.open

    def opened(path, flags, *more, **named):
        if os.path.isdir(path) and flags == os.O_RDONLY:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *more, **named)

    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setattr(os, "open", opened)
    with RunFolder(tmp_path) as folder:
        folder.write_config({"seed": 3})
    told = " ".join(folder.problems)
    assert "this system has no locks" in told and "can't be flushed to disk" in told


@pytest.fixture
def windows(monkeypatch):
    """Its locks on files, as far as they matter here."""
    held = set()

    def locking(descriptor, mode, size):
        place = os.fstat(descriptor).st_ino
        if place in held:
            raise PermissionError(errno.EACCES, "Permission denied")
        held.add(place)

    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setattr(lock, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    return held


def test_on_windows_a_file_is_locked(tmp_path, windows):
    with RunFolder(tmp_path) as folder:
        assert folder.problems == [] and os.listdir(tmp_path) == [".lock"]
        with pytest.raises(ValueError, match="another process is writing"):
            RunFolder(tmp_path).__enter__()
        folder.write_config({"seed": 1})
        (tmp_path / ".lock").unlink()
        with pytest.raises(OSError, match="no longer the folder"):
            folder.write_config({"seed": 2})
    assert os.listdir(tmp_path) == ["config.json"]


@pytest.mark.slow
def test_without_fcntl_everything_but_the_lock_is_there(tmp_path):
    program = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from jaxcls.cli.main import train_multiclass\n"
        "sys.exit(train_multiclass(sys.argv[1:]))"
    )
    flags = ("--dataset", "digits", "--epochs", "1", "--no-plots", "--output-dir")
    done = subprocess.run(
        [sys.executable, "-c", program, *flags, tmp_path / "run"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "can't be locked, this system has no locks" in done.stderr
    assert ".lock" not in os.listdir(tmp_path / "run")
