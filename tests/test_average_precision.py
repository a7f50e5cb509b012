"""Several labels per photo: average precision and its interval, thresholds, heads."""

import math

import numpy as np
import pytest

from xferlearn.decisions import (
    MultiLabelDecision,
    choose_label_thresholds,
    decide_by_others,
    decision_of,
    fit_temperature,
    reliability,
    with_temperature,
)
from xferlearn.errors import UserError
from xferlearn.metrics import (
    cross_entropy,
    evaluate_label_sets,
    mean_average_precision,
    precision_change,
)
from xferlearn.training.cross_fitting import fit_heads
from xferlearn.training.head import build_head, measure_scale, predict_head
from xferlearn.training.plan import HeadPlan


def drawn(
    photos: int, separation: float, generator: np.random.Generator, classes: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Photos of which a third has each class, and normal scores that tell it."""
    y = generator.random((photos, classes)) < 1 / 3
    return y, separation * y + generator.normal(size=y.shape)


def by_definition(y: np.ndarray, scores: np.ndarray) -> float:
    """The mean, over photos that have a class, of the precision among those not below them."""
    return float(np.mean([y[scores >= score].mean() for score in scores[y]]))


def test_average_precision_is_what_its_definition_says() -> None:
    generator = np.random.default_rng(0)
    y, scores = drawn(60, 1.0, generator)
    scores = np.round(scores)  # many are equal
    found = mean_average_precision(y, scores)
    expected = [by_definition(y[:, place], scores[:, place]) for place in range(3)]
    np.testing.assert_allclose(found.of_classes, expected)
    assert found.mean == pytest.approx(np.mean(expected))
    assert mean_average_precision(y, y.astype(float)).mean == 1
    assert mean_average_precision(y, np.zeros(y.shape)).of_classes == pytest.approx(y.mean(axis=0))


def test_a_class_without_photos_counts_for_nothing() -> None:
    y = np.array([[True, False], [False, False], [True, False]])
    found = mean_average_precision(y, np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]))
    assert math.isnan(found.of_classes[1])
    assert found.mean == pytest.approx(5 / 6)
    assert found.interval_of(1) == (0.0, 1.0)
    nothing = mean_average_precision(np.zeros((3, 2), bool), np.zeros((3, 2)))
    assert (nothing.mean, nothing.interval) == (None, (0.0, 1.0))


def test_a_class_that_all_have_is_not_measured() -> None:
    y, scores = drawn(50, 1.0, np.random.default_rng(7))
    more = np.concatenate([y, np.ones((50, 1), bool)], axis=1)
    scores = np.concatenate([scores, scores[:, :1]], axis=1)
    both = mean_average_precision(more, scores), mean_average_precision(y, scores[:, :3])
    assert both[0].mean == both[1].mean
    assert both[0].interval == both[1].interval
    assert mean_average_precision(more[:, 3:], scores[:, 3:]).mean is None


def test_intervals_of_f1_and_coverage_hold_the_truth() -> None:
    generator = np.random.default_rng(8)
    many, large = drawn(100_000, 1.5, generator)
    truth = evaluate_label_sets(("a", "b", "c"), many, large, large > 1)
    held, covered = 0, 0
    for _ in range(200):
        y, scores = drawn(150, 1.5, generator)
        found = evaluate_label_sets(("a", "b", "c"), y, scores, scores > 1)
        low, high = found.f1_interval
        held += low <= (truth.f1 or 0) <= high
        low, high = found.coverage_interval
        covered += low <= truth.coverage <= high
    assert held >= 180
    assert covered >= 180


def test_influences_are_derivatives() -> None:
    y, scores = drawn(40, 1.0, np.random.default_rng(1), classes=1)
    found, step = mean_average_precision(y, scores), 50
    for row in (0, 7, 23):
        # A photo that is there as often again as all others together weighs more by one share.
        more = np.repeat(np.arange(40), [step + (one == row) for one in range(40)])
        moved = mean_average_precision(y[more], scores[more]).mean or 0
        change = step * (moved - (found.mean or 0))
        assert change == pytest.approx(found.influence[row, 0], abs=1e-3)


@pytest.mark.parametrize(("photos", "separation"), [(60, 3.0), (200, 1.5)])
def test_intervals_hold_the_truth_as_often_as_they_say(photos: int, separation: float) -> None:
    generator = np.random.default_rng(2)
    truth = mean_average_precision(*drawn(100_000, separation, generator)).mean or 0
    held, same = 0, 0
    for _ in range(200):
        y, scores = drawn(photos, separation, generator)
        low, high = mean_average_precision(y, scores).interval
        held += low <= truth <= high
        one, other = (scores + 0.5 * generator.normal(size=y.shape) for _ in range(2))
        both = precision_change(mean_average_precision(y, one), mean_average_precision(y, other))
        same += both.interval[0] <= 0 <= both.interval[1]
    # Of 200 draws at 95%, fewer than 180 come by chance once in 500 times.
    assert held >= 180
    assert same >= 180


def test_groups_widen_the_interval() -> None:
    y, scores = drawn(50, 1.5, np.random.default_rng(3))
    four = np.repeat(np.arange(50), 4)
    alone = mean_average_precision(y, scores)
    grouped = mean_average_precision(y[four], scores[four], four)
    assert grouped.interval == pytest.approx(alone.interval, abs=0.03)
    assert grouped.mean == pytest.approx(alone.mean)
    low, high = mean_average_precision(y[four], scores[four]).interval
    assert high - low < 0.6 * (alone.interval[1] - alone.interval[0])


def test_an_evaluation_counts_labels_and_photos() -> None:
    y = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]], bool)
    p = np.array([[0.9, 0.8, 0.1], [0.2, 0.4, 0.3], [0.1, 0.1, 0.1], [0.3, 0.6, 0.2]])
    found = evaluate_label_sets(("a", "b", "c"), y, p, p >= 0.5, thresholds=[0.5] * 3)
    assert (found.total, found.exact) == (4, 2)  # the first, and the one without any
    assert found.coverage == pytest.approx((2 + 1 + 0 + 2) / 4)
    a, b, c = found.classes
    assert (a.photos, a.predicted, a.correct, a.recall) == (2, 1, 1, 0.5)
    assert (b.precision, b.f1, c.f1) == (0.5, 0.5, None)
    assert (a.average_precision, c.average_precision, a.threshold) == (1.0, None, 0.5)
    np.testing.assert_array_equal(found.together[0], [1, 2, 0])
    assert found.mistakes.tolist() == [1, 2, 0]
    assert found.as_dict()["exact_match"]["share"] == 0.5
    assert "mean average precision" in found.summary()
    empty = evaluate_label_sets(("a",), np.zeros((0, 1), bool), np.zeros((0, 1)), np.zeros((0, 1)))
    assert (empty.value, empty.summary()) == (None, "not measured (N=0)")


def test_probabilities_of_classes_are_calibrated_each() -> None:
    generator = np.random.default_rng(4)
    logits = generator.normal(-1, 2, (4000, 3))
    y = generator.random(logits.shape) < 1 / (1 + np.exp(-logits))
    sure = 1 / (1 + np.exp(-2 * logits))
    temperature = fit_temperature(sure, y)
    assert temperature == pytest.approx(2, rel=0.1)
    calm = with_temperature(sure, temperature, multi_label=True)
    assert cross_entropy(calm, y) < cross_entropy(sure, y)
    np.testing.assert_allclose(with_temperature(sure, 1.0, multi_label=True), sure, atol=1e-6)
    assert reliability(calm, y).ece < 0.02 < reliability(sure, y).ece


def test_thresholds_are_those_of_the_largest_f1_or_what_was_asked() -> None:
    generator = np.random.default_rng(5)
    y, scores = drawn(600, 2.0, generator)
    p = 1 / (1 + np.exp(1 - scores))
    labels = ("a", "b", "c")
    found = choose_label_thresholds(labels, p, y)
    assert not found

    def f1(threshold: float) -> float:
        decided = p[:, 0] >= threshold
        return float(2 * (decided & y[:, 0]).sum() / (decided.sum() + y[:, 0].sum()))

    best = max(map(f1, np.linspace(0, 1, 300)))
    assert f1(found.thresholds["a"]) == pytest.approx(best, abs=0.03)
    asked = choose_label_thresholds(labels, p, y, min_recall={"a": 0.95}, min_precision={"b": 0.7})
    decided = asked.decide(p)
    assert decided[y[:, 0], 0].mean() >= 0.95
    assert y[decided[:, 1], 1].mean() > 0.7
    assert asked.thresholds["c"] == found.thresholds["c"]
    assert decision_of({"labels": labels, "decision": asked.as_dict()}) == asked
    assert "a from" in asked.text()
    with pytest.raises(UserError, match="Install the xferlearn that wrote the model"):
        decision_of({"labels": ("z",), "decision": asked.as_dict()})
    # Photos of a fold have no say in how they are labelled.
    folds = np.arange(600) % 5
    out = decide_by_others(labels, p, y, folds)
    others = choose_label_thresholds(labels, p[folds != 0], y[folds != 0])
    np.testing.assert_array_equal(out[folds == 0], others.decide(p[folds == 0]))
    assert (
        choose_label_thresholds(("a",), p[:, :1], np.zeros((600, 1), bool)).thresholds["a"] == 0.5
    )
    assert isinstance(found, MultiLabelDecision)


@pytest.mark.parametrize("hidden", [0, 16])
@pytest.mark.parametrize("class_weight", ["none", "balanced"])
def test_heads_learn_several_labels(hidden: int, class_weight: str) -> None:
    generator = np.random.default_rng(6)
    y = generator.random((300, 3)) < np.array([0.5, 0.3, 0.05])
    x = (y @ generator.normal(size=(3, 8)) + 0.1 * generator.normal(size=(300, 8))).astype(
        "float32"
    )
    folds = np.arange(300) % 3
    learned = np.stack([folds != fold for fold in range(3)] + [folds >= 0], axis=1)
    plan = HeadPlan(hidden, 0.0, 0.0001, 300, class_weight=class_weight, multi_label=True)
    stack, course = fit_heads(
        x, y.astype(np.float32), learned, 3, plan, measure_scale(x),
        validation=lambda one: (one.out_of_fold(x, folds), y),
    )  # fmt: skip
    assert not course.diverged
    out = stack.out_of_fold(x, folds)
    assert mean_average_precision(y, out).mean > 0.98  # type: ignore[operator]
    # The same as the Keras model, whose scores of several classes may be high at once.
    head = stack.head(3)
    assert head.get_layer("predictions").activation.__name__ == "sigmoid"
    np.testing.assert_allclose(predict_head(head, x), stack.predict(3, x), atol=1e-5)
    assert (out.sum(axis=1) > 1.5).any()


def test_a_head_for_several_labels_is_a_choice_of_build_head() -> None:
    head = build_head(width=4, classes=2, multi_label=True)
    np.testing.assert_allclose(predict_head(head, np.zeros((1, 4), np.float32)), 0.5)
    assert build_head(width=4, classes=2).get_layer("predictions").activation.__name__ == "softmax"
