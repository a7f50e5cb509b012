"""Keras models of the user's own as backbones: files, objects, and what can't serve."""

import json
from pathlib import Path

import numpy as np
import pytest
from several import make_halves

import xferlearn
from xferlearn.bottlenecks.space import feature_space
from xferlearn.cli import main
from xferlearn.config import CompareConfig, TrainConfig
from xferlearn.errors import UserError
from xferlearn.experiments.comparing import _names
from xferlearn.labelling import load_classifier


def own_model(size: int | None = 32, *, rescales: bool = True):
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(1)
    image = keras.Input((size, size, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, -1)(image) if rescales else image
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="map")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.5)(x)
    return keras.Model(image, layers.Dense(7, activation="softmax")(x), name="mine")


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes pixels of 32 px. Shared: do not change it."""
    path = tmp_path_factory.mktemp("own") / "my model.keras"
    own_model().save(path)
    return path


def pixels(size: int = 32) -> np.ndarray:
    shape = (2, size, size, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype("float32")


def test_the_layer_before_the_last_dense_one_is_the_bottleneck(model_file: Path) -> None:
    import keras

    whole = keras.saving.load_model(model_file)
    expected = keras.Model(whole.input, whole.get_layer("pool").output)(pixels())
    backbone = xferlearn.load_backbone(model_file)

    assert backbone.name == "own_my_model"
    np.testing.assert_allclose(backbone(pixels(), training=True), expected, atol=1e-6)


def test_a_hidden_dense_layer_is_before_the_last_one(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(12, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    ).save(tmp_path / "two.h5")

    assert xferlearn.load_backbone(tmp_path / "two.h5").output_shape == (None, 12)


def test_a_map_is_averaged_and_has_a_feature_space_of_its_own(model_file: Path) -> None:
    pooled = xferlearn.load_backbone(model_file)
    of_map = xferlearn.load_backbone(model_file, bottleneck_layer="map")

    np.testing.assert_allclose(of_map(pixels()), pooled(pixels()), atol=1e-6)
    assert feature_space(of_map, "float32").folder != feature_space(pooled, "float32").folder


def test_a_model_in_python_is_copied() -> None:
    model = own_model()
    before = [np.array(one) for one in model.get_weights()]
    backbone = xferlearn.load_backbone(model)
    backbone.get_layer("own_mine").set_weights(
        [one + 1 for one in backbone.get_layer("own_mine").get_weights()]
    )

    assert model.trainable
    assert model.layers[-2].rate == 0.5
    for one, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, was)


def test_a_model_in_python_is_combined_with_others() -> None:
    model = own_model()
    both = xferlearn.load_backbone([model, "efficientnet_lite0_64"])
    widths = [
        xferlearn.load_backbone(one).output_shape[1] for one in (model, "efficientnet_lite0_64")
    ]
    assert both.input_shape == (None, 64, 64, 3)
    assert both.output_shape == (None, sum(widths))
    config = TrainConfig(image_dir="x", backbone=(model, "efficientnet_lite0"))
    assert config.backbone == "<Functional mine>+efficientnet_lite0"
    assert TrainConfig(image_dir="x", backbone=config.backbone).backbone.parts[0].model is model
    compared = CompareConfig(image_dir="x", backbone=[model, "efficientnet_lite0"], combine=True)
    pair = _names(compared)[-1]
    assert compared.train_config(backbone=pair).backbone.parts[0].model is model
    with pytest.raises(UserError, match="would be called own_mine"):
        xferlearn.load_backbone([model, model])


def test_values_that_a_model_does_not_show_are_asked_for(tmp_path: Path) -> None:
    model = own_model(rescales=False)
    with pytest.raises(UserError, match=r"does not state which values 'pixels' takes"):
        xferlearn.load_backbone(model)

    import keras

    backbone = xferlearn.load_backbone(model, input_range=(-1, 1), input_channels="bgr")
    features = keras.Model(model.input, model.get_layer("pool").output)
    expected = features(pixels()[..., ::-1] / 127.5 - 1)
    np.testing.assert_allclose(backbone(pixels()), expected, atol=1e-5)


def test_a_model_for_any_size_is_asked_for_one() -> None:
    with pytest.raises(UserError, match=r"takes photos of any size. .* `image_size`"):
        xferlearn.load_backbone(own_model(None))
    assert xferlearn.load_backbone(own_model(None), image_size=40).input_shape[1] == 40


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"input_range": (0, 1)}, "`input_range` asks for .* 'pixels' .* pixels as they are"),
        ({"image_size": 64}, r"`image_size=64`, but .* takes 32 x 32 px"),
        ({"bottleneck_layer": "pol"}, r"no layer 'pol' of its own.* Did you mean pool\?"),
        ({"weights": "none"}, "`weights='none'` belongs to backbones by name"),
    ],
)
def test_what_contradicts_a_model_is_an_error(model_file: Path, settings: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        xferlearn.load_backbone(model_file, **settings)


def test_what_is_no_backbone_says_why(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    image, more = keras.Input((8, 8, 3)), keras.Input((4,))
    two = keras.Model([image, more], layers.Concatenate()([layers.Flatten()(image), more]))
    rows = keras.Sequential([keras.Input((10,)), layers.Dense(3)])
    code = keras.Sequential([image, layers.Lambda(lambda x: x), layers.Flatten()])
    for model, said in (
        (two, "it takes 2 inputs"),
        (rows, r"its input takes \[None, 10\], and a backbone takes photos of three channels"),
        (code, "holds Python code"),
        (keras.Sequential([layers.Dense(3)]), "its layers are not known"),
    ):
        with pytest.raises(UserError, match=said):
            xferlearn.load_backbone(model)
    with pytest.raises(UserError, match=r"There is no .*gone.keras"):
        xferlearn.load_backbone(tmp_path / "gone.keras")
    with pytest.raises(UserError, match="`input_range` belongs to a Keras model of your own"):
        xferlearn.load_backbone("mobilenet", input_range=(0, 1))


def test_a_head_is_trained_on_a_model_in_python_and_compared(
    photo_dir: Path, tmp_path: Path, model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "model"
    shared = {
        "image_dir": photo_dir,
        "bottleneck_dir": tmp_path / "bottlenecks",
        "engine": "tensorflow",
        "precision": "float32",
        "how_many_training_steps": 40,
        "verbose": 0,
    }
    result = xferlearn.train(
        **shared, model_dir=root, backbone=own_model(), summaries="none", export="onnx"
    )
    metadata = json.loads((root / "metadata.json").read_text())

    assert result.exported is not None
    assert result.exported.passed
    assert metadata["backbone"]["weights"] == "<Functional mine>"
    assert metadata["backbone"]["licence"] == "unknown"
    best = load_classifier(root).predict([photo_dir / "red" / "0000.jpg"]).argmax()
    assert result.model_folder.labels[best] == "red"

    flags = [f"--{name}={value}" for name, value in shared.items()]
    names = f"--backbone={model_file},efficientnet_lite0_64"
    code = main(["compare", *flags, names, f"--logs_dir={tmp_path / 'logs'}"])
    said = " ".join(capsys.readouterr().out.split())

    assert code == 0
    assert "Apache-2.0 (efficientnet_lite0_64)" in said
    assert f"unknown ({model_file})" in said


def test_several_labels_per_photo_on_a_model_file(tmp_path: Path, model_file: Path) -> None:
    result = xferlearn.train(
        image_dir=tmp_path / "photos",
        labels=make_halves(tmp_path / "photos", 42),
        model_dir=tmp_path / "model",
        bottleneck_dir=tmp_path / "bottlenecks",
        backbone=str(model_file),
        engine="tensorflow",
        how_many_training_steps=20,
        summaries="none",
        export="frozen_graph",
        verbose=0,
    )
    assert result.exported is not None
    assert result.exported.passed, result.exported.remarks()
    written = load_classifier(result.exported.rows[0].path)
    photos = [tmp_path / "photos" / name for name in ("000.png", "006.png")]
    assert written.predict(photos) == pytest.approx(
        load_classifier(tmp_path / "model").predict(photos), abs=0.02
    )
