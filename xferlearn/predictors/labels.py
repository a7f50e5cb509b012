"""The labels of a model: as given, or in its file, in the model folder around it, or beside it."""

import dataclasses
from pathlib import Path

from xferlearn.backbones.synsets.names import imagenet_labels
from xferlearn.errors import UserError
from xferlearn.inspection import (
    GraphReport,
    find_label_files,
    fitting_labels,
    has_imagenet_classes,
    parse_labels,
)
from xferlearn.model_folder import METADATA_FILE, ModelFolder
from xferlearn.system.fetching import fetched, told_by_address
from xferlearn.system.text import count, one_line

_MOST_BYTES = 16 * 2**20


@dataclasses.dataclass(frozen=True)
class Labels:
    """Class names in output order, and what was assumed about them."""

    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def find_labels(
    path: Path,
    given: str | Path | None,
    report: GraphReport,
    classes: int,
    model_folder: ModelFolder | None,
    *,
    sure: bool = True,
) -> Labels:
    """Returns the labels of a model.

    Args:
        path: of the model.
        given: file that the user names, None for none.
        report: on the model.
        classes: number of scores that the model gives.
        model_folder: the model folder that it lies in, None for none.
        sure: whether its answers are certain to be scores, as a softmax or sigmoid makes them.

    Raises:
        UserError: there are labels, and not as many as classes, or two lists that differ; or there
            are none, and its answers may be something else than scores, e.g. an embedding.
    """
    if given is not None:
        file = fetched(given, "`labels`")
        with told_by_address(file):
            return _checked(read_label_file(file), classes, str(given), path)
    if report.labels:
        return _checked(tuple(report.labels), classes, "the file", path)
    if model_folder is not None:
        return _checked(model_folder.labels, classes, str(model_folder.path / METADATA_FILE), path)
    beside = find_label_files(path)
    if beside:
        return _labels_beside(beside, classes, path)
    if has_imagenet_classes(report, classes):
        return _imagenet(classes)
    if not sure:
        raise UserError(
            f"{path} ends without a softmax or sigmoid and has no labels, so it may give an"
            " embedding. If it gives one score per class, give `labels=FILE` with"
            f" {classes} lines."
        )
    warning = f"no labels were found: #0 to #{classes - 1} count the outputs. Give `labels=FILE`."
    return Labels(tuple(f"#{index}" for index in range(classes)), (warning,))


def _labels_beside(files: list[Path], classes: int, path: Path) -> Labels:
    """Returns the labels of the files beside a model, where one list alone fits its scores."""
    lists: dict[Path, tuple[str, ...]] = {}
    problems = []
    for file in files:
        try:
            lists[file] = read_label_file(file)
        except UserError as error:
            problems.append(error)
    fitting = fitting_labels(lists, classes)
    if len(fitting) > 1:
        first, second = list(fitting)[:2]
        raise UserError(
            f"{first} and {second} both have {count(classes, 'label')}, as many as {path} gives"
            " scores, and they differ. Name the right one with `labels=FILE`."
        )
    if not fitting:
        if problems:
            raise problems[0]
        file = next(iter(lists))
        return _checked(lists[file], classes, str(file), path)
    ((file, labels),) = fitting.items()
    warning = f"the labels are those of {file}, which was found beside the model."
    return Labels(labels, (warning,))


def _imagenet(classes: int) -> Labels:
    names = ["background"] if classes == 1001 else []
    names += [f"{synset} {name}" for synset, name in imagenet_labels()]
    first = ", #0 being the background" if classes == 1001 else ""
    warning = f"no labels were found: with {classes} outputs ImageNet's were assumed{first}."
    return Labels(tuple(f"#{index} {name}" for index, name in enumerate(names)), (warning,))


def read_label_file(file: Path) -> tuple[str, ...]:
    """Returns the labels of a text file, one per line; blank lines at its end don't count.

    Raises:
        UserError: it can't be read, or holds no labels.
    """
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise UserError(f"{file} is larger than {_MOST_BYTES // 2**20} MiB: no list of labels.")
        labels = parse_labels(file.read_bytes())
    except OSError as error:
        raise UserError(f"The labels in {file} can't be read: {one_line(error)}.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"Expected {file} to be text in UTF-8, one label per line. Byte {error.start} is not."
        ) from None
    if not labels:
        raise UserError(f"Expected {file} to hold labels, one per line. It is empty.")
    return labels


def _checked(labels: tuple[str, ...], classes: int, source: str, path: Path) -> Labels:
    if len(labels) != classes:
        background = ""
        if (len(labels), classes) == (1000, 1001):
            background = " The model's first class is the background: is it missing in the list?"
        raise UserError(
            f"{source} has {count(len(labels), 'label')}, but {path} gives"
            f" {count(classes, 'score')}.{background}"
            " Give the right list with `labels=FILE`."
        )
    return Labels(labels)
