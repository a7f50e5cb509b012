"""Sequences that make their elements when asked for them, and text as Arrow's columns hold it."""

from collections.abc import Iterator, Sequence
from typing import Any, Self, SupportsIndex, TypeVar, overload

import numpy as np

from xferlearn.system.growing_table import BLOCK_ROWS

T = TypeVar("T")


class Column(Sequence[T]):
    """A read-only sequence that makes its elements when they are asked for.

    It is equal to lists and tuples of the same elements.
    """

    def take(self, rows: np.ndarray) -> Self:
        """Returns the elements at these positions, integers, [rows], as a column of its kind."""
        raise NotImplementedError

    def _listed(self, start: int, stop: int) -> list[T]:
        """Returns the elements from one position up to another."""
        raise NotImplementedError

    @overload
    def __getitem__(self, row: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, row: slice) -> Self: ...
    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return self.take(np.arange(*row.indices(len(self))))
        place = range(len(self))[row]
        return self._listed(place, place + 1)[0]

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self), BLOCK_ROWS):
            yield from self._listed(start, min(start + BLOCK_ROWS, len(self)))

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


def bytes_of(text: str) -> bytes:
    """Returns a name as columns hold it: UTF-8, half characters included."""
    return text.encode("utf-8", "surrogatepass")


def text_of(name: bytes) -> str:
    """Returns the name that `bytes_of` was given."""
    return name.decode("utf-8", "surrogatepass")
