"""Compares two models, photo by photo: what the second one gained, and what it lost."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xferlearn.config import DiffConfig, EvaluateConfig, ImageConfig
from xferlearn.config.models import output_format
from xferlearn.config.signatures import from_settings
from xferlearn.decisions import Decision, MultiLabelDecision, certainty, decision_of
from xferlearn.errors import UserError
from xferlearn.evaluation.diff_result import ChangedPhoto, DiffResult
from xferlearn.evaluation.evaluating import measure_photos
from xferlearn.model_folder import ModelFolder, read_as_one, read_model_folder
from xferlearn.photos.corrected import Applied
from xferlearn.photos.corrections import (
    EXCLUDE,
    Corrections,
    check_no_corrections,
    read_corrections,
)
from xferlearn.photos.pairing import Answered, pair_photos
from xferlearn.photos.photo import TEST, VALIDATION
from xferlearn.photos.predicted import Predicted
from xferlearn.photos.several import label_text, labels_in
from xferlearn.system.files import write_atomically
from xferlearn.system.outputs import check_output
from xferlearn.system.results import Failure
from xferlearn.system.row_files import write_rows
from xferlearn.system.text import one_line, readable


@from_settings(DiffConfig)
def diff(config: DiffConfig) -> DiffResult:
    """Compares two models photo by photo, one from before and one from after; `xferlearn diff`.

    `models` is required. Without `image_dir` nothing is labelled: compared is what `train` has kept
    in the model folders, the predictions of each photo by a head that has not learned from it.

    Returns:
        Both accuracies, or mean average precisions where photos may have several labels, their
        change with its paired interval, and the photos whose label changed.

    Raises:
        UserError: a model or the photos can't be used, or no photo was measured in both.

    Example:
        >>> diff(models=["out/flowers", "out/flowers2"]).total.change.text()
        '+1.2 points (95%: +0.1 to +2.4)'
    """
    return diff_with(config)


def diff_with(config: DiffConfig) -> DiffResult:
    """Compares as `config` says; see `diff`."""
    output = None
    if config.output is not None:
        output = check_output(config.output)
        check_no_corrections("output", output)
    if config.image_dir is None:
        folders, predicted, warnings = _kept(config)
    else:
        folders, predicted, warnings = _labelled(config)
    _check_kinds(config, folders)
    decisions = [decision_of(folder.metadata) for folder in folders]
    ways = _ways(config, folders, predicted)
    before, after = (_answered(*one) for one in zip(predicted, decisions, ways, strict=True))
    paired = pair_photos(before, after)
    if not paired.rows:
        raise UserError(
            "No photo was measured in both models in the same way:"
            f" {paired.only_before:,} only in {config.models[0]}, {paired.only_after:,} only in"
            f" {config.models[1]}, and {paired.apart:,} once as test photo and once not."
            f"{'' if config.image_dir else ' Give `image_dir`, photos that both label.'}"
        )
    changed = tuple(
        ChangedPhoto(
            kind,
            predicted[1].names[two],
            after.digests[two],
            after.truth[two],
            before.answers[one],
            _score(predicted[0], one, decisions[0]),
            after.answers[two],
            _score(predicted[1], two, decisions[1]),
        )
        for kind, one, two in paired.changed()
    )
    result = DiffResult(
        models=(str(config.models[0]), str(config.models[1])),
        labels=(folders[0].labels, folders[1].labels),
        total=paired.compared(),
        parts={way: paired.compared(way) for way in paired.measured},
        changed=changed,
        relabelled=paired.relabelled,
        apart=paired.apart,
        only=(paired.only_before, paired.only_after),
        decisions=tuple(one.text() if one else "" for one in decisions),
        warnings=warnings,
    )
    if output is not None:
        form = output_format(output) or ""
        rows = [one.cells() for one in changed]
        try:
            write_atomically(
                output, lambda file: write_rows(file, form, ChangedPhoto.COLUMNS, rows)
            )
        except OSError as error:  # what was measured must not be lost
            failure = Failure(f"Can't write `output` {output}: {one_line(error)}.")
            result = dataclasses.replace(result, warnings=(*warnings, failure))
        else:
            result = dataclasses.replace(result, output=Path(config.output or ""))
    return result


_Found = tuple[list[ModelFolder], list[Predicted], tuple[str, ...]]


def _kept(config: DiffConfig) -> _Found:
    """Returns what was predicted of each model's photos while it was trained."""

    def read(folder: ModelFolder) -> tuple[ModelFolder, Predicted]:
        if not folder.has_predictions:
            raise UserError(
                f"{folder.path} has no predictions of its photos: an earlier version wrote the"
                " model, or it was handed on without. Train again, or give `image_dir`, photos that"
                " both models label."
            )
        return folder, folder.predictions()

    found = [read_as_one(model, read) for model in config.models]
    photos = [one.only(np.flatnonzero(_known(one)).tolist()) for _, one in found]
    warnings: tuple[str, ...] = ()
    if config.corrections is not None:
        corrections = read_corrections(config.corrections)
        applied = Applied(corrections, photos[1].is_multi_label)
        photos = [_without_excluded(photos[0], corrections), _corrected(photos[1], applied)]
        warnings = applied.lines()
    return [folder for folder, _ in found], photos, warnings


