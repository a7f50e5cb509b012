"""TensorFlow Datasets as sources: elpv from its package, and small datasets made on the spot."""

import collections
import hashlib
import importlib.util
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from xferlearn.cli import main
from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos import elpv
from xferlearn.photos.datasets import DatasetSource, open_dataset
from xferlearn.photos.manifest import TEST, TRAIN, VALIDATION, Photo
from xferlearn.photos.pixels.headers import prepare
from xferlearn.photos.splitting import build_manifest

PhotoBytes = Callable[..., bytes]

pytestmark = pytest.mark.filterwarnings(
    # TensorFlow Datasets opens files with a mode that Python 3.12 deprecates.
    "ignore::DeprecationWarning:tensorflow_datasets",
    "ignore::DeprecationWarning:etils",
)


@pytest.fixture(scope="session")
def elpv_source(tmp_path_factory: pytest.TempPathFactory) -> DatasetSource:
    if importlib.util.find_spec("elpv_dataset") is None:
        pytest.skip("needs the package elpv-dataset")
    return open_dataset("elpv", str(tmp_path_factory.mktemp("tfds")))


def test_elpv_has_the_published_counts_and_names(elpv_source: DatasetSource) -> None:
    assert elpv_source.labels == ("functional", "defective")
    assert elpv_source.count == 2624
    entries = list(elpv_source.entries())
    assert collections.Counter(entry.label for entry in entries) == {0: 1803, 1: 821}
    assert len({entry.name for entry in entries}) == 2624
    assert all(entry.fixed_split is None for entry in entries)
    assert entries[0].name.startswith("train/cell")
    assert [e.name for e in elpv_source.entries()] == [e.name for e in entries]


def test_elpv_photos_are_those_of_the_package(elpv_source: DatasetSource) -> None:
    entry = next(iter(elpv_source.entries()))
    original = elpv.photo_dir() / "images" / entry.name.removeprefix("train/")
    assert entry.read() == original.read_bytes()
    assert entry.size == len(entry.read())
    image = prepare(entry.read(), 224, 10**6)
    assert (image.width, image.height) == (300, 300)
    rows = (elpv.photo_dir() / "labels.csv").read_text().splitlines()
    row = next(line for line in rows if original.name in line).split()
    assert entry.label == (float(row[1]) > 0.5)


def test_elpv_is_prepared_once(elpv_source: DatasetSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("the photos were read again")

    monkeypatch.setattr(elpv.Elpv, "_generate_examples", fail)
    data_dir = Path(elpv_source.builder.data_dir).parents[1]
    assert open_dataset("elpv", str(data_dir)).count == 2624


def test_elpv_names_its_licence_and_source(elpv_source: DatasetSource) -> None:
    info = elpv_source.builder.info
    assert "CC BY-NC-SA 4.0" in str(info.redistribution_info)
    assert "Deitsch" in info.citation
    assert "BY-NC-SA" in (elpv.__doc__ or "")
    assert "Solar Energy" in (elpv.__doc__ or "")


def test_elpv_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "elpv_dataset" else find_spec(name, *rest),
    )
    with pytest.raises(UserError, match=r'pip install "xferlearn\[demo\]".*CC BY-NC-SA') as caught:
        open_dataset("elpv", str(tmp_path))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class _Toy(tfds.core.GeneratorBasedBuilder):
    """Base of small datasets that are made of colours."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS: tuple[str, ...] = ("train",)
    PHOTOS = 12

    def _features(self) -> dict[str, Any]:
        return {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["blue", "amber"]),
        }

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(self._features())
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {split: self._generate_examples(number) for number, split in enumerate(self.SPLITS)}

    def _generate_examples(self, number: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        for i in range(self.PHOTOS):
            pixels = np.full((20, 30, 3), 40 * number + i, np.uint8)
            yield i, self._example(pixels, i)

    def _example(self, pixels: np.ndarray, i: int) -> dict[str, Any]:
        return {"image": pixels, "label": i % 2}


class XferlearnToySplits(_Toy):
    """With all the names that official splits go by."""

    SPLITS = ("train", "test", "validation", "extra")


class XferlearnToyNamed(_Toy):
    """With other keys, file names, and examples without a label."""

    def _features(self) -> dict[str, Any]:
        return {
            "photo": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "kind": tfds.features.ClassLabel(names=["blue", "amber"]),
            "image/filename": tfds.features.Text(),
        }

    def _example(self, pixels: np.ndarray, i: int) -> dict[str, Any]:
        return {"photo": pixels, "kind": -1 if i == 3 else i % 2, "image/filename": f"shot{i}.jpg"}


class XferlearnToyRepeated(XferlearnToyNamed):
    """Whose photos share three file names."""

    def _example(self, pixels: np.ndarray, i: int) -> dict[str, Any]:
        return super()._example(pixels, i) | {"image/filename": f"shot{i % 3}.jpg"}


class XferlearnToyAmber(_Toy):
    """Of one class."""

    def _example(self, pixels: np.ndarray, i: int) -> dict[str, Any]:
        return {"image": pixels, "label": 1}


class XferlearnToyText(_Toy):
    """Not of photos."""

    def _features(self) -> dict[str, Any]:
        return {
            "text": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["good", "bad"]),
        }

    def _example(self, pixels: np.ndarray, i: int) -> dict[str, Any]:
        raise AssertionError("it was prepared although it can't be used")


class XferlearnToyPair(_Toy):
    """Of photos with two labels each, without saying which counts."""

    def _features(self) -> dict[str, Any]:
        return {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "colour": tfds.features.ClassLabel(names=["blue", "amber"]),
            "shape": tfds.features.ClassLabel(names=["round", "square"]),
        }

    _example = XferlearnToyText._example


class XferlearnToyOffline(_Toy):
    """Whose download fails as it does without a network."""

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        raise ConnectionError(
            "HTTPSConnectionPool(host='example.org', port=443): Max retries exceeded\n"
            "(Caused by NameResolutionError)"
        )


class XferlearnToyManual(_Toy):
    """Whose files have to be fetched by hand."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Register at example.org\nand put photos.zip there."

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {"train": self._generate_examples(dl_manager.manual_dir / "photos.zip")}


