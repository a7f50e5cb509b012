"""Frozen backbones and ImageNet classifiers as ordinary Keras models."""

import contextlib
import importlib
import random
from pathlib import Path
from typing import TYPE_CHECKING

from xferlearn.backbones.names import resolve_backbone
from xferlearn.backbones.table import PREPROCESSING, BackboneSpec
from xferlearn.backbones.weights import downloading, read_weights_file
from xferlearn.errors import UserError, XferlearnError, did_you_mean
from xferlearn.system.runtime import float32_layers, start_tensorflow

if TYPE_CHECKING:
    import keras


def load_backbone(
    name: str,
    *,
    weights: str | Path | None = "imagenet",
    image_size: int | None = None,
    seed: int = 0,
    verbose: int = 1,
) -> "keras.Model":
    """Loads a frozen backbone: raw pixels in, bottlenecks out.

    Its layers are `image`, `preprocessing`, the network under the backbone's name, and `pooling`.
    They are Keras' own, so a saved model loads without this package. It computes in float32,
    whatever policy `keras.config.set_dtype_policy` sets for other layers.

    Args:
        name: anything that `resolve_backbone` understands.
        weights: "imagenet"; "none" or None for random ones; or a weights file: .weights.h5,
            .h5, .keras, for EfficientNet-Lite also .pth. At sizes without ImageNet weights of
            their own, those for the backbone's own size are used.
        image_size: side of the input, px; None for the size in the name, or else the backbone's.
        seed: seed of random weights. The global random state stays as it is.
        verbose: 0 shows nothing, 1 shows the progress of a download.

    Returns:
        A functional model: float32 [batch, size, size, 3], RGB, range [0, 255], to float32
        [batch, width]. Nothing in it is trainable, and it computes the same during training.
        When you unfreeze layers, leave the BatchNormalization layers frozen.

    Raises:
        UserError: the name, size or weights file is wrong.
        XferlearnError: the ImageNet weights can't be downloaded or read.

    Example:
        >>> load_backbone("efficientnet_lite0").output_shape
        (None, 1280)
    """
    start_tensorflow()
    import keras

    spec, size = resolve_backbone(name, image_size)
    with float32_layers():
        network, file = _build(spec, size, weights, include_top=False, seed=seed, verbose=verbose)
        image = keras.Input((size, size, 3), dtype="float32", name="image")
        x = network(_preprocess(image, spec), training=False)
        x = keras.layers.GlobalAveragePooling2D(name="pooling")(x)
        model = keras.Model(image, x, name=spec.name)
        if file is not None:

            def with_top() -> "keras.Model":
                size = spec.image_size
                return _build(spec, size, None, include_top=True, seed=seed, verbose=0)[0]

            read_weights_file(file, spec, network, model, with_top)
    model.trainable = False
    return model


def load_imagenet_classifier(
    name: str,
    *,
    weights: str | Path | None = "imagenet",
    image_size: int | None = None,
    verbose: int = 1,
) -> "keras.Model":
    """Loads a backbone with its original top, for ImageNet's 1000 classes.

    Args:
        name: anything that `resolve_backbone` understands.
        weights: as in `load_backbone`, but a file must include the top.
        image_size: side of the input, px; None for the size in the name, or else the backbone's.
        verbose: as in `load_backbone`.

    Returns:
        A functional model: float32 [batch, size, size, 3], RGB, range [0, 255], to float32
        [batch, 1000], range [0, 1], from a softmax layer named `predictions`; the order of the
        classes is that of `synsets.imagenet_labels`. Nothing in it is trainable.

    Raises:
        UserError: the name, size or weights file is wrong.
        XferlearnError: the ImageNet weights can't be downloaded or read.
    """
    start_tensorflow()
    import keras

    spec, size = resolve_backbone(name, image_size)
    keras_top = spec.builder.startswith("keras.")
    if str(weights).lower() == "imagenet" and keras_top and size not in spec.imagenet_sizes:
        raise UserError(
            f"The ImageNet classifier of {spec.name} exists for "
            f"{', '.join(map(str, spec.imagenet_sizes))} px. Received: {size} px."
        )
    with float32_layers():
        network, file = _build(spec, size, weights, include_top=True, seed=0, verbose=verbose)
        image = keras.Input((size, size, 3), dtype="float32", name="image")
        x = network(_preprocess(image, spec), training=False)
        x = keras.layers.Softmax(name="predictions")(x)
        model = keras.Model(image, x, name=spec.name)
        if file is not None:
            read_weights_file(file, spec, network, model)
    model.trainable = False
    return model


def _build(
    spec: BackboneSpec,
    size: int,
    weights: str | Path | None,
    *,
    include_top: bool,
    seed: int,
    verbose: int,
) -> tuple["keras.Model", Path | None]:
    """Builds the bare network; returns it with the weights file that is still to be read."""
    import keras

    if keras.config.image_data_format() != "channels_last":
        raise XferlearnError(
            "Expected Keras' image_data_format to be channels_last. Received: "
            f"{keras.config.image_data_format()}; change it in keras.json."
        )
    choice = str(weights).lower() if weights is not None else "none"
    file = None if choice in ("imagenet", "none") else _weights_path(weights)
    module, _, function = spec.builder.rpartition(".")
    builder = getattr(importlib.import_module(module), function)
    arguments = dict(spec.arguments)
    arguments.update(include_top=include_top, input_shape=(size, size, 3))
    arguments.update(weights="imagenet" if choice == "imagenet" else None)
    if include_top:
        arguments.update(classifier_activation=None)
    # Keras seeds every initialiser without a seed from Python's global generator.
    state = random.getstate()
    random.seed(seed)
    try:
        with downloading(spec, verbose) if choice == "imagenet" else contextlib.nullcontext():
            built = builder(**arguments)
    finally:
        random.setstate(state)
    # Keras derives a download's name from the model's, so the name is given afterwards.
    network = keras.Model(built.input, built.output, name=spec.name)
    # A functional model hands its own training flag down, whatever the inner call said: what
    # keeps a network still during fit is trainable=False for BatchNorm and rate 0 for dropout.
    network.trainable = False
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return network, file


def _weights_path(weights: str | Path | None) -> Path:
    path = Path(str(weights)).expanduser()
    if not path.is_file():
        hint = did_you_mean(str(weights), ("imagenet", "none"))
        raise UserError(
            f"Expected weights to be imagenet, none or a file. Received: {str(weights)!r}, "
            f"which is no file.{hint}"
        )
    return path


def _preprocess(image: "keras.KerasTensor", spec: BackboneSpec) -> "keras.KerasTensor":
    """Applies the row's preprocessing with layers that any Keras can load."""
    import keras

    preprocessing = PREPROCESSING[spec.preprocessing]
    scale, offset = preprocessing.scale, preprocessing.offset
    same = len(set(scale)) == len(set(offset)) == 1
    x = keras.layers.Rescaling(
        scale[0] if same else list(scale),
        offset[0] if same else list(offset),
        name="preprocessing",
    )(image)
    # A gather, not a reversed slice: every export format has one.
    return keras.ops.take(x, [2, 1, 0], axis=-1) if preprocessing.bgr else x
