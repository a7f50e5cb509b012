"""A backbone with the top that it was trained with: ImageNet's 1000 classes, without training."""

from pathlib import Path

from xferlearn.backbones import load_imagenet_classifier
from xferlearn.backbones.synsets.names import imagenet_labels
from xferlearn.bottlenecks.engines import build_engine
from xferlearn.predictors.base import Answers, Predictor


def imagenet_predictor(
    name: str, *, weights: str | Path | None = None, resize: str | None = None, verbose: int = 1
) -> Predictor:
    """Returns the predictor of a backbone's own classes.

    Args:
        name: of the backbone, as `resolve_backbone` understands it.
        weights: "imagenet", "none" or a file; None for "imagenet".
        resize: "crop" or "squash"; None for "crop", with which these networks are tested.
        verbose: 0 shows nothing, 1 shows the progress of a download.

    Returns:
        A predictor with labels such as "n11939491 daisy".

    Raises:
        UserError: the name or the weights file is wrong.
        XferlearnError: the ImageNet weights were not found.
    """
    labels = tuple(f"{synset} {word}" for synset, word in imagenet_labels())
    model = load_imagenet_classifier(name, weights=weights or "imagenet", verbose=verbose)
    height, width = model.input_shape[1:3]
    run = build_engine(model).run
    random = str(weights or "").lower() == "none"
    warnings = (
        ("with random weights (`weights='none'`) the labels mean nothing.",) if random else ()
    )
    return Predictor(
        labels,
        height,
        width,
        resize or "crop",
        lambda pixels: Answers(run(pixels)),
        warnings,
        name=f"{model.name} with ImageNet's own classes",
        backbone=model.name,
        load_model=lambda: model,
    )
