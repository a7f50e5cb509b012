"""Prints -> photos with equal pixels, and near twins: the same picture saved in another way.

Near twins are photos that were saved again, scaled, made gray, brighter or darker, mirrored, or
slightly cropped. Candidates are near neighbours of what prints show at large, whole and through
windows; each is then compared in detail.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from xferlearn.photos.digests import DigestMap, as_digests, first_rows, repeated_rows, sortable
from xferlearn.photos.twins.matching import detail, enough_detail, same_picture
from xferlearn.photos.twins.neighbours import MOST, near_pairs
from xferlearn.photos.twins.prints import (
    SIDE,
    Marks,
    Prints,
    difference_hashes,
    window_cells,
)
from xferlearn.system.vectors import new_table

# What a print shows at large: cosines of these waves and fewer per side, 54 in all.
_WAVES = 10
# Of 200 flowers each: copies of any quality, size or brightness have a cosine above 0.9, crops of
# 5% above 0.88, central crops of 15% above 0.96. Of half a million pairs of different photos 49
# have one above 0.8.
_NEAR = 0.82
# Scale and place of windows that a cropped photo may be like.
_WINDOWS = tuple(
    (scale, top, left)
    for scale in (0.93, 0.86)
    for top, left in ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
)
_BLOCK = 4096
_HALF_DIGEST = 16
# Of the bits of a look's hash. Copies saved at quality 50 differ in up to 0.16 of the marked ones,
# 95% of them in less than this; different flowers in 0.22 and more, but solar cells in less.
_FEW_BITS = 0.1
_FEWEST_MARKS = 48
# Of a great many photos only the nearest pairs are compared in detail, half as many as photos.
_FEWEST_CANDIDATES = 20_000
# Compared at a time, so that what was joined is compared no more.
_FEW_PAIRS = 1024
_MOST_ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Alike:
    """What is known of photos' looks; photos that are like no other are in none of the tables.

    Attributes:
        pixels: of photos that share their pixels, by digest: what all that share them have in
            common. Photos of one colour are none: that two are black does not make them one.
        twins: of photos with a near twin or equal pixels, by digest: what the whole group has in
            common.
        flat: of photos of one colour, by digest: the colour, RGB, 0 to 255.
    """

    pixels: Mapping[bytes, bytes] = dataclasses.field(default_factory=dict, repr=False)
    twins: Mapping[bytes, bytes] = dataclasses.field(default_factory=dict, repr=False)
    flat: Mapping[bytes, tuple[int, ...]] = dataclasses.field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"Alike({len(self.pixels)} share pixels, {len(self.twins)} have twins)"


def find_alike(
    digests: Sequence[bytes] | np.ndarray, prints: Prints, *, near: bool = True
) -> Alike:
    """Returns which photos have equal pixels, which are near twins, and which have one colour.

    Args:
        digests: SHA-256 of each photo, each once, in any order; 32 bytes each, or uint8,
            [photos, 32].
        prints: their prints.
        near: whether to look for near twins too.

    Example:
        >>> find_alike(digests, prints)
        Alike(12 share pixels, 31 have twins)
    """
    return alike_of(as_digests(digests), prints.marks, prints.__getitem__ if near else None)


def alike_of(
    digests: np.ndarray, marks: Marks, prints: Callable[[np.ndarray], Prints] | None
) -> Alike:
    """Returns which photos are alike, as `find_alike`, without having all of all prints.

    Args:
        digests: SHA-256 of each photo, each once, in any order, uint8, [photos, 32].
        marks: what their prints tell of equal pixels and colours.
        prints: returns the prints of the photos at some positions, of which near twins are looked
            for; None not to look for them.
    """
    # By digest, so that nothing depends on names or order.
    order, flat = np.argsort(sortable(digests), kind="stable"), marks.flat
    blank, seen = order[flat[order]], order[~flat[order]]
    # Of each the first photo with the same pixels, as a place in `seen`.
    first = first_rows(marks.pixels[seen])
    pixels = _shared(digests[seen], first)
    root = np.arange(len(seen), dtype=np.int32)
    if prints is not None:
        different = np.flatnonzero(first == root)
        for group in _groups(prints(seen[different])):
            root[different[group]] = different[group.min()]
    twins = _shared(digests[seen], root[first])
    colours = DigestMap(digests[blank], marks.colours[blank], lambda row: tuple(row.tolist()))
    return Alike(pixels, twins, colours)


def _shared(digests: np.ndarray, first: np.ndarray) -> DigestMap[bytes]:
    """Returns the digest of the first one of those that several have, given each one's first."""
    some = repeated_rows(first)
    return DigestMap(digests[some], digests[first[some]], np.ndarray.tobytes)


