"""The main job: photos -> bottlenecks -> head -> one model folder."""

import contextlib
import functools
from pathlib import Path

import numpy as np

from xferlearn import summaries
from xferlearn.config import ExportConfig, TrainConfig
from xferlearn.config.in_memory import TableInMemory
from xferlearn.config.signatures import from_settings
from xferlearn.dashboard.summary import write_transfer_summary
from xferlearn.decisions import certainty, choose
from xferlearn.errors import UserError, XferlearnError
from xferlearn.exports import check_formats, export_with
from xferlearn.metrics import Misclassified
from xferlearn.model_folder import FAMILIARITY, check_model_dir, write_model_folder
from xferlearn.photos.folding import MOST_LEFT_OUT
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.opening import check_outside_photos, open_source
from xferlearn.photos.photo import TEST, VALIDATION
from xferlearn.photos.predicted import predicted_photos
from xferlearn.photos.several import classes_in, label_text
from xferlearn.predictors.splitting import keep_head
from xferlearn.runners import open_runner
from xferlearn.summaries.notebook import Pictures
from xferlearn.system.addresses import is_bucket
from xferlearn.system.fetching import staging_folder
from xferlearn.system.folders import check_outside_model
from xferlearn.system.progress import StageClock
from xferlearn.system.results import Failure
from xferlearn.system.runtime import choose_device, start_tensorflow
from xferlearn.system.text import one_line
from xferlearn.system.workers import meanwhile
from xferlearn.training import head as heads
from xferlearn.training.auditing import audit_prepared
from xferlearn.training.finetuning import fine_tune, select_layers
from xferlearn.training.fit import Prepared, prepare
from xferlearn.training.fitting import Fitted, diverged_error, fit_head
from xferlearn.training.metadata import describe, run_name
from xferlearn.training.networks import check_backbone, check_result_folders, load_networks
from xferlearn.training.own_photos import measure_familiarity, with_familiarity
from xferlearn.training.result import TrainResult, promised_facts


@from_settings(TrainConfig)
def train(config: TrainConfig) -> TrainResult:
    """Trains a head on photos and writes a model folder; `xferlearn train` in Python.

    `model_dir`, and one of `image_dir`, `labels` and `dataset`, are required.

    Returns:
        The model folder, its accuracy on validation and test photos, and how it was trained.

    Raises:
        UserError: a setting or the photos can't be used.
        XferlearnError: something outside failed: a download, a full disk.

    Example:
        >>> result = train(image_dir="flower_photos", model_dir="out/flowers")
        >>> result.test.accuracy
        0.918
    """
    return train_with(config)


def train_with(config: TrainConfig) -> TrainResult:
    """Trains as `config` says; see `train`."""
    with contextlib.ExitStack() as runs:
        return _train(config, runs)


