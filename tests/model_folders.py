"""Model folders whose metadata were changed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def edit_metadata(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a model folder's metadata; without digests, as earlier versions wrote them."""
    path = folder / "metadata.json"
    metadata = json.loads(path.read_text())
    for name in ("files", "sha256"):
        metadata.pop(name, None)
    change(metadata)
    path.write_text(json.dumps(metadata))
    labels = "".join(f"{label}\n" for label in metadata["labels"])
    (folder / "labels.txt").write_text(labels, encoding="utf-8")
