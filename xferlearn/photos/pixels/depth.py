"""Photos with more than 8 bits per channel: how many of their bits are used, and their values.

A 16-bit file may hold 10, 12 or 14 bits, as detectors and scanners write them: its largest value
would then be a dark gray. One number of bits for all photos of a model keeps their contrast, and
their brightness comparable, which stretching each photo on its own would not.
"""

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFile

from xferlearn.photos.pixels.formats import BadImage, TiffImage

DEPTHS = (8, 10, 12, 14, 16)
# From a row to before another: their values, uint16, [rows, width, channels].
Rows = Callable[[int, int], np.ndarray]
_BITS, _PHOTOMETRIC, _MAX_SAMPLE, _SAMPLE_FORMAT = 258, 262, 281, 339
_WHITE_IS_ZERO = 0
_HAS_ALPHA = 4  # a bit of PNG's colour type
# Little-endian, big-endian, and the machine's own.
_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
# Rows of about this many pixels are looked at together.
_PIXELS = 2**22


@dataclasses.dataclass(frozen=True, slots=True)
class Depth:
    """How the values of a photo with more than 8 bits per channel are read.

    Attributes:
        used: bits whose largest value is white, one of `DEPTHS`.
        reached: the smallest of `DEPTHS` that holds the photo's largest value, or what its file
            states, if that is more.
    """

    used: int
    reached: int


def key_at(digest: bytes, bits: int | None) -> bytes:
    """Returns the name under which a photo's bottleneck is cached, 32 bytes.

    It is the digest for photos of 8 bits, None, and for those whose 16 bits are all used.
    """
    if bits in (None, 16):
        return digest
    return hashlib.sha256(digest + b"%d bits" % bits).digest()


