"""Foreign models as predictors: what is fed, what is read, which labels, and what is refused."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from xferlearn.config import ModelConfig
from xferlearn.errors import UserError
from xferlearn.inspection import format_report, inspect_model
from xferlearn.labelling import load_classifier
from xferlearn.predictors import open_predictor
from xferlearn.predictors.feeding import Feed

pytestmark = pytest.mark.filterwarnings(
    # NumPy's own words when HDF5 or a converter of TensorFlow's looks for its old names.
    "ignore:.*np.object.*:FutureWarning",
)

SIDE = 16


def opened(model, **settings):
    return open_predictor(ModelConfig(model=str(model), **settings))


def opened_unit(model, **settings):
    """The predictor of a model that takes [0, 1], and whose file does not state it."""
    return opened(model, input_range=(0, 1), **settings)


def listed(path, names="abcd"):
    """A file of labels, which says that a row of values is scores."""
    path.write_text("".join(f"{name}\n" for name in names))
    return str(path)


def pixels(count=5, side=SIDE):
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), np.uint8)


def softmax(values):
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


# --- What an input is fed


def feed(**changes):
    settings = {
        "tensor": "x", "name": "x", "height": 2, "width": 2, "channels": 3, "batch": None,
        "dtype": "float32", "layout": "NHWC", "bgr": False, "mean": (0.0,), "std": (1.0,),
    }  # fmt: skip
    return Feed(**{**settings, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (10, 20, 250)),
        ({"mean": (127.5,), "std": (127.5,)}, (-117.5 / 127.5, -107.5 / 127.5, 122.5 / 127.5)),
        ({"mean": (10, 0, 50), "std": (1, 2, 100)}, (0, 10, 2)),
        ({"mean": (10, 0, 50), "std": (1, 2, 100), "bgr": True}, (2, 10, 0)),
        ({"dtype": "uint8"}, (10, 20, 250)),
        ({"dtype": "int8", "mean": (128,)}, (-118, -108, 122)),
        ({"dtype": "int16", "std": (255,), "quantization": (1 / 1000, 5)}, (44, 83, 985)),
        ({"dtype": "float16", "std": (2,)}, (5, 10, 125)),
    ],
)
def test_values(changes, expected):
    photo = np.full((1, 2, 2, 3), (10, 20, 250), np.uint8)
    values = feed(**changes).values(photo)
    assert values.dtype == changes.get("dtype", "float32")
    np.testing.assert_allclose(values[0, 1, 1], expected, rtol=1e-6)


def test_values_of_other_layouts():
    photo = pixels(3, 2)
    planes = feed(layout="NCHW").values(photo)
    np.testing.assert_array_equal(planes, photo.transpose(0, 3, 1, 2))
    assert feed(layout="NCHW", batch=4).shape == (4, 3, 2, 2)
    gray = feed(channels=1).values(np.full((1, 2, 2, 3), (100, 50, 200), np.uint8))
    assert gray.shape == (1, 2, 2, 1)
    assert gray[0, 0, 0, 0] == pytest.approx(29.9 + 0.587 * 50 + 0.114 * 200, abs=1e-3)


def test_fixed_batches_are_filled_and_cut():
    calls = []

    def run(values):
        calls.append(values.shape[0])
        return values.mean((1, 2, 3))[:, None], values.max((1, 2, 3))

    photos = pixels(7, 2)
    answers, largest = feed(batch=3).batched(run)(photos)
    assert calls == [3, 3, 3]
    np.testing.assert_allclose(answers[:, 0], photos.mean((1, 2, 3)), rtol=1e-5)
    np.testing.assert_array_equal(largest, photos.max((1, 2, 3)))


# --- TF1 graphs


def inception_like(path, *, batch=1, jpeg=True, other=False):
    """A small graph built as the lab's Inception of 2015 is; returns it with modern operations."""
    import tensorflow as tf

    v1 = tf.compat.v1
    rng = np.random.default_rng(0)

    def const(shape, name):
        return tf.constant(rng.normal(0, 0.5, shape).astype(np.float32), name=name)

    with tf.Graph().as_default() as graph:
        if jpeg:
            data = tf.constant(b"jpeg", name="DecodeJpeg/contents")
            image = tf.cast(tf.io.decode_jpeg(data, channels=3, name="DecodeJpeg"), tf.float32)
            image = tf.expand_dims(image, 0, name="ExpandDims")
            image = v1.image.resize_bilinear(image, [SIDE, SIDE], name="ResizeBilinear")
            x = tf.multiply(tf.subtract(image, 128.0, name="Sub"), 1 / 128, name="Mul")
        else:
            x = v1.placeholder(tf.float32, (batch, SIDE, SIDE, 3), name="Mul")
        x = tf.nn.conv2d(x, const((3, 3, 3, 4), "kernel"), 2, "SAME", name="conv")
        variance = tf.constant([0.5, 1.0, 2.0, 3.0], name="variance")
        x = tf.raw_ops.FusedBatchNorm(
            x=x, scale=const((4,), "gamma"), offset=const((4,), "beta"),
            mean=const((4,), "mean"), variance=variance, epsilon=0.001, is_training=False,
            name="batchnorm",
        ).y  # fmt: skip
        x = tf.nn.relu(x, name="relu")
        x = tf.nn.avg_pool2d(x, SIDE // 2, 1, "VALID", name="pool_3")
        x = tf.reshape(x, [1, 4] if jpeg or batch == 1 else [-1, 4], name="pool_3/_reshape")
        if other:
            x = x * v1.placeholder(tf.float32, [], name="keep_prob")
        x = tf.matmul(x, const((4, 3), "weights"), name="MatMul")
        tf.nn.softmax(tf.add(x, const((3,), "biases"), name="add"), name="final_result")
    modern = graph.as_graph_def()
    old = v1.GraphDef()
    old.CopyFrom(modern)
    old.versions.producer = 8
    for node in old.node:
        node.device = "/device:GPU:7"
        if node.op == "FusedBatchNorm":
            values, gamma, beta, mean, variance = node.input
            node.op = "BatchNormWithGlobalNormalization"
            node.input[:] = [values, mean, variance, beta, gamma]
            node.attr.clear()
            node.attr["T"].type = tf.float32.as_datatype_enum
            node.attr["variance_epsilon"].f = 0.001
            node.attr["scale_after_normalization"].b = True
    path.write_bytes(old.SerializeToString())
    return modern


def modern_scores(graph, photos):
    import tensorflow as tf

    def one(image):
        return tf.graph_util.import_graph_def(
            graph, {"Mul:0": image}, ["final_result:0"], name="modern"
        )[0]

    values = (photos.astype(np.float32) - 128) / 128
    run = tf.function(one, autograph=False)
    return np.concatenate([run(tf.constant(values[i : i + 1])) for i in range(len(photos))])


@pytest.mark.parametrize("jpeg", [True, False])
def test_inception_of_the_lab(tmp_path, jpeg):
    path = tmp_path / "retrained_graph.pb"
    modern = inception_like(path, jpeg=jpeg)
    (tmp_path / "retrained_labels.txt").write_text("daisy\nroses\ntulips\n\n")
    settings = {} if jpeg else {"input_mean": 128.0, "input_std": 128.0}
    predictor = opened(path, **settings)
    assert predictor.labels == ("daisy", "roses", "tulips")
    assert (predictor.image_size, predictor.resize) == ((SIDE, SIDE), "squash")
    assert "squashed to the model's size, as the lab's tools did" in " ".join(predictor.warnings)
    photos = pixels()
    np.testing.assert_allclose(predictor.run(photos), modern_scores(modern, photos), atol=1e-5)
    assert opened(path, resize="crop", **settings).resize == "crop"


def test_graph_for_one_photo_takes_batches(tmp_path, monkeypatch):
    from xferlearn.predictors import frozen_graph

    inception_like(tmp_path / "g.pb")
    sizes = []
    values = Feed.values
    monkeypatch.setattr(Feed, "values", lambda self, p: (sizes.append(len(p)), values(self, p))[1])
    predictor = opened(tmp_path / "g.pb")
    sizes.clear()
    whole = predictor.run(pixels(32))
    assert sizes == [32]
    monkeypatch.setattr(frozen_graph, "_agree", lambda *_: False)
    one_by_one = opened(tmp_path / "g.pb")
    sizes.clear()
    np.testing.assert_allclose(one_by_one.run(pixels(32)), whole, atol=1e-5)
    assert sizes == [1] * 32


def test_operations_inside_of_a_graph_can_be_fed_and_read(tmp_path):
    path = tmp_path / "g.pb"
    modern = inception_like(path)
    photos = pixels()
    known = {"input_mean": 0.0, "input_std": 1.0}
    raw = opened(path, input_layer="import/ResizeBilinear", output_layer="final_result:0", **known)
    np.testing.assert_allclose(raw.run(photos), modern_scores(modern, photos), atol=1e-5)
    with pytest.raises(UserError, match=r"it may give an embedding.*`labels=FILE` with"):
        opened(path, output_layer="add")
    count = modern_scores(modern, photos).shape[1]
    labels = listed(tmp_path / "mine.txt", range(count))
    logits = opened(path, output_layer="add", labels=labels)
    np.testing.assert_allclose(logits.run(photos), modern_scores(modern, photos), atol=1e-5)
    assert "ends before its softmax, at 'add'" in " ".join(logits.warnings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_layer": "27"}, f"no operation 27; its input is 'Mul', float32, {SIDE} x {SIDE}"),
        ({"input_layer": "mull"}, r"'Mul', .* Did you mean 'Mul'"),
        ({"input_layer": "weights"}, "this is a constant; its input is 'Mul'"),
        ({"input_layer": "DecodeJpeg/contents"}, r"encoded photos.* 'Mul' takes pixels"),
        (
            {"input_layer": "MatMul", "input_range": (0, 1)},
            "one score per class from output 'final_result'",
        ),
        ({"output_layer": "finalresult"}, "no operation finalresult.* Did you mean 'final_result'"),
        ({"output_layer": "conv"}, r"one score per class from output 'conv'. Its shape is \[any"),
        ({"output_layer": "Sub"}, "'Sub:0' does not depend on the input 'Mul:0'"),
        ({"input_height": 224}, f"`input_height=224`, but 'Mul' of .* is {SIDE} x {SIDE} px"),
        ({"input_mean": 0.0}, r"\(pixel - 0\) / 128, but 'Mul' of .* takes \(pixel - 128\) / 128"),
    ],
)
def test_what_contradicts_a_graph_is_named(tmp_path, settings, message):
    inception_like(tmp_path / "g.pb")
    with pytest.raises(UserError, match=message) as caught:
        opened(tmp_path / "g.pb", **settings)
    assert "\n" not in str(caught.value)


