"""TF1 graphs, the lab's Inception among them, ONNX, our own folder, the text and the command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.compat.proto import graph_pb2

from xferlearn.commands import inspect_model as command
from xferlearn.config import InspectConfig
from xferlearn.errors import UserError
from xferlearn.inspection import format_report, inspect_model, write_graph
from xferlearn.inspection.text_report import suggested_commands

FLOAT, INT, STRING, BOOL = 1, 3, 7, 10


class GraphBuilder:
    """Writes GraphDefs as the lab's tools did; weights are claimed by shape, one value stored."""

    def __init__(self):
        self.graph = graph_pb2.GraphDef()
        self.graph.versions.producer = 22

    def add(self, op, name, *inputs, dtype=None, shape=None):
        node = self.graph.node.add(op=op, name=name, input=inputs)
        if dtype:
            node.attr["dtype"].type = dtype
        if shape is not None:
            for size in shape:
                node.attr["shape"].shape.dim.add().size = size
        return name

    def const(self, name, shape, values=(0.5,), dtype=FLOAT):
        node = self.graph.node.add(op="Const", name=name)
        node.attr["dtype"].type = dtype
        tensor = node.attr["value"].tensor
        tensor.dtype = dtype
        for size in shape:
            tensor.tensor_shape.dim.add().size = size
        {FLOAT: tensor.float_val, INT: tensor.int_val, STRING: tensor.string_val}[dtype].extend(
            values
        )
        return name

    def conv(self, name, source, kernel, channels, filters):
        self.const(f"{name}/conv2d_params", [*kernel, channels, filters])
        self.add("Conv2D", f"{name}/Conv2D", source, f"{name}/conv2d_params")
        parts = [
            self.const(f"{name}/batchnorm/{part}", [filters])
            for part in ("moving_mean", "moving_variance", "beta", "gamma")
        ]
        self.add("BatchNormWithGlobalNormalization", f"{name}/batchnorm", f"{name}/Conv2D", *parts)
        self.add("CheckNumerics", f"{name}/CheckNumerics", f"{name}/batchnorm")
        self.add("Identity", f"{name}/control_dependency", f"{name}/batchnorm")
        return self.add("Relu", name, f"{name}/control_dependency")

    def chain(self, scope, source, channels, *specs):
        for index, (kernel, filters) in enumerate(specs):
            name = f"{scope}/conv" + (f"_{index}" if index else "")
            source, channels = self.conv(name, source, kernel, channels, filters), filters
        return source

    def save(self, path):
        path.write_bytes(self.graph.SerializeToString())
        return path


