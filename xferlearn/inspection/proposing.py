"""Whether photos can be labelled with a model as its report shows it, what must be told, and how.

`label` refuses what is refused here, and asks for what is asked for here.
"""

import contextlib
import shlex
from collections.abc import Mapping
from pathlib import Path

from xferlearn.backbones.table import BACKBONES
from xferlearn.inspection.formats import FORMATS
from xferlearn.inspection.metadata import parse_labels
from xferlearn.inspection.purpose import may_be_map, refusal
from xferlearn.inspection.report import GraphReport, InputReport
from xferlearn.inspection.values import fits_integers
from xferlearn.system.text import printable

# As the lab's tools, Android's examples and AutoML Vision write them beside a model.
LABEL_FILES = ("retrained_labels.txt", "output_labels.txt", "labels.txt", "dict.txt")
# What retrain.py calls its new last layer: the classes of such a model are not ImageNet's.
_RETRAINED = "final_result"
_CHANNELS = (1, 3, None)
_EXAMPLE_SIZE = 224
_EXAMPLE_THRESHOLD = "0.5"
_RANGES = ((0, 255), (0, 1), (-1, 1))
# What PyTorch's models take, as its own packages normalise photos.
_TORCH = {"input_mean": "123.675,116.28,103.53", "input_std": "58.395,57.12,57.375"}
_LABELS = "LABELS.txt"


def find_label_files(path: Path) -> list[Path]:
    """Returns the files of labels in a model's folder, or else beside it.

    Those that are named after the model come first: the others may be another model's.
    """
    # The lab's two files are output_graph.pb and output_labels.txt.
    lab = f"{path.stem.removesuffix('_graph')}_labels.txt"
    own = (f"{path.stem}.txt", f"{path.stem}_labels.txt", lab)
    for folder in (path, path.parent) if path.is_dir() else (path.parent,):
        names = dict.fromkeys((*own, *LABEL_FILES))
        files = [file for name in names if (file := folder / name).is_file()]
        if files:
            return files
    return []


def fitting_labels(
    lists: Mapping[Path, tuple[str, ...]], classes: int | None
) -> dict[Path, tuple[str, ...]]:
    """Returns the lists that fit a number of scores, one file per list; all where it is None."""
    found: dict[tuple[str, ...], Path] = {}
    for file, labels in lists.items():
        if classes is None or len(labels) == max(classes, 2):
            found.setdefault(labels, file)
    return {file: labels for labels, file in found.items()}


def has_imagenet_classes(report: GraphReport, classes: int) -> bool:
    """Returns whether a model without labels has ImageNet's, by its network and its width."""
    retrained = any(one.name == _RETRAINED for one in report.outputs)
    return report.backbone is not None and classes in (1000, 1001) and not retrained


def can_label(report: GraphReport) -> bool:
    """Returns whether `label` takes the model, perhaps with settings that the file lacks."""
    one, held = report.image_input, FORMATS[report.format]
    if one is None or one.channels not in _CHANNELS or held.holds != "model":
        return False
    if report.unsafe_layers or report.not_loaded or report.missing or not report.outputs:
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
    lists = {} if report.labels else _lists_beside(Path(report.path))
    if len(fitting_labels(lists, width)) > 1:
        return True
    labels = report.labels or labels_beside(Path(report.path), width)
    if labels:
        return width is not None and len(labels) != max(width, 2)
    return first.kind != "scores" and not has_imagenet_classes(report, width or 0)


def _lacks_threshold(report: GraphReport) -> bool:
    """Returns whether nothing states from which score on a photo has a label."""
    return report.has_lone_scores and not report.decision


def labels_beside(path: Path, classes: int | None = None) -> tuple[str, ...]:
    """Returns the labels in the file beside a model; () for none, and where several files differ.

    Args:
        path: of the model.
        classes: number of its scores, which the labels should fit; None for unknown.
    """
    lists = _lists_beside(path)
    fitting = list(fitting_labels(lists, classes).values())
    if len(fitting) > 1:
        return ()
    return next(iter(fitting or lists.values()), ())


def _lists_beside(path: Path) -> dict[Path, tuple[str, ...]]:
    """Returns the lists in the files beside a model that can be read."""
    lists = {}
    for file in find_label_files(path):
        with contextlib.suppress(OSError, ValueError):
            lists[file] = parse_labels(file.read_bytes())
    return {file: labels for file, labels in lists.items() if labels}


def missing_values(report: GraphReport, one: InputReport) -> str:
    """Returns the error for an input of which nobody said which values it takes."""
    ranges = [f"`input_range={choice}`" for choice in _likely_ranges(one)]
    reason = one.range_detail.removeprefix("the file does not state it").strip(":; ")
    more = " (mean and std of PyTorch's models: 123.675,116.28,103.53 and 58.395,57.12,57.375)"
    return (
        f"{report.path} does not state which values {one.name!r} takes"
        f"{f' ({reason})' if reason else ''}, and a wrong guess gives wrong labels. Give"
        f" {' or '.join(part for part in (', '.join(ranges[:-1]), ranges[-1]) if part)}, or"
        f" `input_mean` and `input_std`{more if _may_be_torch(one) else ''}; whoever made"
        " the model knows."
    )


def _likely_ranges(one: InputReport) -> list[tuple[int, int]]:
    """Returns the usual ranges that an input may take."""
    fitting = [
        (low, high)
        for low, high in _RANGES
        if fits_integers((low, high), one.dtype, one.quantization)
    ]
    return fitting or list(_RANGES)


