"""Small files beside a model that say more about it: labels, and Lobe's signature.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xferlearn.inspection.metadata import parse_labels

LABEL_FILES = ("retrained_labels.txt", "output_labels.txt", "labels.txt")
SIGNATURE_FILE = "signature.json"
_MOST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class LobeSignature:
    """What Lobe's signature.json states.

    Attributes:
        labels: class names in output order.
        height: of the input, px; None where it is not stated.
        width: likewise.
    """

    labels: tuple[str, ...] = ()
    height: int | None = None
    width: int | None = None


def folders_of(path: Path) -> tuple[Path, ...]:
    """Returns the folders in which files beside a model lie, the nearest first."""
    return (path, path.parent) if path.is_dir() else (path.parent,)


def find_label_file(path: Path) -> Path | None:
    """Returns the file with the labels that lies beside a model; None for none."""
    files = (folder / name for folder in folders_of(path) for name in LABEL_FILES)
    return next((file for file in files if file.is_file()), None)


def labels_beside(path: Path) -> tuple[str, ...]:
    """Returns the labels in the file beside a model; () where there is none that can be read."""
    file = find_label_file(path)
    try:
        if file is None or file.stat().st_size > _MOST_BYTES:
            return ()
        return parse_labels(file.read_bytes())
    except (OSError, UnicodeDecodeError):
        return ()


def read_lobe_signature(path: Path) -> LobeSignature | None:
    """Returns what the signature.json beside a model of Lobe states; None where there is none."""
    file = folders_of(path)[0] / SIGNATURE_FILE
    try:
        if not file.is_file() or file.stat().st_size > _MOST_BYTES:
            return None
        held = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    classes = _part(held, "classes")
    labels = classes.get("Label") if isinstance(classes, dict) else classes
    listed = isinstance(labels, list) and all(isinstance(one, str) for one in labels)
    inputs = _part(held, "inputs")
    first = next(iter(inputs.values()), None) if isinstance(inputs, dict) else None
    shape = _part(first, "shape")
    sizes = shape[1:3] if isinstance(shape, list) and len(shape) == 4 else (None, None)
    height, width = (one if isinstance(one, int) and one > 0 else None for one in sizes)
    if not listed and height is None:
        return None
    return LobeSignature(tuple(labels) if listed and labels else (), height, width)


def _part(held: Any, key: str) -> Any:
    return held.get(key) if isinstance(held, dict) else None
