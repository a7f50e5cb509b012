"""Draws sheets of photos with captions, and encodes pictures."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from xferlearn.summaries.fonts import caption_font, cut

_LETTERS = 15  # px
_INK, _PAPER, _FAINT = (33, 33, 33), (255, 255, 255), (224, 224, 224)


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
        font, text = caption_font("not readable", _LETTERS)
        draw.text((side / 2, side / 2), text, _INK, font, anchor="mm")
    else:
        image.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))
    for number, line in enumerate(lines):
        font, text = caption_font(cut(line, _LETTERS, side - 8), _LETTERS)
        draw.text((4, side + 2 + line_height * (number + 0.5)), text, _INK, font, anchor="lm")
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
    """Returns a chart as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