@dataclasses.dataclass(frozen=True)
class DeepImage:
    """The values of a photo with more than 8 bits per channel.

    Attributes:
        size: width and height, px.
        rows: returns the values from a row to before another, uint16, [rows, width, channels];
            1 channel for gray, 3 for RGB, 4 for RGB and alpha, or for CMYK.
        cmyk: whether the 4 channels are CMYK.
        stated: bits that the file says it uses; None if it says nothing.
        exact: whether the file can't hold more than `stated`.
        inverted: whether 0 is white.
    """

    size: tuple[int, int]
    rows: Rows
    cmyk: bool = False
    stated: int | None = None
    exact: bool = False
    inverted: bool = False

    def depth(self, asked: int | None) -> Depth:
        """Returns how the photo is read.

        Args:
            asked: bits to use; None, or fewer than the photo's own largest value needs, for those
                that it needs: it is not of the kind that was asked for.
        """
        width, height = self.size
        step = max(1, _PIXELS // width)
        colours = slice(None) if self.cmyk else slice(3)
        largest = max(
            int(self.rows(top, min(top + step, height))[..., colours].max())
            for top in range(0, height, step)
        )
        reached = bits_for(largest)
        # What a file states is often copied from another: it counts where the values agree.
        if self.stated is not None and largest < 2**self.stated:
            reached = max(reached, self.stated)
        return Depth(reached if self.exact else max(asked or 0, reached), reached)

    def rows_at(self, bits: int) -> Callable[[int, int], Image.Image]:
        """Returns what gives rows in 8 bits per channel, of mode L, RGB, RGBA or CMYK."""
        return functools.partial(self._pixels, bits)

    def _pixels(self, bits: int, top: int, bottom: int) -> Image.Image:
        values = self.rows(top, bottom)
        colours = values if self.cmyk else values[..., :3]
        if self.inverted:
            colours = (2**bits - 1) - colours
        shallow = (colours >> (bits - 8)).astype(np.uint8)
        if values.shape[-1] == 1:
            return Image.fromarray(shallow[..., 0])
        if self.cmyk:
            return Image.fromarray(shallow, "CMYK")
        # Alpha knows no bit depth of a detector: where it exceeds the colours' it has all 16.
        alpha = values[..., 3:]
        shift = bits - 8 if alpha.size and alpha.max() < 2**bits else 8
        return Image.fromarray(
            np.concatenate([shallow, (alpha >> shift).astype(np.uint8)], axis=-1)
        )


def bits_for(largest: int) -> int:
    """Returns the smallest of `DEPTHS` that holds a value from 0 to 65535."""
    return next(bits for bits in DEPTHS if largest < 2**bits)


def deep_png(data: bytes) -> bool:
    """Returns whether a PNG file has 16 bits per channel."""
    return data[24:25] == b"\x10"


def read_deep_png(data: bytes, image: ImageFile.ImageFile, again: ImageFile.ImageFile) -> DeepImage:
    """Returns the values of a PNG with 16 bits per channel.

    Args:
        data: the file's bytes.
        image: the photo, not decoded yet.
        again: the same once more.
    """
    if image.mode == "I;16":
        rows = _stored_rows(image)
    elif image.tile[0].args == "LA;16B":
        rows = _gray_alpha_rows(image)
    else:
        rows = _colour_rows(image, again)
    if (clear := image.info.get("transparency")) is not None:
        rows = functools.partial(_with_alpha, rows, np.array(clear, np.uint16))
    return DeepImage(image.size, rows, stated=_significant(data))


def deep_tiff(image: Image.Image) -> bool:
    """Returns whether a TIFF photo has whole numbers of more than 8 bits per channel."""
    if not isinstance(image, TiffImage):
        return False
    formats = image.tag_v2.get(_SAMPLE_FORMAT, (1,))
    return max(image.tag_v2.get(_BITS, (1,))) > 8 and set(formats) == {1}


def read_deep_tiff(image: TiffImage, again: ImageFile.ImageFile) -> DeepImage:
    """Returns the values of a TIFF photo with more than 8 bits per channel; see `read_deep_png`."""
    tags = image.tag_v2
    bits = max(tags[_BITS])
    most = tags.get(_MAX_SAMPLE, 0)
    most = max(most) if isinstance(most, tuple) else most
    stated = bits if bits < 16 else bits_for(most) if 0 < most < 2**16 else None
    rows = _stored_rows(image) if image.mode.startswith("I;16") else _colour_rows(image, again)
    return DeepImage(
        image.size,
        rows,
        cmyk=image.mode == "CMYK",
        stated=stated,
        exact=bits < 16,
        inverted=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
    )


def _stored_rows(image: Image.Image) -> Rows:
    """Returns what reads values as Pillow holds them, uint16, [rows, width, channels]."""
    image.load()
    width = image.size[0]

    def rows(top: int, bottom: int) -> np.ndarray:
        values = np.asarray(image.crop((0, top, width, bottom))).astype(np.uint16, copy=False)
        return values if values.ndim == 3 else values[..., None]

    return rows


def _gray_alpha_rows(image: ImageFile.ImageFile) -> Rows:
    """Returns what reads gray and alpha as 4 channels, of which Pillow takes the 4 bytes."""
    image._mode = "RGBA"
    image.tile = [tile._replace(args="RGBA") for tile in image.tile]
    read = _stored_rows(image)

    def rows(top: int, bottom: int) -> np.ndarray:
        values = read(top, bottom)
        gray, alpha = (values[..., at] << 8 | values[..., at + 1] for at in (0, 2))
        return np.stack([gray, gray, gray, alpha], axis=-1)

    return rows


def _colour_rows(high: ImageFile.ImageFile, low: ImageFile.ImageFile) -> Rows:
    """Returns what reads colours: Pillow keeps one byte of each value, here the upper, there the
    lower, which is the upper one in the other byte order.
    """
    for number, tile in enumerate(low.tile):
        form, *rest = tile.args if isinstance(tile.args, tuple) else (str(tile.args),)
        if form[-3:-1] != "16" or form.startswith("RGBa"):
            raise BadImage(f"16-bit pixels of the form {form} are not supported")
        other = form[:-1] + _OTHER_ORDER[form[-1]]
        args = (other, *rest) if isinstance(tile.args, tuple) else other
        low.tile[number] = tile._replace(args=args)
    upper, lower = _stored_rows(high), _stored_rows(low)

    def rows(top: int, bottom: int) -> np.ndarray:
        return upper(top, bottom) << 8 | lower(top, bottom)

    return rows


def _with_alpha(rows: Rows, clear: np.ndarray, top: int, bottom: int) -> np.ndarray:
    """Returns rows with alpha: 0 where a pixel has the colour that is transparent."""
    values = rows(top, bottom)
    alpha = np.where((values == clear).all(axis=-1, keepdims=True), 0, 65535)
    colours = np.repeat(values, 3 // values.shape[-1], axis=-1)
    return np.concatenate([colours, alpha.astype(np.uint16)], axis=-1)


def _significant(data: bytes) -> int | None:
    """Returns the bits that PNG's chunk sBIT states for the colours; None without one."""
    at = data.find(b"sBIT", 33, max(33, data.find(b"IDAT")))
    if at < 0:
        return None
    stated = data[at + 4 : at + 4 + int.from_bytes(data[at - 4 : at], "big")]
    colours = stated[:-1] if data[25] & _HAS_ALPHA else stated
    if not colours or not 1 <= max(colours) <= 16:
        return None
    return next(bits for bits in DEPTHS if max(colours) <= bits)
