"""Folders as people have them: split, wrapped, grouped, with a system's own between them."""

import collections
import os
from pathlib import Path

import pytest

from xferlearn.errors import UserError
from xferlearn.photos.folders.files import FileSource, read_files, read_image_dir

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF"
FLOWERS = ("daisy", "roses", "tulips")


def fill(root: Path, *folders: str, photos: int = 4, ending: str = ".jpg") -> Path:
    """Puts photos into folders, such as "train/daisy"; their names tell where they are."""
    for folder in folders:
        for number in range(photos):
            path = root / folder / f"{number}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(JPEG + folder.encode("utf-8", "surrogateescape"))
    return root


def tree(root: Path, outer: tuple[str, ...], inner: tuple[str, ...] = FLOWERS, **rest) -> Path:
    return fill(root, *(f"{one}/{two}" for one in outer for two in inner), **rest)


def splits(source: FileSource) -> dict[str | None, int]:
    return dict(collections.Counter(entry.fixed_split for entry in source.entries()))


def said(source: FileSource) -> str:
    return " ".join(source.warnings)


@pytest.mark.parametrize(
    ("outer", "counts", "summary"),
    [
        (
            ("train", "val", "test"),
            {"train": 12, "validation": 12, "test": 12},
            "12 train, 12 validation, 12 test photos.",
        ),
        (
            ("Training", "VALIDATION", "Testing"),
            {"train": 12, "validation": 12, "test": 12},
            "12 train, 12 validation, 12 test photos.",
        ),
        (("train", "eval", "test"), {"train": 12, "validation": 12, "test": 12}, "12 validation,"),
        (("train", "dev", "eval"), {"train": 12, "validation": 12, "test": 12}, "12 validation,"),
        (
            ("train", "test"),
            {None: 12, "test": 12},
            "and this split is used: 12 train, 12 test photos.",
        ),
        (("train", "holdout"), {None: 12, "test": 12}, "12 train, 12 test photos."),
        (
            ("train", "valid"),
            {None: 12, "validation": 12},
            "12 train, 12 validation photos. It has no test photos; `testing_percentage` takes",
        ),
    ],
)
def test_a_split_tree_is_used_as_it_is_split(tmp_path: Path, outer, counts, summary) -> None:
    source = read_image_dir(tree(tmp_path, outer))
    assert source.labels == FLOWERS
    assert splits(source) == counts
    assert summary in said(source)
    for entry in source.entries():
        label = entry.name.split("/")[1]
        assert source.labels[entry.label] == label
        assert entry.read().endswith(f"{entry.name.rsplit('/', 1)[0]}".encode())
    picked = source.only({f"{outer[1]}/roses/2.jpg"})
    assert splits(picked) == {list(counts)[1]: 1}


def test_a_split_in_each_class_is_used_too(tmp_path: Path) -> None:
    source = read_image_dir(tree(tmp_path, FLOWERS, ("train", "val", "test")))
    assert source.labels == FLOWERS
    assert splits(source) == {"train": 12, "validation": 12, "test": 12}


def test_classes_may_differ_a_little_between_the_splits(tmp_path: Path) -> None:
    tree(tmp_path, ("train",), (*FLOWERS, "violets"))
    source = read_image_dir(tree(tmp_path, ("test",)))
    assert source.labels == (*FLOWERS, "violets")
    assert "There are no test photos of violets." in source.warnings
    fill(tmp_path, "test/weeds")
    with pytest.raises(UserError, match=r"Class 'weeds' is in test/weeds, but not among the tr"):
        read_image_dir(tmp_path)


def test_test_photos_without_labels_are_counted_and_left_out(tmp_path: Path) -> None:
    source = read_image_dir(fill(tree(tmp_path, ("train",)), "test", photos=7))
    assert source.labels == FLOWERS
    assert splits(source) == {None: 12}
    assert "7 photos lie in no folder of a class and are left out: 7 in test." in source.warnings


def test_an_empty_split_is_said(tmp_path: Path) -> None:
    (tree(tmp_path, ("train", "test")) / "val").mkdir()
    source = read_image_dir(tmp_path)
    assert splits(source) == {None: 12, "test": 12}
    assert "1 folder holds no photos and is passed over: val." in source.warnings


