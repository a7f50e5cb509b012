"""TFLite files: tensors and operations, read from the FlatBuffer without an interpreter.

Field numbers: tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import isfinite, prod

from xferlearn.inspection.arithmetic import affine_of, spread
from xferlearn.inspection.layers import (
    Affine,
    Calibration,
    Graph,
    Node,
    Shape,
    StatedInput,
    role_of,
)
from xferlearn.inspection.metadata import METADATA_KEY, ModelMetadata, parse_metadata
from xferlearn.inspection.readers.flat import Table, root
from xferlearn.inspection.readers.kernels import kernel_rms, sliced_channel
from xferlearn.inspection.readers.tflite_metadata import read_tflite_metadata
from xferlearn.inspection.readers.wire import Budget, MalformedError, View
from xferlearn.inspection.source import ModelSource

_IDENTIFIER = b"TFL3"
_DTYPES = dict(enumerate((
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64",
    "int8", "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4",
    "bfloat16",
)))  # fmt: skip
_WEIGHTS = {"float32", "float16", "float64", "bfloat16", "int8", "uint8", "int16", "int4"}
_PACKING = {"float32": "f", "int32": "i", "int64": "q"}
_MOST_VALUES = 64
# Of the built-in operations, by number: enum BuiltinOperator of schema.fbs.
_OPERATOR_NAMES = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE
    EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D
    LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1
    RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
    SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
    BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE
    UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT
    LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG
    PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE
    EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD
    REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV
    REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU
    SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE
    RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
    NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM
    BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D
    IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
    CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS
    RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE
    RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2
    UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD
    STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP
    STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE
    STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE
    STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE
    STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT
    STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT
    STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA
    STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE
    STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW
    STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
"""
_OPERATORS = tuple(_OPERATOR_NAMES.split())


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: Shape
    dtype: str
    quantization: tuple[float, int] | None
    content: View
    scales: tuple[float, ...] = ()

    def values(self) -> tuple[float, ...] | None:
        """Returns the numbers of a small constant, None for other tensors."""
        code, count = _PACKING.get(self.dtype), prod(size or 0 for size in self.shape)
        if code is None or count > _MOST_VALUES:
            return None
        if not count or len(self.content) != struct.calcsize(f"<{count}{code}"):
            return None
        return struct.unpack(f"<{count}{code}", self.content)


def is_tflite(source: ModelSource) -> bool:
    """Recognises a TFLite file by its identifier."""
    return source.head[4:8] == _IDENTIFIER


def read_tflite(source: ModelSource) -> Graph:
    """Reads a TFLite file, and what it states beside its graph.

    Raises:
        MalformedError: it is damaged.
    """
    data = source.data
    model = root(data, Budget(len(data)))
    operators = [_operator_name(code) for code in model.tables(1)]
    buffers = [_content(buffer, data) for buffer in model.tables(4)]
    subgraphs = list(model.tables(2))
    if not subgraphs:
        raise MalformedError("it holds no graph")
    main = subgraphs[0]
    tensors = [_read_tensor(tensor, buffers) for tensor in main.tables(0)]
    reader = _Reader(tensors, operators)
    for index, operator in enumerate(main.tables(3)):
        reader.operation(index, operator)
    starts, ends = reader.checked(main.numbers(1, "i")), reader.checked(main.numbers(2, "i"))
    held = next(_entries(model, buffers, "TFLITE_METADATA"), None)
    stated = read_tflite_metadata(source.path, held, model.budget)
    for index, one in zip_longest(starts, stated.inputs[: len(starts)]):
        reader.input(index, one)
    own = _metadata(model, buffers)
    # Own files have it for other tools, which know no thresholds by class, and keep probabilities.
    calibrations = () if own is not None else stated.calibrations[: len(ends)]
    for index, calibration in zip_longest(ends, calibrations):
        reader.output(index, calibration)
    inputs = tuple(reader.made[index] for index in starts)
    places = [
        (reader.made[index], place) for place, index in enumerate(ends) if index in reader.made
    ]
    outputs = tuple(dict.fromkeys(name for name, _ in places))
    named = _signature(model, reader)
    warning = f"Only the first of {len(subgraphs)} subgraphs is shown."
    return Graph(
        reader.nodes,
        inputs,
        outputs,
        producer=model.text(3, 200),
        input_names={name: named[0][name] for name in inputs if name in named[0]},
        output_names={name: named[1][name] for name in outputs if name in named[1]},
        output_places=dict(reversed(places)),
        labels=stated.labels,
        task=stated.task,
        metadata=own,
        warnings=(*((warning,) if len(subgraphs) > 1 else ()), *stated.warnings),
    )


