"""TensorFlow 1's MetaGraphs (.meta): the graph beside a checkpoint, which has its weights.

Field numbers: tensorflow/core/protobuf/meta_graph.proto
"""

from dataclasses import replace

from xferlearn.inspection.layers import Graph
from xferlearn.inspection.readers.frozen_graph import read_graph_def
from xferlearn.inspection.readers.wire import Budget, MalformedError, View, blob, fields, text
from xferlearn.inspection.source import ModelSource

_INFO, _GRAPH, _VERSION = 1, 2, 5


def is_meta_graph(source: ModelSource) -> bool:
    """Recognises a MetaGraphDef by TensorFlow's version in its first message.

    A GraphDef, whose outermost fields may be the same, has an operation there.
    """
    if not {(_INFO, False), (_GRAPH, False)} <= source.outer_fields:
        return False
    return _version(source.data)[:1].isdigit()


def read_meta_graph(source: ModelSource) -> Graph:
    """Reads the graph of a MetaGraph.

    Raises:
        MalformedError: it is damaged.
    """
    budget = Budget(len(source.data))
    graph = next((blob(held) for part, held in fields(source.data, budget) if part == _GRAPH), None)
    if graph is None:
        raise MalformedError("it holds no graph")
    return replace(read_graph_def(graph), producer=f"TensorFlow {_version(source.data)}")


def _version(data: View) -> str:
    budget = Budget(len(data))
    info = next((blob(held) for part, held in fields(data, budget) if part == _INFO), None)
    found = fields(info, budget) if info is not None else iter(())
    try:
        return next((text(held, 60) for part, held in found if part == _VERSION), "")
    except MalformedError:
        return ""
