"""One simple form of a network, whatever file it comes from: nodes, roles and constants.

Every reader returns a `Graph`. What is then reported about a model (its value range, bottleneck
and backbone) is worked out from it, once for all formats.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from xferlearn.inspection.metadata import ModelMetadata

Shape = tuple[int | None, ...]

_ROLE_OPS = {
    "input": "placeholder inputlayer parameter",
    "constant": "const constant varhandleop variablev2 variable",
    "conv": "conv conv2d convolution fusedconv2d qlinearconv convinteger",
    "depthwise": "depthwiseconv2d depthwiseconv2dnative fuseddepthwiseconv2dnative"
    " groupconvolution",
    "separable": "separableconv2d",
    "dense": "dense matmul fusedmatmul batchmatmul batchmatmulv2 fullyconnected gemm",
    "score": "softmax logsoftmax sigmoid logistic",
    "activation": "activation relu relu6 relun1to1 clip clamp hardsigmoid hardswish swish silu gelu"
    " elu leakyrelu prelu tanh",
    "pool": "globalaveragepooling2d globalmaxpooling2d globalaveragepool globalmaxpool averagepool"
    " avgpool averagepool2d averagepooling2d mean reducemean",
    "maxpool": "maxpool maxpoolv2 maxpool2d maxpooling2d",
    "flat": "flatten reshape",
    "norm": "batchnormalization batchnorm fusedbatchnorm fusedbatchnormv2 fusedbatchnormv3",
    "arithmetic": "add addv2 addn biasadd sub subtract mul multiply div realdiv divide truedivide"
    " rescaling normalization",
    "same": "identity identityn dropout placeholderwithdefault cast squeeze expanddims unsqueeze"
    " checknumerics stopgradient quantize dequantize quantizelinear dequantizelinear readvariableop"
    " transpose fakequant fakequantwithminmaxvars spatialdropout2d ensureshape"
    # Augmentation, which changes nothing outside training.
    " randombrightness randomcolordegeneration randomcolorjitter randomcontrast"
    " randomelastictransform randomerasing randomflip randomgaussianblur randomgrayscale randomhue"
    " randominvert randomperspective randomposterization randomrotation randomsaturation"
    " randomsharpness randomshear randomtranslation randomzoom gaussiannoise gaussiandropout"
    # Scores as a map from class to score.
    " alphadropout zipmap",
    "resize": "resizing resizebilinear resizebicubic resizenearestneighbor resize centercrop"
    " randomcrop zeropadding2d pad",
    "stack": "stack pack concat concatv2 concatenate concatenation",
    "decode": "decodejpeg decodepng decodeimage decodebmp decodegif",
    "shape": "shape size rank",
}
ROLES = {op: role for role, ops in _ROLE_OPS.items() for op in ops.split()}


def role_of(op: str) -> str:
    """Returns what an operation of any format does, e.g. "conv"; "" where it is of no interest."""
    return ROLES.get(op.replace("_", "").lower(), "")


@dataclass(frozen=True)
class Affine:
    """y = x * scale + offset; one value each, or one per channel."""

    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)

    def then(self, after: "Affine") -> "Affine | None":
        """Returns `after` applied to the result of this one; None where their channels differ."""
        parts = (self.scale, self.offset, after.scale, after.offset)
        width = max(map(len, parts))
        if any(len(part) not in (1, width) for part in parts):
            return None
        a, b, c, d = (part * width if len(part) == 1 else part for part in parts)
        scale = tuple(x * z for x, z in zip(a, c, strict=True))
        offset = tuple(y * z + w for y, z, w in zip(b, c, d, strict=True))
        return Affine(scale, offset)

    def reversed(self) -> "Affine":
        """Returns the same with its channels in reverse order."""
        return Affine(self.scale[::-1], self.offset[::-1])


@dataclass(frozen=True)
class Window:
    """How a convolution, a pooling or a padding changes the height and width of its input.

    Attributes:
        kernel: height and width, px; 1 for a padding.
        stride: likewise.
        same: whether it pads so that only the stride counts.
        padding: px that are added to the height and to the width, both sides together.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    same: bool = False
    padding: tuple[int, int] = (0, 0)

    def after(self, size: int, axis: int) -> int:
        """Returns the height (axis 0) or width (axis 1) of its result, 0 where it does not fit."""
        stride = self.stride[axis]
        if self.same:
            return -(-size // stride)
        return max(0, (size + self.padding[axis] - self.kernel[axis]) // stride + 1)


@dataclass(frozen=True, slots=True)
class StatedInput:
    """What a file itself states about an image input, or what its maker's files all take.

    Attributes:
        step: from pixels to the values that it takes, one value or one per channel in the order R,
            G, B; None where it is not stated.
        order: of the colours.
        height: px; None where it is not stated.
        width: likewise.
        detail: who states it, for reports.
        hint: what its maker's own code feeds, where no file states it.
    """

    step: Affine | None = None
    order: Literal["RGB", "BGR"] = "RGB"
    height: int | None = None
    width: int | None = None
    detail: str = "stated by the file"
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a file has its scores calibrated: scale / (1 + exp(-(slope * score + offset))) per class.

    Attributes:
        transform: what happens to a score first.
        default: of what lies below `smallest`, and of classes that have no numbers.
        classes: (scale, slope, offset, smallest) of each class, `smallest` None where every score
            counts; None for a class without numbers.
    """

    transform: Literal["none", "log", "inverse logistic"]
    default: float
    classes: tuple[tuple[float, float, float, float | None] | None, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One operation or layer.

    Attributes:
        name: unique in its graph; nested models are name scopes (`mobilenet/conv1`).
        op: the file's own name for what it does, e.g. "Conv2D" or "FULLY_CONNECTED"; "" for inputs
            and weights in formats where these are not operations.
        inputs: names of the nodes whose values it takes.
        shape: shape of its first result, None for an unknown axis; None where nothing is known.
        dtype: of its first result, as in NumPy; "" where unknown.
        role: the same for all formats, see `role_of`.
        units: output channels, where it has weights.
        fan_in: input channels, where it has weights.
        activation: the function that is part of it, as in a Dense layer of Keras; "" for none.
        affine: what it does to values, where that is arithmetic with constants.
        elements: number of values of a constant or variable.
        tensor: what the file's own runtime calls its result.
        quantization: (scale, zero point) of an integer tensor.
        channel: which channel it picks from its input's last axis, where that is all that it does.
        kernel_rms: root mean square of the kernel of a layer that may read pixels.
        window: how it changes height and width, where it is known to.
        stated: what the file states about this input, beside the graph.
        calibration: how the file has the scores of this output calibrated.
        keys: classes in order, where this output is a map from class to score.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    shape: Shape | None = None
    dtype: str = ""
    role: str = ""
    units: int | None = None
    fan_in: int | None = None
    activation: str = ""
    affine: Affine | None = None
    elements: int = 0
    tensor: str = ""
    quantization: tuple[float, int] | None = None
    channel: int | None = None
    kernel_rms: float | None = None
    window: Window | None = None
    stated: StatedInput | None = None
    calibration: Calibration | None = None
    keys: tuple[str, ...] = ()

    @property
    def scores(self) -> bool:
        """Whether a softmax or sigmoid is part of it."""
        return role_of(self.activation) == "score"


@dataclass(frozen=True)
class Graph:
    """A network as its file describes it.

    Attributes:
        nodes: by name, in the file's order.
        inputs: names of the nodes that a caller feeds.
        outputs: names of the nodes that a caller reads.
        producer: what wrote the file, "" where the file does not say.
        parameters: number of weights, None where the file does not say.
        input_names: what a caller calls an input, where that is not the node's name.
        output_names: what a caller calls an output, where that is not the node's name.
        output_places: index of an output in the model's own order, where that is another than in
            `outputs`, which has each node once.
        labels: class names that the file holds, in order; () for none.
        task: what the file says that the model is for, e.g. "classification" or "detection"; ""
            where it does not say.
        metadata: what a model of this package states about itself; None for other models.
        files: names of files beside it that hold its weights.
        unsafe_layers: layers that hold code (Lambda), which loading the file would run.
        not_loaded: why the file can't be loaded, as the rest of a sentence that names it; "" where
            no reason was found.
        warnings: sentences for the report.
    """

    nodes: dict[str, Node]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    producer: str = ""
    parameters: int | None = None
    input_names: dict[str, str] = field(default_factory=dict)
    output_names: dict[str, str] = field(default_factory=dict)
    output_places: dict[str, int] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    task: str = ""
    metadata: ModelMetadata | None = None
    files: tuple[str, ...] = ()
    unsafe_layers: tuple[str, ...] = ()
    not_loaded: str = ""
    warnings: tuple[str, ...] = ()

    def data_inputs(self, node: Node, constants: frozenset[str]) -> list[Node]:
        """Returns the nodes that it takes values from, without constants and missing ones."""
        named = (name for name in node.inputs if name not in constants)
        return [self.nodes[name] for name in named if name in self.nodes]


def consumers(graph: Graph) -> dict[str, list[str]]:
    """Returns, for every node, the names of the nodes that take its value."""
    table: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for node in graph.nodes.values():
        for name in dict.fromkeys(node.inputs):
            if name in table:
                table[name].append(node.name)
    return table


def constant_names(graph: Graph) -> frozenset[str]:
    """Returns the nodes that depend on no input: constants, and what is computed from them."""
    readers = consumers(graph)
    waiting = {name: len(set(node.inputs)) for name, node in graph.nodes.items()}
    # The lab's Inception graph holds its JPEG input as a constant.
    seeds = (name for name, node in graph.nodes.items() if node.role == "constant")
    ready = deque(name for name in seeds if name not in graph.inputs)
    found: set[str] = set(ready)
    while ready:
        for reader in readers[ready.popleft()]:
            waiting[reader] -= 1
            if waiting[reader] == 0 and reader not in found and reader not in graph.inputs:
                found.add(reader)
                ready.append(reader)
    return frozenset(found)


def reachable(graph: Graph, starts: Iterable[str]) -> set[str]:
    """Returns `starts` and every node that they depend on."""
    seen = {name for name in starts if name in graph.nodes}
    queue = deque(seen)
    while queue:
        for name in graph.nodes[queue.popleft()].inputs:
            if name in graph.nodes and name not in seen:
                seen.add(name)
                queue.append(name)
    return seen


def walk_back(graph: Graph, start: Node, constants: frozenset[str]) -> Iterator[Node]:
    """Yields `start`, then the node that it takes data from, and so on.

    Ends where data comes from several nodes or from none, and in a cycle.
    """
    seen: set[str] = set()
    node: Node | None = start
    while node is not None and node.name not in seen:
        seen.add(node.name)
        yield node
        sources = graph.data_inputs(node, constants)
        # A shape computed at run time is a second input of Reshape, but not where data comes from.
        node = sources[0] if len(sources) == 1 or (sources and node.role == "flat") else None
