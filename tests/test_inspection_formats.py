"""One Keras model in every format says the same; damaged copies of each never do harm."""

import io
import json
import random
import shutil
import struct
import sys
import time
import zipfile

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_inspection import GraphBuilder

from xferlearn.backbones.efficientnet_lite import NETWORKS
from xferlearn.cli import main
from xferlearn.errors import UserError
from xferlearn.inspection import format_report, inspect_model, write_graph
from xferlearn.inspection.readers import hdf5, wire

FORMATS = (
    "model.keras",
    "model.h5",
    "saved_model",
    "frozen.pb",
    "model.tflite",
    "run",
    "model_folder",
)
METADATA = {
    "format_version": 1,
    "labels": ["a", "b", "c"],
    "input": {"name": "image", "height": 128, "width": 128, "channels": 3, "dtype": "float32",
              "value_range": [0, 255], "resize": "squash"},
    "backbone": {"name": "mobilenet_0.25"},
    "bottleneck": {"layer": "pooling", "width": 256},
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with one classifier (MobileNet 0.25, 128 px, 3 classes) in every format."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    folder = tmp_path_factory.mktemp("models")
    backbone = keras.applications.MobileNet(
        alpha=0.25, weights=None, include_top=False, input_shape=(128, 128, 3), name="mobilenet"
    )
    x = image = keras.Input((128, 128, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1, name="preprocessing")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooling")(backbone(x))
    x = keras.layers.Dense(8, activation="relu", name="hidden")(x)
    x = keras.layers.Dropout(0.1, name="dropout")(x)
    x = keras.layers.Dense(3, activation="softmax", name="predictions")(x)
    model = keras.Model(image, x, name="classifier")
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    (folder / "model_folder").mkdir()
    model.save(folder / "model_folder/model.keras")
    (folder / "model_folder/metadata.json").write_text(json.dumps(METADATA))
    callback = keras.callbacks.TensorBoard(folder / "run")
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_train_end()

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    signature = [tf.TensorSpec((None, 128, 128, 3), tf.float32, name="image")]
    serve = tf.function(lambda image: {"scores": model(image, training=False)}, signature)
    tf.saved_model.save(module, folder / "saved_model", {"serving_default": serve})
    frozen = convert_variables_to_constants_v2(serve.get_concrete_function())
    (folder / "frozen.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model"))
    (folder / "model.tflite").write_bytes(converter.convert())
    return folder


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("by_way_of_tensorboard", [False, True])
@pytest.mark.filterwarnings("ignore")  # TensorFlow's converters warn about themselves.
def test_all_formats_agree(models, tmp_path, name, by_way_of_tensorboard):
    path = models / name
    report = inspect_model(write_graph(path, tmp_path) if by_way_of_tensorboard else path)
    (one,) = report.inputs
    assert (one.name, one.shape, one.dtype) == ("image", (None, 128, 128, 3), "float32")
    assert (one.resolution, one.layout) == ("128 x 128", "NHWC")
    assert (one.value_range, one.mean, one.std) == ((0.0, 255.0), (0.0,), (1.0,))
    assert one.range_source != "unknown"
    assert [out.shape for out in report.outputs] == [(None, 3)]
    assert report.classes == 3
    assert report.backbone.name == "mobilenet_0.25"
    assert "pooling" in report.bottleneck.name
    assert report.bottleneck.width == 256
    # Folding batch normalisation into convolutions leaves TFLite with fewer.
    if report.parameters is not None and name != "model.tflite":
        assert report.parameters == 218_544 + 256 * 8 + 8 + 8 * 3 + 3
    assert json.loads(json.dumps(report.to_dict()))["inputs"][0]["resolution"] == "128 x 128"
    if not by_way_of_tensorboard:
        assert report.file_size > 0
        assert report.producer or name == "model_folder"


def as_text(models, **style):
    from google.protobuf import text_format
    from tensorflow.core.framework.graph_pb2 import GraphDef

    graph = GraphDef.FromString((models / "frozen.pb").read_bytes())
    return text_format.MessageToString(graph, **style).encode()


def as_meta_graph(models):
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

    meta = MetaGraphDef(graph_def=GraphDef.FromString((models / "frozen.pb").read_bytes()))
    meta.meta_info_def.tensorflow_version = "1.15.0"
    meta.meta_info_def.tags.append("serve")
    return meta.SerializeToString()


def as_tfjs(models, kind):
    """A model.json as TF.js' converter writes it: no values, but names and shapes of weights."""
    import keras
    from google.protobuf import json_format
    from tensorflow.core.framework.graph_pb2 import GraphDef

    if kind == "layers-model":
        model = keras.saving.load_model(models / "model.keras")
        topology = {"keras_version": "2.15.0", "model_config": json.loads(model.to_json())}
        weights = [
            {"name": one.path, "shape": list(one.shape), "dtype": "float32"}
            for one in model.weights
        ]
        held = {}
    else:
        graph = GraphDef.FromString((models / "frozen.pb").read_bytes())
        topology = json_format.MessageToDict(graph)
        weights = []
        for node in topology["node"]:
            tensor = node["attr"]["value"]["tensor"] if node["op"] == "Const" else {}
            if tensor.pop("tensorContent", "") and tensor["dtype"] == "DT_FLOAT":
                shape = [int(dim["size"]) for dim in tensor.pop("tensorShape").get("dim", ())]
                weights.append({"name": node["name"], "shape": shape, "dtype": "float32"})
        result = next(node["name"] for node in topology["node"] if node["op"] == "Softmax")
        batch = {"dim": [{"size": "-1"}, {"size": "3"}]}
        held = {"signature": {"outputs": {"scores": {"name": result, "tensorShape": batch}}}}
    manifest = [{"paths": ["group1-shard1of1.bin"], "weights": weights}]
    held |= {"format": kind, "generatedBy": "2.15.0", "modelTopology": topology}
    return json.dumps({**held, "weightsManifest": manifest}).encode()


GRAPHS = {
    "text.pbtxt": as_text,
    "line.pbtxt": lambda models: as_text(models, as_one_line=True),
    "model.ckpt.meta": as_meta_graph,
    "graph/model.json": lambda models: as_tfjs(models, "graph-model"),
    "layers/model.json": lambda models: as_tfjs(models, "layers-model"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_without_weights_are_inspected_and_not_labelled_with(models, tmp_path, capsys, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(GRAPHS[name](models))
    report = inspect_model(path)
    assert (report.inputs[0].shape, report.inputs[0].dtype) == ((None, 128, 128, 3), "float32")
    assert (report.classes, report.backbone.name) == (3, "mobilenet_0.25")
    assert report.bottleneck.width in (256, None)
    # Weights and Keras' moving averages; converters add constants of their own.
    assert report.parameters == pytest.approx(220_643, rel=0.01)
    assert "xferlearn label" not in format_report(report)
    assert main(["label", f"--model={path}", "x.jpg"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert any(way in said for way in ("tf.io.write_graph", "tensorflowjs_", "freeze_graph"))


@pytest.mark.parametrize(
    "text",
    [b"node {" * 40, b"node { name: }", b'node { name: "a" > }', b"node: 1", b"node {",
     b'node { name: { } op: "x" }', b'node { "a" }', b"versions { producer: 1 }"],
)  # fmt: skip
def test_damaged_text_is_one_line(tmp_path, text):
    (tmp_path / "g.pbtxt").write_bytes(text)
    with pytest.raises(UserError, match="can't be read as a model") as caught:
        inspect_model(tmp_path / "g.pbtxt")
    assert "\n" not in str(caught.value)


def quantised(models, kind):
    """Returns the classifier as a TFLite file with 8-bit input and output."""
    import numpy as np
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(models / "saved_model"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    pixels = np.linspace(0, 255, 128 * 128 * 3, dtype=np.float32).reshape(1, 128, 128, 3)
    converter.representative_dataset = lambda: [[pixels]]
    converter.inference_input_type = converter.inference_output_type = kind
    return converter.convert()


@pytest.mark.filterwarnings("ignore")  # TensorFlow's converter warns about itself.
@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_quantised_tflite(models, tmp_path, kind):
    import tensorflow as tf

    path = tmp_path / "m.tflite"
    path.write_bytes(quantised(models, getattr(tf, kind)))
    report = inspect_model(path)
    (one,) = report.inputs
    assert (one.dtype, one.range_source, one.value_range) == (kind, "quantisation", (0, 255))
    assert (one.mean, one.std) == ((0.0,), (1.0,))
    assert one.quantization == (pytest.approx(1, abs=0.01), -128 if kind == "int8" else 0)
    assert (report.classes, report.backbone.name) == (3, "mobilenet_0.25")


def test_normalisation_stated_by_tflite_metadata(models, tmp_path):
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    def table(builder, *slots):
        builder.StartObject(8)
        for slot, (kind, value) in slots:
            add = {"table": builder.PrependUOffsetTRelativeSlot,
                   "byte": builder.PrependUint8Slot}[kind]  # fmt: skip
            add(slot, value, 0)
        return builder.EndObject()

    def vector(builder, *items):
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return builder.EndVector()

    def numbers(builder, value):
        builder.StartVector(4, 1, 4)
        builder.PrependFloat32(value)
        return builder.EndVector()

    inner = flatbuffers.Builder(0)
    mean, std = numbers(inner, 127.0), numbers(inner, 128.0)
    options = table(inner, (0, ("table", mean)), (1, ("table", std)))
    unit = table(inner, (0, ("byte", 1)), (1, ("table", options)))
    tensor = table(inner, (4, ("table", vector(inner, unit))))
    subgraph = table(inner, (2, ("table", vector(inner, tensor))))
    inner.Finish(table(inner, (3, ("table", vector(inner, subgraph)))), b"M001")

    model = schema.ModelT.InitFromPackedBuf((models / "model.tflite").read_bytes())
    model.buffers.append(schema.BufferT())
    model.buffers[-1].data = inner.Output()
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    outer = flatbuffers.Builder(0)
    outer.Finish(model.Pack(outer), b"TFL3")
    path = tmp_path / "m.tflite"
    path.write_bytes(outer.Output())
    (one,) = inspect_model(path).inputs
    assert (one.range_source, one.mean, one.std) == ("metadata", (127.0,), (128.0,))


def test_formats_are_told_from_content(models, tmp_path):
    for name in ("model.keras", "model.h5", "frozen.pb", "model.tflite"):
        copy = tmp_path / "x.jpg"
        copy.write_bytes((models / name).read_bytes())
        assert inspect_model(copy).format == inspect_model(models / name).format
    inner = inspect_model(models / "saved_model/saved_model.pb")
    assert inner.inputs == inspect_model(models / "saved_model").inputs


def test_metadata_contradicting_its_model_is_a_warning(models, tmp_path):
    metadata = json.loads(json.dumps(METADATA))
    metadata["input"]["height"] = 224
    metadata["labels"] = ["a", "b"]
    (tmp_path / "model.keras").write_bytes((models / "model.keras").read_bytes())
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    report = inspect_model(tmp_path)
    assert (report.labels, report.inputs[0].range_source) == (("a", "b"), "metadata")
    assert "The metadata state height 224, but the model has 128." in report.warnings
    assert "The metadata state number of classes 2, but the model has 3." in report.warnings


@pytest.mark.parametrize(
    ("builder", "name", "span", "width"),
    [
        ("MobileNetV2", "mobilenet_v2", (-1, 1), 1280),
        ("ResNet50", "resnet50", (-123.68, 151.061), 2048),
        ("ResNet50V2", "resnet50_v2", (-1, 1), 2048),
        ("EfficientNetB0", "efficientnet_b0", (0, 255), 1280),
        ("DenseNet121", "densenet121", (-2.11790, 2.64), 1024),
    ],
)
def test_backbones_of_keras_are_told_from_their_layers(tmp_path, builder, name, span, width):
    import keras

    model = getattr(keras.applications, builder)(weights=None, pooling="avg", include_top=False)
    report = inspect_model(keras_archive(tmp_path / "m.keras", model.to_json()))
    assert report.backbone.name == name
    assert report.inputs[0].value_range == pytest.approx(span, abs=0.001)
    assert report.inputs[0].channel_order == ("BGR" if name == "resnet50" else "RGB")
    assert report.inputs[0].resolution == "any"
    assert (report.classes, report.bottleneck.width) == (None, width)


@pytest.mark.parametrize("name", NETWORKS)
def test_efficientnet_lites_are_told_from_their_layers(tmp_path, name):
    model = NETWORKS[name](weights=None, input_shape=(32, 32, 3))
    report = inspect_model(keras_archive(tmp_path / "m.keras", model.to_json()))
    assert (report.backbone.name, report.bottleneck.width) == (name, 1280)
    assert report.inputs[0].value_range == pytest.approx((-127 / 128, 1), abs=0.001)


@pytest.mark.parametrize(
    ("front", "span", "source"),
    [
        ("augmented, scaled", (0, 255), "layer in the model"),
        ("augmented", (-1, 1), "known backbone"),
        ("adapted", None, "unknown"),
        ("channels swapped", (0, 255), "layer in the model"),
    ],
)
def test_what_stands_before_a_backbone_decides_its_range(tmp_path, front, span, source):
    import keras

    layers = keras.layers
    swap = keras.applications.resnet50.preprocess_input
    steps = {
        "augmented, scaled": [layers.RandomFlip("horizontal"), layers.Rescaling(1 / 127.5, -1)],
        "augmented": [keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)])],
        "adapted": [layers.GaussianNoise(0.1), layers.Normalization()],
        "channels swapped": [swap],
    }
    x = image = keras.Input((32, 32, 3))
    for step in steps[front]:
        x = step(x)
    backbone = keras.applications.MobileNet(
        alpha=0.25, weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    model = keras.Model(image, backbone(x))
    report = inspect_model(keras_archive(tmp_path / "m.keras", model.to_json()))
    assert report.backbone.name == "mobilenet_0.25"
    assert (report.inputs[0].value_range, report.inputs[0].range_source) == (span, source)


def test_scores_come_before_other_outputs(tmp_path):
    import keras

    image = keras.Input((32, 32, 3), name="image")
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(keras.layers.Conv2D(16, 3)(image))
    embedding = keras.layers.Dense(7, name="embedding")(pooled)
    scores = keras.layers.Dense(5, "softmax", name="scores")(embedding)
    keras.Model(image, [pooled, embedding, scores]).save(tmp_path / "m.keras")
    report = inspect_model(tmp_path / "m.keras")
    ends = [(one.name, one.shape, one.place) for one in report.outputs]
    assert ends == [
        ("scores", (None, 5), 2),
        ("embedding", (None, 7), 1),
        ("pooled", (None, 16), 0),
    ]
    assert (report.classes, report.bottleneck.name) == (5, "pooled")
    assert "--output_layer=scores" in format_report(report)


def keras_archive(path, config, **rest):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        for name, text in rest.items():
            archive.writestr(name, text)
    return path


def sequential(*layers):
    return {"class_name": "Sequential", "config": {"name": "s", "layers": list(layers)}}


def test_lambda_layers_are_flagged_not_run(tmp_path):
    code = {"class_name": "__lambda__", "config": {"code": "boom", "defaults": None}}
    inner = {"class_name": "Lambda", "config": {"name": "evil", "function": code}}
    image = {"class_name": "InputLayer", "config": {"name": "image", "batch_shape": [None, 9, 9, 3],
                                                    "dtype": "float32"}}  # fmt: skip
    report = inspect_model(keras_archive(tmp_path / "m.keras", sequential(image, inner)))
    assert "evil" in report.unsafe_layers
    assert any("only if you trust it" in warning for warning in report.warnings)


def test_keras_2_sequential(tmp_path):
    layers = [
        {"class_name": "Rescaling", "config": {"name": "r", "scale": 0.00392156862745098,
         "offset": 0.0, "batch_input_shape": [None, 60, 80, 3], "dtype": "float32"}},
        {"class_name": "Conv2D", "config": {"name": "c", "filters": 4, "kernel_size": [3, 3]}},
        {"class_name": "Flatten", "config": {"name": "f"}},
        {"class_name": "Dense", "config": {"name": "d", "units": 7}},
    ]  # fmt: skip
    report = inspect_model(keras_archive(tmp_path / "m.keras", sequential(*layers)))
    assert report.inputs[0].resolution == "60 x 80"
    assert report.inputs[0].value_range == (0.0, 255.0)
    assert (report.classes, report.bottleneck.name) == (7, "f")


def image_layer(shape):
    return {"class_name": "InputLayer", "config": {"name": "image", "batch_shape": shape,
                                                   "dtype": "float32"}}  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        ([None, 2**70, 9, 3], {"class_name": "Dense", "config": {"units": 5}}),
        ([None, True, 9, 3], {"class_name": "Dense", "config": {"units": True}}),
        ([None, 9, 9, 3], {"class_name": "Dense", "config": {"units": 10**30}}),
        ([None, 9, 9, 3], {"class_name": "De\ud800nse", "config": {}}),
        ([None, 9, 9, 3], {"class_name": "Resizing", "config": {"height": 2**64, "width": True}}),
        ([None, 9, 9, 3], {"class_name": "Rescaling", "config": {"scale": float("nan")}}),
        ([None, 9, 9, 3], {"class_name": "Rescaling", "config": {"scale": 1e-310}}),
    ],
)
def test_odd_configurations_can_be_shown_and_written(tmp_path, shape, layer):
    layer["config"]["name"] = "odd"
    config = sequential(image_layer(shape), layer)
    path = keras_archive(tmp_path / "m.keras", json.dumps(config))
    report = inspect_model(path)
    format_report(report).encode()
    json.dumps(report.to_dict(), allow_nan=False)
    assert inspect_model(write_graph(path, tmp_path / "logs")).inputs[0].name == "image"


def test_wide_graphs_and_names_that_are_alike_are_written_whole(tmp_path):
    tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": ["image", 0, 0]}}
    same = {"class_name": "Add", "name": "a/", "config": {"name": "a/"},
            "inbound_nodes": [{"args": [[tensor] * 200_000], "kwargs": {}}]}  # fmt: skip
    inner = {"layers": [image_layer([None, 9, 9, 3]), same], "output_layers": [["a/", 0, 0]]}
    wide = {"class_name": "Functional", "config": inner}
    alike = GraphBuilder()
    for number in range(15_000):
        # All names become the same once their characters are valid.
        alike.add("NoSuch", f"{'?' * (number % 120)}{chr(0x4E00 + number // 120)}", "x")
    decoders = GraphBuilder()
    for number in range(15_000):
        decoders.add("NoSuch", f"source{number}")
        decoders.add("DecodeJpeg", f"decoder{number}", f"source{number}")
    # What compares each of these with all the others does not come to an end.
    for path, fewest in (
        (keras_archive(tmp_path / "wide.keras", wide), 2),
        (alike.save(tmp_path / "alike.pb"), 15_000),
        (decoders.save(tmp_path / "decoders.pb"), 30_000),
    ):
        events = EventAccumulator(str(write_graph(path, tmp_path / "logs")))
        events.Reload()
        names = [node.name for node in events.Graph().node]
        assert len(set(names)) == len(names) >= fewest, path


def test_hdf5_keeps_a_hard_limit_on_memory(models, monkeypatch, capsys):
    resource = pytest.importorskip("resource")  # Windows has none.
    given = []
    hard = 3 * 2**30
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (hard, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: given.append(limits))
    monkeypatch.setattr(sys, "argv", ["hdf5", str(models / "model.h5"), ""])
    hdf5._main()
    assert json.loads(capsys.readouterr().out)["data_sets"]
    assert given == [(2 * 2**30, hard), (0, 0)]


def test_wrong_files_give_one_line(models, tmp_path):
    cases = {
        "empty.pb": (b"", "is empty"),
        "photo.pb": (b"\xff\xd8\xff\xe0" + b"x" * 99, "is a JPEG photo"),
        "pickle.pt": (b"\x80\x02}q\x00.", "pickle"),
        "text.pb": (b"hello world, this is text", "no known format"),
        "zeros.pb": (bytes(5000), "no known format"),
        "cut.pb": ((models / "frozen.pb").read_bytes()[:-100], "cut off"),
        "cut.h5": ((models / "model.h5").read_bytes()[:5000], "truncated"),
        "cut.keras": ((models / "model.keras").read_bytes()[:-100], "zip"),
        "cut.tflite": ((models / "model.tflite").read_bytes()[:3000], "beyond its end"),
        "deep.keras": (None, "can't be read as a model|JSON"),
        "secret.keras": (odd_archive(1, zipfile.ZIP_DEFLATED), "encrypted"),
        "lzma.keras": (odd_archive(0, zipfile.ZIP_LZMA), "can't be read as a model"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        if content is None:
            keras_archive(path, '{"a":' * 200_000 + "1" + "}" * 200_000)
        else:
            path.write_bytes(content)
        with pytest.raises(UserError, match=message) as caught:
            inspect_model(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    with pytest.raises(UserError, match="holds no model but"):
        inspect_model(tmp_path)
    with pytest.raises(UserError, match="There is no"):
        inspect_model(tmp_path / "nowhere")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        inspect_model("/dev/zero")


def odd_archive(flags, method):
    """Returns a zip archive whose only member claims to be encrypted or compressed otherwise."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("config.json", b"\x09\x04\x05\x00\xff" + b"\xff" * 50)
    data = bytearray(packed.getvalue())
    for start, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<HH", data, data.index(start) + at, flags, method)
    return bytes(data)


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def message(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def bombs(folder):
    """Files that claim or expand to far more than they hold."""
    nested = b""
    for _ in range(20_000):
        nested = message(10, nested)
    op = message(1, b"n") + message(2, b"Add")
    yield "nested.pb", message(1, op + nested) + message(4, b"\x08\x01")
    yield "nodes.pb", message(1, op) * 400_000
    yield "fields.pb", message(1, op + b"\x1a\x00" * 600_000)
    sizes = message(2, b"\x08" + varint(2**62)) * 3
    tensor = message(8, b"\x08\x01" + message(2, sizes))
    const = message(1, b"w") + message(2, b"Const") + message(5, message(1, b"value")
                                                              + message(2, tensor))  # fmt: skip
    yield "claims.pb", message(1, const) + message(1, op) * 3
    # Every function calls the next one twice: two to the power of thirty operations.
    library = b""
    for level in range(30):
        calls = b"".join(
            message(3, message(1, b"c%d" % n) + message(2, b"f%d" % (level + 1))) for n in (0, 1)
        )
        library += message(1, message(1, message(1, b"f%d" % level)) + calls)
    graph = message(1, message(1, b"start") + message(2, b"f0")) + message(2, library)
    yield "calls.pb", b"\x08\x01" + message(2, message(2, graph))
    packed = io.BytesIO()
    archive = zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED)
    with archive, archive.open("config.json", "w") as member:
        for _ in range(300):
            member.write(b" " * 1_000_000)
    yield "zip.keras", packed.getvalue()
    yield "vector.tflite", struct.pack("<I4s6HiII", 20, b"TFL3", 10, 8, 0, 0, 4, 0, 12, 4, 2**31)
    yield "dims.onnx", b"\x08\x07" + message(7, message(5, b"\x08" + varint(2**62)) * 1000)


def looked_at(path):
    """Returns whether a file was refused, and what was said; anything but that raises."""
    try:
        report = inspect_model(path)
        said = json.dumps(report.to_dict())
        assert format_report(report).replace("\n", "").isprintable()
        if report.format != "keras_weights":
            shutil.rmtree(path.parent / "logs", ignore_errors=True)
            write_graph(path, path.parent / "logs")
    except UserError as error:
        said, refused = str(error), True
    else:
        refused = False
    assert "\n" not in said
    return refused, said


def test_bombs_are_harmless(tmp_path):
    resource = pytest.importorskip("resource")  # Windows has none.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, content in bombs(tmp_path):
        path = tmp_path / name
        path.write_bytes(content)
        started = time.monotonic()
        refused, _ = looked_at(path)
        assert refused == (name not in ("claims.pb", "nested.pb", "dims.onnx")), name
        assert time.monotonic() - started < 10, name
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 150, f"{grown} MiB more"


def record(body):
    return struct.pack("<Q", len(body)) + bytes(4) + body + bytes(4)


@pytest.mark.parametrize("tail", ["scalars", "damaged", "preallocated"])
def test_a_graph_is_found_whatever_follows_it_in_the_log(models, tmp_path, tail, monkeypatch):
    log = next(write_graph(models / "frozen.pb", tmp_path / "logs").iterdir())
    more = {
        "scalars": record(message(5, message(1, message(1, b"loss") + b"\x15\0\0\0\0"))) * 30_000,
        "damaged": record(b"\xff" * 20) + record(message(5, b"\x07")),
        "preallocated": b"",
    }
    with log.open("ab") as file:
        file.write(more[tail])
        if tail == "preallocated":
            file.truncate(2**30)
    # Fewer than the scalars need together.
    monkeypatch.setattr(wire.Budget, "__init__", lambda self, size: setattr(self, "left", 50_000))
    started = time.process_time()
    assert inspect_model(log).backbone.name == "mobilenet_0.25"
    assert time.process_time() - started < 3


def test_huge_sparse_file_is_refused_at_once(tmp_path):
    path = tmp_path / "huge.pb"
    with path.open("wb") as file:
        file.truncate(50 * 2**30)
    started = time.monotonic()
    with pytest.raises(UserError, match="no known format"):
        inspect_model(path)
    assert time.monotonic() - started < 1


def mutated(data, seed):
    """Returns a damaged copy: bytes flipped, a stretch overwritten, cut out or doubled."""
    rng = random.Random(seed)
    copy = bytearray(data)
    # Structure sits at both ends of the files; weights in the middle don't matter.
    place = rng.choice((rng.randrange(min(len(copy), 4000)), rng.randrange(len(copy)),
                        len(copy) - 1 - rng.randrange(min(len(copy), 4000))))  # fmt: skip
    kind = rng.randrange(5)
    if kind == 0:
        for _ in range(rng.choice((1, 10, 1000))):
            copy[rng.randrange(len(copy))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        length = rng.choice((1, 4, 8, 64))
        copy[place : place + length] = rng.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * length
    elif kind == 2:
        del copy[place : place + rng.choice((1, 7, 500))]
    elif kind == 3:
        copy[place:place] = copy[place : place + rng.choice((1, 9, 300))]
    else:
        del copy[place:]
    return bytes(copy)


@pytest.mark.parametrize(
    ("name", "copies"),
    [
        ("frozen.pb", 120), ("saved_model/saved_model.pb", 60), ("model.tflite", 300),
        ("model.keras", 15), ("model.h5", 15), ("run", 100), ("net.onnx", 300),
        ("line.pbtxt", 6), ("graph/model.json", 60), ("layers/model.json", 60),
    ],
)  # fmt: skip
def test_damaged_copies(models, tmp_path, name, copies):
    source = models / name
    if name == "run":
        source = next(path for path in source.rglob("*") if path.is_file())
    if name == "net.onnx":
        source = tmp_path / "source.onnx"
        source.write_bytes(small_onnx())
    data = GRAPHS[name](models) if name in GRAPHS else source.read_bytes()
    outcomes = set()
    started = time.monotonic()
    for seed in range(copies):
        path = tmp_path / "damaged"
        path.unlink(missing_ok=True)
        path.write_bytes(mutated(data, seed))
        outcomes.add(looked_at(path)[0])
        if time.monotonic() - started > 60:
            pytest.fail(f"{seed} copies took 60 s")
    assert outcomes == {True, False}


def small_onnx():
    """Returns the bytes of a convolution and a softmax, written by hand."""
    sizes = b"".join(message(1, b"\x08" + varint(size)) for size in (1, 3, 64, 64))
    kind = message(2, message(1, b"\x08\x01" + message(2, sizes)))
    weights = message(5, b"\x08\x05\x08\x03\x08\x03\x08\x03\x10\x01" + message(8, b"w")
                      + message(9, bytes(540)))  # fmt: skip
    conv = message(1, message(1, b"x") + message(1, b"w") + message(2, b"y") + message(4, b"Conv"))
    last = message(1, message(1, b"y") + message(2, b"z") + message(4, b"Softmax"))
    ends = message(11, message(1, b"x") + kind) + message(12, message(1, b"z"))
    return b"\x08\x07" + message(2, b"maker") + message(7, conv + last + weights + ends)
