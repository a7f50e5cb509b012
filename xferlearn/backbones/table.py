"""The table of backbones: builder, size, preprocessing, width and parameters of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_KERAS = "keras.applications."
_LITE = "xferlearn.backbones.efficientnet_lite."


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a raw RGB pixel before the network: pixel * scale + offset.

    Attributes:
        scale: one factor per channel in the order R, G, B.
        offset: one summand per channel in the order R, G, B, added after the factor.
        bgr: whether the network takes the channels as B, G, R; they are swapped last.
    """

    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    bgr: bool = False


def _standardise(mean: tuple[float, ...], std: tuple[float, ...]) -> Preprocessing:
    red, green, blue = ((1 / s, -m / s) for m, s in zip(mean, std, strict=True))
    return Preprocessing((red[0], green[0], blue[0]), (red[1], green[1], blue[1]))


# Sources: keras.applications.imagenet_utils (tf, torch, caffe) and the EfficientNet-Lite models.
PREPROCESSING: Mapping[str, Preprocessing] = MappingProxyType(
    {
        "tf": Preprocessing((1 / 127.5,) * 3, (-1.0,) * 3),
        "torch": _standardise(
            (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)
        ),
        "caffe": Preprocessing((1.0,) * 3, (-123.68, -116.779, -103.939), bgr=True),
        "efficientnet_lite": Preprocessing((1 / 128,) * 3, (-127 / 128,) * 3),
        "efficientnet_v2": Preprocessing((1 / 128,) * 3, (-1.0,) * 3),
        # The network's own first layers normalise; their mean is part of its weights file.
        "inside": Preprocessing((1.0,) * 3, (0.0,) * 3),
    }
)


@dataclass(frozen=True)
class BackboneSpec:
    """One row of the table.

    Attributes:
        name: the canonical name, lower snake case.
        builder: dotted path of the function that builds the network, as Keras spells it.
        arguments: keyword arguments of this row for the builder.
        image_size: side of the square input that the network was designed for, px.
        preprocessing: key of PREPROCESSING.
        width: number of values of a bottleneck, i.e. channels of the last feature map.
        source: the paper that describes the network.
        family: name of the row with width multiplier 1; its own name where there is none.
        min_size: smallest side that the network can take, px.
        imagenet_sizes: sides for which separately trained ImageNet weights exist, px.
    """

    name: str
    builder: str
    arguments: Mapping[str, Any] = field(hash=False)
    image_size: int
    preprocessing: str
    width: int
    source: str
    family: str
    min_size: int
    imagenet_sizes: tuple[int, ...]

    @property
    def alpha(self) -> float:
        """The width multiplier; 1.0 where the network has none."""
        return float(self.arguments.get("alpha", 1.0))


def _row(
    name: str,
    builder: str,
    image_size: int,
    preprocessing: str,
    width: int,
    source: str,
    *,
    family: str | None = None,
    min_size: int = 32,
    imagenet_sizes: tuple[int, ...] = (),
    **arguments: Any,
) -> BackboneSpec:
    return BackboneSpec(
        name=name,
        builder=builder if "." in builder else _KERAS + builder,
        arguments=MappingProxyType(arguments),
        image_size=image_size,
        preprocessing=preprocessing,
        width=width,
        source=source,
        family=family or name,
        min_size=min_size,
        imagenet_sizes=imagenet_sizes or (image_size,),
    )


def _mobilenets() -> list[BackboneSpec]:
    v1, v2, v3 = "arXiv:1704.04861", "arXiv:1801.04381", "arXiv:1905.02244"
    v1_sizes = (128, 160, 192, 224)
    v2_sizes = (96, *v1_sizes)
    rows = [
        _row(name, "MobileNet", 224, "tf", width, v1, family="mobilenet", alpha=alpha,
             imagenet_sizes=v1_sizes)
        for name, alpha, width in (
            ("mobilenet", 1.0, 1024),
            ("mobilenet_0.25", 0.25, 256),
            ("mobilenet_0.50", 0.50, 512),
            ("mobilenet_0.75", 0.75, 768),
        )
    ]  # fmt: skip
    rows += [
        _row(name, "MobileNetV2", 224, "tf", width, v2, family="mobilenet_v2", alpha=alpha,
             imagenet_sizes=v2_sizes)
        for name, alpha, width in (
            ("mobilenet_v2", 1.0, 1280),
            ("mobilenet_v2_0.35", 0.35, 1280),
            ("mobilenet_v2_0.50", 0.50, 1280),
            ("mobilenet_v2_0.75", 0.75, 1280),
            ("mobilenet_v2_1.3", 1.3, 1664),
            ("mobilenet_v2_1.4", 1.4, 1792),
        )
    ]  # fmt: skip
    rows += [
        _row(name, builder, 224, "tf", width, v3, family=name.removesuffix("_0.75"), alpha=alpha,
             include_preprocessing=False)
        for name, builder, alpha, width in (
            ("mobilenet_v3_small", "MobileNetV3Small", 1.0, 576),
            ("mobilenet_v3_small_0.75", "MobileNetV3Small", 0.75, 432),
            ("mobilenet_v3_large", "MobileNetV3Large", 1.0, 960),
            ("mobilenet_v3_large_0.75", "MobileNetV3Large", 0.75, 720),
        )
    ]  # fmt: skip
    return rows


