"""fit: checks, segments, reports, and real MNIST against PyTorch."""

import re

import jax
import numpy as np
import pytest

from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    Keys,
    bernoulli,
    categorical,
    evaluate,
    fit,
    gaussian,
    init_state,
    mlp,
)
from jaxcls.interop import pytorch
from jaxcls.layouts import train_epochs
from jaxcls.study.devices import member_mesh, replicate
from jaxcls.study.many import fit_many

KEYS = Keys.from_seed(0)


def examples(num_classes=2):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    return Batch(x, x[:, :num_classes].argmax(axis=1))


def large_examples():
    return examples()._replace(features=examples().features * 1e4)


def test_fit_learns_and_reports():
    reports = []
    config = Config((4, 8, 1), bernoulli, batch_size=16, epochs=25)
    validation = Batch(*(leaf[:20] for leaf in examples()[:2]))
    state, history = fit(
        KEYS,
        config,
        Hyperparams(0.05),
        examples(),
        validation,
        report_every=10,
        on_report=reports.append,
    )
    assert [report.epoch for report in reports] == [10, 20, 25]
    assert history.loss.shape == history.validation.count.shape == (25,)
    assert [report.loss for report in reports] == [history.loss[e] for e in (9, 19, 24)]
    score = evaluate(state.params, examples(), config=config)
    assert reports[-1].train == jax.device_get(score)
    assert reports[-1].validation.correct == history.validation.correct[-1]
    assert int(score.correct) >= 57 and history.loss[-1] < history.loss[0] / 3


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 16])
def test_reports_change_no_bit(batch_size):
    config = Config((4, 8, 1), bernoulli, batch_size=batch_size, dropout=True, epochs=6)
    runs = [
        fit(
            KEYS,
            config,
            Hyperparams(0.05, 0.5),
            examples(),
            report_every=every,
            on_report=on_report,
        )
        for every, on_report in ((None, None), (1, print), (4, print))
    ]
    for run in runs[1:]:
        jax.tree.map(np.testing.assert_array_equal, run, runs[0])


def test_segments_of_one_length_are_compiled_once():
    config = Config((4, 7, 1), bernoulli, epochs=6)
    before = train_epochs._cache_size()
    fit(KEYS, config, Hyperparams(), examples(), report_every=2)
    fit(KEYS, config, Hyperparams(0.1), examples(), report_every=2)
    assert train_epochs._cache_size() == before + 1


def test_fit_goes_on_from_a_state():
    config = Config((4, 8, 1), bernoulli, batch_size=16, epochs=6)
    straight, history = fit(KEYS, config, Hyperparams(0.05), examples())
    half = Config((4, 8, 1), bernoulli, batch_size=16, epochs=2)
    state, first = fit(KEYS, half, Hyperparams(0.05), examples())
    state, second = fit(KEYS, config, Hyperparams(0.05), examples(), state=state)
    jax.tree.map(np.testing.assert_array_equal, state, straight)
    np.testing.assert_array_equal(
        np.concatenate([first.loss, second.loss]), history.loss
    )
    state, nothing = fit(KEYS, config, Hyperparams(0.05), examples(), state=state)
    assert nothing.loss.shape == (0,)


@pytest.mark.slow
def test_integer_and_one_hot_targets_train_alike():
    data = examples(num_classes=3)
    config = Config((4, 8, 3), categorical, batch_size=16, epochs=20)
    one_hot = data._replace(targets=np.eye(3, dtype=np.float32)[data.targets])
    (integer, losses), (rows, row_losses) = (
        fit(KEYS, config, Hyperparams(0.05), each) for each in (data, one_hot)
    )
    np.testing.assert_allclose(losses.loss, row_losses.loss, rtol=1e-5)
    scores = [
        int(evaluate(state.params, each, config=config).correct)
        for state, each in ((integer, data), (rows, one_hot))
    ]
    assert scores[0] == scores[1] > 50


def test_a_batch_larger_than_the_data_is_the_full_batch():
    full, large = (
        Config((4, 1), bernoulli, batch_size=size, epochs=3) for size in (None, 1000)
    )
    runs = [fit(KEYS, config, Hyperparams(), examples()) for config in (full, large)]
    jax.tree.map(np.testing.assert_array_equal, *runs)


