"""Sweeps: what shares a program, who wins, and that one goes on wherever it was cut off."""

import dataclasses
import math
import re

import jax
import numpy as np
import pytest

from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    bernoulli,
    categorical,
    evaluate,
    gaussian,
    sweep,
)
from jaxcls.comparisons import split_summary
from jaxcls.metrics import Metrics
from jaxcls.scores import accuracy_interval
from jaxcls.study import plans
from jaxcls.study.engine import Runs
from jaxcls.study.many import fit_many
from jaxcls.study.ranking import outcome_of
from jaxcls.study.rows import SplitRows
from jaxcls.study.settings import Setting
from jaxcls.study.sweep import Choice, grid, settle

SEEDS = (3, 1)
# Full batches: their program is compiled fastest, and nearly all tests here share it.
CONFIG = Config((4, 5, 1), bernoulli, "sgd", epochs=9, monitor="loss")
GOOD = (0.1, 0.01, 3.0, 0.3, 1.0, 1e-3, 0.03)
DIVERGES = 1e30


def examples(num_examples, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_examples, 4)).astype(np.float32)
    noisy = x + rng.normal(size=x.shape)
    return Batch(x, noisy[:, :2].argmax(axis=1))


SETS = examples(44, 0), examples(30, 1)


def settings_of(rates, config=CONFIG):
    return [settle({"learning_rate": rate}, config, Hyperparams()) for rate in rates]


# Two of nine diverge, neither at the end.
SETTINGS = settings_of((*GOOD[:2], DIVERGES, *GOOD[2:5], DIVERGES, *GOOD[5:]))
FOUR = jax.devices()[:4]


def planned(settings=SETTINGS, seeds=SEEDS, **more):
    return sweep.plan(settings, seeds, *SETS, devices=FOUR, **more)


def run(plan, devices=FOUR, **more):
    return sweep.run(plan, *SETS, devices=devices, **more)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, marks=pytest.mark.slow),
        True,
    ],  # straight ones are the scripts' tests
    ids=["straight", "halved"],
)
def swept(request):
    """A plan, what came of it, and its chunks in the order in which they were trained."""
    plan, kept = planned(halving=request.param), []
    outcomes = run(plan, on_chunks=lambda new: kept.append(dict(new)))
    return plan, outcomes, [item for new in kept for item in new.items()]


def assert_same(got, want):
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_a_setting_has_its_values_and_all_else_as_before():
    config = dataclasses.replace(CONFIG, schedule="cosine", patience=3)
    values = {
        "learning_rate": 0.5,
        "weight_decay": 0.1,
        "hidden": (7, 6),
        "batch_size": 8,
        "optimizer": "sgd",
        "momentum": 0.5,
    }
    want = dataclasses.replace(
        config, layer_sizes=(4, 7, 6, 1), batch_size=8, momentum=0.5
    )
    got = settle(values, config, Hyperparams(clip_norm=2.0))
    hyperparams = Hyperparams(0.5, 0.0, 0.1, clip_norm=2.0)
    assert got == Setting(want, hyperparams)
    assert settle({}, config, hyperparams) == Setting(config, hyperparams)
    assert settle({"hidden": ()}, config, hyperparams)[0].layer_sizes == (4, 1)


@pytest.mark.parametrize("before", [False, True])
def test_dropout_is_in_the_program_where_its_rate_is_not_0(before):
    config = dataclasses.replace(CONFIG, dropout=before)
    for rate in (0, 0.0, 0.5):
        setting = settle({"dropout_rate": rate}, config, Hyperparams(0.1, 0.2 * before))
        assert setting.config.dropout == (rate > 0)
        assert setting.hyperparams.dropout_rate == rate
    unchanged = settle({}, config, Hyperparams(0.1, 0.2 * before))
    assert unchanged.config == config


