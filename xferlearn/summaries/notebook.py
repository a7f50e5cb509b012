"""What a notebook shows of an evaluation: tiles, the confusion matrix, and the wrong photos."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.metrics import AnyEvaluation, Evaluation, Misclassified
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import BadPhoto, Photo
from xferlearn.photos.sources import PhotoSource
from xferlearn.summaries.drawing import webp
from xferlearn.summaries.measured import largest_class_text
from xferlearn.summaries.pixels import read_pixels
from xferlearn.summaries.terminal import first_names
from xferlearn.system.html import Markup, faint, h, interval_bar, picture, table, tile
from xferlearn.system.runtime import start_tensorflow
from xferlearn.system.text import count, plural_of

# More columns can't be read, and would make the page of a notebook too large.
MOST_CLASSES = 20
MOST_PAIRS = 8
MOST_PHOTOS = 18
MOST_BAD = 5
PICTURE_SIZE = 96  # px


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Where the photos of a result can be read again, when somebody looks at it.

    Attributes:
        source: where the photos came from.
        limits: caps on bytes and pixels.
    """

    source: PhotoSource = dataclasses.field(repr=False)
    limits: PhotoLimits = dataclasses.field(repr=False)

    def read(self, photos: Sequence[Photo], size: int = PICTURE_SIZE) -> dict[bytes, bytes]:
        """Returns the photos that are still there, as the network sees them.

        Args:
            photos: which ones; their labels are those of the source.
            size: side in px.

        Returns:
            A WebP file of `size` px by the photo's digest. Photos that are gone or have changed are
            left out.
        """
        start_tensorflow()
        found = read_pixels(self.source, photos, size, self.limits)
        return {digest: webp(Image.fromarray(pixels)) for digest, pixels in found.items()}

    def read_named(self, photos: Sequence[Misclassified]) -> dict[bytes, bytes]:
        """Returns misclassified photos, as `read` does."""
        labels = self.source.labels
        return self.read([Photo(one.digest, labels.index(one.truth), one.name) for one in photos])


def accuracy_tile(title: str, evaluation: AnyEvaluation, *, main: bool = False) -> Markup:
    """Returns an accuracy, or what is measured instead, with its 95% interval and the photos."""
    value = evaluation.value
    if value is None:
        return tile(title, "not measured", f"N = {evaluation.total}", main=main)
    low, high = evaluation.interval
    between: Any = f"{low:.1%} to {high:.1%}"
    if evaluation.few:  # as large as the accuracy itself
        between = h("b", f"{low:.0%} to {high:.0%}")
    counted = f"N = {evaluation.total:,}{evaluation.grouped}"
    return tile(
        title,
        f"{value:.1%}",
        interval_bar(low, value, high),
        between,
        ", ".join(filter(None, ("95% interval", counted, evaluation.folding))),
        largest_class_text(evaluation),
        main=main,
    )


def classes_tile(labels: Sequence[str]) -> Markup:
    """Returns the number of classes, and the names of the first ones."""
    return tile("Classes", f"{len(labels):,}", first_names(labels))


def left_out_lines(photos: Sequence[BadPhoto]) -> list[str]:
    """Returns one line per photo that was left out, of the first ones."""
    lines = [f"{bad.name} was left out: {bad.reason}" for bad in photos[:MOST_BAD]]
    left = len(photos) - len(lines)
    if left:
        lines.append(f"{count(left, 'more photo')} {plural_of(left, 'was', 'were')} left out.")
    return lines


def confusion_section(evaluation: Evaluation, title: str) -> list[Markup]:
    """Returns the confusion matrix, and beside it the classes that were confused most.

    With more than `MOST_CLASSES` classes those with the most mistakes are shown, and all others
    as one row and one column, so that the counts of a row are still those of its class.

    Args:
        evaluation: the counts.
        title: heading.
    """
    if not evaluation.total:
        return []
    return [h("h4", title), h("div", _matrix(evaluation), _pairs(evaluation), class_="xf-columns")]


