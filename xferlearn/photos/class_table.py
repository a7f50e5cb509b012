"""Which classes photos have, by their labels, as arrays."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """What photos' labels stand for; a label below 0 stands for no class.

    Attributes:
        number: how many classes there are.
        label_sets: where photos may have several, the class indices by label, each ascending; None
            where a label is a class.
    """

    number: int
    label_sets: Sequence[Sequence[int]] | None = None

    def pairs(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns each class of each photo: positions in `labels`, int32, and class indices, int32.

        Args:
            labels: int, [photos].

        Example:
            >>> ClassTable(3, [(), (0, 2)]).pairs(np.array([1, 0, 1]))
            (array([0, 0, 2, 2], dtype=int32), array([0, 2, 0, 2], dtype=int32))
        """
        rows = np.flatnonzero(labels >= 0).astype(np.int32)
        found = labels[rows].astype(np.int32)
        if self.label_sets is None:
            return rows, found
        sizes = np.array([len(one) for one in self.label_sets], np.int64)
        classes = np.fromiter((one for some in self.label_sets for one in some), np.int32)
        each, starts = sizes[found], (sizes.cumsum() - sizes)[found]
        within = np.arange(each.sum()) - np.repeat(each.cumsum() - each, each)
        return np.repeat(rows, each), classes[np.repeat(starts, each) + within]

    def counts(self, labels: np.ndarray) -> np.ndarray:
        """Returns how many photos each class has, int64, [classes]."""
        return np.bincount(self.pairs(labels)[1], minlength=self.number)

    def has(self, labels: np.ndarray, one: int) -> np.ndarray:
        """Returns which photos have a class, bool, [photos]."""
        if self.label_sets is None:
            return labels == one
        having = np.array([one in some for some in self.label_sets] + [False])
        return having[labels]
