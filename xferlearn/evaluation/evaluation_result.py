"""What an evaluation found, and how it shows itself."""

import dataclasses
from pathlib import Path
from typing import Any

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.config import EvaluateConfig
from xferlearn.dashboard.experiments import Cell, Estimate, Table, build_experiment, measured
from xferlearn.dashboard.originals import files_of
from xferlearn.dashboard.report import evaluation_dict
from xferlearn.dashboard.thumbnails import read_thumbnails
from xferlearn.decisions import Decision, DecisionMeasured, MultiLabelDecision, OperatingPoint
from xferlearn.evaluation.seen import SeenPhotos
from xferlearn.metrics import (
    AnyEvaluation,
    Evaluation,
    Misclassified,
    MultiLabelEvaluation,
    wilson_interval,
)
from xferlearn.model_folder import ModelFolder
from xferlearn.photos.photo import TEST, BadPhoto, Photo
from xferlearn.photos.several import labels_in
from xferlearn.summaries.decided import measured_text, points_block
from xferlearn.summaries.measured import label_set_facts
from xferlearn.summaries.notebook import (
    Pictures,
    accuracy_tile,
    classes_tile,
    confusion_section,
    left_out_lines,
    wrong_section,
)
from xferlearn.summaries.terminal import (
    bad_block,
    class_block,
    confusion_block,
    label_block,
    misclassified_block,
    misclassified_head,
)
from xferlearn.system.fetching import origin
from xferlearn.system.html import faint, notices, tile, tiles
from xferlearn.system.progress import duration
from xferlearn.system.results import Block, Result, facts_block
from xferlearn.system.text import count

# Wrong photos in tab Transfer: each is read once more.
_MOST_PICTURES = 60
_BARS = "Bars are 95% intervals."


