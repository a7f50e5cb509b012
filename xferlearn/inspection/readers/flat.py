"""FlatBuffers, which TFLite files are made of, read with every offset checked.

TensorFlow's own interpreter trusts the offsets of a file and can crash on a damaged one.
Source: https://flatbuffers.dev/internals/
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xferlearn.inspection.readers.wire import Budget, MalformedError, View


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a FlatBuffer; a field is known by its number in the schema.

    Attributes:
        data: the whole buffer.
        at: where the table starts.
        budget: how many more fields may be read.
    """

    data: View
    at: int
    budget: Budget

    def unpack(self, kind: str, at: int) -> Any:
        """Returns one little-endian value. Raises MalformedError outside the buffer."""
        self.budget.spend()
        size = struct.calcsize("<" + kind)
        if at < 0 or at + size > len(self.data):
            raise MalformedError("an offset in it points beyond its end")
        return struct.unpack_from("<" + kind, self.data, at)[0]

    def place(self, field: int) -> int:
        """Returns the position of a field's value, 0 where the field is not set."""
        table = self.at - self.unpack("i", self.at)
        slot = 4 + 2 * field
        if slot >= self.unpack("H", table):
            return 0
        offset = self.unpack("H", table + slot)
        return self.at + offset if offset else 0

    def value(self, field: int, kind: str, default: Any = 0) -> Any:
        """Returns a number, `kind` as in the struct module."""
        at = self.place(field)
        return self.unpack(kind, at) if at else default

    def table(self, field: int) -> "Table | None":
        """Returns a table that this one refers to."""
        at = self.place(field)
        return Table(self.data, at + self.unpack("I", at), self.budget) if at else None

    def vector(self, field: int, size: int) -> tuple[int, int]:
        """Returns start and length of a vector whose items take `size` bytes."""
        at = self.place(field)
        if not at:
            return 0, 0
        start = at + self.unpack("I", at)
        length = self.unpack("I", start)
        if start + 4 + length * size > len(self.data):
            raise MalformedError(f"it claims a list of {length} items, more than it holds")
        return start + 4, length

    def numbers(self, field: int, kind: str, most: int = 4096) -> tuple[Any, ...]:
        """Returns a vector of numbers, at most `most` of them."""
        start, length = self.vector(field, struct.calcsize("<" + kind))
        length = min(length, most)
        return struct.unpack_from(f"<{length}{kind}", self.data, start) if length else ()

    def blob(self, field: int) -> View:
        """Returns a vector of bytes as a view."""
        start, length = self.vector(field, 1)
        return self.data[start : start + length]

    def text(self, field: int, most: int = 4096) -> str:
        """Returns a string."""
        return str(self.blob(field)[:most], "utf-8", "replace")

    def tables(self, field: int, most: int = 500_000) -> Iterator["Table"]:
        """Yields the tables of a vector of tables."""
        start, length = self.vector(field, 4)
        if length > most:
            raise MalformedError(f"it claims a list of {length} parts")
        for at in range(start, start + 4 * length, 4):
            yield Table(self.data, at + self.unpack("I", at), self.budget)


def root(data: View, budget: Budget) -> Table:
    """Returns the outermost table of a buffer."""
    start = Table(data, 0, budget)
    return Table(data, start.unpack("I", 0), budget)
