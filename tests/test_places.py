"""Folders on this machine and in buckets: one behaviour, whole files, no secrets shown."""

import importlib
import os
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

import xferlearn
import xferlearn.config
from xferlearn.cli import main
from xferlearn.config.base import Config, Setting, StrPath, read_value, settings_of
from xferlearn.errors import UserError, XferlearnError
from xferlearn.model_folder import fetched_model
from xferlearn.model_folder.buckets import check_bucket, mirrored_exports, put_model
from xferlearn.photos.blocks import block_of, entries_in
from xferlearn.photos.folders.files import read_files
from xferlearn.photos.folders.trees import photos_below
from xferlearn.summaries import deliver_run, run_folder
from xferlearn.system import places
from xferlearn.system.addresses import (
    address_below,
    check_address,
    last_name,
    local_name,
    shown_address,
)
from xferlearn.system.fetching import by_address, fetched, origin, staging_folder
from xferlearn.system.folders import check_outside, check_outside_model, check_writable
from xferlearn.system.outputs import check_output_anywhere
from xferlearn.system.places import Place, place_of


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Lets s3://b be a folder, through pyarrow's local file system; with an empty cache."""
    root = tmp_path / "store"
    (root / "b").mkdir(parents=True)
    system = fs.SubTreeFileSystem(str(root), fs.LocalFileSystem())
    monkeypatch.setattr(places, "file_system", lambda *_: system)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return root / "b"


def names(place: Place, *, below: bool = True) -> list[str]:
    return sorted(one.name for one in place.files(below=below))


@pytest.mark.parametrize("kind", ["local", "mock", "arrow"])
def test_a_place_is_the_same_wherever_it_is(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b").mkdir()
    system = {
        "mock": lambda: fs._MockFileSystem(),
        "arrow": lambda: fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()),
    }.get(kind, lambda: None)()
    monkeypatch.setattr(places, "file_system", lambda *_: system)
    address = str(tmp_path / "b" / "photos") if kind == "local" else "s3://b/photos"
    place = place_of(address + "/" * (kind != "local"))
    assert place.address == address
    assert (place.local is not None) == (kind == "local")
    assert place == place_of(address)
    assert len({place, place_of(address)}) == 1
    assert names(place) == []
    assert place.find("a.jpg") is None
    place.write("a.jpg", b"first")
    place.write("a.jpg", b"second")
    place.child("roses").write("1.jpg", b"rose")
    place.write("roses/.1.jpg.0123abcd.tmp", b"half")  # as a kill leaves it
    assert names(place) == ["a.jpg", "roses/1.jpg"]
    assert names(place, below=False) == ["a.jpg"]
    assert place.read("a.jpg") == b"second"
    found = place.find("roses/1.jpg")
    assert found is not None
    assert (found.name, found.size) == ("roses/1.jpg", 4)
    assert place.find("roses") is None
    with place.open("a.jpg") as file:
        file.seek(3)
        assert file.read() == b"ond"
    assert place.address_of("roses/1.jpg") == f"{address}/roses/1.jpg"
    place.remove("a.jpg")
    place.remove("a.jpg")
    assert names(place) == ["roses/1.jpg"]
    for read in (place.read, place.open):
        with pytest.raises(FileNotFoundError):
            read("a.jpg")


