"""Photos that belong together stay on one side of the split, whatever names them."""

import csv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xferlearn.config import TrainConfig
from xferlearn.errors import UserError
from xferlearn.photos import Photo, PhotoSource, build_manifest, open_source

PLANTS = 8


@pytest.fixture
def photos(tmp_path: Path, photo_bytes: Callable[..., bytes]) -> Path:
    """Two classes of eight plants, three photos each, and one photo of no plant in each class."""
    root = tmp_path / "photos"
    for label in ("red", "blue"):
        for plant in range(PLANTS):
            for number in range(3):
                path = root / label / f"plant{plant}" / f"{label}-p{plant}-{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(photo_bytes(label, 10 * plant + number))
        (root / label / "alone.jpg").write_bytes(photo_bytes(label, 1000))
    return root


def opened(image_dir: Path, **settings: Any) -> PhotoSource:
    given = {"model_dir": "model", "summaries": "none", "image_dir": image_dir, **settings}
    if "labels" not in given and settings.get("group_by") != "folder":
        # Plants of the same name in each class could also be the classes.
        given = {"layout": "classes", **given}
    return open_source(TrainConfig(**given))


def groups(source: PhotoSource) -> dict[str | None, int]:
    found: dict[str | None, int] = defaultdict(int)
    for entry in source.entries():
        found[entry.group] += 1
    return found


def test_a_folder_below_the_class_is_a_group_in_all_classes(photos: Path) -> None:
    source = opened(photos, group_by="folder")
    assert groups(source) == {None: 2, **{f"plant{plant}": 6 for plant in range(PLANTS)}}
    assert "48 photos in 8 groups (8 of them with photos of several classes)" in source.warnings[0]
    assert "2 photos belong to no group and stand alone: blue/alone.jpg" in source.warnings[1]
    assert [one.group for one in source.only({"red/plant3/red-p3-1.jpg"}).entries()] == ["plant3"]


@pytest.mark.parametrize("name", ["rose\u0301", "ros\u00e9", " red "])
def test_a_class_is_found_in_the_path_however_its_folder_is_written(
    photos: Path, name: str
) -> None:
    (photos / "red").rename(photos / name)
    source = opened(photos, group_by="folder")
    assert groups(source) == {None: 2, **{f"plant{plant}": 6 for plant in range(PLANTS)}}


def test_folders_of_classes_in_a_split_are_groups_and_the_split_is_kept(
    photos: Path, tmp_path: Path
) -> None:
    for split, plants in {"train": range(4), "test": range(4, PLANTS)}.items():
        for label in ("red", "blue"):
            for plant in plants:
                path = tmp_path / "split" / split / label / f"plant{plant}"
                path.parent.mkdir(parents=True, exist_ok=True)
                (photos / label / f"plant{plant}").rename(path)
    source = opened(tmp_path / "split", group_by="folder")
    assert source.labels == ("blue", "red")
    assert groups(source) == {f"plant{plant}": 6 for plant in range(PLANTS)}
    assert {entry.fixed_split for entry in source.entries()} == {None, "test"}
    with pytest.raises(UserError, match="are in groups already"):
        opened(tmp_path / "split", layout="groups", group_by="folder")


@pytest.mark.parametrize(
    ("pattern", "count", "group"),
    [(r"(red|blue)-p(\d)", 2, "red"), (r"\w+-p\d", 16, "red-p0"), (r"-p(\d)-", 8, "0")],
)
def test_a_regular_expression_names_the_group(
    photos: Path, pattern: str, count: int, group: str
) -> None:
    found = groups(opened(photos, group_by=pattern))
    assert found.pop(None) == 2
    assert (len(found), group in found) == (count, True)


