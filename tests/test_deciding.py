"""Decisions keep what was asked on photos they were not chosen on, and say what can't be kept."""

import json

import numpy as np
import pytest
from draws import drawn

from xferlearn.decisions import Decision, choose_decision
from xferlearn.errors import UserError

LABELS = ("a", "b", "c", "d")


def test_nothing_asked_is_the_largest_probability() -> None:
    probabilities, _ = drawn(50)
    decision = Decision(LABELS)
    assert not decision
    assert (decision.decide(probabilities) == probabilities.argmax(axis=1)).all()
    assert decision.decide(probabilities).dtype == np.int32
    assert decision.text() == "largest probability"


@pytest.mark.parametrize(
    ("scores", "label"),
    [
        ([0.15, 0.60, 0.05, 0.20], 1),  # no threshold is reached: the best of the others
        ([0.20, 0.70, 0.05, 0.05], 0),  # reached exactly
        ([0.30, 0.20, 0.05, 0.45], 0),
        ([0.22, 0.25, 0.04, 0.49], 0),  # 1.1 times its threshold
        ([0.22, 0.10, 0.08, 0.60], 3),  # 1.2 times
        ([0.19, 0.18, 0.15, 0.48], 1),  # one with a threshold is not taken without reaching it
    ],
)
def test_thresholds_are_compared_by_how_far_they_are_exceeded(
    scores: list[float], label: int
) -> None:
    decision = Decision(LABELS, thresholds={"a": 0.2, "d": 0.5})
    assert decision.decide(np.array([scores])).tolist() == [label]


def test_where_every_class_has_a_threshold_the_nearest_to_its_own_wins() -> None:
    decision = Decision(("a", "b"), thresholds={"a": 0.8, "b": 0.9})
    assert decision.decide(np.array([[0.44, 0.56], [0.5, 0.5]])).tolist() == [1, 0]


def test_costs_choose_the_cheapest_label() -> None:
    decision = Decision(("a", "b"), costs={"a": {"b": 5}})
    assert decision.cost_matrix.tolist() == [[0, 5], [1, 0]]
    scores = np.array([[0.2, 0.8], [0.16, 0.84], [0.9, 0.1]])
    assert decision.decide(scores).tolist() == [0, 1, 0]
    assert decision.text() == "smallest expected cost: a as b 5, any other mistake 1"


@pytest.mark.parametrize("recall", [0.8, 0.95])
def test_new_photos_of_the_class_are_found_as_often_as_asked(recall: float) -> None:
    found = []
    for seed in range(40):
        probabilities, y = drawn(600, seed=seed)
        decision = choose_decision(LABELS, probabilities[:300], y[:300], min_recall={"b": recall})
        new = y[300:] == 1
        found.append((decision.decide(probabilities[300:])[new] == 1).mean())
    # The quantile of n photos promises at most 1 / (n + 1) more; n is about 75.
    assert recall - 0.01 < np.mean(found) < recall + 0.025


@pytest.mark.parametrize("precision", [0.7, 0.9])
def test_new_photos_with_the_label_are_right_as_often_as_asked(precision: float) -> None:
    everything, truth = drawn(20_000, seed=99, spread=5)
    right, found = [], []
    for seed in range(60):
        decision = choose_decision(
            LABELS, *drawn(1200, seed=seed, spread=5), min_precision={"b": precision}
        )
        labelled = decision.decide(everything) == 1
        right.append((truth[labelled] == 1).mean())
        found.append(labelled[truth == 1].mean())
    # Each alone, not their mean: that is what the confidence says.
    assert np.mean(np.array(right) >= precision) >= 0.93
    assert np.mean(found) > {0.7: 0.8, 0.9: 0.5}[precision]


def test_a_precision_of_a_rare_class_is_reached() -> None:
    probabilities, y = drawn(1000, classes=2, spread=6)
    others = np.tile(np.float32([[1, 0]]), (50_000, 1))
    decision = choose_decision(
        ("a", "b"),
        np.concatenate([probabilities, others]),
        np.concatenate([y, np.zeros(50_000, int)]),
        min_precision={"b": 0.9},
    )
    new, truth = drawn(20_000, classes=2, seed=1, spread=6)
    labelled = decision.decide(new) == 1
    assert (truth[labelled] == 1).mean() >= 0.9
    assert labelled[truth == 1].mean() > 0.8


def test_photos_that_a_rounded_threshold_does_not_part_are_counted_together() -> None:
    sure = np.full(400, 0.9999999, np.float32)
    sure[200:] = 0.9999995  # less by less than a threshold has digits
    scores = np.stack([1 - sure, sure], axis=1)
    y = np.ones(400, int)
    y[200:300] = 0
    with pytest.raises(UserError, match=r"400 photos that it is chosen on prove 0\.704 at most"):
        choose_decision(("a", "b"), scores, y, min_precision={"b": 0.9})


def test_several_thresholds_keep_what_each_was_asked_for() -> None:
    probabilities, y = drawn(2000)
    decision = choose_decision(
        LABELS, probabilities, y, min_recall={"a": 0.8, "b": 0.75}, min_precision={"c": 0.6}
    )
    decided = decision.decide(probabilities)
    assert (decided[y == 0] == 0).mean() >= 0.8
    assert (decided[y == 1] == 1).mean() >= 0.75
    assert (y[decided == 2] == 2).mean() >= 0.6


