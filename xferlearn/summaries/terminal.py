"""What a terminal shows of an evaluation: tables of classes and mistakes, and the wrong photos."""

import dataclasses
from collections.abc import Mapping, Sequence

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.metrics import AnyEvaluation, Evaluation, Misclassified, MultiLabelEvaluation
from xferlearn.photos.photo import BadPhoto
from xferlearn.photos.several import NO_LABEL
from xferlearn.system.results import WIDTH, Block, table_block
from xferlearn.system.text import count, plural_of

# The table of a matrix is wider than a terminal with more classes.
MOST_COLUMNS = 12
MOST_NAMES = 6
# Of more classes than this a table shows the worst and the best.
MOST_CLASSES = 20
WORST, BEST = 10, 3
_OF_OTHER_FOLDS = "Threshold: the model's. Precision, recall, F1: at those chosen on other folds."
# So many misclassified photos are shown, those that the model was surest of.
MOST_WRONG = 20


def first_names(labels: Sequence[str], most: int = MOST_NAMES) -> str:
    """Returns the names of the first classes, and how many more there are."""
    names = ", ".join(readable_label(label) for label in labels[:most])
    left = len(labels) - most
    return f"{names} and {left:,} more" if left > 0 else names


def classes_block(rows: Sequence[Sequence[str]], evaluation: AnyEvaluation, where: str) -> Block:
    """Returns a table of classes; of many classes those with the most mistakes, and the best.

    Args:
        rows: text cells: the head, a row per class of the evaluation, and sums.
        evaluation: whose mistakes say which classes are worst.
        where: where all classes are, as the end of a sentence.
    """
    mistakes, labels = evaluation.mistakes, evaluation.labels
    block = table_block(rows, "class", 0, rank=lambda index: -mistakes[index], where=where)
    ends = len(labels)
    block = dataclasses.replace(block, items=block.items[:ends], tail=block.items[ends:])
    if ends <= MOST_CLASSES:
        return block
    photos = [row.photos for row in evaluation.classes]
    ranked = sorted(range(ends), key=lambda index: (-mistakes[index], photos[index]))
    shown = [block.items[index] for index in ranked]
    left = count(ends - WORST - BEST, "class")
    middle = f"... {left} between the {WORST} worst and the {BEST} best; {where}"
    head = (*block.head, *shown[:WORST], middle, *shown[-BEST:])
    return Block(head, tail=block.tail)


def class_block(evaluation: Evaluation, where: str) -> Block:
    """Returns precision, recall and F1 by class, as `classes_block` has them."""
    rows = [["class", "photos", "precision", "recall", "F1"]]
    for row in evaluation.classes:
        shares = (row.precision, row.recall, row.f1)
        rows.append(
            [
                readable_label(row.label),
                str(row.photos),
                *("-" if share is None else f"{share:.3f}" for share in shares),
            ]
        )
    return classes_block(rows, evaluation, where)


def label_block(
    evaluation: MultiLabelEvaluation, where: str, delivered: Mapping[str, float] | None = None
) -> Block:
    """Returns average precision, and precision, recall and F1 at the threshold, by class.

    Args:
        evaluation: the numbers.
        where: as for `classes_block`.
        delivered: the thresholds of the model, by class, where others were used, by fold.
    """
    head = ("class", "photos", "average precision", "threshold", "precision", "recall", "F1")
    rows = [[*head]]
    for row in evaluation.classes:
        low, high = row.interval
        value = row.average_precision
        threshold = row.threshold if delivered is None else delivered.get(row.label)
        shares = (threshold, row.precision, row.recall, row.f1)
        rows.append(
            [
                readable_label(row.label),
                f"{row.photos:,}",
                "-" if value is None else f"{value:.3f} ({low:.2f} to {high:.2f})",
                *("-" if share is None else f"{share:.3f}" for share in shares),
            ]
        )
    block = classes_block(rows, evaluation, where)
    if delivered is None or evaluation.folds is None:
        return block
    return dataclasses.replace(block, head=(_OF_OTHER_FOLDS, *block.head))


def confusion_block(evaluation: Evaluation) -> Block:
    """Returns the confusion matrix; with many classes the pairs that were confused."""
    labels = [readable_label(label) for label in evaluation.labels]
    if len(labels) <= MOST_COLUMNS and _matrix_width(labels) <= WIDTH:
        title = "Confusion matrix: true class by row, predicted class by column."
        rows = [["", *labels]]
        rows += [
            [label, *(str(count) for count in counts)]
            for label, counts in zip(labels, evaluation.confusion, strict=True)
        ]
        return _titled(title, table_block(rows, "class"))
    rows = [["true class", "predicted class", "photos"]]
    rows += [
        [labels[truth], labels[predicted], str(count)]
        for truth, predicted, count in evaluation.pairs()
    ]
    return _titled("Classes that were confused, the most photos first.", table_block(rows, "pair"))


def _matrix_width(labels: Sequence[str]) -> int:
    return max(map(len, labels)) + sum(len(label) + 2 for label in labels)


def _titled(title: str, block: Block) -> Block:
    return Block((title, *block.head), block.items, block.noun, block.where)


def misclassified_block(photos: Sequence[Misclassified], head: str, where: str = "") -> Block:
    """Returns a heading, and a line per misclassified photo, those the model was surest of first.

    Args:
        photos: in any order; at most `MOST_WRONG` are shown.
        head: the heading.
        where: where all of them are, as the end of a sentence.
    """
    surest = sorted(photos, key=lambda photo: -photo.score)
    lines = [
        f"  {photo.name}: {readable_label(photo.truth) or NO_LABEL} predicted as"
        f" {readable_label(photo.predicted) or NO_LABEL} ({photo.score:.2f})"
        for photo in surest
    ]
    return Block((head,), lines, "photo", where, most=MOST_WRONG)


def misclassified_head(wrong: int, total: int, noun: str, *, several: bool = False) -> str:
    """Returns how many photos were misclassified, as the heading of their list.

    Args:
        wrong: how many.
        total: of how many.
        noun: what these are.
        several: whether they may have several labels.
    """
    done = f"{plural_of(wrong, 'is', 'are')} misclassified"
    if several:
        has, lacks = plural_of(wrong, "has", "have"), plural_of(wrong, "lacks", "lack")
        done = f"{has} a label too many or {lacks} one"
    return f"{wrong:,} of {count(total, noun)} {done}{':' if wrong else '.'}"


def bad_block(photos: Sequence[BadPhoto], where: str = "") -> Block:
    """Returns one line per photo that was left out, the first always; else an empty block."""
    if not photos:
        return Block()
    number = len(photos)
    head = f"{count(number, 'photo')} {plural_of(number, 'was', 'were')} left out:"
    first, *others = [f"  {bad.name}: {bad.reason}" for bad in photos]
    return Block((head, first), others, "photo", where)
