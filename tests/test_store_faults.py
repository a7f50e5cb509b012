"""Damage of a store that a command has open: it ends well in the same run, as it did before."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xferlearn
from xferlearn.bottlenecks import shards, store, writing
from xferlearn.bottlenecks.catalogue import Catalogue
from xferlearn.training import material

NETWORK: dict[str, Any] = {
    "backbone": "mobilenet_0.25",
    "weights": "none",
    "image_size": 32,
    "engine": "tensorflow",
    "precision": "float32",
    "verbose": 0,
}
ENGINE: dict[str, Any] = {"engine": "tensorflow", "precision": "float32", "verbose": 0}


def flip(path: Path) -> None:
    """Changes numbers of a row; the rows end a KB or so before the file does."""
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    path.write_bytes(data)


def zero(path: Path) -> None:
    data = bytearray(path.read_bytes())
    start = len(data) // 2
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


HARMS: dict[str, Callable[[Path], None]] = {
    "flip": flip,
    "zero": zero,
    "cut": cut,
    "remove": Path.unlink,
}


@pytest.fixture
def bottlenecks(colour_model: Path, tmp_path: Path) -> Path:
    """A copy of the bottlenecks that `colour_model` was trained with."""
    return Path(shutil.copytree(colour_model.parent / "bottlenecks", tmp_path / "bottlenecks"))


def harm_once_open(kind: str, patch: pytest.MonkeyPatch) -> dict[Path, str]:
    """Harms each shard when a store has just read its keys; returns which, and how."""
    harmed: dict[Path, str] = {}

    def opened(place: Any, *rest: Any, **settings: Any) -> Catalogue:
        found = Catalogue(place, *rest, **settings)
        for path in [*place.local.glob("*.arrow")]:
            if path not in harmed:
                harmed[path] = kind
                HARMS[kind](path)
        return found

    patch.setattr(store, "Catalogue", opened)
    return harmed


def check_told(harmed: dict[Path, str], warnings: tuple[str, ...]) -> None:
    """Each damaged shard is named; what another process may have removed is not worth a line."""
    told = {path for path, kind in harmed.items() if kind != "remove"}
    assert {path for path in harmed if any(str(path) in line for line in warnings)} == told
    assert all("computed again" in line for line in warnings)


def weights(folder: Path) -> list[np.ndarray]:
    import keras

    model = keras.saving.load_model(folder / "model.keras", compile=False)
    return [np.asarray(one) for one in model.get_weights()]


def check_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for mine, others in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, others)


def test_a_head_is_the_same_cold_warm_and_after_damage(
    colour_model: Path,
    photo_dir: Path,
    bottlenecks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = functools.partial(
        xferlearn.train,
        image_dir=str(photo_dir),
        bottleneck_dir=str(bottlenecks),
        how_many_training_steps=60,
        dropout=0.0,
        testing_percentage=20.0,
        refit="none",
        summaries="none",
        **NETWORK,
    )
    warm = train(model_dir=str(tmp_path / "warm"))
    assert (warm.extraction.cached, warm.warnings) == (90, ())
    # What ran in this process since `colour_model` was trained may move the last digits: sums begin
    # elsewhere in memory, and 60 steps make more of it.
    for one, other in zip(weights(tmp_path / "warm"), weights(colour_model), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-4)
    harmed = harm_once_open("flip", monkeypatch)
    healed = train(model_dir=str(tmp_path / "healed"))
    check_told(harmed, healed.warnings)
    check_same(weights(tmp_path / "healed"), weights(tmp_path / "warm"))


@pytest.mark.parametrize("harm", ["cut", "remove"])
def test_scores_are_the_same_computed_cached_and_after_damage(
    harm: str, colour_model: Path, photo_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**ENGINE, "bottleneck_dir": str(tmp_path)}
    photos = sorted(photo_dir.glob("*/000[0-3].jpg"))
    if harm == "cut":  # of rows that stay in float32
        for module in (store, writing):
            monkeypatch.setattr(module, "as_halves", keep_floats)
    classifier = xferlearn.load_classifier(colour_model, **settings)
    computed = classifier.predict(photos)
    np.testing.assert_array_equal(classifier.predict(photos), computed)
    harmed = harm_once_open(harm, monkeypatch)
    classifier = xferlearn.load_classifier(colour_model, **settings)
    np.testing.assert_array_equal(classifier.predict(photos), computed)
    check_told(harmed, classifier.predictor.later_warnings())


def keep_floats(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    halves, fit = shards.as_halves(vectors)
    return halves, np.zeros_like(fit)


def test_an_evaluation_is_the_same_after_damage(
    colour_model: Path, photo_dir: Path, bottlenecks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate() -> Any:
        return xferlearn.evaluate(
            model=str(colour_model),
            image_dir=str(photo_dir),
            include_seen=True,
            bottleneck_dir=str(bottlenecks),
            **ENGINE,
        )

    before = evaluate()
    harmed = harm_once_open("zero", monkeypatch)
    after = evaluate()
    check_told(harmed, tuple(line for line in after.warnings if line not in before.warnings))
    assert after.evaluation.as_dict() == before.evaluation.as_dict()


def test_an_audit_is_the_same_after_damage(
    photo_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_FEWEST_STEPS", "_MOST_STEPS"):
        monkeypatch.setattr(material, name, 40)

    def audit() -> Any:
        return xferlearn.audit(
            image_dir=str(photo_dir), bottleneck_dir=str(tmp_path), output=None, **NETWORK
        )

    before = audit()
    harmed = harm_once_open("cut", monkeypatch)
    after = audit()
    check_told(harmed, tuple(line for line in after.warnings if line not in before.warnings))
    assert after.findings == before.findings
