"""interop.pytorch.init: PyTorch's starting weights, bit for bit."""

import hashlib

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls.interop import pytorch

# seed, sizes, skip, and the start of the SHA-256 of all weights and biases in the order of
# their state_dict, as PyTorch 2.13.0 draws them on CPU:
#   torch.manual_seed(seed)
#   for _ in range(skip + 1):
#       net = Sequential(Linear(sizes[0], sizes[1]), ReLU(), Linear(sizes[1], sizes[2]), ...)
# The first three are the networks of the notes' sections A, 5 and "3 classes".
DRAWN = [
    (0, (784, 32, 1), 0, "2025b98bab4f811f111488bda95ea854"),
    (1, (784, 32, 1), 0, "c1df820c147516e09b6524a8e9694bcb"),
    (43052, (784, 32, 3), 0, "ce727c83b3fb7f936909ec0028e9641b"),
    (0, (784, 32, 2), 5, "247cbc1db2abab3f246253d9de6da10b"),
    (0, (784, 32, 2), 14, "f42e6f4106734e43edfe6b0b8d56a4ec"),
    (7, (784, 256, 128, 64, 10), 1, "f594f23c8b7f0c01689331e4a4382b70"),
    (3, (5, 2), 0, "dfdba5f52dbe4aef960dd4115142d60a"),
    (2**32 + 5, (9, 4, 3), 0, "6d4420735a467b672b6682d5d6dd308c"),
    (-1, (9, 4, 3), 2, "5931140584f708fb19022fe5a243ce10"),
    (2**63, (9, 4, 3), 0, "811c8115383d289b97ba95260fe02a79"),
]


@pytest.mark.parametrize("seed, sizes, skip, sha256", DRAWN)
def test_init_is_pytorchs_bit_for_bit(seed, sizes, skip, sha256):
    params = pytorch.init(seed, sizes, skip=skip)
    digest = hashlib.sha256()
    for index in range(len(sizes) - 1):
        layer = params[f"Dense_{index}"]
        assert layer["kernel"].shape == sizes[index : index + 2]
        assert layer["kernel"].dtype == layer["bias"].dtype == jnp.float32
    for array in pytorch.to_state_dict(params).values():
        digest.update(array.tobytes())
    assert digest.hexdigest().startswith(sha256)


def test_skip_goes_on_in_the_same_stream():
    later = pytorch.init(4, (3, 2), skip=1)
    first = pytorch.init(4, (3, 2))
    assert not np.array_equal(first["Dense_0"]["bias"], later["Dense_0"]["bias"])


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match=r"interop\.pytorch\.init: seed and skip"):
        pytorch.init(0.5, (3, 2))
    with pytest.raises(
        ValueError, match=r"interop\.pytorch\.init: seed .* got 18446744073709551616"
    ):
        pytorch.init(2**64, (3, 2))
    with pytest.raises(ValueError, match=r"interop\.pytorch\.init: skip"):
        pytorch.init(0, (3, 2), skip=-1)
    with pytest.raises(ValueError, match=r"interop\.pytorch\.init: layer_sizes"):
        pytorch.init(0, (3,))
