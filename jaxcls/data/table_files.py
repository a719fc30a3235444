"""Tables from .csv and .parquet files: columns of NumPy's, read by pyarrow.

A column holds numbers or words. In a .csv file it holds numbers if each of its values is one, and
words otherwise; in a .parquet file its type says so. What is empty, or reads NA, null or NaN, is
missing. Rows are counted from 1, the first one below the header.
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcls.data.arrays import check_file, readable

SUFFIXES = (".csv", ".parquet")
MISSING = ("", "#N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "n/a")
MISSING += ("nan", "null")
_LARGEST = 2**31  # bytes that the columns of a .parquet file may take: 2 GiB
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


class Table(NamedTuple):
    """A file's columns by name, in its order, all of N values."""

    path: Path
    columns: dict[str, Column]
    num_rows: int


def is_table(name: str | os.PathLike) -> bool:
    """Whether a file's name is that of a table.

    >>> is_table("own.CSV"), is_table("own.npz")
    (True, False)
    """
    return os.fspath(name).lower().endswith(SUFFIXES)


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


def read_table(path: str | os.PathLike, as_words: Collection[str] = ()) -> Table:
    """Reads a .csv file of UTF-8 with commas and a header, or a .parquet file.

    Args:
        path: of the file.
        as_words: columns of a .csv file that are kept as they are written, though they may be
            numbers.

    Raises:
        ValueError: there is no such file, or it is no such table; the message says what is wrong
            where.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "own.csv")
    ...     _ = path.write_text("size,kind\\n1.5,a\\nNA,b\\n")
    ...     read_table(path).columns["kind"]
    Column(values=array([0, 1], dtype=int32), words=('a', 'b'), problem=None)
    """
    path = Path(path)
    check_file(path, "a table")
    if not is_table(path):
        raise ValueError(f"{path}: a table must be a .csv or a .parquet file.")
    if path.suffix.lower() == ".csv":
        columns = _read_csv(path, as_words)
    else:
        columns = _read_parquet(path)
    num_rows = len(next(iter(columns.values())).values)
    if num_rows == 0:
        raise ValueError(f"{path}: holds no rows, only the names of columns; add some.")
    return Table(path, columns, num_rows)


def _read_csv(path: Path, as_words: Collection[str]) -> dict[str, Column]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    with readable(f"{path}: it"):
        content = path.read_bytes()
    header = _header(path, content)
    places = [str(place) for place in range(len(header))]
    uneven = []

    def on_uneven(row: Any) -> str:
        uneven.append(row)
        return "error"

    try:
        found = arrow_csv.read_csv(
            pa.BufferReader(content),
            read_options=arrow_csv.ReadOptions(
                column_names=places,
                use_threads=False,  # else rows have no numbers
                block_size=min(max(1 << 20, len(content) + 1), 2**31 - 1),
            ),
            parse_options=arrow_csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=on_uneven
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={place: pa.string() for place in places}
            ),
        )
    except pa.ArrowException as error:
        if uneven and uneven[0].number is not None:
            raise ValueError(_uneven(path, uneven[0])) from None
        reason = ascii(str(error).splitlines()[0][:200]).strip("'\".")
        raise ValueError(f"{path}: can't be read as a .csv file: {reason}.") from None
    found = found.combine_chunks()
    _check_no_second_header(path, found, header)
    return {
        name: _column(found.column(place).slice(1), name in as_words)
        for place, name in enumerate(header)
    }


def _header(path: Path, content: bytes) -> list[str]:
    """The names of the columns, checked."""
    text = _text(path, content)
    with readable(f"{path}: its header"):
        lines = csv.reader(io.StringIO(text[: 1 << 24], newline=""))
        written = next((line for line in lines if line), None)
    if written is None:
        raise ValueError(f"{path}: is empty; a table has a header and rows.")
    if len(written) == 1:
        for mark in ";\t|":
            if mark in written[0]:
                raise ValueError(
                    f"{path}: its columns are parted by {mark!r}, and commas are wanted; save it "
                    "with commas."
                )
    names = [name.strip() for name in written]
    if all(map(_is_number, names)):
        raise ValueError(
            f"{path}: has no header, its first line holds numbers ({listed(names)}); write the "
            "names of the columns above."
        )
    _check_names(path, names)
    return names


def _check_names(path: Path, names: Sequence[str]) -> None:
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


def _text(path: Path, content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError(
            f"{path}: is written in UTF-16, and UTF-8 is wanted; save it as that."
        )
    if b"\0" in content:
        raise ValueError(
            f"{path}: holds bytes of 0, as no text does; it is no .csv file, export it as one."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}: line {line} is not UTF-8 (byte 0x{content[error.start]:02x}); save the file "
            "as UTF-8, or convert it, such as by iconv -f latin1 -t utf-8."
        ) from None
    if content.count(b'"') % 2:
        raise ValueError(
            f'{path}: a quote (") is opened and never closed; write quotes in pairs.'
        )
    return text


def _uneven(path: Path, row: Any) -> str:
    return (
        f"{path}: row {row.number - 1} has {row.actual_columns:,} values, and the header names "
        f"{row.expected_columns:,} columns ({quoted(row.text)}); correct it, and write a value "
        "that has a comma in quotes."
    )


def _check_no_second_header(path: Path, found: Any, header: list[str]) -> None:
    pc = _compute()
    first = np.asarray(pc.equal(found.column(0), found.column(0)[0]))
    for row in np.flatnonzero(first)[1:].tolist():
        # A table of one column may have its name as a value.
        if len(header) > 1 and all(
            str(found.column(place)[row]).strip() == name
            for place, name in enumerate(header)
        ):
            raise ValueError(f"{path}: row {row} is the header again; take it out.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _compute() -> Any:
    """pyarrow's functions of arrays, which it makes as it is imported."""
    import pyarrow.compute

    return pyarrow.compute


def _column(strings: Any, as_words: bool) -> Column:
    """A column of pyarrow's strings: of numbers, if each is one."""
    import pyarrow as pa

    pc = _compute()
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

    pc = _compute()
    numbers = pc.cast(array, pa.float64(), safe=False)
    values = pc.fill_null(numbers, float("nan"))
    return Column(np.array(values.to_numpy(), np.float64))


def _words(array: Any) -> Column:
    import pyarrow as pa

    pc = _compute()
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


def _read_parquet(path: Path) -> dict[str, Column]:
    from pyarrow import parquet

    with readable(f"{path}: it is no .parquet file that"):
        with open(path, "rb") as file, parquet.ParquetFile(file) as opened:
            about = opened.metadata
            groups = range(about.num_row_groups)
            size = sum(about.row_group(group).total_byte_size for group in groups)
            cells = about.num_rows * about.num_columns
            is_large = max(size, 8 * cells) > _LARGEST
            found = None if is_large else opened.read(use_threads=False)
        columns, names = {}, []
        if found is not None:
            names = [str(name).strip() for name in found.column_names]
            columns = {
                name: _of_type(found.column(place)) for place, name in enumerate(names)
            }
    if found is None:
        raise ValueError(f"{path}: it announces more than the 2 GiB allowed.")
    _check_names(path, names)
    return columns


def _of_type(array: Any) -> Column:
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
        return _column(array, as_words=True)
    if types.is_boolean(kind) or types.is_temporal(kind):
        try:
            return _words(array.cast(pa.string()))
        except pa.ArrowException:
            pass
    return Column(np.full(len(array), np.nan), problem=str(kind)[:_LONGEST])