def inception_v3(stripped=False, classes=None):
    """The graph of classify_image_graph_def.pb; with `classes`, as retrain.py leaves it."""
    g = GraphBuilder()
    if stripped:
        g.add("Placeholder", "Mul", dtype=FLOAT, shape=[1, 299, 299, 3])
    else:
        g.const("DecodeJpeg/contents", [], [b"jpeg"], STRING)
        g.add("DecodeJpeg", "DecodeJpeg", "DecodeJpeg/contents")
        g.add("Cast", "Cast", "DecodeJpeg")
        g.const("ExpandDims/dim", [], [0], INT)
        g.add("ExpandDims", "ExpandDims", "Cast", "ExpandDims/dim")
        g.const("ResizeBilinear/size", [2], [299, 299], INT)
        g.add("ResizeBilinear", "ResizeBilinear", "ExpandDims", "ResizeBilinear/size")
        g.const("Sub/y", [], [128.0])
        g.add("Sub", "Sub", "ResizeBilinear", "Sub/y")
        g.const("Mul/y", [], [1 / 128])
        g.add("Mul", "Mul", "Sub", "Mul/y")
    x = g.conv("conv", "Mul", (3, 3), 3, 32)
    x = g.conv("conv_1", x, (3, 3), 32, 32)
    x = g.conv("conv_2", x, (3, 3), 32, 64)
    x = g.add("MaxPool", "pool", x)
    x = g.conv("conv_3", x, (1, 1), 64, 80)
    x = g.conv("conv_4", x, (3, 3), 80, 192)
    x, channels = g.add("MaxPool", "pool_1", x), 192
    g.const("join/concat_dim", [], [3], INT)

    def join(scope, *branches):
        return g.add("Concat", f"{scope}/join", "join/concat_dim", *branches)

    def pooled(scope, filters):
        pool = g.add("AvgPool", f"{scope}/tower_2/pool", x)
        return g.chain(f"{scope}/tower_2", pool, channels, ((1, 1), filters))

    for scope, last in (("mixed", 32), ("mixed_1", 64), ("mixed_2", 64)):
        x, channels = (
            join(
                scope,
                g.chain(scope, x, channels, ((1, 1), 64)),
                g.chain(f"{scope}/tower", x, channels, ((1, 1), 48), ((5, 5), 64)),
                g.chain(f"{scope}/tower_1", x, channels, ((1, 1), 64), ((3, 3), 96), ((3, 3), 96)),
                pooled(scope, last),
            ),
            224 + last,
        )
    x, channels = (
        join(
            "mixed_3",
            g.chain("mixed_3", x, channels, ((3, 3), 384)),
            g.chain("mixed_3/tower", x, channels, ((1, 1), 64), ((3, 3), 96), ((3, 3), 96)),
            g.add("MaxPool", "mixed_3/pool", x),
        ),
        768,
    )
    for scope, c in (("mixed_4", 128), ("mixed_5", 160), ("mixed_6", 160), ("mixed_7", 192)):
        long = [((1, 1), c), ((7, 1), c), ((1, 7), c), ((7, 1), c), ((1, 7), 192)]
        x = join(
            scope,
            g.chain(scope, x, 768, ((1, 1), 192)),
            g.chain(f"{scope}/tower", x, 768, ((1, 1), c), ((1, 7), c), ((7, 1), 192)),
            g.chain(f"{scope}/tower_1", x, 768, *long),
            pooled(scope, 192),
        )
    long = [((1, 1), 192), ((1, 7), 192), ((7, 1), 192), ((3, 3), 192)]
    x, channels = (
        join(
            "mixed_8",
            g.chain("mixed_8/tower", x, 768, ((1, 1), 192), ((3, 3), 320)),
            g.chain("mixed_8/tower_1", x, 768, *long),
            g.add("MaxPool", "mixed_8/pool", x),
        ),
        1280,
    )
    for scope in ("mixed_9", "mixed_10"):
        tower = g.chain(f"{scope}/tower", x, channels, ((1, 1), 384))
        tower_1 = g.chain(f"{scope}/tower_1", x, channels, ((1, 1), 448), ((3, 3), 384))
        forks = [
            g.conv(f"{scope}/{side}/mixed/{name}", source, kernel, 384, 384)
            for side, source in (("tower", tower), ("tower_1", tower_1))
            for name, kernel in (("conv", (1, 3)), ("conv_1", (3, 1)))
        ]
        only = g.chain(scope, x, channels, ((1, 1), 320))
        x, channels = join(scope, only, *forks, pooled(scope, 192)), 2048
    g.add("AvgPool", "pool_3", x)
    g.const("pool_3/_reshape/shape", [2], [1, 2048], INT)
    x = g.add("Reshape", "pool_3/_reshape", "pool_3", "pool_3/_reshape/shape")
    names = ("softmax/weights", "softmax/biases", "softmax/logits/MatMul", "softmax/logits")
    if classes:
        name = "input/BottleneckInputPlaceholder"
        x = g.add("PlaceholderWithDefault", name, x, dtype=FLOAT, shape=[-1, 2048])
        scope = "final_training_ops"
        names = (f"{scope}/weights/final_weights", f"{scope}/biases/final_biases",
                 f"{scope}/Wx_plus_b/MatMul", f"{scope}/Wx_plus_b/add")  # fmt: skip
    g.const(names[0], [2048, classes or 1008])
    g.const(names[1], [classes or 1008])
    g.add("MatMul", names[2], x, names[0])
    g.add("Add" if classes else "BiasAdd", names[3], names[2], names[1])
    g.add("Softmax", "final_result" if classes else "softmax", names[3])
    return g


