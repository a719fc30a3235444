"""What a sweep found: scores against what was swept."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxcls.runs.plots.canvas import (
    BLUE,
    GREY,
    PALE,
    SIZE,
    VERMILION,
    new_figure,
    plain_log_axis,
    short,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_JOINED = 12  # values whose best are joined, or that a row of a heat map has
_MOST_NUMBERED = 8  # values of a row whose cells have numbers
_BINS = 6
_LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue
# A logarithmic axis is for values from one decade on, the middle one early among them.
_DECADES, _EARLY = 10.0, 0.3
_INCHES = 1.6  # of a row of panels
_ROOM = 0.8  # inches for what is above and below them


@styled
def sweep(
    values: Mapping[str, Sequence[str]],
    scores: np.ndarray,
    status: Sequence[str],
    score: str = "validation accuracy",
    least: bool = False,
) -> "Figure":
    """Scores of settings against each value that was swept, with 95% intervals.

    Where a flag has few values, the best settings of each are joined and have their intervals, and
    the others are pale dots. Settings that were dropped before the last epoch are hollow, and those
    that diverged are crosses at the bottom.

    Args:
        values: by a flag's name, as it takes them, of each setting.
        scores: [S, 3] mean, low and high; NaN where there is none.
        status: of each setting: "ok", "diverged" or "dropped ...".
        score: what is scored.
        least: whether the least is the best.

    Raises:
        ValueError: no value differs from setting to setting.
    """
    names = _varied(values)
    if not names:
        raise ValueError("the sweep has one setting alone")
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    title = f"{score.capitalize()} of {len(status):,} settings, with 95% intervals"
    size = (SIZE[0], max(SIZE[1], _ROOM + _INCHES * rows))
    figure, grid = new_figure(title, rows, columns, size, sharey=True)
    for axes in grid.flat[len(names) :]:
        axes.axis("off")
    for axes, name in zip(grid.flat, names, strict=False):
        at = _placed(axes.xaxis, values[name])
        axes.set_xlabel(name)
        axes.grid()
        _draw(axes, at, scores, np.array(status), least)
    figure.supylabel(score, fontsize=8)
    figure.legend(
        *grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
    )
    return figure


@styled
def heat_map(
    values: Mapping[str, Sequence[str]],
    scores: np.ndarray,
    score: str = "validation accuracy",
    least: bool = False,
) -> "Figure":
    """The best score for each pair of values of the two flags that matter most.

    Where they have many values, such as drawn ones, each setting is a dot.

    Args:
        values, score, least: as of `sweep`.
        scores: [S], NaN where there is none.

    Raises:
        ValueError: fewer than two flags vary, or no setting has a score.
    """
    names = _varied(values)
    if len(names) < 2 or not np.isfinite(scores).any():
        raise ValueError("a heat map takes two flags that vary, and scores")
    strongest = sorted(names, key=lambda name: -_effect(values[name], scores))[:2]
    names = [name for name in names if name in strongest]
    across, down = sorted(names, key=lambda name: -len(set(values[name])))
    few = all(len(set(values[name])) <= _MOST_JOINED for name in names)
    others = len(_varied(values)) > 2
    title = f"{'Best ' if few and others else ''}{score} by {across} and {down}"
    figure, ((axes,),) = new_figure(title[0].upper() + title[1:])
    axes.set(xlabel=across, ylabel=down)
    # The brightest is the best.
    colours = "viridis_r" if least else "viridis"
    if few:
        cells, ticks = _cells(values[across], values[down], scores, least)
        image = axes.imshow(cells, cmap=colours, aspect="auto", origin="lower")
        axes.set_xticks(range(len(ticks[0])), [short(each) for each in ticks[0]])
        axes.set_yticks(range(len(ticks[1])), [short(each) for each in ticks[1]])
        axes.set_facecolor(PALE)
        if len(ticks[0]) <= _MOST_NUMBERED:
            _number(axes, image, cells)
    else:
        places = (
            _placed(axes.xaxis, values[across]),
            _placed(axes.yaxis, values[down]),
        )
        # The best lie on top.
        order = np.argsort(-scores if least else scores)
        x, y = (each[order] for each in places)
        image = axes.scatter(x, y, c=scores[order], cmap=colours, s=12, linewidths=0)
        axes.grid()
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
    bar.set_label(score)
    bar.outline.set_visible(False)
    return figure


def _varied(values: Mapping[str, Sequence[str]]) -> list[str]:
    return [name for name, some in values.items() if len(set(some)) > 1]


def _numbers(some: Sequence[str]) -> np.ndarray | None:
    """The values as numbers, if all are."""
    try:
        found = np.array([float(each) for each in some])
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def _placed(axis: Any, some: Sequence[str]) -> np.ndarray:
    """Where the values stand on an axis: numbers as such, words one beside the other."""
    found = _numbers(some)
    if found is None:
        words = _in_order(some)
        axis.set_ticks(range(len(words)), [short(word, 10) for word in words])
        axis.axes.margins(**{axis.axis_name: 0.1})
        if len(words) > 3 and axis.axis_name == "x":
            axis.set_tick_params(rotation=30)
        return np.array([words.index(each) for each in some], float)
    if _spans_decades(found):
        plain_log_axis(axis, (found.min(), found.max()))
    else:
        axis.get_major_locator().set_params(nbins=5)
    return found


def _spans_decades(found: np.ndarray) -> bool:
    """Whether the values lie evenly in their logarithms, over a decade or more."""
    once = np.unique(found)
    middle = once[(len(once) - 1) // 2]
    return once[0] > 0 and once[-1] / once[0] >= _DECADES and middle < _EARLY * once[-1]


def _in_order(some: Sequence[str]) -> list[str]:
    """The values, each once: numbers by their size, words as they come."""
    once = [*dict.fromkeys(some)]
    return once if _numbers(once) is None else sorted(once, key=float)


def _draw(
    axes: "Axes", at: np.ndarray, scores: np.ndarray, status: np.ndarray, least: bool
) -> None:
    means, diverged = scores[:, 0], status == "diverged"
    scored = np.isfinite(means) & ~diverged
    dropped, whole = scored & (status != "ok"), scored & (status == "ok")
    style: dict[str, Any] = {"markersize": 3, "alpha": 0.45}
    if dropped.any():
        label = f"dropped early: {dropped.sum():,}"
        style_of_dropped = style | {"color": GREY, "markerfacecolor": "none"}
        axes.plot(at[dropped], means[dropped], "o", label=label, **style_of_dropped)
    if diverged.any():
        axes.plot(
            *(at[diverged], np.full(diverged.sum(), 0.02), "x"),
            color=VERMILION,
            label=f"diverged: {diverged.sum():,}",
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )
    if whole.any():
        label = "a setting"
        style |= {"color": BLUE, "markeredgewidth": 0}
        axes.plot(at[whole], means[whole], "o", label=label, **style)
        _draw_best(axes, at[whole], scores[whole], least)


def _draw_best(axes: "Axes", at: np.ndarray, scores: np.ndarray, least: bool) -> None:
    """The best setting of each value, joined, and of many values all; with their intervals."""
    means, rows = scores[:, 0], np.arange(len(at))
    merit = -means if least else means
    places = np.unique(at)
    joined = len(places) <= _MOST_JOINED
    if joined:
        at_place = (rows[at == place] for place in places)
        rows = np.array([some[np.argmax(merit[some])] for some in at_place])
        axes.plot(at[rows], means[rows], "o-", color=BLUE, label="best of its value")
    rows_with_ends = rows[np.isfinite(scores[rows, 1:]).all(axis=1)]
    axes.vlines(
        *(at[rows_with_ends], *scores[rows_with_ends, 1:].T),
        color=BLUE,
        alpha=1 if joined else 0.25,
        linewidth=1,
    )
    best = np.argmax(merit)
    style: dict[str, Any] = {"color": VERMILION, "markersize": 5}
    axes.plot(at[best], means[best], "D", label="best of all", **style)


def _cells(
    across: Sequence[str], down: Sequence[str], scores: np.ndarray, least: bool
) -> tuple[np.ndarray, tuple[list[str], list[str]]]:
    """The best score [rows, columns] of each pair of values, NaN of none; and the values."""
    columns, rows = _in_order(across), _in_order(down)
    cells = np.full((len(rows), len(columns)), np.nan)
    better = np.fmin if least else np.fmax
    for one, other, score in zip(across, down, scores, strict=True):
        place = rows.index(other), columns.index(one)
        cells[place] = better(cells[place], score)
    return cells, (columns, rows)


def _number(axes: "Axes", image: Any, cells: np.ndarray) -> None:
    for (row, column), score in np.ndenumerate(cells):
        if np.isfinite(score):
            light = np.dot(image.to_rgba(score)[:3], _LUMINANCE) > 0.5
            axes.text(
                *(column, row, f"{score:.3f}" if abs(score) < 10 else f"{score:.3g}"),
                ha="center",
                va="center",
                color="black" if light else "white",
                fontsize=7,
            )


def _effect(some: Sequence[str], scores: np.ndarray) -> float:
    """How far the mean scores of a flag's values, or of parts of many, lie apart."""
    found = _numbers(some)
    once = [*dict.fromkeys(some)]
    part = np.array([once.index(each) for each in some])
    if found is not None and len(once) > _MOST_JOINED:
        edges = np.quantile(found, np.linspace(0, 1, _BINS + 1)[1:-1])
        part = np.searchsorted(edges, found)
    finite = np.isfinite(scores)
    means = [scores[finite & (part == each)].mean() for each in np.unique(part[finite])]
    return float(np.std(means))
