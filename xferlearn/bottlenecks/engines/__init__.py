"""The frozen backbone as one fast function: pixels -> bottlenecks."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from xferlearn.bottlenecks.engines.base import Engine
from xferlearn.bottlenecks.engines.kept import KeptNetwork
from xferlearn.bottlenecks.engines.openvino_runtime import (
    convert,
    openvino_engine,
    run_converted,
)
from xferlearn.bottlenecks.engines.parity import Parity, measure_parity
from xferlearn.bottlenecks.engines.planning import EnginePlan, plan_engines
from xferlearn.bottlenecks.engines.tensorflow_runtime import tensorflow_engine

if TYPE_CHECKING:
    import keras

__all__ = [
    "REFERENCE",
    "Engine",
    "EnginePlan",
    "KeptNetwork",
    "Parity",
    "build_engine",
    "measure_parity",
    "plan_engines",
    "start_engine",
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


def start_engine(
    load: Callable[[], "keras.Model"], plan: EnginePlan, kept: KeptNetwork | None = None
) -> Engine:
    """Returns a model as an engine, as `build_engine` does; one that is kept is not even loaded.

    Args:
        load: returns the model.
        plan: which runtime and precision.
        kept: where it is kept in OpenVINO's form; None for nowhere.
    """
    if plan.name != "openvino" or kept is None:
        return build_engine(load(), plan)
    network = kept.read()
    if network is None:
        network = convert(load())
        kept.write(network)
    return run_converted(network, plan.precision)
