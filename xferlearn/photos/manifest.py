"""The photos of a run, their labels, and their split into train, validation and test.

A photo is its content: its SHA-256 digest names it everywhere, in the split, in the cache and in
the metadata. So photos may be renamed, moved and added without changing what was decided before.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from xferlearn.photos.class_table import ClassTable
from xferlearn.photos.columns import Numbers, Photos, Splits, positions
from xferlearn.photos.photo import SPLITS as SPLITS
from xferlearn.photos.photo import TEST as TEST
from xferlearn.photos.photo import TRAIN as TRAIN
from xferlearn.photos.photo import VALIDATION as VALIDATION
from xferlearn.photos.photo import BadPhoto as BadPhoto
from xferlearn.photos.photo import Photo as Photo
from xferlearn.photos.several import label_text
from xferlearn.system.text import count, plural_of


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The photos of one run, and what was decided about them.

    Attributes:
        labels: class names, sorted; a photo's label is an index into them, unless photos may have
            several.
        photos: the photos that are used, in the order they were read.
        splits: for each of `photos`, "train", "validation" or "test".
        bad: the photos that were left out.
        duplicates: how many files were left out because the same class holds the same bytes, or
            the same pixels in another file.
        equal_pixels: how many of them have other bytes, but the same pixels.
        near_twins: how many of `photos` have a near twin among them, which is in the same split.
        warnings: what a person should know of the photos, one line each.
        groups: for each of `photos`, the number of what it stays together with in the split; empty
            where each stands alone.
        corrected: what corrections did to the photos, one line each.
        label_sets: where photos may have several labels, the class indices by the photo's label,
            each ascending; None where each photo has one.
        folds: for each of `photos`, the fold in which it is left out and then predicted, -1 for
            those that are not; empty where there are none.
    """

    labels: tuple[str, ...]
    photos: Photos
    splits: Splits
    bad: tuple[BadPhoto, ...] = ()
    duplicates: int = 0
    equal_pixels: int = 0
    near_twins: int = 0
    warnings: tuple[str, ...] = ()
    groups: Numbers = dataclasses.field(default_factory=Numbers)
    folds: Numbers = dataclasses.field(default_factory=Numbers)
    corrected: tuple[str, ...] = ()
    label_sets: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        # Whoever makes one by hand has tuples.
        for name, column in (
            ("photos", Photos.of(self.photos)),
            ("splits", Splits.of(self.splits)),
            ("groups", Numbers.of(self.groups)),
            ("folds", Numbers.of(self.folds)),
        ):
            object.__setattr__(self, name, column)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(self.indices(split))} {split}" for split in SPLITS)
        return (
            f"Manifest({len(self.labels)} classes, {counts}, {len(self.bad)} left out,"
            f" {self.duplicates} duplicates)"
        )

    @property
    def is_multi_label(self) -> bool:
        """Whether photos may have several labels, or none."""
        return self.label_sets is not None

    def classes_of(self, photo: Photo | BadPhoto) -> tuple[int, ...]:
        """Returns the class indices of a photo, ascending; none where it has no label."""
        if photo.label < 0:
            return ()
        return (photo.label,) if self.label_sets is None else self.label_sets[photo.label]

    @property
    def classes(self) -> ClassTable:
        """Which classes photos have by their labels, for all of them at once."""
        return ClassTable(len(self.labels), self.label_sets)

    def label_text(self, photo: Photo | BadPhoto) -> str:
        """Returns the class of a photo; where it may have several, as `photos.several` writes them.

        "" where it has none.
        """
        if self.label_sets is None:
            return self.labels[photo.label] if photo.label >= 0 else ""
        return label_text(self.labels[one] for one in self.classes_of(photo))

    def truth(self, rows: Sequence[int]) -> np.ndarray:
        """Returns the classes of the photos at these positions in `photos`.

        Returns:
            Class indices, int32, [rows]; where photos may have several labels, whether each photo
            has each class, bool, [rows, classes].
        """
        return self.targets[self.photos.labels[positions(rows)]]

    @property
    def targets(self) -> np.ndarray:
        """The classes of photos by their label's index, as `truth` has those of photos in a row."""
        if self.label_sets is None:
            return np.arange(len(self.labels), dtype=np.int32)
        found = np.zeros((len(self.label_sets), len(self.labels)), bool)
        for row, classes in enumerate(self.label_sets):
            found[row, list(classes)] = True
        return found

    @property
    def label_counts(self) -> tuple[str, ...]:
        """How many labels photos have, one line, where they may have several; else nothing."""
        if self.label_sets is None:
            return ()
        sizes = np.array([len(one) for one in self.label_sets])[self.photos.labels]
        return (
            f"{count(len(sizes), 'photo')} with {np.mean(sizes):.1f} labels on average:"
            f" {(sizes > 1).sum():,} with several, {(sizes == 0).sum():,} with none",
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What corrections did, what copies there were, and what became of them, one line each."""
        notes = [*self.corrected]
        if self.duplicates:
            kinds = {"bytes": self.duplicates - self.equal_pixels, "pixels": self.equal_pixels}
            why = ", ".join(f"{some:,} with equal {kind}" for kind, some in kinds.items() if some)
            noun = plural_of(self.duplicates, "photo is", "photos are")
            notes.append(f"{self.duplicates:,} duplicate {noun} left out: {why}")
        if self.near_twins:  # at least two
            notes.append(f"{self.near_twins:,} photos have a near twin, which is in the same split")
        return tuple(notes)

    def indices(self, split: str) -> Numbers:
        """Returns the positions in `photos` of a split's photos."""
        return Numbers(np.flatnonzero(self.splits.codes == SPLITS.index(split)))

    def judged(self, split: str) -> Numbers:
        """Returns the positions in `photos` of those that measure a head which never saw them.

        Args:
            split: "validation" for the photos in folds, or where there are none those that were set
                apart for it; "test".
        """
        if split == VALIDATION and self.folds:
            return Numbers(np.flatnonzero(np.asarray(self.folds) >= 0))
        return self.indices(split)

    @property
    def fold_count(self) -> int:
        """Number of folds; 0 where there are none."""
        return int(np.max(self.folds, initial=-1)) + 1

    @property
    def few(self) -> bool:
        """Whether each unit is a fold of its own (leave-one-out)."""
        rows = self.judged(VALIDATION)
        units = np.unique(self.groups.take(rows)) if self.groups else rows
        return bool(self.folds) and self.fold_count == len(units)

    def held_out(self, fold: int) -> "Manifest":
        """Returns a manifest whose validation photos are those of one fold, without folds."""
        codes = np.where(
            np.asarray(self.folds) == fold, SPLITS.index(VALIDATION), self.splits.codes
        )
        return dataclasses.replace(self, splits=Splits(codes), folds=Numbers())

    def only(self, rows: Sequence[int] | np.ndarray) -> "Manifest":
        """Returns a manifest of only the photos at these positions."""
        return dataclasses.replace(
            self,
            photos=self.photos.take(rows),
            splits=self.splits.take(rows),
            groups=self.groups.take(rows) if self.groups else self.groups,
            folds=self.folds.take(rows) if self.folds else self.folds,
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """Returns the number of photos by label and split; one of several labels is in several."""
        by_split = [
            self.classes.counts(self.photos.labels[self.splits.codes == code]).tolist()
            for code in range(len(SPLITS))
        ]
        return {
            label: dict(zip(SPLITS, found, strict=True))
            for label, found in zip(self.labels, zip(*by_split, strict=True), strict=True)
        }
