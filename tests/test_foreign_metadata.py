"""What models of other makers state is used: labels, size, values, task and score calibration."""

import io
import json
import zipfile

import numpy as np
import pytest

from xferlearn.cli import main
from xferlearn.config import ModelConfig
from xferlearn.errors import UserError
from xferlearn.inspection import format_report, inspect_model
from xferlearn.predictors import open_predictor

SIDE, CLASSES = 16, 4
NAMES = ("rose", "tulip", "daisy", "oak")
NUMBERED = str(dict(enumerate(NAMES)))
RNG = np.random.default_rng(0)
KERNEL = RNG.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32)
WEIGHTS = RNG.normal(0, 0.3, (4, CLASSES)).astype(np.float32)
PIXELS = RNG.integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)


def opened(path, **settings):
    return open_predictor(ModelConfig(model=str(path), **settings))


# --- ONNX


def write_onnx(path, pairs=(), end=("Softmax", {}), outputs=None, size=SIDE):
    """A network of one convolution, channels first, with further operations at its end."""
    import onnx
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["conv"]),
        helper.make_node("GlobalAveragePool", ["conv"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    if isinstance(end, tuple):
        end = [helper.make_node(end[0], ["logits"], ["probs"], **end[1])]
    outputs = outputs or [helper.make_tensor_value_info("probs", 1, ["N", CLASSES])]
    held = [numpy_helper.from_array(KERNEL, "kernel"), numpy_helper.from_array(WEIGHTS, "weights")]
    image = helper.make_tensor_value_info("image", 1, ["N", 3, size, size])
    graph = helper.make_graph([*nodes, *end], "net", [image], outputs, held)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, dict(pairs))
    onnx.save(model, path)
    return path


def expected_scores(values):
    """What the network gives for values as it is fed, [photos, height, width, channels]."""
    windows = np.lib.stride_tricks.sliding_window_view(values, (3, 3), (1, 2))
    pooled = np.einsum("byxcij,ocij->bo", windows, KERNEL) / (values.shape[1] - 2) ** 2
    logits = pooled @ WEIGHTS
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


ULTRALYTICS = {
    "author": "Ultralytics",
    "description": "Ultralytics YOLOv8n-cls model",
    "task": "classify",
    "stride": "1",
    "imgsz": f"[{SIDE}, {SIDE}]",
    "names": NUMBERED,
}
CUSTOM_VISION = {
    "Image.BitmapPixelFormat": "Bgr8",
    "Image.ColorSpaceGamma": "SRGB",
    "Image.NominalPixelRange": "NominalRange_0_255",
}


@pytest.mark.parametrize(
    ("pairs", "values", "span"),
    [
        (ULTRALYTICS, lambda p: p / 255, (0, 1)),
        ({**ULTRALYTICS, "names": str(list(NAMES))}, lambda p: p / 255, (0, 1)),
        (CUSTOM_VISION, lambda p: p[..., ::-1], (0, 255)),
        ({**CUSTOM_VISION, "Image.BitmapPixelFormat": "Rgb8"}, lambda p: p, (0, 255)),
        (
            {**CUSTOM_VISION, "Image.NominalPixelRange": "Normalized_1_1"},
            lambda p: p[..., ::-1] / 127.5 - 1,
            (-1, 1),
        ),
    ],
)
def test_onnx_of_other_makers(tmp_path, pairs, values, span):
    path = write_onnx(tmp_path / "m.onnx", pairs, size="any")
    (tmp_path / "labels.txt").write_text("\n".join(NAMES))
    (one,) = inspect_model(path).inputs
    assert (one.range_source, one.value_range) == ("metadata", span)
    assert one.channel_order == ("BGR" if pairs.get("Image.BitmapPixelFormat") == "Bgr8" else "RGB")
    predictor = opened(path, **({} if "imgsz" in pairs else {"input_height": SIDE}))
    assert predictor.labels == NAMES
    assert predictor.image_size == (SIDE, SIDE)
    wanted = expected_scores(values(PIXELS.astype(np.float32)))
    np.testing.assert_allclose(predictor.run(PIXELS), wanted, atol=1e-4)
    assert "does not state which values" not in " ".join(predictor.warnings)


HUGGING_FACE = {
    "config.json": {
        "architectures": ["ResNetForImageClassification"],
        "id2label": dict(enumerate(NAMES)),
    },
    "preprocessor_config.json": {
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.25, 0.2, 0.5],
        "size": {"height": SIDE, "width": SIDE},
    },
}
TIMM = {
    "config.json": {
        "label_names": NAMES,
        "num_classes": CLASSES,
        "pretrained_cfg": {
            "input_size": [3, SIDE, SIDE],
            "mean": [0.5, 0.4, 0.3],
            "std": [0.25, 0.2, 0.5],
        },
    }
}


