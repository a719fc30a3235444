"""Runs: the folder that keeps what a run was told and what came of it, and its pictures."""

from jaxcls.runs.folder import RunFolder as RunFolder
from jaxcls.runs.folder import new_run_path as new_run_path
