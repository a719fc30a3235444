"""`scripts/coverage.py` in short: each rate is counted, and what is not as promised is said."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "coverage.py"


@pytest.fixture
def coverage(monkeypatch):
    # By its file: a well-known package has its name.
    spec = importlib.util.spec_from_file_location("jaxcls_coverage", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_a_rate_says_whether_it_is_as_promised(coverage):
    rates = [
        coverage.Rate("5 seeds", 1000, 931, 0.95),
        coverage.Rate("folds", 1000, 980, 0.95),
        coverage.Rate("alarms", 1000, 1, 0.05),
        coverage.Rate("alarms", 1000, 71, 0.05),
    ]
    assert [each.is_right() for each in rates] == [True, False, True, False]
    assert coverage.table(rates)[2:4] == [
        "| 5 seeds | 1,000 | 0.931 | 0.95 |  |",
        "| folds | 1,000 | 0.980 | 0.95 | NOT as promised |",
    ]


@pytest.mark.slow
def test_it_counts_in_short(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--short", "--json", "rates.json", "--plot", "it.png"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rates = json.loads((tmp_path / "rates.json").read_text())
    assert [each["times"] for each in rates] == [50, 50, 50, 4, 4, 6, 6]
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")
    assert "spread of accuracy over 64 seeds: 0.0" in done.stdout
    # Of 4 sets and 6 pairs most hold, or the truth is another's.
    assert all(each["happened"] >= 2 for each in rates if each["wanted"] > 0.5)
    assert all(each["happened"] <= 3 for each in rates if each["wanted"] < 0.5)


def test_too_few_are_a_sentence():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--seeds", "3"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("coverage.py: --seeds must be at least 32")
