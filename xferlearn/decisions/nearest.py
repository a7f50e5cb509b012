"""Which of many bottlenecks are nearest to some, found in blocks."""

import dataclasses
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

PhotoT = TypeVar("PhotoT")


@dataclasses.dataclass(frozen=True)
class Near(Generic[PhotoT]):
    """A photo, and how near it is to another.

    Attributes:
        photo: which one.
        similarity: cosine of the angle between the bottlenecks, -1 to 1; of several backbones the
            mean.
    """

    photo: PhotoT
    similarity: float


class Nearest:
    """Keeps the nearest of all rows that it is shown, by cosine similarity.

    Where several networks are combined, similarity is the mean over them, so that none outweighs
    another by the length of its bottlenecks.

    Attributes:
        rows: number of the nearest rows, best first, int64, [photos, most]; -1 for none.
        similarities: theirs, float32, [photos, most], range [-1, 1]; -inf for none.

    Example:
        >>> nearest = Nearest([bottlenecks[:1]], 3)
        >>> nearest.add(np.arange(1000), [bottlenecks], np.zeros((1, 1000), bool))
        >>> nearest.rows
        array([[  0, 412,  77]])
    """

    def __init__(self, bottlenecks: Sequence[np.ndarray], most: int) -> None:
        """Starts a search.

        Args:
            bottlenecks: of the photos, float32, [photos, width], per network.
            most: how many are kept per photo.
        """
        self._directions = [_directions(one) for one in bottlenecks]
        shape = len(bottlenecks[0]), most
        self.rows = np.full(shape, -1, np.int64)
        self.similarities = np.full(shape, -np.inf, np.float32)

    def add(
        self, rows: np.ndarray, bottlenecks: Sequence[np.ndarray], ruled_out: np.ndarray
    ) -> None:
        """Looks at more rows.

        Args:
            rows: their numbers, [rows].
            bottlenecks: theirs, float32, [rows, width], per network.
            ruled_out: pairs that are not to be compared, bool, [photos, rows].
        """
        pairs = zip(self._directions, bottlenecks, strict=True)
        found = np.mean([own @ _directions(other).T for own, other in pairs], axis=0)
        found[ruled_out] = -np.inf
        found = np.concatenate([self.similarities, found], axis=1)
        numbers = np.concatenate([self.rows, np.broadcast_to(rows, ruled_out.shape)], axis=1)
        best = np.argsort(-found, axis=1, kind="stable")[:, : self.rows.shape[1]]
        self.similarities = np.take_along_axis(found, best, axis=1).astype(np.float32)
        kept = np.take_along_axis(numbers, best, axis=1)
        self.rows = np.where(np.isneginf(self.similarities), -1, kept)

    def found(self, photos: Sequence[PhotoT]) -> list[list[Near[PhotoT]]]:
        """Returns the nearest of each photo, best first.

        Args:
            photos: those that the numbers of the rows are of.
        """
        return [
            [Near(photos[row], value) for row, value in zip(*one, strict=True) if row >= 0]
            for one in zip(self.rows.tolist(), self.similarities.tolist(), strict=True)
        ]


def _directions(bottlenecks: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(bottlenecks, axis=1, keepdims=True)
    return np.asarray(bottlenecks / np.maximum(lengths, 1e-30), np.float32)
