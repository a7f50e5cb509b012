"""How much each photo counts for each of many heads."""

import numpy as np
import pytest

from xferlearn.training.batches import class_shares, class_weights

Y = np.array([0, 0, 0, 0, 1, 1], np.int32)
# The head of a fold that leaves one out, one that leaves a class out, and one with all.
LEARNED = np.array([[0, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 0, 1], [1, 0, 1]], bool)


@pytest.mark.parametrize(("class_weight", "share"), [("none", 4 / 6), ("balanced", 1 / 2)])
def test_a_class_has_the_same_share_of_every_head(class_weight: str, share: float) -> None:
    shares = class_shares(Y, LEARNED, 2, class_weight, np.ones(6, bool))
    weights = class_weights(Y, LEARNED, shares)
    of_photos = weights[Y] * LEARNED
    np.testing.assert_allclose(of_photos.sum(axis=0), LEARNED.sum(axis=0), rtol=1e-6)
    shares = of_photos[Y == 0].sum(axis=0) / of_photos.sum(axis=0)
    # Where a head has photos of one class alone, that class is all it learns.
    np.testing.assert_allclose(shares, [share, 1, share], rtol=1e-6)


def test_the_head_with_all_photos_counts_them_alike() -> None:
    shares = class_shares(Y, LEARNED, 2, "none", np.ones(6, bool))
    np.testing.assert_allclose(class_weights(Y, LEARNED, shares)[:, 2], 1)
