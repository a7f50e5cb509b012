"""Fixtures: the real photos, weights and graphs, and small photo folders made on the spot."""

import gc
import hashlib
import io
import os
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Elsewhere OpenVINO reports to its makers, and forks for each of some sixty messages per network.
os.environ.setdefault("CI", "true")
# Looking through everything that TensorFlow holds took a tenth of the tests' time.
gc.set_threshold(700, 10, 100)

# The files that take longest. They begin first, so that no worker is left with one at the end.
LONGEST = (
    "test_sweep.py",
    "test_finetuning.py",
    "test_train.py",
    "test_tools.py",
    "test_inspection_formats.py",
    "test_label.py",
    "test_backbones.py",
    "test_value_range.py",
    "test_exports.py",
    "test_quiet.py",
    "test_exports_familiarity.py",
    "test_cross_fitting.py",
    "test_dashboard.py",
    "test_curve.py",
    "test_settling.py",
    "test_browser.py",
    "test_backbones_listing.py",
    "test_predictors.py",
    "test_views.py",
    "test_foreign_models.py",
    "test_compare.py",
    "test_matrix.py",
    "test_deep_gray.py",
    "test_several_backbones.py",
    "test_notebook.py",
)

COLOURS = {
    "blue": (30, 60, 210),
    "green": (40, 180, 50),
    "red": (210, 40, 30),
    "yellow": (220, 210, 40),
    "black": (20, 20, 20),
    "white": (235, 235, 235),
}

PhotoBytes = Callable[..., bytes]
MakePhotoDir = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the files by how long they take."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real flowers, Keras weights and TF1 graphs; see its README.md."""
    repository = Path(__file__).resolve().parent.parent
    root = Path(os.environ.get("XFERLEARN_TEST_DATA", repository.parent / "shared" / "data"))
    if not (root / "flower_photos").is_dir():
        pytest.skip(f"needs the real photos: {root} has no flower_photos; set XFERLEARN_TEST_DATA")
    return root


def _photo_bytes(
    colour: str = "red",
    number: int = 0,
    *,
    form: str = "JPEG",
    size: tuple[int, int] = (64, 48),
    mode: str = "RGB",
    **save: object,
) -> bytes:
    """A noisy photo of one colour; the same arguments give the same bytes."""
    centre = COLOURS.get(colour)
    if centre is None:  # any other class name has a colour of its own
        centre = tuple(hashlib.sha256(colour.encode()).digest()[:3])
    seed = zlib.crc32(f"{colour}/{number}".encode())
    generator = np.random.default_rng(seed)
    shift = generator.normal(0, 12, 3)
    noise = generator.normal(0, 8, (size[1], size[0], 3))
    pixels = np.clip(np.asarray(centre) + shift + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, form, **save)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photo_bytes() -> PhotoBytes:
    """`photo_bytes(colour, number, form=, size=, mode=)`: an encoded photo of one colour."""
    return _photo_bytes


@pytest.fixture(scope="session")
def make_photo_dir(tmp_path_factory: pytest.TempPathFactory) -> MakePhotoDir:
    """`make_photo_dir({"red": 12, "blue": 9})`: a new folder of classes with that many JPEGs."""

    def make(counts: Mapping[str, int], size: tuple[int, int] = (64, 48)) -> Path:
        root = tmp_path_factory.mktemp("photos")
        for label, count in counts.items():
            (root / label).mkdir()
            for number in range(count):
                data = _photo_bytes(label, number, size=size)
                (root / label / f"{number:04d}.jpg").write_bytes(data)
        return root

    return make


@pytest.fixture(scope="session")
def photo_dir(make_photo_dir: MakePhotoDir) -> Path:
    """Thirty photos each of red, green and blue. Shared: do not change it."""
    return make_photo_dir({"red": 30, "green": 30, "blue": 30})


@pytest.fixture(scope="session")
def colour_model(photo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that tells red, green and blue, of 32 px. Shared: copy it to change it.

    It has not learned from its test photos.
    """
    import xferlearn

    root = tmp_path_factory.mktemp("colours")
    xferlearn.train(
        image_dir=str(photo_dir),
        model_dir=str(root / "model"),
        bottleneck_dir=str(root / "bottlenecks"),
        backbone="mobilenet_0.25",
        weights="none",
        image_size=32,
        how_many_training_steps=60,
        dropout=0.0,
        testing_percentage=20.0,
        refit="none",
        summaries="none",
        engine="tensorflow",
        precision="float32",
    )
    return root / "model"


@pytest.fixture(scope="session")
def small_model(colour_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a network of four layers and one output. Shared: copy it to change it."""
    from model_folders import write_small_network

    folder = tmp_path_factory.mktemp("small") / "model"
    shutil.copytree(colour_model, folder)
    write_small_network(folder)
    return folder


@pytest.fixture
def run_tiny(
    photo_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`run_tiny("sweep", "--seed=0,1")`: a command with a tiny network on `photo_dir`.

    Returns exit code, stdout and stderr. Flags given replace those it has.
    """
    from xferlearn.cli import main

    def run(command: str, *flags: str) -> tuple[int, str, str]:
        defaults = {
            "--image_dir": photo_dir,
            "--logs_dir": tmp_path / "logs",
            "--bottleneck_dir": tmp_path / "bottlenecks",
            "--backbone": "mobilenet_0.25",
            "--weights": "none",
            "--image_size": 32,
            "--engine": "tensorflow",
            "--precision": "float32",
            "--how_many_training_steps": 20,
            # On a busy machine a job may take long enough to show its progress.
            "--verbose": 0,
        }
        given = {flag.split("=")[0] for flag in flags}
        words = [f"{name}={value}" for name, value in defaults.items() if name not in given]
        code = main([command, *words, *flags])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def fail_to_load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Exception], None]:
    """`fail_to_load("mobilenet_0.50", error)`: an experiment can't have that backbone."""
    from xferlearn.experiments import running

    def fail(backbone: str, error: Exception) -> None:
        load = running.load_networks

        def load_or_fail(config: Any) -> Any:
            if config.backbone == backbone:
                raise error
            return load(config)

        monkeypatch.setattr(running, "load_networks", load_or_fail)

    return fail


@pytest.fixture
def give_cores(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Returns a function that sets how many cores the process may use; None for "unknown"."""

    def give(cores: int | None) -> None:
        if cores is None:
            monkeypatch.delattr(os, "sched_getaffinity")
            monkeypatch.setattr(os, "cpu_count", lambda: None)
        else:
            monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))

    return give