def test_a_loss_that_is_not_finite_stops_the_run():
    data = examples()
    # The third batch: finite numbers, whose losses are not.
    data.features[32:48] = np.float32(3e38) * np.sign(data.features[32:48])
    config = Config((4, 8, 1), bernoulli, batch_size=16, shuffle=False, epochs=6)
    reports = []
    with pytest.raises(
        FloatingPointError,
        match=r"from step 3 of epoch 1 on, after a last finite loss of 0\.\d+; try a smaller",
    ):
        fit(KEYS, config, Hyperparams(), data, report_every=2, on_report=reports.append)
    assert reports == []
    config = Config((4, 8, 1), bernoulli, "sgd", epochs=8)
    with pytest.raises(
        FloatingPointError, match=r"epoch \d on, after a last finite loss of \d"
    ):
        fit(
            KEYS,
            config,
            Hyperparams(1e25),
            examples(),
            report_every=3,
            on_report=reports.append,
        )


@pytest.mark.parametrize(
    "change, error, message",
    [
        (
            {"train": Batch(np.zeros((3, 5), np.float32), np.zeros(3))},
            ValueError,
            r"fit: train\.features",
        ),
        (
            {"train": Batch(np.zeros((3, 4), np.float32), np.array([0, 1, 2]))},
            ValueError,
            "got 2",
        ),
        (
            {"train": Batch(np.zeros((3, 4), np.float32), np.zeros((3, 2)))},
            ValueError,
            "one shape",
        ),
        (
            {"validation": Batch(np.zeros((3, 4), int), np.zeros(3))},
            TypeError,
            r"fit: validation\.features",
        ),
        ({"hyperparams": Hyperparams(-1.0)}, ValueError, "fit: learning_rate"),
        ({"hyperparams": Hyperparams(0.1, 0.5)}, ValueError, "fit: dropout_rate"),
        ({"report_every": 0}, ValueError, "fit: report_every"),
        ({"report_every": 1.5}, TypeError, "fit: report_every must be an integer"),
        ({"keys": 0}, TypeError, r"fit: keys must be a jaxcls\.Keys, got int"),
        ({"hyperparams": 0.1}, TypeError, r"fit: hyperparams must be a jaxcls\.Hyper"),
        (
            {"train": (1, 2)},
            TypeError,
            r"fit: train must be a jaxcls\.Batch, got tuple",
        ),
        (
            {"config": Config((4, 1), bernoulli, batch_size=1, epochs=2**30)},
            ValueError,
            "fit: 1,073,741,824 epochs of 60 steps are more than",
        ),
    ],
)
def test_bad_arguments_are_named(change, error, message):
    good = {
        "keys": KEYS,
        "config": Config((4, 1), bernoulli),
        "hyperparams": Hyperparams(),
        "train": examples(),
    }
    with pytest.raises(error, match=message):
        fit(**good | change)


def test_an_update_that_breaks_the_parameters_is_said():
    # The loss before the only step is finite; what the step leaves behind is not.
    config = Config((4, 8, 1), bernoulli, "sgd", epochs=1)
    with pytest.raises(FloatingPointError, match="fit: the parameters are not finite"):
        fit(KEYS, config, Hyperparams(1e38), large_examples())
    with pytest.raises(
        FloatingPointError, match="fit: the loss of the training set is not finite"
    ):
        fit(KEYS, config, Hyperparams(1e38), examples(), on_report=print)


def test_a_validation_loss_that_is_not_finite_is_said():
    large = np.float32(3e38) * np.sign(examples().features)
    validation = examples()._replace(features=large)
    with pytest.raises(
        FloatingPointError, match="the loss of the validation set is not finite after"
    ):
        config = Config((4, 8, 1), bernoulli, epochs=1)
        fit(KEYS, config, Hyperparams(), examples(), validation, on_report=print)


# PyTorch 2.13.0's own runs of the notes' cells on real MNIST: seed and classes; losses
# by epoch, before its update; how many training and test images are right at the end.
# fmt: off
TORCH = {
    "section A": (
        Config((784, 32, 1), bernoulli, "sgd", epochs=500),
        (1, (0, 1)),
        {
            0: 0.70810086, 1: 0.70777428, 49: 0.69362193, 99: 0.68039459,
            149: 0.66710007, 199: 0.65311867, 249: 0.63840771, 299: 0.62309027,
            349: 0.60714912, 399: 0.59049237, 449: 0.57304293, 499: 0.5547806,
        },
        [12_584, 2_112],
    ),
    "section 5 B": (
        Config((784, 32, 1), bernoulli, "adam", epochs=100),
        (0, (0, 1)),
        {
            0: 0.70370299, 1: 0.65537542, 9: 0.40143889, 19: 0.24362114,
            29: 0.14516498, 39: 0.08688553, 49: 0.05529026, 59: 0.03828721,
            69: 0.02859996, 79: 0.02262953, 89: 0.01865855, 99: 0.01584263,
        },
        [12_647, 2_114],
    ),
    "three classes": (
        Config((784, 32, 3), categorical, "adam", epochs=100),
        (43052, (0, 1, 2)),
        {
            0: 1.10189807, 1: 1.04996836, 9: 0.70420438, 19: 0.38655695,
            29: 0.22187276, 39: 0.14576952, 49: 0.11110977, 59: 0.09308445,
            69: 0.08217952, 79: 0.07470497, 89: 0.0691007, 99: 0.06460743,
        },
        [18_300, 3_103],
    ),
}
# fmt: on


