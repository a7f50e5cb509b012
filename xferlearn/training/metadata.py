"""What is recorded about a training: its run's name, and the model folder's metadata.json."""

import dataclasses
import importlib.metadata
import os
import platform
import sys
from typing import Any

from xferlearn import summaries
from xferlearn.backbones.names import part_name
from xferlearn.backbones.synsets.names import synset_name
from xferlearn.backbones.table import weights_licence
from xferlearn.config import TrainConfig
from xferlearn.metrics import AnyEvaluation, cross_entropy
from xferlearn.photos.photo import SPLITS, TRAIN, VALIDATION
from xferlearn.system.version import __version__
from xferlearn.training.finetuning import FineTuned
from xferlearn.training.fit import Part, Prepared
from xferlearn.training.fitting import Fitted
from xferlearn.training.head import activation_of

_VERSIONED = ("tensorflow", "keras", "tensorboard", "tensorflow-datasets", "numpy", "pillow")


def run_name(config: TrainConfig, backbone: str, model: str = "") -> str:
    """Returns what a run is called before its date, e.g. "flowers_lite0_lr0.01".

    Args:
        config: its settings; `run_name` where the person has named it, or its experiment.
        backbone: the network.
        model: the model folder's name; "" for a run of an experiment.
    """
    if config.run_name and model:
        return config.run_name
    short = {
        "image_size": "px",
        "learning_rate": "lr",
        "train_batch_size": "bs",
        "how_many_training_steps": "steps",
        "hidden_units": "hidden",
        "dropout": "drop",
        "weight_decay": "wd",
        "split_seed": "split",
        "seed": "seed",
        "optimizer": "",
        "class_weight": "",
        "device": "",
        "augment": "augment-",
        "unfreeze": "unfreeze-",
    }
    changed = config.changed()
    values = {name: f"{v:g}" if isinstance(v, float) else str(v) for name, v in changed.items()}
    parts = [f"{key}{values[name]}" for name, key in short.items() if name in values]
    first = config.run_name or summaries.joined_name(model, config.data_name)
    return "_".join(filter(None, [first, backbone.replace("efficientnet_", ""), *parts]))


def describe(
    config: TrainConfig,
    prepared: Prepared,
    fitted: Fitted,
    fine_tuned: FineTuned | None,
    validation: AnyEvaluation,
    test: AnyEvaluation,
) -> dict[str, Any]:
    """Returns what metadata.json says of a model, but for its timings by stage."""
    manifest, training = fitted.manifest, fitted.training
    extraction = prepared.extraction
    counts = manifest.counts()
    names = {label: synset_name(label) for label in manifest.labels}
    loss = None
    if manifest.judged(VALIDATION) and not training.diverged:
        loss = cross_entropy(fitted.probabilities(VALIDATION), fitted.truth(VALIDATION))
    joined = fine_tuned.joined if fine_tuned and fine_tuned.better else ()
    return {
        "label_names": {label: name for label, name in names.items() if name},
        "input": {
            "name": "image",
            "height": prepared.image_size,
            "width": prepared.image_size,
            "channels": 3,
            "dtype": "float32",
            "value_range": [0, 255],
            "resize": prepared.spaces[0].resize,
            "bit_depth": extraction.bit_depth,
        },
        "output": {
            "name": "predictions",
            "activation": activation_of(multi_label=manifest.is_multi_label),
        },
        "multi_label": manifest.is_multi_label,
        **_describe_networks(config, prepared),
        "head": {
            "hidden_units": fitted.plan.hidden_units,
            # Of heads that were joined, those of each, which the layer has one after the other.
            **({"joined": list(joined)} if joined else {}),
            "dropout": fitted.plan.dropout,
            "weight_decay": fitted.plan.weight_decay,
            "normalization": "per-feature mean, one deviation",
            "temperature": round(fitted.temperature, 4),
        },
        "training": {
            **config.as_dict(),
            "steps_run": training.steps,
            "streamed": training.streamed,
            "validation_loss": loss,
        },
        "cross_validation": (
            {"folds": manifest.fold_count, "leave_one_out": manifest.few}
            if manifest.folds
            else None
        ),
        "delivered": {
            "photos": len(manifest.photos) if fitted.refitted else len(manifest.indices(TRAIN)),
            "learned_test_photos": fitted.refitted,
        },
        "fine_tuning": fine_tuned.as_dict() if fine_tuned else None,
        "split": {
            "counts": counts,
            "totals": {split: len(manifest.indices(split)) for split in SPLITS},
            "photos_file": "photos.csv",
            "duplicates_left_out": manifest.duplicates,
            "equal_pixels_left_out": manifest.equal_pixels,
            "near_twins": manifest.near_twins,
        },
        "corrections": prepared.corrected.as_dict() if prepared.corrected else None,
        "bad_photos": [
            {
                "file": bad.name,
                "label": manifest.label_text(bad) if bad.label >= 0 else None,
                "reason": bad.reason,
            }
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
        # Where relative paths among the settings begin.
        "working_dir": _working_dir(),
    }


def _working_dir() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed meanwhile
        return None


def _describe_networks(config: TrainConfig, prepared: Prepared) -> dict[str, dict[str, Any]]:
    """Returns what is said of the frozen network; where it is several, of each of its parts."""
    described = [_describe_part(config, part) for part in prepared.parts]
    if len(described) == 1:
        return described[0]
    for part, about in zip(prepared.parts, described, strict=True):
        about["backbone"]["image_size"] = part.space.image_size
        name = part_name(part.space.backbone, part.space.image_size)
        about["bottleneck"]["layer"] = f"pooling_{name}"
    joined: dict[str, dict[str, Any]] = {
        "backbone": {"name": prepared.name, "weights": config.weights},
        "bottleneck": {"layer": "bottleneck", "width": sum(prepared.widths)},
        "feature_space": {},
        "engine": {},
    }
    return {
        key: {**said, "parts": [about[key] for about in described]} for key, said in joined.items()
    }


def _describe_part(config: TrainConfig, part: Part) -> dict[str, dict[str, Any]]:
    space, spec = part.space, part.frozen.spec
    pretrained = config.weights == "imagenet"
    licence = weights_licence(spec, config.weights)
    return {
        "backbone": {
            "name": space.backbone,
            "weights": spec.origin if spec.origin and pretrained else config.weights,
            "weights_sha256": space.weights_sha256,
            "licence": licence.name,
            "licence_source": licence.source,
            "preprocessing": space.preprocessing,
        },
        "bottleneck": {"layer": "pooling", "width": space.width},
        "feature_space": dataclasses.asdict(space),
        "engine": part.features.as_dict(),
    }
