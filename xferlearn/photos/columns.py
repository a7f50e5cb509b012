"""What is known of photos as columns: no Python object per photo is kept, however many there are.

Whoever needs a single one gets a `Photo` that is made when it is asked for.
"""

import functools
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa

from xferlearn.photos.photo import SPLITS, Photo
from xferlearn.photos.pixels.depth import key_at
from xferlearn.system.columns import Column, bytes_of, text_of
from xferlearn.system.growing_table import GrowingTable, taken

# Splits are numbers, with -1 for none; a depth of 0 stands for 8 bits per channel.
_SCHEMA = pa.schema(
    [
        ("digest", pa.binary(32)),
        ("label", pa.int32()),
        ("name", pa.large_binary()),
        ("fixed_split", pa.int8()),
        ("group", pa.large_binary()),
        ("bit_depth", pa.int8()),
    ]
)
_SPLIT_CODES: dict[str | None, int] = {
    None: -1,
    **{split: code for code, split in enumerate(SPLITS)},
}


class Numbers(Column[int]):
    """Whole numbers, one per photo; `numpy.asarray` returns them without a copy.

    Example:
        >>> groups = Numbers([0, 0, 1])
        >>> groups[2], groups == (0, 0, 1), numpy.asarray(groups).dtype
        (1, True, dtype('int32'))
    """

    def __init__(self, values: Iterable[int] | np.ndarray = ()) -> None:
        """Takes an array of integers as it is; others become int32."""
        if not isinstance(values, np.ndarray):
            values = np.fromiter(values, np.int32)
        self._values = values.view()
        self._values.flags.writeable = False

    @classmethod
    def of(cls, values: Iterable[int]) -> "Numbers":
        """Returns numbers as a column."""
        return values if isinstance(values, Numbers) else cls(values)

    def __len__(self) -> int:
        return len(self._values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._values, dtype) if copy else np.asarray(self._values, dtype)

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        """Returns the numbers at these positions."""
        return type(self)(self._values[positions(rows)])

    def _listed(self, start: int, stop: int) -> list[int]:
        return self._values[start:stop].tolist()


