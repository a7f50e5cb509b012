"""Our own model folder as a predictor."""

from xferlearn.bundles import MODEL_FILE, Bundle
from xferlearn.engines import build_engine
from xferlearn.errors import UserError
from xferlearn.predictors.base import Predictor
from xferlearn.predictors.keras_files import check_keras_file


def bundle_predictor(bundle: Bundle) -> Predictor:
    """Returns the predictor of a model folder.

    Raises:
        UserError: when its model is missing or damaged, or has not the labels' number of outputs.
    """
    check_keras_file(bundle.path / MODEL_FILE)
    model = bundle.load_model()
    outputs = model.output_shape[-1]
    if outputs != len(bundle.labels):
        raise UserError(
            f"{bundle.path} is damaged: {len(bundle.labels)} labels, but its model gives"
            f" {outputs} scores."
        )
    size = bundle.image_size
    return Predictor(bundle.labels, size, size, bundle_resize(bundle), build_engine(model).run)


def bundle_resize(bundle: Bundle) -> str:
    """Returns how a model's photos were fitted in training, "crop" or "squash"."""
    stated = str(bundle.metadata["input"].get("resize", ""))
    return "squash" if stated.startswith("squash") else "crop"
