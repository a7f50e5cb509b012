"""Photos -> manifest: copies left out, enough left per class, and each in its split."""

import collections
import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from xferlearn.errors import UserError
from xferlearn.photos.manifest import TEST, TRAIN, VALIDATION, BadPhoto, Manifest, Photo

FEWEST_PHOTOS = 3
FEW_PHOTOS = 20

# Where a dataset's authors put equal photos into several splits, the first of these counts.
_CLAIMS = (TEST, VALIDATION, TRAIN, None)
_NOHASH = re.compile(r"_nohash_.*$", re.DOTALL)


def build_manifest(
    labels: Sequence[str],
    photos: Iterable[Photo],
    bad: Sequence[BadPhoto] = (),
    *,
    testing_percentage: float = 10.0,
    validation_percentage: float = 10.0,
    split_seed: int = 0,
    test_seed: int | None = None,
    warnings: Sequence[str] = (),
) -> Manifest:
    """Returns the manifest of photos that have been read, checked and split.

    Args:
        labels: class names, sorted.
        photos: readable photos. Of several with the same bytes in one class one is used: the
            first that the dataset's authors set apart for the test, for validation, or the first.
        bad: photos that could not be used.
        testing_percentage: 0 to 90, share of the photos for the test.
        validation_percentage: 0 to 90, share of the photos for validation.
        split_seed: salt of the split.
        test_seed: salt of the choice of test photos; None for `split_seed`.
        warnings: what is known already that a person should know, one line each.

    Raises:
        UserError: when there are fewer than two classes, a class has fewer than three different
            photos, or more than half of its photos can't be used.
    """
    kept: dict[tuple[int, bytes], Photo] = {}
    files: collections.Counter[int] = collections.Counter()
    for photo in photos:
        files[photo.label] += 1
        key = (photo.label, photo.digest)
        if key not in kept or _claim(photo) < _claim(kept[key]):
            kept[key] = photo
    unique = tuple(kept.values())
    distinct = collections.Counter(photo.label for photo in unique)
    broken = collections.Counter(photo.label for photo in bad)
    for label, name in enumerate(labels):
        if broken[label] > files[label]:
            first = next(photo for photo in bad if photo.label == label)
            raise UserError(
                f"More than half of class {name!r} can't be used: {broken[label]} of"
                f" {broken[label] + files[label]} photos, e.g. {first.name} ({first.reason})."
                " Replace or remove them."
            )
    check_counts(
        {name: distinct[label] for label, name in enumerate(labels)}, kind="different readable"
    )
    splits = assign_splits(
        labels,
        unique,
        testing_percentage=testing_percentage,
        validation_percentage=validation_percentage,
        split_seed=split_seed if test_seed is None else test_seed,
    )
    if test_seed not in (None, split_seed):
        share = 100 * validation_percentage / (100 - testing_percentage)
        splits = _deal_again(labels, unique, splits, share, split_seed)
    return Manifest(
        labels=tuple(labels),
        photos=unique,
        splits=splits,
        bad=tuple(bad),
        duplicates=sum(files.values()) - len(unique),
        warnings=(
            *warnings,
            *_few_photos_warnings(labels, distinct),
            *_conflict_warnings(unique),
        ),
    )


def check_counts(counts: Mapping[str, int], kind: str = "", hint: str = "") -> None:
    """Checks that there are classes and that each has enough photos.

    Args:
        counts: number of photos by class.
        kind: word before "photos" in the message.
        hint: sentence at the end of the message that there are too few classes.

    Raises:
        UserError: on no class, one class, or a class with fewer than three photos.
    """
    if len(counts) < 2:
        names = ", ".join(map(repr, counts)) or "none"
        raise UserError(
            f"Expected at least two classes, one folder per class. Found {len(counts)}: {names}."
            f"{hint}"
        )
    for name, count in counts.items():
        if count < FEWEST_PHOTOS:
            photos = f"{kind} photo{'' if count == 1 else 's'}".strip()
            raise UserError(
                f"Class {name!r} has {count or 'no'} {photos}. Expected at least"
                f" {FEWEST_PHOTOS}: one each for training, validation and test. Add photos to it"
                " or remove its folder."
            )


