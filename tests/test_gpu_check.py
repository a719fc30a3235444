"""`scripts/gpu_check.py` on the CPU: every kind of check runs, and tells what it finds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "gpu_check.py"


def gpu_check(*arguments, timeout=300):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.mark.slow
def test_a_dry_run_passes_on_the_cpu(mnist_dir, tmp_path):
    table = tmp_path / "table.json"
    flags = ("--data-dir", mnist_dir, "--device", "cpu", "--quick", "--epochs", 2)
    # Not the errors against float64, which are tests of their own, nor what is done with every
    # job alike.
    only = ("device", "draws", "products", "A", "D", "sweep", "scripts")
    only += ("M: losses", "T: losses", "M: 4 seeds")
    done = gpu_check(*flags, "--only", *only, "--json", table)
    rows = json.loads(table.read_text())
    assert done.returncode == 0, done.stdout
    assert {row["verdict"] for row in rows} == {"pass", "figure"}
    assert len(rows) >= 19 and all(row["check"] in done.stdout for row in rows)


def test_without_data_or_a_gpu_it_says_so_in_a_sentence(mnist_dir, tmp_path):
    for flags, said in (
        (("--data-dir", tmp_path / "none"), "must be the folder of MNIST's four files"),
        (("--data-dir", mnist_dir), "jax sees no GPU here"),
    ):
        done = gpu_check(*flags)
        assert done.returncode in (1, 2) and said in done.stderr
        assert "Traceback" not in done.stderr
