"""Photos that are in more than one class, so that no model can learn what they are."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from xferlearn.photos.columns import Photos
from xferlearn.photos.digests import repeated_rows
from xferlearn.photos.folders.names import first_names
from xferlearn.photos.kinship import Kinship
from xferlearn.photos.photo import Photo
from xferlearn.system.text import plural_of

_MOST_COPIES = 4
_MOST_NAMED = 5


def conflict_warnings(photos: Photos, kin: Kinship, *, multi_label: bool = False) -> list[str]:
    """Returns which photos are in more than one class, one line for each way of being the same.

    Args:
        photos: the photos.
        kin: what they have in common.
        multi_label: whether photos may have several labels: then which have different sets of them.
    """
    where = "in more than one class"
    twins = "in one class and in another as a near twin"
    if multi_label:
        where = "there more than once, with different labels,"
        twins = "like a near twin that has other labels"
    kinds = (
        (f"{where} with the same bytes, which no model can learn", kin.files, None),
        (f"{where} with the same pixels, which no model can learn", kin.pixels, kin.has_pixels),
        (f"{twins} (check which label is right)", kin.twins, kin.has_twins),
    )
    warnings = []
    told: set[int] = set()
    for what, numbers, some in kinds:
        conflicts = []
        for same in _in_conflict(numbers, photos.labels, some):
            picture = int(kin.twins[same[0]])
            if picture not in told:
                told.add(picture)
                conflicts.append(" = ".join(p.name for p in photos.take(same[:_MOST_COPIES])))
        if conflicts:
            photos_are = plural_of(len(conflicts), "photo is", "photos are")
            warnings.append(
                f"{len(conflicts):,} {photos_are} {what}: {first_names(conflicts, _MOST_NAMED)}."
            )
    return warnings


def _in_conflict(
    numbers: np.ndarray, labels: np.ndarray, some: np.ndarray | None
) -> Iterator[np.ndarray]:
    """Yields the rows, of some or all, with one number and different labels, in their order."""
    rows = repeated_rows(numbers)
    if some is not None:
        rows = rows[some[rows]]
    numbers = numbers[rows]
    order = np.argsort(numbers, kind="stable")
    differs = np.diff(numbers[order]) != 0
    starts = np.flatnonzero(np.concatenate([[True], differs]))[: len(order)]
    if not len(starts):
        return
    ends = np.append(starts[1:], len(order))
    rows = rows[order]
    least, most = (some.reduceat(labels[rows], starts) for some in (np.minimum, np.maximum))
    found = np.flatnonzero(least != most)
    for one in found[np.argsort(rows[starts[found]])]:
        yield rows[starts[one] : ends[one]]


def grouped(photos: Sequence[Photo], common: Mapping[bytes, bytes]) -> list[list[Photo]]:
    """Returns the photos that have the same bytes, or the same in common."""
    groups: dict[bytes, list[Photo]] = {}
    for photo in photos:
        groups.setdefault(common.get(photo.digest, photo.digest), []).append(photo)
    return list(groups.values())
