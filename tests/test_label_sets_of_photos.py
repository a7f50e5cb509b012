"""Several labels per photo: how tables and folders say them, and how they are split and folded."""

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xferlearn.config import TrainConfig
from xferlearn.errors import UserError
from xferlearn.photos import PhotoSource, open_source
from xferlearn.photos.corrections import Correction, Corrections, write_corrections
from xferlearn.photos.manifest import TEST, Photo
from xferlearn.photos.opening import open_labelled
from xferlearn.photos.several import label_text, labels_in, read_label_text
from xferlearn.photos.splitting import build_manifest

NAMES = [f"{number:02d}.jpg" for number in range(24)]
# cat, dog, both, none, in turns.
SETS = [("cat",), ("dog",), ("cat", "dog"), ()] * 6


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with 24 photos in `photos`, which are not read when they are listed."""
    (tmp_path / "photos").mkdir()
    for name in NAMES:
        (tmp_path / "photos" / name).write_bytes(b"\xff\xd8\xff" + name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(**settings: Any) -> PhotoSource:
    given = {"model_dir": "model", "summaries": "none", "image_dir": "photos", **settings}
    return open_source(TrainConfig(**given))


def labelled(rows: list[tuple[object, ...]], head: str, **settings: Any) -> PhotoSource:
    text = "".join(",".join(map(str, row)) + "\n" for row in [head.split(","), *rows])
    Path("labels.csv").write_text(text, encoding="utf-8")
    return opened(labels="labels.csv", **settings)


def sets_of(source: PhotoSource) -> list[tuple[str, ...]]:
    assert source.is_multi_label
    found = {entry.name: labels_in(source.labels[entry.label]) for entry in source.entries()}
    return [found[name] for name in sorted(found)]


BARS = [(name, "|".join(labels)) for name, labels in zip(NAMES, SETS, strict=True)]
ONES = [
    (name, *(int(label in labels) for label in ("cat", "dog")))
    for name, labels in zip(NAMES, SETS, strict=True)
]


def test_labels_are_told_by_bars_columns_and_lists(root: Path) -> None:
    assert sets_of(labelled(BARS, "file,labels")) == SETS
    assert sets_of(labelled(ONES, "file,cat,dog", multi_label=True)) == SETS
    assert sets_of(labelled(ONES, "file,cat,dog", label_column="cat,dog")) == SETS
    lists = [{"file": name, "labels": [*labels]} for name, labels in zip(NAMES, SETS, strict=True)]
    Path("labels.json").write_text(json.dumps(lists))
    assert sets_of(opened(labels="labels.json")) == SETS
    assert sets_of(opened(labels=pa.Table.from_pylist(lists))) == SETS
    pq.write_table(pa.Table.from_pylist(lists), "labels.parquet")
    assert sets_of(opened(labels="labels.parquet")) == SETS


def test_numbers_in_lists_have_the_names_that_hugging_face_keeps(root: Path) -> None:
    numbers = [[("cat", "dog").index(one) for one in labels] for labels in SETS]
    found = pa.table({"file": NAMES, "label": pa.array(numbers, pa.list_(pa.int64()))})
    feature = {"feature": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "_type": "Sequence"}
    told = json.dumps({"info": {"features": {"label": feature}}})
    pq.write_table(found.replace_schema_metadata({"huggingface": told}), "labels.parquet")
    assert sets_of(opened(labels="labels.parquet")) == SETS


def test_what_is_guessed_is_said_and_what_is_not_certain_is_asked(root: Path) -> None:
    assert any("may have several labels" in one for one in labelled(BARS, "file,labels").warnings)
    # One label of each photo, which has a bar in its name: as before.
    names = [(name, "left|right" if row % 2 else "up") for row, name in enumerate(NAMES)]
    with pytest.raises(UserError, match=r"'left\|right'.*`multi_label=True`.*`multi_label=False`"):
        labelled(names, "file,labels")
    assert labelled(names, "file,labels", multi_label=False).labels == ("left|right", "up")
    assert sets_of(labelled(names, "file,labels", multi_label=True))[1] == ("left", "right")
    none = [(name, int(row % 3 == 0), int(row % 3 == 1), 0) for row, name in enumerate(NAMES)]
    with pytest.raises(UserError, match=r"0 rows with several ones and 8 with none.*`multi_label"):
        labelled(none, "file,cat,dog,bird")
    three = [(name, 1, row % 2, row % 3 // 2) for row, name in enumerate(NAMES)]
    source = labelled(three, "file,a,b,c")
    assert sets_of(source)[:3] == [("a",), ("a", "b"), ("a", "c")]
    with pytest.raises(UserError, match=r"16 rows with several ones"):
        labelled(three, "file,a,b,c", multi_label=False)
    with pytest.raises(UserError, match=r"Column 'a' of labels.csv has '7'"):
        labelled([(name, 7, 1) for name in NAMES], "file,a,b", label_column="a,b")
    lists = [{"file": name, "labels": ["cat", "dog"]} for name in NAMES]
    with pytest.raises(UserError, match=r"several labels per photo. Expected one"):
        opened(labels=pa.Table.from_pylist(lists), multi_label=False)
    # A list of one label each is one class each, unless it is said otherwise.
    lists = [{"file": name, "labels": [("cat", "dog")[row % 2]]} for row, name in enumerate(NAMES)]
    assert not opened(labels=pa.Table.from_pylist(lists)).is_multi_label
    assert opened(labels=pa.Table.from_pylist(lists), multi_label=True).is_multi_label


def test_several_rows_of_a_photo_are_several_labels_only_where_that_is_said(root: Path) -> None:
    rows = [(name, label) for name, labels in zip(NAMES, SETS, strict=True) for label in labels]
    source = labelled(rows, "file,label", multi_label=True)
    assert sets_of(source) == [labels for labels in SETS if labels]
    assert any("6 photos have several rows" in one for one in source.warnings)
    rows = [(name, label) for name in NAMES for label in ("cat", "dog")]
    with pytest.raises(UserError, match=r"with `multi_label=True` they may have several"):
        labelled(rows, "file,label")


def test_classes_are_counted_as_classes(root: Path) -> None:
    rows = [(name, "cat|dog" if row else "cat|bird") for row, name in enumerate(NAMES)]
    with pytest.raises(UserError, match=r"fewer in 1 of 3 classes: bird \(1\)"):
        labelled(rows, "file,labels")
    with pytest.raises(UserError, match=r"No photo of labels.csv has a label"):
        labelled([(name, "") for name in NAMES], "file,labels", multi_label=True)
    # A class alone is a question too: which photos show it?
    one = labelled([(name, "cat" * (row % 2)) for row, name in enumerate(NAMES)], "file,labels",
                   multi_label=True)  # fmt: skip
    assert one.labels == ("", "cat")
    assert sets_of(labelled(BARS, "file,labels", multi_label=True)) == SETS


def test_the_classes_of_a_model_are_looked_for_in_sets(root: Path) -> None:
    labelled(BARS, "file,labels")
    config = TrainConfig(image_dir="photos", labels="labels.csv", model_dir="model")
    with pytest.raises(UserError, match=r"The model has no class 'dog'"):
        open_labelled(config, ("cat",))
    skipped = open_labelled(config, ("cat",), "skip")
    assert [one for one in sets_of(skipped) if "dog" in one] == []
    assert skipped.count == 12
    assert open_labelled(config, ("cat",), "count").count == 24


@pytest.mark.parametrize("sign", [";", ", ", "/", " + ", " & "])
def test_another_sign_between_labels_is_refused_or_said(root: Path, sign: str) -> None:
    rows = [(name, f'"{sign.join(labels)}"') for name, labels in zip(NAMES, SETS, strict=True)]
    with pytest.raises(
        UserError, match=r"has values such as 'cat ?[;,/+&] ?dog'. Expected \| between"
    ):
        labelled(rows, "file,labels", multi_label=True)
    source = labelled(rows, "file,labels")
    assert not source.is_multi_label
    assert any("taken as one class. Write | between them" in one for one in source.warnings)
    # A blank is part of many names, so it is only said.
    rows = [(name, " ".join(labels)) for name, labels in zip(NAMES, SETS, strict=True)]
    source = labelled(rows, "file,labels", multi_label=True)
    assert any("'cat dog', which is taken as one class" in one for one in source.warnings)
    # Where some photos have |, all else is part of names.
    bars = [(name, '"crane, bird|dog"' if row % 2 else '"crane, bird"')
            for row, name in enumerate(NAMES)]  # fmt: skip
    assert labelled(bars, "file,labels").labels == ("crane, bird", "crane, bird|dog")
    # A name with a comma is a name, where its parts are none.
    named = [(name, ('"crane, bird"', "dog")[row % 2]) for row, name in enumerate(NAMES)]
    assert not any("Write |" in one for one in labelled(named, "file,labels").warnings)


def test_empty_cells_of_0_and_1_are_counted(root: Path) -> None:
    cells = [(name, *("" if not row else one for one in ones))
             for row, (name, *ones) in enumerate(ONES)]  # fmt: skip
    source = labelled(cells, "file,cat,dog", multi_label=True)
    assert any("taken as 0, in cat (1), dog (1)" in one for one in source.warnings)


def test_classes_and_not_sets_are_told_of_groups_colours_and_what_all_have(root: Path) -> None:
    rows = [(name, text, f"g{row // 3}") for row, (name, text) in enumerate(BARS)]
    source = labelled(rows, "file,labels,patient", group_column="patient")
    assert any("8 groups (8 of them with photos of several classes)" in one
               for one in source.warnings)  # fmt: skip
    assert not any("Fewer than 3 groups" in one for one in source.warnings)
    texts = ["a|b", "a"] * 10
    labels = sorted(set(texts))
    manifest = build_manifest(labels, photos_with(texts, labels), multi_label=True)
    assert any(one.startswith("Every photo has a:") for one in manifest.warnings)


def test_photos_of_one_object_stay_together_whichever_labels_they_have() -> None:
    texts = ["a", "a|b"] * 40
    labels = sorted(set(texts))
    photos = [
        Photo(one.digest, one.label, f"object{row // 2}_nohash_{row % 2}.jpg")
        for row, one in enumerate(photos_with(texts, labels))
    ]
    manifest = build_manifest(labels, photos, multi_label=True)
    sides = list(zip(manifest.splits, manifest.folds, strict=True))
    assert sides[::2] == sides[1::2]


def test_a_bar_in_a_name_is_written_with_a_backslash() -> None:
    names = ["a|b", "c\\", "d"]
    assert labels_in(label_text(names)) == ("a|b", "c\\", "d")
    assert label_text(names) == "a\\|b|c\\\\|d"
    assert (label_text([]), labels_in("")) == ("", ())
    assert read_label_text(" dog | cat|dog|") == "cat|dog"


def test_copies_in_several_folders_have_all_their_labels(
    make_photo_dir: Any, tmp_path: Path
) -> None:
    image_dir = make_photo_dir({"red": 6, "blue": 6})
    shutil.copy(image_dir / "red" / "0000.jpg", image_dir / "blue" / "same.jpg")
    shutil.copy(image_dir / "red" / "0001.jpg", image_dir / "red" / "twice.jpg")
    source = opened(image_dir=image_dir, multi_label=True)
    assert (source.count, source.labels) == (12, ("blue", "blue|red", "red"))
    assert sets_of(source).count(("blue", "red")) == 1
    assert "1 photo lies in the folders of several classes" in source.warnings[-1]
    alone = opened(image_dir=make_photo_dir({"red": 3, "blue": 3}), multi_label=True)
    assert "each has one label" in alone.warnings[-1]
    assert not opened(image_dir=image_dir).is_multi_label
    with pytest.raises(UserError, match=r"`multi_label` is for `labels` and folders"):
        opened(image_dir=None, dataset="elpv", multi_label=True)


def photos_with(texts: list[str], labels: list[str]) -> list[Photo]:
    return [
        Photo(hashlib.sha256(b"%d" % row).digest(), labels.index(text), f"{row}.jpg")
        for row, text in enumerate(texts)
    ]


def test_folds_and_splits_are_balanced_by_class() -> None:
    generator = np.random.default_rng(0)
    shares = {"common": 0.5, "rare": 0.04, "seldom": 0.1, "usual": 0.3}
    texts = [
        label_text(label for label, share in shares.items() if generator.random() < share)
        for _ in range(500)
    ]
    labels = sorted(set(texts))
    manifest = build_manifest(labels, photos_with(texts, labels), multi_label=True)
    assert manifest.labels == tuple(shares)
    assert [manifest.label_text(photo) for photo in manifest.photos] == texts
    y = manifest.truth(range(500))
    assert y.dtype == bool
    assert [label_text(np.array(manifest.labels)[row]) for row in y] == texts
    for place in range(4):
        of_class = [fold for fold, has in zip(manifest.folds, y[:, place], strict=True) if has]
        of_folds = Counter(fold for fold in of_class if fold >= 0)
        assert len(of_folds) == 5
        assert max(of_folds.values()) - min(of_folds.values()) <= 2
        assert any(has for has, split in zip(y[:, place], manifest.splits, strict=True)
                   if split == TEST)  # fmt: skip
    sizes = Counter(fold for fold in manifest.folds if fold >= 0)
    assert max(sizes.values()) < 1.3 * min(sizes.values())
    none = texts.count("")
    assert manifest.label_counts[0].endswith(f"{none:,} with none")
    assert not manifest.notes


def test_a_class_that_may_stand_for_no_label_is_said() -> None:
    texts = ["cat", "dog", "None", "cat|dog"]
    photos = photos_with([texts[row % 4] for row in range(40)], texts)

    def warned(texts: list[str]) -> list[str]:
        manifest = build_manifest(texts, photos, multi_label=True)
        return [line for line in manifest.warnings if "show none of the classes" in line]

    [line] = warned(texts)
    assert line.startswith("Class 'None' is never together with another one.")
    assert not warned(["cat", "dog", "None", "None|cat"]), "it is a class like any other"


def test_one_class_and_empty_cells_may_be_several_labels(root: Path) -> None:
    rows = [(name, "cat" if row % 2 else "") for row, name in enumerate(NAMES)]
    with pytest.raises(
        UserError, match=r"the 12 rows without a label show none.*`multi_label=True`"
    ):
        labelled(rows, "file,labels", label_column="labels")
    assert labelled(rows, "file,labels", multi_label=True).labels == ("", "cat")


def test_the_same_photo_twice_with_different_labels_is_said() -> None:
    texts = ["a", "b", "a|b", ""] * 5
    labels = sorted(set(texts))
    photos = photos_with(texts, labels)
    again = Photo(photos[0].digest, labels.index("b"), "copy.jpg")
    manifest = build_manifest(labels, [*photos, again], multi_label=True)
    assert any("different labels" in one and "copy.jpg" in one for one in manifest.warnings)


def test_corrections_give_sets_of_labels(root: Path) -> None:
    source = labelled(BARS, "file,labels")
    photos = [Photo(bytes([n]) * 32, one.label, one.name) for n, one in enumerate(source.entries())]
    rows = [
        Correction(photo.digest, photo.name, "relabel", text)
        for photo, text in zip(photos[:2], ("bird|cat", "dog"), strict=True)
    ]
    write_corrections("corrections.csv", Corrections({row.digest: row for row in rows}))
    corrected = labelled(BARS, "file,labels", corrections="corrections.csv")
    settled = corrected.settled(photos, [])  # type: ignore[attr-defined]
    assert settled.is_multi_label
    assert {"bird|cat", "dog"} <= set(settled.labels)
