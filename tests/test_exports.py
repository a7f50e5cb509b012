"""Exported files: what is in them, and that they are understood when copied alone."""

import contextlib
import dataclasses
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from model_folders import remove_familiarity
from PIL import Image
from tensorrt_stand_ins import FakeCuda, fake_tensorrt, install_trtexec

import xferlearn
from xferlearn.cli import main
from xferlearn.config import ExportConfig, ModelConfig
from xferlearn.errors import UserError
from xferlearn.exports import formats, frozen_graph, tensorrt_files
from xferlearn.inspection import inspect_model
from xferlearn.model_folder import ModelFolder, read_model_folder
from xferlearn.predictors import open_predictor

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*np.object.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tf2onnx"),
]

SIDE = 32
LABELS = ("blue", "green", "red")
# Format: file that is given to `label`, and all that must be copied with it.
FILES = {
    "saved_model": ("saved_model/1", "saved_model"),
    "tflite": ("model.tflite", "model.tflite"),
    "onnx": ("model.onnx", "model.onnx"),
    "openvino": ("openvino/model.xml", "openvino"),
    "frozen_graph": ("frozen_graph/frozen_graph.pb", "frozen_graph"),
}


@pytest.fixture(scope="module")
def exported(colour_model, tmp_path_factory):
    """A folder of an earlier version with exports; what was printed. Shared: do not change it."""
    model = tmp_path_factory.mktemp("exported") / "model"
    shutil.copytree(colour_model, model)
    remove_familiarity(model)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["export", f"--model={model}", f"--format={','.join(FILES)}"])
    assert code == 0
    return model, out.getvalue()


@pytest.fixture
def model_dir(small_model, tmp_path):
    """A copy of a model folder, to export into."""
    shutil.copytree(small_model, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def pixels(photo_bytes):
    photos = [
        Image.open(io.BytesIO(photo_bytes(colour, number, size=(SIDE, SIDE), form="PNG")))
        for colour in LABELS
        for number in range(100, 103)
    ]
    return np.stack([np.asarray(photo) for photo in photos])


@pytest.fixture(scope="module")
def expected(exported, pixels):
    return np.asarray(read_model_folder(exported[0]).load_model()(pixels.astype(np.float32)))


def test_table_and_report(exported):
    model, out = exported
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    for name in FILES:
        assert lines[name].startswith(name)
    table = out.split("\n\n")[0].splitlines()
    assert table[0].split()[:3] == ["format", "size", "load"]
    assert [row.split()[0] for row in table[1:]] == ["model.keras", *FILES]
    assert all(row.endswith(" ok") and "100.00%" in row for row in table[2:])
    held = json.loads((model / "exports/report.json").read_text())
    assert set(held["formats"]) == set(FILES)
    for name, (file, _) in FILES.items():
        row = held["formats"][name]
        assert (row["result"], row["file"], row["problem"]) == ("ok", file, None)
        assert (model / "exports" / file).exists()
        proof = row["proof"]
        assert proof["agreement"] == 1.0
        assert proof["minimum"] == 0.99
        assert proof["largest_difference"] < 1e-4
        assert proof["photos"] == row["about"]["photos"] >= 12
        assert row["about"]["split"] == "test"
        assert proof["changed"] == []
        low, high = proof["accuracy_interval"]
        assert low < proof["accuracy_change"] == 0 < high
        assert all(value > 0 for value in proof["speed"].values())
    # Nothing is left beside what was asked for.
    assert {path.name for path in model.iterdir() if path.name.startswith(".")} == set()


@pytest.mark.parametrize("name", FILES)
def test_file_copied_alone_describes_itself(exported, pixels, expected, name, tmp_path):
    file, copied = FILES[name]
    source = exported[0] / "exports" / copied
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, tmp_path / copied)
    if name == "frozen_graph":  # its own metadata count, not the file beside it
        (tmp_path / copied / "labels.txt").unlink()
    predictor = open_predictor(ModelConfig(model=str(tmp_path / file)))
    assert predictor.labels == LABELS
    assert (predictor.image_size, predictor.resize, predictor.warnings) == (
        (SIDE, SIDE),
        "crop",
        (),
    )
    np.testing.assert_allclose(predictor.run(pixels), expected, atol=1e-5)
    report = inspect_model(tmp_path / file)
    assert report.format == name
    assert report.labels == LABELS
    assert report.classes == 3
    lab = name == "frozen_graph"
    fed = report.image_input
    assert (fed.name, report.outputs[0].name) == (
        ("input", "final_result") if lab else ("image", "probabilities")
    )
    assert (fed.height, fed.width, fed.layout, fed.dtype) == (SIDE, SIDE, "NHWC", "float32")
    assert fed.shape[0] == (1 if name == "tflite" else None)
    assert (fed.mean, fed.std) == (((128.0,), (128.0,)) if lab else ((0.0,), (1.0,)))
    assert fed.range_source == "metadata"
    assert not [warning for warning in report.warnings if "metadata state" in warning]