def test_retrained_mobilenet_of_the_lab(shared_data):
    report = inspect_model(shared_data / "graphs/mobilenet_v1_1.0_224_retrained.pb")
    (one,) = report.inputs
    assert (one.name, one.tensor_name, one.resolution) == ("input", "input:0", "224 x 224")
    assert (one.dtype, one.layout, one.value_range) == ("float32", "NHWC", (-1.0, 1.0))
    assert (one.mean, one.std, one.range_source) == ((127.5,), (127.5,), "known backbone")
    assert [(out.name, out.shape) for out in report.outputs] == [("final_result", (None, 2))]
    assert (report.classes, report.operations, report.parameters) == (2, 560, 4_256_893)
    assert report.bottleneck.name == "MobilenetV1/Predictions/Reshape"
    assert report.bottleneck.width == 1001
    assert (report.backbone.name, report.backbone.title) == ("mobilenet", "MobileNet 1.0")
    assert report.op_counts["DepthwiseConv2dNative"] == 13


def test_plain_mobilenet_of_the_lab(shared_data):
    report = inspect_model(shared_data / "graphs/mobilenet_v1_0.25_128_frozen.pb")
    assert report.inputs[0].name == "input"
    assert report.inputs[0].resolution == "128 x 128"
    assert report.outputs[0].name == "MobilenetV1/Predictions/Reshape_1"
    assert report.classes == 1001
    assert report.backbone.title == "MobileNet 0.25"


def test_inception_of_the_lab(tmp_path):
    path = inception_v3().save(tmp_path / "classify_image_graph_def.pb")
    report = inspect_model(path)
    pixels, jpeg = report.inputs
    assert (pixels.name, pixels.resolution, pixels.dtype) == ("Mul", "299 x 299", "float32")
    assert (pixels.mean, pixels.std) == ((128.0,), (128.0,))
    assert pixels.value_range == pytest.approx((-1, 1), abs=0.01)
    assert pixels.range_source == "constants in the graph"
    assert (jpeg.name, jpeg.kind) == ("DecodeJpeg/contents", "encoded image")
    assert report.backbone.title == "Inception v3"
    assert report.outputs[0].name == "softmax"
    assert report.classes == 1008
    assert (report.bottleneck.name, report.bottleneck.width) == ("pool_3/_reshape", 2048)
    # TensorFlow's summarize_graph counts 23,885,411 for the real file, lone numbers included.
    assert abs(report.parameters - 23_885_411) < 20
    assert report.op_counts["Conv2D"] == 94


@pytest.mark.parametrize("stripped", [False, True])
def test_retrained_inception(tmp_path, stripped):
    path = inception_v3(stripped, classes=5).save(tmp_path / "retrained_graph.pb")
    (tmp_path / "retrained_labels.txt").write_text("a\nb\nc\nd\ne\n")
    report = inspect_model(path)
    one = report.image_input
    assert (one.name, one.resolution, one.mean, one.std) == ("Mul", "299 x 299", (128,), (128,))
    assert (report.outputs[0].name, report.classes) == ("final_result", 5)
    assert (report.bottleneck.name, report.bottleneck.width) == ("pool_3/_reshape", 2048)
    expected = (
        f"python -m label_image --graph={path} --labels={tmp_path / 'retrained_labels.txt'}"
        " --input_layer=Mul --output_layer=final_result --input_height=299 --input_width=299"
        " --input_mean=128 --input_std=128 --image=PHOTO"
    )
    assert suggested_commands(report) == [f"xferlearn label --model={path} PHOTO", expected]


