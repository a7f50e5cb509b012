"""The formats of photos: told by a file's first bytes, never by its name, and who reads each.

The one table of these bytes: what lists files and what decodes them both ask it.
"""

import dataclasses
import io
import re
from collections.abc import Callable

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from xferlearn.system.text import one_line, printable

# Cameras' raw photos, which are named and not read.
_RAW_SUFFIXES = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2")
# Files with these endings are photos without a look at what they hold.
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".png", ".bmp", ".dib", ".gif",
    ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif", ".jxl",
    *_RAW_SUFFIXES,
)  # fmt: skip
# As much of a file as `is_photo` looks at.
HEAD_BYTES = 64


class BadImage(ValueError):
    """A photo can't be used; the message is the reason, in a few words."""


class NoReader(BadImage):
    """A photo can't be used because the package that reads its format is not installed.

    Attributes:
        remedy: the command that installs it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """A format that photos are read from.

    Attributes:
        name: e.g. "PNG".
        open: from a file's bytes to a Pillow image whose pixels are not decoded yet. The plug-ins
            are called by name because Image.open tries dozens of formats, and warns through
            process-wide state about sizes that `max_pixels` already bounds.
        overhead: bytes per pixel that decoding takes beside the image itself, at most.
        upright: whether the reader applies the photo's orientation itself.
    """

    name: str
    open: Callable[[bytes], ImageFile.ImageFile]
    overhead: int = 0
    upright: bool = False


def _pillow(reader: type[ImageFile.ImageFile]) -> Callable[[bytes], ImageFile.ImageFile]:
    return lambda data: reader(io.BytesIO(data))


class TiffImage(TiffImagePlugin.TiffImageFile):
    """A TIFF file whose size is not judged once more, by Pillow's own limit."""

    def load_prepare(self) -> None:
        """Makes room for the pixels."""
        if self._im is None:
            self.im = Image.core.new(self.mode, self._tile_size)
        super().load_prepare()


def _open_tiff(data: bytes) -> ImageFile.ImageFile:
    # Pillow would read the small preview of a raw photo, or nothing.
    if data[8:10] == b"CR":
        raise BadImage(f"{_REFUSAL} but {_RAW.format('Canon CR2')}")
    start = 16 if data[2] == 43 else 8
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[:start])
    with io.BytesIO(data) as file:
        file.seek(tags.next)
        tags.load(file)
    kept_elsewhere = tags.get(_NEW_SUBFILE, 0) & 1 and _SUB_IFDS in tags
    sensor = tags.get(_PHOTOMETRIC) in _SENSOR_VALUES or tags.get(_COMPRESSION) in _RAW_COMPRESSION
    if _DNG_VERSION in tags or kept_elsewhere or sensor:
        maker = "DNG" if _DNG_VERSION in tags else printable(str(tags.get(_MAKE, "TIFF")).strip())
        raise BadImage(f"{_REFUSAL} but {_RAW.format(maker)}")
    return TiffImage(io.BytesIO(data))


def _open_avif(data: bytes) -> ImageFile.ImageFile:
    from PIL import AvifImagePlugin

    if not AvifImagePlugin.SUPPORTED:
        raise NoReader(
            "AVIF photos can't be read here: this Pillow was built without AVIF",
            "pip install --upgrade pillow",
        )
    return AvifImagePlugin.AvifImageFile(io.BytesIO(data))


def _open_heif(data: bytes) -> ImageFile.ImageFile:
    try:
        from pi_heif.as_plugin import HeifImageFile
    except ImportError:
        reason = "HEIC photos can't be read here: a package is missing"
        raise NoReader(reason, 'pip install "xferlearn[phone]"') from None
    return HeifImageFile(io.BytesIO(data))


def _open_jxl(data: bytes) -> ImageFile.ImageFile:
    try:
        from pillow_jxl.JpegXLImagePlugin import JXLImageFile
    except ImportError:
        reason = "JPEG XL photos can't be read here: a package is missing"
        raise NoReader(reason, 'pip install "xferlearn[jxl]"') from None
    return JXLImageFile(io.BytesIO(data))


JPEG = Format("JPEG", _pillow(JpegImagePlugin.JpegImageFile))
PNG = Format("PNG", _pillow(PngImagePlugin.PngImageFile))
GIF = Format("GIF", _pillow(GifImagePlugin.GifImageFile))
BMP = Format("BMP", _pillow(BmpImagePlugin.BmpImageFile))
# Two canvases of libwebp and a copy for Pillow, 4 bytes per pixel each.
WEBP = Format("WebP", _pillow(WebPImagePlugin.WebPImageFile), overhead=12)
TIFF = Format("TIFF", _open_tiff, upright=True)
# Planes of up to 2 bytes per value, pixels, and a copy for Pillow.
AVIF = Format("AVIF", _open_avif, overhead=7)
HEIF = Format("HEIC", _open_heif, overhead=7, upright=True)
# libjxl computes in float32.
JXL = Format("JPEG XL", _open_jxl, overhead=12, upright=True)

