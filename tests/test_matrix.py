"""One trained model in every format says the same of itself and of the same photos."""

import json
import re
import warnings

import pytest

import xferlearn
from xferlearn.cli import main
from xferlearn.errors import UserError
from xferlearn.inspection import inspect_model

FORMATS = {
    "model_folder": "model_folder",
    "model.keras": "keras",
    "model.h5": "keras_h5",
    "saved_model": "saved_model",
    "frozen.pb": "frozen_graph",
    "model.tflite": "tflite",
    "model.onnx": "onnx",
}


@pytest.fixture(scope="module")
def models(photo_dir, tmp_path_factory):
    """A folder with one classifier of colours, 96 px, in every format. Shared: don't change it."""
    root = tmp_path_factory.mktemp("matrix")
    with warnings.catch_warnings():
        # The converters warn about themselves.
        warnings.simplefilter("ignore")
        xferlearn.train(
            image_dir=str(photo_dir),
            model_dir=str(root / "model_folder"),
            logs_dir=str(root / "logs"),
            bottleneck_dir=str(root / "bottlenecks"),
            backbone="mobilenet_0.25",
            weights="none",
            image_size=96,
            how_many_training_steps=400,
            dropout=0.0,
            summaries="none",
            engine="tensorflow",
            precision="float32",
        )
        write_formats(root)
    return root


def write_formats(root):
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    whole = keras.saving.load_model(root / "model_folder/model.keras", compile=False)
    # As others write models: with one output.
    model = keras.Model(whole.input, whole.output["predictions"])
    model.save(root / "model.keras")
    model.save(root / "model.h5")
    model.export(root / "saved_model", verbose=False)
    signature = [tf.TensorSpec((None, 96, 96, 3), tf.float32, name="image")]
    serve = tf.function(lambda image: {"scores": model(image, training=False)}, signature)
    frozen = convert_variables_to_constants_v2(serve.get_concrete_function())
    graph = frozen.graph.as_graph_def()
    (root / "frozen.pb").write_bytes(graph.SerializeToString())
    converter = tf.lite.TFLiteConverter.from_saved_model(str(root / "saved_model"))
    (root / "model.tflite").write_bytes(converter.convert())

    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    patch_tf2onnx()
    import tf2onnx

    # Keras' own exporter makes inputs of the constants that a Normalization layer holds.
    onnx, _ = tf2onnx.convert.from_graph_def(
        graph, input_names=["image:0"], output_names=[frozen.outputs[0].name]
    )
    # The converter keeps the tensor's name; Keras' exporter gives the layer's.
    onnx.graph.input[0].name = "image"
    for node in onnx.graph.node:
        node.input[:] = ["image" if name == "image:0" else name for name in node.input]
    (root / "model.onnx").write_bytes(onnx.SerializeToString())


@pytest.fixture(scope="module")
def photos(photo_dir):
    """Two photos a class, by class."""
    return {name: sorted((photo_dir / name).iterdir())[:2] for name in ("blue", "green", "red")}


@pytest.fixture
def label(models, capsys):
    """Runs `xferlearn label`; returns a list of (label, score) a photo, and the notes."""

    def run(*words):
        # The exact engine needs no comparison with itself, which would take seconds.
        exact = ("--engine=tensorflow", "--precision=float32")
        exact += (f"--bottleneck_dir={models / 'bottlenecks'}",)
        assert main(["label", "--format=json", *exact, *map(str, words)]) == 0
        out, err = capsys.readouterr()
        rows = [json.loads(line)["labels"] for line in out.splitlines()]
        return [[(one["label"], one["score"]) for one in row] for row in rows], err

    return run


@pytest.mark.parametrize("name", FORMATS)
def test_inspection_says_the_same(models, name):
    report = inspect_model(models / name)
    assert report.format == FORMATS[name]
    (one,) = report.inputs
    assert (one.name, one.shape, one.dtype) == ("image", (None, 96, 96, 3), "float32")
    assert (one.resolution, one.layout, one.channel_order) == ("96 x 96", "NHWC", "RGB")
    assert (one.value_range, one.mean, one.std) == ((0.0, 255.0), (0.0,), (1.0,))
    familiarity = [(None, 1)] if name == "model_folder" else []
    assert [output.shape for output in report.outputs] == [(None, 3), *familiarity]
    assert (report.classes, report.backbone.name) == (3, "mobilenet_0.25")


