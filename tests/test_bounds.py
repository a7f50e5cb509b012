"""Large photos, reads that hang, folders that can't be written: nothing takes more than it may."""

import io
import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_images import (
    SIZE,
    decode_prepared,
    difference,
    encode,
    half_transparent,
    on_white,
    palette,
    picture,
    png_of,
    reference,
)

import xferlearn
from xferlearn.cli import main
from xferlearn.config import ImageConfig
from xferlearn.config.sizes import read_size, size_text
from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.photos.pixels import headers
from xferlearn.photos.pixels.containers import first_scan_has_all, jxl_size, png_blocks_behind
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.pixels.formats import BadImage, NoReader
from xferlearn.photos.pixels.headers import READY_KIND, prepare
from xferlearn.photos.pixels.memory import PixelMemory
from xferlearn.photos.reading import load_photos
from xferlearn.photos.sources import Entry
from xferlearn.system import memory as machine

GIB = 2**30
MANY = 10**9


def entries_of(*photos: bytes) -> list[Entry]:
    return [
        Entry(f"{number}.png", 0, lambda data=data: data, len(data))
        for number, data in enumerate(photos)
    ]


# Amounts of memory.


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("4GiB", 4 * GIB), ("4G", 4 * GIB), ("4 gb", 4 * 10**9), ("1.5GiB", 3 * GIB // 2),
        ("2048MiB", 2 * GIB), (3 * GIB, 3 * GIB), (str(3 * GIB), 3 * GIB), ("1T", 1024 * GIB),
    ],
)  # fmt: skip
def test_amounts_of_memory(given: str | int, expected: int) -> None:
    assert ImageConfig(max_memory=given).max_memory == expected
    assert read_size("x", given) == expected


@pytest.mark.parametrize("given", ["", "much", "4 GiBs", "-1", True, 1.5, "4PiB", "GiB", "0x10"])
def test_what_is_no_amount_of_memory(given: object) -> None:
    with pytest.raises(UserError, match="Expected `max_memory` to be an amount of memory"):
        ImageConfig(max_memory=given)


def test_less_memory_than_a_process_takes_is_refused() -> None:
    with pytest.raises(UserError, match=r"at least 1 GiB\. Received: 500 MiB"):
        ImageConfig(max_memory="500M")
    assert ImageConfig().max_memory is None


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (2**20, "1 MiB"), (3 * GIB // 2, "1.5 GiB")],
)
def test_text_of_sizes(size: int, expected: str) -> None:
    assert size_text(size) == expected


def test_free_memory_is_what_the_machine_and_its_control_groups_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = machine.free_memory()
    assert free is None or free > 2**20
    (tmp_path / "job" / "step").mkdir(parents=True)
    for folder, limit, used in (("job", "1000", "900"), ("job/step", "max", "5")):
        (tmp_path / folder / "memory.max").write_text(f"{limit}\n")
        (tmp_path / folder / "memory.current").write_text(f"{used}\n")
    (tmp_path / "job" / "memory.stat").write_text("anon 1\ninactive_file 300\n")
    (tmp_path / "own").write_text("0::/job/step\n")
    assert machine.group_memory(tmp_path, tmp_path / "own") == [400]
    old = tmp_path / "memory" / "job"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("500")
    (old / "memory.usage_in_bytes").write_text("100")
    (tmp_path / "own").write_text("3:cpu,cpuacct:/job\n2:memory:/job\n")
    assert machine.group_memory(tmp_path, tmp_path / "own") == [400]
    assert machine.group_memory(tmp_path, tmp_path / "none") == []