def assign_splits(
    labels: Sequence[str],
    photos: Sequence[Photo],
    *,
    testing_percentage: float = 10.0,
    validation_percentage: float = 10.0,
    split_seed: int = 0,
) -> tuple[str, ...]:
    """Returns the split of each photo, decided by its content alone.

    What must stay together is one unit: files with the same bytes, files of one group, and files
    of one class whose names agree up to `_nohash_` (several photos of one object). A unit's digest
    and the seed make a number from 0 to 100 that is compared with the percentages, so adding a
    photo moves no other one. If that leaves a class of at least three units without one in some
    split, the unit whose number is nearest moves there: one of this class alone if there is any,
    else one that no other class is in need of where it is.

    Args:
        labels: class names, sorted.
        photos: readable photos.
        testing_percentage: 0 to 90; 0 puts no photo into the test split.
        validation_percentage: 0 to 90; 0 puts no photo into the validation split.
        split_seed: salt of the numbers.

    Returns:
        For each photo "train", "validation" or "test".
    """
    unit_of = _units(labels, photos)
    members: dict[str, list[int]] = {}
    for index, unit in enumerate(unit_of):
        members.setdefault(unit, []).append(index)
    position = {unit: _percent(unit, split_seed) for unit in members}
    bounds = {
        TEST: (0.0, testing_percentage),
        VALIDATION: (testing_percentage, testing_percentage + validation_percentage),
        TRAIN: (testing_percentage + validation_percentage, 100.0),
    }
    split_of: dict[str, str] = {}
    classes_of = {unit: {photos[index].label for index in found} for unit, found in members.items()}
    held: dict[int, list[str]] = collections.defaultdict(list)
    movable: dict[int, list[str]] = collections.defaultdict(list)
    for unit, indices in members.items():
        for label in classes_of[unit]:
            held[label].append(unit)
        fixed = {photos[index].fixed_split for index in indices} - {None}
        if fixed:
            # Test wins over train: the same photo must not be learned and then tested.
            split_of[unit] = next(name for name in _CLAIMS if name and name in fixed)
            continue
        split_of[unit] = next(
            (name for name, (low, high) in bounds.items() if low <= position[unit] < high), TRAIN
        )
        for label in classes_of[unit]:
            movable[label].append(unit)

    def spare(label: int) -> list[str]:
        sizes = {
            one: collections.Counter(split_of[unit] for unit in held[one])
            for one in {one for unit in movable[label] for one in classes_of[unit]}
        }
        free = [
            unit
            for unit in movable[label]
            if all(sizes[one][split_of[unit]] > 1 for one in classes_of[unit])
        ]
        # Moving a unit of several classes moves photos that may be well where they are.
        return [unit for unit in free if len(classes_of[unit]) == 1] or free

    for label in sorted(movable):
        for name in (TRAIN, TEST, VALIDATION):
            low, high = bounds[name]
            if high > low and all(split_of[unit] != name for unit in held[label]):
                units = spare(label)
                # A class that is one unit can't be tested, but it must be learned.
                if name == TRAIN and not units:
                    units = [unit for unit in movable[label] if len(classes_of[unit]) == 1]
                if units:
                    middle = (low + high) / 2
                    nearest = min(units, key=lambda unit: (abs(position[unit] - middle), unit))
                    split_of[nearest] = name
    return tuple(split_of[unit] for unit in unit_of)


def _deal_again(
    labels: Sequence[str],
    photos: Sequence[Photo],
    splits: Sequence[str],
    validation_percentage: float,
    split_seed: int,
) -> tuple[str, ...]:
    """Returns splits with the same test photos; the others are dealt by another seed.

    Several splits are compared to choose something. If each had its own test photos, the test
    photos of one would be validation photos of another, and no test would be of unseen photos.
    """
    held = [
        dataclasses.replace(photo, fixed_split=TEST) if split == TEST else photo
        for photo, split in zip(photos, splits, strict=True)
    ]
    return assign_splits(
        labels,
        held,
        testing_percentage=0,
        validation_percentage=validation_percentage,
        split_seed=split_seed,
    )


def _percent(unit: str, split_seed: int) -> float:
    digest = hashlib.sha256(f"{split_seed}:{unit}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100


def _claim(photo: Photo) -> int:
    return _CLAIMS.index(photo.fixed_split)


def _units(labels: Sequence[str], photos: Sequence[Photo]) -> list[str]:
    """Returns the name of each photo's unit: of all names of its photos, the last in order."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    digests = [photo.digest.hex() for photo in photos]
    for photo, digest in zip(photos, digests, strict=True):
        find(digest)
        groups = [] if photo.group is None else [f"group of photos {photo.group}"]
        file_name = photo.name.rsplit("/", 1)[-1]
        if "_nohash_" in file_name:
            # By the class's name: its index would change with every class that is added.
            groups.append(f"group {labels[photo.label]}/{_NOHASH.sub('', file_name)}")
        for group in groups:
            first, second = sorted((find(group), find(digest)))
            # "group ..." sorts after every hex digest, and should name the unit: a digest would
            # change when a photo with a greater one joins the group.
            parent[first] = second
    return [find(digest) for digest in digests]


def _few_photos_warnings(labels: Sequence[str], counts: Mapping[int, int]) -> list[str]:
    few = [f"{name} ({counts[i]})" for i, name in enumerate(labels) if counts[i] < FEW_PHOTOS]
    if not few:
        return []
    return [
        f"Fewer than {FEW_PHOTOS} photos in {_some(few)}: expect low and uncertain accuracy there."
    ]


def _conflict_warnings(photos: Sequence[Photo]) -> list[str]:
    by_digest: dict[bytes, list[Photo]] = {}
    for photo in photos:
        by_digest.setdefault(photo.digest, []).append(photo)
    conflicts = [
        " = ".join(photo.name for photo in same) for same in by_digest.values() if len(same) > 1
    ]
    if not conflicts:
        return []
    return [
        f"{len(conflicts)} photos are in more than one class with the same bytes, which no model"
        f" can learn: {_some(conflicts)}."
    ]


def _some(items: Sequence[str], most: int = 5) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
