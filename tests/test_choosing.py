"""Choosing by a validation set, and early stopping, against a loop on the host."""

import dataclasses
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    Keys,
    bernoulli,
    chosen_params,
    evaluate,
    fit,
    gaussian,
    init_state,
    mlp,
    train_epochs,
)
from jaxcls.choosing import after_step, start_progress

KEYS = Keys.from_seed(9)
RATE = Hyperparams(0.3)
LAST = Config((4, 1), bernoulli, "sgd", momentum=0.5, batch_size=8, epochs=12)
LOSS, ACCURACY = (
    dataclasses.replace(LAST, monitor=name) for name in ("loss", "accuracy")
)
monitors = pytest.mark.parametrize(
    "config",
    [LOSS, pytest.param(ACCURACY, marks=pytest.mark.slow)],
    ids=["loss", "accuracy"],
)


def patient(config, patience):
    return dataclasses.replace(config, patience=patience)


def examples(num_examples=20, seed=8):
    """Three labels in ten are wrong, so that the score has ups and downs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_examples, 4)).astype(np.float32)
    wrong = rng.uniform(size=num_examples) < 0.3
    return Batch(x, ((x[:, 0] > 0) ^ wrong).astype(int))


def validation():
    return examples(31, 108)


def start(config):
    # A state that starts from given parameters compiles next to nothing.
    params = mlp.init(jax.random.clone(KEYS.init), config.layer_sizes)
    return init_state(KEYS, config, params)


def run(config, hyperparams=RATE, keys=KEYS, judge=None, state=None, **kwargs):
    judge = validation() if judge is None else judge
    state = start(config) if state is None else state
    return fit(keys, config, hyperparams, examples(), judge, state=state, **kwargs)


def epochs_until(until, config, state, keys=KEYS):
    """As `fit` calls it where nothing is due before the end, so of the same program."""
    return train_epochs(
        state,
        examples(),
        keys,
        RATE,
        validation(),
        np.int32(until),
        config=config,
        num_epochs=config.epochs,
    )


def on_the_host(config, patience=None):
    """Each epoch's params and score, and the best epoch, of a run that knows no monitor."""
    state, params, scores, best = start(LAST), [], [], 0
    for epoch in range(LAST.epochs):
        state, _ = epochs_until(epoch + 1, LAST, state)
        score = evaluate(state.params, validation(), config=LAST)
        params.append(jax.device_get(state.params))
        score = -score.loss if config.monitor == "loss" else score.accuracy
        scores.append(float(score))
        if scores[-1] > scores[best]:
            best = epoch
        if patience is not None and epoch - best >= patience:
            break
    return params, scores, best + 1


def assert_trees_equal(got, want):
    jax.tree.map(np.testing.assert_array_equal, got, want)


def assert_trees_close(got, want, tolerance=1e-6):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance), got, want
    )


@monitors
def test_the_best_is_that_of_a_loop_on_the_host(config):
    params, scores, epoch = on_the_host(config)
    assert 1 < epoch < LAST.epochs
    state, history = run(config)
    best = state.progress.best
    assert int(best.epoch) == epoch
    assert_trees_equal(chosen_params(state), params[epoch - 1])
    assert_trees_equal(state.params, params[-1])
    values = -history.validation.loss if config is LOSS else history.validation.accuracy
    np.testing.assert_allclose(values, scores, rtol=1e-6)
    np.testing.assert_allclose(best.value, abs(scores[epoch - 1]), rtol=1e-6)


def test_of_equal_epochs_the_first_is_best():
    for config in (LOSS, ACCURACY):
        state, history = run(config, Hyperparams(1e-30))  # nothing moves
        assert len(set(history.validation.loss_sum.tolist())) == 1
        assert int(state.progress.best.epoch) == 1