@pytest.mark.parametrize("files", [HUGGING_FACE, TIMM])
@pytest.mark.parametrize("place", ["m.onnx", "onnx/m.onnx"])
def test_files_beside_an_onnx_model(tmp_path, files, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    path = write_onnx(tmp_path / place, size="any")
    for name, held in files.items():
        (tmp_path / name).write_text(json.dumps(held))
    report = inspect_model(path)
    assert (report.labels, report.task) == (NAMES, "classification")
    assert report.inputs[0].resolution == f"{SIDE} x {SIDE}"
    values = (PIXELS / np.float32(255) - [0.5, 0.4, 0.3]) / [0.25, 0.2, 0.5]
    np.testing.assert_allclose(opened(path).run(PIXELS), expected_scores(values), atol=1e-4)


@pytest.mark.parametrize(
    "damaged",
    [
        {"names": "{0: 'a', 2: 'b'}"},
        {"names": "__import__('os').getcwd()"},
        {"names": "{" * 5000},
        {"imgsz": "[0, -4]"},
        {"imgsz": "[True, 'x']"},
        {"task": "\x1b[31m" * 50},
        {"Image.NominalPixelRange": "unheard of", "Image.ColorSpaceGamma": "Linear"},
    ],
)
def test_damaged_metadata_count_as_missing(tmp_path, damaged):
    path = write_onnx(tmp_path / "m.onnx", damaged)
    report = inspect_model(path)
    assert (report.labels, report.inputs[0].value_range) == ((), None)
    assert "\x1b" not in format_report(report)


def test_labels_that_do_not_fit_are_named_by_both(tmp_path, capsys):
    names = str({number: f"n{number}" for number in range(80)})
    path = write_onnx(tmp_path / "m.onnx", {**ULTRALYTICS, "names": names})
    report = inspect_model(path)
    assert report.classes == CLASSES
    assert any("names 80 labels, but 'probs' gives 4 scores" in one for one in report.warnings)
    assert f"--model={path} --labels=LABELS.txt PHOTO" in format_report(report)
    assert main(["label", f"--model={path}", "x.jpg"]) == 2
    assert "has 80 labels, but" in capsys.readouterr().err
    (tmp_path / "mine.txt").write_text("a\nb\nc\nd\n")
    assert opened(path, labels=str(tmp_path / "mine.txt")).labels == ("a", "b", "c", "d")


def test_a_size_that_the_graph_contradicts_is_a_warning(tmp_path):
    path = write_onnx(tmp_path / "m.onnx", {**ULTRALYTICS, "imgsz": "[64, 64]"})
    report = inspect_model(path)
    assert report.inputs[0].resolution == f"{SIDE} x {SIDE}"
    assert "The metadata state height 64, but 'image' takes 16." in report.warnings


def zip_map(**classes):
    from onnx import helper

    end = [
        helper.make_node("Softmax", ["logits"], ["probs"]),
        helper.make_node("ArgMax", ["probs"], ["number"], axis=1, keepdims=0),
        helper.make_node("ZipMap", ["probs"], ["loss"], domain="ai.onnx.ml", **classes),
    ]
    outputs = [
        helper.make_tensor_value_info("number", 7, ["N"]),
        helper.make_value_info("loss", helper.make_sequence_type_proto(
            helper.make_map_type_proto(8, helper.make_tensor_type_proto(1, [])))),
    ]  # fmt: skip
    return end, outputs


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        ({"classlabels_strings": NAMES}, NAMES),
        ({"classlabels_int64s": [7, 3, 5, 1]}, ("7", "3", "5", "1")),
    ],
)
def test_scores_as_a_map(tmp_path, classes, labels):
    end, outputs = zip_map(**classes)
    if "classlabels_int64s" in classes:
        outputs[1].type.sequence_type.elem_type.map_type.key_type = 7
    path = write_onnx(tmp_path / "m.onnx", CUSTOM_VISION, end, outputs)
    report = inspect_model(path)
    assert [(one.name, one.shape, one.kind) for one in report.outputs] == [
        ("loss", (None, CLASSES), "scores"),
        ("number", (None,), "index"),
    ]
    predictor = opened(path)
    assert predictor.labels == labels
    wanted = expected_scores(PIXELS[..., ::-1].astype(np.float32))
    np.testing.assert_allclose(predictor.run(PIXELS), wanted, atol=1e-4)


