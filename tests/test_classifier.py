"""`build_classifier` computes head(backbone(x)) for any head, however the classifier is kept."""

from pathlib import Path

import keras
import numpy as np
import pytest

from xferlearn import load_backbone
from xferlearn.config import ModelConfig
from xferlearn.errors import UserError
from xferlearn.exports.formats import FORMATS
from xferlearn.exports.frozen_graph import write_frozen_graph
from xferlearn.model_folder import ModelFolder
from xferlearn.predictors import open_predictor
from xferlearn.training.head import FeatureScale, build_classifier, build_head, measure_scale
from xferlearn.training.plan import plan_head

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*np.object.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tf2onnx"),
]

SIDE, WIDTH, CLASSES = 16, 12, 3
layers = keras.layers


def tiny_backbone(width=WIDTH):
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1, name="preprocessing")(image)
    x = layers.Conv2D(width, 3, activation="relu", name="tiny")(x)
    return keras.Model(image, layers.GlobalAveragePooling2D(name="pooling")(x), name="tiny")


def pixels(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.float32)


@keras.saving.register_keras_serializable("test_classifier")
class Subclassed(keras.Model):
    """Two layers and a shortcut, called by Python code."""

    def __init__(self, units=CLASSES, **rest):
        super().__init__(**rest)
        self.units = units
        self.hidden = layers.Dense(WIDTH, activation="tanh")
        self.scores = layers.Dense(units, activation="softmax")

    def build(self, shape):
        self.hidden.build(shape)
        self.scores.build((None, WIDTH))

    def call(self, x):
        return self.scores(self.hidden(x) + x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("test_classifier")
class Doubled(keras.Sequential):
    """A Sequential model that does more than call its layers."""

    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training, mask=mask)


def random_layer(rng):
    units = int(rng.integers(1, 9))
    kinds = [
        lambda: layers.Dense(units, activation=rng.choice(["relu", "tanh", "linear"])),
        lambda: layers.Rescaling(float(rng.normal()), offset=float(rng.normal())),
        lambda: layers.BatchNormalization(),
        lambda: layers.LayerNormalization(),
        lambda: layers.Dropout(0.5),
        lambda: layers.Activation("sigmoid"),
        lambda: keras.Sequential([layers.Dense(units), layers.Dense(units, activation="relu")]),
    ]
    return kinds[rng.integers(len(kinds))]()


def random_graph(rng):
    """A functional head: each layer reads what any earlier one gave, some read several."""
    tensors = [keras.Input((WIDTH,))]
    for _ in range(rng.integers(1, 7)):
        source = tensors[rng.integers(len(tensors))]
        if rng.random() < 0.3:
            other = tensors[rng.integers(len(tensors))]
            tensors.append(layers.Concatenate()([source, other]))
        elif rng.random() < 0.2:
            tensors.append(source * float(rng.normal()) + 1)
        else:
            layer = random_layer(rng)
            tensors.append(layer(source))
            if rng.random() < 0.3 and tensors[-1].shape == source.shape:
                tensors.append(layer(tensors[-1]))  # the same weights once more
            if rng.random() < 0.3 and tensors[-1].shape == source.shape:
                tensors.append(layers.Add()([source, tensors[-1]]))
    last = layers.Dense(CLASSES, activation="softmax")(layers.Concatenate()(tensors))
    return keras.Model(tensors[0], last)


def random_head(seed):
    rng = np.random.default_rng(seed)
    chain = [*(random_layer(rng) for _ in range(rng.integers(0, 5))), layers.Dense(CLASSES)]
    kind = seed % 6
    if kind == 0:
        return keras.Sequential([keras.Input((WIDTH,)), *chain])
    if kind == 1:
        return keras.Sequential(chain)
    if kind == 2:
        head = keras.Sequential(chain)
        head(np.zeros((2, WIDTH), np.float32))
        return head
    return random_graph(rng)


SPECIAL = {
    "of train": lambda: build_head(
        WIDTH, CLASSES, hidden_units=5, scale=FeatureScale(np.ones(WIDTH, np.float32), 2.0)
    ),
    "one layer": lambda: layers.Dense(CLASSES),
    "one built layer": lambda: built(layers.Dense(CLASSES)),
    "subclassed": Subclassed,
    "built subclassed": lambda: built(Subclassed()),
    "Sequential with a call of its own": lambda: Doubled([layers.Dense(CLASSES)]),
    "names of the backbone": lambda: keras.Sequential(
        [layers.Dense(7, name="tiny"), layers.Dense(CLASSES, name="pooling")]
    ),
    "lists as input and output": lambda: as_lists(),
    "always training": lambda: always_training(),
}


def built(layer):
    layer.build((None, WIDTH))
    return layer


def as_lists():
    bottleneck = keras.Input((WIDTH,))
    return keras.Model([bottleneck], [layers.Dense(CLASSES)(bottleneck)])


