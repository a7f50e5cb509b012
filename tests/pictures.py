"""Pictures for tests of looks: as detailed as photos, each unlike all others."""

import dataclasses
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence, Set

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps, PngImagePlugin

from xferlearn.photos.sources import Entry


def picture(number: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture with the spectrum of a photo (power falls with the square of the frequency)."""
    width, height = size
    noise = np.random.default_rng(number).standard_normal((height, width, 3))
    noise[..., 1:] = 0.7 * noise[..., :1] + 0.5 * noise[..., 1:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) * width
    frequency[0, 0] = 1
    field = np.fft.ifft2(np.fft.fft2(noise, axes=(0, 1)) / frequency[..., None] ** 1.3, axes=(0, 1))
    values = field.real / field.real.std((0, 1))
    return Image.fromarray((128 + 45 * values).clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, form: str = "JPEG", **save: object) -> bytes:
    """A picture as a file's bytes; JPEG of quality 95 where nothing else is asked for."""
    buffer = io.BytesIO()
    image.save(buffer, form, **({"quality": 95} if form == "JPEG" else {}) | save)
    return buffer.getvalue()


def cropped(image: Image.Image, share: float, left: float = 0.5, top: float = 0.5) -> Image.Image:
    """A picture without a share of its width and height."""
    width, height = (round(side * (1 - share)) for side in image.size)
    x, y = round((image.width - width) * left), round((image.height - height) * top)
    return image.crop((x, y, x + width, y + height))


def marked(image: Image.Image) -> Image.Image:
    """A picture with a line of text on it."""
    result = image.copy()
    ImageDraw.Draw(result).text((150, 210), "(c) somebody, all rights reserved", fill="white")
    return result


def turned(image: Image.Image) -> bytes:
    """A picture that lies on its side, and an EXIF tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(image.transpose(Image.Transpose.ROTATE_90), exif=exif)


def with_comment(data: bytes, comment: bytes) -> bytes:
    """A JPEG with a comment: other bytes, the same pixels."""
    return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


def with_text(image: Image.Image) -> bytes:
    """A PNG with a text chunk, packed in another way."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "a gallery")
    return encode(image, "PNG", pnginfo=text, compress_level=1)


def deep(image: Image.Image) -> bytes:
    """The picture as a gray PNG of 16 bits."""
    return encode(Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257), "PNG")


# Near twins of a JPEG of quality 95.
TWINS: dict[str, Callable[[Image.Image], bytes]] = {
    "quality 90": lambda image: encode(image, quality=90),
    "quality 40": lambda image: encode(image, quality=40),
    "progressive, all colours": lambda image: encode(
        image, quality=80, progressive=True, subsampling=0
    ),
    "half the size": lambda image: encode(image.resize((160, 120))),
    "a thumbnail": lambda image: encode(image.resize((128, 96))),
    "gray": lambda image: encode(image.convert("L")),
    "brighter": lambda image: encode(ImageEnhance.Brightness(image).enhance(1.2)),
    "more contrast": lambda image: encode(ImageEnhance.Contrast(image).enhance(1.3)),
    "cropped by 5%": lambda image: encode(cropped(image, 0.05)),
    "cropped at a corner": lambda image: encode(cropped(image, 0.05, 0, 0)),
    "cropped by 15%": lambda image: encode(cropped(image, 0.15)),
    "in a border": lambda image: encode(ImageOps.expand(image, 10, "white")),
    "with a mark": lambda image: encode(marked(image)),
    "mirrored": lambda image: encode(ImageOps.mirror(image)),
    "PNG": lambda image: encode(image, "PNG"),
    "GIF of 256 colours": lambda image: encode(image.quantize(256, method=2), "GIF"),
    "WebP": lambda image: encode(image, "WEBP", quality=70),
    "16 bits": deep,
    "turned by EXIF": turned,
}


@dataclasses.dataclass(frozen=True)
class Pictures:
    """A source of photos in memory."""

    files: Sequence[bytes]
    labels: tuple[str, ...] = ("a", "b")
    names: Set[str] | None = None

    @property
    def count(self) -> int:
        return len(self.files)

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def only(self, names: Set[str], most_bytes: int | None = None) -> "Pictures":
        del most_bytes
        return dataclasses.replace(self, names=names)

    def entries(self) -> Iterator[Entry]:
        for number, data in enumerate(self.files):
            if self.names is not None and f"photo{number}" not in self.names:
                continue
            yield Entry(f"photo{number}", number % 2, lambda data=data: data, len(data))

    def digests(self) -> list[bytes]:
        return [hashlib.sha256(data).digest() for data in self.files]
