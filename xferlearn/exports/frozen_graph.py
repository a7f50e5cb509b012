"""Models as one TensorFlow graph without variables, and as a file for the lab's tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xferlearn.exports.metadata import describe
from xferlearn.exports.outputs import in_order, with_outputs
from xferlearn.inspection import METADATA_NODE
from xferlearn.model_folder import LABELS_FILE, ModelFolder
from xferlearn.system.constants import fold_constants, without_updates

if TYPE_CHECKING:
    import keras

GRAPH_FILE = "frozen_graph.pb"
# The lab's names, and the mean and std that its label_image.py and its Android demo use by default.
INPUT, OUTPUT = "input", "final_result"
MEAN, STD = 128.0, 128.0
# Operations that TensorFlow 1 had by other names, before its last releases.
_OLDER = {"AddV2": "Add", "FusedBatchNormV3": "FusedBatchNorm", "BatchMatMulV2": "BatchMatMul"}


def frozen_graph_def(
    model: "keras.Model", input_name: str, *output_names: str, mean: float = 0.0, std: float = 1.0
) -> Any:
    """Returns a model as a GraphDef whose variables are constants.

    Args:
        model: takes float32 pixels, [batch, height, width, 3], range [0, 255].
        input_name: of the placeholder.
        output_names: of the operation that gives the probabilities and, where there is a second
            name, of the one that gives the familiarity.
        mean: the placeholder takes (pixel - mean) / std.
        std: see mean.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    network = with_outputs(model, len(output_names))

    def outputs(values: tf.Tensor) -> list[tf.Tensor]:
        plain = (mean, std) == (0.0, 1.0)
        pixels = values if plain else values * std + mean
        given = in_order(network(pixels, training=False))
        return [tf.identity(one, name) for one, name in zip(given, output_names, strict=True)]

    spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name=input_name)
    # Keras wraps grouped convolutions in functions for XLA, which converters do not know, so their
    # bodies are traced in place.
    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        traced = tf.function(outputs, autograph=False).get_concrete_function(spec)
    finally:
        tf.config.run_functions_eagerly(eagerly)
    frozen = convert_variables_to_constants_v2(traced)
    graph = tf.compat.v1.GraphDef()
    graph.CopyFrom(frozen.graph.as_graph_def())
    # The function's own results, an Identity of each named operation, would be further outputs.
    results = {result.op.name for result in frozen.outputs}
    kept = [node for node in graph.node if node.name not in results and node.op != "NoOp"]
    del graph.node[:]
    graph.node.extend(kept)
    return without_updates(graph)


def simplify(graph: Any) -> None:
    """Takes out of a GraphDef what only TensorFlow needs or understands, as OpenCV reads it too."""
    without_identity_n(graph)
    fold_constants(graph)
    _cut_kernels(graph)


def without_identity_n(graph: Any) -> None:
    """Takes out IdentityN operations, which only matter for gradients."""
    passed = {node.name: node.input for node in graph.node if node.op == "IdentityN"}
    kept = [node for node in graph.node if node.name not in passed]
    for node in kept:
        for place, source in enumerate(node.input):
            name, _, index = source.partition(":")
            while name in passed:
                source = passed[name][int(index or 0)]
                name, _, index = source.partition(":")
            node.input[place] = source
    del graph.node[:]
    graph.node.extend(kept)


def _cut_kernels(graph: Any) -> None:
    """Leaves of the kernels that see a single pixel only the value that meets it.

    OpenCV 4.10 to 5.0 read memory beyond the pixel in such depthwise convolutions.
    """
    import tensorflow as tf

    nodes = {node.name: node for node in graph.node}
    with tf.Graph().as_default() as whole:
        tf.graph_util.import_graph_def(graph, name="")
    for operation in whole.get_operations():
        if operation.type != "DepthwiseConv2dNative" or operation.get_attr("padding") != b"SAME":
            continue
        kernel = nodes[operation.inputs[1].op.name]
        if operation.inputs[0].shape[1:3].as_list() == [1, 1] and kernel.op == "Const":
            held = tf.make_ndarray(kernel.attr["value"].tensor)
            row, column = ((size - 1) // 2 for size in held.shape[:2])
            centre = held[row : row + 1, column : column + 1]
            kernel.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(centre))


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
    simplify(graph)
    for node in graph.node:
        if node.op == "FusedBatchNormV3":
            del node.attr["U"]
        node.op = _OLDER.get(node.op, node.op)
    # TensorFlow 1 refuses attributes that were added later, even those that state what it does.
    strip_graph_default_valued_attrs(meta)
    said = describe(
        model_folder,
        input_name=INPUT,
        output_name=OUTPUT,
        familiarity=None,
        mean=MEAN,
        std=STD,
    )
    stated = graph.node.add(name=METADATA_NODE, op="Const")
    stated.attr["dtype"].type = tf.string.as_datatype_enum
    stated.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(said.encode()))
    folder.mkdir()
    (folder / GRAPH_FILE).write_bytes(graph.SerializeToString())
    labels = "".join(f"{label}\n" for label in model_folder.labels)
    (folder / LABELS_FILE).write_text(labels, encoding="utf-8")
