"""Photos with more than 8 bits per channel: their contrast is kept, with one depth for all."""

import dataclasses
import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_images import (
    MAX_PIXELS,
    SIZE,
    decode_prepared,
    difference,
    encode,
    on_white,
    picture,
    png_of,
    reference,
    tiff_of,
)

import xferlearn
from xferlearn.cli import main
from xferlearn.exports.encoded import decode_photo
from xferlearn.model_folder import read_model_folder
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.pixels.depth import Depth, key_at
from xferlearn.photos.pixels.depth_records import DepthRecords
from xferlearn.photos.pixels.formats import BadImage
from xferlearn.photos.pixels.headers import prepare
from xferlearn.photos.reading import load_photos
from xferlearn.photos.sources import Entry
from xferlearn.training.result import TrainResult


def gray() -> Image.Image:
    return picture().convert("L")


def scaled(image: Image.Image, bits: int) -> np.ndarray:
    """An 8-bit picture's values in so many bits, the largest of which occurs."""
    values = np.asarray(image).astype(np.float64) / 255 * (2**bits - 1)
    values[0, 0] = 2**bits - 1
    return values.round().astype(np.uint16)


def png(values: np.ndarray, *, significant: int | None = None, clear: int | None = None) -> bytes:
    """A PNG with 16 bits per channel: gray, gray and alpha, RGB, or RGBA."""
    values = values if values.ndim == 3 else values[..., None]
    height, width, channels = values.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    data = png_of(width, height, 16, colour_type, zlib.compress(rows))
    extra = b""
    if significant is not None:
        extra += chunk(b"sBIT", bytes([significant] * channels))
    if clear is not None:
        extra += chunk(b"tRNS", struct.pack(f">{channels}H", *[clear] * channels))
    return data[:33] + extra + data[33:]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed_tiff(values: np.ndarray) -> bytes:
    """A gray TIFF with 12 bits per value, two of which share three bytes."""
    first, second = (values.reshape(-1, 2)[:, at].astype(np.uint32) for at in (0, 1))
    together = first << 12 | second
    body = np.stack([together >> 16, together >> 8, together], -1).astype(np.uint8).tobytes()
    whole = tiff_of(values, 12, _279=len(body))
    return whole[: -2 * values.size] + body


