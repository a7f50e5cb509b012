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


def mean(values: Sequence[float]) -> float:
    """Returns the arithmetic mean."""
    return sum(values) / len(values)


def raw_range(inside: Affine) -> Range | None:
    """Returns the range of raw values that a network starting with `inside` was made for.

    Args:
        inside: arithmetic between the input and the first layer with weights.

    Returns:
        (0, 255), (0, 1) or (-1, 1); None where the arithmetic changes nothing or fits none.
    """
    scale, offset = abs(mean(inside.scale)), mean(inside.offset)
    if not scale or (abs(scale - 1) < 1e-6 and abs(offset) < 1e-6):
        return None
    if scale <= 0.1 or (scale < 1.5 and abs(offset) >= 20):
        return 0.0, 255.0
    # (x + 1) / 2 and (x + 1) * 127.5 undo a [-1, 1] normalisation.
    if abs(offset - scale) < 0.02 * scale:
        return -1.0, 1.0
    return (0.0, 1.0) if scale <= 300 else None


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