def test_official_test_and_validation_splits_are_kept(tmp_path: Path) -> None:
    source = open_dataset("xferlearn_toy_splits", str(tmp_path))
    assert source.count == 48
    entries = list(source.entries())
    fixed = {entry.name.split("/")[0]: entry.fixed_split for entry in entries}
    assert fixed == {"train": None, "extra": None, "test": TEST, "validation": VALIDATION}
    photos = [
        Photo(hashlib.sha256(one.read()).digest(), one.label, one.name, one.fixed_split)
        for one in entries
    ]
    manifest = build_manifest(source.labels, photos, testing_percentage=0, validation_percentage=0)
    found = {
        (photo.name.split("/")[0], split)
        for photo, split in zip(manifest.photos, manifest.splits, strict=True)
    }
    assert found == {("train", TRAIN), ("extra", TRAIN), ("test", TEST), ("validation", VALIDATION)}
    assert not manifest.folds


def test_a_model_is_measured_on_a_dataset_under_its_own_classes(
    small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "evaluate", f"--model={small_model}", "--dataset=xferlearn_toy_splits", "--format=json",
        f"--data_dir={tmp_path}", f"--bottleneck_dir={tmp_path / 'cache'}", "--verbose=0",
    ]  # fmt: skip
    assert main(words) == 2
    assert "no class 'amber', a label of xferlearn_toy_splits/1.0.0." in capsys.readouterr().err
    assert main([*words, "--other_classes=count"]) == 0
    told, err = capsys.readouterr()
    assert json.loads(told)["labels"] == ["blue", "green", "red", "amber"]
    assert {name: one["n"] for name, one in json.loads(told)["classes"].items() if one["n"]} == {
        "blue": 6, "amber": 6,
    }  # fmt: skip
    assert "only its test photos are measured; --split=all measures all." in err
    assert "6 photos of classes that the model does not have are counted" in err
    assert main([*words, "--other_classes=skip", "--split=train"]) == 0
    told, err = capsys.readouterr()
    assert json.loads(told)["n"] == 12  # those of `extra` too, as in a training
    assert "only its" not in err
    assert main([*words, "--image_dir=photos"]) == 2
    assert "Expected either --image_dir or --dataset. Received: both." in capsys.readouterr().err
    words[2] = "--dataset=xferlearn_toy_repeated"
    assert main([*words, "--other_classes=count", "--split=train"]) == 2
    assert capsys.readouterr().err == (
        "xferlearn: xferlearn_toy_repeated has no splits, and none of its photos is a train photo"
        f" of {small_model}. Leave out --split to measure all.\n"
    )
    words[2] = "--dataset=xferlearn_toy_amber"
    assert main([*words, "--other_classes=skip", "--split=train"]) == 2
    assert capsys.readouterr().err == (
        "xferlearn: xferlearn_toy_amber has no photo of the model's classes, blue, green, red.\n"
    )


