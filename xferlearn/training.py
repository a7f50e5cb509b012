"""The main job: photos -> bottlenecks -> head -> one model folder."""

import dataclasses
import importlib.metadata
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn import backbones, heads, summaries
from xferlearn.bundles import Bundle, check_model_dir, write_bundle
from xferlearn.config import TrainConfig
from xferlearn.dashboard.summary import write_transfer_summary
from xferlearn.datasets import open_source
from xferlearn.errors import UserError
from xferlearn.extraction import Extraction
from xferlearn.features import Features, feature_space
from xferlearn.manifest import SPLITS, TEST, TRAIN, VALIDATION, Manifest, build_manifest
from xferlearn.metrics import Evaluation, Misclassified, evaluate_predictions
from xferlearn.progress import StageClock
from xferlearn.runtime import start_tensorflow
from xferlearn.sources import PhotoSource
from xferlearn.synsets import synset_name
from xferlearn.version import __version__

if TYPE_CHECKING:
    import keras

_VERSIONED = ("tensorflow", "keras", "tensorboard", "tensorflow-datasets", "numpy", "pillow")


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a training gave.

    Attributes:
        bundle: the model folder that was written.
        run_dir: folder of the run in the logs; None where no summaries were asked for.
        manifest: the photos and their split.
        extraction: what was computed and what was cached.
        training: steps run, best step.
        validation: evaluation on the validation split, which chose the weights.
        test: evaluation on the test split, which chose nothing.
        misclassified: the test photos that the model labels wrongly.
        problems: damage found in the bottleneck store, and summaries that could not be written,
            a line each.
        seconds: wall time of each stage.
    """

    bundle: Bundle
    run_dir: Path | None
    manifest: Manifest
    extraction: Extraction
    training: heads.Training
    validation: Evaluation
    test: Evaluation
    misclassified: tuple[Misclassified, ...]
    problems: tuple[str, ...]
    seconds: dict[str, float]


def train(**settings: Any) -> TrainResult:
    """Trains a head on photos and writes a model folder; `xferlearn train` in Python.

    Args:
        **settings: the fields of `config.TrainConfig`, which are the flags of `xferlearn train`:
            image_dir or dataset, and model_dir are needed.

    Raises:
        UserError: when a setting or the photos can't be right.
        XferlearnError: when something outside failed: a download, a full disk.

    Example:
        >>> result = train(image_dir="flower_photos", model_dir="out/flowers")
        >>> result.test.accuracy
        0.918
    """
    return train_with(TrainConfig.of(settings))


def train_with(config: TrainConfig) -> TrainResult:
    """Trains as `config` says; see `train`."""
    clock = StageClock()
    check_model_dir(config.model_dir or "", config.overwrite)
    backbones.resolve_backbone(config.backbone, config.image_size)
    with clock.stage("list photos"):
        source = open_source(config)
    with clock.stage("import"):
        start_tensorflow()
    with clock.stage("backbone"):
        backbone = backbones.load_backbone(
            config.backbone, weights=config.weights, image_size=config.image_size, seed=config.seed
        )
        features = Features(lambda kind: feature_space(backbone, kind), lambda: backbone, config)
    with clock.stage("bottlenecks"):
        extraction = features.extract(source, config)
        store = features.store
        manifest = split_photos(source, extraction, config)
        x = store.read([photo.digest for photo in manifest.photos])
    y = np.array([photo.label for photo in manifest.photos], np.int32)
    run_dir = None
    if config.summaries != "none":
        run_dir = summaries.create_run(config.logs_dir, _run_name(config, backbone.name))
    problems = [*features.fallbacks, *store.problems]
    with clock.stage("training"):
        head, training = _fit(config, manifest, x, y, run_dir, problems.append)
    with clock.stage("test"):
        # The test split is looked at here, once, after everything has been chosen.
        probabilities = {
            split: heads.predict_head(head, x[manifest.indices(split)])
            for split in (VALIDATION, TEST)
        }
        validation, test = (
            evaluate_predictions(
                manifest.labels, y[manifest.indices(split)], probabilities[split].argmax(axis=1)
            )
            for split in (VALIDATION, TEST)
        )
    with clock.stage("model"):
        classifier = heads.build_classifier(backbone, head)
        metadata = _metadata(config, features, manifest, extraction, training, validation, test)
        metadata["timings"] |= {"seconds": _rounded(clock.seconds)}
        bundle = write_bundle(
            config.model_dir or "", classifier, manifest, metadata, overwrite=config.overwrite
        )
    if run_dir is not None:
        # After the model: whatever happens here can't cost it.
        with clock.stage("summaries"):
            record = summaries.RunRecord(
                config=config,
                source=source,
                manifest=manifest,
                bottlenecks=x,
                head=head,
                classifier=classifier,
                probabilities=probabilities,
                evaluations={VALIDATION: validation, TEST: test},
                best_step=training.best_step,
                photos_per_second=extraction.photos_per_second,
                seconds=dict(clock.seconds),
                metadata=bundle.metadata,
            )
            problems += summaries.write_run(run_dir, record, config.summaries)
            problems += write_transfer_summary(run_dir, record, photos=config.summaries == "full")
    return TrainResult(
        bundle=bundle,
        run_dir=run_dir,
        manifest=manifest,
        extraction=extraction,
        training=training,
        validation=validation,
        test=test,
        misclassified=_misclassified(manifest, probabilities[TEST]),
        problems=tuple(problems),
        seconds=dict(clock.seconds),
    )


def split_photos(source: PhotoSource, extraction: Extraction, config: TrainConfig) -> Manifest:
    """Returns the manifest of what was extracted, split as `config` says.

    Where the dataset's authors have set test or validation photos apart, none are added to them.
    """
    official = {photo.fixed_split for photo in extraction.photos}
    return build_manifest(
        source.labels,
        extraction.photos,
        extraction.bad,
        testing_percentage=0 if TEST in official else config.testing_percentage,
        validation_percentage=0 if VALIDATION in official else config.validation_percentage,
        split_seed=config.split_seed,
    )


def _fit(
    config: TrainConfig,
    manifest: Manifest,
    x: np.ndarray,
    y: np.ndarray,
    run_dir: Path | None,
    on_error: Callable[[str], None],
) -> tuple["keras.Model", heads.Training]:
    train, validation = manifest.indices(TRAIN), manifest.indices(VALIDATION)
    callbacks = []
    if run_dir is not None:
        first = train[: config.train_batch_size]
        callbacks.append(
            summaries.scalars_callback(
                run_dir,
                batch=(x[first], y[first]),
                histograms=config.summaries == "full",
                on_error=on_error,
            )
        )
    head = heads.build_head(
        x.shape[1],
        len(manifest.labels),
        hidden_units=config.hidden_units,
        dropout=config.dropout,
        weight_decay=config.weight_decay,
        scale=heads.measure_scale(x[train]),
        seed=config.seed,
    )
    training = heads.train_head(
        head,
        (x[train], y[train]),
        (x[validation], y[validation]),
        learning_rate=config.learning_rate,
        steps=heads.planned_steps(
            config.how_many_training_steps, len(train), config.train_batch_size
        ),
        batch_size=config.train_batch_size,
        class_weight=config.class_weight,
        seed=config.seed,
        callbacks=callbacks,
    )
    if training.diverged:
        raise UserError(
            f"Training diverged: the loss is no number any more. learning_rate="
            f"{config.learning_rate:g} is too large; try a tenth of it."
        )
    return head, training


def _run_name(config: TrainConfig, backbone: str) -> str:
    short = {
        "image_size": "px",
        "learning_rate": "lr",
        "train_batch_size": "bs",
        "hidden_units": "hidden",
        "dropout": "drop",
        "weight_decay": "wd",
        "split_seed": "split",
        "seed": "seed",
    }
    changed = config.changed()
    parts = [f"{key}{changed[name]:g}" for name, key in short.items() if name in changed]
    return "_".join([backbone, *parts])


def _misclassified(manifest: Manifest, probabilities: np.ndarray) -> tuple[Misclassified, ...]:
    wrong = []
    for index, scores in zip(manifest.indices(TEST), probabilities, strict=True):
        photo, best = manifest.photos[index], int(scores.argmax())
        if best != photo.label:
            truth, predicted = manifest.labels[photo.label], manifest.labels[best]
            wrong.append(Misclassified(photo.name, truth, predicted, float(scores[best])))
    return tuple(wrong)


def _metadata(
    config: TrainConfig,
    features: Features,
    manifest: Manifest,
    extraction: Extraction,
    training: heads.Training,
    validation: Evaluation,
    test: Evaluation,
) -> dict[str, Any]:
    space = features.store.space
    counts = manifest.counts()
    names = {label: synset_name(label) for label in manifest.labels}
    return {
        "label_names": {label: name for label, name in names.items() if name},
        "input": {
            "name": "image",
            "height": space.image_size,
            "width": space.image_size,
            "channels": 3,
            "dtype": "float32",
            "value_range": [0, 255],
            "resize": space.resize,
        },
        "output": {"name": "predictions", "activation": "softmax"},
        "backbone": {
            "name": space.backbone,
            "weights": config.weights,
            "weights_sha256": space.weights_sha256,
            "preprocessing": space.preprocessing,
        },
        "bottleneck": {"layer": "pooling", "width": space.width},
        "feature_space": dataclasses.asdict(space),
        "engine": features.as_dict(),
        "head": {
            "hidden_units": config.hidden_units,
            "dropout": config.dropout,
            "normalization": "per-feature mean, one deviation",
        },
        "training": {
            **dataclasses.asdict(config),
            "steps_run": training.steps,
            "best_step": training.best_step,
            "validation_loss": training.validation_loss,
        },
        "split": {
            "counts": counts,
            "totals": {split: sum(row[split] for row in counts.values()) for split in SPLITS},
            "photos_file": "photos.csv",
            "duplicates_left_out": manifest.duplicates,
        },
        "bad_photos": [
            {"file": bad.name, "label": manifest.labels[bad.label], "reason": bad.reason}
            for bad in manifest.bad
        ],
        "warnings": list(manifest.warnings),
        "metrics": {"test": test.as_dict(), "validation": validation.as_dict()},
        "timings": {
            "photos_per_second": round(extraction.photos_per_second, 1),
            "computed": extraction.computed,
            "cached": extraction.cached,
        },
        "versions": {
            "xferlearn": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _VERSIONED},
        },
        "command": sys.argv,
    }


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {stage: round(value, 3) for stage, value in seconds.items()}
