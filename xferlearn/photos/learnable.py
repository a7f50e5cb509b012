"""Whether the photos show something that can be learned: classes of one colour, one picture."""

from collections.abc import Sequence

import numpy as np

from xferlearn.errors import UserError
from xferlearn.photos.class_table import ClassTable
from xferlearn.photos.columns import Photos
from xferlearn.photos.digests import colours_of
from xferlearn.photos.kinship import Kinship
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
    names: Sequence[str], photos: Photos, classes: ClassTable, kin: Kinship, alike: Alike
) -> tuple[str, ...]:
    """Checks that the network has something to tell classes apart by.

    Args:
        names: of the classes.
        photos: readable photos, copies included.
        classes: what their labels stand for.
        kin: what they have in common.
        alike: what is known of their looks.

    Returns:
        What a person should know of photos of one colour, one line each.

    Raises:
        UserError: when all photos show the same picture, or several classes the same colour.
    """
    counts = classes.counts(photos.labels)
    flat = np.flatnonzero(kin.is_flat)
    one_picture = len(photos) > 0 and bool((kin.twins == kin.twins[0]).all())
    if (counts > 0).sum() > 1 and one_picture and not len(flat):
        raise UserError(
            f"There is nothing to learn: all {len(photos)} photos show the same picture, e.g."
            f" {readable(photos[0].name)} and {readable(photos[-1].name)}. Give each class photos"
            " of its own."
        )
    labels = photos.labels[flat]
    by_class = classes.counts(labels)
    blank = np.flatnonzero((counts > 0) & (by_class >= _NEARLY_ALL * counts)).tolist()
    known = colours_of(alike.flat)
    colours = known.table[known.find(photos.digests[flat])]
    having = {label: classes.has(labels, label) for label in blank}
    for label in blank:
        same = [one for one in blank if _same_colour(*(colours[having[i]] for i in (label, one)))]
        if len(same) > 1:
            first = photos[int(classes.has(photos.labels, same[0]).argmax())].name
            raise _no_difference(names, first, same, counts, colours[having[label]])
    warnings = [
        f"All {counts[label]} photos of class {readable(names[label])!r} are"
        f" {_named(colours[having[label]])}, without anything on them: the class is learned as that"
        " colour."
        for label in blank
    ]
    others = flat[~np.logical_or.reduce([np.zeros(len(flat), bool), *having.values()])]
    if len(others):
        show = plural_of(len(others), "photo shows", "photos show")
        some = ", ".join(readable(photo.name) for photo in photos.take(others[:3]))
        warnings.append(f"{len(others):,} {show} one colour and nothing else, e.g. {some}.")
    return tuple(warnings)


def _same_colour(one: np.ndarray, other: np.ndarray) -> bool:
    """Returns whether all colours of two classes, uint8, [photos, 3], are about the same."""
    both = np.concatenate([one, other])
    return bool((np.abs(both - np.median(both, axis=0)) <= _SAME_COLOUR).all())


def _no_difference(
    labels: Sequence[str],
    first: str,
    same: Sequence[int],
    counts: np.ndarray,
    colours: np.ndarray,
) -> UserError:
    named = _named(colours)
    total = counts[same].sum()
    whose = "photos"
    if len(same) < (counts > 0).sum():
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
