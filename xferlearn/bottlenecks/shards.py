"""One shard: an Arrow IPC file of keys, rows and checksums; how it is made, and read without Arrow.

Arrow's own reader ends the whole process on some damaged files: of 6 processes that read 1,000
damaged shards each, 4 were aborted over a number of rows below 0. Opening a store must not read all
bytes only to know that they are sound, either. So the keys are found by reading the few numbers
that say where Arrow has put them, each checked against the size of the file: 20,000 damaged shards
led to a ValueError, or to wrong keys, which the digest of the file shows when its rows are read.
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

KEY_BYTES = 32
# What stands before the keys takes about 1 KB; with it come those of a full shard.
_HEAD = 4096
_HEAD_AND_KEYS = _HEAD + KEY_BYTES * 4096
_MAGIC = b"ARROW1\0\0"
# Key of the space's digest in a shard's schema; shards of earlier versions have none.
_SPACE = b"space"
# Which of Arrow's buffers are which: each column has one for missing values too, the list two.
_KEYS, _VECTORS, _CHECKSUMS, _BUFFERS = 1, 4, 6, 7
_STRANGE = "it is cut off, or does not begin as a shard does"
_OTHER_COLUMNS = "its columns are not those of the feature space"


# The largest error of a row in float16, by its length: half a unit of its last place, at which
# numbers that are neither too small nor too large for it are rounded.
_HALF_ERROR = 2.0**-11

Keys = Sequence[bytes] | np.ndarray


def as_keys(keys: Keys) -> np.ndarray:
    """Returns keys of 32 bytes each as uint8, [n, 32]."""
    if isinstance(keys, np.ndarray):
        return keys
    return np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), KEY_BYTES)


def as_halves(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows in float16, and for which of them that is exact enough, bool, [n].

    Each row decides for itself: one with numbers that float16 has not, or which are so small that
    the row would be off by more than 2^-11 of its length, stays as it is.

    Args:
        vectors: float32, [n, width].
    """
    vectors = np.ascontiguousarray(vectors)
    with np.errstate(over="ignore", invalid="ignore"):
        halves = vectors.astype(np.float16)
        off = np.square(vectors - halves, dtype=np.float64).sum(axis=1)
        length = np.square(vectors, dtype=np.float64).sum(axis=1)
    fit = np.isfinite(halves).all(axis=1) & (off <= _HALF_ERROR**2 * length)
    return halves, fit


class Layout(NamedTuple):
    """Where a shard has what.

    Attributes:
        rows: how many rows it has.
        kind: NumPy type of their numbers.
        keys: position of the first key in the file.
        vectors: position of the first row.
        checksums: position of the first row's checksum.
        ours: whether it names the store's feature space; None in shards of earlier versions, which
            name none.
    """

    rows: int
    kind: np.dtype
    keys: int
    vectors: int
    checksums: int
    ours: bool | None

    def keys_in(self, data: bytes) -> np.ndarray:
        """Returns the keys, uint8, [rows, 32]; `data` begins where the file does."""
        keys = np.frombuffer(data, np.uint8, self.rows * KEY_BYTES, self.keys)
        return keys.reshape(self.rows, KEY_BYTES)

    def vectors_in(self, data: bytes, width: int) -> np.ndarray:
        """Returns the rows, [rows, width]; `data` is the whole file."""
        numbers = np.frombuffer(data, self.kind, self.rows * width, self.vectors)
        return numbers.reshape(self.rows, width)

    def row_in(self, file: BinaryIO, row: int, key: bytes, width: int) -> np.ndarray:
        """Returns one row, [width], of an open file.

        Raises:
            ValueError: when it is not that of the key, or is damaged.
        """
        file.seek(self.vectors + row * width * self.kind.itemsize)
        vector = file.read(width * self.kind.itemsize)
        file.seek(self.checksums + 4 * row)
        stored = file.read(4)
        if struct.pack("<I", checksum(key, vector)) != stored:
            raise ValueError("its rows and their checksums differ")
        return np.frombuffer(vector, self.kind)


def checksum(key: bytes, vector: bytes) -> int:
    """Returns the checksum of a row."""
    return zlib.crc32(vector, zlib.crc32(key))