def test_unknown_network_has_unknown_range(tmp_path):
    g = GraphBuilder()
    g.add("Placeholder", "x", dtype=FLOAT, shape=[-1, -1, -1, 3])
    g.conv("conv", "x", (3, 3), 3, 7)
    report = inspect_model(g.save(tmp_path / "odd.pb"))
    assert report.inputs[0].range_source == "unknown"
    assert report.inputs[0].value_range is None
    assert report.inputs[0].resolution == "any"
    assert (report.backbone, report.classes, report.bottleneck) == (None, None, None)
    assert "range unknown" in format_report(report)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("Mul", [1 / 255])], (0, 255)),
        ([("Sub", [127.5]), ("RealDiv", [127.5])], (0, 255)),
        ([("Sub", [123.68, 116.779, 103.939])], (0, 255)),
        ([("Mul", [2.0]), ("Sub", [1.0])], (0, 1)),
        ([("Add", [1.0]), ("Mul", [127.5])], (-1, 1)),
        ([("Mul", [0.0])], None),
    ],
)
def test_range_from_constants(tmp_path, steps, expected):
    g, x = GraphBuilder(), "x"
    g.add("Placeholder", "x", dtype=FLOAT, shape=[1, 32, 32, 3])
    for op, values in steps:
        g.const(f"{op}/y", [len(values)], values)
        x = g.add(op, op, x, f"{op}/y")
    g.conv("conv", x, (3, 3), 3, 7)
    assert inspect_model(g.save(tmp_path / "g.pb")).inputs[0].value_range == expected


def test_hostile_names_are_quoted_and_shown_harmlessly(tmp_path):
    g, bad = GraphBuilder(), "x;rm -rf $HOME\x1b[2J"
    g.add("Placeholder", bad, dtype=FLOAT, shape=[1, 32, 32, 3])
    g.conv("conv", bad, (3, 3), 3, 7)
    text = format_report(inspect_model(g.save(tmp_path / "a b.pb")))
    assert "\x1b" not in text
    assert f"--model='{tmp_path}/a b.pb'" in text
    g, bad = GraphBuilder(), "x;reboot"
    g.add("Placeholder", bad, dtype=FLOAT, shape=[1, 32, 32, 3])
    g.add("Mul", "scaled", bad, g.const("scale", [], [0.5]))
    g.conv("conv", "scaled", (3, 3), 3, 7)
    assert "--input_layer='x;reboot'" in format_report(inspect_model(g.save(tmp_path / "c.pb")))


@pytest.mark.parametrize(
    ("values", "mean"),
    [((123.68, 116.779, 103.939), (123.68, 116.779, 103.939)), ((float("nan"),), None)],
)
def test_the_labs_command_is_left_out_where_its_numbers_can_not_say_it(tmp_path, values, mean):
    g = GraphBuilder()
    g.add("DecodeJpeg", "DecodeJpeg", g.const("jpeg", [], [b"jpeg"], STRING))
    g.add("ResizeBilinear", "resized", "DecodeJpeg", g.const("size", [2], [32, 32], INT))
    g.add("Sub", "Sub", "resized", g.const("mean", [len(values)], values))
    x = g.conv("conv", "Sub", (3, 3), 3, 7)
    g.add("Softmax", "final_result", g.add("MatMul", "logits", x, g.const("w", [7, 5])))
    folder = tmp_path / "a\nb"
    folder.mkdir()
    report = inspect_model(g.save(folder / "g.pb"))
    assert report.image_input.mean == mean
    json.dumps(report.to_dict(), allow_nan=False)
    commands = suggested_commands(report)
    # Where the values are unknown, there is one command for each likely answer.
    assert len(commands) == (1 if mean else 3)
    assert all(one.startswith("xferlearn label --model=") for one in commands)
    assert all(one.isprintable() for one in commands)


