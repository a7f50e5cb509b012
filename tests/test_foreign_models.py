"""Models of Keras 2 and TensorFlow 1: read in Keras 3's words, or refused with a way out."""

import json

import h5py
import keras
import numpy as np
import pytest

from xferlearn.config import ModelConfig
from xferlearn.errors import UserError
from xferlearn.inspection import format_report, inspect_model, modernised
from xferlearn.inspection.proposing import suggested_commands
from xferlearn.inspection.readers.keras_layers import LAYERS
from xferlearn.predictors import open_predictor

pytestmark = pytest.mark.filterwarnings(
    # NumPy's own words when HDF5 or a converter of TensorFlow's looks for its old names.
    "ignore:.*np.object.*:FutureWarning",
)

layers = keras.layers
SIDE = 16
NEITHER = {"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": None}}


def photos():
    """Three photos of different colours."""
    noise = np.random.default_rng(1).integers(0, 40, (3, SIDE, SIDE, 3))
    colours = np.array([(200, 30, 90), (20, 160, 60), (70, 80, 210)])
    return (colours[:, None, None] + noise).astype(np.uint8)


def opened(path, **settings):
    return open_predictor(ModelConfig(model=str(path), **settings))


# --- Keras 2, whose configurations are written here as its files have them


def old_input(name="input_1"):
    settings = {"batch_input_shape": [None, SIDE, SIDE, 3], "dtype": "float32", "sparse": False,
                "ragged": False, "name": name}  # fmt: skip
    return {"class_name": "InputLayer", "config": settings, "name": name, "inbound_nodes": []}


def old_layer(kind, name, source, **settings):
    whole = {"name": name, "trainable": True, "dtype": "float32", **settings}
    nodes = [[[source, 0, 0, {}]]] if isinstance(source, str) else [[source]]
    return {"class_name": kind, "config": whole, "name": name, "inbound_nodes": nodes}


def old_function(function, name, source, **operands):
    kind = "SlicingOpLambda" if "getitem" in function else "TFOpLambda"
    settings = {"name": name, "trainable": True, "dtype": "float32", "function": function}
    call = [*(source if isinstance(source, list) else [source, 0, 0]), operands | {"name": None}]
    return {"class_name": kind, "config": settings, "name": name, "inbound_nodes": [call]}


def old_model(*middle, last, first="input_1"):
    """A functional model: what is in front, then layers whose dropped arguments do nothing."""
    convolution = {"filters": 6, "kernel_size": [3, 3], "activation": "linear", "groups": 1}
    depthwise = {"kernel_size": [3, 3], "depth_multiplier": 1, "groups": 1, "use_bias": True,
                 "depthwise_initializer": NEITHER, "kernel_initializer": NEITHER}  # fmt: skip
    norm = {"axis": [3], "epsilon": 0.001, "fused": True, "renorm": False,
            "virtual_batch_size": None}  # fmt: skip
    listed = [
        old_input(first),
        *middle,
        old_layer("Conv2D", "block/conv", last, **convolution),
        old_layer("DepthwiseConv2D", "dw", "block/conv", **depthwise),
        old_layer("BatchNormalization", "bn", "dw", **norm),
        old_layer("LeakyReLU", "leaky", "bn", alpha=0.2),
        old_layer("GlobalAveragePooling2D", "pool", "leaky", data_format="channels_last"),
        old_layer("Dense", "scores", "pool", units=3, activation="softmax_v2"),
    ]
    config = {"name": "model", "trainable": True, "layers": listed,
              "input_layers": [[first, 0, 0]], "output_layers": [["scores", 0, 0]]}  # fmt: skip
    return {"class_name": "Functional", "config": config}


