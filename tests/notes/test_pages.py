"""The notes' pages: each pair of PyTorch's lines and jaxcls's gives the results that stand below it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from jaxcls.notes.figures import load_figures

NOTES = Path(__file__).parents[2] / "jaxcls" / "notes"
PAGES = sorted((NOTES / "pages").glob("*.md"))
TRAINING = {"A", "B", "C", "D", "5A", "5B", "OV", "M", "E", "trainer"}
by_page = pytest.mark.parametrize(
    "path",
    [
        pytest.param(each, marks=pytest.mark.slow if each.stem in TRAINING else ())
        for each in PAGES
    ],
    ids=lambda path: path.stem,
)


def namespaces(path, *sides):
    """What the names stand for after the beginning and after each of these sides of a page."""
    begin, torch, ours = re.findall(r"```python\n(.*?)```", path.read_text(), re.S)
    found = []
    for side in sides:
        names = {}
        code = begin + {"torch": torch, "jaxcls": ours}[side]
        exec(compile(code, f"{path} ({side})", "exec"), names)
        found.append(names)
    return found


def results(path):
    """(expression, value, bound) of each row of a page's last table."""
    _, table = path.read_text().split("## What both give")
    rows = re.findall(r"^\| `(.*?)` \| (.*?) \| (.*?) \|$", table, re.M)
    assert rows
    return [(name, json.loads(value), float(bound)) for name, value, bound in rows]


def value_of(expression, names):
    value = eval(expression, names)
    if isinstance(value, list):
        return np.array([float(each) for each in value])
    return np.asarray(value, np.float64)


@by_page
def test_jaxcls_gives_what_its_page_says(path):
    (ours,) = namespaces(path, "jaxcls")
    for name, value, bound in results(path):
        got = value_of(name, ours)
        np.testing.assert_allclose(got, value, rtol=0, atol=bound, err_msg=name)


@by_page
def test_pytorch_gives_the_same(path):
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    torch.set_num_threads(1)  # more would wait for each other: the networks are tiny
    theirs, ours = namespaces(path, "torch", "jaxcls")
    for name, value, bound in results(path):
        got, want = value_of(name, ours), value_of(name, theirs)
        assert got.shape == want.shape, name
        np.testing.assert_allclose(want, value, rtol=0, atol=bound, err_msg=name)
        np.testing.assert_allclose(got, want, rtol=0, atol=bound, err_msg=name)


def test_each_figure_stands_on_its_page():
    named = {
        figure
        for path in PAGES
        for line in re.findall(
            r"^scripts/reproduce.py --only (.*)$", path.read_text(), re.M
        )
        for figure in line.split()
        if figure.split(".")[0] == path.stem
    }
    assert named == {figure.id for figure in load_figures()}
    for figure in load_figures():
        assert (NOTES.parents[1] / figure.page).is_file()


def test_the_map_leads_to_each_page():
    table = (NOTES / "README.md").read_text()
    assert set(re.findall(r"\(pages/(\w+)\.md\)", table)) == {
        each.stem for each in PAGES
    }
