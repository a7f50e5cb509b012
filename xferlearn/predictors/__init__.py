"""Models that label photos."""

from xferlearn.predictors.base import Predictor
from xferlearn.predictors.bundle import bundle_predictor

__all__ = ["Predictor", "bundle_predictor"]
