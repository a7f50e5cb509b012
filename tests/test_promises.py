"""Answering and label sets keep what they promise on photos that they were not chosen on."""

import math

import numpy as np
import pytest
from draws import drawn

from xferlearn.decisions import Answering, LabelSets, confidence_of
from xferlearn.decisions.bounds import (
    clopper_pearson_upper,
    enough_for,
    missable,
    worth_along,
)
from xferlearn.errors import UserError
from xferlearn.metrics import worth_of


def digests(number: int, seed: int = 0) -> list[bytes]:
    values = np.random.default_rng(seed).integers(0, 256, (number, 32), dtype=np.uint8)
    return [row.tobytes() for row in values]


@pytest.mark.parametrize(
    ("errors", "total", "confidence", "bound"),
    [
        (0, 100, 0.95, 0.0295130496),  # 1 - 0.05 ** (1 / 100)
        (0, 149, 0.95, 0.0199048162),
        (1, 1, 0.95, 1.0),
        (99, 100, 0.95, 0.9994871984),  # 0.95 ** (1 / 100)
        (3, 100, 0.95, 0.0757107938),
        (10, 20, 0.95, 0.6980460887),
        (10, 20, 0.975, 0.7280422),
        (0, 0, 0.95, 1.0),
    ],
)
def test_bounds_are_those_of_the_tables(
    errors: float, total: float, confidence: float, bound: float
) -> None:
    assert clopper_pearson_upper(errors, total, confidence) == pytest.approx(bound, abs=1e-6)


@pytest.mark.parametrize(("errors", "total"), [(2, 30), (7, 400), (50, 900), (1000, 2000)])
def test_bounds_are_where_so_few_errors_are_unlikely(errors: int, total: int) -> None:
    bound = clopper_pearson_upper(errors, total, 0.95)
    logs = [
        math.lgamma(total + 1)
        - math.lgamma(k + 1)
        - math.lgamma(total - k + 1)
        + k * math.log(bound)
        + (total - k) * math.log1p(-bound)
        for k in range(errors + 1)
    ]
    assert math.fsum(map(math.exp, logs)) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("share", [1 - 0.9999, 0.01, 0.05, 0.1, 1 / 3])
def test_as_many_photos_as_are_enough_may_miss_none(share: float) -> None:
    number = enough_for(share)
    assert missable(number, number, share) == 0
    assert missable(number - 1, number - 1, share) is None
    assert missable(2 * number + 1, 2 * number + 1, share) == 1
    # Groups are worth less.
    assert missable(3 * number, number, share) == 0
    assert missable(0, 0.0, share) is None


def test_the_worth_grows_along_photos() -> None:
    groups = np.random.default_rng(0).integers(0, 9, 40)
    expected = [worth_of(groups[: i + 1].tolist()) for i in range(40)]
    assert worth_along(groups) == pytest.approx(expected)


@pytest.mark.parametrize("max_error", [0.02, 0.05, 0.2])
def test_answers_are_wrong_no_more_often_than_promised(max_error: float) -> None:
    kept, shares = [], []
    everything, truth = drawn(20_000, seed=99, spread=8)
    decided = everything.argmax(axis=1)
    confidence = confidence_of(everything, decided)
    for seed in range(60):
        probabilities, y = drawn(500, seed=seed, spread=8)
        found = Answering.choose(probabilities, probabilities.argmax(axis=1), y, max_error)
        shares.append(found.share if found else 0.0)
        if found is None:
            continue
        assert found.error <= found.bound <= max_error
        answered = found.answers(confidence)
        kept.append((decided[answered] != truth[answered]).mean() <= max_error)
    assert np.mean(kept) >= 0.9
    assert np.mean(shares) > {0.02: 0.02, 0.05: 0.2, 0.2: 0.7}[max_error]


def test_a_model_that_is_always_right_answers_all() -> None:
    probabilities = np.tile(np.float32([[0.9, 0.1]]), (300, 1))
    found = Answering.choose(probabilities, np.zeros(300, int), np.zeros(300, int), 0.02)
    assert found is not None
    assert (found.share, found.error) == (1.0, 0.0)
    assert found.answers(np.float32([0.9, 0.89])).tolist() == [True, False]


def test_one_confident_mistake_does_not_silence_a_good_model() -> None:
    confidence = np.linspace(1, 0.6, 1000, dtype=np.float32)
    y = np.zeros(1000, int)
    y[0] = 1
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    found = Answering.choose(probabilities, np.zeros(1000, int), y, 0.02)
    assert found is not None
    assert found.share > 0.9


