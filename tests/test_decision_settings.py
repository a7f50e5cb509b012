"""Settings of decisions: text and dicts, and what is wrong with them is named."""

from typing import Any

import pytest

from xferlearn.config import DecideConfig, DecisionConfig, TrainConfig
from xferlearn.config.wording import flag_value
from xferlearn.errors import UserError

LABELS = ("defective", "functional", "9:16", "16")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("defective=0.95", {"defective": 0.95}),
        ("defective=0.95,functional=.9", {"defective": 0.95, "functional": 0.9}),
        (" defective = 0.95 , functional=0.9 ", {"defective": 0.95, "functional": 0.9}),
        ("a=b=0.5", {"a=b": 0.5}),
        ({"defective": 0.95}, {"defective": 0.95}),
        ({"with, comma": 0.5}, {"with, comma": 0.5}),
    ],
)
def test_numbers_by_class_are_text_or_a_dict(value: Any, expected: dict[str, float]) -> None:
    assert DecisionConfig(min_recall=value).min_recall == expected
    assert DecisionConfig(min_recall=expected) == DecisionConfig(min_recall=value)


@pytest.mark.parametrize(
    "value",
    [
        "defective:functional=5,functional:defective=2",
        {"defective:functional": 5, "functional:defective": 2.0},
        {("defective", "functional"): 5, ("functional", "defective"): 2},
    ],
)
def test_costs_are_text_or_a_dict_of_pairs(value: Any) -> None:
    config = DecisionConfig(cost=value)
    assert config.asked(LABELS)["costs"] == {
        "defective": {"functional": 5.0},
        "functional": {"defective": 2.0},
    }
    assert flag_value(config.cost) == "defective:functional=5,functional:defective=2"


def test_a_class_may_have_a_colon_in_its_name() -> None:
    costs = DecisionConfig(cost="9:16:defective=2,16:9:16=3").asked(LABELS)["costs"]
    assert costs == {"9:16": {"defective": 2.0}, "16": {"9:16": 3.0}}


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"min_recall": "defective"}, "Expected `min_recall` to be CLASS=NUMBER"),
        ({"min_recall": "=0.5"}, "to be CLASS=NUMBER"),
        ({"min_recall": "a=0.5,,b=0.5"}, "to be CLASS=NUMBER"),
        ({"min_recall": "a=0.5,a=0.6"}, "each once"),
        ({"min_recall": {}}, "to be CLASS=NUMBER"),
        ({"min_recall": 0.95}, "to be CLASS=NUMBER"),
        ({"min_recall": {1: 0.95}}, "to be CLASS=NUMBER"),
        ({"min_recall": {("a", "b"): 0.95}}, "to be CLASS=NUMBER"),
        ({"min_recall": "a=much"}, "Expected `min_recall` to be a number. Received: 'much'"),
        ({"min_recall": {"a": True}}, "to be a number"),
        ({"min_recall": "a=0"}, "above 0"),
        ({"min_recall": "a=1"}, "at most 0.9999"),
        ({"min_precision": "a=95"}, "at most 0.9999"),
        ({"cost": "defective=5"}, "Expected `cost` to be TRUE:LABEL=NUMBER"),
        ({"cost": {(0, 1): 5}}, "to be TRUE:LABEL=NUMBER"),
        ({"cost": {("a", "b", "c"): 5}}, "to be TRUE:LABEL=NUMBER"),
        ({"cost": {("a", ""): 5}}, "to be TRUE:LABEL=NUMBER"),
        ({"cost": {("a", "b"): 5, "a:b": 6}}, "each once"),
        ({"cost": "a:b=-1"}, "at least 0"),
        ({"cost": "a:b=inf"}, "a finite number"),
        ({"cost": "a:b=1", "min_recall": "a=0.5"}, "either `cost` or `min_recall`.* both"),
        ({"cost": "a:b=1", "min_precision": "a=0.5"}, "either `cost` or `min_precision`.* both"),
        (
            {"min_recall": "a=0.5", "min_precision": "b=0.5,a=0.5"},
            "either `min_recall` or `min_precision` of 'a'. Received: both",
        ),
    ],
)
def test_what_is_wrong_is_named(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        DecisionConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (
            {"min_recall": "defektive=0.5"},
            "`min_recall` names 'defektive', which is no class. Did you mean defective?",
        ),
        ({"min_precision": "x=0.5"}, "The classes are defective, functional, 9:16, 16"),
        ({"cost": "defective:functionnal=5"}, "names 'functionnal'.* Did you mean functional?"),
        ({"cost": "defectiv:functional=5"}, "names 'defectiv'"),
        ({"cost": "defective:defective=5"}, "'defective' labelled 'defective'.*costs nothing"),
    ],
)
def test_classes_are_checked_once_they_are_known(settings: dict[str, Any], match: str) -> None:
    config = DecisionConfig(**settings)
    with pytest.raises(UserError, match=match):
        config.asked(LABELS)


def test_costs_that_mean_two_mistakes_are_refused() -> None:
    for cost in ("a:b:c=5", {("a:b", "c"): 5}):
        with pytest.raises(UserError, match="'a' labelled 'b:c' or 'a:b' labelled 'c'"):
            DecisionConfig(cost=cost).asked(("a", "a:b", "b:c", "c"))
    with pytest.raises(UserError, match=r"one `cost` of 'a' labelled 'c'\. Received: two"):
        DecisionConfig(cost="a:c=5,a: c=6").asked(("a", "c"))


def test_many_classes_are_not_all_listed() -> None:
    with pytest.raises(UserError, match=r"9 and 90 more\.$"):
        DecisionConfig(min_recall="x=0.5").asked([str(number) for number in range(100)])


def test_decide_needs_a_model_and_one_wish() -> None:
    with pytest.raises(UserError, match="Expected `model`"):
        DecideConfig(min_recall="a=0.5")
    with pytest.raises(UserError, match=r"or `clear=True`\. Received: nothing"):
        DecideConfig(model="m")
    with pytest.raises(UserError, match="Received: both"):
        DecideConfig(model="m", clear=True, cost="a:b=2")
    assert not DecideConfig(model="m", clear=True).asks


def test_settings_of_train_go_into_json_and_onto_the_command_line() -> None:
    config = TrainConfig(image_dir="a", model_dir="b", min_recall={"x": 0.95})
    assert config.changed()["min_recall"] == {"x": 0.95}
    assert flag_value(config.min_recall) == "x=0.95"