def _efficientnets() -> list[BackboneSpec]:
    sizes = {0: (224, 1280), 1: (240, 1280), 2: (260, 1408), 3: (300, 1536), 4: (380, 1792),
             5: (456, 2048), 6: (528, 2304), 7: (600, 2560)}  # fmt: skip
    rows = [
        _row(f"efficientnet_b{n}", f"EfficientNetB{n}", size, "inside", width, "arXiv:1905.11946")
        for n, (size, width) in sizes.items()
    ]
    # Keras normalises V2's B0-B3 as its torch mode does and S, M, L to [-1, 1].
    rows += [
        _row(f"efficientnet_v2_{letter}", f"EfficientNetV2{letter.upper()}", size, mode, width,
             "arXiv:2104.00298", include_preprocessing=False)
        for letter, size, mode, width in (
            ("b0", 224, "torch", 1280),
            ("b1", 240, "torch", 1280),
            ("b2", 260, "torch", 1408),
            ("b3", 300, "torch", 1536),
            ("s", 384, "efficientnet_v2", 1280),
            ("m", 480, "efficientnet_v2", 1280),
            ("l", 480, "efficientnet_v2", 1280),
        )
    ]  # fmt: skip
    return rows


def _convnexts() -> list[BackboneSpec]:
    widths = {"tiny": 768, "small": 768, "base": 1024, "large": 1536, "xlarge": 2048}
    builders = {"xlarge": "ConvNeXtXLarge"}
    return [
        _row(
            f"convnext_{size}",
            builders.get(size, f"ConvNeXt{size.title()}"),
            224,
            "torch",
            width,
            "arXiv:2201.03545",
            include_preprocessing=False,
        )
        for size, width in widths.items()
    ]


def _others() -> list[BackboneSpec]:
    resnet, resnet_v2, densenet = "arXiv:1512.03385", "arXiv:1603.05027", "arXiv:1608.06993"
    nasnet, vgg = "arXiv:1707.07012", "arXiv:1409.1556"
    return [
        _row("densenet121", "DenseNet121", 224, "torch", 1024, densenet),
        _row("densenet169", "DenseNet169", 224, "torch", 1664, densenet),
        _row("densenet201", "DenseNet201", 224, "torch", 1920, densenet),
        _row("inception_resnet_v2", "InceptionResNetV2", 299, "tf", 1536, "arXiv:1602.07261",
             min_size=75),
        _row("inception_v3", "InceptionV3", 299, "tf", 2048, "arXiv:1512.00567", min_size=75),
        _row("nasnet_large", "NASNetLarge", 331, "tf", 4032, nasnet),
        _row("nasnet_mobile", "NASNetMobile", 224, "tf", 1056, nasnet),
        _row("resnet50", "ResNet50", 224, "caffe", 2048, resnet),
        _row("resnet101", "ResNet101", 224, "caffe", 2048, resnet),
        _row("resnet152", "ResNet152", 224, "caffe", 2048, resnet),
        _row("resnet50_v2", "ResNet50V2", 224, "tf", 2048, resnet_v2),
        _row("resnet101_v2", "ResNet101V2", 224, "tf", 2048, resnet_v2),
        _row("resnet152_v2", "ResNet152V2", 224, "tf", 2048, resnet_v2),
        _row("vgg16", "VGG16", 224, "caffe", 512, vgg),
        _row("vgg19", "VGG19", 224, "caffe", 512, vgg),
        _row("xception", "Xception", 299, "tf", 2048, "arXiv:1610.02357", min_size=71),
    ]  # fmt: skip


_LITE0 = _row(
    "efficientnet_lite0",
    _LITE + "EfficientNetLite0",
    224,
    "efficientnet_lite",
    1280,
    "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
)

BACKBONES: Mapping[str, BackboneSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (_LITE0, *_mobilenets(), *_others(), *_efficientnets(), *_convnexts())
    }
)
