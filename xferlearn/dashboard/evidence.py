"""The training photos that are nearest to those that the tab shows."""

from collections.abc import Sequence

import numpy as np

from xferlearn.dashboard.thumbnails import Choice
from xferlearn.decisions import Near, Nearest
from xferlearn.photos.photo import TRAIN, VALIDATION, Photo
from xferlearn.summaries.record import RunRecord
from xferlearn.system.vectors import blocks_of

NEAREST = 3


def nearest_photos(record: RunRecord, choices: Sequence[Choice]) -> list[list[Near[Photo]]]:
    """Returns the `NEAREST` photos of each photo, best first, that its prediction is based on.

    These are the photos that the head which predicted it has learned from: not those of the test,
    nor those of its own fold.

    Args:
        record: the run.
        choices: the photos.
    """
    manifest = record.manifest
    if not choices:
        return []
    said = record.metadata["bottleneck"]
    ends = np.cumsum([part["width"] for part in said.get("parts", [said])])[:-1]
    training = np.array([split == TRAIN for split in manifest.splits])
    folds = np.array(manifest.folds or [-1] * len(training))
    own = np.array(
        [
            folds[choice.row] if manifest.folds and choice.split == VALIDATION else -2
            for choice in choices
        ]
    )
    rows = np.array([choice.row for choice in choices])
    nearest = Nearest(np.split(record.bottlenecks[rows], ends, axis=1), NEAREST)
    for block, bottlenecks in blocks_of(record.bottlenecks):
        unknown = ~training[block] | (own[:, None] == folds[block])
        nearest.add(block, np.split(bottlenecks, ends, axis=1), unknown)
    return nearest.found(manifest.photos)
