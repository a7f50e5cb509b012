"""Measures a trained model on photos whose classes are known."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn import summaries
from xferlearn.bottlenecks.prints import KeptPrints
from xferlearn.bottlenecks.store import PrintStore
from xferlearn.config import REJECT, EvaluateConfig, default_bottleneck_dir
from xferlearn.config.models import output_format
from xferlearn.config.signatures import from_settings
from xferlearn.decisions import (
    Decision,
    DecisionMeasured,
    OperatingPoint,
    PointCounts,
    measure_labels,
    told_thresholds,
)
from xferlearn.errors import UserError
from xferlearn.evaluation.seen import count_seen, seen_warnings
from xferlearn.labelling import label_photos
from xferlearn.metrics import Evaluation, Misclassified, evaluate_predictions
from xferlearn.model_folder import read_as_one, read_model_folder
from xferlearn.photos.corrected import MeasuredClasses
from xferlearn.photos.folders.names import UNDECIDED
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import BadPhoto
from xferlearn.photos.notes import ReadingNotes
from xferlearn.photos.opening import check_outside_photos, open_labelled
from xferlearn.photos.predicted import Predicted, write_predicted
from xferlearn.predictors import Predictor, model_folder_predictor
from xferlearn.summaries.decided import measured_text, points_block
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
    misclassified_block,
    misclassified_head,
)
from xferlearn.system.files import write_atomically
from xferlearn.system.folders import check_output, check_writable
from xferlearn.system.html import notices, tile, tiles
from xferlearn.system.progress import duration, progress_bar
from xferlearn.system.results import Block, Failure, Result, facts_block
from xferlearn.system.runtime import choose_device, start_tensorflow
from xferlearn.system.text import count, one_line


@dataclasses.dataclass(frozen=True, repr=False)
class EvaluationResult(Result):
    """What an evaluation found.

    Its `repr` is the summary that the command prints; in a notebook it shows the accuracy, the
    confusion matrix, and the photos that were misclassified.

    Attributes:
        evaluation: accuracy, per-class numbers, confusion matrix.
        misclassified: photos with a wrong first label.
        bad: photos that were left out.
        seen: by split, how many evaluated photos the model has learned from or was chosen by, test
            photos that it has learned from once it was measured too: with any, the accuracy is too
            high.
        pictures: where the photos are read again when a notebook shows them.
        seconds: wall time, TensorFlow's start and the model's loading included.
        run_dir: folder of the run in the logs; None where no logs were asked for.
        warnings: photos that the model has seen in training, and what could not be used as
            planned, such as a faster engine, or not be written to the logs; one line each.
        copies: by split, how many others are copies of such photos: saved again, or scaled.
        decision: how the model's labels are decided.
        decided: what the decision gives on these photos; None where there is none.
        points: by class, recall and precision at the thresholds that `train` told.
        unknown: to how many photos `label` gives no label, because they are unlike those that the
            model was made from; here they count like all others. None for models that don't say.
        output: the file that the probabilities were written to; None where none was asked for, or
            could be written.
    """

    evaluation: Evaluation
    misclassified: tuple[Misclassified, ...]
    bad: tuple[BadPhoto, ...]
    seen: dict[str, int]
    pictures: Pictures
    seconds: float
    run_dir: Path | None = None
    warnings: tuple[str, ...] = ()
    copies: dict[str, int] = dataclasses.field(default_factory=dict)
    decision: Decision = dataclasses.field(default_factory=lambda: Decision(()))
    decided: DecisionMeasured | None = None
    points: tuple[OperatingPoint, ...] = ()
    unknown: int | None = None
    output: Path | None = None

    def blocks(self) -> list[Block]:
        """Returns the summary: accuracy, classes, confusion matrix, wrong and unreadable photos."""
        wrong, total = self.misclassified, self.evaluation.total
        rest = "`xferlearn evaluate --format=json` and the result in Python have all"
        head = misclassified_head(len(wrong), total, "photo")
        facts = {"accuracy": self.evaluation.summary()}
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
            facts_block(facts, prose=("decision", "", "unknown")),
            class_block(self.evaluation),
            points_block(
                self.points, "Operating points of `train` on these photos, 95% intervals.", shown
            ),
            confusion_block(self.evaluation),
            misclassified_block(wrong, head, rest) if wrong else Block(),
            bad_block(self.bad, rest),
            Block((f"logs  {self.run_dir}",) if self.run_dir else ()),
            Block((f"probabilities  {self.output}",) if self.output else ()),
        ]

    def html(self) -> list[Any]:
        """Returns tiles, warnings, the confusion matrix and the photos misclassified."""
        total, left_out = self.evaluation.total, len(self.bad)
        return [
            tiles(
                accuracy_tile("Accuracy", self.evaluation, main=True),
                tile("Photos", f"{total:,}", *([f"{left_out:,} left out"] if left_out else [])),
                classes_tile(self.evaluation.labels),
                tile("Time", duration(self.seconds), f"{total / self.seconds:,.0f} photos/s"),
            ),
            notices([*self.warnings, *left_out_lines(self.bad)]),
            confusion_section(self.evaluation, "Confusion matrix"),
            wrong_section(self.misclassified, total, self.pictures),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON."""
        return {
            **self.evaluation.as_dict(),
            "labels": list(self.evaluation.labels),
            "misclassified": [photo.as_dict() for photo in self.misclassified],
            "bad_photos": [{"file": bad.name, "reason": bad.reason} for bad in self.bad],
            "seen_in_training": self.seen,
            "copies_of_training": self.copies,
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


@from_settings(EvaluateConfig)
def evaluate(config: EvaluateConfig) -> EvaluationResult:
    """Measures a trained model on photos with known classes; `xferlearn evaluate` in Python.

    `model`, and `image_dir` or `labels`, are required.

    Returns:
        Accuracy with its interval, numbers per class, and the photos with a wrong label.

    Raises:
        UserError: the model or the photos can't be used.

    Example:
        >>> evaluate(model="out/flowers", image_dir="more_flowers").evaluation.summary()
        '91.8% (N=98, 95% interval 84.7% to 95.8%)'
    """
    return evaluate_with(config)


def evaluate_with(config: EvaluateConfig) -> EvaluationResult:
    """Evaluates as `config` says; see `evaluate`."""
    return measure_photos(config)[0]


def measure_photos(
    config: EvaluateConfig, *, keep: bool = False
) -> tuple[EvaluationResult, Predicted | None]:
    """Evaluates as `config` says; returns what was predicted of each photo too.

    Args:
        config: the settings.
        keep: whether that is kept, though neither a file nor a log is made of it.

    Returns:
        The result, and the photos; None where nothing keeps them.
    """
    started = time.perf_counter()
    model_folder = read_model_folder(config.model or "")
    for name, folder in (("logs_dir", config.logs_dir), ("bottleneck_dir", config.bottleneck_dir)):
        if folder is not None:
            check_outside_photos(config, name, folder)
    if config.logs_dir:
        check_writable("logs_dir", config.logs_dir)
    output = None if config.output is None else check_output(config.output)
    # With corrections it is known later of what class a photo is.
    others = config.other_classes if config.corrections is None else UNDECIDED
    source = open_labelled(config, model_folder.labels, others)
    labels: Sequence[str] = source.labels
    corrected: MeasuredClasses | None = None
    if config.corrections is not None:
        corrected = MeasuredClasses(config, source.labels, model_folder.labels)
        labels = corrected.labels
    start_tensorflow()
    choose_device(config.device)
    predictor, recorded = read_as_one(
        model_folder.path,
        lambda folder: (model_folder_predictor(folder, config), folder.photos()),
    )
    if predictor.labels != model_folder.labels:
        raise UserError(
            f"{model_folder.path} was replaced by a model of other classes while this was running."
            " Run again."
        )
    decision, thresholds = Decision.of(predictor.metadata), told_thresholds(predictor.metadata)
    # Where nothing else needs them they are not kept, because they may be gigabytes.
    kept = keep or bool(config.logs_dir or output)
    reject = (predictor.metadata.get("familiarity") or {}).get("reject", REJECT)
    unknown = 0 if predictor.says_familiarity else None
    counts = PointCounts(model_folder.labels, thresholds) if thresholds else None
    truth: list[int] = []
    predicted: list[int] = []
    largest: list[int] = []
    scores: list[np.ndarray] = []
    familiarity: list[float] = []
    names: list[str] = []
    wrong: list[Misclassified] = []
    bad: list[BadPhoto] = [*source.left_out]
    digests: list[bytes] = []
    notes = ReadingNotes()
    prints = _prints(config, predictor)
    with (
        progress_bar("evaluate", source.count, verbose=config.verbose) as bar,
        contextlib.closing(prints) if prints is not None else contextlib.nullcontext(),
    ):
        limits = PhotoLimits.of(config)
        for photo in label_photos(source.entries, predictor, limits, prints, notes):
            bar.update()
            if photo.scores is None:
                if config.on_bad_image == "fail":
                    raise notes.refusal(photo.name, photo.problem or "")
                bad.append(BadPhoto(photo.name, photo.label, photo.problem or ""))
                continue
            true = photo.label if corrected is None else corrected.index(photo)
            if true is None:  # excluded, or of a class that is skipped
                continue
            best = int(decision.decide(photo.scores[np.newaxis])[0])
            truth.append(true)
            predicted.append(best)
            largest.append(int(photo.scores.argmax()))
            if unknown is not None and photo.familiarity is not None:
                unknown += photo.familiarity < reject
            if counts is not None:
                counts.add(photo.scores, true)
            if kept:
                scores.append(photo.scores)
                familiarity.append(math.nan if photo.familiarity is None else photo.familiarity)
                names.append(photo.name)
            digests.append(photo.digest)
            if best != true:
                wrong.append(
                    Misclassified(
                        photo.name,
                        labels[true],
                        labels[best],
                        float(photo.scores[best]),
                        photo.digest,
                    )
                )
    evaluation = evaluate_predictions(labels, truth, predicted)
    seen, copies = count_seen(digests, recorded, prints.store if prints is not None else None)
    warnings = (
        *source.warnings,
        *(corrected.lines() if corrected is not None else ()),
        *seen_warnings(evaluation.total, seen, copies),
        *notes.lines(),
        *notes.labelling_depth(predictor.bit_depth),
        *predictor.warnings,
        *predictor.later_warnings(),
    )
    y, classes = np.array(truth, np.int32), len(model_folder.labels)
    probabilities = np.zeros((len(scores), classes), np.float32)
    if scores:
        probabilities[:] = scores
    decided: DecisionMeasured | None = None
    if decision and truth:
        known = np.where(y < classes, y, -1)
        decided = measure_labels(decision, np.array(predicted), np.array(largest), known)
    rows: Predicted | None = None
    if kept:
        splits = {photo.digest: photo.split for photo in recorded}
        rows = Predicted(
            model_folder.labels,
            tuple(digests),
            tuple(names),
            tuple(splits.get(digest, "") for digest in digests),
            tuple(labels[number] for number in truth),
            probabilities,
            np.array(familiarity, np.float32),
        )
    written: Path | None = None
    if output is not None and rows is not None:
        photos, form = rows, output_format(output) or ""
        try:
            write_atomically(output, lambda file: write_predicted(file, photos, form))
            written = Path(config.output or "")
        except OSError as error:  # what was measured must not be lost
            warnings += (Failure(f"Can't write `output` {output}: {one_line(error)}."),)
    run_dir: Path | None = None
    if config.logs_dir:
        # Of classes that the model does not have, the score is 0.
        table = np.pad(probabilities, ((0, 0), (0, len(labels) - classes)))
        place = config.labels if config.labels is not None else config.image_dir
        card = _card(model_folder.path, place or "", evaluation, seen, copies)
        name = f"evaluate_{model_folder.path.name}"
        with summaries.run_folder(config.logs_dir, name) as run_dir:
            warnings += summaries.write_evaluation(run_dir, evaluation, y, table, card)
    result = EvaluationResult(
        evaluation=evaluation,
        misclassified=tuple(wrong),
        bad=tuple(bad),
        seen=seen,
        copies=copies,
        pictures=Pictures(source, PhotoLimits.of(config)),
        seconds=time.perf_counter() - started,
        run_dir=run_dir,
        warnings=warnings,
        decision=decision,
        decided=decided,
        points=() if counts is None else counts.points(),
        unknown=unknown,
        output=written,
    )
    return result, rows


def _prints(config: EvaluateConfig, predictor: Predictor) -> KeptPrints | None:
    """Returns where prints are kept; None where a model saw its photos in another way."""
    if predictor.resize != "crop" or predictor.height != predictor.width:
        return None
    try:
        root = config.bottleneck_dir or default_bottleneck_dir()
        return KeptPrints(PrintStore(root, predictor.height))
    except UserError:  # the predictor has said that nothing can be cached there
        return None


def _card(
    model: Path,
    place: str | Path,
    evaluation: Evaluation,
    seen: dict[str, int],
    copies: dict[str, int],
) -> str:
    return (
        f"# {evaluation.summary()}\n\n"
        f"Model `{model}` on the photos of `{place}`. It has seen {sum(seen.values())} of them in"
        f" training; {sum(copies.values())} more are copies of such.\n"
    )