def test_momentum_is_sgds_alone():
    config = dataclasses.replace(CONFIG, momentum=0.9)
    for values, want in (
        ({}, 0.9),
        ({"momentum": 0}, 0),
        ({"momentum": 0.5}, 0.5),
        ({"optimizer": "sgd"}, 0.9),
        ({"optimizer": "adam"}, 0),
        ({"optimizer": "adamw", "momentum": 0.5}, 0),
    ):
        assert settle(values, config, Hyperparams()).config.momentum == want


@pytest.mark.parametrize(
    "values, error, message",
    [
        (
            {"epochs": 3},
            ValueError,
            "sweep.settle: 'epochs' can't be swept; take one of l",
        ),
        ({"hidden": (8, 0)}, ValueError, "Config: layer_sizes must be"),
        ({"hidden": (8, 0.5)}, TypeError, "Config: layer_sizes must be"),
        ({"hidden": 8}, TypeError, "hidden must be"),
        ({"optimizer": "lyon"}, ValueError, "Config: optimizer must be one of sgd"),
        ({"activation": "rleu"}, ValueError, "Config: activation must be one of relu"),
        ({"patience": 0}, ValueError, "Config: patience must be at least 1"),
        ({"clip_norm": 0}, ValueError, "sweep.settle: clip_norm must be positive"),
        (
            {"class_weights": (1.0,)},
            ValueError,
            "sweep.settle: class_weights must be 2 numbers",
        ),
        (
            {"momentum": 1.0},
            ValueError,
            "Config: momentum must lie in [0, 1), got 1.0.",
        ),
        ({"batch_size": 0}, ValueError, "Config: batch_size must be at least 1"),
        (
            {"learning_rate": 0},
            ValueError,
            "sweep.settle: learning_rate must be positive",
        ),
        (
            {"learning_rate": "1"},
            TypeError,
            "sweep.settle: learning_rate must be a number",
        ),
        (
            {"dropout_rate": 1.0},
            ValueError,
            "sweep.settle: dropout_rate must lie in [0, 1)",
        ),
        (
            {"dropout_rate": math.nan},
            ValueError,
            "sweep.settle: dropout_rate must lie in",
        ),
        ({"weight_decay": -1}, ValueError, "sweep.settle: weight_decay must be finite"),
    ],
)
def test_values_that_do_not_fit_are_named(values, error, message):
    with pytest.raises(error, match=re.escape(message)):
        settle(values, CONFIG, Hyperparams())


def groups_of(*values):
    settings = [settle(each, CONFIG, Hyperparams()) for each in values]
    return [group.settings for group in planned(settings).groups]


@pytest.mark.parametrize(
    "name, values",
    [
        ("learning_rate", (0.1, 0.2)),
        ("dropout_rate", (0.1, 0.2)),
        ("weight_decay", (0.0, 0.2)),
    ],
)
def test_settings_that_differ_in_traced_numbers_share_a_program(name, values):
    assert groups_of(*({name: value} for value in values)) == [(0, 1)]


@pytest.mark.parametrize(
    "name, values",
    [
        ("dropout_rate", (0.0, 0.2)),
        ("weight_decay", (None, 0.0)),
        ("momentum", (0.0, 0.9)),
        ("momentum", (0.5, 0.9)),
        ("hidden", ((5,), (6,))),
        ("hidden", ((5,), (5, 5))),
        ("batch_size", (8, 9)),
        ("optimizer", ("adam", "adamw")),
    ],
)
def test_settings_that_differ_in_more_do_not(name, values):
    assert groups_of(*({name: value} for value in values)) == [(0,), (1,)]


def test_a_group_has_its_settings_wherever_they_stand():
    space = {
        "dropout_rate": Choice(0.0, 0.3, 0.5),
        "learning_rate": Choice(0.1, 0.2),
        "optimizer": Choice("sgd", "adam"),
    }
    groups = groups_of(*grid(space))
    assert groups == [(0, 2), (1, 3), (4, 6, 8, 10), (5, 7, 9, 11)]


