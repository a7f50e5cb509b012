"""ONNX files: pixels in, probabilities out, with labels and preprocessing in the metadata."""

import contextlib
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xferlearn.exports.frozen_graph import frozen_graph_def
from xferlearn.exports.metadata import describe
from xferlearn.exports.outputs import output_names
from xferlearn.inspection import METADATA_KEY
from xferlearn.model_folder import ModelFolder

if TYPE_CHECKING:
    import keras

ONNX_FILE = "model.onnx"
# The newest that tf2onnx writes.
OPSET = 18


def write_onnx(model: "keras.Model", model_folder: ModelFolder, path: Path) -> None:
    """Writes an ONNX file from `image`, [batch, height, width, 3], to `probabilities`.

    Where the model says how familiar a photo is, `familiarity`, [batch, 1], is a second output.

    Its metadata have `labels`, one per line, `preprocessing` in words, and, under `xferlearn`, the
    JSON of `metadata.describe`.

    Args:
        model: the model folder's model.
        model_folder: the model folder.
        path: the file.
    """
    import onnx
    import tf2onnx

    names = output_names(model)
    graph = frozen_graph_def(model, "image", *names)
    _replace_erfc(graph)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        made, _ = tf2onnx.convert.from_graph_def(
            graph,
            input_names=["image:0"],
            output_names=[f"{name}:0" for name in names],
            opset=OPSET,
            tensors_to_rename={f"{name}:0": name for name in ("image", *names)},
        )
    for end in (*made.graph.input, *made.graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    made.graph.name = "classifier"
    made.producer_version = made.producer_version.removesuffix(" None")  # of a commit
    fed = model_folder.metadata["input"]
    said = {
        "labels": "\n".join(model_folder.labels),
        "preprocessing": f"RGB pixels from 0 to 255, float32, as they are; {fed['resize']} to"
        f" {model_folder.image_size} x {model_folder.image_size} px; EXIF orientation applied",
        METADATA_KEY: describe(model_folder),
    }
    onnx.helper.set_model_props(made, said)
    onnx.checker.check_model(made, full_check=True)
    path.write_bytes(made.SerializeToString())


def _replace_erfc(graph: Any) -> None:
    """Replaces erfc(x), which TensorFlow's GELU has and ONNX has not, with 1 - erf(x)."""
    import tensorflow as tf

    for node in [node for node in graph.node if node.op == "Erfc"]:
        kind = node.attr["T"]
        erf = graph.node.add(name=f"{node.name}/erf", op="Erf", input=list(node.input))
        erf.attr["T"].CopyFrom(kind)
        one = graph.node.add(name=f"{node.name}/one", op="Const")
        one.attr["dtype"].CopyFrom(kind)
        one.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(1.0, kind.type))
        node.op = "Sub"
        node.input[:] = [one.name, erf.name]
