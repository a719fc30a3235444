"""The jobs in scikit-learn: `MLPClassifier`, which knows no dropout."""

import warnings

import numpy as np
from common import (  # pyrefly: ignore[missing-import]
    FOLD_SEEDS,
    LEARNING_RATE,
    Data,
    Job,
    Trained,
    fold_rates,
    main,
    splits_of,
    usable_cores,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier


def train(job: Job, data: Data, seed: int) -> Trained:
    net = MLPClassifier(
        hidden_layer_sizes=job.layer_sizes[1:-1],
        solver=job.optimizer,
        alpha=0,
        batch_size=job.batch_size or len(data.x_train),
        learning_rate_init=LEARNING_RATE,
        max_iter=job.score_every,
        shuffle=job.shuffle,
        # An integer would give each call below the same order of the examples.
        random_state=np.random.RandomState(seed),
        tol=0,
        momentum=0,
        nesterovs_momentum=False,
        n_iter_no_change=np.inf,
        warm_start=True,
    )
    classes = np.unique(data.y_train)
    accuracies = []
    while len(accuracies) * job.score_every < job.epochs:
        if job.optimizer == "sgd":
            net.fit(data.x_train, data.y_train)
        else:
            # Each `fit` would forget Adam's moments.
            for _ in range(job.score_every):
                net.partial_fit(data.x_train, data.y_train, classes=classes)
        if job.target is None:
            accuracies.append(net.score(data.x_train, data.y_train))
            continue
        accuracies.append(net.score(data.x_test, data.y_test))
        if accuracies[-1] >= job.target:
            break
    return Trained(accuracies, net.score)


def train_folds(job: Job, data: Data, seed: int) -> Trained:
    search = GridSearchCV(
        MLPClassifier(
            hidden_layer_sizes=job.layer_sizes[1:-1],
            alpha=0,
            batch_size=job.batch_size,
            max_iter=job.epochs,
            tol=0,
            n_iter_no_change=job.epochs,
        ),
        {
            "learning_rate_init": fold_rates(job),
            "random_state": range(seed, seed + FOLD_SEEDS),
        },
        cv=splits_of(job, data),
        n_jobs=usable_cores(),
        refit=False,
    )
    search.fit(data.x_train, data.y_train)
    mean = float(search.cv_results_["mean_test_score"].mean())
    return Trained([mean], lambda x, y: mean)


def train_any(job: Job, data: Data, seed: int) -> Trained:
    return (train_folds if job.folds else train)(job, data, seed)


if __name__ == "__main__":
    # It warns whenever the epochs asked for are done.
    warnings.simplefilter("ignore", ConvergenceWarning)
    main(train_any, ("scikit-learn", "numpy"))
