import importlib
import inspect
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xferlearn import load_backbone
from xferlearn.backbones import (
    BACKBONES,
    PREPROCESSING,
    load_imagenet_classifier,
    resolve_backbone,
    weights_digest,
)
from xferlearn.backbones.efficientnet_lite import NETWORKS
from xferlearn.backbones.weights import downloading
from xferlearn.errors import UserError, XferlearnError

REPOSITORY = Path(__file__).resolve().parent.parent

# Keras 3.15 saves with np.array(tensor), which NumPy 2 finds old-fashioned.

# The smallest of each family, at the smallest side that is quick, and Keras' own module.
SMALLEST = {
    "efficientnet_lite0": (32, None),
    "mobilenet_0.25": (32, "mobilenet"),
    "mobilenet_v2_0.35": (32, "mobilenet_v2"),
    "mobilenet_v3_small_0.75": (32, "mobilenet_v3"),
    "densenet121": (32, "densenet"),
    "inception_v3": (75, "inception_v3"),
    "resnet50": (32, "resnet"),
    "resnet50_v2": (32, "resnet_v2"),
    "vgg16": (32, "vgg16"),
    "xception": (71, "xception"),
    "efficientnet_b0": (32, "efficientnet"),
    "efficientnet_v2_b0": (32, "efficientnet_v2"),
    "efficientnet_v2_s": (32, "efficientnet_v2"),
    "convnext_tiny": (32, "convnext"),
}


