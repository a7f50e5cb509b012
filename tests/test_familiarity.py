"""Familiarity is a p-value of own photos, low for others, and the same in every kind of file."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.clusters import CLASSES, WIDTH, clusters
from xferlearn.decisions import Familiarity, fit_familiarity
from xferlearn.decisions.familiarity import MOST_CORE
from xferlearn.training.familiar import familiarity_of

FOLDS = 5
# Deviation of the points around the centres of their classes.
SPREAD = 0.8


def probabilities_of(points: np.ndarray) -> np.ndarray:
    """What a head might say: softmax of how near the centres are."""
    centres, _ = clusters(CLASSES, spread=0)
    logits = -np.square(points[:, None] - centres).sum(axis=2) / 8
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def others(count: int, seed: int = 0) -> np.ndarray:
    """Points of no class."""
    return np.random.default_rng(seed).normal(0, 3, (count, WIDTH)).astype(np.float32)


def fitted(count: int = 600, most_weights: int = 2000, seed: int = 0) -> Familiarity:
    x, y = clusters(count, seed, spread=SPREAD)
    folds = (np.arange(count) // CLASSES % FOLDS).tolist()
    rows, found = np.arange(count), probabilities_of(x)
    return fit_familiarity(x, y, rows, found, folds=folds, most_weights=most_weights)


def as_model(familiarity: Familiarity, classes: int = CLASSES, width: int = WIDTH) -> keras.Model:
    bottleneck = keras.Input((width,), name="bottleneck")
    predictions = keras.Input((classes,), name="predictions")
    output = familiarity_of(bottleneck, predictions, familiarity)
    return keras.Model([bottleneck, predictions], output)


def run(model: keras.Model, x: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(model([x, probabilities]))[:, 0]


def all_kinds() -> np.ndarray:
    """Own points, others, and zeros."""
    own, _ = clusters(200, seed=5, spread=SPREAD)
    return np.concatenate([own, others(100), np.zeros((1, WIDTH), np.float32)])


@pytest.fixture(scope="module")
def familiarity() -> Familiarity:
    return fitted()


@pytest.fixture(scope="module")
def graph(familiarity: Familiarity) -> tf.compat.v1.GraphDef:
    """The layers as one graph without variables."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = as_model(familiarity)

    def network(bottleneck: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
        return tf.identity(model([bottleneck, predictions]), name="familiarity_output")

    specs = [
        tf.TensorSpec([None, width], tf.float32, name=name)
        for name, width in (("bottleneck", WIDTH), ("predictions", CLASSES))
    ]
    traced = tf.function(network, autograph=False).get_concrete_function(*specs)
    return convert_variables_to_constants_v2(traced).graph.as_graph_def()


def test_new_photos_of_own_classes_are_below_a_level_as_often_as_it_says() -> None:
    shares = []
    for seed in range(8):
        own, _ = clusters(1000, seed + 100, spread=SPREAD)
        found = fitted(seed=seed).apply(own, probabilities_of(own))
        shares.append([(found < level).mean() for level in (0.01, 0.05, 0.2, 0.5)])
    assert np.mean(shares, axis=0) == pytest.approx([0.01, 0.05, 0.2, 0.5], rel=0.25, abs=0.005)


def test_what_is_of_no_class_is_unfamiliar(familiarity: Familiarity) -> None:
    found = familiarity.apply(others(300), probabilities_of(others(300)))
    assert found.dtype == np.float32
    assert (found < 0.01).mean() > 0.9
    assert found.min() >= familiarity.least - 1e-7


def test_an_unsure_head_makes_a_photo_less_familiar(familiarity: Familiarity) -> None:
    own, _ = clusters(100, seed=7, spread=SPREAD)
    sure = np.eye(CLASSES, dtype=np.float32)[probabilities_of(own).argmax(axis=1)]
    unsure = 0.7 * sure + 0.1
    assert (familiarity.apply(own, unsure) <= familiarity.apply(own, sure)).all()


def test_a_photo_farther_away_is_never_more_familiar() -> None:
    x, y = clusters(600, spread=SPREAD)
    folds = (np.arange(600) // CLASSES % FOLDS).tolist()
    # A feature that no own photo has, so that it makes one less similar to all of them.
    wider = np.pad(x, ((0, 0), (0, 1)))
    familiarity = fit_familiarity(
        wider, y, np.arange(600), probabilities_of(x), folds=folds, most_weights=2000
    )
    point, _ = clusters(1, seed=8, spread=0.1)
    path = np.tile(np.pad(point, ((0, 0), (0, 1))), (50, 1))
    path[:, WIDTH] = np.linspace(0, 10, 50)
    found = familiarity.apply(path, np.tile(probabilities_of(point), (50, 1)))
    assert found[0] > 0.5
    assert found[-1] < 0.01
    assert (np.diff(found) <= 0).all()
    assert len(np.unique(found)) > 20


@pytest.mark.parametrize("most_weights", [1, 150, 2000])
@pytest.mark.parametrize("count", [12, 90, 600])
def test_keras_layers_compute_the_same(count: int, most_weights: int) -> None:
    familiarity = fitted(count, most_weights)
    x = all_kinds()
    model = as_model(familiarity)
    found = familiarity.apply(x, probabilities_of(x))
    np.testing.assert_allclose(run(model, x, probabilities_of(x)), found, atol=1e-4)
    assert found.min() >= 0
    assert found.max() <= 1
    assert len(familiarity.core) == 1 or model.count_params() <= most_weights
    assert all(layer.name.startswith("familiarity_") for layer in model.layers[2:-1] if
               not isinstance(layer, keras.layers.InputLayer))  # fmt: skip
    assert model.layers[-1].name == "familiarity"
    assert not model.trainable_weights


def test_layers_compute_in_float32_whatever_the_policy(familiarity: Familiarity) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = as_model(familiarity)
    finally:
        keras.config.set_dtype_policy("float32")
    x = all_kinds()
    found = run(model, x, probabilities_of(x))
    assert found.dtype == np.float32


def test_a_saved_model_needs_keras_alone(familiarity: Familiarity, tmp_path: Path) -> None:
    x = all_kinds()
    as_model(familiarity).save(tmp_path / "model.keras")
    np.savez(tmp_path / "in.npz", x=x, probabilities=probabilities_of(x))
    script = (
        "import keras, numpy, sys; given = numpy.load('in.npz');"
        " model = keras.saving.load_model('model.keras');"
        " found = model([given['x'], given['probabilities']]);"
        " numpy.save('out.npy', keras.ops.convert_to_numpy(found)[:, 0]);"
        " assert not any(name.startswith('xferlearn') for name in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = familiarity.apply(x, probabilities_of(x))
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-4)


def test_tflite_computes_the_same(familiarity: Familiarity, graph: tf.compat.v1.GraphDef) -> None:
    from ai_edge_litert.interpreter import Interpreter

    @tf.function(
        input_signature=[
            tf.TensorSpec([1, WIDTH], tf.float32, name="bottleneck"),
            tf.TensorSpec([1, CLASSES], tf.float32, name="predictions"),
        ],
        autograph=False,
    )
    def network(bottleneck: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
        fed = {"bottleneck": bottleneck, "predictions": predictions}
        return tf.graph_util.import_graph_def(graph, fed, ["familiarity_output:0"], name="")

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [network.get_concrete_function()], tf.Module()
    )
    # Nothing but what TFLite has itself.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    places = {one["shape"][1]: one["index"] for one in interpreter.get_input_details()}
    x, found = all_kinds()[150:], []
    for point in x:
        interpreter.set_tensor(places[WIDTH], point[None])
        interpreter.set_tensor(places[CLASSES], probabilities_of(point[None]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, 0])
    np.testing.assert_allclose(found, familiarity.apply(x, probabilities_of(x)), atol=1e-3)


def test_onnx_computes_the_same(familiarity: Familiarity, graph: tf.compat.v1.GraphDef) -> None:
    import onnxruntime
    import tf2onnx

    names = ["bottleneck:0", "predictions:0"]
    made, _ = tf2onnx.convert.from_graph_def(
        graph, input_names=names, output_names=["familiarity_output:0"], opset=18
    )
    session = onnxruntime.InferenceSession(made.SerializeToString())
    x = all_kinds()
    fed = dict(zip(names, (x, probabilities_of(x)), strict=True))
    (found,) = session.run(None, fed)
    np.testing.assert_allclose(found[:, 0], familiarity.apply(x, probabilities_of(x)), atol=1e-3)


@pytest.mark.parametrize(("count", "possible"), [(12, False), (99, False), (102, True)])
def test_few_photos_reject_nothing(count: int, possible: bool) -> None:
    familiarity = fitted(count)
    assert familiarity.least == pytest.approx(1 / (count + 1))
    assert familiarity.can_reject(0.01) is possible
    found = familiarity.apply(others(50), probabilities_of(others(50)))
    assert (found < np.float32(0.01)).any() == possible
    assert familiarity.can_reject(0.2)


def test_without_calibration_photos_everything_is_familiar() -> None:
    x, y = clusters(6)
    none = np.zeros((0, CLASSES), np.float32)
    familiarity = fit_familiarity(x, y, np.zeros(0, int), none, most_weights=2000)
    assert not familiarity.can_reject(0.99)
    points = all_kinds()
    assert (familiarity.apply(points, probabilities_of(points)) == 1).all()
    assert (run(as_model(familiarity), points, probabilities_of(points)) == 1).all()
    assert familiarity.apply(points[:0], probabilities_of(points[:0])).shape == (0,)


def test_photos_held_out_are_measured_on_and_never_compared_with() -> None:
    x, y = clusters(400, spread=SPREAD)
    held_out = np.arange(0, 400, 4)
    familiarity = fit_familiarity(
        x, y, held_out, probabilities_of(x[held_out]), most_weights=100_000
    )
    assert familiarity.photos == 100
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    same = familiarity.core @ familiarity.basis.T @ (x / lengths).T > 1 - 1e-5
    assert same.any(axis=1).all()
    assert not same[:, held_out].any()
    own = familiarity.apply(x[held_out], probabilities_of(x[held_out]))
    # A rank of each among themselves.
    np.testing.assert_allclose(np.sort(own), np.arange(2, 102) / 101, atol=0.04)


def test_a_class_of_two_photos_is_known_by_both() -> None:
    x, y = clusters(303, spread=SPREAD)
    kept = np.flatnonzero((y != 2) | (np.arange(303) < 6))
    x, y = x[kept], y[kept]
    folds = np.arange(len(y)) % FOLDS
    folds[y == 2] = [0, 1]
    familiarity = fit_familiarity(
        x, y, np.arange(len(y)), probabilities_of(x), folds=folds.tolist(), most_weights=1000
    )
    assert familiarity.classes == CLASSES
    of_class = familiarity.core.reshape(CLASSES, -1, familiarity.core.shape[1])[2]
    assert len(np.unique(of_class.round(5), axis=0)) == 2
    others_of_class = clusters(300, seed=3, spread=0.1)[0][2::3]
    found = familiarity.apply(others_of_class, probabilities_of(others_of_class))
    assert (found > 0.01).mean() > 0.9


def test_a_class_that_one_fold_holds_is_not_compared_by_class() -> None:
    x, y = clusters(300, spread=SPREAD)
    folds = np.where(y == 0, 0, np.arange(300) % FOLDS)
    familiarity = fit_familiarity(
        x, y, np.arange(300), probabilities_of(x), folds=folds.tolist(), most_weights=1000
    )
    assert familiarity.classes == 1
    points = all_kinds()
    np.testing.assert_allclose(
        run(as_model(familiarity), points, probabilities_of(points)),
        familiarity.apply(points, probabilities_of(points)),
        atol=1e-4,
    )


def test_photos_that_are_all_the_same_are_familiar_and_no_others() -> None:
    x, y = clusters(3, spread=0)
    x, y = np.tile(x, (50, 1)), np.tile(y, 50)
    folds = (np.arange(150) // CLASSES % FOLDS).tolist()
    familiarity = fit_familiarity(
        x, y, np.arange(150), probabilities_of(x), folds=folds, most_weights=1000
    )
    assert (familiarity.apply(x, probabilities_of(x)) > 0.1).all()
    assert (familiarity.apply(others(20), probabilities_of(others(20))) < 0.01).all()


def test_copies_in_one_group_make_no_photo_seem_typical() -> None:
    """Each point six times: without groups it would find five of itself near it."""
    x, y = clusters(120, spread=SPREAD)
    x, y = np.repeat(x, 6, axis=0), np.repeat(y, 6)
    groups = np.repeat(np.arange(120), 6).tolist()
    folds = np.repeat(np.arange(120) // CLASSES % FOLDS, 6).tolist()
    rows, found = np.arange(len(y)), probabilities_of(x)
    grouped = fit_familiarity(x, y, rows, found, folds=folds, groups=groups, most_weights=1000)
    alone = fit_familiarity(x, y, rows, found, folds=folds, most_weights=1000)
    assert grouped.usual.max() < 0.9999
    assert (alone.usual > 0.9999).any()
    own, _ = clusters(500, seed=4, spread=SPREAD)
    assert (grouped.apply(own, probabilities_of(own)) < 0.1).mean() < 0.2


def test_several_backbones_count_the_same() -> None:
    x, y = clusters(600, spread=SPREAD)
    noise = np.random.default_rng(0).normal(0, 1000, (600, 4)).astype(np.float32)
    folds = (np.arange(600) // CLASSES % FOLDS).tolist()
    familiarity = fit_familiarity(
        np.concatenate([x, noise], axis=1),
        y,
        np.arange(600),
        probabilities_of(x),
        folds=folds,
        widths=(WIDTH, 4),
        most_weights=3000,
    )
    strange = others(200)
    points = np.concatenate([strange, noise[:200]], axis=1)
    found = familiarity.apply(points, probabilities_of(strange))
    # By the second backbone alone, which is a thousand times as large, they are own photos.
    assert (found < 0.05).mean() > 0.5
    model = as_model(familiarity, width=WIDTH + 4)
    np.testing.assert_allclose(run(model, points, probabilities_of(strange)), found, atol=1e-4)


def test_the_same_seed_draws_the_same_photos() -> None:
    one, other = fitted(), fitted()
    np.testing.assert_array_equal(one.core, other.core)
    np.testing.assert_array_equal(one.levels, other.levels)


class InBlocks(np.ndarray):
    """Bottlenecks that are never copied as a whole."""

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        assert len(rows) <= MOST
        return np.asarray(self)[rows]


MOST = 150


def test_of_many_photos_each_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xferlearn.decisions.familiarity.MOST_PHOTOS", MOST)
    x, y = clusters(1500, spread=SPREAD)
    bottlenecks = np.concatenate([others(30), x]).view(InBlocks)
    rows, probabilities = np.arange(30, 1530), probabilities_of(x)
    folds = (np.arange(1500) // CLASSES % FOLDS).tolist()
    for some in (folds, ()):  # the photos of folds, and those that were held out
        calibration = np.arange(1500) if some else np.arange(0, 1500, 2)
        familiarity = fit_familiarity(
            bottlenecks, y, calibration, probabilities[calibration],
            rows=rows, folds=some, most_weights=2000,
        )  # fmt: skip
        assert familiarity.photos == len(familiarity.own) == len(calibration)
        for level in (0.05, 0.2, 0.5):
            assert (familiarity.own < level).mean() == pytest.approx(level, abs=0.02)
        found = familiarity.apply(bottlenecks, probabilities, rows)
        np.testing.assert_allclose(found, familiarity.apply(x, probabilities), atol=1e-5)
        assert (found < 0.05).mean() < 0.15


def test_the_core_set_is_bounded() -> None:
    x, y = clusters(6000, spread=SPREAD)
    folds = (np.arange(6000) // CLASSES % FOLDS).tolist()
    familiarity = fit_familiarity(
        x, y, np.arange(6000), probabilities_of(x), folds=folds, most_weights=10**9
    )
    assert len(familiarity.core) == MOST_CORE // CLASSES * CLASSES
    assert np.diff(familiarity.knots).min() > 0
    assert np.diff(familiarity.levels).min() > 0
