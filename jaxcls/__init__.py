"""jaxcls: train small classifiers in JAX, as pure functions."""

from jaxcls import data as data
from jaxcls import ensembles as ensembles
from jaxcls import interop as interop
from jaxcls import layouts as layouts
from jaxcls import losses as losses
from jaxcls import metrics as metrics
from jaxcls import mlp as mlp
from jaxcls import scores as scores
from jaxcls import sweep as sweep
from jaxcls.batches import Batch as Batch
from jaxcls.config import Config as Config
from jaxcls.config import Hyperparams as Hyperparams
from jaxcls.config import Keys as Keys
from jaxcls.fitting import Report as Report
from jaxcls.fitting import fit as fit
from jaxcls.likelihoods import Likelihood as Likelihood
from jaxcls.likelihoods import bernoulli as bernoulli
from jaxcls.likelihoods import categorical as categorical
from jaxcls.likelihoods import class_probabilities as class_probabilities
from jaxcls.likelihoods import gaussian as gaussian
from jaxcls.many import Runs as Runs
from jaxcls.many import fit_many as fit_many
from jaxcls.metrics import Metrics as Metrics
from jaxcls.runs import Run as Run
from jaxcls.runs import load_run as load_run
from jaxcls.sharding import shard_rows as shard_rows
from jaxcls.training import History as History
from jaxcls.training import TrainState as TrainState
from jaxcls.training import chosen_params as chosen_params
from jaxcls.training import evaluate as evaluate
from jaxcls.training import init_state as init_state
from jaxcls.training import train_epochs as train_epochs
from jaxcls.training import train_step as train_step

__version__ = "0.1.0"
