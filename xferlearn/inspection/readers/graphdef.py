"""TensorFlow GraphDefs: operations and attributes, read lazily, and constants up to a few values.

Field numbers: tensorflow/core/framework/{graph,node_def,attr_value,tensor}.proto
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

from xferlearn.inspection.arithmetic import affine_of, spread
from xferlearn.inspection.layers import Affine, Graph, Node, Shape, Window, role_of
from xferlearn.inspection.readers.kernels import kernel_rms, sliced_channel
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
    text,
)

# tensorflow/core/framework/types.proto
DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string",
    8: "complex64", 9: "int64", 10: "bool", 11: "qint8", 12: "quint8", 13: "qint32",
    14: "bfloat16", 17: "uint16", 19: "float16", 20: "resource", 22: "uint32", 23: "uint64",
}  # fmt: skip
DTYPE_NUMBERS = {name: number for number, name in DTYPES.items()}
_PACKING = {"float32": "f", "float64": "d", "int32": "i", "int64": "q", "uint8": "B", "int8": "b"}
_WEIGHTS = {"float32", "float64", "float16", "bfloat16", "qint8", "quint8", "int8", "uint8"}
_MOST_VALUES = 64


@dataclass(frozen=True, slots=True)
class RawNode:
    """A NodeDef whose attributes are still bytes of the file."""

    name: str
    op: str
    inputs: tuple[str, ...]
    body: View


def read_node(body: View, budget: Budget) -> RawNode:
    """Reads one NodeDef's name, operation and inputs (control inputs excluded)."""
    name = op = ""
    inputs: list[str] = []
    for field, value in fields(body, budget):
        if field == 1:
            name = text(value)
        elif field == 2:
            op = text(value, 200)
        elif field == 3 and not (source := text(value)).startswith("^"):
            inputs.append(source)
    if not name or not op:
        raise MalformedError("an operation in it has no name or type")
    return RawNode(name, op, tuple(inputs), body)


def attributes(raw: RawNode, budget: Budget) -> dict[str, View]:
    """Returns a node's attributes by name, as bytes of AttrValue messages."""
    return dict(entry(value, budget) for field, value in fields(raw.body, budget) if field == 5)


def attribute(view: View | None, field: int, budget: Budget) -> int | View | None:
    """Returns one field of an AttrValue; None where there is none."""
    found: int | View | None = None
    for held, value in fields(view, budget) if view is not None else ():
        if held == field:
            found = value
    return found


def read_shape(view: int | View | None, budget: Budget) -> Shape | None:
    """Reads a TensorShapeProto; None where the rank is unknown."""
    if view is None:
        return None
    shape: list[int | None] = []
    for field, value in fields(blob(view), budget):
        if field == 3 and value:
            return None
        if field == 2:
            size: int = 0
            for part, held in fields(blob(value), budget):
                size = number(held) if part == 1 else size
            shape.append(None if size < 0 else size)
            if len(shape) > 32:
                raise MalformedError("a tensor in it has more than 32 axes")
    return tuple(shape)


@dataclass(frozen=True)
class Constant:
    """Type and shape of a TensorProto, its values where they are few, and their bytes."""

    dtype: str
    shape: Shape
    values: tuple[float, ...] | None
    content: View | None = None


def read_tensor(view: int | View | None, budget: Budget) -> Constant:
    """Reads a TensorProto's type and shape, and its numbers where there are at most 64."""
    dtype, content = "", None
    shape: Shape = ()
    loose: list[float] = []
    for field, value in fields(blob(view), budget) if view is not None else ():
        if field == 1:
            dtype = DTYPES.get(number(value), "")
        elif field == 2:
            shape = read_shape(value, budget) or ()
        elif field == 4:
            content = blob(value)
        elif field == 5:
            loose += floats(value)
        elif field in (7, 10):
            loose += integers(value, _MOST_VALUES)
    count = prod(size or 0 for size in shape)
    code = _PACKING.get(dtype)
    if count > _MOST_VALUES or code is None:
        return Constant(dtype, shape, None, content)
    if content is not None and len(content) == count * struct.calcsize("<" + code):
        return Constant(dtype, shape, struct.unpack(f"<{count}{code}", content))
    # One stored value stands for all of them.
    loose = loose[:1] * count if len(loose) == 1 else loose
    return Constant(dtype, shape, tuple(loose) if len(loose) == count else None)