def test_a_threshold_is_no_lower_than_it_must_be() -> None:
    probabilities, y = drawn(400)
    decision = choose_decision(LABELS, probabilities, y, min_recall={"b": 0.9})
    of_class = np.sort(probabilities[y == 1, 1])
    allowed = int((len(of_class) + 1) * 0.1) - 1
    assert decision.thresholds["b"] == pytest.approx(of_class[allowed], rel=1e-5)
    assert decision.thresholds["b"] <= of_class[allowed]


def test_photos_in_groups_prove_less() -> None:
    probabilities, y = drawn(400)
    groups = (np.arange(400) // 5).tolist()
    alone, together = (
        choose_decision(LABELS, probabilities, y, min_recall={"b": 0.9}, groups=one)
        for one in (None, groups)
    )
    assert together.thresholds["b"] < alone.thresholds["b"]


def test_too_few_photos_for_a_recall_say_how_many_are_needed() -> None:
    probabilities, y = np.full((18, 2), 0.5, np.float32), np.zeros(18, int)
    with pytest.raises(UserError, match=r"0\.95 of 'a' needs at least 19 photos .* Received: 18"):
        choose_decision(("a", "b"), probabilities, y, min_recall={"a": 0.95})
    more = np.full((19, 2), 0.5, np.float32)
    found = choose_decision(("a", "b"), more, np.zeros(19, int), min_recall={"a": 0.95})
    assert found.thresholds == {"a": 0.5}
    with pytest.raises(UserError, match="needs at least 9,999 photos"):
        choose_decision(("a", "b"), more, np.zeros(19, int), min_recall={"a": 0.9999})
    with pytest.raises(UserError, match="Received: 0"):
        choose_decision(("a", "b"), more, np.zeros(19, int), min_recall={"b": 0.95})


def test_a_precision_out_of_reach_names_one_that_is_not() -> None:
    probabilities, y = drawn(300)
    with pytest.raises(
        UserError, match=r"0\.9999 of 'b' can't be proved.* prove 0\.\d+ at"
    ) as told:
        choose_decision(LABELS, probabilities, y, min_precision={"b": 0.9999})
    best = float(str(told.value).partition(" prove ")[2].split()[0])
    choose_decision(LABELS, probabilities, y, min_precision={"b": best})
    with pytest.raises(UserError, match=f"{best + 0.001:g} of 'b' can't be proved"):
        choose_decision(LABELS, probabilities, y, min_precision={"b": best + 0.001})
    with pytest.raises(UserError, match="0 photos that it is chosen on prove nothing"):
        choose_decision(LABELS, probabilities[:0], y[:0], min_precision={"b": 0.5})


def test_demands_that_exclude_each_other_are_named() -> None:
    probabilities, y = drawn(400, classes=2)
    with pytest.raises(UserError, match=r"at once: .*\d of \d+ photos of 'a' \(\d+ needed\).*'b'"):
        choose_decision(("a", "b"), probabilities, y, min_recall={"a": 0.99, "b": 0.99})


@pytest.mark.parametrize(
    "decision",
    [
        Decision(LABELS, thresholds={"a": 0.2}, min_recall={"a": 0.9}),
        Decision(
            LABELS, thresholds={"a": 0.2, "c": 0.7}, min_recall={"a": 0.9}, min_precision={"c": 0.9}
        ),
        Decision(LABELS, costs={"a": {"b": 5.0, "c": 0.0}}),
    ],
)
def test_metadata_keep_a_decision(decision: Decision) -> None:
    kept = json.loads(json.dumps({"labels": LABELS, "decision": decision.as_dict()}))
    assert Decision.of(kept) == decision


def test_metadata_without_a_decision_have_none() -> None:
    assert Decision.of({"labels": LABELS}) == Decision(LABELS)
    assert Decision.of({"labels": LABELS, "decision": None}) == Decision(LABELS)


@pytest.mark.parametrize(
    "said",
    [
        {"rule": "vote"},
        {"rule": "thresholds", "thresholds": {"z": 0.5}, "asked": {}},
        {"rule": "thresholds", "thresholds": {"a": "much"}, "asked": {}},
        {"rule": "cost", "costs": {"a": {"z": 2}}, "other_costs": 1},
        {"rule": "cost", "costs": {}, "other_costs": 1},
        [],
        "thresholds",
    ],
)
def test_a_decision_of_another_kind_is_refused(said: object) -> None:
    with pytest.raises(UserError, match="does not know"):
        Decision.of({"labels": LABELS, "decision": said})


@pytest.mark.parametrize(
    "decision",
    [
        Decision(LABELS),
        Decision(LABELS, thresholds={"a": 0.2, "d": 0.5}),
        Decision(LABELS, costs={"a": {"b": 5.0}}),
    ],
)
def test_photos_get_the_same_labels_one_by_one(
    decision: Decision, monkeypatch: pytest.MonkeyPatch
) -> None:
    probabilities, _ = drawn(100)
    together = decision.decide(probabilities)
    assert [int(decision.decide(row[None])[0]) for row in probabilities] == together.tolist()
    monkeypatch.setattr("xferlearn.decisions.blocks._BLOCK_NUMBERS", 28)
    assert decision.decide(probabilities).tolist() == together.tolist()
    assert decision.decide(probabilities[:0]).shape == (0,)
