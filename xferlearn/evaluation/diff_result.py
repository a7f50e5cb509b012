"""What the comparison of two models found, and how it shows itself."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.metrics import (
    AnyEvaluation,
    ClassMetrics,
    LabelMetrics,
    MultiLabelEvaluation,
    PrecisionChange,
)
from xferlearn.photos.pairing import CHANGES, GAINED, LOST, Compared
from xferlearn.photos.several import NO_LABEL
from xferlearn.summaries.notebook import accuracy_tile
from xferlearn.summaries.terminal import first_names
from xferlearn.system.html import Markup, faint, h, notices, table, tile, tiles
from xferlearn.system.results import Block, Result, facts_block, table_block
from xferlearn.system.text import count, plural_of

# A page of a notebook with more rows is too long to be read.
_MOST_ROWS = 100
_HEAD = ("photos", "N", "before", "after", "points", "95% interval")


@dataclasses.dataclass(frozen=True)
class ChangedPhoto:
    """A photo whose label changed, or its labels.

    Attributes:
        change: "gained" where only the second model is right, "lost" where only the first is, or
            "wrong both times"; of several labels all have to be right.
        name: the photo.
        digest: SHA-256 of its bytes.
        truth: its class; where photos may have several, their text, e.g. "cat|dog".
        before: label by the first model, likewise.
        score_before: the probability of that label, 0 to 1; of several how sure the least sure
            decision was, to give a label or not.
        after: label by the second model.
        score_after: the probability of that one.
    """

    COLUMNS: ClassVar[Mapping[str, type]] = {
        "sha256": str, "file": str, "label": str, "change": str, "before": str,
        "score_before": float, "after": str, "score_after": float,
    }  # fmt: skip

    change: str
    name: str
    digest: bytes
    truth: str
    before: str
    score_before: float
    after: str
    score_after: float

    def cells(self) -> list[Any]:
        """Returns its row of the file, a value per column."""
        scores = [round(score, 6) for score in (self.score_before, self.score_after)]
        found = [self.digest.hex(), self.name, self.truth, self.change]
        return [*found, self.before, scores[0], self.after, scores[1]]

    def line(self) -> str:
        """Returns it as a line of the summary."""
        truth, before, after = (
            readable_label(label) or NO_LABEL for label in (self.truth, self.before, self.after)
        )
        of = "" if self.change in (GAINED, LOST) else f" (is {truth})"
        scores = f"{self.score_before:.2f}, {self.score_after:.2f}"
        return f"  {self.name}: {before} -> {after}{of} ({scores})"


@dataclasses.dataclass(frozen=True, repr=False)
class DiffResult(Result):
    """What the comparison of two models found.

    Its `repr` is the summary that the command prints; in a notebook it shows both accuracies, their
    change by class, and the photos whose label changed.

    Attributes:
        models: the two model folders, as given.
        labels: the classes of each.
        total: accuracies and change on all photos that are compared.
        parts: the same by how the photos were measured: "cross-validated" (or "validation") and
            "test", by heads that have not learned from them; "labelled by both" where `image_dir`
            was given.
        changed: the photos whose label changed.
        relabelled: photos with another class in the first model; they are judged by that of the
            second.
        apart: photos that are test photos of one model alone, and are not compared.
        only: how many photos only the first, and only the second model was measured on.
        decisions: how the labels of each model are decided; "" for the largest probability.
        warnings: what corrections did, and photos that a model has seen in training, one line each.
        output: the file that the changed photos were written to; None where none was asked for, or
            could be written.
    """

    models: tuple[str, str]
    labels: tuple[tuple[str, ...], tuple[str, ...]]
    total: Compared
    parts: Mapping[str, Compared]
    changed: tuple[ChangedPhoto, ...]
    relabelled: int = 0
    apart: int = 0
    only: tuple[int, int] = (0, 0)
    decisions: tuple[str, ...] = ("", "")
    warnings: tuple[str, ...] = ()
    output: Path | None = None

    def of_change(self, change: str) -> list[ChangedPhoto]:
        """Returns the photos of one kind, the surest new labels first.

        Args:
            change: "gained", "lost" or "wrong both times".
        """
        found = [one for one in self.changed if one.change == change]
        return sorted(found, key=lambda one: -one.score_after)

    def blocks(self) -> list[Block]:
        """Returns the summary: accuracies, classes, and the photos whose label changed."""
        before, after = self.models
        said = {"before": before, "after": after, **self._facts()}
        names = [name for name in said if name not in ("before", "after")]
        where = f"{self.output} has all" if self.output else "`output` writes all"
        lists = [
            Block(
                (f"{text}{':' if photos else '.'}",),
                [one.line() for one in photos],
                "photo",
                where,
            )
            for photos, text in self._lists()
        ]
        return [
            facts_block(said, prose=names),
            table_block([_HEAD, *self._rows()], "row"),
            table_block(self._class_table(), "class", 0, rank=lambda row: -self._moved()[row]),
            *lists,
            Block((f"photos  {self.output}",) if self.output else ()),
        ]

    def html(self) -> list[Any]:
        """Returns tiles, warnings, the tables, and the photos whose label changed."""
        change = self.total.change
        head, *rows = self._class_table()
        low, high = change.interval
        lists = [
            [h("h4", text), _photo_table(photos) if photos else None]
            for photos, text in self._lists()
        ]
        return [
            tiles(
                accuracy_tile("Before", self.total.before),
                accuracy_tile("After", self.total.after, main=True),
                tile(
                    "Change",
                    f"{100 * change.mean:+.1f} points",
                    f"{100 * low:+.1f} to {100 * high:+.1f}",
                    "95% interval, paired by photo",
                ),
            ),
            notices([*self.warnings]),
            [faint(f"{name}: {text}") for name, text in self._facts().items()],
            table(_HEAD, self._rows()),
            h("h4", "By class"),
            table(head, rows),
            lists,
        ]

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON; shares in 0 to 1, None where undefined."""
        return {
            "models": list(self.models),
            "decisions": [text or None for text in self.decisions],
            **_compared_dict(self.total),
            "parts": {name: _compared_dict(part) for name, part in self.parts.items()},
            "classes": {
                one.label: {
                    "n": one.photos,
                    f"{self._of_class}_before": _value(two),
                    f"{self._of_class}_after": _value(one),
                }
                for two, one in self._classes()
            },
            "classes_only_before": self._only_labels(0),
            "classes_only_after": self._only_labels(1),
            "relabelled": self.relabelled,
            "only_before": self.only[0],
            "only_after": self.only[1],
            "measured_otherwise": self.apart,
            "changed": [
                dict(zip(ChangedPhoto.COLUMNS, one.cells(), strict=True)) for one in self.changed
            ],
            "warnings": [*self.warnings],
        }

    def _facts(self) -> dict[str, str]:
        """Returns what is compared, and what is not, by name."""
        compared = f"{count(self.total.change.photos, 'photo')} compared"
        alone = [f"{some:,} only {when}" for some, when in
                 zip(self.only, ("before", "after"), strict=True) if some]  # fmt: skip
        facts = {"photos": ", ".join([compared, *alone])}
        if isinstance(self.total.change, PrecisionChange):
            facts["measured"] = "mean average precision"
        if self.apart:
            verb = plural_of(self.apart, "is a test photo", "are test photos")
            facts["photos"] += (
                f"; {self.apart:,} {verb} of one model alone and not compared: the same"
                " `split_seed` and `testing_percentage` keep them together"
            )
        if self.relabelled:
            has = plural_of(self.relabelled, "has", "have")
            facts["labels"] = (
                f"{count(self.relabelled, 'photo')} {has} another label since; both models are"
                " judged by the newer one"
            )
        classes = [
            f"{first_names(names)} only {when}"
            for names, when in zip(map(self._only_labels, (0, 1)), ("before", "after"), strict=True)
            if names
        ]
        if classes:
            facts["classes"] = (
                f"{', '.join(classes)}; a model is wrong about photos of a class that it lacks"
            )
        for text, when in zip(self.decisions, ("before", "after"), strict=True):
            if text:
                facts[f"decision {when}"] = text
        return facts

    def _only_labels(self, model: int) -> list[str]:
        return [label for label in self.labels[model] if label not in self.labels[1 - model]]

    def _rows(self) -> list[list[str]]:
        parts = dict(self.parts) if len(self.parts) == 1 else {**self.parts, "all": self.total}
        return [[name, *_cells(part)] for name, part in parts.items()]

    def _classes(self) -> list[tuple[ClassMetrics, ClassMetrics]]:
        """Returns the classes before and after, those that have photos."""
        both = zip(self.total.before.classes, self.total.after.classes, strict=True)
        return [(one, two) for one, two in both if two.photos]

    @property
    def _of_class(self) -> str:
        several = isinstance(self.total.change, PrecisionChange)
        return "average_precision" if several else "recall"

    def _moved(self) -> list[float]:
        return [abs(_value(two) - _value(one)) for one, two in self._classes()]

    def _class_table(self) -> list[list[str]]:
        head = ["class", "photos", f"{self._of_class.replace('_', ' ')} before", "after", "points"]
        return [head] + [
            [
                readable_label(one.label),
                f"{one.photos:,}",
                *(_text(_value(row), self.total.before) for row in (one, two)),
                f"{100 * (_value(two) - _value(one)):+.1f}",
            ]
            for one, two in self._classes()
        ]

    def _lists(self) -> list[tuple[list[ChangedPhoto], str]]:
        """Returns the photos of each kind, with what they are; those that were lost first."""
        gained, lost, wrong = (self.of_change(change) for change in CHANGES)
        return [
            (lost, f"{count(len(lost), 'photo')} lost: right before, wrong after"),
            (gained, f"{count(len(gained), 'photo')} gained: wrong before, right after"),
            (wrong, f"{count(len(wrong), 'photo')} changed, wrong both times"),
        ]


