"""Which labels are likely wrong, and whether as many of the suspected ones are as is said."""

from collections.abc import Callable

import numpy as np
import pytest

from xferlearn.auditing.label_errors import confident_errors, find_label_errors

Fit = Callable[[np.ndarray], np.ndarray]


def certain(truth: np.ndarray, classes: int) -> np.ndarray:
    """Returns probabilities of heads that know every photo, one more surely than another."""
    rest = 10 ** -np.random.default_rng(3).uniform(1.5, 5, len(truth))
    found = np.repeat(rest[:, None] / (classes - 1), classes, axis=1)
    found[np.arange(len(truth)), truth] = 1 - rest
    return found.astype(np.float32)


def overlapping(photos: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities that are true, and classes drawn from them."""
    generator = np.random.default_rng(seed)
    p = np.exp(generator.normal(0, 3.5, (photos, classes)))
    p /= p.sum(axis=1, keepdims=True)
    truth = (p.cumsum(axis=1) < generator.random((photos, 1))).sum(axis=1)
    return p.astype(np.float32), np.minimum(truth, classes - 1)


def flipped(truth: np.ndarray, classes: int, share: float, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng([seed, 7])
    rows = generator.permutation(len(truth))[: round(share * len(truth))]
    y = truth.copy()
    y[rows] = (truth[rows] + generator.integers(1, classes, len(rows))) % classes
    return y


def always(probabilities: np.ndarray) -> Fit:
    return lambda learned: probabilities


@pytest.mark.parametrize("classes", [2, 5, 40])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_labels_that_contradict_certain_heads_are_found(classes: int, share: float) -> None:
    truth = np.arange(1000) % classes
    y = flipped(truth, classes, share)
    wrong = np.flatnonzero(y != truth)
    found = find_label_errors(y, always(certain(truth, classes)))
    assert sorted(found.order.tolist()) == wrong.tolist()
    assert found.proposed[wrong].tolist() == truth[wrong].tolist()
    assert found.wrong.low <= len(wrong) <= found.wrong.high
    assert found.expected.value == pytest.approx(len(wrong), rel=0.1)
    assert found.score[wrong].min() > 0.5 > found.score[y == truth].max()


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.1])
def test_as_many_of_the_suspected_are_wrong_as_is_said(classes: int, share: float) -> None:
    for seed in range(3):
        p, truth = overlapping(2000, classes, seed)
        y = flipped(truth, classes, share, seed)
        found = find_label_errors(y, always(p))
        wrong = y != truth
        # Of overlapping classes, far more photos look wrong.
        assert (p.argmax(axis=1) != y).sum() > 1.5 * found.wrong.value
        assert found.expected.low <= wrong[found.order].sum() <= found.expected.high
        assert found.wrong.low <= wrong.sum() <= found.wrong.high
        assert found.expected.value == pytest.approx(found.score[found.order].sum(), rel=1e-3)


@pytest.mark.parametrize(("classes", "share"), [(20, 0.0), (100, 0.0), (100, 0.05)])
def test_confusions_of_many_classes_are_not_taken_for_errors(classes: int, share: float) -> None:
    p, truth = overlapping(20 * classes, classes, 0)
    y = flipped(truth, classes, share)
    found = find_label_errors(y, always(p))
    wrong = int((y != truth).sum())
    assert (p.argmax(axis=1) != y).mean() > 0.3
    assert found.wrong.low <= wrong <= found.wrong.high
    assert found.wrong.value == pytest.approx(wrong, rel=0.2, abs=0.01 * len(y))
    assert found.expected.low <= (y != truth)[found.order].sum() <= found.expected.high


def test_heads_that_are_too_sure_of_themselves_find_no_more() -> None:
    p, truth = overlapping(2000, 5, 0)
    sure = p**1.6
    found = find_label_errors(truth, always(sure / sure.sum(axis=1, keepdims=True)))
    assert found.wrong.value < 15 < (sure.argmax(axis=1) != truth).sum()
    assert len(found.order) < 30


def test_a_class_that_is_often_taken_for_another_is_told_from_random_errors() -> None:
    p, truth = overlapping(3000, 5, 1)
    y = truth.copy()
    moved = np.flatnonzero(truth == 4)[:120]
    y[moved] = 2
    found = find_label_errors(y, always(p))
    assert found.wrong.low <= 120 <= found.wrong.high
    listed = found.order[found.score[found.order] > 0.5]
    assert np.isin(listed, moved).mean() > 0.8
    assert (found.proposed[listed] == 4).mean() > 0.9


def test_heads_are_fitted_again_without_what_looked_worst() -> None:
    truth = np.arange(100) % 2
    y = flipped(truth, 2, 0.1)
    calls: list[np.ndarray] = []

    def fit(learned: np.ndarray) -> np.ndarray:
        calls.append(learned)
        return certain(truth, 2)

    find_label_errors(y, fit)
    assert calls[0].all()
    assert [np.flatnonzero(~learned).tolist() for learned in calls[1:]] == 2 * [
        np.flatnonzero(y != truth).tolist()
    ]


def test_at_least_half_of_each_class_is_learned() -> None:
    y = np.array([0] * 3 + [1] * 100)
    p = np.tile(np.array([0.1, 0.9]), (103, 1))
    p[:3] = [[0.02, 0.98], [0.03, 0.97], [0.04, 0.96]]
    assert confident_errors(y, p).tolist() == [0]


def test_the_confident_joint_counts_as_the_paper_does() -> None:
    # Thresholds: 0.7 for class 0, 0.8 for class 1.
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7]])
    y = np.array([0, 0, 0, 1, 1, 1])
    # No photo of class 0 reaches 0.8 for class 1, so nothing is off the diagonal.
    assert confident_errors(y, p).tolist() == []
    p[2] = [0.15, 0.85]
    assert confident_errors(y, p).tolist() == [2]


def test_photos_without_a_label_or_a_judgement_are_passed_over() -> None:
    truth = np.arange(300) % 3
    y = flipped(truth, 3, 0.1)
    p = certain(truth, 3)
    y[:20], p[20:40] = -1, np.nan
    found = find_label_errors(y, always(p))
    wrong = np.flatnonzero((y != truth) & (np.arange(300) >= 40))
    assert sorted(found.order.tolist()) == wrong.tolist()
    assert not found.score[:40].any()
    assert found.proposed[:40].tolist() == y[:40].tolist()


def test_photos_of_one_group_make_the_estimate_less_certain() -> None:
    p, truth = overlapping(2000, 3, 2)
    y = flipped(truth, 3, 0.1)
    alone = find_label_errors(y, always(p))
    assert alone.order.tolist() == find_label_errors(y, always(p), np.arange(2000)).order.tolist()
    together = find_label_errors(y, always(p), np.arange(2000) // 20)
    assert together.expected.value == alone.expected.value
    assert together.wrong.high - together.wrong.low > alone.wrong.high - alone.wrong.low


@pytest.mark.parametrize("photos", [0, 1, 7])
@pytest.mark.parametrize("classes", [1, 2, 30])
def test_there_may_be_few_photos_or_none(photos: int, classes: int) -> None:
    y = np.arange(photos) % classes
    p = certain(y, classes) if classes > 1 else np.ones((photos, 1), np.float32)
    for labels in (y, np.full(photos, -1)):
        found = find_label_errors(labels, always(p))
        assert found.order.tolist() == []
        assert found.expected.value == 0
        assert found.wrong.low == 0
        assert found.proposed.shape == found.score.shape == (photos,)