def test_metadata_beside_ultralytics_openvino_files(tmp_path):
    (tmp_path / "m.xml").write_text(OPENVINO)
    lines = [f"  {number}: {name!r}" for number, name in enumerate(NAMES)]
    said = ["description: Ultralytics YOLOv8n-cls", "author: Ultralytics", "task: classify",
            "imgsz:", "- 16", "- 16", "names:", *lines, "args:", "  batch: 1"]  # fmt: skip
    (tmp_path / "metadata.yaml").write_text("\n".join(said))
    report = inspect_model(tmp_path / "m.xml")
    assert (report.labels, report.task) == (NAMES, "classification")
    assert report.inputs[0].value_range == (0, 1)


def test_labels_in_openvino_model_info(tmp_path):
    info = (
        '<model_info><labels value="cat dog" /><model_type value="Classification" /></model_info>'
    )
    (tmp_path / "m.xml").write_text(OPENVINO.replace("</net>", f"<rt_info>{info}</rt_info></net>"))
    report = inspect_model(tmp_path / "m.xml")
    assert (report.labels, report.task) == (("cat", "dog"), "classification")


OPENVINO = """<?xml version="1.0"?><net name="m" version="11"><layers>
<layer id="0" name="x" type="Parameter"><data element_type="f32" shape="1,3,16,16"/><output>
<port id="0" precision="FP32" names="x"><dim>1</dim><dim>3</dim><dim>16</dim><dim>16</dim></port>
</output></layer><layer id="1" name="r" type="Result"/></layers>
<edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/></edges></net>"""


# --- What is no classifier


def embedding(how):
    from onnx import helper

    end = {
        "one operation": [helper.make_node("LpNormalization", ["logits"], ["probs"], axis=1)],
        "as PyTorch writes it": [
            helper.make_node("ReduceL2", ["logits"], ["length"], axes=[1], keepdims=1),
            helper.make_node("Clip", ["length"], ["clipped"]),
            helper.make_node("Shape", ["logits"], ["shape"]),
            helper.make_node("Expand", ["clipped", "shape"], ["wide"]),
            helper.make_node("Div", ["logits", "wide"], ["probs"]),
        ],
        "as TensorFlow writes it": [
            helper.make_node("Mul", ["logits", "logits"], ["squares"]),
            helper.make_node("ReduceSum", ["squares"], ["sum"], keepdims=1),
            helper.make_node("Sqrt", ["sum"], ["root"]),
            helper.make_node("Div", ["logits", "root"], ["probs"]),
        ],
    }
    return end[how]


@pytest.mark.parametrize(
    "how", ["one operation", "as PyTorch writes it", "as TensorFlow writes it"]
)
def test_embeddings_are_refused(tmp_path, how):
    path = write_onnx(tmp_path / "m.onnx", CUSTOM_VISION, embedding(how))
    (tmp_path / "labels.txt").write_text("\n".join(NAMES))
    report = inspect_model(path)
    assert (report.outputs[0].kind, report.classes) == ("embedding", None)
    assert "xferlearn label" not in format_report(report)
    with pytest.raises(UserError, match=r"Its output 'probs' is an embedding \(normalised"):
        opened(path)


def test_values_that_may_be_an_embedding_need_the_users_word(tmp_path):
    path = write_onnx(tmp_path / "m.onnx", CUSTOM_VISION, ("Identity", {}))
    assert f"xferlearn label --model={path} --labels=LABELS.txt PHOTO" in format_report(
        inspect_model(path)
    )
    with pytest.raises(UserError, match=r"it may give an embedding.*with 4 lines"):
        opened(path)
    (tmp_path / "LABELS.txt").write_text("\n".join(NAMES))
    predictor = opened(path, labels=str(tmp_path / "LABELS.txt"))
    wanted = expected_scores(PIXELS[..., ::-1].astype(np.float32))
    np.testing.assert_allclose(predictor.run(PIXELS), wanted, atol=1e-4)


