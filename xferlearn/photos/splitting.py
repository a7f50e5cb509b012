"""Photos -> manifest: copies left out, enough left per class, and each in its split."""

import collections
import dataclasses
import functools
import types
from collections.abc import Iterable, Mapping, Sequence

from xferlearn.config.presets import TESTING_PERCENTAGE
from xferlearn.errors import UserError
from xferlearn.photos.columns import Numbers, Photos, Splits
from xferlearn.photos.conflicts import conflict_warnings, grouped
from xferlearn.photos.dealing import CLAIMS, deal, deal_again, units_of
from xferlearn.photos.folders.names import first_names
from xferlearn.photos.folding import deal_folds, unmeasured_warnings
from xferlearn.photos.learnable import check_learnable
from xferlearn.photos.manifest import (
    VALIDATION,
    BadPhoto,
    ClassesOf,
    Manifest,
    Photo,
    only_class,
)
from xferlearn.photos.several import classes_in, labels_in, none_warnings
from xferlearn.photos.sides import check_sides, near_twin_warnings
from xferlearn.photos.twins.finding import Alike
from xferlearn.system.text import readable

FEWEST_PHOTOS = 3
WHAT_FOR = "some to learn from and some to measure with"
FEW_PHOTOS = 20
_MOST_NAMED = 5
# A class of so few loses too much to a test that tells too little; all photos are measured by
# cross-validation instead.
MOST_WITHOUT_TEST = 10
_FEWEST_WITH_TEST = 1000


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
    multi_label: bool = False,
) -> Manifest:
    """Returns the manifest of photos that have been read, checked and split.

    Args:
        labels: class names, sorted; those of a `PhotoSource`.
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
        multi_label: whether photos may have several labels, so that `labels` are sets of them.

    Raises:
        UserError: when there are fewer than two classes, or none where photos may have several
            labels, a class has fewer than three different photos, more than half of its photos
            can't be used, nothing tells classes apart, or the given split leaves a class no
            training photo, because they are like others' photos.
    """
    photos, alike = tuple(photos), alike or Alike()
    classes, label_sets, classes_of = tuple(labels), None, only_class
    if multi_label:
        classes, label_sets = _taken_apart(labels)
        classes_of = functools.partial(_in_set, label_sets)
    kept: dict[tuple[int, bytes], Photo] = {}
    for photo in photos:
        key = _key(photo, alike)
        if key not in kept or _claim(photo) < _claim(kept[key]):
            kept[key] = photo
    unique = tuple(kept.values())
    files, distinct, broken = (
        collections.Counter(label for photo in some for label in classes_of(photo))
        for some in (photos, unique, bad)
    )
    for label, name in enumerate(classes):
        if broken[label] > files[label]:
            first = next(photo for photo in bad if label in classes_of(photo))
            raise UserError(
                f"More than half of class {name!r} can't be used: {broken[label]} of"
                f" {broken[label] + files[label]} photos, e.g. {first.name} ({first.reason})."
                " Replace or remove them."
            )
    found = check_learnable(classes, photos, alike, classes_of)
    flat = _flat_classes(unique, alike, classes_of)
    check_counts(
        {name: distinct[label] for label, name in enumerate(classes) if label not in flat},
        kind="different readable",
        copies={name: files[label] - distinct[label] for label, name in enumerate(classes)},
        others=len(flat),
        multi_label=multi_label,
    )
    twins = [photo for photo in unique if photo.digest in alike.twins]
    used = [kept[_key(photo, alike)] for photo in photos]
    # A copy that is left out still holds its group together with that of the one that is used.
    named = [
        dataclasses.replace(photo, digest=one.digest)
        for photo, one in zip(photos, used, strict=True)
    ]
    # Photos of one object stay together whichever labels they have.
    whose = [""] * len(labels) if multi_label else labels
    all_units = units_of(whose, named, alike.twins)
    unit_of = dict(zip(used, all_units, strict=True))
    units = [unit_of[photo] for photo in unique]
    if testing_percentage is None:
        testing_percentage = 0.0 if _are_few(unique, units, classes_of) else TESTING_PERCENTAGE
    splits = deal(
        unique,
        units,
        testing_percentage=testing_percentage,
        validation_percentage=validation_percentage,
        split_seed=split_seed if test_seed is None else test_seed,
        classes_of=classes_of,
    )
    if test_seed not in (None, split_seed):
        share = 100 * validation_percentage / (100 - testing_percentage)
        splits = deal_again(unique, units, splits, share, split_seed, classes_of)
    split_of = dict(zip(unique, splits, strict=True))
    folds: tuple[int, ...] = ()
    if VALIDATION not in splits:
        folds = deal_folds(unique, units, splits, split_seed, classes_of)
    sides = [split_of[one] for one in used]
    moved = check_sides(classes, photos, sides, all_units, alike, classes_of)
    return Manifest(
        labels=classes,
        label_sets=label_sets,
        photos=Photos.of(unique),
        splits=Splits.of(splits),
        groups=Numbers.of(_numbered(units)),
        folds=Numbers.of(folds),
        bad=tuple(bad),
        duplicates=len(photos) - len(unique),
        equal_pixels=len({(photo.label, photo.digest) for photo in photos}) - len(unique),
        near_twins=sum(len(same) for same in grouped(twins, alike.twins) if len(same) > 1),
        warnings=(
            *warnings,
            *found,
            *(none_warnings(classes, label_sets) if label_sets is not None else ()),
            *_few_photos_warnings(classes, distinct),
            *(_everywhere_warnings(classes, distinct, len(unique)) if multi_label else ()),
            *near_twin_warnings(classes, unique, alike.twins, classes_of),
            *unmeasured_warnings(classes, unique, units, splits, folds, classes_of),
            *moved,
            *conflict_warnings(unique, alike, multi_label=multi_label),
        ),
    )


