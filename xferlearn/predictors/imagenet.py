"""A backbone with the top it was trained with: ImageNet's 1000 classes, with no training."""

from pathlib import Path

from xferlearn.backbones import load_imagenet_classifier
from xferlearn.bottlenecks.engines import build_engine
from xferlearn.predictors.base import Predictor
from xferlearn.synsets.names import imagenet_labels


def imagenet_predictor(
    name: str, *, weights: str | Path | None = None, resize: str | None = None
) -> Predictor:
    """Returns the predictor of a backbone's own classes.

    Args:
        name: of the backbone, as `resolve_backbone` understands it.
        weights: "imagenet", "none" or a file; None for "imagenet".
        resize: "crop" or "squash"; None for "crop", which these networks are tested with.

    Returns:
        A predictor with labels such as "n11939491 daisy".

    Raises:
        UserError: the name or the weights file is wrong.
        XferlearnError: the ImageNet weights can't be had.
    """
    labels = tuple(f"{synset} {word}" for synset, word in imagenet_labels())
    model = load_imagenet_classifier(name, weights=weights or "imagenet")
    height, width = model.input_shape[1:3]
    random = str(weights or "").lower() == "none"
    warnings = (
        ("with random weights (`weights='none'`) the labels mean nothing.",) if random else ()
    )
    return Predictor(labels, height, width, resize or "crop", build_engine(model).run, warnings)