def find_copies(prints: Prints, others: Prints) -> np.ndarray:
    """Returns which of other photos each photo is a near twin of, int64, [photos]; -1 for none.

    Args:
        prints: prints of the photos.
        others: prints of the photos that they may be copies of.
    """
    found = np.full(len(prints), -1)
    known = {pixels: row for row, pixels in enumerate(others.pixels.tolist())}
    for row, pixels in enumerate(prints.pixels.tolist()):
        found[row] = known.get(pixels, -1)
    # Whichever of the two is a part of the other.
    first, second = _verified(prints, others)
    last, before = _verified(others, prints)
    for row, copied in zip([*first, *before], [*second, *last], strict=True):
        found[row] = copied if found[row] < 0 else found[row]
    # One colour is no picture.
    found[prints.flat] = -1
    return found


def recorded_looks(prints: Prints) -> np.ndarray:
    """Returns what of prints goes with a model: half of the pixels' digest, and a hash of the look.

    Returns:
        uint8, [photos, 76].
    """
    return np.concatenate([prints.rows[:, :_HALF_DIGEST], difference_hashes(prints)], 1)


def find_recorded(prints: Prints, looks: np.ndarray) -> np.ndarray:
    """Returns which of other photos each photo is a copy of, in the same crop; for want of prints.

    Args:
        prints: prints of the photos.
        looks: what `recorded_looks` returned of the photos that they may be copies of.

    Returns:
        int64, [photos]; -1 for none.
    """
    found = np.full(len(prints), -1)
    own = recorded_looks(prints)
    known = {look.tobytes(): row for row, look in enumerate(looks[:, :_HALF_DIGEST])}
    bits = [np.unpackbits(some[:, _HALF_DIGEST:], axis=1) for some in (own, looks)]
    own_signs, signs = (
        (some * np.float32(2) - 1) / np.float32(some.shape[1] ** 0.5) for some in bits
    )
    first, second, _ = near_pairs(own_signs, signs, 1 - 2 * _FEW_BITS)
    differing = (bits[0][first] != bits[1][second]).sum(1)
    marked = (bits[0][first] | bits[1][second]).sum(1)
    # Where a drawing on white has few marks, few must differ.
    close = (differing <= _FEW_BITS * marked) & (marked >= _FEWEST_MARKS)
    found[first[close]] = second[close]
    for row, look in enumerate(own[:, :_HALF_DIGEST]):
        found[row] = known.get(look.tobytes(), found[row])
    found[prints.flat] = -1
    return found


def _groups(prints: Prints) -> list[np.ndarray]:
    """Returns the groups of near twins, each the rows of its photos, int64, [at least 2].

    Twins of twins are in one group, however long the chain: frames of one video lie in one split.
    """
    parent = np.arange(len(prints))
    details = np.full(len(prints), np.nan)
    asked = parent.copy()
    for _ in range(_MOST_ROUNDS):
        joined = _join_twins(parent, prints, details, asked)
        # Where more copies gathered than neighbours are looked at, a group may be in pieces: one
        # of each piece looks again.
        sizes = collections.Counter(parent.tolist())
        asked = np.array([row for row, size in sizes.items() if size >= MOST], np.int64)
        if len(asked) < 2 or not joined:
            break
    groups = collections.defaultdict(list)
    for row, root in enumerate(parent.tolist()):
        groups[root].append(row)
    return [np.array(group) for group in groups.values() if len(group) > 1]


