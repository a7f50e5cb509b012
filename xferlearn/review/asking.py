"""What a review asks about, and in which order."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from xferlearn.auditing import Finding
from xferlearn.photos.corrections import Correction
from xferlearn.photos.manifest import Photo
from xferlearn.system.text import readable

# Kinds beside those of findings: photos without a class, and those that were answered before.
UNLABELLED, EARLIER = "unlabelled", "answered before"
# As many of one kind in a row, so that a person does not change the task with each photo.
_IN_A_ROW = 10
# A page is to stay quick, and after a refit the order is another one.
MOST_ASKED = 2000


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """One photo that a person is asked about.

    Attributes:
        digest: SHA-256 of the photo's bytes, 32 bytes.
        name: the photo's name.
        label: the class that it lies under; "" for none.
        kind: why it is asked, one of `auditing.KINDS`, or "unlabelled" or "answered before".
        score: how much an answer is likely to matter, 0 to 1.
        proposed: the label that fits best; "" where none is proposed.
        text: why, in a few words.
    """

    digest: bytes
    name: str
    label: str
    kind: str
    score: float
    proposed: str = ""
    text: str = ""


def asks_of(
    findings: Iterable[Finding],
    unlabelled: Iterable[Ask],
    names: dict[bytes, tuple[str, str]],
) -> list[Ask]:
    """Returns what is asked, in its order: each photo once.

    Ten photos without a class and ten findings take turns.

    Args:
        findings: the most important first.
        unlabelled: photos without a class, first the one whose label teaches most.
        names: of the photos that may be asked about, by digest, name and class.
    """
    found: dict[bytes, Ask] = {}
    for one in findings:
        if one.digest in names and one.digest not in found:
            name, label = names[one.digest]
            found[one.digest] = Ask(
                one.digest, name, label, one.kind, one.score, one.proposed, one.text
            )
    waiting = (one for one in unlabelled if one.digest in names)
    turns = itertools.zip_longest(_tens(waiting), _tens(found.values()), fillvalue=())
    asked = itertools.chain.from_iterable(itertools.chain.from_iterable(turns))
    return list(itertools.islice(asked, MOST_ASKED))


def _tens(asks: Iterable[Ask]) -> Iterable[tuple[Ask, ...]]:
    rest = iter(asks)
    return iter(lambda: tuple(itertools.islice(rest, _IN_A_ROW)), ())


def ask_to_label(photo: Photo, probabilities: np.ndarray, labels: Sequence[str]) -> Ask:
    """Returns the question which class a photo has.

    Args:
        photo: the photo.
        probabilities: what heads say of it, float32, [classes], range [0, 1]; NaN for nothing.
        labels: class names.
    """
    if not np.isfinite(probabilities).all():
        return Ask(photo.digest, photo.name, "", UNLABELLED, 1.0, text="no class yet")
    first, second = np.argsort(-probabilities, kind="stable")[:2].tolist()
    one, other = (readable(labels[place]) for place in (first, second))
    return Ask(
        photo.digest,
        photo.name,
        "",
        UNLABELLED,
        float(1 - probabilities[first] + probabilities[second]),
        labels[first],
        f"no class yet; most likely {one}, then {other}",
    )


def asked_before(row: Correction, name: str, label: str) -> Ask:
    """Returns the question that a correction is the answer to, where it is not known any more."""
    when = f" on {row.when[:10]}" if row.when else ""
    by = f" by {readable(row.command)}" if row.command else ""
    return Ask(row.digest, name, label, EARLIER, 0.0, row.label, f"answered{when}{by}")
