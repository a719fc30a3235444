"""What the columns of a table are: numbers, categories, or such as a network can't take."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from jaxcls.data.table_columns import Column, listed, quoted
from jaxcls.data.table_files import Table

Kind = Literal["numeric", "categorical"]
LARGEST = 1e100  # of a number, so that squares add up in float64
_EXACT = 2.0**53  # up to which a float64 holds each integer
MOST_CATEGORIES = 1_000
_FEW = 5  # rows that a message names one by one
_LEAST_IDENTIFIERS = 5  # rows from which on it is no chance that all differ
_MANY_NUMBERS = 10  # different ones, which are hardly all categories
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ]\d{1,2}:.*)?"
    r"|\d{1,2}:\d{2}(:\d{2}.*)?"
)
# A number with what no number has here: separators, a currency, a percent sign.
_DECORATED = re.compile(r"[$€£]?\s?[-+]?\s?\d[\d.,' _\u00a0\u202f]*\s?[%$€£]?")
_WORDS_OF_TEXT = 4  # on average, from which on values are sentences


class Roles(NamedTuple):
    """What the user says of columns, by their names.

    Attributes:
        target: holds the classes.
        categorical: are categories, whatever they look like.
        numeric: are numbers.
        drop: are not looked at.
    """

    target: str
    categorical: Sequence[str] = ()
    numeric: Sequence[str] = ()
    drop: Sequence[str] = ()


def kinds_of(table: Table, roles: Roles) -> dict[str, Kind]:
    """What each column that is to be used is, in the table's order.

    Raises:
        ValueError: a name is wrong, or a column is nothing that a network can take; the message
            says what to do about it.

    >>> from pathlib import Path
    >>> size = Column(np.array([1.0, 2.0]))
    >>> sort = Column(np.array([0, 1], np.int32), ("a", "b"))
    >>> kinds_of(Table(Path("t.csv"), {"size": size, "sort": sort}, 2), Roles("sort"))
    {'size': 'numeric'}
    """
    _check_roles(table, roles)
    _check_decorated(table, roles)
    kinds = {
        name: _kind(table, name, roles)
        for name in table.columns
        if name != roles.target and name not in roles.drop
    }
    if not kinds:
        raise ValueError(
            f"{table.path}: has no column to learn from besides the target "
            f"{quoted(roles.target)}; add one, or --drop fewer."
        )
    return kinds


def counters(table: Table, kinds: dict[str, Kind], numeric: Sequence[str]) -> list[str]:
    """The columns that count the rows, as an identifier does, but those the user calls numbers.

    >>> from pathlib import Path
    >>> table = Table(Path("t.csv"), {"id": Column(np.arange(1.0, 9))}, 8)
    >>> counters(table, {"id": "numeric"}, ())
    ["t.csv: column 'id' counts the rows, as an identifier does, from which nothing can be \
learned; --drop 'id' if it is one."]
    """
    found = []
    for name, kind in kinds.items():
        values = table.columns[name].values
        if (
            kind == "numeric"
            and name not in numeric
            and len(values) >= _LEAST_IDENTIFIERS
            and values[0] in (0, 1)
            and (np.diff(values) == 1).all()
        ):
            found.append(
                f"{table.path}: column {quoted(name)} counts the rows, as an identifier does, from "
                f"which nothing can be learned; --drop {quoted(name)} if it is one."
            )
    return found


def _check_roles(table: Table, roles: Roles) -> None:
    known, where = table.columns, f"{table.path}: "
    if roles.target not in known:
        raise ValueError(
            f"{where}has no column {quoted(roles.target)} to be the target; it has "
            f"{listed([*known])}."
        )
    seen = {roles.target: "target"}
    for flag in ("categorical", "numeric", "drop"):
        for name in getattr(roles, flag):
            if name not in known:
                raise ValueError(
                    f"{where}has no column {quoted(name)}, which --{flag} names; it has "
                    f"{listed([*known])}."
                )
            if name in seen:
                raise ValueError(
                    f"{where}column {quoted(name)} is named by --{seen[name]} and by --{flag}; "
                    "leave out one."
                )
            seen[name] = flag


def _check_decorated(table: Table, roles: Roles) -> None:
    """Raises ValueError for numbers that are written with more than digits, of all columns."""
    told = {roles.target, *roles.categorical, *roles.numeric, *roles.drop}
    found = {
        name: _decorated(column)
        for name, column in table.columns.items()
        if name not in told
    }
    found = {name: words for name, words in found.items() if words}
    if not found:
        return
    names, one = [*found], len(found) == 1
    examples = listed([*dict.fromkeys(words[0] for words in found.values())])
    remedies = _remedies([word for words in found.values() for word in words])
    raise ValueError(
        f"{table.path}: column{'s' * (not one)} {listed(names)} hold{'s' * one} numbers that are "
        f"written with more than digits, such as {examples}; write {remedies}, or name "
        f"{'it' if one else 'them'} with --drop, or with --categorical if they are categories."
    )


def _decorated(column: Column) -> list[str]:
    """The words of a column of numbers that have more than digits, if it is one."""
    words = column.words or ()
    if all(map(_DATE.fullmatch, words)) or not all(map(_DECORATED.fullmatch, words)):
        return []
    return [word for word in words if _number(word) is None]


def _remedies(words: Sequence[str]) -> str:
    """How such numbers are to be written.

    >>> _remedies(["1,234", "7%"])
    '1234.5 for 1,234.5 or 1234,5, 42 for 42%'
    """
    bare = (re.sub("[%$€£]", "", word).strip() for word in words)
    found = {
        "1234.5 for 1,234.5 or 1234,5": any(_number(word) is None for word in bare),
        "42 for 42%": any("%" in word for word in words),
        "5 for $5": any(re.search("[$€£]", word) for word in words),
    }
    return ", ".join(remedy for remedy, is_needed in found.items() if is_needed)


def _kind(table: Table, name: str, roles: Roles) -> Kind:
    column = table.columns[name]
    what = f"{table.path}: column {quoted(name)}"
    if column.problem is not None:
        raise ValueError(
            f"{what} holds {column.problem}, neither numbers nor words; --drop it, or write it as "
            "columns of its own."
        )
    if name in roles.numeric:
        return "numeric"
    if name in roles.categorical:
        _check_few(what, spelled(column))
        return "categorical"
    if column.words is None:
        return "numeric"
    _check_words(what, name, column)
    return "categorical"


def _check_words(what: str, name: str, column: Column) -> None:
    """Raises ValueError for words that are no categories."""
    words = column.words or ()
    if not words:
        return
    present = column.values[column.values >= 0]
    flags = (
        f"--drop {quoted(name)}, or --categorical {quoted(name)} if they are categories"
    )
    numbers = [_number(word) for word in words]
    if None not in numbers:
        raise ValueError(
            f"{what} holds numbers that are written as words, such as {quoted(words[0])}; "
            f"--numeric {quoted(name)} if they are numbers, or {flags}."
        )
    counts = np.bincount(present, minlength=len(words))
    is_number = np.array([number is not None for number in numbers])
    many = is_number.sum() >= _MANY_NUMBERS and 2 * is_number.sum() > len(words)
    if many or 2 * counts[is_number].sum() >= len(present):
        other = words[int(is_number.argmin())]
        raise ValueError(
            f"{what} changes its type: {counts[is_number].sum():,} of {len(present):,} values are "
            f"numbers, and row {_first_row(column, other)} has {quoted(other)}; correct it, leave "
            f"it empty if it is unknown, or {flags}."
        )
    if all(map(_DATE.fullmatch, words)):
        raise ValueError(
            f"{what} holds dates or times, such as {quoted(words[0])}, which are no numbers; "
            f"write them as one, such as days since a day, or {flags}."
        )
    if 2 * len(words) > len(present):
        length = sum(len(word.split()) for word in words) / len(words)
        if length >= _WORDS_OF_TEXT:
            raise ValueError(
                f"{what} holds free text, such as {quoted(words[0])}, which is no category; "
                f"write what matters of it as columns, or {flags}."
            )
    if len(words) == len(present) >= _LEAST_IDENTIFIERS:
        raise ValueError(
            f"{what} has another value in each of {len(present):,} rows, as an identifier has, "
            f"such as {quoted(words[0])}, and nothing can be learned from it; {flags}."
        )
    _check_few(what, column)


def _check_few(what: str, column: Column) -> None:
    count = len(column.words or ())
    if count > MOST_CATEGORIES:
        raise ValueError(
            f"{what} has {count:,} categories, and at most {MOST_CATEGORIES:,} are taken; --drop "
            "it, or put the rare ones together."
        )


def taken(table: Table, kinds: dict[str, Kind]) -> dict[str, Column]:
    """The columns of a table as numbers or words, as their kinds say.

    Raises:
        ValueError: a column is not there, or a value is none of its kind; the message names its
            row.
    """
    missing = [name for name in kinds if name not in table.columns]
    if missing:
        raise ValueError(
            f"{table.path}: lacks {'columns' if len(missing) > 1 else 'column'} "
            f"{listed(missing)}, which the run was trained on; it has {listed([*table.columns])}. "
            "Add what lacks, empty where it is unknown."
        )
    return {
        name: (
            _numeric(f"{table.path}: column {quoted(name)}", table.columns[name])
            if kind == "numeric"
            else spelled(table.columns[name])
        )
        for name, kind in kinds.items()
    }


def spelled(column: Column) -> Column:
    """A column as words, numbers spelled out.

    >>> spelled(Column(np.array([2007.0, 2.5, np.nan])))
    Column(values=array([ 1,  0, -1], dtype=int32), words=('2.5', '2007'), problem=None)
    """
    if column.words is not None:
        return column
    codes = np.full(len(column.values), -1, np.int32)
    present = ~np.isnan(column.values)
    numbers, codes[present] = np.unique(column.values[present], return_inverse=True)
    return Column(codes, tuple(map(spelling, numbers.tolist())))


def spelling(number: float) -> str:
    """A number as a category or a class is called.

    >>> spelling(2007.0), spelling(2.5)
    ('2007', '2.5')
    """
    if float(number).is_integer() and abs(number) < _EXACT:
        return str(int(number))
    return repr(number)


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return None if "_" in word else number


def _numeric(what: str, column: Column) -> Column:
    """The column as numbers within bounds; false and true are 0 and 1."""
    if column.problem is not None:
        raise ValueError(f"{what} must hold numbers, got {column.problem}.")
    if column.words is not None:
        known = {"False": 0.0, "True": 1.0}
        numbers = [known.get(word, _number(word)) for word in column.words]
        for word, number in zip(column.words, numbers, strict=True):
            if number is None:
                raise ValueError(
                    f"{what} must hold numbers, and row {_first_row(column, word)} has "
                    f"{quoted(word)}; correct it, or leave it empty if it is unknown."
                )
        column = Column(np.array([*numbers, np.nan], np.float64)[column.values])
    wrong = np.flatnonzero(np.abs(column.values) > LARGEST)
    if len(wrong):
        raise ValueError(
            f"{what} must hold numbers within +-{LARGEST:g}, and row {wrong[0] + 1} has "
            f"{column.values[wrong[0]]:g}; leave it empty if it is unknown, or --drop the column."
        )
    return column


def _first_row(column: Column, word: str) -> int:
    place = (column.words or ()).index(word)
    return int(np.flatnonzero(column.values == place)[0]) + 1


def rows_shown(rows: np.ndarray) -> str:
    """Rows by their numbers, where they are few, and else how many there are.

    >>> rows_shown(np.array([1, 3]))
    'rows 1 and 3'
    """
    if len(rows) > _FEW:
        return f"{len(rows):,} rows"
    *most, last = map(str, rows.tolist())
    return f"rows {', '.join(most)} and {last}" if most else f"row {last}"
