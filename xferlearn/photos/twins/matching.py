"""Two prints -> whether they show the same picture, cell by cell.

Photos of one kind look alike at large: solar cells have the same bars, forms the same lines. What
differs is detail, so detail decides here, and it must agree everywhere: cells are compared within
small windows, each by its own contrast, and what is the same along a window's rows or columns does
not count. A copy agrees in (nearly) all windows, whatever its brightness and quality; two photos
of one scene, or two flowers of one kind, do not.
"""

import numpy as np

from xferlearn.photos.twins.prints import SIDE, Prints

# Windows of 7 x 7 cells. Of 1,000 flowers and 200 changed ones each: copies saved at quality 90 to
# 20, scaled to a third, made gray, brighter or darker agree by 0.80 or more, 99% of them by 0.88;
# after their place was found, 99% of cropped ones by 0.78. Different photos agree by 0.37 at 99%.
_WINDOW = 7
SAME = 0.88
# What has little detail, such as a drawing or a dull surface, agrees with many.
SAME_WITH_LITTLE = 0.95
CROPPED = 0.75
# Share of the cells that must differ from their neighbours by more than a level.
_DETAIL = 0.35
_LITTLE_DETAIL = 0.05
# A level: a difference that rounding and compression make too.
_NOISE = 1.0
_ROUNDS = 8
# A part of a photo keeps its shape, lies inside it and is a good deal smaller (in cells).
_SHAPE = 0.04
_OUTSIDE = 0.12
_MOVED = 0.5
_MOST_SCALED = 1.4
# Cells, a few pairs at a time.
_PAIRS = 512


def detail(gray: np.ndarray) -> np.ndarray:
    """Returns the share of the cells with detail in them, float, [photos], range [0, 1]."""
    found = np.empty(len(gray))
    for start in range(0, len(gray), _PAIRS):
        cells = _centred(gray[start : start + _PAIRS])
        spread = np.sqrt(_shared(cells, cells, 3).clip(0))
        found[start : start + _PAIRS] = (spread > _NOISE).mean((1, 2))
    return found


def enough_detail(details: np.ndarray) -> np.ndarray:
    """Returns whether there is enough to compare, bool, [photos]: a blank page has nothing."""
    return details >= _LITTLE_DETAIL


def same_picture(
    one: Prints, other: Prints, details: np.ndarray, places: np.ndarray, mirrored: np.ndarray
) -> np.ndarray:
    """Returns which pairs show the same picture, or one a part of what the other shows.

    Args:
        one: first print of each pair.
        other: second print of each pair.
        details: the smaller share of cells with detail of each pair, as `detail` returns it.
        places: where `other` may lie in `one`, float, [pairs, 4]: scale and centre from top to
            bottom, then from left to right, in half sides; (1, 0, 1, 0) is all of it.
        mirrored: whether `one` is seen in a mirror, bool, [pairs].

    Returns:
        bool, [pairs].
    """
    same = np.zeros(len(one), bool)
    for start in range(0, len(one), _PAIRS):
        some = slice(start, start + _PAIRS)
        first, second = one.gray[some], other.gray[some]
        first[mirrored[some]] = first[mirrored[some]][:, :, ::-1]
        much = details[some] >= _DETAIL
        whole = np.broadcast_to(np.array([1.0, 0, 1, 0]), (len(first), 4))
        agreed = _agreement(second, first, whole)
        found = agreed >= np.where(much, SAME, SAME_WITH_LITTLE)
        # Whoever agrees nowhere as a whole may be a part of the other, where one was expected.
        partly = (places[some] != whole).any(1)
        left = np.flatnonzero(~found & much & ~mirrored[some] & (partly | (agreed > 0.4)))
        if len(left):
            found[left] = _is_part(second[left], first[left], places[some][left])
        same[some] = found
    return same & _same_colours(one, other, mirrored)


def _same_colours(one: Prints, other: Prints, mirrored: np.ndarray) -> np.ndarray:
    first, second = one.colour, other.colour
    first[mirrored] = first[mirrored][..., ::-1]
    apart = np.abs(first - second).mean((1, 2, 3))
    strength = np.abs([first, second]).mean((2, 3, 4))
    # A copy in gray has lost them.
    return (apart <= 4 + strength.max(0) / 3) | (strength.min(0) < 2)


