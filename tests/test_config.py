"""Settings: documented, checked when they are made, and one home for defaults."""

import dataclasses
import json
import math
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest

from xferlearn.cli import COMMANDS
from xferlearn.config import (
    CompareConfig,
    Config,
    CurveConfig,
    SweepConfig,
    TrainConfig,
    default_bottleneck_dir,
)
from xferlearn.config.base import keras_words, read_value, settings_of, value_type
from xferlearn.config.foreign_words import HINTS
from xferlearn.config.keras_words import KERAS_WORDS
from xferlearn.config.wording import as_flags
from xferlearn.errors import UserError

CONFIGS = [command.settings for command in COMMANDS.values()]


def make(**settings: Any) -> TrainConfig:
    return TrainConfig(**{"image_dir": "photos", "model_dir": "out", **settings})


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_setting_is_documented_and_its_default_is_valid(config: type[Config]) -> None:
    settings = settings_of(config)
    assert {field.name for field in dataclasses.fields(config)} == {
        *settings,
        *keras_words(config),
    }
    for name, (field, rules) in settings.items():
        assert len(rules.help) > 10, name
        assert rules.help.endswith("."), name
        read_value(name, field.default, field, rules)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_names_and_aliases_are_unique(config: type[Config]) -> None:
    settings = settings_of(config)
    aliases = [alias for _, rules in settings.values() for alias in rules.aliases]
    names = [*settings, *aliases, *keras_words(config)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_setting_with_another_name_takes_it(config: type[Config]) -> None:
    fields = {field.name: field for field in dataclasses.fields(config)}
    for word, meant in KERAS_WORDS.items():
        assert (word in fields) == (meant.setting in fields)
        if word in fields:
            # None stands for "not given" in the other name; nothing else differs.
            declared = set(get_args(fields[meant.setting].type.__origin__))
            single = {value_type(fields[meant.setting])}
            assert set(get_args(fields[word].type)) == (declared or single) | {NoneType}


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
    assert settings_of(TrainConfig)["backbone"][1].aliases[0] == "architecture"
    assert settings_of(TrainConfig)["logs_dir"][1].aliases[0] == "summaries_dir"


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
    assert str(caught.value).endswith(f"Received: {value:g}.")


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
    assert f"Received: {value!r}." in text
    assert near in text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"image_dir": None}, "either `image_dir` or `dataset`. Received: neither"),
        ({"dataset": "elpv"}, "either `image_dir` or `dataset`. Received: both"),
        ({"model_dir": ""}, "Expected a value for `model_dir`. Received: an empty one."),
        ({"model_dir": None, "image_dir": "/"}, "Expected `model_dir`, the folder .*: nothing"),
        ({"image_dir": None, "data_dir": "d"}, "`data_dir` is where a `dataset` is kept"),
        (
            {"testing_percentage": 50, "validation_percentage": 50},
            r"leave something to train on\. Received: 50 \+ 50 percent",
        ),
        ({"validation_percentage": 90}, r"Received: 10 \+ 90 percent"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        make(**settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"image_dir": "data/flower_photos/"}, "out/flower_photos"),
        ({"image_dir": Path("flowers.v2")}, "out/flowers.v2"),
        ({"image_dir": "photos", "labels": "labels.csv"}, "out/photos"),
        ({"labels": "tables/labels.csv"}, "out/labels"),
        ({"dataset": "tf_flowers:3.*.*"}, "out/tf_flowers_3._._"),
    ],
)
def test_a_model_is_named_after_its_photos(settings: dict[str, Any], expected: str) -> None:
    assert TrainConfig(**settings).model_dir == expected


def test_a_table_in_memory_has_no_name_for_the_model() -> None:
    with pytest.raises(UserError, match="Expected `model_dir`"):
        TrainConfig(labels=pa.table({"path": ["a.jpg"]}))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_names_of_other_tools_are_no_settings(config: type[Config]) -> None:
    hints = [name for name in HINTS if name not in settings_of(config)]
    aliases = {one for _, rules in settings_of(config).values() for one in rules.aliases}
    assert not aliases.intersection(hints)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lr", r" Did you mean `learning_rate`\?"),
        ("epochs", " `how_many_training_steps` counts batches"),
        ("epoch", " `how_many_training_steps` counts batches"),
        ("test_sise", r" Did you mean `test_size`\?"),
        ("fine_tune", "$"),
    ],
)
def test_names_of_other_tools_are_answered(name: str, expected: str) -> None:
    with pytest.raises(UserError, match=rf"There is no setting `{name}`\.{expected}"):
        make(**{name: 1})


def test_settings_from_python_keywords() -> None:
    config = TrainConfig(dataset="elpv", model_dir="m", dropout=0.25)
    assert (config.dataset, config.dropout, config.image_dir) == ("elpv", 0.25, None)
    with pytest.raises(UserError, match=r"no setting `learning_rat`\. Did you mean `learn"):
        make(learning_rat=0.1)


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
        ("export", []),
        ("export", "onnx,,tflite"),
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


