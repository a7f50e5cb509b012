"""Photos found again: by name with the bytes they had, or by their bytes wherever they are."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Set
from pathlib import Path

import pytest

from xferlearn.config import ImageConfig
from xferlearn.photos import reading
from xferlearn.photos.folders.files import FileSource, read_image_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import Photo
from xferlearn.photos.reading import load_photos, readable
from xferlearn.photos.selecting import pick_photos, search_photos, views_of
from xferlearn.photos.sources import Entry, PhotoSource, named
from xferlearn.photos.views import Augmentation

PhotoBytes = Callable[..., bytes]
LIMITS = PhotoLimits()
FLIP = Augmentation(flip_left_right=True)


class Stream:
    """A source with no way to a photo but past all before it, as a dataset is."""

    def __init__(self, source: PhotoSource) -> None:
        self.source = source
        self.labels, self.count = source.labels, source.count
        self.passed: list[str] = []

    def entries(self) -> Iterator[Entry]:
        for entry in self.source.entries():
            self.passed.append(entry.name)
            yield entry

    def only(self, names: Set[str], most_bytes: int | None = None) -> "Some":
        return Some(self, names, most_bytes)


class Some:
    """Some photos of a stream."""

    def __init__(self, stream: Stream, names: Set[str], most_bytes: int | None) -> None:
        self.stream, self.names, self.most_bytes = stream, names, most_bytes

    def entries(self) -> Iterator[Entry]:
        return named(self.stream.entries(), self.names, self.most_bytes)


@pytest.fixture
def source(make_photo_dir) -> FileSource:
    return read_image_dir(str(make_photo_dir({"blue": 4, "red": 4})))


def photos_of(source: PhotoSource, *names: str) -> list[Photo]:
    return [
        Photo(hashlib.sha256(entry.read()).digest(), entry.label, entry.name)
        for entry in source.entries()
        if entry.name in names
    ]


@pytest.mark.parametrize("wrap", [lambda source: source, Stream])
def test_photos_are_picked_in_the_sources_order_with_their_digests(source, wrap) -> None:
    photos = photos_of(source, "blue/0001.jpg", "blue/0003.jpg", "red/0002.jpg")
    entries = list(pick_photos(wrap(source), reversed(photos)))
    assert [entry.name for entry in entries] == [photo.name for photo in photos]
    assert [entry.digest for entry in entries] == [photo.digest for photo in photos]
    assert [entry.label for entry in entries] == [0, 0, 1]
    assert list(pick_photos(wrap(source), [])) == []


def test_what_follows_the_last_photo_is_not_looked_at(source) -> None:
    stream = Stream(source)
    assert len(list(pick_photos(stream, photos_of(source, "blue/0001.jpg")))) == 1
    assert stream.passed == ["blue/0000.jpg", "blue/0001.jpg"]


def test_a_large_dataset_is_not_passed_to_its_end_but_files_are_found(source) -> None:
    photos = photos_of(source, "blue/0000.jpg", "red/0003.jpg")
    most = 3 * next(source.entries()).size
    (entry,) = pick_photos(Stream(source), photos, most_bytes=most)
    assert entry.name == "blue/0000.jpg"
    assert len(list(pick_photos(source, photos, most_bytes=most))) == 2


def test_a_file_with_other_bytes_is_not_the_photo(source, photo_bytes: PhotoBytes) -> None:
    photos = photos_of(source, "blue/0001.jpg", "red/0001.jpg", "red/0002.jpg")
    Path(source.root, "blue/0001.jpg").write_bytes(photo_bytes("white"))
    Path(source.root, "red/0001.jpg").unlink()
    changed, removed, same = load_photos(pick_photos(source, photos), 32, LIMITS)
    assert (changed.digest, changed.image) == (b"", None)
    assert changed.problem == "it changed while this was running"
    assert removed.problem == "No such file or directory"
    assert same.digest == photos[2].digest
    assert [item.entry.name for item in readable([changed, removed, same])] == ["red/0002.jpg"]


def test_a_photo_in_two_classes_is_picked_in_the_one_that_is_meant() -> None:
    files = tuple((f"{name}.jpg", label) for label in (0, 1) for name in "ab")
    both = FileSource(("x", "y"), files)
    photos = [Photo(b"1" * 32, 1, "a.jpg"), Photo(b"2" * 32, 0, "b.jpg")]
    for source in (both, Stream(both)):
        found = [(entry.name, entry.label) for entry in pick_photos(source, photos)]
        assert found == [("b.jpg", 0), ("a.jpg", 1)]


def test_views_follow_one_another(source) -> None:
    photos = photos_of(source, "blue/0001.jpg", "red/0001.jpg")
    entries = list(pick_photos(source, photos, augmentation=FLIP, numbers=(1, 0)))
    assert [entry.name for entry in entries] == ["blue/0001.jpg"] * 2 + ["red/0001.jpg"] * 2
    assert [entry.view for entry in entries] == [(FLIP, 1), (FLIP, 0)] * 2
    loaded = list(load_photos(entries, 32, LIMITS))
    assert [item.key for item in loaded[1::2]] == [photo.digest for photo in photos]
    assert [item.key for item in loaded[::2]] == [
        FLIP.view(photo.digest, 1).key(photo.digest) for photo in photos
    ]
    (plain,) = views_of([next(source.entries())], None, (0,))
    assert plain.view is None


def test_photos_are_found_under_any_name_and_once(
    source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "READ_AHEAD_PHOTOS", 8)
    photos = photos_of(source, "blue/0001.jpg", "red/0002.jpg")
    for number in range(40):
        shutil.copy(Path(source.root, "red/0000.jpg"), tmp_path / f"b{number:02d}.jpg")
    for number in range(3):
        shutil.copy(Path(source.root, "blue/0001.jpg"), tmp_path / f"a{number}.jpg")
    files = FileSource((), tuple((str(path), -1) for path in sorted(tmp_path.iterdir())))
    digests = {photo.digest for photo in photos}
    (found,) = search_photos(files.entries(), digests, 32, LIMITS)
    assert (found.digest, Path(found.entry.name).name) == (photos[0].digest, "a0.jpg")
    assert found.image is not None
    stream = Stream(files)
    assert len(list(search_photos(stream.entries(), {photos[0].digest}, 32, LIMITS))) == 1
    assert len(stream.passed) <= 10, "more were read than are read ahead"
    stream.passed.clear()
    assert list(search_photos(stream.entries(), set(), 32, LIMITS)) == []
    assert stream.passed == []


def test_limits_are_those_of_the_settings() -> None:
    config = ImageConfig(max_image_bytes=10, max_image_pixels=20, on_bad_image="fail")
    assert PhotoLimits.of(config) == PhotoLimits(10, 20, "fail")
    assert PhotoLimits() == PhotoLimits.of(ImageConfig())
