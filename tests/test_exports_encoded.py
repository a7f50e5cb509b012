"""Encoded photos decoded inside a graph, pixel for pixel as `images.prepare` and Pillow do it."""

import io
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, PngImagePlugin

from xferlearn.exports.encoded import decode_photo
from xferlearn.photos.pixels.headers import prepare
from xferlearn.photos.pixels.operations import decode_pixels

SIDE = 64
SIZES = [(150, 110), (160, 147), (400, 300), (1300, 900), (60, 40), (900, 100)]
XMP = b'<x:xmpmeta><rdf tiff:Orientation="6"/></x:xmpmeta>'


@pytest.fixture(scope="module")
def graph():
    spec = tf.TensorSpec([], tf.string)
    return tf.function(
        lambda data: decode_photo(data, SIDE), input_signature=[spec], autograph=False
    )


def encoded(form, mode="RGB", size=(150, 110), **save):
    """A photo with structure in it, so that a wrong turn or crop shows."""
    few = np.random.default_rng(0).integers(0, 256, (12, 15, 4), np.uint8)
    image = Image.fromarray(few, "RGBA").resize(size, Image.Resampling.BILINEAR)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, form, **save)
    return buffer.getvalue()


def check(graph, data, orientation=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pillow's, of broken EXIF
        plain = prepare(data, SIDE, 10**8)
    if orientation is not None:
        assert plain.orientation == orientation
    wanted = decode_pixels(
        tf.constant(plain.data), tf.constant(plain.kind), tf.constant(plain.orientation), SIDE
    )
    np.testing.assert_array_equal(graph(tf.constant(data)), wanted)


def exif(orientation, endian="<"):
    held = Image.Exif()
    held.endian = endian
    held[0x010F] = "a maker's name, longer than four bytes"
    held[0x0112] = orientation
    return held.tobytes()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation(graph, form, endian, orientation):
    right = orientation if 1 <= orientation <= 8 else 1
    check(graph, encoded(form, exif=exif(orientation, endian)), right)


@pytest.mark.parametrize("size", SIZES)
def test_jpegs_are_decoded_at_the_same_fraction_of_their_size(graph, size):
    check(graph, encoded("JPEG", size=size))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_png_forms(graph, size, mode):
    check(graph, encoded("PNG", mode, size))


@pytest.mark.parametrize(("mode", "colour"), [("P", 3), ("RGB", (1, 2, 3)), ("L", 100)])
def test_png_with_one_transparent_colour(graph, mode, colour):
    check(graph, encoded("PNG", mode, transparency=colour))


@pytest.mark.parametrize("save", [{"mode": "CMYK"}, {"mode": "L"}, {"progressive": True}])
def test_jpeg_forms(graph, save):
    check(graph, encoded("JPEG", **save))


def test_orientation_in_xmp_counts_where_exif_has_none(graph):
    check(graph, encoded("JPEG", xmp=XMP), 6)
    check(graph, encoded("JPEG", xmp=XMP, exif=exif(3)), 3)
    held = PngImagePlugin.PngInfo()
    held.add_itxt("XML:com.adobe.xmp", XMP.decode())
    check(graph, encoded("PNG", pnginfo=held), 6)


@pytest.mark.parametrize("block", [b"Exif\0\0garbage garbage", b"Exif\0\0", b"no EXIF at all"])
def test_broken_exif_is_upright(graph, block):
    check(graph, encoded("JPEG", exif=block), 1)


@pytest.mark.parametrize(
    ("kind", "count", "value", "orientation"),
    [(4, 1, (6, 0, 0, 0), 6), (3, 2, (6, 0, 3, 0), 6), (1, 1, (6, 0, 0, 0), 1),
     (3, 0, (6, 0, 0, 0), 1), (7, 1, (6, 0, 0, 0), 1)],
)  # fmt: skip
def test_orientation_of_other_types(graph, kind, count, value, orientation):
    entry = b"".join(n.to_bytes(w, "little") for n, w in ((0x0112, 2), (kind, 2), (count, 4)))
    block = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(value) + bytes(4)
    check(graph, encoded("JPEG", exif=block), orientation)


def test_exif_that_breaks_off_anywhere(graph):
    whole = exif(6)
    for length in range(6, len(whole)):
        check(graph, encoded("JPEG", exif=whole[:length]))


@pytest.mark.parametrize("data", [b"", b"GIF89a no", b"\xff\xd8\xff\xe1\x00", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_photo_is_an_error(graph, data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(tf.constant(data))


def test_real_photos(graph, shared_data):
    photos = sorted((shared_data / "flower_photos").glob("*/*.jpg"))[::50]
    assert len(photos) == 20
    for path in photos:
        check(graph, path.read_bytes())


def test_a_large_png_is_shrunk_as_in_training(graph):
    check(graph, encoded("PNG", size=(4200, 2800), compress_level=1))
