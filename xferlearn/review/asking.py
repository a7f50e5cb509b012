"""What a review asks about, and in which order."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from xferlearn.auditing import Finding
from xferlearn.photos.corrections import EXCLUDE, Correction
from xferlearn.photos.photo import Photo
from xferlearn.photos.several import label_text
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
        label: the class that it lies under, or all its labels; None for none yet.
        kind: why it is asked, one of `auditing.KINDS`, or "unlabelled" or "answered before".
        score: how much an answer is likely to matter, 0 to 1.
        proposed: the label that fits best; None where none is proposed.
        text: why, in a few words.
    """

    digest: bytes
    name: str
    label: str | None
    kind: str
    score: float
    proposed: str | None = None
    text: str = ""


def asks_of(
    findings: Iterable[Finding],
    unlabelled: Iterable[Ask],
    names: dict[bytes, tuple[str, str | None]],
) -> list[Ask]:
    """Returns what is asked, in its order: each photo once.

    Ten photos without a class and ten findings take turns.

    Args:
        findings: the most important first.
        unlabelled: photos without a class, first the one whose label teaches most.
        names: of the photos that may be asked about, by digest, name and label; None for none yet.
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


def ask_to_label(
    photo: Photo, probabilities: np.ndarray, labels: Sequence[str], has: np.ndarray | None = None
) -> Ask:
    """Returns the question which class a photo has, or which labels.

    Args:
        photo: the photo.
        probabilities: what heads say of it, float32, [classes], range [0, 1]; NaN for nothing.
        labels: class names.
        has: where photos may have several labels, whether it is likely to have each class, bool,
            [classes]; None where it has one.
    """
    if not np.isfinite(probabilities).all():
        text = "no class yet" if has is None else "no labels yet"
        return Ask(photo.digest, photo.name, None, UNLABELLED, 1.0, text=text)
    if has is not None:
        proposed = label_text(np.array(labels)[has].tolist())
        # As sure as of the class that is least sure.
        margin = float(np.abs(probabilities - 0.5).min()) * 2
        order = np.argsort(-probabilities, kind="stable")[:2].tolist()
        likely = [f"{readable(labels[one])} ({probabilities[one]:.0%})" for one in order]
        said = f"no labels yet; most likely {' and '.join(likely)}"
        return Ask(photo.digest, photo.name, None, UNLABELLED, 1 - margin, proposed, said)
    first, second = np.argsort(-probabilities, kind="stable")[:2].tolist()
    one, other = (readable(labels[place]) for place in (first, second))
    return Ask(
        photo.digest,
        photo.name,
        None,
        UNLABELLED,
        float(1 - probabilities[first] + probabilities[second]),
        labels[first],
        f"no class yet; most likely {one}, then {other}",
    )


def asked_before(row: Correction, name: str, label: str | None) -> Ask:
    """Returns the question that a correction is the answer to, where it is not known any more."""
    when = f" on {row.when[:10]}" if row.when else ""
    by = f" by {readable(row.command)}" if row.command else ""
    given = None if row.action == EXCLUDE else row.label
    return Ask(row.digest, name, label, EARLIER, 0.0, given, f"answered{when}{by}")