def pixels(size: int, count: int = 2) -> np.ndarray:
    shape = (count, size, size, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype("float32")


# ---- the table


def test_the_table_has_every_classifier_of_keras() -> None:
    import keras

    theirs = {name for name in dir(keras.applications) if name[0].isupper()}
    ours = {spec.builder.rpartition(".")[2] for spec in BACKBONES.values()}

    assert ours - theirs == {"EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2"}
    assert theirs <= ours
    assert next(iter(BACKBONES)) == "efficientnet_lite0"
    assert all(name == spec.name for name, spec in BACKBONES.items())


class Stop(Exception):
    pass


@pytest.mark.parametrize("name", BACKBONES)
def test_row_agrees_with_keras(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = BACKBONES[name]
    module, _, function = spec.builder.rpartition(".")
    builder = getattr(importlib.import_module(module), function)

    assert set(spec.arguments) <= set(inspect.signature(builder).parameters)
    assert spec.preprocessing in PREPROCESSING
    assert BACKBONES[spec.family].alpha == 1.0
    assert spec.image_size in spec.imagenet_sizes
    if name in NETWORKS:
        assert NETWORKS[name] is builder
        assert spec.min_size == 32
        return
    # It leaves the shape to the caller.
    if function.startswith("MobileNetV3"):
        assert (spec.image_size, spec.min_size) == (224, 32)
        return
    asked = {}

    def obtain_input_shape(_shape, default_size, min_size, **_):
        asked.update(default_size=default_size, min_size=min_size)
        raise Stop

    from keras.src.applications import imagenet_utils

    monkeypatch.setattr(imagenet_utils, "obtain_input_shape", obtain_input_shape)
    with pytest.raises(Stop):
        builder(weights=None, **spec.arguments)
    assert asked == {"default_size": spec.image_size, "min_size": spec.min_size}


# ---- names


@pytest.mark.parametrize(
    ("name", "image_size", "expected"),
    [
        ("efficientnet_lite0", None, ("efficientnet_lite0", 224)),
        ("EfficientNetLite1", None, ("efficientnet_lite1", 240)),
        ("efficientnet-lite2", None, ("efficientnet_lite2", 260)),
        ("mobilenet", None, ("mobilenet", 224)),
        ("mobilenet", 160, ("mobilenet", 160)),
        ("mobilenet_0.50_224", None, ("mobilenet_0.50", 224)),
        ("mobilenet_0.5_192", 192, ("mobilenet_0.50", 192)),
        ("mobilenet_1.0_224", None, ("mobilenet", 224)),
        ("mobilenet_1.0", None, ("mobilenet", 224)),
        ("mobilenet_v1_0.25_128", None, ("mobilenet_0.25", 128)),
        ("mobilenet_v2_0.35_96", None, ("mobilenet_v2_0.35", 96)),
        ("mobilenet_v2_1.40_224", None, ("mobilenet_v2_1.4", 224)),
        ("mobilenet_v2_96", None, ("mobilenet_v2", 96)),
        ("MobileNetV2", None, ("mobilenet_v2", 224)),
        ("MobileNetV3Small", None, ("mobilenet_v3_small", 224)),
        ("mobilenet-v3-large-0.75", None, ("mobilenet_v3_large_0.75", 224)),
        ("InceptionV3", None, ("inception_v3", 299)),
        ("inception_v3_150", None, ("inception_v3", 150)),
        ("INCEPTION-RESNET-V2", None, ("inception_resnet_v2", 299)),
        ("EfficientNetB0", None, ("efficientnet_b0", 224)),
        ("efficientnet-b7", None, ("efficientnet_b7", 600)),
        ("EfficientNetV2S", None, ("efficientnet_v2_s", 384)),
        ("ResNet50", None, ("resnet50", 224)),
        ("resnet_50", None, ("resnet50", 224)),
        ("resnet_50_192", None, ("resnet50", 192)),
        ("ResNet50V2", None, ("resnet50_v2", 224)),
        ("DenseNet121", None, ("densenet121", 224)),
        ("VGG16", None, ("vgg16", 224)),
        ("NASNetMobile", None, ("nasnet_mobile", 224)),
        ("ConvNeXtXLarge", None, ("convnext_xlarge", 224)),
        (" Xception ", 71, ("xception", 71)),
    ],
)
def test_resolve(name: str, image_size: int | None, expected: tuple[str, int]) -> None:
    spec, size = resolve_backbone(name, image_size)

    assert (spec.name, size) == expected


@pytest.mark.parametrize("name", BACKBONES)
def test_canonical_and_keras_names_resolve_to_their_row(name: str) -> None:
    spec = BACKBONES[name]
    function = spec.builder.rpartition(".")[2]

    assert resolve_backbone(name)[0] is spec
    assert resolve_backbone(function)[0] is BACKBONES[spec.family]
    assert resolve_backbone(f"{name}_96")[1] == 96


@pytest.mark.parametrize(
    ("name", "image_size", "message"),
    [
        ("mobilenett", None, r"no backbone 'mobilenett'. Did you mean mobilenet\? `xferlearn back"),
        ("", None, f"There is no backbone ''.*lists all {len(BACKBONES)}"),
        ("_", None, "There is no backbone '_'"),
        ("224", None, "There is no backbone '224'"),
        ("mobilenet_0.50_224", 192, "says 224 px, but the image size given is 192 px"),
        (
            "mobilenet_0.60_224",
            None,
            "mobilenet has no width multiplier 0.60, only 0.25, 0.5, 0.75, 1",
        ),
        ("vgg16_0.50", None, "vgg16 has no width multiplier 0.50, only 1"),
        ("mobilenet_0.25_128_quantized", None, "quantised graph.*use mobilenet_0.25_128 "),
        ("mobilenet_1.0_quantized", None, "quantised graph.*use mobilenet "),
        ("inception_v3", 74, "inception_v3 takes images of at least 75 px. Received: 74 px"),
        ("mobilenet_16", None, "at least 32 px. Received: 16 px"),
        ("mobilenet_9999", None, "mobilenet takes images of at most 2048 px. Received: 9999 px"),
        ("mobilenet", 0, "at least 32 px. Received: 0 px"),
        ("mobilenet", -224, "at least 32 px. Received: -224 px"),
    ],
)
def test_resolve_refuses(name: str, image_size: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        resolve_backbone(name, image_size)

    assert "\n" not in str(raised.value)


def test_names_need_no_tensorflow() -> None:
    code = (
        "import sys; from xferlearn.backbones import BACKBONES, resolve_backbone;"
        "resolve_backbone('mobilenet');"
        "print([m for m in ('tensorflow', 'keras', 'numpy') if m in sys.modules])"
    )

    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )

    assert run.stdout.strip() == "[]"


# ---- models


def reference(name: str, model, images: np.ndarray) -> np.ndarray:
    """The bottlenecks as Keras' own preprocessing gives them, with the model's weights."""
    import keras

    size, module_name = SMALLEST[name]
    spec = BACKBONES[name]
    network = model.get_layer(name)
    if module_name is None:
        prepared = (images - 127) / 128
    else:
        module = getattr(keras.applications, module_name)
        prepared = module.preprocess_input(images.copy())
        if "include_preprocessing" in spec.arguments:
            builder = getattr(keras.applications, spec.builder.rpartition(".")[2])
            arguments = {**spec.arguments, "include_preprocessing": True}
            theirs = builder(
                weights=None, include_top=False, input_shape=(size, size, 3), **arguments
            )
            theirs.set_weights(network.get_weights())
            network = theirs
    return np.asarray(network(prepared, training=False)).mean(axis=(1, 2))


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes Keras build EfficientNets with one block a stage, to save seconds."""
    from keras.src.applications import efficientnet, efficientnet_v2

    first = [{**stage, "repeats": 1} for stage in efficientnet.DEFAULT_BLOCKS_ARGS]
    monkeypatch.setattr(efficientnet, "DEFAULT_BLOCKS_ARGS", first)
    for name, stages in efficientnet_v2.DEFAULT_BLOCKS_ARGS.items():
        second = [{**stage, "num_repeat": 1} for stage in stages]
        monkeypatch.setitem(efficientnet_v2.DEFAULT_BLOCKS_ARGS, name, second)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("name", SMALLEST)
def test_backbone_of_each_family(name: str) -> None:
    import keras

    size = SMALLEST[name][0]
    images = pixels(size)

    model = load_backbone(name, weights=None, image_size=size)

    bottlenecks = np.asarray(model(images))
    expected = reference(name, model, images)
    assert model.name == name
    assert [layer.name for layer in model.layers] == ["image", "preprocessing", name, "pooling"]
    assert model.input_shape == (None, size, size, 3)
    assert model.input.dtype == model.output.dtype == "float32"
    assert model.output_shape == (None, BACKBONES[name].width)
    assert not model.trainable_weights
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(bottlenecks, expected, atol=1e-3 * np.abs(expected).max())
    keras.backend.clear_session()


def test_every_module_of_keras_is_tested() -> None:
    import keras

    modules = {
        getattr(keras.applications, spec.builder.rpartition(".")[2]).__module__.rpartition(".")[2]
        for spec in BACKBONES.values()
        if spec.name not in NETWORKS
    }

    # These are slow to build and share all that is ours with inception_v3 and vgg16.
    assert modules - {module for _, module in SMALLEST.values()} == {
        "inception_resnet_v2",
        "nasnet",
        "vgg19",
    }


@pytest.mark.parametrize("name", ["mobilenet_0.25", "efficientnet_b0"])
def test_frozen_means_frozen(name: str) -> None:
    import keras

    model = load_backbone(name, weights=None, image_size=32)
    images = pixels(32)
    before, digest = np.asarray(model(images)), weights_digest(model)

    # As someone who fine-tunes would, all but the statistics.
    for layer in model.get_layer(name).layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    again = np.asarray(model(images, training=True))

    np.testing.assert_allclose(again, before, rtol=1e-5)
    assert weights_digest(model) == digest


def test_random_weights_follow_the_seed_only() -> None:
    state = random.getstate()

    first = weights_digest(load_backbone("mobilenet_0.25", weights="none", image_size=32, seed=1))
    second = weights_digest(load_backbone("mobilenet_0.25", weights=None, image_size=64, seed=1))
    other = weights_digest(load_backbone("mobilenet_0.25", weights=None, image_size=32, seed=2))

    assert first == second
    assert first != other
    assert random.getstate() == state


def test_digest_ignores_names_and_sees_values() -> None:
    import keras

    def build(units: int = 3) -> keras.Model:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
        model.layers[0].set_weights([np.ones((2, units)), np.zeros(units)])
        return model

    first, second, wider = build(), build(), build(4)
    assert first.layers[0].name != second.layers[0].name
    assert weights_digest(first) == weights_digest(second)
    assert weights_digest(first) != weights_digest(wider)
    second.layers[0].bias.assign([0.0, 0.0, 1e-7])
    assert weights_digest(first) != weights_digest(second)


def test_saved_backbones_load_without_this_package(tmp_path: Path) -> None:
    names = ["efficientnet_lite0", "vgg16"]
    np.save(tmp_path / "pixels.npy", pixels(32))
    for name in names:
        model = load_backbone(name, weights=None, image_size=32)
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", np.asarray(model(pixels(32))))
    code = """
import sys
sys.modules["xferlearn"] = None
import keras
import numpy as np
for name in sys.argv[1:]:
    model = keras.models.load_model(f"{name}.keras")
    print(name, np.allclose(model(np.load("pixels.npy")), np.load(f"{name}.npy"), rtol=1e-4))
"""

    run = subprocess.run(
        [sys.executable, "-c", code, *names],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert run.stdout.splitlines() == [f"{name} True" for name in names], run.stderr


def test_classifier_has_its_own_top() -> None:
    model = load_imagenet_classifier("mobilenet_v2_0.35", weights=None, image_size=96)
    scores = np.asarray(model(pixels(96)))

    names = [layer.name for layer in model.layers]
    assert names == ["image", "preprocessing", "mobilenet_v2_0.35", "predictions"]
    assert scores.shape == (2, 1000)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert not model.trainable_weights


def test_classifier_refuses_sizes_without_a_top() -> None:
    with pytest.raises(UserError, match=r"exists for 299 px\. Received: 224 px"):
        load_imagenet_classifier("inception_v3", image_size=224)


# ---- weights


@pytest.fixture(scope="module")
def weights_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of file that holds the weights of one random mobilenet_0.25."""
    import keras

    folder = tmp_path_factory.mktemp("weights")
    model = load_backbone("mobilenet_0.25", weights=None, image_size=32, seed=5)
    network = model.get_layer("mobilenet_0.25")
    classifier = load_imagenet_classifier("mobilenet_0.25", weights=None, image_size=32)
    top = classifier.get_layer("mobilenet_0.25")
    weighted = [layer for layer in top.layers if layer.weights]
    for layer, source in zip(weighted, [x for x in network.layers if x.weights], strict=False):
        layer.set_weights(source.get_weights())
    head = keras.layers.Dense(2, name="head")(model.output)
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    keras.Model(model.input, head).save(folder / "with_head.keras")
    network.save_weights(folder / "network.weights.h5")
    network.save(folder / "network.keras")
    network.save(folder / "network.h5")
    top.save(folder / "top.h5")
    top.save_weights(folder / "top.weights.h5")
    return folder


@pytest.mark.parametrize(
    "file",
    [
        "model.keras",
        "model.weights.h5",
        "with_head.keras",
        "network.weights.h5",
        "network.keras",
        "network.h5",
        "top.h5",
        "top.weights.h5",
    ],
)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_weights_from_a_file(file: str, weights_files: Path) -> None:
    expected = weights_digest(load_backbone("mobilenet_0.25", weights=None, image_size=32, seed=5))

    model = load_backbone("mobilenet_0.25", weights=weights_files / file, image_size=64)

    assert weights_digest(model) == expected


def test_classifier_weights_from_a_file(weights_files: Path) -> None:
    model = load_imagenet_classifier(
        "mobilenet_0.25", weights=weights_files / "top.h5", image_size=32
    )
    scores = np.asarray(model(pixels(32)))

    assert scores.shape == (2, 1000)
    with pytest.raises(UserError, match=r"network\.h5 does not hold the weights of mobilenet_0"):
        load_imagenet_classifier(
            "mobilenet_0.25", weights=weights_files / "network.h5", image_size=32
        )


@pytest.mark.parametrize("file", ["model.keras", "network.weights.h5", "network.h5", "top.h5"])
def test_weights_of_another_backbone(file: str, weights_files: Path) -> None:
    with pytest.raises(UserError, match=f"{file} does not hold the weights of mobilenet_0.50") as e:
        load_backbone("mobilenet_0.50", weights=weights_files / file, image_size=32)

    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("cut.h5", "half", "Can't read the weights file .*cut.h5"),
        ("cut.keras", "half", "Can't read the weights file .*cut.keras"),
        ("page.weights.h5", b"<html>", "Can't read the weights file .*page.weights.h5"),
        ("empty.keras", b"", "Can't read the weights file .*empty.keras"),
        ("weights.ckpt", b"x", r"ends in \.weights\.h5, .* Received: .*weights.ckpt"),
        ("weights.pth", b"x", r"Received: .*weights\.pth for mobilenet_0\.25"),
        ("missing.h5", None, "imagenet, none or a file. Received: .*missing.h5"),
    ],
)
def test_unreadable_weights(
    file: str, content: bytes | str | None, message: str, weights_files: Path, tmp_path: Path
) -> None:
    path = tmp_path / file
    if content == "half":
        whole = (weights_files / f"network{path.suffix}").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif isinstance(content, bytes):
        path.write_bytes(content)

    with pytest.raises(UserError, match=message) as raised:
        load_backbone("mobilenet_0.25", weights=path, image_size=32)

    assert "\n" not in str(raised.value)