def _operator_name(code: Table) -> str:
    """Returns the name of an operation; old files keep the number in a byte."""
    number = max(code.value(3, "i"), code.value(0, "b"))
    if number == _OPERATORS.index("CUSTOM"):
        return code.text(1, 100) or "CUSTOM"
    return _OPERATORS[number] if 0 <= number < len(_OPERATORS) else f"OP_{number}"


def _content(buffer: Table, data: View) -> View:
    """Returns a buffer's bytes; large models keep them behind the FlatBuffer."""
    offset, size = buffer.value(1, "Q"), buffer.value(2, "Q")
    if offset > 1:
        if offset + size > len(data):
            raise MalformedError(f"a buffer claims {size} bytes beyond its end")
        return data[offset : offset + size]
    return buffer.blob(0)


def _read_tensor(tensor: Table, buffers: list[View]) -> _Tensor:
    sizes = tensor.numbers(0, "i", 32)
    # shape_signature has -1 where `shape` has a placeholder 1.
    signature = tensor.numbers(7, "i", 32) or sizes
    shape = tuple(None if size < 0 else int(size) for size in signature)
    index = tensor.value(2, "I")
    content = buffers[index] if 0 < index < len(buffers) else memoryview(b"")
    quantization = None
    scales: tuple[float, ...] = ()
    held = tensor.table(4)
    if held is not None:
        scales, zeros = held.numbers(2, "f"), held.numbers(3, "q", 1)
        if scales and isfinite(scales[0]):
            quantization = (float(scales[0]), int(zeros[0]) if zeros else 0)
    dtype = _DTYPES.get(tensor.value(1, "b"), "unknown")
    return _Tensor(tensor.text(3), shape, dtype, quantization, content, scales)


