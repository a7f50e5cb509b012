"""The head learns what can be learned, repeats itself, and reports where it diverges."""

from typing import Any

import keras
import numpy as np
import pytest

from xferlearn.training.head import (
    FeatureScale,
    Training,
    build_head,
    measure_scale,
    planned_steps,
    predict_head,
    train_head,
)

WIDTH, CLASSES = 12, 3


def clusters(
    count: int, seed: int = 0, *, spread: float = 0.5, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Points around one centre per class; lines separate the classes."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 2, (CLASSES, WIDTH))
    labels = np.arange(count, dtype=np.int32) % CLASSES
    points = centres[labels] + generator.normal(0, spread, (count, WIDTH))
    return (points * scale).astype(np.float32), labels


def fit(
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    *,
    head: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[keras.Model, Training]:
    settings = {"learning_rate": 0.01, "steps": 200, "batch_size": 20, "seed": 0} | settings
    # Without what would keep the loss from falling to the bottom.
    head = {"dropout": 0.0, "weight_decay": 0.0} | (head or {})
    model = build_head(train[0].shape[1], CLASSES, scale=measure_scale(train[0]), **head)
    return model, train_head(model, train, validation, **settings)


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    return float((predict_head(model, x).argmax(axis=1) == y).mean())


EMPTY = (np.zeros((0, WIDTH), np.float32), np.zeros(0, np.int32))


@pytest.mark.parametrize("head", [{}, {"hidden_units": 16, "dropout": 0.3, "weight_decay": 0.01}])
def test_learns_what_can_be_separated(head: dict[str, Any]) -> None:
    model, training = fit(clusters(90), clusters(30, seed=1), head=head)
    assert accuracy(model, *clusters(300, seed=2)) > 0.97
    assert training.validation_loss is not None
    assert training.validation_loss < 0.3
    assert not training.diverged
    assert 0 < training.best_step <= training.steps <= 200


def test_learns_nothing_from_random_labels() -> None:
    x, y = clusters(120, spread=1.0)
    shuffled = np.random.default_rng(3).permutation(y)
    validation = clusters(60, seed=1)
    model, _ = fit((x, shuffled), (validation[0], np.random.default_rng(4).permutation(60) % 3))
    test = clusters(300, seed=2)
    assert accuracy(model, test[0], np.random.default_rng(5).permutation(test[1])) < 0.5


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_one_learning_rate_fits_bottlenecks_of_any_size(scale: float) -> None:
    model, _ = fit(clusters(90, scale=scale), clusters(30, seed=1, scale=scale))
    assert accuracy(model, *clusters(300, seed=2, scale=scale)) > 0.97


def test_same_seed_same_head_another_seed_another() -> None:
    head = {"hidden_units": 8, "dropout": 0.3}
    outputs = [
        predict_head(
            fit(
                clusters(90, spread=3),
                clusters(30, seed=1, spread=3),
                head={**head, "seed": seed},
                seed=seed,
                steps=60,
            )[0],
            clusters(30, seed=2)[0],
        )
        for seed in (5, 5, 6)
    ]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-3


def test_a_negative_seed_is_a_seed() -> None:
    model, _ = fit(
        clusters(30), clusters(9), head={"hidden_units": 4, "dropout": 0.1, "seed": -1}, seed=-1
    )
    assert np.isfinite(predict_head(model, clusters(9)[0])).all()


def test_layers_have_the_names_that_readers_see() -> None:
    scale = FeatureScale(np.zeros(WIDTH, np.float32), 1.0)
    full = build_head(WIDTH, CLASSES, hidden_units=7, dropout=0.2, scale=scale)
    names = ["bottleneck", "normalization", "hidden", "dropout", "predictions"]
    assert [layer.name for layer in full.layers] == names
    assert full.get_layer("hidden").units == 7
    assert full.get_layer("dropout").rate == 0.2
    assert full.name == "head"
    plain = build_head(WIDTH, CLASSES, dropout=0)
    assert [layer.name for layer in plain.layers] == ["bottleneck", "predictions"]
    assert plain.input_shape == (None, WIDTH)
    assert plain.output_shape == (None, CLASSES)


def test_an_untrained_head_knows_nothing() -> None:
    model = build_head(WIDTH, CLASSES)
    found = predict_head(model, clusters(6)[0])
    np.testing.assert_allclose(found, np.full((6, CLASSES), 1 / CLASSES), atol=1e-6)
    assert found.dtype == np.float32


def test_predictions_of_nothing() -> None:
    assert predict_head(build_head(WIDTH, CLASSES), EMPTY[0]).shape == (0, CLASSES)


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


def test_balanced_weights_help_the_rare_class() -> None:
    generator = np.random.default_rng(0)
    y = np.array([0] * 190 + [1] * 10, np.int32)
    x = generator.normal(0, 1, (200, 2)).astype(np.float32)
    x[y == 1] += 1.2
    recalls = {}
    for class_weight in ("none", "balanced"):
        model = build_head(2, 2, scale=measure_scale(x))
        train_head(
            model,
            (x, y),
            (np.zeros((0, 2), np.float32), np.zeros(0, np.int32)),
            learning_rate=0.05,
            steps=200,
            batch_size=50,
            class_weight=class_weight,
        )
        recalls[class_weight] = accuracy(model, x[y == 1], y[y == 1])
    assert recalls["none"] < 0.4
    assert recalls["balanced"] > 0.6


def test_a_class_that_training_does_not_have() -> None:
    x, y = clusters(30)
    rest = y != 1
    model, _ = fit((x[rest], y[rest]), clusters(9, seed=1), class_weight="balanced", steps=40)
    assert np.isfinite(predict_head(model, x)).all()


def test_the_best_weights_are_kept_not_the_last() -> None:
    # Training labels contradict validation: every step makes validation worse.
    x, y = clusters(60)
    model, training = fit((x, y), (x, (y + 1) % CLASSES), steps=1000, learning_rate=0.05)
    # Ten looks without progress end it, and the first look was the best.
    assert training.best_step == 20
    assert training.steps == 220
    found = predict_head(model, x)
    loss = -np.log(found[np.arange(60), (y + 1) % CLASSES]).mean()
    assert loss == pytest.approx(training.validation_loss, rel=1e-3)


def test_the_best_weights_are_kept_when_training_runs_to_its_end() -> None:
    x, y = clusters(60)
    model, training = fit((x, y), (x, (y + 1) % CLASSES), steps=60, learning_rate=0.05)
    assert (training.best_step, training.steps) == (20, 60)
    found = predict_head(model, x)
    loss = -np.log(found[np.arange(60), (y + 1) % CLASSES]).mean()
    assert loss == pytest.approx(training.validation_loss, rel=1e-3)


def test_without_validation_photos_all_steps_are_run() -> None:
    model, training = fit(clusters(90), EMPTY, steps=100)
    assert training == Training(steps=100, best_step=100, validation_loss=None)
    assert accuracy(model, *clusters(300, seed=2)) > 0.9


@pytest.mark.parametrize("steps", [1, 25, 39, 99])
def test_no_more_steps_are_run_than_asked_for(steps: int) -> None:
    model, training = fit(clusters(30), EMPTY, steps=steps)
    assert int(model.optimizer.iterations) == training.steps
    assert 0.9 * steps <= training.steps <= steps


def test_callbacks_see_every_look() -> None:
    seen: list[set[str]] = []

    class Callback(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            seen.append(set(logs or {}))

    _, training = fit(clusters(60), clusters(30, seed=1), steps=100, callbacks=[Callback()])
    assert len(seen) == 5
    assert training.steps == 100
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= seen[0]


def test_three_photos_of_two_classes() -> None:
    x, y = clusters(3)[0], np.array([0, 1, 1], np.int32)
    model = build_head(WIDTH, 2, scale=measure_scale(x))
    training = train_head(
        model, (x, y), (x[:1], y[:1]), learning_rate=0.01, steps=1000, batch_size=100
    )
    assert not training.diverged
    assert accuracy(model, x, y) == 1


def test_one_photo() -> None:
    x, y = clusters(1)
    _, training = fit((x, y), EMPTY, steps=20)
    assert not training.diverged


def test_a_diverging_training_is_reported() -> None:
    _, training = fit(clusters(90, spread=5), clusters(30, seed=1), learning_rate=1e38)
    assert training.diverged


@pytest.mark.parametrize(
    ("asked", "photos", "batch_size", "expected"),
    [
        (None, 10, 100, 1000),
        (None, 10_000, 100, 1000),
        (None, 100_001, 100, 10_001),
        (7, 100_000, 100, 7),
        (4000, 10, 100, 4000),
    ],
)
def test_planned_steps(asked: int | None, photos: int, batch_size: int, expected: int) -> None:
    assert planned_steps(asked, photos, batch_size) == expected


def test_bottlenecks_too_large_for_memory_are_read_from_the_disk(tmp_path: Any) -> None:
    x, y = clusters(90)
    on_disk = np.memmap(tmp_path / "x.bin", np.float32, "w+", shape=x.shape)
    on_disk[:] = x
    model, _ = fit((on_disk, y), clusters(30, seed=1), steps=100)
    in_memory, _ = fit((x, y), clusters(30, seed=1), steps=100)
    test = clusters(30, seed=2)[0]
    np.testing.assert_allclose(predict_head(model, test), predict_head(in_memory, test), atol=1e-5)
