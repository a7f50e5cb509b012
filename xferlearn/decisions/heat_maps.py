"""Where a network saw what spoke for a class: class activation maps, from its own arithmetic."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from xferlearn.system.runtime import float32_layers

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Photos that go through the network together: each takes some 85 MB (EfficientNet-Lite0).
_AT_ONCE = 8
# From pooled features, float32, [photos, features] per network, to one logit per class.
Head = Callable[["list[tf.Tensor]"], "tf.Tensor"]


@dataclasses.dataclass(frozen=True)
class HeatMap:
    """Where in a photo there is what speaks for a class, or against it.

    Attributes:
        values: float32, [rows, columns], range [-1, 1]; positive speaks for the class.
        scale: the log-odds that 1 stands for. `scale * values.mean()` is what the pooled features
            together contribute to the log-odds of the class, linearised at the photo.
    """

    values: np.ndarray
    scale: float


class HeatMaps:
    """Makes class activation maps with a Keras model that ends in global average pooling.

    The log-odds of a class, `log(p / (1 - p))`, have a gradient with respect to the pooled
    features. Those are means over places, so the gradient times the feature map, summed over the
    features, says what each place contributes. That is exact: its mean over the places is the
    product of gradient and pooled features, the linearised contribution of the photo. With two
    classes and no hidden layer these are the log-odds themselves, but for a constant; other heads
    bend, and the gradient is that at this photo. Where several networks are combined, their maps
    are added on the finest grid, with the mean of each kept.

    Not in it is how far around a place the network looked to compute the feature map there.

    Example:
        >>> maps = HeatMaps(model, model.output["predictions"])
        >>> seen = maps.look(pixels)
        >>> maps.of_classes(seen, probabilities.argmax(axis=1))[0].values.shape
        (7, 7)
    """

    def __init__(self, model: "keras.Model", scores: "keras.KerasTensor") -> None:
        """Finds the last feature maps of a model.

        Args:
            model: functional or Sequential, from values of pixels to scores.
            scores: its output with one score per class.

        Raises:
            ValueError: it has no such maps; the text is a sentence without its full stop.
        """
        import keras

        if len(model.inputs) != 1 or model.inputs[0].shape[0] is not None:
            raise ValueError("the model takes several inputs, or a fixed number of photos per call")
        with float32_layers():
            maps, self._logits, ending = _split(scores)
            self._network = keras.Model(model.inputs[0], maps)
        self._independent = ending == "sigmoid"

    def look(self, values: np.ndarray) -> list[np.ndarray]:
        """Returns the last feature map of each network that is combined.

        Args:
            values: what the model takes, [photos, height, width, channels].

        Returns:
            Float32, [photos, rows, columns, features] each.
        """
        import keras

        parts = [
            keras.tree.flatten(self._network(values[start : start + _AT_ONCE], training=False))
            for start in range(0, len(values), _AT_ONCE)
        ]
        return [np.concatenate(one).astype(np.float32) for one in zip(*parts, strict=True)]

    def of_classes(
        self, maps: Sequence[np.ndarray], classes: Sequence[int] | np.ndarray
    ) -> list[HeatMap]:
        """Returns a heat map for one class of each photo.

        Args:
            maps: as `look` returns them.
            classes: index of the class, per photo.
        """
        import tensorflow as tf

        with tf.GradientTape() as tape:
            pooled = [tf.constant(vectors) for vectors in pooled_features(maps)]
            tape.watch(pooled)
            odds = self._log_odds(pooled, np.asarray(classes))
        gradients = tape.gradient(odds, pooled)
        parts = [
            np.einsum("nhwf,nf->nhw", one, gradient.numpy())
            for one, gradient in zip(maps, gradients, strict=True)
        ]
        rows, columns = max((one.shape[1:] for one in parts), key=np.prod)
        total = np.sum([_on_grid(one, rows, columns) for one in parts], axis=0)
        scales = np.maximum(np.abs(total).max(axis=(1, 2)), 1e-30)
        return [
            HeatMap(values / scale, float(scale))
            for values, scale in zip(total, scales, strict=True)
        ]

    def _log_odds(self, pooled: "list[tf.Tensor]", classes: np.ndarray) -> "tf.Tensor":
        import tensorflow as tf

        logits = tf.reshape(self._logits(pooled), (len(classes), -1))
        if logits.shape[1] == 1:  # one score is that of the second of two classes
            return logits[:, 0] * tf.constant(2 * classes - 1, logits.dtype)
        shown = tf.one_hot(classes, logits.shape[1], on_value=True, off_value=False)
        own = tf.boolean_mask(logits, shown)
        if self._independent:
            return own
        # Not from the probabilities: where the network is sure, 1 - p is 0.
        others = tf.where(shown, tf.constant(-np.inf, logits.dtype), logits)
        return own - tf.reduce_logsumexp(others, axis=1)


def pooled_features(maps: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns the bottlenecks of feature maps: their means over places, [photos, features] each."""
    return [one.mean(axis=(1, 2)) for one in maps]


