"""OpenVINO files: the network from the `.xml`, small constants from the `.bin` beside it.

Source: https://docs.openvino.ai, "Intermediate Representation format"
"""

import io
import itertools
import struct
from dataclasses import replace
from math import prod
from xml.etree import ElementTree

from xferlearn.inspection.arithmetic import affine_of
from xferlearn.inspection.layers import Graph, Node, Shape, role_of
from xferlearn.inspection.makers import openvino_info, with_stated
from xferlearn.inspection.metadata import METADATA_KEY, parse_metadata
from xferlearn.inspection.readers.wire import MalformedError, View, operation_limit
from xferlearn.inspection.source import ModelSource, open_view

_DTYPES = {
    "f32": "float32", "f16": "float16", "bf16": "bfloat16", "f64": "float64", "i64": "int64",
    "i32": "int32", "i16": "int16", "i8": "int8", "u8": "uint8", "u16": "uint16", "u32": "uint32",
    "u64": "uint64", "boolean": "bool", "string": "string", "FP32": "float32", "FP16": "float16",
    "BF16": "bfloat16", "I64": "int64", "I32": "int32", "I8": "int8", "U8": "uint8",
}  # fmt: skip
_PACKING = {"float32": "f", "float64": "d", "int32": "i", "int64": "q"}
_WEIGHTS = {"float32", "float64", "float16", "bfloat16", "int8", "uint8"}
_MOST_VALUES = 64
_MOST_BYTES = 64 * 2**20
_MOST_ELEMENTS = 1_000_000


def is_openvino(source: ModelSource) -> bool:
    """Recognises an OpenVINO network by its first bytes."""
    head = source.head
    return head.lstrip().startswith((b"<?xml", b"<net ")) and b"<net " in head


def read_openvino(source: ModelSource) -> Graph:
    """Reads an OpenVINO `.xml`, and what this package stated in it.

    Raises:
        MalformedError: it is damaged.
        OSError: it can't be read.
    """
    if source.size > _MOST_BYTES:
        raise MalformedError(f"its XML is larger than {_MOST_BYTES // 2**20} MiB")
    data = source.path.read_bytes()
    if b"<!" in data:
        # Entities can expand a kilobyte to gigabytes, and OpenVINO writes none.
        raise MalformedError("it declares XML entities or a document type")
    try:
        net = _parse(data)
    except ElementTree.ParseError as error:
        raise MalformedError(f"its XML is broken ({error})") from None
    weights = source.path.with_suffix(".bin")
    has_weights = weights.is_file() and weights.stat().st_size > 0
    graph = _read_net(net, open_view(weights) if has_weights else memoryview(b""), len(data))
    if any(node.role == "constant" for node in graph.nodes.values()):
        graph = replace(graph, files=(weights.name,))
    stated = net.find(f"rt_info/{METADATA_KEY}")
    text = stated.get("value") if stated is not None else None
    if text:
        return replace(graph, metadata=parse_metadata(text.encode()))
    said = net.find("rt_info/model_info")
    pairs = {one.tag: one.get("value", "") for one in said} if said is not None else {}
    return with_stated(graph, openvino_info(pairs)) if pairs else graph


def _parse(data: bytes) -> ElementTree.Element:
    """Returns the root; a tree takes 100 bytes per element, for which a file needs only 4."""
    started = ElementTree.iterparse(io.BytesIO(data), events=("start",))
    _, root = next(started)
    if sum(1 for _ in itertools.islice(started, _MOST_ELEMENTS)) == _MOST_ELEMENTS:
        raise MalformedError(f"it claims more than {_MOST_ELEMENTS} XML elements")
    return root


