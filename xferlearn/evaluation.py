"""Measures a trained model on photos whose classes are known."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn import summaries
from xferlearn.config import EvaluateConfig
from xferlearn.config.signatures import from_settings
from xferlearn.errors import UserError
from xferlearn.labelling import label_photos
from xferlearn.metrics import Evaluation, Misclassified, evaluate_predictions
from xferlearn.model_folder import read_model_folder
from xferlearn.photos.manifest import TRAIN, VALIDATION, BadPhoto
from xferlearn.photos.sources import read_image_dir
from xferlearn.predictors import model_folder_predictor
from xferlearn.system.folders import check_outside
from xferlearn.system.progress import progress_bar
from xferlearn.system.runtime import choose_device, start_tensorflow


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found.

    Attributes:
        evaluation: accuracy, per-class numbers, confusion matrix.
        misclassified: photos with a wrong first label.
        bad: photos that were left out.
        seen: how many evaluated photos the model was trained on ("train") or that chose its
            weights ("validation"): with any, the accuracy is too high.
        run_dir: folder of the run in the logs; None where none was asked for.
        warnings: what could not be used as planned, such as a faster engine, or written to the
            logs, a line each.
    """

    evaluation: Evaluation
    misclassified: tuple[Misclassified, ...]
    bad: tuple[BadPhoto, ...]
    seen: dict[str, int]
    run_dir: Path | None = None
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON."""
        return {
            **self.evaluation.as_dict(),
            "labels": list(self.evaluation.labels),
            "misclassified": [
                # JSON has no NaN.
                dataclasses.asdict(photo)
                | {"score": photo.score if math.isfinite(photo.score) else None}
                for photo in self.misclassified
            ],
            "bad_photos": [{"file": bad.name, "reason": bad.reason} for bad in self.bad],
            "seen_in_training": self.seen,
        }


@from_settings(EvaluateConfig)
def evaluate(config: EvaluateConfig) -> EvaluationResult:
    """Measures a trained model on photos with known classes; `xferlearn evaluate` in Python.

    `model` and `image_dir` are required.

    Returns:
        Accuracy with its interval, numbers per class, and the photos with a wrong label.

    Raises:
        UserError: the model or the photos can't be used.

    Example:
        >>> evaluate(model="out/flowers", image_dir="more_flowers").evaluation.summary()
        '91.8% (N=98, 95% interval 84.7% to 95.8%)'
    """
    return evaluate_with(config)


def evaluate_with(config: EvaluateConfig) -> EvaluationResult:
    """Evaluates as `config` says; see `evaluate`."""
    model_folder = read_model_folder(config.model or "")
    image_dir = config.image_dir or ""
    for name, folder in (("logs_dir", config.logs_dir), ("bottleneck_dir", config.bottleneck_dir)):
        if folder is not None:
            check_outside(image_dir, name, folder)
    source = read_image_dir(image_dir, model_folder.labels)
    splits = model_folder.photo_splits()
    start_tensorflow()
    choose_device(config.device)
    predictor = model_folder_predictor(model_folder, config)
    run_dir: Path | None = None
    if config.logs_dir:
        run_dir = summaries.create_run(config.logs_dir, f"evaluate_{model_folder.path.name}")
    truth: list[int] = []
    predicted: list[int] = []
    scores: list[np.ndarray] = []
    wrong: list[Misclassified] = []
    bad: list[BadPhoto] = []
    seen = {TRAIN: 0, VALIDATION: 0}
    with progress_bar("evaluate", source.count) as bar:
        for photo in label_photos(source, predictor, config):
            bar.update()
            if photo.scores is None:
                if config.on_bad_image == "fail":
                    raise UserError(f"{photo.name} can't be used: {photo.problem}.")
                bad.append(BadPhoto(photo.name, photo.label, photo.problem or ""))
                continue
            best = int(photo.scores.argmax())
            truth.append(photo.label)
            predicted.append(best)
            if run_dir is not None:  # nothing else needs them, and they may be gigabytes
                scores.append(photo.scores)
            split = splits.get(photo.digest)
            if split in seen:
                seen[split] += 1
            if best != photo.label:
                wrong.append(
                    Misclassified(
                        photo.name,
                        model_folder.labels[photo.label],
                        model_folder.labels[best],
                        float(photo.scores[best]),
                    )
                )
    evaluation = evaluate_predictions(model_folder.labels, truth, predicted)
    warnings = (*predictor.warnings, *predictor.later_warnings())
    if run_dir is not None:
        table = np.array(scores, np.float32).reshape(-1, len(model_folder.labels))
        card = _card(model_folder.path, image_dir, evaluation, seen)
        warnings += summaries.write_evaluation(run_dir, evaluation, np.array(truth), table, card)
    return EvaluationResult(evaluation, tuple(wrong), tuple(bad), seen, run_dir, warnings)


def _card(model: Path, image_dir: str | Path, evaluation: Evaluation, seen: dict[str, int]) -> str:
    return (
        f"# {evaluation.summary()}\n\n"
        f"Model `{model}` on the photos of `{image_dir}`. Of them, {seen[TRAIN]} were in its"
        f" training split and {seen[VALIDATION]} in its validation split.\n"
    )
