"""Photos that are unlike all others, by their bottlenecks."""

from collections.abc import Sequence

import numpy as np

from xferlearn.auditing.findings import OUTLIER, Finding
from xferlearn.photos.photo import Photo
from xferlearn.system.vectors import Vectors, blocks_of

# A photo is as lonely as it is far from the one that is so many places from it. By the nearest
# alone, two strange photos that are like each other would not be strange: of 5 solar cells among
# 1,000 flowers the last is 6th to 10th this way (`tools/bench_quality.py`, 10 draws), of 10 it is
# 12th to 21st; by the mean of the nearest 5, the last of 6 was behind 600.
_NEIGHBOUR = 20
_MOST_COMPARED = 5000
_BLOCK = 2048
# In standard deviations, by the median deviation. Of the 1,000 flowers 17 are above: bark, a chair,
# a bridge, a tractor, musicians, a tattoo, and among them a few close flowers.
_LONELY = 2.5
_MOST_SHARE = 0.02


def loneliness(bottlenecks: Vectors, folds: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns how far photos are from others, in standard deviations, float32, [photos].

    A photo is compared with those of other folds, because near twins and groups are in its own.

    Args:
        bottlenecks: float32, [photos, width].
        folds: the fold of each photo, int, [photos]; -1 for none.
        seed: of which of many photos are compared with.
    """
    number = len(bottlenecks)
    drawn = np.random.default_rng(seed % 2**64).permutation(number)[:_MOST_COMPARED]
    others, of_others = _unit(bottlenecks[drawn]), folds[drawn]
    # As many places as photos that are compared with have; few photos have few neighbours.
    place = int(np.clip(_NEIGHBOUR * len(drawn) // max(number, 1), 1, max(len(drawn) // 10, 1)))
    found = np.zeros(number, np.float32)
    for rows, block in blocks_of(bottlenecks, most=_BLOCK):
        near = _unit(block) @ others.T
        same = (folds[rows, None] == of_others) & (of_others >= 0)
        same |= drawn == rows[:, None]
        near[same] = -1
        if near.shape[1]:
            found[rows] = np.partition(near, -place, axis=1)[:, -place]
    middle = np.median(found) if number else 0
    deviation = 1.4826 * np.median(np.abs(found - middle)) if number else 0
    return (middle - found) / max(float(deviation), 1e-3)


def _unit(bottlenecks: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(bottlenecks, axis=1, keepdims=True)
    return bottlenecks / np.maximum(lengths, np.float32(1e-12))


def find_outliers(
    photos: Sequence[Photo], labels: Sequence[str], lonely: np.ndarray
) -> list[Finding]:
    """Returns the photos that are unlike all others, at most 2% of them.

    Args:
        photos: the photos.
        labels: what a photo's label is called.
        lonely: as `loneliness` returns it.
    """
    order = np.argsort(-lonely, kind="stable")[: int(np.ceil(_MOST_SHARE * len(photos)))]
    return [
        Finding(
            OUTLIER,
            photos[row].digest,
            photos[row].name,
            labels[photos[row].label],
            1 - _LONELY / (2 * float(lonely[row])),
            text=f"{lonely[row]:.1f} deviations away",
        )
        for row in order.tolist()
        if lonely[row] > _LONELY
    ]
