"""Photos: where they come from, how they are split, read, found again, cropped and decoded.

Names load when they are first used, so that a module of this room costs only what it needs itself.
"""

from typing import TYPE_CHECKING

from xferlearn.system.lazy import lazy_names

if TYPE_CHECKING:
    from xferlearn.photos.datasets import DatasetSource, open_dataset
    from xferlearn.photos.folders.file_source import FileSource
    from xferlearn.photos.folders.files import read_files, read_image_dir
    from xferlearn.photos.limits import PhotoLimits
    from xferlearn.photos.manifest import BadPhoto, Manifest, Photo
    from xferlearn.photos.opening import open_source
    from xferlearn.photos.pixels.decoding import DecodedBatch, decoded_batches
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
    "Augmentation": "xferlearn.photos.views",
    "BadPhoto": "xferlearn.photos.manifest",
    "DatasetSource": "xferlearn.photos.datasets",
    "DecodedBatch": "xferlearn.photos.pixels.decoding",
    "Entry": "xferlearn.photos.sources",
    "FileSource": "xferlearn.photos.folders.file_source",
    "Loaded": "xferlearn.photos.reading",
    "Manifest": "xferlearn.photos.manifest",
    "Photo": "xferlearn.photos.manifest",
    "PhotoLimits": "xferlearn.photos.limits",
    "PhotoSource": "xferlearn.photos.sources",
    "View": "xferlearn.photos.views",
    "build_manifest": "xferlearn.photos.splitting",
    "decoded_batches": "xferlearn.photos.pixels.decoding",
    "load_photos": "xferlearn.photos.reading",
    "open_dataset": "xferlearn.photos.datasets",
    "open_source": "xferlearn.photos.opening",
    "pick_photos": "xferlearn.photos.selecting",
    "read_files": "xferlearn.photos.folders.files",
    "read_image_dir": "xferlearn.photos.folders.files",
    "search_photos": "xferlearn.photos.selecting",
}


__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
