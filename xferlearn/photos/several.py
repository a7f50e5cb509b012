"""Several labels per photo, written as one text: `cat|dog`, and nothing for a photo without any.

Where photos may have several labels, a source's `labels` are these texts, one for each set that
occurs, and a photo's label is an index into them. `Manifest` takes them apart.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from xferlearn.photos.folders.names import class_label
from xferlearn.system.row_files import joined, parted

NO_LABEL = "no label"
"""What a person reads where a photo has no label; files have nothing there."""

_NONE_OF_THEM = ("background", "negative", "no label", "none", "nothing")


def label_text(labels: Iterable[str]) -> str:
    """Returns a set of labels as one text, in the order of their names, each once.

    Example:
        >>> label_text(["dog", "cat", "dog"])
        'cat|dog'
    """
    return joined(sorted(set(labels)))


def labels_in(text: str) -> tuple[str, ...]:
    """Returns the labels that a text of `label_text` names."""
    return tuple(parted(text))


def classes_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns the labels that texts of `label_text` name, sorted, each once."""
    return tuple(sorted({label for text in texts for label in labels_in(text)}))


def none_warnings(classes: Sequence[str], label_sets: Iterable[Sequence[int]]) -> list[str]:
    """Returns which classes may stand for photos without a label, one line each.

    Args:
        classes: all of them.
        label_sets: the class indices of each set of labels that occurs.
    """
    together = {label for labels in label_sets if len(labels) > 1 for label in labels}
    return [
        f"Class {name!r} is never together with another one. If it means that photos show none of"
        " the classes, leave the cell of their labels empty."
        for label, name in enumerate(classes)
        if label not in together and name.strip().casefold() in _NONE_OF_THEM
    ]


def truth_of(texts: Iterable[str], classes: Sequence[str]) -> np.ndarray:
    """Returns which classes texts of `label_text` name, bool, [texts, classes].

    Labels that are no class have no place in it.
    """
    index, sets = {label: place for place, label in enumerate(classes)}, [*map(labels_in, texts)]
    found = np.zeros((len(sets), len(index)), bool)
    for row, labels in enumerate(sets):
        found[row, [index[one] for one in labels if one in index]] = True
    return found


def read_label_text(text: str) -> str:
    """Returns the text of the labels that a person wrote with | between them.

    Example:
        >>> read_label_text("dog | cat|")
        'cat|dog'
    """
    return label_text(filter(None, map(class_label, parted(text))))


def labelled_rows(y: np.ndarray) -> np.ndarray:
    """Returns which photos have been labelled, bool, [photos].

    Args:
        y: class index of each photo, int, [photos]; -1 for those that have not. Where photos may
            have several labels, whether each has each class, int, [photos, classes]: 1, 0, or -1 in
            all of a row.
    """
    return np.asarray((y >= 0) if y.ndim == 1 else (y >= 0).all(axis=1))
