"""Damage of a store that a command has open: it ends well in the same run, as it did before."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xferlearn
from xferlearn.bottlenecks import shards, store, writing
from xferlearn.bottlenecks.catalogue import Catalogue
from xferlearn.training import stored_rows

NETWORK: dict[str, Any] = {
    "backbone": "mobilenet_0.25",
    "weights": "none",
    "image_size": 32,
    "engine": "tensorflow",
    "precision": "float32",
    "verbose": 0,
}
HEAD: dict[str, Any] = {
    "how_many_training_steps": 60,
    "dropout": 0.0,
    "testing_percentage": 20.0,
    "refit": "none",
    "summaries": "none",
}  # those of `colour_model`
# A photo that no bottleneck was cached of is computed with others, which moves its last digits.
ENGINE = {"engine": "tensorflow", "precision": "float32", "verbose": 0}


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


@pytest.fixture
def harm_once_open(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[Path, str]]:
    """`harm_once_open("flip")`: each shard is harmed when a store has just read its keys.

    Returns what was harmed, of what each shard has become.
    """

    def harm(kind: str) -> dict[Path, str]:
        harmed: dict[Path, str] = {}

        def opened(place: Any, *rest: Any, **settings: Any) -> Catalogue:
            found = Catalogue(place, *rest, **settings)
            for path in [*place.local.glob("*.arrow")]:
                if path not in harmed:
                    harmed[path] = kind
                    HARMS[kind](path)
            return found

        monkeypatch.setattr(store, "Catalogue", opened)
        return harmed

    return harm


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


def train(photo_dir: Path, folder: Path, bottlenecks: Path, **settings: Any) -> Any:
    return xferlearn.train(
        image_dir=str(photo_dir),
        model_dir=str(folder),
        bottleneck_dir=str(bottlenecks),
        **{**NETWORK, **HEAD, **settings},
    )


@pytest.mark.parametrize("harm", ["none", "flip", "remove"])
def test_a_head_is_the_same_cold_warm_and_after_damage(
    harm: str,
    colour_model: Path,
    photo_dir: Path,
    bottlenecks: Path,
    tmp_path: Path,
    harm_once_open: Callable[[str], dict[Path, str]],
) -> None:
    harmed = harm_once_open(harm) if harm != "none" else {}
    result = train(photo_dir, tmp_path / "model", bottlenecks)
    assert result.extraction.cached == 90
    assert bool(harmed) is (harm != "none")
    check_told(harmed, result.warnings)
    check_same(weights(tmp_path / "model"), weights(colour_model))
