"""Familiarity as layers of a model, all of them Keras' own."""

from typing import TYPE_CHECKING

import numpy as np

from xferlearn.decisions.familiarity import Familiarity
from xferlearn.system.runtime import float32_layers

if TYPE_CHECKING:
    import keras

NAME = "familiarity"


def familiarity_of(
    bottleneck: "keras.KerasTensor", predictions: "keras.KerasTensor", familiarity: Familiarity
) -> "keras.KerasTensor":
    """Returns how familiar photos are, computed by layers without code of this package.

    Args:
        bottleneck: float32, [batch, width].
        predictions: probabilities, float32, [batch, classes], range [0, 1].
        familiarity: what the layers compute.

    Returns:
        Float32, [batch, 1], range [0, 1], of a layer `familiarity`; the names of those before it
        begin with `familiarity_`.

    Example:
        >>> output = familiarity_of(model.get_layer("pooling").output, model.output, familiarity)
        >>> model = keras.Model(model.input, [model.output, output])
    """
    import keras

    layers = keras.layers
    classes = familiarity.classes

    def named(name: str) -> str:
        return f"{NAME}_{name}"

    def dense(
        name: str, kernel: np.ndarray, bias: np.ndarray | None = None, activation: str | None = None
    ) -> "keras.layers.Dense":
        layer = layers.Dense(
            kernel.shape[1], activation=activation, use_bias=bias is not None, name=name
        )
        layer.build((None, len(kernel)))
        layer.set_weights([kernel] if bias is None else [kernel, bias])
        layer.trainable = False
        return layer

    def largest(name: str, x: "keras.KerasTensor", rows: int) -> "keras.KerasTensor":
        """Returns the largest value of each row of equal length, [batch, rows]."""
        x = layers.Reshape((rows, x.shape[1] // rows), name=named(f"{name}_rows"))(x)
        pooling = layers.GlobalMaxPooling1D("channels_first", name=named(name))
        return pooling(x)

    with float32_layers():
        x = bottleneck
        if familiarity.scale is not None:
            x = layers.Rescaling(familiarity.scale.tolist(), name=named("scale"))(x)
        x = layers.UnitNormalization(name=named("direction"))(x)
        similarity = dense(named("similarity"), familiarity.core.T)(x)
        usual = layers.Rescaling(1.0, (-familiarity.usual).tolist(), name=named("usual"))
        local = largest("local", usual(similarity), classes)
        if classes > 1:
            local = layers.Multiply(name=named("likely"))([local, predictions])
        sure = largest("sure", predictions, 1)
        nearest = largest("nearest", similarity, 1)
        one = np.ones((1, 1), np.float32)
        lacking = dense(named("lacking"), -one, one[0] * familiarity.expected, "relu")(nearest)
        parts = layers.Concatenate(name=named("parts"))([local, sure, lacking])
        offset = one[0] * familiarity.offset
        weights = np.repeat(familiarity.weights, [classes, 1, 1])[:, None]
        sums = dense(named("sum"), weights, offset)(parts)
        knots, levels = familiarity.knots, familiarity.levels
        if len(knots) == 1:
            return dense(NAME, 0 * one, levels)(sums)
        # A ramp from 0 to 6 between each two knots: activations that also int8 files have.
        slopes = 6 / np.diff(knots)
        ramps = dense(named("ramps"), slopes[None], -slopes * knots[:-1], "relu6")(sums)
        return dense(NAME, np.diff(levels)[:, None] / 6, levels[:1])(ramps)
