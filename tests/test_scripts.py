"""The scripts as the README prints them, and what they say where they can't begin."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRINTED = sorted(
    set(re.findall(r"^(scripts/\w+\.py)", (ROOT / "README.md").read_text(), re.M))
)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
@pytest.mark.parametrize("name", PRINTED)
def test_a_script_runs_by_its_name(name):
    path = ROOT / name
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/usr/bin/env python3\n")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX paths")
def test_a_python_without_jaxcls_hands_over_to_the_environment(tmp_path):
    scripts = tmp_path / "project" / "scripts"
    scripts.mkdir(parents=True)
    for name in ("start.py", "sweep.py"):
        (scripts / name).write_bytes((ROOT / "scripts" / name).read_bytes())

    def run():
        # -I: neither this folder nor an environment's packages are looked in.
        code = (
            "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]; "
            "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f)]; "
            "import runpy; sys.argv = ['sweep.py', '--seeds', '3']; "
            f"runpy.run_path({str(scripts / 'sweep.py')!r}, run_name='__main__')"
        )
        return subprocess.run(
            [sys.executable, "-I", "-c", code], capture_output=True, text=True
        )

    done = run()
    assert done.returncode == 2
    assert done.stderr.startswith("sweep.py: jaxcls is not installed for ")
    assert done.stderr.count("\n") == 1
    python = tmp_path / "project" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "handed over: $*"\n')
    python.chmod(0o755)
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"handed over: {scripts / 'sweep.py'} --seeds 3\n"


def test_a_script_runs_where_python_leaves_its_folder_out():
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    script = ROOT / "scripts" / "predict.py"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, script, "no-run", "no-picture.png"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("predict.py: no-run") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value"), [("JAX_NUM_CPU_DEVICES", "4.5"), ("JAX_DEBUG_NANS", "oui")]
)
def test_a_variable_that_jax_can_not_read_is_a_sentence(variable, value):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "predict.py", "run"],
        capture_output=True,
        text=True,
        env=os.environ | {variable: value},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("predict.py: jax can't be imported (")
    assert variable.lower() in done.stderr.lower() and done.stderr.count("\n") == 1
