"""Which values a model is fed: found in its layers, or asked for, never guessed.

Each kind is a small network on known arithmetic. What label answers is compared with the network
itself on pixels that were prepared by hand.
"""

import shlex

import numpy as np
import pytest
from PIL import Image

import xferlearn
from xferlearn.cli import main
from xferlearn.config import ModelConfig
from xferlearn.errors import UserError
from xferlearn.inspection import inspect_model
from xferlearn.inspection.arithmetic import raw_range
from xferlearn.inspection.layers import Affine
from xferlearn.inspection.proposing import suggested_commands
from xferlearn.predictors import open_predictor

pytestmark = pytest.mark.filterwarnings(
    # NumPy's own words when HDF5 or a converter of TensorFlow's looks for its old names.
    "ignore:.*np.object.*:FutureWarning",
)

SIDE = 32
PIXELS, UNIT, SIGNED = (0, 255), (0, 1), (-1, 1)


def photos(count=4, side=SIDE):
    return np.random.default_rng(3).integers(0, 256, (count, side, side, 3), np.uint8)


def as_range(span):
    low, high = span
    return lambda pixels: low + pixels / np.float32(255) * (high - low)


def gray(pixels):
    return (pixels @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]


def network(front, shape=(SIDE, SIDE, 3), dtype="float32"):
    """A model that ends in three classes; `front` is what it does with its input first."""
    import keras

    keras.utils.set_random_seed(5)
    picture = keras.Input(shape, name="picture", dtype=dtype)
    x = keras.layers.Conv2D(6, 3, name="conv")(front(picture))
    x = keras.layers.GlobalAveragePooling2D()(x)
    # Not symmetric in the colours, and of few enough digits to tell ranges apart.
    return keras.Model(picture, keras.layers.Dense(3, activation="softmax")(x))


def adapted(span, *, before=None):
    """A Normalization that has seen photos in a range."""
    import keras

    def front(x):
        layer = keras.layers.Normalization()
        seen = as_range(span)(photos(16))
        layer.adapt(seen if before is None else before(seen))
        return layer(x if before is None else before(x))

    return front


def divided(x):
    import keras

    return keras.layers.Rescaling(1 / 255)(x)


def augmented(x):
    import keras

    layers = keras.layers
    chain = [layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomContrast(0.1)]
    return layers.Rescaling(1 / 127.5, -1)(keras.Sequential(chain)(x))


def backbone(front):
    """A network of Keras Applications behind `front`; its statistics fit the photos."""
    import keras

    keras.utils.set_random_seed(5)
    base = keras.applications.MobileNet(
        (SIDE, SIDE, 3), alpha=0.25, include_top=False, weights=None, pooling="avg"
    )
    picture = keras.Input((SIDE, SIDE, 3), name="picture")
    x = base(front(picture), training=False)
    return keras.Model(picture, keras.layers.Dense(3, activation="softmax")(x))


# What each kind is built of, and the range that it takes by its construction.
FOUND = {
    "divided by 255": (divided, PIXELS),
    "to [-1, 1] by operations": (lambda x: x / 127.5 - 1.0, PIXELS),
    "a negative": (lambda x: 1.0 - x / 255.0, PIXELS),
    "mean of a channel": (lambda x: x - np.array([123.7, 116.8, 103.9], "float32"), PIXELS),
    "reversed as in Caffe": (lambda x: x[..., ::-1] - np.float32([103.9, 116.8, 123.7]), PIXELS),
    "reversed, one number": (lambda x: x[..., ::-1] - 128.0, PIXELS),
    "augmented": (augmented, PIXELS),
    "adapted to pixels": (adapted(PIXELS), PIXELS),
    "adapted to [0, 1]": (adapted(UNIT), UNIT),
    "adapted to [-1, 1]": (adapted(SIGNED), SIGNED),
    "divided, then adapted": (adapted(PIXELS, before=divided), PIXELS),
    "from [0, 1] to [-1, 1]": (lambda x: x * 2.0 - 1.0, UNIT),
    "from [0, 1] to pixels": (lambda x: x * 255.0, UNIT),
    "from [-1, 1] to pixels": (lambda x: (x + 1.0) * 127.5, SIGNED),
    "from [-1, 1] to [0, 1]": (lambda x: (x + 1.0) / 2.0, SIGNED),
}
ASKED = {
    "nothing": (lambda x: x, UNIT),
    "doubled": (lambda x: x * 2.0, SIGNED),
    "a number that fits no range": (lambda x: x * 40.0 - 3.0, UNIT),
}


