"""Units of photos -> the split of each photo, decided by content."""

import hashlib

import numpy as np

from xferlearn.photos.class_table import ClassTable
from xferlearn.photos.photo import SPLITS, TEST, TRAIN, VALIDATION
from xferlearn.photos.units import Units

# Where a dataset's authors put equal photos into several splits, the first of these counts.
CLAIMS = (TEST, VALIDATION, TRAIN, None)
# The place in `CLAIMS` of each split's code, and of none's, -1; and back.
CLAIM_OF = np.array([2, 1, 0, 3], np.int8)
_TRAIN, _VALIDATION, _TEST = range(len(SPLITS))


def deal(
    units: Units,
    labels: np.ndarray,
    classes: ClassTable,
    given: np.ndarray,
    *,
    testing_percentage: float,
    validation_percentage: float,
    split_seed: int,
) -> np.ndarray:
    """Returns the split of each photo, decided by its content alone.

    A unit's name and the seed make a number from 0 to 100 that is compared with the percentages, so
    adding a photo moves no other one. If that leaves a class of at least three units without one in
    some split, the unit whose number is nearest moves there: one of this class alone if there is
    any, else one that no other class is in need of where it is.

    Args:
        units: what stays together.
        labels: of each photo, int32, [photos].
        classes: what labels stand for.
        given: the split that each photo was given, int8, [photos], as in `Splits`; -1 for none.
        testing_percentage: 0 to 90; 0 puts no photo into the test split.
        validation_percentage: 0 to 90; 0 puts no photo into the validation split.
        split_seed: salt of the numbers.

    Returns:
        As in `Splits`, int8, [photos].
    """
    drawn = (_percent(name, split_seed) for name in units.names())
    position = np.fromiter(drawn, float, len(units))
    ends = testing_percentage, testing_percentage + validation_percentage
    bounds = {_TRAIN: (ends[1], 100.0), _TEST: (0.0, ends[0]), _VALIDATION: ends}
    splits = np.full(len(units), _TRAIN, np.int8)
    for split in (_VALIDATION, _TEST):
        low, high = bounds[split]
        splits[(low <= position) & (position < high)] = split
    claims = np.full(len(units), CLAIMS.index(None), np.int8)
    # Test wins over train: the same photo must not be learned and then tested.
    np.minimum.at(claims, units.of_photo, CLAIM_OF[given])
    is_fixed = claims < CLAIMS.index(None)
    splits[is_fixed] = np.argsort(CLAIM_OF)[claims[is_fixed]]
    held = Held(units, labels, classes)
    sizes = held.sizes(splits)

    def spare(movable: np.ndarray) -> np.ndarray:
        free = np.array([(sizes[held.classes(unit), splits[unit]] > 1).all() for unit in movable])
        some = movable[free] if len(movable) else movable
        # Moving a unit of several classes moves photos that may be well where they are.
        alone = some[held.number[some] == 1]
        return alone if len(alone) else some

    for label in range(classes.number):
        if sizes[label].all():
            continue
        movable = held.units(label)
        movable = movable[~is_fixed[movable]]
        for split, (low, high) in bounds.items():
            if high <= low or sizes[label, split] or not len(movable):
                continue
            found = spare(movable)
            # A class that is one unit can't be tested, but it must be learned.
            if split == _TRAIN and not len(found):
                alone = movable[held.number[movable] == 1]
                found = alone if len(alone) else movable
            if len(found):
                apart = np.abs(position[found] - (low + high) / 2)
                nearest = found[apart == apart.min()]
                unit = min(zip(units.names(nearest), nearest.tolist(), strict=True))[1]
                sizes[held.classes(unit), splits[unit]] -= 1
                sizes[held.classes(unit), split] += 1
                splits[unit] = split
    return splits[units.of_photo]


class Held:
    """Which classes units have, and which units classes have.

    Attributes:
        number: how many classes each unit has, int32, [units].
    """

    def __init__(self, units: Units, labels: np.ndarray, classes: ClassTable) -> None:
        """Takes units, the label of each photo, and what labels stand for."""
        rows, found = classes.pairs(labels)
        count = max(classes.number, 1)
        pairs = units.of_photo[rows].astype(np.int64)
        del rows
        pairs *= count
        pairs += found
        pairs.sort()
        pairs = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])[: len(pairs)]]
        self._class = (pairs % count).astype(np.int32)
        pairs //= count
        self._unit = pairs.astype(np.int32)
        del pairs
        self._count = classes.number
        self.number = np.bincount(self._unit, minlength=len(units)).astype(np.int32)
        self._starts = np.concatenate([[0], self.number.cumsum()]).astype(np.int32)

    def classes(self, unit: int) -> np.ndarray:
        """Returns the classes of a unit, ascending."""
        return self._class[self._starts[unit] : self._starts[unit + 1]]

    def units(self, label: int) -> np.ndarray:
        """Returns the units of a class, ascending."""
        return self._unit[self._class == label]

    def units_by_class(self, units: np.ndarray | None = None) -> np.ndarray:
        """Returns how many units each class has, of some or all, int64, [classes]."""
        found = self._class
        if units is not None:
            counted = np.zeros(len(self.number), bool)
            counted[units] = True
            found = found[counted[self._unit]]
        return np.bincount(found, minlength=self._count)

    def only_ones(self) -> np.ndarray:
        """Returns the units that are the only one of some class."""
        return self._unit[self.units_by_class()[self._class] == 1]

    def rarest(self, units: np.ndarray) -> np.ndarray:
        """Returns how many of these units the rarest class of each one has, 0 for no class."""
        number = self.units_by_class(units)
        found = np.full(len(self.number), np.iinfo(np.int64).max)
        np.minimum.at(found, self._unit, number[self._class])
        return np.where(self.number[units] > 0, found[units], 0)

    def sizes(self, splits: np.ndarray) -> np.ndarray:
        """Returns how many units each class has in each split, int64, [classes, splits].

        Args:
            splits: of each unit, as in `Splits`.
        """
        place = self._class * np.int32(len(SPLITS)) + splits[self._unit]
        found = np.bincount(place, minlength=self._count * len(SPLITS))
        return found.reshape(self._count, len(SPLITS))


def _percent(unit: str, split_seed: int) -> float:
    digest = hashlib.sha256(f"{split_seed}:{unit}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100