def test_the_budget_follows_what_is_free_and_what_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for free, budget in ((64 * GIB, GIB), (3 * GIB, 768 * 2**20), (GIB // 8, 64 * 2**20)):
        monkeypatch.setattr(machine, "free_memory", lambda free=free: free)
        assert PixelMemory().budget == budget
    assert PixelMemory(2 * GIB).budget == GIB
    # What is given admits a photo that is decoded alone; the default never more than 1 GiB.
    assert PixelMemory(8 * GIB).largest > 7 * GIB
    monkeypatch.setattr(machine, "free_memory", lambda: 500 * GIB)
    assert PixelMemory().largest < GIB


# Waiting for memory.


def test_photos_wait_for_memory_and_a_large_one_is_decoded_alone() -> None:
    held = PixelMemory(2 * GIB)
    inside, order = threading.Event(), []

    def decode(size: int, name: str, wait: Callable[[], object]) -> None:
        with held.taken(size, name):
            order.append(name)
            inside.set()
            wait()

    go = threading.Event()
    large = threading.Thread(target=decode, args=(GIB, "large", lambda: go.wait(20)))
    large.start()
    assert inside.wait(20)
    small = threading.Thread(target=decode, args=(10, "small", lambda: None))
    small.start()
    small.join(0.2)
    assert order == ["large"]
    go.set()
    large.join(20)
    small.join(20)
    assert order == ["large", "small"]


def test_a_failure_frees_the_memory() -> None:
    held = PixelMemory(2 * GIB)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"), held.taken(held.largest, "photo"):
            raise ValueError("broken")


def test_a_photo_beyond_the_budget_names_the_setting_that_admits_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = encode(picture(2000, 1500), "WEBP", method=0)
    monkeypatch.setattr(machine, "free_memory", lambda: 2**20)
    with pytest.raises(BadImage) as caught:
        prepare(data, SIZE, MANY)
    assert str(caught.value) == (
        "2000 x 1500 pixels take 45.8 MiB to decode, more than the 32 MiB there are for it: set"
        " max_memory=1GiB or more"
    )
    assert prepare(data, SIZE, MANY, memory=PixelMemory(GIB)).width == 2000


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_a_large_png_is_read_in_bands_as_it_is_as_a_whole(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    # Every filter of PNG is the best one for some rows.
    noise = rng.integers(0, 30, (700, 900, 4), np.uint8)
    pixels = np.asarray(picture(900, 700).convert("RGBA")) // 2 + noise
    image = Image.fromarray(pixels)
    image = palette(image.convert("RGB")) if mode == "P" else image.convert(mode)
    data = encode(image, "PNG", **({"transparency": 3} if mode == "P" else {}))
    whole = prepare(data, SIZE, MANY)
    expected = reference(on_white(Image.open(io.BytesIO(data))))
    monkeypatch.setattr(headers, "SMALL_BYTES", 1000)
    monkeypatch.setattr(headers, "MOST_IN_GRAPH", 1000)
    monkeypatch.setattr("xferlearn.photos.pixels.plain._STRIP_PIXELS", 50_000)
    banded = prepare(data, SIZE, MANY)
    assert banded.kind == headers.BMP_KIND
    if mode in ("RGBA", "LA", "P"):
        assert banded.data == whole.data
    assert difference(decode_prepared(banded), expected) < 1.5
    with pytest.raises(BadImage, match="can't be decoded"):
        prepare(data[: len(data) // 2], SIZE, MANY)


@pytest.mark.parametrize("form", ["TIFF", "GIF", "BMP", "WEBP"])
def test_strips_make_the_same_of_a_photo(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(half_transparent().resize((700, 500)).convert("RGB"), form)
    whole = prepare(data, SIZE, MANY)
    monkeypatch.setattr("xferlearn.photos.pixels.plain._STRIP_PIXELS", 20_000)
    assert prepare(data, SIZE, MANY).data == whole.data


def test_photos_that_take_much_are_decoded_before_the_pipeline_and_look_the_same() -> None:
    large = picture(2100, 1700)
    photos = [
        encode(large, "PNG"),
        encode(large, "JPEG", progressive=True),
        encode(picture(), "PNG"),
    ]
    limits = PhotoLimits()
    loaded = list(load_photos(entries_of(*photos), SIZE, limits))
    kinds = [item.image.kind for item in loaded if item.image]
    assert kinds[0] == READY_KIND
    assert READY_KIND not in kinds[1:]
    (batch,) = decoded_batches(iter(loaded), SIZE, limits)
    for data, pixels in zip(photos, batch.pixels, strict=True):
        np.testing.assert_array_equal(pixels, decode_prepared(prepare(data, SIZE, MANY)))
    squashed = load_photos(entries_of(photos[0]), (48, 96), limits, resize="squash")
    (batch,) = decoded_batches(squashed, (48, 96), limits, resize="squash")
    assert difference(batch.pixels[0], reference(large, (48, 96), "squash")) < 1.5


def test_a_large_broken_photo_has_its_reason() -> None:
    data = encode(picture(2100, 1700), "PNG")
    (item,) = load_photos(entries_of(data[:-900]), SIZE, PhotoLimits())
    assert item.problem is not None
    assert item.problem.startswith("can't be decoded (")


def test_small_photos_that_would_take_gigabytes(tmp_path: Path) -> None:
    """Decoded as a whole, each would take 256 MB; all together take less."""
    side = 8000
    row = zlib.compressobj(9)
    stored = b"".join(row.compress(bytes(1 + 4 * side)) for _ in range(side)) + row.flush()
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png_of(side, side, 8, 6, stored))
    wide = Image.new("RGB", (65_500, 3000), "red")
    wide.save(tmp_path / "wide.jpg")
    script = (
        "import resource, sys\n"
        "from xferlearn.photos.folders.files import read_files\n"
        "from xferlearn.photos.limits import PhotoLimits\n"
        "from xferlearn.photos.reading import load_photos\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for item in load_photos(read_files(sys.argv[1:]).entries(), 224, PhotoLimits()):\n"
        "    print(item.problem)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print((after - before) * (1 if sys.platform == 'darwin' else 1024))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    *problems, taken = done.stdout.split()
    assert problems == ["None"] * 3
    assert int(taken) < 250_000_000


# Reading that takes too long.


def test_a_read_that_hangs_is_named_and_the_others_go_on() -> None:
    end = threading.Event()
    data = encode(picture(), "JPEG")

    def hang() -> bytes:
        end.wait()
        return data

    entries = [*entries_of(data, data), Entry("hung.jpg", 0, hang), *entries_of(*[data] * 20)]
    found = list(load_photos(entries, SIZE, PhotoLimits(read_seconds=0.2)))
    assert [item.entry.name for item in found] == [entry.name for entry in entries]
    problems = {item.entry.name: item.problem for item in found if item.problem}
    end.set()
    assert problems == {"hung.jpg": "reading it took more than 0.2 s"}


def test_a_place_that_hangs_ends_the_command() -> None:
    end = threading.Event()
    entries = [Entry(f"{number}.jpg", 0, lambda: bytes(end.wait())) for number in range(100)]
    started = time.monotonic()
    with pytest.raises(XferlearnError, match=r"is the 8th photo that took more than 0\.1 s"):
        list(load_photos(entries, SIZE, PhotoLimits(read_seconds=0.1)))
    end.set()
    assert time.monotonic() - started < 60


def test_slow_work_after_reading_is_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(key: bytes) -> bool:
        time.sleep(0.3)
        return False

    photos = entries_of(*[encode(picture(), "JPEG")] * 3)
    for item in load_photos(photos, SIZE, PhotoLimits(read_seconds=0.1), slow):
        assert item.problem is None


def test_a_process_ends_though_a_read_hangs() -> None:
    script = (
        "import threading\n"
        "from xferlearn.photos.limits import PhotoLimits\n"
        "from xferlearn.photos.reading import load_photos\n"
        "from xferlearn.photos.sources import Entry\n"
        "hang = Entry('hung.jpg', 0, threading.Event().wait)\n"
        "(item,) = load_photos([hang], 32, PhotoLimits(read_seconds=0.1))\n"
        "print(item.problem)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "reading it took more than 0.1 s\n"


# What is counted over all photos.


def test_pages_and_missing_packages_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = encode(picture(), "TIFF", save_all=True, append_images=[picture().rotate(180)])
    heic = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(40)
    for module in ("pi_heif.as_plugin", "pillow_jxl.JpegXLImagePlugin"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NoReader, match="HEIC photos can't be read here: a package is missing"):
        prepare(heic, SIZE, MANY)
    notes = ReadingNotes()
    photos = entries_of(pages, heic, heic, b"\xff\x0a" + bytes(30), encode(picture(), "TIFF"))
    for item in load_photos(photos, SIZE, PhotoLimits()):
        notes.add(item)
    assert notes.lines() == (
        "1 photo has several pages, of which the first is used, e.g. 0.png.",
        '2 photos need a package that is missing: pip install "xferlearn[phone]"',
        '1 photo needs a package that is missing: pip install "xferlearn[jxl]"',
    )
    # Photos whose bottleneck is known are counted too.
    again = ReadingNotes()
    for item in load_photos(photos[:1], SIZE, PhotoLimits(), lambda key: True):
        again.add(item)
    assert len(again.lines()) == 1
    assert 'pip install "xferlearn[phone]"' in str(notes.refusal("a.heic", "no reader"))


def test_label_says_once_what_is_missing(
    colour_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif.as_plugin", None)
    for number in range(3):
        (tmp_path / f"{number}.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1")
    words = [f"--model={colour_model}", f"--bottleneck_dir={tmp_path / 'cache'}", "--verbose=0"]
    photos = sorted(map(str, tmp_path.glob("*.heic")))
    assert main(["label", *words, "--engine=tensorflow", *photos]) == 1
    err = capsys.readouterr().err
    assert err.count("pip install") == 1
    assert err.count("HEIC photos can't be read here") == 3
    assert "3 photos need a package that is missing" in err
    assert main(["label", *words, "--on_bad_image=fail", "--engine=tensorflow", *photos]) == 2
    assert capsys.readouterr().err.count("pip install") == 1


# What headers say.


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (120, 90), (256, 256), (300, 200), (700, 500)])
@pytest.mark.parametrize("container", [False, True])
def test_the_size_of_a_jpeg_xl_is_known_before_it_is_decoded(
    size: tuple[int, int], container: bool
) -> None:
    import pillow_jxl  # noqa: F401  it teaches Pillow the format

    data = encode(picture(*size), "JXL", use_container=container)
    assert jxl_size(data) == size


def test_a_jpeg_xl_of_too_many_pixels_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    # 18 bits for the height, 262144 px, and a square.
    bits = 0 | 2 << 1 | 0x3FFFF << 3 | 1 << 21
    data = b"\xff\x0a" + bits.to_bytes(16, "little")
    monkeypatch.setattr(headers, "open_image", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(BadImage, match="262144 x 262144 pixels, more than max_image_pixels="):
        prepare(data, SIZE, MANY)


def test_scans_of_a_jpeg() -> None:
    assert first_scan_has_all(encode(picture(), "JPEG"), 3)
    assert first_scan_has_all(encode(picture().convert("L"), "JPEG"), 1)
    assert not first_scan_has_all(encode(picture(), "JPEG"), 4)


def test_an_orientation_behind_the_pixels_of_a_png_needs_no_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(picture(), "PNG", exif=exif)
    at = data.index(b"eXIf") - 4
    size = 12 + struct.unpack(">I", data[at : at + 4])[0]
    moved = data[:at] + data[at + size : -12] + data[at : at + size] + data[-12:]
    assert set(png_blocks_behind(moved)) == {b"eXIf", b"IEND"}
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    assert prepare(moved, SIZE, MANY).orientation == 6


# Folders that can't be written.


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """A folder below a file."""
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file" / "folder"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *(("train", name) for name in ("logs_dir", "bottleneck_dir", "model_dir")),
        *(("sweep", name) for name in ("logs_dir", "bottleneck_dir", "output_dir")),
        ("curve", "logs_dir"),
        ("compare", "bottleneck_dir"),
    ],
)
def test_folders_are_tried_before_any_work(
    command: str, name: str, run_tiny, blocked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "xferlearn.photos.opening.read_image_dir", lambda *_: pytest.fail("photos were listed")
    )
    flags = [f"--{name}={blocked}"]
    if command == "train" and name != "model_dir":
        flags.append(f"--model_dir={blocked.parent.parent / 'model'}")
    code, _, err = run_tiny(command, *flags)
    assert code == 2
    assert err.count("\n") == 1
    assert err.startswith(f"xferlearn: Can't write to {blocked.parent}")
    assert err.endswith(f"{blocked.parent} is not a folder. Choose another --{name}.\n")


def test_evaluate_and_export_try_their_folders_first(
    colour_model: Path, photo_dir: Path, blocked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "xferlearn.model_folder.ModelFolder.load_model", lambda self: pytest.fail("it was loaded")
    )
    with pytest.raises(UserError, match=r"Can't write to .*Choose another `logs_dir`"):
        xferlearn.evaluate(model=colour_model, image_dir=photo_dir, logs_dir=blocked)
    with pytest.raises(UserError, match=r"Can't write to .*Choose another `logs_dir`"):
        xferlearn.export(model=colour_model, format="onnx", logs_dir=blocked)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xferlearn.system import folders

    monkeypatch.setattr(
        folders.tempfile,
        "TemporaryFile",
        lambda dir: open("/dev/full", "wb"),  # noqa: SIM115
    )
    with pytest.raises(UserError, match=r"No space left on device\. Choose another `logs_dir`"):
        folders.check_writable("logs_dir", tmp_path)
