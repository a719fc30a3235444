"""A run's folder: what it was told, what came of it, and the state to resume from.

| file | what it holds | written |
| --- | --- | --- |
| `config.json` | everything needed to repeat the run | first |
| `checkpoints/` | states to go on from, see `runs.checkpoints` | while it trains |
| `history.jsonl` | a line per epoch, of many thousands some, see `is_recorded`; of several seeds at most 2,001 | while it trains |
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

State says which run it belongs to: a checkpoint, a block of runs and `metrics.json` each keep the
config, which `runs.records` compares before they are used. Files are written only while the folder
at the path is the one that is locked.
"""

import datetime
import json
import os
from pathlib import Path
from typing import Self

from jaxcls.files import (
    append_lines,
    cannot_write,
    digest,
    read_json,
    remove_leftovers,
    save_arrays,
    sync_folder,
    write_csv,
    write_json,
    write_whole,
)
from jaxcls.mlp import Params
from jaxcls.runs.clearing import check_owned, remove, remove_run, state_files
from jaxcls.runs.lock import Lock
from jaxcls.runs.names import (
    CONFIG,
    ENSEMBLE,
    HISTORY,
    LAST,
    METRICS,
    MODEL,
    PICTURES,
    RESULTS,
    STATE,
    TABLES,
    WINNER,
)
from jaxcls.runs.records import check_metrics

_LONGEST_NAME = 150  # bytes, of 255 that a folder's may have with what is added to it


def new_run_path(name: str) -> Path:
    """Makes a new folder `runs/<time>-<name>`, of a long name with its beginning alone.

    Raises:
        OSError: it can't be made.
    """
    name = name.encode(errors="replace")[:_LONGEST_NAME].decode(errors="ignore")
    stem = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{name}"
    number, path = 1, Path("runs") / stem
    while True:
        try:
            path.mkdir(parents=True)
            return path
        except OSError as error:
            if not os.path.isdir(path):
                raise cannot_write(path, error) from error
        number += 1
        path = path.with_name(f"{stem}-{number}")


