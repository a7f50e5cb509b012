"""The model folder, as `train` writes it: the model, labels, metadata, photos and predictions."""

from xferlearn.model_folder.buckets import fetched_model, mirrored_exports
from xferlearn.model_folder.layout import (
    EXPORTS_DIR,
    FAMILIARITY,
    FILES,
    LABELS_FILE,
    METADATA_FILE,
    MODEL_FILE,
    PHOTOS_FILE,
    PREDICTIONS,
    PREDICTIONS_FILE,
    UNFINISHED_EXPORT,
)
from xferlearn.model_folder.reading import (
    FORMAT_VERSION,
    ModelFolder,
    find_model_folder_around,
    is_model_folder,
    read_as_one,
    read_model_folder,
)
from xferlearn.model_folder.writing import change_metadata, check_model_dir, write_model_folder

__all__ = [
    "EXPORTS_DIR",
    "FAMILIARITY",
    "FILES",
    "FORMAT_VERSION",
    "LABELS_FILE",
    "METADATA_FILE",
    "MODEL_FILE",
    "PHOTOS_FILE",
    "PREDICTIONS",
    "PREDICTIONS_FILE",
    "UNFINISHED_EXPORT",
    "ModelFolder",
    "change_metadata",
    "check_model_dir",
    "fetched_model",
    "find_model_folder_around",
    "is_model_folder",
    "mirrored_exports",
    "read_as_one",
    "read_model_folder",
    "write_model_folder",
]
