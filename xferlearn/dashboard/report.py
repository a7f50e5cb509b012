"""A run as tab "Transfer" shows it: one JSON document."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xferlearn.auditing import CLASS_KINDS, KINDS, AuditResult, Finding
from xferlearn.auditing.findings import PLURALS
from xferlearn.backbones import PREPROCESSING, preprocessing_of
from xferlearn.backbones.synsets.names import readable_label
from xferlearn.config import TrainConfig
from xferlearn.config.base import settings_of
from xferlearn.dashboard import REPORT_FORMAT
from xferlearn.dashboard.changes import judged_photos, photo_key
from xferlearn.dashboard.thumbnails import Choice
from xferlearn.decisions import Near
from xferlearn.metrics import Evaluation, wilson_interval
from xferlearn.photos.manifest import SPLITS, Photo
from xferlearn.summaries.measured import delivered_text
from xferlearn.summaries.record import RunRecord

MOST_OF_A_KIND = 6
"""Suspicious photos of a kind that are shown: each costs a reading."""

_FROM_METADATA = ("input", "output", "versions", "command")


@dataclasses.dataclass(frozen=True)
class Shown:
    """A photo that the page shows.

    Attributes:
        choice: which one, and what the model says.
        nearest: training photos that are nearest to it, best first.
    """

    choice: Choice
    nearest: Sequence[Near[Photo]] = ()


def build_report(
    record: RunRecord,
    shown: Sequence[Shown] = (),
    pictures: Mapping[bytes, int] | None = None,
    audit: AuditResult | None = None,
) -> dict[str, Any]:
    """Returns everything that the page shows except the thumbnails' pixels, for JSON.

    Labels are readable: ImageNet's synset ids with their names. Classes are given by their index
    into `labels`, shares in 0 to 1, None where undefined. The thumbnail of a photo has its number;
    `picture` is that of a photo nearby, None where it has none.

    Args:
        record: the run.
        shown: the photos whose thumbnails are written beside the report, in that order.
        pictures: numbers of all thumbnails by the photo's digest; None for none.
        audit: what an audit has found in the photos; None where none was asked for.
    """
    pictures = pictures or {}
    manifest, metadata = record.manifest, record.metadata
    counts = {split: [0] * len(manifest.labels) for split in SPLITS}
    for photo, split in zip(manifest.photos, manifest.splits, strict=True):
        counts[split][photo.label] += 1
    return {
        "format": REPORT_FORMAT,
        "labels": [readable_label(label) for label in manifest.labels],
        **{key: metadata[key] for key in _FROM_METADATA},
        **_networks(metadata),
        "counts": counts,
        "delivered": delivered_text(metadata),
        "promises": [[name.strip(), text] for name, text in record.promises.items()],
        "left_out": {"bad": len(manifest.bad), "duplicates": manifest.duplicates},
        "notes": list(manifest.notes),
        "warnings": list(manifest.warnings),
        "evaluations": {
            split: _evaluation(result)
            for split, result in record.evaluations.items()
            if isinstance(result, Evaluation)
        },
        "timings": {
            **metadata["timings"],
            "seconds": {stage: round(value, 3) for stage, value in record.seconds.items()},
        },
        "settings": _settings(record.config),
        "training": record.kept_training,
        "fine_tuning": metadata.get("fine_tuning"),
        "judged": judged_photos(record),
        "audit": None if audit is None else _audit(audit, pictures),
        "photos": [
            {
                "key": photo_key(one.choice.photo),
                "split": one.choice.split,
                "truth": one.choice.truth,
                "predicted": one.choice.predicted,
                "score": round(one.choice.score, 4),
                "name": one.choice.photo.name,
                "familiarity": _familiarity(record, one.choice.row),
                "top": [[label, round(score, 4)] for label, score in one.choice.top],
                "nearest": [
                    {
                        "label": near.photo.label,
                        "similarity": round(near.similarity, 3),
                        "name": near.photo.name,
                        "picture": pictures.get(near.photo.digest),
                    }
                    for near in one.nearest
                ],
            }
            for one in shown
        ],
    }


def audited_photos(audit: AuditResult) -> list[Finding]:
    """Returns the findings that the page shows a picture of, a few of each kind."""
    return [one for kind in KINDS for one in audit.of_kind(kind)[:MOST_OF_A_KIND]]


def _audit(audit: AuditResult, pictures: Mapping[bytes, int]) -> dict[str, Any]:
    shown = audited_photos(audit)
    return {
        "kinds": [[PLURALS[kind], len(found)] for kind in KINDS if (found := audit.of_kind(kind))],
        "expected": audit.expected_text(),
        "findings": [
            {
                "kind": PLURALS[one.kind],
                "name": one.name,
                "label": audit.shown(one.label),
                "proposed": audit.shown(one.proposed),
                "score": round(one.score, 4),
                "text": one.text,
                "picture": pictures.get(one.digest),
            }
            for one in shown
        ],
        "classes": [one.text for kind in CLASS_KINDS for one in audit.classes if one.kind == kind],
    }


def _familiarity(record: RunRecord, row: int) -> float | None:
    value = math.nan if record.familiarity is None else float(record.familiarity[row])
    return None if math.isnan(value) else round(value, 4)


def _networks(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns backbone, bottleneck and engine; of several backbones, each as one of the `parts`."""
    keys = ("backbone", "bottleneck", "feature_space", "engine")

    def described(backbone: Any, bottleneck: Any, space: Any, engine: Any) -> dict[str, Any]:
        rule = _preprocessing(backbone["preprocessing"])
        return {
            "backbone": {**backbone, "preprocessing": rule},
            "bottleneck": {**bottleneck, "pooling": space["pooling"]},
            "engine": engine,
        }

    if "parts" not in metadata["backbone"]:
        return described(*(metadata.get(key) for key in keys))
    rows = zip(*(metadata[key]["parts"] for key in keys), strict=True)
    parts = [described(*row) for row in rows]
    return {
        key: {**metadata[key], "parts": [part[key] for part in parts]}
        for key in ("backbone", "bottleneck", "engine")
    }


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    # Only the cells that hold photos: at a thousand classes a million others are zero.
    rows, columns = np.nonzero(evaluation.confusion)
    return {
        "accuracy": evaluation.accuracy,
        "n": evaluation.total,
        "correct": evaluation.correct,
        "interval_95": list(evaluation.interval),
        "few": evaluation.few,
        "folding": evaluation.folding,
        "grouped": evaluation.grouped,
        "largest": _largest(evaluation),
        "cells": [
            [int(row), int(column), int(evaluation.confusion[row, column])]
            for row, column in zip(rows, columns, strict=True)
        ],
        "classes": [
            {
                "n": row.photos,
                "predicted": row.predicted,
                "correct": row.correct,
                "precision": row.precision,
                "recall": row.recall,
                "recall_interval_95": list(wilson_interval(row.correct, row.photos)),
                "f1": row.f1,
            }
            for row in evaluation.classes
        ],
    }


def _largest(evaluation: Evaluation) -> tuple[int, float] | None:
    if evaluation.largest_class is None:
        return None
    label, share = evaluation.largest_class
    return evaluation.labels.index(label), share


def _preprocessing(name: str) -> dict[str, Any]:
    rule = preprocessing_of(name) or PREPROCESSING["inside"]
    # The lab's form: input_mean and input_std of (x - mean) / std.
    return {
        "name": name,
        "mean": [-offset / scale for scale, offset in zip(rule.scale, rule.offset, strict=True)],
        "std": [1 / scale for scale in rule.scale],
        "bgr": rule.bgr,
    }


def _settings(config: TrainConfig) -> list[dict[str, Any]]:
    changed = config.changed()
    return [
        {
            "name": name,
            "value": getattr(config, name),
            "default": None if field.default is dataclasses.MISSING else field.default,
            "changed": name in changed,
            "section": rules.section,
            "help": rules.help,
        }
        for name, (field, rules) in settings_of(config).items()
    ]
