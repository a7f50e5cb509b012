"""Unit vectors -> pairs of them that are close: exact for thousands, nearly so for a million."""

import math
from collections.abc import Iterator

import numpy as np

# Pairs are compared in blocks of this many, so memory stays flat.
_BLOCK = 2**22
# Up to this many all pairs are compared.
_EXACT = 5000
# Above, vectors are sorted to pivots, and each is compared with those of its nearest ones only.
# Two vectors with a cosine of 0.97 share one of these in all but one of some hundred cases.
_PIVOTS_TRIED = 3
# More neighbours than this say nothing new: they are neighbours of one another.
MOST = 8


def near_pairs(
    queries: np.ndarray, base: np.ndarray, floor: float, *, own: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns which vectors are close: of each query the `MOST` nearest.

    Args:
        queries: float32, [queries, width], each of length 1.
        base: float32, [vectors, width], each of length 1.
        floor: smallest cosine.
        own: whether row n of both belongs to one thing, so that it is no neighbour of itself.

    Returns:
        Rows of queries and of base, int64, [pairs], and their cosines, float32, [pairs].
    """
    if not len(queries) or not len(base):
        return _joined([])
    if len(base) <= _EXACT:
        every = np.arange(len(queries)), np.arange(len(base))
        return _joined(list(_compared(queries, base, *every, floor, own)))
    # Evenly spaced rows stand for all: callers bring them in an order that means nothing.
    pivots = base[:: max(1, len(base) // math.isqrt(len(base)))]
    home = _nearest(base, pivots, 1)
    tried = _nearest(queries, pivots, _PIVOTS_TRIED)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for inside, asking in zip(_by_pivot(home, pivots), _by_pivot(tried, pivots), strict=True):
        found += _compared(queries, base, asking, inside, floor, own)
    # Two pivots of one query give it twice as many: the nearest are kept.
    return _kept(*_joined(found))


def _compared(
    queries: np.ndarray,
    base: np.ndarray,
    asking: np.ndarray,
    inside: np.ndarray,
    floor: float,
    own: bool,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    if not len(inside):
        return
    others = base[inside]
    step = max(1, _BLOCK // len(inside))
    for start in range(0, len(asking), step):
        some = asking[start : start + step]
        cosines = queries[some] @ others.T
        if own:
            cosines[some[:, None] == inside] = -1.0
        # Several times as fast as nonzero on two axes, and nearly all there is to do.
        row, column = np.divmod(np.flatnonzero(cosines >= floor), len(inside))
        crowded = np.flatnonzero(np.bincount(row, minlength=1) > MOST)
        if len(crowded):
            lowest = np.full(len(some), floor, np.float32)
            lowest[crowded] = -np.partition(-cosines[crowded], MOST - 1, axis=1)[:, MOST - 1]
            row, column = np.nonzero(cosines >= lowest[:, None])
        yield some[row], inside[column], cosines[row, column]


def _nearest(vectors: np.ndarray, pivots: np.ndarray, most: int) -> np.ndarray:
    """Returns the pivots nearest to each vector, int64, [vectors, most]."""
    found = np.empty((len(vectors), most), np.int64)
    step = max(1, _BLOCK // len(pivots))
    for start in range(0, len(vectors), step):
        cosines = vectors[start : start + step] @ pivots.T
        found[start : start + step] = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
    return found


def _by_pivot(near: np.ndarray, pivots: np.ndarray) -> list[np.ndarray]:
    """Returns the rows of each pivot, given the pivots of each row."""
    ends = np.bincount(near.ravel(), minlength=len(pivots)).cumsum()
    return np.split(np.argsort(near.ravel(), kind="stable") // near.shape[1], ends[:-1])


def _kept(
    row: np.ndarray, column: np.ndarray, cosine: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.lexsort((column, -cosine, row))
    row, column, cosine = row[order], column[order], cosine[order]
    first = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1]])) if len(row) else row
    rank = np.arange(len(row)) - np.repeat(first, np.diff(np.append(first, len(row))))
    kept = rank < MOST
    return row[kept], column[kept], cosine[kept]


def _joined(
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    row, column, cosine = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return row, column, cosine