class Splits(Column[str]):
    """The split of each photo, "train", "validation" or "test".

    Attributes:
        codes: as places in `SPLITS`, int8, [photos]: 0 train, 1 validation, 2 test.
    """

    def __init__(self, codes: np.ndarray) -> None:
        """Takes codes, int8, [photos]."""
        self.codes = codes.view()
        self.codes.flags.writeable = False

    @classmethod
    def of(cls, splits: Iterable[str]) -> "Splits":
        """Returns splits as a column."""
        if isinstance(splits, Splits):
            return splits
        return cls(np.fromiter((_SPLIT_CODES[split] for split in splits), np.int8))

    def __len__(self) -> int:
        return len(self.codes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(SPLITS, dtype)[self.codes]

    def __contains__(self, split: object) -> bool:
        return split in SPLITS and bool((self.codes == SPLITS.index(str(split))).any())

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        """Returns the splits at these positions."""
        return type(self)(self.codes[positions(rows)])

    def _listed(self, start: int, stop: int) -> list[str]:
        return [SPLITS[code] for code in self.codes[start:stop].tolist()]


class Photos(Column[Photo]):
    """Photos as columns, in memory where they are few, else mapped from disk.

    Attributes:
        digests: SHA-256 of each file's bytes, uint8, [photos, 32].
        labels: the label of each, int32, [photos].
        names: the name of each, Arrow's large_binary; `text_of` makes text of one.
        groups: the group of each, Arrow's large_binary, null for none.
        fixed_splits: the split that each was given, int8, [photos], as in `Splits`; -1 for none.
        bit_depths: bits used of each one's values, int8, [photos]; 0 for 8 bits per channel.

    Example:
        >>> photos = Photos.of([Photo(digest, 0, "a.jpg")])
        >>> photos[0].name, photos.labels, photos.digests.shape
        ('a.jpg', array([0], dtype=int32), (1, 32))
    """

    def __init__(self, table: pa.Table) -> None:
        """Takes a table of `PhotosBuilder`."""
        self._table = table
        self.digests = _array(table, "digest", np.uint8, 32)
        self.labels = _array(table, "label", np.int32)
        self.fixed_splits = _array(table, "fixed_split", np.int8)
        self.bit_depths = _array(table, "bit_depth", np.int8)
        self.names: pa.LargeBinaryArray = table.column("name").chunk(0)
        self.groups: pa.LargeBinaryArray = table.column("group").chunk(0)

    @classmethod
    def of(cls, photos: Iterable[Photo]) -> "Photos":
        """Returns photos as columns, in their order."""
        if isinstance(photos, Photos):
            return photos
        builder = PhotosBuilder()
        for photo in photos:
            builder.add(photo)
        return builder.finish()

    def __len__(self) -> int:
        return self._table.num_rows

    def __reduce__(self) -> tuple[Any, ...]:
        return Photos, (self._table,)

    @functools.cached_property
    def keys(self) -> np.ndarray:
        """Names of their bottlenecks in the cache, uint8, [photos, 32]."""
        deep = np.flatnonzero(self.bit_depths)
        if not len(deep):
            return self.digests
        found = self.digests.copy()
        for row in deep.tolist():
            key = key_at(found[row].tobytes(), int(self.bit_depths[row]))
            found[row] = np.frombuffer(key, np.uint8)
        return found

    @property
    def are_grouped(self) -> bool:
        """Whether some photo has a group."""
        return self.groups.null_count < len(self)

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        """Returns the photos at these positions."""
        wanted = positions(rows)
        if len(wanted) == len(self) and (np.diff(wanted, prepend=-1) == 1).all():
            return self
        return type(self)(taken(self._table, wanted))

    def without_splits(self) -> "Photos":
        """Returns the same photos as if no split had been given."""
        return self._with("fixed_split", np.full(len(self), -1))

    def with_depth(self, bits: int) -> "Photos":
        """Returns the same photos; those with more than 8 bits per channel use this many."""
        return self._with("bit_depth", np.where(self.bit_depths > 0, bits, 0))

    def _with(self, name: str, values: np.ndarray) -> "Photos":
        place, kind = _SCHEMA.get_field_index(name), _SCHEMA.field(name)
        return Photos(self._table.set_column(place, kind, pa.array(values, kind.type)))

    def _listed(self, start: int, stop: int) -> list[Photo]:
        columns = self._table.slice(start, stop - start).to_pydict()
        return [
            Photo(
                digest,
                label,
                text_of(name),
                SPLITS[split] if split >= 0 else None,
                None if group is None else text_of(group),
                depth or None,
            )
            for digest, label, name, split, group, depth in zip(*columns.values(), strict=True)
        ]


class PhotosBuilder:
    """Gathers photos one by one, in any order.

    Example:
        >>> builder = PhotosBuilder()
        >>> builder.add(Photo(digest, 0, "b.jpg"), position=1)
        >>> builder.add(Photo(other, 0, "a.jpg"), position=0)
        >>> [photo.name for photo in builder.finish()]
        ['a.jpg', 'b.jpg']
    """

    def __init__(self) -> None:
        """Begins with none."""
        self._rows = GrowingTable(_SCHEMA)
        self._positions = array("q")

    def __len__(self) -> int:
        return len(self._positions)

    def add(self, photo: Photo, position: int | None = None) -> None:
        """Adds a photo.

        Args:
            photo: the photo.
            position: its place among all of them; None for behind those that came before.

        Raises:
            XferlearnError: when the disk is full.
        """
        self._positions.append(len(self._positions) if position is None else position)
        self._rows.add(
            photo.digest,
            photo.label,
            bytes_of(photo.name),
            _SPLIT_CODES[photo.fixed_split],
            None if photo.group is None else bytes_of(photo.group),
            photo.bit_depth or 0,
        )

    def finish(self) -> Photos:
        """Returns the photos by position; no others may follow."""
        places, table = np.frombuffer(self._positions, np.int64), self._rows.finish()
        if (places[1:] < places[:-1]).any():
            table = taken(table, np.argsort(places, kind="stable"))
        return Photos(table)


def positions(rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns positions as an array of integers, also where there are none."""
    return np.asarray(rows, np.int64)


def _array(table: pa.Table, name: str, kind: Any, width: int = 0) -> np.ndarray:
    """Returns a column of a table, without a copy."""
    column = table.column(name).chunk(0)
    values: np.ndarray = np.frombuffer(column.buffers()[1] or b"", kind)
    if width:
        values = values.reshape(-1, width)
    return values[column.offset : column.offset + len(column)]
