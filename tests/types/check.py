"""Runs type checkers on `user_code.py`: each must find all its errors and no other.

    python tests/types/check.py mypy pyrefly

In an environment that has jaxcls installed as its users have it, from a wheel.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

USER_CODE = Path(__file__).with_name("user_code.py")
COMMANDS = {
    # optax has no types, which is no error of a user's.
    "mypy": ["mypy", "--ignore-missing-imports"],
    "pyrefly": [
        *("pyrefly", "check", "--output-format", "json"),
        *("--python-interpreter-path", sys.executable),
    ],
    "pyright": ["pyright", "--outputjson", "--pythonpath", sys.executable],
}


def lines_with_errors(checker: str, path: Path) -> set[int]:
    """The numbers of the lines in which a checker finds an error."""
    name, *flags = COMMANDS[checker]
    command = [Path(sys.executable).with_name(name), *flags, path]
    # Away from the checkout, whose own settings are not a user's.
    ran = subprocess.run(command, capture_output=True, text=True, cwd=path.parent)
    out = ran.stdout
    if checker == "mypy":
        return {int(line) for line in re.findall(r"^[^\n:]+:(\d+): error", out, re.M)}
    found = json.loads(out)
    if checker == "pyrefly":
        return {e["line"] for e in found["errors"] if e["severity"] == "error"}
    return {
        e["range"]["start"]["line"] + 1
        for e in found["generalDiagnostics"]
        if e["severity"] == "error"
    }


def main(checkers: list[str]) -> int:
    """Prints what each checker missed, or found that is none; returns the exit code."""
    code = USER_CODE.read_text()
    planted = {
        n for n, line in enumerate(code.splitlines(), 1) if line.endswith("# error")
    }
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / USER_CODE.name
        path.write_text(code)
        # Without a file of its own pyrefly looks for a few kinds of errors alone.
        path.with_name("pyrefly.toml").write_text('project-includes = ["*.py"]\n')
        for checker in checkers:
            found = lines_with_errors(checker, path)
            missed, more = sorted(planted - found), sorted(found - planted)
            print(
                f"{checker}: {len(planted & found)} of {len(planted)} errors found,"
                f" missed in lines {missed}, found besides in lines {more}"
            )
            failed |= bool(missed or more)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
