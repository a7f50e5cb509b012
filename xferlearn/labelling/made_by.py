"""What labels are made by, besides the photos: the model, and the settings that change answers."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xferlearn.config import LabelConfig
from xferlearn.labelling.answer_table import AnswerTable
from xferlearn.model_folder import FILES, MODEL_FILE
from xferlearn.predictors import Predictor
from xferlearn.system.files import file_digest

# What changes where and how fast labels are made, or where they go, but not what they are.
_NOT_OF_ANSWERS = {
    "photos", "output", "replace_parts", "format", "why", "verbose", "on_bad_image", "max_memory",
    "bottleneck_dir", "device", "runner", "ray_address", "workers", "model", "weights", "labels",
}  # fmt: skip


def made_by(predictor: Predictor, config: LabelConfig, table: AnswerTable) -> dict[str, Any]:
    """Returns model and settings, as JSON has them; where they differ, answers may.

    Args:
        predictor: the model of `config`.
        config: the settings.
        table: makes rows of the answers.
    """
    settings = {
        name: value for name, value in config.as_dict().items() if name not in _NOT_OF_ANSWERS
    }
    return json.loads(
        json.dumps(
            {
                "model": {
                    "name": predictor.name,
                    "sha256": model_digest(predictor, config.weights),
                    "labels": predictor.labels,
                },
                "settings": settings,
                "columns": [*table.columns],
            }
        )
    )


def model_digest(predictor: Predictor, weights: str | Path | None = None) -> str:
    """Returns the SHA-256 of a model: of its files, what they state, and the names of its labels.

    Args:
        predictor: the model, opened.
        weights: of a backbone, as the settings have them.
    """
    digest, folder, path = hashlib.sha256(), predictor.model_folder, predictor.path
    if path is None and os.path.isfile(weights or ""):  # other weights are words
        path = Path(weights or "")
    if path is not None and folder is None:
        for name, file in _files_of(path):
            digest.update(f"{name} {file_digest(file)}\n".encode("utf-8", "surrogateescape"))
    # Metadata of earlier versions do not name the digests of the other files.
    if folder is not None and MODEL_FILE not in predictor.metadata.get(FILES, {}):
        digest.update(file_digest(folder.path / MODEL_FILE).encode())
    stated = [dict(predictor.metadata), predictor.labels]
    digest.update(json.dumps(stated, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _files_of(path: Path) -> Iterator[tuple[str, Path]]:
    """Yields the files of a model, with names that do not depend on what it is called."""
    if path.is_dir():
        for file in sorted(one for one in path.rglob("*") if one.is_file()):
            yield file.relative_to(path).as_posix(), file
        return
    # Weights of OpenVINO and ONNX lie beside what names them.
    beside = {ending: path.with_name(path.name + ending) for ending in ("", ".data", "_data")}
    for name, file in {**beside, ".bin": path.with_suffix(".bin")}.items():
        if file.is_file():
            yield name, file
