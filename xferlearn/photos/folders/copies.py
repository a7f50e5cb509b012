"""Folders of classes in which copies of one file say that a photo has several labels."""

import collections
import dataclasses
import hashlib
from collections.abc import Sequence

from xferlearn.photos.folders.files import FileSource
from xferlearn.photos.manifest import TEST, TRAIN, VALIDATION
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
    same: dict[object, list[int]] = collections.defaultdict(list)
    sizes = collections.Counter(entry.size for entry in source.entries())
    for row, entry in enumerate(source.entries()):
        key: object = row
        if sizes[entry.size] > 1:
            try:
                key = hashlib.sha256(entry.read()).digest()
            except OSError:
                key = row
        same[key].append(row)
    texts = [
        label_text(source.labels[source.files[row][1]] for row in rows) for rows in same.values()
    ]
    labels = tuple(sorted(set(texts)))
    index = {text: place for place, text in enumerate(labels)}
    first = [rows[0] for rows in same.values()]
    several = sum(len({source.files[row][1] for row in rows}) > 1 for rows in same.values())
    lie = plural_of(several, "lies", "lie")
    said = f"{count(several, 'photo')} {lie} in the folders of several classes and"
    said += f" {plural_of(several, 'has', 'have')} all of their labels."
    if not several:
        said = "No photo lies in the folders of several classes: each has one label."
    return dataclasses.replace(
        source,
        labels=labels,
        files=tuple(
            (source.files[row][0], index[text]) for row, text in zip(first, texts, strict=True)
        ),
        warnings=(*source.warnings, said),
        splits=_splits(source, list(same.values())) if source.splits else (),
        groups=tuple(source.groups[row] for row in first) if source.groups else (),
        is_multi_label=True,
    )


def _splits(source: FileSource, same: Sequence[Sequence[int]]) -> tuple[str | None, ...]:
    claims = (TEST, VALIDATION, TRAIN, None)
    return tuple(min((source.splits[row] for row in rows), key=claims.index) for rows in same)