@pytest.fixture(scope="module")
def twin():
    """The same network in Keras 3, from what stands in front of it on."""
    keras.utils.set_random_seed(3)
    values = keras.Input((SIDE, SIDE, 3))
    x = layers.DepthwiseConv2D(3)(layers.Conv2D(6, 3)(values))
    x = layers.LeakyReLU(negative_slope=0.2)(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(values, layers.Dense(3, activation="softmax")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.9, one.shape) for one in model.get_weights()])
    # Small, so that no kind of front drives the softmax to 0 and 1.
    model.layers[-1].set_weights([rng.normal(0, 0.01, (6, 3)), np.zeros(3)])
    return model


def write_old(path, config, twin, version="2.12.0"):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("absl.logging.warning", lambda *_: None)  # HDF5 is called legacy
        twin.save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = version
    return path


REVERSED = [{"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}]
MEAN = [-103.939, -116.779, -123.68]
FRONTS = {
    "divided, then less": (
        [
            old_function("math.truediv", "tf.math.truediv", "input_1", y=127.5),
            old_function("math.subtract", "tf.math.subtract", "tf.math.truediv", y=1.0),
        ],
        lambda x: x / 127.5 - 1,
    ),
    "as in Caffe": (
        [
            old_function("__operators__.getitem", "flip", "input_1", slice_spec=REVERSED),
            old_function("nn.bias_add", "mean", "flip", bias=MEAN, data_format="NHWC"),
        ],
        lambda x: x[..., ::-1] + np.float32(MEAN),
    ),
    "cast, and a number first": (
        [
            old_function("cast", "tf.cast", "input_1", dtype="float32"),
            old_function("math.multiply", "times", "tf.cast", y=1 / 255),
            old_function("math.subtract", "less", ["_CONSTANT_VALUE", -1, 1.0], y=["times", 0, 0]),
        ],
        lambda x: 1 - x / 255,
    ),
    "operations of TensorFlow 2.0": (
        [
            {
                "class_name": "TensorFlowOpLayer",
                "config": {
                    "name": "div",
                    "node_def": json.dumps({"name": "div", "op": "RealDiv", "input": ["a", "b"]}),
                    "constants": {"1": 255.0},
                },
                "name": "div",
                "inbound_nodes": [[["input_1", 0, 0, {}]]],
            }
        ],
        lambda x: x / 255,
    ),
    "resized": (
        [
            old_function("image.resize", "small", "input_1", size=[SIDE, SIDE]),
            old_layer("Rescaling", "scaled", "small", scale=1 / 255, offset=0.0),
        ],
        lambda x: x / 255,
    ),
}


@pytest.mark.parametrize("front", FRONTS)
def test_files_of_keras_2_give_the_same_numbers(front, twin, tmp_path):
    steps, values = FRONTS[front]
    last = steps[-1]["name"]
    path = write_old(tmp_path / "old.h5", old_model(*steps, last=last), twin)
    report = inspect_model(path)
    one = report.image_input
    assert (one.value_range, one.range_source) == ((0, 255), "layer in the model")
    assert report.outputs[0].name == "scores"
    assert "To label a photo with it:" in format_report(report)
    expected = np.asarray(twin(values(photos().astype(np.float32))))
    np.testing.assert_allclose(opened(path).run(photos()), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3


def test_nested_models_as_teachable_machine_writes_them(twin, tmp_path):
    inner = old_model(last="input_1")
    inner["config"]["layers"][-1:] = []
    inner["config"]["output_layers"] = [["pool", 0, 0]]
    inner["class_name"] = "Model"
    features = {"class_name": "Sequential", "config": {"name": "features", "layers": [inner]}}
    dense = {"name": "dense", "units": 3, "activation": "softmax", "batch_input_shape": [None, 6],
             "dtype": "float32", "kernel_initializer": NEITHER}  # fmt: skip
    head = {"name": "head", "layers": [{"class_name": "Dense", "config": dense}]}
    whole = {"name": "all", "layers": [features, {"class_name": "Sequential", "config": head}]}
    nested = keras.Sequential(
        [
            keras.Sequential([keras.Model(twin.inputs, twin.layers[-2].output)]),
            keras.Sequential([keras.Input((6,)), twin.layers[-1]]),
        ]
    )
    nested(np.zeros((1, SIDE, SIDE, 3), np.float32))
    path = write_old(tmp_path / "keras_model.h5", {"class_name": "Sequential", "config": whole},
                     nested)  # fmt: skip
    assert inspect_model(path).image_input.resolution == f"{SIDE} x {SIDE}"
    expected = np.asarray(twin(photos() / np.float32(127.5) - 1))
    found = opened(path, input_range=(-1, 1))
    np.testing.assert_allclose(found.run(photos()), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            old_function("einsum", "tf.einsum", "input_1", equation="a"),
            r"layer 'tf\.einsum' \(TFOpLambda\) is the operation tf\.einsum of Keras 2; load it"
            r" with the package tf_keras, export it as a SavedModel",
        ),
        (
            old_layer("FixedDropout", "drop", "input_1", rate=0.2),
            r"'drop' \(FixedDropout\) is of a class that Keras 3 does not have; load it with",
        ),
        (
            old_layer("Activation", "gate", "input_1", activation="hard_sigmoid"),
            r"'gate' \(Activation\) has hard_sigmoid, which is another function in Keras 3",
        ),
        (
            old_layer("Mine>Scale", "scale", "input_1"),
            r"'scale' \(Mine>Scale\) is a custom class, and the code that registers it",
        ),
        (
            old_layer("Lambda", "code", "input_1", function=["4wAAAA==", None, None]),
            r"'code' \(Lambda\) holds Python code.*; export it as a SavedModel where it was made",
        ),
    ],
)
def test_what_keras_3_can_not_load_is_refused_with_a_way_out(step, message, twin, tmp_path):
    path = write_old(tmp_path / "old.h5", old_model(step, last=step["name"]), twin)
    with pytest.raises(UserError, match=message) as caught:
        opened(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    report = inspect_model(path)
    assert suggested_commands(report) == []
    assert report.not_loaded in str(caught.value)


def test_arguments_that_do_something_are_not_dropped(twin, tmp_path):
    config = old_model(last="input_1")
    depthwise = next(one for one in config["config"]["layers"] if one["name"] == "dw")
    depthwise["config"]["groups"] = 2
    path = write_old(tmp_path / "old.h5", config, twin)
    with pytest.raises(UserError, match=r"can't load .*DepthwiseConv2D: \{'groups': 2\}") as caught:
        opened(path, input_range=(0, 1))
    assert "config=" not in str(caught.value)


def test_configurations_of_keras_3_stay_as_they_are(tmp_path):
    picture = keras.Input((SIDE, SIDE, 3))
    x = layers.SeparableConv2D(4, 3)(picture[..., ::-1] - 128.0)
    x = layers.Add()([x, layers.Conv2DTranspose(4, 1)(x)])
    x = layers.SpatialDropout2D(0.1)(layers.DepthwiseConv2D(1)(x))
    x = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3)])(x)
    model = keras.Model(picture, x)
    config = json.loads(model.to_json())
    assert modernised(config) == config
    # Its `.h5` files leave out where operations come from.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("absl.logging.warning", lambda *_: None)
        model.save(tmp_path / "m.h5")
    expected = np.asarray(model(photos().astype(np.float32), training=False))
    powers = np.exp(expected - expected.max(1, keepdims=True))
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    found = opened(tmp_path / "m.h5").run(photos())
    np.testing.assert_allclose(found, powers / powers.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("config", [None, 3, [], {}, {"class_name": 3}, {"class_name": "Model"}])
def test_what_is_no_configuration_stays_as_it_is(config):
    assert modernised(config) == config


def test_list_of_layers_is_that_of_keras():
    known = {name for name in dir(layers) if isinstance(getattr(layers, name), type)}
    assert LAYERS - {"Functional", "Model", "Sequential"} <= known
    # A layer that is new in Keras belongs into the list.
    assert known - LAYERS <= {"Layer", "InputSpec"}


# --- SavedModels and graphs


def test_model_that_was_exported_with_its_augmentation_at_work_is_refused(tmp_path):
    picture = keras.Input((SIDE, SIDE, 3), name="picture")
    x = layers.Dropout(0.5)(picture, training=True)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
    x = layers.Dense(3, "softmax")(x)
    keras.Model(picture, x).export(tmp_path / "m", verbose=False)
    with pytest.raises(UserError, match="gives other scores each time, for the same photos"):
        opened(tmp_path / "m", input_range=(0, 1))


@pytest.mark.parametrize(
    ("name", "side"),
    [("mobilenet_v1_1.0_224_retrained", 224), ("mobilenet_v1_0.25_128_frozen", 128)],
)
@pytest.mark.parametrize("stated", ["nothing", "any size"])
def test_size_follows_from_the_last_pooling(name, side, stated, shared_data, tmp_path):
    from tensorboard.compat.proto import graph_pb2

    graph = graph_pb2.GraphDef()
    graph.ParseFromString((shared_data / f"graphs/{name}.pb").read_bytes())
    for node in graph.node:
        node.attr.pop("_output_shapes", None)
        if node.op == "Placeholder":
            node.attr.pop("shape", None)
            for size in (-1, -1, -1, 3) if stated == "any size" else ():
                node.attr["shape"].shape.dim.add().size = size
    path = tmp_path / "g.pb"
    path.write_bytes(graph.SerializeToString())
    one = inspect_model(path).image_input
    assert (one.height, one.width, one.channels) == (side, side, 3)
    assert one.size_detail == "MobilenetV1/Logits/AvgPool_1a/AvgPool needs it"
    assert one.value_range == (-1, 1)
    if side == 128:
        whole = opened(shared_data / f"graphs/{name}.pb")
        pixels = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
        np.testing.assert_allclose(opened(path).run(pixels), whole.run(pixels), atol=1e-5)


def dense_graph(path, units):
    """A graph for any size by its placeholder, whose last layer takes a map of a certain size."""
    import tensorflow as tf

    v1 = tf.compat.v1
    rng = np.random.default_rng(0)

    def weights(*shape):
        return tf.constant(rng.normal(0, 0.3, shape).astype(np.float32))

    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, (None, None, None, 3), name="picture")
        x = tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, 4), 1, "VALID"))
        x = tf.nn.conv2d(x, weights(3, 3, 4, 5), 1, "SAME")
        x = tf.reshape(x, [-1, units])
        tf.nn.softmax(tf.matmul(x, weights(units, 3)), name="final_result")
    path.write_bytes(graph.as_graph_def().SerializeToString())