@pytest.mark.parametrize("name", FILES)
def test_label_command(exported, photo_bytes, name, tmp_path, capsys):
    (tmp_path / "photo.png").write_bytes(photo_bytes("green", 500, form="PNG"))
    file = exported[0] / "exports" / FILES[name][0]
    assert main(["label", f"--model={file}", "--top_k=1", str(tmp_path / "photo.png")]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[0] == "green"
    assert err == ""


def test_saved_model_signatures(exported, pixels, expected, photo_bytes, tmp_path):
    import tensorflow as tf

    model = exported[0]
    loaded = tf.saved_model.load(str(model / "exports/saved_model/1"))
    assert set(loaded.signatures) == {"serving_default", "serve_image_bytes"}
    by_pixels = loaded.signatures["serving_default"](image=tf.constant(pixels, tf.float32))
    assert set(by_pixels) == {"probabilities", "labels"}
    np.testing.assert_allclose(by_pixels["probabilities"], expected, atol=1e-5)
    assert by_pixels["labels"].shape == (len(pixels), 3)
    assert [label.decode() for label in by_pixels["labels"].numpy()[4]] == list(LABELS)
    turned = Image.Exif()
    turned[0x0112] = 6
    files = [
        photo_bytes("blue", 1, size=(70, 40), exif=turned.tobytes()),
        photo_bytes("red", 2, size=(300, 500), form="PNG"),
        photo_bytes("green", 3, size=(50, 50), form="PNG", mode="RGBA"),
    ]
    by_bytes = loaded.signatures["serve_image_bytes"](image_bytes=tf.constant(files))
    wanted = xferlearn.load_classifier(
        model, engine="tensorflow", precision="float32", bottleneck_dir=tmp_path
    ).predict(files)
    np.testing.assert_allclose(by_bytes["probabilities"], wanted, atol=1e-5)
    assert by_bytes["labels"].shape == (3, 3)


def test_saved_model_is_found_by_the_folder_that_serving_takes(exported, pixels, expected):
    folder = exported[0] / "exports/saved_model"
    predictor = open_predictor(ModelConfig(model=str(folder)))
    np.testing.assert_allclose(predictor.run(pixels), expected, atol=1e-5)
    assert inspect_model(folder).labels == LABELS


def test_saved_model_holds_the_weights_once(exported):
    model = exported[0]
    weights = sum(value.numpy().nbytes for value in read_model_folder(model).load_model().weights)
    data = model / "exports/saved_model/1/variables/variables.data-00000-of-00001"
    assert weights <= data.stat().st_size < 1.05 * weights


def test_onnx_file(exported):
    import onnx

    made = onnx.load(exported[0] / "exports/model.onnx")
    onnx.checker.check_model(made, full_check=True)
    assert [(one.domain, one.version) for one in made.opset_import if not one.domain] == [("", 18)]
    (fed,), (scores,) = made.graph.input, made.graph.output
    assert (fed.name, scores.name) == ("image", "probabilities")
    for end in (fed, scores):
        assert end.type.tensor_type.shape.dim[0].dim_param == "batch"
    said = {one.key: one.value for one in made.metadata_props}
    assert said["labels"].split("\n") == list(LABELS)
    assert "centre crop" in said["preprocessing"]
    assert json.loads(said["xferlearn"])["input"]["resize"].startswith("shorter side")


def test_the_lab_s_way_with_the_frozen_graph(exported, photo_bytes):
    """A TF1 session that knows names, size, mean 128 and std 128, and nothing of this package."""
    import tensorflow as tf

    v1 = tf.compat.v1
    folder = exported[0] / "exports/frozen_graph"
    definition = v1.GraphDef()
    definition.ParseFromString((folder / "frozen_graph.pb").read_bytes())
    newer = {"AddV2", "FusedBatchNormV3", "BatchMatMulV2"} & {node.op for node in definition.node}
    assert not newer, "older releases of TensorFlow 1 have no such operations"
    attributes = {name for node in definition.node for name in node.attr}
    assert attributes.isdisjoint({"explicit_paddings", "grad_a", "grad_b", "U"}), "nor these"
    labels = (folder / "labels.txt").read_text().splitlines()
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="import")
        data = v1.placeholder(tf.string, [])
        image = tf.expand_dims(tf.cast(tf.io.decode_jpeg(data, channels=3), tf.float32), 0)
        values = (v1.image.resize_bilinear(image, [SIDE, SIDE]) - 128) / 128
    for colour in LABELS:
        with v1.Session(graph=graph) as session:
            fed = session.run(values, {data: photo_bytes(colour, 700)})
            scores = session.run("import/final_result:0", {"import/input:0": fed})
        assert labels[int(scores[0].argmax())] == colour


