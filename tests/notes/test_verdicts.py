"""The verdict on a figure: it is no where anything is off, and its data are the notes'."""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses
from jaxcls.cli.flags import RECIPES as FLAGS
from jaxcls.data import load
from jaxcls.notes import runs as runs_module
from jaxcls.notes import values, verdicts
from jaxcls.notes.figures import Figure, load_figures
from jaxcls.notes.recipes import REPEATED, TRAININGS
from jaxcls.notes.runs import Repeated, Runs
from jaxcls.notes.table import lines_of
from jaxcls.notes.verdicts import judge


class Fake:
    """Runs of a precision whose repeated run is given."""

    def __init__(self, precision, trace=None):
        self.precision, self.trace = precision, trace

    def repeated(self, name):
        assert name == "D"
        return Repeated(self.trace, self.trace[:, -1])


def fakes(trace=None):
    return {each: Fake(each, trace) for each in ("float64", "float32")}


@pytest.mark.parametrize(
    "wide, narrow, agrees",
    [
        (0.50004, 0.50019, True),
        (0.50004, 0.50021, False),
        (0.50006, 0.50004, False),
        (0.50004, 0.49979, False),
    ],
)
def test_an_exact_figure_must_agree_in_both_precisions(
    monkeypatch, wide, narrow, agrees
):
    given = {"float64": wide, "float32": narrow}
    monkeypatch.setitem(
        values.EXACT, "X", lambda runs: jnp.asarray(given[runs.precision])
    )
    verdict = judge(Figure("X", "", "exact", "", "0.5000"), fakes())
    assert verdict.agrees is agrees
    assert verdict.values["float64"] == wide
    assert verdict.values["float32"] == np.float64(np.float32(narrow))


@pytest.mark.parametrize(
    "printed, agrees", [(["0.90", "0.98"], True), (["0.92", "0.98"], False)]
)
def test_a_statistical_figure_must_lie_in_the_range_of_all_keys(printed, agrees):
    trace = np.array([[0.88, 0.975], [0.905, 0.985], [0.89, 0.98]])
    figure = Figure("D.trace", "", "statistical", "", printed)
    verdict = judge(figure, fakes(trace))
    assert verdict.agrees is agrees
    np.testing.assert_array_equal(verdict.values["lowest"], [0.88, 0.975])
    np.testing.assert_array_equal(verdict.values["highest"], [0.905, 0.985])
    assert verdict.num_keys == 64
    assert "lowest of 64 keys" in lines_of(verdict, None)[2]


@pytest.mark.parametrize("met", ["float64", "float32", "both"])
def test_an_error_must_be_met_in_both_precisions(monkeypatch, met):
    monkeypatch.setitem(
        values.ERRORS, "X", lambda runs: (met in ("both", runs.precision), "seen")
    )
    verdict = judge(Figure("X", "", "error", "", "an error"), fakes())
    assert verdict.agrees is (met == "both")
    assert verdict.values == {"float64": "seen", "float32": "seen"}


def test_a_head_is_printed_again_where_the_columns_change(monkeypatch):
    monkeypatch.setitem(values.ERRORS, "X", lambda runs: (True, "seen"))
    trace = np.ones((3, 2))
    figure = Figure("D.train", "same", "statistical", "", "1.00")
    first = judge(figure, fakes(trace))
    second = judge(Figure("X", "same", "error", "", "an error"), fakes())
    assert lines_of(first, None)[1:3] == ["same", "code: jaxcls/notes/pages/D.md"]
    assert lines_of(first, first) == lines_of(first, None)[4:]
    page, head, *_ = lines_of(second, first)
    assert page == "code: jaxcls/notes/pages/X.md"
    assert head.split() == [
        *("figure", "in", "the", "notes", "float64", "float32", "agrees")
    ]


@pytest.fixture
def runs(monkeypatch):
    """The notes' runs, few epochs of them, on scikit-learn's digits."""
    monkeypatch.setattr(
        runs_module,
        "load",
        lambda name, data_dir, classes: load("digits", classes=classes),
    )
    return Runs(None, "float32", lambda *_: None)


@pytest.mark.slow
def test_the_errors_of_the_notes_can_fail(runs, monkeypatch):
    assert values.ERRORS["5C.nll"](runs)[0]
    met, seen = values.ERRORS["C.device_mix"](runs)
    assert met and "cpu:0, cpu:1" in seen
    assert values.ERRORS["E.binary_ce"](runs)[0]
    monkeypatch.setattr(losses, "nll", lambda *_: 0.0)
    assert values.ERRORS["5C.nll"](runs) == (False, "no error")
    first, second = jax.devices("cpu")[:2]
    monkeypatch.setattr(values, "_two_devices", lambda: (first, first))
    assert not values.ERRORS["C.device_mix"](runs)[0]
    monkeypatch.setattr(values, "_two_devices", lambda: (second, first))
    there = values.evaluate
    monkeypatch.setattr(
        values,
        "evaluate",
        lambda params, data, config: there(
            jax.device_put(params, first), data, config=config
        ),
    )
    assert not values.ERRORS["C.device_mix"](runs)[0]


def test_the_figures_are_those_that_were_checked_against_the_notes():
    # Each number was found in the notes' text as it stands here.
    facts = [(each.id, each.kind, each.printed) for each in load_figures()]
    text = json.dumps(facts, ensure_ascii=True).encode()
    assert hashlib.sha256(text).hexdigest()[:16] == "3137567a775a75a5"


def test_repeated_runs_are_the_notes_sections_with_all_their_keys():
    assert {name: each.num_keys for name, each in REPEATED.items()} == {
        "B": 16,
        "D": 64,
    }
    for name, flags in (("B", FLAGS["b"]), ("D", FLAGS["d"])):
        recipe = REPEATED[name].recipe
        config = recipe.config
        assert (recipe.seed, recipe.classes) == (flags.seed, (0, 1))
        assert (config.optimizer, config.epochs) == (flags.optimizer, flags.epochs)
        assert config.dropout and flags.dropout == runs_module._DROPOUT_RATE
        batch_size = None if flags.batch_size == "full" else flags.batch_size
        assert config.batch_size == batch_size
        if batch_size is not None:
            assert config.shuffle == flags.shuffle
    assert [(each.seed, each.config.epochs) for each in TRAININGS.values()] == [
        *((1, 500), (0, 100), (0, 100), (0, 100)),
        *((43052, 100), (43052, 100), (43052, 70)),
    ]
    assert verdicts.PRECISIONS == ("float64", "float32")