def build_graph(raws: Iterable[RawNode], budget: Budget) -> Graph:
    """Turns TensorFlow operations into a `Graph`, without inputs and outputs."""
    nodes: dict[str, Node] = {}
    values: dict[str, tuple[float, ...]] = {}
    kernels: dict[str, float] = {}
    later: list[tuple[str, dict[str, View]]] = []
    for raw in raws:
        held = attributes(raw, budget)
        node, constant = _node(raw, held, budget)
        nodes[node.name] = node
        if constant is not None and constant.values is not None:
            values[node.name] = constant.values
        elif constant is not None:
            rms = kernel_rms(constant.content, constant.dtype, constant.shape)
            kernels |= {node.name: rms} if rms is not None else {}
        if node.role in _NEEDS_CONSTANTS or node.op in _SLICES:
            later.append((node.name, held))
    for name, held in later:
        node = _with_constants(nodes[name], nodes, values, held, budget)
        if node.role in ("conv", "depthwise"):
            kernel = _behind(node.inputs[1], nodes) if len(node.inputs) > 1 else None
            node = replace(node, kernel_rms=kernels.get(kernel.name) if kernel else None)
        nodes[name] = node
    return Graph(nodes)


_NEEDS_CONSTANTS = {
    "conv", "depthwise", "dense", "flat", "arithmetic", "resize", "pool", "maxpool",
}  # fmt: skip
_SLICES = {"StridedSlice", "ReverseV2"}


def _node(raw: RawNode, held: dict[str, View], budget: Budget) -> tuple[Node, Constant | None]:
    """Reads what a node states itself; its shape is in `_output_shapes` or `shape`."""
    shape: Shape | None = None
    shapes = attribute(held.get("_output_shapes"), 1, budget)
    # The result of a variable is a handle; the shape of interest is the variable's own.
    if shapes is not None and not (role_of(raw.op) == "constant" and "shape" in held):
        first = next((v for field, v in fields(blob(shapes), budget) if field == 7), None)
        shape = read_shape(first, budget)
    elif "shape" in held and raw.op != "Reshape":
        shape = read_shape(attribute(held["shape"], 7, budget), budget)
    role = role_of(raw.op)
    kind = next((held[key] for key in ("dtype", "T", "DstT", "Tparams") if key in held), None)
    dtype_number = attribute(kind, 6, budget)
    dtype = DTYPES.get(dtype_number, "") if isinstance(dtype_number, int) else ""
    constant, elements = None, 0
    if raw.op == "Const":
        constant = read_tensor(attribute(held.get("value"), 8, budget), budget)
        shape, dtype = constant.shape, constant.dtype or dtype
    # A single number is a setting (an epsilon, a dropout rate), not a weight.
    if role == "constant" and shape and dtype in _WEIGHTS:
        elements = prod(size or 0 for size in shape)
    steps = [_numbers(held.get(key), budget) for key in ("_scale", "_offset")]
    affine = Affine(steps[0], steps[1]) if steps[0] and steps[1] else None
    inputs = tuple(source.partition(":")[0] for source in raw.inputs)
    node = Node(
        raw.name, raw.op, inputs, shape, dtype, role, affine=affine, elements=elements,
        tensor=f"{raw.name}:0",
    )  # fmt: skip
    return node, constant


def _numbers(view: View | None, budget: Budget) -> tuple[float, ...]:
    """Returns the floats of an attribute that `writing` adds to layers, e.g. to Rescaling."""
    if view is None:
        return ()
    found: list[float] = []
    for field, value in fields(blob(attribute(view, 1, budget) or memoryview(b"")), budget):
        if field == 4:
            found += floats(value)
    return tuple(found)


def _with_constants(
    node: Node,
    nodes: dict[str, Node],
    values: dict[str, tuple[float, ...]],
    held: dict[str, View],
    budget: Budget,
) -> Node:
    """Adds what a node's constant inputs determine: channels of weights, factors, sizes."""
    sources = [_behind(name, nodes) for name in node.inputs]
    numbers = [values.get(s.name) if s else None for s in sources]
    if node.role in ("conv", "depthwise", "dense"):
        node = _with_channels(node, nodes, sources, held, budget)
        kernel = next(
            (s.shape for s in sources[1:] if s and s.role == "constant" and s.shape), None
        )
        return replace(node, window=_window(node, kernel, held, budget))
    if node.role in ("pool", "maxpool"):
        return replace(node, window=_window(node, None, held, budget))
    if node.op in _SLICES:
        return _with_slice(node, numbers, held, budget)
    if node.role == "arithmetic":
        return replace(node, affine=node.affine or affine_of(node.op, numbers))
    target = values.get(sources[1].name) if len(sources) > 1 and sources[1] else None
    if node.role == "flat" and target and node.shape is None:
        return replace(node, shape=tuple(None if size < 0 else int(size) for size in target))
    if node.role == "resize" and target and len(target) == 2 and node.shape is None:
        height, width = spread(target)
        return replace(node, shape=(None, height, width, None))
    if node.op in ("Pad", "PadV2", "MirrorPad") and target and len(target) == 8:
        pads = [int(value) for value in target]
        window = Window((1, 1), padding=(pads[2] + pads[3], pads[4] + pads[5]))
        return replace(node, window=window)
    return node


