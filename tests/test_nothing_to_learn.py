"""Photos that show nothing to tell classes apart by: the error says so, and blames no setting."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pictures import encode, picture
from PIL import Image, ImageDraw, PngImagePlugin

from xferlearn.config import TrainConfig
from xferlearn.errors import UserError
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.opening import open_source
from xferlearn.training.fit import prepare
from xferlearn.training.networks import load_networks

if TYPE_CHECKING:
    import keras


Run = Callable[..., tuple[int, str, str]]


def flat(colour: object, side: int = 60) -> Callable[[int], bytes]:
    """One colour; sizes differ, so that no two files have the same bytes."""
    return lambda number: encode(Image.new("RGB", (side + number, side), colour))


def drawing(number: int) -> bytes:
    image = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((number, number, 40 + number, 40 + number), fill="white")
    return encode(image, "PNG")


def deep_black(number: int) -> bytes:
    return encode(Image.fromarray(np.zeros((60, 60 + number), np.uint16)), "PNG")


def noisy_black(number: int) -> bytes:
    noise = np.random.default_rng(number).poisson(1, (90, 90, 3))
    return encode(Image.fromarray(noise.astype(np.uint8)))


def same_picture(number: int) -> bytes:
    return encode(picture(0), quality=60 + number)


def same_pixels(number: int) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Number", str(number))
    return encode(picture(0), "PNG", pnginfo=text)


def other_picture(number: int) -> bytes:
    return encode(picture(1000 + number))


def photo_dir(root: Path, classes: Mapping[str, Callable[[int], bytes]], count: int = 10) -> Path:
    for place, (label, make) in enumerate(classes.items()):
        (root / label).mkdir(parents=True)
        for number in range(count):
            data = make(place * count + number)
            (root / label / f"{number}.{'png' if data[1:4] == b'PNG' else 'jpg'}").write_bytes(data)
    return root


BLANK = {
    "black": (flat("black"), r"all 20 photos look the same, black .*in the dark"),
    "black with noise": (noisy_black, r"all 20 photos look the same, black "),
    "black in 16 bits": (deep_black, r"all 20 photos look the same, black .*in the dark"),
    "white": (flat("white"), r"all 20 photos look the same, white "),
    "white on transparency": (drawing, r"all 20 photos look the same, white .*transparent pixels"),
    "one colour": (flat((40, 90, 160)), r"all 20 photos look .* colour \(red 4\d, green 9\d, blue"),
    "one picture, saved again": (
        same_picture,
        r"all 20 photos show the same picture, e.g. a/0.jpg",
    ),
    "one picture, the same pixels": (same_pixels, r"all 20 photos show the same picture"),
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> "tuple[keras.Model, ...]":
    return load_networks(config_of(tmp_path_factory.mktemp("networks")))


def config_of(root: Path, **settings: float) -> TrainConfig:
    return TrainConfig(
        image_dir=str(root / "photos"),
        bottleneck_dir=str(root / "bottlenecks"),
        model_dir=str(root / "model"),
        backbone="mobilenet_0.25",
        weights="none",
        image_size=64,
        engine="tensorflow",
        precision="float32",
        verbose=0,
        **settings,
    )


def split(root: Path, networks: "tuple[keras.Model, ...]", **settings: float) -> Manifest:
    """What a training does with photos before the head learns."""
    config = config_of(root, **settings)
    return prepare(config, open_source(config), networks).split(config)


@pytest.mark.parametrize("kind", BLANK)
def test_photos_that_all_look_the_same(
    kind: str, networks: "tuple[keras.Model, ...]", tmp_path: Path
) -> None:
    make, expected = BLANK[kind]
    photo_dir(tmp_path / "photos", {"a": make, "b": make})
    with pytest.raises(UserError, match=f"^There is nothing to learn: {expected}") as caught:
        split(tmp_path, networks)
    assert "learning" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["train", "sweep", "curve", "compare"])
def test_every_command_says_it_before_it_trains(
    command: str, run_tiny: Run, tmp_path: Path
) -> None:
    photos = photo_dir(tmp_path / "photos", {"a": drawing, "b": drawing}, 5)
    model = [f"--model_dir={tmp_path / 'model'}"] if command == "train" else []
    code, _, err = run_tiny(command, f"--image_dir={photos}", *model)
    assert code == 2
    assert "There is nothing to learn: all 10 photos look the same, white" in err
    assert "learning_rate" not in err
    assert not (tmp_path / "model").exists()


def test_two_classes_that_look_the_same_are_named_among_others(
    networks: "tuple[keras.Model, ...]", tmp_path: Path
) -> None:
    classes = {"circle": drawing, "leaf": other_picture, "star": drawing}
    photo_dir(tmp_path / "photos", classes)
    expected = "all 20 photos of classes 'circle' and 'star' look the same, white"
    with pytest.raises(UserError, match=expected):
        split(tmp_path, networks)


@pytest.mark.parametrize("make", [flat("black"), noisy_black], ids=["equal pixels", "noise"])
def test_one_class_of_one_colour_is_learned(
    make: Callable[[int], bytes], networks: "tuple[keras.Model, ...]", tmp_path: Path
) -> None:
    photo_dir(tmp_path / "photos", {"cap": make, "leaf": other_picture})
    manifest = split(tmp_path, networks, testing_percentage=10)
    counts = manifest.counts()["cap"]
    assert counts["train"] + counts["test"] == 10
    assert counts["test"]
    # That they look the same makes them no twins, which would be left out together.
    folds = [f for p, f in zip(manifest.photos, manifest.folds, strict=True) if p.name[:3] == "cap"]
    assert len(set(folds)) == counts["train"] + 1
    assert any(
        "All 10 photos of class 'cap' are black, without anything on them" in warning
        for warning in manifest.warnings
    )


def test_one_class_of_one_file_of_one_colour_is_learned(run_tiny: Run, tmp_path: Path) -> None:
    # The same bytes ten times are one photo, which can be learned but not measured.
    classes = {"cap": lambda number: flat("black")(0), "leaf": other_picture}
    photos = photo_dir(tmp_path / "photos", classes)
    model = f"--model_dir={tmp_path / 'model'}"
    code, out, err = run_tiny("train", f"--image_dir={photos}", model, "--summaries=none")
    assert code == 0, err
    assert "All 10 photos of class 'cap' are black" in err
    assert "Class 'cap' is one photo: it is learned, but can't be measured" in err
    assert re.search(r"^cap +1 *$", out, re.MULTILINE)
    assert "9 duplicate photos are left out: 9 with equal bytes" in out


def test_classes_that_differ_in_colour_only_are_learned(
    networks: "tuple[keras.Model, ...]", tmp_path: Path
) -> None:
    photo_dir(tmp_path / "photos", {"red": flat("red"), "blue": flat("blue")})
    warnings = split(tmp_path, networks).warnings
    assert any("class 'blue' are of one colour (red 0, green 0, blue 25" in one for one in warnings)


def test_a_class_of_copies_is_told_of(networks: "tuple[keras.Model, ...]", tmp_path: Path) -> None:
    photos = photo_dir(tmp_path / "photos", {"copied": same_pixels, "leaf": other_picture})
    expected = (
        r"Class 'copied' has 1 different readable photo\. Expected at least 3, .*; its other 9"
        r" photos are copies\. Add photos"
    )
    with pytest.raises(UserError, match=expected):
        split(tmp_path, networks)
    for number, path in enumerate(sorted((photos / "copied").iterdir())):
        path.unlink()
        (photos / "copied" / f"{number}.jpg").write_bytes(same_picture(number))
    manifest = split(tmp_path, networks)
    assert manifest.counts()["copied"] == {"train": 10, "validation": 0, "test": 0}
    assert manifest.near_twins == 10
    told = "All 10 photos of class 'copied' are near twins of one another"
    assert any(told in warning for warning in manifest.warnings)


def test_a_few_blank_photos_are_told_of(
    networks: "tuple[keras.Model, ...]", tmp_path: Path
) -> None:
    photos = photo_dir(tmp_path / "photos", {"leaf": other_picture, "tree": other_picture})
    (photos / "leaf" / "blank.jpg").write_bytes(flat("white")(0))
    told = "1 photo shows one colour and nothing else, e.g. leaf/blank.jpg."
    assert told in split(tmp_path, networks).warnings
