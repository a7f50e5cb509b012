"""Photos to bottlenecks with a toy network: nothing lost, nothing twice, no error swallowed."""

import collections
import dataclasses
import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xferlearn.bottlenecks import blocks, compute, writing
from xferlearn.bottlenecks.compute import Extraction, extract, extract_source
from xferlearn.bottlenecks.engines import Engine
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.errors import UserError
from xferlearn.photos import reading
from xferlearn.photos.folders.files import FileSource, read_image_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import BadPhoto
from xferlearn.photos.pixels import decoding
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.reading import Loaded, load_photos
from xferlearn.photos.sources import Entry

SIZE = 32
LIMITS = PhotoLimits()
PhotoBytes = Callable[..., bytes]
MakePhotoDir = Callable[..., Path]


def space(name: str = "mean_colour") -> FeatureSpace:
    return FeatureSpace(name, "0", SIZE, "crop", "none", "average", "float32", 3)


@dataclasses.dataclass
class ToyEngine:
    """Mean colours as bottlenecks; counts what it is asked to do."""

    started: int = 0
    batches: list[int] = dataclasses.field(default_factory=list)

    def __call__(self) -> Engine:
        self.started += 1
        return Engine("toy", "float32", self.run)

    def run(self, pixels: np.ndarray) -> np.ndarray:
        assert pixels.dtype == np.uint8
        assert pixels.shape[1:] == (SIZE, SIZE, 3)
        self.batches.append(len(pixels))
        return pixels.mean(axis=(1, 2)).astype(np.float32)


@dataclasses.dataclass
class BlueFails(ToyEngine):
    """Fails on the batch with a blue photo: two batches run at once, so counting tells none."""

    error: BaseException = dataclasses.field(default_factory=RuntimeError)

    def run(self, pixels: np.ndarray) -> np.ndarray:
        vectors = super().run(pixels)
        if (vectors.argmax(axis=1) == 2).any():
            raise self.error
        return vectors


def with_one_blue(photo_bytes: PhotoBytes, number: int, at: int) -> tuple[bytes, ...]:
    """Returns red photos, and a blue one at this place."""
    return tuple(photo_bytes("blue" if n == at else "red", n, size=(40, 40)) for n in range(number))


@dataclasses.dataclass(frozen=True)
class BytesSource:
    """Photos in memory, as a dataset gives them."""

    photos: tuple[bytes, ...]
    labels: tuple[str, ...] = ("a", "b")

    @property
    def count(self) -> int:
        return len(self.photos)

    def entries(self) -> Iterator[Entry]:
        for number, data in enumerate(self.photos):
            yield Entry(f"photo{number}", number % 2, lambda data=data: data, len(data))


def run(
    source: object, root: Path, engine: ToyEngine | None = None, **settings: object
) -> tuple[Extraction, BottleneckStore, ToyEngine]:
    engine = engine or ToyEngine()
    store = BottleneckStore(root, space())
    limits = PhotoLimits(**settings)
    return extract(source.entries(), store, engine, limits, count=source.count), store, engine