def _may_be_torch(one: InputReport) -> bool:
    """Returns whether an input may take what PyTorch's models take."""
    return one.layout == "NCHW" or _RANGES[0] not in _likely_ranges(one)


def missing_size(report: GraphReport, one: InputReport) -> str:
    """Returns the error for an input of which nobody said which size it takes."""
    spec = BACKBONES.get(report.backbone.name) if report.backbone else None
    limits = f": {one.size_detail}" if one.size_detail else ""
    hint = f" {spec.name} was made for {spec.image_size} x {spec.image_size} px." if spec else ""
    return (
        f"{report.path} takes photos of any size{limits}. Give the size that it was trained with,"
        f" `input_height` and `input_width`.{hint}"
    )


def purpose(report: GraphReport) -> str:
    """Returns what the suggested commands are for, and what has to be chosen among them."""
    if report.format == "backbone":
        return "To use it:"
    one = report.image_input
    missing = ["its labels"] if can_label(report) and needs_labels(report) else []
    if one is not None and can_label(report) and _lacks_threshold(report):
        missing.append("whether photos may have several labels, and from which score on")
    if one is not None and not (one.height and one.width):
        missing.append("which size it was trained with; this is an example")
    if one is not None and one.mean is None:
        missing.append("which values it takes; these are the usual ones")
    said = f", say what the file does not: {', and '.join(missing)}" if missing else ""
    return f"To label a photo with it{said}:"


def suggested_commands(report: GraphReport) -> list[str]:
    """Returns commands that can be pasted; none for a model that can't label photos.

    Of a model they are the shortest one that labels a photo, and one with all that is known, which
    for the lab's graphs is one of the lab's own label_image.py. Where the file does not state which
    values the model takes, there is one command for each likely answer. Of a backbone they train on
    it, and label with ImageNet's classes.

    The lab's script takes one whole number each for mean and std; where a network needs others, its
    command is left out. Names from the file are quoted for the shell.
    """
    if report.format == "backbone":
        name = shlex.quote(report.path)
        train = f"xferlearn train FOLDER --backbone={name}"
        # Those that are not in the table have no known classifier.
        known = report.backbone is not None and report.backbone.name in BACKBONES
        return [train, *([f"xferlearn label --backbone={name} PHOTO"] if known else [])]
    one = report.image_input
    if one is None or not can_label(report):
        return []
    start = {"model": printable(report.path, len(report.path))}
    told = needs_labels(report)
    start |= {"labels": _LABELS} if told else {}
    sized = bool(one.height and one.width)
    if not sized:
        side = str((report.backbone and report.backbone.image_size) or _EXAMPLE_SIZE)
        start |= {"input_height": str(one.height or side), "input_width": str(one.width or side)}
    if one.mean is None:
        named = len(report.outputs) > 1 and report.outputs[0].name.isprintable()
        start |= {"output_layer": report.outputs[0].name} if named else {}
        choices = [{"input_range": f"{low},{high}"} for low, high in _likely_ranges(one)]
        choices += [_TORCH] if _may_be_torch(one) else []
        return [_command("xferlearn label", start | choice) for choice in choices]
    several = [start | {"label_threshold": _EXAMPLE_THRESHOLD}] if _lacks_threshold(report) else []
    full = _with_everything(report, one, start["model"], told) if sized else ""
    commands = [_command("xferlearn label", choice) for choice in (start, *several)]
    return [*commands, *([full] if full else [])]


def _command(tool: str, settings: dict[str, str], photo: str = "PHOTO") -> str:
    given = [f"--{key}={shlex.quote(value)}" for key, value in settings.items()]
    return " ".join([tool, *given, photo])


def _with_everything(report: GraphReport, one: InputReport, path: str, told: bool) -> str:
    """Returns a command that states all about a model; "" where that can't be said."""
    of_the_lab = FORMATS[report.format].of_the_lab
    settings = {
        "graph": path,
        "labels": printable(str(_label_file(report) or _LABELS), 10_000),
        "input_layer": one.name,
        "output_layer": report.outputs[0].name,
        "input_height": str(one.height),
        "input_width": str(one.width),
        "input_mean": _numbers(one.mean, of_the_lab),
        "input_std": _numbers(one.std, of_the_lab),
    }
    if report.familiarity is not None:
        # It is not read where an output is asked for.
        del settings["output_layer"]
    if not all(value.isprintable() for value in settings.values()):
        return ""
    if of_the_lab:
        said = "" not in settings.values() and settings["input_std"] != "0"
        if not said or one.channel_order == "BGR":
            return ""  # the lab's script would feed other values than the network takes
        return _command("python -m label_image", settings, "--image=PHOTO")
    if told:
        settings["labels"] = _LABELS
    else:
        del settings["labels"]
    if one.channel_order == "BGR":
        settings["input_channels"] = "bgr"
    return _command("xferlearn label", settings)


def _label_file(report: GraphReport) -> Path | None:
    """Returns the file that the lab's script is told: the one that fits, or else the first."""
    path = Path(report.path)
    fitting = fitting_labels(_lists_beside(path), report.classes)
    return next(iter([*fitting, *find_label_files(path)]), None)


def _numbers(values: tuple[float, ...] | None, whole: bool) -> str:
    """Returns a flag's value; where one whole number is wanted, "" for three."""
    if whole:
        return str(round(values[0])) if values is not None and len(values) == 1 else ""
    return ",".join(f"{value:.6g}" for value in values or ())
