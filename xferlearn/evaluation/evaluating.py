"""Measures a trained model on photos whose classes are known."""

import collections
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xferlearn import summaries
from xferlearn.config import EvaluateConfig
from xferlearn.config.models import output_format
from xferlearn.config.signatures import from_settings
from xferlearn.dashboard.experiments import write_experiment
from xferlearn.decisions import Decision, MultiLabelDecision, decision_of
from xferlearn.errors import UserError
from xferlearn.evaluation.answers import Answers
from xferlearn.evaluation.blocks import predicted_photos, print_store
from xferlearn.evaluation.evaluation_result import EvaluationResult
from xferlearn.evaluation.label_sets import LabelSetAnswers
from xferlearn.evaluation.one_label import OneLabelAnswers
from xferlearn.evaluation.seen import Recognised, SeenPhotos, by_split, copied_splits
from xferlearn.model_folder import ModelFolder, read_as_one, read_model_folder
from xferlearn.photos.corrected import MeasuredClasses
from xferlearn.photos.folders.names import UNDECIDED, first_names
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.photos.opening import check_outside_photos, open_measured, part_of
from xferlearn.photos.photo import BadPhoto
from xferlearn.photos.predicted import Predicted, write_predicted
from xferlearn.photos.several import label_text, truth_of
from xferlearn.predictors import Predictor, model_folder_predictor
from xferlearn.summaries.notebook import Pictures
from xferlearn.system.addresses import is_bucket
from xferlearn.system.folders import check_writable
from xferlearn.system.outputs import check_output_anywhere
from xferlearn.system.progress import progress_bar, working
from xferlearn.system.results import Failure
from xferlearn.system.runtime import choose_device, start_tensorflow
from xferlearn.system.text import one_line, plural_of


