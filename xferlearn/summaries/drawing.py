"""Draws text and sheets of photos with Pillow."""

import functools
import io
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Pillow's own font has ASCII only. Other scripts need a font of the system, where it has one.
_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "msyh.ttc",
    "msgothic.ttc",
    "malgun.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
)
# TensorBoard shows a picture at this width, in px, until it is clicked on.
CARD_WIDTH = 350

_NO_CHARACTER = "\U0010ffff"
_INK, _PAPER, _FAINT = (33, 33, 33), (255, 255, 255), (224, 224, 224)


def font_for(text: str, size: int) -> tuple[Font, str]:
    """Returns a font for a text, and the text as that font can show it.

    Where no font has all its letters, accents are dropped, and letters that are still missing are
    written as their code points, e.g. `U+82B1`.

    Args:
        text: any Unicode.
        size: height in px.
    """
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    default = _default_font(size)
    if text.isascii() or not isinstance(default, ImageFont.FreeTypeFont):
        return default, text if text.isascii() else _in_ascii(text)
    for name in _SYSTEM_FONTS:
        font = _system_font(name, size)
        if font is not None and _covers(font, text):
            return font, text
    return default, _in_ascii(text)


def _in_ascii(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    kept = (sign for sign in decomposed if not unicodedata.combining(sign))
    return "".join(sign if sign.isascii() else f"U+{ord(sign):04X} " for sign in kept).strip()


@functools.lru_cache(maxsize=64)
def _default_font(size: int) -> Font:
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=256)
def _system_font(name: str, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _covers(font: ImageFont.FreeTypeFont, text: str) -> bool:
    blank = bytes(font.getmask(_NO_CHARACTER))
    return all(sign.isspace() or bytes(font.getmask(sign)) != blank for sign in set(text))


def text_size(text: str, size: int) -> int:
    """Returns the width in px of a text in a font of a height."""
    font, shown = font_for(text, size)
    return round(font.getlength(shown))


def draw_text(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    *,
    anchor: str = "lm",
    fill: tuple[int, int, int] = _INK,
    width: int | None = None,
) -> None:
    """Draws one line.

    Args:
        draw: where.
        place: px from the left and from the top.
        text: any Unicode.
        size: height of the letters in px.
        anchor: which point of the text comes to `place`, as in Pillow; "lm" is left, middle.
        fill: colour.
        width: longer lines are cut at this many px, and end in "...".
    """
    font, shown = font_for(text, size)
    if width is not None and font.getlength(shown) > width:
        while shown and font.getlength(shown + "...") > width:
            shown = shown[:-1]
        shown = shown.rstrip() + "..."
    draw.text(place, shown, fill, font, anchor=anchor)


def draw_photo(pixels: np.ndarray | None, lines: Sequence[str], side: int) -> Image.Image:
    """Returns a photo with lines of text below it.

    Args:
        pixels: uint8, [height, width, 3]; None draws an empty square.
        lines: the text.
        side: px of the square that the photo is scaled to.
    """
    line_height = 19
    image = Image.new("RGB", (side, side + line_height * len(lines) + 4 * bool(lines)), _PAPER)
    draw = ImageDraw.Draw(image)
    if pixels is None:
        draw.rectangle((0, 0, side - 1, side - 1), _FAINT)
        draw_text(draw, (side / 2, side / 2), "not readable", 15, anchor="mm")
    else:
        image.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))
    for number, line in enumerate(lines):
        draw_text(draw, (4, side + 2 + line_height * (number + 0.5)), line, 15, width=side - 8)
    return image


def draw_sheet(tiles: Sequence[Image.Image], columns: int, gap: int = 4) -> Image.Image:
    """Returns images of one size as rows of `columns`, with `gap` px in between."""
    width, height = tiles[0].size
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    size = (columns * (width + gap) - gap, rows * (height + gap) - gap)
    sheet = Image.new("RGB", size, _PAPER)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        sheet.paste(tile, (column * (width + gap), row * (height + gap)))
    return sheet


def jpeg(image: Image.Image, quality: int = 88) -> bytes:
    """Returns an image as a JPEG file; text in it stays crisp."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def webp(image: Image.Image) -> bytes:
    """Returns a photo as a WebP file, half as large as a JPEG file that looks the same."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=75, method=6)
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    """Returns an image of few colours as a small PNG file."""
    buffer = io.BytesIO()
    # For 100 classes the octree takes 0.1 s, the default method 7 s.
    few = image.quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(buffer, "PNG")
    return buffer.getvalue()
