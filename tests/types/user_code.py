"""A user's code, with errors that every type checker must find: those whose lines say so."""

import jax
import numpy as np
import optax

import jaxcls

train = jaxcls.Batch(np.zeros((4, 2), np.float32), np.zeros(4))
keys = jaxcls.Keys.from_seed(0)
config = jaxcls.Config((2, 8, 1), jaxcls.bernoulli, "adam", activation="gelu")
state = jaxcls.init_state(keys, config)


def own(hyperparams: jaxcls.Hyperparams) -> optax.GradientTransformation:
    return optax.sgd(hyperparams.learning_rate)


jaxcls.Config((2, 1), jaxcls.bernoulli, own, activation=jax.nn.elu)
jaxcls.Config((2, 1), jaxcls.bernoulli, optimizer="adma")  # error
jaxcls.Config((2, 1), jaxcls.bernoulli, activation="rleu")  # error
jaxcls.Config((2, 1), jaxcls.bernoulli, epochs="10")  # error
jaxcls.Config((2, 1), jaxcls.bernoulli, monitor="f1")  # error
jaxcls.Config(likelihood=jaxcls.bernoulli)  # error

state, loss = jaxcls.train_step(state, train, None, jaxcls.Hyperparams(), config=config)
loss.block_until_ready()
jaxcls.train_step(state, train, jaxcls.Hyperparams(), config=config)  # error
jaxcls.train_step(state, train, None, jaxcls.Hyperparams(), config)  # error
jaxcls.train_step(state, train, None, jaxcls.Hyperparams(), confg=config)  # error

state, history = jaxcls.train_epochs(
    state, train, keys, jaxcls.Hyperparams(0.1), config=config, num_epochs=3
)
history.loss.mean()
print(history.accuracy)  # error
jaxcls.train_epochs(state, train, keys, config=config, num_epochs=3)  # error
jaxcls.init_state(config, keys)  # error
jaxcls.train_epochs.lower(
    state, train, keys, jaxcls.Hyperparams(), config=config, num_epochs=1
)

state, history = jaxcls.fit(keys, config, jaxcls.Hyperparams(), train)
jaxcls.fit(0, config, jaxcls.Hyperparams(), train)  # error
jaxcls.fit(keys, config, jaxcls.Hyperparams(), train, on_report=1)  # error
jaxcls.evaluate(state.params, train)  # error
float(jaxcls.evaluate(state.params, train, config=config).loss)
jaxcls.fit_many(5, config, jaxcls.Hyperparams(), train)  # error
runs = jaxcls.fit_many(range(5), config, jaxcls.Hyperparams(jax.numpy.ones(5)), train)
print(runs.scores["train"].accuracy)

jaxcls.ensembles.probabilities(state.params, np.ones((1, 2)), jaxcls.bernoulli).sum()
jaxcls.ensembles.probabilities(jaxcls.bernoulli, state.params, np.ones((1, 2)))  # error
jaxcls.class_probabilities(jaxcls.bernoulli, jax.numpy.ones((1, 1)))  # error
jaxcls.save_run("run", state.params, config, class_names=("no", "yes"))
run = jaxcls.load_run("run", optimizer=own)
run.predict("digit.png").tolist()
run.predict_prob("digit.png")  # error
jaxcls.load_run(3)  # error
