"""The page itself: small functions that fill its parts, and escape all that they are given."""

import base64
import hashlib
import string
import struct
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import NamedTuple

from jaxcls.report.measures import Measure, measures, shown
from jaxcls.report.networks import Network, answer_from, as_script, never_seen

_TITLES = {
    "curves.png": "Loss and score, epoch by epoch",
    "confusion.png": "Which class was taken for which on the test set",
    "mistakes.png": "The surest mistakes on the test set",
    "weights.png": "The weights from the pixels to units of the first layer",
    "reliability.png": "How often it is right, by how probable it finds its answer",
    "roc.png": "Right alarms against false ones, at every threshold (ROC)",
    "predicted.png": "Predicted against true numbers of the test set",
    "residuals.png": "True less predicted numbers of the test set",
    "sweep.png": "Scores against each value that was tried",
    "heat_map.png": "The best score for each pair of two values",
}


class Told(NamedTuple):
    """What the page tells of a run.

    Attributes:
        name: by which people know it.
        about: a sentence of what it is.
        metrics: the content of its `metrics.json`.
        settings: what was trained on what: a name in words, and its value.
        commands: what they do, in words, and what to type.
        pictures: PNG bytes by their file's name.
        network: to draw for, or why there is none; empty where none is to be expected.
        ranked: rows of a table, such as a sweep's best settings, or none.
    """

    name: str
    about: str
    metrics: dict
    settings: Mapping[str, str]
    commands: Mapping[str, str]
    pictures: Mapping[str, bytes]
    network: Network | str
    ranked: Sequence[Mapping[str, str]] = ()


def page(runs: Sequence[Told]) -> str:
    """One or more runs as an HTML document that needs no other file."""
    style = _resource("page.css")
    drawn = [each for each in runs if isinstance(each.network, Network)]
    script = _resource("network.js") + _resource("draw.js") if drawn else ""
    many = len(runs) > 1
    title = f"{len(runs)} runs side by side" if many else runs[0].name
    return string.Template(_resource("page.html")).substitute(
        title=escape(title),
        about="\n".join(
            _paragraph(f"{each.name}: {each.about}" if many else each.about)
            for each in runs
        ),
        style=style,
        style_hash=_hash(style),
        script=f"<script>{script}</script>" if drawn else "",
        script_hash=_hash(script),
        results=_results(runs),
        desk=_desk(runs, drawn),
        settings=_settings(runs),
        kind="many" if many else "one",
        runs="\n".join(_run(each, many) for each in runs),
    )


def _results(runs: Sequence[Told]) -> str:
    """A row for each number that a run has, a column for each run."""
    found = [measures(each.metrics) for each in runs]
    rows = {name: [each.get(name) for each in found] for name in _union(found)}
    if not rows:
        return _paragraph("No scores are kept; the command below computes them.")
    lead = ""
    if len({*map(_judged_by, runs)}) > 1:
        lead = _paragraph(
            "They were judged by different data, so that no score says which is better."
        )
    if len(runs) == 1:
        name, each = next(iter(found[0].items()))
        name = escape(name[:1].upper() + name[1:])
        lead = f'<p class="lead">{name}: {_of_measure(each)}</p>\n'
    cells = {
        name: ["none" if each is None else _of_measure(each) for each in row]
        for name, row in rows.items()
    }
    return lead + _table("Results", [each.name for each in runs], cells)


def _judged_by(told: Told) -> tuple:
    metrics = told.metrics
    classes = tuple(metrics.get("classes") or ())
    return metrics.get("dataset"), classes, metrics.get("num_test")


def _of_measure(each: Measure) -> str:
    return (
        f'<strong>{shown(each.value)}</strong> <span class="about">'
        f"{escape(each.about)}</span>"
    )


def _settings(runs: Sequence[Told]) -> str:
    """A row for each setting; those in which runs differ are marked."""
    cells = {}
    for name in _union([each.settings for each in runs]):
        row = [escape(each.settings.get(name, "none")) for each in runs]
        differ = len({*row}) > 1
        cells[name] = [f"<strong>{each}</strong>" for each in row] if differ else row
    return _table("Settings", [each.name for each in runs], cells)


