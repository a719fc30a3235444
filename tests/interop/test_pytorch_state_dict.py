"""interop.pytorch: state dicts both ways, without PyTorch."""

import jax
import numpy as np
import oracle
import pytest
import safetensors.numpy

from jaxcls import mlp
from jaxcls.interop import pytorch

SIZES = (7, 5, 4, 3)


@pytest.fixture
def params():
    return mlp.init(jax.random.key(0), SIZES)


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(-1, 1, (9, 7)).astype(np.float32)


def assert_trees_equal(got, want):
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("dropout, places", [(False, (0, 2, 4)), (True, (0, 3, 6))])
def test_names_and_shapes_are_those_of_a_sequential(params, dropout, places):
    state_dict = pytorch.to_state_dict(params, dropout=dropout)
    assert {name: array.shape for name, array in state_dict.items()} == {
        f"{place}.{name}": shape
        for place, fan_in, fan_out in zip(places, SIZES[:-1], SIZES[1:], strict=True)
        for name, shape in (("weight", (fan_out, fan_in)), ("bias", (fan_out,)))
    }
    for array in state_dict.values():  # as torch.from_numpy wants it
        assert type(array) is np.ndarray and array.dtype == np.float32
        assert array.flags.c_contiguous and array.flags.writeable
    kernel = params["Dense_1"]["kernel"]
    np.testing.assert_array_equal(state_dict[f"{places[1]}.weight"], kernel.T)


@pytest.mark.parametrize("sizes", [(7, 1), (7, 5, 1), SIZES, (7, *(3,) * 11, 2)])
@pytest.mark.parametrize("dropout", [False, True])
def test_there_and_back_is_the_same(sizes, dropout):
    params = mlp.init(jax.random.key(1), sizes)
    state_dict = pytorch.to_state_dict(params, dropout=dropout)
    assert_trees_equal(pytorch.from_state_dict(state_dict), params)
    shuffled = dict(sorted(state_dict.items(), reverse=True))
    assert_trees_equal(pytorch.from_state_dict(shuffled), params)


def test_dropout_may_follow_some_layers_only(params):
    state_dict = pytorch.to_state_dict(params)
    moved = {name.replace("4.", "5."): array for name, array in state_dict.items()}
    assert_trees_equal(pytorch.from_state_dict(moved), params)


def test_params_are_copies(params):
    state_dict = pytorch.to_state_dict(params)
    copied = pytorch.from_state_dict(state_dict)
    for array in state_dict.values():
        array[:] = 0
    assert_trees_equal(copied, params)


def test_files_go_there_and_back(params, tmp_path):
    path = tmp_path / "net.safetensors"
    pytorch.write_safetensors(path, params, dropout=True)
    assert list(safetensors.numpy.load_file(path)) == [
        *("0.bias", "0.weight", "3.bias", "3.weight", "6.bias", "6.weight")
    ]
    assert_trees_equal(pytorch.read_safetensors(path), params)


def test_float_types(params, x64):
    state_dict = pytorch.to_state_dict(params)
    for dtype, want in (("float16", "float32"), ("float64", "float64")):
        narrow = {name: array.astype(dtype) for name, array in state_dict.items()}
        leaves = jax.tree.leaves(pytorch.from_state_dict(narrow))
        assert {leaf.dtype.name for leaf in leaves} == {want}


def test_float64_without_x64_is_float32(params):
    wide = {k: np.float64(v) for k, v in pytorch.to_state_dict(params).items()}
    assert_trees_equal(pytorch.from_state_dict(wide), params)


