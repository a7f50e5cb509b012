"""What is known of files as columns: paths, labels, splits and groups, few bytes for each photo."""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xferlearn.system.growing_table import BLOCK_ROWS, GrowingTable, taken

T = TypeVar("T")
UNKNOWN = -1
"""Size of a file that is told when it is read, not when it is listed."""
_SCHEMA = pa.schema(
    [
        ("folder", pa.int32()),
        ("name", pa.large_binary()),
        ("label", pa.int32()),
        ("size", pa.int64()),
        ("changed", pa.int64()),
        ("split", pa.int32()),
        ("group", pa.int32()),
    ]
)


class Column(Sequence[T]):
    """A read-only sequence that makes its elements when they are asked for.

    It is equal to lists and tuples of the same elements.
    """

    def at(self, rows: np.ndarray) -> list[T]:
        """Returns the elements at these positions, integers, [rows]."""
        raise NotImplementedError

    def take(self, rows: np.ndarray) -> "Column[T]":
        """Returns the elements at these positions, as a column of the same kind."""
        raise NotImplementedError

    @overload
    def __getitem__(self, row: int) -> T: ...
    @overload
    def __getitem__(self, row: slice) -> "Column[T]": ...
    def __getitem__(self, row: int | slice) -> "T | Column[T]":
        if isinstance(row, slice):
            return self.take(np.arange(*row.indices(len(self))))
        return self.at(np.asarray([range(len(self))[row]]))[0]

    def __iter__(self) -> Iterator[T]:
        for rows in blocks_of(len(self)):
            yield from self.at(rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Column | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(
            one == another for one, another in zip(self, other, strict=True)
        )

    def __hash__(self) -> int:
        # As that of a tuple, which it may be equal to.
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"


class Coded(Column[str | None]):
    """Texts of which many are the same, None for none, as numbers.

    Attributes:
        codes: the place of each in `values`, integers, [rows]; -1 for None.
        values: the texts, in the order in which they first occur, or a given one.

    Example:
        >>> splits = Coded.of(["test", None, "test"])
        >>> splits.values, splits.codes.tolist(), splits == ("test", None, "test")
        (('test',), [0, -1, 0], True)
    """

    def __init__(self, codes: np.ndarray, values: tuple[str, ...]) -> None:
        self.codes, self.values = codes, values

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> "Coded":
        """Returns texts as a column."""
        if isinstance(texts, Coded):
            return texts
        codes = Codes()
        for text in texts:
            codes.add(text)
        return codes.finish()

    def __len__(self) -> int:
        return len(self.codes)

    def at(self, rows: np.ndarray) -> list[str | None]:
        """Returns the texts at these positions."""
        return [self.values[code] if code >= 0 else None for code in self.codes[rows].tolist()]

    def take(self, rows: np.ndarray) -> "Coded":
        """Returns the texts at these positions, as a column."""
        return Coded(self.codes[rows], self.values)


class Codes:
    """Gathers texts, of which many are the same, one by one."""

    def __init__(self) -> None:
        """Begins with none."""
        self._codes, self._places = array("i"), _Places()

    def add(self, text: str | None) -> None:
        """Adds a text, or None."""
        self._codes.append(self._places.of(text))

    def finish(self) -> Coded:
        """Returns the texts; no others may follow."""
        return Coded(np.frombuffer(self._codes, np.int32), tuple(self._places))


class _Places(dict[str, int]):
    """Texts by their places, which they get when they are first met."""

    def of(self, text: str | None) -> int:
        """Returns the place of a text; -1 for None."""
        return -1 if text is None else self.setdefault(text, len(self))


class FileRow(NamedTuple):
    """What is known of a file before it is read.

    Attributes:
        folder: beginning of its path, up to and with the last separator.
        name: the rest.
        label: index of its class; -1 if it has none.
        size: bytes, or `UNKNOWN`.
        changed: time of its last change, ns since 1970; 0 where the size is unknown.
    """

    folder: str
    name: str
    label: int
    size: int
    changed: int


class Files(Column[tuple[str, int]]):
    """Paths and labels' indices of photos, on disk where they are many.

    Attributes:
        folders: beginnings of paths.
        labels: int32, [files].
    """

    def __init__(self, table: pa.Table, folders: tuple[str, ...]) -> None:
        self._table, self.folders = table, folders
        self.labels = _numbers(table, "label")

    @classmethod
    def of(cls, files: Iterable[tuple[str, int]]) -> "Files":
        """Returns paths and labels' indices as a column."""
        if isinstance(files, Files):
            return files
        builder = FilesBuilder()
        for path, label in files:
            name = os.path.basename(path)
            builder.add(path[: len(path) - len(name)], bytes_of(name), label)
        return builder.finish()[0]

    def __len__(self) -> int:
        return self._table.num_rows

    def at(self, rows: np.ndarray) -> list[tuple[str, int]]:
        """Returns path and label's index of the files at these positions."""
        return [(one.folder + one.name, one.label) for one in self.rows(rows)]

    def rows(self, rows: np.ndarray) -> Iterator[FileRow]:
        """Yields what is known of the files at these positions."""
        columns = taken(self._table.select(FileRow._fields), rows).to_pydict()
        for folder, name, *rest in zip(*columns.values(), strict=True):
            yield FileRow(self.folders[folder], text_of(name), *rest)

    def take(self, rows: np.ndarray) -> "Files":
        """Returns the files at these positions, as a column."""
        return Files(taken(self._table, rows), self.folders)

    def once(self) -> "Files":
        """Returns the files without those whose path came before."""
        order = pc.sort_indices(
            self._table, [("folder", "ascending"), ("name", "ascending")]
        ).to_numpy()
        ordered = taken(self._table.select(["folder", "name"]), order)
        same = np.zeros(len(self), bool)
        for name in ("folder", "name"):
            column = ordered.column(name)
            equal = pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
            same[1:] = equal if name == "folder" else same[1:] & equal
        return self.take(np.sort(order[~same])) if same.any() else self

    def labelled(self, labels: np.ndarray) -> "Files":
        """Returns the same files with other labels, int32, [files]."""
        place = _SCHEMA.get_field_index("label")
        column = pa.array(labels, _SCHEMA.field("label").type)
        return Files(self._table.set_column(place, "label", column), self.folders)


class FilesBuilder:
    """Gathers files with what is known of them.

    Example:
        >>> builder = FilesBuilder()
        >>> builder.add("photos/roses/", b"1.jpg", 0, split="test")
        >>> files, splits, groups = builder.finish()
    """

    def __init__(self) -> None:
        """Begins with none."""
        self._rows = GrowingTable(_SCHEMA)
        self._folders, self._splits, self._groups = _Places(), _Places(), _Places()

    def add(
        self,
        folder: str,
        name: bytes,
        label: int,
        size: int = UNKNOWN,
        changed: int = 0,
        split: str | None = None,
        group: str | None = None,
    ) -> None:
        """Adds a file.

        Args:
            folder: beginning of its path, up to and with the last separator.
            name: the rest, as `bytes_of` has it.
            label: index of its class; -1 if it has none.
            size: bytes, or `UNKNOWN`.
            changed: time of its last change, as listed.
            split: the split that it is given; None for one that is still to be decided.
            group: what it stays together with; None for nothing.

        Raises:
            XferlearnError: when the disk is full.
        """
        splits, groups = self._splits.of(split), self._groups.of(group)
        self._rows.add(self._folders.of(folder), name, label, size, changed, splits, groups)

    def finish(self) -> tuple[Files, Coded, Coded]:
        """Returns the files, their splits and their groups; these are empty where none is given."""
        table = self._rows.finish()
        told = [
            Coded(_numbers(table, name), tuple(places)) if places else Coded.of(())
            for name, places in (("split", self._splits), ("group", self._groups))
        ]
        return Files(table, tuple(self._folders)), told[0], told[1]


def blocks_of(number: int) -> Iterator[np.ndarray]:
    """Yields the positions of some thousands of rows at a time, int64, [rows]."""
    for start in range(0, number, BLOCK_ROWS):
        yield np.arange(start, min(start + BLOCK_ROWS, number))


def bytes_of(text: str) -> bytes:
    """Returns a name as columns hold it: UTF-8, half characters included."""
    return text.encode("utf-8", "surrogatepass")


def text_of(name: bytes) -> str:
    """Returns the name that `bytes_of` was given."""
    return name.decode("utf-8", "surrogatepass")


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """Returns a column of a table, without a copy."""
    column: Any = table.column(name).combine_chunks()
    numbers: np.ndarray = column.to_numpy(zero_copy_only=True)
    return numbers
