"""Familiarity: how many of one's own photos are less typical than a photo.

Two things count. One is how similar a photo is to the nearest photo of a core set, for each class,
compared with how similar photos are there: a class whose photos differ much is allowed to (after
the local outlier factor of M. Breunig, H.-P. Kriegel, R. Ng, J. Sander, SIGMOD 2000). The other is
how sure the head is. The share of own photos that are no more typical is a conformal p-value (V.
Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World, 2005): of photos like one's
own, about one in a hundred has a familiarity below 0.01.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xferlearn.system.vectors import Vectors, blocks_of

MOST_CORE = 1000
# Twice as many raised the mean AUROC of flowers left out by 0.004.
_MOST_DIRECTIONS = 64
# Photos that core sets and directions are drawn from, and that are measured at a time.
MOST_PHOTOS = 10_000
# The neighbour whose similarity says how near photos are to each other: not the first, which may be
# a near duplicate.
_NEIGHBOUR = 5
# How much each part counts, in its standard deviations over own photos: the similarity, the largest
# probability, and what the similarity lacks to that of nearly all own photos, two to eight below
# their mean, which the activation relu6 can tell apart.
_LOCAL, _SURE, _LACKING = 2.0, 1.0, 5.0
_LACKING_FROM, _MOST_LACKING = 2.0, 6.0
# No deviation is taken to be smaller, in cosines and in probability.
_LEAST_COSINE, _LEAST_PROBABILITY = 0.01, 0.05
# The share of own photos is exact at as many points, which lie denser where it is small, and at as
# many that lie evenly.
_DENSER, _EVEN = 24, 16
# How far below the least typical photo, in the units of the sum, a photo has the least familiarity:
# more than the steps of an int8 file.
_CLEARLY = 0.5
_LEAST_GAP = 0.01
# Of what a direction holds to what the first does; less is rounding.
_LEAST_SQUARE = 1e-10
_NONE = -2.0
# Is added to the first value of a bottleneck: TFLite would divide one of zeros by its length, 0.
NOT_ZERO = 1e-5


@dataclasses.dataclass(frozen=True)
class Familiarity:
    """What a photo is compared with, and what distances one's own photos have.

    Attributes:
        scale: what bottlenecks are multiplied with first, float32, [width]; None for nothing.
        basis: directions in which photos differ, each of length 1 and at right angles to the
            others, float32, [width, directions].
        core: photos to be similar to, in these directions, float32, [core, directions]; where
            `classes` is above 1 those of the first class, then as many of the next, and so on.
        usual: similarity of photos near each of them, float32, [core].
        classes: how many classes the core set is divided by; 1 where it is not.
        expected: similarity that nearly all own photos have to their nearest of `core`.
        deviation: of that similarity over own photos.
        weights: of the similarity beyond the usual, of the largest probability, and of how many
            deviations the similarity is below `expected`, 0 to 6; float32, [3].
        offset: is added to their sum.
        knots: sums of the calibration photos, rising, float32, [knots].
        levels: the familiarity at each knot, rising to 1, float32, [knots].
        photos: number of calibration photos.
        own: the familiarity of the calibration photos, as they were given, each compared with
            photos of other folds, float32, [calibration].
    """

    scale: np.ndarray | None
    basis: np.ndarray = dataclasses.field(repr=False)
    core: np.ndarray = dataclasses.field(repr=False)
    usual: np.ndarray = dataclasses.field(repr=False)
    classes: int
    expected: float
    deviation: float
    weights: np.ndarray = dataclasses.field(repr=False)
    offset: float
    knots: np.ndarray = dataclasses.field(repr=False)
    levels: np.ndarray = dataclasses.field(repr=False)
    photos: int
    own: np.ndarray = dataclasses.field(repr=False)

    @property
    def least(self) -> float:
        """The familiarity of what is unlike anything: 1 / (calibration photos + 1)."""
        return 1 / (self.photos + 1)

    def can_reject(self, level: float) -> bool:
        """Returns whether anything can have a familiarity below a level.

        A p-value of n photos is at least 1 / (n + 1): with fewer than 100 photos, none is below
        0.01.

        Args:
            level: 0 to 1.
        """
        return self.least < level

    def apply(
        self,
        bottlenecks: Vectors,
        probabilities: np.ndarray,
        rows: Sequence[int] | np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns how familiar photos are.

        Args:
            bottlenecks: float, [photos, width].
            probabilities: of the delivered head, float, [photos, classes], range [0, 1].
            rows: positions of the photos in `bottlenecks`, int, [photos]; None for all.

        Returns:
            Float32, [photos], range [0, 1]: the share of own photos that are no more typical.
        """
        known = _Known(self.scale, self.basis, self.core, self.usual, self.classes)
        places = np.arange(len(bottlenecks)) if rows is None else np.asarray(rows, np.int64)
        return self._levels(known.parts(bottlenecks, places, probabilities))

    def _levels(self, parts: np.ndarray) -> np.ndarray:
        return np.interp(self._sums(parts), self.knots, self.levels).astype(np.float32)

    def _sums(self, parts: np.ndarray) -> np.ndarray:
        local, sure, nearest = parts.T
        lacking = np.clip((self.expected - nearest) / self.deviation, 0, _MOST_LACKING)
        return np.stack([local, sure, lacking], axis=1) @ self.weights + self.offset


