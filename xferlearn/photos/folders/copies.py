"""Folders of classes in which copies of one file say that a photo has several labels."""

import collections
import contextlib
import dataclasses
import hashlib

import numpy as np

from xferlearn.photos.folders.columns import Coded
from xferlearn.photos.folders.file_source import FileSource
from xferlearn.photos.photo import TEST, TRAIN, VALIDATION
from xferlearn.photos.several import label_text
from xferlearn.system.text import count, plural_of


def joined_copies(source: FileSource) -> FileSource:
    """Returns photos with all classes that copies of their files lie in, each photo once.

    Only files of equal size are read. One that can't be read is left to be reported later.

    Args:
        source: files with one class each.

    Returns:
        The photos under the first of their paths. A photo that is tested anywhere is tested.
    """
    firsts = _first_copies(source)
    rows = np.flatnonzero(firsts == np.arange(len(firsts)))
    labels_at: dict[int, set[int]] = collections.defaultdict(set)
    for row in np.flatnonzero(firsts != np.arange(len(firsts))).tolist():
        first = int(firsts[row])
        labels_at[first] |= {int(source.files.labels[first]), int(source.files.labels[row])}
    several = sum(len(labels) > 1 for labels in labels_at.values())
    texts = Coded.of(
        label_text(source.labels[one] for one in labels_at.get(row, (label,)))
        for row, label in zip(rows.tolist(), source.files.labels[rows].tolist(), strict=True)
    )
    labels = tuple(sorted(texts.values))
    places = np.array([labels.index(text) for text in texts.values], np.int32)
    lie = plural_of(several, "lies", "lie")
    said = f"{count(several, 'photo')} {lie} in the folders of several classes and"
    said += f" {plural_of(several, 'has', 'have')} all of their labels."
    if not several:
        said = "No photo lies in the folders of several classes: each has one label."
    one = dataclasses.replace(source, splits=_splits(source.splits, firsts)).at(rows)
    return dataclasses.replace(
        one,
        labels=labels,
        files=one.files.labelled(places[texts.codes]),
        warnings=(*source.warnings, said),
        is_multi_label=True,
    )


def _first_copies(source: FileSource) -> np.ndarray:
    """Returns for each photo the position of the first one with the same bytes, int64, [photos]."""
    sizes = np.fromiter((entry.size for entry in source.entries()), np.int64, source.count)
    firsts = np.arange(source.count)
    order = np.argsort(sizes, kind="stable")
    same = sizes[order][1:] == sizes[order][:-1]
    order = order[np.append(same, False) | np.append([False], same)]
    known: dict[bytes, int] = {}
    size = -1
    for row, entry in zip(order.tolist(), source.entries(order), strict=True):
        if entry.size != size:  # of the next size; no other file can be a copy
            known, size = {}, entry.size
        with contextlib.suppress(OSError):
            firsts[row] = known.setdefault(hashlib.sha256(entry.read()).digest(), row)
    return firsts


def _splits(splits: Coded, firsts: np.ndarray) -> Coded:
    """Returns the splits, of the first copy that of any one that is tested, or measured."""
    if not splits:
        return splits
    claims = (TEST, VALIDATION, TRAIN, None)
    ranks = np.array([claims.index(one) for one in (*splits.values, None)])[splits.codes]
    np.minimum.at(ranks, firsts, ranks.copy())
    return Coded(np.where(ranks == 3, -1, ranks), (TEST, VALIDATION, TRAIN))
