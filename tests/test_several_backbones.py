"""Several backbones as one: names, model, cache, model folder, exports and comparison."""

import csv
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import xferlearn
from xferlearn import load_backbone
from xferlearn.backbones import combine_backbones, resolve_backbones
from xferlearn.bottlenecks import Extraction
from xferlearn.cli import main
from xferlearn.config import ImageConfig, SweepConfig, TrainConfig
from xferlearn.config.presets import HIDDEN_UNITS
from xferlearn.dashboard import REPORT_TAG
from xferlearn.errors import UserError, XferlearnError
from xferlearn.experiments import running
from xferlearn.inspection import inspect_model
from xferlearn.model_folder import read_model_folder
from xferlearn.photos.manifest import BadPhoto, Photo
from xferlearn.photos.opening import open_source
from xferlearn.predictors.model_folder import CachedScores
from xferlearn.training import TrainResult
from xferlearn.training.fit import prepare
from xferlearn.training.head import (
    FeatureScale,
    build_head,
    join_heads,
    measure_scale,
    predict_head,
)
from xferlearn.training.networks import load_networks

# One of them smaller than the other, so that the model resizes for it.
SMALL, LARGE = "mobilenet_0.25_32", "mobilenet_0.50_48"
BOTH = f"{SMALL}+{LARGE}"
# One engine, so that none has to be compared with another.
ENGINE = {"engine": "tensorflow", "precision": "float32"}
PLAIN = [f"--{name}={value}" for name, value in ENGINE.items()]


def config_of(photos: Path, root: Path, backbone: str | Sequence[str]) -> TrainConfig:
    return TrainConfig(
        image_dir=str(photos),
        model_dir=str(root / "model"),
        logs_dir=str(root / "logs"),
        bottleneck_dir=str(root / "bottlenecks"),
        backbone=backbone,
        weights="none",
        **ENGINE,
        dropout=0.0,
        how_many_training_steps=200,
        testing_percentage=20.0,
        verbose=0,
    )


