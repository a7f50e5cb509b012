"""What keeping copies, near twins and groups on one side of the split did to a given split."""

from collections.abc import Sequence

import numpy as np

from xferlearn.errors import UserError
from xferlearn.photos.class_table import ClassTable
from xferlearn.photos.columns import Photos
from xferlearn.photos.kinship import Kinship
from xferlearn.photos.photo import SPLITS, TEST, TRAIN, VALIDATION
from xferlearn.photos.units import Units
from xferlearn.system.text import plural_of, readable

# Of fewer photos a few alike are more than half.
_FEWEST_IN_LARGE_GROUP = 5
_MOST_NAMED = 5
_KINDS = {
    "copies": "a copy",
    "near twins": "a near twin",
    "group members": "a group member",
}
_NOUNS = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}


def check_sides(
    names: Sequence[str],
    photos: Photos,
    classes: ClassTable,
    splits: np.ndarray,
    units: Units,
    kin: Kinship,
) -> tuple[str, ...]:
    """Checks that every class has training photos left, and says how many photos were moved.

    Args:
        names: of the classes.
        photos: readable photos, copies included.
        classes: what their labels stand for.
        splits: the split of each, as in `Splits`; that of the photo that is used in its place for a
            copy.
        units: what stays together.
        kin: what they have in common.

    Returns:
        What a person should know of photos that are not in the split that they were given, one
        line each.

    Raises:
        UserError: when a class has no training photo.
    """
    was = photos.fixed_splits
    is_given = np.zeros(len(units), bool)
    is_given[units.of_photo[was >= 0]] = True
    wanted = np.maximum(was, SPLITS.index(TRAIN))
    moved = np.flatnonzero(is_given[units.of_photo] & (splits != wanted))
    kinds, sides = _kinds(was, moved, splits[moved], kin), splits[moved]
    learned = classes.counts(photos.labels[splits == SPLITS.index(TRAIN)])
    for label in np.flatnonzero(learned == 0).tolist():
        some = classes.has(photos.labels[moved], label) & (wanted[moved] == SPLITS.index(TRAIN))
        if not some.any():
            raise UserError(
                f"Class {readable(names[label])!r} has no training photos: all its photos are for"
                " validation or test. Move some of them to the training."
            )
        remedy = "Remove them from one side"
        if list(_KINDS).index("near twins") in kinds[some]:
            remedy += ", or set `twins='ignore'`"
        number = int(some.sum())
        its = f"its {number:,} training photos are" if number > 1 else "its only training photo is"
        raise UserError(
            f"Class {readable(names[label])!r} has no training photos left:"
            f" {its} {_described(kinds[some], sides[some])}. {remedy}."
        )
    lines = []
    for split in (TRAIN, VALIDATION):
        some = wanted[moved] == SPLITS.index(split)
        if number := int(some.sum()):
            what = _described(kinds[some], sides[some])
            photos_of = plural_of(number, "photo of the given", "photos of the given")
            are, were = ("is", "was") if number == 1 else ("are", "were")
            lines.append(
                f"{number:,} {photos_of} {split} split {are} {what}, and {were} moved there."
            )
    return tuple(lines)


def near_twin_warnings(
    names: Sequence[str], labels: np.ndarray, classes: ClassTable, twins: np.ndarray
) -> list[str]:
    """Returns what groups of near twins do to the split where they are large, one line each.

    Args:
        names: of the classes.
        labels: of each photo, int32, [photos].
        classes: what labels stand for.
        twins: of each photo, as in `Kinship`.
    """
    sizes = classes.counts(labels)
    whole = int(np.bincount(twins, minlength=1).max())
    rows, found = classes.pairs(labels)
    most = int(twins.max(initial=0)) + 1
    pairs = found * np.int64(most)
    pairs += twins[rows]
    pairs.sort()
    starts = np.flatnonzero(np.diff(pairs, prepend=-1)).astype(np.int32)
    members = np.diff(starts, append=np.int32(len(pairs)))
    having = (pairs[starts] // most).astype(np.int32)
    number = np.bincount(having, minlength=len(names))
    largest = np.zeros(len(names), np.int32)
    np.maximum.at(largest, having, members)
    lines, large = [], []
    for label, name in enumerate(names):
        if number[label] < min(len(SPLITS), sizes[label]):
            lines.append(
                f"All {sizes[label]} photos of class {name!r} are near twins of"
                f" {'one another' if number[label] == 1 else 'two'}, and near twins stay in"
                " one split: the class is not in every split, so it can't be measured. Add other"
                " photos."
            )
        elif _is_large(largest[label], sizes[label]):
            large.append(f"{readable(name)} ({largest[label]:,} of {sizes[label]:,})")
    if _is_large(whole, len(labels)):
        said = f"{whole:,} of {len(labels):,} photos are"
    elif large:
        more = f" and {len(large) - _MOST_NAMED} more" if len(large) > _MOST_NAMED else ""
        said = f"More than half of the photos of {', '.join(large[:_MOST_NAMED])}{more} are"
    else:
        return lines
    return [
        *lines,
        f"{said} one group of near twins, which stays in one split, so the shares of the split are"
        " far from those asked for. `twins='ignore'` does not look for them; with `group_by`, what"
        " you name stays together instead.",
    ]


def _is_large(size: int, count: int) -> bool:
    return bool(size >= _FEWEST_IN_LARGE_GROUP and 2 * size > count)


def _kinds(was: np.ndarray, moved: np.ndarray, sides: np.ndarray, kin: Kinship) -> np.ndarray:
    """Returns what each moved photo has in common with those of its split: places in `_KINDS`."""
    kinds = np.full(len(moved), len(_KINDS) - 1)
    if not len(moved):
        return kinds
    for place, numbers in reversed([*enumerate((kin.pixels, kin.twins))]):
        there = numbers * np.int64(len(SPLITS)) + was
        now = numbers[moved] * np.int64(len(SPLITS)) + sides
        kinds[np.isin(now, there[was >= 0])] = place
    return kinds


def _described(kinds: np.ndarray, sides: np.ndarray) -> str:
    """Returns what moved photos are, given what they have in common and the splits they are in."""
    nouns = _KINDS.values() if len(kinds) == 1 else _KINDS
    what = [noun for place, noun in enumerate(nouns) if place in kinds]
    listed = " or ".join(filter(None, [", ".join(what[:-1]), what[-1]]))
    where = [_NOUNS[split] for split in (TEST, VALIDATION) if SPLITS.index(split) in sides]
    joined = " or ".join(where)
    photos = f"a {joined} photo" if len(kinds) == 1 else f"{joined} photos"
    return f"{listed} of {photos}"