def opened(model, **settings):
    return open_predictor(ModelConfig(model=str(model), **settings))


@pytest.mark.parametrize("kind", FOUND)
def test_range_is_found_in_the_layers(kind, tmp_path):
    front, span = FOUND[kind]
    model = network(front)
    model.save(tmp_path / "m.keras")
    one = inspect_model(tmp_path / "m.keras").image_input
    assert (one.value_range, one.range_source) == (span, "layer in the model")
    expected = np.asarray(model(as_range(span)(photos()), training=False))
    np.testing.assert_allclose(opened(tmp_path / "m.keras").run(photos()), expected, atol=1e-4)
    other = UNIT if span == PIXELS else PIXELS
    with pytest.raises(UserError, match=r"`input_range` asks for .*, but 'picture' of .* takes"):
        opened(tmp_path / "m.keras", input_range=other)


@pytest.mark.parametrize("kind", ASKED)
def test_range_is_asked_for_where_nothing_shows_it(kind, tmp_path):
    front, span = ASKED[kind]
    model = network(front)
    model.save(tmp_path / "m.keras")
    assert inspect_model(tmp_path / "m.keras").image_input.value_range is None
    with pytest.raises(UserError, match=r"does not state which values 'picture' takes"):
        opened(tmp_path / "m.keras")
    expected = np.asarray(model(as_range(span)(photos()), training=False))
    given = opened(tmp_path / "m.keras", input_range=span)
    np.testing.assert_allclose(given.run(photos()), expected, atol=1e-4)
    assert not any("values" in warning for warning in given.warnings)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("reversed as in Caffe", "saved_model"),
        ("reversed as in Caffe", "tflite"),
        ("from [-1, 1] to pixels", "saved_model"),
    ],
)
def test_range_is_found_in_other_formats(kind, suffix, tmp_path):
    front, span = FOUND[kind]
    model = network(front)
    model.export(tmp_path / "saved_model", verbose=False)
    if suffix == "tflite":
        write_tflite(tmp_path / "saved_model", tmp_path / "m.tflite")
    path = tmp_path / ("m.tflite" if suffix == "tflite" else suffix)
    one = inspect_model(path).image_input
    assert (one.value_range, one.range_source) == (span, "constants in the graph")
    expected = np.asarray(model(as_range(span)(photos()), training=False))
    np.testing.assert_allclose(opened(path).run(photos()), expected, atol=1e-3)


def write_tflite(saved_model, path, kind=None, photographs=()):
    """Writes a model as TFLite; with `kind`, in 8 bits calibrated on what it is fed."""
    import tensorflow as tf

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
        if kind is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([one[None]] for one in photographs)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = getattr(tf, kind)
            converter.inference_output_type = getattr(tf, kind)
        path.write_bytes(converter.convert())


def test_factor_that_a_converter_folds_into_the_first_kernel_is_noticed(tmp_path):
    backbone(divided).export(tmp_path / "m", verbose=False)
    write_tflite(tmp_path / "m", tmp_path / "m.tflite")
    report = inspect_model(tmp_path / "m.tflite")
    # No operation before the first convolution is left that would show it.
    assert "MUL" not in report.op_counts
    one = report.image_input
    # The backbone was trained with [-1, 1].
    assert (report.backbone.name, one.value_range) == ("mobilenet_0.25", PIXELS)
    # The user's word wins over what a kernel's size suggests.
    assert one.range_source == "known backbone"
    assert opened(tmp_path / "m.tflite", input_range=SIGNED).warnings


def test_kernel_that_a_normalisation_makes_up_for_shows_no_range(tmp_path):
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    model = backbone(lambda x: x)
    kernel = next(
        layer for layer in model.get_layer(index=1).layers if isinstance(layer, keras.layers.Conv2D)
    )
    kernel.set_weights([kernel.get_weights()[0] * 0.01])
    spec = tf.TensorSpec((None, SIDE, SIDE, 3), tf.float32)
    run = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    frozen = convert_variables_to_constants_v2(run).graph.as_graph_def()
    (tmp_path / "m.pb").write_bytes(frozen.SerializeToString())
    one = inspect_model(tmp_path / "m.pb").image_input
    assert (one.value_range, one.range_source) == (SIGNED, "known backbone")


