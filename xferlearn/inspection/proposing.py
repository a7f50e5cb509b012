"""Whether photos can be labelled with a model as its report shows it, and what must be told."""

from pathlib import Path

from xferlearn.inspection.formats import FORMATS
from xferlearn.inspection.metadata import parse_labels
from xferlearn.inspection.purpose import may_be_map, refusal
from xferlearn.inspection.report import GraphReport

# As the lab's tools, Android's examples and AutoML Vision write them beside a model.
LABEL_FILES = ("retrained_labels.txt", "output_labels.txt", "labels.txt", "dict.txt")
# What retrain.py calls its new last layer: the classes of such a model are not ImageNet's.
_RETRAINED = "final_result"
_CHANNELS = (1, 3, None)


def find_label_file(path: Path) -> Path | None:
    """Returns the file of labels beside a model, or in its folder; None for none."""
    folders = (path, path.parent) if path.is_dir() else (path.parent,)
    names = (*LABEL_FILES, f"{path.stem}.txt", f"{path.stem}_labels.txt")
    files = (folder / name for folder in folders for name in names)
    return next((file for file in files if file.is_file()), None)


def has_imagenet_classes(report: GraphReport, classes: int) -> bool:
    """Returns whether a model without labels has ImageNet's, by its network and its width."""
    retrained = any(one.name == _RETRAINED for one in report.outputs)
    return report.backbone is not None and classes in (1000, 1001) and not retrained


def can_label(report: GraphReport) -> bool:
    """Returns whether `label` takes the model, perhaps with settings that the file lacks."""
    one, held = report.image_input, FORMATS[report.format]
    if one is None or one.channels not in _CHANNELS or held.holds != "model":
        return False
    if report.unsafe_layers or report.parameters == 0 or report.missing or not report.outputs:
        return False
    needed = [other for other in report.inputs if other.kind != "encoded image"]
    if len(needed) > 1 and not held.of_the_lab:
        return False
    first = report.outputs[0]
    if refusal(report.task, first.kind, first.name) or may_be_map(first.shape):
        return False
    return first.kind != "features" or bool(report.labels)


def needs_labels(report: GraphReport) -> bool:
    """Returns whether `label` must be told the labels: these say that a row of values is scores."""
    first = report.outputs[0]
    width = first.shape[-1] if first.shape and len(first.shape) == 2 else report.classes
    labels = report.labels or _labels_beside(Path(report.path))
    if labels:
        return width is not None and len(labels) != max(width, 2)
    return first.kind != "scores" and not has_imagenet_classes(report, width or 0)


def _labels_beside(path: Path) -> tuple[str, ...]:
    file = find_label_file(path)
    try:
        return parse_labels(file.read_bytes()) if file is not None else ()
    except (OSError, ValueError):
        return ()
