"""Models that label photos, each opened from its file by its own runtime."""

from xferlearn.predictors.base import Predictor
from xferlearn.predictors.model_folder import model_folder_predictor
from xferlearn.predictors.opening import open_predictor

__all__ = ["Predictor", "model_folder_predictor", "open_predictor"]
