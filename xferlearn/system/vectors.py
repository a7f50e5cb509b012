"""Rows of numbers, in an array or on disk, and how either is gone through."""

import tempfile
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

# Rows of an array that are worked on at a time.
BLOCK_ROWS = 4096
# Of a table that is kept in memory, such as the probabilities of a million photos.
MOST_TABLE_BYTES = 2**30


class StoredVectors(Protocol):
    """Rows that are read from disk where they are needed; float32, [rows, width]."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""

    @property
    def dtype(self) -> np.dtype:
        """What the numbers are, as they are returned."""

    def __len__(self) -> int:
        """Returns the number of rows."""

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Returns the rows at these positions, in their order, as an array."""

    def take(self, rows: Any, axis: int = 0) -> "StoredVectors":
        """Returns these rows alone, still on disk, as `numpy.ndarray.take` does in memory."""

    def blocks(
        self, rows: np.ndarray | None = None, *, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields places in `rows` and the rows there, in the order in which they are stored."""


Vectors = np.ndarray | StoredVectors


def blocks_of(
    x: Vectors, rows: np.ndarray | None = None, most: int = BLOCK_ROWS
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields all rows, or those at some positions, a part at a time.

    Args:
        x: the rows.
        rows: positions, int, [number]; None for all.
        most: rows of an array that are yielded at a time; what is stored comes as it is stored.

    Returns:
        Places in `rows`, int64, [part], and the rows, [part, width]. Of an array they come in
        order.
    """
    if not isinstance(x, np.ndarray):
        yield from x.blocks(rows)
        return
    for start in range(0, len(x) if rows is None else len(rows), most):
        part = x[start : start + most] if rows is None else x[rows[start : start + most]]
        yield np.arange(start, start + len(part)), part


def new_table(rows: int, columns: int, kind: type = np.float32) -> np.ndarray:
    """Returns zeros of a NumPy type, [rows, columns].

    Where they are more than 1 GiB they are those of a temporary file, which the machine may write
    back when memory is short, and which is gone when the table is.
    """
    if np.dtype(kind).itemsize * rows * columns <= MOST_TABLE_BYTES:
        return np.zeros((rows, columns), kind)
    with tempfile.TemporaryFile(prefix="xferlearn-") as file:
        return np.memmap(file, kind, "w+", shape=(rows, columns))
