"""Photos inside Parquet and Arrow files, read in their order and a few at a time."""

import bisect
import collections
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from xferlearn.photos.folders.columns import Coded, Files
from xferlearn.photos.folders.file_source import FileSource
from xferlearn.photos.photo import BadPhoto
from xferlearn.photos.sources import Entry
from xferlearn.photos.tables.arrow_files import DAMAGED, damaged
from xferlearn.photos.tables.reading import Table


class Cell(NamedTuple):
    """A row's photo.

    Attributes:
        photo: number of the row, or path of the photo's file.
        name: as in `Entry`, like the rest.
    """

    photo: int | str
    name: str
    label: int
    split: str | None = None
    group: str | None = None


def photo_names(table: Table, column: str) -> list[str]:
    """Returns the name of each photo of a column: that of its file, or the number of its row."""
    paths = table.paths(column)
    times = collections.Counter(paths)
    return [
        str(row) if not path else path if times[path] == 1 else f"{row}/{path}"
        for row, path in enumerate(paths)
    ]


@dataclasses.dataclass(frozen=True)
class ArrowPhotos:
    """A source of the photos in a column of a table.

    Attributes:
        labels: class names.
        table: where they are.
        column: the column that holds them, bytes or `{bytes, path}`.
        cells: where each photo is, in the order of rows.
        warnings: what a person should know of what was found, one line each.
        left_out: none: a photo that is in a table is there.
        most_bytes: the photos end after passing this many bytes; None for no end.
        part: the part of a given split that these are; "" where they are all, or none is given.
        is_multi_label: whether photos may have several labels, see `PhotoSource`.
        group_by: the regular expression that found the groups in names; None for none.
    """

    labels: tuple[str, ...]
    table: Table
    column: str
    cells: tuple[Cell, ...] = dataclasses.field(repr=False)
    warnings: tuple[str, ...] = ()
    left_out: tuple[BadPhoto, ...] = ()
    most_bytes: int | None = None
    part: str = ""
    is_multi_label: bool = False
    group_by: str | None = None
    holds_bytes = True
    any_order = False

    @property
    def count(self) -> int:
        """Number of photos."""
        return len(self.cells)

    def only(self, names: Set[str], most_bytes: int | None = None) -> "ArrowPhotos":
        """Returns a source of the photos with these names; blocks without any are not read."""
        cells = tuple(cell for cell in self.cells if cell.name in names)
        return dataclasses.replace(self, cells=cells, most_bytes=most_bytes)

    def grouped(
        self, groups: Coded, warnings: Sequence[str], group_by: str | None = None
    ) -> "ArrowPhotos":
        """Returns the same photos in groups; see `with_groups`."""
        cells = (cell._replace(group=group) for cell, group in zip(self.cells, groups, strict=True))
        return dataclasses.replace(
            self,
            cells=tuple(cells),
            warnings=(*self.warnings, *warnings),
            group_by=group_by,
        )

    def entries(self, order: np.ndarray | None = None) -> Iterator[Entry]:
        """Yields the photos by row; each has its bytes with it.

        Args:
            order: None, because there is none but that of rows.

        Raises:
            UserError: when a file is damaged.
        """
        passed = 0
        for cell, value in zip(self.cells, self._values(), strict=True):
            read, size = self._reader(value)
            passed += size
            if self.most_bytes is not None and passed > self.most_bytes:
                return
            yield Entry(cell.name, cell.label, read, size, cell.split, cell.group)

    def _reader(self, value: Any) -> tuple[Callable[[], bytes], int]:
        data, path = value, None
        if isinstance(value, dict):
            data, path = value.get("bytes"), value.get("path")
        if data is None and path:
            file = os.path.join(self.table.folder, path)
            entry = next(FileSource((), Files.of([(file, -1)])).entries())
            return entry.read, entry.size
        # An empty photo is reported as one that can't be read.
        found: bytes = data or b""
        return (lambda: found), len(found)

    def _values(self) -> Iterator[Any]:
        rows = [int(cell.photo) for cell in self.cells]
        first = 0
        for part in self.table.parts:
            for block in part.blocks():
                start, end = (bisect.bisect_left(rows, row) for row in (first, first + block.rows))
                wanted = [row - first for row in rows[start:end]]
                first += block.rows
                try:
                    yield from _picked(block.arrays(self.column), wanted)
                except DAMAGED as error:
                    raise damaged(part.name, error) from None


def _picked(arrays: Iterator[Any], wanted: list[int]) -> Iterator[Any]:
    left = iter(wanted)
    row = next(left, None)
    start = 0
    while row is not None:
        array = next(arrays)
        while row is not None and row < start + len(array):
            yield array[row - start].as_py()
            row = next(left, None)
        start += len(array)
