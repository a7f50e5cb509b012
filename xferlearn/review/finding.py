"""What a review is to ask, found by the heads that learned last."""

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from xferlearn.auditing import KINDS, Finding
from xferlearn.auditing.findings import CONFLICT, LABEL
from xferlearn.auditing.label_errors import find_label_errors
from xferlearn.auditing.set_errors import change_text, find_set_errors
from xferlearn.auditing.suspects import find_suspects
from xferlearn.photos.several import label_text, labelled_rows
from xferlearn.photos.twins.finding import Alike
from xferlearn.review.asking import MOST_ASKED, Ask, ask_to_label
from xferlearn.review.choosing import next_photos
from xferlearn.review.judging import Fit, fit
from xferlearn.training.material import LinearHeads, Material


class Finder:
    """Finds suspicious photos, and photos whose label would teach most.

    Label errors, twins of several classes and the order of photos without a class follow the heads
    and the labels. What is suspicious by itself, such as a black photo, is found once, before.
    """

    def __init__(
        self,
        material: Material,
        heads: LinearHeads,
        others: Sequence[Finding] = (),
        alike: Alike | None = None,
    ) -> None:
        """Prepares it.

        Args:
            material: the photos.
            heads: heads on them.
            others: what is suspicious whatever the labels are.
            alike: which photos look alike; None where nobody looked.
        """
        self._material, self._heads, self._others = material, heads, others
        self._alike = alike or Alike()
        number = collections.Counter(photo.digest for photo in material.photos)
        self._same = [
            row
            for row, photo in enumerate(material.photos)
            if photo.digest in self._alike.twins or number[photo.digest] > 1
        ]

    def find(
        self,
        last: Fit,
        labels: Sequence[str],
        rows: Sequence[int],
        check: Callable[[], None] = lambda: None,
    ) -> tuple[list[Finding], list[Ask]]:
        """Returns what is suspicious, the most important first, and what is best labelled next.

        Args:
            last: the heads that learned last.
            labels: class names.
            rows: photos without a class.
            check: called now and then; what it raises ends the search.
        """
        suspects = self._suspects(last, labels, check)
        check()
        found = sorted(
            [*suspects, *self._others],
            key=lambda one: (KINDS.index(one.kind), -one.score),
        )
        material = self._material
        order: list[int] = []
        check()
        if rows:
            order = next_photos(
                last.probabilities,
                material.bottlenecks,
                np.array(rows),
                np.flatnonzero(labelled_rows(last.y)),
                MOST_ASKED,
                multi_label=last.y.ndim == 2,
            ).tolist()
        several = last.y.ndim == 2
        asks = [
            ask_to_label(
                material.photos[row],
                last.probabilities[row],
                labels,
                last.best[row] == 1 if several else None,
            )
            for row in order
        ]
        return found, asks

    def _suspects(
        self, last: Fit, labels: Sequence[str], check: Callable[[], None]
    ) -> list[Finding]:
        """Returns label errors and twins of several classes; other twins need no decision."""
        material = self._material
        if last.y.ndim == 2:
            return self._suspects_of_sets(last, labels, check)

        def probabilities(learned: np.ndarray) -> np.ndarray:
            few = len(np.unique(last.y[learned & (last.y >= 0)])) < 2
            if learned.all() or few:
                return last.probabilities
            return fit(self._heads, last.y, len(labels), learned, check).probabilities

        errors = find_label_errors(last.y, probabilities, material.groups)
        photos = [
            dataclasses.replace(photo, label=int(label))
            for photo, label in zip(material.photos, last.y, strict=True)
        ]
        same = [photos[row] for row in self._same if last.y[row] >= 0]
        found = find_suspects(photos, labels, errors, same, self._alike)
        # Without numbers: the heads that tell them are not those whose numbers the page shows.
        return [
            dataclasses.replace(one, text=f"looks like {one.proposed}, not like {one.label}")
            if one.kind == LABEL
            else one
            for one in found.findings
            if one.kind in (LABEL, CONFLICT)
        ]

    def _suspects_of_sets(
        self, last: Fit, labels: Sequence[str], check: Callable[[], None]
    ) -> list[Finding]:
        material, y = self._material, last.y

        def probabilities(targets: np.ndarray) -> np.ndarray:
            if np.array_equal(targets, y) or not len(last.present):
                return last.probabilities
            return fit(self._heads, targets, len(labels), check=check).probabilities

        errors = find_set_errors(y, labels, probabilities, material.groups)
        texts = [label_text(np.array(labels)[row == 1].tolist()) for row in y]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        known = labelled_rows(y)
        photos = [
            dataclasses.replace(photo, label=places[text] if has else -1)
            for photo, text, has in zip(material.photos, texts, known, strict=True)
        ]
        same = [photos[row] for row in self._same if known[row]]
        found = find_suspects(photos, [*places], errors, same, self._alike)
        return [
            dataclasses.replace(one, text=change_text(one.label, one.proposed))
            if one.kind == LABEL
            else one
            for one in found.findings
            if one.kind in (LABEL, CONFLICT)
        ]
