"""Settings of the commands that take a model."""

import dataclasses
import os
import re
from typing import Annotated, cast

from xferlearn.config.answers import AnswerConfig
from xferlearn.config.base import Config, Setting, Several, StrPath, Verbose
from xferlearn.config.images import ImageConfig
from xferlearn.config.runners import RunnerConfig
from xferlearn.errors import UserError

MODEL_FOLDER = "Folder of a trained model."


@dataclasses.dataclass(frozen=True)
class ModelConfig(ImageConfig):
    """Which model labels photos, and what its file does not say of itself."""

    model: Annotated[
        StrPath | None,
        Setting(
            "A model of any format: a model folder of `xferlearn train`, .keras, .h5, SavedModel,"
            " frozen .pb, .tflite, .onnx or OpenVINO's .xml. A SavedModel or .pb is a program, and"
            " labelling runs it: take one only from people you trust, or look at it first with"
            " `xferlearn inspect`, which runs nothing.",
            aliases=("graph", "model_dir"),
            section="Model",
            form="PATH",
            bucket=True,
            common=True,
        ),
    ] = None
    _: dataclasses.KW_ONLY
    backbone: Annotated[
        str | None,
        Setting(
            "A pretrained network instead of `model`: labels photos with ImageNet's 1000 classes,"
            " without training. efficientnet_lite0 needs no download.",
            aliases=("architecture", "arch"),
            section="Model",
            form="NAME",
            common=True,
        ),
    ] = None
    weights: Annotated[
        StrPath | None,
        Setting(
            "Weights of `backbone`: `imagenet`, `none` (random), or a file that includes the top."
            " Default: imagenet.",
            section="Model",
            form="imagenet|none|FILE",
        ),
    ] = None
    labels: Annotated[
        StrPath | None,
        Setting(
            "Text file with one label per line, in the order of the model's outputs. Default: the"
            " labels that the model holds, otherwise retrained_labels.txt, output_labels.txt or"
            " labels.txt beside it.",
            section="Model",
            form="FILE",
            bucket=True,
            common=True,
        ),
    ] = None
    input_layer: Annotated[
        str | None,
        Setting(
            "Layer or operation that takes the pixels. Default: found in the model.",
            section="Model",
            form="NAME",
        ),
    ] = None
    output_layer: Annotated[
        str | None,
        Setting(
            "Layer or operation that returns the scores. Default: found in the model.",
            section="Model",
            form="NAME",
        ),
    ] = None
    label_threshold: Annotated[
        float | None,
        Setting(
            "For a model that has a score of its own for each label (sigmoid) and does not state"
            " thresholds: photos may have several labels, or none, and get those whose score"
            " reaches this, e.g. 0.5. Default: one label per photo, of the largest score.",
            above=0,
            maximum=1,
            section="Model",
            form="SCORE",
        ),
    ] = None
    input_height: Annotated[
        int | None,
        Setting(
            "Height of the model's input in pixels. Default: found in the model.",
            minimum=1,
            maximum=4096,
            section="Model",
            form="PIXELS",
        ),
    ] = None
    input_width: Annotated[
        int | None,
        Setting(
            "Width of the model's input in pixels. Default: found in the model.",
            minimum=1,
            maximum=4096,
            section="Model",
            form="PIXELS",
        ),
    ] = None
    input_range: Annotated[
        Several[float] | None,
        Setting(
            "The values that the model takes for a black and for a white pixel, such as 0,255 or"
            " 0,1 or -1,1. It can be given instead of `input_mean` and `input_std`. Default: found"
            " in the model.",
            counts=(2,),
            section="Model",
        ),
    ] = None
    input_mean: Annotated[
        Several[float] | None,
        Setting(
            "The model takes (pixel - input_mean) / input_std, with pixels from 0 to 255. One"
            " number, or three in the order red, green, blue. Default: found in the model.",
            counts=(1, 3),
            section="Model",
        ),
    ] = None
    input_std: Annotated[
        Several[float] | None,
        Setting(
            "See `input_mean`. Default: found in the model.",
            above=0,
            counts=(1, 3),
            section="Model",
        ),
    ] = None
    input_channels: Annotated[
        str | None,
        Setting(
            "Order of the colours that the model takes; `bgr` for models that were trained as in"
            " Caffe or on photos that OpenCV read. Default: found in the model, otherwise rgb.",
            choices=("rgb", "bgr"),
            section="Model",
        ),
    ] = None
    resize: Annotated[
        str | None,
        Setting(
            "`crop` shows the model the centre of a photo, `squash` the whole photo, distorted,"
            " as the lab's tools do. Default: as the model was trained, if that is known.",
            choices=("crop", "squash"),
            section="Model",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.model) == bool(self.backbone):
            came = "both" if self.model else "neither"
            raise UserError(f"Expected either `model` or `backbone`. Received: {came}.")
        if self.model and self.weights is not None:
            raise UserError("`weights` belongs to `backbone`; a `model` has its own weights.")
        if self.input_range is not None:
            low, high = as_numbers(self.input_range)
            if not low < high:
                raise UserError(
                    "Expected the smaller number first in `input_range`. Received:"
                    f" {low:g}, {high:g}."
                )
            if self.input_mean is not None or self.input_std is not None:
                raise UserError(
                    "Expected either `input_range`, or `input_mean` and `input_std`. Received:"
                    " both."
                )
        if not self.backbone:
            return
        for name in self.changed():
            if name.startswith(("label", "input_", "output_")):
                raise UserError(
                    f"`{name}` belongs to `model`; a `backbone` has its own, and its size may be"
                    " part of its name, e.g. mobilenet_0.50_192."
                )


def as_numbers(value: Several[float]) -> tuple[float, ...]:
    """Returns a setting of several numbers, as a config holds it, with its type."""
    return cast("tuple[float, ...]", value)


# `.csv`, but not the `.2` of `run.2`.
_FILE_ENDING = re.compile(r"\.[a-z][a-z0-9]*$", re.IGNORECASE)
# The format of a file of labels, by its ending.
OUTPUT_FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".jsonl": "json", ".ndjson": "json"
}  # fmt: skip


