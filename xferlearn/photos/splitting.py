"""Photos -> manifest: copies left out, enough left per class, and each in its split."""

import collections
import dataclasses
import hashlib
import re
import types
from collections.abc import Iterable, Mapping, Sequence

from xferlearn.config.presets import TESTING_PERCENTAGE
from xferlearn.errors import UserError
from xferlearn.photos.conflicts import conflict_warnings, grouped
from xferlearn.photos.folders.names import first_names
from xferlearn.photos.folding import deal_folds, unmeasured_warnings
from xferlearn.photos.learnable import check_learnable
from xferlearn.photos.manifest import TEST, TRAIN, VALIDATION, BadPhoto, Manifest, Photo
from xferlearn.photos.sides import check_sides, near_twin_warnings
from xferlearn.photos.twins.finding import Alike

FEWEST_PHOTOS = 3
WHAT_FOR = "some to learn from and some to measure with"
FEW_PHOTOS = 20
_MOST_NAMED = 5
# A class of so few loses too much to a test that tells too little; all photos are measured by
# cross-validation instead.
MOST_WITHOUT_TEST = 10
_FEWEST_WITH_TEST = 1000

# Where a dataset's authors put equal photos into several splits, the first of these counts.
_CLAIMS = (TEST, VALIDATION, TRAIN, None)
_NOHASH = re.compile(r"_nohash_.*$", re.DOTALL)


def build_manifest(
    labels: Sequence[str],
    photos: Iterable[Photo],
    bad: Sequence[BadPhoto] = (),
    *,
    testing_percentage: float | None = None,
    validation_percentage: float = 0.0,
    split_seed: int = 0,
    test_seed: int | None = None,
    alike: Alike | None = None,
    warnings: Sequence[str] = (),
) -> Manifest:
    """Returns the manifest of photos that have been read, checked and split.

    Args:
        labels: class names, sorted.
        photos: readable photos. Of several with the same bytes or pixels in one class one is
            used: one that the dataset's authors set apart for the test, or for validation, and
            the first by its bytes.
        bad: photos that could not be used.
        testing_percentage: 0 to 90, share of the photos for the test; None for 10, and for 0 where
            some class has at most 10 units and there are fewer than 1,000, or classes have at most
            10 on average.
        validation_percentage: 0 to 90, share of the photos for validation; with 0, and none that
            the dataset's authors set apart, the training photos are dealt into folds.
        split_seed: salt of the split, and of the folds.
        test_seed: salt of the choice of test photos; None for `split_seed`.
        alike: which photos have equal pixels and which are near twins; None where nobody looked.
        warnings: what is known already that a person should know, one line each.

    Raises:
        UserError: when there are fewer than two classes, a class has fewer than three different
            photos, more than half of its photos can't be used, nothing tells classes apart, or the
            given split leaves a class no training photo, because they are like others' photos.
    """
    photos, alike = tuple(photos), alike or Alike()
    kept: dict[tuple[int, bytes], Photo] = {}
    for photo in photos:
        key = _key(photo, alike)
        if key not in kept or _claim(photo) < _claim(kept[key]):
            kept[key] = photo
    files = collections.Counter(photo.label for photo in photos)
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
    found = check_learnable(labels, photos, alike)
    flat = _flat_classes(unique, alike)
    check_counts(
        {name: distinct[label] for label, name in enumerate(labels) if label not in flat},
        kind="different readable",
        copies={name: files[label] - distinct[label] for label, name in enumerate(labels)},
        others=len(flat),
    )
    twins = [photo for photo in unique if photo.digest in alike.twins]
    used = [kept[_key(photo, alike)] for photo in photos]
    # A copy that is left out still holds its group together with that of the one that is used.
    named = [
        dataclasses.replace(photo, digest=one.digest)
        for photo, one in zip(photos, used, strict=True)
    ]
    all_units = _units(labels, named, alike.twins)
    unit_of = dict(zip(used, all_units, strict=True))
    units = [unit_of[photo] for photo in unique]
    if testing_percentage is None:
        testing_percentage = 0.0 if _are_few(unique, units) else TESTING_PERCENTAGE
    splits = _dealt(
        unique,
        units,
        testing_percentage=testing_percentage,
        validation_percentage=validation_percentage,
        split_seed=split_seed if test_seed is None else test_seed,
    )
    if test_seed not in (None, split_seed):
        share = 100 * validation_percentage / (100 - testing_percentage)
        splits = _deal_again(unique, units, splits, share, split_seed)
    split_of = dict(zip(unique, splits, strict=True))
    folds = () if VALIDATION in splits else deal_folds(unique, units, splits, split_seed)
    moved = check_sides(labels, photos, [split_of[one] for one in used], all_units, alike)
    return Manifest(
        labels=tuple(labels),
        photos=unique,
        splits=splits,
        groups=_numbered(units),
        folds=folds,
        bad=tuple(bad),
        duplicates=len(photos) - len(unique),
        equal_pixels=len({(photo.label, photo.digest) for photo in photos}) - len(unique),
        near_twins=sum(len(same) for same in grouped(twins, alike.twins) if len(same) > 1),
        warnings=(
            *warnings,
            *found,
            *_few_photos_warnings(labels, distinct),
            *near_twin_warnings(labels, unique, alike.twins),
            *unmeasured_warnings(labels, unique, units, splits, folds),
            *moved,
            *conflict_warnings(unique, alike),
        ),
    )