@pytest.mark.parametrize(
    "epochs, num_settings, rungs",
    [
        (9, 9, (1, 3, 9)),
        (9, 8, (3, 9)),
        (8, 9, (3, 8)),
        (10, 100, (2, 4, 10)),
        (100, 3, (34, 100)),
        (100, 2, (100,)),
        (2, 100, (2,)),
        (1, 1, (1,)),
        (243, 243, (1, 3, 9, 27, 81, 243)),
        (10_000, 242, (124, 371, 1112, 3334, 10_000)),
    ],
)
def test_rungs_are_thirds_of_the_epochs(epochs, num_settings, rungs):
    config = dataclasses.replace(CONFIG, epochs=epochs)
    settings = settings_of([0.1] * num_settings, config)
    assert planned(settings, halving=True).rungs == rungs
    assert planned(settings).rungs == (epochs,)


def test_an_exact_power_of_3_counts():
    for power in range(1, 19):
        assert len(plans._rungs(3**power, 3**power)) == power + 1
        assert len(plans._rungs(3**power, 3**power - 1)) == power


def changed(**change):
    return settings_of([0.1], dataclasses.replace(CONFIG, **change))


@pytest.mark.parametrize(
    "change, error, message",
    [
        (
            {"settings": []},
            ValueError,
            "needs at least one setting and one seed, got 0 ",
        ),
        ({"seeds": ()}, ValueError, "one seed, got 9 and 0."),
        (
            {"seeds": (0, 0.5)},
            TypeError,
            "sweep.plan: seed must be an integer, got 0.5.",
        ),
        (
            {"seeds": (-1,)},
            ValueError,
            "sweep.plan: seed must lie in 0..2**32-1, got -1.",
        ),
        (
            {"settings": SETTINGS + changed(epochs=8)},
            ValueError,
            "all settings need the same epochs, by which they are compared, got 8, 9.",
        ),
        (
            {"settings": SETTINGS + changed(monitor="accuracy")},
            ValueError,
            "all settings need the same monitor, by which they are compared, got accuracy, ",
        ),
        (
            {"settings": changed(monitor=None)},
            ValueError,
            "all settings need the same monitor, by which they are compared, got None.",
        ),
        (
            {"settings": SETTINGS + changed(layer_sizes=(3, 1))},
            ValueError,
            "sweep.plan: train.features must be [N, 3]",
        ),
        (
            {
                "settings": changed(layer_sizes=(4, 3), likelihood=categorical),
                "memory": 9,
            },
            ValueError,
            "one run on each of 4 devices takes about",
        ),
    ],
)
def test_plans_that_cannot_be_are_refused(change, error, message):
    with pytest.raises(error, match=re.escape(message)):
        planned(**change)


def test_the_best_by_loss_comes_first_and_those_that_diverged_last(swept):
    plan, outcomes, _ = swept
    assert sorted(each.setting for each in outcomes) == list(range(9))
    assert [each.rung for each in outcomes] == sorted(
        (each.rung for each in outcomes), reverse=True
    )
    for rung in range(len(plan.rungs)):
        some = [each for each in outcomes if each.rung == rung]
        sound = [each.loss.mean for each in some if not each.num_diverged]
        assert sound == sorted(sound)
        assert all(each.num_diverged == 0 for each in some[: len(sound)])
    for each in outcomes:
        assert each.num_diverged == (2 if each.setting in (2, 6) else 0)
        assert each.setting not in (2, 6) or each.rung == 0
        assert np.isnan([*each.loss, *each.accuracy]).all() == (each.num_diverged > 0)
    if len(plan.rungs) == 1:
        assert {each.setting for each in outcomes[-2:]} == {2, 6}


# Losses, accuracies and what is finite of two seeds: 0 is the best but for the seed that
# diverged, and of 1 and 2 each is the better by one score.
BY_HAND = (
    ((0.1, np.nan), (0.9, 0.5), (True, False)),
    ((0.5, 0.7), (0.6, 0.8), (True, True)),
    ((0.3, 0.4), (0.5, 0.6), (True, True)),
    ((np.inf, np.nan), (0.5, 0.5), (False, False)),
)


