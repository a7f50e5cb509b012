"""Parquet and Arrow files, read by column and by row: a column of photos is never held whole."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from xferlearn.errors import UserError
from xferlearn.photos.tables.table_files import ARROW_ENDINGS
from xferlearn.system.text import one_line

# Errors of a file that is none, or is damaged.
DAMAGED = (OSError, pa.ArrowException, ValueError, KeyError)
_BATCH_ROWS = 32
_BUFFER_BYTES = 2**20


class Block(NamedTuple):
    """Rows that can be read without those before them.

    Attributes:
        rows: how many.
        arrays: returns a column's values, in parts and in order.
    """

    rows: int
    arrays: Callable[[str], Iterator[pa.Array]]


class Part(Protocol):
    """One file, or one table in memory.

    Attributes:
        name: its path; "" in memory.
        schema: its columns, and what their writer says of them.
    """

    name: str
    schema: pa.Schema

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Returns columns as a whole."""

    def paths(self, column: str) -> pa.ChunkedArray:
        """Returns the `path` of each value of a column of photos."""

    def blocks(self) -> list[Block]:
        """Returns all rows, in order."""


class MemoryPart:
    """A table in memory; see `Part`."""

    name = ""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.schema = table.schema

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Returns columns."""
        return self._table.select(list(columns))

    def paths(self, column: str) -> pa.ChunkedArray:
        """Returns file names."""
        return _paths(self._table.column(column))

    def blocks(self) -> list[Block]:
        """Returns one block."""
        return [Block(self._table.num_rows, lambda name: iter(self._table.column(name).chunks))]


class ParquetPart:
    """A Parquet file, a block per row group, read through a small buffer; see `Part`."""

    def __init__(self, path: str) -> None:
        self.name = path
        with self._open() as file:
            self.schema = file.schema_arrow
            groups = range(file.num_row_groups)
            self._rows = [file.metadata.row_group(group).num_rows for group in groups]

    def _open(self) -> pq.ParquetFile:
        # Without a buffer, or with pre_buffer, a row group's photos come into memory together.
        return pq.ParquetFile(self.name, buffer_size=_BUFFER_BYTES, pre_buffer=False)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Returns columns."""
        with self._open() as file:
            return file.read(columns=list(columns)).select(list(columns))

    def paths(self, column: str) -> pa.ChunkedArray:
        """Returns file names."""
        with self._open() as file:
            return _paths(file.read(columns=[f"{column}.path"]).column(column))

    def blocks(self) -> list[Block]:
        """Returns one block per row group."""

        def arrays(group: int, column: str) -> Iterator[pa.Array]:
            # A file of its own: several readers may be under way at the same time.
            with self._open() as file:
                for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[column]):
                    yield batch.column(0)

        return [
            Block(rows, lambda column, group=group: arrays(group, column))  # type: ignore[misc]
            for group, rows in enumerate(self._rows)
        ]


class ArrowPart:
    """An Arrow file or stream, mapped into memory, one batch at a time; see `Part`."""

    def __init__(self, path: str) -> None:
        self.name = path
        with pa.memory_map(path) as file:
            self.schema = arrow_reader(file).schema
        self._rows = sum(batch.num_rows for batch in self._batches(self._smallest()))

    def _smallest(self) -> list[str]:
        plain = (field.name for field in self.schema if not is_picture(field.type))
        return [next(plain, self.schema.names[0])]

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        # Fields that are not asked for are not unpacked.
        fields = [self.schema.names.index(name) for name in columns]
        with pa.memory_map(self.name) as file:
            reader = arrow_reader(file, pa.ipc.IpcReadOptions(included_fields=fields))
            if isinstance(reader, pa.RecordBatchFileReader):
                yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
            else:
                yield from reader

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Returns columns."""
        batches = [batch.select(list(columns)) for batch in self._batches(columns)]
        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.Table.from_batches(batches, schema)

    def paths(self, column: str) -> pa.ChunkedArray:
        """Returns file names."""
        parts = (
            _paths(pa.chunked_array([batch.column(column)])) for batch in self._batches([column])
        )
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.string())

    def blocks(self) -> list[Block]:
        """Returns one block."""
        return [Block(self._rows, lambda name: (b.column(name) for b in self._batches([name])))]


def arrow_reader(file: pa.NativeFile, options: pa.ipc.IpcReadOptions | None = None) -> Any:
    """Returns a reader of a file or of a stream, as Hugging Face datasets write it."""
    if file.read(6) == b"ARROW1":
        return pa.ipc.open_file(file, options=options)
    file.seek(0)
    return pa.ipc.open_stream(file, options=options)


def _paths(column: pa.ChunkedArray) -> pa.ChunkedArray:
    fields = [chunk.field("path") for chunk in column.chunks]
    return pa.chunked_array(fields, column.type.field("path").type).cast(pa.string())


def is_picture(kind: pa.DataType) -> bool:
    """Returns whether a column of this type can hold photos: bytes, or a struct with `bytes`."""
    if pa.types.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        return "bytes" in names and is_picture(kind.field("bytes").type)
    return (
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def has_paths(kind: pa.DataType) -> bool:
    """Returns whether the photos of a column of this type have the names of files."""
    return pa.types.is_struct(kind) and kind.get_field_index("path") >= 0


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """Returns the names that Hugging Face datasets keep of a column's numbers; None without."""
    try:
        told: Any = json.loads((schema.metadata or {})[b"huggingface"])
        feature = told["info"]["features"][column]
        if isinstance(feature, list):  # of lists, as the first versions wrote it
            feature = feature[0]
        names = feature.get("feature", feature)["names"]
    except (KeyError, ValueError, TypeError, IndexError, AttributeError):
        return None
    return [str(name) for name in (names.values() if isinstance(names, Mapping) else names)]


def open_part(path: str) -> Part | None:
    """Opens a Parquet or Arrow file; returns None for a file that is neither.

    Raises:
        UserError: when it is damaged or can't be read.
    """
    try:
        with open(path, "rb") as file:
            magic = file.read(8)
        if magic.startswith(b"PAR1"):
            return ParquetPart(path)
        if magic.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
            return ArrowPart(path)
    except DAMAGED as error:
        raise damaged(path, error) from None
    if path.lower().endswith(ARROW_ENDINGS):
        raise damaged(path, f"it begins with {magic!r}" if magic else "it is empty")
    return None


def damaged(path: str, error: object) -> UserError:
    """Returns the error of a file that can't be read."""
    reason = one_line(error).rstrip(".")
    return UserError(
        f"Can't read {path or 'the table'} as a Parquet or Arrow file: {reason}. Write it again, or"
        " leave it out."
    )
