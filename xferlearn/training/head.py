"""The head: a small Keras model from bottlenecks to probabilities, and its training."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.config import TrainConfig
from xferlearn.errors import UserError
from xferlearn.system.runtime import (
    float32_layers,
    quiet_retracing,
    start_tensorflow,
    untuned,
)
from xferlearn.training.callbacks import Training, best_keeper, validator

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Enough for a thousand photos to converge, and for large sets to be seen ten times.
FEWEST_STEPS = 1000
FEWEST_PASSES = 10
# Training is evaluated 50 times or every 20 steps; it ends after 10 times without progress.
LOOKS = 50
STEPS_PER_LOOK = 20
PATIENCE = 10


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


def measure_scale(bottlenecks: np.ndarray, widths: Sequence[int] = ()) -> FeatureScale:
    """Returns the scale of training bottlenecks.

    Args:
        bottlenecks: float32, [photos, width].
        widths: how many values each backbone made, where there are several.
    """
    mean = bottlenecks.mean(axis=0, dtype=np.float64)
    squares = np.square(bottlenecks).mean(axis=0, dtype=np.float64) - np.square(mean)
    blocks = np.split(squares, np.cumsum(widths)[:-1])
    deviations = [max(math.sqrt(max(np.mean(block), 0.0)), 1e-30) for block in blocks]
    several = len(blocks) > 1
    return FeatureScale(
        mean.astype(np.float32), np.repeat(deviations, widths) if several else deviations[0]
    )


def build_head(
    width: int,
    classes: int,
    *,
    hidden_units: int = TrainConfig.hidden_units,
    dropout: float = TrainConfig.dropout,
    weight_decay: float = TrainConfig.weight_decay,
    scale: FeatureScale | None = None,
    seed: int = TrainConfig.seed,
) -> "keras.Model":
    """Returns a head: softmax regression, optionally with one hidden layer.

    The defaults are those of `train`, which also measures `scale` on its training photos. It
    computes in float32, as backbones do.

    Args:
        width: values per bottleneck.
        classes: number of labels.
        hidden_units: units of a ReLU layer before the last one; 0 for none.
        dropout: share of values dropped before the last layer in training, 0 to 1.
        weight_decay: penalty on the kernels: half of it times their squares is added to the loss.
        scale: how bottlenecks are scaled first; None leaves them as they are.
        seed: of the initial weights and of dropout.

    Returns:
        A Keras model with the layers `bottleneck` (input, float32, [batch, width]),
        `normalization`, `hidden`, `dropout` (each where asked for) and `predictions`
        (softmax, float32, [batch, classes], range [0, 1]).

    Example:
        >>> head = build_head(width=1280, classes=5, dropout=0.2)
    """
    start_tensorflow()
    import keras

    with float32_layers():
        bottleneck = keras.Input((width,), name="bottleneck")
        x = bottleneck
        penalty = keras.regularizers.L2(weight_decay / 2) if weight_decay else None
        if scale is not None:
            # Not Normalization, whose epsilon of 1e-7 exceeds the outputs of untrained networks.
            x = keras.layers.Rescaling(
                np.divide(1, scale.deviation).tolist(),
                offset=(-scale.mean / scale.deviation).tolist(),
                name="normalization",
            )(x)
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
            activation="softmax",
            kernel_initializer="zeros",
            kernel_regularizer=penalty,
            name="predictions",
        )(x)
        return keras.Model(bottleneck, predictions, name="head")


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


def planned_steps(how_many_training_steps: int | None, photos: int, batch_size: int) -> int:
    """Returns the most steps that training takes; see `FEWEST_STEPS` for the default."""
    if how_many_training_steps is not None:
        return how_many_training_steps
    return max(FEWEST_STEPS, math.ceil(FEWEST_PASSES * photos / batch_size))


def train_head(
    head: "keras.Model",
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    *,
    learning_rate: float,
    steps: int,
    batch_size: int,
    optimizer: str = "adam",
    class_weight: str = "none",
    seed: int = 0,
    callbacks: Sequence["keras.callbacks.Callback"] = (),
) -> Training:
    """Trains a head in place; it ends with the weights of the best validation loss.

    The learning rate falls to zero along a cosine (Loshchilov and Hutter 2017). Several steps run
    in one call into TensorFlow, as one look of the training; `callbacks` see them together.

    Args:
        head: compiled by this function.
        train: bottlenecks, float32, [photos, width], and class indices, int, [photos].
        validation: likewise; without photos all steps are run and the last weights kept.
        learning_rate: the largest one.
        steps: most steps; a few less are run where they don't divide into looks.
        batch_size: photos per step.
        optimizer: "adam" (Kingma and Ba 2015), or "sgd" for plain gradient descent.
        class_weight: "balanced" weighs classes by the inverse of their photos, "none" does not.
        seed: of the shuffling.
        callbacks: Keras callbacks for `fit`; each of their epochs is one look.

    Returns:
        How many steps were run, which were the best, and their validation loss.
    """
    import keras

    per_look = max(STEPS_PER_LOOK, steps // LOOKS)
    looks = max(1, steps // per_look)
    per_look = steps // looks
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, looks * per_look)
    head.compile(
        keras.optimizers.SGD(schedule) if optimizer == "sgd" else keras.optimizers.Adam(schedule),
        loss="sparse_categorical_crossentropy",
        # The loss includes the penalty; the cross-entropy alone decides which weights are kept.
        metrics=[
            "accuracy",
            keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy"),
        ],
        steps_per_execution=per_look,
        # XLA takes longer to compile than a small head takes to train.
        jit_compile=False,
    )
    keeper = best_keeper(patience=PATIENCE)
    with quiet_retracing():
        head.fit(
            _batches(*train, batch_size, seed),
            epochs=looks,
            steps_per_epoch=per_look,
            class_weight=class_weights(train[1], class_weight),
            # First, because the others read what it finds.
            callbacks=[_validator(head, *validation), *callbacks, keeper],
            shuffle=False,
            verbose=0,
        )
    return keeper.training(per_look)


def predict_head(head: "keras.Model", bottlenecks: np.ndarray) -> np.ndarray:
    """Returns probabilities, float32, [photos, classes], for bottlenecks, [photos, width]."""
    if not len(bottlenecks):
        return np.zeros((0, head.output_shape[-1]), np.float32)
    # Starting Keras' predict takes longer than predicting a small set.
    parts = [
        np.asarray(head(np.asarray(bottlenecks[start : start + 4096]), training=False))
        for start in range(0, len(bottlenecks), 4096)
    ]
    return np.concatenate(parts)


def _batches(x: np.ndarray, y: np.ndarray, batch_size: int, seed: int) -> "tf.data.Dataset":
    import tensorflow as tf

    # Only indices are shuffled and batched; one gather fetches a whole batch.
    return untuned(
        tf.data.Dataset.range(len(y))
        .shuffle(len(y), seed=seed)
        .repeat()
        .batch(batch_size)
        .map(_gatherer(x, y))
        .prefetch(8)
    )


def _gatherer(x: np.ndarray, y: np.ndarray) -> Callable[["tf.Tensor"], tuple]:
    import tensorflow as tf

    labels = tf.constant(y, tf.int32)
    if isinstance(x, np.memmap):
        # Too large for memory: the rows of a batch are read from the disk.
        def rows(indices: tf.Tensor) -> tf.Tensor:
            picked = tf.numpy_function(lambda i: np.asarray(x[i]), [indices], tf.float32)
            return tf.ensure_shape(picked, [None, x.shape[1]])
    else:
        values = tf.constant(x)

        def rows(indices: tf.Tensor) -> tf.Tensor:
            return tf.gather(values, indices)

    @tf.autograph.experimental.do_not_convert
    def pairs(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return rows(indices), tf.gather(labels, indices)

    return pairs


def class_weights(labels: np.ndarray, class_weight: str) -> dict[int, float] | None:
    """Returns the weight of each class that `class_weight` means, as `fit` takes it.

    Args:
        labels: class indices of the training photos, int, [photos].
        class_weight: "none" or "balanced".
    """
    if class_weight != "balanced":
        return None
    classes, counts = np.unique(labels, return_counts=True)
    return {
        int(c): len(labels) / (len(classes) * int(n)) for c, n in zip(classes, counts, strict=True)
    }


def _validator(head: "keras.Model", x: np.ndarray, y: np.ndarray) -> "keras.callbacks.Callback":
    return validator((lambda: (predict_head(head, x), y)) if len(y) else None)
