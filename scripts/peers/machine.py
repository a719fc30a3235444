"""Prints what benchmark.py says of the machine: processor, matrix products, versions."""

import importlib.metadata
import json
import time

import jax
import jax.numpy as jnp
from common import versions  # pyrefly: ignore[missing-import]

from jaxcls.cli.device import machine

SIZE, TIMES = 2048, 20
PACKAGES = ("jaxcls", "jax", "jaxlib", "flax", "optax", "numpy")
PACKAGES += ("scikit-learn", "torch")


def matmul_gflops() -> float:
    """float32 operations per second of the best of `TIMES` products, in 1e9."""
    a = jax.random.normal(jax.random.key(0), (SIZE, SIZE), jnp.float32)
    product = jax.jit(jnp.matmul)
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        jax.block_until_ready(product(a, a))
        seconds.append(time.perf_counter() - start)
    return 2 * SIZE**3 / min(seconds) / 1e9


if __name__ == "__main__":
    found = {each.name for each in importlib.metadata.distributions()}
    print(
        json.dumps(
            {
                "machine": machine(),
                "matmul_gflops": matmul_gflops(),
                "versions": versions([name for name in PACKAGES if name in found]),
            }
        )
    )
