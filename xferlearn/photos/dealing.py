"""Photos -> the split of each, decided by content; what belongs together is one unit."""

import collections
import dataclasses
import hashlib
import re
import types
from collections.abc import Mapping, Sequence

from xferlearn.photos.manifest import TEST, TRAIN, VALIDATION, ClassesOf, Photo, only_class

_NOHASH = re.compile(r"_nohash_.*$", re.DOTALL)

# Where a dataset's authors put equal photos into several splits, the first of these counts.
CLAIMS = (TEST, VALIDATION, TRAIN, None)


def assign_splits(
    labels: Sequence[str],
    photos: Sequence[Photo],
    *,
    twins: Mapping[bytes, bytes] = types.MappingProxyType({}),
    testing_percentage: float = 10.0,
    validation_percentage: float = 10.0,
    split_seed: int = 0,
) -> tuple[str, ...]:
    """Returns the split of each photo, decided by its content alone.

    What must stay together is one unit: files with the same bytes, near twins, files of one group,
    and files of one class whose names agree up to `_nohash_` (photos of one object). A unit's
    digest and the seed make a number from 0 to 100 that is compared with the percentages, so adding
    a photo moves no other one. If that leaves a class of at least three units without one in some
    split, the unit whose number is nearest moves there: one of this class alone if there is any,
    else one that no other class is in need of where it is.

    Args:
        labels: class names, sorted.
        photos: readable photos.
        twins: what near twins have in common, as in `Alike`.
        testing_percentage: 0 to 90; 0 puts no photo into the test split.
        validation_percentage: 0 to 90; 0 puts no photo into the validation split.
        split_seed: salt of the numbers.

    Returns:
        For each photo "train", "validation" or "test".
    """
    return deal(
        photos,
        units_of(labels, photos, twins),
        testing_percentage=testing_percentage,
        validation_percentage=validation_percentage,
        split_seed=split_seed,
        classes_of=only_class,
    )


def deal(
    photos: Sequence[Photo],
    unit_of: Sequence[str],
    *,
    testing_percentage: float,
    validation_percentage: float,
    split_seed: int,
    classes_of: ClassesOf,
) -> tuple[str, ...]:
    """Returns the split of each photo as `assign_splits` does, by the unit that it belongs to."""
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
    held_by = {
        unit: {label for index in found for label in classes_of(photos[index])}
        for unit, found in members.items()
    }
    held: dict[int, list[str]] = collections.defaultdict(list)
    movable: dict[int, list[str]] = collections.defaultdict(list)
    for unit, indices in members.items():
        for label in held_by[unit]:
            held[label].append(unit)
        fixed = {photos[index].fixed_split for index in indices} - {None}
        if fixed:
            # Test wins over train: the same photo must not be learned and then tested.
            split_of[unit] = next(name for name in CLAIMS if name and name in fixed)
            continue
        split_of[unit] = next(
            (name for name, (low, high) in bounds.items() if low <= position[unit] < high), TRAIN
        )
        for label in held_by[unit]:
            movable[label].append(unit)

    def spare(label: int) -> list[str]:
        sizes = {
            one: collections.Counter(split_of[unit] for unit in held[one])
            for one in {one for unit in movable[label] for one in held_by[unit]}
        }
        free = [
            unit
            for unit in movable[label]
            if all(sizes[one][split_of[unit]] > 1 for one in held_by[unit])
        ]
        # Moving a unit of several classes moves photos that may be well where they are.
        return [unit for unit in free if len(held_by[unit]) == 1] or free

    for label in sorted(movable):
        for name in (TRAIN, TEST, VALIDATION):
            low, high = bounds[name]
            if high > low and all(split_of[unit] != name for unit in held[label]):
                units = spare(label)
                # A class that is one unit can't be tested, but it must be learned.
                if name == TRAIN and not units:
                    alone = [unit for unit in movable[label] if len(held_by[unit]) == 1]
                    units = alone or movable[label]
                if units:
                    middle = (low + high) / 2
                    nearest = min(units, key=lambda unit: (abs(position[unit] - middle), unit))
                    split_of[nearest] = name
    return tuple(split_of[unit] for unit in unit_of)


def deal_again(
    photos: Sequence[Photo],
    units: Sequence[str],
    splits: Sequence[str],
    validation_percentage: float,
    split_seed: int,
    classes_of: ClassesOf,
) -> tuple[str, ...]:
    """Returns splits with the same test photos; the others are dealt by another seed.

    Several splits are compared to choose something. If each had its own test photos, the test
    photos of one would be validation photos of another, and no test would be of unseen photos.
    """
    held = [
        dataclasses.replace(photo, fixed_split=TEST) if split == TEST else photo
        for photo, split in zip(photos, splits, strict=True)
    ]
    return deal(
        held,
        units,
        testing_percentage=0,
        validation_percentage=validation_percentage,
        split_seed=split_seed,
        classes_of=classes_of,
    )


def units_of(
    labels: Sequence[str], photos: Sequence[Photo], twins: Mapping[bytes, bytes]
) -> list[str]:
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
        if photo.digest in twins:
            # Sorts before every digest: their unit is named as that of a photo without twins is.
            groups.append(f"*{twins[photo.digest].hex()}")
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


def _percent(unit: str, split_seed: int) -> float:
    digest = hashlib.sha256(f"{split_seed}:{unit}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100
