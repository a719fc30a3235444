"""Whatever a table's file holds: the table that it is, or one line that names the file."""

import csv
import io
import tracemalloc
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from edits import MOST_MEMORY, any_of, limits
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from jaxcls.data.table_columns import MISSING
from jaxcls.data.table_files import read_table
from jaxcls.data.tables import load_table


@pytest.fixture(scope="module")
def attempt(tmp_path_factory, tallies):
    """Reads a content as a file with this ending, counts it, and gives what was read."""
    folder = tmp_path_factory.mktemp("fuzz")

    def read_and_count(name, ending, read, content):
        path, got = folder / f"own.{ending}", None
        path.write_bytes(content)
        tracemalloc.start()
        try:
            got = read(path)
        except ValueError as error:
            message = str(error)
            assert str(path) in message and message.endswith("."), message
            assert len(message.splitlines()) == 1 and message.isprintable(), message
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < MOST_MEMORY
        tally = tallies.setdefault(name, Counter())
        tally["refused" if got is None else "whole"] += 1
        return got

    return read_and_count


WORDS = (
    "a",
    "b",
    "true",
    "FALSE",
    "NA",
    "",
    "nan",
    "1",
    "-2.5",
    "1e3",
    "007",
    "inf",
    "1,2",
)
WORDS += (
    "2020-01-02",
    "é\n",
    'say "a"',
    " c ",
    "1_0",
    "0x1",
    "1e400",
    "\u2028",
    "x" * 50,
)
NAMES = st.lists(
    st.sampled_from(("x", "y", "z", "x y", "é", "a,b", 'q"')),
    min_size=1,
    max_size=4,
    unique=True,
)
WRONG_NAMES = st.lists(st.sampled_from(("x", "y", "", "1", "2.5")), max_size=3)


@st.composite
def tables(draw):
    """A header, and rows that mostly are as long."""
    names = draw(NAMES if draw(st.integers(0, 9)) else WRONG_NAMES)
    width = len(names)
    words = [
        draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4)) for _ in names
    ]
    rows = [
        [draw(st.sampled_from(each)) for each in words]
        for _ in range(draw(st.integers(1, 12)))
    ]
    if draw(st.integers(0, 5)) == 0 and rows:
        rows[-1] = rows[-1][: draw(st.integers(0, width))]
    text = io.StringIO()
    ends = draw(st.sampled_from(("\n", "\r\n", "\n\n")))
    csv.writer(text, lineterminator=ends).writerows([names, *rows])
    return text.getvalue().encode(
        draw(st.sampled_from(("utf-8", "utf-8-sig") * 4 + ("utf-16",)))
    )


CSV_FILES = (
    tables() | tables().flatmap(lambda whole: any_of([whole])) | st.binary(max_size=99)
)
CLASSES = b"size,kind,y\n" + b"".join(
    b"%d,%s,%s\n" % (each, b"uvw"[each % 3 :][:1], b"ab"[each % 2 :][:1])
    for each in range(12)
)


@limits
@given(content=CSV_FILES)
def test_csv(attempt, content):
    got = attempt("csv", "csv", read_table, content)
    if got is not None:
        check_cells(got, content)


def check_cells(got, content):
    """The same cells as Python's own reader finds, of a file whose quotes are in order."""
    text = content.decode("utf-8-sig")
    try:
        header, *rows = filter(
            None, csv.reader(io.StringIO(text, newline=""), strict=True)
        )
    except csv.Error:
        return
    rows = [row for row in rows if len(row) == len(header)]
    if len(rows) != got.num_rows:
        return
    for place, name in enumerate(header):
        column = got.columns[name.strip()]
        cells = [row[place].strip() for row in rows]
        missing = [cell in MISSING or cell.lower() == "nan" for cell in cells]
        assert column.is_missing.tolist() == missing
        for cell, value, lacks in zip(
            cells, column.values.tolist(), missing, strict=True
        ):
            if lacks:
                continue
            if column.words is None:
                assert value == float(cell)
            else:
                word = column.words[value]
                assert word in (cell, cell.capitalize()) and cell not in MISSING


@limits
@given(content=any_of([CLASSES]) | tables())
def test_a_table_is_learned_or_refused(attempt, content):
    got = attempt(
        "table",
        "csv",
        lambda path: load_table(path, "y", validation_fraction=0.2),
        content,
    )
    if got is not None:
        for part in (got.train, got.validation, got.test):
            assert np.isfinite(part.features).all() and len(part.targets) == len(
                part.features
            )
            assert part.features.shape[1] == got.preparation.num_features > 0
            assert {*part.targets.tolist()} == {*range(len(part.labels))}


def parquet_of(columns, **how):
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file, **how)
    return file.getvalue()


COLUMNS = {
    "size": [1.5, None, 3.0] * 4,
    "kind": ["u", "v", None] * 4,
    "good": [True, False, None] * 4,
    "y": ["a", "b"] * 6,
}
WHOLE = [
    parquet_of(COLUMNS),
    parquet_of(COLUMNS, compression="none", use_dictionary=False),
]
WHOLE.append(
    parquet_of({"x": ["1", "2", None] * 4, "z": list(range(12)), "y": ["a", "b"] * 6})
)
WHOLE.append(parquet_of({"days": pa.array([1, 2], pa.date32()), "lists": [[1], None]}))


@limits
@given(content=any_of(WHOLE))
def test_parquet(attempt, content):
    got = attempt("parquet", "parquet", read_table, content)
    if got is not None:
        assert all(len(each.values) == got.num_rows for each in got.columns.values())
        attempt("parquet table", "parquet", lambda path: load_table(path, "y"), content)


@pytest.mark.parametrize("place", range(4))
def test_whole_tables_come_back(attempt, place):
    got = attempt("parquet", "parquet", read_table, WHOLE[place])
    assert got.num_rows == (2 if place == 3 else 12)
    if place < 2:
        assert got.columns["good"].words == ("True", "False")
        np.testing.assert_array_equal(got.columns["size"].values[:3], [1.5, np.nan, 3])
