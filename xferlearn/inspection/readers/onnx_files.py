"""ONNX files: the graph, the shapes of its initialisers, and small constants.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import struct
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

from xferlearn.inspection.arithmetic import affine_of
from xferlearn.inspection.layers import Graph, Node, Shape, role_of
from xferlearn.inspection.makers import stated_by_pairs, with_stated
from xferlearn.inspection.metadata import METADATA_KEY, parse_metadata
from xferlearn.inspection.readers.kernels import kernel_rms
from xferlearn.inspection.readers.wire import (
    Budget,
    MalformedError,
    View,
    blob,
    entry,
    fields,
    floats,
    integers,
    number,
    operation_limit,
    text,
)
from xferlearn.inspection.source import ModelSource

_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    8: "string", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
    16: "bfloat16",
}  # fmt: skip
_PACKING = {"float32": "f", "float64": "d", "int32": "i", "int64": "q"}
_WEIGHTS = {"float32", "float64", "float16", "bfloat16", "int8", "uint8"}
_MOST_VALUES = 64
_MOST_PAIR_BYTES = 4 * 2**20
_MOST_LABELS = 100_000


@dataclass(frozen=True)
class _Tensor:
    name: str
    dtype: str
    shape: Shape
    values: tuple[float, ...] | None
    raw: View | None = None
    file: str = ""


@dataclass
class _Operation:
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    name: str = ""
    op: str = ""
    group: int = 1
    transposed: bool = False
    constant: _Tensor | None = None
    labels: tuple[str, ...] = ()


def is_onnx(source: ModelSource) -> bool:
    """Recognises an ONNX file by its outermost fields."""
    return {(1, True), (7, False)} <= source.outer_fields


def read_onnx(source: ModelSource) -> Graph:
    """Reads an ONNX file, and what its maker stated in it.

    Raises:
        MalformedError: it is damaged.
    """
    budget = Budget(len(source.data))
    wrote, version, graph = "", "", None
    pairs: dict[str, View] = {}
    for part, value in fields(source.data, budget):
        if part == 2:
            wrote = text(value, 100)
        elif part == 3:
            version = text(value, 100)
        elif part == 7:
            graph = blob(value)
        elif part == 14:
            key, held = entry(value, budget)
            pairs.setdefault(key, held)
    if graph is None:
        raise MalformedError("it holds no graph")
    read = _read_graph(graph, budget, len(source.data))
    read = replace(read, producer=f"{wrote} {version}".strip())
    if METADATA_KEY in pairs:
        return replace(read, metadata=parse_metadata(bytes(pairs[METADATA_KEY])))
    said = {key: text(value, _MOST_PAIR_BYTES) for key, value in pairs.items()}
    stated = stated_by_pairs(said)
    return with_stated(read, stated) if stated is not None else read


def _read_graph(view: View, budget: Budget, size: int) -> Graph:
    tensors: dict[str, _Tensor] = {}
    operations: list[_Operation] = []
    known: dict[str, tuple[str, Shape | None]] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    for part, value in fields(view, budget):
        if part == 1:
            operations.append(_read_operation(blob(value), budget))
            if len(operations) > operation_limit(size):
                raise MalformedError(f"it claims more than {len(operations) - 1} operations")
        elif part == 5:
            tensor = _read_tensor(blob(value), budget)
            tensors[tensor.name] = tensor
        elif part in (11, 12, 13):
            name, dtype, shape = _read_value(blob(value), budget)
            known[name] = dtype, shape
            if part != 13:
                (inputs if part == 11 else outputs).append(name)
    nodes: dict[str, Node] = {}
    # Up to IR version 3, initialisers were listed among the inputs too.
    for name in [name for name in inputs if name not in tensors]:
        dtype, shape = known[name]
        nodes[name] = Node(name, "", (), shape, dtype, "input", tensor=name)
    starts = tuple(nodes)
    for operation in operations:
        if operation.constant is not None and operation.outputs:
            tensors[operation.outputs[0]] = operation.constant
    for name, tensor in tensors.items():
        counts = tensor.dtype in _WEIGHTS and tensor.shape
        elements = prod(size or 0 for size in tensor.shape) if counts else 0
        nodes[name] = Node(name, "", (), tensor.shape, tensor.dtype, "constant", elements=elements)
    # A node is called by the name of its first result, as ONNX nodes may have no name.
    made = {result: one.outputs[0] for one in operations if one.outputs for result in one.outputs}
    for operation in operations:
        if operation.outputs and operation.constant is None:
            node = _node(operation, tensors, known, made)
            nodes[node.name] = node
    maps = {one.outputs[0]: one.labels for one in operations if one.outputs and one.labels}
    places: dict[str, int] = {}
    for place, name in enumerate(outputs):
        dtype, shape = known[name]
        if name in maps:
            # The runtime returns a map per photo; its values are the scores.
            dtype, shape = "float32", (None, len(maps[name]))
        maker = made.get(name, name)
        if maker != name and maker in nodes:
            # Not its operation's first result, so that it needs a node of its own.
            nodes[name] = Node(name, "", (maker,), shape, dtype, "same", tensor=name)
        elif name in nodes:
            keys = maps.get(name, ())
            nodes[name] = replace(nodes[name], dtype=dtype, shape=shape, keys=keys)
        if name in nodes:
            places.setdefault(name, place)
    labels = next((held for name, held in maps.items() if name in places), ())
    # Others are refused by the runtime, as they would be outside of the model's folder.
    files = {one.file for one in tensors.values() if one.file and one.file == Path(one.file).name}
    return Graph(
        nodes,
        starts,
        tuple(places),
        output_places=places,
        labels=labels,
        files=tuple(sorted(files)),
    )


def _node(
    operation: _Operation,
    tensors: dict[str, _Tensor],
    known: dict[str, tuple[str, Shape | None]],
    made: dict[str, str],
) -> Node:
    name = operation.outputs[0]
    dtype, shape = known.get(name, ("", None))
    role = role_of(operation.op)
    inputs = tuple(made.get(source, source) for source in operation.inputs if source)
    node = Node(name, operation.op, inputs, shape, dtype, role, tensor=name)
    kernel = tensors.get(operation.inputs[1]) if len(operation.inputs) > 1 else None
    if role == "conv" and kernel is not None and len(kernel.shape) >= 3:
        units, fan_in = kernel.shape[0], kernel.shape[1]
        grouped = operation.group > 1
        rms = kernel_rms(kernel.raw, kernel.dtype, kernel.shape, channels=1)
        role = "depthwise" if grouped else role
        return replace(node, role=role, units=units, fan_in=fan_in, kernel_rms=rms)
    if role == "dense" and kernel is not None and len(kernel.shape) >= 2:
        sides = kernel.shape[-2:] if not operation.transposed else kernel.shape[:-3:-1]
        return replace(node, units=sides[1], fan_in=sides[0])
    if role == "arithmetic":
        held = [tensors.get(source) for source in operation.inputs]
        # A large constant's values are not read; with () it is not taken for data.
        operands = [None if one is None else one.values or () for one in held]
        return replace(node, affine=affine_of(operation.op, operands))
    if role == "flat" and kernel is not None and kernel.values and shape is None:
        sizes = tuple(int(size) if size > 0 else None for size in kernel.values)
        return replace(node, shape=sizes)
    return node


def _read_operation(view: View, budget: Budget) -> _Operation:
    operation = _Operation()
    for part, value in fields(view, budget):
        if part == 1:
            operation.inputs.append(text(value))
        elif part == 2:
            operation.outputs.append(text(value))
        elif part == 3:
            operation.name = text(value)
        elif part == 4:
            operation.op = text(value, 200)
        elif part == 5:
            _read_attribute(blob(value), operation, budget)
    if not operation.op:
        raise MalformedError("an operation in it has no type")
    return operation


def _read_attribute(view: View, operation: _Operation, budget: Budget) -> None:
    name, whole, tensor = "", 0, None
    listed: list[str] = []
    for part, value in fields(view, budget):
        if part == 1:
            name = text(value, 100)
        elif part == 3:
            whole = number(value)
        elif part == 5:
            tensor = blob(value)
        elif part == 8 and operation.op == "ZipMap":
            listed += [str(one) for one in integers(value, _MOST_LABELS)]
        elif part == 9 and operation.op == "ZipMap" and len(listed) < _MOST_LABELS:
            listed.append(text(value))
    if name.startswith("classlabels_"):
        operation.labels = tuple(listed)
    if name == "group":
        operation.group = whole
    elif name == "transB":
        operation.transposed = bool(whole)
    elif name == "value" and tensor is not None and operation.op == "Constant":
        operation.constant = _read_tensor(tensor, budget)


def _read_tensor(view: View, budget: Budget) -> _Tensor:
    dims: list[int] = []
    dtype, name, raw, file = "", "", None, ""
    loose: list[float] = []
    for part, value in fields(view, budget):
        if part == 1:
            dims += integers(value, 32)
        elif part == 2:
            dtype = _DTYPES.get(number(value), "unknown")
        elif part == 4:
            loose += floats(value)
        elif part in (5, 7):
            loose += integers(value, _MOST_VALUES)
        elif part == 8:
            name = text(value)
        elif part == 9:
            raw = blob(value)
        elif part == 13:
            key, held = entry(value, budget)
            file = text(held, 1000) if key == "location" else file
    if len(dims) > 32 or any(size < 0 for size in dims):
        raise MalformedError(f"its tensor {name[:60]!r} has an impossible shape")
    count, code = prod(dims), _PACKING.get(dtype)
    values: tuple[float, ...] | None = None
    if count <= _MOST_VALUES and code is not None:
        if raw is not None and len(raw) == struct.calcsize(f"<{count}{code}"):
            values = struct.unpack(f"<{count}{code}", raw)
        elif len(loose) == count:
            values = tuple(loose)
    return _Tensor(name, dtype, tuple(dims), values, raw, file)


def _read_value(view: View, budget: Budget) -> tuple[str, str, Shape | None]:
    """Reads a ValueInfoProto: name, type and shape of one value."""
    name, dtype, shape = "", "", None
    for part, value in fields(view, budget):
        if part == 1:
            name = text(value)
        elif part == 2:
            for inner, held in fields(blob(value), budget):
                if inner == 1:
                    dtype, shape = _read_type(blob(held), budget)
    return name, dtype, shape


def _read_type(view: View, budget: Budget) -> tuple[str, Shape | None]:
    dtype, shape = "", None
    for part, value in fields(view, budget):
        if part == 1:
            dtype = _DTYPES.get(number(value), "unknown")
        elif part == 2:
            sizes: list[int | None] = []
            for inner, held in fields(blob(value), budget):
                size = None
                for which, amount in fields(blob(held), budget) if inner == 1 else ():
                    size = number(amount) if which == 1 else size
                sizes.append(size if size is None or size >= 0 else None)
                if len(sizes) > 32:
                    raise MalformedError("a value in it has more than 32 axes")
            shape = tuple(sizes)
    return dtype, shape
