"""Progress: lines by time where there is no terminal, a bar where there is one."""

import pytest

from jaxcls.cli import progress
from jaxcls.cli.keeping import Keeper
from jaxcls.cli.progress import ProgressBar
from jaxcls.cli.signals import StopRequest


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])

    def tick(seconds):
        now[0] += seconds

    return tick


def test_a_line_comes_every_ten_seconds_and_at_the_end(clock, capsys):
    with ProgressBar(50, "run", done=10) as shown:
        for done in (14, 18, 22, 26):
            clock(6)
            shown.update(done)
        clock(6)
        shown.update(60)  # two of them fill up a chunk
        shown.update(50)
    assert capsys.readouterr().out.splitlines() == [
        "18 of 50 runs, 0.667 a second, 48 s left",
        "26 of 50 runs, 0.667 a second, 36 s left",
        "50 of 50 runs",
    ]


def test_lines_of_ones_own_stand_for_these(clock, capsys):
    with ProgressBar(3, "epoch") as shown:
        clock(8)
        shown.update(1, "epoch 1/3")
        clock(8)
        shown.update(2)
        shown.update(3, "epoch 3/3")
        shown.update(3)
    assert capsys.readouterr().out.splitlines() == ["epoch 1/3", "epoch 3/3"]


def test_without_lines_nothing_is_shown(clock, capsys):
    with ProgressBar(3, "epoch", lines=False) as shown:
        clock(20)
        shown.update(3)
    assert capsys.readouterr().out == ""


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    with ProgressBar(3, "epoch", name="A") as shown:
        shown.update(3, "a line", "loss 0.5")
    out = capsys.readouterr().out
    assert "A: 100%" in out and "3/3" in out and "loss 0.5" in out
    assert "a line" not in out


def test_a_process_that_does_not_write_shows_nothing(monkeypatch, capsys):
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    with Keeper(None, StopRequest(), total=4, known=0) as keeper:
        keeper.keep({})
    assert capsys.readouterr() == ("", "")