def test_misspelt_weights() -> None:
    with pytest.raises(
        UserError, match=r"Received: 'imagnet', which is no file\. Did you mean imag"
    ):
        load_backbone("mobilenet", weights="imagnet")


@pytest.mark.usefixtures("shallow")
def test_efficientnet_weights_file_is_normalised_as_keras_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras
    from keras.src.utils import file_utils

    theirs = keras.applications.EfficientNetB0(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    normalization = next(x for x in theirs.layers if isinstance(x, keras.layers.Normalization))
    normalization.set_weights(
        [np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(0)]
    )
    path = tmp_path / "b0.weights.h5"
    theirs.save_weights(path)
    monkeypatch.setattr(file_utils, "get_file", lambda *args, **kwargs: str(path))

    downloaded = load_backbone("efficientnet_b0", image_size=32)
    from_file = load_backbone("efficientnet_b0", weights=path, image_size=32)

    expected = np.asarray(downloaded(pixels(32)))
    np.testing.assert_allclose(
        np.asarray(from_file(pixels(32))), expected, atol=1e-4 * np.abs(expected).max()
    )


OFFLINE = """
import json, sys, urllib.error
from keras.src.utils import file_utils
from xferlearn import load_backbone
from xferlearn.backbones import load_imagenet_classifier, weights_digest

def urlretrieve(url, path, hook):
    hook(1, 10, 1000)
    raise urllib.error.URLError("no network")

file_utils.urlretrieve = urlretrieve
for action in sys.argv[1:]:
    kind, name = action.split(":")
    load = load_backbone if kind == "backbone" else load_imagenet_classifier
    try:
        print(json.dumps(["loaded", load(name).output_shape[1]]))
    except Exception as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


def offline(keras_home: Path, *actions: str) -> tuple[list[list], str]:
    run = subprocess.run(
        [sys.executable, "-c", OFFLINE, *actions],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        env={**os.environ, "KERAS_HOME": str(keras_home)},
    )
    return [json.loads(line) for line in run.stdout.splitlines()], run.stderr


def test_imagenet_weights_offline(shared_data: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name in ("mobilenet_2_5_128_tf_no_top.h5", "mobilenet_2_5_128_tf.h5"):
        (models / name).write_bytes((shared_data / "keras/models" / name).read_bytes())
    cut = models / "mobilenet_5_0_224_tf_no_top.h5"
    cut.write_bytes((models / "mobilenet_2_5_128_tf_no_top.h5").read_bytes()[:100_000])

    answers, errors = offline(
        tmp_path,
        "backbone:mobilenet_0.25_128",
        "classifier:mobilenet_0.25_128",
        "backbone:mobilenet_0.50",
        "backbone:mobilenet_0.75",
        "backbone:efficientnet_lite0",
    )

    damaged, missing = answers[2], answers[3]
    assert answers[0] == ["loaded", 256]
    assert answers[1] == ["loaded", 1000]
    assert damaged[0] == missing[0] == XferlearnError.__name__
    assert f"{cut} is damaged; delete it" in damaged[1]
    assert f"Keras looks for {models / 'mobilenet_7_5_224_tf_no_top.h5'}" in missing[1]
    assert "weights of mobilenet_0.75" in missing[1]
    assert "efficientnet_lite0 needs no download" in missing[1]
    assert "\n" not in damaged[1] + missing[1]
    assert answers[4] == ["loaded", 1280]
    assert "Downloading data from" in errors
    # The progress bar does not share its line with the message that follows.
    assert errors.endswith("\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        # The one family whose downloads Keras renames.
        (
            Exception("URL fetch failure on https://x.y/NASNet-mobile-no-top.h5: None -- gone"),
            r"Can't download .* nasnet_mobile .*models.nasnet_mobile_no_top\.h5 .*no download\.",
        ),
        (ConnectionResetError(104, "reset by peer"), "Can't download .*reset by peer"),
        (ValueError("Incomplete or corrupted file detected. The md5"), "Can't download .*corrupt"),
        (ValueError("Layer count mismatch\n when"), "Keras can't build nasnet_mobile .*mismatch"),
    ],
)
def test_download_errors_are_one_line(
    error: Exception, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    with (
        pytest.raises(XferlearnError, match=message) as raised,
        downloading(BACKBONES["nasnet_mobile"]),
    ):
        raise error

    assert "\n" not in str(raised.value)


def test_a_bug_stays_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    with pytest.raises(ZeroDivisionError), downloading(BACKBONES["nasnet_mobile"]):
        raise ZeroDivisionError