@pytest.mark.parametrize(
    "monitor, want", [("loss", [2, 1, 0, 3]), ("accuracy", [1, 2, 0, 3])]
)
def test_a_ranking_by_hand(monitor, want):
    config = dataclasses.replace(CONFIG, monitor=monitor)
    plan = planned(settings_of((0.1, 0.2, 0.3, 0.4), config))
    assert plan.groups == (sweep.Group((0, 1, 2, 3), 2),)
    done = {}
    for number, (loss, accuracy, finite) in enumerate(BY_HAND):
        count = np.full(2, 10)
        score = Metrics(np.array(loss) * 10, np.array(accuracy) * 10, count)
        done[0, 0, number] = Runs(
            epochs=np.array([9, 9]),
            chosen_epoch=np.array([9, 9]),
            finite=np.array(finite),
            first_nonfinite_step=np.array([-1, -1]),
            scores={"validation": score},
            history=None,
            params=None,
        )
    outcomes = sweep.ranking(plan, 0, range(4), done)
    assert [each.setting for each in outcomes] == want
    assert [each.num_diverged for each in outcomes] == [0, 0, 1, 2]
    by_number = sorted(outcomes, key=lambda each: each.setting)
    means = [(each.loss.mean, each.accuracy.mean) for each in by_number]
    np.testing.assert_allclose(
        means, [(0.1, 0.9), (0.6, 0.7), (0.35, 0.55), (np.nan, np.nan)]
    )
    assert sweep.survivors(outcomes) == (1, 2)
    assert sweep.survivors(outcomes[:2]) == (want[0],)
    assert sweep.survivors(outcomes[2:]) == ()


def test_halving_keeps_the_better_third_for_three_times_as_long():
    plan, trained = planned(halving=True), {}
    outcomes = run(plan, on_chunks=trained.update)
    assert plan.rungs == (1, 3, 9)
    assert [each.rung for each in outcomes] == [2, 1, 1, *[0] * 6]
    for rung, epochs in enumerate(plan.rungs):
        last = [runs.epochs for (at, _, _), runs in trained.items() if at == rung]
        assert set(np.concatenate(last).tolist()) == {epochs}
    # Each rung keeps the best of those that it tried.
    tried = range(9)
    for rung in range(3):
        ranked = [each.setting for each in sweep.ranking(plan, rung, tried, trained)]
        kept = sorted(ranked[: math.ceil(len(ranked) / 3)])
        assert sorted(each.setting for each in outcomes if each.rung > rung) == (
            kept if rung < 2 else []
        )
        tried = kept


def test_a_sweep_in_which_all_diverge_ends_and_says_so():
    plan = planned(settings_of([1e30, 1e29, 1e28]), halving=True)
    outcomes = run(plan)
    assert [each.setting for each in outcomes] == [0, 1, 2] and plan.rungs == (3, 9)
    assert all(each.rung == 0 and each.num_diverged == 2 for each in outcomes)
    # Of a third none is left but the one that is sound.
    outcomes = run(planned(settings_of([*[1e30] * 6, 0.1]), halving=True))
    assert [each.rung for each in outcomes] == [1, *[0] * 6]
    assert outcomes[0].setting == 6