def with_alpha(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    colours = values if values.ndim == 3 else values[..., None]
    return np.concatenate([colours, alpha[..., None]], axis=-1)


def half() -> np.ndarray:
    """Alpha with 16 bits: the left half of the picture is transparent."""
    alpha = np.zeros((90, 120), np.uint16)
    alpha[:, 60:] = 65535
    return alpha


def on_half(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    rgba.putalpha(Image.fromarray((half() >> 8).astype(np.uint8)))
    return on_white(rgba)


# name: encoded photo, bits that it needs, what it looks like
DEEP: dict[str, tuple[Callable[[], bytes], int, Callable[[], Image.Image]]] = {
    **{
        f"gray png of {bits} bits": (lambda bits=bits: png(scaled(gray(), bits)), bits, gray)
        for bits in (8, 10, 12, 14, 16)
    },
    "gray png of 9 bits": (
        lambda: png(scaled(gray(), 9)),
        10,
        lambda: gray().point(lambda value: value // 2),
    ),
    "png that states more bits": (
        lambda: png(scaled(gray(), 10), significant=12),
        12,
        lambda: gray().point(lambda value: value // 4),
    ),
    "png that states too few bits": (
        lambda: png(scaled(gray(), 16), significant=12),
        16,
        gray,
    ),
    "rgb png of 12 bits": (lambda: png(scaled(picture(), 12)), 12, picture),
    "rgb png of 16 bits": (lambda: png(scaled(picture(), 16)), 16, picture),
    "rgba png of 12 bits": (
        lambda: png(with_alpha(scaled(picture(), 12), half())),
        12,
        lambda: on_half(picture()),
    ),
    "rgba png with alpha of 12 bits": (
        lambda: png(with_alpha(scaled(picture(), 12), half() >> 4)),
        12,
        lambda: on_half(picture()),
    ),
    "gray png with alpha of 12 bits": (
        lambda: png(with_alpha(scaled(gray(), 12), half())),
        12,
        lambda: on_half(gray()),
    ),
    "gray png with a transparent value": (
        lambda: png(np.where(half() > 0, scaled(gray(), 12), 7), clear=7),
        12,
        lambda: on_half(gray()),
    ),
    "little-endian tiff": (lambda: tiff_of(scaled(gray(), 12), 16), 12, gray),
    "big-endian tiff": (lambda: tiff_of(scaled(gray(), 12), 16, order=">"), 12, gray),
    "tiff where white is zero": (
        lambda: tiff_of(4095 - scaled(gray(), 12), 16, white_is_zero=True, _281=4095),
        12,
        gray,
    ),
    "tiff that states more bits": (
        lambda: tiff_of(scaled(gray(), 10), 16, _281=4095),
        12,
        lambda: gray().point(lambda value: value // 4),
    ),
    "packed tiff of 12 bits": (lambda: packed_tiff(scaled(gray(), 12)), 12, gray),
    "rgb tiff": (lambda: tiff_of(scaled(picture(), 12), 16), 12, picture),
    "big-endian rgb tiff": (lambda: tiff_of(scaled(picture(), 14), 16, order=">"), 14, picture),
    "rgba tiff": (
        lambda: tiff_of(with_alpha(scaled(picture(), 12), half()), 16),
        12,
        lambda: on_half(picture()),
    ),
    "compressed tiff": (
        lambda: encode(Image.fromarray(scaled(gray(), 12)), "TIFF", compression="tiff_lzw"),
        12,
        gray,
    ),
}


@pytest.mark.parametrize("name", DEEP)
def test_a_photo_keeps_the_contrast_of_its_bits(name: str) -> None:
    data, bits, expected = DEEP[name]
    image = prepare(data(), SIZE, MAX_PIXELS)
    assert image.depth == Depth(bits, bits)
    assert difference(decode_prepared(image), reference(expected())) < 1.2


@pytest.mark.parametrize("name", [n for n in DEEP if "tiff" not in n and "states more" not in n])
def test_a_served_model_sees_the_same(name: str) -> None:
    data = DEEP[name][0]()
    for asked in (None, 14):
        image = prepare(data, SIZE, MAX_PIXELS, bit_depth=asked)
        seen = decode_photo(tf.constant(data), SIZE, bit_depth=asked).numpy()
        np.testing.assert_array_equal(seen, decode_prepared(image))


def test_bits_that_are_asked_for_keep_photos_comparable() -> None:
    dark = png(scaled(gray(), 10))
    image = prepare(dark, SIZE, MAX_PIXELS, bit_depth=12)
    assert image.depth == Depth(12, 10)
    expected = reference(gray().point(lambda value: value // 4))
    assert difference(decode_prepared(image), expected) < 1
    # What needs more is of another kind, and none of it becomes white.
    bright = prepare(png(scaled(gray(), 16)), SIZE, MAX_PIXELS, bit_depth=12)
    assert bright.depth == Depth(16, 16)
    assert difference(decode_prepared(bright), reference(gray())) < 1


def test_photos_of_8_bits_have_no_depth() -> None:
    for form in ("JPEG", "PNG", "TIFF"):
        assert prepare(encode(picture(), form), SIZE, MAX_PIXELS, bit_depth=12).depth is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encode(gray().convert("F"), "TIFF"), "floating-point values, which have no white"),
        (encode(gray().convert("I"), "TIFF"), "32-bit or signed values, which have no white"),
        (tiff_of(scaled(gray(), 12), 16, _339=2), "32-bit or signed values, which have no white"),
        (tiff_of(scaled(gray(), 12), 14), "broken TIFF header"),
        (png(scaled(gray(), 12))[:-400], "can't be decoded"),
    ],
    ids=["float", "32 bits", "signed", "14 bits packed", "cut"],
)
def test_what_has_no_brightness_is_refused(data: bytes, expected: str) -> None:
    with pytest.raises(BadImage, match=expected):
        prepare(data, SIZE, MAX_PIXELS)


def test_only_photos_that_are_read_otherwise_than_before_have_other_keys() -> None:
    def key(data: bytes, bit_depth: int | None = None) -> tuple[bytes, bytes]:
        entry = Entry("photo", 0, lambda: data)
        limits = PhotoLimits(bit_depth=bit_depth)
        (item,) = load_photos([entry], SIZE, limits)
        return item.key, item.digest

    for same in (encode(picture(), "JPEG"), encode(gray(), "PNG"), png(scaled(gray(), 16))):
        assert len(set(key(same))) == 1
    deep = png(scaled(gray(), 12))
    keys = {key(deep)[0], key(deep, 14)[0], key(deep, 16)[0]}
    assert len(keys) == 3
    assert key(deep, 16)[0] == key(deep)[1]
    assert key(deep)[0] == key_at(key(deep)[1], 12)


def test_records_of_depths_are_shared_and_damage_is_passed_over(tmp_path: Path) -> None:
    one, other = DepthRecords(tmp_path), DepthRecords(tmp_path)
    one.add(b"a" * 32, 12)
    other.add(b"b" * 32, 10)
    one.save()
    other.save()
    one.save()
    files = sorted((tmp_path / "bit_depths").iterdir())
    assert len(files) == 2
    again = DepthRecords(tmp_path)
    assert (again.get(b"a" * 32), again.get(b"b" * 32), again.get(b"c" * 32)) == (12, 10, None)
    files[0].write_bytes(files[0].read_bytes()[:-1] + b"\x08")
    found = DepthRecords(tmp_path)
    assert [found.get(b"a" * 32), found.get(b"b" * 32)].count(None) == 1


TINY = {
    "backbone": "mobilenet_0.25", "weights": "none", "image_size": 32, "engine": "tensorflow",
    "precision": "float32", "how_many_training_steps": 40, "summaries": "none", "verbose": 0,
    "testing_percentage": 20.0,
}  # fmt: skip


def make_photos(root: Path, bits: int, count: int = 12) -> Path:
    """Two classes of gray photos, stripes down and across, with 16-bit values of so many bits."""
    y, x = np.mgrid[0:40, 0:48]
    for label, place in (("across", y), ("down", x)):
        (root / label).mkdir(parents=True)
        for number in range(count):
            pixels = (((place + number) // 4 % 2) * (235 - number) + 10).astype(np.uint8)
            values = scaled(Image.fromarray(pixels), bits)
            buffer = io.BytesIO()
            Image.fromarray(values).save(buffer, "PNG")
            (root / label / f"{number}.png").write_bytes(buffer.getvalue())
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, Path]:
    """A model of photos with 12 bits, and the folder that holds it, its photos and its cache."""
    root = tmp_path_factory.mktemp("deep")
    make_photos(root / "photos", 12)
    # One that alone would look as if it had 10.
    dark = scaled(Image.new("L", (48, 40), 200), 10)
    (root / "photos" / "down" / "dark.png").write_bytes(png(dark))
    settings = TINY | {"bottleneck_dir": root / "cache"}
    result = xferlearn.train(image_dir=root / "photos", model_dir=root / "model", **settings)
    return result, root


def test_training_decides_one_depth_and_the_model_says_it(trained) -> None:
    result, root = trained
    assert read_model_folder(root / "model").metadata["input"]["bit_depth"] == 12
    assert result.extraction.bit_depth == 12
    assert {photo.bit_depth for photo in result.manifest.photos} == {12}
    assert result.extraction.computed == 25
    said = "25 photos have 16-bit values, of which 12 bits are used."
    assert said in result.warnings
    settings = TINY | {"bottleneck_dir": root / "cache", "overwrite": True}
    copy = shutil.copytree(root / "model", root / "again")
    again = xferlearn.train(image_dir=root / "photos", model_dir=copy, **settings)
    assert (again.extraction.computed, again.extraction.cached) == (0, 25)
    assert said in again.warnings
    assert again.test.summary() == result.test.summary()


def test_labelling_sees_what_training_saw(trained, capsys) -> None:
    _, root = trained
    words = [f"--model={root / 'model'}", f"--bottleneck_dir={root / 'cache'}", "--verbose=0"]
    assert main(["label", *words, "--engine=tensorflow", str(root / "photos")]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 75
    assert err == ""


def test_a_model_warns_of_photos_with_another_depth(trained, tmp_path: Path) -> None:
    _, root = trained
    settings = {"model": root / "model", "bottleneck_dir": tmp_path / "cache", "verbose": 0}

    def said(bits: int) -> list[str]:
        photos = make_photos(tmp_path / str(bits), bits, 3)
        found = xferlearn.evaluate(
            image_dir=photos, engine="tensorflow", include_seen=True, **settings
        )
        return [line for line in found.warnings if "16-bit" in line or "beyond" in line]

    assert said(12) == []
    assert said(10) == [
        "6 photos have 16-bit values that need at most 10 bits, and the model was trained on 12:"
        " they look darker to it than its own."
    ]
    (line,) = said(16)
    assert line.startswith("6 photos have values beyond the 12 bits that the model was trained on")


def test_a_model_of_8_bits_and_one_from_before(colour_model: Path, tmp_path: Path, capsys) -> None:
    photos = make_photos(tmp_path / "photos", 12, 3)
    old = shutil.copytree(colour_model, tmp_path / "old")
    file = old / "metadata.json"
    metadata = json.loads(file.read_text())
    del metadata["input"]["bit_depth"], metadata["files"], metadata["sha256"]
    file.write_text(json.dumps(metadata))
    for model, expected in ((colour_model, "(6 with 12)"), (old, "trained on 16")):
        words = [f"--model={model}", f"--bottleneck_dir={tmp_path / 'cache'}", "--verbose=0"]
        assert main(["label", *words, "--engine=tensorflow", str(photos)]) == 0
        assert expected in capsys.readouterr().err


def test_one_photo_that_decides_the_depth_is_named(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 10, 8)
    (photos / "down" / "hot.png").write_bytes(png(scaled(gray(), 16)))
    settings = TINY | {"bottleneck_dir": tmp_path / "cache", "how_many_training_steps": 1}
    result = xferlearn.train(image_dir=photos, model_dir=tmp_path / "model", **settings)
    assert result.warnings[0] == (
        "17 photos have 16-bit values, of which 16 bits are used because of 1 photo, e.g."
        " down/hot.png; 16 photos need only 10 and are dark."
    )
    assert dataclasses.asdict(result.manifest.photos[0])["bit_depth"] == 16
