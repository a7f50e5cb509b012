"""Settings that say where labelled photos are: shared by all commands that learn or measure."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Annotated, Any

from xferlearn.config.base import Setting, StrPath
from xferlearn.config.images import PhotoConfig
from xferlearn.config.in_memory import TableInMemory
from xferlearn.errors import UserError

_FOUND = "Default: found by its name and its values, and said."
# What only says where photos, labels and groups are found. What comes of it, photos, classes and
# split, is part of a run's key already.
WHERE_LABELS_ARE = (
    "layout", "labels", "path_column", "label_column", "image_column", "split_column",
    "group_column", "group_by", "corrections", "unlabelled", "multi_label",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig(PhotoConfig):
    """Where labelled photos are, and how they are read."""

    image_dir: Annotated[
        StrPath | None,
        Setting(
            "Folder with one sub-folder per class (JPEG, PNG, GIF, BMP, WebP, TIFF, AVIF, and with"
            " the extra [phone] HEIC, with [jxl] JPEG XL; photos in nested folders count too); with"
            " `labels` any folder of photos. Or a Parquet or Arrow file, or a folder of them, that"
            " holds the photos themselves, as Hugging Face datasets do.",
            section="Data",
            aliases=("data",),
            positional=True,
            form="FOLDER",
            bucket=True,
            common=True,
        ),
    ] = None
    labels: Annotated[
        StrPath | Any | None,
        Setting(
            "Table that says each photo's class: a CSV, TSV, JSON Lines, Parquet or Arrow file; in"
            " Python also a pandas DataFrame or another table in memory. Its photos lie below"
            " `image_dir`, beside the table, at absolute paths, or in the table itself.",
            section="Data",
            table=True,
            form="FILE",
            bucket=True,
            common=True,
        ),
    ] = None
    path_column: Annotated[
        str | None,
        Setting(
            f"Column of `labels` that names each photo's file. {_FOUND}",
            section="Data",
            form="COLUMN",
        ),
    ] = None
    label_column: Annotated[
        str | None,
        Setting(
            f"Column of `labels` that has each photo's class, or its labels, `cat|dog` or a list;"
            f" several columns of 0 and 1, with commas between, are a class each. {_FOUND}",
            section="Data",
            form="COLUMN",
        ),
    ] = None
    image_column: Annotated[
        str | None,
        Setting(
            f"Column of a Parquet or Arrow file that holds the photos' bytes. {_FOUND}",
            section="Data",
            form="COLUMN",
        ),
    ] = None
    split_column: Annotated[
        str | None,
        Setting(
            "Column of `labels` that says which photos are for training, validation and test."
            f" `none` uses none. {_FOUND}",
            section="Data",
            form="COLUMN",
        ),
    ] = None
    multi_label: Annotated[
        bool | None,
        Setting(
            "Photos may have several labels, or none: in `labels`, or as copies of one file in the"
            " folders of several classes. Default: what `labels` has; folders are one class each.",
            section="Data",
        ),
    ] = None
    layout: Annotated[
        str,
        Setting(
            "What the sub-folders of `image_dir` are: `classes`, `split` (train, validation and"
            " test, with the classes inside), or `groups` (the classes are inside, and the photos"
            " of a group stay together in the split). `auto` tells by structure, and stops where"
            " that is not certain.",
            choices=("auto", "classes", "split", "groups"),
            section="Data",
        ),
    ] = "auto"
    corrections: Annotated[
        StrPath | None,
        Setting(
            "File of corrections (CSV), as `xferlearn review` and `xferlearn audit` with"
            " `proposals` write it: photos, by their content, that have another label or are to be"
            " left out. The photos themselves are not touched.",
            section="Data",
            form="FILE",
            bucket=True,
        ),
    ] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitDataConfig(DataConfig):
    """Where labelled photos are, and which of them belong together."""

    group_column: Annotated[
        str | None,
        Setting(
            f"Column of `labels` that names what a photo belongs to; see `group_by`. `none`"
            f" uses none. {_FOUND}",
            section="Data",
            form="COLUMN",
        ),
    ] = None
    group_by: Annotated[
        str | None,
        Setting(
            "What keeps photos of one plant, patient, video or session on one side of the split:"
            " `folder`, the photo's folder below its class; a column of `labels`; or a regular"
            " expression, whose first group, or whole match, in the photo's name below `image_dir`"
            " names what it belongs to.",
            section="Data",
            form="folder|COLUMN|REGEX",
            common=True,
        ),
    ] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetConfig(DataConfig):
    """Where labelled photos are, where that may be a dataset too."""

    dataset: Annotated[
        str | None,
        Setting(
            "Name of an image classification dataset of TensorFlow Datasets, or `elpv`, instead of"
            " `image_dir`.",
            section="Data",
            form="NAME",
            common=True,
        ),
    ] = None
    data_dir: Annotated[
        StrPath | None,
        Setting(
            "Folder where TensorFlow Datasets keeps its data. Default: its own,"
            " ~/tensorflow_datasets.",
            section="Data",
            form="FOLDER",
        ),
    ] = None

    def check_one_source(self) -> None:
        """Refuses photos of files and of a dataset at once, and neither.

        Raises:
            UserError: where it is not one of the two.
        """
        where = "image_dir" if self.labels is None else "labels"
        if (getattr(self, where) is None) == (self.dataset is None):
            came = "neither" if self.dataset is None else "both"
            note = ""
            if self.dataset is None and self.data_dir is not None:
                note = " `data_dir` is where a `dataset` is kept; your own photos are `image_dir`."
            raise UserError(f"Expected either `{where}` or `dataset`. Received: {came}.{note}")

    @property
    def data_name(self) -> str:
        """What the photos are called, after their folder, dataset or table; "" for no name."""
        if self.image_dir is not None:
            name = os.path.basename(os.path.abspath(self.image_dir))
        elif self.dataset is not None:
            name = re.sub(r"[^\w.-]", "_", self.dataset)
        else:
            name = "" if isinstance(self.labels, TableInMemory) else Path(str(self.labels)).stem
        return name if name.strip(".") else ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceConfig(SplitDataConfig, DatasetConfig):
    """Which photos heads learn from, and what is common to every command that fits some."""

    unlabelled: Annotated[
        StrPath | None,
        Setting(
            "Folder of photos without classes. Those that `corrections` gives a label to are used"
            " like all others.",
            section="Data",
            form="FOLDER",
            bucket=True,
        ),
    ] = None
    twins: Annotated[
        str,
        Setting(
            "Near twins, such as a photo that was saved again, scaled, slightly cropped or"
            " mirrored: `group` keeps them in one split, because a model must not be tested on"
            " what it has learned; `ignore` does not look for them.",
            choices=("group", "ignore"),
            section="Data",
        ),
    ] = "group"
    logs_dir: Annotated[
        StrPath,
        Setting(
            "Folder for TensorBoard; each run writes to a folder of its own in it.",
            aliases=("summaries_dir", "logdir"),
            section="Output",
            form="FOLDER",
            bucket=True,
        ),
    ] = "logs"
    weights: Annotated[
        StrPath,
        Setting(
            "Weights of the backbone: `imagenet`, `none` (random), or a file.",
            section="Network",
            form="imagenet|none|FILE",
        ),
    ] = "imagenet"