@pytest.mark.parametrize(
    "monitor", ["loss", pytest.param("accuracy", marks=pytest.mark.slow)]
)
def test_outcomes_are_what_fit_many_gives(monitor):
    config = dataclasses.replace(CONFIG, monitor=monitor)
    plan = planned(settings_of(GOOD, config))
    outcomes = run(plan)
    runs = fit_many(
        SEEDS * len(GOOD),
        config,
        Hyperparams(np.repeat(GOOD, 2)),
        *SETS,
        width=plan.groups[0].width,
        devices=FOUR,
    )
    losses, accuracies = (
        getattr(runs.scores["validation"], name).reshape(len(GOOD), 2)
        for name in ("loss", "accuracy")
    )
    merits = losses if monitor == "loss" else -accuracies
    for place, each in enumerate(outcomes):
        own = losses[each.setting], accuracies[each.setting]
        for got, want in zip((each.loss, each.accuracy), own, strict=True):
            np.testing.assert_allclose(got.mean, want.mean(), atol=1e-6)
            np.testing.assert_allclose((got.least, got.greatest), np.sort(want), 1e-5)
            assert got.low <= got.mean <= got.high
        if place:
            worse = merits.mean(axis=1)[each.setting]
            assert merits.mean(axis=1)[outcomes[place - 1].setting] <= worse + 1e-6


def test_of_equals_the_first_comes_first():
    outcomes = run(planned(settings_of([0.1, 0.3, 0.1, 0.3])))
    numbers = [each.setting for each in outcomes]
    assert numbers in ([0, 2, 1, 3], [1, 3, 0, 2])
    for first, second in (numbers[:2], numbers[2:]):
        one, other = (outcomes[numbers.index(each)].runs for each in (first, second))
        assert_same(one, other)


def test_the_interval_of_one_seed_is_that_of_its_counts():
    for each in run(planned(seeds=(3,))):
        correct, count = (
            getattr(each.runs.scores["validation"], name)[0]
            for name in ("correct", "count")
        )
        assert math.isnan(each.loss.low) and math.isnan(each.accuracy.std)
        if each.num_diverged:
            assert math.isnan(each.accuracy.low) and math.isnan(each.accuracy.high)
            continue
        want = accuracy_interval(correct, count)
        assert (each.accuracy.low, each.accuracy.high) == want
        np.testing.assert_allclose(each.accuracy.mean, correct / 30, rtol=1e-6)


@pytest.mark.parametrize("ratio", [None, 0.5])
@pytest.mark.parametrize("correct", [30, 27])
def test_seeds_that_agree_have_an_interval_of_an_examples_share(correct, ratio):
    (outcome, *_) = run(planned(seeds=(3, 4)))
    scores = outcome.runs.scores["validation"]
    same = scores._replace(correct=np.full(2, correct), count=np.full(2, 30))
    runs = outcome.runs._replace(scores={"validation": same})
    own = None if ratio is None else SplitRows({}, num_seeds=1, ratio=ratio)
    accuracy = outcome_of(0, 0, runs, own).accuracy
    share = 0.5 / 30
    np.testing.assert_allclose(accuracy.low, correct / 30 - share, atol=1e-7)
    np.testing.assert_allclose(accuracy.high, min(1, correct / 30 + share), atol=1e-7)


def test_a_sweep_goes_on_from_any_of_its_chunks(swept):
    plan, outcomes, kept = swept
    for count in range(len(kept) + 1):
        new = {}
        again = run(plan, done=dict(kept[:count]), on_chunks=new.update)
        assert_same(again, outcomes)
        assert [*new] == [key for key, _ in kept[count:]]
    # Also from those that came last, as others may have been lost.
    new = {}
    assert_same(run(plan, done=dict(kept[1::2]), on_chunks=new.update), outcomes)
    assert [*new] == [key for key, _ in kept[::2]]


@pytest.mark.cpu_choices
def test_a_sweep_that_is_broken_off_has_handed_over_what_it_did(swept):
    plan, outcomes, kept = swept
    done = {}

    def break_off(new):
        second = bool(done)
        done.update(new)
        if second:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, on_chunks=break_off)
    assert 0 < len(done) < len(kept)
    before = dict(done)
    assert_same(run(plan, done=done), outcomes)
    assert done.keys() == before.keys()  # what is handed in is not written to


