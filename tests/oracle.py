"""The same mathematics once more: NumPy, float64, derivatives by hand."""

import numpy as np


def to_float64(params):
    """[(kernel, bias), ...] in float64."""
    return [
        tuple(
            np.asarray(params[f"Dense_{i}"][name], np.float64)
            for name in ("kernel", "bias")
        )
        for i in range(len(params))
    ]


def forward(layers, x, masks=None, rate=0.0):
    """Logits, and what the backward pass needs: each layer's input and ReLU's derivative."""
    x = np.asarray(x, np.float64)
    inputs, slopes = [], []
    for i, (kernel, bias) in enumerate(layers):
        inputs.append(x)
        x = x @ kernel + bias
        if i + 1 < len(layers):
            kept = (
                1.0 if masks is None else np.asarray(masks[i], np.float64) / (1 - rate)
            )
            x = x * kept
            slopes.append((x > 0) * kept)
            x = np.maximum(x, 0)
    return x, inputs, slopes


def gradients(layers, x, dlogits, masks=None, rate=0.0):
    """Gradients [(kernel, bias), ...] for the derivative of the loss by the logits."""
    _, inputs, slopes = forward(layers, x, masks, rate)
    grads, delta = [], dlogits
    for i in reversed(range(len(layers))):
        grads.insert(0, (inputs[i].T @ delta, delta.sum(axis=0)))
        if i:
            delta = (delta @ layers[i][0].T) * slopes[i - 1]
    return grads


def sigmoid(z):
    """1 / (1 + exp(-z)) without overflow."""
    return np.exp(-np.logaddexp(0, -np.asarray(z, np.float64)))


def sigmoid_bce(z, y):
    """Binary cross-entropy of logits, as a sum of positive terms."""
    z, y = np.asarray(z, np.float64), np.asarray(y, np.float64)
    return y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)