def test_graphs_that_cannot_be_run(tmp_path):
    import tensorflow as tf

    inception_like(tmp_path / "other.pb", other=True)
    with pytest.raises(UserError, match="needs values for 'keep_prob' besides the photos"):
        opened(tmp_path / "other.pb")
    graph = inception_like(tmp_path / "g.pb")
    next(node for node in graph.node if node.name == "relu").op = "NoSuchOperation"
    assert isinstance(graph, tf.compat.v1.GraphDef)
    (tmp_path / "strange.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(UserError, match=r"can't import .*NoSuchOperation") as caught:
        opened(tmp_path / "strange.pb")
    assert "\n" not in str(caught.value)


def test_plain_mobilenet_of_the_lab(shared_data):
    path = shared_data / "graphs/mobilenet_v1_0.25_128_frozen.pb"
    predictor = opened(path)
    assert len(predictor.labels) == 1001
    assert predictor.labels[0] == "#0 background"
    assert predictor.labels[986] == "#986 n11939491 daisy"
    assert (predictor.image_size, predictor.resize) == ((128, 128), "squash")
    assert any("ImageNet's were assumed, #0 being the background" in n for n in predictor.warnings)
    other = opened(path, input_mean=0.0, input_std=255.0)
    warning = r"(pixel - 0) / 255 is fed, as asked for; expected was (pixel - 127.5) / 127.5"
    assert warning in other.warnings[0]
    photos = pixels(3, 128)
    assert not np.allclose(other.run(photos), predictor.run(photos), atol=1e-3)
    lab = opened(path, input_mean=128.0, input_std=128.0)
    assert not any("asked for" in warning for warning in lab.warnings)


# --- Keras files


def small_keras(path, *, inputs=(SIDE, SIDE, 3), units=4, activation=None, middle=None, outputs=1):
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input(inputs, name="picture")
    x = keras.layers.Conv2D(4, 3, name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if middle is not None:
        x = middle(x)
    ends = [
        keras.layers.Dense(units, activation=activation, name=f"end_{index}")(x)
        for index in range(outputs)
    ]
    model = keras.Model(image, ends[0] if outputs == 1 else ends)
    if path is not None:
        model.save(path)
    return model


def test_values_that_a_file_does_not_tell_are_asked_for(tmp_path):
    model = small_keras(tmp_path / "m.keras", inputs=(None, None, 3))
    listed(tmp_path / "labels.txt")
    with pytest.raises(UserError, match=r"takes photos of any size\. Give .* `input_height`"):
        opened(tmp_path / "m.keras")
    with pytest.raises(UserError, match=r"which values 'picture' takes.* `input_range=\(0, 255\)`"):
        opened(tmp_path / "m.keras", input_width=20)
    (tmp_path / "labels.txt").unlink()
    with pytest.raises(UserError, match=r"without a softmax.*`labels=FILE` with 4 lines"):
        opened_unit(tmp_path / "m.keras", input_width=20)
    listed(tmp_path / "labels.txt")
    predictor = opened(tmp_path / "m.keras", input_width=20, input_range=(0, 1))
    assert predictor.image_size == (20, 20)
    photos = pixels(3, 20)
    expected = softmax(np.asarray(model(photos / np.float32(255))))
    np.testing.assert_allclose(predictor.run(photos), expected, atol=1e-5)
    warnings = " ".join(predictor.warnings)
    assert "ends before its softmax, at 'end_0'" in warnings
    given = opened(tmp_path / "m.keras", input_mean=0.0, input_std=1.0, input_height=20)
    expected = softmax(np.asarray(model(photos.astype(np.float32))))
    np.testing.assert_allclose(given.run(photos), expected, atol=1e-4)


def test_file_is_told_by_its_content(tmp_path):
    small_keras(tmp_path / "m.keras", activation="softmax")
    (tmp_path / "m.jpg").write_bytes((tmp_path / "m.keras").read_bytes())
    same = [opened_unit(tmp_path / name).run(pixels()) for name in ("m.keras", "m.jpg")]
    np.testing.assert_array_equal(*same)


def test_one_score_is_that_of_the_second_class(tmp_path):
    model = small_keras(tmp_path / "m.keras", units=1, activation="sigmoid")
    (tmp_path / "labels.txt").write_text("cats\ndogs\n")
    predictor = opened_unit(tmp_path / "m.keras")
    share = np.asarray(model(pixels() / np.float32(255)))
    np.testing.assert_allclose(predictor.run(pixels()), np.hstack([1 - share, share]), atol=1e-5)
    assert predictor.labels == ("cats", "dogs")
    small_keras(tmp_path / "logit.keras", units=1)
    same = opened_unit(tmp_path / "logit.keras").run(pixels())
    np.testing.assert_allclose(same, predictor.run(pixels()), atol=1e-5)


def test_scores_of_their_own_are_left_alone(tmp_path):
    model = small_keras(tmp_path / "m.keras", activation="sigmoid")
    predictor = opened_unit(tmp_path / "m.keras")
    np.testing.assert_allclose(
        predictor.run(pixels()), np.asarray(model(pixels() / np.float32(255))), atol=1e-5
    )
    assert "#0 to #3 count the outputs" in " ".join(predictor.warnings)
    assert "`label_threshold=0.5` gives all labels" in " ".join(predictor.warnings)
    assert predictor.metadata == {}


def test_several_outputs(tmp_path):
    model = small_keras(tmp_path / "m.keras", activation="softmax", outputs=2)
    first, second = (np.asarray(end) for end in model(pixels() / np.float32(255)))
    predictor = opened_unit(tmp_path / "m.keras")
    assert "the first of the outputs 'end_0', 'end_1' is read" in predictor.warnings[0]
    np.testing.assert_allclose(predictor.run(pixels()), first, atol=1e-5)
    other = opened_unit(tmp_path / "m.keras", output_layer="end_1")
    np.testing.assert_allclose(other.run(pixels()), second, atol=1e-5)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(
    "outputs",
    [
        {"kind": "a", "age": "b"},
        {"b": "a", "a": "b"},
        {"z": {"kind": "a", "age": "b"}, "y": "c"},
        {"many": ["c", "a"], "few": "b"},
        ["a", "a", "b"],
        ["c", ["a", "b"]],
    ],
)
def test_outputs_are_read_by_name_whatever_their_structure(tmp_path, outputs, suffix):
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3), name="picture")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    ends = {
        name: keras.layers.Dense(units, "softmax", name=name)(pooled)
        for name, units in (("a", 3), ("b", 4), ("c", 5))
    }
    file = tmp_path / f"m.{suffix}"
    model = keras.Model(image, keras.tree.map_structure(ends.get, outputs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("absl.logging.warning", lambda *_: None)  # HDF5 is called legacy
        model.save(file)
    report = inspect_model(file)
    asked = {one.tensor_name: one.name for one in report.outputs}
    assert set(asked) == set(keras.tree.flatten(outputs))
    if outputs == {"b": "a", "a": "b"}:
        # What a caller reads as "a" is layer "b": the key counts.
        assert asked == {"a": "b", "b": "a"}
    for layer, name in asked.items():
        expected = keras.Model(image, ends[layer])(pixels() / np.float32(255))
        found = opened_unit(file, output_layer=name)
        np.testing.assert_allclose(found.run(pixels()), np.asarray(expected), atol=1e-5)


def without_weights(path):
    """Copies of a model: saved before it was built, without the file of weights, with it empty."""
    import h5py
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [layers.Conv2D(8, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    )
    with pytest.warns(UserWarning, match="not yet been built"):
        model.save(path / "unbuilt.keras")
    small_keras(path / "m.keras")
    empty = io.BytesIO()
    h5py.File(empty, "w").close()
    with zipfile.ZipFile(path / "m.keras") as source:
        members = {name: source.read(name) for name in source.namelist()}
    for name, weights in (("removed.keras", None), ("empty.keras", empty.getvalue())):
        with zipfile.ZipFile(path / name, "w") as target:
            for member, data in members.items():
                data = weights if member == "model.weights.h5" else data
                if data is not None:
                    target.writestr(member, data)


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")  # Keras, of empty.keras
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unbuilt.keras", "holds a model without its weights, e.g. because it was saved before"),
        ("removed.keras", "holds a model without its weights"),
        ("empty.keras", "holds a model without its weights"),
    ],
)
def test_keras_files_without_weights_are_refused(tmp_path, name, message):
    without_weights(tmp_path)
    report = inspect_model(tmp_path / name)
    assert report.parameters == 0
    assert any("holds no weights" in warning for warning in report.warnings)
    assert "To label a photo" not in format_report(report)
    with pytest.raises(UserError, match=message) as caught:
        opened(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_model_that_was_built_by_a_call_has_its_weights(tmp_path):
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [layers.Conv2D(8, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    )
    expected = softmax(np.asarray(model(pixels() / np.float32(255))))
    model.save(tmp_path / "m.keras")
    listed(tmp_path / "labels.txt", "abc")
    found = opened_unit(tmp_path / "m.keras", input_width=SIDE, input_height=SIDE).run(pixels())
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_outputs_of_text(tmp_path):
    import tensorflow as tf

    model = small_keras(None, activation="softmax")

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, "image")])
    def call(image):
        scores = model(image)
        return {"a_names": tf.gather(list("wxyz"), tf.argmax(scores, 1)), "scores": scores}

    module = tf.Module()
    module.model = model
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"serving_default": call})
    (tmp_path / "m/metadata.json").write_text('{"title": "of somebody else"}')
    assert opened_unit(tmp_path / "m").run(pixels()).shape == (5, 4)
    with pytest.raises(UserError, match=r"'a_names' is text\. Choose 'scores' with `output_layer`"):
        opened_unit(tmp_path / "m", output_layer="a_names")
    classifier = load_classifier(tmp_path / "m", input_range=(0, 1))
    assert (len(classifier.labels), classifier.metadata) == (4, {})


