"""ONNX: a trained classifier as one graph that runs where neither jax nor jaxcls is installed."""

from jaxcls.interop.answers import Classes as Classes
from jaxcls.interop.onnx.inputs import Columns as Columns
from jaxcls.interop.onnx.inputs import Number as Number
from jaxcls.interop.onnx.inputs import Rows as Rows
from jaxcls.interop.onnx.inputs import Values as Values
from jaxcls.interop.onnx.inputs import Words as Words
from jaxcls.interop.onnx.model import OPSET as OPSET
from jaxcls.interop.onnx.model import to_onnx as to_onnx
from jaxcls.regression import Target as Target