def bce(p, y):
    """Binary cross-entropy of probabilities, log p no lower than -100, and its slope by p.

    The slope is 0 where that bites.
    """
    p, y = np.asarray(p, np.float64), np.asarray(y, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p, log_q = np.log(p), np.log1p(-p)
        slopes = (
            np.where(log_p < -100, 0, -y / p),
            np.where(log_q < -100, 0, (1 - y) / (1 - p)),
        )
    loss = -y * np.maximum(log_p, -100) - (1 - y) * np.maximum(log_q, -100)
    return loss, slopes[0] + slopes[1]


def log_softmax(z):
    """Logarithms of the softmax over the last axis."""
    z = np.asarray(z, np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def one_hot(labels, num_classes):
    """Rows of the identity."""
    return np.eye(num_classes)[np.asarray(labels)]


def bernoulli(z, y):
    """Losses [N] and the derivative [N, 1] of their sum by the logits [N, 1]."""
    y = np.asarray(y, np.float64)[:, None]
    return sigmoid_bce(z, y)[:, 0], (1 - y) * sigmoid(z) - y * sigmoid(-z)


def categorical(z, y):
    """Losses [N] and the derivative [N, K] of their sum by the logits [N, K].

    The targets are labels [N] or rows [N, K] that sum to 1.
    """
    target = y if np.ndim(y) == 2 else one_hot(y, z.shape[-1])
    return -(target * log_softmax(z)).sum(axis=-1), np.exp(log_softmax(z)) - target


def smoothed(rows, share):
    """Probabilities [N, K] of which that share is spread evenly over the classes."""
    rows = np.asarray(rows, np.float64)
    return (1 - share) * rows + share / rows.shape[-1]


def shares(schedule, num_steps):
    """Share of the learning rate that each step of a run takes."""
    step = np.arange(num_steps)
    if schedule == "constant":
        return np.ones(num_steps)
    if schedule == "step":
        return np.where(
            4 * step >= 3 * num_steps, 0.01, np.where(2 * step >= num_steps, 0.1, 1.0)
        )
    warmup = 0  # also for a run of one step, which would else not move at all
    if schedule == "warmup_cosine" and num_steps > 1:
        warmup = max(1, num_steps // 10)
    fall = (1 + np.cos(np.pi * (step - warmup) / (num_steps - warmup))) / 2
    return np.where(step < warmup, step / max(warmup, 1), fall)


def clipped(grads, norm):
    """Gradients whose norm, of all together, is at most that."""
    whole = np.sqrt(sum((leaf**2).sum() for pair in grads for leaf in pair))
    factor = min(1.0, norm / whole)
    return [tuple(factor * leaf for leaf in pair) for pair in grads]


class Sgd:
    """PyTorch's SGD with momentum, decay decoupled and on kernels only."""

    def __init__(self, learning_rate, momentum=0.0, decay=0.0):
        self.learning_rate, self.momentum, self.decay = learning_rate, momentum, decay
        self.velocity = None

    def step(self, layers, grads):
        """New layers."""
        if self.velocity is None:
            self.velocity = [tuple(np.zeros_like(g) for g in pair) for pair in grads]
        self.velocity = [
            tuple(self.momentum * v + g for v, g in zip(vs, gs, strict=True))
            for vs, gs in zip(self.velocity, grads, strict=True)
        ]
        return _descend(layers, self.velocity, self.learning_rate, self.decay)


class Adam:
    """Kingma and Ba, 2015, algorithm 1; with decay it is AdamW (Loshchilov and Hutter, 2019)."""

    def __init__(self, learning_rate, decay=0.0, b1=0.9, b2=0.999, eps=1e-8):
        self.learning_rate, self.decay, self.b1, self.b2, self.eps = (
            learning_rate,
            decay,
            b1,
            b2,
            eps,
        )
        self.m = self.v = None
        self.t = 0

    def step(self, layers, grads):
        """New layers."""
        if self.m is None:
            self.m = [[np.zeros_like(g) for g in pair] for pair in grads]
            self.v = [[np.zeros_like(g) for g in pair] for pair in grads]
        self.t += 1
        directions = []
        for m, v, pair in zip(self.m, self.v, grads, strict=True):
            for i, g in enumerate(pair):
                m[i] = self.b1 * m[i] + (1 - self.b1) * g
                v[i] = self.b2 * v[i] + (1 - self.b2) * g**2
            directions.append(
                tuple(
                    (m[i] / (1 - self.b1**self.t))
                    / (np.sqrt(v[i] / (1 - self.b2**self.t)) + self.eps)
                    for i in range(2)
                )
            )
        return _descend(layers, directions, self.learning_rate, self.decay)


class Elementwise:
    """An optimizer that treats each number alone, by formula.

    Args:
        learning_rate: of every step.
        first: what is kept of a number's gradients, before the first.
        update: (kept, gradient, step from 1 on) -> (kept, direction).
    """

    def __init__(self, learning_rate, first, update):
        self.learning_rate, self.first, self.update = learning_rate, first, update
        self.kept = None
        self.t = 0

    def step(self, layers, grads):
        """New layers."""
        self.t += 1
        if self.kept is None:
            self.kept = [[self.first] * 2 for _ in grads]
        directions = []
        for kept, pair in zip(self.kept, grads, strict=True):
            found = [self.update(kept[i], g, self.t) for i, g in enumerate(pair)]
            kept[:] = [each for each, _ in found]
            directions.append(tuple(direction for _, direction in found))
        return _descend(layers, directions, self.learning_rate, 0.0)


def rmsprop(v, g, t):
    """PyTorch's (T. Tieleman and G. Hinton, 2012)."""
    v = 0.99 * v + 0.01 * g**2
    return v, g / (np.sqrt(v) + 1e-8)


def adagrad(total, g, t):
    """PyTorch's (J. Duchi et al., 2011)."""
    total = total + g**2
    return total, g / (np.sqrt(total) + 1e-10)


def lion(m, g, t):
    """X. Chen et al., 2023, algorithm 2."""
    return 0.99 * m + 0.01 * g, np.sign(0.9 * m + 0.1 * g)


def nadam(kept, g, t):
    """T. Dozat, 2016, algorithm 2, at a constant momentum."""
    m, v = kept
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    m_hat = 0.9 * m / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
    return (m, v), m_hat / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def _descend(layers, directions, learning_rate, decay):
    return [
        (kernel - learning_rate * (dk + decay * kernel), bias - learning_rate * db)
        for (kernel, bias), (dk, db) in zip(layers, directions, strict=True)
    ]


def train(
    layers,
    x,
    y,
    likelihood,
    optimizer,
    batches,
    masks=None,
    rate=0.0,
    weights=None,
    rates=None,
    clip_norm=np.inf,
):
    """Runs over `batches`, lists of row numbers; returns the layers and the mean loss.

    `weights` are those of the examples, `rates` the learning rate of each batch.
    """
    weights = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    total = 0.0
    for step, rows in enumerate(batches):
        # What fills up the last batch stands at its beginning.
        batch_masks = (
            None if masks is None else [mask[step][-len(rows) :] for mask in masks]
        )
        z, _, _ = forward(layers, x[rows], batch_masks, rate)
        loss, dlogits = likelihood(z, y[rows])
        weight = weights[rows]
        total += (loss * weight).sum()
        dlogits = dlogits * weight[:, None] / (len(rows) * weights.mean())
        grads = gradients(layers, x[rows], dlogits, batch_masks, rate)
        if rates is not None:
            optimizer.learning_rate = rates[step]
        layers = optimizer.step(layers, clipped(grads, clip_norm))
    return layers, total / sum(weights[rows].sum() for rows in batches)


def error(got, want, scale):
    """The largest error in units of 2**-23, float32's spacing at 1, of its scale."""
    got = np.asarray(got, np.float64)
    assert got.shape == np.shape(want) and np.isfinite(got).all()
    return float(np.max(np.abs(got - want) / scale)) * 2.0**23
