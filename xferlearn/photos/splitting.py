"""Photos -> manifest: copies left out, enough left per class, and each in its split."""

import types
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from xferlearn.config.presets import TESTING_PERCENTAGE
from xferlearn.errors import UserError
from xferlearn.photos.class_table import ClassTable
from xferlearn.photos.columns import Numbers, Photos, Splits
from xferlearn.photos.conflicts import conflict_warnings
from xferlearn.photos.dealing import CLAIM_OF, Held, deal
from xferlearn.photos.digests import first_rows, repeated_rows, sortable
from xferlearn.photos.folders.names import first_names
from xferlearn.photos.folding import deal_folds, unmeasured_warnings
from xferlearn.photos.kinship import Kinship
from xferlearn.photos.learnable import check_learnable
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.photo import SPLITS, TEST, VALIDATION, BadPhoto, Photo
from xferlearn.photos.several import classes_in, labels_in, none_warnings
from xferlearn.photos.sides import check_sides, near_twin_warnings
from xferlearn.photos.twins.finding import Alike
from xferlearn.photos.units import units_of
from xferlearn.system.growing_table import drop_pages
from xferlearn.system.memory import return_freed_memory
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
    every, alike = Photos.of(photos), alike or Alike()
    names, label_sets = _taken_apart(labels) if multi_label else (tuple(labels), None)
    classes = ClassTable(len(names), label_sets)
    every_kin = Kinship.of(every, alike)
    used, kept = _used(every, every_kin)
    _tidy()
    unique, kin = every.take(kept), every_kin.take(kept)
    files, distinct = classes.counts(every.labels), classes.counts(unique.labels)
    _check_broken(names, classes, files, bad)
    found = check_learnable(names, every, classes, every_kin, alike)
    # Classes of one colour: a few photos say all about them, or a single one.
    flat = (distinct > 0) & (classes.counts(unique.labels[~kin.is_flat]) == 0)
    check_counts(
        {name: int(distinct[label]) for label, name in enumerate(names) if not flat[label]},
        kind="different readable",
        copies=dict(zip(names, (files - distinct).tolist(), strict=True)),
        others=int(flat.sum()),
        multi_label=multi_label,
    )
    # Photos of one object stay together whichever labels they have.
    every_unit = units_of([""] * len(labels) if multi_label else labels, every, every_kin, used)
    units = every_unit.take(kept)
    _tidy()
    if testing_percentage is None:
        are_few = _are_few(Held(units, unique.labels, classes).units_by_class(), len(units))
        testing_percentage = 0.0 if are_few else TESTING_PERCENTAGE
    codes = deal(
        units,
        unique.labels,
        classes,
        unique.fixed_splits,
        testing_percentage=testing_percentage,
        validation_percentage=validation_percentage,
        split_seed=split_seed if test_seed is None else test_seed,
    )
    if test_seed not in (None, split_seed):
        # Several splits are compared to choose something. If each had its own test photos, those of
        # one would be validation photos of another, and no test would be of unseen photos.
        is_test = codes == SPLITS.index(TEST)
        codes = deal(
            units,
            unique.labels,
            classes,
            np.where(is_test, codes, unique.fixed_splits),
            testing_percentage=0,
            validation_percentage=100 * validation_percentage / (100 - testing_percentage),
            split_seed=split_seed,
        )
    folds = np.empty(0, np.int8)
    if not (codes == SPLITS.index(VALIDATION)).any():
        folds = deal_folds(units, unique.labels, classes, codes, split_seed)
    _tidy()
    place = np.empty(len(every), np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    moved = check_sides(names, every, classes, codes[place[used]], every_unit, every_kin)
    in_class = len(np.unique(_first_in_class(every_kin.files, every.labels)))
    together = np.bincount(kin.twins[kin.has_twins], minlength=1)
    return Manifest(
        labels=names,
        label_sets=label_sets,
        photos=unique,
        splits=Splits(codes),
        groups=Numbers(units.of_photo),
        folds=Numbers(folds),
        bad=tuple(bad),
        duplicates=len(every) - len(unique),
        equal_pixels=in_class - len(unique),
        near_twins=int(together[together > 1].sum()),
        warnings=(
            *warnings,
            *found,
            *(none_warnings(names, label_sets) if label_sets is not None else ()),
            *_few_photos_warnings(names, distinct),
            *(_everywhere_warnings(names, distinct, len(unique)) if multi_label else ()),
            *near_twin_warnings(names, unique.labels, classes, kin.twins),
            *unmeasured_warnings(names, units, unique.labels, classes, codes, folds),
            *moved,
            *conflict_warnings(unique, kin, multi_label=multi_label),
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


def _tidy() -> None:
    """Gives back what a step needed meanwhile, so that the next one's peak is not on top of it."""
    drop_pages()
    return_freed_memory()


def _used(photos: Photos, kin: Kinship) -> tuple[np.ndarray, np.ndarray]:
    """Returns which photo is used in the place of each, and all that are used, int32, [photos].

    Of several with the same pixels in one class it is the first by its claim to a split, then by
    content, not by order.
    """
    same = _first_in_class(kin.pixels, photos.labels)
    rows = repeated_rows(same)
    content = np.argsort(np.argsort(sortable(photos.digests[rows]), kind="stable"), kind="stable")
    content = content[first_rows(photos.digests[rows])]
    rows = rows[np.lexsort((rows, content, CLAIM_OF[photos.fixed_splits[rows]]))[::-1]]
    best = same.copy()
    best[same[rows]] = rows
    used = best[same]
    return used, used[same == np.arange(len(same), dtype=np.int32)]


def _first_in_class(numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the first photo with the same number and label for each, int32, [photos]."""
    pairs = numbers.astype(np.int64)
    pairs *= labels.max(initial=0) + 1
    pairs += labels
    return first_rows(pairs)


def _check_broken(
    names: Sequence[str], classes: ClassTable, files: np.ndarray, bad: Sequence[BadPhoto]
) -> None:
    labels = np.fromiter((photo.label for photo in bad), np.int32)
    broken = classes.counts(labels)
    for label in np.flatnonzero(broken > files)[:1].tolist():
        first = bad[int(classes.has(labels, label).argmax())]
        raise UserError(
            f"More than half of class {names[label]!r} can't be used: {broken[label]} of"
            f" {broken[label] + files[label]} photos, e.g. {first.name} ({first.reason})."
            " Replace or remove them."
        )


def _are_few(by_class: np.ndarray, number: int) -> bool:
    """Returns whether test photos would cost more than they tell, by the units of each class."""
    of_class = by_class[by_class > 0]
    if number <= MOST_WITHOUT_TEST * len(of_class):
        return True
    return bool(of_class.min() <= MOST_WITHOUT_TEST) and number < _FEWEST_WITH_TEST


def _few_photos_warnings(labels: Sequence[str], counts: np.ndarray) -> list[str]:
    few = [f"{name} ({counts[i]})" for i, name in enumerate(labels) if counts[i] < FEW_PHOTOS]
    if not few:
        return []
    named = first_names(few, _MOST_NAMED)
    return [f"Fewer than {FEW_PHOTOS} photos in {named}: expect low and uncertain results there."]


def _everywhere_warnings(labels: Sequence[str], counts: np.ndarray, photos: int) -> list[str]:
    """Returns which classes all photos have, one line or none."""
    found = [readable(name) for i, name in enumerate(labels) if counts[i] == photos]
    if not found:
        return []
    return [
        f"Every photo has {first_names(found, _MOST_NAMED)}: there is nothing to tell apart, so"
        " that is not measured. Add photos without."
    ]


def _taken_apart(texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Returns the classes that sets of labels name, sorted, and for each set the class indices."""
    sets, classes = [labels_in(text) for text in texts], classes_in(texts)
    index = {label: number for number, label in enumerate(classes)}
    return classes, tuple(tuple(sorted(index[label] for label in labels)) for labels in sets)
