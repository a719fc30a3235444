"""Pictures of runs and studies: functions of arrays that give a matplotlib figure."""

from jaxcls.runs.plots.canvas import png as png
from jaxcls.runs.plots.examples import mistakes as mistakes
from jaxcls.runs.plots.history import curves as curves
from jaxcls.runs.plots.kernels import weights as weights
from jaxcls.runs.plots.matrix import confusion as confusion
from jaxcls.runs.plots.paired import differences as differences
from jaxcls.runs.plots.probabilities import reliability as reliability
from jaxcls.runs.plots.probabilities import roc as roc
from jaxcls.runs.plots.swept import heat_map as heat_map
from jaxcls.runs.plots.swept import sweep as sweep
from jaxcls.runs.plots.targets import predicted as predicted
from jaxcls.runs.plots.targets import residuals as residuals
