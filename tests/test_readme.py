"""READMEs and the notes' pages: what they have a person type in works, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from jaxcls.cli import main
from jaxcls.cli.compare import CompareFlags
from jaxcls.cli.evaluate import EvaluateFlags
from jaxcls.cli.export import ExportFlags
from jaxcls.cli.flags import BinaryFlags, MulticlassFlags, SweepFlags
from jaxcls.cli.parsing import parse
from jaxcls.cli.predict import PredictFlags
from jaxcls.cli.report import ReportFlags
from jaxcls.cli.reproduce import ReproduceFlags

ROOT = Path(__file__).parents[1]
READMES = sorted(path for path in ROOT.rglob("README.md") if ".venv" not in path.parts)
PAGES = sorted((ROOT / "jaxcls" / "notes" / "pages").glob("*.md"))
FLAGS = {
    "train_binary.py": BinaryFlags,
    "train_multiclass.py": MulticlassFlags,
    "sweep.py": SweepFlags,
    "compare.py": CompareFlags,
    "evaluate.py": EvaluateFlags,
    "predict.py": PredictFlags,
    "report.py": ReportFlags,
    "export.py": ExportFlags,
    "reproduce.py": ReproduceFlags,
}


def commands(path):
    """What the lines of code, and the tables' commands, have a person type in."""
    text = re.sub(r"\\\n\s*", "", path.read_text())
    found = re.findall(
        r"^(?:\$ |srun )?(?:\.venv/bin/python )?scripts/(.*)$", text, re.M
    )
    found += re.findall(r"`((?:[a-z_]+\.py) --[^`]*)`", text)
    parsed = (shlex.split(each, comments=True) for each in found)
    return [each for each in parsed if each[0] in FLAGS]


ALL = [(path, each) for path in READMES + PAGES for each in commands(path)]


def test_the_top_one_is_short_and_shows_python_early():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 200
    assert any(line == "```python" for line in lines[:80])
    assert len(ALL) > 25


@pytest.mark.parametrize(
    "command", {" ".join(each): each for _, each in ALL}.values(), ids=" ".join
)
def test_a_command_has_the_flags_that_it_names(command):
    name, *argv = command
    if "--resume" in argv:
        argv = argv[: argv.index("--resume")]  # which names a run
    assert parse(FLAGS[name], name, argv)


@pytest.mark.parametrize(
    "path", READMES + PAGES, ids=lambda path: "/".join(path.parts[-2:])
)
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert "://" in link or (path.parent / link).exists(), link


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
@pytest.mark.slow
def test_snippets_of_python_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for snippet in re.findall(r"```python\n(.*?)```", path.read_text(), re.S):
        exec(compile(snippet, str(path), "exec"), {})


@pytest.mark.slow
def test_the_top_ones_commands_run(mnist_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXCLS_DATA_DIR", str(mnist_dir))
    image = Image.new("L", (28, 28))
    image.paste(255, (12, 4, 16, 24))
    image.save("digit.png")
    made = []
    once = dict.fromkeys(map(tuple, commands(ROOT / "README.md")))
    for name, *argv in once:
        if name == "reproduce.py":  # CI runs it whole
            continue
        # The line before the comparison trains what can be compared.
        runs = {"RUN": made[0], "RUN_A": made[-1], "RUN_B": made[-1]} if made else {}
        argv = [runs.get(each, each) for each in argv]
        trains = name in ("train_binary.py", "train_multiclass.py", "sweep.py")
        if trains and "--resume" not in argv:
            made.append(f"run-{len(made)}")
            argv += ["--output-dir", made[-1]]
            if "--epochs" in argv:  # two of them are as good here
                argv[argv.index("--epochs") + 1] = "2"
            else:
                argv += ["--epochs", "2"]
        code = getattr(main, name.removesuffix(".py"))(argv)
        assert code == 0, (name, argv, capsys.readouterr().err)
    assert len(made) > 10