def _known(photos: Predicted) -> np.ndarray:
    return np.asarray(np.isfinite(photos.probabilities).all(axis=1))


def _without_excluded(photos: Predicted, corrections: Corrections) -> Predicted:
    excluded = {digest for digest, row in corrections.items() if row.action == EXCLUDE}
    return photos.only([i for i, one in enumerate(photos.digests) if one not in excluded])


def _corrected(photos: Predicted, applied: Applied) -> Predicted:
    given = [
        applied.label(digest, label)
        for digest, label in zip(photos.digests, photos.truth, strict=True)
    ]
    rows = [row for row, label in enumerate(given) if label is not None]
    truth = tuple(label for label in given if label is not None)
    return dataclasses.replace(photos.only(rows), truth=truth)


def _labelled(config: DiffConfig) -> _Found:
    """Returns what both models say of the photos of a folder."""
    shared = {one.name: getattr(config, one.name) for one in dataclasses.fields(ImageConfig)}
    folders = [read_model_folder(model) for model in config.models]
    _check_kinds(config, folders)
    photos: list[Predicted] = []
    said: list[list[str]] = []
    for model in config.models:
        # Photos of classes that one of them does not have are wrong answers of that one.
        one = EvaluateConfig(
            model=model, image_dir=config.image_dir, corrections=config.corrections,
            other_classes="count", include_seen=config.include_seen, **shared,
        )  # fmt: skip
        result, rows = measure_photos(one, keep=True)
        if rows is None or not rows.names:
            raise UserError(f"None of the photos of {config.image_dir} can be compared.")
        photos.append(rows)
        seen = result.seen.warnings()
        if result.seen.left_out and result.seen.total:
            left_out = result.seen.text()
            seen.append(f"{left_out}; left out, `include_seen` compares them too")
        said.append(
            [
                *(f"{readable(model)}: {line}" for line in seen),
                *(line for line in result.warnings if line not in seen),
                *(f"{bad.name} was left out: {bad.reason}" for bad in result.bad),
            ]
        )
    if any(folder.is_replaced() for folder in folders):
        raise UserError("A model was replaced while this was running. Run again.")
    return folders, photos, tuple(dict.fromkeys([*said[0], *said[1]]))


def _ways(
    config: DiffConfig, folders: Sequence[ModelFolder], photos: Sequence[Predicted]
) -> list[list[str]]:
    """Returns how each photo was measured, in words for people."""
    if config.image_dir is not None:
        return [["labelled by both"] * len(one.names) for one in photos]
    folded = all(folder.metadata.get("cross_validation") for folder in folders)
    name = "cross-validated" if folded else VALIDATION
    return [[TEST if split == TEST else name for split in one.splits] for one in photos]


def _answered(
    photos: Predicted, decision: Decision | MultiLabelDecision, ways: Sequence[str]
) -> Answered:
    labels, scores = photos.labels, photos.probabilities
    if isinstance(decision, Decision):
        answers = [labels[row] for row in decision.decide(scores)]
        return Answered(labels, photos.digests, photos.truth, answers, ways, photos.groups)
    names = np.array(labels, object)
    answers = [label_text(names[row]) for row in decision.decide(scores)]
    truth = [label_text(labels_in(text)) for text in photos.truth]
    return Answered(labels, photos.digests, truth, answers, ways, photos.groups, scores)


def _score(photos: Predicted, row: int, decision: Decision | MultiLabelDecision) -> float:
    """Returns how sure a photo's label is; of several, the least sure one, given or not."""
    scores = photos.probabilities[row]
    decided = decision.decide(scores[np.newaxis])[0]
    if isinstance(decision, Decision):
        return float(scores[decided])
    return float(certainty(scores, decided).min())


def _check_kinds(config: DiffConfig, folders: Sequence[ModelFolder]) -> None:
    """Checks that both models give a photo one label, or both several."""
    several = [folder.is_multi_label for folder in folders]
    if several[0] != several[1]:
        one, other = config.models if several[0] else reversed(config.models)
        raise UserError(
            f"{one} may give a photo several labels, and {other} gives it one. Expected two models"
            " of one kind: nothing measures both alike."
        )
