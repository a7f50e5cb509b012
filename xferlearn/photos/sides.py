"""What keeping copies, near twins and groups on one side of the split did to a given split."""

import collections
from collections.abc import Mapping, Sequence

from xferlearn.errors import UserError
from xferlearn.photos.manifest import (
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    ClassesOf,
    Photo,
    only_class,
)
from xferlearn.photos.twins.finding import Alike
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
    labels: Sequence[str],
    photos: Sequence[Photo],
    splits: Sequence[str],
    units: Sequence[str],
    alike: Alike,
    classes_of: ClassesOf = only_class,
) -> tuple[str, ...]:
    """Checks that every class has training photos left, and says how many photos were moved.

    Args:
        labels: class names.
        photos: readable photos, copies included.
        splits: the split of each, that of the photo that is used in its place for a copy.
        units: the name of what each stays together with.
        alike: what is known of their looks.
        classes_of: returns the classes of a photo.

    Returns:
        What a person should know of photos that are not in the split that they were given, one
        line each.

    Raises:
        UserError: when a class has no training photo.
    """
    given = {unit for photo, unit in zip(photos, units, strict=True) if photo.fixed_split}
    moved = {
        row: split
        for row, (photo, split, unit) in enumerate(zip(photos, splits, units, strict=True))
        if unit in given and split != (photo.fixed_split or TRAIN)
    }
    kinds = _kinds(photos, moved, alike)
    learned = {
        label
        for photo, split in zip(photos, splits, strict=True)
        if split == TRAIN
        for label in classes_of(photo)
    }
    for label, name in enumerate(labels):
        if label in learned:
            continue
        rows = [
            row
            for row in moved
            if label in classes_of(photos[row]) and (photos[row].fixed_split or TRAIN) == TRAIN
        ]
        if not rows:
            raise UserError(
                f"Class {readable(name)!r} has no training photos: all its photos are for"
                " validation or test. Move some of them to the training."
            )
        what = _described(rows, kinds, moved)
        remedy = "Remove them from one side"
        if any(kinds[row] == "near twins" for row in rows):
            remedy += ", or set `twins='ignore'`"
        one = "its only training photo is"
        its = one if len(rows) == 1 else f"its {len(rows):,} training photos are"
        raise UserError(
            f"Class {readable(name)!r} has no training photos left: {its} {what}. {remedy}."
        )
    lines = []
    for split in (TRAIN, VALIDATION):
        rows = [row for row in moved if (photos[row].fixed_split or TRAIN) == split]
        if rows:
            what = _described(rows, kinds, moved)
            some = plural_of(len(rows), "photo of the given", "photos of the given")
            are, were = ("is", "was") if len(rows) == 1 else ("are", "were")
            lines.append(
                f"{len(rows):,} {some} {split} split {are} {what}, and {were} moved there."
            )
    return tuple(lines)


def near_twin_warnings(
    labels: Sequence[str],
    photos: Sequence[Photo],
    twins: Mapping[bytes, bytes],
    classes_of: ClassesOf = only_class,
) -> list[str]:
    """Returns what groups of near twins do to the split where they are large, one line each."""
    sizes = collections.Counter(label for photo in photos for label in classes_of(photo))
    pictures = collections.Counter(twins.get(photo.digest, photo.digest) for photo in photos)
    inside: dict[int, collections.Counter[bytes]] = collections.defaultdict(collections.Counter)
    for photo in photos:
        for label in classes_of(photo):
            inside[label][twins.get(photo.digest, photo.digest)] += 1
    lines, large = [], []
    for label, name in enumerate(labels):
        largest = max(inside[label].values(), default=0)
        if len(inside[label]) < min(len(SPLITS), sizes[label]):
            lines.append(
                f"All {sizes[label]} photos of class {name!r} are near twins of"
                f" {'one another' if len(inside[label]) == 1 else 'two'}, and near twins stay in"
                " one split: the class is not in every split, so it can't be measured. Add other"
                " photos."
            )
        elif _is_large(largest, sizes[label]):
            large.append(f"{readable(name)} ({largest:,} of {sizes[label]:,})")
    whole = max(pictures.values(), default=0)
    if _is_large(whole, len(photos)):
        found = f"{whole:,} of {len(photos):,} photos are"
    elif large:
        more = f" and {len(large) - _MOST_NAMED} more" if len(large) > _MOST_NAMED else ""
        found = f"More than half of the photos of {', '.join(large[:_MOST_NAMED])}{more} are"
    else:
        return lines
    return [
        *lines,
        f"{found} one group of near twins, which stays in one split, so the shares of the split are"
        " far from those asked for. `twins='ignore'` does not look for them; with `group_by`, what"
        " you name stays together instead.",
    ]


def _is_large(size: int, count: int) -> bool:
    return size >= _FEWEST_IN_LARGE_GROUP and 2 * size > count


def _kinds(photos: Sequence[Photo], moved: Mapping[int, str], alike: Alike) -> dict[int, str]:
    """Returns what each moved photo has in common with those of the split where it is now."""
    there: set[tuple[str | None, bytes]] = set()
    for photo in photos:
        there |= {(photo.fixed_split, name) for name in _names(photo, alike)}
    kinds = {}
    for row, split in moved.items():
        found = [(split, name) in there for name in _names(photos[row], alike)]
        kinds[row] = list(_KINDS)[[*found, True].index(True)]
    return kinds


def _names(photo: Photo, alike: Alike) -> tuple[bytes, bytes]:
    """Returns what a photo shares with its copies, and what with its twins."""
    pixels = alike.pixels.get(photo.digest, photo.digest)
    return b"=" + pixels, b"~" + alike.twins.get(photo.digest, photo.digest)


def _described(rows: Sequence[int], kinds: Mapping[int, str], moved: Mapping[int, str]) -> str:
    some = {kinds[row] for row in rows}
    what = [_KINDS[kind] if len(rows) == 1 else kind for kind in _KINDS if kind in some]
    listed = " or ".join(filter(None, [", ".join(what[:-1]), what[-1]]))
    where = [_NOUNS[split] for split in (TEST, VALIDATION) if split in {moved[row] for row in rows}]
    joined = " or ".join(where)
    photos = f"a {joined} photo" if len(rows) == 1 else f"{joined} photos"
    return f"{listed} of {photos}"
