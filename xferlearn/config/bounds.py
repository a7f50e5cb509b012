"""Numbers as configs hold them, within a setting's bounds."""

import math
from typing import Any

from xferlearn.errors import UserError


def read_number(
    name: str, value: Any, kind: type, bounds: tuple[float | None, float | None, float | None]
) -> Any:
    """Returns a number as int or float, whatever kind of number it was: files hold no others.

    Args:
        name: setting that it is the value of.
        value: a number.
        kind: int or float.
        bounds: the smallest and the largest value admitted, and one that it must be above; None
            for no bound.

    Raises:
        UserError: when it is outside of the bounds, or not finite.
    """
    number = _finite(name, value, kind)
    fails = (
        (lambda number, bound: number < bound, "at least"),
        (lambda number, bound: number > bound, "at most"),
        (lambda number, bound: number <= bound, "above"),
    )
    for bound, (outside, words) in zip(bounds, fails, strict=True):
        if bound is not None and outside(number, bound):
            raise UserError(
                f"Expected `{name}` to be {words} {_text(bound)}. Received: {_text(number)}."
            )
    return number


def _finite(name: str, value: Any, kind: type) -> Any:
    # NumPy's numbers have no place in JSON files.
    try:
        number = kind(value)
    except OverflowError:  # a whole number that no float holds
        number = math.inf
    if kind is float and not math.isfinite(number):
        raise UserError(f"Expected `{name}` to be a finite number. Received: {value}.")
    return number


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
