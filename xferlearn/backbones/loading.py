"""Frozen backbones and ImageNet classifiers as ordinary Keras models."""

import contextlib
import importlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xferlearn.backbones.names import part_name, resolve_backbone
from xferlearn.backbones.pooling import POOLINGS
from xferlearn.backbones.table import BackboneSpec, preprocessing_of, spec_of
from xferlearn.backbones.weights import downloading, read_weights_file
from xferlearn.errors import UserError, XferlearnError, did_you_mean
from xferlearn.system.runtime import float32_layers, start_tensorflow

if TYPE_CHECKING:
    import keras


def load_rows(
    parts: Sequence[tuple[BackboneSpec, int]],
    weights: str | Path | None = "imagenet",
    *,
    seed: int = 0,
    verbose: int = 1,
) -> tuple["keras.Model", ...]:
    """Loads backbones, each as a model of its own.

    Args:
        parts: rows and image sizes, as `resolve_backbones` returns them.
        weights: "imagenet"; "none" or None for random ones; or, for one backbone, a weights file:
            .weights.h5, .h5, .keras, for EfficientNet-Lite also .pth. At sizes without ImageNet
            weights of their own, those for the backbone's own size are used.
        seed: seed of random weights. The global random state stays as it is.
        verbose: 0 shows nothing, 1 shows the progress of a download.

    Returns:
        Functional models: float32 [batch, size, size, 3], RGB, range [0, 255], to float32
        [batch, width], of layers `image`, `preprocessing`, the network, and `pooling`. Nothing in
        them is trainable.

    Raises:
        UserError: a size or the weights file is wrong.
        XferlearnError: the ImageNet weights can't be downloaded or read.
    """
    check_weights(parts, weights)
    start_tensorflow()
    return tuple(_load(spec, size, weights, seed, verbose) for spec, size in parts)


def check_weights(parts: Sequence[tuple[BackboneSpec, int]], weights: str | Path | None) -> None:
    """Checks that weights can be those of backbones, before one is loaded; arguments as there.

    Raises:
        UserError: a file is given for several backbones, or for one with weights of its own.
    """
    if _weights_choice(weights) != "file":
        return
    if len(parts) > 1:
        raise UserError(
            "A weights file is of one backbone. Expected weights to be imagenet or none for"
            f" {len(parts)} of them. Received: {str(weights)!r}."
        )
    if origin := parts[0][0].origin:
        raise UserError(
            f"{origin} has weights of its own. Leave `weights` out, or give `weights='none'`"
            f" for random ones. Received: {str(weights)!r}."
        )


def combine_backbones(models: Sequence["keras.Model"]) -> "keras.Model":
    """Returns backbones as one: the same photo goes into all, and their bottlenecks side by side.

    The input has the size of the largest one; smaller ones see it resized. Of a backbone NAME the
    layers are `resize_NAME` (where it is smaller), `preprocessing_NAME`, the network NAME, and
    `pooling_NAME`; `bottleneck` joins them. The networks are those of the models, not copies.

    Args:
        models: as `load_rows` returns them.

    Returns:
        A model of the same kind; the model itself where there is only one.

    Example:
        >>> parts = resolve_backbones("efficientnet_lite1+efficientnet_lite2")
        >>> both = combine_backbones(load_rows(parts))
        >>> both.input_shape, both.output_shape
        ((None, 260, 260, 3), (None, 2560))
    """
    import keras

    if len(models) == 1:
        return models[0]
    size = max(model.input_shape[1] for model in models)
    with float32_layers():
        image = keras.Input((size, size, 3), dtype="float32", name="image")
        pooled = []
        for model in models:
            spec, own = spec_of(model), model.input_shape[1]
            name = part_name(spec.name, own)
            network = model.get_layer(spec.name)
            if name != spec.name:  # one network may be there at several sizes
                network = keras.Model(network.input, network.output, name=name)
            seen = image
            if own != size:
                # Bilinear, as photos are decoded. Antialias or averaging before it gave bottlenecks
                # farther from those of photos decoded at this size.
                seen = keras.layers.Resizing(own, own, name=f"resize_{name}")(image)
            pooled.append(_pooled(seen, spec, network, f"_{name}"))
        x = keras.layers.Concatenate(name="bottleneck")(pooled)
        combined = keras.Model(image, x, name="backbones")
    combined.trainable = False
    return combined