def test_tiny_factors_give_no_range(tmp_path):
    g = GraphBuilder()
    g.add("DecodeJpeg", "DecodeJpeg", g.const("jpeg", [], [b"jpeg"], STRING))
    g.add("ResizeBilinear", "resized", "DecodeJpeg", g.const("size", [2], [32, 32], INT))
    g.add("Mul", "Mul", "resized", g.const("scale", [], [1e-42]))
    g.conv("conv", "Mul", (3, 3), 3, 7)
    report = inspect_model(g.save(tmp_path / "g.pb"))
    assert report.image_input.value_range is None
    assert "range unknown" in format_report(report)


def test_every_output_has_its_own_number_of_classes(tmp_path):
    g = GraphBuilder()
    g.add("Placeholder", "x", dtype=FLOAT, shape=[-1, 32, 32, 3])
    x = g.add(
        "Mean", "pooled", g.conv("conv", "x", (3, 3), 3, 8), g.const("axes", [2], [1, 2], INT)
    )
    for name, units in (("colour", 5), ("form", 11)):
        g.add("Softmax", name, g.add("MatMul", f"{name}/m", x, g.const(f"{name}/w", [8, units])))
    report = inspect_model(g.save(tmp_path / "g.pb"))
    shapes = {one.name: one.shape for one in report.outputs}
    assert (shapes["colour"], shapes["form"]) == ((None, 5), (None, 11))
    assert (report.outputs[0].name, report.classes) == ("colour", 5)


def test_the_image_is_the_input_of_known_rank(tmp_path):
    g = GraphBuilder()
    g.add("Placeholder", "phase_train", dtype=BOOL)
    g.add("Placeholder", "rate", dtype=FLOAT)
    g.add("Placeholder", "x", dtype=FLOAT, shape=[-1, 32, 32, 3])
    g.conv("conv", "x", (3, 3), 3, 7)
    report = inspect_model(g.save(tmp_path / "g.pb"))
    kinds = [(one.name, one.kind) for one in report.inputs]
    assert kinds == [("x", "image"), ("rate", "image"), ("phase_train", "values")]


