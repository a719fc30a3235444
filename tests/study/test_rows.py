"""Members with rows of their own: each is `fit` on these alone, in as few programs as can be."""

import numpy as np
import pytest

from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    Keys,
    bernoulli,
    categorical,
    chosen_params,
    evaluate,
    fit,
    fit_many,
    packing,
)
from jaxcls.comparisons import split_summary
from jaxcls.data import load, splits, to_batch
from jaxcls.study.rows import groups_of

N = 101


def examples(count=N, num_classes=2, width=4):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, width)).astype(np.float32)
    noisy = x + rng.normal(size=x.shape)
    return Batch(x, noisy[:, :num_classes].argmax(axis=1))


def folds(count=4, size=N):
    """Rows of training and held out, whose sizes differ by one."""
    order = np.random.default_rng(1).permutation(size)
    held = [np.sort(part) for part in np.array_split(order, count)]
    return [np.setdiff1d(order, part) for part in held], held


def some(data, rows):
    """A batch of these rows alone."""
    return Batch(*(None if leaf is None else np.asarray(leaf)[rows] for leaf in data))


def assert_each_is_fit_alone(
    config, hyperparams, data, train, test, validation=None, bound=1e-6
):
    given = {} if validation is None else {"validation_rows": validation}
    runs = fit_many(
        *(range(len(train)), config, hyperparams, data),
        **{"train_rows": train, "test_rows": test, **given},
    )
    for seed in range(len(train)):
        held = None if validation is None else some(data, validation[seed])
        alone = some(data, train[seed])
        state, history = fit(Keys.from_seed(seed), config, hyperparams, alone, held)
        done = len(history.loss)
        assert runs.epochs[seed] == done
        got = runs.history.loss[seed]
        np.testing.assert_allclose(got[:done], history.loss, rtol=bound, atol=bound)
        params = chosen_params(state)
        for name, rows in (("train", train), ("test", test)):
            wanted = evaluate(params, some(data, rows[seed]), config=config)
            found = runs.scores[name]
            assert found.correct[seed] == wanted.correct
            assert found.count[seed] == wanted.count
            np.testing.assert_allclose(
                found.loss_sum[seed], wanted.loss_sum, 10 * bound
            )


CASES = {
    "mini-batches": ({"batch_size": 16}, {}),
    "mini-batches in order": ({"batch_size": 16, "shuffle": False}, {}),
    "one step, and none": ({"batch_size": 75}, {}),
    "full batches": ({}, {}),
    "full batches, dropout": ({"dropout": True}, {"dropout_rate": 0.3}),
    "dropout, two hidden layers": (
        {"dropout": True, "layer_sizes": (4, 8, 6, 1), "batch_size": 16},
        {"dropout_rate": 0.3},
    ),
    "weights of classes": ({"batch_size": 16}, {"class_weights": (1.0, 3.0)}),
    "a schedule, an average": (
        {"batch_size": 16, "schedule": "cosine", "ema_decay": 0.8},
        {},
    ),
}
FAST = {"mini-batches", "full batches, dropout"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name in CASES
    ],
)
def test_each_member_is_fit_on_its_own_rows(name):
    of_config, of_hyperparams = CASES[name]
    base = {"layer_sizes": (4, 8, 1), "likelihood": bernoulli, "epochs": 5}
    config = Config(**{**base, **of_config})
    assert_each_is_fit_alone(
        *(config, Hyperparams(0.01, **of_hyperparams), examples(), *folds())
    )


@pytest.mark.slow
def test_examples_keep_their_weights():
    data = examples()._replace(weights=np.linspace(0.5, 2, N).astype(np.float32))
    for batch_size in (None, 16):
        config = Config((4, 8, 1), bernoulli, batch_size=batch_size, epochs=5)
        runs = fit_many(range(4), config, Hyperparams(), data, train_rows=folds()[0])
        for seed, rows in enumerate(folds()[0]):
            alone = some(data, rows)
            _, history = fit(Keys.from_seed(seed), config, Hyperparams(), alone)
            np.testing.assert_allclose(runs.history.loss[seed], history.loss, 1e-6)