WEIGHT, BIAS = np.zeros((5, 7), np.float32), np.zeros(5, np.float32)
REFUSED = [
    ({"0.weight": None}, "0.weight is missing"),
    ({"2.bias": None}, "2.bias is missing"),
    (
        {"0.weight": None, "0.bias": None},
        "0.weight and 0.bias are missing; the first is 2.weight",
    ),
    (
        {"2.weight": None, "2.bias": None},
        "2.weight, or with Dropout 3.weight, is missing",
    ),
    ({"1.weight": WEIGHT, "1.bias": BIAS}, "1.weight follows 0.weight with no ReLU"),
    ({"1.running_mean": BIAS}, "1.running_mean is not a name of a stack of Linear"),
    ({"net.0.weight": WEIGHT}, "net.0.weight is not a name"),
    ({"02.weight": WEIGHT}, "02.weight is not a name"),
    ({"4.weight": WEIGHT.T}, r"4.weight must be \[out, 4\] after .*got \[7, 5\]"),
    ({"0.weight": BIAS}, r"0.weight must be \[out, in\], got \[5\]"),
    ({"0.weight": np.zeros((0, 7))}, r"0.weight must be \[out, in\], got \[0, 7\]"),
    ({"2.bias": BIAS}, r"2.bias must be \[4\] beside 2.weight \[4, 5\], got \[5\]"),
]


@pytest.mark.parametrize("change, message", REFUSED)
def test_what_does_not_fit_is_refused_by_name(params, change, message):
    mapping = pytorch.to_state_dict(params) | change
    mapping = {name: array for name, array in mapping.items() if array is not None}
    with pytest.raises(
        ValueError, match=rf"^interop\.pytorch\.from_state_dict: {message}.*\.$"
    ):
        pytorch.from_state_dict(mapping)


@pytest.mark.parametrize("bias", [np.zeros(5, int), ["a"] * 5, [[1], [2, 3]], {}])
def test_what_holds_no_floats_is_refused_by_name(params, bias):
    mapping = pytorch.to_state_dict(params) | {"0.bias": bias}
    with pytest.raises(TypeError, match=r"from_state_dict: 0\.bias (must hold|is no)"):
        pytorch.from_state_dict(mapping)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"Dense_1": {"bias": BIAS}}, ValueError, "Dense_1 must hold a kernel and a"),
        ({"Dense_1": {}}, ValueError, "Dense_1 must hold .* got nothing"),
        (
            {"Dense_1": {"bias": BIAS, "kernel": WEIGHT, "scale": BIAS}},
            ValueError,
            "Dense_1 must hold a kernel and a bias, got bias, kernel, scale",
        ),
        (
            {"Dense_1": {"bias": np.zeros(7), "kernel": np.zeros((6, 7))}},
            ValueError,
            r"2.weight must be \[out, 5\] after a layer of 5 units, got \[7, 6\]",
        ),
        (
            {"Dense_0": {"bias": np.zeros(5, int), "kernel": WEIGHT.T}},
            TypeError,
            "0.bias must hold float16, float32, float64, got int64",
        ),
    ],
)
def test_params_that_do_not_fit_are_refused_by_name(params, change, error, message):
    with pytest.raises(error, match=rf"^interop\.pytorch\.to_state_dict: {message}"):
        pytorch.to_state_dict(params | change)


def test_params_of_many_networks_are_refused(params):
    stacked = jax.tree.map(lambda leaf: np.stack([leaf] * 3), params)
    with pytest.raises(
        ValueError, match=r"0\.weight must be \[out, in\], got \[5, 7, 3\]"
    ):
        pytorch.to_state_dict(stacked)


def test_params_of_something_else_are_refused(params):
    for other in ({}, {"Dense_1": params["Dense_1"]}, {"conv": {}}):
        with pytest.raises(ValueError, match=r"to_state_dict: params must be Dense_0"):
            pytorch.to_state_dict(other)


def test_a_state_dict_gives_the_logits_of_its_arrays(params, x):
    # PyTorch's Linear is x @ weight.T + bias; here in float64, without PyTorch.
    state_dict = pytorch.to_state_dict(params)
    layers = [
        (np.float64(state_dict[f"{place}.weight"]).T, state_dict[f"{place}.bias"])
        for place in (0, 2, 4)
    ]
    want, _, _ = oracle.forward(layers, x)
    np.testing.assert_allclose(mlp.apply(params, x), want, rtol=0, atol=1e-6)
