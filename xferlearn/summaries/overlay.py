"""Draws a heat map over the photo that it was made of."""

import numpy as np
from PIL import Image

# Blue and orange are told apart with every common colour blindness, and differ from the gray photo
# below them. What is stronger is more of its colour.
_FOR, _AGAINST = np.array([240.0, 106.0, 0.0]), np.array([33.0, 102.0, 200.0])
_MOST_COLOUR = 0.72
# The line around what contributes at least half as much as the strongest place.
_LINE_AT = 0.5
# Below this, in px, the line would cover what it encloses.
_SMALLEST = 192
_LINE, _EDGE = (255, 255, 255), (20, 20, 20)

LEGEND = (
    "In a heat map orange speaks for the label, blue against it, and gray for neither. The white"
    " line encloses the places that speak for it most."
)


def draw_overlay(pixels: np.ndarray, values: np.ndarray) -> Image.Image:
    """Returns a photo in gray, with a heat map over it in colour and a line around its peaks.

    Args:
        pixels: uint8, [height, width, 3].
        values: float32, [rows, columns], range [-1, 1]; positive is orange, negative blue.

    Returns:
        As large as the photo; a multiple of it where that is small.
    """
    factor = max(1, -(-_SMALLEST // min(pixels.shape[:2])))
    if factor > 1:
        pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = pixels.shape[:2]
    grid = Image.fromarray(np.asarray(values, np.float32))
    # Bicubic would draw blue around orange.
    heat = np.asarray(grid.resize((width, height), Image.Resampling.BILINEAR))
    gray = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)[..., None]
    colour = np.where(heat[..., None] >= 0, _FOR, _AGAINST)
    share = _MOST_COLOUR * np.abs(heat)[..., None]
    # Lit by the photo, so that its shapes stay visible where the colour is strongest.
    shown = gray * (1 - share) + colour * share * (0.45 + 0.75 * gray / 255)
    image = shown.clip(0, 255).astype(np.uint8)
    inside = heat >= _LINE_AT
    for grown, ink in ((2, _EDGE), (1, _LINE)):
        image[_border(inside, grown)] = ink
    return Image.fromarray(image)


def heat_layer(values: np.ndarray, width: int, height: int) -> Image.Image:
    """Returns a heat map as a layer to put over a photo in colour: opaque where it is strong.

    Args:
        values: float32, [rows, columns], range [-1, 1]; positive is orange, negative blue.
        width: px.
        height: px.

    Returns:
        RGBA.
    """
    grid = Image.fromarray(np.asarray(values, np.float32))
    heat = np.asarray(grid.resize((width, height), Image.Resampling.BILINEAR))[..., None]
    alpha = (255 * _MOST_COLOUR * np.abs(heat)).clip(0, 255)
    colour = np.where(heat >= 0, _FOR, _AGAINST)
    return Image.fromarray(np.concatenate([colour, alpha], axis=2).astype(np.uint8))


def _border(inside: np.ndarray, reach: int) -> np.ndarray:
    """Returns where a region ends, bool, `reach` px to both sides."""
    padded = np.pad(inside, reach, mode="edge")
    height, width = inside.shape
    shifted = [
        padded[row : row + height, column : column + width]
        for row in (0, reach, 2 * reach)
        for column in (0, reach, 2 * reach)
    ]
    return np.any(shifted, axis=0) & ~np.all(shifted, axis=0)
