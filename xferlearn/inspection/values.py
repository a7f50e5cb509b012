"""Works out which values an input takes, where its file does not state them."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from xferlearn.backbones.table import BACKBONES, PREPROCESSING, BackboneSpec
from xferlearn.inspection.arithmetic import Range, describe, raw_range
from xferlearn.inspection.layers import Affine, Graph, Node, consumers, walk_back
from xferlearn.inspection.report import RangeSource
from xferlearn.inspection.signatures import OWN_NAMES

_LAB_INCEPTION_INPUT = "Mul"
_FIRST_LAYERS = {"conv", "depthwise", "separable"}
_SILENT = {"same", "resize", "flat", "reverse"}
# Kernels that read small numbers have a root mean square of 0.08 (untrained) to 0.5 (trained, with
# batch normalisation folded in). Where a factor of 1/255 or 1/127.5 is folded in too, of 0.0003 to
# 0.004.
_SMALLEST_KERNEL = 0.03
_LARGEST_FOLDED_KERNEL = 0.012
# Of 8-bit inputs: their smallest integer, and what those of usual models stand for, to 4%.
_LOWEST = {"uint8": 0, "int8": -128}
_USUAL_RANGES: tuple[Range, ...] = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))
_SLACK = 0.04
# Ranges whose widths differ by this factor are of two kinds.
_KIND = 10
# A range may reach beyond the integers by less than this share of its width.
_CUT = 0.4
_NOT_STATED = "the file does not state it"


@dataclass(frozen=True)
class ValueFacts:
    """The value range of an input and how it is known; fields as in `InputReport`."""

    value_range: Range | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    order: Literal["RGB", "BGR", ""] = "RGB"
    source: RangeSource = "unknown"
    detail: str = _NOT_STATED


@dataclass(frozen=True)
class Start:
    """What a network does with an input before its first weights.

    Attributes:
        inside: its arithmetic, channels in the input's order.
        reversed: whether it reverses the channels.
        first: the node after that; None where several nodes take the values, or none does.
        size: height and width that it resizes to, px; None where it does not.
        normalised: whether a normalisation follows `first`, which makes up for kernels of any size.
    """

    inside: Affine = field(default_factory=Affine)
    reversed: bool = False
    first: Node | None = None
    size: tuple[int | None, int | None] | None = None
    normalised: bool = False


def read_start(graph: Graph, node: Node, constants: frozenset[str]) -> Start:
    """Returns what a network does with an input before its first weights."""
    readers = consumers(graph)
    inside, flipped = Affine(), False
    size: tuple[int | None, int | None] | None = None
    first = None
    for _ in range(60):
        following = [graph.nodes[name] for name in readers[node.name]]
        following = [one for one in following if one.role != "shape" and one.name not in constants]
        picked = _picked(graph, following, readers)
        if picked is not None:
            node, backwards = picked
            flipped = flipped != backwards
            inside = inside.reversed() if backwards else inside
            continue
        if len(following) != 1:
            break
        node = following[0]
        step = node.affine if node.role == "arithmetic" else None
        composed = inside.then(step) if step is not None else None
        if composed is not None:
            inside = composed
        elif node.role not in _SILENT:
            first = node
            break
        elif node.role == "reverse":
            inside, flipped = inside.reversed(), not flipped
        elif _resizes(node) and node.shape is not None and size is None:
            size = node.shape[1], node.shape[2]
    normalised = first is not None and _is_normalised(graph, first, readers, constants)
    return Start(inside.reversed() if flipped else inside, flipped, first, size, normalised)


def _is_normalised(
    graph: Graph, first: Node, readers: dict[str, list[str]], constants: frozenset[str]
) -> bool:
    """Returns whether the results of a layer are normalised before anything else reads them."""
    node = first
    for _ in range(8):
        following = [graph.nodes[name] for name in readers[node.name]]
        following = [one for one in following if one.role != "shape"]
        # Layer normalisation subtracts a mean from what it is the mean of.
        means = len(following) > 1 and any(one.role == "pool" for one in following)
        if means or any("norm" in one.op.lower() for one in following):
            return True
        if len(following) != 1 or following[0].role not in ("same", "arithmetic"):
            return False
        node = following[0]
        by_constant = any(name in constants for name in node.inputs)
        if by_constant and any(word in node.op.lower() for word in ("mul", "div")):
            return True
    return False


def _resizes(node: Node) -> bool:
    return node.role == "resize" and ("resiz" in node.op.lower() or "center" in node.op.lower())


def _picked(
    graph: Graph, picks: list[Node], readers: dict[str, list[str]]
) -> tuple[Node, bool] | None:
    """Returns the node that puts all channels together again, and whether in reverse order."""
    if not picks or any(one.channel is None for one in picks):
        return None
    names = {name for one in picks for name in readers[one.name]}
    together = graph.nodes[names.pop()] if len(names) == 1 else None
    if together is None or together.role != "stack":
        return None
    order = [graph.nodes[name].channel for name in together.inputs if name in graph.nodes]
    order = [place for place in order if place is not None]
    ascending = list(range(len(picks)))
    if order == ascending or order == ascending[::-1]:
        return together, order != ascending
    return None


def from_pixels(step: Affine, source: RangeSource, detail: str, order: str = "RGB") -> ValueFacts:
    """Returns the facts of an input that takes pixel * scale + offset."""
    width = max(len(step.scale), len(step.offset))
    pairs = list(
        zip(step.scale * (width // len(step.scale)), step.offset * (width // len(step.offset)),
            strict=True)
    )  # fmt: skip
    if not all(1e-12 < abs(scale) < 1e12 for scale, _ in pairs):
        return ValueFacts()
    if len(set(pairs)) == 1:
        pairs = pairs[:1]
    ends = [value * scale + offset for scale, offset in pairs for value in (0, 255)]
    means = tuple(_tidy(0.0 - offset / scale) for scale, offset in pairs)
    stds = tuple(_tidy(1 / scale) for scale, _ in pairs)
    span = _tidy(min(ends)), _tidy(max(ends))
    if not all(map(math.isfinite, (*span, *means, *stds))):
        return ValueFacts()
    return ValueFacts(span, means, stds, "BGR" if order == "BGR" else "RGB", source, detail)


def _tidy(value: float) -> float:
    """Rounds off what float32 constants add after the sixth digit."""
    return float(f"{value:.6g}") + 0.0


def eight_bit_span(dtype: str, quantization: tuple[float, int] | None) -> Range | None:
    """Returns the smallest and largest number that an 8-bit input's integers stand for.

    Returns:
        None where it is no 8-bit input, or its file does not say what they stand for.
    """
    if dtype not in _LOWEST or quantization is None or quantization[0] <= 0:
        return None
    scale, zero_point = quantization
    low = scale * (_LOWEST[dtype] - zero_point)
    return low, low + scale * 255


def fits_integers(given: Range, dtype: str, quantization: tuple[float, int] | None) -> bool:
    """Returns whether an input's integers may stand for a range.

    Pixels and numbers around 1 are two kinds; the integers of 8 bits hold only one of them well.
    Beyond what the photos of the calibration had, values are cut, but not by half.
    """
    span = eight_bit_span(dtype, quantization)
    if span is None:
        return True
    width = given[1] - given[0]
    beyond = max(span[0] - given[0], given[1] - span[1])
    return 1 / _KIND < width / (span[1] - span[0]) < _KIND and beyond < _CUT * width


def _usual(span: Range) -> Range | None:
    """Returns the range of photos that a span of 8-bit numbers was calibrated on, if it is one."""
    for low, high in _USUAL_RANGES:
        slack = _SLACK * (high - low)
        if abs(span[0] - low) <= slack and abs(span[1] - high) <= slack:
            return low, high
    return None


def _from_integers(dtype: str, span: Range | None) -> ValueFacts:
    """Returns the facts of an 8-bit input whose integers stand for a usual range or nothing."""
    usual = _usual(span) if span is not None else None
    if usual is None:
        lowest = float(_LOWEST[dtype])
        detail = "8-bit input: pixels" + (" minus 128" if lowest else " as they are")
        return from_pixels(Affine(offset=(lowest,)), "dtype", detail)
    low, high = usual
    detail = f"its 8 bits stand for {low:g} to {high:g}"
    return from_pixels(Affine(((high - low) / 255,), (low,)), "quantisation", detail)


def value_facts(
    graph: Graph, node: Node, constants: frozenset[str], backbone: str | None
) -> ValueFacts:
    """Returns which values an image input takes.

    Args:
        graph: the network.
        node: one of its inputs.
        constants: `constant_names(graph)`.
        backbone: name of the recognised network, None for none.
    """
    said = node.stated
    span = eight_bit_span(node.dtype, node.quantization)
    if node.dtype in _LOWEST and (span is None or _usual(span)):
        return _from_integers(node.dtype, span)
    if said is not None and said.step is not None:
        return from_pixels(said.step, "metadata", said.detail, said.order)
    if span is not None:
        low, high = (_tidy(round(end, 3)) for end in span)
        return ValueFacts(detail=f"{_NOT_STATED}: its 8 bits stand for {low:g} to {high:g}")
    if node.role == "arithmetic":
        inside = _compose(reversed(list(walk_back(graph, node, constants))))
        return from_pixels(inside, "constants in the graph", f"computed as {describe(inside)}")
    spec = _trained_as(graph, node, backbone)
    own = spec is not None and spec.preprocessing == "inside"
    facts = _from_start(node, read_start(graph, node, constants), None if own else spec)
    if facts.value_range is None and spec is not None and own:
        facts = replace(
            facts, detail=f"{facts.detail}; {spec.name} as Keras builds it takes pixels, 0,255"
        )
    if facts.value_range is None and said is not None and said.hint:
        return replace(facts, detail=f"{facts.detail}; {said.hint}")
    return facts


def _from_start(node: Node, start: Start, spec: BackboneSpec | None) -> ValueFacts:
    """Returns the facts of an input as what a network does first shows them."""
    span = raw_range(start.inside)
    if span is not None:
        return _from_own_arithmetic(node, start, span, spec)
    if start.inside != Affine():
        detail = f"{_NOT_STATED}: the model itself computes {describe(start.inside)}"
        return ValueFacts(detail=detail)
    return _from_first_layer(node, start, spec)


def _from_own_arithmetic(
    node: Node, start: Start, span: Range, spec: BackboneSpec | None
) -> ValueFacts:
    """Returns the facts of an input whose range is known from the arithmetic behind it."""
    detail = f"the model itself computes {describe(start.inside)}"
    alike = all(len(set(part)) == 1 for part in (start.inside.scale, start.inside.offset))
    if start.reversed:
        detail += " and reverses the channels"
        takes_rgb = spec is not None and not PREPROCESSING[spec.preprocessing].bgr
        if spec is not None and takes_rgb and alike:
            # It may turn the BGR of OpenCV to RGB, or the RGB that it takes to BGR.
            return ValueFacts(
                detail=f"{detail}, but {spec.name} was trained with RGB: it may take BGR"
            )
    return from_pixels(
        Affine(((span[1] - span[0]) / 255,), (span[0],)),
        "layer in the model" if node.op == "InputLayer" else "constants in the graph",
        detail,
    )


def _from_first_layer(node: Node, start: Start, spec: BackboneSpec | None) -> ValueFacts:
    """Returns the facts of an input that a network's first weights read as it is."""
    kernel = None if start.first is None or start.normalised else start.first.kernel_rms
    folded = kernel is not None and kernel < _LARGEST_FOLDED_KERNEL
    doubtful = kernel is not None and not folded and kernel < _SMALLEST_KERNEL
    if spec is None or start.first is None or start.first.role not in _FIRST_LAYERS or doubtful:
        # The layers before a network may make its values from any others.
        detail = _NOT_STATED + (
            "; a first kernel as small as this reads numbers as large as pixels" if folded else ""
        )
        return ValueFacts(detail=detail)
    step, detail = PREPROCESSING[spec.preprocessing], f"what {spec.name} was trained with"
    if folded and step.bgr:
        return ValueFacts()  # its kernel is small even if nothing is folded into it
    if start.reversed and not step.bgr:
        return ValueFacts(detail=f"{_NOT_STATED}: the model itself reverses the channels")
    if folded:
        detail = "its first kernel includes the factor that makes small numbers of pixels"
        return from_pixels(Affine(), "known backbone", detail)
    if node.name == _LAB_INCEPTION_INPUT:
        return from_pixels(Affine((1 / 128,), (-1.0,)), "known backbone", detail)
    order = "BGR" if step.bgr and not start.reversed else "RGB"
    return from_pixels(Affine(step.scale, step.offset), "known backbone", detail, order)


def _trained_as(graph: Graph, node: Node, backbone: str | None) -> BackboneSpec | None:
    """Returns the network whose values an input takes, if it is the one of Keras or TensorFlow.

    Networks of the same layers in PyTorch were trained with other values. They have their channels
    first, or layers with other names.
    """
    spec = BACKBONES.get(backbone or "")
    if spec is None:
        return None
    if node.shape is not None and len(node.shape) == 4 and node.shape[1] == 3:
        return None
    family = next((key for key in OWN_NAMES if spec.name.startswith(key)), "")
    named = re.compile(OWN_NAMES.get(family, "(?!)"))
    return spec if any(named.search(name) for name in graph.nodes) else None


def _compose(nodes: Iterable[Node]) -> Affine:
    whole = Affine()
    for node in nodes:
        if node.affine is not None:
            whole = whole.then(node.affine) or whole
    return whole
