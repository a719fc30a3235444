"""scripts/tour.ipynb: made of scripts/tour.py, without outputs, and it runs without a network."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

SCRIPT = Path(__file__).parents[1] / "scripts" / "tour.py"
NO_NETWORK = "import socket\nsocket.getaddrinfo = None  # without it no name is found"


@pytest.fixture
def notebook():
    return nbformat.read(SCRIPT.with_suffix(".ipynb"), as_version=4)


def test_the_notebook_is_what_its_script_makes(notebook):
    made = jupytext.read(SCRIPT)
    assert notebook.metadata.kernelspec == made.metadata.kernelspec
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in made.cells
    ]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.slow
def test_it_runs_in_any_folder_without_a_network(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("JAXCLS_DATA_DIR", raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    notebook.cells.insert(0, nbformat.v4.new_code_cell(NO_NETWORK))
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, resources=where).execute()
    outputs = [each for cell in notebook.cells for each in cell.get("outputs", ())]
    streams = [each for each in outputs if each.output_type == "stream"]
    assert {each.name for each in streams} == {"stdout"}  # no warning
    assert "the drawing: 2, p = " in "".join(each.text for each in streams)
    assert sum("image/png" in each.get("data", {}) for each in outputs) == 2
    assert not list(folder.iterdir())
