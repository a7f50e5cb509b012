"""The head: a small Keras model from bottlenecks to probabilities."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.config import TrainConfig
from xferlearn.config.presets import HIDDEN_UNITS, WEIGHT_DECAY
from xferlearn.errors import UserError
from xferlearn.system.runtime import float32_layers, start_tensorflow
from xferlearn.system.vectors import Vectors, blocks_of, new_table

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class FeatureScale:
    """What brings bottlenecks of any backbone to the same scale before the head.

    Each feature is centred and all are divided by one number, so that one learning rate fits all
    backbones. Dividing each feature by its own deviation cost 1 point of accuracy on the flowers,
    because it enlarges features that hardly vary.

    Attributes:
        mean: float32, [width], mean of each feature over the training photos.
        deviation: root mean square of what remains, over all features; where several backbones
            made them, over those of each, float64, [width].
    """

    mean: np.ndarray
    deviation: float | np.ndarray

    def apply(self, bottlenecks: np.ndarray) -> np.ndarray:
        """Returns bottlenecks, float32, [photos, width], at that scale."""
        return (bottlenecks - self.mean) / np.float32(self.deviation)


def measure_scale(
    bottlenecks: Vectors, widths: Sequence[int] = (), rows: np.ndarray | None = None
) -> FeatureScale:
    """Returns the scale of training bottlenecks.

    Args:
        bottlenecks: float32, [photos, width].
        widths: how many values each backbone made, where there are several.
        rows: positions of those that are measured, int, [number]; None for all.
    """
    number = len(bottlenecks) if rows is None else len(rows)
    mean, squares = np.zeros(bottlenecks.shape[1]), np.zeros(bottlenecks.shape[1])
    for _, block in blocks_of(bottlenecks, rows):
        mean += block.sum(axis=0, dtype=np.float64)
        squares += np.square(block).sum(axis=0, dtype=np.float64)
    mean /= number
    squares = squares / number - np.square(mean)
    blocks = np.split(squares, np.cumsum(widths)[:-1])
    deviations = [max(math.sqrt(max(float(np.mean(block)), 0.0)), 1e-30) for block in blocks]
    several = len(blocks) > 1
    return FeatureScale(
        mean.astype(np.float32), np.repeat(deviations, widths) if several else deviations[0]
    )


def build_head(
    width: int,
    classes: int,
    *,
    hidden_units: int = HIDDEN_UNITS,
    dropout: float = TrainConfig.dropout,
    weight_decay: float = WEIGHT_DECAY,
    scale: FeatureScale | None = None,
    seed: int = TrainConfig.seed,
    multi_label: bool = False,
) -> "keras.Model":
    """Returns a head: one hidden layer, or softmax regression without one.

    The defaults are those of `train` for one backbone, which also measures `scale` on its photos.
    It computes in float32, as backbones do.

    Args:
        width: values per bottleneck.
        classes: number of labels.
        hidden_units: units of a ReLU layer before the last one; 0 for none.
        dropout: share of values dropped before the last layer in training, 0 to 1.
        weight_decay: penalty on the kernels: half of it times their squares is added to the loss.
        scale: how bottlenecks are scaled first; None leaves them as they are.
        seed: of the initial weights and of dropout.
        multi_label: whether a photo may have several labels: sigmoid instead of softmax, so that
            each class has a probability of its own.

    Returns:
        A Keras model with the layers `bottleneck` (input, float32, [batch, width]),
        `normalization`, `hidden`, `dropout` (each where asked for) and `predictions`
        (softmax or sigmoid, float32, [batch, classes], range [0, 1]).

    Example:
        >>> head = build_head(width=1280, classes=5, dropout=0.2)
    """
    start_tensorflow()
    import keras

    with float32_layers():
        bottleneck = keras.Input((width,), name="bottleneck")
        x = bottleneck if scale is None else normalised(bottleneck, scale)
        penalty = keras.regularizers.L2(weight_decay / 2) if weight_decay else None
        if hidden_units:
            initializer = keras.initializers.HeNormal(seed=seed)
            x = keras.layers.Dense(
                hidden_units,
                activation="relu",
                kernel_initializer=initializer,
                kernel_regularizer=penalty,
                name="hidden",
            )(x)
        if dropout:
            x = keras.layers.Dropout(dropout, seed=seed, name="dropout")(x)
        # From zero every class starts equal, and small sets end nearer to the simplest solution.
        predictions = keras.layers.Dense(
            classes,
            activation=activation_of(multi_label=multi_label),
            kernel_initializer="zeros",
            kernel_regularizer=penalty,
            name="predictions",
        )(x)
        return keras.Model(bottleneck, predictions, name="head")


def activation_of(*, multi_label: bool) -> str:
    """Returns the activation of a head's last layer."""
    return "sigmoid" if multi_label else "softmax"


