"""Settings of the commands that take a model."""

import dataclasses

from xferlearn.config.base import Config, setting
from xferlearn.config.images import ImageConfig
from xferlearn.errors import UserError, did_you_mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(ImageConfig):
    """Which model labels photos, and what its file does not say of itself."""

    model: str | None = setting(
        None,
        "A model of any format: our model folder, .keras, .h5, SavedModel, frozen .pb, .tflite,"
        " .onnx or OpenVINO's .xml. A SavedModel or .pb is a program, and labelling runs it: take"
        " it only from someone you trust, or look at it with `xferlearn inspect`, which runs"
        " nothing.",
        aliases=("graph",),
        section="Model",
    )
    backbone: str | None = setting(
        None,
        "Instead of --model: a pretrained network, to label with ImageNet's 1000 classes and no"
        " training. efficientnet_lite0 needs no download.",
        aliases=("architecture",),
        section="Model",
    )
    weights: str | None = setting(
        None,
        "Weights of --backbone: `imagenet`, `none` (random), or a file that includes the top."
        " Default: imagenet.",
        section="Model",
    )
    labels: str | None = setting(
        None,
        "File with a label a line, in the order of the model's outputs. Default: what the model"
        " holds, else retrained_labels.txt, output_labels.txt or labels.txt beside it.",
        section="Model",
    )
    input_layer: str | None = setting(
        None, "Layer or operation that takes the pixels. Default: found.", section="Model"
    )
    output_layer: str | None = setting(
        None, "Layer or operation that gives the scores. Default: found.", section="Model"
    )
    input_height: int | None = setting(
        None,
        "Height in pixels that the model sees. Default: found.",
        minimum=1,
        maximum=4096,
        section="Model",
    )
    input_width: int | None = setting(
        None,
        "Width in pixels that the model sees. Default: found.",
        minimum=1,
        maximum=4096,
        section="Model",
    )
    input_mean: float | None = setting(
        None,
        "The model takes (pixel - input_mean) / input_std, pixels being 0 to 255. Default: found.",
        section="Model",
    )
    input_std: float | None = setting(
        None, "See --input_mean. Default: found.", above=0, section="Model"
    )
    resize: str | None = setting(
        None,
        "`crop` shows the model the centre of a photo, `squash` the whole photo, distorted, as"
        " the lab's tools did. Default: as the model was trained, where that is known.",
        choices=("crop", "squash"),
        section="Model",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.model) == bool(self.backbone):
            came = "both" if self.model else "neither"
            raise UserError(f"Expected either --model or --backbone. Received: {came}.")
        if self.model and self.weights is not None:
            raise UserError("--weights belongs to --backbone; a --model holds its own weights.")
        if not self.backbone:
            return
        for name in self.changed():
            if name == "labels" or name.startswith(("input_", "output_")):
                raise UserError(
                    f"--{name} belongs to --model; a --backbone has its own, and its size may be"
                    " part of its name, such as mobilenet_0.50_192."
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelConfig(ModelConfig):
    """Settings of `xferlearn label`."""

    photos: tuple[str, ...] = setting(
        (), "Photos, folders or globs.", positional=True, aliases=("image",)
    )
    top_k: int = setting(5, "How many labels a photo gets at most.", minimum=1)
    format: str = setting(
        "text", "Form of the output.", choices=("text", "json", "csv"), section="Output"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.photos:
            raise UserError("Expected photos, folders or globs to label. None came.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig(ImageConfig):
    """Settings of `xferlearn evaluate`."""

    model: str | None = setting(None, "Folder of a trained model.", aliases=("graph",))
    image_dir: str | None = setting(
        None, "Folder with one sub-folder of photos a class, named as the model's labels."
    )
    logs_dir: str | None = setting(
        None,
        "Also show the result in TensorBoard: accuracy, confusion matrix and PR curves, as a new"
        " run in this folder.",
        section="Output",
    )
    format: str = setting("text", "Form of the output.", choices=("text", "json"), section="Output")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("model", "image_dir"):
            if not getattr(self, name):
                raise UserError(f"Expected --{name}. None came.")


EXPORT_FORMATS = (
    "saved_model", "tflite", "tflite_float16", "tflite_int8", "onnx", "openvino", "frozen_graph",
    "tensorrt",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig(Config):
    """Settings of `xferlearn export` and of `xferlearn.export(...)`."""

    model: str | None = setting(
        None, "Folder of a trained model; the files go to its exports/.", aliases=("graph",)
    )
    format: str | None = setting(
        None,
        "What to write, several with commas between: " + ", ".join(EXPORT_FORMATS) + ".",
    )
    min_agreement: float | None = setting(
        None,
        "Least share of the photos that the written file must give the same first label as the"
        " model. Below it the command fails, and the file's name says so. Default: 0.99, and 0.97"
        " for tflite_int8.",
        minimum=0,
        maximum=1,
    )
    image_dir: str | None = setting(
        None,
        "Where the photos are that the model was made from, if they were moved since. Each is"
        " known by its content.",
        section="Photos",
    )
    max_photos: int = setting(
        500,
        "Most test photos to compare on. Of more a sample is taken, the same each time.",
        minimum=1,
        section="Photos",
    )
    logs_dir: str | None = setting(
        None, "Also show the comparison in TensorBoard, as a new run in this folder."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("model", "format"):
            if not getattr(self, name):
                raise UserError(f"Expected --{name}. None came.")
        for name in self.formats:
            if name not in EXPORT_FORMATS:
                near = did_you_mean(name, EXPORT_FORMATS)
                raise UserError(
                    f"There is no format `{name}`.{near} The formats are"
                    f" {', '.join(EXPORT_FORMATS)}."
                )

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that `format` names, each once."""
        return tuple(dict.fromkeys(one.strip() for one in (self.format or "").split(",")))


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectConfig(Config):
    """Settings of `xferlearn inspect`."""

    model: str | None = setting(
        None, "Model file or folder, or a TensorBoard folder.", positional=True, aliases=("graph",)
    )
    backbone: str | None = setting(
        None,
        "Instead of a path: a pretrained network, whose weights are not needed for it."
        " `xferlearn backbones` lists them.",
        aliases=("architecture",),
    )
    format: str = setting("text", "Form of the output.", choices=("text", "json"))
    logs_dir: str | None = setting(
        None, "Write the model's graph for TensorBoard into a new folder in this one."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.model) == bool(self.backbone):
            came = "both" if self.model else "neither"
            raise UserError(
                f"Expected either the path of a model or --backbone=NAME. Received: {came}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackbonesConfig(Config):
    """Settings of `xferlearn backbones`."""

    format: str = setting("text", "Form of the output.", choices=("text", "json"))
