"""Listing photos: every ending and name a disk can hold, and mistakes answered by name."""

import dataclasses
import os
from pathlib import Path

import pyarrow as pa
import pytest

from xferlearn.errors import UserError
from xferlearn.photos.blocks import blocks_of, entries_in
from xferlearn.photos.folders.files import FileSource, read_files, read_image_dir
from xferlearn.photos.sources import Entry
from xferlearn.photos.views import Augmentation
from xferlearn.runners import POSITION


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def three(label: str) -> list[str]:
    return [f"{label}/{number}.jpg" for number in range(3)]


def names(source: FileSource) -> list[str]:
    return [entry.name for entry in source.entries()]


def test_reads_every_ending_in_any_case_and_nested_folders(tmp_path: Path) -> None:
    photos = [
        "a/1.jpg",
        "a/2.JPG",
        "a/3.jpeg",
        "a/4.JPeG",
        "a/5.png",
        "a/6.PNG",
        "a/7.bmp",
        "a/8.GIF",
        "a/9.WebP",
        "a/13.tiff",
        "a/deep/er/10.jpg",
        "a/folder.jpg/11.jpg",
    ]
    others = ["a/notes.txt", "a/jpg", "a/12.jpg.txt", "a/Thumbs.db", "a/14.jpg~"]
    touch(tmp_path, *photos, *others, *three("b"))
    source = read_image_dir(str(tmp_path))
    assert source.labels == ("a", "b")
    assert sorted(names(source)) == sorted([*photos, *three("b")])
    assert source.count == len(photos) + 3


def test_hidden_files_and_folders_and_files_beside_the_classes_are_passed_over(
    tmp_path: Path,
) -> None:
    touch(tmp_path, *three("a"), *three("b"))
    touch(tmp_path, ".git/1.jpg", "a/.hidden.jpg", "a/.thumbs/2.jpg", "a/._0.jpg", "stray.jpg")
    assert names(read_image_dir(str(tmp_path))) == [*three("a"), *three("b")]


def test_entries_hold_names_labels_sizes_and_bytes_in_the_same_order_each_time(
    tmp_path: Path,
) -> None:
    touch(tmp_path, *three("b"), *three("a"), "a/z/y.png")
    source = read_image_dir(str(tmp_path) + "/")
    entries = list(source.entries())
    assert [e.name for e in entries] == [*three("a"), "a/z/y.png", *three("b")]
    assert [e.label for e in entries] == [0, 0, 0, 0, 1, 1, 1]
    for entry in entries:
        assert entry.read() == entry.name.encode()
        assert entry.size == len(entry.name)
        assert entry.fixed_split is None
    assert names(source) == [e.name for e in entries]


def test_a_relative_folder_gives_the_same_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, *[f"photos/{name}" for name in (*three("a"), *three("b"))])
    monkeypatch.chdir(tmp_path / "photos" / "a")
    assert names(read_image_dir("..")) == [*three("a"), *three("b")]


def test_a_loop_of_links_ends_and_linked_folders_are_read(tmp_path: Path) -> None:
    touch(tmp_path, *[f"photos/{name}" for name in (*three("a"), *three("b"))])
    touch(tmp_path, "elsewhere/9.jpg")
    root = tmp_path / "photos"
    (root / "a" / "loop").symlink_to(root / "a")
    (root / "a" / "up").symlink_to(tmp_path)
    (root / "b" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "c").symlink_to(root / "b")
    source = read_image_dir(str(root))
    found = names(source)
    assert source.labels == ("a", "b", "c")
    assert [name for name in found if name.startswith("b/")] == [*three("b"), "b/more/9.jpg"]
    assert [name for name in found if name.startswith("c/")] == [*three("c"), "c/more/9.jpg"]
    assert found[:3] == three("a")
    assert len(found) == len(set(found))
    # Through `up` each of the 7 other files is met once at most.
    assert len([name for name in found if name.startswith("a/")]) <= 3 + 7