@pytest.mark.parametrize("source", ["pooled", "flat"])
def test_features_without_a_head_are_not_proposed(tmp_path, source):
    from onnx import helper

    end = [helper.make_node("Identity", [source], ["probs"])]
    path = write_onnx(tmp_path / "m.onnx", CUSTOM_VISION, end)
    report = inspect_model(path)
    assert (report.outputs[0].kind, report.classes) == ("features", None)
    assert "xferlearn label" not in format_report(report)
    with pytest.raises(UserError, match="it may give an embedding"):
        opened(path)


def outputs_of(**shapes):
    """Operations that give outputs of these shapes, from the logits."""
    from onnx import helper

    end, infos = [], []
    for name, shape in shapes.items():
        values = [1 if size is None else size for size in shape]
        zeros = helper.make_tensor(f"{name}_zeros", 1, values, np.zeros(values).ravel())
        end += [
            helper.make_node("Constant", [], [f"{name}_constant"], value=zeros),
            helper.make_node("ReduceMean", ["logits"], [f"{name}_mean"], keepdims=0),
            helper.make_node("Add", [f"{name}_constant", f"{name}_mean"], [name]),
        ]
        infos.append(helper.make_tensor_value_info(name, 1, shape))
    return end, infos


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            {"boxes": [1, 10, 4], "classes": [1, 10], "scores": [1, 10], "count": [1]},
            "which finds boxes",
        ),
        ({"scores": [1, 10], "boxes": [1, 10, 4]}, "of a detector, which finds boxes"),
        ({"detection_scores": [1, 10], "num_detections": [1]}, "of a detector, which finds boxes"),
        ({"output0": [1, 84, 8400]}, "'output0' is a map of values"),
        ({"masks": [1, 257, 257, 21]}, "'masks' is a map of values"),
    ],
)
def test_detectors_and_maps_are_refused(tmp_path, shapes, message):
    path = write_onnx(tmp_path / "m.onnx", CUSTOM_VISION, *outputs_of(**shapes))
    report = inspect_model(path)
    assert {one.name: list(one.shape) for one in report.outputs} == shapes
    assert "xferlearn label" not in format_report(report)
    assert report.classes is None
    with pytest.raises(UserError, match=message):
        opened(path)


@pytest.mark.parametrize(
    ("task", "said"),
    [("detect", "detection"), ("segment", "segmentation"), ("pose", "pose estimation"),
     ("obb", "detection")],
)  # fmt: skip
def test_a_stated_task_is_believed(tmp_path, task, said):
    path = write_onnx(tmp_path / "m.onnx", {**ULTRALYTICS, "task": task})
    report = inspect_model(path)
    assert report.task == said
    assert "xferlearn label" not in format_report(report)
    with pytest.raises(UserError, match=f"It is for {said}, as its metadata state"):
        opened(path)


def test_every_output_is_reported(tmp_path):
    """Also those that are not their operation's first result."""
    from onnx import helper

    end = [
        helper.make_node("Softmax", ["logits"], ["probs"]),
        helper.make_node("Split", ["probs"], ["left", "right"], axis=1),
    ]
    infos = [helper.make_tensor_value_info(n, 1, ["N", 2]) for n in ("right", "left")]
    path = write_onnx(tmp_path / "m.onnx", CUSTOM_VISION, end, infos)
    names = [(one.name, one.place) for one in inspect_model(path).outputs]
    assert names == [("right", 0), ("left", 1)]
    (tmp_path / "labels.txt").write_text("a\nb\n")
    whole = expected_scores(PIXELS[..., ::-1].astype(np.float32))
    for name, part in (("left", whole[:, :2]), ("right", whole[:, 2:])):
        found = opened(path, output_layer=name).run(PIXELS)
        np.testing.assert_allclose(found, part, atol=1e-4)