def test_a_write_that_fails_leaves_what_was_there(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_of("s3://b/x")
    place.write("model.keras", b"old")
    written: list[str] = []

    def failing(self: Any, path: str, content: bytes) -> None:
        written.append(path)
        with self.system.open_output_stream(path, compression=None) as file:
            file.write(content[:2])
            raise OSError("the connection broke")

    monkeypatch.setattr(places._Bucket, "_write", failing)
    with pytest.raises(OSError, match="the connection broke"):
        place.write("model.keras", b"new")
    assert written
    assert place.read("model.keras") == b"old"
    assert names(place) == ["model.keras"]
    assert os.listdir(bucket / "x") == ["model.keras"]


SECRETS = (
    "s3://AKIA123:hunter2@b/x",
    "s3://hunter2@b/x",
    "s3://AKIA123:hun/hunter2@b/x",
    "s3://AKIA123:12/hunter2@b/x",
    "s3://AKIA123:hunter2#hun@b/x",
    "s3://AKIA123:hun?hunter2@b/x",
    "s3://AKIA123:hunter2?hun=ter@b/x",
    "s3://anonymous@AKIA123:hun/hunter2@b/x",
    "s3:/AKIA123:hunter2@b/x",
    "s3:/AKIA123:hun/hunter2@b/x",
    "hdfs://ann:hunter2/x@h:8020/x",
    "s3://b/x?secret_key=hunter2",
    "s3://b/x?endpoint_override=http://u:hunter2@h",
    "s3://b/x?endpoint_override=http://u:hunter2@h&endpoint_override=h",
    "s3://b/x?endpoint_override=http://u:hunter2?x@h",
    "gs://b/x?token=hunter2",
    "https://ann:hunter2@example.org/x",
    "https://b.s3.amazonaws.com/x?X-Amz-Signature=hunter2",
)


@pytest.mark.parametrize("address", SECRETS)
def test_credentials_in_an_address_are_refused_and_never_shown(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "hunter2" not in shown_address(address)
    for bucket_too in (True, False):
        with pytest.raises(UserError) as error:
            check_address("`image_dir`", address, bucket=bucket_too)
        assert "hunter2" not in str(error.value)
        assert "`image_dir`" in str(error.value)
    for flag in ("image_dir", "weights", "model_dir", "unlabelled"):
        words = ["train", f"--image_dir={tmp_path}", f"--{flag}={address}"]
        assert main(words) == 2
    for words in (["label", "--model=m", address], ["diff", address, "m"]):
        assert main(words) == 2
    said = capsys.readouterr()
    assert "hunter2" not in said.out + said.err
    assert said.err.count("\n") == 6


def test_what_a_library_says_of_a_bucket_shows_no_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: str) -> None:
        raise OSError("Can't resolve http://ann:hunter2@proxy/ for s3://b\nagain")

    monkeypatch.setattr(places, "file_system", refuse)
    with pytest.raises(UserError, match=r"Can't reach `model` s3://b/x: .*//\.\.\.@proxy") as error:
        fetched("s3://b/x", "`model`")
    assert "hunter2" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_copy_of_what_changes_meanwhile_is_made_again(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_of("s3://b/m")
    place.write("a", b"1")
    place.write("b", b"1")
    read = places._Bucket.read

    def changing(self: Any, name: str) -> bytes:
        content = read(self, name)
        if content == b"1":
            for both in ("a", "b"):
                place.write(both, b"22")
        return content

    monkeypatch.setattr(places._Bucket, "read", changing)
    copy = fetched("s3://b/m", "`model`")
    assert [(copy / name).read_bytes() for name in ("a", "b")] == [b"22", b"22"]
    assert sum(one.is_dir() for one in copy.parents[1].iterdir()) == 1

    def endless(self: Any, name: str) -> bytes:
        place.write(name, read(self, name) + b"1")
        return b""

    monkeypatch.setattr(places._Bucket, "read", endless)
    place.write("a", b"333")
    with pytest.raises(XferlearnError, match="s3://b/m is changed again and again"):
        fetched("s3://b/m", "`model`")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://h/x", "to be a path or one of s3://, gs://, hdfs://. Received: ftp://h/x."),
        ("s3://", "to name a bucket, as in s3://bucket/folder"),
        ("s3:///x", "to name a bucket"),
        ("s3:/b/x", "what a Path makes of an address. Give s3://b/x as text"),
        ("s3://b/x?reigon=y", "no option 'reigon'"),
        ("s3://[b/x", "to be an address such as"),
        ("s3://b#2/x", "to be an address such as"),
        ("s3://b?2", "to be an address such as"),
    ],
)
def test_an_address_that_means_nothing_is_refused(address: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        place_of(address, "`logs_dir`")
    assert said in str(error.value)
    assert "`logs_dir`" in str(error.value)


def test_addresses_are_compared_by_bucket_and_names() -> None:
    for inner in (
        "s3://b/p/logs",
        "s3://anonymous@b/p/logs?region=x",
        "S3://b/p//logs",
        "s3://b/p",
    ):
        with pytest.raises(UserError, match="every folder is a class"):
            check_outside("s3://b/p", "logs_dir", inner)
    for other in ("s3://b/photos", "s3://c/p/x", "gs://b/p/x", "p/x", "s3://b/p/.logs"):
        check_outside("s3://b/p", "logs_dir", other)
    with pytest.raises(UserError, match="replaced as a whole"):
        check_outside_model("s3://b/m", "logs_dir", "s3://b/m/logs")
    assert address_below("s3://b/p?region=x", "a/1.jpg") == "s3://b/p/a/1.jpg?region=x"
    assert local_name("s3://b/x/flowers/").startswith("flowers-")
    assert local_name("s3://b/x") != local_name("s3://c/x")


def test_names_of_objects_may_hold_the_signs_of_addresses(bucket: Path) -> None:
    odd = ["10:30/me@home.jpg", "a#1.jpg", "a?1.jpg", "a?b=1.jpg", "c#2/1.jpg", "d?e=f/1.jpg"]
    for name in odd:
        place_of("s3://b/ph").write(name, name.encode())
    assert names(place_of("s3://b/ph")) == odd
    assert names(place_of("s3://b/ph/c#2/")) == ["1.jpg"]
    assert place_of("s3://b/out#2").address_of("x") == "s3://b/out#2/x"
    assert last_name("s3://b/ph/me@home#2?region=x") == "me@home#2"
    for address in ("s3://b/ph", "s3://b/ph/*", "s3://anonymous@b/ph?region=x"):
        entries = list(read_files([address]).entries())
        assert [entry.read().decode() for entry in entries] == odd
        there = entries_in(block_of(entries, 0))
        assert [entry.read().decode() for entry in there] == odd
        # What is shown can be given.
        (again,) = read_files([entries[3].name]).entries()
        assert again.read() == b"a?b=1.jpg"
    for entry in photos_below("s3://b/ph").entries():
        (there,) = entries_in(block_of([entry], 0))
        assert there.read().decode() == entry.name.removeprefix("s3://b/ph/")
    output = check_output_anywhere("s3://b/out#2/labels#1.csv")
    output.write(lambda file: file.write(b"rose"))
    assert (bucket / "out#2" / "labels#1.csv").read_bytes() == b"rose"
    assert fetched("s3://b/out#2/labels#1.csv", "`labels`").read_bytes() == b"rose"


def _configs() -> list[type[Config]]:
    for module in pkgutil.iter_modules(xferlearn.config.__path__):
        importlib.import_module(f"xferlearn.config.{module.name}")
    found, waiting = [], [Config]
    while waiting:
        below = waiting.pop().__subclasses__()
        found += below
        waiting += below
    return list(dict.fromkeys(found))


def test_every_setting_that_names_a_path_takes_buckets_or_refuses_them() -> None:
    rules: dict[tuple[str, Setting], Any] = {}
    for config in _configs():
        for name, (field, setting) in settings_of(config).items():
            typed = StrPath.__args__[1] in getattr(field.type.__origin__, "__args__", ())  # type: ignore[attr-defined]
            assert not typed or setting.is_path, f"{config.__name__}.{name} has no form of a path"
            assert setting.is_path or not setting.bucket
            if setting.is_path:
                rules[name, setting] = field
    assert {"image_dir", "model_dir", "logs_dir", "weights"} <= {name for name, _ in rules}
    for (name, setting), field in rules.items():
        for address in ("s3://b/x", "GS://b/x", "ftp://b/x", "s3://k:s@b/x"):
            if setting.bucket and address in ("s3://b/x", "GS://b/x"):
                assert address in str(read_value(name, address, field, setting))
                continue
            with pytest.raises(UserError, match=f"Expected `{name}`") as error:
                read_value(name, address, field, setting)
            assert "k:s" not in str(error.value)


def test_a_copy_is_kept_current_and_never_changed(bucket: Path, tmp_path: Path) -> None:
    place = place_of("s3://b/models/flowers")
    place.write("metadata.json", b"1")
    place.write("model.keras", b"same")
    place.write("exports/a.onnx", b"large")
    first = fetched_model("s3://b/models/flowers")
    assert sorted(path.name for path in first.iterdir()) == ["metadata.json", "model.keras"]
    assert first.name == "flowers"
    assert fetched_model("s3://b/models/flowers") == first
    assert origin(first / "model.keras") == "s3://b/models/flowers/model.keras"
    place.write("metadata.json", b"23")
    second = fetched_model("s3://b/models/flowers")
    assert second != first
    assert (second / "metadata.json").read_bytes() == b"23"
    assert (first / "metadata.json").read_bytes() == b"1"
    # What did not change is not fetched again.
    assert (second / "model.keras").samefile(first / "model.keras")
    place_of("s3://b/models").write("net.xml", b"x")
    place_of("s3://b/models").write("net.bin", b"y")
    place_of("s3://b/models").write("other.bin", b"z")
    file = fetched_model("s3://b/models/net.xml")
    assert file.read_bytes() == b"x"
    assert file.with_suffix(".bin").read_bytes() == b"y"
    assert not file.with_name("other.bin").exists()
    said = f"{file} has no labels, those of {file.with_name('labels.txt')} differ"
    there = "s3://b/models/net.xml has no labels, those of s3://b/models/labels.txt differ"
    assert by_address(said, file) == there
    assert by_address(str(tmp_path), tmp_path) == str(tmp_path)
    with pytest.raises(UserError, match=r"Found nothing at s3://b/models/rose, given for `model`"):
        fetched_model("s3://b/models/rose")
    assert fetched("models/rose", "`model`") == Path("models/rose")


def test_a_model_in_a_bucket_is_replaced_so_that_none_is_mixed(
    bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "flowers"
    model.mkdir()
    for name in ("metadata.json", "model.keras", "labels.txt", "photos.csv"):
        (model / name).write_text(f"new {name}")
    put_model(model, "s3://b/m", overwrite=False)
    place = place_of("s3://b/m")
    place.write("exports/old.onnx", b"old")
    place.write("predictions.parquet", b"old")
    with pytest.raises(UserError, match="s3://b/m holds a model already"):
        check_bucket("s3://b/m", overwrite=False)
    seen: list[str] = []
    write, remove = places._Bucket.write, places._Bucket.remove

    def failing(self: Any, name: str, content: bytes) -> None:
        if name == "photos.csv":
            raise OSError("the connection broke")
        write(self, name, content)

    monkeypatch.setattr(places._Bucket, "write", failing)
    with pytest.raises(XferlearnError, match=r"Can't write the model to s3://b/m: the connection"):
        put_model(model, "s3://b/m", overwrite=True)
    assert place.find("metadata.json") is None  # no reader takes what is there for a model
    monkeypatch.setattr(
        places._Bucket, "write", lambda self, n, c: (seen.append(n), write(self, n, c))
    )
    monkeypatch.setattr(
        places._Bucket, "remove", lambda self, n: (seen.append(f"-{n}"), remove(self, n))
    )
    put_model(model, "s3://b/m", overwrite=False)
    assert seen[0] == "-metadata.json"
    assert seen[-1] == "metadata.json"
    assert names(place) == ["labels.txt", "metadata.json", "model.keras", "photos.csv"]
    with mirrored_exports(fetched_model("s3://b/m")):
        (fetched_model("s3://b/m") / "exports").mkdir()
        (fetched_model("s3://b/m") / "exports" / "a.onnx").write_bytes(b"made")
    assert place.read("exports/a.onnx") == b"made"
    with mirrored_exports(fetched_model("s3://b/m")):
        (fetched_model("s3://b/m") / "exports" / "a.onnx").unlink()
    assert place.find("exports/a.onnx") is None
    place.write("notes.txt", b"mine")
    with pytest.raises(UserError, match=r"holds notes\.txt, which is not part of a model"):
        check_bucket("s3://b/m", overwrite=True)


def test_a_run_is_put_to_a_bucket_as_it_ends(bucket: Path) -> None:
    with run_folder("s3://b/logs", "roses") as run_dir:
        (run_dir / "train").mkdir()
        (run_dir / "train" / "events.out.tfevents.1").write_bytes(b"events")
        (run_dir / "photos.json").write_bytes(b"{}")
        assert names(place_of("s3://b")) == []
        assert deliver_run(run_dir) == []
    assert origin(run_dir) == f"s3://b/logs/{run_dir.name}"
    below = [
        f"logs/{run_dir.name}/{name}" for name in ("photos.json", "train/events.out.tfevents.1")
    ]
    assert names(place_of("s3://b")) == below
    assert not run_dir.exists()
    # Another machine may have a run of that name; they are never mixed.
    run_dir.mkdir()
    (said,) = deliver_run(run_dir)
    assert "another run has its name" in said
    assert str(run_dir) in said
    assert deliver_run(None) == []
    os.utime(run_dir, (0, 0))
    staging_folder("s3://b/other")
    assert not run_dir.exists()


def test_a_file_of_results_is_written_to_a_bucket_whole(bucket: Path, tmp_path: Path) -> None:
    output = check_output_anywhere("s3://b/out/labels.csv")
    output.write(lambda file: file.write(b"rose"))
    assert place_of("s3://b/out").read("labels.csv") == b"rose"

    def failing(file: Any) -> None:
        file.write(b"half")
        raise OSError("no memory")

    with pytest.raises(OSError, match="no memory"):
        output.write(failing)
    assert place_of("s3://b/out").read("labels.csv") == b"rose"
    for address in ("s3://b/out/", "s3://b", "s3://b/out#2/"):
        with pytest.raises(UserError, match="Expected `output` to be a file"):
            check_output_anywhere(address)
    (bucket / "taken").write_bytes(b"")
    with pytest.raises(UserError, match=r"Can't write to s3://b/taken: .*another `logs_dir`"):
        check_writable("logs_dir", "s3://b/taken")