def test_a_broken_link_is_listed_and_fails_on_reading(tmp_path: Path) -> None:
    touch(tmp_path, *three("a"), *three("b"))
    (tmp_path / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "a" / "self.jpg").symlink_to(tmp_path / "a" / "self.jpg")
    entries = {e.name: e for e in read_image_dir(str(tmp_path)).entries()}
    for name in ("a/gone.jpg", "a/self.jpg"):
        assert entries[name].size == 0
        with pytest.raises(OSError, match=r"No such file|Too many levels"):
            entries[name].read()


def test_a_photo_that_vanishes_after_listing_fails_on_reading(tmp_path: Path) -> None:
    touch(tmp_path, *three("a"), *three("b"))
    source = read_image_dir(str(tmp_path))
    (tmp_path / "a" / "1.jpg").unlink()
    entry = list(source.entries())[1]
    with pytest.raises(FileNotFoundError):
        entry.read()


def test_a_pipe_named_like_a_photo_does_not_hang(tmp_path: Path) -> None:
    touch(tmp_path, *three("a"), *three("b"))
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    entry = next(e for e in read_image_dir(str(tmp_path)).entries() if "pipe" in e.name)
    with pytest.raises(OSError, match="not a regular file"):
        entry.read()


def test_class_names_are_folder_names_in_any_script(tmp_path: Path) -> None:
    labels = sorted(
        ["Gänseblümchen", "薔薇", "🌻", "with space", "-dash", "a,b", "n11939491", "#1"]
    )
    for label in labels:
        touch(tmp_path, *three(label))
    assert read_image_dir(str(tmp_path)).labels == tuple(labels)


def test_a_line_break_in_a_class_name_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, *three("a"), *three("b\nc"))
    with pytest.raises(UserError, match=r"folder 'b\\nc'.*has a line break.*Rename") as caught:
        read_image_dir(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_class_name_that_is_no_utf8_is_refused_but_a_file_name_is_read(tmp_path: Path) -> None:
    broken = b"caf\xe9".decode("utf-8", "surrogateescape")
    try:
        touch(tmp_path, *three("a"), *three("b"), f"b/{broken}.jpg")
    except OSError:
        pytest.skip("this file system admits UTF-8 names only")
    entry = list(read_image_dir(str(tmp_path)).entries())[-1]
    assert entry.name == f"b/{broken}.jpg"
    assert entry.read()
    touch(tmp_path, *three(broken))
    with pytest.raises(UserError, match=r"folder 'caf\\udce9'.*is not valid UTF-8. Rename"):
        read_image_dir(str(tmp_path))


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Expected `image_dir` to be a folder\. Found nothing at"):
        read_image_dir(str(tmp_path / "photos"))


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "photos.zip")
    with pytest.raises(UserError, match=r"to be a folder\. Found a file at .*photos.zip"):
        read_image_dir(str(tmp_path / "photos.zip"))


def test_photos_without_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    with pytest.raises(UserError, match=r"holds photos but no sub-folders.*e\.g\. .*daisy"):
        read_image_dir(str(tmp_path))


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Expected at least two classes.*Found 0: none"):
        read_image_dir(str(tmp_path))


def test_one_class(tmp_path: Path) -> None:
    touch(tmp_path, *three("daisy"))
    with pytest.raises(UserError, match=r"at least two classes.*Found 1: 'daisy'"):
        read_image_dir(str(tmp_path))


@pytest.mark.parametrize(("count", "words"), [(1, "1 photo"), (2, "2 photos")])
def test_too_few_photos_of_a_class_are_named_before_any_is_read(
    tmp_path: Path, count: int, words: str
) -> None:
    touch(tmp_path, *three("a"), "b/readme.txt", *three("b")[:count])
    with pytest.raises(UserError, match=rf"Class 'b' has {words}\. Expected at least 3"):
        read_image_dir(str(tmp_path))


def test_an_unreadable_folder_is_an_error_not_an_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, *three("a"), *three("b"), "b/locked/4.jpg")
    scandir = os.scandir

    def refusing(path: object = ".") -> object:
        # Permission bits don't hold for root, which tests may run as.
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(UserError, match=r"Can't read folder .*locked: Permission denied"):
        read_image_dir(str(tmp_path))


