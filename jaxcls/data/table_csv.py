"""Tables from .csv files: UTF-8, with commas and a header."""

import csv
import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from jaxcls.data.arrays import readable
from jaxcls.data.table_columns import (
    Column,
    check_names,
    column_of_strings,
    compute,
    listed,
    quoted,
)


def read_csv(path: Path, as_words: Collection[str]) -> dict[str, Column]:
    """The columns of a .csv file, by name; those in `as_words` are kept as they are written.

    Raises:
        ValueError: it is no such file; the message says what is wrong where.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    with readable(f"{path}: it"):
        content = path.read_bytes()
    header = _header(path, content)
    places = [str(place) for place in range(len(header))]
    uneven = []

    def on_uneven(row: Any) -> str:
        if not row.text.strip():  # an empty line
            return "skip"
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
        name: column_of_strings(found.column(place).slice(1), name in as_words)
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
    check_names(path, names)
    return names


def _text(path: Path, content: bytes) -> str:
    zeros = np.flatnonzero(np.frombuffer(content[:1_000], np.uint8) == 0)
    every_other = len(zeros) > 1 and (np.diff(zeros) == 2).mean() > 0.9
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or every_other:
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
            "as UTF-8, or convert it, such as by iconv -f cp1252 -t utf-8."
        ) from None
    if content.count(b'"') % 2:
        raise ValueError(
            f'{path}: a quote (") is opened and never closed; write quotes in pairs.'
        )
    return text


def _uneven(path: Path, row: Any) -> str:
    found, wanted = row.actual_columns, row.expected_columns
    remedy = "correct it, and write a value that has a comma in quotes"
    if wanted == 1:
        remedy = "take out a first line that is no header, or write commas in quotes"
    return (
        f"{path}: row {row.number - 1} has {found:,} value{'s' * (found != 1)}, and the header names "
        f"{wanted:,} column{'s' * (wanted != 1)} ({quoted(row.text)}); {remedy}."
    )


def _check_no_second_header(path: Path, found: Any, header: list[str]) -> None:
    pc = compute()
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