@pytest.mark.parametrize(
    "report_every, checkpoint_every",
    [
        pytest.param(1, None, marks=pytest.mark.slow),
        pytest.param(2, None, marks=pytest.mark.slow),
        pytest.param(5, None, marks=pytest.mark.slow),
        pytest.param(None, 1, marks=pytest.mark.slow),
        (2, 3),
        pytest.param(5, 2, marks=pytest.mark.slow),
        (100, 100),
    ],
)
def test_patience_ends_where_it_ends_whatever_the_segments(
    report_every, checkpoint_every
):
    config, reports, checkpoints = patient(LOSS, 2), [], []
    params, _, epoch = on_the_host(LOSS, 2)
    last = epoch + 2
    assert len(params) == last < LAST.epochs
    want = run(config)
    got = run(
        config,
        report_every=report_every,
        on_report=lambda report: reports.append(report.epoch),
        checkpoint_every=checkpoint_every,
        on_checkpoint=lambda epoch, state: checkpoints.append((epoch, int(state.step))),
    )
    assert_trees_equal(got, want)
    state, history = got
    assert int(state.step) == 3 * last and int(state.progress.best.epoch) == epoch
    assert_trees_equal(state.params, params[-1])
    assert_trees_equal(chosen_params(state), params[epoch - 1])
    assert history.loss.shape == history.validation.count.shape == (last,)
    assert (history.validation.count == 31).all() and np.isfinite(history.loss).all()
    for every, epochs in (
        (report_every, reports),
        (checkpoint_every, [epoch for epoch, _ in checkpoints]),
    ):
        inner = [] if every is None else range(every, last, every)
        assert epochs == [*inner, last]
    assert all(step == 3 * epoch for epoch, step in checkpoints)


@pytest.mark.slow
def test_epochs_that_are_not_done_are_blank_in_train_epochs():
    config = patient(LOSS, 2)
    _, whole = run(config)
    for until, last in ((12, len(whole.loss)), (2, 2)):
        got, history = jax.device_get(epochs_until(until, config, start(config)))
        assert int(got.step) == 3 * last
        done, blank = (
            jax.tree.map(operator.itemgetter(part), history)
            for part in (slice(last), slice(last, None))
        )
        assert_trees_equal(done, jax.tree.map(operator.itemgetter(slice(last)), whole))
        assert int(got.epoch) == last
        assert not blank.loss.any() and len(blank.loss) == 12 - last
        assert not blank.validation.loss_sum.any()
        assert not blank.validation.count.any() and not blank.validation.correct.any()


def _too_large(features):
    return np.sign(features) * np.float32(3e38)


@monitors
def test_a_score_that_is_not_a_number_is_never_best(config):
    # Where a loss is not finite, the labels 0 may count as right. The features are finite.
    broken = validation()._replace(features=_too_large(validation().features))
    broken.targets[:] = 0
    state, _ = run(config, judge=broken)
    assert int(state.progress.best.epoch) == 0
    assert_trees_equal(chosen_params(state), start(config).params)
    good, _ = epochs_until(5, config, start(config))
    state, history = run(config, judge=broken, state=good)
    assert len(history.loss) == 7
    assert not np.isfinite(history.validation.loss_sum).any()
    assert_trees_equal(state.progress.best, good.progress.best)


@pytest.mark.slow
def test_without_a_monitor_validation_is_history_alone():
    state, history = run(LAST)
    judged, same = run(LOSS)
    assert state.progress.best is None and chosen_params(state) is state.params
    assert_trees_equal(
        (state.params, state.opt_state, history),
        (judged.params, judged.opt_state, same),
    )


def test_what_cannot_be_judged_is_named():
    message = r"Config\.monitor is 'loss', .* validation set"
    with pytest.raises(ValueError, match=f"fit: {message}"):
        fit(KEYS, LOSS, RATE, examples())
    with pytest.raises(ValueError, match=f"train_epochs: {message}"):
        train_epochs(start(LOSS), examples(), KEYS, RATE, config=LOSS, num_epochs=1)
    with pytest.raises(ValueError, match="monitor accuracy needs class labels"):
        Config((6, 1), gaussian, monitor="accuracy")
    with pytest.raises(ValueError, match="fit: state is not one of this config"):
        fit(KEYS, LOSS, RATE, examples(), examples(), state=start(LAST))
    with pytest.raises(ValueError, match="fit: state is not one of this config"):
        fit(KEYS, LAST, RATE, examples(), state=start(LOSS))
    for change, error, message in [
        ({"patience": 3}, ValueError, "patience 3 needs a monitor, loss or accuracy"),
        (
            {"monitor": "f1"},
            ValueError,
            "monitor must be one of loss, accuracy, got 'f1'",
        ),
        (
            {"monitor": "loss", "patience": 0},
            ValueError,
            "patience must be at least 1 or",
        ),
        (
            {"monitor": "loss", "patience": 1.5},
            TypeError,
            "patience must be an integer",
        ),
        (
            {"monitor": "loss", "patience": True},
            TypeError,
            "patience must be an integer",
        ),
    ]:
        with pytest.raises(error, match=f"Config: {message}"):
            dataclasses.replace(LAST, **change)