def _window(
    node: Node, kernel: Shape | None, held: dict[str, View], budget: Budget
) -> Window | None:
    """Returns how a convolution or a pooling changes height and width; None where unknown."""
    sizes = kernel[:2] if kernel is not None and len(kernel) == 4 else None
    if node.role not in ("conv", "depthwise"):
        listed = _whole_numbers(held.get("ksize"), budget)
        sizes = listed[1:3] if len(listed) == 4 else None
    strides = _whole_numbers(held.get("strides"), budget)
    rates = _whole_numbers(held.get("dilations"), budget) or (1, 1, 1, 1)
    padding = attribute(held.get("padding"), 2, budget)
    layout = attribute(held.get("data_format"), 2, budget)
    way = "" if padding is None else text(padding, 20)
    usual = layout is None or text(layout, 10) in ("", "NHWC")
    if sizes is None or None in sizes or len(strides) != 4 or len(rates) != 4 or not usual:
        return None
    if way not in ("SAME", "VALID") or min(strides) < 1:
        return None
    height, width = (
        (size - 1) * rate + 1 for size, rate in zip(sizes, rates[1:3], strict=True) if size
    )
    return Window((height, width), (strides[1], strides[2]), same=way == "SAME")


def _whole_numbers(view: View | None, budget: Budget) -> tuple[int, ...]:
    """Returns the integers of an attribute that is a list."""
    found: list[int] = []
    for field, value in fields(blob(attribute(view, 1, budget) or memoryview(b"")), budget):
        if field == 3:
            found += integers(value, 8)
    return tuple(found)


def _with_slice(
    node: Node,
    numbers: list[tuple[float, ...] | None],
    held: dict[str, View],
    budget: Budget,
) -> Node:
    """Adds what a slice does to the channels of pixels."""
    if node.op == "ReverseV2":
        flips = len(numbers) == 2 and numbers[1] in ((-1.0,), (3.0,), (-1,), (3,))
        return replace(node, role="reverse") if flips else node
    if len(numbers) != 4 or any(part is None for part in numbers[1:]):
        return node
    masks = {
        key: number(attribute(held.get(f"{key}_mask"), 3, budget) or 0)
        for key in ("begin", "end", "ellipsis", "shrink_axis")
    }
    begin, end, steps = ([int(value) for value in part or ()] for part in numbers[1:])
    role, channel = sliced_channel(begin, end, steps, masks)
    return replace(node, role=role, channel=channel)


def _with_channels(
    node: Node,
    nodes: dict[str, Node],
    sources: list[Node | None],
    held: dict[str, View],
    budget: Budget,
) -> Node:
    """Adds output and input channels, from the weights or as `writing` stated them."""
    if "_units" in held:
        units, fan_in = (attribute(held.get(key), 3, budget) for key in ("_units", "_fan_in"))
        grouped = bool(attribute(held.get("_depthwise"), 5, budget))
        return replace(
            node,
            role="depthwise" if grouped else node.role,
            units=number(units or 0) or None,
            fan_in=number(fan_in or 0) or None,
        )
    kernel = next((s.shape for s in sources[1:] if s and s.role == "constant" and s.shape), None)
    if kernel is None or len(kernel) < 2:
        # TensorBoard's graphs of layers have shapes and no weights.
        source = nodes.get(node.inputs[0]) if node.inputs else None
        fan = source.shape[-1] if source and source.shape else None
        return replace(node, units=node.shape[-1] if node.shape else None, fan_in=fan)
    if attribute(held.get("transpose_b"), 5, budget):
        kernel = (*kernel[:-2], kernel[-1], kernel[-2])
    # ConvNeXt's depthwise convolutions are Conv2D with one input channel per group.
    grouped = node.role == "conv" and kernel[-2] == 1 and (kernel[-1] or 0) > 1
    role = "depthwise" if grouped else node.role
    return replace(node, role=role, units=kernel[-1], fan_in=kernel[-2])


def _behind(name: str, nodes: dict[str, Node]) -> Node | None:
    """Returns the weight behind the Identity and ReadVariableOp operations that read it."""
    node = nodes.get(name)
    for _ in range(8):
        if node is None or node.role != "same" or not node.inputs:
            break
        node = nodes.get(node.inputs[0])
    return node


def read_tensor_strings(view: View, budget: Budget) -> list[View]:
    """Returns the values of a TensorProto of strings."""
    return [blob(value) for field, value in fields(view, budget) if field == 8]
