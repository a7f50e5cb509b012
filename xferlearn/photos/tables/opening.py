"""Settings -> a source of the photos of a table, and what is left to group them by."""

import os
import re

from xferlearn.config import DataConfig, EvaluateConfig, SplitDataConfig
from xferlearn.config.in_memory import TableInMemory
from xferlearn.errors import UserError, did_you_mean
from xferlearn.photos.grouping import FOLDER, Groupable
from xferlearn.photos.sources import PhotoSource
from xferlearn.photos.tables.arrow_photos import ArrowPhotos, Cell, photo_names
from xferlearn.photos.tables.labelled_tables import open_table, picture_column
from xferlearn.photos.tables.locating import PhotoFinder
from xferlearn.photos.tables.reading import Table, read_table
from xferlearn.photos.tables.table_files import holds_tables
from xferlearn.system.addresses import is_bucket

_WORD = re.compile(r"[\w -]+")


def open_labels(
    config: DataConfig,
    group_by: str | None,
    labels: tuple[str, ...] | None,
    other_classes: str = "error",
) -> tuple[Groupable, str | None]:
    """Returns the photos of a table.

    Args:
        config: `labels`, or `image_dir` where that holds the table.
        group_by: as in the settings.
        labels: the classes of a model, in its order; None to take those that the table has.
        other_classes: what to do with classes that are not among these, as `read_image_dir`.

    Returns:
        The photos, and what they are still to be grouped by: None where a column did that.

    Raises:
        UserError: when the table or its photos can't be used.
    """
    given = config.labels if config.labels is not None else config.image_dir
    image_dir = None if config.labels is None else config.image_dir
    if not (image_dir is None or is_bucket(image_dir) or os.path.isdir(image_dir)):
        came = "a file" if os.path.exists(image_dir) else "nothing"
        raise UserError(f"Expected `image_dir` to be a folder. Found {came} at {image_dir}.")
    if not isinstance(given, str):
        raise UserError(f"Expected `labels` to be a table. Received: {given!r}.")
    folder = "" if isinstance(given, TableInMemory) else _folder(given)
    finder = PhotoFinder(None if image_dir is None else str(image_dir), folder)
    table = read_table(given, lambda name: finder.any_path(name) is not None)
    if table.pictures and image_dir is not None and config.path_column is None:
        raise UserError(
            f"{table.name} holds the photos itself, in column {table.pictures[0]!r}. Leave out"
            " `image_dir`, or name the column of file names with `path_column`."
        )
    roles: dict[str, str | None] = {
        "path": config.path_column,
        "label": config.label_column,
        "split": config.split_column,
        "image": config.image_column,
    }
    if isinstance(config, SplitDataConfig):
        column, group_by = _group_column(table, config.group_column, group_by)
        if group_by is None:
            roles["group"] = column
    few = config.corrections is not None
    split = config.split if isinstance(config, EvaluateConfig) else None
    source = open_table(
        table,
        roles,
        finder,
        labels,
        other_classes,
        few=few,
        multi_label=config.multi_label,
        split=split,
    )
    return source, group_by


def photos_in_table(path: str, column: str | None) -> PhotoSource | None:
    """Returns the photos, without labels, that a Parquet or Arrow file or a folder of them holds.

    Args:
        path: the file or folder.
        column: the column of the photos; None to find it.

    Returns:
        The photos; None where the path is none of these, or only names files.

    Raises:
        UserError: when a file is damaged, or there is no such column.
    """
    if not holds_tables(path):
        return None
    table = read_table(path, os.path.isfile)
    picture = picture_column(table, {"image": column})
    if picture is None:
        return None
    names = photo_names(table, picture)
    return ArrowPhotos((), table, picture, tuple(Cell(*one, -1) for one in enumerate(names)))


def _folder(table: str) -> str:
    """Returns the folder that a table is in, also as an address with its options."""
    if not is_bucket(table):
        return os.path.dirname(table) or "."
    bare, mark, options = table.partition("?")
    return f"{bare.rpartition('/')[0]}{mark}{options}"


def _group_column(
    table: Table, column: str | None, group_by: str | None
) -> tuple[str | None, str | None]:
    """Returns the column of the groups, and what groups them otherwise."""
    if group_by is None:
        return column, None
    if column is not None and group_by != column:
        raise UserError(
            f"Expected either `group_by` or `group_column`. Received: {group_by!r} and {column!r}."
        )
    if group_by in table.names:
        return group_by, None
    if group_by != FOLDER and _WORD.fullmatch(group_by):
        near = did_you_mean(group_by, [*table.names, FOLDER])
        raise UserError(
            f"{table.name} has no column {group_by!r} for `group_by`.{near} {table.has_columns()}"
        )
    return None, group_by
