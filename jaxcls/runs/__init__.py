"""Runs: the folder that keeps what a run was told and what came of it, and its pictures."""

from jaxcls.runs.blocks import Shape as Shape
from jaxcls.runs.blocks import blocks_from_bytes as blocks_from_bytes
from jaxcls.runs.blocks import blocks_to_bytes as blocks_to_bytes
from jaxcls.runs.blocks import fitting as fitting
from jaxcls.runs.blocks import read_blocks as read_blocks
from jaxcls.runs.blocks import remove_blocks as remove_blocks
from jaxcls.runs.blocks import write_block as write_block
from jaxcls.runs.checkpoints import Checkpoint as Checkpoint
from jaxcls.runs.checkpoints import newest_checkpoint as newest_checkpoint
from jaxcls.runs.checkpoints import prune_checkpoints as prune_checkpoints
from jaxcls.runs.checkpoints import read_config as read_config
from jaxcls.runs.checkpoints import remove_checkpoints_after as remove_checkpoints_after
from jaxcls.runs.checkpoints import write_checkpoint as write_checkpoint
from jaxcls.runs.folder import RunFolder as RunFolder
from jaxcls.runs.folder import new_run_path as new_run_path
from jaxcls.runs.folder import read_metrics as read_metrics
from jaxcls.runs.names import ENSEMBLE as ENSEMBLE
from jaxcls.runs.names import MODEL as MODEL
from jaxcls.runs.names import PICTURES as PICTURES
from jaxcls.runs.names import WINNER as WINNER
from jaxcls.runs.records import check_same_run as check_same_run
from jaxcls.runs.scoring import ensemble_scores as ensemble_scores
from jaxcls.runs.scoring import score as score
from jaxcls.runs.trained import Run as Run
from jaxcls.runs.trained import described as described
from jaxcls.runs.trained import load_run as load_run
