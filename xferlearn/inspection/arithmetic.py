"""What an operation with constants does to its input's values, and what that says of their range.

The rule works for any format: a network's own arithmetic before the first convolution shows which
raw values it was made for, because all networks compute on small numbers around zero.
"""

from collections.abc import Sequence

from xferlearn.inspection.layers import Affine

Range = tuple[float, float]


def spread(values: Sequence[float]) -> tuple[int, int]:
    """Returns the two numbers of a size, as integers."""
    return int(values[0]), int(values[1])


def affine_of(op: str, operands: Sequence[tuple[float, ...] | None]) -> Affine | None:
    """Returns what `op` does to its one unknown operand.

    Args:
        op: name of an operation in any format, e.g. "Sub", "RealDiv" or "TRUEDIVIDE".
        operands: values of the constant operands; None for the operand that is data.

    Returns:
        Its scale and offset; None where it is not arithmetic on one operand.
    """
    unknown = [place for place, values in enumerate(operands) if values is None]
    if len(operands) != 2 or len(unknown) != 1:
        return None
    constant_first = unknown[0] == 1
    constant = operands[0] if constant_first else operands[1]
    if not constant or not all(abs(value) <= 1e12 for value in constant):  # NaN too
        return None
    kind = op.lower().replace("_", "")
    if kind in ("add", "addv2", "biasadd"):
        return Affine(offset=constant)
    if kind in ("mul", "multiply"):
        return Affine(scale=constant)
    if kind in ("sub", "subtract"):
        if constant_first:
            return Affine((-1.0,), constant)
        return Affine(offset=tuple(-value for value in constant))
    divides = kind in ("div", "realdiv", "divide", "truedivide") and not constant_first
    if divides and all(abs(value) > 1e-12 for value in constant):
        return Affine(scale=tuple(1 / value for value in constant))
    return None


def normalization(mean: Sequence[float], variance: Sequence[float]) -> Affine | None:
    """Returns what Keras' Normalization layer computes, None for numbers that it can't have."""
    if not mean or len(mean) != len(variance) or not min(variance) > 0:
        return None
    stds = [value**0.5 for value in variance]
    offset = tuple(-value / std for value, std in zip(mean, stds, strict=True))
    return Affine(tuple(1 / std for std in stds), offset)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# The ranges that models are made for, and those that their first arithmetic brings them to.
_PIXELS, _UNIT, _SIGNED = (0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)
_TARGETS = (_PIXELS, _UNIT, _SIGNED, (-0.5, 0.5))
# Mean and standard deviation of well-known data sets in the range [0, 1]: ImageNet (also as one
# number), CIFAR-10 (both that are used), CIFAR-100, MNIST, Fashion-MNIST.
_KNOWN_STATISTICS = (
    (0.449, 0.226), (0.4734, 0.2009), (0.4734, 0.2516), (0.4782, 0.2682), (0.1307, 0.3081),
    (0.2860, 0.3530),
)  # fmt: skip


def raw_range(inside: Affine) -> Range | None:
    """Returns the range of raw values that a network starting with `inside` was made for.

    Args:
        inside: arithmetic between the input and the first layer with weights.

    Returns:
        (0, 255), (0, 1) or (-1, 1); None where the arithmetic changes nothing, fits none of them,
        or fits several.
    """
    scale, offset = abs(_mean(inside.scale)), _mean(inside.offset)
    if _mean(inside.scale) < 0:  # the negative of a picture
        offset = -offset
    if not scale or (abs(scale - 1) < 1e-6 and abs(offset) < 1e-6):
        return None
    # No others make small numbers of pixels: 255 becomes 0.5 to 12 (Normalization with a standard
    # deviation from 20 to 500), or pixels lose their mean, as in Caffe.
    if 0.5 <= 255 * scale <= 12:
        return _PIXELS
    if abs(scale - 1) < 1e-6 and -200 <= offset <= -50:
        return _PIXELS
    for given in (_UNIT, _SIGNED):
        ends = tuple(value * scale + offset for value in given)
        tolerance = 0.015 * (ends[1] - ends[0])
        for target in _TARGETS:
            if all(abs(end - to) < tolerance for end, to in zip(ends, target, strict=True)):
                return given
    # Back to pixels first, then Caffe's mean.
    if abs(scale - 127.5) < 2 and -200 <= offset - scale <= -50:
        return _SIGNED
    if abs(scale - 255) < 3 and -200 <= offset <= -50:
        return _UNIT
    # No data have a mean of exactly 0.
    return _from_statistics(-offset / scale, 1 / scale) if offset else None


def _from_statistics(mean: float, deviation: float) -> Range | None:
    """Returns the range of data with a mean and a standard deviation, None where several fit."""
    for known, spread in _KNOWN_STATISTICS:
        if abs(mean - known) < 0.005 and abs(deviation - spread) < 0.005:
            return _UNIT
        if abs(mean - (2 * known - 1)) < 0.01 and abs(deviation - 2 * spread) < 0.01:
            return _SIGNED
    # Photos deviate by 40 to 80 of 255; data of a mean below 0, or that deviates by more than
    # [0, 1] can, is not in [0, 1].
    possible = 0 < mean < 1 and deviation**2 <= mean * (1 - mean)
    if possible and 0.25 <= mean <= 0.75 and 0.15 <= deviation <= 0.32:
        return _UNIT
    if not possible and -0.75 <= mean <= 0.6 and 0.3 <= deviation <= 0.7:
        return _SIGNED
    return None


def describe(inside: Affine) -> str:
    """Returns the arithmetic in words, as (x - mean) / std."""
    if any(not factor for factor in inside.scale):
        return "x * 0"
    width = max(len(inside.scale), len(inside.offset))
    scales = inside.scale * (width // len(inside.scale))
    offsets = inside.offset * (width // len(inside.offset))
    means = [0.0 - offset / factor for offset, factor in zip(offsets, scales, strict=True)]
    stds = [1 / factor for factor in scales]
    return f"(x - {_listed(means)}) / {_listed(stds)}"


def _listed(values: list[float]) -> str:
    if max(values) - min(values) < 1e-6 * max(1.0, abs(values[0])):
        return f"{values[0]:.6g}"
    return "[" + ", ".join(f"{value:.6g}" for value in values[:4]) + "]"
