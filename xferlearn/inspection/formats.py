"""The formats of model files: how each is recognised from its content, and what reads it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from xferlearn.errors import UserError, did_you_mean
from xferlearn.inspection.archives import is_model_name
from xferlearn.inspection.layers import Graph
from xferlearn.inspection.makers import stated_beside, with_stated
from xferlearn.inspection.readers import (
    frozen_graph,
    graph_text,
    keras_files,
    meta_graph,
    model_folder,
    onnx_files,
    openvino_files,
    saved_model,
    tensorboard_files,
    tfjs_files,
    tflite_files,
)
from xferlearn.inspection.source import ModelSource
from xferlearn.inspection.strangers import BY_CONTENT, BY_NAME, recognise


@dataclass(frozen=True)
class Format:
    """One format of model files.

    Attributes:
        title: its name in reports.
        known_as: its name in messages that list what is read; "" where another format has it.
        recognises: returns whether a file or folder is of this format.
        read: reads it; raises one of `wire.DAMAGE` where it is damaged.
        holds: "model"; or what there is in place of one that can be run, "weights" without a
            network or a "graph" without weights.
        instead: what it holds and how to get a model that can be run, as the rest of a sentence; ""
            for models.
        of_the_lab: whether the lab's tools read it, which feed and read any operation by its name.
        layout: of image inputs whose shape the file does not state.
    """

    title: str
    known_as: str
    recognises: Callable[[ModelSource], bool]
    read: Callable[[ModelSource], Graph]
    holds: Literal["model", "weights", "graph"] = "model"
    instead: str = ""
    of_the_lab: bool = False
    layout: Literal["NHWC", "NCHW"] = "NHWC"


# The first that recognises a file reads it. Most do so by the file's first bytes; protocol buffers
# are told apart by their fields, of which ONNX files have those of a SavedModel too.
FORMATS: dict[str, Format] = {
    "model_folder": Format(
        "model folder of xferlearn",
        "a model folder",
        model_folder.is_model_folder,
        model_folder.read_model_folder,
    ),
    "keras": Format("Keras model (.keras)", ".keras", keras_files.is_keras, keras_files.read_keras),
    "keras_h5": Format(
        "Keras model (.h5)", ".h5", keras_files.is_keras_h5, keras_files.read_keras_h5
    ),
    "keras_weights": Format(
        "Keras weights (.h5), no architecture",
        "",
        keras_files.is_keras_weights,
        keras_files.read_keras_weights,
        holds="weights",
        instead="holds weights without a network; for the weights of a backbone give `backbone` and"
        " `weights`",
    ),
    "tflite": Format("TFLite model", ".tflite", tflite_files.is_tflite, tflite_files.read_tflite),
    "openvino": Format(
        "OpenVINO model",
        "OpenVINO .xml",
        openvino_files.is_openvino,
        openvino_files.read_openvino,
    ),
    "graph_text": Format(
        "TensorFlow GraphDef as text",
        "",
        graph_text.is_graph_text,
        graph_text.read_graph_text,
        holds="graph",
        instead="is a graph as text, which TensorFlow does not load; write it as binary:"
        " tf.io.write_graph(google.protobuf.text_format.Parse(open(FILE).read(),"
        ' tf.compat.v1.GraphDef()), ".", "graph.pb", as_text=False)',
    ),
    "tfjs": Format(
        "TF.js model (model.json)",
        "TF.js model.json",
        tfjs_files.is_tfjs,
        tfjs_files.read_tfjs,
        holds="graph",
        instead="is a TF.js model, which runs in browsers and Node.js; give what it was converted"
        " from, or convert a layers-model: tensorflowjs_converter --input_format=tfjs_layers_model"
        " --output_format=keras model.json model.h5",
    ),
    "meta_graph": Format(
        "TensorFlow MetaGraph (.meta)",
        "",
        meta_graph.is_meta_graph,
        meta_graph.read_meta_graph,
        holds="graph",
        instead="is the graph of a TensorFlow 1 checkpoint, without its weights; freeze both:"
        " freeze_graph --input_meta_graph=FILE.meta --input_checkpoint=FILE --input_binary=true"
        " --output_node_names=OUTPUT --output_graph=graph.pb",
    ),
    "frozen_graph": Format(
        "TensorFlow 1 frozen graph",
        "frozen .pb",
        frozen_graph.is_frozen_graph,
        frozen_graph.read_frozen_graph,
        of_the_lab=True,
    ),
    "onnx": Format("ONNX model", ".onnx", onnx_files.is_onnx, onnx_files.read_onnx, layout="NCHW"),
    "saved_model": Format(
        "TensorFlow SavedModel",
        "a SavedModel",
        saved_model.is_saved_model,
        saved_model.read_saved_model,
    ),
    "tensorboard": Format(
        "TensorBoard run",
        "a TensorBoard folder",
        tensorboard_files.is_tensorboard,
        tensorboard_files.read_tensorboard,
        holds="graph",
        instead="is a TensorBoard log, which holds the graph without weights; give the model",
    ),
}


@dataclass(frozen=True)
class ModelFile:
    """A model as it was read.

    Attributes:
        format: key of `FORMATS`.
        size: bytes, of all files of a folder.
        graph: the network, and what else the file states.
    """

    format: str
    size: int
    graph: Graph


def read_model_file(path: Path) -> ModelFile:
    """Reads a model of any format.

    Raises:
        UserError: there is no model at `path`.
        ValueError: it is damaged (and other errors of parsing).
        OSError: it can't be read.
    """
    _check_path(path)
    source = ModelSource(path)
    stranger = recognise(source, BY_CONTENT)
    if stranger:
        raise UserError(f"{path} {stranger}")
    for name, one in FORMATS.items():
        if one.recognises(source):
            graph = one.read(source)
            beside = stated_beside(path) if graph.metadata is None else None
            graph = with_stated(graph, beside) if beside is not None else graph
            files = [file for file in map(path.with_name, graph.files) if file.is_file()]
            return ModelFile(name, source.size + sum(one.stat().st_size for one in files), graph)
    stranger = recognise(source, BY_NAME)
    raise UserError(f"{path} {stranger or f'{_described(source)}. {_expected()}'}")


def _check_path(path: Path) -> None:
    if path.is_dir():
        return
    if not path.is_file():
        if path.exists():
            raise UserError(f"{path} is neither a file nor a folder. {_expected()}")
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        hint = did_you_mean(path.name, [entry.name for entry in islice(siblings, 1000)])
        raise UserError(f"There is no {path}.{hint}")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty. {_expected()}")


def _described(source: ModelSource) -> str:
    """Returns what is there in place of a model, as the end of a sentence."""
    if source.is_folder:
        names = sorted(entry.name for entry in islice(source.path.iterdir(), 1000))
        models = [name for name in names if is_model_name(name)]
        if len(models) == 1:
            return f"is a folder: give the model in it, {source.path / models[0]}"
        listed = json.dumps(names[:5])[1:-1] + (", ..." if len(names) > 5 else "")
        return f"holds no model but {listed or 'nothing'}"
    return "is of no known format"


def _expected() -> str:
    names = [one.known_as for one in FORMATS.values() if one.known_as]
    return f"Expected {', '.join(names[:-1])} or {names[-1]}."
