"""Our own model folder as a predictor."""

from xferlearn.bundles import Bundle
from xferlearn.engines import build_engine
from xferlearn.predictors.base import Predictor


def bundle_predictor(bundle: Bundle) -> Predictor:
    """Returns the predictor of a model folder.

    Raises:
        UserError: when its model is missing or damaged, or has not the labels' number of outputs.
    """
    engine = build_engine(bundle.load_model())
    size = bundle.image_size
    return Predictor(bundle.labels, size, size, "crop", engine.run)