_MAGIC = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF8", GIF),
    (b"BM", BMP),
    *((prefix, TIFF) for prefix in TiffImagePlugin.PREFIXES),
    (b"\xff\x0a", JXL),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", JXL),
)
_REFUSAL = "not a JPEG, PNG or other photo that can be read"
_RAW = "a camera's raw photo ({}): export it as JPEG or TIFF"
# TIFF's tags, as the TIFF 6.0, TIFF/EP and DNG specifications number them.
_NEW_SUBFILE, _COMPRESSION, _PHOTOMETRIC, _MAKE = 254, 259, 262, 271
_SUB_IFDS, _DNG_VERSION = 330, 50706
_SENSOR_VALUES = (32803, 34892)  # colour filter array, linear raw
_RAW_COMPRESSION = (32767, 34713, 65535)  # Sony, Nikon, Pentax
# What is no photo, or one that nothing here reads. Names go on after "but".
_FOREIGN = (
    (4, b"ftypcrx ", _RAW.format("Canon CR3")),
    (4, b"ftypM4A ", "a sound file (M4A)"),
    *((4, kind, "a video (QuickTime)") for kind in (b"moov", b"mdat", b"wide", b"ftypqt  ")),
    (4, b"ftyp", "a video (MP4)"),
    (0, b"%PDF", "a PDF file"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x00\x00\x00\x0cjP", "a JPEG 2000 file"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (0, b"II\xbc", "a JPEG XR file"),
    (0, b"\x00\x00\x01\x00", "an icon"),
    (0, b"\x00\x00\x02\x00", "a cursor"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR file"),
    (0, b"#?R", "a Radiance HDR file"),
    (0, b"SIMPLE  =", "a FITS file"),
    (128, b"DICM", "a DICOM file"),
    (0, b"qoif", "a QOI file"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"IIRO", _RAW.format("Olympus ORF")),
    (0, b"IIRS", _RAW.format("Olympus ORF")),
    (0, b"MMOR", _RAW.format("Olympus ORF")),
    (0, b"IIU\x00", _RAW.format("Panasonic RW2")),
    (0, b"FUJIFILMCCD-RAW", _RAW.format("Fujifilm RAF")),
    (0, b"\x00MRM", _RAW.format("Minolta MRW")),
    (0, b"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)"),
    (8, b"AVI ", "a video (AVI)"),
    (0, b"\x00\x00\x01\xba", "a video (MPEG)"),
    (8, b"WAVE", "a sound file (WAV)"),
    (0, b"ID3", "a sound file (MP3)"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x00\x05\x16\x07", "a macOS metadata file"),
    (0, b"version https://git-lfs", "a Git LFS pointer: fetch the file with `git lfs pull`"),
)  # fmt: skip
_PNM = re.compile(rb"P[1-7]\s")
_BMP_HEADERS = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)


def is_photo(head: bytes) -> bool:
    """Returns whether a file is an image of some format, be it readable here or not.

    Args:
        head: its first `HEAD_BYTES`.
    """
    found = _recognised(head)
    if found is BMP:  # two bytes alone would also begin texts
        return int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    return isinstance(found, Format) or str(found).endswith("JPEG 2000 file")


def find_format(data: bytes) -> Format:
    """Returns the format of a file.

    Args:
        data: the file's bytes.

    Raises:
        BadImage: when it is not one of a photo; says what it is, if that is known.
    """
    if not data:
        raise BadImage("the file is empty")
    found = _recognised(data)
    if isinstance(found, Format):
        return found
    if found is None:
        raise BadImage(f"{_REFUSAL} (it begins with {data[:8]!r})")
    raise BadImage(f"{_REFUSAL} but {found}")


def open_image(data: bytes, form: Format) -> ImageFile.ImageFile:
    """Returns a photo whose header is read, and, but for JPEG XL, whose pixels are not.

    Raises:
        BadImage: when the header is broken, or nothing reads the format here.
    """
    try:
        return form.open(data)
    except BadImage:
        raise
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise BadImage(f"more than the {most} pixels that are read of {form.name} photos") from None
    except Exception as error:  # readers raise many types on broken headers
        raise BadImage(f"broken {form.name} header ({one_line(error, 120)})") from None


def _recognised(data: bytes) -> Format | str | None:
    """Returns the format, the name of what else it is, or None."""
    for magic, form in _MAGIC:
        if data.startswith(magic):
            return form
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    if data[4:8] == b"ftyp":
        # The length of the list of brands comes first.
        listed = data[8 : min(int.from_bytes(data[:4], "big"), HEAD_BYTES)]
        brands = {listed[at : at + 4] for at in range(0, len(listed), 4)}
        # A file of the general brand mif1 may be either.
        if brands & _AVIF_BRANDS:
            return AVIF
        if brands & _HEIF_BRANDS:
            return HEIF
    for offset, magic, name in _FOREIGN:
        if data.startswith(magic, offset):
            return name
    if _PNM.match(data):
        return "a PNM file"
    start = data[:1000].lstrip()
    if start.startswith(b"<"):
        return "an SVG drawing" if b"<svg" in start else "an HTML or XML page"
    return None