def output_format(output: StrPath | None) -> str | None:
    """Returns how a file is written, by its ending; None where there is no file.

    Raises:
        UserError: when the ending is none of `OUTPUT_FORMATS`.
    """
    if output is None:
        return None
    ending = next((end for end in OUTPUT_FORMATS if str(output).lower().endswith(end)), None)
    if ending is None:
        raise UserError(
            f"Expected `output` to end in {', '.join(OUTPUT_FORMATS)}. Received: {str(output)!r}."
        )
    return OUTPUT_FORMATS[ending]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelConfig(ModelConfig, AnswerConfig, RunnerConfig):
    """Settings of `xferlearn label`."""

    photos: Annotated[
        tuple[str, ...],
        Setting(
            "Photos, folders or glob patterns; `@list.txt` for the photos that a file lists, one"
            " per line, and `-` for such a list on stdin.",
            positional=True,
            aliases=("image", "source"),
            form="PHOTO",
            bucket=True,
            common=True,
        ),
    ] = ()
    top_k: Annotated[int, Setting("Most labels per photo.", minimum=1, common=True)] = 5
    format: Annotated[
        str | None,
        Setting(
            "Output format on the terminal. Default: text.",
            choices=("text", "json", "csv"),
            section="Output",
            common=True,
        ),
    ] = None
    output: Annotated[
        StrPath | None,
        Setting(
            "Write to this file instead, whose ending says how: .csv, .tsv, .parquet, or .jsonl"
            " for JSON Lines. It is there once it is complete. Or a folder, on this machine or in"
            " a bucket (s3://, gs://, hdfs://), for a Parquet file per 1,000 to 4,096 photos:"
            " stopped in the middle, the same command goes on where it was.",
            section="Output",
            form="FILE|FOLDER",
            bucket=True,
            common=True,
        ),
    ] = None
    replace_parts: Annotated[
        bool,
        Setting(
            "Remove what the folder `output` holds of other photos, another model or other"
            " settings. Without this such a folder is refused.",
            section="Output",
        ),
    ] = False

    why: Annotated[
        StrPath | None,
        Setting(
            "Also write a page to this folder, index.html, that shows what speaks for the label of"
            " each photo: a heat map, the nearest photos of the training, and the probabilities."
            " The folder is made, and must hold nothing else.",
            section="Output",
            form="FOLDER",
            common=True,
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.photos:
            raise UserError(
                "Expected photos, folders or glob patterns to label. Received: nothing."
            )
        if self.output_format is not None and self.format not in (None, self.output_format):
            raise UserError(
                f"`output={str(self.output)!r}` is {self.output_format}, and `format` says"
                f" {self.format}. Leave out `format`, or give a file of that ending."
            )

        if self.why is not None and (self.output_folder or self.runner != "local"):
            other = f"`runner={self.runner!r}`" if self.runner != "local" else "a folder `output`"
            raise UserError(
                f"`why` looks into the model on this machine, photo by photo, and {other} is for"
                " more photos than anybody looks at. Leave one out."
            )
        if self.replace_parts and not self.output_folder:
            raise UserError("`replace_parts` belongs to a folder `output`.")

    @property
    def output_folder(self) -> bool:
        """Whether `output` is a folder: by a slash at its end, or for want of a file's ending."""
        if self.output is None:
            return False
        text = str(self.output)
        if text.endswith(("/", os.sep)):
            return True
        if text.lower().endswith(tuple(OUTPUT_FORMATS)):
            return False
        # What looks like another file's ending may be a slip.
        return os.path.isdir(text) or not _FILE_ENDING.search(text)

    @property
    def output_format(self) -> str | None:
        """The format of `output`, by its ending; None where there is none."""
        return "parquet" if self.output_folder else output_format(self.output)


# The list of export formats; `exports.formats` has a row for each.
EXPORT_FORMATS = (
    "saved_model", "tflite", "tflite_float16", "tflite_int8", "onnx", "openvino", "frozen_graph",
    "tensorrt",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig(Config):
    """Settings of `xferlearn export` and of `xferlearn.export(...)`."""

    model: Annotated[
        StrPath | None,
        Setting(
            f"{MODEL_FOLDER} The files go to its exports folder.",
            aliases=("graph", "model_dir"),
            form="FOLDER",
            bucket=True,
            common=True,
        ),
    ] = None
    format: Annotated[
        Several[str] | None, Setting("Which formats to write.", choices=EXPORT_FORMATS, common=True)
    ] = None
    min_agreement: Annotated[
        float | None,
        Setting(
            "Smallest share of the photos that the written file must give the same first label as"
            " the model, or all the same labels where photos may have several; likewise of those"
            " that both take for unknown or neither does. Below it the command fails, and the"
            " file's name says so. Default: 0.99, and 0.97 for tflite_int8 (0.9 for all labels).",
            minimum=0,
            maximum=1,
            form="SHARE",
        ),
    ] = None
    image_dir: Annotated[
        StrPath | None,
        Setting(
            "Folder of the photos that the model was trained on, if they were moved since. Each"
            " is recognised by its content.",
            section="Photos",
            form="FOLDER",
        ),
    ] = None
    max_photos: Annotated[
        int,
        Setting(
            "Maximum number of test photos to compare on. If there are more, a sample is taken,"
            " always the same.",
            minimum=1,
            section="Photos",
        ),
    ] = 500
    logs_dir: Annotated[
        StrPath | None,
        Setting(
            "Also show the comparison in TensorBoard, as a new run in this folder.",
            form="FOLDER",
            bucket=True,
        ),
    ] = None
    verbose: Verbose = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("model", "format")

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats to write, each once."""
        return tuple(self.format or ())
