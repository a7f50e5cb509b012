"""TFLite files: what they say of themselves, to us and to others, and how they compute."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from tflite_reading import metadata

import xferlearn
from xferlearn.cli import main
from xferlearn.exports import formats
from xferlearn.exports.photos import export_photos
from xferlearn.inspection import inspect_model
from xferlearn.inspection.readers import flat
from xferlearn.inspection.readers.wire import Budget
from xferlearn.model_folder import ModelFolder, read_model_folder

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*np.object.*:FutureWarning"),
]

SIDE = 32
LABELS = ("blue", "green", "red")
FILES = {
    "tflite": "model.tflite",
    "tflite_float16": "model_float16.tflite",
    "tflite_int8": "model_int8.tflite",
}
# Largest difference of a probability.
TOLERANCE = {"tflite": 1e-5, "tflite_float16": 0.01, "tflite_int8": 0.1}


@pytest.fixture(scope="module")
def model_folder(small_model, tmp_path_factory):
    """A model folder whose network's values are of usual size, as int8 needs them."""
    folder = tmp_path_factory.mktemp("model") / "model"
    return read_model_folder(shutil.copytree(small_model, folder))


@pytest.fixture(scope="module")
def exported(model_folder):
    """The model folder with the three files. Shared: do not change it."""
    assert main(["export", f"--model={model_folder.path}", f"--format={','.join(FILES)}"]) == 0
    return model_folder.path


@pytest.fixture(scope="module", params=FILES)
def alone(request, exported, tmp_path_factory):
    """Name of the format; its file, copied alone into an empty folder."""
    name = request.param
    file = tmp_path_factory.mktemp("alone") / "renamed.tflite"
    shutil.copyfile(exported / "exports" / FILES[name], file)
    return name, file


def run(file, pixels):
    """What an interpreter gives that knows nothing of this package."""
    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    (fed,), (scores,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(fed["index"], pixels.astype(fed["dtype"]))
    interpreter.invoke()
    return interpreter.get_tensor(scores["index"]), fed, scores


def test_report(exported):
    held = json.loads((exported / "exports/report.json").read_text())["formats"]
    assert set(held) == set(FILES)
    for name, row in held.items():
        assert (row["result"], row["file"]) == ("ok", FILES[name])
        assert row["proof"]["agreement"] == 1.0
        assert row["proof"]["minimum"] == (0.97 if name == "tflite_int8" else 0.99)
        assert row["proof"]["largest_difference"] < TOLERANCE[name]


def test_file_alone_labels_as_the_model_does(exported, alone, photo_bytes, tmp_path):
    name, file = alone
    photos = [photo_bytes(colour, 300, size=(90, 60)) for colour in LABELS]
    classifier = xferlearn.load_classifier(file)
    assert classifier.labels == LABELS
    wanted = xferlearn.load_classifier(
        exported, engine="tensorflow", precision="float32", bottleneck_dir=tmp_path
    ).predict(photos)
    rounded = 5e-4  # bottlenecks are cached in float16
    found = classifier.predict(photos)
    np.testing.assert_allclose(found, wanted, atol=max(TOLERANCE[name], rounded))
    assert [classifier.label(photo)[0][0] for photo in photos] == list(LABELS)


def test_file_alone_is_inspected(alone):
    name, file = alone
    report = inspect_model(file)
    assert (report.format, report.labels, report.classes) == ("tflite", LABELS, 3)
    fed, scores = report.image_input, report.outputs[0]
    assert (fed.name, scores.name) == ("image", "probabilities")
    assert (fed.height, fed.width, fed.layout, fed.shape[0]) == (SIDE, SIDE, "NHWC", 1)
    assert (fed.mean, fed.std) == ((0.0,), (1.0,))
    assert fed.range_source == "metadata"
    assert fed.dtype == scores.dtype == ("uint8" if name == "tflite_int8" else "float32")
    assert not [warning for warning in report.warnings if "metadata say" in warning]


def test_raw_pixels_go_in(exported, alone, photo_bytes):
    name, file = alone
    photo = Image.open(io.BytesIO(photo_bytes("green", 9, size=(SIDE, SIDE), form="PNG")))
    pixels = np.asarray(photo)[None]
    scores, fed, given = run(file, pixels)
    wanted = np.asarray(read_model_folder(exported).load_model()(pixels.astype(np.float32)))
    assert (fed["name"], given["name"]) == ("image", "probabilities")
    if name == "tflite_int8":
        assert (fed["dtype"], fed["quantization"]) == (np.uint8, (1.0, 0))
        assert (given["dtype"], given["quantization"]) == (np.uint8, (1 / 256, 0))
        scores = scores / np.float32(256)
    else:
        assert fed["dtype"] == given["dtype"] == np.float32
    np.testing.assert_allclose(scores, wanted, atol=TOLERANCE[name])


def test_int8_computes_with_whole_numbers_only(exported):
    interpreter = Interpreter(str(exported / "exports/model_int8.tflite"))
    kinds = {one["dtype"] for one in interpreter.get_tensor_details()}
    assert kinds == {np.uint8, np.int8, np.int32}


def test_untrained_network_is_refused_as_int8(colour_model, tmp_path, capsys):
    """Its values shrink to 1e-9 from layer to layer."""
    shutil.copytree(colour_model, tmp_path / "model")
    assert main(["export", f"--model={tmp_path / 'model'}", "--format=tflite_int8"]) == 1
    out, err = capsys.readouterr()
    assert "not made" in out
    assert "the numbers of this network do not fit int8" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "model/exports/model_int8.tflite").exists()


