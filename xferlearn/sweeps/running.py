"""Runs of an experiment: one extraction a feature space, then head after head."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn import backbones, summaries
from xferlearn.callbacks import cross_entropy
from xferlearn.config import TrainConfig
from xferlearn.datasets import open_source
from xferlearn.errors import UserError, XferlearnError
from xferlearn.fitting import Fitted, Prepared, fit_head, load_backbone_of, prepare
from xferlearn.manifest import TEST, VALIDATION, Manifest
from xferlearn.metrics import evaluate_predictions
from xferlearn.run_metadata import describe, run_name
from xferlearn.runtime import gpu_is_visible, on_device, start_tensorflow
from xferlearn.sources import PhotoSource, check_outside
from xferlearn.sweeps.outcomes import Outcome, OutcomeStore

# What decides which bottlenecks a run needs.
SPACE = ("backbone", "image_size", "device")
# What a run's result does not depend on.
_ELSEWHERE = (
    "image_dir", "model_dir", "logs_dir", "bottleneck_dir", "summaries", "overwrite",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Space:
    """A feature space that is ready, or the reason why it is not.

    Attributes:
        settings: `SPACE` by name.
        prepared: photos and network; None where there is a problem.
        seconds: wall time until it was ready.
        problem: why it can't be had, one line.
    """

    settings: Mapping[str, Any]
    prepared: Prepared | None
    seconds: float = 0.0
    problem: str | None = None


def output_dir(config: Any) -> Path:
    """Returns the folder for tables, plots and outcomes."""
    return Path(config.output_dir or Path(config.logs_dir) / "experiments")


def open_photos(config: TrainConfig, folder: Path) -> PhotoSource:
    """Returns the photos, checked before TensorFlow starts where they are files.

    Args:
        config: which photos.
        folder: where the experiment's results go.
    """
    source = open_source(config)
    if config.image_dir is not None:
        check_outside(config.image_dir, "output_dir", folder)
    start_tensorflow()
    return source


def open_space(config: TrainConfig, source: PhotoSource) -> Space:
    """Computes what is missing of a feature space; says so where it can't be had.

    Raises:
        UserError: when the photos can't be right; that would hold for every space.
    """
    started = time.perf_counter()
    settings = {name: getattr(config, name) for name in SPACE}
    if config.device == "gpu" and not gpu_is_visible():
        return Space(settings, None, problem="TensorFlow sees no GPU on this machine")
    try:
        backbone = load_backbone_of(config)
    except XferlearnError as error:
        if isinstance(error, UserError):
            raise
        return Space(settings, None, problem=str(error))
    prepared = prepare(config, source, backbone)
    return Space(settings, prepared, time.perf_counter() - started)


def run(
    config: TrainConfig, prepared: Prepared, settings: Mapping[str, Any], store: OutcomeStore
) -> Outcome:
    """Trains one head, unless an earlier experiment has, and keeps what came out.

    The test photos are not looked at.
    """
    manifest = prepared.split(config)
    key = run_key(store, VALIDATION, config, prepared, manifest)
    known = store.get(key, settings)
    if known is not None:
        return known
    run_dir = summaries.create_run(config.logs_dir, run_name(config, prepared.backbone.name))
    problems: list[str] = []
    started = time.perf_counter()
    fitted = fit_head(
        config, prepared, run_dir=run_dir, manifest=manifest, on_error=problems.append
    )
    seconds = time.perf_counter() - started
    unseen = np.zeros((0, len(manifest.labels)), np.float32)
    probabilities = unseen if fitted.training.diverged else fitted.probabilities(VALIDATION)
    problems += _record(config, prepared, fitted, probabilities, run_dir, seconds)
    truth = fitted.truth(VALIDATION)[: len(probabilities)]
    outcome = Outcome(
        settings,
        right=tuple(bool(right) for right in probabilities.argmax(axis=1) == truth),
        loss=cross_entropy(probabilities, truth) if len(truth) else None,
        steps=fitted.training.steps,
        seconds=seconds,
        diverged=fitted.training.diverged,
        run_dir=str(run_dir),
        warnings=tuple(problems),
    )
    store.put(key, outcome)
    return outcome


def _record(
    config: TrainConfig,
    prepared: Prepared,
    fitted: Fitted,
    probabilities: np.ndarray,
    run_dir: Path,
    seconds: float,
) -> tuple[str, ...]:
    """Writes a run for TensorBoard, as `train` does, but for the test; returns what failed."""
    manifest = fitted.manifest
    unjudged = evaluate_predictions(manifest.labels, [], [])
    validation = fitted.evaluate(VALIDATION, probabilities) if len(probabilities) else unjudged
    metadata = describe(config, prepared, fitted, None, validation, unjudged)
    return summaries.write_run(
        run_dir,
        summaries.RunRecord(
            config=config,
            source=prepared.source,
            manifest=manifest,
            bottlenecks=fitted.bottlenecks,
            head=fitted.head,
            classifier=fitted.head,
            probabilities={
                VALIDATION: probabilities,
                TEST: probabilities[:0],
            },
            evaluations={VALIDATION: validation, TEST: unjudged},
            best_step=fitted.training.best_step,
            photos_per_second=prepared.extraction.photos_per_second,
            seconds={"training": seconds},
            metadata=metadata,
        ),
        "scalars",
    )


def run_all(
    configs: Iterable[tuple[dict[str, Any], TrainConfig]], source: PhotoSource, store: OutcomeStore
) -> Iterator[tuple[Space, Outcome]]:
    """Yields what runs give; those of one feature space should follow one another.

    Args:
        configs: what was varied and the whole settings, a run each.
        source: the photos.
        store: where outcomes are kept.
    """
    space: Space | None = None
    for settings, config in configs:
        wanted = {name: getattr(config, name) for name in SPACE}
        with on_device(config.device):
            if space is None or space.settings != wanted:
                space = open_space(config, source)
            if space.prepared is None:
                outcome = Outcome(settings, problem=space.problem)
            else:
                outcome = run(config, space.prepared, settings, store)
        yield space, outcome


def judge_on_test(
    config: TrainConfig, prepared: Prepared, settings: Mapping[str, Any], store: OutcomeStore
) -> Outcome:
    """Trains a chosen run once more and judges it on the test photos; keeps what came out."""
    manifest = prepared.split(config)
    key = run_key(store, TEST, config, prepared, manifest)
    known = store.get(key, settings)
    if known is None:
        with on_device(config.device):
            fitted = fit_head(config, prepared, manifest=manifest)
        right = fitted.probabilities(TEST).argmax(axis=1) == fitted.truth(TEST)
        known = Outcome(settings, right=tuple(bool(one) for one in right))
        store.put(key, known)
    return known


def run_key(
    store: OutcomeStore, kind: str, config: TrainConfig, prepared: Prepared, manifest: Manifest
) -> str:
    """Returns the key of what a run gives: settings, feature space, photos and split decide."""
    made_from = {
        name: value for name, value in dataclasses.asdict(config).items() if name not in _ELSEWHERE
    }
    photos = [
        f"{photo.digest.hex()} {photo.label} {split}"
        for photo, split in zip(manifest.photos, manifest.splits, strict=True)
    ]
    space = dataclasses.asdict(prepared.features.store.space)
    return store.key(kind, made_from, space, photos)


def check_backbone(config: TrainConfig) -> None:
    """Fails, before any work, on a backbone or size that does not exist."""
    backbones.resolve_backbone(config.backbone, config.image_size)


def all_warnings(
    spaces: Iterable[tuple[Space, list[Outcome]]], config: TrainConfig
) -> tuple[str, ...]:
    """Returns what is to be said of spaces and their runs, a line each, each once."""
    found: list[str] = []
    for space, outcomes in spaces:
        if space.prepared is not None:
            features = space.prepared.features
            found += [*features.fallbacks, *features.store.problems]
            found += space.prepared.split(config).warnings
        found += [line for outcome in outcomes for line in outcome.warnings]
    return tuple(dict.fromkeys(found))