@pytest.mark.slow
def test_rows_of_its_own_judge_each_epoch():
    train, test = folds()
    # A fifth of the rows trained on, whose number differs, too.
    validation = [rows[::5] for rows in train]
    train = [
        np.setdiff1d(rows, held) for rows, held in zip(train, validation, strict=True)
    ]
    config = Config(
        (4, 8, 1), bernoulli, batch_size=16, epochs=12, monitor="loss", patience=2
    )
    assert_each_is_fit_alone(
        config, Hyperparams(0.1), examples(), train, test, validation
    )


@pytest.mark.slow
def test_rows_of_narrowed_data(monkeypatch):
    # As of sets so large that columns of zeros are left out.
    monkeypatch.setattr(packing, "_LEAST_TO_PACK", 1)
    data = examples(width=70)
    data.features[:, ::2] = 0
    config = Config((70, 8, 1), bernoulli, batch_size=16, epochs=4)
    train, test = folds()
    runs = fit_many(
        *(range(4), config, Hyperparams(), data), train_rows=train, test_rows=test
    )
    for seed, rows in enumerate(train):
        _, history = fit(Keys.from_seed(seed), config, Hyperparams(), some(data, rows))
        np.testing.assert_allclose(runs.history.loss[seed], history.loss, 1e-6)


@pytest.mark.slow
def test_rows_may_be_drawn_twice():
    train = [np.array([0, 0, 1, 2, 3, 3, 3, 4] * 4), np.arange(40)]
    test = [np.arange(50, 60), np.arange(60, 70)]
    config = Config((4, 8, 1), bernoulli, batch_size=8, epochs=3)
    assert_each_is_fit_alone(config, Hyperparams(), examples(), train, test)


@pytest.mark.parametrize(
    "config, sizes, want",
    [
        ({"batch_size": 16}, [75, 76, 76], [[0, 1, 2]]),
        ({"batch_size": 25}, [75, 76, 76], [[0], [1, 2]]),
        ({"batch_size": 80}, [75, 76, 76], [[0, 1, 2]]),
        ({"batch_size": 80, "dropout": True}, [75, 76, 76], [[0], [1, 2]]),
        ({}, [75, 76, 75], [[0, 1, 2]]),
        ({"dropout": True}, [75, 76, 75], [[0, 2], [1]]),
    ],
)
def test_sizes_share_a_program_where_they_can(config, sizes, want):
    config = Config((4, 8, 1), bernoulli, **config)
    rows = {"train": [np.arange(size, dtype=np.int32) for size in sizes]}
    groups = groups_of(rows, config)
    assert [members.tolist() for members, _ in groups] == want
    for members, found in groups:
        most = max(sizes[member] for member in members)
        assert found.train.rows.shape == (len(members), most)


