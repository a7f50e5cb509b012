"""Corrects the biases of int8 networks for the mean shift that rounded weights cause.

Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019,
section 4.2, https://arxiv.org/abs/1906.04721; the means of inputs are from training photos.
"""

import collections
import copy
import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tensorflow.lite.python.schema_py_generated import ModelT, OperatorT

# Means need fewer photos than ranges, and each photo goes through the network in float32.
_PHOTOS = 100


@dataclasses.dataclass(frozen=True)
class _Layer:
    """A convolution or dense layer; weights [outputs, positions, inputs of one group].

    Attributes:
        operator: its inputs are a tensor, the weights and, in most layers, a bias.
        weights: in real units, whatever type they are stored in.
        unit: of the bias, one per output or one for all; 1 in float32.
    """

    operator: "OperatorT"
    weights: np.ndarray
    unit: np.ndarray


def correct_biases(model: "ModelT", plain: bytes, photos: Iterator[np.ndarray]) -> None:
    """Changes the biases of an int8 network so that all outputs keep their mean in float32.

    Nothing is changed where the converter made other layers for int8 than for float32, nor in
    layers without a bias.

    Args:
        model: int8, changed in place.
        plain: the same network in float32, as the converter returns it.
        photos: uint8 pixels, [1, height, width, 3]. The first 100 are used.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    exact, rounded = _layers(schema.ModelT.InitFromPackedBuf(plain, 0)), _layers(model)
    if [one.weights.shape for one in exact] != [one.weights.shape for one in rounded]:
        return
    means = _means(plain, [layer.operator.inputs[0] for layer in exact], photos)
    graph = model.subgraphs[0]
    fed = (place for one in graph.operators for place in one.inputs if place >= 0)
    users = collections.Counter(graph.tensors[place].buffer for place in fed)
    for ours, theirs, mean in zip(rounded, exact, means, strict=True):
        if len(ours.operator.inputs) < 3 or ours.operator.inputs[2] < 0:
            continue
        outputs, _, width = ours.weights.shape
        # Padding counts as having the inputs' mean.
        inputs = np.repeat(mean.reshape(-1, width), outputs * width // len(mean), axis=0)
        shift = np.einsum("opi,oi->o", theirs.weights - ours.weights, inputs)
        bias = graph.tensors[ours.operator.inputs[2]]
        held = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32)
        limits = np.iinfo(np.int32)
        values = np.clip(held + np.round(shift / ours.unit), limits.min, limits.max)
        if users[bias.buffer] > 1:  # the converter stores equal constants once
            users[bias.buffer] -= 1
            bias = copy.copy(bias)
            bias.buffer = len(model.buffers)
            model.buffers.append(schema.BufferT())
            ours.operator.inputs = [*ours.operator.inputs[:2], len(graph.tensors)]
            graph.tensors.append(bias)
        content = np.frombuffer(values.astype(np.int32).tobytes(), np.uint8)
        model.buffers[bias.buffer].data = content


def _layers(model: "ModelT") -> list[_Layer]:
    """Returns the layers whose weights are constants, in the order in which they run."""
    from tensorflow.lite.python.schema_py_generated import BuiltinOperator, TensorType

    depthwise = BuiltinOperator.DEPTHWISE_CONV_2D
    kinds = (BuiltinOperator.CONV_2D, depthwise, BuiltinOperator.FULLY_CONNECTED)
    tensors, found = model.subgraphs[0].tensors, []
    for operator in model.subgraphs[0].operators:
        code = model.operatorCodes[operator.opcodeIndex]
        # Small codes are in the older field of one byte.
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind not in kinds or model.buffers[tensors[operator.inputs[1]].buffer].data is None:
            continue
        fed, kernel = tensors[operator.inputs[0]], tensors[operator.inputs[1]]
        is_int8 = kernel.type == TensorType.INT8
        data = bytes(model.buffers[kernel.buffer].data)
        weights = np.frombuffer(data, np.int8 if is_int8 else np.float32).reshape(kernel.shape)
        if kind == depthwise:
            weights = weights[0, ..., None].transpose(2, 0, 1, 3)
        weights = weights.reshape(len(weights), -1, weights.shape[-1]).astype(np.float64)
        unit = np.ones(1)
        if is_int8:
            scale = np.asarray(kernel.quantization.scale, np.float64)
            weights, unit = weights * scale[:, None, None], scale * fed.quantization.scale[0]
        found.append(_Layer(operator, weights, unit))
    return found


def _means(plain: bytes, fed: list[int], photos: Iterator[np.ndarray]) -> list[np.ndarray]:
    """Returns the mean of each channel of the tensors over the photos, float64, [channels]."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Delegates compute in place, which would overwrite the layers' inputs.
    interpreter = Interpreter(
        model_content=plain,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    sums = [np.zeros(())] * len(fed)
    count = 0
    for pixels in itertools.islice(photos, _PHOTOS):
        interpreter.set_tensor(image["index"], pixels.astype(np.float32))
        interpreter.invoke()
        count += 1
        for place, index in enumerate(fed):
            values = interpreter.get_tensor(index)
            sums[place] = sums[place] + values.reshape(-1, values.shape[-1]).mean(0, np.float64)
    return [total / count for total in sums]
