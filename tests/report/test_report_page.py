"""The page as text: nothing of it is fetched, what users named is escaped, colours can be told."""

import base64
import hashlib
import html.parser
import itertools
import json
import re
from importlib.resources import files

import jax
import numpy as np
import pytest

from jaxcls import mlp
from jaxcls.report import Network, Told, page, why_not

NAME = '<script>alert("1 & 2")</script>'
VOID = {"meta", "img", "br"}


def network(**others):
    params = mlp.init(jax.random.key(0), (4, 3, 2))
    told = {
        "params": jax.tree.map(lambda leaf: np.asarray(leaf)[None], params),
        "layer_sizes": (4, 3, 2),
        "activation": "relu",
        "likelihood": "categorical",
        "class_names": (NAME, "no"),
        "image_shape": (2, 2),
        "light_ground": False,
        "plain_ground": True,
        "centred": True,
    }
    return Network(**(told | others))


def told(**others):
    png = b"\x89PNG\r\n\x1a\n" + bytes(8) + b"\0\0\0\x09\0\0\0\x04"
    about = {
        "name": NAME,
        "about": NAME,
        "metrics": {
            "test": {"accuracy": 0.5, "correct": 1, "count": 2},
            NAME: {NAME: 1},
        },
        "settings": {NAME: NAME},
        "commands": {NAME: f"scripts/x.py --target '{NAME}'"},
        "pictures": {"curves.png": png, "own.png": png},
        "network": network(),
        "ranked": [{"rank": "1", NAME: NAME, "empty": ""}],
    }
    return Told(**(about | others))


class Reader(html.parser.HTMLParser):
    """The elements of a page in order, with their attributes and the text of each kind."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self._open = [], {}, []
        self.feed(text)
        assert self._open == []  # each element is closed where it should be

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        tag = self._open[-1] if self._open else ""
        self.text.setdefault(tag, []).append(data)

    def all(self, tag):
        return [attributes for each, attributes in self.elements if each == tag]


PAGES = {
    "one": [told()],
    "two": [told(), told(name="other", network="it is too large.", pictures={})],
    "bare": [told(metrics={}, network="", pictures={}, ranked=(), settings={})],
}


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_fetched_and_no_text_is_markup(name):
    content = page(PAGES[name])
    assert NAME not in content
    read = Reader(content)
    assert {tag for tag, _ in read.elements}.isdisjoint({"link", "iframe", "a"})
    for _, attributes in read.elements:
        for key in ("src", "href", "action", "style"):
            assert attributes.get(key, "data:").startswith("data:")
        assert not any(key.startswith("on") for key in attributes)
    assert re.findall(r"https?://", content) == []
    assert NAME in "".join(read.text["title"]) + "".join(read.text["p"])


@pytest.mark.parametrize("name", PAGES)
def test_its_policy_allows_its_own_style_and_script_alone(name):
    read = Reader(page(PAGES[name]))
    policy = read.all("meta")[2]["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    for element in ("style", "script"):
        content = read.text[element][-1] if element in read.text else ""
        found = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        if name == "bare" and element == "script":
            assert read.all("script") == []
        else:
            assert f"{element}-src 'sha256-{found}'" in policy


@pytest.mark.parametrize("name", PAGES)
def test_it_can_be_read_without_eyes_or_mouse(name):
    read = Reader(page(PAGES[name]))
    assert read.all("html") == [{"lang": "en"}]
    assert all(each["alt"] for each in read.all("img"))
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [each["id"] for _, each in read.elements if "id" in each]
    assert len({*ids}) == len(ids)
    for _, each in read.elements:
        for key in ("aria-labelledby", "aria-describedby"):
            assert {*each.get(key, "").split()} <= {*ids}
        if each.get("tabindex") == "0" and "role" in each:
            assert each["aria-label"]
    for canvas in read.all("canvas"):
        assert canvas["tabindex"] == "0" and canvas["role"] == "application"


def test_a_network_is_embedded_to_the_bit():
    read = Reader(page([told()]))
    kept = json.loads(read.text["script"][0])
    assert kept["class_names"] == [NAME, "no"]
    params = network().params
    want = [
        np.ravel(params[layer][name][0])
        for layer in ("Dense_0", "Dense_1")
        for name in ("kernel", "bias")
    ]
    got = np.frombuffer(base64.b64decode(kept["weights"]), "<f4")
    np.testing.assert_array_equal(got, np.concatenate(want))


@pytest.mark.parametrize(
    "others, reason",
    [
        ({"activation": "elu"}, "activation, elu,"),
        ({"likelihood": "focal"}, "likelihood, focal."),
        ({"image_shape": (2, 141)}, "larger than 140 x 140"),
        ({"params": {"Dense_0": {"kernel": np.zeros((1, 4_000_001))}}}, "4,000,001"),
    ],
)
def test_why_nothing_can_be_drawn(others, reason):
    assert reason in (why_not(network(**others)) or "")
    assert why_not(network()) is None


def test_a_threshold_is_told():
    content = page([told(network=network(threshold=0.25))])
    assert "no is its answer from a probability of 0.25 on." in content
    assert "is its answer from" not in page([told()])


def test_the_script_is_short():
    scripts = [
        (files("jaxcls.report") / name).read_text().splitlines()
        for name in ("network.js", "draw.js")
    ]
    assert sum(map(len, scripts)) <= 200
    assert max(len(line) for lines in scripts for line in lines) <= 100


def luminance(colour):
    """WCAG 2.2's relative luminance of #rrggbb."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts
    ]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrasts_are_those_of_wcag_aa():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    style = (files("jaxcls.report") / "page.css").read_text()
    schemes = [
        dict(re.findall(r"--(\w+): (#\w{6});", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.S)
    ]
    assert len(schemes) == 2 and schemes[0].keys() == schemes[1].keys()
    for colours in schemes:
        for text in ("text", "muted", "accent"):
            for ground in ("ground", "raised"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        # What is seen and not read: bars, the frame of the canvas, outlines.
        assert contrast(colours["accent"], colours["ground"]) >= 3
        assert contrast(colours["muted"], colours["ground"]) >= 3
    # The pen, on paper and on ink.
    assert "3px solid #2f7de1" in style
    assert min(contrast("#2f7de1", each) for each in ("#ffffff", "#000000")) >= 3
