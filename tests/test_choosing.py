"""Which photos to label next: uncertain ones, unlike each other."""

import numpy as np
import pytest

from xferlearn.review.choosing import next_photos


def corners(rows: np.ndarray) -> np.ndarray:
    """Returns bottlenecks that point along the axis that each row is told, with a little noise."""
    noise = np.random.default_rng(0).normal(0, 0.01, (len(rows), 8))
    return (np.eye(8)[rows] + noise).astype(np.float32)


def sure(shares: np.ndarray) -> np.ndarray:
    """Returns probabilities of two classes, the first of which has these."""
    return np.stack([shares, 1 - shares], axis=1).astype(np.float32)


def test_the_most_uncertain_are_taken_first() -> None:
    shares = np.linspace(0.5, 1, 1000)
    generator = np.random.default_rng(0)
    order = generator.permutation(1000)
    x = generator.normal(size=(1000, 8)).astype(np.float32)
    found = next_photos(sure(shares[order]), x, np.arange(1000), np.arange(0), 300, batch=2)
    ranks = order[found]
    assert ranks[:2].max() < 20
    assert ranks.max() < 320


def test_each_batch_is_spread_over_what_looks_different() -> None:
    kinds = np.arange(400) % 4
    # The last kind is known, the others are equally uncertain; most of them look alike.
    kinds[100:] = 0
    y = sure(np.where(kinds == 3, 0.99, 0.5))
    found = next_photos(y, corners(kinds), np.arange(400), np.arange(0), 3, batch=10)
    assert set(kinds[found].tolist()) <= {0, 1, 2}
    pool = next_photos(sure(np.full(40, 0.5)), corners(kinds[:40]), np.arange(40), np.arange(0), 4)
    assert set(kinds[pool].tolist()) == {0, 1, 2, 3}


def test_what_looks_like_a_labelled_photo_comes_last() -> None:
    kinds = np.array([0, 0, 1, 2, 0, 3])
    found = next_photos(
        sure(np.full(6, 0.5)), corners(kinds), np.arange(1, 6), np.array([0]), 5, batch=5
    )
    assert set(kinds[found[:3]].tolist()) == {1, 2, 3}
    assert set(found[3:].tolist()) == {1, 4}


def test_the_length_of_a_bottleneck_does_not_count() -> None:
    x = np.array([[1, 0], [50, 0], [0, 1]], np.float32)
    found = next_photos(sure(np.full(3, 0.5)), x, np.array([1, 2]), np.array([0]), 2)
    assert found.tolist() == [2, 1]


def test_the_order_of_the_candidates_changes_nothing() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(500, 8)), sure(generator.uniform(size=500))
    order = generator.permutation(np.arange(100, 500))
    one = next_photos(y, x, np.arange(100, 500), np.arange(100), 35)
    other = next_photos(y, x, np.concatenate([order, order]), np.arange(100)[::-1], 35)
    assert one.tolist() == other.tolist()
    assert len(set(one.tolist())) == 35
    assert one.min() >= 100


@pytest.mark.parametrize("classes", [0, 1, 3])
def test_photos_that_no_head_has_seen_are_chosen_by_their_looks(classes: int) -> None:
    kinds = np.repeat(np.arange(8), 50)
    nothing = np.full((400, classes), np.nan, np.float32)
    found = next_photos(nothing, corners(kinds), np.arange(400), np.arange(0), 8)
    assert sorted(kinds[found].tolist()) == list(range(8))


def test_there_may_be_few_photos_or_none() -> None:
    y, x = sure(np.array([0.5, 0.9, 0.6])), corners(np.arange(3))
    assert next_photos(y, x, np.array([2, 1]), np.array([0]), 10).tolist() in ([1, 2], [2, 1])
    assert next_photos(y, x, np.arange(0), np.arange(3), 10).tolist() == []
    assert next_photos(y, x, np.arange(3), np.arange(0), 0).tolist() == []
    black = np.zeros((3, 8), np.float32)
    assert len(next_photos(y, black, np.arange(3), np.arange(0), 3)) == 3
