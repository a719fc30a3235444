"""Neighbours: what jaxcls shares with other libraries, none of which it imports."""

from jaxcls.interop import flax as flax
from jaxcls.interop import onnx as onnx
from jaxcls.interop import pytorch as pytorch