TORCH_MEAN, TORCH_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.mark.parametrize(
    ("kind", "span", "found"),
    [
        ("int8", UNIT, UNIT),
        ("uint8", SIGNED, SIGNED),
        ("int8", "torch", None),
        ("uint8", (-123.7, 151.1), None),
    ],
)
def test_integers_stand_for_what_their_file_says(kind, span, found, tmp_path):
    model = network(lambda x: x)
    torch = span == "torch"

    def prepared(pixels):
        if torch:
            return ((pixels - np.float32(TORCH_MEAN)) / np.float32(TORCH_STD)).astype("float32")
        return as_range(span)(pixels).astype("float32")

    model.export(tmp_path / "m", verbose=False)
    path = tmp_path / "m.tflite"
    write_tflite(tmp_path / "m", path, kind, prepared(photos(8)))
    one = inspect_model(path).image_input
    assert (one.value_range, one.range_source) == (
        (found, "quantisation") if found else (None, "unknown")
    )
    settings = {}
    if not found:
        with pytest.raises(UserError, match=r"8 bits stand for -\d"):
            opened(path)
        settings = {"input_range": span}
        if torch:
            settings = {"input_mean": TORCH_MEAN, "input_std": TORCH_STD}
    expected = np.asarray(model(prepared(photos())))
    given = opened(path, **settings)
    np.testing.assert_allclose(given.run(photos()), expected, atol=0.03)
    other = UNIT if span in (PIXELS, (-123.7, 151.1)) else PIXELS
    with pytest.raises(UserError, match=r"8 bits of .* stand for .* to"):
        opened(path, input_range=other)


def test_one_side_of_a_file_does_not_stand_for_the_other(tmp_path):
    network(divided, shape=(None, SIDE, 3)).save(tmp_path / "m.keras")
    with pytest.raises(UserError, match="Give the size that it was trained with"):
        opened(tmp_path / "m.keras")
    assert opened(tmp_path / "m.keras", input_height=48).image_size == (48, SIDE)


def test_small_first_kernel_of_an_unknown_network_is_a_hint_alone(tmp_path):
    network(divided).export(tmp_path / "m", verbose=False)
    write_tflite(tmp_path / "m", tmp_path / "m.tflite")
    message = r"values 'picture' takes \(a first kernel as small as this reads numbers as large as"
    with pytest.raises(UserError, match=message):
        opened(tmp_path / "m.tflite")


def test_backbone_is_known_by_its_layers_names_and_size(tmp_path):
    model = backbone(lambda x: x)
    model.save(tmp_path / "known.keras")
    one = inspect_model(tmp_path / "known.keras").image_input
    assert (one.value_range, one.range_source) == (SIGNED, "known backbone")
    config = model.to_json().replace("conv_dw_", "depth_").replace("conv_pw_", "point_")
    renamed = keras_from(config)
    renamed.save(tmp_path / "renamed.keras")
    report = inspect_model(tmp_path / "renamed.keras")
    assert (report.backbone.name, report.image_input.value_range) == ("mobilenet_0.25", None)
    backbone(lambda x: x[..., ::-1]).save(tmp_path / "turned.keras")
    one = inspect_model(tmp_path / "turned.keras").image_input
    assert (one.value_range, one.range_source) == (None, "unknown")
    assert "the model itself reverses the channels" in one.range_detail


def keras_from(config):
    import keras

    return keras.models.model_from_json(config)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1)])
def test_gray_pictures_with_and_without_an_axis_for_channels(shape, tmp_path):
    import keras

    keras.utils.set_random_seed(5)
    picture = keras.Input(shape, name="digit")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(picture))
    model = keras.Model(picture, keras.layers.Dense(10, activation="softmax")(x))
    model.save(tmp_path / "m.keras")
    one = inspect_model(tmp_path / "m.keras").image_input
    assert (one.kind, one.channels, one.resolution) == ("image", 1, "28 x 28")
    assert one.layout == ("NHW" if len(shape) == 2 else "NHWC")
    pixels = photos(3, 28)
    expected = np.asarray(model(gray(pixels.astype(np.float32)).reshape(3, *shape)))
    np.testing.assert_allclose(opened(tmp_path / "m.keras").run(pixels), expected, atol=1e-5)
    with pytest.raises(UserError, match=r"takes gray pixels\. Give one number each"):
        opened(tmp_path / "m.keras", input_mean=(1, 2, 3), input_std=1)
    with pytest.raises(UserError, match=r"takes gray pixels\. Leave `input_channels` out"):
        opened(tmp_path / "m.keras", input_channels="bgr")


