"""OpenVINO files: model.xml, with labels and preprocessing in its rt_info, and model.bin."""

from pathlib import Path
from typing import TYPE_CHECKING

from xferlearn.exports.frozen_graph import frozen_graph_def
from xferlearn.exports.metadata import describe
from xferlearn.exports.outputs import output_names
from xferlearn.inspection import METADATA_KEY
from xferlearn.model_folder import ModelFolder
from xferlearn.system.runtime import import_openvino

if TYPE_CHECKING:
    import keras

XML_FILE = "model.xml"


def write_openvino(model: "keras.Model", model_folder: ModelFolder, folder: Path) -> None:
    """Writes model.xml and model.bin, float32, from `image` to `probabilities`.

    Where the model says how familiar a photo is, `familiarity`, [batch, 1], is a second output.

    Args:
        model: the model folder's model.
        model_folder: the model folder.
        folder: a new folder.
    """
    openvino = import_openvino()

    names = output_names(model)
    graph = frozen_graph_def(model, "image", *names)
    converted = openvino.convert_model(graph)
    # The converter sorts them by name, and who reads the first wants the probabilities.
    results = [converted.output(f"{name}:0").get_node() for name in names]
    converted = openvino.Model(results, converted.get_parameters(), converted.get_friendly_name())
    converted.inputs[0].set_names({"image"})
    for output, name in zip(converted.outputs, names, strict=True):
        output.set_names({name})
    converted.set_rt_info(describe(model_folder), [METADATA_KEY])
    folder.mkdir()
    # Half precision, the default, is smaller, but its answers differ from the model's.
    openvino.save_model(converted, str(folder / XML_FILE), compress_to_fp16=False)