def _is_part(part: np.ndarray, whole: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Returns whether `part` is, about at a place, in `whole`, or the other way round."""
    place = _registered(part, whole, places.astype(np.float32))
    scale, shift = place[:, [0, 2]], place[:, [1, 3]]
    moved = (SIDE / 2 * (np.abs(scale - 1) + np.abs(shift))).max(1) > _MOVED
    in_shape = np.abs(np.log(scale[:, 0] / scale[:, 1])) < _SHAPE
    inside = (np.abs(shift) <= np.abs(1 - scale) + _OUTSIDE).all(1)
    return moved & in_shape & inside & (_agreement(part, whole, place) >= CROPPED)


def _agreement(one: np.ndarray, other: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Returns how far `one` agrees with `other` seen at a place, float, [pairs], -1 to 1."""
    seen, inside = _seen(other, place)
    level = one.mean((1, 2), keepdims=True)
    first, second = one - level, (seen - level) * inside
    both = _shared(first, second, _WINDOW)
    spread = [np.sqrt(_shared(cells, cells, _WINDOW).clip(0)) for cells in (first, second)]
    # Cells that `other` does not have tell nothing.
    whole = _sums(inside.astype(np.float32), _WINDOW) > _WINDOW**2 - 0.5
    largest = np.maximum(*spread)
    weight = largest / (largest + _NOISE) * whole
    agreed = both / np.maximum(spread[0] * spread[1], 1e-3) * weight
    return agreed.sum((1, 2)) / np.maximum(weight.sum((1, 2)), 1e-6)


def _registered(one: np.ndarray, other: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Returns the places at which `other` looks most like `one`, by Gauss-Newton's steps."""
    centres = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1).astype(np.float32)
    one, other = _smoothed(one), _smoothed(other)
    best, closest = place.copy(), np.full(len(one), -2.0)
    for _ in range(_ROUNDS):
        seen, inside = _seen(other, place)
        first, second = _standard(one, inside), _standard(seen, inside)
        cells = inside.sum((1, 2)).clip(1)
        close = (first * second * inside).sum((1, 2)) / cells
        better = close > closest
        best[better], closest[better] = place[better], close[better]
        down, right = (np.gradient(second, axis=axis) * (SIDE / 2) for axis in (1, 2))
        down, right = down / place[:, 0, None, None], right / place[:, 2, None, None]
        slopes = np.stack([down * centres[:, None], down, right * centres, right], 1)
        slopes = (slopes * inside[:, None]).reshape(len(one), 4, -1)
        missing = ((first - second) * inside).reshape(len(one), -1, 1)
        normal = slopes @ slopes.transpose(0, 2, 1) + 0.1 * np.eye(4, dtype=np.float32)
        step = np.linalg.solve(normal, slopes @ missing)[:, :, 0]
        place = place + step.clip(-0.08, 0.08)
        place[:, ::2] = place[:, ::2].clip(1 / _MOST_SCALED, _MOST_SCALED)
    return best


def _seen(cells: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns cells as seen at a place, and which of them there are, both [pairs, SIDE, SIDE]."""
    pair = np.arange(len(cells))[:, None]
    axes = []
    for scale, shift in (place[:, :2].T, place[:, 2:].T):
        centres = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
        at = ((scale[:, None] * centres + shift[:, None] + 1) / 2 * SIDE - 0.5).astype(np.float32)
        low = np.floor(at)
        index = low.astype(np.int64)
        inside = (at >= -0.5) & (at <= SIDE - 0.5)
        axes.append((index.clip(0, SIDE - 1), (index + 1).clip(0, SIDE - 1), at - low, inside))
    (top, bottom, down, in_rows), (left, right, across, in_columns) = axes
    rows = cells[pair, top] * (1 - down)[:, :, None] + cells[pair, bottom] * down[:, :, None]
    rows = rows.transpose(0, 2, 1)
    seen = rows[pair, left] * (1 - across)[:, :, None] + rows[pair, right] * across[:, :, None]
    return seen.transpose(0, 2, 1), in_rows[:, :, None] & in_columns[:, None]


def _shared(one: np.ndarray, other: np.ndarray, window: int) -> np.ndarray:
    """Returns the covariance within every window, without what its rows or columns share."""
    across = _sums_along(one, window, 2), _sums_along(other, window, 2)
    down = _sums_along(one, window, 1), _sums_along(other, window, 1)
    total = _sums_along(across[0], window, 1) * _sums_along(across[1], window, 1)
    rows = _sums_along(across[0] * across[1], window, 1)
    columns = _sums_along(down[0] * down[1], window, 2)
    return (_sums(one * other, window) - (rows + columns) / window + total / window**2) / (
        window - 1
    ) ** 2


def _sums(cells: np.ndarray, window: int) -> np.ndarray:
    return _sums_along(_sums_along(cells, window, 1), window, 2)


def _sums_along(cells: np.ndarray, window: int, axis: int) -> np.ndarray:
    along = np.moveaxis(cells, axis, 1)
    count = along.shape[1] - window + 1
    total = along[:, :count].copy()
    for start in range(1, window):
        total += along[:, start : start + count]
    return np.moveaxis(total, 1, axis)


def _centred(cells: np.ndarray) -> np.ndarray:
    return cells - cells.mean((1, 2), keepdims=True)


def _smoothed(cells: np.ndarray) -> np.ndarray:
    edged = np.pad(cells, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = (edged[:, :-2] + 2 * edged[:, 1:-1] + edged[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4


def _standard(cells: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Returns cells with mean 0 and deviation 1 where they are inside."""
    count = inside.sum((1, 2), keepdims=True).clip(1)
    centred = cells - (cells * inside).sum((1, 2), keepdims=True) / count
    spread = np.sqrt((np.square(centred) * inside).sum((1, 2), keepdims=True) / count)
    return centred / (spread + 1e-6)
