"""Accuracy, its interval and the numbers by class, against values worked out elsewhere."""

import json

import numpy as np
import pytest

from xferlearn.metrics import Evaluation, evaluate_predictions, paired_interval, wilson_interval


# The roots p of (p - share)^2 = z^2 p (1 - p) / total with z = 1.959963984540054, found by a root
# finder: the definition that the closed form comes from.
@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 1, 0.0, 0.793451),
        (1, 1, 0.206549, 1.0),
        (3, 3, 0.438503, 1.0),
        (0, 10, 0.0, 0.277533),
        (5, 10, 0.236593, 0.763407),
        (81, 263, 0.255289, 0.366210),
        (90, 98, 0.847117, 0.958056),
        (9183, 10_000, 0.912770, 0.923509),
    ],
)
def test_wilson_interval_is_the_published_one(
    correct: int, total: int, low: float, high: float
) -> None:
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=1e-6)


def test_wilson_interval_holds_the_accuracy_and_narrows() -> None:
    for total in (1, 2, 7, 50):
        for correct in range(total + 1):
            low, high = wilson_interval(correct, total)
            assert 0 <= low <= correct / total + 1e-12
            assert correct / total - 1e-12 <= high <= 1
    widths = [np.diff(wilson_interval(9 * n, 10 * n))[0] for n in (1, 10, 100, 1000)]
    assert widths == sorted(widths, reverse=True)