def test_weights_in_a_file_that_is_missing(tmp_path):
    import onnx

    path = tmp_path / "m.onnx"
    model = onnx.load(write_onnx(path, CUSTOM_VISION))
    onnx.save(model, path, save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    whole = inspect_model(path)
    assert whole.file_size == path.stat().st_size + (tmp_path / "m.onnx.data").stat().st_size
    assert "xferlearn label" in format_report(whole)
    opened(path)
    (tmp_path / "m.onnx.data").unlink()
    report = inspect_model(path)
    assert "xferlearn label" not in format_report(report)
    assert any("m.onnx.data, which is not beside it" in one for one in report.warnings)
    with pytest.raises(UserError, match=r"m\.onnx are in m\.onnx\.data, which is not beside it"):
        opened(path)


def test_labels_named_after_the_model_come_first_and_are_named(tmp_path):
    path = write_onnx(tmp_path / "flowers.onnx", CUSTOM_VISION)
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    own = tmp_path / "flowers_labels.txt"
    own.write_text("\n".join(NAMES))
    predictor = opened(path)
    assert predictor.labels == NAMES
    assert any(str(own) in one for one in predictor.warnings)
    assert "--labels" not in format_report(inspect_model(path))


def test_two_lists_that_fit_and_differ_are_an_error(tmp_path):
    path = write_onnx(tmp_path / "flowers.onnx", CUSTOM_VISION)
    (tmp_path / "flowers_labels.txt").write_text("\n".join(NAMES))
    (tmp_path / "labels.txt").write_text("\n".join(NAMES) + "\n")
    assert opened(path).labels == NAMES
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    with pytest.raises(UserError, match=r"flowers_labels\.txt and .*/labels\.txt both have 4 lab"):
        opened(path)
    assert "--labels=LABELS.txt" in format_report(inspect_model(path))
    given = opened(path, labels=str(tmp_path / "labels.txt"))
    assert given.labels == ("a", "b", "c", "d")
    assert not any("labels.txt" in one for one in given.warnings)


def test_a_folder_with_one_model_file_names_it(tmp_path):
    write_onnx(tmp_path / "flowers.onnx", CUSTOM_VISION)
    (tmp_path / "labels.txt").write_text("\n".join(NAMES))
    for use in (inspect_model, opened):
        with pytest.raises(UserError, match=r"give the model in it, .*/flowers\.onnx"):
            use(tmp_path)


@pytest.mark.parametrize(
    ("last", "pool", "scores"),
    [
        ("Softmax", "GlobalAveragePool", True),
        ("Sigmoid", "GlobalAveragePool", False),
        ("Softmax", "GlobalMaxPool", False),
    ],
)
def test_scores_that_are_pooled(tmp_path, last, pool, scores):
    """Inspect proposes what label takes: the mean of a softmax sums to 1, others may not."""
    from onnx import helper

    end = [
        helper.make_node(last, ["conv"], ["places"], **({"axis": 1} if last == "Softmax" else {})),
        helper.make_node(pool, ["places"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["scores"]),
    ]
    infos = [helper.make_tensor_value_info("scores", 1, ["N", 4])]
    path = write_onnx(tmp_path / "m.onnx", CUSTOM_VISION, end, infos)
    assert inspect_model(path).outputs[0].kind == ("scores" if scores else "features")
    said = format_report(inspect_model(path))
    assert ("xferlearn label" in said) == scores
    if scores:
        opened(path)
    else:
        with pytest.raises(UserError, match="Its values don't sum to 1"):
            opened(path)


# --- TFLite


@pytest.fixture(scope="module")
def tflite():
    """A TFLite file of four classes, and what it gives for values from 0 to 1."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    layers = keras.layers
    x = image = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(x))
    model = keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    return data, lambda values: np.asarray(model(np.asarray(values, np.float32)))


class Metadata:
    """Writes TFLite's ModelMetadata; a table is a dict from field number to (kind, value)."""

    def __init__(self):
        import flatbuffers

        self.builder = flatbuffers.Builder(1024)

    def written(self, kind, value):
        build = self.builder
        if kind == "text":
            return build.CreateString(value)
        if kind == "floats":
            return build.CreateNumpyVector(np.asarray(value, np.float32))
        if kind == "tables":
            parts = [self.written("table", one) for one in value]
            build.StartVector(4, len(parts), 4)
            for part in reversed(parts):
                build.PrependUOffsetTRelative(part)
            return build.EndVector()
        if kind != "table":
            return value
        parts = {field: (one[0], self.written(*one)) for field, one in value.items()}
        build.StartObject(max(parts) + 1)
        for field, (inner, part) in parts.items():
            add = {
                "byte": build.PrependUint8Slot,
                "whole": build.PrependUint32Slot,
                "float": build.PrependFloat32Slot,
            }.get(inner, build.PrependUOffsetTRelativeSlot)
            add(field, part, 0)
        return build.EndObject()

    def finished(self, model):
        self.builder.Finish(self.written("table", model), b"M001")
        return bytes(self.builder.Output())


def described(data, model=None, files=()):
    """A TFLite file with metadata, and with files in an archive behind it."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    if model is not None:
        whole = schema.ModelT.InitFromPackedBuf(data)
        whole.buffers.append(schema.BufferT())
        whole.buffers[-1].data = np.frombuffer(Metadata().finished(model), np.uint8)
        entry = schema.MetadataT()
        entry.name, entry.buffer = b"TFLITE_METADATA", len(whole.buffers) - 1
        whole.metadata = [*(whole.metadata or []), entry]
        builder = flatbuffers.Builder(0)
        builder.Finish(whole.Pack(builder), b"TFL3")
        data = bytes(builder.Output())
    held = io.BytesIO(data)
    if files:
        with zipfile.ZipFile(held, "a") as archive:
            for name, content in dict(files).items():
                archive.writestr(name, content)
    return held.getvalue()


def file(name, kind, language=""):
    spoken = {3: ("text", language)} if language else {}
    return {0: ("text", name), 2: ("byte", kind), **spoken}


IMAGE = {
    3: ("table", {0: ("byte", 2), 1: ("table", {
        0: ("byte", 1), 1: ("table", {0: ("whole", SIDE), 1: ("whole", SIDE)})})}),
    4: ("tables", [{0: ("byte", 1), 1: ("table", {
        0: ("floats", [10, 20, 30]), 1: ("floats", [100, 200, 50])})}]),
}  # fmt: skip
LABELS = {"labels.txt": "\n".join(NAMES), "labels_de.txt": "Rose\nTulpe\nMaßliebchen\nEiche"}
AXIS = ("tables", [file("labels_de.txt", 2, "de"), file("labels.txt", 2)])


def classifier(output, name="ImageClassifier"):
    return {0: ("text", name), 3: ("tables", [{2: ("tables", [IMAGE]), 3: ("tables", [output])}])}


def test_metadata_of_model_maker_and_mediapipe(tmp_path, tflite):
    data, scores = tflite
    path = tmp_path / "m.tflite"
    path.write_bytes(described(data, classifier({6: AXIS}), {"a_readme.txt": "no\n", **LABELS}))
    report = inspect_model(path)
    assert (report.labels, report.task) == (NAMES, "classification")
    (one,) = report.inputs
    assert (one.range_source, one.mean, one.std) == ("metadata", (10, 20, 30), (100, 200, 50))
    predictor = opened(path)
    assert predictor.labels == NAMES
    wanted = scores((PIXELS - np.float32([10, 20, 30])) / np.float32([100, 200, 50]))
    np.testing.assert_allclose(predictor.run(PIXELS), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("transform", "formula"),
    [(0, lambda s: s), (1, np.log), (2, lambda s: np.log(s / (1 - s)))],
)
def test_scores_are_calibrated(tmp_path, tflite, transform, formula):
    data, scores = tflite
    unit = {0: ("byte", 2), 1: ("table", {0: ("byte", transform), 1: ("float", 0.125)})}
    output = {
        4: ("tables", [unit]),
        6: ("tables", [file("labels.txt", 2), file("calibration.csv", 4)]),
    }
    lines = "0.9,2.0,0.5\n\n0.8,1.0,0,0.99\n1,1,0,0\n"
    path = tmp_path / "m.tflite"
    files = {**LABELS, "calibration.csv": lines}
    path.write_bytes(described(data, classifier(output), files))
    assert "calibrated as the metadata state" in " ".join(
        format_report(inspect_model(path)).split()
    )
    raw = scores((PIXELS - np.float32([10, 20, 30])) / np.float32([100, 200, 50])).astype(float)
    with np.errstate(divide="ignore"):
        fed = formula(raw)
    wanted = np.full_like(raw, 0.125)
    wanted[:, 0] = 0.9 / (1 + np.exp(-(2 * fed[:, 0] + 0.5)))
    high = raw[:, 2] >= 0.99
    wanted[high, 2] = 0.8 / (1 + np.exp(-fed[high, 2]))
    wanted[:, 3] = 1 / (1 + np.exp(-fed[:, 3]))
    np.testing.assert_allclose(opened(path).run(PIXELS), wanted, atol=1e-3)
    path.write_bytes(described(data, classifier(output), {**LABELS, "calibration.csv": "1,1,1\n"}))
    assert any("have 1 line for 4 labels" in one for one in inspect_model(path).warnings)
    np.testing.assert_allclose(opened(path).run(PIXELS), raw, atol=1e-3)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (classifier({3: ("table", {0: ("byte", 3)})}, "my model"), "It is for detection"),
        (classifier({6: AXIS}, "ObjectDetector"), "It is for detection"),
        (classifier({6: AXIS}, "ImageSegmenter"), "It is for segmentation"),
        (classifier({6: AXIS}, "ImageEmbedder"), "It is for embedding"),
    ],
)
def test_tflite_that_is_no_classifier(tmp_path, tflite, model, message):
    path = tmp_path / "m.tflite"
    path.write_bytes(described(tflite[0], model, LABELS))
    assert "xferlearn label" not in format_report(inspect_model(path))
    with pytest.raises(UserError, match=message):
        opened(path)


@pytest.mark.parametrize("name", ["temp_meta.txt", "metadata.json"])
def test_tflite_of_ultralytics(tmp_path, tflite, name):
    data, scores = tflite
    held = {"author": "Ultralytics", "task": "classify", "imgsz": [SIDE, SIDE], "stride": 1,
            "names": dict(enumerate(NAMES))}  # fmt: skip
    text = json.dumps(held) if name.endswith("json") else str(held)
    path = tmp_path / "m.tflite"
    path.write_bytes(described(data, files={name: text}))
    predictor = opened(path)
    assert predictor.labels == NAMES
    np.testing.assert_allclose(predictor.run(PIXELS), scores(PIXELS / 255), atol=1e-4)
    path.write_bytes(described(data, files={name: text.replace("classify", "detect")}))
    with pytest.raises(UserError, match="It is for detection"):
        opened(path)


def test_labels_of_automl_beside_a_tflite_file(tmp_path, tflite):
    (tmp_path / "model.tflite").write_bytes(tflite[0])
    (tmp_path / "dict.txt").write_text("\n".join(NAMES))
    assert opened(tmp_path / "model.tflite", input_range=(0, 1)).labels == NAMES


def ssd():
    """A TFLite file whose last operation gives four results, as TensorFlow's detectors have it."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    def tensor(name, shape):
        one = schema.TensorT()
        one.name, one.shape, one.type, one.buffer = name, shape, 0, 0
        return one

    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = 32
    code.customCode = "TFLite_Detection_PostProcess"
    graph, model, operation = schema.SubGraphT(), schema.ModelT(), schema.OperatorT()
    name = "TFLite_Detection_PostProcess"
    graph.tensors = [
        tensor("image", [1, 300, 300, 3]),
        tensor(name, [1, 10, 4]),
        tensor(f"{name}:1", [1, 10]),
        tensor(f"{name}:2", [1, 10]),
        tensor(f"{name}:3", [1]),
    ]
    operation.opcodeIndex, operation.inputs, operation.outputs = 0, [0], [1, 2, 3, 4]
    graph.inputs, graph.outputs, graph.operators = [0], [1, 2, 3, 4], [operation]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_detector_has_four_outputs(tmp_path):
    path = tmp_path / "ssd.tflite"
    path.write_bytes(ssd())
    report = inspect_model(path)
    assert [one.shape for one in report.outputs] == [(1, 10, 4), (1, 10), (1, 10), (1,)]
    assert {one.kind for one in report.outputs} == {"detections"}
    assert "xferlearn label" not in format_report(report)
    for settings in ({}, {"output_layer": "TFLite_Detection_PostProcess:2"}):
        with pytest.raises(UserError, match="is of a detector, which finds boxes"):
            opened(path, **settings)


def test_a_map_that_was_resized_has_the_shape_of_the_runtime(tmp_path):
    import keras
    import tensorflow as tf

    x = image = keras.Input((9, 9, 3), batch_size=1)
    x = keras.layers.Conv2D(5, 3, strides=2)(x)
    x = keras.layers.Resizing(17, 17)(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        data = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, x)).convert()
    path = tmp_path / "deeplab.tflite"
    path.write_bytes(data)
    (one,) = inspect_model(path).outputs
    assert (one.shape, one.kind) == ((1, 17, 17, 5), "map")
    with pytest.raises(UserError, match="is a map of values"):
        opened(path)