@dataclasses.dataclass(frozen=True, repr=False)
class EvaluationResult(Result):
    """What an evaluation found.

    Its `repr` is the summary that the command prints; in a notebook it shows the accuracy, the
    confusion matrix, and the photos that were misclassified.

    Attributes:
        evaluation: accuracy, per-class numbers, confusion matrix; where photos may have several
            labels mean average precision, per-class numbers, and which labels go together.
        misclassified: photos with a wrong first label; where they may have several, with any wrong
            one, or without one of theirs.
        bad: photos that were left out.
        seen: photos that the model has learned from or was chosen by, test photos that it has
            learned from once it was measured too, and copies of such.
        pictures: where the photos are read again when a notebook shows them.
        seconds: wall time, TensorFlow's start and the model's loading included.
        run_dir: folder of the run in the logs; None where no logs were asked for.
        warnings: that what is measured is too high where `include_seen` was given, and what could
            not be used as planned, such as a faster engine, or not be written to the logs; one line
            each.
        decision: how the model's labels are decided.
        decided: what the decision gives on these photos; None where there is none.
        points: by class, recall and precision at the thresholds that `train` told.
        unknown: to how many photos `label` gives no label, because they are unlike those that the
            model was made from; here they count like all others. None for models that don't say.
        output: the file, or its address in a bucket, that the probabilities were written to; None
            where none was asked for, or could be written.
    """

    evaluation: AnyEvaluation
    misclassified: tuple[Misclassified, ...]
    bad: tuple[BadPhoto, ...]
    seen: SeenPhotos
    pictures: Pictures
    seconds: float
    run_dir: Path | None = None
    warnings: tuple[str, ...] = ()
    decision: Decision | MultiLabelDecision = dataclasses.field(
        default_factory=lambda: Decision(())
    )
    decided: DecisionMeasured | None = None
    points: tuple[OperatingPoint, ...] = ()
    unknown: int | None = None
    output: str | Path | None = None

    def blocks(self) -> list[Block]:
        """Returns the summary: accuracy, classes, confusion matrix, wrong and unreadable photos."""
        wrong, total = self.misclassified, self.evaluation.total
        rest = "`xferlearn evaluate --format=json` and the result in Python have all"
        written = (
            "`output='photos.csv'` writes all" if self.output is None else f"{self.output} has all"
        )
        evaluation = self.evaluation
        several = isinstance(evaluation, MultiLabelEvaluation)
        head = misclassified_head(len(wrong), total, "photo", several=several)
        facts = {"measured" if several else "accuracy": evaluation.summary(), **self._left_out()}
        if isinstance(evaluation, MultiLabelEvaluation) and total:
            facts |= label_set_facts(evaluation)
        if self.decided is not None:
            facts |= {"decision": self.decision.text(), "": measured_text(self.decided)}
        if self.unknown:
            facts["unknown"] = (
                f"{self.unknown:,} of {count(total, 'photo')}: `label` gives them no label; here"
                " they count"
            )
        labels = self.decision.labels
        shown = self.decision.named if self.decision else labels if len(labels) == 2 else ()
        return [
            facts_block(facts, prose=("left out", "decision", "F1", "coverage", "", "unknown")),
            class_block(evaluation, rest)
            if isinstance(evaluation, Evaluation)
            else label_block(evaluation, rest),
            points_block(
                self.points, "Operating points of `train` on these photos, 95% intervals.", shown
            ),
            confusion_block(evaluation) if isinstance(evaluation, Evaluation) else Block(),
            misclassified_block(wrong, head, written) if wrong else Block(),
            bad_block(self.bad, rest),
            Block((f"logs  {origin(self.run_dir)}",) if self.run_dir else ()),
            Block((f"probabilities  {self.output}",) if self.output else ()),
        ]

    def _left_out(self) -> dict[str, str]:
        if not self.seen.left_out or not self.seen.total:
            return {}
        return {"left out": f"{self.seen.text()}; `include_seen` measures them too"}

    def html(self) -> list[Any]:
        """Returns tiles, warnings, the confusion matrix and the photos misclassified."""
        total, left_out = self.evaluation.total, len(self.bad)
        return [
            tiles(
                accuracy_tile(self.evaluation.measure.capitalize(), self.evaluation, main=True),
                tile("Photos", f"{total:,}", *([f"{left_out:,} left out"] if left_out else [])),
                classes_tile(self.evaluation.labels),
                tile("Time", duration(self.seconds), f"{total / self.seconds:,.0f} photos/s"),
            ),
            notices([*self.warnings, *left_out_lines(self.bad)]),
            [faint(f"{name}: {text}") for name, text in self._left_out().items()],
            confusion_section(self.evaluation, "Confusion matrix")
            if isinstance(self.evaluation, Evaluation)
            else None,
            wrong_section(self.misclassified, total, self.pictures),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON."""
        return {
            **self.evaluation.as_dict(),
            "labels": list(self.evaluation.labels),
            "misclassified": [photo.as_dict() for photo in self.misclassified],
            "bad_photos": [{"file": bad.name, "reason": bad.reason} for bad in self.bad],
            "seen_in_training": dict(self.seen.photos),
            "copies_of_training": dict(self.seen.copies),
            "seen_left_out": self.seen.left_out,
            "unknown": self.unknown,
            "decision": (
                None
                if self.decided is None
                else {**self.decision.as_dict(), "measured": self.decided.as_dict()}
            ),
            "operating_points": [
                {"label": point.label, **point.as_dict()} for point in self.points
            ],
        }

    def document(
        self, config: EvaluateConfig, model: ModelFolder
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Returns what tab Transfer shows, for JSON, and the pictures of wrong photos, JPEG.

        Args:
            config: the settings.
            model: the model, whose folder may name the run that trained it.
        """
        evaluation = self.evaluation
        told = {"Decision": self.decision.text()} if self.decided is not None else {}
        counts = {**told, **{name.capitalize(): text for name, text in self._left_out().items()}}
        name, total = evaluation.measure.capitalize(), evaluation.total
        surest = sorted(self.misclassified, key=lambda one: -one.score)[:_MOST_PICTURES]
        labels, places = evaluation.labels, self.pictures.source.labels
        wanted = [
            Photo(one.digest, places.index(one.truth), one.name)
            for one in surest
            if one.truth in places
        ]
        jpegs = read_thumbnails(self.pictures.source, wanted, self.pictures.limits)
        shown = [one for one in surest if one.digest in jpegs]
        document = build_experiment(
            "evaluate",
            measured(
                name,
                evaluation.value,
                total,
                evaluation.interval,
                seen=bool(self.seen.total) and not self.seen.left_out,
            ),
            tables=[
                _class_table(evaluation)
                if isinstance(evaluation, Evaluation)
                else _label_table(evaluation)
            ],
            warnings=[*self.warnings, *left_out_lines(self.bad)],
            source={
                "model": str(model.path),
                "run": model.metadata.get("run"),
                "photos": str(config.dataset or config.labels or config.image_dir),
                "counts": [*counts.items()],
            },
            files=files_of(config, [Photo(one.digest, 0, one.name) for one in shown]),
            labels=[readable_label(label) for label in labels],
            several_labels=isinstance(evaluation, MultiLabelEvaluation),
            evaluations={TEST: evaluation_dict(evaluation)},
            photos=[
                {
                    "split": TEST,
                    "truth": _places(evaluation, one.truth),
                    "predicted": _places(evaluation, one.predicted),
                    "score": round(one.score, 4),
                    "name": one.name,
                }
                for one in shown
            ],
        )
        return document, [jpegs[one.digest] for one in shown]


def _places(evaluation: AnyEvaluation, label: str) -> int | list[int]:
    """Returns the index of a class; where photos may have several, of each that a text names."""
    if isinstance(evaluation, Evaluation):
        return evaluation.labels.index(label)
    return [evaluation.labels.index(one) for one in labels_in(label)]


def _class_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    for row in evaluation.classes:
        recall: Cell = "-"
        if row.recall is not None:
            low, high = wilson_interval(row.correct, row.photos)
            text = f"{row.recall:.1%} ({100 * low:.1f} to {100 * high:.1f})"
            recall = Estimate(text, low, row.recall, high)
        shares = ("-" if one is None else f"{one:.1%}" for one in (row.precision, row.f1))
        rows.append([readable_label(row.label), str(row.photos), recall, *shares])
    return Table("Classes", ("class", "photos", "recall", "precision", "F1"), rows, [_BARS])


def _label_table(evaluation: MultiLabelEvaluation) -> Table:
    rows: list[list[Cell]] = []
    for row in evaluation.classes:
        precision: Cell = "-"
        if row.average_precision is not None:
            low, high = row.interval
            text = f"{row.average_precision:.3f} ({low:.2f} to {high:.2f})"
            precision = Estimate(text, low, row.average_precision, high)
        shares = (row.threshold, row.precision, row.recall, row.f1)
        cells = ("-" if one is None else f"{one:.3f}" for one in shares)
        rows.append([readable_label(row.label), str(row.photos), precision, *cells])
    head = ("class", "photos", "average precision", "threshold", "precision", "recall", "F1")
    return Table("Classes", head, rows, [_BARS])