def is_multi_label(head: "keras.Model") -> bool:
    """Returns whether a head, as `build_head` returns it, is for several labels per photo."""
    return bool(head.get_layer("predictions").activation.__name__ == "sigmoid")


def join_heads(heads: Sequence["keras.Model"]) -> "keras.Model":
    """Returns one head whose logits are the mean of those of several, for joined bottlenecks.

    Args:
        heads: as `build_head` returns them, with a scale, all with a hidden layer or all without.
    """
    layers = [{layer.name: layer for layer in head.layers} for head in heads]
    found = [one["normalization"] for one in layers]
    widths = [head.input_shape[1] for head in heads]
    deviations = [
        np.broadcast_to(np.divide(1, one.scale), width)
        for one, width in zip(found, widths, strict=True)
    ]
    means = [
        -np.asarray(one.offset) * deviation
        for one, deviation in zip(found, deviations, strict=True)
    ]
    scale = FeatureScale(np.concatenate(means).astype(np.float32), np.concatenate(deviations))
    hidden = [one["hidden"].get_weights() for one in layers if "hidden" in one]
    kernels, biases = zip(*(one["predictions"].get_weights() for one in layers), strict=True)
    units = sum(len(bias) for _, bias in hidden)
    joined = build_head(
        sum(widths),
        len(biases[0]),
        hidden_units=units,
        dropout=0,
        weight_decay=0,
        scale=scale,
        multi_label=is_multi_label(heads[0]),
    )
    if hidden:
        # Zeros where one network's bottlenecks would meet the units of another.
        whole = np.zeros((sum(widths), units), np.float32)
        row = column = 0
        for kernel, _ in hidden:
            height, width = kernel.shape
            whole[row : row + height, column : column + width] = kernel
            row, column = row + height, column + width
        joined.get_layer("hidden").set_weights([whole, np.concatenate([b for _, b in hidden])])
    share = np.float32(1 / len(heads))
    last = [np.concatenate(kernels) * share, np.sum(biases, axis=0) * share]
    joined.get_layer("predictions").set_weights(last)
    return joined


def normalised(bottleneck: "keras.KerasTensor", scale: FeatureScale) -> "keras.KerasTensor":
    """Returns a bottleneck at a scale, by a layer `normalization`."""
    import keras

    # Not Normalization, whose epsilon of 1e-7 exceeds the outputs of untrained networks.
    return keras.layers.Rescaling(
        np.divide(1, scale.deviation).tolist(),
        offset=(-scale.mean / scale.deviation).tolist(),
        name="normalization",
    )(bottleneck)


def build_classifier(backbone: "keras.Model", head: "keras.layers.Layer") -> "keras.Model":
    """Returns backbone and head as one model: raw pixels in, the head's output out.

    Args:
        backbone: a model from pixels to bottlenecks, [batch, width], such as `load_backbone`
            returns; functional, or a Sequential one that is built.
        head: a model or layer that takes bottlenecks, such as `build_head` returns: functional,
            Sequential, subclassed or a single layer, built or not.

    Returns:
        A Keras model named "classifier" from the backbone's input, such as `image`, float32,
        [batch, height, width, 3], range [0, 255], to the head's output, such as `predictions`,
        float32, [batch, classes], range [0, 1]. Its layers are those of both models, not copies,
        and so keep their weights and names. The layers of functional and Sequential heads stand
        beside those of the backbone; other heads, and those with names that the backbone has too,
        are one layer.

    Raises:
        UserError: the backbone does not end in [batch, width], the head is for another width or
            overrides `__call__`, or one of them has several inputs.

    Example:
        >>> backbone = load_backbone("mobilenet", weights="none")
        >>> model = build_classifier(backbone, build_head(backbone.output_shape[-1], 5))
    """
    start_tensorflow()
    import keras

    width = _bottleneck_width(backbone)
    _check_head(head, backbone.name, width)
    bottleneck = backbone.outputs[0]
    unfolds = _can_unfold(head, backbone)
    try:
        with float32_layers():
            output = _unfolded(head, bottleneck) if unfolds else head(bottleneck)
            return keras.Model(backbone.inputs[0], output, name="classifier")
    except (TypeError, ValueError) as error:  # Keras' own, of layers that don't fit together
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"Expected a head for bottlenecks of {width} values, as {backbone.name} gives."
            f" {head.name} can't be put on it: {reason}"
        ) from error


