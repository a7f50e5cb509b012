"""Folds: which photos are predicted by which head that has not learned from them."""

import collections
import hashlib
from collections.abc import Sequence

from xferlearn.photos.manifest import TEST, TRAIN, VALIDATION, ClassesOf, Photo, only_class
from xferlearn.system.text import readable

FOLDS = 5
# With so few units each is a fold of its own (leave-one-out): nearly all of them are learned from.
MOST_LEFT_OUT = 40


def deal_folds(
    photos: Sequence[Photo],
    units: Sequence[str],
    splits: Sequence[str],
    split_seed: int,
    classes_of: ClassesOf = only_class,
) -> tuple[int, ...]:
    """Returns the fold of each training photo, decided by its content as the split is.

    What stays together in the split is one unit here too. A unit's digest and the seed say which
    folds it prefers. It goes to the first of them that its classes have room in: each class has as
    many units in every fold, one more in some. So a class of fewer units than folds is in as many
    folds as it has units, and each is left out once. A unit that is added moves few others. Where
    photos may have several labels, those of the rarest classes choose first (K. Sechidis, G.
    Tsoumakas, I. Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011).

    Args:
        photos: the photos.
        units: the name of what each stays together with.
        splits: the split of each.
        split_seed: salt of the folds.
        classes_of: returns the classes of a photo.

    Returns:
        For each photo its fold, 0 and up: there are 5, or with at most 40 units as many as units.
        -1 for photos of other splits, and for those of a class that is one unit: a head that has
        not seen it would not know the class. Empty where there are no folds.
    """
    members: dict[str, list[int]] = {}
    for row, (unit, split) in enumerate(zip(units, splits, strict=True)):
        if split == TRAIN:
            members.setdefault(unit, []).append(row)
    held: dict[int, list[str]] = {}
    for unit, rows in members.items():
        for label in {label for row in rows for label in classes_of(photos[row])}:
            held.setdefault(label, []).append(unit)
    for found in held.values():
        if len(found) == 1:
            members.pop(found[0], None)
    if not members:
        return ()
    ordered = sorted(members, key=lambda unit: _number(unit, split_seed, "order"))
    if len(ordered) <= MOST_LEFT_OUT:
        fold_of = {unit: fold for fold, unit in enumerate(ordered)}
    else:
        classes = {
            unit: sorted({label for row in members[unit] for label in classes_of(photos[row])})
            for unit in ordered
        }
        if classes_of is not only_class:
            number = collections.Counter(label for unit in ordered for label in classes[unit])
            ordered.sort(key=lambda unit: min((number[one] for one in classes[unit]), default=0))
        fold_of = _balanced(ordered, classes, split_seed)
    folds = [-1] * len(photos)
    for unit, rows in members.items():
        for row in rows:
            folds[row] = fold_of[unit]
    return tuple(folds)


def unmeasured_warnings(
    labels: Sequence[str],
    photos: Sequence[Photo],
    units: Sequence[str],
    splits: Sequence[str],
    folds: Sequence[int],
    classes_of: ClassesOf = only_class,
) -> list[str]:
    """Returns which classes no photo measures because all are one group, one line each."""
    if VALIDATION in splits:
        return []
    held = folds or [-1] * len(photos)
    measured = {
        label
        for photo, split, fold in zip(photos, splits, held, strict=True)
        if split == TEST or fold >= 0
        for label in classes_of(photo)
    }
    sizes = collections.Counter(label for photo in photos for label in classes_of(photo))
    of_class: dict[int, set[str]] = collections.defaultdict(set)
    for photo, unit in zip(photos, units, strict=True):
        for label in classes_of(photo):
            of_class[label].add(unit)
    return [
        f"Class {readable(labels[label])!r} is one {'photo' if sizes[label] == 1 else 'group'}: it"
        " is learned, but can't be measured. Add other photos to it."
        for label, found in sorted(of_class.items())
        # Of near twins there is a warning already.
        if len(found) == 1 and label not in measured and not next(iter(found)).startswith("*")
    ]


def _balanced(
    units: Sequence[str], classes: dict[str, list[int]], split_seed: int
) -> dict[str, int]:
    of_class = collections.Counter(label for unit in units for label in classes[unit])
    filled: dict[int, list[int]] = {label: [0] * FOLDS for label in of_class}
    larger: collections.Counter[int] = collections.Counter()

    def has_room(label: int, fold: int) -> bool:
        least, more = divmod(of_class[label], FOLDS)
        found = filled[label][fold]
        return found < least or (found == least and larger[label] < more)

    fold_of = {}
    for unit in units:
        labels = classes[unit]
        wished = sorted(range(FOLDS), key=lambda fold: _number(unit, split_seed, f"fold {fold}"))
        # Units of several classes may find no fold that has room for all of them.
        room = {fold: sum(has_room(label, fold) for label in labels) for fold in wished}
        fold = max(wished, key=room.__getitem__)
        fold_of[unit] = fold
        for label in labels:
            larger[label] += filled[label][fold] >= of_class[label] // FOLDS
            filled[label][fold] += 1
    return fold_of


def _number(unit: str, split_seed: int, what: str) -> bytes:
    text = f"{split_seed}:{what}:{unit}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
