"""When a value is a printed figure, and when it is not."""

import numpy as np
import pytest

from jaxcls.notes.checks import (
    agrees_in_float32,
    agrees_to_the_digit,
    lies_within,
    rounded,
)


@pytest.mark.parametrize(
    "value, printed, shown",
    [
        (0.99360, "0.9936", "0.9936"),
        (0.993549, "0.9936", "0.9935"),
        (0.85, "0.85", "0.85"),
        (7.59314e-4, "7.5931e-04", "7.5931e-04"),
        (7.59316e-4, "7.5931e-04", "7.5932e-04"),
        (-0.20144, "-0.2014", "-0.2014"),
        (1.0, "1", "1"),
        # As the notes' float32 tensor: 54.59815003 is 54.59814835 there.
        (np.exp(4), "54.5981", "54.5981"),
        # As the notes' Python float, where float32 would end in 0.1064851284.
        (0.1353 / 1.2706, "0.10648512513773022", "0.10648512513773022"),
    ],
)
def test_a_value_is_printed_as_the_notes_would(value, printed, shown):
    assert rounded(np.array(value), printed) == shown
    assert agrees_to_the_digit(np.array(value), printed) == (shown == printed)


def test_every_number_of_a_matrix_counts():
    printed = [["0.10", "0.20"], ["0.30", "0.40"]]
    values = np.array([[0.1, 0.2], [0.3, 0.4]])
    assert agrees_to_the_digit(values, printed) and agrees_in_float32(values, printed)
    for place in np.ndindex(2, 2):
        other = values.copy()
        other[place] += 0.03
        assert not agrees_to_the_digit(other, printed)
        assert not agrees_in_float32(other, printed)
    with pytest.raises(ValueError, match="zip"):
        agrees_to_the_digit(values[:1], printed)


@pytest.mark.parametrize(
    "value, printed, agrees",
    [
        (0.44009, "0.4399", True),  # 1.9 units
        (0.44011, "0.4399", False),  # 2.1 units
        (0.43971, "0.4399", True),
        (0.43969, "0.4399", False),
        (7.59329e-4, "7.5931e-04", True),
        (7.59331e-4, "7.5931e-04", False),
        (0.1064851284, "0.10648512513773022", True),  # the float32 next to it
        (0.1064852, "0.10648512513773022", False),
        (1.0, "0", False),
        (np.nan, "0.44", False),
    ],
)
def test_float32_is_held_to_two_units_of_the_last_digit(value, printed, agrees):
    assert agrees_in_float32(np.array(value), printed) == agrees


@pytest.mark.parametrize(
    "lowest, highest, agrees",
    [
        (0.95, 0.97, True),
        (0.9605, 0.97, True),  # wider by one unit of "0.960"
        (0.9615, 0.97, False),
        (0.95, 0.9595, True),
        (0.95, 0.9585, False),
        (np.nan, np.nan, False),
    ],
)
def test_a_range_is_widened_by_its_last_digit(lowest, highest, agrees):
    assert lies_within(np.array(lowest), np.array(highest), "0.960") == agrees
    pair = np.array([lowest, 0.9]), np.array([highest, 0.99])
    assert lies_within(*pair, ["0.960", "0.950"]) == agrees
