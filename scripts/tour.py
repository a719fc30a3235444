# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
"""
# A tour of jaxcls

Ten minutes, from raw arrays to a saved model: one network, error bars, a sweep, a loss of your own,
a digit that you draw, an export. The data are the 1,797 handwritten digits that scikit-learn ships,
so nothing is fetched from a network; all cells together run in well under a minute on two cores.
`pip install --editable '.[export]' ipykernel` installs what they need.
"""

# %%
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits

import jaxcls
from jaxcls.cli.main import export

# %% [markdown]
"""
## From raw arrays

A `Dataset` is bytes (or floats that you scaled), whole numbers that say which class, and names.
`split` holds out a share of each class; `to_batch` makes float32 of it, bytes divided by 255. The
test set is put away until the end of each section, and chooses nothing.
"""

# %%
images, labels = load_digits(return_X_y=True)  # [1797, 64] from 0 to 16, [1797]
digits = jaxcls.data.Dataset(
    features=np.rint(images * (255 / 16)).astype(np.uint8),
    targets=labels.astype(np.int32),
    labels=tuple(range(10)),
    class_names=tuple("0123456789"),
    image_shape=(8, 8),
)
rest, test_digits = jaxcls.data.split(digits, 0.2, seed=0)
train_digits, validation_digits = jaxcls.data.split(rest, 0.2, seed=1)
train, validation, test = map(
    jaxcls.data.to_batch, (train_digits, validation_digits, test_digits)
)
print(train.features.shape, validation.features.shape, test.features.shape)

# %% [markdown]
"""
## One network

`Config` is what a run is: a new one compiles a new program. `Hyperparams` are numbers that may
change without that, and `Keys` all that is random. With `monitor`, the validation set says after
each epoch whether the parameters are the best so far, and `chosen_params` gives those.
"""

# %%
config = jaxcls.Config(
    layer_sizes=(64, 32, 10),
    likelihood=jaxcls.categorical,
    batch_size=32,
    epochs=20,
    monitor="loss",
)
keys = jaxcls.Keys.from_seed(0)
hyperparams = jaxcls.Hyperparams(learning_rate=3e-3)
state, history = jaxcls.fit(keys, config, hyperparams, train, validation)

score = jaxcls.evaluate(jaxcls.chosen_params(state), test, config=config)
low, high = jaxcls.scores.accuracy_interval(int(score.correct), int(score.count))
print(
    f"{score.accuracy:.4f} of the test set is right, 95% interval {low:.4f} to {high:.4f}"
)

# %%
epochs = np.arange(1, config.epochs + 1)
figure, axes = plt.subplots(figsize=(4.5, 3))
axes.plot(epochs, history.loss, label="training")
axes.plot(epochs, history.validation.loss, "--", label="validation")
axes.set(xlabel="epoch", ylabel="cross entropy", title="One network")
axes.legend()
figure.tight_layout()

# %% [markdown]
"""
## Error bars

Another seed gives other starting weights and another order of the examples. `fit_many` trains
sixteen seeds as one program. How far they spread is what chance alone does; the mean of their
probabilities is a classifier of its own.
"""

# %%
seeds = range(16)
runs = jaxcls.fit_many(seeds, config, hyperparams, train, validation, test)
accuracies = runs.scores["test"].accuracy
of_seeds = jaxcls.scores.summary(accuracies)
print(f"a seed: {of_seeds.mean:.4f} on average, std {of_seeds.std:.4f}")
print(f"95% interval of that mean: {of_seeds.low:.4f} to {of_seeds.high:.4f}")

p = jaxcls.ensembles.probabilities(runs.params, test.features, jaxcls.categorical)
print(f"all together: {(p.argmax(axis=1) == test.targets).mean():.4f}")

# %% [markdown]
"""
## A sweep

Which learning rate, and how much weight decay? These are numbers, so that one program serves all;
another optimizer or dropout would be a program more. Each setting is trained with the same four
seeds, and ranked by the validation set. Only the winner meets the test set, once.
"""

# %%
space = {
    "learning_rate": jaxcls.sweep.Choice(1e-3, 1e-2, 1e-1),
    "weight_decay": jaxcls.sweep.Choice(0.0, 0.3),
}
settings = [
    jaxcls.sweep.settle(values, config, hyperparams)
    for values in jaxcls.sweep.grid(space)
]
plan = jaxcls.sweep.plan(settings, range(4), train, validation)
outcomes = jaxcls.sweep.run(plan, train, validation)
for outcome in outcomes:
    setting = settings[outcome.setting].hyperparams
    print(
        f"rate {setting.learning_rate:<5} decay {setting.weight_decay}: "
        f"loss {outcome.loss.mean:.4f}, {outcome.loss.low:.4f} to {outcome.loss.high:.4f}"
    )