def _split(scores: "keras.KerasTensor") -> tuple[list["keras.KerasTensor"], Head, str]:
    """Returns a model's last feature maps, what makes logits of their means, and its ending.

    Raises:
        ValueError: as `HeatMaps`.
    """
    import keras

    layer, inputs, place = _made_by(scores)
    if isinstance(layer, keras.Model):
        maps, head, ending = _split(layer.outputs[place])
        return _called(layer, maps, inputs), head, ending
    if _changes_nothing(layer):
        return _split(inputs[0])
    ending = _ending(layer)
    if ending not in ("softmax", "sigmoid", "linear"):
        raise ValueError(f"the model ends in {ending}, not in a softmax or sigmoid")
    if isinstance(layer, keras.layers.Dense):
        maps, head = _pooled(inputs[0])
        kernel, bias = layer.kernel, layer.bias if layer.use_bias else 0.0
        return maps, lambda pooled: keras.ops.matmul(head(pooled), kernel) + bias, ending
    return *_pooled(inputs[0]), ending


def _ending(layer: Any) -> str:
    """Returns the name of the function that a layer ends in, or of the layer where none is known.

    What other layers give may be logits or probabilities, such as a mean of several.
    """
    import keras

    if isinstance(layer, (keras.layers.Dense, keras.layers.Activation)):
        return getattr(layer.activation, "__name__", type(layer.activation).__name__)
    name = type(layer).__name__
    return name.lower() if name in ("Softmax", "Sigmoid") else name  # operations too


def _changes_nothing(layer: Any) -> bool:
    """Returns whether a layer gives the values that it takes, in their order."""
    import keras

    layers = keras.layers
    if isinstance(layer, layers.Activation):
        return _ending(layer) == "linear"
    if isinstance(layer, layers.Rescaling):
        return bool(np.all(np.equal(layer.scale, 1)) and np.all(np.equal(layer.offset, 0)))
    return isinstance(layer, (layers.Dropout, layers.Flatten, layers.Identity, layers.Reshape))


def _pooled(tensor: "keras.KerasTensor") -> tuple[list["keras.KerasTensor"], Head]:
    """Returns the feature maps whose means alone make a vector, and what makes it of them."""
    import keras

    ends: list[keras.KerasTensor] = []
    waiting, known = [tensor], set()
    while waiting:
        one = waiting.pop()
        layer, inputs, _ = _made_by(one)
        if id(one) in known:
            continue
        known.add(id(one))
        if isinstance(layer, (keras.layers.GlobalAveragePooling2D, keras.Model)):
            ends.append(one)
        elif inputs and all(side == 1 for side in one.shape[1:-1]):
            waiting += reversed(inputs)
        else:
            raise ValueError(
                "the network does not end in global average pooling, so it has no map of where it"
                " saw what"
            )
    maps, heads = zip(*map(_end, ends), strict=True)
    if ends[0] is tensor:
        return maps[0], heads[0]
    joined = keras.Model(ends, tensor)
    starts = np.cumsum([0, *map(len, maps)])

    def head(pooled: "list[tf.Tensor]") -> "tf.Tensor":
        spans = zip(heads, starts, starts[1:], strict=False)
        return joined([of_end(pooled[start:stop]) for of_end, start, stop in spans])

    return [one for part in maps for one in part], head


def _end(tensor: "keras.KerasTensor") -> tuple[list["keras.KerasTensor"], Head]:
    """Returns the same for what a pooling layer or a model inside the model gives."""
    import keras

    layer, inputs, place = _made_by(tensor)
    if isinstance(layer, keras.Model):
        maps, head = _pooled(layer.outputs[place])
        return _called(layer, maps, inputs), head
    if layer.data_format != "channels_last":
        raise ValueError("the network has its channels first")
    shape = (-1, *tensor.shape[1:])
    return inputs, lambda pooled: keras.ops.reshape(pooled[0], shape)


def _called(
    model: "keras.Model", maps: list["keras.KerasTensor"], inputs: list["keras.KerasTensor"]
) -> list["keras.KerasTensor"]:
    """Returns feature maps of a model inside a model as tensors of the model around it."""
    import keras

    return keras.tree.flatten(keras.Model(model.inputs, maps)(inputs))


def _made_by(tensor: "keras.KerasTensor") -> tuple[Any, list["keras.KerasTensor"], int]:
    """Returns the layer that a tensor comes from, what went into it, and which output it is."""
    layer, node, place = tensor._keras_history
    return layer, list(layer._inbound_nodes[node].input_tensors), place


def _on_grid(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Returns maps, [photos, rows, columns], on another grid, each with its mean."""
    if values.shape[1:] == (rows, columns):
        return values
    finer = np.stack(
        [
            np.asarray(Image.fromarray(one).resize((columns, rows), Image.Resampling.BILINEAR))
            for one in values.astype(np.float32)
        ]
    )
    return finer + (values.mean(axis=(1, 2)) - finer.mean(axis=(1, 2)))[:, None, None]
