"""Settings of the commands that measure models: evaluate and diff."""

import dataclasses
from typing import Annotated, TypeAlias

from xferlearn.config.base import Setting, StrPath
from xferlearn.config.data import DatasetConfig
from xferlearn.config.images import ImageConfig
from xferlearn.config.models import MODEL_FOLDER, output_format
from xferlearn.config.runners import RunnerConfig
from xferlearn.errors import UserError

IncludeSeen: TypeAlias = Annotated[
    bool,
    Setting(
        "Also measure photos that the model has learned from, and copies of such. By default they"
        " are left out and counted, because on them it looks better than it is.",
        section="Data",
        common=True,
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig(DatasetConfig, ImageConfig, RunnerConfig):
    """Settings of `xferlearn.evaluate(...)`."""

    model: Annotated[
        StrPath | None,
        Setting(
            MODEL_FOLDER, aliases=("graph", "model_dir"), form="FOLDER", bucket=True, common=True
        ),
    ] = None
    split: Annotated[
        str | None,
        Setting(
            "Which part of the photos to measure, where folders, table or dataset say the split;"
            " otherwise those of them that the model's own folder has in that part. Default: the"
            " test photos where a split is said (its validation photos where it has no test), else"
            " all.",
            choices=("train", "validation", "test", "all"),
            section="Data",
            common=True,
        ),
    ] = None
    include_seen: IncludeSeen = False
    other_classes: Annotated[
        str,
        Setting(
            "What to do with photos of classes that the model does not have: `error` stops, `skip`"
            " leaves them out and says how many, `count` counts each as a wrong answer. Such a"
            " class then stands behind the model's with a recall of 0, and each of its photos"
            " lowers the precision of the label that it gets.",
            choices=("error", "skip", "count"),
            section="Data",
            common=True,
        ),
    ] = "error"
    output: Annotated[
        StrPath | None,
        Setting(
            "Also write the photos' probabilities to this file, whose ending says how: .csv, .tsv,"
            " .parquet, or .jsonl for JSON Lines.",
            section="Output",
            form="FILE",
            bucket=True,
            common=True,
        ),
    ] = None
    logs_dir: Annotated[
        StrPath | None,
        Setting(
            "Also show the result in TensorBoard (accuracy, confusion matrix and PR curves), as a"
            " new run in this folder.",
            section="Output",
            form="FOLDER",
            bucket=True,
        ),
    ] = None
    run_name: Annotated[
        str | None,
        Setting(
            "What that run is called; the date is added. Default: after model and photos.",
            section="Output",
            form="NAME",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.labels is not None or self.dataset is not None
        self.require("model", *([] if given else ["image_dir"]))
        self.check_one_source()
        output_format(self.output)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateCommandConfig(EvaluateConfig):
    """Settings of `xferlearn evaluate`, which also prints."""

    format: Annotated[
        str, Setting("Output format.", choices=("text", "json"), section="Output", common=True)
    ] = "text"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffConfig(ImageConfig):
    """Settings of `xferlearn.diff(...)`."""

    models: Annotated[
        tuple[str, ...],
        Setting(
            "Two model folders: the one before, and the one after.",
            positional=True,
            section="Model",
            form="FOLDER",
            bucket=True,
            common=True,
        ),
    ] = ()
    image_dir: Annotated[
        StrPath | None,
        Setting(
            "Folder of photos, with one sub-folder per class, that both models label. Default: the"
            " photos that both have measured themselves on, as their folders hold it.",
            section="Data",
            form="FOLDER",
            bucket=True,
            common=True,
        ),
    ] = None
    corrections: Annotated[
        StrPath | None,
        Setting(
            "File of corrections (CSV) for these photos.",
            section="Data",
            form="FILE",
            bucket=True,
            common=True,
        ),
    ] = None
    include_seen: IncludeSeen = False
    output: Annotated[
        StrPath | None,
        Setting(
            "Also write the photos that changed their label to this file, whose ending says how:"
            " .csv, .tsv, .parquet, or .jsonl for JSON Lines.",
            section="Output",
            form="FILE",
            common=True,
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.models) != 2:
            raise UserError(f"Expected two model folders. Received: {len(self.models)}.")
        output_format(self.output)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffCommandConfig(DiffConfig):
    """Settings of `xferlearn diff`, which also prints."""

    format: Annotated[
        str, Setting("Output format.", choices=("text", "json"), section="Output", common=True)
    ] = "text"
