"""Rows of a table at a time, so that no copy of all probabilities in another precision is made."""

from collections.abc import Iterator

# 8 MB of float64.
_BLOCK_NUMBERS = 2**20


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Returns slices that cover all rows of a table, some thousands of numbers each."""
    rows, columns = shape
    step = max(1, _BLOCK_NUMBERS // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, start + step)
