"""Photos in buckets: folders of classes, tables that name them, and addresses to label."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from tests.buckets import put_folder, s3_server
from xferlearn.config import TrainConfig
from xferlearn.errors import UserError
from xferlearn.photos import load_photos, open_source, read_files, read_image_dir
from xferlearn.photos.blocks import blocks_of, entries_in
from xferlearn.photos.limits import PhotoLimits
from xferlearn.system import places

JPEG = b"\xff\xd8\xff\xe0" + bytes(60)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bucket that is a folder; s3://flowers is what the code sees of it."""
    system = SubTreeFileSystem(str(tmp_path), LocalFileSystem())
    monkeypatch.setattr(places, "file_system", lambda scheme, host, options: system)
    folder = tmp_path / "flowers"
    folder.mkdir()
    return folder


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG + name.encode())


def classes(folder: Path, *names: str) -> None:
    put(folder, *(f"{name}/{number}.jpg" for name in names for number in range(3)))


def names(source) -> list[str]:
    return [entry.name for entry in source.entries()]


def test_a_bucket_is_listed_as_the_same_folder_of_a_disk(bucket: Path) -> None:
    photos = bucket / "photos"
    classes(photos, "roses", "asters")
    put(
        photos, "roses/a-b/x.PNG", "roses/a/y.jpg", "roses/a.jpg", "roses/odd", "asters/s.JPG_large"
    )
    put(photos, "roses/.hidden/z.jpg", "roses/@eaDir/z.jpg", "roses/._0.jpg", "roses/.secret.jpg")
    for name in ("roses/notes.txt", "asters/notes.txt", "asters/Thumbs.db"):
        (photos / name).write_text("text, and nothing else")
    there, here = read_image_dir("s3://flowers/photos"), read_image_dir(str(photos))
    assert there.labels == here.labels == ("asters", "roses")
    assert names(there) == names(here)
    assert [entry.label for entry in there.entries()] == [entry.label for entry in here.entries()]
    assert [entry.read() for entry in there.entries()] == [entry.read() for entry in here.entries()]
    assert [entry.size for entry in there.entries()] == [entry.size for entry in here.entries()]
    assert [line.replace("s3://flowers/photos", str(photos)) for line in there.warnings] == (
        list(here.warnings)
    )
    assert [entry.changed for entry in there.entries()] == [one.changed for one in here.entries()]
    (named,) = read_files(["s3://flowers/photos/roses/a.jpg?region=x"]).entries()
    assert named.changed == (photos / "roses" / "a.jpg").stat().st_mtime_ns
    there_too = read_image_dir("s3://flowers/photos?region=x")
    (block,) = blocks_of(there_too.entries(), 100)
    elsewhere = entries_in(block)
    assert [one.read() for one in elsewhere] == [one.read() for one in here.entries()]
    assert {one.address.partition("?")[2] for one in elsewhere} == {"region=x"}
    assert there.files[0][0] == "s3://flowers/photos/asters/0.jpg"
    assert names(there.only({"roses/a.jpg"})) == ["roses/a.jpg"]
    put(photos, "note/1.jpg")
    with pytest.raises(UserError, match=r"Class 'note' has 1 photo"):
        read_image_dir("s3://flowers/photos")


def test_splits_and_groups_of_a_bucket_are_those_of_its_folders(bucket: Path) -> None:
    for split in ("train", "val", "test"):
        classes(bucket / "split" / split, "roses", "asters")
    source = read_image_dir("s3://flowers/split")
    assert [entry.fixed_split for entry in source.entries()].count("test") == 6
    for fold in ("one", "two", "three"):
        classes(bucket / "folds" / fold, "roses", "asters")
    with pytest.raises(UserError, match="of s3://flowers/folds hold the same sub-folders"):
        read_image_dir("s3://flowers/folds")
    grouped = read_image_dir("s3://flowers/folds", layout="groups")
    assert {entry.group for entry in grouped.entries()} == {"one", "two", "three"}


def test_photos_to_label_are_objects_folders_and_patterns(bucket: Path) -> None:
    put(bucket, "new/1.jpg", "new/deep/2.jpg", "new/deep/3.png", "one.bin", "old/4.jpg")
    found = ["s3://flowers/new/1.jpg", "s3://flowers/new/deep/2.jpg", "s3://flowers/new/deep/3.png"]
    assert names(read_files(["s3://flowers/new"])) == found
    assert names(read_files(["s3://flowers/new/"])) == found
    assert names(read_files(["s3://flowers/n*"])) == found
    assert names(read_files(["s3://flowers/**/[23].*"])) == found[1:]
    assert names(read_files(["s3://flowers/new/*.jpg", "s3://flowers/new"])) == found
    assert names(read_files(["s3://flowers/one.bin"])) == ["s3://flowers/one.bin"]
    Path(bucket / "list.txt").write_text("s3://flowers/old/\ns3://flowers/new/1.jpg\n")
    listed = read_files([f"@{bucket / 'list.txt'}"])
    assert names(listed) == ["s3://flowers/old/4.jpg", "s3://flowers/new/1.jpg"]
    assert [entry.read()[:4] for entry in listed.entries()] == [JPEG[:4]] * 2


