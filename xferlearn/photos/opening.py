"""Settings -> the source of photos that they ask for."""

import dataclasses
import os
from pathlib import Path

from xferlearn.config import DataConfig, EvaluateConfig, SplitDataConfig, TrainConfig
from xferlearn.errors import UserError
from xferlearn.photos.corrected import CorrectedSource
from xferlearn.photos.corrections import Corrections, read_corrections
from xferlearn.photos.datasets import measured_dataset, open_dataset
from xferlearn.photos.folders.file_source import FileSource
from xferlearn.photos.folders.files import read_image_dir
from xferlearn.photos.grouping import FOLDER, with_groups
from xferlearn.photos.sources import PhotoSource
from xferlearn.photos.tables.table_files import holds_tables
from xferlearn.photos.unlabelled import with_unlabelled
from xferlearn.system.folders import check_outside
from xferlearn.system.runtime import start_tensorflow

_OF_TABLES = ("path_column", "label_column", "image_column", "split_column", "group_column")


def open_source(config: TrainConfig) -> PhotoSource:
    """Returns the photos that a config asks for: files, a table of them, or a prepared dataset.

    Args:
        config: `image_dir`, `labels` or `dataset`, and the folders that must not lie among the
            photos.

    Raises:
        UserError: when there are no such photos, or results would be written among them.
        XferlearnError: when a dataset can't be downloaded or prepared.
    """
    # A file that can't be read is told before photos are listed.
    corrections = Corrections()
    if config.corrections is not None:
        corrections = read_corrections(config.corrections)
    source = _with_unlabelled(config, _open_classes(config))
    if config.corrections is None and config.unlabelled is None:
        return source
    corrections = corrections.suited(multi_label=source.is_multi_label)
    return CorrectedSource(source, corrections, source.labels)


def _open_classes(config: TrainConfig) -> PhotoSource:
    if config.dataset is not None:
        if config.multi_label:
            raise UserError(
                "`multi_label` is for `labels` and folders. The photos of a `dataset` have one"
                " class each."
            )
        start_tensorflow()
        return open_dataset(config.dataset, config.data_dir, verbose=config.verbose)
    if config.summaries != "none":
        check_outside_photos(config, "logs_dir", config.logs_dir)
    if config.bottleneck_dir is not None:
        check_outside_photos(config, "bottleneck_dir", config.bottleneck_dir)
    return open_labelled(config)


def _with_unlabelled(config: TrainConfig, source: PhotoSource) -> PhotoSource:
    """Returns the photos with those of a folder without classes, where a config names one."""
    if config.unlabelled is None:
        return source
    root = config.image_dir
    if config.labels is None and root is not None and not holds_tables(root):
        check_outside(root, "unlabelled", config.unlabelled)
    elif isinstance(source, FileSource):
        root = source.root or os.path.dirname(str(config.labels)) or "."
    else:  # a dataset, or a table that holds the photos themselves
        root = None
    group_by = getattr(source, "group_by", None)
    return with_unlabelled(source, config.unlabelled, root, group_by)


def open_labelled(
    config: DataConfig, labels: tuple[str, ...] | None = None, other_classes: str = "error"
) -> PhotoSource:
    """Returns the photos and their labels in files, as a config says where they are.

    Args:
        config: `image_dir` and its `layout`, or `labels` and the columns of that table; what the
            photos are grouped by.
        labels: the classes of a model, in its order; None to take those that are found.
        other_classes: what to do with classes that are not among these, as `read_image_dir`.

    Raises:
        UserError: when there are no such photos, or one that a table names is not found where
            `on_bad_image` is "fail".
    """
    group_by = config.group_by if isinstance(config, SplitDataConfig) else None
    if config.labels is not None or holds_tables(config.image_dir or ""):
        if config.layout != "auto":
            raise UserError(
                f"`layout={config.layout!r}` is for folders of classes. Received: a table."
            )
        # Only then: the readers of tables take time to import.
        from xferlearn.photos.tables.opening import open_labels

        source, group_by = open_labels(config, group_by, labels, other_classes)
    else:
        for name in _OF_TABLES:
            if getattr(config, name, None) is not None:
                raise UserError(f"`{name}` needs a table of `labels`. Received: none.")
        listed = read_image_dir(
            config.image_dir or "",
            labels,
            layout=config.layout,
            other_classes=other_classes,
            grouped=group_by == FOLDER,
            few=config.corrections is not None,
            split=config.split if isinstance(config, EvaluateConfig) else None,
        )
        if config.multi_label:
            from xferlearn.photos.folders.copies import joined_copies

            listed = joined_copies(listed)
        source = listed
    if config.on_bad_image == "fail" and source.left_out:
        bad = source.left_out[0]
        raise UserError(f"{bad.name} can't be used: {bad.reason}.")
    return source if group_by is None else with_groups(source, group_by)


def open_measured(
    config: EvaluateConfig, labels: tuple[str, ...], others: str, *, multi_label: bool
) -> PhotoSource:
    """Returns the photos that a model is measured on, under its classes.

    Args:
        config: which photos, and which part of their split.
        labels: the model's classes, in its order.
        others: what to do with other classes, as `read_image_dir`.
        multi_label: whether the model gives photos several labels, or none.

    Raises:
        UserError: when there are no such photos, or they have several labels and the model gives
            one.
        XferlearnError: when a dataset can't be downloaded or prepared.
    """
    if multi_label and config.multi_label is False:
        raise UserError(
            f"`multi_label=False` is for models that give each photo one label. {config.model} may"
            " give it several, or none: leave it out."
        )
    if config.dataset is None:
        if multi_label:
            config = dataclasses.replace(config, multi_label=True)
        source = open_labelled(config, labels, others)
        if source.is_multi_label and not multi_label:
            raise UserError(
                f"{config.model} gives each photo one label, and photos of"
                f" {config.labels or config.image_dir} may have several. Give a model that was"
                " trained on such, or photos with one label each."
            )
        return source
    start_tensorflow()
    dataset = open_dataset(config.dataset, config.data_dir, verbose=config.verbose)
    return measured_dataset(dataset, labels, others, config.split)


def part_of(source: PhotoSource) -> str:
    """Returns the part of a given split that a source is; "" for all, and where none is given."""
    return getattr(source, "part", "")


def check_outside_photos(config: DataConfig, name: str, folder: str | Path) -> None:
    """Checks that a folder to be written to lies outside of a folder of classes.

    With a table, a folder among the photos is no class: what has no row is not used.

    Args:
        config: where the photos are.
        name: setting that names the other folder.
        folder: the other folder.

    Raises:
        UserError: when it would become a class or part of one.
    """
    if config.image_dir is not None and config.labels is None:
        check_outside(config.image_dir, name, folder)
