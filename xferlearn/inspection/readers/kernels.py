"""What the first layers of a network do to pixels, for the formats that store numbers as bytes."""

import math
import struct
from collections.abc import Mapping, Sequence

from xferlearn.inspection.layers import Shape
from xferlearn.inspection.readers.wire import View

_FORMATS = {"float32": "f", "float64": "d", "float16": "e", "int8": "b"}
_PIXEL_CHANNELS = (1, 3, 4)
# The kernel of a first layer has 27 to 18,816 numbers; more are not looked at.
_MOST_NUMBERS = 65_536


def kernel_rms(
    content: View | None,
    dtype: str,
    shape: Shape,
    channels: int = -2,
    scales: Sequence[float] = (),
) -> float | None:
    """Returns the root mean square of a kernel that reads pixels; None for any other constant.

    Args:
        content: its numbers, little-endian.
        dtype: as in NumPy.
        shape: of the kernel.
        channels: which axis has the channels that it reads.
        scales: what 8-bit numbers are multiplied by, one number in all, or one per place of the
            first axis.
    """
    code = _FORMATS.get(dtype)
    reads_pixels = len(shape) == 4 and shape[channels] in _PIXEL_CHANNELS
    if content is None or code is None or not reads_pixels:
        return None
    count = math.prod(size or 0 for size in shape)
    if not 0 < count <= _MOST_NUMBERS:
        return None
    if len(content) != count * struct.calcsize(code):
        return None
    numbers = struct.unpack(f"<{count}{code}", content)
    outputs = shape[0] or 1
    if dtype != "int8":
        scales = (1.0,)
    if len(scales) not in (1, outputs):
        return None
    size = count // len(scales)
    squares = (
        scale * scale * sum(value * value for value in numbers[size * place : size * (place + 1)])
        for place, scale in enumerate(scales)
    )
    mean = sum(squares) / count
    return math.sqrt(mean) if math.isfinite(mean) else None


def sliced_channel(
    begin: Sequence[int], end: Sequence[int], steps: Sequence[int], masks: Mapping[str, int]
) -> tuple[str, int | None]:
    """Returns what a strided slice of [batch, height, width, channels] does to the channels.

    Args:
        begin: where it begins, per axis.
        end: where it ends, per axis.
        steps: per axis.
        masks: bits per axis: "begin" and "end", which are not to be looked at, "ellipsis", and
            "shrink_axis", which is dropped.

    Returns:
        The role "reverse" where it reverses the last axis and leaves the others alone, otherwise
        ""; and the place of the only channel that it keeps, None where it keeps others.
    """
    last = len(steps) - 1
    if last not in (1, 3) or not len(begin) == len(end) == len(steps):
        return "", None
    for axis in range(last):
        whole = masks["begin"] >> axis & 1 and masks["end"] >> axis & 1 and steps[axis] == 1
        if not (whole or masks["ellipsis"] >> axis & 1):
            return "", None
    open_ended = masks["begin"] >> last & 1 and masks["end"] >> last & 1
    if steps[last] == -1 and open_ended:
        return "reverse", None
    if steps[last] == 1 and masks["shrink_axis"] >> last & 1 and begin[last] >= 0:
        return "", begin[last]
    return "", None