def test_a_split_in_a_wrapper_and_wrapped_classes_in_a_split(tmp_path: Path) -> None:
    tree(tmp_path / "a" / "data" / "v2", ("train", "test"))
    source = read_image_dir(tmp_path / "a")
    assert (source.labels, splits(source)) == (FLOWERS, {None: 12, "test": 12})
    assert f"{tmp_path / 'a'} holds nothing but the folder data/v2, and" in said(source)
    tree(tmp_path / "b", ("train/images", "test/images"))
    source = read_image_dir(tmp_path / "b")
    assert (source.labels, splits(source)) == (FLOWERS, {None: 12, "test": 12})


def test_nested_folders_of_a_class_count_to_it_in_a_split_too(tmp_path: Path) -> None:
    fill(tmp_path, "train/daisy/near", "train/roses", "test/daisy/far", "test/roses")
    source = read_image_dir(tmp_path)
    assert (source.labels, splits(source)) == (("daisy", "roses"), {None: 8, "test": 8})


@pytest.mark.parametrize(
    "outer",
    [("fold1", "fold2", "fold3"), ("camera_a", "camera_b"), ("2023", "2024"), ("train", "plane")],
)
def test_other_folders_with_the_same_sub_folders_are_asked_about(tmp_path: Path, outer) -> None:
    tree(tmp_path, outer)
    with pytest.raises(UserError, match=r"hold the same sub-folders \(daisy, roses, tulips\)") as e:
        read_image_dir(tmp_path)
    for way in ("groups", "classes", "split"):
        assert f"`layout='{way}'`" in str(e.value)
    groups = read_image_dir(tmp_path, layout="groups")
    assert groups.labels == FLOWERS
    found = collections.Counter(entry.group for entry in groups.entries())
    assert found == dict.fromkeys(outer, 12)
    assert f"of {len(outer)} groups stay together in the split: {sorted(outer)[0]}" in said(groups)
    classes = read_image_dir(tmp_path, layout="classes")
    assert classes.labels == tuple(sorted(outer))
    assert {entry.group for entry in classes.entries()} == {None}


def test_nearly_the_same_sub_folders_are_asked_about(tmp_path: Path) -> None:
    labels = tuple("abcdefgh")
    tree(tmp_path, ("fold1",), labels)
    tree(tmp_path, ("fold2",), labels[1:])
    tree(tmp_path, ("fold3",), (*labels[:3], *labels[4:]))
    fill(tmp_path, "fold3", photos=1)  # a preview that lies astray
    with pytest.raises(UserError, match="hold the same sub-folders"):
        read_image_dir(tmp_path)


def test_layout_split_needs_the_names_of_splits(tmp_path: Path) -> None:
    tree(tmp_path, ("fold1", "fold2"))
    with pytest.raises(UserError, match=r"Expected folders named train.*Found fold1, fold2"):
        read_image_dir(tmp_path, layout="split")
    with pytest.raises(UserError, match=r"one sub-folder per class, for `layout='groups'`"):
        read_image_dir(tmp_path / "fold1", layout="groups")


@pytest.mark.parametrize(
    "folders",
    [
        # A genus has species, some with the same epithet.
        ("rosa/alba", "rosa/canina", "quercus/alba", "quercus/rubra", "tilia/cordata"),
        ("n01443537/images", "n01629819/images", "n01641577/images"),
        ("train", "plane", "car"),
        ("test", "control"),
        ("daisy", "roses/near", "roses/far", "tulips"),
        ("daisy/test", "daisy/field", "daisy/garden", "roses/field"),
    ],
)
def test_classes_stay_classes(tmp_path: Path, folders) -> None:
    source = read_image_dir(fill(tmp_path, *folders))
    assert source.labels == tuple(sorted({folder.split("/")[0] for folder in folders}))
    assert splits(source) == {None: 4 * len(folders)}
    assert source.warnings == ()


