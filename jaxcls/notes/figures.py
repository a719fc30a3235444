"""The figures of the course notes, as data: `figures.json`, in the notes' order."""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

# Numbers as the notes print them, digits and all: one, a row, or rows.
Printed = str | list[Any]


class Figure(NamedTuple):
    """One thing that the notes print.

    Attributes:
        id: section and name.
        section: title of its section.
        kind: "exact" figures come out to the printed digits; "statistical" ones depend on
            dropout masks that only PyTorch draws; at an "error" the notes stop.
        what: it is.
        printed: its numbers as text, or the error's text.
    """

    id: str
    section: str
    kind: Literal["exact", "statistical", "error"]
    what: str
    printed: Printed

    @property
    def page(self) -> str:
        """Where the code stands that makes it, in PyTorch and in jaxcls, from the root.

        >>> load_figures()[0].page
        'jaxcls/notes/pages/A.md'
        """
        return f"jaxcls/notes/pages/{self.id.partition('.')[0]}.md"


def load_figures() -> list[Figure]:
    """All figures, in the notes' order.

    >>> len(load_figures())
    47
    """
    text = Path(__file__).with_name("figures.json").read_text(encoding="utf-8")
    return [
        Figure(section=section["title"], **figure)
        for section in json.loads(text)
        for figure in section["figures"]
    ]


def choose(figures: list[Figure], ids: list[str] | None) -> list[Figure]:
    """The figures with these ids, in the notes' order; all of them for None.

    Raises:
        ValueError: there is no such figure.

    >>> [figure.id for figure in choose(load_figures(), ["D.test", "A.test"])]
    ['A.test', 'D.test']
    """
    if ids is None:
        return figures
    known = [figure.id for figure in figures]
    if not ids:
        raise ValueError(f"only: name one or more of the figures {', '.join(known)}.")
    for each in ids:
        if each not in known:
            raise ValueError(
                f"only: there is no figure {each!r}; the figures are {', '.join(known)}."
            )
    return [figure for figure in figures if figure.id in ids]
