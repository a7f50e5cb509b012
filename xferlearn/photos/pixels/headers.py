"""A photo's file, before it is decoded: why it can't be used, and rare forms made plain."""

import dataclasses
import io
import math

from PIL import Image, ImageOps

from xferlearn.photos.pixels.containers import first_scan_has_all, jxl_size, png_blocks_behind
from xferlearn.photos.pixels.depth import (
    DeepImage,
    Depth,
    deep_png,
    deep_tiff,
    read_deep_png,
    read_deep_tiff,
)
from xferlearn.photos.pixels.formats import (
    AVIF,
    HEIF,
    JPEG,
    JXL,
    PNG,
    TIFF,
    BadImage,
    Format,
    TiffImage,
    find_format,
    open_image,
)
from xferlearn.photos.pixels.memory import SMALL_BYTES, PixelMemory
from xferlearn.photos.pixels.plain import STRIP_BYTES, as_bmp, rows_of
from xferlearn.photos.pixels.png_bands import PngBands, has_bands
from xferlearn.photos.views import CROP_FRACTION
from xferlearn.system.text import one_line

# 0 to 3: JPEG at 1/1, 1/2, 1/4 and 1/8 of its size. READY: pixels as the network sees them.
JPEG_KIND, PNG_KIND, BMP_KIND, NO_KIND, READY_KIND = 0, 4, 5, 6, 7
_EXIF_ORIENTATION = 0x0112
# 8-bit gray and colour, also CMYK: TensorFlow's decoders read these as they are. BMP has many
# forms that they do not read.
_PLAIN = {JPEG: ("L", "RGB", "CMYK"), PNG: ("L", "RGB")}
# Whose further pictures are pages, or other photos; an animation's are of no interest.
_PAGED = (TIFF, HEIF, AVIF)
# Bytes per pixel in TensorFlow's memory: a photo, and the part of it that is seen.
IN_GRAPH = 6
# TensorFlow keeps the memory that it has had once.
MOST_IN_GRAPH = 64 * 2**20
# Bytes per pixel in Pillow's memory; all other modes take 4.
_NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}


@dataclasses.dataclass(frozen=True, slots=True)
class PreparedImage:
    """A photo that `decode_pixels` can decode.

    Attributes:
        data: bytes of a JPEG, PNG or BMP file, 8-bit gray, RGB or (JPEG) CMYK.
        kind: which decoder, and at what fraction of the size.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        width: px, as stored, before orientation is applied.
        height: px, likewise.
        decoded_bytes: memory that decoding it takes, about.
        depth: how its values are read; None for photos of 8 bits per channel.
        paged: whether it is the first of several pages or pictures of a file.
    """

    data: bytes
    kind: int
    orientation: int
    width: int
    height: int
    decoded_bytes: int = 0
    depth: Depth | None = None
    paged: bool = False


# Stands for a photo that needs no decoding; `decode_pixels` makes it black.
NO_IMAGE = PreparedImage(b"", NO_KIND, 1, 1, 1)


