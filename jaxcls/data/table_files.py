"""Tables from files, .csv and .parquet, read by pyarrow into columns of NumPy's.

A column holds numbers or words. In a .csv file it holds numbers if each of its values is one, and
words otherwise; in a .parquet file its type says so. Rows are counted from 1, the first one below
the header.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from jaxcls.data.arrays import check_file
from jaxcls.data.table_columns import Column
from jaxcls.data.table_csv import read_csv
from jaxcls.data.table_parquet import read_parquet

SUFFIXES = (".csv", ".parquet")


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
        columns = read_csv(path, as_words)
    else:
        columns = read_parquet(path)
    num_rows = len(next(iter(columns.values())).values)
    if num_rows == 0:
        raise ValueError(f"{path}: holds no rows, only the names of columns; add some.")
    return Table(path, columns, num_rows)
