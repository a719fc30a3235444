"""Which room may import which: the core no edge, an edge no other, and none what is private."""

import ast
from pathlib import Path

import jaxcls

PACKAGE = Path(jaxcls.__file__).parent
# What a room may import beside the core and itself; `cli` joins them all.
EDGES = {
    "data": set(),
    "interop": set(),
    "report": set(),
    "runs": {"data"},
    "notes": {"data", "interop"},
}
FRONT_DOORS = {
    "__init__.py",
    "__main__.py",
    "sklearn.py",
}  # which import from the rooms


def imports():
    """Each file, and the modules and names of jaxcls that it imports."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "jaxcls"
            ):
                place = path.relative_to(PACKAGE)
                for each in node.names:
                    yield place, [*node.module.split(".")[1:], each.name]


def test_the_core_imports_no_edge_and_an_edge_no_other():
    wrong = []
    for place, names in imports():
        room, wanted = place.parts[0], names[0]
        if room == "cli" or (place.name == room and room in FRONT_DOORS):
            continue
        if wanted in {*EDGES, "cli"} - EDGES.get(room, set()) - {room}:
            wrong.append(f"{place}: {'.'.join(names)}")
    assert wrong == []


def test_every_room_is_known():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == {*EDGES, "cli", "study"}


def test_no_private_name_is_imported():
    private = [
        f"{place}: {'.'.join(names)}"
        for place, names in imports()
        if any(each.startswith("_") and not each.startswith("__") for each in names)
    ]
    assert private == []
