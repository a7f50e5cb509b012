"""The backbone in TensorFlow, its variables frozen to constants."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.bottlenecks.engines.base import Engine
from xferlearn.bottlenecks.engines.requests import side_by_side

if TYPE_CHECKING:
    import keras

_BFLOAT16_OPTION = "auto_mixed_precision_onednn_bfloat16"


def freeze(model: "keras.Model", values: str = "uint8") -> Any:
    """Returns a concrete function from pixels to the model's output, without variables.

    Constants let TensorFlow and OpenVINO fold BatchNorm into the convolutions before it.

    Args:
        model: takes float32 pixels, [batch, height, width, 3], range [0, 255].
        values: type of what the function takes; "float32" for a model that takes no pixels.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    def outputs(pixels: tf.Tensor) -> tf.Tensor:
        return model(tf.cast(pixels, tf.float32), training=False)

    shape = [None, *model.input_shape[1:]]
    function = tf.function(outputs, autograph=False)
    traced = function.get_concrete_function(tf.TensorSpec(shape, values))
    return convert_variables_to_constants_v2(traced)


def tensorflow_engine(model: "keras.Model", precision: str = "float32") -> Engine:
    """Returns an engine that runs a model in TensorFlow.

    Args:
        model: takes float32 pixels, [batch, height, width, 3], range [0, 255].
        precision: "float32", or "bfloat16" through oneDNN on processors that have it.
    """
    import tensorflow as tf

    function = freeze(model)
    options = _bfloat16_options() if precision == "bfloat16" else None
    # A `tf.device` scope holds for one thread, and requests run in others.
    device = tf.zeros(()).device

    def request(pixels: np.ndarray) -> np.ndarray:
        with tf.device(device), _called_with(options):
            return function(tf.constant(pixels))[0].numpy()

    return Engine("tensorflow", precision, side_by_side(request, model.output_shape[-1]))


def _bfloat16_options() -> Any:
    """Returns what TensorFlow must call a function with to compute in bfloat16."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    before = tf.config.optimizer.get_experimental_options().get(_BFLOAT16_OPTION, False)
    tf.config.optimizer.set_experimental_options({_BFLOAT16_OPTION: True})
    try:
        return context.context().function_call_options
    finally:
        tf.config.optimizer.set_experimental_options({_BFLOAT16_OPTION: before})


@contextlib.contextmanager
def _called_with(options: Any) -> Iterator[None]:
    """Calls functions with options, None for TensorFlow's own, in this thread.

    TensorFlow keeps call options per thread, and optimizes a function again for other options; so
    the option must be set in every worker, and must not reach other functions.
    """
    from tensorflow.python.eager import context

    if options is None:
        yield
        return
    here = context.context()
    before, here.function_call_options = here.function_call_options, options
    try:
        yield
    finally:
        here.function_call_options = before