def _bottleneck_width(backbone: "keras.Model") -> int:
    """Returns the number of values per bottleneck; checks that this is what a backbone gives."""
    inputs = getattr(backbone, "inputs", None) or ()
    outputs = getattr(backbone, "outputs", None) or ()
    if not inputs or not outputs:
        raise UserError(
            "Expected a functional model, or a Sequential one that is built, as backbone. Received:"
            f" {getattr(backbone, 'name', backbone)} ({type(backbone).__name__}), whose input and"
            " output are not known."
        )
    if len(inputs) > 1 or len(outputs) > 1:
        raise UserError(
            f"Expected a backbone with one input and one output. {backbone.name} has {len(inputs)}"
            f" and {len(outputs)}."
        )
    shape = outputs[0].shape
    if len(shape) != 2 or shape[1] is None:
        raise UserError(
            f"Expected a backbone that ends in [batch, width]. {backbone.name} ends in"
            f" {list(shape)}: add a layer such as GlobalAveragePooling2D."
        )
    return int(shape[1])


def _check_head(head: "keras.layers.Layer", backbone: str, width: int) -> None:
    import keras

    if not isinstance(head, keras.layers.Layer):
        raise UserError(f"Expected a Keras model or layer as head. Received: {head!r}.")
    if not type(head).__call__.__module__.startswith("keras."):
        raise UserError(
            f"Expected a head with its code in `call`. {type(head).__name__} overrides `__call__`,"
            " which Keras does not save."
        )
    inputs = getattr(head, "inputs", None) or ()
    if len(inputs) > 1:
        raise UserError(f"Expected a head with one input. {head.name} has {len(inputs)}.")
    for shape in (one.shape for one in inputs):
        if len(shape) != 2:
            raise UserError(
                f"Expected a head that takes [batch, width]. {head.name} takes {list(shape)}."
            )
        if shape[1] not in (None, width):
            raise UserError(
                f"Expected a head for bottlenecks of {width} values, as {backbone} gives. Received"
                f" one for {shape[1]}."
            )


def _can_unfold(head: "keras.layers.Layer", backbone: "keras.Model") -> bool:
    """Returns whether the layers of a head can stand beside those of the backbone."""
    import keras

    if not isinstance(head, (keras.Sequential, keras.Function)):
        return False
    # A subclass that calls its layers in its own way has to be called as a whole.
    if not type(head).call.__module__.startswith("keras."):
        return False
    own, taken = (
        {one.name for one in getattr(model, "operations", model.layers)}
        for model in (head, backbone)
    )
    own -= {one.name for one in head.layers if isinstance(one, keras.layers.InputLayer)}
    return own.isdisjoint(taken)


def _unfolded(head: "keras.Model", bottleneck: "keras.KerasTensor") -> Any:
    """Returns the output of a head whose layers are called on a bottleneck one by one."""
    import keras

    if not isinstance(head, keras.Sequential):
        # Not the model's own call, which would add a layer that converts the bottleneck.
        return keras.Function.call(head, bottleneck)
    if not head.built:
        head.build((None, bottleneck.shape[1]))
    for layer in head.layers:
        bottleneck = layer(bottleneck)
    return bottleneck


def predict_head(
    head: "keras.Model", bottlenecks: Vectors, rows: np.ndarray | None = None
) -> np.ndarray:
    """Returns probabilities, float32, [photos, classes], for bottlenecks, [photos, width].

    Args:
        head: the head.
        bottlenecks: float32, [photos, width].
        rows: positions of the photos that are asked about, int, [number]; None for all.
    """
    number = len(bottlenecks) if rows is None else len(rows)
    found = new_table(number, head.output_shape[-1])
    # Starting Keras' predict takes longer than predicting a small set.
    for places, block in blocks_of(bottlenecks, rows):
        found[places] = head(block, training=False)
    return found


def fold_temperature(head: "keras.Model", temperature: float) -> None:
    """Divides the logits of a head, as `build_head` returns it, by a temperature, in place."""
    predictions = head.get_layer("predictions")
    predictions.set_weights([weight / temperature for weight in predictions.get_weights()])