class _Known(NamedTuple):
    """What a photo is compared with: as the attributes of `Familiarity`."""

    scale: np.ndarray | None
    basis: np.ndarray
    core: np.ndarray
    usual: np.ndarray
    classes: int

    def parts(
        self, bottlenecks: Vectors, rows: np.ndarray, probabilities: np.ndarray
    ) -> np.ndarray:
        """Returns similarity beyond the usual, largest probability and similarity, [photos, 3].

        The first is that to the photos of each class, weighed by how likely the class is. It is
        measured in blocks, so that many photos take little memory.
        """
        found = np.zeros((len(rows), 3))
        for places, block in blocks_of(bottlenecks, rows, MOST_PHOTOS):
            similarity = _unit(block, self.scale) @ self.basis @ self.core.T
            likely = probabilities[places]
            beyond = (similarity - self.usual).reshape(len(similarity), self.classes, -1)
            local = beyond.max(axis=2, initial=_NONE)
            local = local[:, 0] if self.classes == 1 else (local * likely).sum(axis=1)
            nearest = similarity.max(axis=1, initial=_NONE)
            found[places] = np.stack([local, likely.max(axis=1), nearest], axis=1)
        return found


def fit_familiarity(
    bottlenecks: Vectors,
    y: np.ndarray,
    calibration: np.ndarray,
    probabilities: np.ndarray,
    *,
    rows: Sequence[int] | np.ndarray | None = None,
    folds: Sequence[int] = (),
    groups: Sequence[int] = (),
    widths: Sequence[int] = (),
    most_weights: int,
    seed: int = 0,
) -> Familiarity:
    """Chooses photos to compare with, and measures how near one's own photos are to them.

    A photo in a fold is compared with photos of other folds alone, as new photos will be with all.
    Of more than 10,000 photos to compare with, as many are drawn at random; all calibration photos
    are measured.

    Args:
        bottlenecks: float32, [bottlenecks, width].
        y: class index, int, [photos], of each photo that may be learned from or is held out to
            measure on, not of those of the test.
        calibration: positions of the photos that are measured on, int, [calibration].
        probabilities: of these, by heads that have not seen them, float, [calibration, classes],
            range [0, 1].
        rows: positions of the photos in `bottlenecks`, int, [photos]; None for all.
        folds: for each photo the fold in which it is left out, -1 for none; empty where there are
            no folds. Calibration photos in no fold are never compared with.
        groups: what each photo belongs to; empty where each stands alone. All photos of a group are
            in the same fold, or held out together.
        widths: how many values each backbone made, where there are several.
        most_weights: the most numbers that a model may hold for it; at least one photo is compared
            with.
        seed: of what is drawn.

    Returns:
        What `apply` needs. Its p-values are smoothed, (1 + less typical) / (photos + 1): with a
        dozen photos, nothing is below 1/13. Without calibration photos everything is familiar.

    Example:
        >>> familiarity = fit_familiarity(x, y, np.arange(len(y)), out_of_fold,
        ...     folds=folds, most_weights=270_000)
        >>> unknown = familiarity.apply(others, head.predict(others)) < 0.01
    """
    generator = np.random.default_rng(seed % 2**64)
    classes = probabilities.shape[1]
    fold_of = np.array(folds if len(folds) else [-1] * len(y), np.int64)
    group_of = np.array(groups if len(groups) else range(len(y)), np.int64)
    place_of = np.arange(len(y)) if rows is None else np.array(rows, np.int64)
    own_places, own_folds = place_of[calibration], fold_of[calibration]
    held_out = np.zeros(len(y), bool)
    held_out[calibration] = own_folds < 0
    drawn = np.flatnonzero(~held_out)
    if len(drawn) > MOST_PHOTOS:
        drawn = np.sort(generator.choice(drawn, MOST_PHOTOS, replace=False))
    y, fold_of, group_of = y[drawn], fold_of[drawn], group_of[drawn]
    x = np.asarray(bottlenecks[place_of[drawn]], np.float32)
    scale = _scale(x, widths)
    x = _unit(x, scale)
    # As new photos will be: compared with as many that are not their own.
    others = {
        fold: np.flatnonzero((fold_of != fold) | (fold < 0))
        for fold in np.unique(own_folds).tolist()
    }
    everything = np.arange(len(y))
    least = min([len(everything), *map(len, others.values())])
    directions, most = _sizes(x.shape[1], least, most_weights)
    counts = _counts([y[some] for some in others.values()] or [y], classes, most)

    def known(some: np.ndarray) -> _Known:
        basis = _basis(x[some], directions, generator)
        reduced = x @ basis
        core = some[_drawn(y[some], counts, generator)]
        # Among more photos than others have, neighbours would be nearer.
        near = generator.permutation(some)[:least]
        usual = _usual(reduced[near] @ reduced[core].T, group_of[near], group_of[core])
        return _Known(scale, basis, reduced[core], usual, len(counts))

    parts = np.zeros((len(calibration), 3))
    for fold, some in others.items():
        own = np.flatnonzero(own_folds == fold)
        parts[own] = known(some).parts(bottlenecks, own_places[own], probabilities[own])
    fitted = _calibrated(known(everything), parts)
    return dataclasses.replace(fitted, own=fitted._levels(parts))