@pytest.fixture(scope="module")
def expected(models, photos):
    """What the model folder says of the photos, by the public API."""
    classifier = xferlearn.load_classifier(
        models / "model_folder",
        engine="tensorflow",
        precision="float32",
        bottleneck_dir=str(models / "bottlenecks"),
    )
    files = [file for group in photos.values() for file in group]
    return [dict(classifier.label(file)) for file in files]


@pytest.mark.parametrize("name", FORMATS)
def test_labels_and_scores_are_the_same(models, photos, expected, label, name):
    files = [file for group in photos.values() for file in group]
    found, warnings = label(f"--graph={models / name}", *files)
    best = [row[0][0] for row in found]
    if name == "model_folder":
        assert best == ["blue", "blue", "green", "green", "red", "red"]
        assert warnings == ""
    else:
        assert best == ["#0", "#0", "#1", "#1", "#2", "#2"]
        assert "centre crop was assumed" in warnings
        assert "no labels were found: #0 to #2" in warnings
    names = {"#0": "blue", "#1": "green", "#2": "red"}
    for row, wanted in zip(found, expected, strict=True):
        scores = {names.get(label, label): score for label, score in row}
        assert scores == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(
    "name", ["model_folder", "saved_model", "frozen.pb", "model.tflite", "model.onnx"]
)
def test_what_inspect_says_can_be_given_back(models, photos, expected, label, name):
    report = inspect_model(models / name)
    flags = (
        f"--labels={models / 'model_folder/labels.txt'}",
        f"--input_layer={report.inputs[0].name}",
        f"--output_layer={report.outputs[0].name}",
        "--input_height=96",
        "--input_width=96",
        "--input_mean=0",
        "--input_std=1",
        "--resize=crop",
    )
    rows, warnings = label(f"--model={models / name}", *flags, f"--image={photos['red'][0]}")
    assert rows[0][0][0] == "red"
    assert dict(rows[0]) == pytest.approx(expected[4], abs=1e-3)
    assert warnings == ""


@pytest.mark.parametrize("name", ["model_folder", "frozen.pb", "model.onnx"])
@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("--input_layer=27", "has no (input|operation) 27; its input is 'image', float32, 96 x 96"),
        ("--input_layer=imag", r"its input is 'image'.* Did you mean 'image'"),
        ("--output_layer=nothing_like_it", "has no (output|operation) nothing_like_it; its output"),
        ("--input_height=128", "--input_height=128, but 'image' of .* is 96 x 96 px"),
        ("--input_mean=127.5", r"\(pixel - 127.5\) / 1, but 'image' of .* pixels as they are"),
    ],
)
def test_contradictions_name_both(models, photos, capsys, name, flag, reason):
    assert main(["label", f"--model={models / name}", flag, str(photos["red"][0])]) == 2
    error = capsys.readouterr().err
    assert re.search(reason, error)
    assert len(error.splitlines()) == 1


def test_python_opens_files_too(models, photos, expected):
    classifier = xferlearn.load_classifier(
        models / "frozen.pb", labels=str(models / "model_folder/labels.txt")
    )
    assert dict(classifier.label(photos["blue"][0])) == pytest.approx(expected[0], abs=1e-3)
    assert classifier.metadata == {}
    assert "centre crop was assumed" in classifier.predictor.warnings[0]
    with pytest.raises(UserError, match=r"no setting `input_hight`\. Did you mean `input_height"):
        xferlearn.load_classifier(models / "frozen.pb", input_hight=96)


def test_file_of_a_model_folder_knows_what_the_folder_says(models, photos, label):
    exports = models / "model_folder/exports"
    exports.mkdir(exist_ok=True)
    (exports / "any.tflite").write_bytes((models / "model.tflite").read_bytes())
    for path in (models / "model_folder/model.keras", exports / "any.tflite"):
        rows, warnings = label(f"--model={path}", photos["red"][0])
        assert rows[0][0][0] == "red"
        assert warnings == ""