@pytest.mark.slow
@pytest.mark.parametrize("config, recipe, losses, correct", TORCH.values(), ids=TORCH)
def test_runs_are_pytorchs_on_real_mnist(config, recipe, losses, correct, mnist):
    seed, classes = recipe
    train, test = mnist(*classes)
    state = init_state(KEYS, config, pytorch.init(seed, config.layer_sizes))
    state, history = fit(KEYS, config, Hyperparams(), train, state=state)
    np.testing.assert_allclose(
        history.loss[list(losses)], list(losses.values()), rtol=0, atol=1e-6
    )
    scores = [
        int(evaluate(state.params, part, config=config).correct)
        for part in (train, test)
    ]
    assert scores == correct


@pytest.mark.parametrize(
    "name, field, value, message",
    [
        ("train", "features", np.nan, "train.features .* got nan in row 7, column 3 "),
        ("train", "features", -np.inf, "train.features .* got -inf in row 7, column 3"),
        ("validation", "features", np.inf, r"validation.features .* \(1 of 60 rows"),
        ("validation", "targets", np.nan, "validation.targets .* got nan in row 7 "),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, jax.numpy.asarray])
def test_numbers_that_are_not_finite_are_named(name, field, value, message, kind):
    x, y = examples()[:2]
    good = Batch(x, y.astype(np.float32))
    bad = np.array(getattr(good, field))
    bad[(7, 3)[: bad.ndim]] = value
    sets = {"train": good, "validation": good} | {
        name: good._replace(**{field: kind(bad)})
    }
    config = Config((4, 1), gaussian, epochs=1)
    with pytest.raises(ValueError, match=f"fit: {message}"):
        fit(KEYS, config, Hyperparams(), **sets)
    with pytest.raises(ValueError, match=rf"fit_many: {message}"):
        fit_many([0], config, Hyperparams(), **sets)
    with pytest.raises(ValueError, match="evaluate: data"):
        params = mlp.init(KEYS.init, (4, 1))
        evaluate(params, sets[name], config=config)


def test_float64_features_beyond_float32_are_named():
    data = examples()
    large = data.features.astype(np.float64)
    large[5, 0] = 1e39
    with pytest.raises(ValueError, match=r"finite in float32, got 1e\+39 in row 5, co"):
        fit(KEYS, Config((4, 1), bernoulli), Hyperparams(), Batch(large, data.targets))


@pytest.mark.parametrize("field", ["features", "targets"])
def test_another_byte_order_is_named(field):
    data = examples()
    swapped = getattr(data, field)
    swapped = swapped.astype(swapped.dtype.newbyteorder(">"))
    data = data._replace(**{field: swapped})
    with pytest.raises(TypeError, match=rf"train\.{field} must be in this machine's"):
        fit(KEYS, Config((4, 1), bernoulli), Hyperparams(), data)


