"""jaxcls: train small classifiers in JAX, as pure functions."""

import importlib
from typing import Any

from jaxcls import (
    calibration,
    comparisons,
    conformal,
    data,
    ensembles,
    interop,
    layouts,
    losses,
    metrics,
    mlp,
    probability_scores,
    regression,
    reliability,
    scores,
    thresholds,
)
from jaxcls.batches import Batch
from jaxcls.config import Config, Hyperparams, Keys
from jaxcls.epochs import History, train_epochs
from jaxcls.fitting import Report, fit
from jaxcls.likelihoods import (
    Likelihood,
    bernoulli,
    categorical,
    class_probabilities,
    gaussian,
    normal,
)
from jaxcls.metrics import Metrics
from jaxcls.runs import Run, load_run, save_run
from jaxcls.study import sweep
from jaxcls.study.engine import Runs
from jaxcls.study.many import fit_many
from jaxcls.training import TrainState, chosen_params, evaluate, init_state, train_step

__version__ = "0.2.0"


def use_compile_cache() -> None:
    """Has jax keep what it compiles for the next process, in the folder of the scripts."""
    from jaxcls.cli import compile_cache  # the commands' part, which no import needs

    compile_cache.use_compile_cache()


def __getattr__(name: str) -> Any:
    """`jaxcls.sklearn`, which imports scikit-learn, when it is first asked for."""
    if name == "sklearn":
        return importlib.import_module("jaxcls.sklearn")
    raise AttributeError(f"module 'jaxcls' has no attribute {name!r}")


__all__ = [
    "Batch",
    "Config",
    "History",
    "Hyperparams",
    "Keys",
    "Likelihood",
    "Metrics",
    "Report",
    "Run",
    "Runs",
    "TrainState",
    "bernoulli",
    "calibration",
    "categorical",
    "chosen_params",
    "class_probabilities",
    "comparisons",
    "conformal",
    "data",
    "ensembles",
    "evaluate",
    "fit",
    "fit_many",
    "gaussian",
    "init_state",
    "interop",
    "layouts",
    "load_run",
    "losses",
    "metrics",
    "mlp",
    "normal",
    "probability_scores",
    "regression",
    "reliability",
    "save_run",
    "scores",
    "sweep",
    "thresholds",
    "train_epochs",
    "train_step",
    "use_compile_cache",
]