def test_labels_keep_the_datasets_order(tmp_path: Path) -> None:
    source = open_dataset("xferlearn_toy_splits", str(tmp_path))
    assert source.labels == ("blue", "amber")
    assert {entry.label for entry in source.entries()} == {0, 1}


def test_other_keys_file_names_and_photos_without_a_label(tmp_path: Path) -> None:
    source = open_dataset("xferlearn_toy_named", str(tmp_path))
    assert (source.image_key, source.label_key) == ("photo", "kind")
    entries = list(source.entries())
    assert sorted(entry.name for entry in entries) == sorted(
        f"train/shot{i}.jpg" for i in range(12) if i != 3
    )
    for entry in entries:
        assert entry.read().startswith(b"\xff\xd8\xff")
        assert entry.label == int(entry.name.removeprefix("train/shot").split(".")[0]) % 2


def test_photos_that_share_a_file_name_have_names_of_their_own(tmp_path: Path) -> None:
    source = open_dataset("xferlearn_toy_repeated", str(tmp_path))
    names = [entry.name for entry in source.entries()]
    assert len(set(names)) == 11
    assert {"train/shot0.jpg", "train/shot1.jpg", "train/shot2.jpg"} <= set(names)
    assert all(name.startswith("train/") and name.endswith(".jpg") for name in names)
    assert names == [entry.name for entry in source.entries()]


def test_a_loader_whose_package_is_missing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def builder(name: str, **rest: object) -> None:
        raise ModuleNotFoundError("No module named 'datasets'")

    monkeypatch.setattr(tfds, "builder", builder)
    with pytest.raises(UserError, match="'huggingface:x/y' can't be opened: No module named 'data"):
        open_dataset("huggingface:x/y", str(tmp_path))


def test_a_version_may_be_named(tmp_path: Path) -> None:
    assert open_dataset("xferlearn_toy_splits:1.0.0", str(tmp_path)).count == 48
    with pytest.raises(UserError, match=r"can.t be opened: .*version 9\.9\.9, only: 1\.0\.0"):
        open_dataset("xferlearn_toy_splits:9.9.9", str(tmp_path))


@pytest.mark.parametrize(
    "name",
    ["", "cifar10/none", "a b", "../elpv", "elpv/none", "cifar10:x", "mnist/split=1"],
)
def test_a_name_that_is_no_name_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        open_dataset(name, str(tmp_path))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_file_for_the_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"`data_dir` to be a folder\. Found a file at .*file"):
        open_dataset("xferlearn_toy_splits", str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["xferlearn_toy_text", "xferlearn_toy_pair"])
def test_a_dataset_that_is_no_image_classification_is_refused_before_preparing(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=rf"'{name}' is not for image classification") as caught:
        open_dataset(name, str(tmp_path))
    assert "ClassLabel" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [("cifar01", "cifar10"), ("elvp", "elpv"), ("tf_flower", "tf_flowers"), ("zzqqxx", None)],
)
def test_an_unknown_dataset_is_answered_with_the_nearest(
    name: str, near: str | None, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        open_dataset(name, str(tmp_path))
    text = str(caught.value)
    assert ("Did you mean" in text) == (near is not None)
    assert f"Did you mean {near}?" in text or near is None
    assert "`dataset` takes a name of TensorFlow Datasets, or elpv." in text
    assert "\n" not in text
    assert len(text) < 450


@pytest.mark.parametrize(
    ("name", "expected"),
    [("xferlearn_toy_offline", "Max retries exceeded"), ("xferlearn_toy_manual", "example.org")],
)
def test_what_can_not_be_prepared_is_one_line(name: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(XferlearnError, match=rf"Dataset '{name}' can't be prepared") as caught:
        open_dataset(name, str(tmp_path))
    assert not isinstance(caught.value, UserError)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_photo_of_a_dataset_opens_with_pillow(tmp_path: Path) -> None:
    entry = next(iter(open_dataset("xferlearn_toy_splits", str(tmp_path)).entries()))
    assert Image.open(io.BytesIO(entry.read())).size == (30, 20)
