"""What an output of a model is for: scores of classes, or what can't be labelled with."""

from collections import deque
from typing import Literal

from xferlearn.inspection.layers import Graph, Node, Shape, reachable, walk_back

# "scores": made by a softmax or sigmoid. "features": pooled or flattened, with no layer behind
# that could be a head. "row": one row of values per photo, which may be scores or an embedding.
# All others are certainly not one score per class.
OutputKind = Literal["scores", "row", "features", "embedding", "detections", "map", "index", "text"]
_OTHER_TASKS = ("detection", "segmentation", "pose estimation", "depth estimation", "embedding")
# What the certain kinds are, as the end of a sentence.
_NOT_SCORES: dict[OutputKind, str] = {
    "embedding": "is an embedding (normalised to length 1)",
    "detections": "is of a detector, which finds boxes",
    "map": "is a map of values",
    "index": "is whole numbers, e.g. numbers of classes",
    "text": "is text",
}
_NORMALISED = {
    "l2normalization", "lpnormalization", "normalizel2", "unitnormalization", "normalize",
}  # fmt: skip
_SIGMOIDS = {"sigmoid", "logistic"}
_LENGTHS = {"reducel2", "norm", "euclideannorm"}
_SUMS = {"sum", "reducesum", "reducesumsquare"}
_ROOTS = {"sqrt", "rsqrt"}
_SQUARES = {"square", "pow", "mul", "multiply", "reducesumsquare"}
_QUOTIENTS = {"mul", "multiply", "div", "divide", "realdiv", "truedivide", "divnonan"}
_DETECTS = (
    "nonmaxsuppression", "combinednonmaxsuppression", "tflitedetectionpostprocess",
    "detectionoutput", "multiclassnms", "matrixnms", "efficientnms", "batchednms", "roialign",
    "proposal", "priorbox",
)  # fmt: skip
_DETECTION_NAMES = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
_MOST_STEPS = 12


def output_kind(graph: Graph, name: str, constants: frozenset[str]) -> OutputKind:
    """Returns what an output is for, as its graph shows.

    Args:
        graph: the network.
        name: of the node that is read; also one inside of the graph.
        constants: `constant_names(graph)`.
    """
    node = graph.nodes.get(name)
    if node is None:
        return "row"
    if node.dtype == "string":
        return "text"
    if _is_detection(graph, node):
        return "detections"
    if node.shape is not None and sum((size or 1) > 1 for size in node.shape[1:]) > 1:
        return "map"
    if node.dtype in ("int32", "int64", "bool", "uint32", "uint64"):
        return "index"
    arithmetic = pooled = False
    for one in walk_back(graph, node, constants):
        if one.scores or one.role == "score":
            # The mean of a softmax sums to 1; of others nothing shows that they were scores.
            certain = not arithmetic and not (pooled and _plain(one.op) in _SIGMOIDS)
            return "scores" if certain else "features" if pooled else "row"
        if pooled and one.role not in ("same", "flat"):
            return "features"
        if _plain(one.op) in _NORMALISED or _divides_by_length(graph, one, constants):
            return "embedding"
        if one.role == "pool":
            pooled, arithmetic = True, arithmetic or "max" in _plain(one.op)
            continue
        if one.role == "conv" and _is_flattened(node, one):
            return "features"
        if one.role not in ("same", "flat", "arithmetic"):
            break
        arithmetic = arithmetic or one.role == "arithmetic"
    return "features" if pooled else "row"


def may_be_map(shape: Shape | None) -> bool:
    """Returns whether a shape may have several axes of values per photo."""
    return shape is not None and sum(size != 1 for size in shape[1:]) > 1


def refusal(task: str, kind: OutputKind, name: str) -> str:
    """Returns why photos can't be labelled from an output, as a sentence; "" where they may be.

    Args:
        task: what the file says that it is for.
        kind: of the output.
        name: of the output.
    """
    if task in _OTHER_TASKS:
        return f"It is for {task}, as its metadata state."
    return f"Its output {name!r} {_NOT_SCORES[kind]}." if kind in _NOT_SCORES else ""


def _is_flattened(end: Node, conv: Node) -> bool:
    """Returns whether what follows a convolution made one row of its rows and columns."""
    width = end.shape[-1] if end.shape and len(end.shape) == 2 else None
    return width is not None and conv.units is not None and width != conv.units


def _plain(op: str) -> str:
    return op.replace("_", "").lower()


def _is_detection(graph: Graph, node: Node) -> bool:
    if node.name in graph.outputs and _has_boxes(graph):
        return True
    ops = (_plain(graph.nodes[name].op) for name in reachable(graph, [node.name]))
    return any(op.startswith(_DETECTS) for op in ops)


def _has_boxes(graph: Graph) -> bool:
    """Returns whether a model's outputs are boxes and their scores, by names or by shapes."""
    names = {graph.output_names.get(name, name).partition(":")[0] for name in graph.outputs}
    if not names.isdisjoint(_DETECTION_NAMES):
        return True
    shapes = [shape for name in graph.outputs if (shape := graph.nodes[name].shape)]
    counts = {shape[1] for shape in shapes if len(shape) == 3 and shape[2] == 4 and shape[1] != 1}
    others = (shape for shape in shapes if len(shape) in (2, 3) and shape[2:] != (4,))
    # The same number of rows, four numbers each in the boxes.
    return any(shape[1] in counts and shape[1] is not None for shape in others)


def _divides_by_length(graph: Graph, node: Node, constants: frozenset[str]) -> bool:
    """Returns whether a node divides values by the square root of the sum of their squares."""
    sources = graph.data_inputs(node, constants)
    if _plain(node.op) not in _QUOTIENTS or len(sources) != 2:
        return False
    for values, divisor in (sources, sources[::-1]):
        seen: set[str] = set()
        ops: set[str] = set()
        queue = deque([divisor])
        while queue and len(seen) < _MOST_STEPS:
            one = queue.popleft()
            if one.name in seen or one.name == values.name:
                continue
            seen.add(one.name)
            ops.add(_plain(one.op))
            queue.extend(graph.data_inputs(one, constants))
        whole = not queue and any(values.name in graph.nodes[name].inputs for name in seen)
        squares = bool(ops & _SUMS and ops & _ROOTS and ops & _SQUARES)
        if whole and (ops & _LENGTHS or squares):
            return True
    return False
