"""Photos that show little: black, white, nearly empty, blurred, tiny, or of an extreme shape.

They are measured as a network sees them, in a square of `SIDE` px, but for their size and shape.
"""

import collections
from collections.abc import Sequence

import numpy as np

from xferlearn.auditing.findings import (
    BLACK,
    BLURRED,
    EMPTY,
    QUALITIES,
    SHAPE,
    TINY,
    WHITE,
    Finding,
)
from xferlearn.photos.photo import Photo

# Changes with what is below, so that measurements made otherwise are not mistaken for these.
VERSION = 1
SIDE = 224
# Columns of a measurement: luma that nearly all pixels are below, and above; how far nearly all are
# from the median colour; the blur in px of the sharpest part; the strength of its edges; size.
MEASURES = 7
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Of the pixels, in percent: hot ones of a sensor, or a date, don't make black something else.
_NEARLY_ALL, _MOST = 99.5, 98.0
# Share of the pixels with the strongest edges, which tell how sharp the sharpest part is: before a
# blurred background a flower is still sharp.
_SHARPEST = 0.01

# `tools/bench_quality.py`: of 1,000 flowers none is found, of 2,624 solar cells 4 that are black,
# and 2 dark gray ones that show nothing. Flowers at 10% of their brightness are black, 200 of 200;
# at 20%, as at night, 5 of 200 are.
_BLACK, _WHITE, _FLAT = 32.0, 230.0, 10.0
# With a Gaussian of 3 px 200 of 200 flowers are found, of 2.5 px 197, of 2 px 97. Of the 1,000 as
# they are 2 are, which are unsharp all over; of the solar cells, whose camera is softer, none.
_BLUR = 2.2
_TIMES_BLUR = 2.5
# Weaker edges are noise.
_EDGES = 4.0
_FEW_PIXELS = 64
_LONG = 3.0
# Where more of a class is like that, it is what the class is like.
_MOST_OF_CLASS = 0.25
_FEWEST_OF_CLASS = 2

_REASONS = {
    BLACK: "nearly all black",
    WHITE: "nearly all white",
    EMPTY: "nearly all of one colour",
    BLURRED: "by {:.1f} of {} px",
    TINY: "only {} x {} px",
    SHAPE: "{} x {} px, of which a square is seen",
}


def measure(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Returns the measurements of a photo, float32, [MEASURES].

    The blur is told by how much the strongest edges lose when they are blurred once more (S. Zhuo,
    T. Sim, Defocus map estimation from a single image, Pattern Recognition 44, 2011).

    Args:
        pixels: uint8, [SIDE, SIDE, 3], range [0, 255].
        width: of the file's picture, px.
        height: likewise.
    """
    some = pixels[::2, ::2].reshape(-1, 3)
    luma = some @ _LUMA
    low, high = np.percentile(luma, [100 - _NEARLY_ALL, _NEARLY_ALL])
    far = np.abs(some.astype(np.int16) - np.median(some, axis=0)).max(axis=1)
    once = _smoothed(pixels @ _LUMA)
    edges, softer = _squared_edges(once), _squared_edges(_smoothed(_smoothed(once)))
    top = np.argpartition(edges, -int(edges.size * _SHARPEST))[-int(edges.size * _SHARPEST) :]
    strong = edges[top]
    # Smoothing adds 1 px² each time: here after one, and after three.
    ratio = float(np.median(strong / np.maximum(softer[top], 1e-3)))
    blur = max((3 - ratio) / max(ratio - 1, 1e-3), 0) ** 0.5
    found = (high, low, np.percentile(far, _MOST), blur, strong.mean() ** 0.5, width, height)
    return np.array(found, np.float32)


def _smoothed(gray: np.ndarray) -> np.ndarray:
    """Returns the gray blurred by 1 px, with a binomial filter."""
    for _ in range(2):
        p = np.pad(gray, ((2, 2), (0, 0)), mode="edge")
        gray = (p[:-4] + p[4:] + 4 * (p[1:-3] + p[3:-1]) + 6 * p[2:-2]).T / 16
    return gray


def _squared_edges(gray: np.ndarray) -> np.ndarray:
    across, down = gray[1:-1, 2:] - gray[1:-1, :-2], gray[2:, 1:-1] - gray[:-2, 1:-1]
    return (across * across + down * down).ravel()


def find_bad_quality(
    photos: Sequence[Photo], labels: Sequence[str], measured: np.ndarray
) -> list[Finding]:
    """Returns photos that show little; each once, and none where much of its class is like that.

    Blurred and tiny are also measured against the other photos: a camera that is soft, or photos
    that are small, all of them, are nothing to look at one by one.

    Args:
        photos: the photos.
        labels: what a photo's label is called.
        measured: as `measure` returns it, float32, [photos, MEASURES]; NaN for photos that are
            gone.
    """
    if not len(photos):
        return []
    high, low, far, blur, edges = measured[:, :5].T
    shorter, longer = measured[:, 5:].min(axis=1), measured[:, 5:].max(axis=1)
    known = np.isfinite(measured).all(axis=1)
    usual = [float(np.median(some[known])) if known.any() else 0.0 for some in (blur, shorter)]
    most_blur = max(_BLUR, _TIMES_BLUR * usual[0])
    shape = longer / np.maximum(shorter, 1)
    # By kind, how far beyond the limit each photo is: 1 is at the limit.
    beyond = {
        # Of few pixels nothing else can be told.
        TINY: min(_FEW_PIXELS, usual[1] / 2) / np.maximum(shorter, 1),
        BLACK: _BLACK / np.maximum(high, 1),
        WHITE: (255 - _WHITE) / np.maximum(255 - low, 1),
        EMPTY: _FLAT / np.maximum(far, 1),
        BLURRED: np.where(edges >= _EDGES, blur / most_blur, 0),
        SHAPE: shape / _LONG,
    }
    of_class = collections.Counter(photo.label for photo in photos)
    told = ~known
    findings = []
    for kind, times in beyond.items():
        rows = np.flatnonzero((times > 1) & ~told)
        counted = collections.Counter(photos[row].label for row in rows.tolist())
        told[rows] = True
        for row in rows.tolist():
            photo = photos[row]
            most = max(_FEWEST_OF_CLASS, _MOST_OF_CLASS * of_class[photo.label])
            if counted[photo.label] > most:
                continue
            values: tuple[float, ...] = (int(measured[row, 5]), int(measured[row, 6]))
            if kind == BLURRED:
                values = (float(blur[row]), SIDE)
            findings.append(
                Finding(
                    kind,
                    photo.digest,
                    photo.name,
                    labels[photo.label],
                    1 - 1 / (2 * float(times[row])),
                    text=_REASONS[kind].format(*values),
                )
            )
    return sorted(findings, key=lambda one: (QUALITIES.index(one.kind), -one.score, one.name))