def check_counts(
    counts: Mapping[str, int],
    kind: str = "",
    hint: str = "",
    *,
    copies: Mapping[str, int] = types.MappingProxyType({}),
    others: int = 0,
) -> None:
    """Checks that there are classes and that each has enough photos.

    Args:
        counts: number of photos by class.
        kind: word before "photos" in the message.
        hint: sentence at the end of the message that there are too few classes.
        copies: how many more a class has that are copies of those.
        others: how many more classes there are, with any number of photos.

    Raises:
        UserError: on no class, one class, or a class with fewer than three photos.
    """
    if len(counts) + others < 2:
        names = ", ".join(map(repr, counts)) or "none"
        raise UserError(
            f"Expected at least two classes, one folder per class. Found {len(counts)}: {names}."
            f"{hint}"
        )
    for name, count in counts.items():
        if count < FEWEST_PHOTOS:
            photos = f"{kind} photo{'' if count == 1 else 's'}".strip()
            more = copies.get(name, 0)
            same = ""
            if more:
                same = (
                    f"; its other {'photo is a copy' if more == 1 else f'{more} photos are copies'}"
                )
            raise UserError(
                f"Class {name!r} has {count or 'no'} {photos}. Expected at least"
                f" {FEWEST_PHOTOS}, {WHAT_FOR}{same}. Add photos to it or remove its folder."
            )


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
    return _dealt(
        photos,
        _units(labels, photos, twins),
        testing_percentage=testing_percentage,
        validation_percentage=validation_percentage,
        split_seed=split_seed,
    )


def _dealt(
    photos: Sequence[Photo],
    unit_of: Sequence[str],
    *,
    testing_percentage: float,
    validation_percentage: float,
    split_seed: int,
) -> tuple[str, ...]:
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
                    alone = [unit for unit in movable[label] if len(classes_of[unit]) == 1]
                    units = alone or movable[label]
                if units:
                    middle = (low + high) / 2
                    nearest = min(units, key=lambda unit: (abs(position[unit] - middle), unit))
                    split_of[nearest] = name
    return tuple(split_of[unit] for unit in unit_of)


def _deal_again(
    photos: Sequence[Photo],
    units: Sequence[str],
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
    return _dealt(
        held,
        units,
        testing_percentage=0,
        validation_percentage=validation_percentage,
        split_seed=split_seed,
    )


def _percent(unit: str, split_seed: int) -> float:
    digest = hashlib.sha256(f"{split_seed}:{unit}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100


def _key(photo: Photo, alike: Alike) -> tuple[int, bytes]:
    """Returns what photos of which one is used have in common."""
    return photo.label, alike.pixels.get(photo.digest, photo.digest)


def _claim(photo: Photo) -> tuple[int, bytes]:
    # By content, not by order, where pixels are equal and bytes differ.
    return _CLAIMS.index(photo.fixed_split), photo.digest


def _units(
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


def _are_few(photos: Sequence[Photo], units: Sequence[str]) -> bool:
    """Returns whether test photos would cost more than they tell."""
    of_class: dict[int, set[str]] = collections.defaultdict(set)
    for photo, unit in zip(photos, units, strict=True):
        of_class[photo.label].add(unit)
    smallest = min(len(found) for found in of_class.values())
    number = len(set(units))
    if number <= MOST_WITHOUT_TEST * len(of_class):
        return True
    return smallest <= MOST_WITHOUT_TEST and number < _FEWEST_WITH_TEST


def _numbered(units: Sequence[str]) -> tuple[int, ...]:
    numbers: dict[str, int] = {}
    return tuple(numbers.setdefault(unit, len(numbers)) for unit in units)


def _few_photos_warnings(labels: Sequence[str], counts: Mapping[int, int]) -> list[str]:
    few = [f"{name} ({counts[i]})" for i, name in enumerate(labels) if counts[i] < FEW_PHOTOS]
    if not few:
        return []
    named = first_names(few, _MOST_NAMED)
    return [f"Fewer than {FEW_PHOTOS} photos in {named}: expect low and uncertain accuracy there."]


def _flat_classes(photos: Sequence[Photo], alike: Alike) -> frozenset[int]:
    """Returns the classes of one colour: a few photos say all about them, or a single one."""
    different = {photo.label for photo in photos if photo.digest not in alike.flat}
    return frozenset({photo.label for photo in photos} - different)