def test_classes_of_too_few_groups_are_named(photos: Path) -> None:
    source = opened(photos, group_by=r"(red|blue)-p")
    # The photo that stands alone counts as a group.
    assert source.warnings[-1] == (
        "Fewer than 3 groups in blue (2), red (2): too few to have some to learn from and some to"
        " measure with."
    )


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("nothing", "matches the name of none of 50 photos, e.g. blue/alone.jpg"),
        (r"()", "matches the name of none of 50 photos"),
        ("jpg", "puts all photos into one group, 'jpg'"),
        ("(", r"Received: '\(' \("),
    ],
)
def test_what_tells_no_photos_apart_is_refused(photos: Path, pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        opened(photos, group_by=pattern)


def test_a_class_without_folders_has_no_folders_to_group_by(photo_dir: Path) -> None:
    with pytest.raises(UserError, match="found no photo in a folder below its class"):
        opened(photo_dir, group_by="folder")
    with pytest.raises(UserError, match="`group_by` needs `image_dir` or `labels`"):
        TrainConfig(model_dir="m", dataset="mnist", group_by="folder")


def test_groups_of_a_layout_are_not_grouped_again(photos: Path, tmp_path: Path) -> None:
    for name in ("camera_a", "camera_b"):
        (tmp_path / "cameras" / name).mkdir(parents=True)
        for label in ("red", "blue"):
            (tmp_path / "cameras" / name / label).symlink_to(photos / label / "plant0")
    with pytest.raises(UserError, match="are in groups already, such as camera_"):
        opened(tmp_path / "cameras", layout="groups", group_by="folder")


def test_a_column_of_the_table_groups(photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "patient_id", "lesion_id", "room"])
        for number, path in enumerate(sorted(photos.rglob("*-p*.jpg"))):
            label, plant = path.relative_to(photos).parts[:2]
            lesion = f"{plant}-{number % 2}"
            writer.writerow([path.relative_to(photos), label, plant, lesion, f"r{plant[-1]}"])
    found = groups(opened(photos, labels=table))
    # The patient has several lesions, and keeps them together.
    assert found == {f"plant{plant}": 6 for plant in range(PLANTS)}
    assert groups(opened(photos, labels=table, group_column="none")) == {None: 48}
    assert len(groups(opened(photos, labels=table, group_column="lesion_id"))) == 16
    assert "r3" in groups(opened(photos, labels=table, group_by="room"))
    assert "0" in groups(opened(photos, labels=table, group_by=r"-p(\d)-"))
    assert "plant1" in groups(opened(photos, labels=table, group_by="folder"))
    with pytest.raises(UserError, match=r"no column 'romo' for `group_by`. Did you mean room\?"):
        opened(photos, labels=table, group_by="romo")
    with pytest.raises(UserError, match="either `group_by` or `group_column`"):
        opened(photos, labels=table, group_by="room", group_column="patient_id")


def test_a_column_with_too_few_groups_is_named_and_not_used(tmp_path: Path, photos: Path) -> None:
    table = tmp_path / "labels.csv"
    lines = [
        f"{path.name},{path.parent.parent.name},{number % 2}"
        for number, path in enumerate(sorted(photos.rglob("*-p*.jpg")))
    ]
    table.write_text("\n".join(["file,label,session", *lines]))
    source = opened(photos, labels=table)
    assert groups(source) == {None: 48}
    assert "a class has only 2 of its values. It is not used" in source.warnings[1]
    assert len(groups(opened(photos, labels=table, group_column="session"))) == 2


def test_groups_in_several_given_splits_are_counted(tmp_path: Path, photos: Path) -> None:
    table = tmp_path / "labels.csv"
    lines = [
        f"{path.name},{path.parent.parent.name},{'test' if '-p0-1' in path.name else 'train'}"
        for path in sorted(photos.rglob("*-p*.jpg"))
    ]
    table.write_text("\n".join(["file,label,split", *lines]))
    source = opened(photos, labels=table, group_by=r"-(p\d)-")
    with pytest.raises(UserError, match="Class 'blue' has no training photos left"):
        opened(photos, labels=table, group_by=r"(\w+)-p")
    assert "1 group has photos in several of the given splits: p0." in source.warnings[-1]


def photo(number: int, label: int, group: str | None) -> Photo:
    return Photo(bytes([label, number]) * 16, label, f"{label}/{number}.jpg", group=group)


@pytest.mark.parametrize("seed", range(20))
def test_groups_of_all_classes_reach_every_split_and_stay_whole(seed: int) -> None:
    photos = [photo(number, label, f"g{number % 6}") for label in (0, 1, 2) for number in range(24)]
    splits = build_manifest(
        ("a", "b", "c"), photos, validation_percentage=10, testing_percentage=10, split_seed=seed
    ).splits
    found = defaultdict(set)
    for one, split in zip(photos, splits, strict=True):
        found[one.group].add(split)
    assert all(len(where) == 1 for where in found.values())
    for label in (0, 1, 2):
        held = {split for one, split in zip(photos, splits, strict=True) if one.label == label}
        assert held == {"train", "validation", "test"}


def test_training_records_groups_and_keeps_them_apart(
    photos: Path, run_tiny: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    code, _, err = run_tiny(
        "train",
        f"--image_dir={photos}",
        f"--model_dir={model}",
        "--group_by=folder",
        "--testing_percentage=10",
    )
    assert code == 0, err
    assert "48 photos in 8 groups" in err
    with (model / "photos.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    sides = defaultdict(set)
    for row in rows:
        sides[row["group"] or row["file"]].add((row["split"], row["fold"]))
    assert all(len(found) == 1 for found in sides.values())
    # Each group of the photos to learn from is left out once.
    learned = len(sides) - list(sides.values()).count({("test", "")})
    assert 0 < learned < len(sides)
    assert {fold for _, fold in set.union(*sides.values())} == {"", *map(str, range(learned))}
