"""Recognises a backbone by its layers: the number and the width of its convolutions.

Counts do not depend on names, so they hold in every format and for files written by other tools.
They are those of keras.applications and of the lab's own graphs; a classifier that is itself a
1 x 1 convolution counts too.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from xferlearn.inspection.layers import Graph, Node


@dataclass(frozen=True)
class Signature:
    """One network.

    Attributes:
        name: this package's name for it.
        title: name for people.
        depthwise: number of depthwise convolutions; a separable one counts here and below.
        convolutions: possible numbers of other convolutions, as a classifier may be one of them.
        stem: output channels of the first convolution.
        has: output channels of another convolution, where the rest is ambiguous.
        marker: regular expression that the name of an operation must match, None for any.
    """

    name: str
    title: str
    depthwise: int
    convolutions: range
    stem: int
    has: int | None = None
    marker: str | None = None


def _rows() -> Iterable[Signature]:
    for alpha, stem in ((1.0, 32), (0.75, 24), (0.5, 16), (0.25, 8)):
        suffix = "" if alpha == 1 else f"_{alpha:.2f}"
        yield Signature(f"mobilenet{suffix}", f"MobileNet {_short(alpha)}", 13, range(14, 16), stem)
    for alpha, stem, has in (
        (1.0, 32, 320), (0.75, 24, 240), (0.5, 16, 160), (0.35, 16, 112), (1.3, 40, 416),
        (1.4, 48, 448),
    ):  # fmt: skip
        suffix = {1.0: "", 1.3: "_1.3", 1.4: "_1.4"}.get(alpha, f"_{alpha:.2f}")
        title = f"MobileNet v2 {_short(alpha)}"
        yield Signature(f"mobilenet_v2{suffix}", title, 17, range(35, 37), stem, has)
    for size, depthwise, counts, widths in (
        ("small", 11, range(41, 44), (576, 432)),
        ("large", 15, range(47, 50), (960, 720)),
    ):
        for suffix, has in zip(("", "_0.75"), widths, strict=True):
            title = f"MobileNet v3 {size} {suffix[1:] or '1.0'}"
            yield Signature(f"mobilenet_v3_{size}{suffix}", title, depthwise, counts, 16, has)
    # A pre-activation network has the same convolutions in another order; only names differ.
    for depth, count in ((50, 53), (101, 104), (152, 155)):
        yield Signature(f"resnet{depth}_v2", f"ResNet{depth} v2", 0, range(count, count + 2), 64,
                        marker=r"preact|post_?(bn|norm)")  # fmt: skip
        yield Signature(f"resnet{depth}", f"ResNet{depth}", 0, range(count, count + 2), 64)
    for number, depthwise, count, stem, has in (
        (0, 16, 65, 32, 1280), (1, 23, 92, 32, 1280), (2, 23, 92, 32, 1408), (3, 26, 104, 40, 1536),
        (4, 32, 128, 48, 1792), (5, 39, 155, 48, 2048), (6, 45, 179, 56, 2304),
        (7, 55, 218, 64, 2560),
    ):  # fmt: skip
        name, title = f"efficientnet_b{number}", f"EfficientNet-B{number}"
        yield Signature(name, title, depthwise, range(count, count + 2), stem, has)
    for letter, depthwise, count, stem, has in (
        ("b0", 16, 75, 32, 1280), ("b1", 19, 92, 32, 1280), ("b2", 20, 96, 32, 1408),
        ("b3", 24, 112, 40, 1536), ("s", 30, 140, 24, 1280), ("m", 44, 201, 24, 1280),
        ("l", 61, 278, 32, 1280),
    ):  # fmt: skip
        name, title = f"efficientnet_v2_{letter}", f"EfficientNet v2 {letter.upper()}"
        yield Signature(name, title, depthwise, range(count, count + 2), stem, has)
    for number, depthwise, count, has in ((0, 16, 33, 1280), (1, 21, 43, 320), (2, 21, 43, 352)):
        name, title = f"efficientnet_lite{number}", f"EfficientNet-Lite{number}"
        yield Signature(name, title, depthwise, range(count, count + 2), 32, has)
    for size, depthwise, stem in (
        ("tiny", 18, 96), ("small", 36, 96), ("base", 36, 128), ("large", 36, 192),
        ("xlarge", 36, 256),
    ):  # fmt: skip
        title = f"ConvNeXt {size}"
        yield Signature(f"convnext_{size}", title, depthwise, range(4, 6), stem)
    yield Signature("inception_v3", "Inception v3", 0, range(94, 97), 32)
    yield Signature("inception_resnet_v2", "Inception-ResNet v2", 0, range(244, 246), 32)
    yield Signature("xception", "Xception", 34, range(40, 42), 32)
    yield Signature("nasnet_large", "NASNet Large", 220, range(268, 270), 96)
    yield Signature("nasnet_mobile", "NASNet Mobile", 160, range(196, 198), 32)
    yield Signature("vgg16", "VGG16", 0, range(13, 14), 64, 512)
    yield Signature("vgg19", "VGG19", 0, range(16, 17), 64, 512)
    for depth, count in ((121, 120), (169, 168), (201, 200)):
        yield Signature(f"densenet{depth}", f"DenseNet{depth}", 0, range(count, count + 2), 64)


def _short(alpha: float) -> str:
    return f"{alpha:.2f}".rstrip("0") if alpha % 1 else f"{alpha:.1f}"


SIGNATURES = tuple(_rows())

# What Keras Applications, TensorFlow's slim and the lab's graphs call the layers of networks, by
# the beginning of our names; the longer one first.
OWN_NAMES = {
    "mobilenet_v3": r"expanded_conv|MobilenetV3",
    "mobilenet_v2": r"Conv1|expanded_conv|block_\d+_(expand|depthwise|project)|MobilenetV2",
    "mobilenet": r"conv_(dw|pw)_\d|Conv2d_\d+_(depthwise|pointwise)|MobilenetV1",
    "inception_resnet_v2": r"conv_7b|block8_|InceptionResnetV2",
    "inception_v3": r"(^|/)mixed_?\d|InceptionV3",
    "xception": r"block\d+_(sepconv|conv)\d",
    "nasnet": r"(normal|reduction)_conv_|adjust_conv_",
    "resnet": r"conv\d_block\d+_",
    "densenet": r"conv\d_block\d+_",
    "vgg": r"block\d_conv\d",
    "efficientnet": r"block\d[a-z]_",
    "convnext": r"convnext_\w+_(stem|stage)",
}


def recognise_backbone(graph: Graph) -> Signature | None:
    """Returns the known network that has a graph's convolutions; None for no such network."""
    kinds: dict[str, list[Node]] = {"conv": [], "depthwise": [], "separable": []}
    for node in graph.nodes.values():
        if node.role in kinds:
            kinds[node.role].append(node)
    convolutions = kinds["conv"]
    depthwise = len(kinds["depthwise"]) + len(kinds["separable"])
    total = len(convolutions) + len(kinds["separable"])
    # Files list layers in any order; the first convolution is the one that reads colours.
    stems = [node for node in convolutions if node.fan_in in (1, 3, 4)] or convolutions[:1]
    stem = stems[0].units if stems else None
    widths = {node.units for node in convolutions}
    for one in SIGNATURES:
        if one.depthwise != depthwise or total not in one.convolutions or one.stem != stem:
            continue
        if one.has is not None and one.has not in widths:
            continue
        if one.marker is None or any(re.search(one.marker, name) for name in graph.nodes):
            return one
    return None
