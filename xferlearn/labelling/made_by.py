"""What labels are made by, besides the photos: the model, and the settings that change answers."""

import hashlib
import json
from pathlib import Path
from typing import Any

from xferlearn.config import LabelConfig
from xferlearn.labelling.answer_table import AnswerTable
from xferlearn.predictors import Predictor

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
                    "sha256": _model_digest(predictor, config),
                    "labels": predictor.labels,
                },
                "settings": settings,
                "columns": [*table.columns],
            }
        )
    )


def _model_digest(predictor: Predictor, config: LabelConfig) -> str:
    digest = hashlib.sha256()
    if predictor.model_folder is not None:
        # metadata.json names the digests of all other files.
        digest.update(json.dumps(predictor.metadata, sort_keys=True, default=str).encode())
        return digest.hexdigest()
    for given in (config.model, config.weights):
        path = Path(given or "")
        if given is None or not path.exists():
            continue
        files = sorted(one for one in path.rglob("*") if one.is_file()) or [path]
        for file in files:
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
            digest.update(str(file.relative_to(path)).encode("utf-8", "surrogateescape") + content)
    # Of a file beside others, such as one of thresholds, what it states.
    digest.update(json.dumps(dict(predictor.metadata), sort_keys=True, default=str).encode())
    return digest.hexdigest()