def test_int8_without_training_photos(model_folder, tmp_path, capsys):
    """Test photos alone prove a file, but give no ranges."""
    shutil.copytree(model_folder.path, tmp_path / "model", ignore=shutil.ignore_patterns("exports"))
    source = Path(model_folder.metadata["training"]["image_dir"])
    for photo in model_folder.photos():
        if photo.split == "test":
            place = tmp_path / "photos" / photo.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / photo.name, place)
    command = ("export", f"--model={tmp_path / 'model'}", f"--image_dir={tmp_path / 'photos'}")
    assert main([*command, "--format=tflite,tflite_int8"]) == 1
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line for line in out.split("\n\n")[0].splitlines()}
    assert rows["tflite"].endswith(" ok")
    assert rows["tflite_int8"].endswith("not made")
    assert err.startswith(
        "xferlearn: tflite_int8: int8 is calibrated on the model's training photos"
    )
    assert err.count("\n") == 1


def test_metadata_for_other_readers(alone):
    """The fields that MediaPipe and the Task Library read, by number of metadata_schema.fbs."""
    data = alone[1].read_bytes()
    held = metadata(data, "TFLITE_METADATA")
    assert bytes(held[4:8]) == b"M001"
    model = flat.root(held, Budget(len(held)))
    assert (model.text(0), model.text(7)) == ("ImageClassifier", "1.0.0")
    (graph,) = model.tables(3)
    (image,), (scores,) = graph.tables(2), graph.tables(3)
    assert (image.text(0), scores.text(0)) == ("image", "probabilities")
    content = image.table(3)
    assert content.value(0, "B") == 2, "an image"
    assert content.table(1).value(0, "b") == 1, "RGB"
    (unit,) = image.tables(4)
    assert unit.value(0, "B") == 1, "normalisation"
    assert (unit.table(1).numbers(0, "f"), unit.table(1).numbers(1, "f")) == ((0.0,), (1.0,))
    (labels,) = scores.tables(6)
    assert (labels.text(0), labels.value(2, "b")) == ("labels.txt", 2)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (member,) = archive.infolist()
        assert (member.filename, member.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
        assert archive.read(member).decode().splitlines() == list(LABELS)


def test_weights_stay_aligned(alone):
    """The schema asks for 16 bytes, which processors without unaligned loads rely on."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(alone[1].read_bytes(), 0)
    buffers = [model.Buffers(number)._tab for number in range(model.BuffersLength())]
    starts = [table.Vector(table.Offset(4)) for table in buffers if table.Offset(4)]
    assert len(starts) > 5
    assert {start % 16 for start in starts} == {0}


@pytest.mark.parametrize("name", FILES)
def test_head_with_hidden_layer_and_dropout(model_folder, name, tmp_path):
    """Its first dense layer takes over what scales bottlenecks."""
    import keras

    keras.utils.set_random_seed(0)
    whole = model_folder.load_model()
    scaling = whole.get_layer("normalization")
    x = keras.layers.Dense(8, activation="relu", name="hidden")(scaling.output)
    x = keras.layers.Dropout(0.5)(x)
    model = keras.Model(whole.input, keras.layers.Dense(3, activation="softmax")(x))
    file = tmp_path / "model.tflite"
    _, photos = export_photos(model_folder, 1, calibrate=200)
    formats.FORMATS[name].write(model, model_folder, file, photos)
    pixels = next(photos())
    scores, _, given = run(file, pixels)
    scale = given["quantization"][0] or 1
    wanted = np.asarray(model(pixels.astype(np.float32)))
    np.testing.assert_allclose(scores * scale, wanted, atol=TOLERANCE[name])


def test_int8_keeps_what_many_small_weights_add_up_to(tmp_path):
    """Beside a weight of 1 each of them is rounded to 0. Two layers share their bias of 0."""
    import keras

    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    whole = keras.layers.Conv2D(3, SIDE)
    second, last = keras.layers.Conv2D(3, 1), keras.layers.Dense(3, activation="softmax")
    x = keras.layers.GlobalAveragePooling2D()(second(whole(x)))
    model = keras.Model(image, last(x))
    kernel = np.full((SIDE, SIDE, 3, 3), 0.4 / 127) * [1, 0.6, -1]
    kernel[0, 0, 0] = 1
    whole.set_weights([kernel, np.zeros(3)])
    second.set_weights([np.eye(3)[None, None], np.zeros(3)])
    last.set_weights([np.eye(3), np.zeros(3)])
    said = {"input": {"height": SIDE, "width": SIDE, "resize": "shorter side, crop"}}
    file = tmp_path / "model.tflite"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 1, SIDE, SIDE, 3), np.uint8)
    writer = formats.FORMATS["tflite_int8"]
    writer.write(model, ModelFolder(tmp_path, LABELS, said), file, lambda: iter(pixels))
    scores = run(file, pixels[0])[0] / 256
    wanted = np.asarray(model(pixels[0].astype(np.float32)))
    assert wanted.max() < 0.95, "not so sure that a wrong sum would not show"
    np.testing.assert_allclose(scores, wanted, atol=0.05)


@pytest.mark.parametrize("name", FILES)
def test_grouped_convolutions_without_our_head(name, tmp_path):
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1)(image)
    x = keras.layers.Conv2D(8, 3, activation="relu")(x)
    x = keras.layers.Conv2D(8, 3, groups=4)(x)
    x = keras.layers.Activation(lambda x: keras.ops.gelu(x, approximate=False))(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    said = {"input": {"height": SIDE, "width": SIDE, "resize": "shorter side, crop"}}
    model_folder = ModelFolder(tmp_path, ("blue", "grün", "red"), said)
    file = tmp_path / "model.tflite"
    pixels = np.random.default_rng(0).integers(0, 256, (4, 1, SIDE, SIDE, 3), np.uint8)
    formats.FORMATS[name].write(model, model_folder, file, lambda: iter(pixels))
    scores, _, given = run(file, pixels[0])
    scale = given["quantization"][0] or 1
    wanted = np.asarray(model(pixels[0].astype(np.float32)))
    np.testing.assert_allclose(scores * scale, wanted, atol=TOLERANCE[name])
    assert inspect_model(file).labels == model_folder.labels
    with zipfile.ZipFile(file) as archive:
        assert archive.read("labels.txt").decode() == "blue\ngrün\nred\n"
