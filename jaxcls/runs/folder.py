"""A run's folder: config.json, history.jsonl, metrics.json, model.safetensors, pictures."""

import datetime
import itertools
import json
import os
from pathlib import Path

from jaxcls.files import append_line, cannot_write, save_arrays, write_whole
from jaxcls.mlp import Params

CONFIG, HISTORY, METRICS, MODEL = (
    "config.json",
    "history.jsonl",
    "metrics.json",
    "model.safetensors",
)
PICTURES = ("curves.png", "confusion.png", "mistakes.png")


def new_run_path(name: str) -> Path:
    """Makes a new folder `runs/<time>-<name>`.

    Raises:
        OSError: it can't be made.
    """
    stem = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{name}"
    for number in itertools.count(1):
        path = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir(parents=True)
            break
        except OSError as error:
            if not path.is_dir():
                raise cannot_write(path, error) from error
    return path


class RunFolder:
    """Writes a run's files. `metrics.json` comes last: where it stands, the run is whole."""

    def __init__(self, path: str | os.PathLike, *, overwrite: bool = False):
        """Makes the folder.

        Args:
            path: of the folder; what it holds besides a run is left alone.
            overwrite: take the place of a run that is there already.

        Raises:
            ValueError: it holds a run or a part of one, and `overwrite` is False.
            OSError: it can't be made or written.
        """
        self.path = Path(path)
        files = (METRICS, MODEL, HISTORY, *PICTURES)
        if not overwrite:
            for name in (CONFIG, *files):
                if (self.path / name).exists():
                    raise ValueError(
                        f"{self.path} holds a run already ({name}); name another --output-dir, "
                        "or give --overwrite."
                    )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in files:
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def write_config(self, config: dict) -> None:
        """Writes `config.json`, everything needed to repeat the run."""
        self._write_json(CONFIG, config)

    def add_to_history(self, record: dict) -> None:
        """Adds a line to `history.jsonl`."""
        append_line(self.path / HISTORY, json.dumps(record, allow_nan=False))

    def write_model(self, params: Params, epoch: int) -> None:
        """Writes `model.safetensors`, the parameters after `epoch` epochs."""
        save_arrays(self.path / MODEL, {"params": params}, {"epoch": str(epoch)})

    def write_metrics(self, metrics: dict) -> None:
        """Writes `metrics.json`."""
        self._write_json(METRICS, metrics)

    def write_picture(self, name: str, content: bytes) -> None:
        """Writes a picture, one of `PICTURES`."""
        write_whole(self.path / name, content)

    def _write_json(self, name: str, value: dict) -> None:
        write_whole(
            self.path / name,
            (json.dumps(value, indent=2, allow_nan=False) + "\n").encode(),
        )