def test_opencv_reads_the_frozen_graph_right(exported, pixels, expected):
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    net = cv2.dnn.readNetFromTensorflow(str(exported[0] / "exports/frozen_graph/frozen_graph.pb"))
    for photo, wanted in zip(pixels, expected, strict=True):
        # As its users write it: OpenCV reads photos as BGR.
        bgr = np.ascontiguousarray(photo[..., ::-1])
        net.setInput(
            cv2.dnn.blobFromImage(bgr, 1 / 128, (SIDE, SIDE), (128, 128, 128), swapRB=True)
        )
        np.testing.assert_allclose(net.forward()[0], wanted, atol=1e-4)


def test_frozen_graphs_are_plain_enough_for_opencv():
    """Swish, biases of convolutions and normalisation take more operations than OpenCV knows."""
    import keras
    import tensorflow as tf

    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = image = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(x)
    x = layers.Conv2D(8, 3, activation="swish", bias_initializer="random_normal")(x)
    x = layers.BatchNormalization(beta_initializer="zeros")(x)
    x = layers.Normalization(mean=0.1, variance=0.01)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, layers.Dense(3, activation="softmax")(x))
    graph = frozen_graph.frozen_graph_def(model, "input", "final_result")
    frozen_graph.simplify(graph)
    assert not {"IdentityN", "Rsqrt", "Sqrt", "Maximum"} & {node.op for node in graph.node}
    photo = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.float32)
    wanted = np.asarray(model(photo))
    call = tf.function(
        lambda values: tf.graph_util.import_graph_def(
            graph, input_map={"input:0": values}, return_elements=["final_result:0"]
        )[0]
    )
    np.testing.assert_allclose(call(tf.constant(photo)), wanted, atol=1e-5)
    net = cv2.dnn.readNetFromTensorflow(np.frombuffer(graph.SerializeToString(), np.uint8))
    net.setInput(np.ascontiguousarray(photo.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(net.forward(), wanted, atol=1e-4)


@pytest.mark.parametrize("name", ["onnx", "openvino", "frozen_graph"])
def test_what_converters_do_not_know_is_written_otherwise(name, pixels, tmp_path):
    """Grouped convolutions, which Keras wraps for XLA, and GELU's erfc: ConvNeXt has both."""
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1)(image)
    x = keras.layers.Conv2D(8, 3, name="stem")(x)
    x = keras.layers.Conv2D(8, 3, groups=4, name="grouped")(x)
    x = keras.layers.Activation(lambda x: keras.ops.gelu(x, approximate=False))(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    said = {"input": {"height": SIDE, "width": SIDE, "resize": "shorter side, crop"}}
    model_folder = ModelFolder(tmp_path, LABELS, said)
    one = formats.FORMATS[name]
    one.write(model, model_folder, tmp_path / one.target, lambda: iter(()))
    predictor = open_predictor(ModelConfig(model=str(tmp_path / one.target / one.opened)))
    wanted = np.asarray(model(pixels.astype(np.float32)))
    np.testing.assert_allclose(predictor.run(pixels), wanted, atol=1e-5)
    assert predictor.labels == LABELS


# --- TensorRT: with nothing installed, with a trtexec, and with the Python package


@pytest.fixture
def written(exported, monkeypatch):
    """Takes the ONNX file that was exported before, since converting takes seconds."""

    def write(model, model_folder, path, calibration):
        shutil.copyfile(exported[0] / "exports/model.onnx", path)

    quick = dataclasses.replace(formats.FORMATS["tensorrt"], write=write)
    monkeypatch.setitem(formats.FORMATS, "tensorrt", quick)


@pytest.fixture
def trtexec(tmp_path, written, monkeypatch):
    """Puts a program called trtexec on the PATH, which runs the ONNX file itself."""

    def install(broken=""):
        monkeypatch.setenv("PATH", str(install_trtexec(tmp_path / "bin", broken)))

    return install


def test_tensorrt_that_is_not_there(model_dir, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert main(["export", f"--model={model_dir}", "--format=tensorrt,frozen_graph"]) == 1
    out, err = capsys.readouterr()
    assert "not made" in out
    assert "neither trtexec nor the tensorrt package is installed" in err
    assert "trtexec --onnx=model.onnx --saveEngine=model_fp16.engine" in err
    assert err.count("\n") == 1
    folder = model_dir / "exports/tensorrt"
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "build_engines.sh"}
    script = (folder / "build_engines.sh").read_text()
    assert script.count("trtexec ") == 2
    assert "--minShapes=image:1x32x32x3" in script
    assert open_predictor(ModelConfig(model=str(folder / "model.onnx"))).labels == LABELS
    held = json.loads((model_dir / "exports/report.json").read_text())["formats"]
    assert held["tensorrt"]["result"] == "not made"
    assert held["frozen_graph"]["result"] == "ok"


def test_trtexec(model_dir, trtexec, capsys):
    trtexec()
    assert main(["export", f"--model={model_dir}", "--format=tensorrt"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    held = json.loads((model_dir / "exports/report.json").read_text())["formats"]
    assert set(held) == {"tensorrt_fp32", "tensorrt_fp16"}
    for name, row in held.items():
        assert row["file"] == f"tensorrt/model_{name.partition('_')[2]}.engine"
        assert row["proof"]["agreement"] == 1.0
        assert row["proof"]["speed"]["latency_ms"] == 1.25
        assert row["proof"]["speed"]["photos_per_second"] == 500.5 * 32
    assert "tensorrt_fp16" in out


def test_an_engine_that_answers_otherwise_is_named_so(model_dir, trtexec, capsys):
    trtexec("answers")
    assert main(["export", f"--model={model_dir}", "--format=tensorrt"]) == 1
    _, err = capsys.readouterr()
    assert "xferlearn: tensorrt_fp16: agreement" in err
    names = {path.name for path in (model_dir / "exports/tensorrt").iterdir()}
    assert {"model_fp32.engine", "model_fp16.failed-proof.engine"} <= names
    assert "model_fp16.engine" not in names


def test_trtexec_that_fails_says_why(model_dir, trtexec, capsys):
    trtexec("build")
    assert main(["export", f"--model={model_dir}", "--format=tensorrt"]) == 1
    _, err = capsys.readouterr()
    reason = "trtexec failed (1): [E] Error[9]: no kernel for this GPU"
    assert err.splitlines() == [
        f"xferlearn: tensorrt_{precision}: {reason}" for precision in ("fp32", "fp16")
    ]
    names = {path.name for path in (model_dir / "exports/tensorrt").iterdir()}
    assert names == {"model.onnx", "build_engines.sh"}


def test_an_engine_that_cannot_be_built_leaves_the_other(model_dir, trtexec, capsys):
    trtexec("fp16")
    assert main(["export", f"--model={model_dir}", "--format=tensorrt"]) == 1
    _, err = capsys.readouterr()
    assert err.startswith("xferlearn: tensorrt_fp16: trtexec failed (1): ")
    assert err.count("\n") == 1
    names = {path.name for path in (model_dir / "exports/tensorrt").iterdir()}
    assert names == {"model.onnx", "build_engines.sh", "model_fp32.engine"}
    held = json.loads((model_dir / "exports/report.json").read_text())["formats"]
    assert {name: row["result"] for name, row in held.items()} == {
        "tensorrt_fp32": "ok",
        "tensorrt_fp16": "not made",
    }


def test_the_tensorrt_package(model_dir, written, monkeypatch):
    monkeypatch.setenv("PATH", "")
    module, cuda = fake_tensorrt(), FakeCuda()
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr(tensorrt_files, "_cuda", lambda: cuda)
    result = xferlearn.export(model=model_dir, format="tensorrt")
    assert [row.format for row in result.rows] == ["tensorrt_fp32", "tensorrt_fp16"]
    assert result.passed
    assert module.flags == ["no TF32", "FP16"]
    assert cuda.held == {}, "all of the GPU's memory was given back"


# --- What can't be asked for


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("onnx", "tf2onnx", "onnx"),
        ("tflite_int8", "ai_edge_litert", "tflite"),
        ("openvino", "openvino", "openvino"),
    ],
)
def test_missing_package_is_named(model_dir, name, package, extra, monkeypatch, capsys):
    find = formats.importlib.util.find_spec
    monkeypatch.setattr(
        formats.importlib.util, "find_spec", lambda one: None if one == package else find(one)
    )
    assert main(["export", f"--model={model_dir}", f"--format=saved_model,{name}"]) == 2
    _, err = capsys.readouterr()
    assert err == f'xferlearn: Format {name} needs {package}: pip install "xferlearn[{extra}]"\n'
    assert not (model_dir / "exports").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "onnx"}, "Expected `model`. Received: nothing"),
        ({"model": "m"}, "Expected `format`. Received: nothing"),
        (
            {"model": "m", "format": "onxx"},
            "`format` to be one of saved_model, .*Received: 'onxx'. Did you mean onnx",
        ),
        ({"model": "m", "format": "onnx,,tflite"}, "`format` to be one of .*Received: ''"),
        ({"model": "m", "format": "onnx", "min_agreement": 99.0}, "at most 1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(UserError, match=message):
        ExportConfig(**settings)


def test_formats_are_split_and_each_comes_once():
    asked = ExportConfig(model="m", format="onnx, tflite,onnx")
    assert asked.formats == ("onnx", "tflite")
    assert ExportConfig(model="m", format=["onnx", "tflite", "onnx"]).formats == asked.formats


def test_what_is_no_model_folder(tmp_path, capsys):
    assert main(["export", f"--model={tmp_path}", "--format=onnx"]) == 2
    assert "Expected a model folder" in capsys.readouterr().err


def test_inspect_knows_a_tensorrt_engine(tmp_path):
    (tmp_path / "m.engine").write_bytes(b"ftrt" + bytes(200))
    with pytest.raises(UserError, match=r"a TensorRT engine.*give the ONNX file"):
        inspect_model(tmp_path / "m.engine")


def test_commands_are_for_the_right_files():
    command = tensorrt_files.trtexec_command(Path("a/model.onnx"), "fp32", 224)
    assert command[:3] == ["trtexec", "--onnx=a/model.onnx", "--saveEngine=a/model_fp32.engine"]
    assert "--optShapes=image:8x224x224x3" in command
    assert "--noTF32" in command
    assert "--fp16" not in command
