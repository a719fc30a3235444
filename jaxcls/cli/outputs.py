"""Where a command writes a file that a user named."""

import os
from pathlib import Path


def check_free(path: Path, flag: str = "--output") -> None:
    """Raises ValueError where something is at the path, or no folder can take the file.

    Args:
        path: that the flag names.
        flag: what messages call it.

    >>> check_free(Path("nowhere", "labels.csv"))
    Traceback (most recent call last):
    ValueError: nowhere/labels.csv: there is no folder nowhere; make it, or name another --output.
    """
    if os.path.lexists(path):
        raise ValueError(
            f"{path}: is there already; name another {flag}, or remove it."
        )
    if not path.parent.is_dir():
        raise ValueError(
            f"{path}: there is no folder {path.parent}; make it, or name another {flag}."
        )
    if not os.access(path.parent, os.W_OK):
        raise ValueError(
            f"{path}: its folder {path.parent} can't be written to; name another {flag}, or make "
            "it writable."
        )
