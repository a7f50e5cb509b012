"""Works out from a graph what its file does not state: value range, classes, bottleneck."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from xferlearn.backbones.table import BACKBONES, PREPROCESSING
from xferlearn.inspection.arithmetic import Range, describe, raw_range
from xferlearn.inspection.layers import Affine, Graph, Node, consumers, walk_back
from xferlearn.inspection.report import BottleneckReport, RangeSource

# What retrain.py of the lab takes as the bottleneck, see its create_model_info().
_LAB_BOTTLENECKS = ("MobilenetV1/Predictions/Reshape", "pool_3/_reshape")
_LAB_INCEPTION_INPUT = "Mul"
_FROM_SCORES = {"score", "activation", "same", "flat", "arithmetic"}
_HIDDEN = {"dense", "activation", "score", "arithmetic", "norm"}
_WEIGHTED = {"dense", "conv"}
_FIRST_LAYERS = {"conv", "depthwise", "separable"}


@dataclass(frozen=True)
class ValueFacts:
    """The value range of an input and how it is known; fields as in `InputReport`."""

    value_range: Range | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    order: Literal["RGB", "BGR", ""] = "RGB"
    source: RangeSource = "unknown"
    detail: str = "the file does not state it"


def _from_pixels(step: Affine, source: RangeSource, detail: str, order: str = "RGB") -> ValueFacts:
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
    if node.dtype in ("uint8", "int8"):
        shift = 128.0 if node.dtype == "int8" else 0.0
        detail = "8-bit input: pixels" + (" minus 128" if shift else " as they are")
        return _from_pixels(
            Affine(offset=(-shift,)), "quantisation" if node.quantization else "dtype", detail
        )
    said = node.stated
    if said is not None and said.step is not None:
        return _from_pixels(said.step, "metadata", said.detail, said.order)
    if node.role == "arithmetic":
        inside = _compose(reversed(list(walk_back(graph, node, constants))))
        return _from_pixels(inside, "constants in the graph", f"computed as {describe(inside)}")
    steps, first = _after(graph, node, constants)
    inside = _compose(steps)
    span = raw_range(inside)
    if span is not None:
        keras = node.op == "InputLayer"
        return _from_pixels(
            Affine(((span[1] - span[0]) / 255,), (span[0],)),
            "layer in the model" if keras else "constants in the graph",
            f"the model itself computes {describe(inside)}",
        )
    spec = BACKBONES.get(backbone or "")
    if spec is None or spec.preprocessing == "inside":
        return ValueFacts()
    if first is None or first.role not in _FIRST_LAYERS:
        # The layers before the network may make its values from any others.
        return ValueFacts()
    step, detail = PREPROCESSING[spec.preprocessing], f"what {spec.name} was trained with"
    if node.name == _LAB_INCEPTION_INPUT:
        return _from_pixels(Affine((1 / 128,), (-1.0,)), "known backbone", detail)
    order = "BGR" if step.bgr else "RGB"
    return _from_pixels(Affine(step.scale, step.offset), "known backbone", detail, order)


def _after(graph: Graph, node: Node, constants: frozenset[str]) -> tuple[list[Node], Node | None]:
    """Returns the nodes after an input that only scale and shift, and the node after those.

    The latter is None where several nodes take the values, or none does.
    """
    readers = consumers(graph)
    found: list[Node] = []
    for _ in range(30):
        following = [graph.nodes[name] for name in readers[node.name]]
        following = [one for one in following if one.role != "shape" and one.name not in constants]
        if len(following) != 1:
            break
        node = following[0]
        known = node.role == "arithmetic" and node.affine is not None
        if not known and node.role not in ("same", "resize"):
            return found, node
        found.append(node)
    return found, None


def _compose(nodes: Iterable[Node]) -> Affine:
    whole = Affine()
    for node in nodes:
        if node.affine is not None:
            whole = whole.then(node.affine) or whole
    return whole


@dataclass(frozen=True)
class Classifier:
    """The layer with weights behind an output; `scores` where these become probabilities."""

    layer: Node
    scores: bool


def find_classifier(graph: Graph, output: str, constants: frozenset[str]) -> Classifier | None:
    """Returns the layer that gives the scores of an output; None for an output without scores."""
    seen: set[str] = set()
    shape = graph.nodes[output].shape
    for node in walk_back(graph, graph.nodes[output], constants):
        found = Classifier(node, node.scores or "score" in seen)
        if node.role == "dense" and node.units:
            return found
        if node.role == "conv" and node.units:
            flat = shape is not None and (len(shape) == 2 or shape[1:3] == (1, 1))
            return found if flat or (shape is None and seen & {"score", "flat"}) else None
        if node.role not in _FROM_SCORES:
            break
        seen.add(node.role)
    return None


def find_bottleneck(
    graph: Graph, classifier: Node | None, constants: frozenset[str]
) -> BottleneckReport | None:
    """Returns the layer that the head reads, the pooled or flattened features; None for none."""
    known = next((graph.nodes[name] for name in _LAB_BOTTLENECKS if name in graph.nodes), None)
    if known is not None:
        return BottleneckReport(known.name, known.tensor, _width(known))
    if classifier is None:
        last = graph.nodes[graph.outputs[0]] if graph.outputs else None
        headless = last is not None and last.role in ("pool", "flat")
        return BottleneckReport(last.name, last.tensor, _width(last)) if last and headless else None
    width = classifier.fan_in
    first: BottleneckReport | None = None
    sources = graph.data_inputs(classifier, constants)[:1]
    for node in walk_back(graph, sources[0], constants) if sources else ():
        if node.role == "input":
            break
        if node.role == "same":
            continue
        if first is None or node.role in ("pool", "flat"):
            found = BottleneckReport(node.name, node.tensor, _width(node) or width)
            if node.role not in _HIDDEN:
                return found
            first = found
        if node.role not in _HIDDEN:
            break
        width = node.fan_in if node.role in _WEIGHTED else width
    return first


def _width(node: Node) -> int | None:
    """Returns the number of values per image; None where the shape does not state it."""
    shape = node.shape
    if shape is None or len(shape) not in (2, 4):
        return None
    sizes = [size for size in shape[1:] if size != 1] or [1]
    return sizes[0] if len(sizes) == 1 else None