def test_size_follows_from_a_dense_kernel_or_is_asked_for(tmp_path):
    dense_graph(tmp_path / "g.pb", 10 * 10 * 5)
    one = inspect_model(tmp_path / "g.pb").image_input
    assert one.resolution == "12 x 12"
    assert opened(tmp_path / "g.pb", input_range=(0, 1)).image_size == (12, 12)
    # No square map of five channels has so many values.
    dense_graph(tmp_path / "odd.pb", 10 * 11 * 5)
    assert inspect_model(tmp_path / "odd.pb").image_input.resolution == "any"
    with pytest.raises(UserError, match=r"takes photos of any size\. Give the size that it was"):
        opened(tmp_path / "odd.pb", input_range=(0, 1))
    settings = {"input_range": (0, 1), "input_height": 12, "input_width": 13}
    assert opened(tmp_path / "odd.pb", **settings).image_size == (12, 13)


def test_size_of_a_network_for_any_size_is_not_that_of_its_makers(tmp_path):
    base = keras.applications.MobileNet(
        (None, None, 3), alpha=0.25, include_top=False, weights=None, pooling="avg"
    )
    keras.Model(base.input, layers.Dense(3, "softmax")(base.output)).save(tmp_path / "m.keras")
    with pytest.raises(UserError, match=r"any size.* mobilenet_0\.25 was made for 224 x 224 px"):
        opened(tmp_path / "m.keras")
    assert opened(tmp_path / "m.keras", input_height=64).image_size == (64, 64)