def prepare(
    data: bytes,
    image_size: int | tuple[int, int],
    max_pixels: int,
    smallest_window: float = CROP_FRACTION,
    *,
    bit_depth: int | None = None,
    memory: PixelMemory | None = None,
) -> PreparedImage:
    """Reads a photo's header, and brings rare forms to plain ones.

    Transparent pixels are put on white, of an animation or a file with pages the first is taken,
    and more than 8 bits per channel become 8. A JPEG much larger than needed is marked to be
    decoded at 1/2, 1/4 or 1/8, never below the needed size.

    Args:
        data: the file's bytes.
        image_size: side in px of the square that the network sees, or its height and width.
        max_pixels: photos with more pixels than this are refused before decoding.
        smallest_window: the smallest `View.window` that the photo will be seen through.
        bit_depth: bits used of photos with more than 8 per channel, at least; None for what each
            needs.
        memory: what decoding may take; None for what there is by default.

    Returns:
        The photo's data, ready for TensorFlow's decoders.

    Raises:
        BadImage: when the photo can't be used.
    """
    form = find_format(data)
    memory = memory or PixelMemory()
    needed = max(height_and_width(image_size)) / smallest_window
    if form is JXL:  # its reader decodes when it opens a file
        size = _checked(_jxl_size(data), max_pixels)
        with memory.taken(math.prod(size) * (4 + form.overhead), f"{size[0]} x {size[1]} pixels"):
            return _made_plain(data, form, needed, bit_depth)
    image = open_image(data, form)
    size = _checked(image.size, max_pixels)
    deep = _is_deep(image, data, form)
    if not deep and _is_plain(image, form):
        photo = _described(image, data, form, needed)
        if form is JPEG or photo.decoded_bytes <= min(MOST_IN_GRAPH, memory.largest):
            return photo
    claimed = math.prod(size) * _bytes_per_pixel(image, form, deep=deep)
    if _in_bands(image, data, form):
        claimed = min(claimed, STRIP_BYTES)
    with memory.taken(claimed, f"{size[0]} x {size[1]} pixels"):
        return _made_plain(data, form, needed, bit_depth)


def _described(image: Image.Image, data: bytes, form: Format, needed: float) -> PreparedImage:
    """Returns a photo as it is."""
    width, height = image.size
    kind = JPEG_KIND + _halvings(min(width, height), needed) if form is JPEG else PNG_KIND
    return PreparedImage(
        data,
        kind,
        1 if form.upright else _orientation(image, data, form),
        width,
        height,
        _plain_bytes(image, data, kind),
        paged=_is_paged(image, form),
    )


def bytes_of_image(image: Image.Image) -> bytes:
    """Returns a Pillow image of any mode as a file: upright, and with all its bits.

    Raises:
        BadImage: it can't be decoded.
    """
    try:
        upright = ImageOps.exif_transpose(image)
        if "transparency" in upright.info or upright.mode in ("PA", "RGBa", "La"):
            upright = upright.convert("RGBA")
        elif upright.mode in ("HSV", "RGBX"):
            upright = upright.convert("RGB")
        buffer = io.BytesIO()
        upright.save(buffer, "TIFF")
        return buffer.getvalue()
    except Exception as error:  # Pillow decodes here what was only opened before
        raise BadImage(f"can't be decoded ({one_line(error, 120)})") from None


def _made_plain(data: bytes, form: Format, needed: float, bit_depth: int | None) -> PreparedImage:
    """Returns a rare form as a BMP file. What it takes for that is free when it returns."""
    image = open_image(data, form)
    photo = _described(image, data, form, needed)
    try:
        if _is_deep(image, data, form):
            values = _deep_image(image, data)
            depth = values.depth(bit_depth)
            photo = dataclasses.replace(photo, depth=depth)
            if depth.used == 16 and photo.decoded_bytes <= MOST_IN_GRAPH and _is_plain(image, form):
                return photo  # TensorFlow keeps the upper 8 bits
            rows = values.rows_at(depth.used)
        elif _in_bands(image, data, form):
            rows = PngBands(data).rows
        else:
            image.load()
            rows = rows_of(image)
        # Smaller photos of a plain form are shrunk with antialias: large ones shall look like them.
        spare = 2 if photo.depth is None and _is_plain(image, form) else 1
        bmp = as_bmp(rows, image.size, int(min(image.size) / (spare * needed)))
    except BadImage:
        raise
    except Exception as error:  # decoders raise many types on broken data
        raise BadImage(f"can't be decoded ({one_line(error, 120)})") from None
    return dataclasses.replace(photo, data=bmp, kind=BMP_KIND, decoded_bytes=2 * len(bmp))


@dataclasses.dataclass(frozen=True, slots=True)
class Peek:
    """What a look at a file tells without decoding it.

    Attributes:
        deep: whether it has more than 8 bits per channel, of which a rule says how many are used.
        paged: whether it is the first of several pages or pictures.
    """

    deep: bool = False
    paged: bool = False


