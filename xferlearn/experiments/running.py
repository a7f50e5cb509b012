"""Runs of an experiment: one extraction per feature space, then head after head."""

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn import summaries
from xferlearn.bottlenecks.prints import Looks
from xferlearn.config import DECISION, WHERE_LABELS_ARE, TrainConfig
from xferlearn.config.experiments import ExperimentConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.experiments.outcomes import Outcome, OutcomeStore, judged_photos
from xferlearn.metrics import (
    AnyEvaluation,
    cross_entropy,
    evaluate_label_sets,
    evaluate_predictions,
)
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.opening import check_outside_photos, open_source
from xferlearn.photos.photo import TEST, VALIDATION
from xferlearn.photos.sources import PhotoSource
from xferlearn.system.folders import check_writable
from xferlearn.system.progress import working
from xferlearn.system.runtime import gpu_is_visible, on_device, start_tensorflow
from xferlearn.system.version import __version__
from xferlearn.training.fit import Prepared, join, prepare
from xferlearn.training.fitting import Fitted, fit_head
from xferlearn.training.metadata import describe, run_name
from xferlearn.training.networks import check_result_folders, load_networks, rows_of

# What decides which bottlenecks a run needs.
SPACE = ("backbone", "image_size", "device")
# What a run's result does not depend on.
_ELSEWHERE = (
    *WHERE_LABELS_ARE, *DECISION, "image_dir", "model_dir", "logs_dir", "bottleneck_dir",
    "max_memory", "summaries", "overwrite", "verbose", "audit", "run_name", "runner", "ray_address",
    "workers",
    "twins",  # the groups, which are part of the key, say it
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Space:
    """A feature space whose bottlenecks are ready, or the reason why they are not.

    Attributes:
        settings: `SPACE` by name.
        prepared: photos and network; None if there is a problem.
        seconds: wall time until it was ready.
        problem: why it is not available.
    """

    settings: Mapping[str, Any]
    prepared: Prepared | None
    seconds: float = 0.0
    problem: XferlearnError | None = None


def output_dir(config: ExperimentConfig) -> Path:
    """Returns the folder for tables, plots and outcomes."""
    return Path(config.output_dir or Path(config.logs_dir) / "experiments")


def open_photos(config: TrainConfig, folder: Path) -> PhotoSource:
    """Returns the photos, checked before TensorFlow starts where they are files.

    Args:
        config: which photos.
        folder: where the experiment's results go.

    Raises:
        UserError: when the photos can't be used, or the results could not be written.
    """
    check_writable("logs_dir", config.logs_dir)  # curves write there whatever `summaries` says
    check_writable("output_dir", folder)
    check_result_folders(config)
    source = open_source(config)
    check_outside_photos(config, "output_dir", folder)
    with working("loading TensorFlow", config.verbose):
        start_tensorflow()
    return source


def need_judged(manifest: Manifest, command: str) -> None:
    """Checks that there are photos to measure heads on.

    Args:
        manifest: the photos.
        command: what needs them.

    Raises:
        UserError: when there are none.
    """
    if not manifest.judged(VALIDATION):
        raise UserError(
            f"{command} predicts photos outside the test that its heads have not learned from."
            " Expected at least two that may be separated. Found: all in one group. Add photos."
        )


def open_space(
    config: TrainConfig,
    source: PhotoSource,
    others: Iterable[TrainConfig] = (),
    looks: Looks | None = None,
) -> Space:
    """Computes the missing bottlenecks of a feature space; keeps the reason if it has no network.

    Args:
        config: settings of the space and of a run in it.
        source: the photos.
        others: settings of more runs in it.
        looks: which photos look alike, as an earlier space has found; None for the first one.

    Raises:
        UserError: when the photos can't be used; that holds for every space.
    """
    started = time.perf_counter()
    settings = {name: getattr(config, name) for name in SPACE}
    if config.device == "gpu" and not gpu_is_visible():
        problem = UserError("TensorFlow sees no GPU on this machine")
        return Space(settings, None, problem=problem)
    try:
        networks = load_networks(config)
    except XferlearnError as error:
        return Space(settings, None, problem=error)
    prepared = prepare(config, source, networks, others, looks)
    return Space(settings, prepared, time.perf_counter() - started)


def run(
    config: TrainConfig,
    prepared: Prepared,
    manifest: Manifest,
    settings: Mapping[str, Any],
    store: OutcomeStore,
) -> Outcome:
    """Trains one head, unless an earlier experiment has, and keeps the outcome.

    The test photos are not looked at.
    """
    key = run_key(store, VALIDATION, config, prepared, manifest)
    known = store.get(key, settings)
    # A run whose charts are gone, or elsewhere, is made again: TensorBoard shows it.
    if known is not None and _is_in(Path(known.run_dir), Path(config.logs_dir)):
        return known
    warnings: list[str] = []
    with summaries.run_folder(config.logs_dir, run_name(config, prepared.name)) as run_dir:
        fitted = fit_head(
            config,
            prepared,
            run_dir=run_dir,
            manifest=manifest,
            only=VALIDATION,
            on_warning=warnings.append,
        )
        unseen = np.zeros((0, len(manifest.labels)), np.float32)
        probabilities = unseen if fitted.training.diverged else fitted.probabilities(VALIDATION)
        warnings += _record(config, prepared, fitted, probabilities, run_dir)
    truth = fitted.truth(VALIDATION)[: len(probabilities)]
    outcome = Outcome(
        settings,
        **(judged_photos(manifest, VALIDATION, probabilities) if len(probabilities) else {}),
        loss=cross_entropy(probabilities, truth) if len(truth) else None,
        steps=fitted.training.steps,
        seconds=fitted.seconds,
        diverged=fitted.training.diverged,
        run_dir=str(run_dir),
        warnings=tuple(warnings),
    )
    store.put(key, outcome)
    return outcome


def _is_in(run_dir: Path, logs_dir: Path) -> bool:
    return run_dir.is_dir() and run_dir.parent.resolve() == logs_dir.resolve()


def _record(
    config: TrainConfig,
    prepared: Prepared,
    fitted: Fitted,
    probabilities: np.ndarray,
    run_dir: Path,
) -> tuple[str, ...]:
    """Writes a run for TensorBoard, as `train` does, but for the test; returns what failed."""
    manifest = fitted.manifest
    unjudged = _unjudged(manifest)
    validation = fitted.evaluate(VALIDATION, probabilities) if len(probabilities) else unjudged
    metadata = describe(config, prepared, fitted, None, validation, unjudged)
    return summaries.write_run(
        run_dir,
        summaries.RunRecord(
            config=config,
            source=prepared.source,
            manifest=manifest,
            bottlenecks=fitted.bottlenecks,
            predict=fitted.predict,
            classifier=fitted.head,
            probabilities={
                VALIDATION: probabilities,
                TEST: probabilities[:0],
            },
            evaluations={VALIDATION: validation, TEST: unjudged},
            photos_per_second=prepared.extraction.photos_per_second,
            seconds={"training": fitted.seconds},
            metadata=metadata,
        ),
        "scalars",
    )


def _unjudged(manifest: Manifest) -> AnyEvaluation:
    """Returns the evaluation of no photo."""
    if not manifest.is_multi_label:
        return evaluate_predictions(manifest.labels, [], [])
    nothing = np.zeros((0, len(manifest.labels)))
    return evaluate_label_sets(manifest.labels, nothing > 0, nothing, nothing > 0)


def run_all(
    configs: Sequence[tuple[dict[str, Any], TrainConfig]],
    source: PhotoSource,
    store: OutcomeStore,
    command: str,
) -> Iterator[tuple[Space, Outcome]]:
    """Yields the outcomes of runs; those of one feature space should follow one another.

    All splits have the test photos of the first one, so that none of them is validated on.

    Args:
        configs: what was varied and the whole settings, one pair per run.
        source: the photos.
        store: where outcomes are kept.
        command: whose runs they are.

    Raises:
        UserError: when there are no validation photos, or no space is available because of a
            user's mistake.
    """
    test_seed = configs[0][1].split_seed
    space: Space | None = None
    looks: Looks | None = None
    errors: list[XferlearnError] = []
    every = [one for _, one in configs]
    parts = _Parts(every)
    for settings, config in configs:
        wanted = {name: getattr(config, name) for name in SPACE}
        with on_device(config.device):
            if space is None or space.settings != wanted:
                space = parts.joined(config) or open_space(config, source, every, looks)
                parts.keep(config, space)
            if space.prepared is None:
                problem = space.problem or XferlearnError("it is not available")
                errors.append(problem)
                outcome = Outcome(settings, problem=str(problem))
            else:
                # Found once: all spaces must split the same photos in the same way.
                looks = space.prepared.looks
                manifest = space.prepared.split(config, test_seed)
                need_judged(manifest, command)
                outcome = run(config, space.prepared, manifest, settings, store)
        yield space, outcome
    if len(errors) == len(configs) and isinstance(errors[0], UserError):
        raise errors[0]


class _Parts:
    """The spaces of single backbones that later runs combine: networks are loaded once."""

    def __init__(self, configs: Sequence[TrainConfig]) -> None:
        every = [_part_keys(config) for config in configs]
        self._wanted = {key for keys in every if len(keys) > 1 for key in keys}
        self._spaces: dict[tuple, Space] = {}

    def keep(self, config: TrainConfig, space: Space) -> None:
        """Keeps a space where it is of one backbone, and a later run needs it."""
        keys = _part_keys(config)
        if len(keys) == 1 and keys[0] in self._wanted:
            self._spaces[keys[0]] = space

    def joined(self, config: TrainConfig) -> Space | None:
        """Returns the space of a combination whose parts are all there; None otherwise."""
        keys = _part_keys(config)
        if len(keys) == 1 or not self._spaces.keys() >= set(keys):
            return None
        parts = [self._spaces[key] for key in keys]
        settings = {name: getattr(config, name) for name in SPACE}
        prepared = [part.prepared for part in parts if part.prepared is not None]
        if len(prepared) < len(parts):
            problem = next(part.problem for part in parts if part.prepared is None)
            return Space(settings, None, problem=problem)
        return Space(settings, join(prepared), sum(part.seconds for part in parts))


def _part_keys(config: TrainConfig) -> list[tuple]:
    """Returns what tells the spaces of a run's backbones, one each."""
    try:
        return [(spec.name, size, config.device) for spec, size in rows_of(config)]
    except UserError:
        raise
    except XferlearnError:  # a failed download, which its run tells
        return [(config.backbone, config.image_size, config.device)]


def judge_on_test(
    config: TrainConfig,
    prepared: Prepared,
    manifest: Manifest,
    settings: Mapping[str, Any],
    store: OutcomeStore,
) -> Outcome:
    """Trains a chosen run once more and measures it on the test photos; keeps the outcome."""
    key = run_key(store, TEST, config, prepared, manifest)
    known = store.get(key, settings)
    if known is None:
        with on_device(config.device):
            fitted = fit_head(config, prepared, manifest=manifest, only=TEST)
        known = Outcome(settings, **judged_photos(manifest, TEST, fitted.probabilities(TEST)))
        store.put(key, known)
    return known


def run_key(
    store: OutcomeStore, kind: str, config: TrainConfig, prepared: Prepared, manifest: Manifest
) -> str:
    """Returns the key of an outcome: settings, feature space, photos, split and folds decide it."""
    made_from = {name: value for name, value in config.as_dict().items() if name not in _ELSEWHERE}
    photos = [
        f"{photo.digest.hex()} {','.join(map(str, manifest.classes_of(photo)))} {split} {fold}"
        f" {group}"
        for photo, split, fold, group in zip(
            manifest.photos,
            manifest.splits,
            manifest.folds or itertools.repeat("", len(manifest.photos)),
            manifest.groups or itertools.repeat("", len(manifest.photos)),
            strict=True,
        )
    ]
    spaces = [dataclasses.asdict(space) for space in prepared.spaces]
    return store.key(__version__, kind, made_from, spaces, photos)


def all_warnings(
    spaces: Iterable[tuple[Space, list[Outcome]]], config: TrainConfig, store: OutcomeStore
) -> tuple[str, ...]:
    """Returns the warnings of spaces, their runs and stored runs, one line each, each once."""
    found = list(store.warnings)
    for space, outcomes in spaces:
        if space.prepared is not None:
            found += space.prepared.warnings
            manifest = space.prepared.split(config)
            found += [f"{bad.name} is left out: {bad.reason}" for bad in manifest.bad]
            found += (*manifest.notes, *manifest.warnings)
        found += [line for outcome in outcomes for line in outcome.warnings]
    return tuple(dict.fromkeys(found))
