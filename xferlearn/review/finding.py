"""What a review is to ask, found by the heads that learned last."""

from collections.abc import Sequence

import numpy as np

from xferlearn.auditing import KINDS, Finding
from xferlearn.auditing.findings import LABEL
from xferlearn.auditing.label_errors import find_label_errors
from xferlearn.review.asking import MOST_ASKED, Ask, ask_to_label
from xferlearn.review.choosing import next_photos
from xferlearn.review.judging import Fit, fit
from xferlearn.system.text import readable
from xferlearn.training.material import LinearHeads, Material


class Finder:
    """Finds suspicious photos, and photos whose label would teach most.

    Label errors and the order of photos without a class follow the heads. What is suspicious by
    itself, such as a black photo, is found once, before.
    """

    def __init__(
        self, material: Material, heads: LinearHeads, others: Sequence[Finding] = ()
    ) -> None:
        """Prepares it.

        Args:
            material: the photos.
            heads: heads on them.
            others: what was found already, but for label errors; the most important first.
        """
        self._material, self._heads = material, heads
        self._others = [one for one in others if one.kind != LABEL]

    def find(
        self, last: Fit, labels: Sequence[str], rows: Sequence[int]
    ) -> tuple[list[Finding], list[Ask]]:
        """Returns what is suspicious, the most important first, and what is best labelled next.

        Args:
            last: the heads that learned last.
            labels: class names.
            rows: photos without a class.
        """
        found = sorted(
            [*self._label_errors(last, labels), *self._others],
            key=lambda one: KINDS.index(one.kind),
        )
        material = self._material
        order: list[int] = []
        if rows:
            learned = np.flatnonzero(last.y >= 0)
            order = next_photos(
                last.probabilities, material.bottlenecks, np.array(rows), learned, MOST_ASKED
            ).tolist()
        asks = [ask_to_label(material.photos[r], last.probabilities[r], labels) for r in order]
        return found, asks

    def _label_errors(self, last: Fit, labels: Sequence[str]) -> list[Finding]:
        material = self._material

        def probabilities(learned: np.ndarray) -> np.ndarray:
            few = len(np.unique(last.y[learned & (last.y >= 0)])) < 2
            if learned.all() or few:
                return last.probabilities
            return fit(self._heads, last.y, len(labels), learned).probabilities

        found = find_label_errors(last.y, probabilities, material.groups)
        findings = []
        for row in found.order.tolist():
            photo, proposed = material.photos[row], labels[found.proposed[row]]
            share = float(found.probabilities[row, found.proposed[row]])
            findings.append(
                Finding(
                    LABEL,
                    photo.digest,
                    photo.name,
                    labels[last.y[row]],
                    float(found.score[row]),
                    proposed,
                    text=f"Heads that have not seen it say {readable(proposed)} ({share:.0%}).",
                )
            )
        return findings