def _load(
    spec: BackboneSpec, size: int, weights: str | Path | None, seed: int, verbose: int
) -> "keras.Model":
    import keras

    with float32_layers():
        network, file = _build(spec, size, weights, include_top=False, seed=seed, verbose=verbose)
        image = keras.Input((size, size, 3), dtype="float32", name="image")
        model = keras.Model(image, _pooled(image, spec, network), name=spec.name)
        if file is not None:

            def with_top() -> "keras.Model":
                size = spec.image_size
                return _build(spec, size, None, include_top=True, seed=seed, verbose=0)[0]

            read_weights_file(file, spec, network, model, with_top)
    model.trainable = False
    if spec.origin:
        model.backbone_spec = spec
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
        weights: as in `load_rows`, but a file must include the top.
        image_size: side of the input, px; None for the size in the name, or else the backbone's.
        verbose: as in `load_rows`.

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
    if spec.origin:
        raise UserError(
            f"Expected a backbone of the table for ImageNet's own classes. {spec.origin} has no"
            " known classifier: train one on it."
        )
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
    choice = _weights_choice(weights)
    file = _weights_path(weights) if choice == "file" else None
    module, _, function = spec.builder.rpartition(".")
    builder = getattr(importlib.import_module(module), function)
    arguments = dict(spec.arguments)
    arguments.update(input_shape=(size, size, 3))
    arguments.update(weights="imagenet" if choice == "imagenet" else None)
    if not spec.origin:
        arguments.update(include_top=include_top)
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
    if spec.origin:
        network, network.name = built, spec.name
    else:
        # Keras derives a download's name from the model's, so the name is given afterwards.
        network = keras.Model(built.input, built.output, name=spec.name)
    # A functional model hands its own training flag down, whatever the inner call said: what
    # keeps a network still during fit is trainable=False for BatchNorm and rate 0 for dropout.
    network.trainable = False
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return network, file


def _weights_choice(weights: str | Path | None) -> str:
    """Returns "imagenet", "none" or "file"."""
    choice = str(weights).lower() if weights is not None else "none"
    return choice if choice in ("imagenet", "none") else "file"


def _weights_path(weights: str | Path | None) -> Path:
    path = Path(str(weights)).expanduser()
    if not path.is_file():
        hint = did_you_mean(str(weights), ("imagenet", "none"))
        raise UserError(
            f"Expected weights to be imagenet, none or a file. Received: {str(weights)!r}, "
            f"which is no file.{hint}"
        )
    return path


def _pooled(
    image: "keras.KerasTensor", spec: BackboneSpec, network: "keras.Model", suffix: str = ""
) -> "keras.KerasTensor":
    """Returns the bottleneck of raw pixels; `suffix` ends the names of the layers around."""
    x = _preprocess(image, spec, f"preprocessing{suffix}")
    if isinstance(network.input, dict):  # as some of KerasHub have it
        x = dict.fromkeys(network.input, x)
    x = network(x, training=False)
    return POOLINGS[spec.pooling](x, spec.prefix_tokens, suffix)


def _preprocess(
    image: "keras.KerasTensor", spec: BackboneSpec, name: str = "preprocessing"
) -> "keras.KerasTensor":
    """Applies the row's preprocessing with layers that any Keras can load."""
    import keras

    preprocessing = preprocessing_of(spec.preprocessing)
    if preprocessing is None:
        raise ValueError(f"{spec.name} has no preprocessing: {spec.preprocessing!r}")
    scale, offset = preprocessing.scale, preprocessing.offset
    same = len(set(scale)) == len(set(offset)) == 1
    x = keras.layers.Rescaling(
        scale[0] if same else list(scale),
        offset[0] if same else list(offset),
        name=name,
    )(image)
    # A gather, not a reversed slice: every export format has one.
    return keras.ops.take(x, [2, 1, 0], axis=-1) if preprocessing.bgr else x
