"""jaxcls beside PyTorch itself: the same weights, logits and, step by step, the same losses."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from jaxcls import (
    Config,
    Hyperparams,
    Keys,
    bernoulli,
    categorical,
    data,
    ensembles,
    fit,
    gaussian,
    init_state,
    load_run,
    mlp,
    normal,
)
from jaxcls.cli import main
from jaxcls.files import save_arrays
from jaxcls.interop import pytorch
from jaxcls.interop.answers import Classes
from jaxcls.interop.torch_code import loading_code
from jaxcls.regression import Target
from jaxcls.runs import save_run

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")

SIZES = (7, 5, 4, 3)
KEYS = Keys.from_seed(0)


def sequential(sizes, *between):
    """Linear layers with the modules that `between` makes after each hidden one."""
    first, *rest = itertools.pairwise(sizes)
    modules = [torch.nn.Linear(*first)]
    for pair in rest:
        modules += [*(make() for make in between), torch.nn.Linear(*pair)]
    return torch.nn.Sequential(*modules)


def logits(net, x):
    with torch.no_grad():
        return net.eval()(torch.tensor(x)).numpy()


@pytest.mark.parametrize("sizes", [(7, 3), (7, 5, 1), SIZES, (300, 200, 100, 2)])
def test_the_starting_weights_are_pytorchs(sizes):
    torch.manual_seed(11)
    sequential(sizes, torch.nn.ReLU)
    second = sequential(sizes, torch.nn.ReLU).state_dict()
    got = pytorch.to_state_dict(pytorch.init(11, sizes, skip=1))
    assert list(got) == list(second)
    for name, array in got.items():
        np.testing.assert_array_equal(array, second[name].numpy())


@pytest.mark.parametrize("dropout", [False, True])
def test_state_dicts_give_the_same_logits(dropout, tmp_path):
    from safetensors.torch import load_file, save_file

    x = np.random.default_rng(0).uniform(-1, 1, (9, 7)).astype(np.float32)
    between = [torch.nn.Dropout, torch.nn.ReLU] if dropout else [torch.nn.ReLU]
    net = sequential(SIZES, *between)
    theirs = pytorch.from_state_dict(net.state_dict())
    np.testing.assert_allclose(mlp.apply(theirs, x), logits(net, x), rtol=0, atol=1e-6)

    params = mlp.init(jax.random.key(0), SIZES)
    want = mlp.apply(params, x)
    arrays = pytorch.to_state_dict(params, dropout=dropout)
    net.load_state_dict({name: torch.from_numpy(a) for name, a in arrays.items()})
    np.testing.assert_allclose(logits(net, x), want, rtol=0, atol=1e-6)

    pytorch.write_safetensors(tmp_path / "ours", params, dropout=dropout)
    net = sequential(SIZES, *between)
    net.load_state_dict(load_file(tmp_path / "ours"))
    np.testing.assert_allclose(logits(net, x), want, rtol=0, atol=1e-6)
    save_file(net.state_dict(), tmp_path / "theirs")
    back = pytorch.read_safetensors(tmp_path / "theirs")
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_a_tensor_that_numpy_cannot_read_is_refused_by_name():
    net = sequential(SIZES, torch.nn.ReLU)
    with pytest.raises(TypeError, match=r"0\.weight is no array .*\.detach\(\)"):
        pytorch.from_state_dict(dict(net.named_parameters()))
    with pytest.raises(TypeError, match=r"0\.weight is no array .*BFloat16"):
        pytorch.from_state_dict(net.bfloat16().state_dict())


def torch_optimizer(name, net, rate, momentum):
    if name == "adam":
        return torch.optim.Adam(net.parameters(), lr=rate)
    if name == "sgd":
        return torch.optim.SGD(net.parameters(), lr=rate, momentum=momentum)
    if name == "rmsprop":
        return torch.optim.RMSprop(net.parameters(), lr=rate)
    if name == "adagrad":
        return torch.optim.Adagrad(net.parameters(), lr=rate)
    kernels = [p for p in net.parameters() if p.ndim == 2]
    biases = [p for p in net.parameters() if p.ndim == 1]
    return torch.optim.AdamW(
        [{"params": kernels}, {"params": biases, "weight_decay": 0.0}], lr=rate
    )


@pytest.mark.parametrize(
    "classes, hidden, optimizer, momentum, batch_size, epochs",
    [
        ((0, 1), (32,), "sgd", 0.0, None, 60),
        ((3, 8), (32,), "sgd", 0.9, None, 60),
        ((3, 8), (32,), "adam", 0.0, None, 60),
        ((4, 9), (), "adam", 0.0, None, 60),
        ((0, 1, 2), (32,), "adam", 0.0, None, 60),
        (tuple(range(10)), (64,), "adamw", 0.0, None, 40),
        ((5, 6), (16,), "sgd", 0.0, 16, 2),
        ((1, 7, 4), (16,), "adam", 0.0, 32, 2),
        ((2, 5), (64, 32, 16), "adam", 0.0, None, 20),
        ((0, 1, 2), (128, 64, 32, 16), "sgd", 0.5, None, 20),
        ((3, 8), (32,), "rmsprop", 0.0, None, 20),
        ((0, 1, 2), (32,), "adagrad", 0.0, None, 20),
    ],
)
def test_losses_are_pytorchs(classes, hidden, optimizer, momentum, batch_size, epochs):
    check_losses(classes, hidden, optimizer, momentum, batch_size, epochs)


@pytest.mark.parametrize("activation", ["tanh", "logistic", "gelu", "silu", "identity"])
def test_losses_by_activation_are_pytorchs(activation):
    module = {"logistic": "Sigmoid", "gelu": "GELU", "silu": "SiLU"}.get(
        activation, activation.capitalize()
    )
    between = getattr(torch.nn, module)
    for classes, optimizer in (((3, 8), "sgd"), ((0, 1, 2), "adam")):
        check_losses(classes, (32, 16), optimizer, 0.0, None, 20, activation, between)


def check_losses(
    classes,
    hidden,
    optimizer,
    momentum,
    batch_size,
    epochs,
    activation="relu",
    between=torch.nn.ReLU,
    seed=5,
):
    """Of each epoch, within 1e-6."""
    train = data.to_batch(data.load("digits", classes=classes)[0])
    likelihood = bernoulli if len(classes) == 2 else categorical
    sizes = (784, *hidden, likelihood.num_outputs(len(classes)))

    torch.manual_seed(seed)
    net = sequential(sizes, between)
    x, y = torch.tensor(train.features), torch.tensor(train.targets).long()
    if likelihood is bernoulli:
        y, loss_fn = y.float().reshape(-1, 1), torch.nn.BCEWithLogitsLoss()
    else:
        loss_fn = torch.nn.CrossEntropyLoss()
    descent = torch_optimizer(optimizer, net, 1e-3, momentum)
    want = []
    for _ in range(epochs):
        total = 0.0
        for rows in torch.arange(len(x)).split(batch_size or len(x)):
            loss = loss_fn(net(x[rows]), y[rows])
            loss.backward()
            descent.step()
            descent.zero_grad()
            total += loss.item() * len(rows)
        want.append(total / len(x))

    config = Config(
        sizes,
        likelihood,
        optimizer,
        momentum,
        batch_size=batch_size,
        shuffle=False,
        epochs=epochs,
        activation=activation,
    )
    state = init_state(KEYS, config, pytorch.init(seed, sizes))
    _, history = fit(KEYS, config, Hyperparams(), train, state=state)
    np.testing.assert_allclose(history.loss, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "likelihood, count, activation",
    [
        (bernoulli, 1, "relu"),
        (bernoulli, 3, "tanh"),
        (categorical, 1, "logistic"),
        (categorical, 3, "gelu"),
        (bernoulli, 1, "silu"),
        (categorical, 1, "identity"),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_the_lines_of_an_export_load_it(
    likelihood, count, activation, tmp_path, capsys
):
    sizes = (7, 5, 4, likelihood.num_outputs(3))
    config = Config(sizes, likelihood, activation=activation)
    nets = [pytorch.init(seed, sizes) for seed in range(count)]
    params, seeds = (
        (nets[0], None) if count == 1 else (ensembles.stack(nets), [4, 5, 6])
    )
    save_run(tmp_path / "run", params, config, seeds=seeds)
    path = tmp_path / "it's.safetensors"
    argv = ("--format", "torch", "--output", str(path))
    assert main.export([str(tmp_path / "run"), *argv]) == 0
    x = np.random.default_rng(0).uniform(-3, 3, (9, 7)).astype(np.float32)
    names: dict = {}
    exec(capsys.readouterr().out, names)
    got = names["probabilities"](torch.tensor(x)).numpy()
    run = load_run(tmp_path / "run")
    np.testing.assert_allclose(got, run.predict_proba(x), rtol=0, atol=1e-6)

    classes = Classes(run.class_names, temperature=2.5)
    code = loading_code(
        str(path), config, classes, "", num_networks=len(run.seeds or ()) or None
    )
    exec("\n".join(code), names)
    got = names["probabilities"](torch.tensor(x)).numpy()
    want = dataclasses.replace(run, temperature=2.5).predict_proba(x)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("likelihood", [gaussian, normal], ids=lambda each: each.name)
def test_the_lines_of_a_target_tell_its_mean_and_spread(likelihood, count, tmp_path):
    sizes = (7, 5, likelihood.num_outputs(0))
    nets = [pytorch.init(seed, sizes) for seed in range(count)]
    arrays = [pytorch.to_state_dict(net) for net in nets]
    first = [""] if count == 1 else [f"{place}." for place in range(count)]
    path = tmp_path / "own.safetensors"
    save_arrays(
        path,
        {
            f"{a}{name}": each
            for a, one in zip(first, arrays, strict=True)
            for name, each in one.items()
        },
        {"format": "pt"},
    )
    target = Target("crop", 50.0, 3.0)
    code = loading_code(
        *(str(path), Config(sizes, likelihood), target, "of a test"),
        num_networks=None if count == 1 else count,
    )
    names: dict = {}
    exec("\n".join(code), names)
    x = np.random.default_rng(0).uniform(-3, 3, (9, 7)).astype(np.float32)
    want = ensembles.moments(ensembles.stack(nets), x, likelihood)
    if count == 1 and likelihood is gaussian:
        got = [names["mean"](torch.tensor(x))]
    else:
        got = names["mean_and_std"](torch.tensor(x))
        np.testing.assert_allclose(got[1] / 3, want.std, rtol=0, atol=1e-6)
    np.testing.assert_allclose((got[0] - 50) / 3, want.mean, rtol=0, atol=1e-6)