class _Reader:
    """Turns operations into nodes, each named after the tensor that it makes."""

    def __init__(self, tensors: list[_Tensor], operators: list[str]) -> None:
        self.tensors, self.operators = tensors, operators
        self.nodes: dict[str, Node] = {}
        self.made: dict[int, str] = {}
        self.dequantized: dict[int, int] = {}
        self.first: set[int] = set()
        for index, tensor in enumerate(tensors):
            if len(tensor.content):
                self.constant(index, tensor)

    def named(self, index: int, fallback: str = "tensor") -> str:
        name = self.tensors[index].name or f"{fallback}_{index}"
        return name if name not in self.nodes else f"{name}_{index}"

    def constant(self, index: int, tensor: _Tensor) -> None:
        counts = bool(tensor.shape) and tensor.dtype in _WEIGHTS | {"int32"}
        # int32 without quantisation is a shape or an axis, not a weight.
        counts = counts and (tensor.dtype != "int32" or tensor.quantization is not None)
        elements = prod(size or 0 for size in tensor.shape) if counts else 0
        name = self.made[index] = self.named(index)
        self.nodes[name] = Node(
            name, "", (), tensor.shape, tensor.dtype, "constant", elements=elements
        )

    def checked(self, indexes: tuple[int, ...]) -> list[int]:
        if any(index >= len(self.tensors) for index in indexes):
            raise MalformedError("it refers to a tensor that it does not hold")
        return [index for index in indexes if index >= 0]

    def operation(self, place: int, operator: Table) -> None:
        code = operator.value(0, "I")
        if code >= len(self.operators):
            raise MalformedError(f"operation {place} has no type")
        op = self.operators[code]
        sources = self.checked(operator.numbers(1, "i"))
        results = self.checked(operator.numbers(2, "i"))
        if not results:
            return
        for index in sources:
            self.made.setdefault(index, self.tensors[index].name or f"tensor_{index}")
        first = self.tensors[results[0]]
        role = role_of(op)
        if op == "DEQUANTIZE" and sources:
            self.dequantized[results[0]] = sources[0]
        name = self.named(results[0], op.lower())
        node = Node(
            name, op, tuple(self.made[index] for index in sources), first.shape, first.dtype, role,
            affine=self.affine(op, sources), quantization=first.quantization, tensor=first.name,
        )  # fmt: skip
        if role in ("conv", "depthwise", "dense") and len(sources) > 1:
            units, fan_in = _channels(role, self.tensors[sources[1]].shape)
            kernel = self.tensors[self.dequantized.get(sources[1], sources[1])]
            rms = kernel_rms(
                kernel.content, kernel.dtype, kernel.shape, channels=-1, scales=kernel.scales
            )
            node = replace(node, units=units, fan_in=fan_in, kernel_rms=rms)
        if op == "REVERSE_V2" and len(sources) > 1:
            flips = self.tensors[sources[1]].values() in ((3,), (-1,))
            node = replace(node, role="reverse" if flips else role)
        if op == "STRIDED_SLICE" and len(sources) == 4:
            role, channel = self.slice(operator, sources)
            node = replace(node, role=role, channel=channel)
        if role == "resize" and len(sources) > 1 and not first.shape:
            size = self.tensors[sources[1]].values()
            if size and len(size) == 2:
                node = replace(node, shape=(None, *spread(size), None))
        self.nodes[name] = node
        self.first.add(results[0])
        self.made.update(dict.fromkeys(results, name))

    def affine(self, op: str, sources: list[int]) -> Affine | None:
        operands = [self.tensors[index].values() for index in sources]
        return affine_of(op, operands) if role_of(op) == "arithmetic" else None

    def slice(self, operator: Table, sources: list[int]) -> tuple[str, int | None]:
        """Returns what a slice does to the channels of pixels, see `kernels.sliced_channel`."""
        options = operator.table(4)
        parts = [self.tensors[index].values() for index in sources[1:]]
        if options is None or any(part is None for part in parts):
            return "", None
        names = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
        masks = {name: options.value(place, "i") for place, name in enumerate(names)}
        begin, end, steps = ([int(value) for value in part or ()] for part in parts)
        return sliced_channel(begin, end, steps, masks)

    def output(self, index: int, calibration: Calibration | None) -> None:
        """Gives an output that is not its operation's first result a node of its own."""
        maker, tensor = self.nodes.get(self.made.get(index, "")), self.tensors[index]
        if maker is None:
            return
        if maker.role not in ("input", "constant") and index not in self.first:
            name = self.named(index)
            maker = self.nodes[name] = Node(
                name, "", (maker.name,), tensor.shape, tensor.dtype, "same", tensor=tensor.name,
                quantization=tensor.quantization,
            )  # fmt: skip
            self.made[index] = name
        if calibration is not None:
            self.nodes[maker.name] = replace(maker, calibration=calibration)

    def input(self, index: int, stated: StatedInput | None) -> None:
        tensor = self.tensors[index]
        name = self.made.get(index) or tensor.name or f"input_{index}"
        self.made[index] = name
        self.nodes[name] = Node(
            name, "", (), tensor.shape, tensor.dtype, "input", tensor=tensor.name,
            quantization=tensor.quantization, stated=stated,
        )  # fmt: skip


def _channels(role: str, kernel: Shape) -> tuple[int | None, int | None]:
    """Returns output and input channels: TFLite's kernels are [out, h, w, in] or [out, in]."""
    if len(kernel) < 2:
        return None, None
    return kernel[-1] if role == "depthwise" else kernel[0], kernel[-1]


def _entries(model: Table, buffers: list[View], name: str) -> Iterator[View]:
    """Yields the content of the file's metadata entries with a given name."""
    for entry in model.tables(6):
        index = entry.value(1, "I")
        if entry.text(0, 100) == name and index < len(buffers):
            yield buffers[index]


def _metadata(model: Table, buffers: list[View]) -> ModelMetadata | None:
    held = next(_entries(model, buffers, METADATA_KEY), None)
    return parse_metadata(bytes(held)) if held is not None else None


def _signature(model: Table, reader: _Reader) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the first signature's names of inputs and outputs, by node."""
    first = next(model.tables(7), None)
    if first is None or first.value(4, "I"):
        return {}, {}
    sides: list[dict[str, str]] = []
    for field in (0, 1):
        pairs = ((one.value(1, "I"), one.text(0, 200)) for one in first.tables(field))
        sides.append({reader.made[index]: name for index, name in pairs if index in reader.made})
    return sides[0], sides[1]