def test_models_that_take_no_pixels_are_refused(tmp_path):
    import keras

    keras.Sequential([keras.Input((4,), name="age"), keras.layers.Dense(2)]).save(
        tmp_path / "m.keras"
    )
    with pytest.raises(
        UserError, match=r"no input that takes pixels\. Its input is 'age', float32"
    ):
        opened(tmp_path / "m.keras")


def test_several_inputs_are_refused(tmp_path):
    import keras

    image, age = keras.Input((SIDE, SIDE, 3), name="image"), keras.Input((4,), name="age")
    x = keras.layers.GlobalAveragePooling2D()(image)
    x = keras.layers.Dense(2, activation="softmax")(keras.layers.Concatenate()([x, age]))
    keras.Model([image, age], x).save(tmp_path / "m.keras")
    with pytest.raises(UserError, match=r"takes 2 inputs \('image', 'age'\), and only photos"):
        opened(tmp_path / "m.keras")


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "folder"])
def test_code_in_keras_files_is_refused(tmp_path, name):
    import keras

    path = tmp_path / name
    if name == "folder":
        path.mkdir()
        (path / "metadata.json").write_text(
            '{"format_version": 1, "labels": ["a", "b"], "input": {"height": 16, "width": 16}}'
        )
    code = keras.layers.Lambda(lambda x: x * 2, name="evil", output_shape=lambda shape: shape)
    small_keras(path / "model.keras" if name == "folder" else path, middle=code)
    with pytest.raises(UserError, match=r"not loaded: its layer 'evil' \(Lambda\) holds Python"):
        opened(path)


