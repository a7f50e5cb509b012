"""What a terminal shows of an evaluation: tables of classes and mistakes, and the wrong photos."""

from collections.abc import Sequence

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.metrics import Evaluation, Misclassified
from xferlearn.photos.manifest import BadPhoto
from xferlearn.system.results import Block, table_block
from xferlearn.system.text import count, plural_of

# The table of a matrix is wider than a terminal with more classes.
MOST_COLUMNS = 12
MOST_NAMES = 6


def first_names(labels: Sequence[str], most: int = MOST_NAMES) -> str:
    """Returns the names of the first classes, and how many more there are."""
    names = ", ".join(readable_label(label) for label in labels[:most])
    left = len(labels) - most
    return f"{names} and {left:,} more" if left > 0 else names


def class_block(evaluation: Evaluation) -> Block:
    """Returns precision, recall and F1 by class; those with the most mistakes are kept longest."""
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
    mistakes = evaluation.mistakes
    return table_block(rows, "class", rank=lambda index: -mistakes[index])


def confusion_block(evaluation: Evaluation) -> Block:
    """Returns the confusion matrix; with many classes the pairs that were confused."""
    labels = [readable_label(label) for label in evaluation.labels]
    if len(labels) <= MOST_COLUMNS:
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


def _titled(title: str, block: Block) -> Block:
    return Block((title, *block.head), block.items, block.noun, block.where)


def misclassified_block(photos: Sequence[Misclassified], head: str, where: str = "") -> Block:
    """Returns a heading, and one line per misclassified photo."""
    lines = [
        f"  {photo.name}: {readable_label(photo.truth)} predicted as"
        f" {readable_label(photo.predicted)} ({photo.score:.2f})"
        for photo in photos
    ]
    return Block((head,), lines, "photo", where)


def misclassified_head(wrong: int, total: int, noun: str) -> str:
    """Returns how many photos were misclassified, as the heading of their list."""
    are = plural_of(wrong, "is", "are")
    return f"{wrong:,} of {count(total, noun)} {are} misclassified{':' if wrong else '.'}"


def bad_block(photos: Sequence[BadPhoto], where: str = "") -> Block:
    """Returns one line per photo that was left out, the first always; else an empty block."""
    if not photos:
        return Block()
    number = len(photos)
    head = f"{count(number, 'photo')} {plural_of(number, 'was', 'were')} left out:"
    first, *others = [f"  {bad.name}: {bad.reason}" for bad in photos]
    return Block((head, first), others, "photo", where)
