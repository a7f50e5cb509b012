"""Answers as rows: for terminals, CSV, JSON and Parquet."""

import collections
import math
from typing import TYPE_CHECKING, Any

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.labelling.answering import NONE_REACHES, Answer, Answerer
from xferlearn.labelling.streaming import Labelled
from xferlearn.system.row_files import joined, parted, utf8
from xferlearn.system.text import count, plural_of, readable

if TYPE_CHECKING:
    import pyarrow as pa

# Of more labels the summary counts the others together.
_MOST_LABELS = 8


class AnswerTable:
    """Answers as rows; it counts what they were.

    Attributes:
        columns: name and type of each.
    """

    def __init__(self, answerer: Answerer, top_k: int) -> None:
        """Makes a table for the answers of an answerer, with the scores of `top_k` labels."""
        self._answerer = answerer
        self._top_k = top_k
        self._counts: collections.Counter[str] = collections.Counter()
        self._without = 0
        self._labels: collections.Counter[str] = collections.Counter()
        scores: dict[str, type] = {}
        for rank in range(1, top_k + 1):
            scores |= {f"label_{rank}": str, f"score_{rank}": float}
        # Before the ranks: the likeliest class of a photo without any label looks like one.
        labels = {"labels": str} if answerer.is_multi_label else {}
        sets = {"label_set": str} if answerer.sets is not None else {}
        self.columns = {
            "image": str, **labels, **scores, "status": str, "familiarity": float, **sets,
            "error": str,
        }  # fmt: skip

    def answer(self, photo: Labelled) -> Answer:
        """Returns the answer for a photo, and counts it."""
        answer = self._answerer.answer(photo, self._top_k)
        self._counts[answer.status] += 1
        if answer.status == "answered":
            given = answer.labels if answer.label_set is None else answer.label_set
            sure = given if self._answerer.is_multi_label or len(given) == 1 else ()
            self._labels.update(sure)
            self._without += not sure
        return answer

    def count_rows(self, rows: "pa.Table") -> None:
        """Counts answers that an earlier run has written.

        Args:
            rows: with the columns of this table.
        """
        column = next(one for one in ("labels", "label_set", "label_1") if one in self.columns)
        pairs = zip(rows["status"].to_pylist(), rows[column].to_pylist(), strict=True)
        exact = {utf8(label): label for label in self._answerer.labels}
        for (status, cell), number in collections.Counter(pairs).items():
            self._counts[status] += number
            if status != "answered":
                continue
            given = [cell] if column == "label_1" else parted(cell)
            sure = given if self._answerer.is_multi_label or len(given) == 1 else []
            self._labels.update({exact.get(label, label): number for label in sure})
            self._without += 0 if sure else number

    def cells(self, photo: Labelled) -> list[Any]:
        """Returns a photo's row, a value per column."""
        answer = self.answer(photo)
        scores = [cell for pair in answer.scores[: self._top_k] for cell in pair]
        labels = [answer.label] if "labels" in self.columns else []
        missing = [None] * (2 * self._top_k - len(scores))
        cells = [photo.name, *labels, *scores, *missing, answer.status, answer.familiarity]
        if "label_set" in self.columns:
            cells.append(None if answer.label_set is None else joined(answer.label_set))
        return [*cells, photo.problem]

    def texts(self, photo: Labelled) -> list[str]:
        """Returns a photo's row as texts."""
        cells = self.cells(photo)
        return ["" if c is None else f"{c:.6f}" if isinstance(c, float) else c for c in cells]

    def record(self, photo: Labelled) -> dict[str, Any]:
        """Returns a photo's row for JSON, which has no NaN."""
        answer = self.answer(photo)
        top = [{"label": name, "score": _finite(score)} for name, score in answer.scores]
        row: dict[str, Any] = {"image": photo.name, "status": answer.status, "labels": top}
        if answer.familiarity is not None:
            row["familiarity"] = _finite(round(answer.familiarity, 6))
        if answer.label_set is not None:
            several = answer.is_multi_label
            row["label_set"] = sorted(answer.label_set) if several else list(answer.label_set)
        if photo.problem is not None:
            row["error"] = photo.problem
        return row

    def reasons(self, answer: Answer) -> list[str]:
        """Returns what stands above the labels of a photo on a terminal, often nothing."""
        lines = []
        if answer.status == "unknown":
            lines.append(f"unknown: familiarity {answer.familiarity or 0:.4f}; its labels would be")
        if answer.status == "ask" and self._answerer.answering is not None:
            threshold = self._answerer.answering.threshold
            lines.append(
                f"ask a person: {answer.probability or 0:.4f} is below {threshold:.4f}; its labels"
                " would be"
            )
        if answer.label_set is not None:
            names = [readable(readable_label(label)) for label in answer.label_set]
            if answer.is_multi_label:
                lines.append(f"labels: {', '.join(names)}" if names else NONE_REACHES)
            else:
                lines.append(f"one of: {', '.join(names)}" if names[1:] else f"only {names[0]}")
        return lines

    @property
    def answered(self) -> int:
        """How many photos got a label so far."""
        return self._counts["answered"]

    def counted(self) -> str:
        """Returns how many photos got which label: "43 daisy, 4 roses, 3 unsure".

        Where photos may have several labels, one counts for each: "43 daisy, 30 roses, 3 without
        a label".
        """
        labels = self._labels
        without = "without a label" if self._answerer.is_multi_label else "unsure"
        shown = labels.most_common(_MOST_LABELS)
        left = labels.total() - sum(number for _, number in shown)
        parts = [(number, readable(readable_label(label))) for label, number in shown]
        parts.append((left, f"of {count(len(labels) - len(shown), 'other class')}"))
        parts += [
            (self._without + self._counts["ask"], without),
            (self._counts["unknown"], "unknown"),
        ]
        return ", ".join(f"{number:,} {what}" for number, what in parts if number)

    def not_answered(self, photos: int) -> list[str]:
        """Returns how many photos got no answer, a line per reason."""
        unknown, ask = self._counts["unknown"], self._counts["ask"]
        lines = []
        if unknown:
            few = plural_of(unknown, "is", "are")
            lines.append(
                f"{unknown:,} of {count(photos, 'photo')} {few} unknown: unlike those that the"
                " model was made from."
            )
        if ask:
            lines.append(f"{ask:,} of {count(photos, 'photo')} left to a person (ask).")
        return lines


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
