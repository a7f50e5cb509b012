"""GraphDefs as text (.pbtxt) and as JSON (TF.js): brought to bytes, which `graphdef` reads.

Only what inspecting needs is kept; long contents of tensors are left out.
Format of the text: https://protobuf.dev/reference/protobuf/textformat-spec/
Field numbers: tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape}.proto
"""

import base64
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xferlearn.inspection.layers import Graph
from xferlearn.inspection.readers.frozen_graph import read_graph_def
from xferlearn.inspection.readers.graphdef import DTYPE_NUMBERS
from xferlearn.inspection.readers.wire import MalformedError
from xferlearn.inspection.source import ModelSource

_TOKEN = re.compile(
    rb"""[\s,;]+|\#[^\n]*|(?P<word>[A-Za-z_][\w.]*)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    rb"""|(?P<number>[-+]?[\d.][\w.+-]*|-\s*(?:inf|nan)\w*)|(?P<mark>[{}<>:\[\]])""",
    re.DOTALL,
)
_MOST_BYTES = 512 * 2**20
_MOST_TOKENS = 3_000_000
_DEEPEST = 32
# Longer ones are weights, of which only the shape counts.
_MOST_CONTENT = 4096
_MOST_REPEATED = 65
_WHOLE = ("node", "input", "attr", "dim")
_START = re.compile(rb"\s*(?:#[^\n]*\n\s*)*(?:node|versions|library)\s*[:{<]")
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f",
            b"v": b"\v"}  # fmt: skip
# TensorFlow's names of types, where `graphdef` has NumPy's.
_TYPES = {"DT_FLOAT": 1, "DT_DOUBLE": 2, "DT_HALF": 19} | {
    f"DT_{name.upper()}": number for name, number in DTYPE_NUMBERS.items()
}
Message = dict[str, list[Any]]


@dataclass(frozen=True)
class _Field:
    """One field: its number, and "text", "bytes", "whole", "float", "type", "map" or a message."""

    number: int
    kind: str


_SCHEMA: dict[str, dict[str, _Field]] = {
    "graph": {"node": _Field(1, "node"), "versions": _Field(4, "versions")},
    "versions": {"producer": _Field(1, "whole")},
    "node": {
        "name": _Field(1, "text"),
        "op": _Field(2, "text"),
        "input": _Field(3, "text"),
        "attr": _Field(5, "entry"),
    },
    "entry": {"key": _Field(1, "text"), "value": _Field(2, "attr")},
    "attr": {
        "list": _Field(1, "list"),
        "s": _Field(2, "bytes"),
        "i": _Field(3, "whole"),
        "f": _Field(4, "float"),
        "b": _Field(5, "whole"),
        "type": _Field(6, "type"),
        "shape": _Field(7, "shape"),
        "tensor": _Field(8, "tensor"),
    },
    "list": {"i": _Field(3, "whole"), "f": _Field(4, "float"), "shape": _Field(7, "shape")},
    "shape": {"dim": _Field(2, "dim"), "unknown_rank": _Field(3, "whole")},
    "dim": {"size": _Field(1, "whole")},
    "tensor": {
        "dtype": _Field(1, "type"),
        "tensor_shape": _Field(2, "shape"),
        "tensor_content": _Field(4, "bytes"),
        "float_val": _Field(5, "float"),
        "int_val": _Field(7, "whole"),
        "int64_val": _Field(10, "whole"),
    },
}


def is_graph_text(source: ModelSource) -> bool:
    """Recognises a GraphDef as text by its first field."""
    return not source.is_folder and _START.match(source.head) is not None


def read_graph_text(source: ModelSource) -> Graph:
    """Reads a GraphDef as text.

    Raises:
        MalformedError: it is damaged, or longer than 512 MiB.
    """
    if source.size > _MOST_BYTES:
        raise MalformedError(f"its text is longer than {_MOST_BYTES // 2**20} MiB")
    return read_graph_def(memoryview(_encoded("graph", _parsed(source.path.read_bytes()))))


def graph_of_json(held: Mapping[str, Any]) -> Graph:
    """Returns the graph of a GraphDef as JSON, as TF.js keeps it.

    Raises:
        MalformedError: it is damaged.
    """
    return read_graph_def(memoryview(_encoded("graph", _of_json("graph", held))))


def _parsed(data: bytes) -> Message:
    """Returns a message written as text: every field has a list of its values."""
    whole: Message = {}
    stack, closing = [whole], [b""]
    values: list[Any] = []
    name, listed, at, count = "", False, 0, 0
    while at < len(data):
        found = _TOKEN.match(data, at)
        if found is None:
            raise MalformedError(f"its text breaks off at byte {at}")
        at, kind, token = found.end(), found.lastgroup, found.group()
        count += kind is not None
        if count > _MOST_TOKENS:
            raise MalformedError("its text has more parts than any model")
        if token in (b"{", b"<"):
            if not name or len(stack) > _DEEPEST:
                raise MalformedError(f"a bracket in its text at byte {at} has no field")
            inner: Message = {}
            stack[-1].setdefault(name, []).append(inner)
            stack.append(inner)
            closing.append(b"}" if token == b"{" else b">")
            name = ""
        elif token in (b"}", b">"):
            if token != closing.pop():
                raise MalformedError(f"a bracket in its text at byte {at} closes nothing")
            stack.pop()
        elif token in (b"[", b"]"):
            name, listed = name if token == b"[" else "", token == b"["
        elif kind in ("word", "string", "number"):
            if not name and kind == "string" and values:
                # A string may be written in parts.
                values[-1] += _unquoted(token)
                continue
            if not name:
                name = str(token, "ascii")
                continue
            values = stack[-1].setdefault(name, [])
            # All nodes and their inputs, but not all weights.
            if len(values) < _MOST_REPEATED or name in _WHOLE:
                values.append(
                    _unquoted(token) if kind == "string" else str(token, "ascii", "replace")
                )
            name = name if listed else ""
    if len(stack) != 1:
        raise MalformedError("its text is cut off")
    return whole


def _unquoted(token: bytes) -> bytes:
    """Returns a quoted string's bytes; none of a long one, which is a weight."""
    if len(token) > _MOST_CONTENT:
        return b""
    return _ESCAPE.sub(_unescaped, token[1:-1])


def _unescaped(found: re.Match[bytes]) -> bytes:
    octal, hexadecimal, plain = found.groups()
    if octal is not None:
        return bytes([int(octal, 8) & 255])
    return bytes([int(hexadecimal, 16)]) if hexadecimal is not None else _ESCAPED.get(plain, plain)


def _of_json(message: str, held: Any) -> Message:
    """Returns a message from JSON, with names as in text and values as `_parsed` has them."""
    if not isinstance(held, Mapping):
        raise MalformedError(f"its JSON has no {message} where one belongs")
    found: Message = {}
    for key, value in held.items():
        name = re.sub(r"([A-Z])", lambda letter: f"_{letter[1].lower()}", str(key))
        field = _SCHEMA[message].get(name)
        if field is None or value is None:
            continue
        if field.kind == "entry" and isinstance(value, Mapping):
            value = [{"key": one, "value": inner} for one, inner in value.items()]
        values = value if isinstance(value, list) else [value]
        if field.kind == "bytes":
            found[name] = [_base64(value)]
        elif field.kind in _SCHEMA:
            found[name] = [_of_json(field.kind, one) for one in values]
        else:
            found[name] = values[: None if name in _WHOLE else _MOST_REPEATED]
    return found


def _base64(value: Any) -> bytes:
    """Returns the bytes of a JSON field; TF.js writes some as lists of numbers."""
    if isinstance(value, list):
        return bytes(one & 255 for one in value[:_MOST_CONTENT] if isinstance(one, int))
    if not isinstance(value, str) or len(value) > _MOST_CONTENT:
        return b""
    try:
        return base64.b64decode(value)
    except ValueError:
        return b""


def _encoded(message: str, held: Message) -> bytes:
    """Returns a message as bytes; fields that inspecting does not need are left out."""
    parts: list[bytes] = []
    for name, field in _SCHEMA[message].items():
        for value in held.get(name, ()):
            parts.append(_encoded_field(field, value))
    return b"".join(parts)


def _encoded_field(field: _Field, value: Any) -> bytes:
    if field.kind in _SCHEMA:
        if not isinstance(value, dict):
            raise MalformedError(f"a value stands where its field {field.number} has a message")
        return _block(field.number, _encoded(field.kind, value))
    if isinstance(value, dict):
        raise MalformedError(f"a message stands where its field {field.number} has a value")
    if field.kind in ("text", "bytes"):
        return _block(field.number, value if isinstance(value, bytes) else str(value).encode())
    if field.kind == "float":
        return _varint(field.number << 3 | 5) + struct.pack("<f", _float(value))
    known = _TYPES.get(str(value)) if field.kind == "type" else None
    return _varint(field.number << 3) + _varint(_whole(value) if known is None else known)


def _float(value: Any) -> float:
    number = float(str(value).rstrip("fF") if "inf" not in str(value).lower() else str(value))
    return number if abs(number) < 3.4e38 else 3.4e38 if number > 0 else -3.4e38


def _whole(value: Any) -> int:
    word = str(value).lower()
    if word in ("true", "false"):
        return int(word == "true")
    try:
        return int(word, 0) & 0xFFFFFFFFFFFFFFFF
    except ValueError:
        # A type that this package does not know.
        return 0


def _block(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
