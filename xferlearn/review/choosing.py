"""Which photos to label next: those the heads are unsure of, and unlike each other."""

import numpy as np

from xferlearn.system.vectors import Vectors, blocks_of

BATCH = 10
# A batch is half of the most uncertain photos: those farthest from each other. More uncertain ones
# teach more, but not where each photo has near copies.
_POOL = 2
# Where nothing is known yet, all are equally uncertain.
_MOST_EQUAL = 2000


def next_photos(
    probabilities: np.ndarray,
    bottlenecks: Vectors,
    candidates: np.ndarray,
    labelled: np.ndarray,
    count: int,
    batch: int = BATCH,
    *,
    multi_label: bool = False,
) -> np.ndarray:
    """Returns the photos to label next, in order.

    Each batch is taken from the photos with the smallest margins between the two likeliest classes
    (T. Scheffer, C. Decomain, S. Wrobel, 2001), farthest first from what is labelled or taken (k-
    center, O. Sener, S. Savarese, ICLR 2018), by the cosine of their bottlenecks. What it returns
    depends on its arguments alone. Heads that learn from a batch make the next one better.

    Args:
        probabilities: float, [photos, classes], range [0, 1]; NaN for photos without.
        bottlenecks: float, [photos, width].
        candidates: rows that may be taken, int, [candidates].
        labelled: rows that have a label, int, [labelled].
        count: how many to return, at most.
        batch: how many are taken before the next ones may be less uncertain.
        multi_label: whether photos may have several labels: then the margin is that between having
            a class and not, of the class of which it is smallest.

    Returns:
        Rows, int, [min(count, candidates)].

    Example:
        >>> candidates, labelled = np.flatnonzero(y < 0), np.flatnonzero(y >= 0)
        >>> next_photos(probabilities, bottlenecks, candidates, labelled, 10)
        array([412, 387, 935, 501, 668, 990, 433, 721, 846, 579])
    """
    candidates = np.unique(candidates)
    count = min(count, len(candidates))
    margins = (_margins_of_sets if multi_label else _margins)(probabilities, candidates)
    near = _most_uncertain(margins, count + _POOL * batch)
    rows, margins = candidates[near], margins[near]
    x = _normalised(bottlenecks[rows])
    similar = _most_similar(x, bottlenecks, labelled)
    left = np.ones(len(rows), bool)
    taken: list[int] = []
    while len(taken) < count:
        remaining = np.flatnonzero(left)
        last = margins[remaining[: _POOL * batch][-1]]
        pool = remaining[margins[remaining] <= last]
        for _ in range(min(batch, count - len(taken))):
            here = pool[left[pool]]
            pick = int(here[similar[here].argmin()])
            left[pick] = False
            taken.append(pick)
            similar = np.maximum(similar, x @ x[pick])
    return rows[taken]


def _most_uncertain(margins: np.ndarray, number: int) -> np.ndarray:
    """Returns at least so many photos, the most uncertain first; of equals all, or many."""
    if number >= len(margins):
        return np.argsort(margins, kind="stable")
    last = np.partition(margins, number - 1)[number - 1]
    below, equal = np.flatnonzero(margins < last), np.flatnonzero(margins == last)
    most = max(_MOST_EQUAL, number - len(below))
    if len(equal) > most:
        equal = equal[np.linspace(0, len(equal) - 1, most).astype(int)]
    return np.concatenate([below[np.argsort(margins[below], kind="stable")], equal])


def _margins(probabilities: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the largest probability minus the second, 0 where nothing is known."""
    found = np.zeros(len(rows), np.float32)
    if probabilities.shape[1] < 2:
        return found
    for start in range(0, len(rows), 65_536):
        part = np.partition(probabilities[rows[start : start + 65_536]], -2, axis=1)
        found[start : start + 65_536] = part[:, -1] - part[:, -2]
    return np.nan_to_num(found)


def _margins_of_sets(probabilities: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns how sure it is of the class that is least sure, 0 where nothing is known."""
    found = np.zeros(len(rows), np.float32)
    for start in range(0, len(rows), 65_536):
        part = probabilities[rows[start : start + 65_536]]
        found[start : start + 65_536] = np.abs(2 * part - 1).min(axis=1)
    return np.nan_to_num(found)


def _normalised(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float32)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _most_similar(x: np.ndarray, bottlenecks: Vectors, labelled: np.ndarray) -> np.ndarray:
    """Returns the largest cosine of each photo with any labelled one, -1 for none."""
    found = np.full(len(x), -1, np.float32)
    for _, block in blocks_of(bottlenecks, labelled):
        found = np.maximum(found, (x @ _normalised(block).T).max(axis=1))
    return found
