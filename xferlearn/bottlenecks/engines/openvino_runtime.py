"""The backbone in OpenVINO: several requests at a time, one stream per core."""

import threading
from typing import TYPE_CHECKING

import numpy as np

from xferlearn.bottlenecks.engines.base import Engine
from xferlearn.bottlenecks.engines.requests import side_by_side
from xferlearn.bottlenecks.engines.tensorflow_runtime import freeze
from xferlearn.system.constants import without_updates
from xferlearn.system.runtime import import_openvino

if TYPE_CHECKING:
    import keras
    import openvino

_TYPES = {"float32": "f32", "bfloat16": "bf16"}


def openvino_engine(model: "keras.Model", precision: str = "float32") -> Engine:
    """Returns an engine that runs a model in OpenVINO on the processor.

    Args:
        model: takes float32 pixels, [batch, height, width, 3], range [0, 255].
        precision: "float32" or "bfloat16".
    """
    return run_converted(convert(model), precision)


def convert(model: "keras.Model", values: str = "uint8") -> "openvino.Model":
    """Returns a model as OpenVINO has it; arguments as of `freeze`."""
    openvino = import_openvino()

    return openvino.convert_model(without_updates(freeze(model, values).graph.as_graph_def()))


def run_converted(converted: "openvino.Model", precision: str = "float32") -> Engine:
    """Returns an engine that runs what `convert` returns."""
    openvino = import_openvino()

    compiled = openvino.Core().compile_model(
        converted,
        "CPU",
        {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": _TYPES[precision]},
    )
    own = threading.local()

    def request(pixels: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        own.request.infer({0: pixels}, share_inputs=True)
        return own.request.get_output_tensor(0).data.copy()

    width = compiled.output(0).get_partial_shape()[1].get_length()
    return Engine("openvino", precision, side_by_side(request, width))
