"""What evaluations have in common, whatever they measure."""

from typing import ClassVar

from xferlearn.metrics.intervals import FEW_PHOTOS


class Measured:
    """Predictions of photos compared with the truth; the base of evaluations."""

    groups: int | None
    folds: int | None
    measure: ClassVar[str]

    @property
    def total(self) -> int:
        """Number of photos."""
        raise NotImplementedError

    @property
    def few(self) -> bool:
        """Whether the interval says more than the accuracy: fewer than `FEW_PHOTOS`."""
        return self.total < FEW_PHOTOS

    @property
    def folding(self) -> str:
        """Says how photos were folded: "5 folds", "leave-one-out", or "" where one head predicted.

        Photos of a group are left out together.
        """
        if self.folds is None:
            return ""
        if self.folds == (self.total if self.groups is None else self.groups):
            return "leave-one-out"
        return f"{self.folds} folds"

    @property
    def grouped(self) -> str:
        """Says in how many groups the photos are, e.g. " in 60 groups"; "" where each is alone."""
        if self.groups is None:
            return ""
        return f" in {self.groups} group{'' if self.groups == 1 else 's'}"