# --- How a model ends, which decides how its answers become scores


def ended(path, end):
    """Saves a model that ends as `end` makes it of eight pooled values; returns it."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, end(pooled))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("absl.logging.warning", lambda *_: None)  # HDF5 is called legacy
        model.save(path)
    return model


def noise():
    return np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def same_at_the_end(x):
    x = layers.Reshape((3, 1))(layers.Dropout(0.1)(x))
    x = keras.ops.cast(layers.Flatten()(x), "float32")
    return layers.Activation("linear", dtype="float32")(x)


def two_ends(x):
    inner = keras.Input((8,))
    return keras.Model(inner, [layers.Dense(3, "softmax")(inner), layers.Dense(4)(inner)])(x)


ENDS = {
    "softmax": (lambda x: same_at_the_end(layers.Dense(3, "softmax")(x)), None),
    "softmax layer": (lambda x: layers.Dense(3, activation=layers.Softmax())(x), None),
    "log_softmax": (lambda x: same_at_the_end(layers.Dense(3, "log_softmax")(x)), np.exp),
    "sigmoid operation": (lambda x: keras.ops.sigmoid(layers.Dense(3)(x)), None),
    "logits": (lambda x: same_at_the_end(layers.Dense(3)(x)), softmax),
    "second of two": (lambda x: two_ends(x)[1], softmax),
    "second of two, behind a layer": (lambda x: layers.Flatten()(two_ends(x)[1]), softmax),
    "first of two, behind a layer": (lambda x: layers.Flatten()(two_ends(x)[0]), None),
}


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("end", ENDS)
def test_the_layer_that_decides_is_found_behind_others(tmp_path, end, suffix):
    make, step = ENDS[end]
    path = tmp_path / f"m.{suffix}"
    values = np.asarray(ended(path, make)(noise().astype(np.float32)))
    labels = tmp_path / "names.txt"
    labels.write_text("abcd"[: values.shape[1]].replace("", "\n").strip() + "\n")
    expected = values if step is None else step(values)
    found = opened(path, labels=str(labels)).run(noise())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if step is not softmax:
        np.testing.assert_allclose(opened(path).run(noise()), expected, atol=1e-5)


def test_values_that_may_be_scores_are_not_guessed_at(tmp_path):
    """Values from 0 to 1 that no softmax or sigmoid made."""
    ended(tmp_path / "m.keras", lambda x: keras.ops.clip(layers.Dense(3)(x), 0, 0.1))
    with pytest.raises(UserError, match=r"don't sum to 1.*export the model with a softmax or"):
        opened(tmp_path / "m.keras")


def test_one_sigmoid_operation_labels_as_inspect_proposes(tmp_path):
    path = tmp_path / "m.keras"
    model = ended(path, lambda x: keras.ops.sigmoid(layers.Dense(1)(x)))
    assert suggested_commands(inspect_model(path))[0] == f"xferlearn label --model={path} PHOTO"
    share = np.asarray(model(noise().astype(np.float32)))
    np.testing.assert_allclose(opened(path).run(noise()), np.hstack([1 - share, share]), atol=1e-5)


def test_nested_normalization_of_h5_computes_with_what_it_learnt(tmp_path):
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(0).normal(40, 9, (20, 8)))
    inner = keras.Sequential([keras.Input((8,)), norm])
    model = ended(tmp_path / "m.h5", lambda x: layers.Dense(3, "softmax")(inner(x)))
    expected = np.asarray(model(noise().astype(np.float32)))
    np.testing.assert_allclose(opened(tmp_path / "m.h5").run(noise()), expected, atol=1e-5)
