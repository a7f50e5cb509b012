"""Photos: where they come from, how they are split, read, found again, cropped and decoded.

Names load when they are first used, so that a module of this room costs only what it needs itself.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xferlearn.photos.datasets import DatasetSource, open_dataset
    from xferlearn.photos.decoding import DecodedBatch, decoded_batches
    from xferlearn.photos.files import FileSource, read_files, read_image_dir
    from xferlearn.photos.limits import PhotoLimits
    from xferlearn.photos.manifest import BadPhoto, Manifest, Photo
    from xferlearn.photos.opening import open_source
    from xferlearn.photos.reading import Loaded, load_photos
    from xferlearn.photos.selecting import pick_photos, search_photos
    from xferlearn.photos.sources import Entry, PhotoSource
    from xferlearn.photos.splitting import build_manifest
    from xferlearn.photos.views import Augmentation, View

__all__ = [
    "Augmentation",
    "BadPhoto",
    "DatasetSource",
    "DecodedBatch",
    "Entry",
    "FileSource",
    "Loaded",
    "Manifest",
    "Photo",
    "PhotoLimits",
    "PhotoSource",
    "View",
    "build_manifest",
    "decoded_batches",
    "load_photos",
    "open_dataset",
    "open_source",
    "pick_photos",
    "read_files",
    "read_image_dir",
    "search_photos",
]

_HOMES = {
    "Augmentation": "views",
    "BadPhoto": "manifest",
    "DatasetSource": "datasets",
    "DecodedBatch": "decoding",
    "Entry": "sources",
    "FileSource": "files",
    "Loaded": "reading",
    "Manifest": "manifest",
    "Photo": "manifest",
    "PhotoLimits": "limits",
    "PhotoSource": "sources",
    "View": "views",
    "build_manifest": "splitting",
    "decoded_batches": "decoding",
    "load_photos": "reading",
    "open_dataset": "datasets",
    "open_source": "opening",
    "pick_photos": "selecting",
    "read_files": "files",
    "read_image_dir": "files",
    "search_photos": "selecting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
