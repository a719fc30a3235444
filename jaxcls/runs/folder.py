"""A run's folder: what it was told, what came of it, and the state to go on from.

| file | what it holds | written |
| --- | --- | --- |
| `config.json` | everything needed to repeat the run | first |
| `checkpoints/` | states to go on from, see `runs.checkpoints` | while it trains |
| `history.jsonl` | a line per report | while it trains |
| `model.safetensors` | the parameters that were chosen | at the end |
| `last.safetensors` | the last ones, where validation chose others | at the end |
| `metrics.json` | their scores, and digests of the files above | last: where it stands, the run is whole |

Many runs of one folder, with several seeds or a sweep's settings, have besides or instead:

| file | what it holds | written |
| --- | --- | --- |
| `members/` | what came of the runs so far, see `runs.members` | while they train |
| `seeds.csv`, `members.csv` | a line per run, of several seeds or of a sweep | at the end |
| `sweep.csv` | a line per setting, the best first | at the end |
| `winner/`, `ensemble/` | run folders of a sweep's best setting and of its best runs | at the end |
"""

import csv
import datetime
import fcntl
import io
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Self

from jaxcls.files import (
    append_line,
    cannot_write,
    digest,
    read_json,
    remove_leftovers,
    save_arrays,
    write_json,
    write_whole,
)
from jaxcls.mlp import Params

CONFIG, HISTORY, METRICS, MODEL, LAST = (
    "config.json",
    "history.jsonl",
    "metrics.json",
    "model.safetensors",
    "last.safetensors",
)
PICTURES = ("curves.png", "confusion.png", "mistakes.png")
TABLES = ("seeds.csv", "members.csv", "sweep.csv")
CHECKPOINTS, MEMBERS, WINNER, ENSEMBLE = "checkpoints", "members", "winner", "ensemble"


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
    """Writes a run's files. In its `with` no other process can write there."""

    def __init__(self, path: str | os.PathLike):
        """Takes the folder of this path, made if need be."""
        self.path = Path(path)

    def __enter__(self) -> Self:
        """Locks the folder and removes what a killed process left half written.

        Raises:
            ValueError: another process is writing there.
            OSError: the folder can't be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # The folder itself is locked: no file is left behind, and the system unlocks it
            # however this process ends.
            self._descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_leftovers(self.path)
            remove_leftovers(self.path / CHECKPOINTS)
            remove_leftovers(self.path / MEMBERS)
        except BlockingIOError:
            os.close(self._descriptor)
            raise ValueError(
                f"{self.path}: another process is writing a run there; wait for it to end, or "
                "write elsewhere."
            ) from None
        except OSError as error:
            os.close(self._descriptor)
            raise cannot_write(self.path, error) from error
        return self

    def __exit__(self, *_) -> None:
        os.close(self._descriptor)

    def clear(self, *, overwrite: bool) -> None:
        """Makes room for a new run; what the folder holds besides a run's files and its
        folder `checkpoints` is left alone.

        Args:
            overwrite: take the place of a run that is there already.

        Raises:
            ValueError: it holds a run or a part of one, and `overwrite` is False.
            OSError: a file can't be removed.
        """
        # The config goes last: a run without it could not be gone on with.
        runs = [
            each for each in (WINNER, ENSEMBLE) if (self.path / each / CONFIG).exists()
        ]
        files = (METRICS, MODEL, LAST, HISTORY, *PICTURES, *TABLES)
        for name in (*files, *runs, CHECKPOINTS, MEMBERS, CONFIG):
            path = self.path / name
            if not path.exists():
                continue
            if not overwrite:
                raise ValueError(
                    f"{self.path} holds a run already ({name}); name another --output-dir, go on "
                    f"with --resume {self.path}, or give --overwrite."
                )
            try:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            except OSError as error:
                raise cannot_write(path, error) from error

    def write_config(self, config: dict) -> None:
        """Writes `config.json`, everything needed to repeat the run."""
        write_json(self.path / CONFIG, config)

    def add_to_history(self, record: dict) -> None:
        """Adds a line to `history.jsonl`."""
        append_line(self.path / HISTORY, _line(record))

    def write_history(self, records: list[dict]) -> None:
        """Writes `history.jsonl` anew."""
        lines = "".join(f"{_line(record)}\n" for record in records)
        write_whole(self.path / HISTORY, lines.encode())

    def write_result(
        self, metrics: dict, epoch: int, chosen: Params, last: Params | None
    ) -> None:
        """Writes the files that end a run.

        Args:
            metrics: what goes into `metrics.json`, to which the files' digests are added.
            epoch: epochs after which `chosen` stood.
            chosen: the parameters that were scored.
            last: those after the last epoch, where they are others.
        """
        save_arrays(self.path / MODEL, {"params": chosen}, {"epoch": str(epoch)})
        if last is not None:
            save_arrays(self.path / LAST, {"params": last}, {})
        digests = {
            name: digest((self.path / name).read_bytes())
            for name in (HISTORY, MODEL, *(() if last is None else (LAST,)))
        }
        write_json(self.path / METRICS, metrics | {"sha256_of": digests})

    def write_table(self, name: str, rows: list[dict]) -> None:
        """Writes rows that have the same names as CSV, one of `TABLES`."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.path / name, text.getvalue().encode())

    def write_sweep_result(self, metrics: dict) -> None:
        """Writes a sweep's `metrics.json`, with the digests of its tables."""
        digests = {
            name: digest((self.path / name).read_bytes())
            for name in TABLES
            if (self.path / name).exists()
        }
        write_json(self.path / METRICS, metrics | {"sha256_of": digests})

    def write_picture(self, name: str, content: bytes) -> None:
        """Writes a picture, one of `PICTURES`."""
        write_whole(self.path / name, content)

    def reopen(self) -> None:
        """Takes away what says that the run is whole, and its pictures, so that it can go on."""
        for name in (METRICS, *PICTURES):
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(self.path / name, error) from error


def read_metrics(path: Path, *, model_only: bool = False) -> dict | None:
    """`metrics.json` of the run in this folder, or None if it is not there yet.

    Args:
        path: of the folder.
        model_only: of the files that it has the digests of, hold only the model against it.

    Raises:
        ValueError: it, or a file that it has the digest of, is missing or damaged.
    """
    if not (path / METRICS).exists():
        return None
    metrics = read_json(path / METRICS)
    digests = metrics.get("sha256_of")
    if not isinstance(digests, dict) or not (digests.keys() & {MODEL, *TABLES}):
        raise ValueError(f"{path / METRICS}: lacks the digests of the run's files.")
    for name, wanted in digests.items():
        if model_only and name != MODEL:
            continue
        file = path / os.path.basename(name)
        if not file.is_file() or digest(file.read_bytes()) != wanted:
            raise ValueError(
                f"{file}: missing, changed or damaged since it was written."
            )
    return metrics


def _line(record: dict) -> str:
    return json.dumps(record, allow_nan=False)
