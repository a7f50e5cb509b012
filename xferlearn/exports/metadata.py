"""What every exported file states about itself, in one form for all formats."""

import json
from typing import Any

from xferlearn.config.presets import REJECT
from xferlearn.exports.outputs import PROBABILITIES
from xferlearn.model_folder import FAMILIARITY, FORMAT_VERSION, ModelFolder
from xferlearn.system.version import __version__

# Not `weights`, which may be a path on the machine of the training.
_BACKBONE = (
    "name", "weights_sha256", "licence", "licence_source", "preprocessing", "image_size"
)  # fmt: skip


def describe(
    model_folder: ModelFolder,
    *,
    input_name: str = "image",
    output_name: str = PROBABILITIES,
    familiarity: str | None = FAMILIARITY,
    mean: float = 0.0,
    std: float = 1.0,
) -> str:
    """Returns a model's metadata as JSON for an exported file, with the keys of metadata.json.

    `xferlearn.inspection` reads it, and has the name under which each format keeps it.

    Args:
        model_folder: the model folder.
        input_name: what the file calls its input.
        output_name: what it calls its scores.
        familiarity: what it calls the familiarity, where the model has one; None where the format
            can't carry it.
        mean: the input takes (pixel - mean) / std.
        std: see mean.
    """
    held = model_folder.metadata
    has_familiarity = bool(held.get(FAMILIARITY))
    low, high = ((end - mean) / std for end in (0, 255))
    said = {
        "format_version": FORMAT_VERSION,
        "labels": list(model_folder.labels),
        "label_names": held.get("label_names", {}),
        "input": {**held["input"], "name": input_name, "value_range": [low, high]},
        "output": {**held.get("output", {}), "name": output_name},
        "backbone": _backbone(held.get("backbone", {})),
        **{name: held[name] for name in ("multi_label", "decision") if held.get(name)},
        **({FAMILIARITY: _familiarity(held[FAMILIARITY], familiarity)} if has_familiarity else {}),
        "versions": {**held.get("versions", {}), "exported_by": __version__},
    }
    return json.dumps(said, ensure_ascii=False)


def _familiarity(held: dict[str, Any], output: str | None) -> dict[str, Any]:
    left_out = {} if output else {"left_out": "this file does not give it"}
    return {"reject": REJECT, **held, "output": output, **left_out}


def _backbone(held: dict[str, Any]) -> dict[str, Any]:
    said = {name: held[name] for name in _BACKBONE if name in held}
    return said | (
        {"parts": [_backbone(part) for part in held["parts"]]} if "parts" in held else {}
    )
