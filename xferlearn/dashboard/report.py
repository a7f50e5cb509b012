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
from xferlearn.dashboard.scores import count_scores
from xferlearn.dashboard.thumbnails import Choice
from xferlearn.decisions import Near, decision_of
from xferlearn.metrics import (
    AnyEvaluation,
    ClassMetrics,
    Evaluation,
    LabelMetrics,
    wilson_interval,
)
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.photo import SPLITS, Photo
from xferlearn.summaries.made_with import made_with
from xferlearn.summaries.measured import delivered_text
from xferlearn.summaries.record import RunRecord

MOST_OF_A_KIND = 6
"""Suspicious photos of a kind that are shown: each costs a reading."""

_FROM_METADATA = ("input", "output", "versions")


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
    files: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns everything that the page shows except the thumbnails' pixels, for JSON.

    Labels are readable: ImageNet's synset ids with their names. Classes are given by their index
    into `labels`, those of a photo that may have several as a list; shares in 0 to 1, None where
    undefined. The thumbnail of a photo has its number; `picture` is that of a photo nearby, None
    where it has none.

    Args:
        record: the run.
        shown: the photos whose thumbnails are written beside the report, in that order.
        pictures: numbers of all thumbnails by the photo's digest; None for none.
        audit: what an audit has found in the photos; None where none was asked for.
        files: where the photos of the thumbnails are, as `originals.files_of` returns it.
    """
    pictures = pictures or {}
    manifest, metadata = record.manifest, record.metadata
    counts = manifest.counts()
    return {
        "format": REPORT_FORMAT,
        "labels": [readable_label(label) for label in manifest.labels],
        **{key: metadata[key] for key in _FROM_METADATA},
        **_networks(metadata),
        "made_with": made_with(
            record.config, metadata["command"], metadata["working_dir"]
        )._asdict(),
        "counts": {split: [counts[label][split] for label in manifest.labels] for split in SPLITS},
        "totals": {split: len(manifest.indices(split)) for split in SPLITS},
        "delivered": delivered_text(metadata),
        "promises": [[name.strip(), text] for name, text in record.promises.items()],
        "left_out": {"bad": len(manifest.bad), "duplicates": manifest.duplicates},
        "notes": list(manifest.notes),
        "warnings": list(manifest.warnings),
        "several_labels": manifest.is_multi_label,
        "evaluations": {
            split: evaluation_dict(result) for split, result in record.evaluations.items()
        },
        "timings": {
            **metadata["timings"],
            "seconds": {stage: round(value, 3) for stage, value in record.seconds.items()},
        },
        "settings": _settings(record.config),
        "training": record.kept_training,
        "fine_tuning": metadata.get("fine_tuning"),
        "judged": judged_photos(record),
        "scores": _scores(record),
        "reliability": {split: _reliability(record, split) for split in record.probabilities},
        "audit": None if audit is None else _audit(audit, pictures),
        "files": files,
        "photos": [
            {
                "key": photo_key(one.choice.photo),
                "split": one.choice.split,
                "truth": _one_or_all(one.choice.truth, manifest),
                "predicted": _one_or_all(one.choice.predicted, manifest),
                "score": round(one.choice.score, 4),
                "name": one.choice.photo.name,
                "familiarity": _familiarity(record, one.choice.row),
                "top": [[label, round(score, 4)] for label, score in one.choice.top],
                "nearest": [
                    {
                        "label": _one_or_all(manifest.classes_of(near.photo), manifest),
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


def _scores(record: RunRecord) -> dict[str, Any]:
    decision = decision_of({**record.metadata, "labels": record.manifest.labels})
    return {
        split: count_scores(decision, scores, record.truth(split))
        for split, scores in record.probabilities.items()
    }


def _reliability(record: RunRecord, split: str) -> dict[str, Any] | None:
    found = record.reliability(split)
    if not found.bins:
        return None
    return {
        "summary": found.summary(),
        "bins": [
            [round(one.confidence, 4), round(one.accuracy, 4), one.count,
             *(round(end, 4) for end in one.interval)]
            for one in found.bins
        ],
    }  # fmt: skip


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


def _one_or_all(classes: Sequence[int], manifest: Manifest) -> int | list[int]:
    return list(classes) if manifest.is_multi_label else classes[0]


def evaluation_dict(evaluation: AnyEvaluation) -> dict[str, Any]:
    """Returns what was measured, and the cells of the confusion matrix.

    Where photos may have several labels, `accuracy` is the mean average precision, and cells count
    photos that have a class and get another label, or the same.
    """
    of_kind: dict[str, Any]
    if isinstance(evaluation, Evaluation):
        of_kind = {"correct": evaluation.correct, "largest": _largest(evaluation)}
        cells = evaluation.confusion
    else:
        of_kind = {
            "measure": evaluation.measure,
            "correct": evaluation.exact,
            "exact": evaluation.exact_text(),
            "f1": evaluation.f1,
        }
        cells = evaluation.together
    # Only the cells that hold photos: at a thousand classes a million others are zero.
    rows, columns = np.nonzero(cells)
    return {
        "accuracy": evaluation.value,
        "n": evaluation.total,
        "interval_95": list(evaluation.interval),
        "few": evaluation.few,
        "folding": evaluation.folding,
        "grouped": evaluation.grouped,
        **of_kind,
        "cells": [
            [int(row), int(column), int(cells[row, column])]
            for row, column in zip(rows, columns, strict=True)
        ],
        "classes": [_class(row) for row in evaluation.classes],
    }


def _class(row: ClassMetrics) -> dict[str, Any]:
    measured = {
        "n": row.photos,
        "predicted": row.predicted,
        "correct": row.correct,
        "precision": row.precision,
        "recall": row.recall,
        "recall_interval_95": list(wilson_interval(row.correct, row.photos)),
        "f1": row.f1,
    }
    if isinstance(row, LabelMetrics):
        measured |= {
            "average_precision": row.average_precision,
            "interval_95": list(row.interval),
            "threshold": row.threshold,
        }
    return measured


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
