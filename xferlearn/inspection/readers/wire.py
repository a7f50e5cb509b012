"""Reads protocol buffers field by field, lazily and without a schema.

The generated classes of TensorFlow and ONNX copy every tensor into memory and turn two bytes of a
hostile file into an object of a hundred. This reader only looks: a value is a view into the file,
nothing nests by itself, and a budget ends the reading of files with more fields than any model.
Source: https://protobuf.dev/programming-guides/encoding/
"""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator

View = memoryview
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


class MalformedError(ValueError):
    """The bytes are not what their format says. Becomes a UserError with the file's name."""


# All that parsing hostile bytes may raise; anything else is a bug and must be seen. An encrypted
# archive is a RuntimeError, and so are endless nesting and an unknown compression.
DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, EOFError,
    struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip


class Budget:
    """How many more fields may be read, shared by all parts of one file, or of one record.

    Args:
        size: its bytes; a SavedModel, which has no weights in it, has about eight per field.
        most: upper limit, whatever the size; about six seconds of reading.
    """

    def __init__(self, size: int, most: int = 6_000_000) -> None:
        self.left = min(most, 100_000 + size // 2)

    def spend(self) -> None:
        """Counts one field. Raises MalformedError when the budget is used up."""
        self.left -= 1
        if self.left < 0:
            raise MalformedError("it has more parts than any model")


def varint(data: View, at: int) -> tuple[int, int]:
    """Returns the unsigned 64-bit number at `at` and the position after it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise MalformedError("a number in it is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def fields(data: View, budget: Budget) -> Iterator[tuple[int, int | View]]:
    """Yields (field number, value) of one message; a value is a number or a view of its bytes.

    Fixed 32- and 64-bit fields come as views of 4 and 8 bytes, as they may hold floats.

    Raises:
        MalformedError: the message is cut off, or holds what proto3 does not write.
    """
    at = 0
    while at < len(data):
        budget.spend()
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise MalformedError("a field in it has the number 0")
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == LENGTH:
            size, at = varint(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise MalformedError(f"field {number} has the unknown wire type {kind}")
        if size > len(data) - at:
            raise MalformedError(
                f"field {number} claims {size} bytes and {len(data) - at} are left"
            )
        yield number, data[at : at + size]
        at += size


def outer_fields(data: View) -> frozenset[tuple[int, bool]]:
    """Returns the numbers of a message's fields, each with whether its value is a number.

    Models of several formats are protocol buffers, and these fields are what tells them apart. All
    such models have a field 1; of bytes that do not start like that nothing is returned.

    Raises:
        MalformedError: it starts like a model and is cut off.
    """
    seen: set[tuple[int, bool]] = set()
    count = 0
    try:
        for field, value in fields(data, Budget(len(data))):
            count += 1
            seen.add((field, isinstance(value, int)))
            if not seen & {(1, True), (1, False)} or field > 100:
                raise MalformedError("no model starts like this")
    except MalformedError as error:
        if count < 2:
            return frozenset()
        raise MalformedError(f"{error}; is it cut off?") from None
    return frozenset(seen)


def operation_limit(size: int) -> int:
    """Returns how many operations a file may hold; each takes more than 40 bytes in real files.

    Args:
        size: bytes of the file.
    """
    return min(500_000, 10_000 + size // 40)


def text(value: int | View, limit: int = 4096) -> str:
    """Returns a string field; bytes that are not UTF-8 become U+FFFD."""
    return str(blob(value)[:limit], "utf-8", "replace")


def blob(value: int | View) -> View:
    """Returns a field that must be bytes. Raises MalformedError for a number."""
    if isinstance(value, int):
        raise MalformedError("a number stands where bytes belong")
    return value


def number(value: int | View) -> int:
    """Returns a field that must be an integer, read as a signed 64-bit one."""
    if not isinstance(value, int):
        raise MalformedError("bytes stand where a number belongs")
    return value - (1 << 64) if value >= 1 << 63 else value


def integers(value: int | View, limit: int = 4096) -> list[int]:
    """Returns a repeated integer field's values, packed or single, at most `limit` of them."""
    if isinstance(value, int):
        return [number(value)]
    found: list[int] = []
    at = 0
    while at < len(value) and len(found) < limit:
        one, at = varint(value, at)
        found.append(number(one))
    return found


def floats(value: int | View, limit: int = 64) -> list[float]:
    """Returns a repeated float field's values, packed or single, at most `limit` of them."""
    data = blob(value)
    count = min(len(data) // 4, limit)
    return list(struct.unpack(f"<{count}f", data[: 4 * count]))


def entry(value: int | View, budget: Budget) -> tuple[str, View]:
    """Returns key and value of one entry of a map from strings to messages."""
    key, held = "", memoryview(b"")
    for field, part in fields(blob(value), budget):
        if field == 1:
            key = text(part)
        elif field == 2:
            held = blob(part)
    return key, held
