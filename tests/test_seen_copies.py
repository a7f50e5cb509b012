"""A model recognises copies of its photos: its folder says how they look, its cache even more."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictures import cropped, encode, picture

from xferlearn.model_folder import read_model_folder
from xferlearn.photos.recorded import parse_photos

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(name="trained")
def train(run_tiny: Run, tmp_path: Path) -> Path:
    """A model of twelve photos per class, four of them with a re-saved copy."""
    for place, label in enumerate(("leaf", "tree")):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(12):
            data = encode(picture(100 * place + number))
            (tmp_path / "photos" / label / f"{number}.jpg").write_bytes(data)
        for number in range(2):
            data = encode(picture(100 * place + number), quality=60)
            (tmp_path / "photos" / label / f"copy{number}.jpg").write_bytes(data)
    code, out, err = run_tiny(
        "train",
        f"--image_dir={tmp_path / 'photos'}",
        f"--model_dir={tmp_path / 'model'}",
        "--image_size=96",
        "--summaries=none",
    )
    assert code == 0, err
    assert "8 photos have a near twin, which is in the same split" in out
    return tmp_path / "model"


def test_an_evaluation_recognises_re_saved_photos(trained: Path, tmp_path: Path) -> None:
    from xferlearn import evaluate

    photos = read_model_folder(trained).photos()
    assert all(len(photo.look) == 76 for photo in photos)
    metadata = json.loads((trained / "metadata.json").read_text())
    assert metadata["split"]["near_twins"] == 8
    used = {photo.name for photo in photos if photo.split == "train"}
    for place, label in enumerate(("leaf", "tree")):
        (tmp_path / "more" / label).mkdir(parents=True)
        for number in range(6):
            image = picture(100 * place + number)
            (tmp_path / "more" / label / f"{number}.jpg").write_bytes(encode(image, quality=85))
        # Nobody has seen this one, and half of it is no copy.
        for name, image in (("new", picture(900 + place)), ("part", cropped(picture(0), 0.5))):
            (tmp_path / "more" / label / f"{name}.jpg").write_bytes(encode(image))
    # The model has learned from its test photos too, once it was measured.
    expected = sum(
        f"{label}/{number}.jpg" in used for label in ("leaf", "tree") for number in range(6)
    )
    for cache in ("bottlenecks", "another machine's"):
        result = evaluate(
            model=trained,
            image_dir=tmp_path / "more",
            bottleneck_dir=tmp_path / cache,
            engine="tensorflow",
            precision="float32",
            verbose=0,
        )
        assert result.seen.photos == {"train": 0, "validation": 0, "test": 0}
        assert result.seen.copies["train"] == expected
        assert result.evaluation.total == 4
        left_out = (
            "12 re-saved copies of photos that the model has learned from"
            f" ({expected} train, {12 - expected} test); `include_seen`"
        )
        assert left_out in " ".join(str(result).split())
        assert not any("too high" in warning for warning in result.warnings)
        assert result.as_dict()["copies_of_training"] == result.seen.copies
        assert {name.split("/")[1] for name in _wrong(result)} <= {"new.jpg", "part.jpg"}


def test_where_nothing_says_a_split_the_models_own_is_meant(
    small_model: Path, photo_dir: Path, tmp_path: Path
) -> None:
    from xferlearn import UserError, evaluate

    settings = {
        "model": small_model, "image_dir": photo_dir, "bottleneck_dir": tmp_path, "verbose": 0,
    }  # fmt: skip
    test = [photo for photo in read_model_folder(small_model).photos() if photo.split == "test"]
    result = evaluate(split="test", **settings)
    assert (result.evaluation.total, result.seen.total) == (len(test), 0)
    others = f"{len(test)} photos are test photos of {small_model}; {90 - len(test)} others are not"
    assert others in result.warnings
    new = evaluate(**settings)
    assert (new.evaluation.total, new.seen.total) == (len(test), 90 - len(test))
    with pytest.raises(UserError, match="none of its photos is a validation photo of"):
        evaluate(split="validation", **settings)
    with pytest.raises(
        UserError, match=r"is new to .*: \d+ photos that the .* \(\d+ train\)\. Give"
    ):
        evaluate(split="train", **settings)


def _wrong(result: Any) -> list[str]:
    return [photo.name for photo in result.misclassified]


def test_tables_of_earlier_versions_are_read(trained: Path) -> None:
    lines = (trained / "photos.csv").read_text().splitlines()
    rows = [row[:4] for row in csv.reader(lines)]
    photos = list(parse_photos("".join(f"{','.join(row)}\n" for row in rows).encode()))
    assert [photo.digest.hex() for photo in photos] == [row[0] for row in rows[1:]]
    assert not any(photo.look for photo in photos)
    sides = {(photo.split, photo.learned, photo.fold) for photo in photos}
    assert sides == {("train", True, -1), ("test", False, -1)}
    with pytest.raises(ValueError, match="does not begin with sha256,label,split,file"):
        list(parse_photos(b"file,split\n"))