def check_counts(
    counts: Mapping[str, int],
    kind: str = "",
    hint: str = "",
    *,
    copies: Mapping[str, int] = types.MappingProxyType({}),
    others: int = 0,
    multi_label: bool = False,
) -> None:
    """Checks that there are classes and that each has enough photos.

    Args:
        counts: number of photos by class.
        kind: word before "photos" in the message.
        hint: sentence at the end of the message that there are too few classes.
        copies: how many more a class has that are copies of those.
        others: how many more classes there are, with any number of photos.
        multi_label: whether photos may have several labels or none, so that one class will do.

    Raises:
        UserError: on no class, one class, or a class with fewer than three photos.
    """
    if multi_label and not len(counts) + others:
        raise UserError(f"Expected at least one class. No photo has a label.{hint}")
    if len(counts) + others < 2 and not multi_label:
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


def _key(photo: Photo, alike: Alike) -> tuple[int, bytes]:
    """Returns what photos of which one is used have in common."""
    return photo.label, alike.pixels.get(photo.digest, photo.digest)


def _claim(photo: Photo) -> tuple[int, bytes]:
    # By content, not by order, where pixels are equal and bytes differ.
    return CLAIMS.index(photo.fixed_split), photo.digest


def _are_few(photos: Sequence[Photo], units: Sequence[str], classes_of: ClassesOf) -> bool:
    """Returns whether test photos would cost more than they tell."""
    of_class: dict[int, set[str]] = collections.defaultdict(set)
    for photo, unit in zip(photos, units, strict=True):
        for label in classes_of(photo):
            of_class[label].add(unit)
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
    return [f"Fewer than {FEW_PHOTOS} photos in {named}: expect low and uncertain results there."]


def _everywhere_warnings(
    labels: Sequence[str], counts: Mapping[int, int], photos: int
) -> list[str]:
    """Returns which classes all photos have, one line or none."""
    found = [readable(name) for i, name in enumerate(labels) if counts[i] == photos]
    if not found:
        return []
    return [
        f"Every photo has {first_names(found, _MOST_NAMED)}: there is nothing to tell apart, so"
        " that is not measured. Add photos without."
    ]


def _flat_classes(photos: Sequence[Photo], alike: Alike, classes_of: ClassesOf) -> frozenset[int]:
    """Returns the classes of one colour: a few photos say all about them, or a single one."""
    found, different = (
        {label for photo in some for label in classes_of(photo)}
        for some in (photos, [photo for photo in photos if photo.digest not in alike.flat])
    )
    return frozenset(found - different)


def _taken_apart(texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Returns the classes that sets of labels name, sorted, and for each set the class indices."""
    sets, classes = [labels_in(text) for text in texts], classes_in(texts)
    index = {label: number for number, label in enumerate(classes)}
    return classes, tuple(tuple(sorted(index[label] for label in labels)) for labels in sets)


def _in_set(label_sets: Sequence[tuple[int, ...]], photo: Photo | BadPhoto) -> tuple[int, ...]:
    return label_sets[photo.label] if photo.label >= 0 else ()
