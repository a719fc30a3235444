"""How many inputs the fuzz tests try, and the sum at the end of the session."""

from collections import Counter

import pytest
from hypothesis import settings

# A few minutes: pytest tests/fuzz --hypothesis-profile long
settings.register_profile("long", max_examples=10_000)

_TALLIES: dict[str, Counter[str]] = {}


@pytest.fixture(scope="session")
def tallies():
    """Of each reader, how many inputs were "whole" and how many "refused"."""
    return _TALLIES


def pytest_terminal_summary(terminalreporter):
    for reader, tally in _TALLIES.items():
        terminalreporter.write_line(
            f"fuzz: {reader} {tally.total():,} inputs, {tally['whole']:,} whole, "
            f"{tally['refused']:,} refused"
        )