def _cells(part: Compared) -> list[str]:
    low, high = part.change.interval
    return [
        f"{part.change.photos:,}",
        *("-" if one.value is None else _text(one.value, one) for one in (part.before, part.after)),
        f"{100 * part.change.mean:+.1f}",
        f"{100 * low:+.1f} to {100 * high:+.1f}",
    ]


def _compared_dict(part: Compared) -> dict[str, Any]:
    name = part.before.measure.replace(" ", "_")
    return {
        **part.change.as_dict(),
        f"{name}_before": part.before.value,
        "interval_95_before": list(part.before.interval),
        f"{name}_after": part.after.value,
        "interval_95_after": list(part.after.interval),
    }


def _value(row: ClassMetrics) -> float:
    """Returns what is compared of a class that has photos: recall, or average precision."""
    if isinstance(row, LabelMetrics):
        return row.average_precision or 0.0
    return row.recall or 0.0


def _text(value: float, evaluation: AnyEvaluation) -> str:
    return f"{value:.3f}" if isinstance(evaluation, MultiLabelEvaluation) else f"{value:.1%}"


def _photo_table(photos: Sequence[ChangedPhoto]) -> Markup:
    rows = [
        [
            one.name,
            readable_label(one.truth) or NO_LABEL,
            f"{readable_label(one.before) or NO_LABEL} {one.score_before:.0%}",
            f"{readable_label(one.after) or NO_LABEL} {one.score_after:.0%}",
        ]
        for one in photos[:_MOST_ROWS]
    ]
    left = len(photos) - len(rows)
    more = faint(f"... {count(left, 'more photo')}") if left else None
    return h("div", table(("photo", "class", "before", "after"), rows, (0, 1, 2, 3)), more)
