"""What makes a model's answers scores, by its last operations."""

from typing import Literal

from xferlearn.inspection.layers import Graph, walk_back

Ending = Literal["softmax", "log_softmax", "sigmoid", "logits", "unknown"]
_ENDINGS: dict[str, Ending] = {
    "softmax": "softmax",
    "logsoftmax": "log_softmax",
    "sigmoid": "sigmoid",
    "logistic": "sigmoid",
}
# What picks some of the scores leaves them scores.
_PICKS = {"split", "splitv", "slice", "stridedslice", "getitem", "gather"}


def find_ending(graph: Graph, output: str, constants: frozenset[str]) -> Ending:
    """Returns what a graph does last, as its operations show.

    Args:
        graph: of the model.
        output: name of the node that is read.
        constants: `constant_names(graph)`.
    """
    node = graph.nodes.get(output)
    if node is None:
        return "unknown"
    arithmetic = False
    for one in walk_back(graph, node, constants):
        does = (one.activation or one.op).replace("_", "").lower()
        ending = _ENDINGS.get(does)
        if ending is not None:
            return "unknown" if arithmetic else ending
        if one.activation:
            return "unknown"
        if one.role in ("dense", "conv"):
            return "logits"
        if one.role not in ("same", "flat", "arithmetic") and does not in _PICKS:
            return "unknown"
        arithmetic = arithmetic or one.role == "arithmetic"
    return "unknown"
