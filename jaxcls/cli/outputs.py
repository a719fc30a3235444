"""Where a command writes a file that a user named."""

import os
from pathlib import Path


def check_free(path: Path) -> None:
    """Raises ValueError where something is at the path, or no folder is to hold it."""
    if os.path.lexists(path):
        raise ValueError(
            f"{path}: is there already; name another --output, or remove it."
        )
    if not path.parent.is_dir():
        raise ValueError(
            f"{path}: there is no folder {path.parent}; make it, or name another --output."
        )