@pytest.mark.parametrize("max_error", [0.02, 0.05, 0.1])
def test_the_fewest_photos_that_prove_it_do(max_error: float) -> None:
    number = Answering.fewest(max_error)
    probabilities = np.tile(np.float32([[0.9, 0.1]]), (number, 1))
    right = np.zeros(number, int)
    assert Answering.choose(probabilities, right, right, max_error) is not None
    less = number - 1
    assert Answering.choose(probabilities[:less], right[:less], right[:less], max_error) is None
    in_pairs = (np.arange(number) // 2).tolist()
    assert Answering.choose(probabilities, right, right, max_error, in_pairs) is None
    assert Answering.choose(probabilities[:0], right[:0], right[:0], max_error) is None


def test_photos_of_equal_confidence_are_answered_together() -> None:
    probabilities = np.tile(np.float32([[0.9, 0.1]]), (400, 1))
    y = np.zeros(400, int)
    y[200:] = 1
    assert Answering.choose(probabilities, np.zeros(400, int), y, 0.05) is None


def test_photos_without_an_answer_count_in_the_share() -> None:
    probabilities = np.tile(np.float32([[0.9, 0.1]]), (300, 1))
    right = np.zeros(300, int)
    found = Answering.choose(probabilities, right, right, 0.02, unanswered=100)
    assert found is not None
    assert found.share == 0.75


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_sets_have_the_true_label_as_often_as_promised(coverage: float) -> None:
    everything, truth = drawn(5000, seed=99)
    names = digests(5000, seed=99)
    covered, per_class = [], []
    for seed in range(40):
        probabilities, y = drawn(600, seed=seed)
        fitted = LabelSets.fit(probabilities, y, coverage, digests(600, seed))
        sets = fitted.sets(everything, names)
        hit = sets[np.arange(5000), truth]
        covered.append(hit.mean())
        per_class.append([hit[truth == number].mean() for number in range(4)])
        assert sets[np.arange(5000), everything.argmax(axis=1)].all()
    assert (np.array(covered) >= coverage).mean() >= 0.9
    assert np.mean(per_class, axis=0).min() >= coverage - 0.005
    assert np.mean(covered) < coverage + 0.04


def test_sets_are_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, y = drawn(600)
    whole = LabelSets.fit(probabilities, y, 0.9, digests(600))
    sets = whole.sets(probabilities, digests(600))
    monkeypatch.setattr("xferlearn.decisions.blocks._BLOCK_NUMBERS", 28)
    assert LabelSets.fit(probabilities, y, 0.9, digests(600)) == whole
    assert (whole.sets(probabilities, digests(600)) == sets).all()


def test_a_clear_photo_has_fewer_labels_and_always_the_same() -> None:
    probabilities, y = drawn(600)
    fitted = LabelSets.fit(probabilities, y, 0.9, digests(600))
    clear, unclear = [0.97, 0.01, 0.01, 0.01], [0.26, 0.25, 0.25, 0.24]
    sets = fitted.sets(np.float32([clear, unclear] * 50), digests(100))
    assert sets[::2].sum() < sets[1::2].sum()
    assert (sets == fitted.sets(np.float32([clear, unclear] * 50), digests(100))).all()
    assert fitted.sets(np.zeros((0, 4), np.float32), []).shape == (0, 4)


def test_a_class_that_is_hard_has_a_threshold_of_its_own() -> None:
    generator = np.random.default_rng(0)
    of_first = generator.uniform(0.5, 1, 400)
    probabilities = np.stack([of_first, 1 - of_first], axis=1).astype(np.float32)
    y = (generator.random(400) < 0.18).astype(int)  # the second class never comes first
    fitted = LabelSets.fit(probabilities, y, 0.8, digests(400))
    assert fitted.thresholds[0] < fitted.thresholds[1]
    covered = fitted.sets(probabilities, digests(400))[y == 1, 1].mean()
    assert covered >= 0.8


def test_too_few_photos_for_sets_say_how_many_are_needed() -> None:
    probabilities, y = drawn(58)
    right = np.eye(4, dtype=np.float32)[y]
    with pytest.raises(UserError, match=r"`coverage=0\.95` needs at least 59 .* Received: 58\."):
        LabelSets.fit(right, y, 0.95, digests(58))
    with pytest.raises(UserError, match=r"Received: 0\."):
        LabelSets.fit(probabilities[:0], y[:0], 0.95, [])
    probabilities, y = drawn(80)
    LabelSets.fit(probabilities, y, 0.95, digests(80))
    with pytest.raises(UserError, match=r"Received: 80, which are worth 16\.0 that stand alone"):
        LabelSets.fit(probabilities, y, 0.95, digests(80), (np.arange(80) // 5).tolist())