def test_onnx(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    np = pytest.importorskip("numpy")

    def weights(name, *shape):
        return numpy_helper.from_array(np.full(shape, 0.5, np.float32), name)

    nodes = [
        helper.make_node("Sub", ["image", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w1"], ["c1"]),
        helper.make_node("Conv", ["c1", "w2"], ["c2"], group=8),
        helper.make_node("GlobalAveragePool", ["c2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    stored = [weights("w1", 8, 3, 3, 3), weights("w2", 8, 1, 3, 3), weights("w3", 4, 8),
              weights("b3", 4), numpy_helper.from_array(np.float32([127.5]), "mean"),
              numpy_helper.from_array(np.float32([127.5]), "std")]  # fmt: skip
    image = helper.make_tensor_value_info("image", 1, ["batch", 3, 96, 96])
    scores = helper.make_tensor_value_info("scores", 1, ["batch", 4])
    graph = helper.make_graph(nodes, "g", [image], [scores], stored)
    path = tmp_path / "named.bin"
    onnx.save(helper.make_model(graph, producer_name="maker", producer_version="7"), path)
    report = inspect_model(path)
    (one,) = report.inputs
    assert (report.format, report.producer) == ("onnx", "maker 7")
    assert (one.name, one.layout, one.resolution) == ("image", "NCHW", "96 x 96")
    assert (one.value_range, one.range_source) == ((0.0, 255.0), "constants in the graph")
    assert [(out.name, out.shape) for out in report.outputs] == [("scores", (None, 4))]
    assert report.classes == 4
    assert (report.bottleneck.name, report.bottleneck.width) == ("flat", 8)
    assert report.parameters == 8 * 27 + 8 * 9 + 32 + 4 + 2
    assert (report.operations, report.op_counts["Conv"]) == (8, 2)
    again = inspect_model(write_graph(path, tmp_path / "logs"))
    assert again.inputs[0].resolution == "96 x 96"
    assert (again.classes, again.bottleneck) == (
        4,
        report.bottleneck.__class__("flat", "flat:0", 8),
    )


def test_weights_alone_are_reported_as_such(shared_data, tmp_path):
    path = shared_data / "keras/models/mobilenet_2_5_128_tf.h5"
    report = inspect_model(path)
    assert (report.format, report.parameters) == ("keras_weights", 475_544)
    assert report.inputs == report.outputs == ()
    assert report.backbone.title == "MobileNet 0.25"
    assert "weights without an architecture" in report.warnings[0]
    assert suggested_commands(report) == []
    with pytest.raises(UserError, match="without an architecture"):
        write_graph(path, tmp_path)


@pytest.mark.parametrize("output_format", ["text", "json"])
def test_command(shared_data, tmp_path, capsys, output_format):
    path = shared_data / "graphs/mobilenet_v1_0.25_128_frozen.pb"
    for _ in range(2):
        config = InspectConfig(model=str(path), format=output_format, logs_dir=str(tmp_path))
        assert command.run(config) == 0
    said = capsys.readouterr().out
    runs = sorted(entry.name for entry in tmp_path.iterdir())
    assert runs == ["mobilenet_v1_0.25_128_frozen_graph", "mobilenet_v1_0.25_128_frozen_graph_2"]
    if output_format == "json":
        held, _ = json.JSONDecoder().raw_decode(said)
        assert held["inputs"][0]["resolution"] == "128 x 128"
        assert held["graph_run"] == str(tmp_path / runs[0])
    else:
        assert "  resolution  128 x 128 px, NHWC" in said
        assert "--input_layer=input --output_layer=MobilenetV1/Predictions/Reshape_1" in said
    again = inspect_model(tmp_path)
    assert again.inputs[0].name == "input"
    assert again.inputs[0].shape == (1, 128, 128, 3)
    assert again.backbone.title == "MobileNet 0.25"
    assert again.classes == 1001
    assert "others with one are" in again.warnings[0]


def test_the_run_is_named_after_the_whole_folder(shared_data, tmp_path):
    folder = tmp_path / "model.v1.2"
    write_graph(shared_data / "graphs/mobilenet_v1_0.25_128_frozen.pb", folder)
    assert write_graph(folder, tmp_path / "logs").name == "model.v1.2_graph"


def test_written_graph_opens_in_tensorboard(shared_data, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = write_graph(shared_data / "graphs/mobilenet_v1_0.25_128_frozen.pb", tmp_path)
    events = accumulator.EventAccumulator(str(run))
    events.Reload()
    nodes = {node.name: node for node in events.Graph().node}
    sizes = [dim.size for dim in nodes["input"].attr["shape"].shape.dim]
    assert (nodes["input"].op, sizes) == ("Placeholder", [1, 128, 128, 3])
    assert len(nodes) == 555


def test_script_needs_no_tensorflow_and_explains(shared_data, tmp_path):
    script = Path(__file__).resolve().parent.parent / "tools/inspect_graph.py"
    graph = shared_data / "graphs/mobilenet_v1_1.0_224_retrained.pb"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", script, graph], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "bottleneck    MobilenetV1/Predictions/Reshape, 1,001 values" in done.stdout
    assert " tensorflow\n" not in done.stderr
    missing = tmp_path / "retrained_graf.pb"
    (tmp_path / "retrained_graph.pb").write_bytes(b"x")
    done = subprocess.run([sys.executable, script, missing], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Did you mean retrained_graph.pb?" in done.stderr


@pytest.mark.parametrize("path", ["", None, 3])
def test_what_is_not_a_path_is_refused(path):
    with pytest.raises(UserError, match=r"Expected the path of a model\. Received: "):
        inspect_model(path)


def test_a_report_shows_itself(tmp_path):
    g = GraphBuilder()
    g.add("Placeholder", "x", dtype=FLOAT, shape=[-1, 8, 8, 3])
    report = inspect_model(g.save(tmp_path / "one.pb"))
    assert repr(report) == format_report(report)
