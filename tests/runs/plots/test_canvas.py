"""runs.plots.canvas: what all pictures share, whatever they are of and whatever is named how."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from jaxcls.runs import plots
from jaxcls.runs.plots.canvas import COLOURS, short

HOSTILE = [
    "$x",
    r"$\nothing{$",
    "七",
    "n" * 9000,
    "",
    "a\nb",
    "<b>&",
    "\x1b[31m",
    "_^%",
]


def drawn(names=("zero", "one", "two")):
    """A picture of each kind, with these names."""
    rng, count = np.random.default_rng(0), len(names)
    p = rng.dirichlet(np.ones(count), 60)
    labels = rng.integers(0, count, 60)
    counts = rng.integers(0, 2000, (count, count))
    line = {"loss": 0.5, "train_accuracy": 0.9}
    history = [{"epoch": epoch} | line for epoch in range(1, 9)]
    scores = rng.uniform(0.8, 0.9, (len(names), 1)) + np.array([0, -0.05, 0.05])
    values = {
        "hidden": names,
        "learning_rate": [f"1e-{place}" for place in range(count)],
    }
    status = ["ok", "diverged", *["dropped after 2 epochs"] * (count - 2)]
    numbers = rng.normal(size=40)
    ends = [(-0.1, 0.2)] * count
    return {
        "curves": plots.curves(history, 3),
        "confusion": plots.confusion(counts, names),
        "mistakes": plots.mistakes(rng.random((60, 4, 4)), labels, p, names),
        "weights": plots.weights(rng.normal(size=(16, 5)), (4, 4)),
        "reliability": plots.reliability(p, labels),
        "roc": plots.roc(np.log(p), labels, names),
        "sweep": plots.sweep(values, scores, status),
        "heat_map": plots.heat_map(values, scores[:, 0]),
        "differences": plots.differences(
            {name + str(i): rng.normal(size=5) for i, name in enumerate(names)},
            names[0],
            ends,
        ),
        "predicted": plots.predicted(numbers, numbers + 1, numbers**2, names[0]),
        "residuals": plots.residuals(numbers, numbers + 1, names[0]),
    }


@pytest.fixture(scope="module")
def pictures():
    return drawn()


def test_each_is_as_large_and_says_what_it_shows(pictures):
    for name, figure in pictures.items():
        content = io.BytesIO(plots.png(figure))
        image = Image.open(content)
        assert (image.format, image.size) == ("PNG", (900, 600)), name
        assert figure.get_size_inches().tolist() == [4.5, 3.0]
        assert len(figure.get_suptitle()) > 5, name
        # Once it is drawn all ticks have their letters.
        texts = [each for each in figure.findobj(Text) if each.get_text()]
        assert min(each.get_fontsize() for each in texts) >= 7, name


def test_colours_are_told_apart_by_all(pictures):
    allowed = {*COLOURS, "0.35"}
    for name, figure in pictures.items():
        for axes in figure.axes:
            lines = [each for each in axes.get_lines() if each.get_label()[0] != "_"]
            colors = {each.get_color() for each in lines}
            # The display's own line of what would be perfect is black.
            assert colors <= allowed | {"k"}, (name, colors)


@pytest.mark.slow
def test_any_name_can_be_drawn():
    for figure in drawn(HOSTILE).values():
        assert plots.png(figure).startswith(b"\x89PNG")


def test_names_are_whole_lines():
    assert [short(each) for each in HOSTILE] == [
        *(
            "$x",
            r"$\nothing{$",
            "七",
            "n" * 10 + "…nnn",
            "",
            "a b",
            "<b>&",
            "[31m",
            "_^%",
        )
    ]


def test_dollars_are_no_mathematics(pictures):
    figure = plots.confusion(np.eye(2, dtype=int), ["$a$", "$b$"])
    labels = figure.axes[0].get_yticklabels()
    assert [each.get_text() for each in labels] == ["$a$", "$b$"]
    assert not any(each.get_parse_math() for each in labels)


def test_others_pictures_keep_their_style(pictures):
    import matplotlib

    assert matplotlib.rcParams["text.parse_math"] is True
    assert matplotlib.rcParams["font.size"] == 10


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["no-such", "module://none.there", "qtagg", ""])
def test_a_backend_that_is_not_there_does_not_matter(backend):
    program = (
        "import os; import numpy as np; from jaxcls.runs import plots\n"
        "plots.png(plots.curves([{'epoch': 1, 'loss': 0.5, 'train_accuracy': 0.5}]))\n"
        "plots.png(plots.reliability(np.eye(2), np.arange(2)))\n"
        "import matplotlib; print(os.environ['MPLBACKEND'])\n"
        "print(matplotlib.rcParams._get_backend_or_none())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"MPLBACKEND": backend},
    )
    assert (done.returncode, done.stderr) == (0, "")
    kept, used = done.stdout.splitlines()
    assert kept == backend and used in (backend, "None")
