"""What speaks for a photo's label: probabilities, heat map, nearest photos and twins."""

import collections
import concurrent.futures
import io
import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from xferlearn.decisions import HeatMaps, Nearest, fit_familiarity
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import Photo
from xferlearn.photos.several import labelled_rows
from xferlearn.photos.sources import PhotoSource
from xferlearn.photos.views import CROP_FRACTION
from xferlearn.review.judging import Fit
from xferlearn.review.labels import shown_name
from xferlearn.review.pictures import PhotoGone, Pictures
from xferlearn.review.session import Session
from xferlearn.summaries.overlay import heat_layer
from xferlearn.summaries.pixels import read_pixels
from xferlearn.system.text import one_line
from xferlearn.system.vectors import blocks_of
from xferlearn.training.fit import Prepared
from xferlearn.training.head import build_classifier
from xferlearn.training.own_photos import class_of_each

if TYPE_CHECKING:
    import keras

NEIGHBOURS = 6
# Of feature maps that are kept: after a refit only the head is another one.
_MOST_MAPS = 64
_HEAT_SIDE = 512
# Numbers that photos are compared with may have: nothing is exported here.
_MOST_WEIGHTS = 2**21
_WAIT_SECONDS = 2.0
_NONE_LEARNED = "There are no heads yet: fewer than two classes have photos."
_ALL_LEARNED = (
    "Every head has learned from it, because its class is in one piece: nothing can be said of it."
)


