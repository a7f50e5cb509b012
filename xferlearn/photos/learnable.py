"""Whether the photos show something that can be learned: classes of one colour, one picture."""

import collections
from collections.abc import Sequence

import numpy as np

from xferlearn.errors import UserError
from xferlearn.photos.manifest import ClassesOf, Photo, only_class
from xferlearn.photos.twins.finding import Alike
from xferlearn.system.text import plural_of, readable

# Of a class. The rest is likely an accident, such as the edge of a lens cap.
_NEARLY_ALL = 0.95
# Levels of 255 by which colours may differ that no network can rely on.
_SAME_COLOUR = 4
_REASONS = {
    "black": "photos taken in the dark, or with the lens covered, look so",
    "white": "white drawings on transparency look so, because transparent pixels are put on white",
}


def check_learnable(
    labels: Sequence[str],
    photos: Sequence[Photo],
    alike: Alike,
    classes_of: ClassesOf = only_class,
) -> tuple[str, ...]:
    """Checks that the network has something to tell classes apart by.

    Args:
        labels: class names.
        photos: readable photos, copies included.
        alike: what is known of their looks.
        classes_of: returns the classes of a photo.

    Returns:
        What a person should know of photos of one colour, one line each.

    Raises:
        UserError: when all photos show the same picture, or several classes the same colour.
    """
    counts = collections.Counter(label for photo in photos for label in classes_of(photo))
    pictures = {alike.twins.get(photo.digest, photo.digest) for photo in photos}
    flat = [photo for photo in photos if photo.digest in alike.flat]
    if len(counts) > 1 and len(pictures) == 1 and not flat:
        raise UserError(
            f"There is nothing to learn: all {len(photos)} photos show the same picture, e.g."
            f" {readable(photos[0].name)} and {readable(photos[-1].name)}. Give each class photos"
            " of its own."
        )
    by_class = collections.Counter(label for photo in flat for label in classes_of(photo))
    blank = [label for label in sorted(counts) if by_class[label] >= _NEARLY_ALL * counts[label]]
    colours = {
        label: np.array([alike.flat[photo.digest] for photo in flat if label in classes_of(photo)])
        for label in blank
    }
    for label in blank:
        same = [other for other in blank if _same_colour(colours[label], colours[other])]
        if len(same) > 1:
            first = next(photo.name for photo in photos if same[0] in classes_of(photo))
            raise _no_difference(labels, first, same, counts, colours[label])
    warnings = [
        f"All {counts[label]} photos of class {readable(labels[label])!r} are"
        f" {_named(colours[label])}, without anything on them: the class is learned as that colour."
        for label in blank
    ]
    others = [readable(photo.name) for photo in flat if not {*classes_of(photo)} & {*blank}]
    if others:
        show = plural_of(len(others), "photo shows", "photos show")
        warnings.append(
            f"{len(others):,} {show} one colour and nothing else, e.g. {', '.join(others[:3])}."
        )
    return tuple(warnings)


def _same_colour(one: np.ndarray, other: np.ndarray) -> bool:
    """Returns whether all colours of two classes, int, [photos, 3], are about the same."""
    both = np.concatenate([one, other])
    return bool((np.abs(both - np.median(both, axis=0)) <= _SAME_COLOUR).all())


def _no_difference(
    labels: Sequence[str],
    first: str,
    same: Sequence[int],
    counts: "collections.Counter[int]",
    colours: np.ndarray,
) -> UserError:
    named = _named(colours)
    total = sum(counts[label] for label in same)
    whose = "photos"
    if len(same) < len(counts):
        names = [repr(readable(labels[label])) for label in same]
        whose = f"photos of classes {', '.join(names[:-1])} and {names[-1]}"
    why = f" ({_REASONS[named]})" if named in _REASONS else ""
    return UserError(
        f"There is nothing to learn: all {total} {whose} look the same, {named} and without"
        f" anything on them{why}. Look at {readable(first)}, and replace them."
    )


def _named(colours: np.ndarray) -> str:
    red, green, blue = np.median(colours, axis=0).astype(int).tolist()
    if max(red, green, blue) <= 8:
        return "black"
    if min(red, green, blue) >= 250:
        return "white"
    return f"of one colour (red {red}, green {green}, blue {blue})"
