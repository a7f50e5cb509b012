"""Presets of KerasHub as backbones: names, preprocessing, pooling, cache, training and exports."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hub_presets import MEAN, PRESETS, STD, save_preset
from several import make_halves

import xferlearn
from xferlearn.backbones import resolve_backbone, spec_of
from xferlearn.backbones.table import preprocessing_of
from xferlearn.bottlenecks.engines import build_engine
from xferlearn.bottlenecks.engines.planning import EnginePlan
from xferlearn.bottlenecks.space import feature_space
from xferlearn.cli import main
from xferlearn.errors import UserError, XferlearnError
from xferlearn.inspection import inspect_backbone, inspect_model
from xferlearn.labelling import load_classifier
from xferlearn.model_folder import read_model_folder
from xferlearn.training import TrainResult, load_backbone

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("keras_hub") is None,
        reason="needs KerasHub: pip install '.[hub]'",
    ),
    # KerasHub's and its dependencies' own.
    pytest.mark.filterwarnings("ignore:.*mask attached to it:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

Presets = Callable[[str], str]


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Presets:
    """`presets("tiny_vit")`: what `backbone` takes for it."""
    root = tmp_path_factory.mktemp("presets")

    def name(preset: str) -> str:
        if not (root / preset).is_dir():
            save_preset(root, preset)
        return f"hub:{root / preset}"

    return name


def pixels(size: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


# ---- networks


@pytest.mark.parametrize(
    ("preset", "width", "pooling"),
    [
        ("tiny_resnet", 64, "average"),
        ("tiny_efficientnet", 320, "average"),
        ("tiny_vit", 16, "class token"),
        ("tiny_dinov2", 32, "class token, mean of patches"),
        ("tiny_dinov3", 32, "class token, mean of patches"),
        ("tiny_siglip", 16, "none"),
        ("tiny_swin", 16, "average"),
    ],
)
def test_every_family_gives_the_same_bottlenecks_in_openvino_and_when_loaded_again(
    presets: Presets, tmp_path: Path, preset: str, width: int, pooling: str
) -> None:
    import keras

    backbone = load_backbone(presets(preset))
    size = PRESETS[preset][2]
    photos = pixels(size)
    expected = np.asarray(backbone(photos.astype("float32"), training=False))

    assert backbone.name == f"hub_{preset}"
    assert backbone.input_shape == (None, size, size, 3)
    assert expected.shape == (len(photos), width)
    assert spec_of(backbone).pooling == pooling
    assert not backbone.trainable_weights
    # Also during training nothing is dropped.
    np.testing.assert_allclose(backbone(photos.astype("float32"), training=True), expected, 1e-5)
    found = build_engine(backbone, EnginePlan("openvino", "float32")).run(photos)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    backbone.save(tmp_path / "backbone.keras")
    again = keras.saving.load_model(tmp_path / "backbone.keras")
    np.testing.assert_allclose(again(photos.astype("float32")), expected, atol=1e-6)


def test_pixels_become_what_the_image_converter_makes_of_them(presets: Presets) -> None:
    spec, size = resolve_backbone(presets("tiny_resnet"))
    step = preprocessing_of(spec.preprocessing)

    assert size == 48
    assert step is not None
    np.testing.assert_allclose(step.scale, [1 / (255 * one) for one in STD])
    np.testing.assert_allclose(step.offset, [-a / b for a, b in zip(MEAN, STD, strict=True)])


def test_tokens_are_pooled_without_registers(presets: Presets) -> None:
    import keras

    backbone = load_backbone(presets("tiny_dinov3"))
    photos = pixels(32).astype("float32")
    network = backbone.get_layer("hub_tiny_dinov3")
    fed = keras.Model(backbone.input, backbone.get_layer("preprocessing").output)(photos)
    tokens = np.asarray(network({"pixel_values": fed}, training=False))

    # Class token, four registers, sixteen patches.
    assert tokens.shape[1] == 21
    expected = np.concatenate([tokens[:, 0], tokens[:, 5:].mean(axis=1)], axis=1)
    np.testing.assert_allclose(backbone(photos), expected, atol=1e-5)


def test_image_size_is_the_presets_or_what_is_asked_for(presets: Presets) -> None:
    assert load_backbone(presets("tiny_resnet"), image_size=64).input_shape[1] == 64
    # Position embeddings are interpolated.
    assert load_backbone(presets("tiny_dinov2"), image_size=56).input_shape[1] == 56
    with pytest.raises(UserError, match=r"tiny_siglip takes photos of 32 px alone. Received: 64"):
        load_backbone(presets("tiny_siglip"), image_size=64)
    with pytest.raises(UserError, match=r"tiny_vit can't be built for photos of 33 px"):
        load_backbone(presets("tiny_vit"), image_size=33)


def test_feature_spaces_of_networks_with_equal_weights_differ(
    presets: Presets, tmp_path: Path
) -> None:
    folder = Path(presets("tiny_vit").removeprefix("hub:"))
    other = tmp_path / "tiny_vit"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    config = json.loads((other / "config.json").read_text())
    config["config"]["layer_norm_epsilon"] = 0.1
    (other / "config.json").write_text(json.dumps(config))
    one, two = (feature_space(load_backbone(f"hub:{path}"), "float32") for path in (folder, other))

    assert one.weights_sha256 == two.weights_sha256
    assert one.folder != two.folder


def test_random_weights_are_the_same_for_a_seed(presets: Presets) -> None:
    one, two = (load_backbone(presets("tiny_vit"), weights="none", seed=3) for _ in range(2))

    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(UserError, match="has weights of its own"):
        load_backbone(presets("tiny_vit"), weights="more.h5")


# ---- what can't serve


def test_a_preset_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Did you mean vit_base_patch16_224_imagenet\?"):
        load_backbone("hub:vit_base_patch16_224_imagenett")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"can't be read as a preset of KerasHub: .*config.json"):
        load_backbone(f"hub:{tmp_path / 'empty'}")
    with pytest.raises(UserError, match=r"For that folder as a preset of KerasHub, say hub:"):
        load_backbone(str(tmp_path / "empty"))


def test_a_failing_download_is_one_line_and_leaves_nothing(
    photo_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import kagglehub

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(kagglehub, "model_download", offline)
    model = tmp_path / "model"
    code = main(
        [
            "train",
            f"--image_dir={photo_dir}",
            f"--model_dir={model}",
            "--backbone=hub:vit_base_patch16_224_imagenet",
        ]
    )
    said = capsys.readouterr().err.strip().splitlines()

    assert code == XferlearnError.exit_code
    assert len(said) == 1
    assert "Can't download the preset hub:vit_base_patch16_224_imagenet (ConnectionError" in said[0]
    assert not model.exists()


def test_a_network_for_text_says_so(tmp_path: Path) -> None:
    import keras_hub

    keras_hub.models.BertBackbone(
        vocabulary_size=9, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4
    ).save_to_preset(str(tmp_path / "bert"))

    with pytest.raises(UserError, match=r"\(BertBackbone\) is no backbone for photos"):
        load_backbone(f"hub:{tmp_path / 'bert'}")


def test_a_preset_without_image_converter_is_not_guessed(presets: Presets, tmp_path: Path) -> None:
    folder = Path(presets("tiny_vit").removeprefix("hub:"))
    for name in ("config.json", "model.weights.h5"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())

    with pytest.raises(UserError, match=r"image_converter.json, which says what values it takes"):
        load_backbone(f"hub:{tmp_path}")


def test_without_keras_hub_it_says_what_to_install(
    presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "keras_hub" else find(name)
    )
    with pytest.raises(UserError, match=r'needs KerasHub: pip install "xferlearn\[hub\]"'):
        load_backbone(presets("tiny_vit"))


def test_what_has_no_classifier_does_not_label(presets: Presets) -> None:
    with pytest.raises(UserError, match="has no known classifier: train one on it"):
        load_classifier(backbone=presets("tiny_vit"))


# ---- listing and inspecting


def test_presets_are_listed_without_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "--hub", "--format=json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}

    assert len(found) > 50
    one = found["hub:dinov2_small"]
    assert (one["family"], one["licence"], one["on_this_machine"]) == ("DINOv2", "unknown", False)
    assert one["parameters"] == 22_582_656
    assert main(["backbones", "--hub"]) == 0
    assert "DINOv2: class token, mean of patches" in capsys.readouterr().out


def test_a_preset_is_inspected(presets: Presets) -> None:
    report = inspect_backbone(presets("tiny_swin"))

    assert report.image_input is not None
    assert report.image_input.resolution == "32 x 32"
    assert report.backbone is not None
    assert report.backbone.title == "Swin"


# ---- all the way


@pytest.fixture(scope="module")
def trained(
    presets: Presets, photo_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> TrainResult:
    """A model on a preset whose licence is stated, exported. Shared: do not change it."""
    root = tmp_path_factory.mktemp("trained")
    preset = Path(presets("tiny_vit").removeprefix("hub:"))
    held = json.loads((preset / "metadata.json").read_text())
    (preset / "metadata.json").write_text(json.dumps({**held, "license": "Apache-2.0"}))
    return xferlearn.train(
        image_dir=photo_dir,
        model_dir=root / "model",
        logs_dir=root / "logs",
        bottleneck_dir=root / "bottlenecks",
        backbone=f"hub:{preset}",
        how_many_training_steps=60,
        summaries="scalars",
        export=["onnx", "tflite", "saved_model", "openvino"],
        verbose=0,
    )


def test_every_export_agrees_and_names_the_licence(
    trained: TrainResult,
) -> None:
    assert trained.exported is not None
    assert trained.exported.passed, trained.exported.remarks()
    for row in trained.exported.rows:
        assert "Apache-2.0" in _text(row.path)
        (said,) = xferlearn.inspect_model(row.path).licences
        assert (said.backbone, said.licence) == ("hub_tiny_vit", "Apache-2.0")


def _text(path: Path) -> str:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return "".join(one.read_bytes().decode(errors="ignore") for one in files)


def test_the_model_folder_says_where_the_weights_come_from(
    trained: TrainResult, presets: Presets
) -> None:
    said = read_model_folder(trained.model_folder.path).metadata["backbone"]

    assert said["name"] == "hub_tiny_vit"
    assert said["weights"] == presets("tiny_vit")
    assert said["licence"] == "Apache-2.0"
    assert trained.run_dir is not None
    assert "licence of the weights" in _text(trained.run_dir)


def test_the_model_folder_labels_and_is_inspected(trained: TrainResult, photo_dir: Path) -> None:
    classifier = load_classifier(trained.model_folder.path)
    photos = sorted(photo_dir.glob("*/*.jpg"))[::10]
    best = classifier.predict(photos).argmax(axis=1)

    assert [path.parent.name for path in photos] == [classifier.labels[one] for one in best]
    report = inspect_model(trained.model_folder.path)
    assert report.image_input is not None
    assert report.image_input.value_range == (0, 255)
    assert report.backbone is not None
    assert report.backbone.name == "hub_tiny_vit"


def test_several_labels_per_photo_on_a_preset(presets: Presets, tmp_path: Path) -> None:
    several = xferlearn.train(
        image_dir=tmp_path / "photos",
        labels=make_halves(tmp_path / "photos", 42),
        model_dir=tmp_path / "model",
        bottleneck_dir=tmp_path / "bottlenecks",
        backbone=presets("tiny_vit"),
        engine="tensorflow",
        how_many_training_steps=20,
        summaries="none",
        export="onnx",
        verbose=0,
    )
    assert several.model_folder.is_multi_label
    assert several.exported is not None
    assert several.exported.passed, several.exported.remarks()
    assert set(several.exported.thresholds) == {"blue", "green", "red"}


def test_a_network_of_keras_layers_loads_with_keras_alone(presets: Presets, tmp_path: Path) -> None:
    load_backbone(presets("tiny_resnet")).save(tmp_path / "model.keras")
    script = (
        "import sys, keras; keras.saving.load_model(sys.argv[1]); print('keras_hub' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "model.keras"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_several_are_combined(presets: Presets) -> None:
    both = load_backbone([presets("tiny_vit"), "mobilenet_0.25_48"], weights="none")

    assert both.input_shape == (None, 48, 48, 3)
    assert both.output_shape == (None, 16 + 256)
    with pytest.raises(UserError, match=r"Two backbones of .* would be called hub_tiny_vit"):
        load_backbone([presets("tiny_vit"), presets("tiny_vit")])
