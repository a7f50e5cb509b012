"""The job of `audit`: photos -> bottlenecks -> heads that are new to them -> findings."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.auditing import KINDS, AuditResult, Finding, write_findings, write_page
from xferlearn.auditing.classes import (
    find_few_groups,
    find_few_photos,
    find_overlaps,
    find_together,
)
from xferlearn.auditing.findings import ACROSS, TWINS, ClassFinding
from xferlearn.auditing.label_errors import LabelErrors, find_label_errors
from xferlearn.auditing.measuring import MeasureStore, measure_photos
from xferlearn.auditing.outliers import find_outliers, loneliness
from xferlearn.auditing.page import checked_page
from xferlearn.auditing.quality import find_bad_quality
from xferlearn.auditing.result import COMMAND
from xferlearn.auditing.set_errors import SetErrors, find_set_errors
from xferlearn.auditing.suspects import find_suspects
from xferlearn.config import AuditConfig, TrainConfig, default_bottleneck_dir
from xferlearn.config.base import StrPath
from xferlearn.config.models import output_format
from xferlearn.config.signatures import from_settings
from xferlearn.decisions import decide_by_others
from xferlearn.errors import UserError, XferlearnError
from xferlearn.metrics import (
    AnyEvaluation,
    Evaluation,
    evaluate_label_sets,
    evaluate_predictions,
    worth_of,
)
from xferlearn.photos.corrected import CorrectedSource
from xferlearn.photos.corrections import (
    KEEP,
    RELABEL,
    changing_corrections,
    check_no_corrections,
    write_corrections,
)
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.opening import check_outside_photos, open_source
from xferlearn.photos.several import labelled_rows
from xferlearn.runners import open_runner
from xferlearn.summaries.notebook import Pictures
from xferlearn.system.files import write_atomically
from xferlearn.system.outputs import check_output
from xferlearn.system.progress import StageClock
from xferlearn.system.results import Failure
from xferlearn.system.runtime import choose_device, start_tensorflow
from xferlearn.system.text import one_line
from xferlearn.training.fit import Prepared, prepare
from xferlearn.training.material import LinearHeads, Material, material_of
from xferlearn.training.networks import check_backbone, check_result_folders, load_networks

# Of these two a person decides nothing about the photo.
_ALWAYS = (ACROSS, TWINS)


@from_settings(AuditConfig)
def audit(config: AuditConfig) -> AuditResult:
    """Finds what is suspicious in photos and their labels; `xferlearn audit` in Python.

    One of `image_dir`, `labels` and `dataset` is required. Photos are never touched.

    Returns:
        Suspicious photos by kind, what is likely to matter most first, and classes that overlap.

    Raises:
        UserError: a setting or the photos can't be used.
        XferlearnError: something outside failed: a download, a full disk.

    Example:
        >>> result = audit(image_dir="flower_photos")
        >>> result.findings[0].name, result.findings[0].proposed
        ('roses/12572786553_9ddb1c5fea.jpg', 'tulips')
    """
    return audit_with(config)


def audit_with(config: AuditConfig) -> AuditResult:
    """Audits as `config` says; see `audit`."""
    clock = StageClock(config.verbose)
    settings = config.train_config(summaries="none")
    outputs = _checked_outputs(config)
    check_backbone(settings)
    check_result_folders(settings)
    with open_runner(settings, verbose=settings.verbose) as runner:
        with clock.stage("list photos", "looking for photos"):
            source = open_source(settings)
        with clock.stage("import", "loading TensorFlow"):
            start_tensorflow()
            choose_device(settings.device)
        with clock.stage("backbone", "loading the network"):
            networks = load_networks(settings)
        with clock.stage("bottlenecks"):
            prepared = prepare(settings, source, networks, runner=runner)
    result = audit_prepared(settings, prepared, clock)
    return _written(config, result, outputs)


def audit_prepared(
    config: TrainConfig, prepared: Prepared, clock: StageClock | None = None
) -> AuditResult:
    """Returns what is suspicious in photos whose bottlenecks are there.

    Args:
        config: seeds, limits.
        prepared: the photos.
        clock: measures the stages; None for a new one.

    Raises:
        UserError: when the photos can't be split, or all are one group.
        XferlearnError: when measurements of the photos can't be kept.
    """
    clock = clock or StageClock(config.verbose)
    with clock.stage("heads", "training heads"):
        material = material_of(prepared, config)
        errors, first = _label_errors(material, config.seed)
    manifest = material.manifest
    photos, labels, texts = manifest.photos, manifest.labels, material.texts
    number = len(photos)
    evaluation = _evaluation(material, first)
    with clock.stage("quality"):
        by_looks, told = find_by_looks(material, config)
    with clock.stage("findings", "looking at what they say"):
        every = prepared.extraction.photos
        decided = _decided(prepared, texts)
        suspects = find_suspects(
            material.photos, texts, errors, every, prepared.looks.alike, decided
        )
        expected = errors.estimate(suspects.rows)
        found = [
            one
            for one in (*suspects.findings, *by_looks)
            if one.kind in _ALWAYS or one.digest not in decided
        ]
        places = {one.digest: one for one in (*every, *photos)}
    return AuditResult(
        labels=labels,
        counts={label: sum(counts.values()) for label, counts in manifest.counts().items()},
        findings=tuple(sorted(found, key=lambda one: (KINDS.index(one.kind), -one.score))),
        classes=_of_classes(material, evaluation),
        expected=(expected.low, expected.value, expected.high),
        evaluation=evaluation,
        digests=tuple(one.digest for one in photos),
        probabilities=errors.probabilities[:number],
        places=places,
        bad=manifest.bad,
        pictures=Pictures(prepared.source, PhotoLimits.of(config)),
        texts=texts if manifest.is_multi_label else (),
        corrected=(*manifest.label_counts, *manifest.notes),
        warnings=(*prepared.warnings, *told, *manifest.warnings),
        seconds=dict(clock.seconds),
    )


def find_by_looks(material: Material, config: TrainConfig) -> tuple[list[Finding], list[str]]:
    """Returns photos that are suspicious whatever their labels are: strange ones and bad ones.

    Args:
        material: the photos.
        config: seed, limits.

    Returns:
        The findings, and what a person should know of the measurements, one line each.

    Raises:
        XferlearnError: when measurements of the photos can't be kept.
    """
    prepared, manifest = material.prepared, material.manifest
    photos, labels, number = manifest.photos, material.texts, len(manifest.photos)
    store = MeasureStore(config.bottleneck_dir or default_bottleneck_dir())
    limits = PhotoLimits.of(config)
    measured = measure_photos(prepared.source, photos, store, limits, config.verbose)
    of_labelled = material.bottlenecks
    if number < len(of_labelled):
        of_labelled = of_labelled.take(np.arange(number), axis=0)
    lonely = loneliness(of_labelled, material.folds[:number], seed=config.seed)
    strange = find_outliers(photos, labels, lonely)
    poor = find_bad_quality(photos, labels, measured)
    # That a black photo is unlike others goes without saying.
    told = {one.digest for one in poor}
    found = [*(one for one in strange if one.digest not in told), *poor]
    return found, [*store.warnings]


def _label_errors(material: Material, seed: int) -> tuple[LabelErrors | SetErrors, np.ndarray]:
    """Returns what is suspected of labels, and what heads said before anything was suspected."""
    heads = LinearHeads(material.bottlenecks, material.folds, material.prepared.widths, seed)
    y, classes = material.y, len(material.labels)
    said: list[np.ndarray] = []

    def fit_sets(targets: np.ndarray) -> np.ndarray:
        said.append(heads.fit(targets, classes))
        return said[-1]

    def fit(learned: np.ndarray) -> np.ndarray:
        said.append(heads.fit(y, classes, learned))
        return said[-1]

    if y.ndim == 2:
        return find_set_errors(y, material.labels, fit_sets, material.groups), said[0]
    return find_label_errors(y, fit, material.groups), said[0]


def _evaluation(material: Material, probabilities: np.ndarray) -> AnyEvaluation:
    y = material.y
    rows = np.flatnonzero(labelled_rows(y) & np.isfinite(probabilities).all(axis=1))
    in_groups = material.groups[rows]
    groups = in_groups.tolist() if worth_of(in_groups) < len(rows) else None
    labels, said = material.labels, probabilities[rows]
    found: AnyEvaluation
    if y.ndim == 2:
        decided = decide_by_others(labels, said, y[rows] == 1, material.folds[rows])
        found = evaluate_label_sets(labels, y[rows] == 1, said, decided, groups)
    else:
        found = evaluate_predictions(labels, y[rows], said.argmax(axis=1), groups)
    return dataclasses.replace(found, folds=material.manifest.fold_count)


def _of_classes(material: Material, evaluation: AnyEvaluation) -> tuple[ClassFinding, ...]:
    number, labels = len(material.manifest.photos), material.labels
    y, groups = material.y[:number], material.groups[:number]
    if isinstance(evaluation, Evaluation):
        return (*find_overlaps(evaluation), *find_few_groups(labels, y, groups))
    has = y == 1
    few = (*find_few_photos(labels, has), *find_few_groups(labels, has, groups))
    return (*find_together(labels, has), *few)


def _decided(prepared: Prepared, labels: Sequence[str]) -> set[bytes]:
    """Returns the photos about whose label a person has decided, and which still have it."""
    if not isinstance(prepared.source, CorrectedSource):
        return set()
    corrections = prepared.source.corrections
    # Also those that were left out of what is learned from, because others have their pixels.
    has = {(one.digest, labels[one.label]) for one in prepared.extraction.photos}
    return {
        row.digest
        for row in corrections.values()
        if (row.action == KEEP or (row.action == RELABEL and row.command != COMMAND))
        and (row.digest, row.label) in has
    }


def _checked_outputs(config: AuditConfig) -> dict[str, Path]:
    """Sees, before any work, that all files can be written, each to a place of its own."""
    paths: dict[str, Path] = {}
    for name in _CHECKS:
        given = getattr(config, name)
        if given is None:
            continue
        check_outside_photos(config, name, given)
        paths[name] = _CHECKS[name](given)
        same = next((one for one in paths if one != name and paths[one] == paths[name]), None)
        if same is not None:
            raise UserError(f"`{same}` and `{name}` are the same file, {given}. Give each its own.")
    return paths


def _checked_output(path: StrPath) -> Path:
    found = check_output(path)
    check_no_corrections("output", found)
    return found


def _checked_proposals(path: StrPath) -> Path:
    """Returns the file that proposals go to, beside what it holds already.

    Raises:
        UserError: when there is a file and it is no file of corrections, or a review has it open.
    """
    found = check_output(path, "proposals")
    try:
        with changing_corrections(found):
            pass
    except UserError as error:
        raise UserError(
            f"`proposals` adds to the file that is there, and it can't be read. {error}"
        ) from None
    except OSError as error:
        raise UserError(
            f"Can't write `proposals` {path}: {one_line(error)}. Choose another file."
        ) from None
    return found


_CHECKS: Mapping[str, Callable[[StrPath], Path]] = {
    "output": _checked_output,
    "page": checked_page,
    "proposals": _checked_proposals,
}


def _written(config: AuditConfig, result: AuditResult, outputs: Mapping[str, Path]) -> AuditResult:
    def proposals(path: Path) -> None:
        with changing_corrections(path) as known:
            # What is in the file by now has been decided, or proposed before.
            new = [row for digest, row in result.corrections().items() if digest not in known]
            write_corrections(path, known.with_rows(new))

    def findings(path: Path) -> None:
        form = output_format(config.output) or ""
        write_atomically(path, lambda file: write_findings(file, result, form))

    writers: dict[str, Any] = {
        "output": findings,
        "page": lambda path: write_page(path, result),
        "proposals": proposals,
    }
    warnings = [*result.warnings]
    done: dict[str, Any] = {}
    for name, path in outputs.items():
        try:
            writers[name](path)
            done[name] = Path(getattr(config, name))
        except (OSError, XferlearnError) as error:  # what was found must not be lost
            warnings.append(Failure(f"Can't write `{name}` {path}: {one_line(error)}."))
    return dataclasses.replace(result, warnings=tuple(warnings), **done)