@pytest.mark.slow
def test_each_seed_under_vmap_stops_at_its_own_epoch():
    config = patient(LOSS, 2)
    all_keys = [Keys.from_seed(seed) for seed in range(4)]
    stacked = jax.tree.map(lambda *keys: jnp.stack(keys), *all_keys)

    def trained(keys):
        return epochs_until(12, config, start(config), keys)

    many, histories = jax.device_get(jax.vmap(trained)(stacked))
    ends = many.epoch
    np.testing.assert_array_equal(ends, many.step // 3)
    assert len(set(ends.tolist())) > 1
    for index, keys in enumerate(all_keys):
        state, history = run(config, keys=keys)
        of_many, of_histories = jax.tree.map(
            operator.itemgetter(index), (many, histories)
        )
        end = int(ends[index])
        assert_trees_close(of_many, state)
        assert_trees_close(jax.tree.map(lambda leaf: leaf[:end], of_histories), history)  # noqa: B023
        assert not of_histories.loss[end:].any()
        assert not of_histories.validation.count[end:].any()


def test_a_run_out_of_patience_is_over_and_a_larger_patience_goes_on():
    config, longer = patient(LOSS, 1), patient(LOSS, 4)
    state, first = run(config)
    calls = []
    same, nothing = run(
        config,
        state=state,
        on_report=calls.append,
        on_checkpoint=lambda *arguments: calls.append(arguments),
    )
    assert_trees_equal(same, state)
    assert nothing.loss.shape == (0,) and calls == []
    straight, history = run(longer)
    assert int(straight.progress.best.epoch) > int(state.progress.best.epoch)
    assert len(first.loss) < len(history.loss) < LAST.epochs
    state, second = run(longer, state=jax.device_get(state))
    assert_trees_equal(state, straight)
    assert_trees_equal(
        jax.tree.map(lambda *parts: np.concatenate(parts), first, second), history
    )


def test_the_first_loss_that_is_not_finite_is_told_with_the_one_before():
    progress = start_progress(start(LAST).params, LAST)
    for step, loss in enumerate([3.0, 2.0, jnp.nan, 1.0, jnp.inf]):
        progress = after_step(progress, jnp.int32(step), jnp.float32(loss))
    assert (int(progress.first_nonfinite_step), progress.last_finite_loss) == (2, 2.0)


def averages(params, decay):
    """Of the params after each step, by the definition: weights decay, and sum to 1."""
    weights = decay ** np.arange(len(params))[::-1]
    weights = weights / weights.sum()
    return jax.tree.map(
        lambda *leaves: np.tensordot(weights, np.float64(leaves), 1), *params
    )


@pytest.mark.parametrize("monitor", [None, "loss"])
def test_an_average_is_judged_chosen_and_kept_in_the_params_place(monitor):
    config = dataclasses.replace(
        LAST, batch_size=None, epochs=9, ema_decay=0.8, monitor=monitor
    )
    plain = dataclasses.replace(config, ema_decay=None, monitor=None)
    steps = []
    for epoch in range(1, 10):
        state, _ = epochs_until(epoch, plain, steps[-1][1] if steps else start(plain))
        steps.append((state.params, state))
    wanted = [averages([p for p, _ in steps[:n]], 0.8) for n in range(1, 10)]
    state, history = fit(
        KEYS, config, RATE, examples(), None if monitor is None else validation()
    )
    assert_trees_equal(state.params, steps[-1][0])  # training knows nothing of it
    assert_trees_close(state.average, wanted[-1])
    if monitor is None:
        assert_trees_equal(chosen_params(state), state.average)
        return
    losses = [
        float(evaluate(jax.tree.map(np.float32, w), validation(), config=plain).loss)
        for w in wanted
    ]
    np.testing.assert_allclose(history.validation.loss, losses, rtol=1e-5)
    best = int(np.argmin(losses))
    assert int(state.progress.best.epoch) == best + 1
    assert_trees_close(chosen_params(state), wanted[best])


@pytest.mark.parametrize(
    "decay, error", [(0.0, ValueError), (1.0, ValueError), ("a", TypeError)]
)
def test_what_is_no_decay_of_an_average_is_said(decay, error):
    with pytest.raises(error, match="Config: ema_decay must"):
        dataclasses.replace(LAST, ema_decay=decay)


@pytest.mark.parametrize("decay", [None, 0.5])
def test_a_state_of_another_decay_is_refused(decay):
    config = dataclasses.replace(LAST, ema_decay=decay)
    other = dataclasses.replace(LAST, ema_decay=0.5 if decay is None else None)
    with pytest.raises(ValueError, match=r"train_epochs: state has .* average, and C"):
        train_epochs(start(other), examples(), KEYS, RATE, config=config, num_epochs=1)