_ORDINARY = Peek()


def peek(data: bytes) -> Peek:
    """Returns what a look at a file tells; quick for JPEG and PNG.

    Raises:
        BadImage: when it is no photo.
    """
    form = find_format(data)
    if form is PNG:
        return Peek(deep=True) if deep_png(data) else _ORDINARY
    if form not in _PAGED:
        return _ORDINARY
    image = open_image(data, form)
    return Peek(_is_deep(image, data, form), _is_paged(image, form))


def height_and_width(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Returns height and width in px of an `image_size`, which may be the side of a square."""
    return (image_size, image_size) if isinstance(image_size, int) else image_size


def _checked(size: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    if math.prod(size) > max_pixels:
        raise BadImage(f"{size[0]} x {size[1]} pixels, more than max_image_pixels={max_pixels}")
    return size


def _jxl_size(data: bytes) -> tuple[int, int]:
    try:
        return jxl_size(data)
    except ValueError as error:
        raise BadImage(f"broken {JXL.name} header ({error})") from None


def _is_paged(image: Image.Image, form: Format) -> bool:
    # An animation's further frames are of no interest.
    return form in _PAGED and bool(getattr(image, "is_animated", False))


def _is_deep(image: Image.Image, data: bytes, form: Format) -> bool:
    return (form is PNG and deep_png(data)) or (isinstance(image, TiffImage) and deep_tiff(image))


def _deep_image(image: Image.Image, data: bytes) -> DeepImage:
    if isinstance(image, TiffImage):
        return read_deep_tiff(image, TiffImage(io.BytesIO(data)))
    first, again = PNG.open(data), PNG.open(data)
    return read_deep_png(data, first, again)


def _is_plain(image: Image.Image, form: Format) -> bool:
    return image.mode in _PLAIN.get(form, ()) and "transparency" not in image.info


def _plain_bytes(image: Image.Image, data: bytes, kind: int) -> int:
    """Returns the memory that TensorFlow takes for a photo that it decodes as it is."""
    pixels = math.prod(image.size)
    if kind == PNG_KIND:
        return IN_GRAPH * pixels
    decoded = IN_GRAPH * pixels // 4 ** (kind - JPEG_KIND)
    if IN_GRAPH * pixels <= SMALL_BYTES:
        return decoded
    layers = getattr(image, "layer", ())
    if image.info.get("progressive") or not first_scan_has_all(data, len(layers)):
        # Coefficients of 2 bytes, of which chrominance has fewer.
        shares = [layer[1] * layer[2] for layer in layers]
        decoded += 2 * pixels * sum(shares) // max(*shares, 1)
    return decoded


def _in_bands(image: Image.Image, data: bytes, form: Format) -> bool:
    return form is PNG and has_bands(data) and 4 * math.prod(image.size) > SMALL_BYTES


def _bytes_per_pixel(image: Image.Image, form: Format, *, deep: bool) -> int:
    """Returns the memory that a rare form takes until it is plain."""
    held = _NARROW.get(image.mode) or (8 if deep else 4)
    # libtiff holds one strip, which may be the whole picture.
    return held + (held if form is TIFF else form.overhead)


def _orientation(image: Image.Image, data: bytes, form: Format) -> int:
    try:
        if form is PNG:
            # It may come after the pixels, all of which Pillow would decode on the way to it.
            behind = png_blocks_behind(data)
            for name, kind in (("exif", b"eXIf"), ("xmp", b"iTXt")):
                if kind in behind:
                    image.info.setdefault(name, behind[kind])
        value = Image.Image.getexif(image).get(_EXIF_ORIENTATION, 1)
    except Exception:  # a broken EXIF block does not make the photo unusable
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _halvings(shorter: int, needed: float) -> int:
    return sum(shorter / ratio >= needed for ratio in (2, 4, 8))