def _sizes(width: int, photos: int, most_weights: int) -> tuple[int, int]:
    """Returns how many directions and how many photos of a core set fit into a model."""
    directions = max(1, min(_MOST_DIRECTIONS, width, photos, most_weights // (2 * width)))
    left = most_weights - 3 * (_DENSER + _EVEN) - width * directions
    return directions, max(1, min(MOST_CORE, left // directions))


def _basis(x: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Returns about the directions in which photos are long, float32, [width, number or fewer].

    They are those of some photos after one step of the power method (N. Halko, P. Martinsson, J.
    Tropp, SIAM Review 53, 2011). The mean is left in them, so that what no photo has makes another
    one less similar.
    """
    some = x[generator.permutation(len(x))[:number]]
    found = (x.T @ (x @ some.T)).astype(np.float64)
    # Made perpendicular by their products, which takes a tenth of the time of other ways.
    values, vectors = np.linalg.eigh(found.T @ found)
    kept = values > _LEAST_SQUARE * values.max(initial=0)
    if not kept.any():
        return np.zeros((x.shape[1], 1), np.float32)
    return (found @ (vectors[:, kept] / np.sqrt(values[kept]))).astype(np.float32)


def _unit(bottlenecks: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    """Returns bottlenecks of length 1, float32, [photos, width]."""
    x = np.multiply(bottlenecks, 1 if scale is None else scale, dtype=np.float32)
    x[:, 0] += NOT_ZERO
    lengths = np.sqrt(np.square(x).sum(axis=1, keepdims=True))
    return x / np.maximum(lengths, np.float32(1e-12))


def _scale(bottlenecks: np.ndarray, widths: Sequence[int]) -> np.ndarray | None:
    """Returns what makes the bottlenecks of several backbones equally long on average."""
    if len(widths) < 2:
        return None
    blocks = np.split(bottlenecks, np.cumsum(widths)[:-1], axis=1)
    lengths = [max(float(np.square(block).sum(axis=1).mean()) ** 0.5, 1e-12) for block in blocks]
    return np.repeat(np.divide(1, lengths), widths).astype(np.float32)


def _counts(references: Sequence[np.ndarray], classes: int, most: int) -> list[int]:
    """Returns how many photos of each class are compared with; of all, where it is one number.

    Args:
        references: class indices of photos that are compared with, for each fold.
        classes: number of classes.
        most: the most photos in all.
    """
    available = np.min([np.bincount(y, minlength=classes) for y in references], axis=0)
    each = min(most // classes, int(available.max()))
    if not each or not available.all():
        return [min(most, *(len(y) for y in references))]
    return [each] * classes


def _drawn(y: np.ndarray, counts: list[int], generator: np.random.Generator) -> np.ndarray:
    """Returns positions of as many photos; a class of fewer repeats them.

    They are drawn at random: sets that cover the photos evenly, by k-means++, k-center or facility
    location, hold more outliers, which new classes are like.
    """
    order = generator.permutation(len(y))
    if len(counts) == 1:
        return order[: counts[0]]
    rows = [np.resize(order[y[order] == label], count) for label, count in enumerate(counts)]
    return np.concatenate(rows)


def _usual(similarity: np.ndarray, groups: np.ndarray, of_core: np.ndarray) -> np.ndarray:
    """Returns how similar the photos near each of the core set are to it, float32, [core].

    Args:
        similarity: of photos to the core set, [photos, core].
        groups: of the photos, whose own group is not near them.
        of_core: of the core set.
    """
    found = np.where(groups[:, None] == of_core, _NONE, similarity)
    if len(found) > _NEIGHBOUR:
        found = np.partition(found, len(found) - _NEIGHBOUR, axis=0)[-_NEIGHBOUR:]
    # Where there are fewer neighbours it is the last of them.
    return np.where(found > _NONE, found, 1).min(axis=0, initial=1).astype(np.float32)


def _calibrated(known: _Known, parts: np.ndarray) -> Familiarity:
    """Returns a familiarity from its calibration photos: local, largest probability, nearest."""
    if not len(known.core):  # which needs no photo to be like
        none = np.zeros((1, known.core.shape[1]), np.float32)
        known = known._replace(core=none, usual=np.zeros(1, np.float32))
    means, deviations = np.zeros(3), np.zeros(3)
    if len(parts):
        means, deviations = parts.mean(axis=0), parts.std(axis=0)
    deviations = np.maximum(deviations, (_LEAST_COSINE, _LEAST_PROBABILITY, _LEAST_COSINE))
    local, sure = np.divide((_LOCAL, _SURE), deviations[:2])
    found = Familiarity(
        *known,
        float(means[2] - _LACKING_FROM * deviations[2]),
        float(deviations[2]),
        np.array([local, sure, -_LACKING], np.float32),
        float(-local * means[0] - sure * means[1]),
        *_knots(np.zeros(0)),
        len(parts),
        np.zeros(0, np.float32),
    )
    knots, levels = _knots(np.sort(found._sums(parts)))
    return dataclasses.replace(found, knots=knots, levels=levels)


def _knots(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns points of the share of sorted sums that are no larger, denser where it is small."""
    number = len(sums)
    if not number:
        return np.arange(2, dtype=np.float32), np.ones(2, np.float32)
    ranks = np.append(np.geomspace(1, number, _DENSER), np.linspace(1, number, _EVEN))
    ranks = np.unique(ranks.round().astype(np.int64))
    knots: list[float] = []
    for knot in sums[ranks - 1].tolist():
        if not knots or knot >= knots[-1] + _LEAST_GAP:
            knots.append(knot)
    levels = (1 + np.searchsorted(sums, knots, side="right")) / (number + 1)
    levels[-1] = 1.0
    # What is clearly less typical than every photo has the least p-value, since of few photos only
    # that is small enough to reject.
    first = knots[0] - _CLEARLY
    return (
        np.array([first, *knots], np.float32),
        np.array([1 / (number + 1), *levels], np.float32),
    )
