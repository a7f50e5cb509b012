"""Operating points and measured decisions are what counting by hand gives."""

import numpy as np
import pytest
from draws import drawn

from xferlearn.decisions import (
    Decision,
    Judged,
    PointCounts,
    choose,
    choose_decision,
    measure_decision,
    operating_points,
    recall_thresholds,
    told_thresholds,
)
from xferlearn.metrics import wilson_interval

LABELS = ("a", "b", "c", "d")


def test_thresholds_are_those_that_a_decision_would_have() -> None:
    probabilities, y = drawn(900)
    groups = (np.arange(900) // 2).tolist()
    found = recall_thresholds(LABELS, probabilities, y, groups)
    for label in LABELS:
        assert list(found[label]) == [0.99, 0.95, 0.9, 0.8]
        for recall, threshold in found[label].items():
            asked = {label: recall}
            chosen = choose_decision(LABELS, probabilities, y, min_recall=asked, groups=groups)
            assert chosen.thresholds[label] == pytest.approx(threshold, rel=1e-5)


def test_recalls_that_need_more_photos_are_left_out() -> None:
    probabilities, y = np.full((20, 2), 0.5, np.float32), np.zeros(20, int)
    assert recall_thresholds(("a", "b"), probabilities, y) == {
        "a": {0.95: 0.5, 0.9: 0.5, 0.8: 0.5},
        "b": {},
    }


def test_points_count_photos_and_know_how_sure_they_are() -> None:
    scores = np.float32([[0.9, 0.1], [0.4, 0.6], [0.45, 0.55], [0.1, 0.9]])
    y = np.array([0, 0, 1, 1])
    largest, low = operating_points(("a", "b"), {"a": {0.9: 0.4}}, scores, y)[:2]
    assert (largest.recall, largest.precision, largest.threshold) == (0.5, 1.0, None)
    assert (low.recall, low.precision, low.threshold) == (1.0, pytest.approx(2 / 3), 0.4)
    assert low.recall_interval == wilson_interval(2, 2)
    assert low.precision_interval == wilson_interval(2, 3)
    together = operating_points(("a", "b"), {"a": {0.9: 0.4}}, scores, y, [0, 0, 1, 1])[1]
    assert together.recall_interval == wilson_interval(1, 1)


def test_photos_that_come_one_by_one_are_counted_the_same() -> None:
    probabilities, y = drawn(300)
    thresholds = recall_thresholds(LABELS, probabilities, y)
    new, truth = drawn(200, seed=1)
    truth[:9] = 4  # of another class
    counts = PointCounts(LABELS, thresholds)
    for scores, label in zip(new, truth.tolist(), strict=True):
        counts.add(counts.labelled(scores), label)
    assert counts.points() == operating_points(LABELS, thresholds, new, truth)


def test_a_class_without_photos_has_no_recall() -> None:
    none = np.zeros((0, 2), np.float32), np.zeros(0, int)
    for point in operating_points(("a", "b"), {"a": {0.9: 0.4}}, *none):
        assert (point.recall, point.precision) == (None, None)
        assert point.recall_interval == (0.0, 1.0)
    measured = measure_decision(Decision(("a", "b"), costs={"a": {"b": 5}}), *none)
    assert (measured.accuracy, measured.cost) == (None, None)


def test_costs_are_compared_with_the_largest_probability() -> None:
    decision = Decision(("a", "b"), costs={"a": {"b": 5}})
    scores = np.float32([[0.3, 0.7], [0.3, 0.7], [0.9, 0.1], [0.05, 0.95]] * 100)
    measured = measure_decision(decision, scores, np.array([0, 1, 0, 1] * 100))
    cost = measured.cost
    assert cost is not None
    # The first photo costs 5 before, the second 1 after.
    assert (cost.largest, cost.cost, cost.photos) == (1.25, 0.25, 400)
    assert cost.lowered == pytest.approx(0.8)
    assert cost.interval is not None
    low, high = cost.interval
    assert 0.7 < low < 0.8 < high < 0.9
    assert (measured.accuracy, measured.largest) == (0.75, 0.75)
    (point,) = measured.classes
    assert (point.label, point.recall) == ("a", 1.0)


def test_intervals_of_costs_have_the_truth_as_often_as_they_say() -> None:
    decision = Decision(LABELS, costs={"a": {"b": 5, "c": 5, "d": 5}})
    everything, y = drawn(200_000, seed=99)
    whole = measure_decision(decision, everything, y).cost
    assert whole is not None
    assert whole.lowered is not None
    within = []
    for seed in range(100):
        cost = measure_decision(decision, *drawn(400, seed=seed)).cost
        assert cost is not None
        assert cost.interval is not None
        within.append(cost.interval[0] <= whole.lowered <= cost.interval[1])
    assert np.mean(within) >= 0.9


def test_a_few_photos_that_are_all_right_prove_little() -> None:
    decision = Decision(("a", "b"), costs={"a": {"b": 3}})
    scores = np.float32([[0.9, 0.1]] * 5 + [[0.4, 0.6]] + [[0.1, 0.9]] * 6)
    cost = measure_decision(decision, scores, np.array([0] * 6 + [1] * 6)).cost
    assert cost is not None
    assert (cost.cost, cost.lowered) == (0.0, 1.0)
    assert cost.interval is not None
    assert cost.interval[0] < 0


def test_nothing_wrong_before_can_not_be_lowered() -> None:
    decision = Decision(("a", "b"), costs={"a": {"b": 5}})
    cost = measure_decision(decision, np.float32([[1, 0], [0, 1]]), np.array([0, 1])).cost
    assert cost is not None
    assert (cost.cost, cost.lowered, cost.interval) == (0.0, None, None)


def test_photos_of_other_classes_are_wrong_and_cost_nothing() -> None:
    decision = Decision(("a", "b"), costs={"a": {"b": 5}})
    measured = measure_decision(decision, np.float32([[1, 0], [0, 1]]), np.array([0, -1]))
    assert measured.accuracy == 0.5
    assert measured.cost is not None
    assert measured.cost.photos == 1


def test_the_test_chooses_nothing() -> None:
    probabilities, y = drawn(1200)
    validation = Judged(probabilities[:800], y[:800])
    tests = [Judged(probabilities[part], y[part]) for part in (slice(800, 900), slice(900, 1200))]
    one, other = (
        choose(LABELS, validation, test, min_recall={"a": 0.9}, min_precision={}, costs={})
        for test in tests
    )
    assert (one.decision, one.points, one.alone) == (other.decision, other.points, other.alone)
    assert one.test != other.test


def test_metadata_keep_the_thresholds() -> None:
    probabilities, y = drawn(300)
    judged = Judged(probabilities, y)
    kept = choose(LABELS, judged, judged).as_dict()
    assert kept["decision"] is None
    assert told_thresholds(kept) == recall_thresholds(LABELS, probabilities, y)
    assert told_thresholds({}) == {}
    assert [row["max_error"] for row in kept["answers_alone"]] == [0.02, 0.05]


def test_of_many_classes_no_points_are_kept() -> None:
    probabilities, y = drawn(200, classes=51)
    judged = Judged(probabilities, y)
    assert choose([str(number) for number in range(51)], judged, judged).points == ()
