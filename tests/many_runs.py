"""What tests of many runs share: their tables, and a stop in their midst."""

import contextlib
import csv
import json
import signal
from pathlib import Path

from jaxcls.cli import keeping


def table(folder, name="seeds.csv"):
    with open(Path(folder) / name, newline="") as file:
        return list(csv.DictReader(file))


def metrics(folder):
    return json.loads((Path(folder) / "metrics.json").read_text())


@contextlib.contextmanager
def handlers_kept():
    """What a run that stops does to signals stays in its test."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def stop_after(monkeypatch, calls):
    """Makes the `calls`-th round of runs the one in which a signal asks for a stop."""
    keep, made = keeping.Keeper.keep, []

    def stopping(self, done):
        made.append(done)
        if len(made) == calls:
            self._request.signum = 15
        keep(self, done)

    monkeypatch.setattr(keeping.Keeper, "keep", stopping)