@pytest.mark.slow
def test_devices_change_no_outcome(swept):
    plan, outcomes, _ = swept
    alone = run(plan, devices=jax.devices()[:1])
    assert [each.setting for each in alone] == [each.setting for each in outcomes]
    for one, other in zip(alone, outcomes, strict=True):
        assert one.rung == other.rung
        np.testing.assert_allclose(one.loss, other.loss, rtol=0, atol=1e-6)
        for name in ("correct", "count"):
            np.testing.assert_array_equal(
                getattr(one.runs.scores["validation"], name),
                getattr(other.runs.scores["validation"], name),
            )


def test_runs_of_a_sweep_come_again_to_the_bit(swept):
    plan, outcomes, _ = swept
    last = [each for each in outcomes if each.rung == outcomes[0].rung]
    numbers = [each.setting for each in last]
    again = sweep.run_again(plan, outcomes, numbers, *SETS, devices=FOUR)
    assert again.keys() == set(numbers)
    for each in last:
        runs = again[each.setting]
        assert_same(runs._replace(history=None, params=None), each.runs)
        assert runs.history.loss.shape == (len(SEEDS), 9)
        if each.num_diverged:
            continue
        for seed in range(len(SEEDS)):
            params = jax.tree.map(lambda leaf, seed=seed: leaf[seed], runs.params)
            for name, data in zip(("train", "validation"), SETS, strict=True):
                score = evaluate(params, data, config=CONFIG)
                got = runs.scores[name]
                np.testing.assert_allclose(
                    got.loss[seed], score.loss, rtol=0, atol=1e-6
                )
                assert got.correct[seed] == score.correct
    # Chunks are those of the sweep also if one of several settings is wanted.
    one = sweep.run_again(plan, outcomes, numbers[-1:], *SETS, devices=FOUR)
    assert_same(one, {numbers[-1]: again[numbers[-1]]})


@pytest.mark.slow
def test_several_programs_are_one_sweep():
    space = {"learning_rate": Choice(*GOOD[:3]), "momentum": Choice(0.0, 0.5)}
    settings = [settle(each, CONFIG, Hyperparams()) for each in grid(space)]
    settings += settings_of(GOOD[3:])
    plan, kept = planned(settings, halving=True), []
    outcomes = run(plan, on_chunks=lambda new: kept.extend(new.items()))
    assert len(plan.groups) == 2 and len(plan.rungs) == 3
    alone = run(planned([settings[each.setting] for each in outcomes]))
    assert len(alone) == 10
    for count in range(0, len(kept), 3):
        assert_same(run(plan, done=dict(kept[:count])), outcomes)
    best = outcomes[0].setting
    again = sweep.run_again(plan, outcomes, [best], *SETS, devices=FOUR)[best]
    assert_same(again.scores, outcomes[0].runs.scores)


@pytest.mark.cpu_choices
def test_the_number_of_settings_compiles_nothing():
    from jaxcls.study.engine import _run_round

    run(planned())
    before = _run_round._cache_size()
    for halving in (False, True):
        run(planned(SETTINGS[:5], (8, 9, 10), halving=halving))
    assert _run_round._cache_size() == before


@pytest.mark.slow
def test_where_all_of_a_later_rung_diverge_the_best_that_was_dropped_wins():
    data = Batch(np.eye(2, dtype=np.float32), np.array([0, 1]))
    config = Config((2, 8, 1), bernoulli, epochs=9, monitor="loss")
    settings = [
        sweep.settle({"learning_rate": rate}, config, Hyperparams())
        for rate in np.geomspace(1e-4, 1e-1, 9).tolist()
    ]
    plan = sweep.plan(settings, range(1), data, data, halving=True)
    kept = {}
    sweep.run(plan, data, data, on_chunks=kept.update)
    later = {
        key: runs._replace(finite=np.zeros_like(runs.finite)) if key[0] else runs
        for key, runs in kept.items()
    }
    outcomes = sweep.run(plan, data, data, done=later)
    assert [each.num_diverged for each in outcomes] == [0] * 6 + [1] * 3
    assert (outcomes[0].setting, outcomes[0].rung) == (5, 0)