# %%
best = outcomes[0].setting
again = jaxcls.sweep.run_again(plan, outcomes, [best], train, validation)[best]
p = jaxcls.ensembles.probabilities(again.params, test.features, jaxcls.categorical)
print(f"the best setting's four: {(p.argmax(axis=1) == test.targets).mean():.4f}")

# %% [markdown]
"""
## A loss of your own

Say that 40% of the training labels are wrong. Cross entropy learns them by heart in the end; the
loss of Z. Zhang and M. Sabuncu (2018), (1 - p^q) / q for the probability p of the label, gives less
weight to what the network finds absurd. A likelihood is the place for it: it says how many outputs
there are, which activation, which loss for each example, and how to predict. `fit_many` gives both
the same seeds, so that they can be compared in pairs.
"""


# %%
def robust_loss(logits, labels, q=0.7):
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
    return (1 - jnp.exp(q * log_p[:, 0])) / q


ours = jaxcls.categorical
robust = jaxcls.Likelihood(
    "robust", ours.num_outputs, ours.activation, robust_loss, ours.predict
)

rng = np.random.default_rng(0)
is_wrong = rng.random(len(train.targets)) < 0.4
wrong = (train.targets + rng.integers(1, 10, len(train.targets))) % 10
noisy = train._replace(
    targets=np.where(is_wrong, wrong, train.targets).astype(np.int32)
)


def accuracies_with(likelihood):
    config = jaxcls.Config((64, 32, 10), likelihood, batch_size=32, epochs=30)
    return (
        jaxcls.fit_many(range(8), config, hyperparams, noisy, test=test)
        .scores["test"]
        .accuracy
    )


of_robust, of_plain = accuracies_with(robust), accuracies_with(jaxcls.categorical)
found = jaxcls.comparisons.compare(of_robust, of_plain, ratio=0)
print(f"cross entropy {of_plain.mean():.4f}, robust {of_robust.mean():.4f}")
print(
    f"difference {found.difference:.4f}, 95% interval {found.low:.4f} to {found.high:.4f}"
)

# %% [markdown]
"""
## Save it, and draw a digit

`save_run` writes a folder that `load_run`, `scripts/predict.py` and `scripts/evaluate.py` read;
here it holds the sixteen networks, which predict together. Draw something else, and run the cell
again. How unsure the ensemble is, in nats, says little about what it has never seen: to noise, too,
it gives one of its ten classes.
"""

# %%
here = tempfile.TemporaryDirectory()  # removed as this process ends
folder = Path(here.name) / "digits"
jaxcls.save_run(folder, runs.params, config, train=train_digits, seeds=seeds)
run = jaxcls.load_run(folder)

drawn = """
  ####
 ##  ##
     ##
    ##
   ##
  ##
 ##
 ######
"""
rows = [line.ljust(8)[:8] for line in drawn.strip("\n").splitlines()]
drawing = np.array([[255 * (c == "#") for c in row] for row in rows], np.uint8)
noise = rng.integers(0, 256, (8, 8), np.uint8)
pair = np.stack([drawing, noise])

p = run.predict_proba(pair)
unsure = run.uncertainty(pair).total
for name, chances, nats in zip(("the drawing", "noise"), p, unsure, strict=True):
    print(
        f"{name}: {chances.argmax()}, p = {chances.max():.3f}, unsure {nats:.2f} nats"
    )

# %%
figure, axes = plt.subplots(1, 2, figsize=(4.5, 2.5))
axes[0].imshow(drawing, cmap="gray")
axes[0].set(title="The drawing", xticks=[], yticks=[])
axes[1].bar(range(10), p[0])
axes[1].set(title="Its probabilities", xlabel="digit", xticks=range(10), ylim=(0, 1))
figure.tight_layout()

# %% [markdown]
"""
## Export

A network's parameters are a dict of arrays. PyTorch reads them under its own names from a
safetensors file, without jaxcls: `net.load_state_dict(safetensors.torch.load_file(path))`.
"""

# %%
one = run.members()[0]
jaxcls.interop.pytorch.write_safetensors(folder / "net.safetensors", one.params)
names = jaxcls.interop.pytorch.to_state_dict(one.params)
print({name: array.shape for name, array in names.items()})

# %% [markdown]
"""
An ONNX file has all of a run inside, the ensemble's mean, too, and needs neither jaxcls nor jax
where it is served.
"""

# %%
export([str(folder), "--output", str(folder / "digits.onnx")])
session = onnxruntime.InferenceSession(folder / "digits.onnx")
label, chances = session.run(None, {"features": pair.reshape(2, 64)})
print(label, abs(chances - p).max())

# %% [markdown]
"""
## Further

- `README.md`: the scripts, which do all of this from the command line and write pictures beside it.
- `jaxcls/README.md`: optimizers and activations of your own, serving, scikit-learn's interface.
- `jaxcls/notes/README.md`: the course notes' PyTorch code, pattern by pattern, beside jaxcls's.
"""
