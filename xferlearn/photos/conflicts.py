"""Photos that are in more than one class, so that no model can learn what they are."""

from collections.abc import Mapping, Sequence

from xferlearn.photos.folders.names import first_names
from xferlearn.photos.manifest import Photo
from xferlearn.photos.twins.finding import Alike
from xferlearn.system.text import plural_of

_MOST_COPIES = 4
_MOST_NAMED = 5


def conflict_warnings(
    photos: Sequence[Photo], alike: Alike, *, multi_label: bool = False
) -> list[str]:
    """Returns which photos are in more than one class, one line for each way of being the same.

    Args:
        photos: the photos.
        alike: what is known of their looks.
        multi_label: whether photos may have several labels: then which have different sets of them.
    """
    where = "in more than one class"
    twins = "in one class and in another as a near twin"
    if multi_label:
        where = "there more than once, with different labels,"
        twins = "like a near twin that has other labels"
    kinds: tuple[tuple[str, Mapping[bytes, bytes] | None], ...] = (
        (f"{where} with the same bytes, which no model can learn", None),
        (f"{where} with the same pixels, which no model can learn", alike.pixels),
        (f"{twins} (check which label is right)", alike.twins),
    )
    warnings = []
    told: set[bytes] = set()
    for what, common in kinds:
        conflicts = []
        some = photos if common is None else [p for p in photos if p.digest in common]
        for same in grouped(some, common or {}):
            picture = alike.twins.get(same[0].digest, same[0].digest)
            if len({photo.label for photo in same}) > 1 and picture not in told:
                told.add(picture)
                conflicts.append(" = ".join(photo.name for photo in same[:_MOST_COPIES]))
        if conflicts:
            photos_are = plural_of(len(conflicts), "photo is", "photos are")
            warnings.append(
                f"{len(conflicts):,} {photos_are} {what}: {first_names(conflicts, _MOST_NAMED)}."
            )
    return warnings


def grouped(photos: Sequence[Photo], common: Mapping[bytes, bytes]) -> list[list[Photo]]:
    """Returns the photos that have the same bytes, or the same in common."""
    groups: dict[bytes, list[Photo]] = {}
    for photo in photos:
        groups.setdefault(common.get(photo.digest, photo.digest), []).append(photo)
    return list(groups.values())