@from_settings(EvaluateConfig)
def evaluate(config: EvaluateConfig) -> EvaluationResult:
    """Measures a trained model on photos with known classes; `xferlearn evaluate` in Python.

    `model`, and one of `image_dir`, `labels` and `dataset`, are required. Photos that the model has
    learned from are left out, unless `include_seen` is given.

    Returns:
        Accuracy with its interval, or mean average precision where photos may have several labels;
        numbers per class, and the photos with a wrong label.

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
    output = None if config.output is None else check_output_anywhere(config.output)
    # With corrections it is known later of what class a photo is.
    others = config.other_classes if config.corrections is None else UNDECIDED
    several = model_folder.is_multi_label
    source = open_measured(config, model_folder.labels, others, multi_label=several)
    labels: Sequence[str] = source.labels
    if several and not source.is_multi_label:  # of a dataset, with one class each
        labels = [label_text([label]) for label in labels]
    corrected: MeasuredClasses | None = None
    if config.corrections is not None:
        corrected = MeasuredClasses(config, labels, model_folder.labels, multi_label=several)
        labels = corrected.labels
    with working("loading TensorFlow", config.verbose):
        start_tensorflow()
    choose_device(config.device)
    predictor, recorded = read_as_one(
        model_folder.place,
        lambda folder: (model_folder_predictor(folder, config), folder.photos()),
    )
    decision = decision_of(predictor.metadata)
    if predictor.labels != model_folder.labels or several != isinstance(
        decision, MultiLabelDecision
    ):
        raise UserError(
            f"{model_folder.place} was replaced by a model of other classes while this was running."
            " Run again."
        )
    # Where nothing else needs them they are not kept, because they may be gigabytes.
    kept = keep or bool(config.logs_dir or output)
    answers = _answers(predictor, decision, keep=kept)
    recognised = Recognised(recorded)
    parts = {photo.digest: photo.split for photo in recorded}
    # Where nothing else says the split, the model's folder does.
    part = config.split if config.split != "all" and not part_of(source) else None
    elsewhere = 0
    seen: collections.Counter[str] = collections.Counter()
    bad: list[BadPhoto] = [*source.left_out]
    notes = ReadingNotes()
    prints = print_store(config, predictor)
    with progress_bar("evaluate", source.count, starts=True, verbose=config.verbose) as bar:
        for photo in predicted_photos(config, predictor, source, notes, prints):
            bar.update()
            if photo.scores is None:
                if config.on_bad_image == "fail":
                    raise notes.refusal(photo.name, photo.problem or "")
                bad.append(BadPhoto(photo.name, photo.label, photo.problem or ""))
                continue
            if part is not None and parts.get(photo.digest) != part:
                elsewhere += 1
                continue
            true = photo.label if corrected is None else corrected.index(photo)
            if true is None:  # excluded, or of a class that is skipped
                continue
            learned = recognised.split(photo.digest)
            if learned is not None:
                seen[learned] += 1
                if not config.include_seen:
                    continue
            answers.add(photo, true)
    answers.finish()
    copied = recognised.copies(answers.digests, prints)
    found = SeenPhotos(by_split(seen), copied_splits(copied), not config.include_seen)
    if found.left_out:
        answers.only(copied < 0)
    place = config.dataset or config.labels or config.image_dir or ""
    if not len(answers.digests) and (found.total or elsewhere or not bad):
        raise UserError(_nothing_left(config, model_folder.labels, str(place), found, elsewhere))
    evaluation, misclassified, decided, points = answers.measured(labels)
    warnings = (
        *source.warnings,
        *(corrected.lines() if corrected is not None else ()),
        *(
            [_by_record(model_folder.place, part, evaluation.total, elsewhere)]
            if part and evaluation.total
            else ()
        ),
        *found.warnings(),
        *notes.lines(),
        *notes.labelling_depth(predictor.bit_depth),
        *predictor.warnings,
        *predictor.later_warnings(),
        *(prints.warnings if prints is not None else ()),
    )
    rows = answers.kept(labels, parts) if kept else None
    written: str | Path | None = None
    if output is not None and rows is not None:
        photos, form = rows, output_format(output.given) or ""
        try:
            output.write(lambda file: write_predicted(file, photos, form))
            written = output.given if is_bucket(output.given) else Path(output.given)
        except OSError as error:  # what was measured must not be lost
            warnings += (Failure(f"Can't write `output` {output.given}: {one_line(error)}."),)
    result = EvaluationResult(
        evaluation=evaluation,
        misclassified=misclassified,
        bad=tuple(bad),
        seen=found,
        pictures=Pictures(source, PhotoLimits.of(config)),
        seconds=time.perf_counter() - started,
        warnings=warnings,
        decision=decision,
        decided=decided,
        points=points,
        unknown=answers.unknown,
        output=written,
    )
    if config.logs_dir and rows is not None:
        result = _record(result, rows, config, model_folder, str(place))
    return result, rows


def _answers(
    predictor: Predictor, decision: Decision | MultiLabelDecision, *, keep: bool
) -> Answers:
    if isinstance(decision, MultiLabelDecision):
        return LabelSetAnswers(predictor, decision)
    return OneLabelAnswers(predictor, decision, keep=keep)


def _record(
    result: EvaluationResult,
    rows: Predicted,
    config: EvaluateConfig,
    model_folder: ModelFolder,
    place: str,
) -> EvaluationResult:
    """Writes a run for TensorBoard; returns the result with its folder."""
    labels = result.evaluation.labels
    truth = (
        truth_of(rows.truth, labels)
        if rows.is_multi_label
        else np.array([labels.index(label) for label in rows.truth], np.int32)
    )
    # Of classes that the model does not have, the score is 0.
    scores = np.pad(rows.probabilities, ((0, 0), (0, len(labels) - len(rows.labels))))
    card = (
        f"# {result.evaluation.summary()}\n\nModel `{model_folder.place}` on the photos of"
        f" `{place}`."
        f" {'Left out' if result.seen.left_out else 'Among them'}:"
        f" {result.seen.text() or 'none'}.\n"
    )
    part = config.split if config.split not in (None, "all") else ""
    name = "_".join(
        filter(None, [model_folder.path.name, "on", config.data_name or "photos", part])
    )
    warnings: tuple[str, ...] = ()
    with summaries.run_folder(config.logs_dir or "", config.run_name or name) as run_dir:
        warnings += summaries.write_evaluation(run_dir, result.evaluation, truth, scores, card)
        warnings += write_experiment(run_dir, *result.document(config, model_folder))
        warnings += tuple(summaries.deliver_run(run_dir))
    return dataclasses.replace(result, run_dir=run_dir, warnings=(*result.warnings, *warnings))


def _nothing_left(
    config: EvaluateConfig, labels: Sequence[str], place: str, found: SeenPhotos, elsewhere: int
) -> str:
    if found.total:
        return (
            f"No photo of {place} is new to {config.model}: {found.text()}. Give other photos;"
            " these `train` has measured by heads that had not learned from them, and metadata.json"
            " of the model has what it found. `include_seen` measures them all the same."
        )
    if elsewhere:
        without = (
            f"Nothing of {place} says a split"
            if config.dataset is None
            else f"{place} has no splits"
        )
        return (
            f"{without}, and none of its photos is a {config.split} photo of {config.model}. Leave"
            " out `split` to measure all."
        )
    excluded = " but for those that `corrections` excludes" if config.corrections else ""
    return f"{place} has no photo of the model's classes, {first_names(labels, 12)}{excluded}."


def _by_record(model: str, part: str, measured: int, elsewhere: int) -> str:
    others = f"; {elsewhere:,} others are not" if elsewhere else ""
    are = plural_of(measured, "photo is a", "photos are")
    return f"{measured:,} {are} {part} {plural_of(measured, 'photo', 'photos')} of {model}{others}"
