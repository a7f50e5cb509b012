"""Digests of many photos as one array: which are the same, and what is known of some of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
WIDTH = 32
# Worked on at a time, so that what is needed meanwhile does not grow with the photos.
_BLOCK = 2**16


def as_digests(digests: Sequence[bytes] | np.ndarray) -> np.ndarray:
    """Returns digests as uint8, [digests, 32]."""
    if isinstance(digests, np.ndarray):
        return digests
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, WIDTH)


def sortable(digests: np.ndarray) -> np.ndarray:
    """Returns digests, uint8, [digests, 32], as values that compare as bytes do, [digests]."""
    return np.ascontiguousarray(digests).view(f"V{WIDTH}")[:, 0]


def first_rows(values: np.ndarray) -> np.ndarray:
    """Returns for each row the first one that has the same value, int32, [rows].

    Args:
        values: integers, [rows], or digests, uint8, [rows, 32].

    Example:
        >>> first_rows(np.array([7, 5, 7]))
        array([0, 1, 0], dtype=int32)
    """
    first = np.arange(len(values), dtype=np.int32)
    # What takes memory is done for these alone: most photos are there once.
    rows = repeated_rows(values)
    found = sortable(values[rows]) if values.ndim > 1 else values[rows]
    order = np.argsort(found, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], found[order[1:]] != found[order[:-1]]]))
    starts = starts[: len(rows)]
    first[rows[order]] = np.repeat(rows[order[starts]], np.diff(np.append(starts, len(rows))))
    return first


def repeated_rows(values: np.ndarray) -> np.ndarray:
    """Returns the rows whose value others have too, int32, ascending.

    Args:
        values: integers, [rows], or digests, uint8, [rows, 32]: of these some rows may be among
            them whose digest only begins as another one does.
    """
    if values.ndim > 1:
        values = np.ascontiguousarray(values[:, :8]).view(np.int64)[:, 0]
    ordered = np.sort(values)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(twice):
        return np.empty(0, np.int32)
    blocks = range(0, len(values), _BLOCK)
    return np.concatenate(
        [_among(values[start : start + _BLOCK], twice) + np.int32(start) for start in blocks]
    )


def _among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    places = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.flatnonzero(ordered[places] == values).astype(np.int32)


def numbered(values: np.ndarray) -> np.ndarray:
    """Returns values as numbers in the order in which they first come, int32, [rows].

    Example:
        >>> numbered(np.array([7, 5, 7]))
        array([0, 1, 0], dtype=int32)
    """
    first = first_rows(values)
    is_first = first == np.arange(len(first), dtype=np.int32)
    return (is_first.cumsum(dtype=np.int32) - 1)[first]


class DigestMap(Mapping[bytes, T]):
    """What is known of some photos by their digests, as a table that costs its bytes alone.

    Attributes:
        table: what is known, uint8, [digests, bytes], in the order of the digests.

    Example:
        >>> colours = DigestMap(digests, values, lambda row: tuple(row.tolist()))
        >>> colours[digest]
        (250, 250, 250)
    """

    def __init__(
        self, digests: np.ndarray, values: np.ndarray, read: Callable[[np.ndarray], T]
    ) -> None:
        """Takes digests, uint8, [digests, 32], each once, and what is known of each."""
        order = np.argsort(sortable(digests), kind="stable")
        self._digests, self.table, self._read = digests[order], values[order], read

    def __len__(self) -> int:
        return len(self._digests)

    def __iter__(self) -> Iterator[bytes]:
        return (digest.tobytes() for digest in self._digests)

    def __getitem__(self, digest: bytes) -> T:
        place = int(self.find(as_digests([digest]))[0])
        if place < 0:
            raise KeyError(digest)
        return self._read(self.table[place])

    def find(self, digests: np.ndarray) -> np.ndarray:
        """Returns the places of digests, uint8, [digests, 32], in `table`, int32; -1 for none."""
        found = np.full(len(digests), -1, np.int32)
        if len(self):
            own = sortable(self._digests)
            for start in range(0, len(digests), _BLOCK):
                some = sortable(digests[start : start + _BLOCK])
                places = np.minimum(np.searchsorted(own, some), len(self) - 1)
                found[start : start + _BLOCK] = np.where(own[places] == some, places, -1)
        return found


def map_of(known: Mapping[bytes, bytes]) -> DigestMap[bytes]:
    """Returns digests by digests as such a table."""
    if isinstance(known, DigestMap):
        return known
    return DigestMap(as_digests([*known]), as_digests([*known.values()]), np.ndarray.tobytes)


def colours_of(known: Mapping[bytes, tuple[int, ...]]) -> DigestMap[tuple[int, ...]]:
    """Returns colours, RGB, 0 to 255, by digests as such a table."""
    if isinstance(known, DigestMap):
        return known
    colours = np.array([*known.values()], np.uint8).reshape(-1, 3)
    return DigestMap(as_digests([*known]), colours, lambda row: tuple(row.tolist()))
