"""Works out from a graph what its file does not state of its end: classes and bottleneck."""

from dataclasses import dataclass

from xferlearn.inspection.layers import Graph, Node, constant_names, walk_back
from xferlearn.inspection.report import BottleneckReport

# What retrain.py of the lab takes as the bottleneck, see its create_model_info().
_LAB_BOTTLENECKS = ("MobilenetV1/Predictions/Reshape", "pool_3/_reshape")
_FROM_SCORES = {"score", "activation", "same", "flat", "arithmetic"}
_HIDDEN = {"dense", "activation", "score", "arithmetic", "norm"}
_WEIGHTED = {"dense", "conv"}


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
    """Returns the layer that the head reads, of pooled, flattened or joined features; or None."""
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
        if first is None or node.role in ("pool", "flat", "stack"):
            found = BottleneckReport(node.name, node.tensor, _width(node) or width)
            if node.role not in _HIDDEN:
                return found
            first = found
        if node.role not in _HIDDEN:
            break
        width = node.fan_in if node.role in _WEIGHTED else width
    return first


def layer_before_scores(graph: Graph) -> str:
    """Returns the layer whose values the last dense one reads; "" where none is recognised."""
    constants = constant_names(graph)
    found = find_classifier(graph, graph.outputs[0], constants) if graph.outputs else None
    sources = graph.data_inputs(found.layer, constants)[:1] if found else []
    for node in walk_back(graph, sources[0], constants) if sources else ():
        if node.role != "same":
            return node.name
    return ""


def _width(node: Node) -> int | None:
    """Returns the number of values per image; None where the shape does not state it."""
    shape = node.shape
    if shape is None or len(shape) not in (2, 4):
        return None
    sizes = [size for size in shape[1:] if size != 1] or [1]
    return sizes[0] if len(sizes) == 1 else None
