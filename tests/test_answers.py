"""Answers: a label, `unknown`, or a question to a person, by what a model's own photos tell."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from xferlearn.config import AnswerConfig
from xferlearn.decisions import Decision
from xferlearn.errors import UserError
from xferlearn.labelling import Answerer, AnswerTable, Classifier, Labelled
from xferlearn.photos.predicted import Predicted
from xferlearn.predictors import Answers, Predictor

LABELS = ("defective", "functional")


def known(number: int = 400, *, wrong: int = 4, unfamiliar: int = 0) -> Predicted:
    """Photos of two classes, the wrong ones among the least sure, some of them unfamiliar."""
    sure = np.linspace(0.99, 0.51, number, dtype=np.float32)
    of_class = np.arange(number) % 2
    scores = np.stack([np.where(of_class == 0, sure, 1 - sure), np.zeros(number)], axis=1)
    scores[:, 1] = 1 - scores[:, 0]
    truth = np.where(np.arange(number) >= number - wrong, 1 - of_class, of_class)
    familiarity = np.linspace(1, 1 / number, number).astype(np.float32)
    familiarity[:unfamiliar] = 0.001
    return Predicted(
        LABELS,
        tuple(n.to_bytes(32, "big") for n in range(number)),
        tuple(f"{n}.jpg" for n in range(number)),
        ("train",) * number,
        tuple(LABELS[one] for one in truth),
        scores.astype(np.float32),
        familiarity,
    )


def predictor(
    predicted: Predicted | None = None, decision: Decision | None = None, *, familiar: bool = True
) -> Predictor:
    """A model that is as sure as the first pixel is red, and as familiar with it as it is green."""

    def answer(pixels: np.ndarray) -> Answers:
        sure = pixels[:, 0, 0, 0].astype(np.float32) / 255
        scores = np.stack([sure, 1 - sure], axis=1)
        return Answers(scores, pixels[:, 0, 0, 1].astype(np.float32) / 255 if familiar else None)

    folder = None
    if predicted is not None:
        told = {"input": {"resize": "crop"}}
        folder = SimpleNamespace(predictions=lambda: predicted, metadata=told)
    return Predictor(
        LABELS,
        4,
        4,
        "crop",
        answer,
        name="out/cells",
        metadata={"familiarity": {"reject": 0.01, "photos": 399}}
        | ({} if decision is None else {"labels": LABELS, "decision": decision.as_dict()}),
        model_folder=folder,
        says_familiarity=familiar,
    )


def photo(sure: float, familiarity: float | None = 0.5, number: int = 0) -> Labelled:
    scores = np.array([sure, 1 - sure], np.float32)
    return Labelled(f"{number}.jpg", -1, number.to_bytes(32, "big"), scores, familiarity)


def test_a_photo_gets_the_label_of_the_largest_probability_without_a_decision() -> None:
    answer = Answerer.of(predictor(), AnswerConfig()).answer(photo(0.3))
    assert (answer.status, answer.label) == ("answered", "functional")
    assert answer.probability == pytest.approx(0.7)
    assert [label for label, _ in answer.scores] == ["functional", "defective"]


def test_a_decision_is_obeyed_and_comes_before_the_other_labels() -> None:
    decision = Decision(LABELS, thresholds={"defective": 0.25})
    answerer = Answerer.of(predictor(decision=decision), AnswerConfig())
    answer = answerer.answer(photo(0.3))
    assert (answer.label, answer.status) == ("defective", "answered")
    assert answer.scores == (
        ("defective", pytest.approx(0.3)),
        ("functional", pytest.approx(0.7)),
    )
    assert answerer.answer(photo(0.2)).label == "functional"


@pytest.mark.parametrize(
    ("reject", "familiarity", "status"),
    [
        (0.01, 0.009, "unknown"),
        (0.01, 0.011, "answered"),
        (0.0, 0.0, "answered"),
        (0.2, 0.1, "unknown"),
        (0.2, None, "answered"),
    ],
)
def test_unfamiliar_photos_are_unknown(
    reject: float, familiarity: float | None, status: str
) -> None:
    answerer = Answerer.of(predictor(), AnswerConfig(reject=reject))
    answer = answerer.answer(photo(0.9, familiarity))
    assert answer.status == status
    assert answer.label == "defective", "what it would be is told all the same"


def test_reject_needs_a_model_that_knows_what_is_familiar() -> None:
    with pytest.raises(UserError, match=r"`reject` needs a model that says how familiar .*cells"):
        Answerer.of(predictor(familiar=False), AnswerConfig(reject=0.05))
    Answerer.of(predictor(familiar=False), AnswerConfig())
    Answerer.of(predictor(familiar=False), AnswerConfig(reject=0.0))


def test_photos_of_which_the_model_is_less_sure_are_left_to_a_person() -> None:
    answerer = Answerer.of(predictor(known(wrong=40)), AnswerConfig(max_error=0.05))
    assert answerer.answering is not None
    threshold = answerer.answering.threshold
    assert 0.51 < threshold < 0.9
    assert answerer.answer(photo(threshold + 0.01)).status == "answered"
    assert answerer.answer(photo(threshold - 0.01)).status == "ask"
    assert answerer.answer(photo(1 - threshold - 0.01)).status == "answered", "the other class"
    (promise,) = answerer.promises
    assert f"it labels {answerer.answering.share:.0%} of them" in promise
    assert answerer.answer(photo(0.99, 0.001)).status == "unknown"


def test_photos_that_would_be_rejected_are_no_part_of_the_promise() -> None:
    # The surest forty, of which all are right, get no answer: the others have to prove it.
    all_of_them = Answerer.of(predictor(known(wrong=20)), AnswerConfig(max_error=0.05)).answering
    others = Answerer.of(
        predictor(known(wrong=20, unfamiliar=40)), AnswerConfig(max_error=0.05)
    ).answering
    assert all_of_them is not None
    assert others is not None
    assert others.threshold > all_of_them.threshold


def test_a_promise_that_can_not_be_kept_is_refused() -> None:
    with pytest.raises(UserError, match=r"`max_error=0.001` can't be kept: .* of 400 photos"):
        Answerer.of(predictor(known()), AnswerConfig(max_error=0.001, reject=0))
    with pytest.raises(UserError, match=r"`coverage=0\.99` needs at least"):
        Answerer.of(predictor(known(100)), AnswerConfig(coverage=0.99, reject=0))


@pytest.mark.parametrize("asked", [{"max_error": 0.05}, {"coverage": 0.9}])
def test_a_promise_needs_the_predictions_of_a_model_folder(asked: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"needs predictions.parquet of a model folder"):
        Answerer.of(predictor(), AnswerConfig(**asked))


def test_the_test_photos_promise_nothing() -> None:
    of_test = dataclasses.replace(known(), splits=("test",) * 400)
    with pytest.raises(UserError, match="can't be kept"):
        Answerer.of(predictor(of_test), AnswerConfig(max_error=0.2))


def test_label_sets_hold_one_label_where_the_model_is_sure() -> None:
    answerer = Answerer.of(predictor(known(wrong=60)), AnswerConfig(coverage=0.95))
    assert answerer.answer(photo(0.99)).label_set == ("defective",)
    sets = [answerer.answer(photo(0.45, number=n)).label_set for n in range(20)]
    assert ("functional", "defective") in sets
    assert all(one is not None and one[0] == "functional" for one in sets)
    assert "95% confidence" in answerer.promises[0]


def test_label_and_sets_are_not_asked_for_at_once() -> None:
    with pytest.raises(UserError, match=r"either `max_error`.* or `coverage`"):
        AnswerConfig(max_error=0.1, coverage=0.9)


@pytest.mark.parametrize(
    "wrong", [{"max_error": 0}, {"max_error": 0.6}, {"coverage": 1}, {"reject": -0.1}]
)
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        AnswerConfig(**wrong)


def test_rows_of_answers_and_what_is_counted() -> None:
    answerer = Answerer.of(predictor(known(wrong=60)), AnswerConfig(coverage=0.95))
    table = AnswerTable(answerer, 2)
    assert [*table.columns] == [
        "image", "label_1", "score_1", "label_2", "score_2", "status", "familiarity", "label_set",
        "error",
    ]  # fmt: skip
    row = dict(zip(table.columns, table.texts(photo(0.99, 0.25)), strict=True))
    assert row == {
        "image": "0.jpg", "label_1": "defective", "score_1": "0.990000", "label_2": "functional",
        "score_2": "0.010000", "status": "answered", "familiarity": "0.250000",
        "label_set": "defective", "error": "",
    }  # fmt: skip
    failed = Labelled("b.jpg", problem="it is empty")
    assert table.cells(failed) == ["b.jpg", *[None] * 4, "failed", None, None, "it is empty"]
    record = json.loads(json.dumps(table.record(photo(0.99, 0.001))))
    assert (record["status"], record["familiarity"]) == ("unknown", 0.001)
    assert record["label_set"] == ["defective"]
    assert table.not_answered(3) == [
        "1 of 3 photos is unknown: unlike those that the model was made from."
    ]
    assert table.counted() == "1 defective, 1 unknown"
    table.record(photo(0.55, 0.25))  # a set of both labels
    assert table.counted() == "1 defective, 1 unsure, 1 unknown"


def test_answers_in_python() -> None:
    classifier = Classifier(predictor(known(wrong=40)))
    pixels = np.zeros((3, 4, 4, 3), np.uint8)
    pixels[:, 0, 0] = [(250, 200, 0), (130, 200, 0), (250, 1, 0)]
    answers = classifier.answers(pixels, max_error=0.05)
    assert [one.status for one in answers] == ["answered", "ask", "unknown"]
    assert [one.status for one in classifier.answers(pixels, reject=0)] == ["answered"] * 3
    assert [one.label for one in answers] == ["defective"] * 3
    assert classifier.answers([]) == []
    with pytest.raises(UserError, match="max_error"):
        classifier.answers(pixels, max_error=2)


def test_a_set_holds_what_was_decided() -> None:
    decision = Decision(LABELS, costs={"defective": {"functional": 50.0}})
    answerer = Answerer.of(
        predictor(known(wrong=60), decision=decision), AnswerConfig(coverage=0.9)
    )
    answer = answerer.answer(photo(0.04))
    assert answer.label == "defective"
    assert answer.label_set == ("defective", "functional")


def test_a_promise_is_about_photos_that_are_fitted_as_in_training() -> None:
    squashed = dataclasses.replace(predictor(known()), resize="squash")
    with pytest.raises(UserError, match=r"`max_error` .* fitted as in training.*resize='squash'"):
        Answerer.of(squashed, AnswerConfig(max_error=0.1))


@pytest.mark.parametrize(
    "told", [{"reject": 0.01, "photos": 80}, {"reject": 0.01, "photos": 5000, "step": 0.0125}]
)
def test_what_no_photo_can_fall_below_is_said(told: dict[str, float]) -> None:
    model = dataclasses.replace(predictor(), metadata={"familiarity": told})
    with pytest.raises(UserError, match=r"`reject=0\.01` would never reject a photo: .* 0\.012"):
        Answerer.of(model, AnswerConfig(reject=0.01))
    assert Answerer.of(model, AnswerConfig(reject=0.02)).reject == 0.02


def test_a_model_says_below_which_familiarity_a_photo_is_unknown() -> None:
    model = dataclasses.replace(
        predictor(), metadata={"familiarity": {"reject": 0.2, "photos": 399}}
    )
    assert Answerer.of(model, AnswerConfig()).answer(photo(0.9, 0.1)).status == "unknown"
    asked = Answerer.of(model, AnswerConfig(reject=0.05))
    assert asked.answer(photo(0.9, 0.1)).status == "answered"