def always_training():
    """A layer that is called with an argument of its own."""
    bottleneck = keras.Input((WIDTH,))
    x = layers.BatchNormalization()(bottleneck, training=True)
    return keras.Model(bottleneck, layers.Dense(CLASSES)(x))


def shake(model):
    """Gives all weights random values, also those that start as zeros and ones."""
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1, 1, one.shape) for one in model.get_weights()])


def answers(model, values):
    values = [values] if isinstance(getattr(model, "input", None), list) else values
    return np.asarray(keras.tree.flatten(model(values, training=False))[0])


@pytest.mark.parametrize("head", [*range(24), *SPECIAL])
def test_a_classifier_is_the_head_of_the_backbone(head, tmp_path):
    head = random_head(head) if isinstance(head, int) else SPECIAL[head]()
    backbone = tiny_backbone()
    model = build_classifier(backbone, head)
    shake(model)
    expected = answers(head, backbone(pixels()))
    assert expected.shape == (4, CLASSES)
    np.testing.assert_allclose(answers(model, pixels()), expected, atol=1e-5)
    assert model.count_params() == backbone.count_params() + head.count_params()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(answers(loaded, pixels()), expected, atol=1e-5)
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    np.testing.assert_allclose(answers(cloned, pixels()), expected, atol=1e-5)
    # Again, with the same layers, which by now have been called several times.
    again = build_classifier(backbone, head)
    np.testing.assert_allclose(answers(again, pixels()), expected, atol=1e-5)


@pytest.fixture(scope="module")
def exported_head():
    """A head with two branches and a shortcut, on a backbone; and its answers."""
    bottleneck = keras.Input((WIDTH,))
    scaled = layers.Rescaling(0.5, offset=1.0, name="normalization")(bottleneck)
    left = layers.Dense(WIDTH, activation="relu")(scaled)
    right = layers.Dense(WIDTH, activation="tanh")(scaled)
    joined = layers.Add()([left, right, scaled])
    head = keras.Model(bottleneck, layers.Dense(CLASSES, activation="softmax")(joined))
    model = build_classifier(tiny_backbone(), head)
    shake(model)
    return model, answers(head, tiny_answers(model))


def tiny_answers(model):
    return keras.Model(model.input, model.get_layer("pooling").output)(pixels())


def in_folder(path: Path) -> ModelFolder:
    stated = {"height": SIDE, "width": SIDE, "resize": "shorter side, centre crop"}
    return ModelFolder(path, ("a", "b", "c"), {"input": stated})


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "tensorrt"])
@pytest.mark.filterwarnings("ignore")  # the converters warn about themselves
def test_a_classifier_is_exported_with_all_branches_of_its_head(name, exported_head, tmp_path):
    model, expected = exported_head
    one = FORMATS[name]
    file = tmp_path / one.target
    one.write(model, in_folder(tmp_path), file, lambda: iter(pixels(4)[:, None]))
    predictor = open_predictor(ModelConfig(model=str(file / one.opened)))
    tolerance = {"tflite_float16": 0.01, "tflite_int8": 0.05}.get(name, 1e-5)
    found = predictor.run(pixels().astype(np.uint8))
    np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.parametrize("seed", range(3, 24, 5))
def test_random_heads_are_exported(seed, tmp_path):
    head, backbone = random_head(seed), tiny_backbone()
    model = build_classifier(backbone, head)
    shake(model)
    write_frozen_graph(model, in_folder(tmp_path), tmp_path / "graph")
    file = tmp_path / "graph/frozen_graph.pb"
    predictor = open_predictor(ModelConfig(model=str(file)))
    expected = answers(head, backbone(pixels()))
    if "softmax" not in repr(head.layers[-1].get_config().get("activation")):
        expected = answers(layers.Softmax(), expected)
    np.testing.assert_allclose(predictor.run(pixels().astype(np.uint8)), expected, atol=1e-5)


def test_layers_of_the_head_stand_beside_those_of_the_backbone():
    head = build_head(WIDTH, CLASSES, hidden_units=4)
    model = build_classifier(tiny_backbone(), head)
    names = ["image", "preprocessing", "tiny", "pooling", "hidden", "dropout", "predictions"]
    assert [layer.name for layer in model.layers] == names
    assert model.name == "classifier"
    assert model.get_layer("hidden") is head.get_layer("hidden")
    plain = keras.Sequential([layers.Dense(4, name="first"), layers.Dense(2, name="last")])
    model = build_classifier(tiny_backbone(), plain)
    assert [layer.name for layer in model.layers][-3:] == ["pooling", "first", "last"]
    assert model.get_layer("first") is plain.layers[0]


def two_inputs():
    a, b = keras.Input((WIDTH,)), keras.Input((WIDTH,))
    return keras.Model([a, b], layers.Add()([a, b]))


