"""Folds: which photos are predicted by which head that has not learned from them."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from xferlearn.photos.class_table import ClassTable
from xferlearn.photos.dealing import Held
from xferlearn.photos.photo import SPLITS, TEST, TRAIN, VALIDATION
from xferlearn.photos.units import Units
from xferlearn.system.text import readable

FOLDS = 5
# With so few units each is a fold of its own (leave-one-out): nearly all of them are learned from.
MOST_LEFT_OUT = 40


def deal_folds(
    units: Units, labels: np.ndarray, classes: ClassTable, splits: np.ndarray, split_seed: int
) -> np.ndarray:
    """Returns the fold of each training photo, decided by its content as the split is.

    What stays together in the split is one unit here too. A unit's digest and the seed say which
    folds it prefers. It goes to the first of them that its classes have room in: each class has as
    many units in every fold, one more in some. So a class of fewer units than folds is in as many
    folds as it has units, and each is left out once. A unit that is added moves few others. Where
    photos may have several labels, those of the rarest classes choose first (K. Sechidis, G.
    Tsoumakas, I. Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011).

    Args:
        units: what stays together.
        labels: of each photo, int32, [photos].
        classes: what labels stand for.
        splits: of each photo, as in `Splits`.
        split_seed: salt of the folds.

    Returns:
        For each photo its fold, 0 and up, int8: there are 5, or with at most 40 units as many as
        units. -1 for photos of other splits, and for those of a class that is one unit: a head that
        has not seen it would not know the class. Empty where there are no folds.
    """
    is_member = np.zeros(len(units), bool)
    is_member[units.of_photo[splits == SPLITS.index(TRAIN)]] = True
    held = Held(units, np.where(is_member[units.of_photo], labels, -1), classes)
    is_member[held.only_ones()] = False
    members = np.flatnonzero(is_member).astype(np.int32)
    if not len(members):
        return np.empty(0, np.int8)
    salt = _salt(split_seed, "order")
    drawn = (int.from_bytes(_drawn(salt, name)[:8], "big") for name in units.names(members))
    members = members[np.argsort(np.fromiter(drawn, np.uint64, len(members)))]
    fold_of = np.full(len(units), -1, np.int8)
    if len(members) <= MOST_LEFT_OUT:
        fold_of[members] = np.arange(len(members))
    else:
        if classes.label_sets is not None:
            members = members[np.argsort(held.rarest(members), kind="stable")]
        fold_of[members] = np.fromiter(
            _balanced(units, members, held, split_seed), np.int8, len(members)
        )
    return fold_of[units.of_photo]


def unmeasured_warnings(
    names: Sequence[str],
    units: Units,
    labels: np.ndarray,
    classes: ClassTable,
    splits: np.ndarray,
    folds: np.ndarray,
) -> list[str]:
    """Returns which classes no photo measures because all are one group, one line each.

    Args:
        names: of the classes.
        units: what stays together.
        labels: of each photo, int32, [photos].
        classes: what labels stand for.
        splits: of each photo, as in `Splits`.
        folds: as of `deal_folds`.
    """
    if (splits == SPLITS.index(VALIDATION)).any():
        return []
    is_measured = splits == SPLITS.index(TEST)
    if len(folds):
        is_measured = is_measured | (folds >= 0)
    measured, sizes = (classes.counts(labels[some]) for some in (is_measured, slice(None)))
    number = Held(units, labels, classes).units_by_class()
    return [
        f"Class {readable(names[label])!r} is one {'photo' if sizes[label] == 1 else 'group'}: it"
        " is learned, but can't be measured. Add other photos to it."
        for label in np.flatnonzero((number == 1) & (measured == 0)).tolist()
    ]


def _balanced(units: Units, members: np.ndarray, held: Held, split_seed: int) -> Iterator[int]:
    of_class = held.units_by_class(members).tolist()
    filled = [[0] * FOLDS for _ in of_class]
    larger = [0] * len(of_class)

    def has_room(label: int, fold: int) -> bool:
        least, more = divmod(of_class[label], FOLDS)
        found = filled[label][fold]
        return found < least or (found == least and larger[label] < more)

    wishes = _wishes(units, np.sort(members), split_seed)
    for unit in members:
        labels, wished = held.classes(unit).tolist(), wishes[unit].tolist()
        # Units of several classes may find no fold that has room for all of them.
        room = [sum(has_room(label, fold) for label in labels) for fold in wished]
        fold = wished[room.index(max(room))]
        for label in labels:
            larger[label] += filled[label][fold] >= of_class[label] // FOLDS
            filled[label][fold] += 1
        yield fold


def _wishes(units: Units, members: np.ndarray, split_seed: int) -> np.ndarray:
    """Returns the folds in the order in which each unit prefers them, int8, [units, FOLDS].

    Args:
        units: what stays together.
        members: those that are asked for, ascending: so what names them is read once.
        split_seed: salt of the folds.
    """
    found = np.empty((len(units), FOLDS), np.int8)
    salts = [_salt(split_seed, f"fold {fold}") for fold in range(FOLDS)]
    for unit, name in zip(members, units.names(members), strict=True):
        wish = [_drawn(salt, name) for salt in salts]
        found[unit] = sorted(range(FOLDS), key=wish.__getitem__)
    return found


def _salt(split_seed: int, what: str) -> bytes:
    return f"{split_seed}:{what}:".encode()


def _drawn(salt: bytes, unit: str) -> bytes:
    return hashlib.sha256(salt + unit.encode("utf-8", "surrogateescape")).digest()
