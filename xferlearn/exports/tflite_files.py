"""TFLite files: pixels in, probabilities out; in float32, float16, or int8 throughout."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from xferlearn.errors import XferlearnError
from xferlearn.exports.foreign import foreign_pictures
from xferlearn.exports.frozen_graph import frozen_graph_def, without_identity_n
from xferlearn.exports.outputs import in_order, output_names, with_outputs
from xferlearn.exports.tflite_bias import correct_biases
from xferlearn.exports.tflite_metadata import INPUT, with_metadata
from xferlearn.model_folder import FAMILIARITY, PREDICTIONS, ModelFolder
from xferlearn.system.runtime import captured_stderr

if TYPE_CHECKING:
    import keras
    from tensorflow.lite.python.schema_py_generated import ModelT

# Of an int8 tensor; the converter makes no range smaller than about 2e-6.
_LEAST_UNIT = 1e-7


def write_tflite(
    model: "keras.Model",
    path: Path,
    kind: Literal["float32", "float16", "int8"],
    model_folder: ModelFolder,
    calibration: Callable[[], Iterator[np.ndarray]] | None,
) -> None:
    """Writes a TFLite file from `image`, [1, height, width, 3], to `probabilities`, [1, classes].

    Where the model says how familiar a photo is, `familiarity`, [1, 1], is a second output. Float
    files take float32, range [0, 255]. int8 files take the same pixels as uint8 and give
    probabilities times 256 as uint8, and the familiarity with a scale of its own; all operations
    between are in int8.

    Args:
        model: the model folder's model.
        path: the file.
        kind: float32; float16, which stores weights so and computes in float32; or int8.
        model_folder: the model folder.
        calibration: yields uint8 pixels of training photos, [1, height, width, 3], from which
            int8 gets the ranges of its numbers and the corrections of its biases. None for
            other kinds.

    Raises:
        XferlearnError: the network's numbers do not fit int8.
    """
    import tensorflow as tf
    from tensorflow.lite.python import schema_py_generated as schema

    if kind == "int8":
        model = _without_normalization(model)
    names = output_names(model)
    graph = frozen_graph_def(model, INPUT, *names)
    # Swish has one with a gradient of its own, which TensorFlow does not save.
    without_identity_n(graph)
    for node in graph.node:
        if node.op == "Square":  # which LiteRT has in float32 alone
            node.op = "Mul"
            node.input.append(node.input[0])
    image = tf.TensorSpec([1, *model.input_shape[1:]], tf.float32, name=INPUT)

    @tf.function(input_signature=[image], autograph=False)
    def network(image: tf.Tensor) -> dict[str, tf.Tensor]:
        tensors = [f"{name}:0" for name in names]
        outputs = tf.graph_util.import_graph_def(graph, {INPUT: image}, tensors, name="")
        return dict(zip(names, outputs, strict=True))

    def ranged(calibration: Callable[[], Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
        yield from calibration()
        if FAMILIARITY in names:
            # Only of what is foreign does it know how far away that may be.
            yield from _unproved_pictures(model.input_shape[1])[:, None]

    def converted(kind: str) -> bytes:
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [network.get_concrete_function()], tf.Module()
        )
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind == "int8" and calibration is not None:
            converter.representative_dataset = lambda: _of_full_range(ranged(calibration))
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        return bytes(converter.convert())

    with captured_stderr():
        file = schema.ModelT.InitFromPackedBuf(converted(kind), 0)
        if calibration is not None:
            _check_ranges(file)
            correct_biases(file, converted("float32"), calibration())
    # The converter sorts outputs by name, and others take the first for the scores.
    places = {one.name.decode(): one.tensorIndex for one in file.signatureDefs[0].outputs}
    file.subgraphs[0].outputs = [places[name] for name in names]
    path.write_bytes(with_metadata(file, model_folder))


def _unproved_pictures(image_size: int) -> np.ndarray:
    """Returns a foreign picture of each kind, unlike those of the proof: mirrored negatives."""
    return 255 - foreign_pictures(image_size)[:4, ::-1]


def _of_full_range(photos: Iterator[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yields photos as the converter takes them, with black and white put into the first.

    The input's range is then [0, 255] for any photos, so that its unit is that of pixels.
    """
    for number, pixels in enumerate(photos):
        values = pixels.astype(np.float32)
        if not number:
            values[0, 0, 0], values[0, 0, 1] = 0, 255
        yield [values]


def _check_ranges(model: "ModelT") -> None:
    """Refuses networks with layers of tiny values, on which LiteRT aborts the process."""
    from tensorflow.lite.python.schema_py_generated import TensorType

    made = [one for one in model.subgraphs[0].tensors if model.buffers[one.buffer].data is None]
    for tensor in made:
        if tensor.type == TensorType.INT8 and max(tensor.quantization.scale) < _LEAST_UNIT:
            raise XferlearnError(
                "the numbers of this network do not fit int8: on the training photos all values of"
                f" a layer are below {256 * _LEAST_UNIT:.0e}, as in untrained networks"
            )


def _without_normalization(model: "keras.Model") -> "keras.Model":
    """Returns an equal model whose first dense layer includes the `normalization` before it.

    In int8, a layer of its own would round bottlenecks once more. A head that is not a chain of
    dense layers and dropout is returned as it is.
    """
    import keras

    outputs = in_order(model.output)
    chain = with_outputs(model, 1).layers
    names = [layer.name for layer in chain]
    if "normalization" not in names:
        return model
    at = names.index("normalization")
    scaling = chain[at]
    if not isinstance(scaling, keras.layers.Rescaling) or len(scaling.input.shape) != 2:
        return model
    x = scaling.output
    for layer in chain[at + 1 :]:
        if (
            not isinstance(layer, (keras.layers.Dense, keras.layers.Dropout))
            or layer.input is not x
        ):
            return model
        x = layer.output
    dense = [one for one in chain[at + 1 :] if isinstance(one, keras.layers.Dense)]
    if not dense or x is not outputs[0]:
        return model
    copies = [keras.layers.Dense.from_config(layer.get_config()) for layer in dense]
    x = scaling.input
    for copy in copies:
        x = copy(x)
    for copy, layer in zip(copies, dense, strict=True):
        copy.set_weights(layer.get_weights())
    kernel, bias = (weights.astype(np.float64) for weights in dense[0].get_weights())
    width = len(kernel)
    scale, offset = (np.broadcast_to(part, width) for part in (scaling.scale, scaling.offset))
    copies[0].set_weights([kernel * scale[:, None], bias + offset @ kernel])
    if len(outputs) == 1:
        return keras.Model(model.input, x)
    # The familiarity takes bottlenecks as they were, and the predictions.
    branch = keras.Model([scaling.input, outputs[0]], outputs[1])
    both = {PREDICTIONS: x, FAMILIARITY: branch([scaling.input, x])}
    return keras.Model(model.input, both)
