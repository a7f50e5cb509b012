"""What a backbone's weights are read from, known without building the network."""

from pathlib import Path
from typing import Any

from xferlearn.backbones.cache import keras_cache
from xferlearn.backbones.table import BackboneSpec
from xferlearn.errors import XferlearnError
from xferlearn.system.files import file_digest


def origin_of(
    spec: BackboneSpec, size: int, weights: str | Path | None, seed: int = 0
) -> dict[str, Any] | None:
    """Returns everything that decides what `load_rows` returns, besides versions of packages.

    Args:
        spec: the backbone's row.
        size: side of the input, px.
        weights: "imagenet", "none" or None, or a file.
        seed: of random weights.

    Returns:
        What JSON can hold, the same for equal networks; None where it is known only of the network
        itself: one that is not in the table, or whose weights are to be downloaded.
    """
    if spec.origin:
        return None
    choice = str(weights).lower() if weights is not None else "none"
    if choice == "none":
        said: dict[str, Any] = {"seed": seed}
    else:
        try:
            path = _packaged_or_cached(spec, size) if choice == "imagenet" else Path(str(weights))
            said = {"sha256": file_digest(path.expanduser())}
        except (OSError, XferlearnError):  # of which loading the network tells
            return None
    return {"row": repr(spec), "image_size": size, **said}


def _packaged_or_cached(spec: BackboneSpec, size: int) -> Path:
    if spec.requirement:
        from xferlearn.backbones.efficientnet_lite import NETWORKS

        return NETWORKS[spec.name].packaged_weights()
    own = size if size in spec.imagenet_sizes else spec.image_size
    return keras_cache() / spec.weights_file.format(size=own)
