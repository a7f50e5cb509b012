"""What a photo looks like, in a thousand bytes: its print, from which copies of it are found.

A print is made of the pixels that a network sees, so it says nothing about file names, formats and
metadata. It is kept beside the bottlenecks, so that a photo is decoded once for both.
"""

import dataclasses
import hashlib
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

# Changes with what is below, so that prints made otherwise are not mistaken for these.
VERSION = 1
SIDE = 32
_COLOUR_SIDE = 4
DIGEST_BYTES = 32
_GRAY = SIDE * SIDE
_COLOUR = 2 * _COLOUR_SIDE**2
PRINT_BYTES = DIGEST_BYTES + _GRAY + _COLOUR + 1
# Deviations are kept in steps of 1/16, up to 15.9.
_STEPS = 16
# JPEG (JFIF 1.02): luma and the two colour differences of RGB.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_DIFFERENCES = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
# Most of the noise of a sensor is below; the dullest solar cell of a dataset deviates by 3.
_FLAT_DEVIATION = 2.0


@dataclasses.dataclass(frozen=True)
class Prints:
    """The prints of photos, as columns.

    Attributes:
        rows: as `make_prints` returns them, uint8, [photos, PRINT_BYTES].
    """

    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray | Sequence[int]) -> "Prints":
        return Prints(self.rows[rows])

    @property
    def pixels(self) -> np.ndarray:
        """SHA-256 of the pixels of each photo, bytes of 32, [photos]."""
        return np.ascontiguousarray(self.rows[:, :DIGEST_BYTES]).view(f"V{DIGEST_BYTES}")[:, 0]

    @property
    def gray(self) -> np.ndarray:
        """Each photo small and gray, float32, [photos, SIDE, SIDE], range [0, 255]."""
        gray = self.rows[:, DIGEST_BYTES : DIGEST_BYTES + _GRAY]
        return gray.reshape(-1, SIDE, SIDE).astype(np.float32)

    @property
    def colour(self) -> np.ndarray:
        """Blue and red difference, float32, [photos, 2, 4, 4], range [-128, 127]; 0 is gray."""
        colour = self.rows[:, DIGEST_BYTES + _GRAY : -1].astype(np.float32)
        return colour.reshape(-1, 2, _COLOUR_SIDE, _COLOUR_SIDE) - 128

    @property
    def flat(self) -> np.ndarray:
        """Whether a photo is of one colour, but for noise, bool, [photos]."""
        return _is_flat(self.rows)

    @property
    def marks(self) -> "Marks":
        """What tells equal pixels and photos of one colour."""
        return Marks(marks_of(self.rows))

    @property
    def mean(self) -> np.ndarray:
        """The mean colour, float32, [photos, 3], RGB, range [0, 255]."""
        luma = self.gray.mean((1, 2))[:, None]
        blue, red = self.colour.mean((2, 3)).T[:, :, None]
        back = np.concatenate(
            [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], 1
        )
        return back.clip(0, 255)


@dataclasses.dataclass(frozen=True)
class Marks:
    """What of prints tells equal pixels and photos of one colour, as columns.

    Attributes:
        rows: as `marks_of` returns them, uint8, [photos, 36].
    """

    rows: np.ndarray

    @property
    def pixels(self) -> np.ndarray:
        """SHA-256 of the pixels of each photo, uint8, [photos, 32]."""
        return self.rows[:, :DIGEST_BYTES]

    @property
    def colours(self) -> np.ndarray:
        """The mean colour of photos of one colour, uint8, [photos, 3], RGB, range [0, 255]."""
        return self.rows[:, DIGEST_BYTES:-1]

    @property
    def flat(self) -> np.ndarray:
        """Whether a photo is of one colour, but for noise, bool, [photos]."""
        return _is_flat(self.rows)


def marks_of(rows: np.ndarray) -> np.ndarray:
    """Returns what `Marks` has of prints, uint8, [photos, 36].

    Args:
        rows: as `make_prints` returns them.
    """
    colours, flat = np.zeros((len(rows), 3), np.uint8), _is_flat(rows)
    colours[flat] = Prints(rows[flat]).mean.round()
    return np.concatenate([rows[:, :DIGEST_BYTES], colours, rows[:, -1:]], axis=1)


def _is_flat(rows: np.ndarray) -> np.ndarray:
    return rows[:, -1] < _FLAT_DEVIATION * _STEPS


def make_prints(pixels: np.ndarray) -> np.ndarray:
    """Returns the prints of photos.

    Args:
        pixels: uint8, [photos, height, width, 3], range [0, 255], as a network sees them.

    Returns:
        uint8, [photos, PRINT_BYTES]: SHA-256 of the pixels; the photo in SIDE x SIDE gray; its
        colours in 4 x 4; how much its pixels deviate from their mean.

    Example:
        >>> make_prints(batch.pixels).shape
        (32, 1089)
    """
    rows = np.empty((len(pixels), PRINT_BYTES), np.uint8)
    for row, photo in zip(rows, pixels, strict=True):
        data = np.ascontiguousarray(photo)
        row[:DIGEST_BYTES] = np.frombuffer(hashlib.sha256(data.data).digest(), np.uint8)
        # Pillow, because matrices this small keep the threads of a BLAS waiting for one another.
        small = Image.fromarray(data).resize((SIDE, SIDE), Image.Resampling.BOX)
        means = np.asarray(small, np.float32)
        row[DIGEST_BYTES : DIGEST_BYTES + _GRAY] = np.rint(means @ _LUMA).reshape(_GRAY)
        colours = np.asarray(small.resize((_COLOUR_SIDE, _COLOUR_SIDE), Image.Resampling.BOX))
        differences = (colours @ _DIFFERENCES.T).transpose(2, 0, 1) + 128
        row[DIGEST_BYTES + _GRAY : -1] = np.rint(differences).clip(0, 255).reshape(_COLOUR)
        # Every 16th pixel tells how much they vary.
        some = data[::4, ::4] - means.mean((0, 1))
        row[-1] = min(round(math.sqrt(np.square(some).mean()) * _STEPS), 255)
    return rows


def difference_hashes(prints: Prints) -> np.ndarray:
    """Returns where each photo grows brighter to the right and downwards, uint8, [photos, 60].

    Copies in other quality, size or colour differ in few of the 480 bits.
    """
    cells = prints.gray.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    right = cells[:, :, 1:] > cells[:, :, :-1]
    down = cells[:, 1:] > cells[:, :-1]
    return np.packbits(np.concatenate([right, down.transpose(0, 2, 1)], 1).reshape(-1, 480), 1)


def window_cells(side: int, start: float, length: float) -> np.ndarray:
    """Returns the matrix that takes the means over a window's cells, float32, [SIDE, side].

    Args:
        side: values along the side.
        start: where the window begins.
        length: how long it is.
    """
    edges = start + np.linspace(0, length, SIDE + 1)
    low, high = edges[:-1, None], edges[1:, None]
    place = np.arange(side)
    shares = (np.minimum(high, place + 1) - np.maximum(low, place)).clip(0)
    return (shares / shares.sum(1, keepdims=True)).astype(np.float32)
