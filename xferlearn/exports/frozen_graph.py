"""Models as one TensorFlow graph without variables, and as a file for the lab's tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xferlearn.exports.metadata import describe
from xferlearn.inspection import METADATA_NODE
from xferlearn.model_folder import LABELS_FILE, ModelFolder

if TYPE_CHECKING:
    import keras

GRAPH_FILE = "frozen_graph.pb"
# The lab's names, and the mean and std that its label_image.py and its Android demo use by default.
INPUT, OUTPUT = "input", "final_result"
MEAN, STD = 128.0, 128.0
# Operations that TensorFlow 1 had by other names, before its last releases.
_OLDER = {"AddV2": "Add", "FusedBatchNormV3": "FusedBatchNorm", "BatchMatMulV2": "BatchMatMul"}


def frozen_graph_def(
    model: "keras.Model", input_name: str, output_name: str, *, mean: float = 0.0, std: float = 1.0
) -> Any:
    """Returns a model as a GraphDef whose variables are constants.

    Args:
        model: takes float32 pixels, [batch, height, width, 3], range [0, 255].
        input_name: of the placeholder.
        output_name: of the operation that gives the probabilities.
        mean: the placeholder takes (pixel - mean) / std.
        std: see mean.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    def probabilities(values: tf.Tensor) -> tf.Tensor:
        plain = (mean, std) == (0.0, 1.0)
        pixels = values if plain else values * std + mean
        return tf.identity(model(pixels, training=False), name=output_name)

    spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name=input_name)
    # Keras wraps grouped convolutions in functions for XLA, which converters do not know, so their
    # bodies are traced in place.
    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        traced = tf.function(probabilities, autograph=False).get_concrete_function(spec)
    finally:
        tf.config.run_functions_eagerly(eagerly)
    frozen = convert_variables_to_constants_v2(traced)
    graph = tf.compat.v1.GraphDef()
    graph.CopyFrom(frozen.graph.as_graph_def())
    # The function's own result, an Identity of the named operation, would be a second output.
    result = frozen.outputs[0].op.name
    kept = [node for node in graph.node if node.name != result and node.op != "NoOp"]
    del graph.node[:]
    graph.node.extend(kept)
    return graph


def write_frozen_graph(model: "keras.Model", model_folder: ModelFolder, folder: Path) -> None:
    """Writes frozen_graph.pb and labels.txt as retrain.py of the lab wrote its two files.

    Args:
        model: the model folder's model.
        model_folder: the model folder.
        folder: a new folder.
    """
    import tensorflow as tf
    from tensorflow.python.framework.meta_graph import strip_graph_default_valued_attrs

    meta = tf.compat.v1.MetaGraphDef()
    graph = meta.graph_def
    graph.CopyFrom(frozen_graph_def(model, INPUT, OUTPUT, mean=MEAN, std=STD))
    for node in graph.node:
        if node.op == "FusedBatchNormV3":
            del node.attr["U"]
        node.op = _OLDER.get(node.op, node.op)
    # TensorFlow 1 refuses attributes that were added later, even those that state what it does.
    strip_graph_default_valued_attrs(meta)
    said = describe(model_folder, input_name=INPUT, output_name=OUTPUT, mean=MEAN, std=STD)
    stated = graph.node.add(name=METADATA_NODE, op="Const")
    stated.attr["dtype"].type = tf.string.as_datatype_enum
    stated.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(said.encode()))
    folder.mkdir()
    (folder / GRAPH_FILE).write_bytes(graph.SerializeToString())
    labels = "".join(f"{label}\n" for label in model_folder.labels)
    (folder / LABELS_FILE).write_text(labels, encoding="utf-8")