def picture_head():
    image = keras.Input((4, 4, WIDTH))
    return keras.Model(image, layers.GlobalAveragePooling2D()(image))


class Wrapped(keras.Sequential):
    """A chain with code around it that Keras does not see, so that a saved copy would lose it."""

    def __call__(self, x, *rest, **named):
        return 1 - super().__call__(x, *rest, **named)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (lambda: Wrapped([layers.Dense(3)]), r"with its code in `call`\. .* overrides `__call__`"),
        (lambda: build_head(5, 3), r"head for bottlenecks of 12 values, as tiny gives\. Received"),
        (lambda: keras.Sequential([keras.Input((5,)), layers.Dense(3)]), "Received one for 5"),
        (lambda: keras.Sequential([built_for_five()]), "12 values, as tiny gives"),
        (lambda: built_for_five(), "12 values, as tiny gives"),
        (two_inputs, r"one input\. functional.* has 2"),
        (picture_head, r"takes \[batch, width\]\. .* takes \[None, 4, 4, 12\]"),
        (layers.Add, "can't be put on it"),
        (lambda: "dense", "model or layer as head. Received: 'dense'"),
        (lambda: keras.layers.Dense, "model or layer as head. Received: <class"),
    ],
)
def test_heads_that_do_not_fit(head, message):
    with pytest.raises(UserError, match=message) as caught:
        build_classifier(tiny_backbone(), head())
    assert "\n" not in str(caught.value)


def built_for_five():
    layer = layers.Dense(3)
    layer.build((None, 5))
    return layer


def whole_picture():
    image = keras.Input((SIDE, SIDE, 3))
    return keras.Model(image, layers.Conv2D(4, 3)(image), name="whole")


def two_outputs():
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, [x, x], name="both")


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (whole_picture, r"\[batch, width\]\. whole ends in \[None, 14, 14, 4\]: add a layer"),
        (two_outputs, r"one input and one output\. both has 1 and 2"),
        (two_inputs, r"one input and one output\. .* has 2 and 1"),
        (lambda: keras.Sequential([layers.Flatten()], name="raw"), r"Received: raw \(Sequential\)"),
        (lambda: Subclassed(name="mine"), r"Received: mine \(Subclassed\), whose input"),
        (lambda: None, r"Received: None \(NoneType\)"),
    ],
)
def test_backbones_that_give_no_bottlenecks(backbone, message):
    with pytest.raises(UserError, match=message):
        build_classifier(backbone(), build_head(WIDTH, CLASSES))


def test_a_head_alone_is_that_of_train():
    from xferlearn.config import TrainConfig

    config = TrainConfig(image_dir="photos", model_dir="model")
    plan = plan_head(config, photos=1000)
    settings = {
        name: getattr(plan, name) for name in ("hidden_units", "dropout", "weight_decay", "seed")
    }
    scale = FeatureScale(np.arange(WIDTH, dtype=np.float32), 2.0)
    for stated in ({}, {"scale": scale}):
        alone = build_head(WIDTH, CLASSES, **stated)
        asked = build_head(WIDTH, CLASSES, **settings, **stated)
        assert alone.get_config() == asked.get_config()
        assert alone.get_layer("dropout").rate == config.dropout > 0
        assert ("normalization" in [layer.name for layer in alone.layers]) == bool(stated)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_builders_compute_in_float32_whatever_the_policy(policy, tmp_path):
    import keras

    # Fractions that neither half-precision format holds.
    photos = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)

    def whole():
        backbone = load_backbone("mobilenet_0.25", weights="none", image_size=32)
        # An untrained network tells photos apart in the last digits alone; this enlarges them.
        scale = measure_scale(np.asarray(backbone(photos)))
        head = build_head(256, CLASSES, hidden_units=0, scale=scale)
        kernel = np.random.default_rng(0).normal(0, 1, (256, CLASSES))
        head.layers[-1].set_weights([kernel, np.zeros(CLASSES)])
        return build_classifier(backbone, head)

    expected = np.asarray(whole()(photos))
    assert np.ptp(expected, axis=0).max() > 0.1
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = whole()
        assert keras.config.dtype_policy().name == policy
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}
        model.save(tmp_path / "m.keras")
        again = keras.saving.load_model(tmp_path / "m.keras")
        image = keras.Input((32, 32, 3), dtype="float32")
        larger = keras.Model(image, keras.layers.Dense(2, dtype="float32")(model(image)))
        chain = keras.Sequential([keras.Input((32, 32, 3), dtype="float32"), model])
        for one in (model, again, chain, keras.Model(image, larger.layers[1](image))):
            np.testing.assert_allclose(np.asarray(one(photos)), expected, atol=1e-3)
        assert larger(photos).shape == (3, 2)
    finally:
        keras.config.set_dtype_policy(before)
