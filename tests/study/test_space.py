"""search_space: what is listed by hand, what is drawn by its distribution, and refusals."""

import math
import sys

import numpy as np
import pytest

from jaxcls.study.space import Choice, LogUniform, Uniform, draw, grid

NUM = 4000
SPACE = {
    "dropout_rate": Uniform(0, 0.5),
    "learning_rate": LogUniform(1e-5, 1e-1),
    "optimizer": Choice("sgd", "adam", "adamw"),
    "clip_norm": Choice(None, 1.0),
}


def columns(settings):
    assert all(list(setting) == list(SPACE) for setting in settings)
    return {name: [setting[name] for setting in settings] for name in SPACE}


def test_grid_runs_through_the_last_name_fastest():
    got = grid({"a": Choice(2, 1), "b": Choice("x"), "c": Choice(None, (8, 1), True)})
    assert got == [
        {"a": 2, "b": "x", "c": None},
        {"a": 2, "b": "x", "c": (8, 1)},
        {"a": 2, "b": "x", "c": True},
        {"a": 1, "b": "x", "c": None},
        {"a": 1, "b": "x", "c": (8, 1)},
        {"a": 1, "b": "x", "c": True},
    ]
    assert [list(setting) for setting in got] == [["a", "b", "c"]] * 6


def test_grid_is_nested_loops():
    space = {
        name: Choice(*range(size)) for name, size in (("p", 3), ("q", 1), ("r", 4))
    }
    want = [{"p": i, "q": 0, "r": k} for i in range(3) for k in range(4)]
    assert grid(space) == want


def test_without_names_there_is_one_setting():
    assert grid({}) == [{}]
    assert draw({}, 2, seed=0) == [{}, {}]


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_draws_follow_their_distributions(seed):
    drawn = columns(draw(SPACE, NUM, seed))
    rates, logs = np.array(drawn["dropout_rate"]), np.log10(drawn["learning_rate"])
    assert rates.min() >= 0 and rates.max() <= 0.5
    assert logs.min() >= -5 - 1e-12 and logs.max() <= -1 + 1e-12
    for shares in (np.sort(rates / 0.5), np.sort((logs + 5) / 4)):
        # The distance of Kolmogorov and Smirnov, which exceeds this once in 10,000.
        steps = np.arange(NUM + 1) / NUM
        gap = max((steps[1:] - shares).max(), (shares - steps[:-1]).max())
        assert gap < 2.23 / NUM**0.5
    for name in ("optimizer", "clip_norm"):
        values = SPACE[name].values
        for value in values:
            share = 1 / len(values)
            spread = (share * (1 - share) / NUM) ** 0.5
            assert abs(drawn[name].count(value) / NUM - share) < 5 * spread


def test_names_seeds_and_places_are_drawn_independently():
    names = ["a", "b", "plumless", "buckeroo"]  # the last two have the same crc32
    space = dict.fromkeys(names, Uniform(0, 1))
    rows = [
        [setting[name] for setting in draw(space, NUM, seed)]
        for name in names
        for seed in (0, 1)
    ]
    rows.append([*rows[0][1:], 0.5])  # each beside its predecessor
    correlations = np.corrcoef(rows)
    np.fill_diagonal(correlations, 0)
    assert np.abs(correlations).max() < 5 / NUM**0.5


def test_a_setting_depends_neither_on_the_number_drawn_nor_on_other_names():
    whole = draw(SPACE, 50, seed=3)
    assert draw(SPACE, 50, seed=np.int64(3)) == whole
    for num in (1, 2, 49):
        assert draw(SPACE, num, seed=3) == whole[:num]
    for name in SPACE:
        alone = draw({name: SPACE[name]}, 50, seed=3)
        assert alone == [{name: setting[name]} for setting in whole]
    turned = draw(dict(reversed(SPACE.items())), 50, seed=3)
    assert turned == whole
    assert list(turned[0]) == list(SPACE)[::-1]
    assert draw(SPACE, 50, seed=4) != whole


def test_draws_are_the_same_as_ever():
    # Of another version of NumPy too, lest a sweep that goes on try other settings.
    got = draw({"learning_rate": LogUniform(1e-4, 1e-1)}, 3, seed=0)
    want = [0.074941821693, 0.00018008464, 0.000159284996]
    np.testing.assert_allclose([each["learning_rate"] for each in got], want)


def test_values_are_pythons_floats_or_the_choices_own():
    values = (np.float32(0.5), (16, 1), None)
    space = {"rate": Uniform(np.float32(0), np.int8(1)), "own": Choice(*values)}
    for setting in draw(space, 20, seed=0):
        assert type(setting["rate"]) is float
        assert any(setting["own"] is value for value in values)
    for setting, value in zip(grid({"own": Choice(*values)}), values, strict=True):
        assert setting["own"] is value