@pytest.mark.parametrize(
    ("folders", "error"),
    [
        (("train", "test"), r"train of .* are named like a split, but do not hold the same"),
        (("train/a", "train/b", "test/unknown"), r"named like a split"),
        (("test/a", "test/b", "val/a", "val/b"), r"named like a split"),
        (
            ("daisy", "roses", "test/daisy", "test/roses"),
            r"Folder test of .* named like those beside it \(daisy, roses\)",
        ),
        (
            ("a/train/x", "a/train/y", "a/test/x", "a/test/y", "b/train/x", "b/train/y"),
            r"a, b in .* are split already, into .*train.* as `image_dir`",
        ),
        (
            ("train/2023/x", "train/2023/y", "train/2024/x", "train/2024/y", "test/2023/x"),
            r"2023, 2024 of .*train would be classes, but hold the same sub-folders \(x, y\)",
        ),
        (
            ("train/x", "train/y", "test/x", "test/y", "extra/x", "extra/y"),
            r"is split into test, train, and extra beside them has the same classes",
        ),
        (
            ("train/a", "train/b", "test", "sample"),
            r"test, train in .* named like a split, but sample, test, train together are not",
        ),
        (("train", "test", "val", "other"), r"test, train, val in .* are named like a split"),
        (("train/a", "train/b", "sample"), r"train in .* is named like a split, but sample, train"),
        (
            ("train/a", "train/b", "train/c", "val/d", "val/e", "docs"),
            r"train, val in .*`layout='split'`.*`layout='groups'`.*`layout='classes'`",
        ),
        (("a/train", "a/test", "b"), r"Folder a of .* is split into test, train, but not every"),
        (("a/train", "a/test", "a", "b/train", "b/test"), r"Folder a of .* is split into test, tr"),
    ],
)
def test_what_is_not_certain_is_asked(tmp_path: Path, folders, error) -> None:
    with pytest.raises(UserError, match=error):
        read_image_dir(fill(tmp_path, *folders))


def test_a_layout_answers_what_is_named_like_a_split(tmp_path: Path) -> None:
    fill(tmp_path, "train/a", "train/b", "test", "sample")
    source = read_image_dir(tmp_path, layout="split")
    assert (source.labels, source.count) == (("a", "b"), 8)
    assert "left out: 4 in test, 4 in sample." in said(source)
    assert read_image_dir(tmp_path, layout="classes").labels == ("sample", "test", "train")
    assert read_image_dir(tmp_path, layout="groups").labels == ("a", "b")


def test_what_lies_beside_a_split_is_left_out_and_counted(tmp_path: Path) -> None:
    source = read_image_dir(fill(tree(tmp_path, ("train", "test")), "unlabelled/a", photos=5))
    assert (source.labels, source.count) == (FLOWERS, 24)
    assert "left out: 5 in unlabelled." in said(source)


@pytest.mark.parametrize(
    "system",
    [
        "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", ".thumbnails", "@tmp",
        "System Volume Information", ".ipynb_checkpoints", ".git", ".@__thumb",
    ],
)  # fmt: skip
def test_system_folders_are_passed_over_at_any_depth(tmp_path: Path, system: str) -> None:
    fill(tmp_path, *FLOWERS, system, f"daisy/{system}/1.jpg", f"roses/deep/{system}")
    source = read_image_dir(tmp_path)
    assert (source.labels, source.count) == (FLOWERS, 12)
    assert source.warnings == (f"Passed over in {tmp_path}: 3 folders {system}.",)


def test_a_wrapper_is_entered_where_that_is_certain(tmp_path: Path) -> None:
    fill(tmp_path / "a", *(f"flowers/{name}" for name in FLOWERS), "__MACOSX/flowers")
    source = read_image_dir(tmp_path / "a")
    assert (source.labels, source.count) == (FLOWERS, 12)
    assert next(iter(source.entries())).name == "flowers/daisy/0.jpg"
    (tmp_path / "a" / "annotations").mkdir()
    with pytest.raises(
        UserError, match=r"classes seem to be in .*flowers \(daisy, roses, tulips\)"
    ):
        read_image_dir(tmp_path / "a")


def test_one_class_with_nested_folders_of_its_own_is_one_class(tmp_path: Path) -> None:
    fill(tmp_path, "daisy", "daisy/near", "daisy/far")
    with pytest.raises(UserError, match=r"at least two classes.*Found 1: 'daisy'"):
        read_image_dir(tmp_path)


def test_a_wrapper_that_leads_back_to_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(UserError, match="at least two classes"):
        read_image_dir(tmp_path)


def test_empty_and_foreign_folders_warn_and_are_no_classes(tmp_path: Path) -> None:
    fill(tmp_path, *FLOWERS, "beside")
    fill(tmp_path, "docs", ending=".pdf")
    for path in (tmp_path / "docs").iterdir():
        path.write_bytes(b"%PDF-1.7")
    for path in (tmp_path / "beside").iterdir():
        path.unlink()
    (tmp_path / "stray.jpg").write_bytes(JPEG)
    source = read_image_dir(tmp_path)
    assert source.labels == FLOWERS
    assert source.warnings == (
        "2 folders hold no photos and are passed over: beside, docs.",
        "1 photo lies in no folder of a class and is left out: 1 beside the class folders.",
        f"Passed over in {tmp_path}: 4 .pdf.",
    )


