"""Bottlenecks that stay in their stores: what stands for an array that memory is too small for."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from xferlearn.bottlenecks.store import BottleneckStore, LostRowsError
from xferlearn.system.memory import memory_room

# What a training takes at its peak, as a multiple of its bottlenecks, which TensorFlow copies: 3.4
# for 196,608 of width 1,280 (`tools/bench_scale.py`).
PEAK = 3.5
# Rows are mixed among as many as this holds, of several shards.
_POOL_BYTES, _MOST_POOL = 256 * 2**20, 65_536


class StoredRows:
    """Bottlenecks of photos, read shard by shard, float32, [photos, width].

    Example:
        >>> rows = StoredRows([store], keys)
        >>> rows.shape, rows[[5, 2]].shape
        ((1000000, 1280), (2, 1280))
        >>> total = sum(block.sum(axis=0) for places, block in rows.blocks())
    """

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, stores: Sequence[BottleneckStore], keys: np.ndarray) -> None:
        """Prepares reading; nothing is read yet.

        Args:
            stores: of each network; their rows are joined in this order.
            keys: of the photos, all of which are in every store, uint8, [photos, 32].
        """
        self._stores = tuple(stores)
        self._keys = keys

    def __repr__(self) -> str:
        return f"StoredRows(shape={self.shape})"

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def shape(self) -> tuple[int, int]:
        """Photos, and the widths of all networks together."""
        return len(self), sum(store.width for store in self._stores)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Returns the rows at these positions, in their order, float32, [rows, width]."""
        keys = self._keys[rows]
        together = keys.reshape(-1, self._keys.shape[1])
        found = _side_by_side([store.read(together) for store in self._stores])
        return found if keys.ndim == 2 else found[0]

    def take(self, rows: Any, axis: int = 0) -> "StoredRows":
        """Returns these rows alone, as `numpy.ndarray.take` does; they stay on disk."""
        if axis:
            raise ValueError(f"Expected `axis` to be 0: whole rows are stored. Received: {axis}.")
        return StoredRows(self._stores, self._keys[rows])

    def blocks(
        self, rows: np.ndarray | None = None, *, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields all rows, or those at some positions, shard by shard.

        Args:
            rows: positions, int, [number]; None for all.
            rng: draws the order of the shards; None for that in which they are stored.

        Returns:
            Places in `rows`, int64, [block], and the rows there, float32, [block, width].

        Raises:
            XferlearnError: shards were removed or damaged meanwhile.
        """
        keys = self._keys if rows is None else self._keys[rows]
        first, *others = self._stores
        for places, block in first.blocks(keys, rng=rng):
            parts = [block, *(store.read(keys[places]) for store in others)]
            yield places, _side_by_side(parts)

    def mixed(self, piece: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields rows without end, each pass in an order of its own.

        The rows of several shards, which come in random order, are mixed among one another.

        Args:
            piece: rows that are yielded at a time.
            seed: of the order.

        Returns:
            Positions, int64, [piece], and the rows there, float32, [piece, width].
        """
        rng = np.random.default_rng(seed % 2**64)
        width = self.shape[1]
        size = min(_POOL_BYTES // (self.dtype.itemsize * width), _MOST_POOL)
        pool = np.empty((min(max(size, 2 * piece), len(self)), width), self.dtype)
        left, rows_left = np.zeros(0, np.int64), pool[:0]
        while True:
            for places, rows in self._pass(pool, piece, rng):
                if len(left):
                    places = np.concatenate([left, places])
                    rows = np.concatenate([rows_left, rows])
                if len(places) >= piece:
                    yield places[:piece], rows[:piece]
                    places, rows = places[piece:], rows[piece:]
                left, rows_left = places, rows

    def _pass(
        self, pool: np.ndarray, piece: int, rng: np.random.Generator
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields every row once, through a pool that is filled by shards and emptied at random."""
        places_of = np.empty(len(pool), np.int64)
        free = np.arange(len(pool))
        for places, block in self.blocks(rng=rng):
            start = 0
            while start < len(block):
                slots = free[: len(block) - start]
                free = free[len(slots) :]
                pool[slots] = block[start : start + len(slots)]
                places_of[slots] = places[start : start + len(slots)]
                start += len(slots)
                if not len(free):
                    free = rng.permutation(len(pool))[:piece]
                    yield places_of[free], pool[free]
        taken = np.ones(len(pool), bool)
        taken[free] = False
        slots = rng.permutation(np.flatnonzero(taken))
        for start in range(0, len(slots), piece):
            some = slots[start : start + piece]
            yield places_of[some], pool[some]


def read_rows(
    stores: Sequence[BottleneckStore],
    keys: np.ndarray,
    max_memory: int | None,
    compute: Callable[[], None],
    beside: int = 0,
) -> np.ndarray | StoredRows:
    """Returns bottlenecks as an array where a training on it fits into memory.

    Args:
        stores: of each network.
        keys: of the photos, uint8, [photos, 32].
        max_memory: bytes that the command may take; None for half of what is free.
        compute: computes those again that turned out to be damaged.
        beside: rows that are in memory with them.

    Returns:
        Float32, [photos, width].
    """
    rows = StoredRows(stores, keys)
    number, width = rows.shape
    small = PEAK * (number + beside) * width * rows.dtype.itemsize <= memory_room(max_memory)
    for _ in stores:
        with contextlib.suppress(LostRowsError):
            return rows[:] if small else _looked_through(rows)
        compute()
    return rows[:] if small else _looked_through(rows)


def _looked_through(rows: StoredRows) -> StoredRows:
    """Returns rows that were all read once: damage is to be known before hours of work."""
    for _ in rows.blocks():
        pass
    return rows


def _side_by_side(parts: Sequence[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
