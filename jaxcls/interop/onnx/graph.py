"""An ONNX graph that grows node by node, and in which each name stands once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# From which opset on an operator takes its axes as an input, and no more as an attribute.
_AXES_ARE_INPUT = {"ReduceSum": 13, "ReduceMax": 18}


class Graph:
    """What `onnx.helper.make_graph` takes, gathered in the order in which it is computed.

    Attributes:
        opset: of the default domain.
        nodes, inputs, outputs, constants: as ONNX has them.
        domains: those of the nodes, each with its opset.
    """

    def __init__(self, opset: int, outputs: Sequence[str] = ()):
        self.opset = opset
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.constants: list[Any] = []
        self.domains = {"": opset}
        self._taken = {*outputs}  # which the inputs may not be called

    def input(self, name: str, dtype: Any, columns: int, told: str) -> str:
        """An input [N, columns] of any N, called so or, where that is taken, with a _ behind.

        Args:
            name: that it should have.
            dtype: of NumPy; `np.str_` stands for strings.
            columns: of one example.
            told: what it takes, for a person.
        """
        name = self._unique(name, "_")
        self.inputs.append(_value(name, dtype, ["N", columns], told))
        return name

    def output(self, name: str, dtype: Any, shape: list[int | str], told: str) -> None:
        """Says that a value is an output."""
        self.outputs.append(_value(name, dtype, shape, told))

    def constant(self, array: np.ndarray, name: str) -> str:
        """Numbers or words (objects that are `str`) that are kept in the file."""
        from onnx import numpy_helper

        name = self._unique(name)
        kept = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.constants.append(kept)
        return name

    def number(self, value: float, like: Any = np.float32) -> str:
        """One number, which is kept in the file."""
        return self.constant(np.array(value, like), "number")

    def add(self, operator: str, *given: str, name: str = "", **attributes: Any) -> str:
        """A node of the default domain; returns its one output.

        Args:
            operator: of ONNX.
            given: its inputs.
            name: of an output of the graph; else one is made up.
            attributes: the operator's.
        """
        from onnx import helper

        name = name or self._unique(operator.lower())
        self.nodes.append(
            helper.make_node(operator, given, [name], name=name, **attributes)
        )
        return name

    def add_of_ml(self, operator: str, *given: str, **attributes: Any) -> str:
        """The same of the domain ai.onnx.ml."""
        domain = "ai.onnx.ml"
        self.domains[domain] = 2  # since when LabelEncoder is what it is
        return self.add(operator, *given, domain=domain, **attributes)

    def reduce(self, operator: str, given: str, axis: int, keepdims: bool) -> str:
        """A sum or maximum along an axis, as the opset wants its axes."""
        if self.opset < _AXES_ARE_INPUT[operator]:
            return self.add(operator, given, axes=[axis], keepdims=int(keepdims))
        axes = self.constant(np.array([axis]), "axis")
        return self.add(operator, given, axes, keepdims=int(keepdims))

    def column(self, given: str, place: int) -> str:
        """One column [..., 1] of numbers [..., columns]."""
        places = self.constant(np.array([place]), "place")
        return self.add("Gather", given, places, axis=-1)

    def cast(self, given: str, dtype: Any) -> str:
        """Numbers of another type."""
        return self.add("Cast", given, to=_kind(dtype))

    def _unique(self, name: str, behind: str = "") -> str:
        found, count = name, 1
        while found in self._taken:
            count += 1
            found = f"{found}{behind}" if behind else f"{name}_{count}"
        self._taken.add(found)
        return found


def _kind(dtype: Any) -> int:
    from onnx import TensorProto, helper

    if dtype is np.str_:
        return TensorProto.STRING
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _value(name: str, dtype: Any, shape: list[int | str], told: str) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, _kind(dtype), shape, told)
