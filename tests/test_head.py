"""The head as a Keras model: its layers, its scale, its predictions."""

import numpy as np
import pytest
from clusters import CLASSES, WIDTH, clusters

from xferlearn.training.head import (
    FeatureScale,
    build_head,
    fold_temperature,
    measure_scale,
    predict_head,
)


def test_layers_have_the_names_that_readers_see() -> None:
    scale = FeatureScale(np.zeros(WIDTH, np.float32), 1.0)
    full = build_head(WIDTH, CLASSES, hidden_units=7, dropout=0.2, scale=scale)
    names = ["bottleneck", "normalization", "hidden", "dropout", "predictions"]
    assert [layer.name for layer in full.layers] == names
    assert full.get_layer("hidden").units == 7
    assert full.get_layer("dropout").rate == 0.2
    assert full.name == "head"
    plain = build_head(WIDTH, CLASSES, hidden_units=0, dropout=0)
    assert [layer.name for layer in plain.layers] == ["bottleneck", "predictions"]
    assert plain.input_shape == (None, WIDTH)
    assert plain.output_shape == (None, CLASSES)


def test_an_untrained_head_knows_nothing() -> None:
    model = build_head(WIDTH, CLASSES)
    found = predict_head(model, clusters(6)[0])
    np.testing.assert_allclose(found, np.full((6, CLASSES), 1 / CLASSES), atol=1e-6)
    assert found.dtype == np.float32


def test_predictions_of_nothing() -> None:
    assert predict_head(build_head(WIDTH, CLASSES), np.zeros((0, WIDTH), np.float32)).shape == (
        0,
        CLASSES,
    )


def test_measured_scale_is_mean_and_one_deviation() -> None:
    x, _ = clusters(50)
    scale = measure_scale(x)
    np.testing.assert_allclose(scale.mean, x.mean(axis=0), rtol=1e-5)
    assert scale.mean.dtype == np.float32
    assert scale.deviation == pytest.approx(np.sqrt(((x - x.mean(axis=0)) ** 2).mean()), rel=1e-4)
    constant = np.full((5, WIDTH), 7, np.float32)
    model = build_head(WIDTH, CLASSES, scale=measure_scale(constant))
    assert np.isfinite(predict_head(model, constant)).all()


def test_scaling_is_part_of_the_head() -> None:
    x, _ = clusters(20)
    scale = measure_scale(x)
    normalized = build_head(WIDTH, CLASSES, scale=scale).get_layer("normalization")(x)
    np.testing.assert_allclose(normalized, (x - scale.mean) / scale.deviation, atol=1e-4)


def test_a_temperature_is_part_of_the_head() -> None:
    head = build_head(WIDTH, CLASSES, hidden_units=0)
    generator = np.random.default_rng(0)
    head.set_weights([generator.normal(0, 1, one.shape) for one in head.get_weights()])
    x, _ = clusters(20)
    before = predict_head(head, x)
    fold_temperature(head, 2.0)
    expected = np.sqrt(before) / np.sqrt(before).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predict_head(head, x), expected, rtol=1e-4, atol=1e-6)
