"""The jobs in flax.nnx, as its MNIST tutorial writes them: a jitted step, a loop in Python."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
from common import LEARNING_RATE, Data, Job, Trained, main  # pyrefly: ignore[missing-import]
from flax import nnx

# Made once: a new one would make `nnx.jit` compile the step again for each network.
OPTIMIZERS = {"sgd": optax.sgd(LEARNING_RATE), "adam": optax.adam(LEARNING_RATE)}


class MLP(nnx.Module):
    """784-32-1 and the like."""

    def __init__(self, job: Job, rngs: nnx.Rngs):
        inputs, hidden, outputs = job.layer_sizes
        self.linear1 = nnx.Linear(inputs, hidden, rngs=rngs)
        self.dropout = nnx.Dropout(job.dropout, rngs=rngs)
        self.linear2 = nnx.Linear(hidden, outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits; dropout before the activation, as in the notes."""
        return self.linear2(nnx.relu(self.dropout(self.linear1(x))))


def loss_fn(model: MLP, x: jax.Array, y: jax.Array) -> jax.Array:
    logits = model(x)
    if logits.shape[-1] == 1:
        return optax.sigmoid_binary_cross_entropy(logits[:, 0], y).mean()
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


@nnx.jit
def train_step(model: MLP, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array):
    loss, grads = nnx.value_and_grad(loss_fn)(model, x, y)
    optimizer.update(model, grads)
    return loss


@nnx.jit
def eval_step(model: MLP, x: jax.Array, y: jax.Array) -> jax.Array:
    logits = model(x)
    guess = logits[:, 0] > 0 if logits.shape[-1] == 1 else logits.argmax(axis=-1)
    return (guess == y).mean()


def batches(job: Job, data: Data, rng: np.random.Generator) -> Iterator:
    """An epoch's batches, which come from the host as those of a data loader do."""
    rows = np.arange(len(data.x_train))
    if job.shuffle:
        rng.shuffle(rows)
    for start in range(0, len(rows), job.batch_size):
        batch = rows[start : start + job.batch_size]
        yield data.x_train[batch], data.y_train[batch]


def train(job: Job, data: Data, seed: int) -> Trained:
    model = MLP(job, nnx.Rngs(seed))
    optimizer = nnx.Optimizer(model, OPTIMIZERS[job.optimizer], wrt=nnx.Param)
    rng = np.random.default_rng(seed)
    whole = jnp.asarray(data.x_train), jnp.asarray(data.y_train)
    scored = whole
    if job.target is not None:
        scored = jnp.asarray(data.x_test), jnp.asarray(data.y_test)

    def accuracy(x, y) -> float:
        model.eval()
        return float(eval_step(model, x, y))

    accuracies = []
    for epoch in range(1, job.epochs + 1):
        model.train()
        for x, y in [whole] if job.batch_size is None else batches(job, data, rng):
            train_step(model, optimizer, x, y)
        if epoch % job.score_every == 0:
            accuracies.append(accuracy(*scored))
            if job.target is not None and accuracies[-1] >= job.target:
                break
    return Trained(accuracies, accuracy)


if __name__ == "__main__":
    main(train, ("flax", "jax", "jaxlib", "optax", "numpy"), compiles=True)