def _join_twins(parent: np.ndarray, prints: Prints, details: np.ndarray, asked: np.ndarray) -> bool:
    """Joins the groups of near twins among some photos; returns whether there were any.

    Details that are needed and not known yet are added to `details`.
    """
    some = prints if len(asked) == len(prints) else prints[asked]
    pairs, looks = _candidates(some, some, own=True)
    left = max(_FEWEST_CANDIDATES, len(asked) // 2)
    joined = False
    for start in range(0, len(pairs), _FEW_PAIRS):
        block = asked[pairs[start : start + _FEW_PAIRS]]
        # Pairs of one group say nothing new; in a crowd or a chain they are nearly all.
        new = np.flatnonzero(parent[block[:, 0]] != parent[block[:, 1]])[:left]
        first, second = block[new].T
        needed = np.unique(block[new])
        needed = needed[np.isnan(details[needed])]
        details[needed] = detail(prints[needed].gray)
        same = _same(
            prints,
            prints,
            first,
            second,
            np.minimum(details[first], details[second]),
            looks[start : start + _FEW_PAIRS][new],
        )
        _join(parent, zip(first[same].tolist(), second[same].tolist(), strict=True))
        joined |= bool(same.any())
        left -= len(new)
        if left <= 0:
            break
    return joined


def _join(parent: np.ndarray, pairs: Iterable[tuple[int, int]]) -> None:
    """Gives each row the first row of its group, where pairs join groups."""

    def find(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row

    for one, other in pairs:
        first, second = sorted((find(one), find(other)))
        parent[second] = first
    while (parent[parent] != parent).any():
        parent[:] = parent[parent]


def _verified(one: Prints, other: Prints) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs that show the same picture: rows of `one` and of `other`."""
    pairs, looks = _candidates(one, other, own=False)
    most = max(_FEWEST_CANDIDATES, len(one) // 2)
    (first, second), looks = pairs[:most].T, looks[:most]
    lesser = np.minimum(_detail_of(one, first), _detail_of(other, second))
    same = _same(one, other, first, second, lesser, looks)
    return first[same], second[same]


def _same(
    one: Prints,
    other: Prints,
    first: np.ndarray,
    second: np.ndarray,
    details: np.ndarray,
    looks: np.ndarray,
) -> np.ndarray:
    """Returns which candidates show the same picture, bool, [pairs]."""
    same = enough_detail(details)
    first, second, looks = first[same], second[same], looks[same]
    places = np.array([place for _, _, place, _ in _looks()])[looks]
    mirrored = np.array([turned for *_, turned in _looks()])[looks]
    same[same] = same_picture(one[first], other[second], details[same], places, mirrored)
    return same


def _candidates(one: Prints, other: Prints, *, own: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns pairs that are alike at large, [pairs, 2], and the look of each, nearest first."""
    asking = _softened(one)
    asked = asking if own else _softened(other)
    plain = _at_large(asked, 0)
    found = []
    for look in range(len(_looks())):
        seen = plain if own and look == 0 else _at_large(asking, look)
        first, second, cosine = near_pairs(seen, plain, _NEAR, own=own)
        # The first look is that of the whole photo, which others must beat by something.
        found.append((first, second, cosine - 0.005 * (look > 0), np.full(len(first), look)))
    return _best(*(np.concatenate(parts) for parts in zip(*found, strict=True)), own=own)


def _best(
    first: np.ndarray, second: np.ndarray, cosine: np.ndarray, look: np.ndarray, *, own: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Returns each pair once, [pairs, 2], and the look that it is nearest in, nearest first."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    order = np.lexsort((-cosine, high if own else second, low if own else first))
    key = np.stack([low, high] if own else [first, second], 1)[order]
    new = np.concatenate([[True], (key[1:] != key[:-1]).any(1)]) if len(key) else order > 0
    kept = order[new]
    kept = kept[np.argsort(-cosine[kept], kind="stable")]
    return np.stack([first[kept], second[kept]], 1), look[kept]


def _detail_of(prints: Prints, rows: np.ndarray) -> np.ndarray:
    """Returns the share of cells with detail of some photos, each worked out once."""
    different, place = np.unique(rows, return_inverse=True)
    return detail(prints[different].gray)[place]


def _softened(prints: Prints) -> np.ndarray:
    """Returns the photos without strong extremes, int8, [photos, SIDE, SIDE]."""
    found = new_table(len(prints), SIDE * SIDE, np.int8).reshape(-1, SIDE, SIDE)
    for start in range(0, len(prints), _BLOCK):
        gray = Prints(prints.rows[start : start + _BLOCK]).gray
        # Without this a white mark would outweigh the picture that it is on.
        gray -= gray.mean((1, 2), keepdims=True)
        gray /= gray.std((1, 2), keepdims=True) + 1
        found[start : start + _BLOCK] = np.rint(np.tanh(gray) * 127)
    return found


def _at_large(softened: np.ndarray, look: int) -> np.ndarray:
    """Returns what photos show at large, float32, [photos, 54], each of length 1."""
    rows, columns, _, mirrored = _looks()[look]
    counts = np.add.outer(np.arange(_WAVES), np.arange(_WAVES))
    kept = (counts > 0) & (counts < _WAVES)
    found = np.empty((len(softened), kept.sum()), np.float32)
    for start in range(0, len(softened), _BLOCK):
        cells = softened[start : start + _BLOCK].astype(np.float32)
        cells = cells[:, :, ::-1] if mirrored else cells
        waves = (rows @ (cells @ columns.T))[:, kept]
        # Square roots, because the slowest waves are the largest and tell the least.
        waves = np.sign(waves) * np.sqrt(np.abs(waves))
        length = np.linalg.norm(waves, axis=1, keepdims=True)
        found[start : start + _BLOCK] = waves / np.maximum(length, 1e-6)
    return found


@functools.cache
def _looks() -> tuple[tuple[np.ndarray, np.ndarray, tuple[float, ...], bool], ...]:
    """Returns the ways to look at a photo: waves down and across, place, and whether mirrored."""
    middle = np.pi * (np.arange(SIDE) + 0.5) / SIDE
    waves = np.cos(np.outer(np.arange(_WAVES), middle)).astype(np.float32)
    whole = (1.0, 0.0, 1.0, 0.0)
    found = [(waves, waves, whole, False), (waves, waves, whole, True)]
    for scale, top, left in _WINDOWS:
        margin = (1 - scale) * SIDE / 2
        down, across = (
            waves @ window_cells(SIDE, margin * (1 + side), scale * SIDE) for side in (top, left)
        )
        place = (scale, top * (1 - scale), scale, left * (1 - scale))
        found.append((down, across, place, False))
    return tuple(found)
