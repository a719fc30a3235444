"""A sweep's flags: every word becomes a setting, and every setting flags that train it."""

import dataclasses

import numpy as np
import pytest

from jaxcls.cli.flags import MulticlassFlags, SweepFlags
from jaxcls.cli.job import load_data, prepare
from jaxcls.cli.parsing import resolved
from jaxcls.cli.space import FLAGS, base_flags, flags_of, settings_of, shown

ONE = SweepFlags(
    dataset="digits", classes=(0, 1, 2), learning_rate=("1e-2",), dropout=("0",)
)


@pytest.fixture(scope="module")
def data():
    return load_data(base_flags(ONE, MulticlassFlags))


def settled(data, **flags):
    flags = dataclasses.replace(ONE, **flags)
    base = resolved(base_flags(flags, MulticlassFlags))
    job = prepare(base, data)
    return settings_of(flags, job), base


@pytest.mark.parametrize(
    "name, words, wanted",
    [
        ("activation", ("relu", "gelu"), ["relu", "gelu"]),
        ("schedule", ("constant", "step"), ["constant", "step"]),
        ("clip_norm", ("none", "0.5"), [None, 0.5]),
        ("label_smoothing", ("0", "0.1"), [None, 0.1]),
        ("class_weights", ("none", "1,2,3"), [None, (1.0, 2.0, 3.0)]),
        ("patience", ("none", "4"), [None, 4]),
        ("ema_decay", ("none", "0.9"), [None, 0.9]),
        ("optimizer", ("adam", "lion"), ["adam", "lion"]),
    ],
)
def test_what_training_takes_is_swept(data, name, words, wanted):
    (values, settings), base = settled(data, **{name: words})
    found = [
        getattr(each.config, name, getattr(each.hyperparams, name, None))
        for each in settings
    ]
    assert found == wanted
    for each, setting, word in zip(values, settings, words, strict=True):
        assert shown(name, each[name]) == word
        flags = flags_of(each, base)
        again = prepare(flags, data)
        assert (again.config, again.hyperparams) == setting


def test_balanced_weights_are_those_of_the_training_set(data):
    (values, (setting,)), _ = settled(data, class_weights=("balanced",))
    assert values[0]["class_weights"] == "balanced"
    counts = np.bincount(data.train.targets)
    weights = np.array(setting.hyperparams.class_weights)
    np.testing.assert_allclose(weights * counts, counts.sum() / 3)


def test_flags_left_alone_leave_the_settings_of_0_1_0(data):
    (values, _), _ = settled(data)
    assert list(values[0]) == list(FLAGS)[:2] + list(FLAGS)[3:7]  # and no weight_decay


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"clip_norm": ("a",)}, "--clip-norm must be numbers, or none, or a range"),
        ({"class_weights": ("1,b",)}, "numbers, or none, or balanced, got 'b'"),
        ({"class_weights": ("1,2",)}, "class_weights must be 3 numbers, one per class"),
        (
            {"patience": ("0",)},
            "--patience must be a number of epochs or none, got '0'",
        ),
        ({"ema_decay": ("1",)}, r"ema_decay must lie in \(0, 1\), got 1.0"),
        ({"label_smoothing": ("uniform:0:1",)}, "a range needs --draws"),
    ],
)
def test_a_wrong_word_is_said(data, flags, message):
    with pytest.raises(ValueError, match=message):
        settled(data, **flags)
