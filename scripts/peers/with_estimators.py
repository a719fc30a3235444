"""jaxcls's estimators, or scikit-learn's own: the same lines, of which one import differs.

It prints the seconds of the first fit in this process and of later ones, of a prediction, of a search,
or the accuracies of both over seeds.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import (  # pyrefly: ignore[missing-import]
    ESTIMATORS,
    JOBS,
    Data,
    later,
    read_digits,
    read_mnist,
    seconds_of,
    usable_cores,
    versions,
)
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

RATES = np.geomspace(1e-4, 1e-1, 8).tolist()
SEEDS, FOLDS, ACCURACY_SEEDS = 3, 5, 20


class Settings(NamedTuple):
    """Of an estimator."""

    hidden: tuple[int, ...]
    batch_size: int
    epochs: int


SETTINGS = {
    "digits": Settings((32,), 64, 50),
    "table": Settings((32,), 32, 50),
    "mnist": Settings((128,), 128, 5),
    "search": Settings((32,), 64, 50),
}


def estimator(who: str, name: str, **settings: Any) -> Any:
    """`MLPClassifier` or `MLPRegressor` of jaxcls or of scikit-learn."""
    if who == "jaxcls":
        import jaxcls.sklearn as module
    else:
        import sklearn.neural_network as module
    return getattr(module, name)(**settings)


def classifier(who: str, settings: Settings, seed: int) -> Any:
    """One that does all its epochs."""
    return estimator(
        *(who, "MLPClassifier"),
        hidden_layer_sizes=settings.hidden,
        alpha=0,
        batch_size=settings.batch_size,
        max_iter=settings.epochs,
        tol=0,
        n_iter_no_change=settings.epochs,
        random_state=seed,
    )


def read(subject: str, flags: argparse.Namespace) -> Data:
    if subject == "mnist":
        return read_mnist(flags.data_dir, JOBS["T"])
    if subject != "table":
        return read_digits(all_of_them=subject == "search")
    x, y = read_table(flags.table, flags.target)
    x_train, x_test, y_train, y_test = train_test_split(
        *(x, y), test_size=0.2, stratify=y, random_state=0
    )
    return Data(x_train, y_train, x_test, y_test)


def read_table(file: Path, target: str) -> tuple[np.ndarray, np.ndarray]:
    """A .csv's columns as numbers: standardised, or one-hot; what is missing is filled in."""
    import pandas as pd

    frame = pd.read_csv(file).dropna(subset=[target])
    labels = frame.pop(target)
    numbers = list(frame.select_dtypes("number").columns)
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (OneHotEncoder(), [name for name in frame if name not in numbers]),
        sparse_threshold=0,
    )
    features = np.asarray(prepare.fit_transform(frame), np.float32)
    return features, np.unique(labels.astype(str), return_inverse=True)[1]


def fit_and_predict(who: str, subject: str, data: Data, seed: int) -> dict:
    def fit():
        return classifier(who, SETTINGS[subject], seed).fit(data.x_train, data.y_train)

    first, _ = seconds_of(fit)
    seconds, model = later(fit)
    predicting, _ = later(lambda: model.predict(data.x_test))
    return {
        "first_seconds": first,
        "train_seconds": seconds,
        "predict_ms": 1e3 * predicting,
        "train_accuracy": float(model.score(data.x_train, data.y_train)),
        "test_accuracy": float(model.score(data.x_test, data.y_test)),
    }


def search(who: str, data: Data, seed: int) -> dict:
    """8 learning rates on 5 folds with 3 seeds."""
    x, y = data.x_train, data.y_train
    cv = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    model, grid = (
        classifier(who, SETTINGS["search"], seed),
        {"learning_rate_init": RATES},
    )

    def found():
        if who == "jaxcls":
            import jaxcls.sklearn

            return jaxcls.sklearn.search(model, grid, x, y, cv=cv, seeds=SEEDS)
        with_seeds = grid | {"random_state": list(range(seed, seed + SEEDS))}
        return (
            GridSearchCV(model, with_seeds, cv=cv, n_jobs=usable_cores(), refit=False)
            .fit(x, y)
            .cv_results_
        )

    first, results = seconds_of(found)
    seconds = later(found)[0] if who == "jaxcls" else first  # which compiles nothing
    return {
        "first_seconds": first,
        "train_seconds": seconds,
        "predict_ms": None,
        "train_accuracy": None,
        "test_accuracy": float(np.mean(results["mean_test_score"])),
    }


def accuracies(flags: argparse.Namespace, num_seeds: int = ACCURACY_SEEDS) -> dict:
    """Scores of both over seeds, on the same folds with the same settings, and how far apart.

    Each is standardised within the fold and otherwise as it is by default.
    """
    from sklearn import datasets

    from jaxcls.comparisons import compare

    sets = {
        name: getattr(datasets, f"load_{name}")(return_X_y=True)
        for name in ("digits", "iris", "wine", "breast_cancer", "diabetes")
    }
    if flags.table is not None:
        sets["table"] = read_table(flags.table, flags.target)
    found = []
    for name, (x, y) in sets.items():
        kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
        mine, theirs = (
            np.array([mean_score(who, kind, x, y, seed) for seed in range(num_seeds)])
            for who in ("jaxcls", "sklearn")
        )
        found.append(
            {"set": name, "jaxcls": float(mine.mean()), "sklearn": float(theirs.mean())}
            # The folds are the same for all, so that the seeds share nothing.
            | compare(mine, theirs, ratio=0)._asdict()
        )
    return {"sets": found, "seeds": num_seeds}


def mean_score(who: str, kind: str, x: Any, y: Any, seed: int) -> float:
    model = make_pipeline(StandardScaler(), estimator(who, kind, random_state=seed))
    folds = FOLDS
    if kind == "MLPClassifier":
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    return float(np.mean(cross_val_score(model, x, y, cv=folds)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("subject", choices=ESTIMATORS.keys() - {"ensemble"})
    parser.add_argument("--who", choices=("jaxcls", "sklearn"), required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--table", type=Path, help="a .csv")
    parser.add_argument("--target", help="its column of labels")
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    packages = {"jaxcls": ("jaxcls", "jax", "numpy"), "sklearn": ("scikit-learn",)}
    if flags.subject == "accuracy":
        result = accuracies(flags)
    else:
        data = read(flags.subject, flags)
        if flags.subject == "search":
            result = search(flags.who, data, flags.seed)
        else:
            result = fit_and_predict(flags.who, flags.subject, data, flags.seed)
    print(json.dumps(result | {"versions": versions(packages[flags.who])}))


if __name__ == "__main__":
    main()
