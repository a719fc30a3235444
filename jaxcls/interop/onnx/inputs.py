"""What a graph takes: rows of features, or a table's raw columns, made features inside."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxcls.interop.onnx.graph import Graph


class Rows(NamedTuple):
    """Rows [N, D] of one input, `features`.

    Attributes:
        num_features: D.
        takes_bytes: whether they are bytes 0 to 255, which the graph divides by 255; else numbers.
        mean, scale: [D] float64 each, what is taken off the features then, and what they are
            divided by; None leaves them as they are.
    """

    num_features: int
    takes_bytes: bool
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None


class Number(NamedTuple):
    """A column of numbers, an input [N, 1] of float64 with NaN for what is missing.

    Attributes:
        name: of the column.
        mean: is taken off, and stands for what is missing.
        scale: by which the rest is divided.
        indicator: whether a feature tells what is missing.
    """

    name: str
    mean: float
    scale: float
    indicator: bool


class Words(NamedTuple):
    """A column of categories that are words, an input [N, 1] of strings.

    Attributes:
        name: of the column.
        places: of each word, the place of its feature; any other word has none.
        width: how many features there are.
    """

    name: str
    places: Mapping[str, int]
    width: int


class Values(NamedTuple):
    """A column of categories that are numbers, an input [N, 1] of float64, NaN for missing.

    Attributes:
        name: of the column.
        values: each has a feature; any other number has none.
        missing: whether what is missing has a feature, too, behind them.
    """

    name: str
    values: tuple[float, ...]
    missing: bool


class Columns(NamedTuple):
    """A table's columns, whose features stand in this order: numbers, indicators, categories."""

    numbers: tuple[Number, ...]
    categories: tuple[Words | Values, ...]


def features_of(graph: Graph, inputs: Rows | Columns) -> str:
    """The inputs, and the features [N, D] float32 that they make."""
    if isinstance(inputs, Columns):
        return _of_columns(graph, inputs)
    return _of_rows(graph, inputs)


def _of_rows(graph: Graph, rows: Rows) -> str:
    is_raw = rows.mean is not None and rows.scale is not None
    if rows.takes_bytes:
        told = "bytes 0 to 255, an image row by row"
        given = graph.input("features", np.uint8, rows.num_features, told)
        x = graph.add("Div", graph.cast(given, np.float32), graph.number(255))
    else:
        told = "numbers" if is_raw else "as the network was trained on them"
        # Float32 would round raw ones before their mean is taken off.
        dtype = np.float64 if is_raw else np.float32
        x = graph.input("features", dtype, rows.num_features, told)
    if rows.mean is None or rows.scale is None:
        return x
    return _standardised(graph, graph.cast(x, np.float64), rows.mean, rows.scale)


def _standardised(graph: Graph, raw: str, mean: np.ndarray, scale: np.ndarray) -> str:
    """Float32 of what is computed in float64, as in training."""
    off = graph.add("Sub", raw, graph.constant(mean, "mean"))
    known = graph.add("Div", off, graph.constant(scale, "scale"))
    return graph.cast(known, np.float32)


def _of_columns(graph: Graph, columns: Columns) -> str:
    # All inputs first, so that no node takes the name of a column.
    numbers = [
        graph.input(each.name, np.float64, 1, "a number, NaN where it is missing")
        for each in columns.numbers
    ]
    categories = [_input_of(graph, each) for each in columns.categories]
    parts = _of_numbers(graph, numbers, columns.numbers) if numbers else []
    for given, each in zip(categories, columns.categories, strict=True):
        if isinstance(each, Words):
            parts.append(_of_words(graph, given, each))
        else:
            parts.append(_of_values(graph, given, each))
    return graph.add("Concat", *parts, axis=1)


def _input_of(graph: Graph, column: Words | Values) -> str:
    if isinstance(column, Words):
        told = "a category as a word, empty where it is missing"
        return graph.input(column.name, np.str_, 1, told)
    told = "a category as a number, NaN where it is missing"
    return graph.input(column.name, np.float64, 1, told)


def _of_numbers(
    graph: Graph, given: list[str], numbers: tuple[Number, ...]
) -> list[str]:
    """Features, and indicators where there are any."""
    raw = graph.add("Concat", *given, axis=1)
    mean = np.array([each.mean for each in numbers], np.float64)
    scale = np.array([each.scale for each in numbers], np.float64)
    known = _standardised(graph, raw, mean, scale)
    missing = graph.add("IsNaN", raw)
    parts = [graph.add("Where", missing, graph.number(0), known)]
    told = np.flatnonzero([each.indicator for each in numbers])
    if len(told):
        places = graph.constant(told.astype(np.int64), "places")
        of_them = graph.add("Gather", missing, places, axis=1)
        parts.append(graph.cast(of_them, np.float32))
    return parts


def _of_words(graph: Graph, given: str, column: Words) -> str:
    place = graph.add_of_ml(
        *("LabelEncoder", given),
        keys_strings=[*column.places],
        values_int64s=[*column.places.values()],
        default_int64=-1,
    )
    places = graph.constant(np.arange(column.width)[None], "places")
    return graph.cast(graph.add("Equal", place, places), np.float32)


def _of_values(graph: Graph, given: str, column: Values) -> str:
    values = graph.constant(np.array([column.values], np.float64), "values")
    found = graph.add("Equal", given, values)
    if column.missing:
        found = graph.add("Concat", found, graph.add("IsNaN", given), axis=1)
    return graph.cast(found, np.float32)