@pytest.mark.parametrize("ending", [".jfif", ".JPE", ".JPG_large", "", ".jpg~", ".x y", ".tif"])
def test_a_photo_of_any_ending_is_one(tmp_path: Path, ending: str) -> None:
    source = read_image_dir(fill(tmp_path, *FLOWERS, ending=ending))
    assert source.count == 12
    assert source.warnings == ()


def test_everything_that_is_no_photo_is_counted_by_ending(tmp_path: Path) -> None:
    fill(tmp_path, *FLOWERS)
    texts = ["1.txt", "2.TXT", "README", "clip.mov", "song.wav", ".hidden.jpg", "a.b c"]
    system = [".DS_Store", "._0.jpg", "Thumbs.db", "desktop.ini", "Icon\r"]
    for name in (*texts, *system):
        (tmp_path / "daisy" / name).write_bytes(b"RIFF1234WAVE" if name == "song.wav" else b"BMW")
    os.mkfifo(tmp_path / "daisy" / "pipe")
    source = read_image_dir(tmp_path)
    assert source.count == 12
    assert source.warnings == (
        f"Passed over in {tmp_path}: 2 .txt, 2 without ending, 1 .mov, 1 .wav, 1 .b c,"
        " 1 hidden file.",
    ) or set(said(source).split(": ")[1].rstrip(".").split(", ")) == {
        "2 .txt", "2 without ending", "1 .mov", "1 .wav", "1 .b c", "1 hidden file",
    }  # fmt: skip


def test_a_folder_to_label_says_what_it_passed_over(tmp_path: Path) -> None:
    fill(tmp_path / "new", "deep")
    (tmp_path / "new" / "note.txt").write_bytes(b"note")
    source = read_files([str(tmp_path / "new")])
    assert source.count == 4
    assert source.warnings == (f"Passed over in {tmp_path / 'new'}: 1 .txt.",)
    named = read_files([str(tmp_path / "new" / "note.txt")])
    assert (named.count, named.warnings) == (1, ())
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "clip.mov").write_bytes(b"\0\0\0\x14ftypqt  ")
    with pytest.raises(UserError, match=r"Found no photos in folder .*: 1 \.mov\."):
        read_files([str(tmp_path / "none")])


def test_a_models_classes_say_where_they_are(tmp_path: Path) -> None:
    tree(tmp_path / "split", ("train", "val", "test"))
    source = read_image_dir(tmp_path / "split", FLOWERS)
    assert {entry.name.split("/")[0] for entry in source.entries()} == {"test"}
    assert (
        "says the split, and only its test photos are measured; `split='all'` measures all."
        in said(source)
    )
    source = read_image_dir(tmp_path / "split" / "val", FLOWERS)
    assert source.count == 12
    tree(tmp_path / "folds", ("fold1", "fold2"))
    assert read_image_dir(tmp_path / "folds", FLOWERS).count == 24
    fill(tmp_path / "one", "photos/roses")
    assert read_image_dir(tmp_path / "one", FLOWERS).count == 4
    # Sub-folders of a class that are all the same need no question here.
    tree(tmp_path / "nested", FLOWERS, ("near", "far"))
    assert read_image_dir(tmp_path / "nested", FLOWERS).count == 24
    tree(tmp_path / "inner", FLOWERS, ("train", "test"))
    assert read_image_dir(tmp_path / "inner", FLOWERS).count == 12
    fill(tree(tmp_path / "kaggle", ("train",)), "test", photos=7)
    assert read_image_dir(tmp_path / "kaggle", FLOWERS).count == 12


def test_classes_that_a_model_does_not_have(tmp_path: Path) -> None:
    fill(tmp_path, "roses", "weed", "moss")
    with pytest.raises(UserError, match=r"no class 'moss'.*`other_classes='skip'` leaves them out"):
        read_image_dir(tmp_path, FLOWERS)
    skipped = read_image_dir(tmp_path, FLOWERS, other_classes="skip")
    assert (skipped.labels, skipped.count) == (FLOWERS, 4)
    assert "8 photos of classes that the model does not have are left out: moss (4), weed (4)." in (
        skipped.warnings
    )
    counted = read_image_dir(tmp_path, FLOWERS, other_classes="count")
    assert (counted.labels, counted.count) == ((*FLOWERS, "moss", "weed"), 12)
    assert [counted.labels[entry.label] for entry in counted.entries()] == (
        ["moss"] * 4 + ["roses"] * 4 + ["weed"] * 4
    )
    only = fill(tmp_path / "others", "sky")
    with pytest.raises(UserError, match="Found no photos"):
        read_image_dir(only, FLOWERS, other_classes="skip")
