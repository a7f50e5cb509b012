"""Temperatures are found again, probabilities keep their order, errors of calibration are true."""

import keras
import numpy as np
import pytest
from draws import drawn

from xferlearn.decisions import (
    Reliability,
    fit_temperature,
    reliability,
    with_temperature,
)
from xferlearn.metrics import cross_entropy, wilson_interval
from xferlearn.training.head import build_head, fold_temperature, predict_head


@pytest.mark.parametrize("distortion", [0.1, 0.5, 1.0, 1.7, 6.0])
@pytest.mark.parametrize("classes", [2, 5, 40])
def test_a_known_temperature_is_found(distortion: float, classes: int) -> None:
    probabilities, y = drawn(4000, classes)
    distorted = with_temperature(probabilities, 1 / distortion)
    assert fit_temperature(distorted, y) == pytest.approx(distortion, rel=0.08)


def test_no_other_temperature_is_better_on_many_photos() -> None:
    probabilities, y = drawn(2000)
    distorted = with_temperature(probabilities, 0.4)
    found = fit_temperature(distorted, y)
    losses = [cross_entropy(with_temperature(distorted, found * f), y) for f in (0.9, 1, 1.1)]
    assert losses[1] == min(losses)


def test_a_few_photos_that_are_all_right_change_little() -> None:
    few = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]] * 2, np.float32)
    temperatures = [fit_temperature(np.tile(few, (n, 1)), np.zeros(6 * n, int)) for n in (1, 50)]
    assert 0.6 < temperatures[0] < 1
    # As soon as there are many, they are believed.
    assert temperatures[1] < 0.5


def test_photos_of_one_group_prove_less() -> None:
    probabilities = np.tile(np.float32([[0.6, 0.4]]), (40, 1))
    y = np.zeros(40, int)
    alone, together = (
        fit_temperature(probabilities, y, groups) for groups in (list(range(40)), [0] * 40)
    )
    assert alone == fit_temperature(probabilities, y)
    assert alone < together < 1


@pytest.mark.parametrize(
    "rows",
    [
        [[1.0, 0.0]],
        [[0.0, 1.0]],
        [[1.0, 0.0], [0.0, 1.0]],
        [[0.5, 0.5]],
        [[1e-45, 1.0], [1.0, 1e-45]],
        [[0.0, 0.0]],
    ],
)
@pytest.mark.parametrize("truth", [0, 1])
def test_certain_probabilities_give_bounded_temperatures(
    rows: list[list[float]], truth: int
) -> None:
    probabilities = np.tile(np.array(rows, np.float32), (100, 1))
    temperature = fit_temperature(probabilities, np.full(len(probabilities), truth))
    assert 0.05 <= temperature <= 20
    changed = with_temperature(probabilities, temperature)
    assert np.isfinite(changed).all()
    np.testing.assert_allclose(changed.sum(axis=1), 1, rtol=1e-6)


def test_no_photos_leave_probabilities_as_they_are() -> None:
    none, y = np.zeros((0, 3), np.float32), np.zeros(0, int)
    assert fit_temperature(none, y) == 1
    assert with_temperature(none, 2.0).shape == (0, 3)
    assert reliability(none, y) == Reliability((), 0.0, 0.0)
    assert reliability(none, y).summary() == "not measured (N=0)"


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_order_of_the_labels_stays(temperature: float) -> None:
    probabilities, _ = drawn(300, 7)
    changed = with_temperature(probabilities, temperature)
    assert changed.dtype == np.float32
    np.testing.assert_array_equal(changed.argsort(axis=1), probabilities.argsort(axis=1))
    np.testing.assert_allclose(
        with_temperature(changed, 1 / temperature), probabilities, atol=1e-5, rtol=1e-3
    )


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_above_zero(temperature: float) -> None:
    with pytest.raises(ValueError, match="Expected a temperature above 0"):
        with_temperature(np.full((1, 2), 0.5), temperature)