@pytest.fixture(scope="module")
def trained(photo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A model on two backbones that tells red, green and blue. Shared: do not change it."""
    root = tmp_path_factory.mktemp("several")
    settings = config_of(photo_dir, root, [SMALL, LARGE])
    return xferlearn.train(**settings.changed())


# Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "image_size", "expected"),
    [
        ("mobilenet", None, [("mobilenet", 224)]),
        ("mobilenet,efficientnet_lite0", None, [("mobilenet", 224), ("efficientnet_lite0", 224)]),
        (" MobileNet + efficientnet-lite0", 96, [("mobilenet", 96), ("efficientnet_lite0", 96)]),
        (["mobilenet_0.50_192", "xception"], None, [("mobilenet_0.50", 192), ("xception", 299)]),
        ("mobilenet_128+mobilenet_224", None, [("mobilenet", 128), ("mobilenet", 224)]),
    ],
)
def test_names_of_several(
    name: str | list[str], image_size: int | None, expected: list[tuple[str, int]]
) -> None:
    assert [(spec.name, size) for spec, size in resolve_backbones(name, image_size)] == expected


@pytest.mark.parametrize(
    ("name", "image_size", "message"),
    [
        ("mobilenet+", None, r"Expected names of backbones with \+ between them"),
        ("mobilenet,,xception", None, r"Expected names of backbones with \+ between them"),
        ("mobilenet+mobilnet_v2", None, "Did you mean mobilenet_v2"),
        ("mobilenet_224+MobileNet", None, "mobilenet is there twice in 'mobilenet_224"),
        ("mobilenet_192+mobilenet_128", 192, "says 128 px, but the image size given is 192"),
        ("mobilenet_192+mobilenet_192", None, "mobilenet_192 is there twice"),
    ],
)
def test_names_that_are_refused(name: str, image_size: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_backbones(name, image_size)


def test_commas_join_in_train_and_separate_in_sweep() -> None:
    given = {"image_dir": "photos", "model_dir": "out"}
    assert TrainConfig(backbone="mobilenet, xception", **given).backbone == "mobilenet+xception"
    assert TrainConfig(backbone=("mobilenet", "xception"), **given).backbone == "mobilenet+xception"
    sweep = SweepConfig(image_dir="photos", backbone="mobilenet+xception,resnet50")
    assert sweep.values("backbone") == ("mobilenet+xception", "resnet50")
    for wrong, told in ((3, "to be text"), (["mobilenet", 3], "to be text"), ("a,,b", "an empty")):
        with pytest.raises(UserError, match=told):
            TrainConfig(backbone=wrong, **given)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["label", f"--backbone={BOTH}", "photo.jpg"], "Expected one backbone. Received several"),
        (["inspect", f"--backbone={BOTH}"], "Expected one backbone. Received several"),
        (["train", f"--backbone={BOTH}", "--weights=WEIGHTS"], "weights file is of one backbone"),
        (["train", f"--backbone={SMALL},{SMALL}"], "is there twice"),
    ],
)
def test_what_takes_one_backbone_says_so(
    command: list[str],
    told: str,
    photo_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "some.weights.h5").touch()
    words = [word.replace("WEIGHTS", str(tmp_path / "some.weights.h5")) for word in command]
    if command[0] == "train":
        words += [f"--image_dir={photo_dir}", f"--model_dir={tmp_path / 'model'}"]
        words += [f"--bottleneck_dir={tmp_path}", "--summaries=none"]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


# The network ---------------------------------------------------------------------------------


def test_each_backbone_sees_the_photo_at_its_size() -> None:
    import tensorflow as tf

    parts = [load_backbone(name, weights="none") for name in (SMALL, LARGE)]
    both = combine_backbones(parts)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype(np.float32)
    expected = [parts[0](tf.image.resize(pixels, (32, 32))), parts[1](pixels)]
    np.testing.assert_allclose(both(pixels), np.concatenate(expected, axis=1), rtol=1e-4)
    assert [layer.name for layer in both.layers] == [
        "image", f"resize_{SMALL}", f"preprocessing_{SMALL}", f"preprocessing_{LARGE}",
        SMALL, LARGE, f"pooling_{SMALL}", f"pooling_{LARGE}", "bottleneck",
    ]  # fmt: skip
    assert not both.trainable_weights
    assert combine_backbones(parts[:1]) is parts[0]


def test_a_name_of_several_loads_one_network_twice_where_sizes_differ() -> None:
    both = load_backbone("mobilenet_0.25_32,mobilenet_0.25_64", weights="none")
    assert (both.input_shape[1:], both.output_shape[1:]) == ((64, 64, 3), (512,))


def test_every_backbone_has_its_own_scale() -> None:
    generator = np.random.default_rng(0)
    x = np.concatenate(
        [generator.normal(5, 100, (50, 3)), generator.normal(0, 0.01, (50, 2))], axis=1
    ).astype(np.float32)
    scale = measure_scale(x, [3, 2])
    for block in (scale.apply(x)[:, :3], scale.apply(x)[:, 3:]):
        assert np.sqrt(np.mean(np.square(block))) == pytest.approx(1, rel=1e-3)
    normalised = build_head(5, 2, scale=scale).get_layer("normalization")(x)
    np.testing.assert_allclose(normalised, scale.apply(x), rtol=1e-3, atol=1e-4)
    assert isinstance(measure_scale(x, [5]).deviation, float)


@pytest.mark.parametrize("hidden_units", [0, 5])
@pytest.mark.parametrize("several", [(False, False), (False, True), (True, True)])
def test_joined_heads_give_the_mean_of_their_logits(
    hidden_units: int, several: tuple[bool, bool]
) -> None:
    generator = np.random.default_rng(hidden_units)
    x = generator.normal(3, 2, (50, 10)).astype(np.float32)
    parts, heads = (x[:, :4], x[:, 4:]), []
    for part, vector in zip(parts, several, strict=True):
        width = part.shape[1]
        deviation = generator.uniform(0.5, 4, width) if vector else 1.7
        scale = FeatureScale(part.mean(axis=0), deviation)
        head = build_head(width, 3, hidden_units=hidden_units, scale=scale)
        head.set_weights([generator.normal(size=w.shape) for w in head.get_weights()])
        heads.append(head)
    joined = join_heads(heads)
    assert joined.input_shape == (None, 10)
    logits = [np.log(predict_head(head, part)) for head, part in zip(heads, parts, strict=True)]
    expected = np.exp(np.mean(logits, axis=0))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predict_head(joined, x), expected, atol=1e-5)


# The model folder ----------------------------------------------------------------------------


def test_the_model_describes_its_parts(trained: TrainResult) -> None:
    said = trained.model_folder.metadata
    assert (said["input"]["height"], said["backbone"]["name"]) == (48, BOTH)
    assert said["bottleneck"] == {
        "layer": "bottleneck",
        "width": 768,
        "parts": [
            {"layer": f"pooling_{SMALL}", "width": 256},
            {"layer": f"pooling_{LARGE}", "width": 512},
        ],
    }
    parts = said["backbone"]["parts"]
    assert [(one["name"], one["image_size"]) for one in parts] == [
        ("mobilenet_0.25", 32),
        ("mobilenet_0.50", 48),
    ]
    assert len(said["engine"]["parts"]) == len(said["feature_space"]["parts"]) == 2
    assert said["training"]["backbone"] == BOTH
    assert trained.extraction.computed == 180
    assert trained.test.accuracy > 0.9


def test_each_part_has_the_cache_that_it_has_alone(trained: TrainResult, photo_dir: Path) -> None:
    root = trained.model_folder.path.parent
    for name in (SMALL, LARGE):
        config = config_of(photo_dir, root, name)
        prepared = prepare(config, open_source(config), load_networks(config))
        assert (prepared.extraction.computed, prepared.extraction.cached) == (0, 90)


def test_views_go_through_all_parts(trained: TrainResult, photo_dir: Path) -> None:
    root = trained.model_folder.path.parent
    config = dataclasses.replace(config_of(photo_dir, root, BOTH), augment="flip")
    prepared = prepare(config, open_source(config), load_networks(config))
    few = list(prepared.extraction.photos[:3])
    rows, photos = prepared.views(few, config, pytest.fail)
    assert (rows.shape, photos.tolist()) == ((6, 768), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(rows[::2], prepared.read(tuple(few)))


def test_photos_that_one_part_could_not_read_are_left_out() -> None:
    good, lost = (Photo(name.encode().ljust(32), 0, name) for name in ("a", "b"))
    bad = BadPhoto("b", 0, "it is gone")
    first = Extraction((good, lost), (), computed=2, cached=0, seconds=1.0)
    second = Extraction((good,), (bad,), computed=0, cached=1, seconds=2.0)
    both = first.joined([second])
    assert (both.photos, both.bad) == ((good,), (bad,))
    assert (both.computed, both.cached, both.seconds) == (2, 1, 3.0)
    assert first.joined([]) is first


def test_label_and_evaluate_give_what_the_model_gives(
    trained: TrainResult,
    photo_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = trained.model_folder.path
    words = ["evaluate", f"--model={folder}", f"--image_dir={photo_dir}", "--include_seen", *PLAIN]
    assert main([*words, f"--bottleneck_dir={tmp_path}", "--format=json", "--verbose=0"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.9
    assert len({shard.parent for shard in tmp_path.glob("mobilenet*/*.arrow")}) == 2
    classifier = xferlearn.load_classifier(folder, bottleneck_dir=tmp_path / "new", **ENGINE)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 48, 48, 3), np.uint8)
    np.testing.assert_allclose(
        classifier.predict(pixels),
        classifier.model(pixels.astype(np.float32))["predictions"],
        atol=1e-4,
    )
    # Whether a photo was cached does not change its scores.
    photos = sorted(photo_dir.glob("red/*"))[:4]
    computed = classifier.predict(photos)
    np.testing.assert_array_equal(classifier.predict(photos), computed)
    shared = xferlearn.load_classifier(
        folder, bottleneck_dir=folder.parent / "bottlenecks", **ENGINE
    )
    np.testing.assert_allclose(shared.predict(photos), computed, atol=1e-5)
    assert f"backbone    {BOTH}" in repr(classifier)
    report = inspect_model(folder)
    assert (report.backbone.name, report.bottleneck.name, report.warnings) == (
        BOTH,
        "bottleneck",
        (),
    )


def test_damaged_parts_are_no_traceback(trained: TrainResult, tmp_path: Path) -> None:
    held = read_model_folder(trained.model_folder.path)
    model, config = held.load_model(), ImageConfig(bottleneck_dir=str(tmp_path))
    said = held.metadata["bottleneck"]
    for wrong in ("both", {**said, "parts": []}, {**said, "parts": [{"layer": "pooling"}] * 2}):
        damaged = dataclasses.replace(held, metadata={**held.metadata, "bottleneck": wrong})
        with pytest.raises(UserError, match=r"metadata\.json is damaged"):
            CachedScores(damaged, lambda: model, config, says_familiarity=True)


def test_tensorboard_shows_every_part(trained: TrainResult) -> None:
    events = EventAccumulator(str(trained.run_dir))
    events.Reload()
    tags = events.Tags()["tensors"]
    (card,) = (
        events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in tags
        if tag.startswith("run_card")
    )
    for name in ("0.25", "0.50"):
        assert f"weights of mobilenet\\_{name} | none, SHA-256" in card
    assert "size of mobilenet\\_0.25 | 32 x 32 px" in card
    names = {node.name for node in events.Graph().node}
    assert {"bottleneck", f"preprocessing_{SMALL}", f"resize_{SMALL}"} <= names
    report = json.loads(events.Tensors(REPORT_TAG)[0].tensor_proto.string_val[0])
    rules = [part["preprocessing"]["name"] for part in report["backbone"]["parts"]]
    assert rules == ["tf", "tf"]
    assert [part["pooling"] for part in report["bottleneck"]["parts"]] == ["average", "average"]


def test_exports_agree_with_the_model(trained: TrainResult) -> None:
    exported = xferlearn.export(
        model=trained.model_folder.path, format=["tflite", "frozen_graph"], verbose=0
    )
    assert exported.passed
    for row in exported.rows:
        assert row.proof.agreement == 1
        report = inspect_model(row.path)
        assert (report.backbone.name, report.image_input.resolution) == (BOTH, "48 x 48")


# Experiments ---------------------------------------------------------------------------------


def test_compare_says_which_pair_gains(
    run_tiny: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = running.load_networks

    def counted(config: TrainConfig) -> object:
        loaded.append(str(config.backbone))
        return load(config)

    monkeypatch.setattr(running, "load_networks", counted)
    names = ["mobilenet_0.25", "mobilenet_0.50"]
    code, out, err = run_tiny(
        "compare", f"--backbone={','.join(names)}", "--combine", "--split_seed=0"
    )
    assert (code, err) == (0, "")
    assert loaded == names  # pairs take what is there
    rows = csv.DictReader((tmp_path / "logs/experiments/compare.csv").read_text().splitlines())
    table = {row["backbone"]: row for row in rows}
    assert len(table) == 3
    pair = table["mobilenet_0.25+mobilenet_0.50"]
    assert pair["gain_over"] in names
    assert float(pair["gain_low"]) <= float(pair["gain"]) <= float(pair["gain_high"])
    # Their times are added, and so are their numbers.
    alone = [1 / float(table[name]["network_photos_per_second"]) for name in names]
    assert 1 / float(pair["network_photos_per_second"]) == pytest.approx(sum(alone), rel=0.02)
    head = (256 + 512 + 1) * HIDDEN_UNITS + (HIDDEN_UNITS + 1) * 3
    assert int(pair["parameters"]) == 218_544 + 829_536 + head
    assert "points more" in out


def test_a_pair_without_one_of_its_backbones_is_not_available(
    run_tiny: Callable[..., tuple[int, str, str]],
    fail_to_load: Callable[[str, Exception], None],
) -> None:
    fail_to_load("mobilenet_0.50", XferlearnError("Can't download mobilenet_0.50"))
    code, out, _ = run_tiny("compare", "--backbone=mobilenet_0.25,mobilenet_0.50", "--combine")
    assert code == 0
    assert "mobilenet_0.25+mobilenet_0.50: Can't download mobilenet_0.50" in out


def test_combine_needs_two(run_tiny: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = run_tiny("compare", "--backbone=mobilenet_0.25", "--combine")
    assert code == 2
    assert "--combine needs at least two backbones to make pairs of. Received: 1" in err
