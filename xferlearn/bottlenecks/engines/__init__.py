"""The frozen backbone as one fast function: pixels -> bottlenecks."""

from typing import TYPE_CHECKING

from xferlearn.bottlenecks.engines.base import Engine
from xferlearn.bottlenecks.engines.openvino_runtime import openvino_engine
from xferlearn.bottlenecks.engines.parity import Parity, measure_parity
from xferlearn.bottlenecks.engines.planning import EnginePlan, plan_engines
from xferlearn.bottlenecks.engines.tensorflow_runtime import tensorflow_engine

if TYPE_CHECKING:
    import keras

__all__ = [
    "REFERENCE",
    "Engine",
    "EnginePlan",
    "Parity",
    "build_engine",
    "measure_parity",
    "plan_engines",
]

# The engine that all others are compared with.
REFERENCE = EnginePlan("tensorflow", "float32")
_BUILDERS = {"tensorflow": tensorflow_engine, "openvino": openvino_engine}


def build_engine(model: "keras.Model", plan: EnginePlan = REFERENCE) -> Engine:
    """Returns a model as an engine.

    Args:
        model: takes float32 pixels, [batch, height, width, 3], range [0, 255], e.g. what
            `load_backbone` and `build_classifier` return.
        plan: which runtime and precision.

    Example:
        >>> engine = build_engine(load_backbone("efficientnet_lite0"))
        >>> engine.run(np.zeros((2, 224, 224, 3), np.uint8)).shape
        (2, 1280)
    """
    return _BUILDERS[plan.name](model, plan.precision)
