"""The jobs in jaxcls: `fit`, or `train_epochs` where the test set ends the training.

Many models are trained by `fit_many`, or where scores alone are kept as a sweep trains them.
"""

import collections
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common import (  # pyrefly: ignore[missing-import]
    FOLD_SEEDS,
    Data,
    Job,
    Trained,
    fold_rates,
    main,
    rates,
    read_digits,
    splits_of,
)

import jaxcls
from jaxcls.cli.device import choose_devices
from jaxcls.interop import pytorch
from jaxcls.study.devices import member_mesh
from jaxcls.study.engine import Members, joined, num_chunks, train_members
from jaxcls.study.many import per_member
from jaxcls.study.planning import plan_width, usual_memory
from jaxcls.study.sets import place


def load(folder: Path, job: Job) -> Data:
    if job.folds:
        return read_digits(all_of_them=True)
    parts = jaxcls.data.load("mnist", data_dir=folder, classes=job.classes)
    train, test = (jaxcls.data.to_batch(part) for part in parts)
    return Data(*map(np.asarray, (*train[:2], *test[:2])))


def config_of(job: Job) -> jaxcls.Config:
    return jaxcls.Config(
        layer_sizes=job.layer_sizes,
        likelihood=(
            jaxcls.bernoulli if job.layer_sizes[-1] == 1 else jaxcls.categorical
        ),
        optimizer=job.optimizer,
        batch_size=job.batch_size,
        shuffle=job.shuffle,
        dropout=job.dropout > 0,
        epochs=job.epochs,
    )


def first_params(job: Job, seed: int):
    """PyTorch's weights in the notes' jobs, as in their recipes; else None, for jaxcls's own."""
    return pytorch.init(seed, job.layer_sizes) if job.optimizer == "sgd" else None


def train(job: Job, data: Data, seed: int) -> Trained:
    if job.folds:
        return train_folds(job, data, seed)
    if job.scores_only:
        return train_for_scores(job, data, seed)
    return (train_one if job.models == 1 else train_many)(job, data, seed)


def train_one(job: Job, data: Data, seed: int) -> Trained:
    config, keys = config_of(job), jaxcls.Keys.from_seed(seed)
    hyperparams = jaxcls.Hyperparams(job.learning_rates[0], job.dropout)
    state = jaxcls.init_state(keys, config, first_params(job, seed))
    batch = jaxcls.Batch(data.x_train, data.y_train)
    accuracies = []
    if job.target is None:
        state, _ = jaxcls.fit(
            keys,
            config,
            hyperparams,
            batch,
            state=state,
            report_every=job.score_every,
            on_report=lambda report: accuracies.append(float(report.train.accuracy)),
        )
    else:
        batch, test = jax.device_put((batch, jaxcls.Batch(data.x_test, data.y_test)))
        while len(accuracies) < job.epochs:
            state, _ = jaxcls.layouts.train_epochs(
                state, batch, keys, hyperparams, config=config, num_epochs=1
            )
            scores = jaxcls.evaluate(state.params, test, config=config)
            accuracies.append(float(scores.accuracy))
            if accuracies[-1] >= job.target:
                break

    def score(x: np.ndarray, y: np.ndarray) -> float:
        scores = jaxcls.evaluate(state.params, jaxcls.Batch(x, y), config=config)
        return float(scores.accuracy)

    return Trained(accuracies, score)


def train_many(job: Job, data: Data, seed: int) -> Trained:
    devices, config = choose_devices(job.device)[: job.models], config_of(job)
    seeds = range(seed, seed + job.models)
    firsts = [first_params(job, each) for each in seeds]
    runs = jaxcls.fit_many(
        seeds,
        config,
        jaxcls.Hyperparams(jnp.array(rates(job)), job.dropout),
        jaxcls.Batch(data.x_train, data.y_train),
        params=jax.tree.map(lambda *leaves: np.stack(leaves), *firsts),
        devices=devices,
    )

    def score(x: np.ndarray, y: np.ndarray) -> float:
        batch, accuracies = jaxcls.Batch(x, y), []
        for row in range(job.models):
            params = jax.tree.map(lambda leaf, row=row: leaf[row], runs.params)
            scores = jaxcls.evaluate(params, batch, config=config)
            accuracies.append(float(scores.accuracy))
        return float(np.mean(accuracies))

    return Trained([float(np.mean(runs.scores["train"].accuracy))], score)


def train_folds(job: Job, data: Data, seed: int) -> Trained:
    """Each learning rate on each fold with each seed."""
    splits = splits_of(job, data)
    seeds = range(seed, seed + FOLD_SEEDS)
    members = list(itertools.product(fold_rates(job), splits, seeds))
    runs = jaxcls.fit_many(
        [seed for _, _, seed in members],
        config_of(job),
        jaxcls.Hyperparams(jnp.array([rate for rate, _, _ in members])),
        jaxcls.Batch(data.x_train, data.y_train),
        train_rows=[train for _, (train, _), _ in members],
        test_rows=[test for _, (_, test), _ in members],
        devices=choose_devices(job.device),
    )
    mean = float(np.mean(runs.scores["test"].accuracy))
    return Trained([mean], lambda x, y: mean)


def train_for_scores(
    job: Job, data: Data, seed: int, rounds: int | None = None
) -> Trained:
    """Models by the thousand, of which a round is as many as all devices train at once.

    Their first weights are drawn as they are needed, from the seeds.
    """
    devices, config = choose_devices(job.device)[: job.models], config_of(job)
    batch, mesh = jaxcls.Batch(data.x_train, data.y_train), member_mesh(devices)
    hyperparams = jaxcls.Hyperparams(jnp.array(rates(job)), job.dropout)
    width = plan_width(
        config,
        batch,
        None,
        None,
        num_runs=job.models,
        devices=devices,
        memory=usual_memory(devices),
    )
    chunks = num_chunks(job.models, width)
    if rounds is not None:
        chunks = min(chunks, rounds * len(devices))
    trained = train_members(
        Members(
            np.arange(seed, seed + job.models, dtype=np.uint32),
            per_member(hyperparams, job.models),
        ),
        width,
        place(mesh, batch, None),
        config.epochs,
        config=config,
        mesh=mesh,
        chunks=range(chunks),
        keep=False,
    )
    return Trained([float(np.mean(joined(trained).scores["train"].accuracy))])


def first_round(job: Job, data: Data, seed: int) -> Trained:
    """Compiles all that the whole job needs."""
    return train_for_scores(job, data, seed, rounds=1)


class Programs:
    """The seconds that jax spent tracing, lowering and compiling the programs of each name.

    What is traced within another counts in both.
    """

    def __init__(self):
        self._spent: dict[str, dict[str, float]] = collections.defaultdict(dict)
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **about: str | int) -> None:
        if event.startswith("/jax/core/compile/") and "fun_name" in about:
            name = str(about["fun_name"]).removeprefix("jit(").removesuffix(")")
            kinds = self._spent[name]
            kinds[event] = kinds.get(event, 0.0) + duration_secs

    def spent(self) -> dict:
        """The programs, and not the functions within them, which are only traced."""
        compiled = "/jax/core/compile/backend_compile_duration"
        return {
            "programs": {
                name: sum(kinds.values())
                for name, kinds in self._spent.items()
                if compiled in kinds
            }
        }


if __name__ == "__main__":
    main(
        train,
        ("jaxcls", "jax", "jaxlib", "numpy"),
        compiles=True,
        warm_up=first_round,
        load=load,
        also=Programs().spent,
    )