class RunFolder:
    """Writes a run's files. In its `with` no other process can write there."""

    def __init__(self, path: str | os.PathLike):
        """Takes the folder of this path, made if need be.

        Attributes:
            path: of the folder, for messages and for reading.
            config: the content of its `config.json`, once it was written.
            problems: sentences of what the system or its file system can't do, once in `with`.
        """
        self.path = Path(path)
        self.config: dict = {}
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        """Locks the folder and removes what a killed process left half written.

        Raises:
            ValueError: another process is writing there.
            OSError: the folder can't be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.path)
        except BlockingIOError:
            raise ValueError(
                f"{self.path}: another process is writing a run there; wait for it to end, or "
                "write elsewhere."
            ) from None
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            self.problems = self._what_is_missing()
            for folder in (self.path, *(self.path / each for each in STATE)):
                remove_leftovers(folder)
        except OSError as error:
            self._lock.release()
            raise cannot_write(self.path, error) from error
        return self

    def __exit__(self, *_) -> None:
        self._lock.release()

    def _what_is_missing(self) -> list[str]:
        problems = []
        if self._lock.problem is not None:
            problems.append(
                f"{self.path} can't be locked, {self._lock.problem}; let no other process write "
                "there."
            )
        # Windows never can, which its users need not read at each run.
        if not sync_folder(self.path) and os.name != "nt":
            problems.append(
                f"{self.path} can't be flushed to disk, as its file system can't do that; should "
                "the power fail, the last files may be missing."
            )
        return problems

    def here(self) -> Path:
        """The folder's path, to write to.

        Raises:
            OSError: the folder that was locked is no longer there.
        """
        try:
            in_place = self._lock.is_in_place()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if not in_place:
            raise OSError(
                f"{self.path} is no longer the folder that this run writes to: it was moved or "
                "removed. Nothing more is written; to go on, give --resume with the folder where "
                "it is now."
            )
        return self.path

    def clear(self, *, overwrite: bool) -> None:
        """Makes room for a new run; whatever else the folder holds is left alone.

        Only files of a run are removed, and only where its config says that it is one.

        Args:
            overwrite: take the place of a run that is there already.

        Raises:
            ValueError: it holds a run or a part of one, and `overwrite` is False; or files of
                such names that are no run's.
            OSError: a file can't be removed.
        """
        for name in (*RESULTS, *STATE, WINNER, ENSEMBLE, CONFIG):
            if self._has(name) and not overwrite:
                check_owned(self.path)
                raise ValueError(
                    f"{self.path} holds a run already ({name}); name another --output-dir, resume "
                    f"with --resume {self.path}, or give --overwrite (from Python overwrite=True)."
                )
        remove_run(self.here())

    def _has(self, name: str) -> bool:
        if name in STATE:
            return any(state_files(self.path, name))
        path = self.path / name
        return (path / CONFIG if name in (WINNER, ENSEMBLE) else path).exists()

    def write_config(self, config: dict) -> None:
        """Writes `config.json`, everything needed to repeat the run."""
        write_json(self.here() / CONFIG, config)
        self.config = config

    def add_to_history(self, *records: dict) -> None:
        """Adds lines to `history.jsonl`."""
        append_lines(self.here() / HISTORY, *map(_line, records))

    def write_history(self, records: list[dict]) -> None:
        """Writes `history.jsonl` again, whole."""
        lines = "".join(f"{_line(record)}\n" for record in records)
        write_whole(self.here() / HISTORY, lines.encode())

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
        save_arrays(self.here() / MODEL, {"params": chosen}, {"epoch": str(epoch)})
        if last is not None:
            save_arrays(self.here() / LAST, {"params": last}, {})
        names = (HISTORY, MODEL, *(() if last is None else (LAST,)), *TABLES)
        self._write_metrics(metrics, names)

    def write_table(self, name: str, rows: list[dict]) -> None:
        """Writes rows that have the same names as CSV, one of `TABLES`."""
        write_csv(self.here() / name, rows)

    def write_sweep_result(self, metrics: dict) -> None:
        """Writes a sweep's `metrics.json`, with the digests of its tables."""
        self._write_metrics(metrics, TABLES)

    def _write_metrics(self, metrics: dict, names: tuple[str, ...]) -> None:
        """Writes `metrics.json` with the digests of those files that are there."""
        digests = {
            name: digest((self.path / name).read_bytes())
            for name in names
            if (self.path / name).exists()
        }
        write_json(self.here() / METRICS, metrics | {"sha256_of": digests})

    def write_picture(self, name: str, content: bytes) -> None:
        """Writes a picture, one of `PICTURES`."""
        write_whole(self.here() / name, content)

    def reopen(self) -> None:
        """Takes away what says that the run is whole, and its pictures, so that it can go on."""
        for name in (METRICS, *PICTURES):
            remove(self.here() / name)


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
    try:
        check_metrics(metrics)
    except ValueError as error:
        raise ValueError(f"{path / METRICS}: {error}") from None
    digests, is_sweep = metrics.get("sha256_of"), "plan" in metrics["config"]
    if not (
        isinstance(digests, dict)
        and digests.keys() <= {HISTORY, MODEL, LAST, *TABLES}
        and digests.keys() & ({*TABLES} if is_sweep else {MODEL})
    ):
        raise ValueError(f"{path / METRICS}: lacks the digests of the run's files.")
    for name, wanted in digests.items():
        if model_only and name != MODEL:
            continue
        file = path / name
        if not file.is_file() or digest(file.read_bytes()) != wanted:
            raise ValueError(
                f"{file}: missing, changed or damaged since it was written."
            )
    return metrics


def _line(record: dict) -> str:
    return json.dumps(record, allow_nan=False)
