"""What all pictures share: size, letters, colours, and the way to PNG.

A picture is 4.5 x 3 inches, with letters of 7 points or more, so that it can be read in a column
of a page. Its colours are those of M. Okabe and K. Ito (2008), which people with any colour vision
tell apart; lines differ in their dashes and markers, too.
"""

import contextlib
import functools
import io
import os
import sys
import textwrap
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, YELLOW, BLACK = "#56B4E9", "#CC79A7", "#F0E442", "#000000"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
GREY, PALE = "0.35", "0.9"

SIZE = (4.5, 3.0)  # inches
_DPI = 200
_TITLE = 64  # letters in a line
_RAGGED = 12  # letters that a line may be longer than another
_FEW_DECADES = (
    50.0  # from one end of an axis to the other, up to which 2 and 5 are ticks, too
)
_STYLE = {
    "font.size": 7.5,
    "figure.titlesize": 8.3,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.framealpha": 0.8,
    "legend.edgecolor": "none",
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.linewidth": 0.5,
    "grid.color": PALE,
    # A name may have dollar signs that start no mathematics.
    "text.parse_math": False,
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
}

Given = ParamSpec("Given")
Drawn = TypeVar("Drawn")


def styled(function: Callable[Given, Drawn]) -> Callable[Given, Drawn]:
    """A function that draws or renders, with the style of all pictures."""

    @functools.wraps(function)
    def inner(*args: Given.args, **kwargs: Given.kwargs) -> Drawn:
        with _matplotlib().rc_context(_STYLE), warnings.catch_warnings():
            # A letter that the font lacks is a box in the picture, which says enough.
            warnings.simplefilter("ignore", UserWarning)
            return function(*args, **kwargs)

    return inner


@styled
def png(figure: "Figure") -> bytes:
    """The bytes of a figure as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()


def bare_figure(
    title: str,
    size: tuple[float, float] = SIZE,
    layout: Literal["constrained"] | None = None,
) -> "Figure":
    """A figure with its title and nothing else."""
    # Figure and not pyplot: no global state, no window system.
    _matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=_DPI, layout=layout)
    # In lines of about the same length.
    lines = -(-len(title) // _TITLE)
    width = min(_TITLE, len(title) // lines + _RAGGED)
    figure.suptitle(textwrap.fill(title, width))
    return figure


def new_figure(
    title: str,
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = SIZE,
    **how: Any,
) -> tuple["Figure", np.ndarray]:
    """A figure with its title, and its axes [rows, columns]; `how` is as of `Figure.subplots`."""
    figure = bare_figure(title, size, "constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **how)


def short(name: str, most: int = 14) -> str:
    """A name in one line of so many letters at most, its end among them.

    >>> short("of two\\nlines"), short("class number 12", most=12)
    ('of two lines', 'class nu… 12')
    """
    letters = (letter if letter.isprintable() else " " for letter in name[:1000])
    name = " ".join("".join(letters).split())
    end = most // 4
    return name if len(name) <= most else f"{name[: most - 1 - end]}…{name[-end:]}"


def plain_log_axis(axis: Any, ends: tuple[float, float]) -> None:
    """Makes an axis logarithmic for values from one end to the other, with ticks such as 0.001."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    subs = (1, 2, 5) if ends[1] / ends[0] < _FEW_DECADES else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=7))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _matplotlib():
    """matplotlib, also where MPLBACKEND names what is not there."""
    if "matplotlib" in sys.modules:
        import matplotlib

        return matplotlib
    # It would not be imported at all.
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if named:
        with contextlib.suppress(ValueError):
            # As it would have done, for others' pictures.
            matplotlib.rcParams["backend"] = named
    return matplotlib
