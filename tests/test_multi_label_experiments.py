"""Sweeps, curves, comparisons and fine-tuning where photos may have several labels."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from several import make_halves

import xferlearn
from xferlearn.experiments.learning_curve import order_photos
from xferlearn.experiments.outcomes import Outcome, OutcomeStore, difference, judged_photos, share
from xferlearn.metrics import mean_average_precision, precision_change
from xferlearn.photos.manifest import Manifest, Photo

SETTINGS = {
    "backbone": "mobilenet_0.25", "weights": "none", "image_size": 32, "engine": "tensorflow",
    "precision": "float32", "verbose": 0, "multi_label": True,
}  # fmt: skip
LABELS = ("a", "b", "c")
SETS = ((), (0,), (1,), (2,), (0, 1), (0, 2))


def manifest_of(label: np.ndarray, groups: tuple[int, ...] = ()) -> Manifest:
    photos = tuple(
        Photo(row.to_bytes(32, "little"), int(one), f"{row}") for row, one in enumerate(label)
    )
    folds = tuple(row % 5 for row in range(len(photos)))
    splits = ("train",) * len(photos)
    return Manifest(LABELS, photos, splits, groups=groups, folds=folds, label_sets=SETS)


def scores_of(manifest: Manifest, noise: float, seed: int = 0) -> np.ndarray:
    truth = manifest.truth(range(len(manifest.photos)))
    spread = np.random.default_rng(seed).normal(0, noise, truth.shape)
    return 1 / (1 + np.exp(-(2 * truth - 1 + spread)))


def outcome(manifest: Manifest, scores: np.ndarray, seed: int = 0) -> Outcome:
    return Outcome({"seed": seed}, **judged_photos(manifest, "validation", scores))


def test_a_share_and_a_difference_are_those_of_the_mean_average_precision() -> None:
    label = np.random.default_rng(1).integers(len(SETS), size=400)
    manifest = manifest_of(label)
    truth = manifest.truth(range(400))
    better, worse = (scores_of(manifest, noise, 3) for noise in (1.0, 1.3))
    runs = [outcome(manifest, one) for one in (better, worse)]
    found = share(runs[:1])
    exact = mean_average_precision(truth, better)
    assert found.mean == pytest.approx(exact.mean, abs=1e-5)
    assert (found.low, found.high) == pytest.approx(exact.interval, abs=0.01)
    assert str(found) == f"{found.mean:.3f} ({found.low:.2f} to {found.high:.2f})"
    assert found.name == "cross-validated mean average precision"
    change = precision_change(mean_average_precision(truth, worse), exact)
    mean, low, high = difference(runs[:1], runs[1:]) or (0, 0, 0)
    assert mean == pytest.approx(change.mean, abs=1e-5)
    assert (low, high) == pytest.approx(change.interval, abs=0.003)
    # Photos of a group tell less, as they do of an accuracy.
    together = manifest_of(label, tuple(row // 4 for row in range(400)))
    wide = share([outcome(together, better)])
    assert wide.high - wide.low > 1.5 * (found.high - found.low)


def test_an_outcome_survives_the_disk_and_photos_without_labels_measure_nothing(
    tmp_path: Path,
) -> None:
    manifest = manifest_of(np.arange(30) % len(SETS))
    store, kept = OutcomeStore(tmp_path), outcome(manifest, scores_of(manifest, 1.0))
    store.put("key", kept)
    assert store.get("key", {"seed": 0}) == kept
    none = manifest_of(np.zeros(30, int))
    assert not share([outcome(none, scores_of(none, 1.0))]).photos


def test_draws_are_nested_and_hold_photos_of_every_class() -> None:
    manifest = manifest_of(np.random.default_rng(2).integers(len(SETS), size=60))
    truth = manifest.truth(range(60))
    places = order_photos(manifest, 0)
    for head in range(5):
        own = np.array(manifest.folds) != head
        assert ((places[:, head] >= 0) == own).all()
        for size in (1, 3, 8):
            drawn = own & (places[:, head] < size)
            most = (truth & own[:, None]).sum(axis=0)
            assert (truth[drawn].sum(axis=0) >= np.minimum(size, most)).all()
            assert (~truth[drawn].any(axis=1)).sum() >= 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    root = tmp_path_factory.mktemp("several")
    table = make_halves(root / "photos", 49)
    return {
        **SETTINGS,
        **{"how_many_training_steps": 20, "hidden_units": 0},
        **{"image_dir": root / "photos", "labels": table, "logs_dir": root / "logs"},
        "bottleneck_dir": root / "bottlenecks",
    }


def test_a_sweep_ranks_by_mean_average_precision(data: dict[str, object]) -> None:
    found = xferlearn.sweep(learning_rate=[0.01, 1e-6], **data)
    best, worst = found.candidates
    assert best.validation.mean >= worst.validation.mean
    assert best.validation.measure == "mean average precision"
    text = found.summary()
    assert "average precision" in text
    assert "its test mean average precision: " in text
    assert "accuracy" not in text
    assert "Mean average precision is cross-validated" in text
    with found.table.open() as file:
        assert "mean_average_precision" in next(csv.reader(file))
    document = json.dumps(found.document())
    assert "ross-validated mean average precision of" in document
    assert f"<b>{best.validation.mean:.3f}</b>" in found._repr_html_()


def test_a_curve_measures_and_forecasts_the_mean_average_precision(data: dict[str, object]) -> None:
    found = xferlearn.curve(draws=1, **data)
    assert [point.photos for point in found.points[:3]] == [1, 3, 5]
    # A photo counts for all its classes, so a draw takes fewer than one for each of four.
    assert found.points[0].total <= 4
    assert found.forecast is not None
    assert "Mean average precision is cross-validated" in found.summary()
    assert "Mean average precision by number of photos" in json.dumps(found.document())


def test_backbones_are_compared_with_heads_for_the_classes(data: dict[str, object]) -> None:
    (row,) = xferlearn.compare(learning_rate=0.01, **data).backbones  # as the sweep has trained it
    assert row.validation.measure == "mean average precision"
    # Three classes, whatever the number of their sets.
    size = {"image_size": 32, "weights": "none"}
    backbone = xferlearn.load_backbone("mobilenet_0.25", **size)
    assert row.parameters == backbone.count_params() + 3 * (256 + 1)


def test_fine_tuning_learns_each_class_and_is_judged_by_their_cross_entropy(
    data: dict[str, object], tmp_path: Path
) -> None:
    found = xferlearn.train(
        model_dir=tmp_path / "model",
        summaries="none",
        unfreeze="1",
        fine_tune_epochs=1,
        class_weight="balanced",
        **data,
    )
    tuned = found.fine_tuned
    assert tuned is not None
    assert tuned.tuned.measure == "mean average precision"
    assert 0 < tuned.tuned_loss < 3 * np.log(2) + 0.5
    assert "tuned" in found.summary()