@pytest.fixture(autouse=True, params=["decoded now", "in a pipeline"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Few photos are decoded at once, more in a pipeline of tf.data, to the same end."""
    if request.param == "in a pipeline":
        monkeypatch.setattr(decoding, "_CHUNK_PHOTOS", 1)
    return request.param


@pytest.fixture
def three_colours(make_photo_dir: MakePhotoDir) -> Path:
    """Ten small photos each of red, green and blue, to be changed freely."""
    return make_photo_dir({"red": 10, "green": 10, "blue": 10})


def test_every_photo_is_computed_once_in_the_sources_order(
    three_colours: Path, tmp_path: Path
) -> None:
    source = read_image_dir(str(three_colours))
    result, store, engine = run(source, tmp_path)
    assert (result.computed, result.cached) == (30, 0)
    assert result.bad == ()
    assert engine.started == 1
    assert sum(engine.batches) == 30
    assert [photo.name for photo in result.photos] == [e.name for e in source.entries()]
    for photo in result.photos:
        data = (three_colours / photo.name).read_bytes()
        assert photo.digest == hashlib.sha256(data).digest()
        assert source.labels[photo.label] == photo.name.split("/")[0]
    vectors = store.read([photo.digest for photo in result.photos])
    strongest = [("red", "green", "blue")[i] for i in vectors.argmax(axis=1)]
    assert strongest == [photo.name.split("/")[0] for photo in result.photos]
    assert result.seconds > 0
    assert result.photos_per_second == pytest.approx(30 / result.seconds)


def test_a_second_run_computes_nothing_and_starts_no_network(
    three_colours: Path, tmp_path: Path
) -> None:
    source = read_image_dir(str(three_colours))
    first, _, _ = run(source, tmp_path)
    second, store, engine = run(source, tmp_path)
    assert (second.computed, second.cached) == (0, 30)
    assert engine.started == 0
    assert second.photos == first.photos
    assert store.warnings == []


def test_only_changed_and_new_photos_are_computed_again(
    three_colours: Path, tmp_path: Path, photo_bytes: PhotoBytes
) -> None:
    run(read_image_dir(str(three_colours)), tmp_path)
    (three_colours / "red" / "0003.jpg").write_bytes(photo_bytes("red", 900))
    (three_colours / "blue" / "new.png").write_bytes(photo_bytes("blue", 901, form="PNG"))
    (three_colours / "green" / "0001.jpg").rename(three_colours / "green" / "renamed.JPG")
    (three_colours / "green" / "0002.jpg").unlink()
    result, _, engine = run(read_image_dir(str(three_colours)), tmp_path)
    assert (result.computed, result.cached) == (2, 28)
    assert sum(engine.batches) == 2


def test_a_damaged_shard_is_computed_again(three_colours: Path, tmp_path: Path) -> None:
    source = read_image_dir(str(three_colours))
    _, store, _ = run(source, tmp_path)
    (shard,) = store.folder.glob("*.arrow")
    shard.write_bytes(shard.read_bytes()[:-30])
    result, store, _ = run(source, tmp_path)
    assert (result.computed, result.cached) == (30, 0)
    assert len(store.warnings) == 1


def bad_folder(root: Path, photo_bytes: PhotoBytes) -> dict[str, str]:
    """Puts bad photos among good ones; returns a part of each one's reason."""
    noise = photo_bytes("red", 1, size=(200, 150))
    png = photo_bytes("red", 2, form="PNG", size=(200, 150))
    broken_scan = bytearray(noise)
    broken_scan[noise.index(b"\xff\xc4") + 4 : noise.index(b"\xff\xc4") + 20] = b"\xff" * 16
    bad = {
        "blue/0002a.jpg": (b"", "the file is empty"),
        "blue/0004.text.jpg": (b"not a photo at all", "not a JPEG, PNG"),
        "green/0000.cut.jpg": (noise[: len(noise) // 2], "can't be decoded"),
        "green/0001.cut.png": (png[: len(png) // 2], "can't be decoded"),
        "green/0001.scan.jpg": (bytes(broken_scan), "can't be decoded"),
        "red/zz.page.jpg": (b"<!DOCTYPE html><html>", "an HTML or XML page"),
    }
    for name, (data, _) in bad.items():
        (root / name).write_bytes(data)
    return {name: reason for name, (_, reason) in bad.items()}


def test_bad_photos_are_listed_in_order_with_their_reasons(
    three_colours: Path, tmp_path: Path, photo_bytes: PhotoBytes
) -> None:
    expected = bad_folder(three_colours, photo_bytes)
    source = read_image_dir(str(three_colours))
    for cached in (0, 30):
        result, _, _ = run(source, tmp_path)
        assert result.cached == cached
        assert [bad.name for bad in result.bad] == list(expected)
        for bad in result.bad:
            assert expected[bad.name] in bad.reason
            assert "\n" not in bad.reason
            assert "{{" not in bad.reason, "TensorFlow's inner names are no reason"
            assert source.labels[bad.label] == bad.name.split("/")[0]
        assert len(result.photos) == 30


@pytest.mark.parametrize("kind", ["header", "data"])
def test_on_bad_image_fail_stops_at_the_bad_photo(
    three_colours: Path, tmp_path: Path, photo_bytes: PhotoBytes, kind: str
) -> None:
    photo = photo_bytes("red", 1, size=(200, 150))
    data = b"" if kind == "header" else photo[: len(photo) // 2]
    (three_colours / "green" / "0005a.jpg").write_bytes(data)
    source = read_image_dir(str(three_colours))
    with pytest.raises(UserError, match=r"green/0005a.jpg can't be used: .*`on_bad_image='skip'`"):
        run(source, tmp_path, on_bad_image="fail")
    assert run(source, tmp_path)[0].cached >= 0


def test_the_caps_hold(three_colours: Path, tmp_path: Path, photo_bytes: PhotoBytes) -> None:
    large = three_colours / "red" / "large.png"
    large.write_bytes(photo_bytes("red", 5, form="PNG", size=(100, 100)))
    source = read_image_dir(str(three_colours))
    (bad,) = run(source, tmp_path, max_image_pixels=9999)[0].bad
    assert bad.reason == "100 x 100 pixels, more than max_image_pixels=9999"
    size = large.stat().st_size
    (bad,) = run(source, tmp_path, max_image_bytes=size - 1)[0].bad
    assert bad.reason == f"{size} bytes, more than max_image_bytes={size - 1}"
    assert run(source, tmp_path)[0].bad == ()


def test_all_photos_bad(tmp_path: Path) -> None:
    result, _, engine = run(BytesSource((b"", b"x", b"<html>")), tmp_path)
    assert [bad.name for bad in result.bad] == ["photo0", "photo1", "photo2"]
    assert (result.photos, result.computed, result.cached, engine.started) == ((), 0, 0, 0)


def test_hundreds_of_broken_photos_in_a_row(tmp_path: Path, photo_bytes: PhotoBytes) -> None:
    good = [photo_bytes("red", n) for n in range(3)]
    # All have good headers, so only decoding finds out; several batches fail in a row.
    broken = [photo_bytes("blue", n, size=(200, 150))[: -300 - n] for n in range(150)]
    result, _, _ = run(BytesSource((good[0], *broken, good[1], good[2], *broken[:80])), tmp_path)
    assert [photo.name for photo in result.photos] == ["photo0", "photo151", "photo152"]
    names = [f"photo{n}" for n in (*range(1, 151), *range(153, 233))]
    assert [bad.name for bad in result.bad] == names
    assert all("can't be decoded" in bad.reason for bad in result.bad)


def test_no_photos(tmp_path: Path) -> None:
    result, _, engine = run(BytesSource(()), tmp_path)
    assert (result.photos, result.bad, engine.started) == ((), (), 0)


def test_copies_are_computed_once_and_all_listed(tmp_path: Path, photo_bytes: PhotoBytes) -> None:
    first, second = photo_bytes("red", 0), photo_bytes("green", 0)
    source = BytesSource((first, second, first, first, second))
    result, _, engine = run(source, tmp_path)
    assert [photo.name for photo in result.photos] == [f"photo{n}" for n in range(5)]
    assert (result.computed, result.cached) == (2, 3)
    assert sum(engine.batches) == 2


@pytest.mark.parametrize("distance", [1, 20, 40, 100, 300, 500])
def test_no_copy_is_lost_or_computed_twice_however_far_it_is(
    tmp_path: Path, photo_bytes: PhotoBytes, distance: int
) -> None:
    # While a copy waits in the read-ahead, the first may have been computed and stored.
    unique = [photo_bytes("red", n, size=(40, 40)) for n in range(distance)]
    source = BytesSource((*unique, *unique, *unique[:7]))
    result, store, engine = run(source, tmp_path)
    assert [photo.name for photo in result.photos] == [f"photo{n}" for n in range(source.count)]
    assert (result.computed, result.cached) == (distance, source.count - distance)
    assert sum(engine.batches) == len(store) == distance


def test_copies_of_a_broken_photo_are_all_listed(tmp_path: Path, photo_bytes: PhotoBytes) -> None:
    broken = photo_bytes("red", 0, size=(200, 150))[:-500]
    good = [photo_bytes("blue", n, size=(40, 40)) for n in range(250)]
    result, _, _ = run(BytesSource((broken, *good, broken, broken)), tmp_path)
    assert [bad.name for bad in result.bad] == ["photo0", "photo251", "photo252"]
    assert len({bad.reason for bad in result.bad}) == 1
    assert len(result.photos) == 250


def test_results_are_complete_when_threads_switch_all_the_time(
    tmp_path: Path, photo_bytes: PhotoBytes
) -> None:
    generator = np.random.default_rng(0)
    unique = [photo_bytes("red", n, size=(24, 24)) for n in range(80)]
    unique += [photo_bytes("blue", n, size=(150, 100))[:-500] for n in range(40)]
    photos = tuple(unique[i] for i in generator.integers(0, len(unique), 600))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for attempt in range(3):
            result, _, _ = run(BytesSource(photos), tmp_path / str(attempt))
            assert len(result.photos) + len(result.bad) == 600
            good = {data for data in photos if data in unique[:80]}
            assert result.computed == len(good)
            assert result.cached == len(result.photos) - len(good)
    finally:
        sys.setswitchinterval(interval)


@dataclasses.dataclass(frozen=True)
class FailingSource(BytesSource):
    """A source that breaks off."""

    after: int = 0

    def entries(self) -> Iterator[Entry]:
        for number, entry in enumerate(super().entries()):
            if number == self.after:
                raise RuntimeError("the network share went away")
            yield entry


@pytest.mark.parametrize("after", [0, 1, 40, 99])
def test_a_source_that_breaks_off_is_not_taken_for_its_end(
    tmp_path: Path, photo_bytes: PhotoBytes, after: int
) -> None:
    photos = tuple(photo_bytes("red", n, size=(40, 40)) for n in range(100))
    with pytest.raises(RuntimeError, match="the network share went away"):
        run(FailingSource(photos, after=after), tmp_path)


@pytest.mark.parametrize("size", [0, 1])
def test_an_error_of_a_reader_that_is_no_oserror_is_a_bug_and_shows(
    tmp_path: Path, photo_bytes: PhotoBytes, size: int
) -> None:
    def read() -> bytes:
        raise ZeroDivisionError("a bug")

    @dataclasses.dataclass(frozen=True)
    class Source(BytesSource):
        def entries(self) -> Iterator[Entry]:
            yield from super().entries()
            yield Entry("last", 0, read, size)

    photos = tuple(photo_bytes("red", n, size=(40, 40)) for n in range(40))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(Source(photos), tmp_path)


@pytest.mark.parametrize("when", [1, 3])
def test_an_error_of_the_network_shows_and_what_was_computed_is_kept(
    tmp_path: Path, photo_bytes: PhotoBytes, when: int
) -> None:
    source = BytesSource(with_one_blue(photo_bytes, 150, at=32 * (when - 1)))
    engine = BlueFails(error=MemoryError("out of memory"))
    before = threading.active_count()
    with pytest.raises(MemoryError, match="out of memory"):
        run(source, tmp_path, engine)
    result, _, _ = run(source, tmp_path)
    assert result.cached == 32 * (when - 1)
    assert result.computed == 150 - result.cached
    assert threading.active_count() < before + 10, "threads of the failed run are still there"


def test_a_photo_that_is_removed_or_changed_while_reading_is_listed(
    three_colours: Path, tmp_path: Path, photo_bytes: PhotoBytes
) -> None:
    source = read_image_dir(str(three_colours))
    (three_colours / "red" / "0004.jpg").unlink()

    cut = photo_bytes("red", 1, size=(200, 150))[:-300]
    whole = photo_bytes("red", 1, size=(200, 150))
    reads: collections.Counter[str] = collections.Counter()

    def changing() -> bytes:
        reads["changing"] += 1
        return cut if reads["changing"] == 1 else whole

    def vanishing() -> bytes:
        reads["vanishing"] += 1
        if reads["vanishing"] == 1:
            return cut + b"\0"
        raise FileNotFoundError(2, "No such file or directory", "/somewhere/vanishing.jpg")

    class Source(FileSource):
        def entries(self) -> Iterator[Entry]:
            yield from source.entries()
            yield Entry("changing.jpg", 0, changing, 100)
            yield Entry("vanishing.jpg", 0, vanishing, 100)

    result, _, _ = run(Source(source.labels, source.files, source.root), tmp_path)
    assert [(bad.name, bad.reason) for bad in result.bad] == [
        ("red/0004.jpg", "No such file or directory"),
        ("changing.jpg", "it changed while it was being read"),
        ("vanishing.jpg", "No such file or directory"),
    ]
    assert len(result.photos) == 29


@pytest.mark.parametrize("cores", [1, None, 64])
def test_any_number_of_cores(
    three_colours: Path, tmp_path: Path, give_cores: Callable, cores: int | None
) -> None:
    give_cores(cores)
    result, _, _ = run(read_image_dir(str(three_colours)), tmp_path)
    assert result.computed == 30


@pytest.mark.parametrize("count", [31, 32, 33, 64])
def test_batch_boundaries(tmp_path: Path, photo_bytes: PhotoBytes, count: int) -> None:
    photos = tuple(photo_bytes("red", n, size=(40, 40)) for n in range(count))
    result, store, engine = run(BytesSource(photos), tmp_path)
    assert result.computed == len(store) == count
    assert max(engine.batches) == min(count, 32)


@dataclasses.dataclass(frozen=True)
class CountingSource(BytesSource):
    """Tells how far it has been read."""

    size: int = 0
    read: list[int] = dataclasses.field(default_factory=list)

    def entries(self) -> Iterator[Entry]:
        for number, data in enumerate(self.photos):
            self.read.append(number)
            yield Entry(str(number), 0, lambda data=data: data, self.size)


@pytest.mark.parametrize(
    ("size", "most"), [(0, 256), (2**20, 64), (100 * 2**20, 1), (30 * 2**20, 2)]
)
def test_what_is_read_ahead_is_bounded_in_photos_and_bytes(
    photo_bytes: PhotoBytes, monkeypatch: pytest.MonkeyPatch, size: int, most: int
) -> None:
    monkeypatch.setattr(reading, "_UNREAD_PER_THREAD", 1000)
    source = CountingSource((photo_bytes("red", 0, size=(24, 24)),) * 600, size=size)
    assert (reading.READ_AHEAD_PHOTOS, reading.READ_AHEAD_BYTES) == (256, 64 * 2**20)
    ahead = []
    for taken, _ in enumerate(load_photos(source.entries(), SIZE, LIMITS)):
        ahead.append(len(source.read) - taken - 1)
    assert taken == 599
    assert max(ahead) <= most
    assert max(ahead) >= most - 1, "nothing is read ahead"


def test_leaving_early_stops_reading(photo_bytes: PhotoBytes) -> None:
    source = CountingSource((photo_bytes("red", 0, size=(24, 24)),) * 5000)
    before = threading.active_count()
    for _ in load_photos(source.entries(), SIZE, LIMITS):
        break
    assert len(source.read) < 300
    deadline = time.monotonic() + 10
    while threading.active_count() > before + 1 and time.monotonic() < deadline:
        time.sleep(0.01)  # a thread ends after the photo that it has begun
    assert threading.active_count() <= before + 1


def test_known_photos_are_not_prepared(photo_bytes: PhotoBytes) -> None:
    data = photo_bytes("red", 0)
    (item,) = load_photos(BytesSource((data,)).entries(), SIZE, LIMITS, lambda digest: True)
    assert item.image is None
    assert item.problem is None
    assert item.photo.digest == hashlib.sha256(data).digest()
    (item,) = load_photos(BytesSource((data,)).entries(), SIZE, LIMITS)
    assert item.image is not None


def test_decoded_batches_keep_order_and_free_the_bytes(photo_bytes: PhotoBytes) -> None:
    colours = ["red", "green", "blue"]
    photos = [photo_bytes(colours[n % 3], n, size=(150, 100)) for n in range(50)]
    photos[10] = photos[10][:-400]
    loaded = load_photos(BytesSource(tuple(photos)).entries(), SIZE, LIMITS)
    batches = list(decoded_batches(loaded, SIZE, LIMITS, batch_size=16))
    items = [item for batch in batches for item in batch.photos]
    assert [item.entry.name for item in items] == [f"photo{n}" for n in range(50) if n != 10]
    assert all(item.image is None for item in items)
    pixels = np.concatenate([batch.pixels for batch in batches])
    assert (pixels.mean(axis=(1, 2)).argmax(axis=1) == [n % 3 for n in range(50) if n != 10]).all()
    (failed,) = [item for batch in batches for item in batch.failed]
    assert isinstance(failed, Loaded)
    assert failed.bad == BadPhoto("photo10", 0, failed.problem or "")
    assert "can't be decoded" in failed.bad.reason


def test_an_interrupt_keeps_what_was_computed(tmp_path: Path, photo_bytes: PhotoBytes) -> None:
    source = BytesSource(with_one_blue(photo_bytes, 150, at=64))
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path, BlueFails(error=KeyboardInterrupt()))
    assert run(source, tmp_path)[0].cached == 64


def test_what_grows_when_it_is_read_counts_as_what_it_has_become(
    monkeypatch: pytest.MonkeyPatch, give_cores: Callable[[int], None], photo_bytes: PhotoBytes
) -> None:
    give_cores(2)
    photo = photo_bytes("red", 0, size=(70, 70), form="PNG", mode="P")
    (item,) = load_photos(BytesSource((photo,)).entries(), SIZE, LIMITS)
    pixels = len(item.image.data)
    assert pixels > 2 * len(photo)
    monkeypatch.setattr(reading, "READ_AHEAD_BYTES", 10 * pixels)
    source = CountingSource((photo,) * 300, size=len(photo))
    ahead = []
    for taken, _ in enumerate(load_photos(source.entries(), SIZE, LIMITS)):
        ahead.append(len(source.read) - taken - 1)
    # Ten that are read, and those that the two threads are at or are to do next.
    assert max(ahead) <= 10 + 2 * 4
    assert max(ahead) >= 4, "nothing is read ahead"


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_a_photo_that_breaks_off_is_told_why_in_every_way_to_see_it(
    photo_bytes: PhotoBytes, resize: str
) -> None:
    whole = photo_bytes("red", 0, size=(40, 400))
    cut = whole[: len(whole) * 8 // 10]  # below what the centre crop sees
    loaded = load_photos(BytesSource((whole, cut)).entries(), SIZE, LIMITS)
    batches = list(decoded_batches(loaded, SIZE, LIMITS, resize=resize))
    problems = [item.problem for batch in batches for item in batch.failed]
    assert sum(len(batch.photos) for batch in batches) == (2 if resize == "crop" else 1)
    assert not problems if resize == "crop" else "can't be decoded" in problems[0]


@pytest.fixture
def mixed_folder(
    make_photo_dir: MakePhotoDir, photo_bytes: PhotoBytes, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """24 photos per class, of which four are read side by side: a copy, bad and deep ones too."""
    monkeypatch.setattr(writing, "ROWS_PER_SHARD", 12)
    monkeypatch.setattr(compute, "ROWS_PER_SHARD", 12)
    monkeypatch.setattr(compute, "_CURSORS", 4)
    folder = make_photo_dir({"blue": 24, "green": 24, "red": 24})
    (folder / "red" / "0000.jpg").write_bytes((folder / "red" / "0023.jpg").read_bytes())
    for name, number in (("blue", 100), ("red", 4000)):
        values = np.full((40, 40), number, np.uint16) + np.arange(40, dtype=np.uint16)
        Image.fromarray(values).save(folder / name / "0005.png")
    return folder


def extract_mixed(
    folder: Path, root: Path, **settings: object
) -> tuple[Extraction, BottleneckStore, ToyEngine]:
    engine, store = ToyEngine(), BottleneckStore(root, space())

    def once(entries: object, **order: object) -> Extraction:
        bits = {} if order.get("order") is not None else {"bit_depth": 12}
        limits = PhotoLimits(**settings, **bits)
        return extract(entries, store, engine, limits, **order)

    return extract_source(read_image_dir(str(folder)), once), store, engine


def test_photos_of_many_classes_share_a_shard_and_come_back_in_the_order_of_the_listing(
    mixed_folder: Path, tmp_path: Path
) -> None:
    for name in ("blue/0003.jpg", "green/0011.jpg"):
        (mixed_folder / name).write_bytes(b"no photo")
    listed = [entry.name for entry in read_image_dir(str(mixed_folder)).entries()]
    found, store, _ = extract_mixed(mixed_folder, tmp_path)
    assert [one.name for one in found.bad] == ["blue/0003.jpg", "green/0011.jpg"]
    broken = {one.name for one in found.bad}
    assert [one.name for one in found.photos] == [name for name in listed if name not in broken]
    for photo in found.photos:
        assert photo.digest == hashlib.sha256((mixed_folder / photo.name).read_bytes()).digest()
    assert (found.computed, found.cached) == (len(listed) - 3, 1)
    deep = [one.name for one in found.photos if one.bit_depth]
    assert deep == ["blue/0005.png", "red/0005.png"]
    assert {one.bit_depth for one in found.photos} == {None, found.bit_depth}
    # What was found again later has a shard of its own.
    labels = [found.photos.labels[places] for places, _ in store.blocks(found.photos.keys)]
    full = [one for one in labels if len(one) >= 12]
    assert len(full) == 5
    assert all(len(set(one.tolist())) == 3 for one in full)
    again, _, engine = extract_mixed(mixed_folder, tmp_path)
    assert again.photos == found.photos
    assert (again.computed, engine.started) == (0, 0)


def test_a_bad_photo_ends_an_extraction_in_mixed_order(mixed_folder: Path, tmp_path: Path) -> None:
    (mixed_folder / "green" / "0011.jpg").write_bytes(b"no photo")
    with pytest.raises(UserError, match=r"green/0011\.jpg"):
        extract_mixed(mixed_folder, tmp_path, on_bad_image="fail")


def test_a_worker_says_what_it_does_not_see(
    tmp_path: Path, photo_bytes: PhotoBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_PROBE_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    there, photo = tmp_path / "bottlenecks", Path("1.jpg")
    photo.write_bytes(photo_bytes("red", 1))
    entries = [Entry("1.jpg", 0, photo.read_bytes, address="1.jpg")]
    with blocks.probed(str(there), entries) as probe:
        monkeypatch.chdir("/")
        blocks.check_seen(probe, str(there))
        with pytest.raises(UserError, match=r"not see `bottleneck_dir` .*another folder there\."):
            blocks.check_seen(probe, str(tmp_path / "other"))
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match="machine that asks: Not a directory"):
            blocks.check_seen(probe, str(tmp_path / "file"))
        (tmp_path / photo).write_bytes(b"another photo")
        with pytest.raises(UserError, match=r"can't read 1\.jpg: it is another file there"):
            blocks.check_seen(probe, str(there))
    assert not [*there.iterdir()]