def test_members_come_back_in_their_order():
    train, test = folds()
    config = Config((4, 8, 1), bernoulli, dropout=True, epochs=2)  # two programs
    told = {}
    args = (range(4), config, Hyperparams(0.01, 0.3), examples())
    runs = fit_many(
        *args, train_rows=train, test_rows=test, on_chunks=told.update, width=1
    )
    assert runs.scores["test"].count.tolist() == [len(rows) for rows in test]
    assert sorted(told) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "given, error, sentence",
    [
        (
            {"train_rows": [[0, 1]]},
            ValueError,
            "train_rows must hold rows for each of the 2 seeds, got 1",
        ),
        (
            {"train_rows": [[0, N], [0, 1]]},
            ValueError,
            "train_rows of run 0 must be some of the rows 0 to 100 of train, got 0 to 101",
        ),
        (
            {"train_rows": [[0, -1], [0, 1]]},
            ValueError,
            "rows 0 to 100 of train, got -1 to 0",
        ),
        ({"train_rows": [[0], []]}, ValueError, "of run 1 must be some .* got none"),
        (
            {"train_rows": [[0, 1], [2, 3]], "test_rows": [[2], [9, 3]]},
            ValueError,
            "test_rows of run 1 hold 1 rows that it trains on, such as 3",
        ),
        ({"train_rows": [[0.5], [1]]}, TypeError, "must be whole numbers"),
        ({"train_rows": 3}, TypeError, r"must be \[S, M\] or S lists, got int"),
        ({"train_rows": [0, 1]}, TypeError, "must be whole numbers"),
        ({"test_rows": [[0], [1]]}, ValueError, "test_rows need train_rows"),
        (
            {"train_rows": [[0], [1]], "test": examples()},
            ValueError,
            "test is a set that all runs share",
        ),
    ],
)
def test_wrong_rows_are_said(given, error, sentence):
    config = Config((4, 8, 1), bernoulli)
    with pytest.raises(error, match=f"^fit_many: .*{sentence}"):
        fit_many(range(2), config, Hyperparams(), examples(), **given)


@pytest.mark.slow
def test_ten_times_five_folds_of_the_digits_are_fit_and_cross_val_predict():
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_predict

    data = to_batch(load("digits")[0])
    x, y = data.features, data.targets
    config = Config((784, 32, 10), categorical, batch_size=64, epochs=10)
    splits = list(
        RepeatedStratifiedKFold(n_splits=5, n_repeats=10, random_state=0).split(x, y)
    )
    train, test = zip(*splits, strict=True)
    # Adam and ReLU amplify the last bit of sums in mini-batches (study/README.md).
    assert_each_is_fit_alone(config, Hyperparams(), data, train, test, bound=2e-5)

    class Fitted(ClassifierMixin, BaseEstimator):
        def fit(self, x, y):
            self.classes_ = np.unique(y)
            state, _ = fit(Keys.from_seed(0), config, Hyperparams(), Batch(x, y))
            self.params_ = state.params
            return self

        def predict(self, x):
            from jaxcls import mlp

            return np.asarray(mlp.apply(self.params_, x)).argmax(axis=1)

    runs = fit_many(
        *([0] * 5, config, Hyperparams(), data),
        train_rows=train[:5],
        test_rows=test[:5],
    )
    predicted = cross_val_predict(Fitted(), data.features, y, cv=splits[:5])
    for fold in range(5):
        right = (predicted[test[fold]] == y[test[fold]]).sum()
        assert runs.scores["test"].correct[fold] == right


@pytest.mark.slow
@pytest.mark.parametrize(
    "drawn",
    [
        lambda y: splits.folds(y, 10, seed=0),
        lambda y: splits.resplits(y, 10, 0.2, seed=0),
        lambda y: splits.bootstrap(y, 10, seed=0),
    ],
    ids=["folds", "resplits", "bootstrap"],
)
def test_shuffled_labels_give_chance(drawn):
    # No row that is held out reaches a member through the set that it shares.
    rng = np.random.default_rng(0)
    data = Batch(rng.normal(size=(400, 8)).astype(np.float32), rng.integers(0, 2, 400))
    ways = drawn(data.targets)
    config = Config((8, 32, 1), bernoulli, batch_size=32, epochs=60)
    runs = fit_many(
        *(range(10), config, Hyperparams(0.01), data),
        train_rows=ways.train,
        test_rows=ways.test,
    )
    assert (runs.scores["train"].accuracy > 0.75).all()  # it learned them by heart
    found = np.asarray(runs.scores["test"].accuracy, np.float64)
    each = split_summary(found, ways.ratio)
    assert each.low < 0.5 < each.high
    # The interval of as many guesses as rows were held out, of which there are 400.
    assert abs(found.mean() - 0.5) < 1.96 * np.sqrt(0.25 / 400)
