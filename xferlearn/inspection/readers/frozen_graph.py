"""TensorFlow 1's frozen graphs: inputs and outputs are found among the operations."""

from dataclasses import replace

from xferlearn.inspection.layers import Graph, Node, consumers
from xferlearn.inspection.metadata import METADATA_NODE, ModelMetadata, parse_metadata
from xferlearn.inspection.readers.graphdef import (
    RawNode,
    attribute,
    attributes,
    build_graph,
    read_node,
    read_tensor_strings,
)
from xferlearn.inspection.readers.wire import (
    Budget,
    MalformedError,
    View,
    blob,
    fields,
    number,
    operation_limit,
)
from xferlearn.inspection.source import ModelSource

_NOT_OUTPUTS = {
    "Assert", "Assign", "AssignVariableOp", "Const", "NoOp", "Placeholder", "SaveV2", "RestoreV2",
    "VarHandleOp", "VarIsInitializedOp", "VariableV2", "HistogramSummary", "ImageSummary",
    "MergeSummary", "ScalarSummary",
}  # fmt: skip


def is_frozen_graph(source: ModelSource) -> bool:
    """Recognises a GraphDef by its outermost fields."""
    return (1, False) in source.outer_fields


def read_frozen_graph(source: ModelSource) -> Graph:
    """Reads a frozen graph, and what this package stated in it.

    Raises:
        MalformedError: it is damaged.
    """
    graph = read_graph_def(source.data)
    return replace(graph, metadata=_metadata(source.data) if METADATA_NODE in graph.nodes else None)


def read_graph_def(data: View) -> Graph:
    """Reads the bytes of a GraphDef.

    Raises:
        MalformedError: they are not a GraphDef.
    """
    budget = Budget(len(data))
    raws: list[RawNode] = []
    producer = 0
    for field, value in fields(data, budget):
        if field == 1:
            raws.append(read_node(blob(value), budget))
            if len(raws) > operation_limit(len(data)):
                raise MalformedError(f"it claims more than {len(raws) - 1} operations")
        elif field == 4:
            for part, held in fields(blob(value), budget):
                producer = number(held) if part == 1 else producer
    if not raws:
        raise MalformedError("it holds no operations")
    graph = build_graph(raws, budget)
    wrote = f"TensorFlow, GraphDef version {producer}" if producer else ""
    return replace(with_ends(graph), producer=wrote)


def _metadata(data: View) -> ModelMetadata | None:
    budget = Budget(len(data))
    for field, value in fields(data, budget):
        node = read_node(blob(value), budget) if field == 1 else None
        if node is None or node.name != METADATA_NODE:
            continue
        tensor = attribute(attributes(node, budget).get("value"), 8, budget)
        strings = read_tensor_strings(blob(tensor), budget) if tensor is not None else []
        if strings:
            return parse_metadata(bytes(strings[0]))
    return None


def with_ends(graph: Graph) -> Graph:
    """Adds inputs (placeholders, or what follows a JPEG decoder) and outputs.

    Outputs are the operations that no other reads, scores first.
    """
    readers = consumers(graph)
    inputs = [
        node.name
        for node in graph.nodes.values()
        if node.role == "input" and node.dtype != "resource"
    ]
    nodes = dict(graph.nodes)
    fed = set(inputs)
    decoded: list[str] = []
    # The lab's Inception graph has no placeholder: its users feed `Mul`, or JPEG bytes, by name.
    for decoder in (node for node in graph.nodes.values() if node.role == "decode"):
        pixels = _after_decoder(graph, decoder, readers)
        if pixels is not None:
            nodes[pixels.name] = pixels
            decoded.append(pixels.name)
            fed.add(pixels.name)
        source = graph.nodes.get(decoder.inputs[0]) if decoder.inputs else None
        if source is not None and source.name not in fed:
            nodes[source.name] = replace(source, dtype="string", elements=0)
            inputs.append(source.name)
            fed.add(source.name)
    ends = [
        node.name
        for node in graph.nodes.values()
        if not readers[node.name]
        and node.inputs
        and node.op not in _NOT_OUTPUTS
        and node.role != "constant"
    ]
    ends.sort(key=lambda name: (name != "final_result", graph.nodes[name].role != "score"))
    fed_first = tuple(dict.fromkeys((*reversed(decoded), *inputs)))
    return replace(graph, nodes=nodes, inputs=fed_first, outputs=tuple(ends))


def _after_decoder(graph: Graph, decoder: Node, readers: dict[str, list[str]]) -> Node | None:
    """Returns the last step of the preprocessing that follows a decoder, with its shape."""
    node, size, last = decoder, None, None
    for _ in range(20):
        following = [graph.nodes[name] for name in readers[node.name]]
        if len(following) != 1 or following[0].role not in ("same", "resize", "arithmetic"):
            break
        node = following[0]
        if node.role == "arithmetic" and node.affine is None:
            break
        size = node.shape[1:3] if node.role == "resize" and node.shape else size
        last = node
    if last is None or size is None:
        return None
    return replace(last, shape=(1, *size, 3), dtype="float32")
