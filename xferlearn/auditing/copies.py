"""Photos that are the same as others: harmless copies, several labels, several given splits."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from xferlearn.auditing.findings import ACROSS, CONFLICT, TWINS, Finding
from xferlearn.photos.conflicts import grouped
from xferlearn.photos.photo import TRAIN, Photo
from xferlearn.photos.twins.finding import Alike
from xferlearn.system.text import count

_MOST_NAMED = 1
# A label that is more likely wrong than right is better replaced.
LIKELY = 0.5
# A label, and the pixels that have it.
Copy: TypeAlias = tuple[int, bytes]


def copy_of(photo: Photo, alike: Alike) -> Copy:
    """Returns what copies of a photo with its label have in common with it."""
    return photo.label, alike.pixels.get(photo.digest, photo.digest)


def find_copies(
    photos: Sequence[Photo],
    labels: Sequence[str],
    alike: Alike,
    wrong: Mapping[Copy, float],
    decided: Collection[Copy] = (),
) -> list[Finding]:
    """Returns what is found of photos with equal bytes or pixels, and of near twins.

    Of each group of one class and one split one photo is told. Of those with several classes, each
    photo that does not have the label that fits the group best; where equal bytes have several,
    the photo is told once. Best fits what a person has decided; where nobody has, the label that is
    least likely wrong. It is proposed where a person has decided it, or where it is more likely
    right than wrong and the photo's own label more likely wrong than right.

    Args:
        photos: all that can be read, copies too.
        labels: what a photo's label is called.
        alike: which of them look alike.
        wrong: by `copy_of`, how likely the label is wrong, range [0, 1], for photos that heads
            without them have predicted.
        decided: the same of photos about whose label a person has decided.
    """
    ordered = sorted(photos, key=lambda photo: (photo.digest, photo.name))
    found = []
    for same in grouped(ordered, alike.twins):
        if len(same) < 2:
            continue
        if len({photo.label for photo in same}) > 1:
            found += _conflict(same, labels, alike, wrong, decided)
        if len({photo.fixed_split or TRAIN for photo in same}) > 1:
            found.append(_across(same, labels, alike))
        elif len({photo.label for photo in same}) == 1:
            first, *others = same
            text = f"{_likeness(same, alike)} as {_names(others)}"
            score = 1 - 1 / len(same)
            found.append(_finding(TWINS, first, others, labels, score, text))
    return found


def _conflict(
    same: Sequence[Photo],
    labels: Sequence[str],
    alike: Alike,
    wrong: Mapping[Copy, float],
    decided: Collection[Copy],
) -> list[Finding]:
    right = {photo.label for photo in same if copy_of(photo, alike) in decided}
    scores = {}
    for label in sorted({photo.label for photo in same}):
        copies = {copy_of(photo, alike) for photo in same if photo.label == label}
        known = [wrong[one] for one in copies if one in wrong]
        # Near twins are one picture, so their label is as likely wrong for each of them.
        score = sum(known) / len(known) if known else LIKELY
        scores[label] = float(label not in right) if right else score
    best = min(scores, key=scores.__getitem__)
    findings, told = [], set()
    for photo in same:
        if photo.label == best or photo.digest in told or copy_of(photo, alike) in decided:
            continue
        told.add(photo.digest)
        others = [one for one in same if one is not photo and one.label != photo.label]
        text = f"{_likeness([photo, *others], alike)} as {_names(others)}"
        proposed = labels[best] if scores[photo.label] > LIKELY > scores[best] else None
        findings.append(
            _finding(CONFLICT, photo, others, labels, scores[photo.label], text, proposed)
        )
    return findings


def _across(same: Sequence[Photo], labels: Sequence[str], alike: Alike) -> Finding:
    # The one that is measured comes first.
    ordered = sorted(same, key=lambda photo: (photo.fixed_split or TRAIN) == TRAIN)
    first, others = (
        ordered[0],
        [
            one
            for one in ordered[1:]
            if (one.fixed_split or TRAIN) != (ordered[0].fixed_split or TRAIN)
        ],
    )
    splits = sorted({one.fixed_split or TRAIN for one in others})
    text = (
        f"in {first.fixed_split or TRAIN}, and {_likeness([first, *others], alike)} as"
        f" {_names(others)} in {' and '.join(splits)}"
    )
    return _finding(ACROSS, first, others, labels, 1 - 1 / (1 + len(same)), text)


def _likeness(same: Sequence[Photo], alike: Alike) -> str:
    if len({photo.digest for photo in same}) == 1:
        return "same bytes"
    if len({alike.pixels.get(photo.digest, photo.digest) for photo in same}) == 1:
        return "same pixels"
    return "same picture"


def _names(photos: Sequence[Photo]) -> str:
    named = ", ".join(photo.name for photo in photos[:_MOST_NAMED])
    left = len(photos) - _MOST_NAMED
    return f"{named} and {count(left, 'other')}" if left > 0 else named


def _finding(
    kind: str,
    photo: Photo,
    others: Iterable[Photo],
    labels: Sequence[str],
    score: float,
    text: str,
    proposed: str | None = None,
) -> Finding:
    digests = tuple(dict.fromkeys(one.digest for one in others))
    label = labels[photo.label]
    return Finding(kind, photo.digest, photo.name, label, score, proposed, digests, text)