def _ranked(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of a table of text, without the columns that are empty."""
    first, *others = (name for name in rows[0] if any(row[name] for row in rows))
    cells = {
        f"{first} {row[first]}": [escape(row[name]) for name in others] for row in rows
    }
    return _table("Settings, the best first", others, cells)


def _union(mappings: Sequence[Mapping]) -> list:
    """The names of all of them, in the order in which they come."""
    return list(dict.fromkeys(name for each in mappings for name in each))


def _table(
    title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]
) -> str:
    """A table that scrolls by itself where it is wider than the screen; its cells are HTML."""
    head, kind = "", "one"
    if len(columns) > 1:
        names = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
        head, kind = f"<thead><tr><td></td>{names}</tr></thead>", "many"
    body = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for name, cells in rows.items()
    )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(title)}">'
        f'<table class="{kind}">{head}<tbody>\n{body}\n</tbody></table></div>'
    )


def _desk(runs: Sequence[Told], drawn: Sequence[Told]) -> str:
    """The canvas and what each network says, or why there is none; nothing if none is wanted."""
    panels = [_panel(each, len(runs) > 1) for each in drawn]
    if panels:
        desk = string.Template(_resource("desk.html")).substitute(
            panels="\n".join(panels)
        )
    else:
        reasons = dict.fromkeys(str(each.network) for each in runs if each.network)
        desk = "\n".join(
            _paragraph(f"Nothing can be drawn here: {each}") for each in reasons
        )
    if not desk:
        return ""
    return (
        '<section aria-labelledby="desk">\n<h2 id="desk">Draw, and it tells what it sees</h2>\n'
        f"{desk}\n</section>"
    )


def _panel(told: Told, many: bool) -> str:
    network = told.network
    assert isinstance(network, Network)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        '<td class="track"><div class="bar"></div></td><td class="share"></td></tr>'
        for name in network.class_names
    )
    return string.Template(_resource("panel.html")).substitute(
        name=f"<h3>{escape(told.name)}</h3>" if many else "",
        told=escape(never_seen(network) + answer_from(network)),
        rows=rows,
        network=as_script(network),
    )


def _run(told: Told, many: bool) -> str:
    """The pictures of a run, and the commands."""
    level = 3 if many else 2
    parts = [f"<h2>{escape(told.name)}</h2>"] if many else []
    if told.ranked:
        parts += [
            f"<h{level}>Settings, the best first</h{level}>",
            _ranked(told.ranked),
        ]
    if told.pictures:
        parts.append(f"<h{level}>Pictures</h{level}>")
        pictures = "\n".join(_picture(*each) for each in told.pictures.items())
        parts.append(f'<div class="pictures">\n{pictures}\n</div>')
    parts.append(f"<h{level}>To repeat and to use it</h{level}>")
    parts += [
        f"<p>{escape(what)}</p>\n<pre><code>{escape(command)}</code></pre>"
        for what, command in told.commands.items()
    ]
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def is_png(content: bytes) -> bool:
    """Whether it begins as a PNG file does, with its size."""
    return content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24


def _picture(name: str, content: bytes) -> str:
    title = escape(_TITLES.get(name, name.removesuffix(".png").replace("_", " ")))
    source = base64.b64encode(content).decode()
    # Of a PNG the size stands behind 16 bytes.
    width, height = struct.unpack(">II", content[16:24])
    # On a phone it would be too small to read, and scrolls by itself.
    broad = ' class="broad" tabindex="0"' if width > 1.8 * height else ""
    return (
        f'<figure{broad}><img src="data:image/png;base64,{source}" alt="{title}" '
        f'width="{width}" height="{height}"><figcaption>{title}</figcaption></figure>'
    )


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _hash(content: str) -> str:
    """By which the page's policy knows its own style and script from any other."""
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _resource(name: str) -> str:
    return (files("jaxcls.report") / name).read_text(encoding="utf-8")