class Evidence:
    """Finds what speaks for labels, for one photo at a time; threads may call it."""

    def __init__(
        self,
        session: Session,
        prepared: Prepared,
        source: PhotoSource,
        pictures: Pictures,
        twins: Mapping[bytes, Sequence[Photo]],
        limits: PhotoLimits,
    ) -> None:
        """Prepares it; how familiar photos are is measured meanwhile, the rest when it is asked.

        Args:
            session: the photos and their heads.
            prepared: their backbone.
            source: where the photos are.
            pictures: of the photos.
            twins: by digest, the photos that look the same.
            limits: caps on bytes and pixels.
        """
        self._session, self._prepared, self._source = session, prepared, source
        self._pictures, self._twins, self._limits = pictures, twins, limits
        self._lock = threading.Lock()
        self._maps: collections.OrderedDict[bytes, list[np.ndarray]] = collections.OrderedDict()
        self._head: tuple[int, keras.Model, HeatMaps] | None = None
        self._problem = ""
        meanwhile = concurrent.futures.ThreadPoolExecutor(1)
        self._familiar = meanwhile.submit(self._familiarity)
        meanwhile.shutdown(wait=False)

    def detail(self, digest: bytes) -> dict[str, Any]:
        """Returns what the page shows of a photo beside its picture, for JSON.

        Raises:
            UnknownPhoto: there is no such photo.
        """
        row, last, labels, proposed = self._session.judged(digest)
        notes = []
        width = height = size = 0
        try:
            picture = self._pictures.find(digest, _HEAT_SIDE)
            width, height, size = picture.width, picture.height, picture.size
        except PhotoGone as problem:
            notes.append(str(problem))
        scores = last.probabilities[row]
        known = bool(np.isfinite(scores).all())
        if not known:
            notes.append(_ALL_LEARNED if len(last.present) else _NONE_LEARNED)
        order = np.argsort(-scores, kind="stable").tolist() if known else []
        has_heat = width > 0 and _place(last, labels, proposed) is not None and self._can_heat(last)
        if self._problem:
            notes.append(f"There is no heat map: {self._problem}.")
        return {
            "probabilities": [[labels[place], round(float(scores[place]), 4)] for place in order],
            "familiarity": self._familiarity_of(row),
            "nearest": self._nearest(row),
            "twins": [self._shown(photo) for photo in self._twins.get(digest, ())],
            "heat": has_heat,
            "width": width,
            "height": height,
            "bytes": size,
            "notes": notes,
        }

    def heat(self, digest: bytes) -> bytes:
        """Returns where the head looks for the proposed label, a PNG file to put over the photo.

        The network sees a square in the middle; outside of it the layer is transparent.

        Raises:
            UnknownPhoto: there is no such photo.
            PhotoGone: it can't be read any more, or has no heat map.
        """
        row, last, labels, proposed = self._session.judged(digest)
        picture = self._pictures.find(digest, _HEAT_SIDE)
        place = _place(last, labels, proposed)
        if place is None or not self._can_heat(last):
            raise PhotoGone("It has no heat map.")
        with self._lock:
            found = self._feature_maps(digest, row)
            fold = int(self._session.material.folds[row])
            maps = self._with_head(last, fold)
            values = maps.of_classes(found, [place])[0].values
        scale = _HEAT_SIDE / max(picture.width, picture.height)
        width, height = (max(1, round(side * scale)) for side in (picture.width, picture.height))
        side = max(1, round(min(width, height) * CROP_FRACTION))
        layer = Image.new("RGBA", (width, height))
        layer.paste(heat_layer(values, side, side), ((width - side) // 2, (height - side) // 2))
        buffer = io.BytesIO()
        layer.save(buffer, "PNG")
        return buffer.getvalue()

    def _can_heat(self, last: Fit) -> bool:
        with self._lock:
            if not self._problem:
                try:
                    self._with_head(last, 0)
                except ValueError as error:
                    self._problem = one_line(error).rstrip(".")
            return not self._problem

    def _with_head(self, last: Fit, fold: int) -> HeatMaps:
        """Returns heat maps by a fold's head, which has not learned from the fold's photos."""
        classes = len(last.present)
        if last.stack is None:
            raise PhotoGone("It has no heat map.")
        if self._head is None or self._head[0] != classes:
            model = build_classifier(self._prepared.backbone, last.stack.head(fold))
            self._head = classes, model, HeatMaps(model, model.output)
        _, model, maps = self._head
        weights = last.stack.weights(fold)
        model.get_layer("predictions").set_weights(
            [weights["predictions/kernel"], weights["predictions/bias"]]
        )
        return maps

    def _feature_maps(self, digest: bytes, row: int) -> list[np.ndarray]:
        if digest in self._maps:
            self._maps.move_to_end(digest)
            return self._maps[digest]
        photo = self._session.material.photos[row]
        size = self._prepared.image_size
        pixels = read_pixels(self._source, [photo], size, self._limits)
        if digest not in pixels or self._head is None:
            raise PhotoGone("It is not where it was any more, or was changed.")
        found = self._head[2].look(pixels[digest][None].astype(np.float32))
        self._maps[digest] = found
        if len(self._maps) > _MOST_MAPS:
            self._maps.popitem(last=False)
        return found

    def _nearest(self, row: int) -> list[dict[str, Any]]:
        material = self._session.material
        starts = np.cumsum([0, *self._prepared.widths])
        spans = [slice(*pair) for pair in itertools.pairwise(starts)]
        own = material.bottlenecks[row : row + 1]
        nearest = Nearest([own[:, span] for span in spans], NEIGHBOURS)
        out = np.array([one.digest == material.photos[row].digest for one in material.photos])
        out |= ~self._session.labelled()  # they tell nothing of classes
        for rows, part in blocks_of(material.bottlenecks):
            nearest.add(rows, [part[:, span] for span in spans], out[None, rows])
        (found,) = nearest.found(range(len(material.photos)))
        return [
            {**self._shown(material.photos[one.photo]), "similarity": round(one.similarity, 4)}
            for one in found
        ]

    def _shown(self, photo: Photo) -> dict[str, Any]:
        labels = self._session.labels_of(photo)
        return {"id": photo.digest.hex(), "name": shown_name(photo.name), "labels": labels}

    def _familiarity_of(self, row: int) -> float | None:
        try:
            value = float(self._familiar.result(_WAIT_SECONDS)[row])
        except TimeoutError:  # of many photos; it is shown with a later one
            return None
        return round(value, 4) if np.isfinite(value) else None

    def _familiarity(self) -> np.ndarray:
        """How familiar each photo is to the others, by the heads at the start."""
        start, material = self._session.start, self._session.material
        labelled = labelled_rows(start.y)
        rows = np.flatnonzero(labelled)
        known = labelled_rows(start.best[rows])
        judged = np.flatnonzero(known & (material.folds[rows] >= 0))
        values = np.full(len(start.y), np.nan, np.float32)
        if not len(judged):
            return values
        scores = start.probabilities[:, start.present]
        if start.y.ndim == 2:
            place = class_of_each(start.y[rows][:, start.present] == 1)
        else:
            place = np.searchsorted(start.present, start.y[rows])
        familiarity = fit_familiarity(
            material.bottlenecks,
            place,
            judged,
            scores[rows[judged]],
            rows=rows,
            folds=material.folds[rows].tolist(),
            groups=material.groups[rows].tolist(),
            widths=self._prepared.widths,
            most_weights=_MOST_WEIGHTS,
        )
        values[rows[judged]] = familiarity.own
        others = np.flatnonzero(~labelled & np.isfinite(scores).all(axis=1))
        if len(others):
            values[others] = familiarity.apply(material.bottlenecks, scores[others], others)
        return values


def _place(last: Fit, labels: Sequence[str], label: str) -> int | None:
    """Returns which output of the heads is that of a label; None where they don't know it."""
    known = [labels[number] for number in last.present]
    return known.index(label) if label in known else None