def make_shard(keys: Sequence[bytes], vectors: np.ndarray, space: str) -> tuple[str, bytes]:
    """Returns a shard's name, the SHA-256 of its bytes in hex, and its bytes.

    Its rows are in the order of their keys: these are digests, so that mixes classes, and the same
    rows make the same shard.

    Args:
        keys: 32 bytes each.
        vectors: the rows, [keys, width].
        space: SHA-256 of what decides rows besides the photo, in hex.
    """
    order = sorted(range(len(keys)), key=keys.__getitem__)
    keys, vectors = [keys[row] for row in order], vectors[order]
    width = vectors.shape[1]
    schema = pa.schema(
        [
            ("key", pa.binary(KEY_BYTES)),
            ("vector", pa.list_(pa.from_numpy_dtype(vectors.dtype), width)),
            ("crc32", pa.uint32()),
        ],
        metadata={_SPACE: space},
    )
    sums = [checksum(key, vector.tobytes()) for key, vector in zip(keys, vectors, strict=True)]
    table = pa.Table.from_arrays(
        [
            pa.array(keys, pa.binary(KEY_BYTES)),
            pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width),
            pa.array(sums, pa.uint32()),
        ],
        schema=schema,
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as file:
        file.write_table(table)
    data = sink.getvalue().to_pybytes()
    return hashlib.sha256(data).hexdigest(), data


class ShardFormat(NamedTuple):
    """What the shards of a store have in common.

    Attributes:
        width: numbers per row.
        kinds: NumPy types that they may have.
        space: SHA-256 of what decides rows besides the photo, in hex.
    """

    width: int
    kinds: tuple[np.dtype, ...]
    space: str

    def read_keys(self, file: BinaryIO, size: int) -> tuple[Layout, np.ndarray]:
        """Returns where a shard has what, and its keys, uint8, [rows, 32]; reads little else.

        Args:
            file: the shard, open.
            size: its size, bytes.

        Raises:
            OSError: when it can't be read.
            ValueError: when it is no shard of such rows.
        """
        data = file.read(_HEAD_AND_KEYS)
        layout = self.layout_of(data, size)
        lacking = layout.keys + layout.rows * KEY_BYTES - len(data)
        if lacking > 0:
            data += file.read(lacking)
        return layout, layout.keys_in(data)

    def layout_of(self, data: bytes, size: int) -> Layout:
        """Returns where a shard has what.

        Args:
            data: its beginning, or all of it.
            size: its size, bytes.

        Raises:
            ValueError: when it is no shard of such rows.
        """
        if not data.startswith(_MAGIC):
            raise ValueError(_STRANGE)
        try:
            _, after = _message(data, len(_MAGIC))
            message, body = _message(data, after)
            batch = _pointed(data, _field(data, message, 2))
            (rows,) = struct.unpack_from("<q", data, _field(data, batch, 0))
            vector = _pointed(data, _field(data, batch, 2))
            (buffers,) = struct.unpack_from("<I", data, vector)
            if buffers != _BUFFERS:
                raise ValueError(_OTHER_COLUMNS)
            places = [struct.unpack_from("<qq", data, vector + 4 + 16 * i) for i in range(buffers)]
        except struct.error:
            raise ValueError(_STRANGE) from None
        per_row = {kind.itemsize * self.width: kind for kind in self.kinds}
        kind = per_row.get(places[_VECTORS][1] // max(rows, 1))
        if rows < 1 or kind is None:
            raise ValueError(_OTHER_COLUMNS)
        for number, length in (
            (_KEYS, KEY_BYTES * rows),
            (_VECTORS, kind.itemsize * self.width * rows),
            (_CHECKSUMS, 4 * rows),
        ):
            if places[number][1] != length:
                raise ValueError(_OTHER_COLUMNS)
            if places[number][0] < 0 or body + places[number][0] + length > size:
                raise ValueError("it is cut off")
        keys, vectors, sums = (body + places[one][0] for one in (_KEYS, _VECTORS, _CHECKSUMS))
        ours = self.space.encode() in data[:after] if _SPACE in data[:after] else None
        return Layout(rows, kind, keys, vectors, sums, ours)


def _message(data: bytes, at: int) -> tuple[int, int]:
    """Returns where the table of one of Arrow's messages is, and where its body begins."""
    marker, length = struct.unpack_from("<Ii", data, at)
    if marker != 0xFFFFFFFF or not 0 < length < _HEAD:
        raise ValueError(_STRANGE)
    return _pointed(data, at + 8), at + 8 + length


def _pointed(data: bytes, at: int) -> int:
    """Returns where a FlatBuffers offset leads."""
    return at + struct.unpack_from("<I", data, at)[0]


def _field(data: bytes, table: int, number: int) -> int:
    """Returns where a FlatBuffers table has a field."""
    slots = table - struct.unpack_from("<i", data, table)[0]
    if slots < 0:
        raise ValueError(_STRANGE)
    length, _, place = struct.unpack_from("<HH", data, slots) + struct.unpack_from(
        "<H", data, slots + 4 + 2 * number
    )
    if length < 6 + 2 * number or not place:
        raise ValueError(_STRANGE)
    return table + place
