"""Amounts of memory as people write them: `4GiB`, `500MB`, or a number of bytes."""

import re
from typing import Any

from xferlearn.errors import UserError

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_THOUSANDS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_FORM = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)(B?)\s*", re.IGNORECASE)


def read_size(name: str, value: Any, smallest: float | None = None) -> int:
    """Returns a number of bytes.

    Args:
        name: setting that it is the value of.
        value: whole number of bytes, or text such as "4GiB" (2^30 bytes), "4GB" (10^9) or "4G",
            which means 4GiB.
        smallest: bytes that it must have at least; None for no bound.

    Raises:
        UserError: when it is none, or below the bound.

    Example:
        >>> read_size("max_memory", "1.5GiB")
        1610612736
    """
    found = _FORM.fullmatch(str(value)) if isinstance(value, (int, str)) else None
    if found is None or isinstance(value, bool):
        raise UserError(
            f"Expected `{name}` to be an amount of memory, e.g. '4GiB'. Received: {value!r}."
        )
    number, unit, binary, letter = found.groups()
    decimal = unit and letter and not binary
    size = int(float(number) * (_THOUSANDS if decimal else _UNITS)[unit.upper()])
    if smallest is not None and size < smallest:
        raise UserError(
            f"Expected `{name}` to be at least {size_text(int(smallest))}. Received:"
            f" {size_text(size)}."
        )
    return size


def size_text(size: int) -> str:
    """Returns a number of bytes in the largest unit that leaves at least 1, e.g. "1.5 GiB"."""
    for unit, factor in reversed(_UNITS.items()):
        if size >= factor > 1:
            return (
                f"{size / factor:.3g} {unit}iB"
                if size / factor < 999.5
                else f"{size / factor:.0f} {unit}iB"
            )
    return f"{size} bytes"