def test_classes_from_elsewhere_are_refused(tmp_path):
    """The configuration is read before Keras imports what it names."""
    small_keras(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as source:
        members = {name: source.read(name) for name in source.namelist()}
    config = members["config.json"].replace(
        b'"module": "keras.layers", "class_name": "GlobalAveragePooling2D"',
        b'"module": "os.path", "class_name": "join"',
    )
    assert config != members["config.json"]
    with zipfile.ZipFile(tmp_path / "evil.keras", "w") as target:
        for name, data in {**members, "config.json": config}.items():
            target.writestr(name, data)
    with pytest.raises(UserError, match=r"os.path.join\) is a class from outside Keras"):
        opened(tmp_path / "evil.keras")


def test_files_that_hold_no_model_to_run(tmp_path):
    small_keras(None).save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(UserError, match="holds weights without a network"):
        opened_unit(tmp_path / "m.weights.h5")
    with pytest.raises(UserError, match=r"There is no .*nothing\.pb"):
        opened_unit(tmp_path / "nothing.pb")
    small_keras(None).export(tmp_path / "saved", verbose=False)
    (tmp_path / "saved/variables/variables.index").unlink()
    with pytest.raises(UserError, match="can't load the SavedModel") as caught:
        opened_unit(tmp_path / "saved")
    assert "\n" not in str(caught.value)


# --- TFLite and ONNX


def test_quantised_tflite(tmp_path):
    import tensorflow as tf

    model = small_keras(None, activation="softmax")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    samples = pixels(64) / np.float32(255)
    converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        (tmp_path / "m.tflite").write_bytes(converter.convert())
    predictor = opened(tmp_path / "m.tflite")
    assert "does not state which values" not in " ".join(predictor.warnings)
    scores = predictor.run(pixels(33))
    np.testing.assert_allclose(scores, np.asarray(model(pixels(33) / np.float32(255))), atol=0.03)
    with pytest.raises(UserError, match=r"the 8 bits of .* stand for 0 to (1|0\.99)"):
        opened(tmp_path / "m.tflite", input_mean=127.5, input_std=127.5)


def tflite_with(labels):
    """A TFLite file of four classes with a label file behind it, as TFLite's tools put it."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(small_keras(None, activation="softmax"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        buffer = io.BytesIO(converter.convert())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", labels)
    return bytearray(buffer.getvalue())


def test_labels_inside_of_tflite(tmp_path):
    data = tflite_with("a\nb\nc\nd\n")
    (tmp_path / "m.tflite").write_bytes(data)
    (tmp_path / "labels.txt").write_text("w\nx\ny\nz\n")
    (tmp_path / "given.txt").write_text("p\nq\nr\ns\n")
    assert opened_unit(tmp_path / "m.tflite").labels == ("a", "b", "c", "d")
    given = opened_unit(tmp_path / "m.tflite", labels=str(tmp_path / "given.txt"))
    assert given.labels == ("p", "q", "r", "s")
    member, listed = data.rfind(b"PK\x03\x04"), data.rfind(b"PK\x01\x02")
    encrypted, broken = bytearray(data), bytearray(data)
    encrypted[member + 6] |= 1
    encrypted[listed + 8] |= 1
    broken[member + 40] ^= 0xFF
    for damaged in (encrypted, broken):
        (tmp_path / "m.tflite").write_bytes(damaged)
        assert opened_unit(tmp_path / "m.tflite").labels == ("w", "x", "y", "z")


def onnx_model(path, *, batch=1, last="Gemm"):
    """PyTorch's way: channels first, one photo a call, logits at the end."""
    import onnx
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(0)
    kernel, weights = (rng.normal(0, 0.3, s).astype(np.float32) for s in ((4, 3, 3, 3), (4, 3)))
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["conv"]),
        helper.make_node("GlobalAveragePool", ["conv"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["shares"]),
    ]
    end = "logits" if last == "Gemm" else "shares"
    graph = helper.make_graph(
        nodes[: 4 if last == "Gemm" else 5],
        "net",
        [helper.make_tensor_value_info("image", 1, [batch, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(end, 1, [batch, 3])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(weights, "weights")],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)

    def scores(photos):
        std = 255 * np.array([0.229, 0.224, 0.225])
        x = (photos - 255 * np.array([0.485, 0.456, 0.406])) / std
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
        pooled = np.einsum("byxcij,ocij->bo", windows, kernel) / (SIDE - 2) ** 2
        return softmax(pooled @ weights)

    return scores


@pytest.mark.parametrize("last", ["Gemm", "LogSoftmax"])
@pytest.mark.parametrize("batch", [1, "N"])
def test_onnx_of_pytorch(tmp_path, batch, last):
    scores = onnx_model(tmp_path / "m.onnx", batch=batch, last=last)
    listed(tmp_path / "m.txt", "abc")
    with pytest.raises(UserError, match=r"mean and std of PyTorch's models: 123\.675,116\.28"):
        opened(tmp_path / "m.onnx")
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    predictor = opened(tmp_path / "m.onnx", input_mean=mean, input_std=std)
    np.testing.assert_allclose(predictor.run(pixels()), scores(pixels()), atol=1e-4)
    warnings = " ".join(predictor.warnings)
    assert ("ends before its softmax" in warnings) == (last == "Gemm")


@pytest.mark.parametrize(
    ("package", "extra"), [("onnxruntime", "onnx"), ("ai_edge_litert.interpreter", "tflite")]
)
def test_missing_packages_are_named(tmp_path, monkeypatch, package, extra):
    if extra == "onnx":
        onnx_model(tmp_path / "m.onnx")
    else:
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_keras_model(small_keras(None))
        (tmp_path / "m.tflite").write_bytes(converter.convert())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf'pip install "xferlearn\[{extra}\]"'):
        opened_unit(next(tmp_path.iterdir()))


# --- Labels


@pytest.fixture(scope="module")
def four_classes(tmp_path_factory):
    path = tmp_path_factory.mktemp("four") / "m.onnx"
    import onnx
    from onnx import helper

    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["shares"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", 1, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("shares", 1, ["N", 3])],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("files", "given", "expected"),
    [
        ({"labels.txt": b"a\nb\nc"}, None, ("a", "b", "c")),
        ({"retrained_labels.txt": b"r\ns\nt\n", "labels.txt": b"a\n"}, None, ("r", "s", "t")),
        ({"output_labels.txt": b"\xef\xbb\xbfa b\r\nc\r\nd\r\n\r\n"}, None, ("a b", "c", "d")),
        ({"labels.txt": b"a\n", "mine.txt": b"x\ny\nz\n"}, "mine.txt", ("x", "y", "z")),
        ({"labels.txt": b"\x1b[31ma\nb\nc\n"}, None, ("\x1b[31ma", "b", "c")),
        ({}, None, ("#0", "#1", "#2")),
    ],
)
def test_labels(four_classes, tmp_path, files, given, expected):
    (tmp_path / "m.onnx").write_bytes(four_classes)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    labels = str(tmp_path / given) if given else None
    assert opened_unit(tmp_path / "m.onnx", labels=labels).labels == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\nb\n", r"labels.txt has 2 labels, but .*m.onnx gives 3 scores"),
        (b"\xff\xfe", "labels.txt to be text in UTF-8"),
        (b"\n\n", r"labels.txt to hold labels, one per line\. It is empty"),
    ],
)
def test_labels_that_do_not_fit(four_classes, tmp_path, data, message):
    (tmp_path / "m.onnx").write_bytes(four_classes)
    (tmp_path / "labels.txt").write_bytes(data)
    with pytest.raises(UserError, match=message):
        opened_unit(tmp_path / "m.onnx")
    with pytest.raises(UserError, match=r"none.txt can't be read: No such file"):
        opened_unit(tmp_path / "m.onnx", labels=str(tmp_path / "none.txt"))


# --- Imports


def test_settings_and_inspection_come_before_tensorflow():
    """A wrong path is answered without the seconds that TensorFlow takes to start."""
    code = (
        "import sys\n"
        "from xferlearn.cli import main\n"
        "assert main(['label', '--model=/nowhere/m.pb', 'x.jpg']) == 2\n"
        "print('tensorflow' in sys.modules)"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout.split() == ["False"], done.stderr