def test_a_models_classes_may_be_incomplete_but_not_others(tmp_path: Path) -> None:
    touch(tmp_path, "rose/1.jpg")
    labels = ("daisy", "rose", "tulip")
    source = read_image_dir(str(tmp_path), labels)
    assert source.labels == labels
    assert [(e.name, e.label) for e in source.entries()] == [("rose/1.jpg", 1)]
    touch(tmp_path, "weed/1.jpg")
    with pytest.raises(UserError, match=r"no class 'weed'.*Its classes are daisy, rose, tulip"):
        read_image_dir(str(tmp_path), labels)


def test_no_photos_for_a_models_classes(tmp_path: Path) -> None:
    (tmp_path / "rose").mkdir()
    with pytest.raises(UserError, match=r"Found no photos in .*named rose, tulip"):
        read_image_dir(str(tmp_path), ("rose", "tulip"))


def test_files_folders_and_globs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "x/b.jpg", "x/a.PNG", "x/deep/c.jpg", "x/note.txt", "one.jpg", "two.jpg")
    monkeypatch.chdir(tmp_path)
    assert names(read_files(["x"])) == ["x/a.PNG", "x/b.jpg", "x/deep/c.jpg"]
    assert names(read_files(["*.jpg"])) == ["one.jpg", "two.jpg"]
    assert names(read_files(["**/*.jpg"])) == ["one.jpg", "two.jpg", "x/b.jpg", "x/deep/c.jpg"]
    assert names(read_files(["x*"])) == ["x/a.PNG", "x/b.jpg", "x/deep/c.jpg"]
    assert names(read_files(["two.jpg", "x/note.txt"])) == ["two.jpg", "x/note.txt"]
    assert names(read_files(["two.jpg", "*.jpg", "two.jpg"])) == ["two.jpg", "one.jpg"]
    assert {e.label for e in read_files(["x"]).entries()} == {-1}


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path, "photo[1].jpg", "photo1.jpg")
    path = str(tmp_path / "photo[1].jpg")
    assert names(read_files([path])) == [path]


def test_missing_files_are_listed_and_fail_on_reading(tmp_path: Path) -> None:
    (entry,) = read_files([str(tmp_path / "missing.jpg")]).entries()
    assert entry.size == 0
    with pytest.raises(FileNotFoundError):
        entry.read()


def test_an_empty_folder_and_a_glob_that_matches_nothing_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Found no photos in folder .*"):
        read_files([str(tmp_path)])
    with pytest.raises(UserError, match=r"Nothing matches .*\*\.jpg"):
        read_files([str(tmp_path / "*.jpg")])


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=f"Can't read folder {tmp_path}: Permission denied"):
        read_image_dir(str(tmp_path))


def test_photos_go_through_a_table_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsdecode(b"odd \xff.jpg")
    touch(tmp_path, f"a/{odd}", "a/2.jpg")
    monkeypatch.chdir(tmp_path)
    first, second = read_files(["a"]).entries()
    group = os.fsdecode(b"leaf \xff")
    entries = [
        dataclasses.replace(first, label=3, fixed_split="test", group=group, bit_depth=12),
        dataclasses.replace(
            second, digest=bytes(range(32)), view=(Augmentation(True, random_crop=10), 2)
        ),
        Entry("held", -1, lambda: b"held bytes", 10),
        Entry("lost", -1, Path("gone.jpg").read_bytes, 10),
    ]
    blocks = [*blocks_of(entries, rows=3)]
    monkeypatch.chdir("/")
    found = [entry for block in blocks for entry in entries_in(block)]
    assert pa.concat_tables(blocks)[POSITION].to_pylist() == [0, 1, 2, 3]
    for one, other in zip(entries, found, strict=True):
        path = other.address and os.path.relpath(other.address, tmp_path)
        assert dataclasses.replace(other, read=one.read, address=path) == one
    assert [entry.read() for entry in found[:3]] == [
        b"a/2.jpg",
        f"a/{odd}".encode("utf-8", "surrogateescape"),
        b"held bytes",
    ]
    with pytest.raises(OSError, match="No such file"):
        found[3].read()
