"""Familiarity as layers of a model, all of them Keras' own."""

from typing import TYPE_CHECKING

import numpy as np

from xferlearn.decisions import Familiarity
from xferlearn.decisions.familiarity import NOT_ZERO
from xferlearn.system.runtime import float32_layers

if TYPE_CHECKING:
    import keras

# The largest value of the activation relu6, which int8 files have too.
_SIX = 6.0


def familiarity_of(
    bottleneck: "keras.KerasTensor", predictions: "keras.KerasTensor", familiarity: Familiarity
) -> "keras.KerasTensor":
    """Returns how familiar photos are, computed by layers without code of this package.

    Args:
        bottleneck: float32, [batch, width].
        predictions: probabilities, float32, [batch, classes], range [0, 1].
        familiarity: what the layers compute, as its `apply` does.

    Returns:
        Float32, [batch, 1], range [0, 1], of a layer `familiarity`; the names of those before it
        begin with `familiarity_`. No training changes them.

    Example:
        >>> output = familiarity_of(model.get_layer("pooling").output, model.output, familiarity)
        >>> model = keras.Model(model.input, [model.output, output])
    """
    import keras

    layers, classes = keras.layers, familiarity.classes
    knots, levels = familiarity.knots, familiarity.levels
    # In int8 the values of a layer share one unit, so they are brought to one scale where they are
    # made: sums from 0 at the first knot to 6 at the last.
    unit = _SIX / (knots[-1] - knots[0])
    for_local, for_sure, for_lacking = unit * familiarity.weights[:, None, None]
    with float32_layers():
        scale = 1.0 if familiarity.scale is None else familiarity.scale.tolist()
        first = NOT_ZERO * np.eye(1, bottleneck.shape[1], dtype=np.float32)[0]
        x = layers.Rescaling(scale, first.tolist(), name="familiarity_scale")(bottleneck)
        x = layers.UnitNormalization(name="familiarity_unit")(x)
        x = _dense("familiarity_directions", familiarity.basis)(x)
        similarity = _dense("familiarity_similarity", familiarity.core.T)(x)
        usual = layers.Rescaling(1.0, (-familiarity.usual).tolist(), name="familiarity_usual")
        local = _largest("familiarity_local", usual(similarity), classes)
        if classes > 1:
            local = layers.Multiply(name="familiarity_likely")([local, predictions])
        sure = _largest("familiarity_sure", predictions)
        nearest = _largest("familiarity_nearest", similarity)
        slope = np.full((1, 1), -1 / familiarity.deviation, np.float32)
        lacking = _dense(
            "familiarity_lacking", slope, -familiarity.expected * slope[0], activation="relu6"
        )(nearest)
        offset = unit * (familiarity.offset - knots[:1])
        parts = [
            _dense("familiarity_of_local", np.repeat(for_local, classes, axis=0), offset)(local),
            _dense("familiarity_of_sure", for_sure)(sure),
            _dense("familiarity_of_lacking", for_lacking)(lacking),
        ]
        x = layers.Add(name="familiarity_sum")(parts)
        x = layers.ReLU(_SIX, name="familiarity_place")(x)
        # Between each two knots one ramp rises; where it is passed, it stays.
        steps = _SIX / np.diff(unit * knots)
        starts = unit * (knots[:-1] - knots[0])
        ramps = _dense("familiarity_ramps", steps[None], -steps * starts, activation="relu6")
        return _dense("familiarity", np.diff(levels)[:, None] / _SIX, levels[:1])(ramps(x))


def _dense(
    name: str, kernel: np.ndarray, bias: np.ndarray | None = None, *, activation: str | None = None
) -> "keras.layers.Dense":
    """Returns a dense layer with these weights, which no training changes."""
    import keras

    layer = keras.layers.Dense(
        kernel.shape[1], activation=activation, use_bias=bias is not None, name=name
    )
    layer.build((None, len(kernel)))
    layer.set_weights([kernel] if bias is None else [kernel, bias])
    layer.trainable = False
    return layer


def _largest(name: str, x: "keras.KerasTensor", rows: int = 1) -> "keras.KerasTensor":
    """Returns the largest value of each of some rows of equal length, [batch, rows]."""
    import keras

    x = keras.layers.Reshape((rows, x.shape[1] // rows), name=f"{name}_rows")(x)
    return keras.layers.GlobalMaxPooling1D("channels_first", name=name)(x)
