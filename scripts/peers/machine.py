"""Prints what benchmark.py says of the machine: processor or GPU, matrix products, versions.

python scripts/peers/machine.py gpu     # or cpu
"""

import importlib.metadata
import json
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
from common import versions  # pyrefly: ignore[missing-import]

from jaxcls.cli.device import choose_device, describe, machine
from jaxcls.cli.device import versions as of_results

SIZE, TIMES = 2048, 20
PACKAGES = ("jaxcls", "jax", "jaxlib", "flax", "optax", "numpy")
PACKAGES += ("scikit-learn", "torch")


def matmul_gflops() -> float:
    """float32 operations per second of the best of `TIMES` products, in 1e9."""
    a = jax.random.normal(jax.random.key(0), (SIZE, SIZE), jnp.float32)
    # A GPU may otherwise round to ten bits.
    product = jax.jit(partial(jnp.matmul, precision="highest"))
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        jax.block_until_ready(product(a, a))
        seconds.append(time.perf_counter() - start)
    return 2 * SIZE**3 / min(seconds) / 1e9


if __name__ == "__main__":
    try:
        device = choose_device(sys.argv[1])
    except ValueError as error:
        sys.exit(f"benchmark.py: {error}")
    where = (
        machine() if device.platform == "cpu" else f"{describe(device)}, {machine()}"
    )
    found = {each.name for each in importlib.metadata.distributions()}
    print(
        json.dumps(
            {
                "machine": where,
                "matmul_gflops": matmul_gflops(),
                "versions": versions([name for name in PACKAGES if name in found])
                | of_results(describe(device)),
            }
        )
    )