def _train(config: TrainConfig, runs: contextlib.ExitStack) -> TrainResult:
    clock = StageClock(config.verbose)
    exporting = _export_config(config)
    _check_folders(config)
    check_backbone(config)
    runner = runs.enter_context(open_runner(config, verbose=config.verbose))
    with clock.stage("list photos", "looking for photos"):
        source = open_source(config)
        if config.corrections is None:
            several = source.is_multi_label
            config.asked(
                classes_in(source.labels) if several else source.labels, multi_label=several
            )
    with clock.stage("import", "loading TensorFlow"):
        start_tensorflow()
        choose_device(config.device)
    with clock.stage("backbone", "loading the network"):
        networks = load_networks(config)
        if config.unfreeze:
            select_layers(networks[0].model(), config.unfreeze)
    with clock.stage("bottlenecks"):
        prepared = prepare(config, source, networks, runner=runner)
        manifest = prepared.split(config)
        wanted = config.asked(manifest.labels, multi_label=manifest.is_multi_label)
    if config.unfreeze and (manifest.few or not manifest.judged(VALIDATION)):
        asked = "unfreeze" if "unfreeze" in config.given else "quality='best'"
        raise UserError(
            f"`{asked}` needs more than {MOST_LEFT_OUT} photos outside the test (those of a group"
            " count once), because some are held out to show whether fine-tuning is better. Add"
            " photos, or leave it out."
        )
    photos = prepared  # of the network as it was: a fine-tuned one has learned from photos
    run_dir = None
    if config.summaries != "none":
        run_dir = runs.enter_context(
            summaries.run_folder(
                config.logs_dir, run_name(config, prepared.name, Path(config.model_dir or "").name)
            )
        )
    # A slower engine is no fault of the photos or of the model: the summary says it.
    warnings = _damage(prepared)
    # Random weights are drawn from a generator that all threads share.
    ahead = contextlib.nullcontext() if config.weights == "none" else meanwhile(prepared.load)
    with clock.stage("training", "training"), ahead:
        fitted = fit_head(
            config,
            prepared,
            run_dir=run_dir,
            manifest=manifest,
            on_warning=warnings.append,
            clock=clock,
        )
    if fitted.training.diverged:
        if run_dir is not None:
            summaries.keep_run(run_dir)  # its charts show how it went
            summaries.deliver_run(run_dir)
        raise diverged_error(config)
    fine_tuned = None
    if config.unfreeze:
        with clock.stage("fine-tuning"):
            state = _state_path(config)
            fine_tuned = fine_tune(
                config,
                prepared,
                fitted,
                state,
                run_dir=run_dir,
                on_warning=warnings.append,
            )
        if fine_tuned.better:
            prepared, fitted = fine_tuned.prepared, fine_tuned.fitted
    with clock.stage("test", "testing"):
        # The test split is looked at here, once, after everything has been chosen.
        probabilities = {split: fitted.probabilities(split) for split in (VALIDATION, TEST)}
        validation, test = (
            fitted.evaluate(split, probabilities[split]) for split in (VALIDATION, TEST)
        )
        own = measure_familiarity(prepared, fitted, config.seed)
        familiarity = own.values if own is not None else None
        judged = [fitted.judged(split, probabilities[split]) for split in (VALIDATION, TEST)]
        if own is not None:
            judged[0] = judged[0]._replace(unknown=own.unknown(fitted.rows(VALIDATION)))
        try:
            chosen = choose(manifest.labels, *judged, **wanted)
        except UserError as error:  # the model is good without it
            warnings.append(Failure(f"No decision was set. {error}"))
            chosen = choose(manifest.labels, *judged)
    manifest, extraction, training = fitted.manifest, prepared.extraction, fitted.training
    with clock.stage("model", "writing the model"):
        classifier = heads.build_classifier(prepared.backbone, fitted.head)
        metadata = describe(config, prepared, fitted, fine_tuned, validation, test)
        metadata["run"] = None if run_dir is None else run_dir.name
        if own is not None:
            layer = metadata["bottleneck"]["layer"]
            classifier = with_familiarity(classifier, layer, own.familiarity)
            metadata[FAMILIARITY] = own.as_dict()
        metadata |= chosen.as_dict()
        metadata["timings"] |= {"seconds": _rounded(clock.seconds)}
        model_folder = write_model_folder(
            config.model_dir or "",
            classifier,
            manifest,
            metadata,
            predicted=predicted_photos(manifest, probabilities, familiarity),
            looks=prepared.looks.recorded(manifest.photos),
            learned_test=fitted.refitted,
            overwrite=config.overwrite,
        )
        if config.unfreeze:
            state.unlink(missing_ok=True)
    audited = None
    if config.audit:
        with clock.stage("audit"):
            # After the model, as the summaries are; photos of any origin may fail in many ways.
            try:
                audited = audit_prepared(config, photos)
            except Exception as error:
                warnings.append(Failure(f"Nothing was audited: {one_line(error)}"))
    # Beside the rest, so that who labels next need not wait for it.
    runs.enter_context(meanwhile(functools.partial(keep_head, model_folder, classifier, config)))
    if run_dir is not None:
        # After the model: whatever happens here can't cost it.
        with clock.stage("summaries"):
            record = summaries.RunRecord(
                config=config,
                source=prepared.source,
                manifest=manifest,
                bottlenecks=fitted.bottlenecks,
                predict=fitted.predict,
                classifier=classifier,
                probabilities=probabilities,
                evaluations={VALIDATION: validation, TEST: test},
                photos_per_second=extraction.photos_per_second,
                seconds=dict(clock.seconds),
                metadata=model_folder.metadata,
                familiarity=familiarity,
                promises=promised_facts(chosen, own, validation),
            )
            warnings += summaries.write_run(run_dir, record, config.summaries)
            pictures = config.summaries == "full"
            warnings += write_transfer_summary(run_dir, record, audited, photos=pictures)
            warnings += summaries.deliver_run(run_dir)
    exported = None
    if exporting is not None:
        with clock.stage("export"):
            try:
                exported = export_with(exporting)
            except XferlearnError as error:  # the model is there, and the caller is to have it
                warnings.append(Failure(f"Nothing was exported: {error}"))
    return TrainResult(
        model_folder=model_folder,
        run_dir=run_dir,
        manifest=manifest,
        extraction=extraction,
        training=training,
        fine_tuned=fine_tuned,
        exported=exported,
        audit=audited,
        chosen=chosen,
        validation=validation,
        test=test,
        familiarity=own,
        misclassified=_misclassified(fitted, TEST, probabilities[TEST]),
        misclassified_in_validation=_misclassified(fitted, VALIDATION, probabilities[VALIDATION]),
        pictures=Pictures(prepared.source, PhotoLimits.of(config)),
        # Damage of the store is found when its rows are read, which was after the first of these.
        warnings=tuple(dict.fromkeys([*warnings, *_damage(photos), *manifest.warnings])),
        seconds=dict(clock.seconds),
    )