def test_numbers_by_class_are_those_counted_by_hand() -> None:
    # truth a a a a b b c, predicted a a b c b a b; nobody is d
    evaluation = evaluate_predictions(
        ("a", "b", "c", "d"), [0, 0, 0, 0, 1, 1, 2], np.array([0, 0, 1, 2, 1, 0, 1])
    )
    np.testing.assert_array_equal(
        evaluation.confusion, [[2, 1, 1, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    )
    assert (evaluation.correct, evaluation.total) == (3, 7)
    assert evaluation.accuracy == pytest.approx(3 / 7)
    a, b, c, d = evaluation.classes
    assert (a.photos, a.predicted, a.correct) == (4, 3, 2)
    assert (a.precision, a.recall, a.f1) == pytest.approx((2 / 3, 2 / 4, 4 / 7))
    assert (b.precision, b.recall, b.f1) == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert (c.precision, c.recall, c.f1) == (0, 0, 0)
    assert (d.precision, d.recall, d.f1) == (None, None, None)


def test_rows_are_truth_and_columns_predictions() -> None:
    evaluation = evaluate_predictions(("a", "b"), [0, 0, 0], [1, 1, 1])
    assert evaluation.confusion[0, 1] == 3
    assert evaluation.confusion.dtype == np.int64
    assert evaluation.classes[0].precision is None
    assert evaluation.classes[0].recall == 0
    assert evaluation.classes[1].recall is None


def test_nothing_evaluated_is_said_not_divided() -> None:
    evaluation = evaluate_predictions(("a", "b"), [], [])
    assert evaluation.accuracy is None
    assert evaluation.interval == (0.0, 1.0)
    assert evaluation.summary() == "not measured (N=0)"
    said = json.loads(json.dumps(evaluation.as_dict()))
    assert (said["accuracy"], said["largest_class"]) == (None, None)


def test_summary_tells_how_little_few_photos_mean() -> None:
    perfect = evaluate_predictions(("a", "b", "c"), [0, 1, 2], [0, 1, 2])
    assert perfect.summary() == "3 of 3 right, 95%: 44% to 100%"
    one_wrong = evaluate_predictions(("a", "b"), [0, 1] * 99, [0, 0] * 99)
    assert one_wrong.summary() == "99 of 198 right, 95%: 43% to 57%"
    many = evaluate_predictions(("a", "b"), [0, 1] * 100, [0, 0] * 100)
    assert many.summary() == "50.0% (N=200, 95% interval 43.1% to 56.9%)"


def test_the_largest_class_is_what_an_accuracy_is_compared_with() -> None:
    evaluation = evaluate_predictions(("a", "b", "c"), [1, 0, 1, 1, 2], [0, 0, 0, 0, 0])
    assert evaluation.largest_class == ("b", 3 / 5)
    assert evaluate_predictions(("a", "b"), [1, 0], [0, 0]).largest_class == ("a", 0.5)


@pytest.mark.parametrize(
    ("folds", "groups", "said"),
    [(None, None, ""), (5, None, "5 folds"), (6, None, "leave-one-out"), (3, 3, "leave-one-out")],
)
def test_folds_are_said(folds: int | None, groups: int | None, said: str) -> None:
    evaluation = Evaluation(("a", "b"), np.array([[3, 0], [1, 2]]), groups=groups, folds=folds)
    assert evaluation.folding == said
    assert evaluation.as_dict().get("folds") == folds


def test_dictionary_holds_everything_as_json() -> None:
    evaluation = evaluate_predictions(("größe", "b"), [0, 0, 1], [0, 1, 1])
    assert json.loads(json.dumps(evaluation.as_dict())) == {
        "accuracy": pytest.approx(2 / 3),
        "n": 3,
        "correct": 2,
        "interval_95": pytest.approx([0.207660, 0.938508], abs=1e-6),
        "largest_class": {"label": "größe", "share": pytest.approx(2 / 3)},
        "classes": {
            "größe": {"n": 2, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)},
            "b": {"n": 1, "precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)},
        },
        "confusion": [[1, 1], [0, 1]],
    }


def test_an_index_that_is_no_class_is_an_error() -> None:
    with pytest.raises(IndexError):
        evaluate_predictions(("a", "b"), [0], [2])
    with pytest.raises((ValueError, IndexError), match="shape mismatch"):
        evaluate_predictions(("a", "b"), [0, 1], [0, 1, 1])


def test_paired_interval_is_about_the_difference_and_has_its_sign() -> None:
    low, high = paired_interval(both=80, first=9, second=1, neither=10)
    assert low < -0.08 < high < 0
    assert paired_interval(80, 1, 9, 10) == pytest.approx((-high, -low))
    nothing = paired_interval(95, 0, 0, 5)
    assert nothing[0] < 0 < nothing[1]
    assert nothing == pytest.approx((-nothing[1], nothing[1]))
    assert paired_interval(0, 0, 0, 0) == (-1.0, 1.0)
    assert paired_interval(0, 9, 0, 0)[0] == pytest.approx(-1.0)
    # Figures that correlate tell more of their difference than independent ones.
    together, apart = paired_interval(85, 5, 5, 5), paired_interval(81, 9, 9, 1)
    assert together[1] - together[0] < apart[1] - apart[0]


def test_paired_interval_covers_what_it_promises() -> None:
    generator = np.random.default_rng(0)
    shares = np.array([0.8, 0.08, 0.04, 0.08])
    covered = 0
    for counts in generator.multinomial(150, shares, 2000):
        low, high = paired_interval(*map(int, counts))
        covered += low <= shares[2] - shares[1] <= high
    assert 0.93 <= covered / 2000 <= 0.975


def test_photos_of_one_group_count_as_what_they_are_worth() -> None:
    truth, predicted = [0] * 24 + [1] * 12, [0] * 18 + [1] * 6 + [1] * 12
    alone = evaluate_predictions(("a", "b"), truth, predicted)
    lone = evaluate_predictions(("a", "b"), truth, predicted, list(range(36)))
    assert lone.summary() == alone.summary()
    grouped = evaluate_predictions(("a", "b"), truth, predicted, [i // 6 for i in range(36)])
    assert grouped.worth == pytest.approx(6)
    assert grouped.accuracy == alone.accuracy
    assert grouped.interval == pytest.approx(wilson_interval(5, 6))
    assert grouped.summary().startswith("30 of 36 right in 6 groups, 95%: ")
    assert grouped.as_dict()["groups"] == 6
    one_pair = evaluate_predictions(("a", "b"), truth, predicted, [0, *range(35)])
    assert 33 < one_pair.worth < 36
