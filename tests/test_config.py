"""Settings: documented, checked when they are made, and one home for defaults."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xferlearn.cli import COMMANDS
from xferlearn.config import Config, TrainConfig, default_bottleneck_dir
from xferlearn.config.base import settings_of
from xferlearn.errors import UserError

CONFIGS = [command.settings for command in COMMANDS.values()]


def make(**settings: Any) -> TrainConfig:
    return TrainConfig(**{"image_dir": "photos", "model_dir": "out", **settings})


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_setting_is_documented_and_its_default_is_valid(config: type[Config]) -> None:
    settings = settings_of(config)
    assert len(settings) == len(dataclasses.fields(config))
    for name, (field, rules) in settings.items():
        assert len(rules.help) > 10, name
        assert rules.help.endswith("."), name
        if rules.choices and field.default is not None:
            assert field.default in rules.choices, name
        for bound in (rules.minimum, rules.above):
            if bound is not None and field.default is not None:
                assert field.default >= bound, name


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_names_and_aliases_are_unique(config: type[Config]) -> None:
    settings = settings_of(config)
    names = [*settings, *(alias for _, rules in settings.values() for alias in rules.aliases)]
    assert len(names) == len(set(names))


def test_the_labs_flags_keep_their_names() -> None:
    names = set(settings_of(TrainConfig))
    assert names >= {
        "image_dir",
        "learning_rate",
        "how_many_training_steps",
        "testing_percentage",
        "validation_percentage",
        "train_batch_size",
        "bottleneck_dir",
        "print_misclassified_test_images",
    }
    assert settings_of(TrainConfig)["backbone"][1].aliases == ("architecture",)
    assert settings_of(TrainConfig)["logs_dir"][1].aliases == ("summaries_dir",)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("testing_percentage", -1, "at least 0"),
        ("testing_percentage", 91, "at most 90"),
        ("validation_percentage", 100, "at most 90"),
        ("learning_rate", 0, "above 0"),
        ("learning_rate", -0.1, "above 0"),
        ("learning_rate", math.nan, "a finite number"),
        ("learning_rate", math.inf, "a finite number"),
        ("how_many_training_steps", 0, "at least 1"),
        ("train_batch_size", 0, "at least 1"),
        ("dropout", 1, "at most 0.95"),
        ("dropout", -0.5, "at least 0"),
        ("hidden_units", -1, "at least 0"),
        ("weight_decay", -1, "at least 0"),
        ("image_size", 31, "at least 32"),
        ("image_size", 4096, "at most 2048"),
        ("split_seed", -1, "at least 0"),
        ("max_image_pixels", 0, "at least 1"),
        ("max_image_bytes", -5, "at least 1"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_bound(
    name: str, value: float, expected: str
) -> None:
    with pytest.raises(UserError, match=rf"Expected `{name}` to be {expected}.*Received") as caught:
        make(**{name: value})
    assert f"{name}={value:g}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("class_weight", "balance", "Did you mean balanced?"),
        ("on_bad_image", "stop", ""),
        ("class_weight", "", ""),
    ],
)
def test_an_unknown_choice_is_answered_with_all_and_the_nearest(
    name: str, value: str, near: str
) -> None:
    choices = settings_of(TrainConfig)[name][1].choices or ()
    with pytest.raises(UserError) as caught:
        make(**{name: value})
    text = str(caught.value)
    assert text.startswith(f"Expected `{name}` to be one of {', '.join(choices)}.")
    assert f"Received: {name}={value}." in text
    assert near in text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"image_dir": None}, "either --image_dir or --dataset. Received: neither"),
        ({"dataset": "elpv"}, "either --image_dir or --dataset. Received: both"),
        ({"model_dir": None}, "Expected --model_dir"),
        (
            {"testing_percentage": 50, "validation_percentage": 50},
            r"leave something to train on\. Received: 50 \+ 50 percent",
        ),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        make(**settings)


def test_settings_from_python_keywords() -> None:
    config = TrainConfig.of({"dataset": "elpv", "model_dir": "m", "dropout": 0.25})
    assert (config.dataset, config.dropout, config.image_dir) == ("elpv", 0.25, None)
    with pytest.raises(UserError, match=r"no setting `learning_rat`\. Did you mean learn"):
        TrainConfig.of({"learning_rat": 0.1})


def test_changed_tells_only_what_differs_from_the_defaults() -> None:
    assert make().changed() == {"image_dir": "photos", "model_dir": "out"}
    default = settings_of(TrainConfig)["learning_rate"][0].default
    assert make(learning_rate=default, seed=3).changed() == {
        "image_dir": "photos",
        "model_dir": "out",
        "seed": 3,
    }


def test_settings_can_not_be_changed_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", "0.1"),
        ("validation_percentage", "10"),
        ("image_size", 224.5),
        ("train_batch_size", 2.5),
        ("overwrite", "no"),
        ("backbone", None),
        ("image_dir", 5),
        ("image_dir", ""),
    ],
)
def test_a_value_of_the_wrong_type_is_named(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f"`{name}`"):
        make(**{name: value})


def test_folders_may_be_paths() -> None:
    assert make(image_dir=Path("photos"), logs_dir=Path("logs")).image_dir == "photos"


@pytest.mark.parametrize(
    ("cache_home", "expected"),
    [
        ("/var/cache/me", "/var/cache/me/xferlearn/bottlenecks"),
        ("", "/home/me/.cache/xferlearn/bottlenecks"),
        ("relative/cache", "/home/me/.cache/xferlearn/bottlenecks"),
        (None, "/home/me/.cache/xferlearn/bottlenecks"),
    ],
)
def test_the_cache_is_where_xdg_says(
    monkeypatch: pytest.MonkeyPatch, cache_home: str | None, expected: str
) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    if cache_home is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", cache_home)
    assert default_bottleneck_dir() == Path(expected)


def test_numpy_numbers_become_numbers_and_are_checked() -> None:
    config = make(seed=np.int64(3), dropout=np.float32(0.5), split_seed=np.uint8(2))
    text = json.dumps([config.seed, config.dropout, config.split_seed])
    assert json.loads(text) == [3, 0.5, 2]
    for wrong in ({"dropout": np.float32(5)}, {"train_batch_size": np.int64(-3)}):
        with pytest.raises(UserError, match="Expected"):
            make(**wrong)