def _read_net(net: ElementTree.Element, weights: View, size: int) -> Graph:
    layers = net.findall("layers/layer")
    if len(layers) > operation_limit(size):
        raise MalformedError(f"it claims {len(layers)} operations")
    names = {layer.get("id", ""): layer.get("name", "") or layer.get("id", "") for layer in layers}
    sources: dict[str, list[tuple[int, str]]] = {}
    for edge in net.findall("edges/edge"):
        place = int(edge.get("to-port", "0")), names.get(edge.get("from-layer", ""), "")
        sources.setdefault(edge.get("to-layer", ""), []).append(place)
    nodes: dict[str, Node] = {}
    values: dict[str, tuple[float, ...]] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    for layer in layers:
        found = tuple(name for _, name in sorted(sources.get(layer.get("id", ""), [])))
        if layer.get("type") == "Result":
            outputs += found[:1]
            continue
        node = _node(layer, found, nodes, values)
        nodes[node.name] = node
        if node.role == "constant":
            held = _small(layer, node, weights)
            values.update({node.name: held} if held is not None else {})
        elif node.role == "input":
            inputs.append(node.name)
    ends = [name for name in dict.fromkeys(outputs) if name in nodes]
    version = net.find("rt_info/Runtime_version")
    return Graph(
        nodes,
        tuple(inputs),
        tuple(ends),
        producer=f"OpenVINO {version.get('value', '')[:80]}" if version is not None else "",
        input_names={name: nodes[name].tensor for name in inputs},
        output_names={name: nodes[name].tensor for name in ends},
    )


def _node(
    layer: ElementTree.Element,
    sources: tuple[str, ...],
    nodes: dict[str, Node],
    values: dict[str, tuple[float, ...]],
) -> Node:
    op = layer.get("type", "")
    name = layer.get("name", "") or layer.get("id", "")
    if not op or not name:
        raise MalformedError("an operation in it has no name or type")
    data, port = layer.find("data"), layer.find("output/port")
    shape, dtype, tensor = _port(port)
    if data is not None and data.get("element_type"):
        dtype = _DTYPES.get(data.get("element_type", ""), dtype)
    role = role_of(op)
    units = fan_in = affine = None
    kernel = nodes[sources[1]].shape if len(sources) > 1 and sources[1] in nodes else None
    if role == "conv" and kernel and len(kernel) >= 3:
        units, fan_in = kernel[0], kernel[1]
    elif role == "depthwise" and kernel and len(kernel) >= 4:
        units, fan_in = kernel[0], kernel[2]
    elif role == "dense" and kernel and len(kernel) >= 2:
        transposed = data is not None and data.get("transpose_b") == "true"
        units, fan_in = (kernel[-2], kernel[-1]) if transposed else (kernel[-1], kernel[-2])
    elif role == "arithmetic":
        held = (nodes.get(source) for source in sources)
        # A large constant's values are not read; with () it is not taken for data.
        constant = [None if n is None or n.role != "constant" else n.name for n in held]
        affine = affine_of(op, [None if one is None else values.get(one, ()) for one in constant])
    counts = role == "constant" and bool(shape) and dtype in _WEIGHTS
    return Node(
        name, op, sources, shape, dtype, role, units=units, fan_in=fan_in, affine=affine,
        elements=prod(one or 0 for one in shape or ()) if counts else 0, tensor=tensor or name,
    )  # fmt: skip


def _port(port: ElementTree.Element | None) -> tuple[Shape | None, str, str]:
    """Returns shape, dtype and the first name of an output."""
    if port is None:
        return None, "", ""
    dims = [int(dim.text or "-1") for dim in port.findall("dim")]
    if len(dims) > 32:
        raise MalformedError("a value in it has more than 32 axes")
    shape = tuple(None if size < 0 else size for size in dims)
    return shape, _DTYPES.get(port.get("precision", ""), ""), port.get("names", "").split(",")[0]


def _small(layer: ElementTree.Element, node: Node, weights: View) -> tuple[float, ...] | None:
    data, code = layer.find("data"), _PACKING.get(node.dtype)
    count = prod(size or 0 for size in node.shape or ())
    if data is None or code is None or count > _MOST_VALUES:
        return None
    start, size = int(data.get("offset", "0")), struct.calcsize(f"<{count}{code}")
    if start < 0 or start + size > len(weights):
        return None
    return struct.unpack(f"<{count}{code}", weights[start : start + size])
