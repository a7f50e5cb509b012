"""Photos whose label is suspected: by heads that have not seen them, or by a twin's label."""

import collections
import dataclasses
from collections.abc import Collection, Sequence

import numpy as np

from xferlearn.auditing.copies import Copy, copy_of, find_copies
from xferlearn.auditing.findings import CONFLICT, LABEL, Finding
from xferlearn.auditing.label_errors import LabelErrors
from xferlearn.auditing.set_errors import SetErrors
from xferlearn.photos.photo import Photo
from xferlearn.photos.twins.finding import Alike


@dataclasses.dataclass(frozen=True, eq=False)
class Suspects:
    """Photos whose label is suspected, and harmless twins.

    Attributes:
        findings: label errors, the worst first, and then what is found of twins. A label error that
            has a twin of another class is told with its twin alone.
        rows: rows of the label errors, int, [label errors].
    """

    findings: tuple[Finding, ...]
    rows: np.ndarray


def find_suspects(
    photos: Sequence[Photo],
    labels: Sequence[str],
    errors: LabelErrors | SetErrors,
    every: Sequence[Photo],
    alike: Alike,
    decided: Collection[bytes] = (),
) -> Suspects:
    """Returns the label errors and the twins, each photo with one finding that doubts its label.

    Args:
        photos: the photos that `errors` is of, with their labels.
        labels: what a photo's label is called.
        errors: how likely each label is wrong.
        every: all photos, also the copies that were left out of `photos`.
        alike: which of them look alike.
        decided: digests of photos about whose label a person has decided; those with the same
            pixels and label are decided with them.
    """
    copies: dict[Copy, dict[bytes, None]] = collections.defaultdict(dict)
    for photo in every:
        copies[copy_of(photo, alike)][photo.digest] = None
    done = {key for key, same in copies.items() if not same.keys().isdisjoint(decided)}
    judged = np.isfinite(errors.probabilities).all(axis=1)
    wrong = {
        copy_of(photo, alike): float(errors.score[row])
        for row, photo in enumerate(photos)
        if judged[row]
    }
    twins = find_copies(every, labels, alike, wrong, done)
    told = {(one.digest, one.label) for one in twins if one.kind == CONFLICT}
    findings, rows = [], []
    for row in errors.order.tolist():
        photo = photos[row]
        key, label = copy_of(photo, alike), labels[photo.label]
        if key in done or (photo.digest, label) in told:
            continue
        if isinstance(errors, SetErrors):
            better, text = errors.told(row)
        else:
            better, text = errors.told(row, photo.label, labels)
        others = tuple(digest for digest in copies[key] if digest != photo.digest)
        score = float(errors.score[row])
        rows.append(row)
        findings.append(
            Finding(LABEL, photo.digest, photo.name, label, score, better, others, text)
        )
    return Suspects((*findings, *twins), np.array(rows, int))