def _matrix(evaluation: Evaluation) -> Markup:
    classes = len(evaluation.labels)
    shown = evaluation.most_confused(MOST_CLASSES)
    labels = [readable_label(evaluation.labels[index]) for index in shown]
    if classes > len(shown):
        others = classes - len(shown)
        labels.append(count(others, "other"))
    place = np.full(classes, len(shown))
    place[shown] = range(len(shown))
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, np.ix_(place, place), evaluation.confusion)
    totals = counts.sum(axis=1)
    upright = len(labels) <= 8 and max(map(len, labels)) <= 12
    heads = [h("th", label if upright else h("span", label), title=label) for label in labels]
    body = []
    for row, label in enumerate(labels):
        cells = [
            _cell(int(count), int(totals[row]), label, heard, mixed=row >= len(shown))
            for heard, count in zip(labels, counts[row], strict=True)
        ]
        body.append(h("tr", h("th", f"{label} ({totals[row]:,})", title=label), cells))
    size = "xf-wide" if upright else "xf-small" if len(labels) > 12 else ""
    made = h(
        "table", h("thead", h("tr", h("th"), heads)), h("tbody", body), class_=f"xf-matrix {size}"
    )
    note = "Rows: true class, with its photos. Columns: predicted class."
    if classes > len(shown):
        note += f" The {len(shown)} of {classes} classes with the most mistakes."
    return h("div", h("div", made, class_="xf-scroll"), faint(note))


def _cell(count: int, total: int, truth: str, predicted: str, *, mixed: bool) -> Markup:
    if not count:
        return h("td")
    right = truth == predicted
    if right and mixed:  # right and wrong in one cell: neither colour would be true
        return h("td", f"{count:,}", title=f"among the {truth}: {count:,} of {total:,}")
    said = f"{truth} predicted {'right' if right else 'as ' + predicted}"
    return h(
        "td",
        f"{count:,}",
        class_="xf-right" if right else "xf-wrong",
        style=f"--s:{count / total:.2f}",
        title=f"{said}: {count:,} of {total:,}",
    )


def _pairs(evaluation: Evaluation) -> Markup:
    pairs = evaluation.pairs()
    if not pairs:
        return h("div", h("p", "No photo is misclassified."))
    labels = [readable_label(label) for label in evaluation.labels]
    totals = evaluation.confusion.sum(axis=1)
    rows = [
        (
            [h("b", labels[truth]), " predicted as ", h("b", labels[predicted])],
            f"{count:,} of {totals[truth]:,}",
        )
        for truth, predicted, count in pairs[:MOST_PAIRS]
    ]
    left = len(pairs) - len(rows)
    return h(
        "div",
        table(("Most confused", "photos"), rows),
        faint(count(left, "more pair")) if left else None,
    )


def wrong_section(
    photos: Sequence[Misclassified], total: int, pictures: Pictures | None
) -> list[Markup]:
    """Returns the photos that were misclassified, those with the highest scores first.

    Args:
        photos: all of them.
        total: photos that were evaluated.
        pictures: where they are read again; None shows their names alone.
    """
    if not photos:
        return []
    chosen = sorted(photos, key=lambda photo: -_number(photo.score))[:MOST_PHOTOS]
    found, problem = _read(pictures, chosen)
    title = f"Misclassified photos: {len(photos):,} of {total:,}"
    notes = []
    if len(chosen) < len(photos):
        notes.append(f"The {len(chosen)} with the highest scores are shown.")
    gone = sum(photo.digest not in found for photo in chosen)
    if gone:
        notes.append(problem or f"{gone} can't be shown: the file is gone or has changed.")
    return [
        h("h4", title),
        *([faint(" ".join(notes))] if notes else []),
        h("div", [_figure(photo, found.get(photo.digest)) for photo in chosen], class_="xf-photos"),
    ]


def _number(score: float) -> float:
    return score if np.isfinite(score) else -1.0


def _read(
    pictures: Pictures | None, photos: Sequence[Misclassified]
) -> tuple[dict[bytes, bytes], str]:
    if pictures is None:
        return {}, "The photos are not at hand."
    try:
        return pictures.read_named(photos), ""
    except Exception as error:  # a dataset that was removed; the numbers are shown all the same
        return {}, f"The photos can't be read: {error}"


def _figure(photo: Misclassified, content: bytes | None) -> Markup:
    truth, predicted = readable_label(photo.truth), readable_label(photo.predicted)
    name = photo.name.rsplit("/", 1)[-1]
    said = f"{photo.name}: {truth} predicted as {predicted}"
    shown: Any = h("span", "not there", class_="xf-gone")
    if content is not None:
        shown = picture(content, "webp", said, width=PICTURE_SIZE, height=PICTURE_SIZE)
    score = f" {photo.score:.0%}" if np.isfinite(photo.score) else ""
    return h(
        "figure",
        shown,
        h("span", h("b", truth)),
        h("span", "predicted ", h("b", predicted), score),
        h("span", name, class_="xf-faint xf-file"),
        title=photo.name,
    )
