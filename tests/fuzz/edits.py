"""What all fuzz tests share: how many inputs, how much memory, and edits of a whole file."""

import re

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LONG = settings.get_current_profile_name() == "long"
MOST_MEMORY = 64 << 20  # bytes traced, for files of some kilobytes
limits = settings(
    max_examples=settings().max_examples if LONG else 60,
    derandomize=not LONG,
    database=None,
    deadline=2_000,  # milliseconds: what hangs fails
    suppress_health_check=list(HealthCheck),
)


SMALL = [0, 1, 2, 3, 60, 255, 1 << 16]
LARGE = [300_000_000, 2_000_000_000, 10**30]
LARGE += [(1 << bits) - less for bits in (31, 32, 63, 64) for less in (0, 1)]
SIZES = st.sampled_from(SMALL + LARGE) | st.integers(0, 5000)


def flip(content, place, size, value):
    if content:
        content[place % len(content)] ^= 1 + value % 255


def insert(content, place, size, value):
    content[place:place] = value.to_bytes(16, "big")[-size:]


def repeat(content, place, size, value):
    content[place:place] = content[place : place + 8 * size]


def delete(content, place, size, value):
    del content[place : place + size]


def cut(content, place, size, value):
    del content[place:]


def forge(content, place, size, value):
    width = (2, 4, 8)[size % 3]
    order = ("little", "big")[size % 2]
    content[place : place + width] = (value % (1 << 8 * width)).to_bytes(width, order)


def forge_text(content, place, size, value):
    numbers = list(re.finditer(rb"-?\d+", content))
    if numbers:
        number = numbers[place % len(numbers)]
        content[number.start() : number.end()] = str(value).encode()


EDITS = [flip, insert, repeat, delete, cut, forge, forge_text]


@st.composite
def edited(draw, whole, least=0):
    content = bytearray(whole)
    places = st.integers(0, len(whole))
    edits = st.tuples(
        st.sampled_from(EDITS),
        places | st.integers(0, min(64, len(whole))),
        st.integers(1, 16),
        SIZES,
    )
    for edit, place, size, value in draw(st.lists(edits, min_size=least, max_size=4)):
        edit(content, place, size, value)
    return bytes(content)


def any_of(wholes):
    # By their numbers: a failure prints its strategies, and with them what they hold.
    numbers = st.integers(0, len(wholes) - 1)
    return numbers.flatmap(lambda each: edited(wholes[each])) | st.binary(max_size=200)
