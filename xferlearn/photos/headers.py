"""A photo's file, before it is decoded: why it can't be used, and rare forms made plain."""

import dataclasses
import io

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from xferlearn.photos.views import CROP_FRACTION
from xferlearn.system.text import one_line

# Files with these endings are photos without a look at what they hold.
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".png", ".bmp", ".dib", ".gif",
    ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif", ".jxl",
)  # fmt: skip
HEAD_BYTES = 64

# 0 to 3: JPEG at 1/1, 1/2, 1/4 and 1/8 of its size.
JPEG_KIND, PNG_KIND, BMP_KIND, NO_KIND = 0, 4, 5, 6
_EXIF_ORIENTATION = 0x0112

# The plug-ins are called by name because Image.open tries dozens of formats, and warns through
# process-wide state about sizes that `max_pixels` already bounds.
_READERS = (
    (b"\xff\xd8\xff", "JPEG", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", "PNG", PngImagePlugin.PngImageFile),
    (b"GIF8", "GIF", GifImagePlugin.GifImageFile),
    (b"BM", "BMP", BmpImagePlugin.BmpImageFile),
    (b"RIFF", "WebP", WebPImagePlugin.WebPImageFile),
)
_FOREIGN = (
    (b"II*\x00", "a TIFF file"),
    (b"MM\x00*", "a TIFF file"),
    (b"%PDF", "a PDF file"),
    (b"<", "an HTML or XML page"),
    (b"\x00\x00\x00\x0cjP", "a JPEG 2000 file"),
    (b"\xff\x0a", "a JPEG XL file"),
)
# Images by the first bytes of their files, whether or not there is a reader for them: two bytes
# alone would also begin texts and sounds.
_RIFF, _BMP = b"RIFF", b"BM"
_OTHER_IMAGES = (
    b"II*\x00", b"MM\x00*", b"\x00\x00\x00\x0cjP", b"\x00\x00\x00\x0cJXL ", b"\xff\x0a"
)  # fmt: skip
_BRANDS = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"))
_BMP_HEADERS = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
# 8-bit gray and colour, also CMYK: TensorFlow's decoders read these as they are. BMP has many
# forms that they do not read.
_PLAIN = {"JPEG": ("L", "RGB", "CMYK"), "PNG": ("L", "RGB")}


class BadImage(ValueError):
    """A photo can't be used; the message is the reason, in a few words."""


@dataclasses.dataclass(frozen=True, slots=True)
class PreparedImage:
    """A photo that `decode_pixels` can decode.

    Attributes:
        data: bytes of a JPEG, PNG or BMP file, 8-bit gray, RGB or (JPEG) CMYK.
        kind: which decoder, and at what fraction of the size.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        width: px, as stored, before orientation is applied.
        height: px, likewise.
    """

    data: bytes
    kind: int
    orientation: int
    width: int
    height: int


# Stands for a photo that needs no decoding; `decode_pixels` makes it black.
NO_IMAGE = PreparedImage(b"", NO_KIND, 1, 1, 1)


def is_photo(head: bytes) -> bool:
    """Returns whether a file is an image of some format, be it readable here or not.

    Args:
        head: its first `HEAD_BYTES`.
    """
    if head.startswith(_RIFF):
        return head[8:12] == b"WEBP"
    if head.startswith(_BMP):
        return int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    if head[4:8] == b"ftyp":
        # The length of the list of brands comes first.
        brands = head[8 : int.from_bytes(head[:4], "big")]
        return any(brands[at : at + 4] in _BRANDS for at in range(0, len(brands), 4))
    return head.startswith((*(magic for magic, *_ in _READERS), *_OTHER_IMAGES))


def prepare(
    data: bytes,
    image_size: int | tuple[int, int],
    max_pixels: int,
    smallest_window: float = CROP_FRACTION,
) -> PreparedImage:
    """Reads a photo's header, and brings rare forms to plain ones.

    Transparent pixels are put on white, of an animation the first frame is taken, 16 bits become
    8. A JPEG much larger than needed is marked to be decoded at 1/2, 1/4 or 1/8, never below the
    needed size.

    Args:
        data: the file's bytes.
        image_size: side in px of the square that the network sees, or its height and width.
        max_pixels: photos with more pixels than this are refused before decoding.
        smallest_window: the smallest `View.window` that the photo will be seen through.

    Returns:
        The photo's data, ready for TensorFlow's decoders.

    Raises:
        BadImage: when the photo can't be used.
    """
    name, image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage(f"{width} x {height} pixels, more than max_image_pixels={max_pixels}")
    orientation = _orientation(image)
    shorter = min(width, height)
    needed = max(height_and_width(image_size)) / smallest_window
    transparent = "transparency" in image.info
    # TensorFlow reads 16-bit gray correctly too, but Pillow's modes say only that it is not 8-bit.
    if image.mode in _PLAIN.get(name, ()) and not transparent:
        kind = JPEG_KIND + _halvings(shorter, needed) if name == "JPEG" else PNG_KIND
        return PreparedImage(data, kind, orientation, width, height)
    return PreparedImage(
        _as_bmp(image, int(shorter / needed)), BMP_KIND, orientation, width, height
    )


def bytes_of_image(image: Image.Image) -> bytes:
    """Returns a Pillow image of any mode as a file: upright, and in the form of other photos.

    Raises:
        BadImage: it can't be decoded.
    """
    try:
        upright = ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow decodes here what was only opened before
        raise BadImage(f"can't be decoded ({one_line(error, 120)})") from None
    return _as_bmp(upright, 1)


def _open(data: bytes) -> tuple[str, Image.Image]:
    if not data:
        raise BadImage("the file is empty")
    for magic, name, reader in _READERS:
        if data.startswith(magic):
            try:
                return name, reader(io.BytesIO(data))
            except Exception as error:  # Pillow's readers raise many types on broken headers
                raise BadImage(f"broken {name} header ({one_line(error, 120)})") from None
    for magic, name in _FOREIGN:
        if data.lstrip()[:16].startswith(magic):
            raise BadImage(f"not a JPEG, PNG, GIF, BMP or WebP file but {name}")
    if data[4:8] == b"ftyp":
        raise BadImage("not a JPEG, PNG, GIF, BMP or WebP file but HEIC, AVIF or a video")
    raise BadImage(f"not a JPEG, PNG, GIF, BMP or WebP file (it begins with {data[:8]!r})")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # a broken EXIF block does not make the photo unusable
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _halvings(shorter: int, needed: float) -> int:
    return sum(shorter / ratio >= needed for ratio in (2, 4, 8))


def _as_bmp(image: Image.Image, reduction: int) -> bytes:
    """Decodes with Pillow; `reduction` is how many times too large the photo is."""
    try:
        image.load()
        if image.mode.startswith("I;16") or image.mode == "I":
            rgb = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
        elif "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
            rgba = image.convert("RGBA")
            rgb = Image.new("RGB", image.size, "white")
            rgb.paste(rgba, mask=rgba.getchannel("A"))
        elif image.mode in ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"):
            rgb = image
        else:
            raise BadImage(f"pixels of the form {image.mode} are not supported")
        rgb = rgb.convert("RGB")
        if reduction > 1:
            # Many photos wait between reading and decoding, none of them at 12 megapixels.
            rgb = rgb.reduce(reduction)
        buffer = io.BytesIO()
        rgb.save(buffer, "BMP")
        return buffer.getvalue()
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise many types on broken data
        raise BadImage(f"can't be decoded ({one_line(error, 120)})") from None


def height_and_width(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Returns height and width in px of an `image_size`, which may be the side of a square."""
    return (image_size, image_size) if isinstance(image_size, int) else image_size