def test_sequences_are_no_pictures(tmp_path):
    import keras

    chain = [keras.Input((40, 40)), keras.layers.Conv1D(4, 3), keras.layers.GlobalMaxPooling1D()]
    keras.Sequential(chain).save(tmp_path / "m.keras")
    assert inspect_model(tmp_path / "m.keras").inputs[0].kind == "values"


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({"input_range": (0, 255)}, lambda x: x),
        ({"input_range": "-1,1"}, lambda x: x / 127.5 - 1),
        ({"input_mean": 0, "input_std": 255}, lambda x: x / 255),
        (
            {"input_mean": "123.675,116.28,103.53", "input_std": (58.395, 57.12, 57.375)},
            lambda x: (x - np.float32([123.675, 116.28, 103.53])) / [58.395, 57.12, 57.375],
        ),
        (
            {"input_mean": (103.9, 103.9, 120), "input_std": 1, "input_channels": "bgr"},
            lambda x: (x - np.float32([103.9, 103.9, 120]))[..., ::-1],
        ),
        ({"input_range": (0, 1), "input_channels": "bgr"}, lambda x: x[..., ::-1] / 255),
        ({"input_range": (0, 1), "input_channels": "rgb"}, lambda x: x / 255),
    ],
)
def test_what_is_stated_is_fed(bare, settings, values):
    model, path = bare
    expected = np.asarray(model(values(photos().astype(np.float32)).astype(np.float32)))
    np.testing.assert_allclose(opened(path, **settings).run(photos()), expected, atol=1e-4)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A model that shows nothing, and its file."""
    path = tmp_path_factory.mktemp("bare") / "m.keras"
    model = network(lambda x: x)
    model.save(path)
    return model, path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_mean": 127.5}, r"Expected `input_std` too\. Received: `input_mean` alone"),
        ({"input_std": 127.5}, r"Expected `input_mean` too\. Received: `input_std` alone"),
        ({"input_range": (0, 1, 2)}, r"Expected 2 numbers for `input_range`\. Received: 3"),
        ({"input_range": (1, 0)}, r"smaller number first in `input_range`\. Received: 1, 0"),
        ({"input_range": (1, 1)}, "smaller number first"),
        ({"input_range": (0, 1), "input_std": 3}, "either `input_range`, or `input_mean` and"),
        ({"input_mean": (1, 2), "input_std": 3}, "Expected 1 or 3 numbers for `input_mean`"),
        ({"input_mean": 1, "input_std": (1, 0, 1)}, "`input_std` to be above 0"),
        ({"input_channels": "gbr"}, "`input_channels` to be one of rgb, bgr"),
        ({"input_range": "a,b"}, "`input_range` to be a number. Received: 'a'"),
    ],
)
def test_what_can_not_be_meant_is_refused(bare, settings, message):
    with pytest.raises(UserError, match=message) as caught:
        opened(bare[1], **settings)
    assert "\n" not in str(caught.value)


def test_order_of_the_colours_of_an_export_can_not_be_changed(colour_model):
    with pytest.raises(UserError, match=r"`input_channels='bgr'`, but 'image' of .* takes rgb"):
        opened(colour_model, input_channels="bgr")
    assert opened(colour_model, input_channels="rgb").labels == ("blue", "green", "red")


def test_size_of_a_model_that_resizes_its_input_is_known(tmp_path):
    import keras

    def front(x):
        return divided(keras.layers.Resizing(SIDE, SIDE)(x))

    model = network(front, shape=(None, None, 3))
    model.save(tmp_path / "m.keras")
    one = inspect_model(tmp_path / "m.keras").image_input
    assert (one.resolution, one.size_detail) == ("32 x 32", "the model itself resizes to it")
    predictor = opened(tmp_path / "m.keras")
    assert predictor.image_size == (SIDE, SIDE)
    expected = np.asarray(model(photos().astype(np.float32)))
    np.testing.assert_allclose(predictor.run(photos()), expected, atol=1e-5)
    assert opened(tmp_path / "m.keras", input_height=48).image_size == (48, 48)


@pytest.mark.parametrize(
    ("mean", "deviation", "expected"),
    [
        (127.0, 74.0, PIXELS),
        (104.0, 1.0, PIXELS),
        (0.5, 0.5, UNIT),
        (0.449, 0.226, UNIT),
        (0.1307, 0.3081, UNIT),
        (0.5, 0.289, UNIT),
        (-0.03, 0.577, SIGNED),
        (-0.1, 0.5, SIGNED),
        (-1.0, 1 / 127.5, SIGNED),
        (-1.0, 2.0, SIGNED),
        # These fit several ranges, or none.
        (0.2, 0.2, None),
        (0.5, 0.4, None),
        (0.0, 1.0, None),
        (0.0, 0.5, None),
        (3.0, 0.1, None),
    ],
)
def test_range_from_arithmetic(mean, deviation, expected):
    assert raw_range(Affine((1 / deviation,), (-mean / deviation,))) == expected


# --- What inspect proposes works


def proposals(tmp_path):
    """Models of many kinds, and whether label can use them."""
    import keras

    network(divided).save(tmp_path / "known.keras")
    network(lambda x: x).save(tmp_path / "asked.keras")
    network(divided, shape=(None, None, 3)).save(tmp_path / "any size.keras")
    network(lambda x: x, shape=(None, None, 3)).save(tmp_path / "nothing known.keras")
    network(divided, shape=(SIDE, SIDE, 1)).save(tmp_path / "gray.keras")
    network(lambda x: x / 255.0).save(tmp_path / "operations.h5")
    network(divided, shape=(SIDE, SIDE, 4)).save(tmp_path / "four channels.keras")
    code = keras.layers.Lambda(lambda x: x / 255, output_shape=(SIDE, SIDE, 3))
    network(code).save(tmp_path / "code.keras")
    image, age = keras.Input((SIDE, SIDE, 3), name="image"), keras.Input((4,), name="age")
    x = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(divided(image)), age])
    keras.Model([image, age], keras.layers.Dense(2)(x)).save(tmp_path / "two inputs.keras")
    # Its scores need names, which tell them from an embedding.
    bare = network(divided)
    keras.Sequential([*bare.layers[:-1], keras.layers.Dense(3)]).save(tmp_path / "logits.keras")
    return ["four channels.keras", "code.keras", "two inputs.keras"]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_commands_that_inspect_proposes_work_when_pasted(tmp_path, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("absl.logging.warning", lambda *_: None)  # HDF5 is called legacy
        refused = proposals(tmp_path)
    photo = tmp_path / "a photo.png"
    Image.fromarray(photos(1)[0]).save(photo)
    (tmp_path / "names").write_text("a\nb\nc\n")
    for path in sorted(tmp_path.glob("*.*")):
        if path == photo:
            continue
        commands = suggested_commands(inspect_model(path))
        assert bool(commands) == (path.name not in refused), path.name
        answers = set()
        for command in commands:
            command = command.replace("LABELS.txt", str(tmp_path / "names"))
            words = shlex.split(command.replace("PHOTO", shlex.quote(str(photo))))
            assert words[0] == "xferlearn"
            assert main(words[1:]) == 0, command
            answers.add(capsys.readouterr().out)
        # All that is known gives the same answers as what is found.
        asked = path.name in ("asked.keras", "nothing known.keras")
        assert not commands or len(answers) == (3 if asked else 1)
        if not commands:
            assert main(["label", f"--model={path}", str(photo)]) == 2


def test_flags_take_three_numbers(bare, tmp_path, capsys):
    photo = tmp_path / "photo.png"
    Image.fromarray(photos(1)[0]).save(photo)
    flags = ["--input_mean=123.675,116.28,103.53", "--input_std=58.395,57.12,57.375"]
    assert main(["label", f"--model={bare[1]}", *flags, "--format=json", str(photo)]) == 0
    assert main(["label", f"--model={bare[1]}", str(photo)]) == 2
    said = capsys.readouterr().err
    assert "Give --input_range=0,255, --input_range=0,1 or --input_range=-1,1, or" in said
    assert xferlearn.load_classifier(bare[1], input_range=(0, 1)).labels == ("#0", "#1", "#2")
