"""Rows -> an Arrow table: in memory while they are few, then in unnamed files that are mapped.

So a table may be larger than memory, and no row is a Python object that is kept. The files have no
name, or lose it when they are closed, so nothing is left behind, whatever ends the process.
"""

import contextlib
import mmap
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa

from xferlearn.errors import XferlearnError
from xferlearn.system.text import one_line

BLOCK_ROWS = 2**12
"""Rows that are worked on at a time; tables of fewer stay in memory. A multiple of 8."""
DROPPED_ROWS = 2**17
"""Rows of a scan after which `drop_pages` keeps it small."""


# Tables on disk, as long as somebody has them.
_MAPPED: "weakref.WeakSet[mmap.mmap]" = weakref.WeakSet()
_COPIED = 2**20
# Arrow asks for 64.
_ALIGNED = 64


class GrowingTable:
    """A table that grows row by row, or block by block.

    Example:
        >>> rows = GrowingTable(pa.schema([("name", pa.large_binary()), ("size", pa.int64())]))
        >>> rows.add(b"a.jpg", 1234)
        >>> rows.finish().num_rows
        1
    """

    def __init__(self, schema: pa.Schema) -> None:
        """Begins a table.

        Args:
            schema: its columns: numbers, bytes of a fixed length, and `large_binary`, which alone
                may be null.
        """
        self._schema = schema
        self._waiting: list[Sequence[Any]] = []
        self._columns: list[_Column] = []

    def add(self, *values: Any) -> None:
        """Adds a row.

        Raises:
            XferlearnError: when the disk is full.
        """
        self._waiting.append(values)
        if len(self._waiting) == BLOCK_ROWS:
            self.extend(self._arrays())
            self._waiting.clear()

    def extend(self, arrays: Sequence[pa.Array]) -> None:
        """Adds rows as columns; all blocks but the last one have `BLOCK_ROWS`.

        Raises:
            XferlearnError: when the disk is full.
        """
        if not self._columns:
            self._columns = [_Column(field.type) for field in self._schema]
        for column, array in zip(self._columns, arrays, strict=True):
            column.append(array)

    def finish(self) -> pa.Table:
        """Returns the rows as a table whose columns are one piece each; nothing may follow."""
        arrays = self._arrays()
        if self._columns:
            self.extend(arrays)
            arrays = _mapped(self._columns)
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _arrays(self) -> list[pa.Array]:
        columns = zip(*self._waiting, strict=True) if self._waiting else [()] * len(self._schema)
        return [
            pa.array(values, field.type)
            for field, values in zip(self._schema, columns, strict=True)
        ]


def taken(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Returns rows of a table as another one, on disk where they are many.

    Args:
        table: its columns are one piece each, as those of `GrowingTable`.
        rows: positions, integers, [rows].
    """
    arrays = [column.chunk(0) for column in table.columns]
    if len(rows) <= BLOCK_ROWS:
        some = pa.array(rows, pa.int64())
        return pa.Table.from_arrays([array.take(some) for array in arrays], schema=table.schema)
    grown = GrowingTable(table.schema)
    for start in range(0, len(rows), BLOCK_ROWS):
        some = pa.array(rows[start : start + BLOCK_ROWS], pa.int64())
        grown.extend([array.take(some) for array in arrays])
        if not start % DROPPED_ROWS:
            drop_pages()
    return grown.finish()


def drop_pages() -> None:
    """Gives back the memory that tables on disk take since they were looked at.

    What is looked at again is read again. Without this a scan counts as memory of the process,
    until the machine has no other.
    """
    if hasattr(mmap, "MADV_DONTNEED"):
        for pages in list(_MAPPED):
            pages.madvise(mmap.MADV_DONTNEED)


def _mapped(columns: "Sequence[_Column]") -> list[pa.Array]:
    """Returns columns as arrays; all are in one file, because of open files there may be few."""
    whole = _File()
    places = [[part.move_to(whole) for part in column.parts] for column in columns]
    data = whole.mapped()
    return [column.array([data[start:end] for start, end in found])
            for column, found in zip(columns, places, strict=True)]  # fmt: skip


class _Column:
    """A column that grows on disk.

    Attributes:
        parts: the file of its values; of text, what is not null, where each ends, and the values.
    """

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._rows = self._bytes = 0
        self._is_text = pa.types.is_large_binary(kind)
        self.parts = [_File() for _ in range(3 if self._is_text else 1)]
        if self._is_text:
            self.parts[1].write(np.zeros(1, np.int64))

    def append(self, array: pa.Array) -> None:
        if not self._is_text:
            width = self._kind.bit_width // 8
            start = array.offset * width
            self.parts[-1].write(array.buffers()[1][start : start + len(array) * width])
        elif len(array):
            ends = np.frombuffer(array.buffers()[1], np.int64)
            ends = ends[array.offset : array.offset + len(array) + 1]
            if values := array.buffers()[2]:
                self.parts[-1].write(values[int(ends[0]) : int(ends[-1])])
            self.parts[1].write(ends[1:] - ends[0] + self._bytes)
            self._bytes += int(ends[-1] - ends[0])
            known = array.is_valid().to_numpy(zero_copy_only=False)
            self.parts[0].write(np.packbits(known, bitorder="little"))
        self._rows += len(array)

    def array(self, buffers: list[pa.Buffer]) -> pa.Array:
        """Returns the rows, whose parts are in these places of memory."""
        nulls = [] if self._is_text else [None]
        return pa.Array.from_buffers(self._kind, self._rows, [*nulls, *buffers])


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Says of a full disk which one it is; what was buffered is written later than it was given."""
    try:
        yield
    except OSError as error:
        raise XferlearnError(
            f"Can't keep what is known of the photos in {tempfile.gettempdir()}:"
            f" {one_line(error)}. Make room there, or set TMPDIR to another folder."
        ) from None


class _File:
    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        # A table may be given up before it is finished.
        weakref.finalize(self, self._file.close)

    def write(self, data: Any) -> None:
        with _told():
            self._file.write(data)

    def move_to(self, whole: "_File") -> tuple[int, int]:
        """Appends the content to another file, and returns where it begins and ends there."""
        start = end = whole._file.tell()
        with _told(), self._file as file:
            file.seek(0)
            while block := file.read(_COPIED):
                whole.write(block)
                end += len(block)
        whole.write(bytes(-end % _ALIGNED))
        return start, end

    def mapped(self) -> pa.Buffer:
        """Returns the content; on Windows too the file ends with the last one that uses it."""
        with _told(), self._file as file:
            file.flush()
            if not file.tell():
                return pa.py_buffer(b"")
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            _MAPPED.add(pages)
            return pa.py_buffer(pages)