def test_what_is_not_there_is_a_bad_photo_or_one_error(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "new/1.jpg", "new/2.jpg")
    source = read_files(["s3://flowers/new", "s3://flowers/gone.jpg"])
    (bucket / "new" / "2.jpg").unlink()
    loaded = list(load_photos(source.entries(), 32, PhotoLimits()))
    assert ["no such object" in (item.problem or "") for item in loaded] == [False, True, True]
    for word, message in (
        ("s3://flowers/nothing", "Found no photos in folder s3://flowers/nothing."),
        ("s3://flowers/*.png", r"Nothing matches s3://flowers/\*.png."),
        ("abfs://flowers/new", r"Expected photos to be a path or one of s3://, gs://, hdfs://"),
        ("s3://key:secret@flowers/new", "Expected photos without credentials"),
    ):
        with pytest.raises(UserError, match=message):
            read_files([word])
    with pytest.raises(UserError, match=r"`image_dir` to be a folder. Found nothing at s3://fl"):
        read_image_dir("s3://flowers/none")

    def denied(*_: object, **__: object) -> None:
        raise OSError("ACCESS_DENIED during ListObjectsV2")

    monkeypatch.setattr(places._Bucket, "files", denied)
    with pytest.raises(UserError, match=r"Can't list s3://flowers/new: ACCESS_DENIED.*may read it"):
        read_image_dir("s3://flowers/new")


def test_tables_name_photos_in_buckets_and_may_lie_there(
    bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    classes(bucket / "photos", "roses", "asters")
    rows = [(f"{name}/{number}.jpg", name) for name in ("asters", "roses") for number in range(3)]
    text = "file,label\n" + "".join(f"{name},{label}\n" for name, label in rows)
    Path("local.csv").write_text(text + "roses/9.jpg,roses\n")
    (bucket / "photos" / "labels.csv").write_text(text)
    Path("whole.csv").write_text(text.replace("\n", "\ns3://flowers/photos/").rpartition("\n")[0])
    table = pa.table({"file": [name for name, _ in rows], "label": [one for _, one in rows]})
    pq.write_table(table, bucket / "photos" / "labels.parquet")
    there = "s3://flowers/photos"

    def opened(**settings: str):
        return open_source(TrainConfig(model_dir="model", summaries="none", **settings))

    for source in (
        opened(labels="local.csv", image_dir=there),
        opened(labels=f"{there}/labels.csv"),
        opened(labels=f"{there}/labels.parquet", image_dir=there),
    ):
        assert names(source) == [name for name, _ in rows]
        assert all(entry.read().startswith(JPEG) for entry in source.entries())
    assert names(opened(labels="whole.csv")) == [f"{there}/{name}" for name, _ in rows]
    left_out = opened(labels="local.csv", image_dir=there).left_out
    assert [(one.name, one.reason) for one in left_out] == [("roses/9.jpg", "not found")]
    with pytest.raises(UserError, match=r"to be a table. Found nothing at s3://flowers/gone.csv"):
        opened(labels="s3://flowers/gone.csv")
    pq.write_table(pa.table({"image": [JPEG], "label": ["a"]}), bucket / "bytes.parquet")
    with pytest.raises(UserError, match=r"bytes.parquet holds the photos itself.*download it"):
        opened(labels="s3://flowers/bytes.parquet")
    (bucket / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"Can't read s3://flowers/broken.parquet as a Parquet"):
        opened(labels="s3://flowers/broken.parquet")


def test_photos_come_in_any_order_that_is_asked_for(bucket: Path, tmp_path: Path) -> None:
    classes(bucket / "photos", "roses", "asters")
    put(tmp_path, "new/1.jpg", "new/2.jpg")
    config = TrainConfig(
        image_dir="s3://flowers/photos", unlabelled=str(tmp_path / "new"), model_dir="model",
        group_by=r"(\d)", summaries="none",
    )  # fmt: skip
    source = open_source(config)
    every = list(source.entries())
    order = np.array([7, 0, 5, 6, 2])
    assert source.any_order
    assert [(one.name, one.group) for one in source.entries(order)] == (
        [(every[row].name, every[row].group) for row in order]
    )
    assert list(source.entries(order[:0])) == []


@pytest.mark.slow
def test_a_real_server_of_s3_answers_alike(tmp_path: Path) -> None:
    classes(tmp_path / "photos", "roses", "asters")
    with s3_server() as address:
        put_folder(tmp_path / "photos", f"{address}/photos")
        source = read_image_dir(f"{address}/photos")
        assert names(source) == names(read_image_dir(str(tmp_path / "photos")))
        assert all(entry.read().startswith(JPEG) for entry in source.entries())
        for wrong, came in (
            ("s3://no-such-bucket", "nothing"),
            (f"{address}/photos/roses/1.jpg", "a"),
        ):
            with pytest.raises(UserError, match=f"Found {came} .*at {wrong}"):
                read_image_dir(wrong)
