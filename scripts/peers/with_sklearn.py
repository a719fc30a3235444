"""The jobs in scikit-learn: `MLPClassifier`, which knows no dropout."""

import warnings

import numpy as np
from common import LEARNING_RATE, Data, Job, Trained, main  # pyrefly: ignore[missing-import]
from sklearn.exceptions import ConvergenceWarning
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


if __name__ == "__main__":
    # It warns whenever the epochs asked for are done.
    warnings.simplefilter("ignore", ConvergenceWarning)
    main(train, ("scikit-learn", "numpy"))
