"""Heads that are trained together: each as if alone, and none knows what it must not know."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from clusters import CLASSES, clusters

from xferlearn.training.batches import class_shares, class_weights
from xferlearn.training.cross_fitting import HeadStack, checking, fit_heads
from xferlearn.training.head import measure_scale, predict_head
from xferlearn.training.plan import HeadPlan, planned_steps

PLAN = HeadPlan(
    hidden_units=16, dropout=0.0, weight_decay=0.0, steps=200, batch_size=20, learning_rate=0.01
)
LINEAR = dataclasses.replace(PLAN, hidden_units=0)


def everything(rows: int, heads: int = 1) -> np.ndarray:
    return np.ones((rows, heads), bool)


def fit(
    x: np.ndarray, y: np.ndarray, learned: np.ndarray, plan: HeadPlan = PLAN, **arguments: Any
) -> tuple[HeadStack, Any]:
    return fit_heads(x, y, learned, CLASSES, plan, measure_scale(x), **arguments)


def accuracy(stack: HeadStack, head: int, x: np.ndarray, y: np.ndarray) -> float:
    return float((stack.predict(head, x).argmax(axis=1) == y).mean())


@pytest.mark.parametrize(
    "plan",
    [LINEAR, PLAN, dataclasses.replace(PLAN, dropout=0.3, weight_decay=0.01)],
    ids=["linear", "hidden", "dropout"],
)
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_learns_what_can_be_separated(plan: HeadPlan, scale: float) -> None:
    x, y = clusters(90, scale=scale)
    stack, training = fit(x, y, everything(90, 2), plan)
    for head in (0, 1):
        assert accuracy(stack, head, *clusters(300, seed=2, scale=scale)) > 0.97
    assert (training.steps, training.diverged) == (200, False)


def test_a_fit_is_ended_between_its_parts_and_is_the_same_where_it_is_not() -> None:
    x, y = clusters(60)
    plan = dataclasses.replace(LINEAR, steps=20)
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 13:
            raise InterruptedError

    with checking(check):
        watched, _ = fit(x, y, everything(60), plan)
        assert len(calls) == 10
        with pytest.raises(InterruptedError):
            fit(x, y, everything(60), plan)
    alone, _ = fit(x, y, everything(60), plan)
    assert len(calls) == 13
    np.testing.assert_array_equal(watched.kernels[0], alone.kernels[0])


@pytest.mark.parametrize("plan", [LINEAR, PLAN], ids=["linear", "hidden"])
def test_a_head_learns_nothing_from_photos_that_are_not_its_own(plan: HeadPlan) -> None:
    # Fold 1 has labels that contradict the others. Whoever saw it would repeat them.
    x, y = clusters(120)
    folds = np.arange(120) // 3 % 2
    wrong = np.where(folds == 1, (y + 1) % CLASSES, y).astype(np.int32)
    stack, _ = fit(x, wrong, np.stack([folds != 0, folds != 1], axis=1), plan)
    new, truth = clusters(300, seed=2)
    assert accuracy(stack, 0, new, (truth + 1) % CLASSES) > 0.97
    assert accuracy(stack, 1, new, truth) > 0.97
    out_of_fold = stack.out_of_fold(x, folds)
    assert (out_of_fold.argmax(axis=1) == wrong).mean() < 0.05


def test_out_of_fold_predictions_of_random_labels_are_no_better_than_chance() -> None:
    x, _ = clusters(300, spread=1.0)
    y = np.random.default_rng(3).integers(0, CLASSES, 300).astype(np.int32)
    folds = np.arange(300) % 5
    learned = np.stack([folds != fold for fold in range(5)] + [folds >= 0], axis=1)
    stack, _ = fit(x, y, learned, dataclasses.replace(PLAN, hidden_units=64, steps=400))
    # The head that has seen them knows far more of them.
    assert accuracy(stack, 5, x, y) > 0.6
    assert (stack.out_of_fold(x, folds).argmax(axis=1) == y).mean() < 0.45


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("hidden", [0, 16])
def test_heads_do_not_change_one_another(optimizer: str, hidden: int) -> None:
    x, y = clusters(60, spread=3)
    plan = dataclasses.replace(
        PLAN, optimizer=optimizer, hidden_units=hidden, weight_decay=0.01, steps=60, batch_size=60
    )
    half = np.arange(60) % 2 == 0
    alone, _ = fit(x, y, half[:, None], plan)
    together, _ = fit(x, y, np.stack([~half, half, half | True], axis=1), plan)
    np.testing.assert_allclose(together.predict(1, x), alone.predict(0, x), atol=2e-4)
    assert np.abs(together.predict(0, x) - alone.predict(0, x)).max() > 0.01


def test_weight_decay_is_that_of_a_penalty_in_the_loss() -> None:
    x, y = clusters(60, spread=2)
    plan = dataclasses.replace(LINEAR, weight_decay=0.05, batch_size=60)
    stack, _ = fit(x, y, everything(60), plan)
    scaled = stack.scale.apply(x)
    regularizer = keras.regularizers.L2(plan.weight_decay / 2)
    model = keras.Sequential(
        [
            keras.layers.Dense(
                CLASSES,
                activation="softmax",
                kernel_initializer="zeros",
                kernel_regularizer=regularizer,
            )
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(plan.learning_rate, plan.steps)
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
    model.fit(scaled, y, batch_size=60, epochs=plan.steps, shuffle=False, verbose=0)
    np.testing.assert_allclose(stack.predict(0, x), model(scaled).numpy(), atol=1e-3)


def test_a_keras_head_predicts_what_the_stack_does() -> None:
    x, y = clusters(60, spread=3)
    for plan in (LINEAR, PLAN):
        stack, _ = fit(x, y, everything(60, 2), dataclasses.replace(plan, dropout=0.5, steps=40))
        for found in (stack, stack.with_temperature(2.0)):
            np.testing.assert_allclose(
                predict_head(found.head(1), x), found.predict(1, x), rtol=1e-3, atol=1e-5
            )
        sure = stack.predict(1, x).max(axis=1)
        assert (stack.with_temperature(2.0).predict(1, x).max(axis=1) < sure).all()


def test_same_seed_same_heads_another_seed_others() -> None:
    x, y = clusters(90, spread=3)
    found = [
        fit(x, y, everything(90), dataclasses.replace(PLAN, dropout=0.3, steps=60, seed=seed))[0]
        for seed in (-5, -5, 6)
    ]
    outputs = [stack.predict(0, x) for stack in found]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-3


def test_charts_change_nothing_and_see_the_training() -> None:
    x, y = clusters(90, spread=3)
    seen: list[dict[str, float]] = []
    norms: list[float] = []

    class Callback(keras.callbacks.Callback):
        def __init__(self, stack: Any) -> None:
            super().__init__()
            self._stack = stack

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            seen.append(dict(logs or {}))
            norms.append(float(np.abs(self._stack().weights(0)["hidden/kernel"]).sum()))

    plan = dataclasses.replace(PLAN, dropout=0.2, steps=100)
    new = clusters(60, seed=1, spread=3)
    watched, training = fit(
        x,
        y,
        everything(90, 2),
        plan,
        validation=lambda stack: (stack.predict(0, new[0]), new[1]),
        callbacks=lambda rows, stack: [Callback(stack)],
    )
    plain, _ = fit(x, y, everything(90, 2), plan)
    np.testing.assert_array_equal(watched.predict(1, x), plain.predict(1, x))
    assert len(seen) == 10
    assert training.steps == 100
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= seen[0].keys()
    assert seen[-1]["loss"] < seen[0]["loss"] < 1.2  # per head, not their sum
    assert len(set(norms)) == 10


def test_balanced_weights_help_the_rare_class() -> None:
    generator = np.random.default_rng(0)
    y = np.array([0] * 190 + [1] * 10, np.int32)
    x = generator.normal(0, 1, (200, 2)).astype(np.float32)
    x[y == 1] += 1.2
    recalls = {}
    for class_weight in ("none", "balanced"):
        plan = dataclasses.replace(
            LINEAR, class_weight=class_weight, learning_rate=0.05, batch_size=50
        )
        stack, _ = fit_heads(x, y, everything(200), 2, plan, measure_scale(x))
        recalls[class_weight] = accuracy(stack, 0, x[y == 1], y[y == 1])
    assert recalls["none"] < 0.4
    assert recalls["balanced"] > 0.6


def weights_of(
    y: np.ndarray, learned: np.ndarray, class_weight: str, known: np.ndarray | None = None
) -> np.ndarray:
    known = np.ones(len(y), bool) if known is None else known
    return class_weights(y, learned, class_shares(y, learned, 3, class_weight, known))


def test_a_class_counts_the_same_for_heads_that_miss_some_of_it() -> None:
    y = np.array([0, 0, 0, 1, 2, 2], np.int32)
    learned = np.array([[1, 1], [1, 1], [1, 0], [1, 1], [1, 0], [1, 0]], bool)
    found = weights_of(y, learned, "balanced")
    np.testing.assert_allclose(found[:, 0], [6 / 9, 6 / 3, 6 / 6])
    np.testing.assert_allclose(found[:2, 1], [3 / 4, 3 / 2])
    plain = weights_of(y, learned, "none")
    np.testing.assert_array_equal(plain[:, 0], np.ones(3))
    np.testing.assert_allclose(plain[:, 1] * [2, 1, 0], [3 * 3 / 4, 3 * 1 / 4, 0])


def test_labels_of_test_photos_change_no_head_that_is_measured() -> None:
    x, y = clusters(90, spread=3)
    known = np.arange(90) < 60
    learned = np.stack([known & (np.arange(90) % 2 == 0), known, known | ~known], axis=1)
    found = []
    for test_label in (0, 1):
        labels = np.where(known, y, test_label).astype(np.int32)
        stack, _ = fit(x, labels, learned, dataclasses.replace(PLAN, steps=60), known=known)
        found.append([stack.predict(head, x) for head in range(3)])
    for head in (0, 1):
        np.testing.assert_array_equal(found[0][head], found[1][head])
    assert np.abs(found[0][2] - found[1][2]).max() > 0.01


def test_photos_of_a_rare_class_are_told_apart() -> None:
    generator = np.random.default_rng(0)
    y = np.array([0] * 4 + [1] * 100, np.int32)
    x = generator.normal(0, 1, (104, 40)).astype(np.float32)
    x[y == 0, :5] += 2.0
    plan = HeadPlan(hidden_units=128, dropout=0.5, weight_decay=0.003, steps=400)
    stack, _ = fit_heads(x, y, everything(104), 2, plan, measure_scale(x))
    new = generator.normal(0, 1, (50, 40)).astype(np.float32)
    new[:25, :5] += 2.0
    scores = stack.predict(0, new)[:, 0]
    assert scores[:25].std() > 0.05
    assert np.median(scores[:25]) > 5 * np.median(scores[25:])


def test_a_head_that_lacks_a_class_or_everything() -> None:
    x, y = clusters(30)
    learned = np.stack([y != 1, y < 0], axis=1)
    stack, training = fit(x, y, learned, dataclasses.replace(PLAN, class_weight="balanced"))
    assert not training.diverged
    assert np.isfinite(stack.predict(0, x)).all()
    assert (stack.predict(0, x).argmax(axis=1) != 1).all()
    np.testing.assert_allclose(stack.predict(1, x), 1 / CLASSES, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 7, 11, 25, 39, 99, 101])
def test_no_more_steps_are_run_than_asked_for_and_hardly_fewer(steps: int) -> None:
    _, training = fit(*clusters(30), everything(30), dataclasses.replace(LINEAR, steps=steps))
    assert 0.9 * steps <= training.steps <= steps


def test_one_photo_and_no_photo_to_predict() -> None:
    x, y = clusters(1)
    stack, training = fit(x, y, everything(1), dataclasses.replace(PLAN, steps=20))
    assert not training.diverged
    assert stack.predict(0, x[:0]).shape == (0, CLASSES)


@pytest.mark.parametrize("steps", [1, 200])
def test_a_diverging_training_is_reported(steps: int) -> None:
    plan = dataclasses.replace(PLAN, learning_rate=1e38, steps=steps)
    _, training = fit(*clusters(90, spread=5), everything(90), plan)
    assert training.diverged


@pytest.mark.parametrize(
    ("photos", "batch_size", "views", "expected"),
    [
        (10, 100, False, 400),
        (1000, 100, False, 400),
        (2500, 100, False, 1000),
        (10_000, 100, False, 4000),
        (100_000, 100, False, 10_000),
        (100_001, 100, False, 10_001),
        (1000, 100, True, 1000),
    ],
)
def test_planned_steps(photos: int, batch_size: int, views: bool, expected: int) -> None:
    assert planned_steps(photos, batch_size, views) == expected