def _damage(prepared: Prepared) -> list[str]:
    """Returns what is wrong with the store, one line each."""
    return [line for line in prepared.warnings if line not in prepared.fallbacks]


def _check_folders(config: TrainConfig) -> None:
    """Sees, before any work, that results can be written, and replace nothing that is needed."""
    model_dir = config.model_dir or ""
    check_model_dir(model_dir, config.overwrite)
    check_result_folders(config)
    check_outside_photos(config, "model_dir", model_dir)
    others = {
        "image_dir": config.image_dir,
        "labels": None if isinstance(config.labels, TableInMemory) else config.labels,
        "data_dir": config.data_dir,
        "bottleneck_dir": config.bottleneck_dir,
        "logs_dir": None if config.summaries == "none" else config.logs_dir,
    }
    for name, folder in others.items():
        if folder is not None:
            check_outside_model(model_dir, name, folder)


def _export_config(config: TrainConfig) -> ExportConfig | None:
    """Returns what is to be exported; fails before any work where that can't be."""
    if config.export is None:
        return None
    logs_dir = None if config.summaries == "none" else config.logs_dir
    exporting = ExportConfig(
        model=config.model_dir, format=config.export, logs_dir=logs_dir, verbose=config.verbose
    )
    check_formats(exporting.formats)
    return exporting


def _state_path(config: TrainConfig) -> Path:
    """Returns where fine-tuning keeps how far it is: beside the model, or here for a bucket's."""
    if is_bucket(config.model_dir):
        return staging_folder(str(config.model_dir)).with_suffix(".fine-tuning")
    model_dir = Path(config.model_dir or "").absolute()
    return model_dir.with_name(f".{model_dir.name}.fine-tuning")


def _misclassified(
    fitted: Fitted, split: str, probabilities: np.ndarray
) -> tuple[Misclassified, ...]:
    manifest, several = fitted.manifest, fitted.manifest.is_multi_label
    decided, truth = fitted.decided(split, probabilities), fitted.truth(split)
    wrong = []
    for row, index in enumerate(manifest.judged(split)):
        if np.array_equal(decided[row], truth[row]):
            continue
        photo, scores = manifest.photos[index], probabilities[row]
        if several:
            predicted = label_text(np.array(manifest.labels)[decided[row]])
            wrong_labels = decided[row] != truth[row]
            score = float(certainty(scores, decided[row])[wrong_labels].max())
        else:
            predicted, score = manifest.labels[decided[row]], float(scores[decided[row]])
        wrong.append(
            Misclassified(photo.name, manifest.label_text(photo), predicted, score, photo.digest)
        )
    return tuple(wrong)


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {stage: round(value, 3) for stage, value in seconds.items()}
