"""OpenVINO in the place of a Keras model that answers, on processors.

It takes the graph of a folded model in float32, in memory, and computes in float32 or, where it is
asked to and the processor can, in bfloat16. In that it rounds more than ``fold`` does: also sums of
branches and what enters the last layer. Numbers that a source brings are standardised in float32;
convolutions that read pixels themselves stay in float32 as in ``fold``, by cutting the graph in two
behind them: with them in bfloat16 answers were off by half as much again.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, final

import keras
import numpy as np
import openvino
import tensorflow
from numpy.typing import NDArray
from openvino import opset16

from kidsclf.models.backend import Precision
from kidsclf.models.fold import FEW_CHANNELS
from kidsclf.models.unpacking import unpacked

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_PIECE = 32
"""Rows at once whose full-sized maps stay in a processor's cache: 84 us of a core a source for what
reads its pixels in ``mnn``; 512 at once take 118, 8 take 83."""
_CHEAP = {"Add", "Relu", "AvgPool", "Transpose"}
"""Operations that follow a convolution and shrink or keep its maps."""


class _Compiled(NamedTuple):
    """A part for a number of rows; names are those before compilation, which adds some."""

    request: Any
    rows: int
    takes: list[str]
    makes: list[str]


@final
class OpenvinoEngine:
    """What graphs, one after the other, answer; each compiled once for each number of rows."""

    def __init__(self, parts: Sequence[tuple[Any, Precision]], threads: int) -> None:
        self._parts = parts
        self._threads = threads
        self._compiled: dict[int, list[_Compiled]] = {}
        self._one_at_a_time = threading.Lock()

    @classmethod
    def of(cls, model: keras.Model, threads: int) -> "OpenvinoEngine":
        """Answer in float32 for a Keras model, which is no longer needed.

        Parameters
        ----------
        model : keras.Model
            On TensorFlow, folded in float32, with named inputs.
        threads : int
            Of one answer.
        """
        shapes = {
            name: tensorflow.TensorSpec(each.shape, each.dtype, name)
            for name, each in model.input.items()
        }
        answer = tensorflow.function(lambda **batch: model(batch, training=False))
        graph = openvino.convert_model(answer.get_concrete_function(**shapes), share_weights=False)
        for each in graph.inputs:  # which may bear names of operations, too
            each.get_tensor().set_names(each.names & shapes.keys())
        return cls([(graph, "float32")], threads)

    def rounded(self, precision: Precision) -> "OpenvinoEngine":
        """Answer from the same graph, what reads pixels in float32 and the rest as is said."""
        graph, _ = self._parts[-1]
        *before, rest = _cut(graph)
        parts: list[tuple[Any, Precision]] = [(each, "float32") for each in before]
        return OpenvinoEngine([*parts, (rest, precision)], self._threads)

    def predict_on_batch(self, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Answer a batch, as a Keras model does.

        Parameters
        ----------
        batch : mapping of str to array (n, ...)
            By the names of the model's inputs; stamps also as codes with their steps.

        Returns
        -------
        float32 array (n, classes)
        """
        rows = len(next(iter(batch.values())))
        with self._one_at_a_time:
            if rows not in self._compiled:
                few = max(each for each in range(1, _PIECE + 1) if rows % each == 0)
                at_once = [few] * (len(self._parts) - 1) + [rows]
                self._compiled[rows] = list(map(self._compile, self._parts, at_once))
            values = unpacked(batch)
            for part in self._compiled[rows]:
                made = _in_pieces(part, values, rows)
                values |= made
            return next(iter(made.values()))

    def _compile(self, part: tuple[Any, Precision], rows: int) -> _Compiled:
        """Fix the number of rows: a tenth faster than one graph for any number."""
        graph, precision = part
        fixed = graph.clone()
        fixed.reshape({each.any_name: [rows, *each.partial_shape[1:]] for each in fixed.inputs})
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": 1,
            # Each worker would bind its threads to the same first cores.
            "ENABLE_CPU_PINNING": False,
        }
        request = openvino.Core().compile_model(fixed, "CPU", settings).create_infer_request()
        takes, makes = ([each.any_name for each in some] for some in (fixed.inputs, fixed.outputs))
        return _Compiled(request, rows, takes, makes)


def _in_pieces(
    part: _Compiled, values: Mapping[str, NDArray[Any]], rows: int
) -> dict[str, NDArray[np.float32]]:
    """Ask for as many rows at a time as were compiled for; give what is made, by names."""
    made: dict[str, NDArray[np.float32]] = {}
    for start in range(0, rows, part.rows):
        piece = slice(start, start + part.rows)
        part.request.infer([values[name][piece] for name in part.takes], share_inputs=True)
        for place, name in enumerate(part.makes):
            few = part.request.get_output_tensor(place).data
            if name not in made:
                made[name] = np.empty((rows, *few.shape[1:]), np.float32)
            made[name][piece] = few
    return made


def _cut(graph: Any) -> list[Any]:
    """Cut a graph in two behind the convolutions that read pixels; leave it whole without any."""
    first, second = graph.clone(), graph.clone()
    ends = _after_pixels(first)
    if not ends:
        return [graph]
    maps = []
    for number, (end, same) in enumerate(zip(ends, _after_pixels(second), strict=True)):
        given = opset16.parameter(same.get_output_partial_shape(0), np.float32, f"maps_{number}")
        for output in (end.output(0), given.output(0)):
            output.get_tensor().set_names({f"maps_{number}"})
        same.output(0).replace(given.output(0))
        maps.append(given)
    return [
        _model(ends, first.get_parameters()),
        _model(second.get_results(), [*second.get_parameters(), *maps]),
    ]


def _after_pixels(graph: Any) -> list[Any]:
    """Find what ends each chain of operations that begins with a convolution of few channels."""
    ends = []
    for operation in graph.get_ordered_ops():
        if operation.get_type_name() != "Convolution":
            continue
        if operation.input(1).get_partial_shape()[1].get_length() > FEW_CHANNELS:
            continue
        takers = operation.output(0).get_target_inputs()
        while len(takers) == 1 and next(iter(takers)).get_node().get_type_name() in _CHEAP:
            operation = next(iter(takers)).get_node()  # noqa: PLW2901
            takers = operation.output(0).get_target_inputs()
        ends.append(operation)
    return ends


def _model(results: Sequence[Any], parameters: Sequence[Any]) -> Any:
    """Make a graph of what leads to results."""
    whole = openvino.Model(results, parameters, "part")
    read = {
        each.get_source_output().get_node().get_friendly_name()
        for operation in whole.get_ordered_ops()
        for each in operation.inputs()
    }
    taken = [each for each in parameters if each.get_friendly_name() in read]
    return openvino.Model(results, taken, "part")
