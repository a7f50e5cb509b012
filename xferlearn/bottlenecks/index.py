"""Where each row of a store is: sorted by key, mapped from a file, so that opening reads no keys.

A row takes 40 bytes: the first 8 of its key as a number, in whose order rows are; the other 24; the
number of its shard; its number there. An index may be wrong or stale without harm: rows are
compared with their keys when they are read, and shards that it does not name are read themselves.
"""

import mmap
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from xferlearn.bottlenecks.shards import KEY_BYTES
from xferlearn.system.files import write_atomically

_MAGIC = b"xferidx1"
_HEADER = struct.Struct("<8sQQ")
_CHECKSUM = struct.Struct("<I4x")
_SHARD = struct.Struct("<32sQ")
# Rows that are merged at a time: an index is written in flat memory.
_BLOCK = 2**18
_COLUMNS = ("first", "rest", "shard", "row")


class Index:
    """The rows of some shards.

    Attributes:
        shards: the shards' names, and the bytes that each has.
        alive: bool, [shards]: False for those that are gone or damaged, whose rows aren't found.
        first: the first 8 bytes of each key as a big-endian number, uint64, [rows], ascending.
        rest: its other 24 bytes, uint64, [rows, 3].
        shard: position in `shards`, uint32, [rows].
        row: number of the row in its shard, uint32, [rows].
    """

    def __init__(
        self,
        shards: Mapping[str, int],
        first: np.ndarray,
        rest: np.ndarray,
        shard: np.ndarray,
        row: np.ndarray,
    ) -> None:
        """Takes columns that are sorted; see `of`, `load` and `merged`."""
        self.shards = shards
        self.alive = np.ones(len(self.shards), bool)
        self.first, self.rest, self.shard, self.row = first, rest, shard, row

    @classmethod
    def of(cls, shards: Mapping[str, int], keys: Sequence[np.ndarray]) -> "Index":
        """Returns the index of shards in memory.

        Args:
            shards: their names, and the bytes that each has.
            keys: their keys, each uint8, [rows, 32].
        """
        first, rest = _split(np.concatenate([*keys, np.empty((0, KEY_BYTES), np.uint8)]))
        rows = [len(one) for one in keys]
        order = np.argsort(first, kind="stable")
        shard = np.repeat(np.arange(len(rows), dtype=np.uint32), rows)
        row = np.concatenate([*(np.arange(n, dtype=np.uint32) for n in rows), _NONE])
        return cls(shards, first[order], rest[order], shard[order], row[order])

    @classmethod
    def load(cls, path: Path) -> "Index":
        """Returns an index that `save` wrote, mapped into memory.

        Raises:
            OSError: when it can't be read.
            ValueError: when it is cut off, or damaged so that no key could be looked up.
        """
        with path.open("rb") as file:
            size = file.seek(0, 2)
            data = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)  # ValueError if empty
        if size < _HEADER.size:
            raise ValueError("it is cut off")
        magic, rows, shards = _HEADER.unpack_from(data)
        at = _HEADER.size + shards * _SHARD.size
        # Sizes first, which damage may have made enormous.
        if magic != _MAGIC or size != at + _CHECKSUM.size + rows * (KEY_BYTES + 8):
            raise ValueError("it is cut off, or of another version")
        if _CHECKSUM.unpack_from(data, at) != (zlib.crc32(data[:at]),):
            raise ValueError("its bytes are not those that were written")
        named = _SHARD.iter_unpack(data[_HEADER.size : at])
        sizes = {name.hex(): length for name, length in named}
        at += _CHECKSUM.size
        columns = []
        for kind, numbers in (("<u8", 1), ("<u8", 3), ("<u4", 1), ("<u4", 1)):
            column = np.frombuffer(data, kind, rows * numbers, at)
            columns.append(column.reshape(rows, numbers) if numbers > 1 else column)
            at += column.nbytes
        first = columns[0]
        for start in range(0, rows - 1, _BLOCK):  # 8 bytes per row, all that opening looks at
            some = first[start : start + _BLOCK + 1]
            if (some[:-1] > some[1:]).any():
                raise ValueError("its rows are not sorted")
        return cls(sizes, *columns)

    def __len__(self) -> int:
        """Returns how many different keys are found."""
        living = self.alive.take(self.shard, mode="clip")
        first, rest = self.first[living], self.rest[living]
        same = np.flatnonzero(first[1:] == first[:-1])
        # Few are written twice, or begin alike; only these have to be compared.
        alike = np.union1d(same, same + 1)
        keys = np.column_stack([first[alike], rest[alike]])
        return len(first) - len(alike) + len(np.unique(keys, axis=0))

    def has(self, key: bytes) -> bool:
        """Returns whether a key is found; quick for one, which many threads ask for."""
        if len(key) != KEY_BYTES:
            return False
        first = np.uint64(int.from_bytes(key[:8], "big"))
        at = int(self.first.searchsorted(first))
        while at < len(self.first) and self.first[at] == first:
            if self.rest[at].tobytes() == key[8:] and self.alive.take(self.shard[at], mode="clip"):
                return True
            at += 1
        return False

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns where rows are.

        Args:
            keys: uint8, [n, 32].

        Returns:
            Positions in `shards`, int64, [n], -1 for keys that aren't found; and numbers of rows
            there, int64, [n].
        """
        first, rest = _split(keys)
        shard, row = np.full(len(keys), -1, np.int64), np.zeros(len(keys), np.int64)
        at = self.first.searchsorted(first)
        asked = np.flatnonzero(at < len(self.first))
        while len(asked):
            here = at[asked]
            same = self.first[here] == first[asked]
            asked, here = asked[same], here[same]
            known = self.alive.take(self.shard[here], mode="clip")
            found = known & (self.rest[here] == rest[asked]).all(axis=1)
            shard[asked[found]] = np.minimum(self.shard[here[found]], len(self.shards) - 1)
            row[asked[found]] = self.row[here[found]]
            # The same key may be in several shards, and keys may begin alike.
            asked = asked[~found]
            at[asked] += 1
            asked = asked[at[asked] < len(self.first)]
        return shard, row

    def drop(self, name: str) -> None:
        """Finds the rows of a shard no more."""
        self.alive[[position for position, one in enumerate(self.shards) if one == name]] = False

    def merged(self, other: "Index") -> "Index":
        """Returns the living rows of both, in memory."""
        shards, columns = self._merge(other)
        return Index(shards, *(np.concatenate([*blocks]) for blocks in columns))

    def save(self, path: Path, other: "Index") -> Mapping[str, int]:
        """Writes the living rows of both to a file, which is replaced as a whole.

        Returns:
            Their shards, as the attribute.

        Raises:
            OSError: when it can't be written.
        """
        shards, columns = self._merge(other)
        rows = sum(int(one.alive.take(one.shard, mode="clip").sum()) for one in (self, other))
        head = _HEADER.pack(_MAGIC, rows, len(shards)) + b"".join(
            _SHARD.pack(bytes.fromhex(name), length) for name, length in shards.items()
        )

        def write(file: BinaryIO) -> None:
            file.write(head + _CHECKSUM.pack(zlib.crc32(head)))
            for blocks in columns:
                for block in blocks:
                    file.write(np.ascontiguousarray(block, block.dtype.newbyteorder("<")).data)

        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write)
        return shards

    def _merge(self, other: "Index") -> tuple[dict[str, int], list[Iterator[np.ndarray]]]:
        """Returns the living shards of both, and each column in blocks."""
        shards: dict[str, int] = {}
        numbers = []
        for index in (self, other):
            numbers.append((np.cumsum(index.alive) - 1 + len(shards)).astype(np.uint32))
            named = zip(index.shards.items(), index.alive, strict=True)
            shards.update(shard for shard, alive in named if alive)
        at = self.first.searchsorted(other.first)
        return shards, [self._blocks(other, column, at, *numbers) for column in _COLUMNS]

    def _blocks(
        self, other: "Index", column: str, at: np.ndarray, own: np.ndarray, others: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Yields a column of both; row i of the other belongs before row `at[i]` of this one."""

        def part(index: Index, rows: slice, numbers: np.ndarray) -> np.ndarray:
            values = getattr(index, column)[rows]
            return numbers.take(values, mode="clip") if column == "shard" else values

        for start in range(0, max(len(self.first), 1), _BLOCK):
            end = min(start + _BLOCK, len(self.first))
            low, high = at.searchsorted([start, end])
            if end == len(self.first):
                high = len(at)
            rows, added = slice(start, end), slice(low, high)
            if not self.shards:
                values = part(other, added, others)
                living = other.alive.take(other.shard[added], mode="clip")
            else:
                values = part(self, rows, own)
                living = self.alive.take(self.shard[rows], mode="clip")
                if high > low:
                    places = at[added] - start
                    values = np.insert(values, places, part(other, added, others), axis=0)
                    known = other.alive.take(other.shard[added], mode="clip")
                    living = np.insert(living, places, known)
            yield values if living.all() else values[living]


def _split(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first 8 bytes of keys as numbers, uint64, [n], and the others, uint64, [n, 3]."""
    words = np.ascontiguousarray(keys).view(np.uint64)
    return np.ascontiguousarray(words[:, :1]).view(">u8").ravel().astype(np.uint64), words[:, 1:]


_NONE = np.empty(0, np.uint32)


def empty_index() -> Index:
    """Returns an index of no rows."""
    return Index.of({}, [])
