"""Photos that are decoded without TensorFlow: the same pixels, bit by bit, or none."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
from pictures import encode, picture
from PIL import Image

from xferlearn.photos.pixels.headers import PreparedImage, prepare
from xferlearn.photos.pixels.plainly import decode_plainly
from xferlearn.photos.pixels.ready import decode_now
from xferlearn.system.runtime import start_tensorflow

SMALL, LARGE = functools.partial(picture, 1), functools.partial(picture, 2, (1100, 902))


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(SMALL(), subsampling=0, exif=exif)


SAME: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: encode(SMALL(), subsampling=0),
    "gray JPEG": lambda: encode(SMALL().convert("L")),
    "progressive JPEG": lambda: encode(LARGE(), subsampling=0, progressive=True),
    "JPEG at a half and less, 4:2:0": lambda: encode(LARGE(), subsampling=2),
    "PNG": lambda: encode(SMALL(), "PNG"),
    "gray PNG": lambda: encode(SMALL().convert("L"), "PNG"),
    "palette": lambda: encode(SMALL().convert("P"), "PNG"),
    "WebP": lambda: encode(SMALL(), "WEBP"),
    **{f"turned, {number}": functools.partial(turned, number) for number in range(2, 9)},
}
LEFT: dict[str, Callable[[], bytes]] = {
    "JPEG, 4:2:0": lambda: encode(SMALL(), subsampling=2),
    "JPEG at a half, 4:2:2": lambda: encode(LARGE(), subsampling=1),
    "CMYK": lambda: encode(SMALL().convert("CMYK")),
    "large PNG, with antialias": lambda: encode(LARGE(), "PNG"),
    "truncated": lambda: encode(SMALL(), subsampling=0)[:-2000],
}


def in_tensorflow(image: PreparedImage, size: tuple[int, int], resize: str) -> np.ndarray:
    start_tensorflow()
    return decode_now(image, size, resize, None, views=False)


@pytest.mark.parametrize("data", SAME.values(), ids=SAME)
def test_pixels_are_those_of_tensorflow(data: Callable[[], bytes]) -> None:
    for size, resize in (((224, 224), "crop"), ((150, 190), "crop"), ((300, 300), "squash")):
        image = prepare(data(), size, 10**8)
        found = decode_plainly(image, size, resize)
        assert found is not None
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, in_tensorflow(image, size, resize))


@pytest.mark.parametrize("data", LEFT.values(), ids=LEFT)
def test_what_would_differ_is_left_to_tensorflow(data: Callable[[], bytes]) -> None:
    assert decode_plainly(prepare(data(), 224, 10**8), 224) is None


def test_flowers_are_decoded_alike(shared_data) -> None:
    """Real photos; all 1,000 were compared when this was written."""
    photos = sorted((shared_data / "flower_photos").glob("*/*.jpg"))[::100]
    for path in photos:
        image = prepare(path.read_bytes(), 224, 10**8)
        found = decode_plainly(image, 224)
        np.testing.assert_array_equal(found, in_tensorflow(image, (224, 224), "crop"))
