"""Pictures that no model has learned from: noise, flat colours, drawn shapes and text.

They are drawn here, so that every file is asked about the same ones.
"""

import functools
import itertools

import numpy as np
from PIL import Image, ImageDraw

_OF_A_KIND = 12
_COLOURS = ((220, 40, 30), (30, 60, 210), (40, 180, 50), (240, 210, 40), (15, 15, 15),
            (250, 250, 250))  # fmt: skip
# Ground and ink of each picture.
_PAIRS = tuple(itertools.permutations(_COLOURS, 2))[::2][:_OF_A_KIND]
_LINES = ("Invoice 2041", "to whom it may", "concern: page", "7 of 12, total", "19.99, due in",
          "thirty days.")  # fmt: skip
# Side of what is drawn, px, before it is brought to the size that is asked for.
_CANVAS = 96


@functools.lru_cache(maxsize=2)
def foreign_pictures(image_size: int) -> np.ndarray:
    """Returns 48 pictures, uint8, [48, image_size, image_size, 3], range [0, 255].

    Args:
        image_size: side in px.
    """
    random = np.random.default_rng(0)
    pictures = []
    for place, (ground, ink) in enumerate(_PAIRS):
        side = _CANVAS >> place % 6
        colours = 3 if place % 2 else 1
        noise = random.integers(0, 256, (side, side, colours), np.uint8).repeat(3 // colours, -1)
        flat = np.broadcast_to(random.integers(0, 256, 3, np.uint8), (2, 2, 3))
        drawn = (noise, flat, _shapes(random, ground, ink), _text(place, ground, ink))
        pictures += [_sized(picture, image_size) for picture in drawn]
    return np.stack(pictures)


def _sized(picture: np.ndarray, image_size: int) -> np.ndarray:
    # Without smoothing, which would make every noise gray.
    whole = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(whole.resize((image_size, image_size), Image.Resampling.NEAREST))


def _shapes(
    random: np.random.Generator, ground: tuple[int, ...], ink: tuple[int, ...]
) -> np.ndarray:
    canvas = Image.new("RGB", (_CANVAS, _CANVAS), ground)
    pen = ImageDraw.Draw(canvas)
    for draw in (pen.ellipse, pen.rectangle, pen.line):
        left, top = random.integers(0, _CANVAS // 2, 2).tolist()
        width, height = random.integers(_CANVAS // 8, _CANVAS // 2, 2).tolist()
        draw((left, top, left + width, top + height), ink)
    return np.asarray(canvas)


def _text(place: int, ground: tuple[int, ...], ink: tuple[int, ...]) -> np.ndarray:
    canvas = Image.new("RGB", (_CANVAS, _CANVAS), ground)
    lines = _LINES[place % len(_LINES) :] + _LINES[: place % len(_LINES)]
    ImageDraw.Draw(canvas).text((2, 2), "\n".join(lines), ink)
    return np.asarray(canvas)
