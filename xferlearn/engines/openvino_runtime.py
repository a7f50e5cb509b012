"""The backbone in OpenVINO: several requests at a time, one stream a core."""

from typing import TYPE_CHECKING

import numpy as np

from xferlearn.engines.base import Engine
from xferlearn.engines.tensorflow_runtime import freeze

if TYPE_CHECKING:
    import keras

# Photos a request: small enough to keep a core's activations in its cache, and to share a batch
# evenly among the streams.
_REQUEST_SIZE = 8
_TYPES = {"float32": "f32", "bfloat16": "bf16"}


def openvino_engine(model: "keras.Model", precision: str = "float32") -> Engine:
    """Returns an engine that runs a model in OpenVINO on the processor.

    Args:
        model: takes float32 pixels, [batch, height, width, 3], range [0, 255].
        precision: "float32" or "bfloat16".
    """
    import openvino

    converted = openvino.convert_model(freeze(model).graph.as_graph_def())
    compiled = openvino.Core().compile_model(
        converted,
        "CPU",
        {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": _TYPES[precision]},
    )
    queue = openvino.AsyncInferQueue(compiled)
    width = model.output_shape[-1]

    def store(request: "openvino.InferRequest", part: np.ndarray) -> None:
        part[:] = request.get_output_tensor(0).data

    queue.set_callback(store)

    def run(pixels: np.ndarray) -> np.ndarray:
        result = np.empty((len(pixels), width), np.float32)
        for start in range(0, len(pixels), _REQUEST_SIZE):
            part = slice(start, start + _REQUEST_SIZE)
            queue.start_async({0: pixels[part]}, result[part])
        queue.wait_all()
        return result

    return Engine("openvino", precision, run)