@pytest.mark.parametrize(
    "low, high",
    [
        (1e-4, 1e-1),
        (1.0, math.nextafter(1, 2)),
        (0.1, math.nextafter(0.1, 1)),
        (5e-324, sys.float_info.max),
        (math.nextafter(sys.float_info.max, 0), sys.float_info.max),
    ],
)
@pytest.mark.parametrize("kind", [Uniform, LogUniform])
def test_values_stay_within_their_bounds_in_order(kind, low, high):
    shares = [0, 2**-53, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1 - 2**-53]
    got = [kind(low, high).at(share) for share in shares]
    assert low <= min(got) and max(got) <= high
    assert got == pytest.approx(sorted(got), rel=1e-12, abs=0)
    assert got[0] == pytest.approx(low, rel=1e-12, abs=0)
    assert got[-1] == pytest.approx(high, rel=1e-12)


def test_a_uniform_may_span_all_floats():
    most = sys.float_info.max
    assert Uniform(-most, most).at(0.5) == 0


@pytest.mark.parametrize("size", [*range(1, 40), 1000, 2**20 + 1])
def test_the_greatest_share_takes_the_last_choice(size):
    choice = Choice(*range(size))
    assert choice.at(1 - 2**-53) == size - 1
    assert choice.at(0.0) == 0


def test_distributions_compare_and_hash_by_value():
    assert Uniform(0, 1) == Uniform(0.0, 1.0) != LogUniform(0.5, 1)
    assert len({Choice(1, 2), Choice(1, 2), Choice(2, 1)}) == 2
    with pytest.raises(AttributeError):
        Uniform(0, 1).low = 2


@pytest.mark.parametrize("kind", [Uniform, LogUniform])
@pytest.mark.parametrize(
    "low, high, error, message",
    [
        (2, 1, ValueError, r"low must be below high, got 2\.0 and 1\.0"),
        (1, 1, ValueError, r"low must be below high, got 1\.0 and 1\.0"),
        (1, np.inf, ValueError, "high must be finite, got inf"),
        (np.nan, 1, ValueError, "low must be finite, got nan"),
        ("0", 1, TypeError, "low must be a number, got '0'"),
        (0.5, None, TypeError, "high must be a number, got None"),
        (False, 1, TypeError, "low must be a number, got False"),
        (0.5, [1], TypeError, r"high must be a number, got \[1\]"),
    ],
)
def test_bounds_are_refused(kind, low, high, error, message):
    with pytest.raises(error, match=f"^{kind.__name__}: {message}\\.$"):
        kind(low, high)


@pytest.mark.parametrize("low", [0, -1])
def test_a_log_uniform_is_positive(low):
    with pytest.raises(ValueError, match=rf"^LogUniform: low must be .* got {low}\.0"):
        LogUniform(low, 1)


@pytest.mark.parametrize(
    "values, error, message",
    [
        ((), ValueError, "hold at least one, got none"),
        ((1, 2, 1), ValueError, r"differ, got \(1, 2, 1\)"),
        ((1, 1.0), ValueError, r"differ, got \(1, 1\.0\)"),
        (([1, 2],), TypeError, r"be given one by one, .* tuple, got \[1, 2\]"),
        ((1, {}), TypeError, r"be given one by one, .* tuple, got \{\}"),
    ],
)
def test_choice_refuses(values, error, message):
    with pytest.raises(error, match=f"^Choice: values must {message}\\.$"):
        Choice(*values)


@pytest.mark.parametrize("distribution", [Uniform(1, 2), LogUniform(1, 2)])
def test_grid_refuses_what_lists_no_values(distribution):
    message = (
        r"^search_space\.grid: rate must be a Choice, since a grid needs listed values, got "
        rf"{type(distribution).__name__}\(low=1\.0, high=2\.0\); list some, or draw instead\.$"
    )
    with pytest.raises(ValueError, match=message):
        grid({"epochs": Choice(1), "rate": distribution})


@pytest.mark.parametrize(
    "space, num, seed, error, message",
    [
        (SPACE, 0, 0, ValueError, "num must be at least 1, got 0"),
        (SPACE, 1.5, 0, TypeError, r"num must be an integer, got 1\.5"),
        (SPACE, True, 0, TypeError, "num must be an integer, got True"),
        (SPACE, 1, -1, ValueError, r"seed must lie in 0\.\.2\*\*32-1, got -1"),
        (SPACE, 1, 2**32, ValueError, r"seed must lie in 0\.\..* got 4294967296"),
        (SPACE, 1, None, TypeError, "seed must be an integer, got None"),
        ({"a": [1, 2]}, 1, 0, TypeError, r"a must be a Uniform, .* got \[1, 2\]"),
        ({"a": Uniform}, 1, 0, TypeError, "a must be a Uniform, .* got <class .*>"),
        ({0: Choice(1)}, 1, 0, TypeError, "names must be text, got 0"),
    ],
)
def test_draw_refuses(space, num, seed, error, message):
    with pytest.raises(error, match=f"^search_space\\.draw: {message}\\.$"):
        draw(space, num, seed)


def test_grid_refuses_what_is_no_distribution():
    with pytest.raises(TypeError, match=r"^search_space\.grid: a must .* got 1\.$"):
        grid({"a": 1})