@pytest.mark.parametrize("wrong", [float("nan"), -0.1, 3.0, float("inf")])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    rows, y = np.array([[0.5, 0.5], [wrong, 0.5]]), np.array([0, 1])
    for measure in (fit_temperature, reliability):
        with pytest.raises(ValueError, match="Expected probabilities, 0 to 1"):
            measure(rows, y)


def test_reliability_is_that_counted_by_hand() -> None:
    # 20 photos at 60%, 10 of them right, and 20 at 90%, 19 of them right.
    probabilities = np.repeat(np.float32([[0.6, 0.4], [0.1, 0.9]]), 20, axis=0)
    y = np.array([0] * 10 + [1] * 10 + [1] * 19 + [0])
    found = reliability(probabilities, y)
    assert [(one.count, one.accuracy) for one in found.bins] == [(20, 0.5), (20, 0.95)]
    assert [one.confidence for one in found.bins] == pytest.approx([0.6, 0.9])
    assert [one.interval for one in found.bins] == [wilson_interval(n, 20) for n in (10, 19)]
    assert found.ece == pytest.approx((0.1 + 0.05) / 2)
    assert found.total == 40
    assert found.summary().startswith("ECE 7.5% (N=40, ")


def test_reliability_does_not_depend_on_the_order_of_photos() -> None:
    probabilities, y = drawn(500, 3)
    probabilities = probabilities.round(1)  # many are equal
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    order = np.random.default_rng(1).permutation(500)
    one, other = reliability(probabilities, y), reliability(probabilities[order], y[order])
    assert one.ece == pytest.approx(other.ece)
    assert [bin.count for bin in one.bins] == [bin.count for bin in other.bins]


def test_right_probabilities_are_off_by_chance_alone_and_others_by_more() -> None:
    found = [reliability(*drawn(1000, 4, seed)) for seed in range(20)]
    assert np.mean([one.ece for one in found]) == pytest.approx(
        np.mean([one.by_chance for one in found]), rel=0.1
    )
    probabilities, y = drawn(1000, 4)
    sure = reliability(with_temperature(probabilities, 0.4), y)
    assert sure.ece > 3 * sure.by_chance
    temperature = fit_temperature(with_temperature(probabilities, 0.4), y)
    mended = with_temperature(with_temperature(probabilities, 0.4), temperature)
    assert reliability(mended, y).ece < sure.ece / 3


@pytest.mark.parametrize(("photos", "bins"), [(1, 1), (7, 1), (8, 2), (500, 7), (5000, 15)])
def test_there_are_more_bins_where_there_are_more_photos(photos: int, bins: int) -> None:
    found = reliability(*drawn(photos))
    counts = [one.count for one in found.bins]
    assert len(counts) == bins
    assert sum(counts) == photos
    assert max(counts) - min(counts) <= 1
    assert all(one.interval[0] <= one.accuracy <= one.interval[1] for one in found.bins)


def test_groups_widen_the_intervals_of_bins() -> None:
    probabilities, y = drawn(100)
    alone = reliability(probabilities, y)
    grouped = reliability(probabilities, y, [i // 4 for i in range(100)])
    assert grouped.ece == alone.ece
    widths = [[np.diff(one.interval)[0] for one in found.bins] for found in (alone, grouped)]
    assert sum(widths[0]) < sum(widths[1])


@pytest.mark.parametrize("hidden_units", [0, 6])
def test_a_head_takes_a_temperature_into_its_last_layer(hidden_units: int) -> None:
    generator = np.random.default_rng(0)
    head = build_head(8, 3, hidden_units=hidden_units)
    layer = head.get_layer("predictions")
    layer.set_weights([generator.normal(size=w.shape) for w in layer.get_weights()])
    bottlenecks = generator.normal(size=(50, 8)).astype(np.float32)
    before = predict_head(head, bottlenecks)
    fold_temperature(head, 1.6)
    assert isinstance(head, keras.Model)
    np.testing.assert_allclose(
        predict_head(head, bottlenecks), with_temperature(before, 1.6), atol=1e-6
    )
