"""Classes that overlap, and classes whose photos are too few groups."""

import itertools
from collections.abc import Sequence

import numpy as np

from xferlearn.auditing.findings import (
    ALWAYS,
    FEW_GROUPS,
    FEW_PHOTOS,
    NEVER,
    OVERLAP,
    ClassFinding,
)
from xferlearn.metrics import Evaluation, wilson_interval
from xferlearn.photos.folding import FOLDS
from xferlearn.system.text import count, plural_of, readable

# Of the photos of two classes, surely confused with each other; and that many times as many as
# those of the other pairs are on average.
_LEAST_SHARE = 0.03
_TIMES_OTHERS = 3.0
# Of two classes there is no other pair; fewer mistakes than these are what any two classes make.
_LEAST_OF_TWO = 0.1
# A direction that no photo goes is one class inside the other, or wrong labels.
_FEWEST_EACH_WAY = 2
_MOST_PAIRS = 20
# Of pairs that never occur together: how probable that may be by chance, for all pairs together.
_BY_CHANCE = 0.01


def find_overlaps(evaluation: Evaluation) -> list[ClassFinding]:
    """Returns pairs of classes that are confused far more than others are, the worst first.

    Two classes alone overlap where surely more than a tenth of their photos are confused.

    Args:
        evaluation: predictions of photos by heads that have not learned from them.
    """
    confusion, labels = evaluation.confusion, evaluation.labels
    totals = confusion.sum(axis=1)
    shares = {}
    for a, b in itertools.combinations(range(len(labels)), 2):
        if photos := int(totals[a] + totals[b]):
            shares[a, b] = (int(confusion[a, b] + confusion[b, a]), photos)
    whole = sum(wrong / photos for wrong, photos in shares.values())
    findings = []
    for (a, b), (wrong, photos) in shares.items():
        there, back = int(confusion[a, b]), int(confusion[b, a])
        usual = _LEAST_OF_TWO
        if len(labels) > 2:
            others = (whole - wrong / photos) / max(len(shares) - 1, 1)
            usual = max(_LEAST_SHARE, _TIMES_OTHERS * others)
        least = wilson_interval(wrong, photos)[0]
        if min(there, back) < _FEWEST_EACH_WAY or least < usual:
            continue
        one, other = readable(labels[a]), readable(labels[b])
        text = (
            f"{one} and {other}: {there:,} of {int(totals[a]):,} and {back:,} of {int(totals[b]):,}"
            " taken for the other"
        )
        score = min(2 * wrong / photos, 1.0)
        findings.append(ClassFinding(OVERLAP, (labels[a], labels[b]), score, text))
    return sorted(findings, key=lambda one: (-one.score, one.labels))[:_MOST_PAIRS]


def find_few_groups(labels: Sequence[str], y: np.ndarray, groups: np.ndarray) -> list[ClassFinding]:
    """Returns classes whose photos are so few groups that not every fold has one.

    A class whose photos all stand alone is not one of them, however small it is.

    Args:
        labels: class names.
        y: class index of each photo, int, [photos]; or whether each has each class, bool,
            [photos, classes].
        groups: the number of what each photo belongs to, int, [photos].
    """
    findings = []
    for label, name in enumerate(labels):
        members = y == label if y.ndim == 1 else y[:, label]
        photos, units = int(members.sum()), len(np.unique(groups[members]))
        if not 0 < units < min(FOLDS, photos):
            continue
        if units == 1:
            said = "1 group: learned, but it can't be measured"
        else:
            measure = "accuracy" if y.ndim == 1 else "average precision"
            said = f"only {units} groups: its {measure} is that of {units}"
        text = f"{readable(name)}: its {count(photos, 'photo')} are {said}"
        findings.append(ClassFinding(FEW_GROUPS, (name,), 1 - (units - 1) / FOLDS, text))
    return sorted(findings, key=lambda one: (-one.score, one.labels))


def find_few_photos(labels: Sequence[str], y: np.ndarray) -> list[ClassFinding]:
    """Returns classes that fewer photos have, or have not, than there are folds.

    Args:
        labels: class names.
        y: whether each photo has each class, bool, [photos, classes].
    """
    findings = []
    for name, having in zip(labels, y.sum(axis=0).tolist(), strict=True):
        without = len(y) - having
        for number, *verbs in ((having, "has", "have"), (without, "is without", "are without")):
            if number < FOLDS:
                verb = plural_of(number, *verbs)
                text = f"{readable(name)}: only {count(number, 'photo')} {verb} it"
                findings.append(ClassFinding(FEW_PHOTOS, (name,), 1 - number / FOLDS, text))
    return sorted(findings, key=lambda one: (-one.score, one.labels))


def find_together(labels: Sequence[str], y: np.ndarray) -> list[ClassFinding]:
    """Returns pairs of classes that are always together, or never though chance would have it.

    What is always together can't be told apart by any head. What is never together may be classes
    of which a photo has one, or labels that nobody has given.

    Args:
        labels: class names.
        y: whether each photo has each class, bool, [photos, classes].
    """
    having = y.sum(axis=0)
    together = y.T.astype(np.int64) @ y
    pairs = [*itertools.combinations(np.flatnonzero(having).tolist(), 2)]
    always, never = [], []
    for a, b in pairs:
        both, names = int(together[a, b]), (labels[a], labels[b])
        one, other = map(readable, names)
        expected = having[a] * having[b] / len(y)
        if both == having[a] == having[b] >= FOLDS:
            text = f"{one} and {other}: each of their {count(both, 'photo')} has both"
            always.append(ClassFinding(ALWAYS, names, 1.0, text))
        elif not both and np.exp(-expected) * len(pairs) < _BY_CHANCE:
            text = (
                f"{one} and {other}: none of {int(having[a]):,} and {int(having[b]):,} photos has"
                f" both, about {expected:.0f} would by chance"
            )
            score = float(expected / having[[a, b]].min())
            never.append(ClassFinding(NEVER, names, score, text))
    never.sort(key=lambda one: (-one.score, one.labels))
    return [*always[:_MOST_PAIRS], *never[:_MOST_PAIRS]]
