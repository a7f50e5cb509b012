"""The backbone in TensorFlow, its variables frozen to constants."""

from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.engines.base import Engine
from xferlearn.engines.requests import side_by_side

if TYPE_CHECKING:
    import keras

_BFLOAT16_OPTION = "auto_mixed_precision_onednn_bfloat16"


def freeze(model: "keras.Model") -> Any:
    """Returns a concrete function from uint8 pixels to the model's output, without variables.

    Constants let TensorFlow and OpenVINO fold BatchNorm into the convolutions before it.

    Args:
        model: takes float32 pixels, [batch, height, width, 3], range [0, 255].
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    def outputs(pixels: tf.Tensor) -> tf.Tensor:
        return model(tf.cast(pixels, tf.float32), training=False)

    shape = [None, *model.input_shape[1:]]
    function = tf.function(outputs, autograph=False)
    traced = function.get_concrete_function(tf.TensorSpec(shape, tf.uint8))
    return convert_variables_to_constants_v2(traced)


def tensorflow_engine(model: "keras.Model", precision: str = "float32") -> Engine:
    """Returns an engine that runs a model in TensorFlow.

    Args:
        model: takes float32 pixels, [batch, height, width, 3], range [0, 255].
        precision: "float32", or "bfloat16" through oneDNN on processors that have it.
    """
    import tensorflow as tf

    function = freeze(model)

    def request(pixels: np.ndarray) -> np.ndarray:
        return function(tf.constant(pixels))[0].numpy()

    if precision == "bfloat16":
        # The option is global, and is read when a function runs for the first time.
        before = tf.config.optimizer.get_experimental_options().get(_BFLOAT16_OPTION, False)
        tf.config.optimizer.set_experimental_options({_BFLOAT16_OPTION: True})
        try:
            request(np.zeros((1, *model.input_shape[1:]), np.uint8))
        finally:
            tf.config.optimizer.set_experimental_options({_BFLOAT16_OPTION: before})
    return Engine("tensorflow", precision, side_by_side(request))