def test_numbers_have_one_form_however_they_are_given() -> None:
    config = make(learning_rate=1, random_crop=np.int64(10))
    assert json.dumps([config.learning_rate, config.random_crop]) == "[1.0, 10.0]"
    with pytest.raises(UserError, match="finite number"):
        make(learning_rate=10**400)


@pytest.mark.parametrize(
    "given",
    [
        [0.005, 1],
        (0.005, 1.0, 0.005),
        "0.005, 1",
        np.array([0.005, 1.0]),
        (rate for rate in (0.005, 1)),
    ],
    ids=["list", "tuple", "text", "array", "generator"],
)
def test_lists_are_sequences_or_text_with_commas(given: Any) -> None:
    assert SweepConfig(image_dir="photos", learning_rate=given).values("learning_rate") == (
        0.005,
        1,
    )


def test_a_list_may_be_one_value_or_its_default() -> None:
    config = SweepConfig(image_dir="photos", seed=3, backbone="mobilenet")
    assert config.values("seed") == (3,)
    assert config.values("backbone") == ("mobilenet",)
    assert config.values("learning_rate") == (TrainConfig.learning_rate,)
    assert config.values("image_size") == (None,)
    assert config.changed() == {"image_dir": "photos", "seed": (3,), "backbone": ("mobilenet",)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0.1,fast", "a number. Received: 'fast'"),
        ([0.1, "fast"], "a number. Received: 'fast'"),
        ([0.1, -1], "above 0. Received: -1"),
        ([0.1, None], "a number. Received: None"),
        ([], "at least one value for `learning_rate`"),
        ("", "a number. Received: ''"),
    ],
)
def test_every_value_of_a_list_is_checked(given: Any, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        SweepConfig(image_dir="photos", learning_rate=given)


def test_experiments_train_with_the_defaults_of_train() -> None:
    plain = make(summaries="scalars", model_dir="model")
    lists = {"backbone": plain.backbone, "split_seed": plain.split_seed}
    sweep = SweepConfig(image_dir="photos")
    settings = {name: sweep.values(name)[0] for name in sweep.lists()}
    assert sweep.train_config(**settings) == plain
    assert CompareConfig(image_dir="photos").train_config(**lists) == plain
    assert CurveConfig(image_dir="photos").train_config().changed() == plain.changed()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"batch_size": 32}, {"train_batch_size": 32}),
        ({"steps": 50}, {"how_many_training_steps": 50}),
        ({"test_size": 0.29, "validation_size": 0.15}, {
            "testing_percentage": 29.0, "validation_percentage": 15.0,
        }),
        ({"test_size": 0}, {"testing_percentage": 0.0}),
        ({"batch_size": None, "train_batch_size": 32}, {"train_batch_size": 32}),
    ],
)  # fmt: skip
def test_keras_words_mean_the_labs_settings(
    words: dict[str, Any], expected: dict[str, Any]
) -> None:
    config = make(**words)
    assert config == make(**expected)
    assert config.changed() == {"image_dir": "photos", "model_dir": "out", **expected}
    # A copy takes the values on, and not as if they had been given twice.
    assert dataclasses.replace(config, train_batch_size=7).train_batch_size == 7


def test_keras_words_may_be_lists_where_the_setting_is() -> None:
    config = SweepConfig(image_dir="photos", batch_size=[16, 32], steps="10,20")
    assert config.values("train_batch_size") == (16, 32)
    assert config.values("how_many_training_steps") == (10, 20)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"batch_size": 0}, "Expected `batch_size` to be at least 1. Received: 0"),
        ({"steps": 2.5}, "Expected `steps` to be a whole number. Received: 2.5"),
        ({"test_size": 10}, "Expected `test_size` to be at most 0.9. Received: 10"),
        ({"validation_size": -0.1}, "Expected `validation_size` to be at least 0. Received: -0.1"),
        (
            {"batch_size": 32, "train_batch_size": 100},
            "either `train_batch_size` or `batch_size`, which are one setting. Received: both",
        ),
        ({"test_size": 0.1, "testing_percentage": 10.0}, "`testing_percentage` or `test_size`"),
        ({"test_siz": 0.1}, "no setting `test_siz`. Did you mean `test_size`?"),
    ],
)
def test_keras_words_are_checked_by_their_own_names(words: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        make(**words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Choose another `model_dir`.", "Choose another --model_dir."),
        ("Give `overwrite=True` or `overwrite=False`.", "Give --overwrite or --nooverwrite."),
        ("`image_dir='my photos'` is a file.", "--image_dir='my photos' is a file."),
        ("Use `precision='float32'`, `seed=3`.", "Use --precision=float32, --seed=3."),
        ("Give `labels=FILE`.", "Give --labels=FILE."),
        ("Give `export=('onnx', 'tflite')`.", "Give --export=onnx,tflite."),
        ("`batch_size` is `train_batch_size`.", "--batch_size is --train_batch_size."),
        (
            "`xferlearn train` and `none` are no settings.",
            "`xferlearn train` and `none` are no settings.",
        ),
    ],
)
def test_messages_name_settings_as_parameters_and_become_flags(text: str, expected: str) -> None:
    assert as_flags(text) == expected
