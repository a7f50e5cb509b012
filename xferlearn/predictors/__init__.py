"""Models that label photos, each run by the runtime of its format.

`opening` inspects a file and settles which input is fed and which output is read (`ends`), what the
input is fed (`feeding`), how answers become scores (`scores`), and the labels (`labels`). The file
itself is loaded by the module of its format, which returns a `base.Runtime`. Model folders
(`model_folder`) and backbones with ImageNet's classes (`imagenet`) have ways of their own; all
become a `base.Predictor`.

To add a format that `xferlearn.inspection` reads, add its module here, under the name that it has
there, and its row to `opening.RUNTIMES`.

The names below are for the rest of the package; all others are for this folder alone.
"""

from xferlearn.predictors.base import Answers, Predictor
from xferlearn.predictors.keras_files import check_keras_file
from xferlearn.predictors.model_folder import (
    model_folder_bit_depth,
    model_folder_predictor,
    model_folder_resize,
)
from xferlearn.predictors.nearest import NearestPhotos
from xferlearn.predictors.opening import open_predictor
from xferlearn.predictors.own_photos import found_photos

__all__ = [
    "Answers",
    "NearestPhotos",
    "Predictor",
    "check_keras_file",
    "found_photos",
    "model_folder_bit_depth",
    "model_folder_predictor",
    "model_folder_resize",
    "open_predictor",
]