@pytest.mark.slow
@pytest.mark.parametrize("num_rows", [7, 30, 60])
def test_epochs_of_data_of_another_size_count(num_rows):
    data = examples()
    fewer = Batch(data.features[:num_rows], data.targets[:num_rows])
    short, long = (
        Config((4, 3, 1), bernoulli, batch_size=8, epochs=epochs, schedule="cosine")
        for epochs in (3, 8)
    )
    state, _ = fit(KEYS, short, Hyperparams(), data)
    assert (int(state.step), int(state.epoch)) == (24, 3)
    state, history = fit(KEYS, long, Hyperparams(), fewer, state=state)
    assert len(history.loss) == 5 and int(state.epoch) == 8
    assert int(state.step) == 24 + 5 * -(-num_rows // 8)
    # The order and the rates of an epoch are those of its number.
    begun = init_state(KEYS, long)
    done, _ = train_epochs(
        begun._replace(epoch=np.int32(6)),
        fewer,
        KEYS,
        Hyperparams(),
        config=long,
        num_epochs=2,
    )
    steps = np.int32(6 * -(-num_rows // 8))
    same, _ = train_epochs(
        begun._replace(epoch=np.int32(6), step=steps),
        fewer,
        KEYS,
        Hyperparams(),
        config=long,
        num_epochs=2,
    )
    jax.tree.map(np.testing.assert_array_equal, done.params, same.params)


@pytest.mark.slow
def test_where_a_resumed_run_diverges_is_told_by_its_epoch():
    config = Config((4, 8, 1), bernoulli, batch_size=16, shuffle=False, epochs=4)
    state, _ = fit(
        KEYS,
        Config((4, 8, 1), bernoulli, batch_size=4, shuffle=False, epochs=2),
        Hyperparams(),
        examples(),
    )
    data = examples()
    data.features[32:48] = np.float32(3e38) * np.sign(data.features[32:48])
    with pytest.raises(FloatingPointError, match=r"from step 3 of epoch 3 on"):
        fit(KEYS, config, Hyperparams(), data, state=state)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"features": np.zeros((60, 4), object)},
            "numbers, got object; turn them into",
        ),
        ({"targets": np.full(60, "a")}, "numbers, got <U1; np.unique"),
        ({"features": np.ma.zeros((60, 4))}, "not be masked; leave out"),
    ],
)
@pytest.mark.parametrize("likelihood", [bernoulli, categorical])
def test_what_is_no_number_is_named(change, message, likelihood):
    config = Config((4, likelihood.num_outputs(2)), likelihood)
    data = examples()._replace(**change)
    (field,) = change
    with pytest.raises(TypeError, match=rf"fit: train\.{field} must.*{message}"):
        fit(KEYS, config, Hyperparams(), data)


@pytest.mark.parametrize(
    "keys",
    [Keys.from_seeds(range(3)), Keys.from_seed(0)._replace(shuffle=0)],
    ids=["of many seeds", "a number"],
)
def test_keys_are_of_one_seed(keys):
    config, train = (
        Config((2, 1), bernoulli),
        Batch(np.eye(2, dtype=np.float32), np.arange(2)),
    )
    with pytest.raises(TypeError, match=r"fit: keys\.\w+ must be one typed key"):
        fit(keys, config, Hyperparams(), train)


@pytest.mark.parametrize("name", ["train", "validation"])
def test_data_over_several_devices_are_refused(name):
    config = Config((2, 1), bernoulli, epochs=1)
    data = Batch(np.eye(2, dtype=np.float32), np.array([0, 1]))
    wide = replicate(data, member_mesh(jax.devices()[:2]))
    with pytest.raises(ValueError, match=f"fit: {name} lies over 2 devices, and a run"):
        fit(Keys.from_seed(0), config, Hyperparams(), **{"train": data, name: wide})


@pytest.mark.slow
def test_segments_change_no_bit():
    config = Config((2, 8, 1), bernoulli, "adam", epochs=37, batch_size=1, dropout=True)
    data = Batch(np.eye(2, dtype=np.float32), np.array([0, 1]))
    told = Keys.from_seed(0), config, Hyperparams(0.1, 0.3), data
    seen, saved, told_losses = [], [], []

    def wanted(epoch, some):
        told_losses.extend(some.loss.tolist())
        seen.append(epoch)
        return epoch % 2 == 1

    want, want_history = fit(*told)
    got, history = fit(
        *told,
        report_every=20,
        on_segment=wanted,
        on_checkpoint=lambda epoch, _: saved.append(epoch),
    )
    jax.tree.map(np.testing.assert_array_equal, got, want)
    np.testing.assert_array_equal(history.loss, want_history.loss)
    assert seen == sorted(set(seen)) and seen[0] == 1 and {20, 37} <= set(seen)
    assert saved == [epoch for epoch in seen if epoch % 2 == 1]
    assert told_losses == history.loss.tolist()


def test_under_jit_vmap_and_grad_it_says_what_to_call_instead():
    config = Config((4, 8, 1), bernoulli, epochs=25)

    def trained(rate):
        return fit(KEYS, config, Hyperparams(rate), examples())[1].loss[-1]

    for transformed in (jax.jit, jax.grad, jax.vmap):
        rate = np.ones(2) if transformed is jax.vmap else 0.1
        with pytest.raises(
            TypeError, match="inside jit, vmap or grad call train_epochs"
        ):
            transformed(trained)(rate)


def test_printed_reports_are_lines():
    lines = []
    fit(
        *(KEYS, Config((4, 8, 1), bernoulli, epochs=25), Hyperparams(), examples()),
        on_report=lambda report: lines.append(str(report)),
    )
    assert all(re.fullmatch(r"Report\(epoch \d+, loss .*\)", line) for line in lines)
    assert lines and max(map(len, lines)) < 120
