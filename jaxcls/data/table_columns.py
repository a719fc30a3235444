"""Columns of a table, as NumPy's arrays, out of pyarrow's.

What is empty, or reads NA, null or NaN, is missing.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MISSING = ("", "#N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "n/a")
MISSING += ("nan", "null")
_LONGEST = 40  # characters of a value in a message
_MOST_NAMED = 12


class Column(NamedTuple):
    """N values of a table.

    Attributes:
        values: [N] float64, NaN where missing; of words [N] int32, places in `words`, -1 where
            missing.
        words: those that there are, each once; None of numbers.
        problem: what it holds that is neither, such as lists; None else.
    """

    values: np.ndarray
    words: tuple[str, ...] | None = None
    problem: str | None = None

    @property
    def is_missing(self) -> np.ndarray:
        """Whether a value is missing, [N]."""
        return np.isnan(self.values) if self.words is None else self.values < 0

    def rows(self, rows: np.ndarray) -> "Column":
        """The column of these rows."""
        return self._replace(values=self.values[rows])


def quoted(text: str) -> str:
    """A name or a value as a message has it, printable and short.

    >>> quoted("a\\nb")
    "'a\\\\nb'"
    """
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return ascii(shown) if not shown.isprintable() else repr(shown)


def listed(names: Sequence[str]) -> str:
    """Names as a message lists them, the first of many.

    >>> listed(["a", "b"])
    "'a', 'b'"
    """
    shown = ", ".join(map(quoted, names[:_MOST_NAMED]))
    more = len(names) - _MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown


def spaced(names: Sequence[str]) -> str:
    """Names as a line has them: with spaces between, or `listed` in full where one has a space.

    >>> spaced(["0", "1"]), spaced(["Paris", "New York"])
    ('0 1', "'Paris', 'New York'")
    """
    plain = all(name and not set(name) & {*" ,\t\n"} for name in names)
    return " ".join(names) if plain else ", ".join(map(quoted, names))


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raises ValueError unless columns have names that differ."""
    if not names:
        raise ValueError(f"{path}: has no columns.")
    for place, name in enumerate(names, 1):
        if not name:
            raise ValueError(
                f"{path}: column {place} has no name; write one into the header, or leave the "
                "column out (pandas writes its index so, save with index=False)."
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"{path}: its header has column {quoted(twice[0])} twice; rename one, or leave it out."
        )


def compute() -> Any:
    """pyarrow's functions of arrays, which it makes as it is imported."""
    import pyarrow.compute

    return pyarrow.compute


def column_of_strings(strings: Any, as_words: bool) -> Column:
    """A column of pyarrow's strings: of numbers, if each is one."""
    import pyarrow as pa

    pc = compute()
    trimmed = pc.utf8_trim_whitespace(strings)
    is_missing = pc.is_in(trimmed, value_set=pa.array(MISSING, trimmed.type))
    known = pc.if_else(is_missing, pa.scalar(None, trimmed.type), trimmed)
    if not as_words:
        try:
            return _numbers(known)
        except pa.ArrowInvalid:
            pass
    return _words(known)


def _numbers(array: Any) -> Column:
    import pyarrow as pa

    pc = compute()
    numbers = pc.cast(array, pa.float64(), safe=False)
    values = pc.fill_null(numbers, float("nan"))
    return Column(np.array(values.to_numpy(), np.float64))


def _words(array: Any) -> Column:
    import pyarrow as pa

    pc = compute()
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # what is too long for one
        raise ValueError("a column has more than 2 GiB of text")
    encoded = array.dictionary_encode()
    words = encoded.dictionary.to_pylist()
    codes = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int32)
    lower = [word.lower() for word in words]
    if words and {*lower} <= {"true", "false"}:
        # Whatever wrote them, and whether or not they were a type of their own.
        words = [word.capitalize() for word in lower]
    places = {word: place for place, word in enumerate(dict.fromkeys(words))}
    if len(places) < len(words):
        codes = np.array([*map(places.__getitem__, words), -1], np.int32)[codes]
    return Column(codes, tuple(places))


def column_of(array: Any) -> Column:
    """A column of pyarrow's, whatever its type."""
    import pyarrow as pa

    kind, types = array.type, pa.types
    if types.is_dictionary(kind):
        array, kind = array.cast(kind.value_type), kind.value_type
    if types.is_null(kind):
        return Column(np.full(len(array), np.nan))
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return _numbers(array)
    if types.is_string(kind) or types.is_large_string(kind):
        return column_of_strings(array, as_words=True)
    if types.is_boolean(kind) or types.is_temporal(kind):
        try:
            return _words(array.cast(pa.string()))
        except pa.ArrowException:
            pass
    return Column(np.full(len(array), np.nan), problem=str(kind)[:_LONGEST])