def test_a_regression_is_swept_by_its_loss():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)).astype(np.float32)
    data = Batch(x, x[:, 0] - x[:, 1])
    config = Config((2, 1), gaussian, epochs=5, monitor="loss")
    settings = [
        settle({"learning_rate": rate}, config, Hyperparams()) for rate in (1e-6, 0.1)
    ]
    plan = sweep.plan(settings, range(2), data, data)
    outcomes = sweep.run(plan, data, data)
    assert [each.setting for each in outcomes] == [1, 0]
    assert np.isnan(outcomes[0].accuracy.mean) and outcomes[0].loss.mean > 0


def splits():
    """Three folds of 44 rows, whose sizes differ by one, with two seeds each."""
    held = np.array_split(np.random.default_rng(0).permutation(44), 3)
    train = [np.setdiff1d(np.arange(44), part) for part in held]
    rows = {"train": train, "validation": held}
    return SplitRows(
        {
            name: [each for each in some for _ in range(2)]
            for name, some in rows.items()
        },
        num_seeds=2,
        ratio=0.5,
    )


@pytest.mark.parametrize(
    "num_programs",
    [
        1,
        # The masks of a full batch are drawn for its very size.
        pytest.param(2, marks=pytest.mark.slow),
    ],
)
def test_what_splits_hold_out_ranks(num_programs):
    config = dataclasses.replace(CONFIG, dropout=num_programs == 2)
    start = Hyperparams(dropout_rate=0.3 if config.dropout else 0.0)
    settings = [
        settle({"learning_rate": rate}, config, start) for rate in (0.01, 1.0, 0.1)
    ]
    train, own = SETS[0], splits()
    plan = sweep.plan(settings, range(6), train, None, splits=own, devices=FOUR)
    assert len(plan.groups) == num_programs
    kept = {}
    outcomes = sweep.run(plan, train, None, on_chunks=kept.update, devices=FOUR)
    losses = [each.loss.mean for each in outcomes]
    assert losses == sorted(losses)
    for outcome in outcomes:
        runs = fit_many(
            *(range(6), config, settings[outcome.setting].hyperparams, train),
            train_rows=own.rows["train"],
            validation_rows=own.rows["validation"],
        )
        got, want = (each.scores["validation"] for each in (outcome.runs, runs))
        np.testing.assert_array_equal(got.count, [15, 15, 15, 15, 14, 14])
        np.testing.assert_array_equal(got.correct, want.correct)
        np.testing.assert_allclose(got.loss, want.loss, 1e-5)
        wanted = split_summary(np.asarray(got.loss).reshape(3, 2), 0.5)
        assert outcome.loss.mean == pytest.approx(wanted.mean, rel=1e-6)
        assert outcome.loss.high == pytest.approx(wanted.high, rel=1e-5)
    # It goes on from what it has, to the same scores.
    some = dict(list(kept.items())[::2])
    again = sweep.run(plan, train, None, done=some, devices=FOUR)
    assert_same([each.runs.scores for each in again], [o.runs.scores for o in outcomes])
    best = outcomes[0].setting
    runs = sweep.run_again(plan, outcomes, [best], train, None, devices=FOUR)[best]
    assert_same(runs.scores, outcomes[0].runs.scores)
    assert runs.params["Dense_0"]["bias"].shape == (6, 5)


@pytest.mark.slow
def test_splits_go_through_the_rungs_of_halving():
    train = SETS[0]
    plan = sweep.plan(
        *(SETTINGS, range(6), train, None),
        splits=splits(),
        halving=True,
        devices=FOUR,
    )
    outcomes = sweep.run(plan, train, None, devices=FOUR)
    assert [each.rung for each in outcomes[:1]] == [len(plan.rungs) - 1]
    assert [each.num_diverged for each in outcomes[-2:]] == [6, 6]
