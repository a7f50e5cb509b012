"""Every setting of every command: name, default, range and meaning, in one place.

The command line makes its flags from these classes, the Python API its keyword arguments, the
metadata and the run card their entries. A default that was chosen by measurement says so in its
help; the command that measured it is `tools/bench_train.py`.
"""

import dataclasses
import os
from pathlib import Path

from xferlearn.errors import UserError, did_you_mean
from xferlearn.settings import Config, setting


def default_bottleneck_dir() -> Path:
    """Returns the folder for bottlenecks: `$XDG_CACHE_HOME/xferlearn/bottlenecks`.

    Where XDG_CACHE_HOME is unset or not absolute it is ~/.cache, as the XDG Base Directory
    Specification asks.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not root.is_absolute():
        root = Path.home() / ".cache"
    return root / "xferlearn" / "bottlenecks"


DEFAULT_BACKBONE = "efficientnet_lite0"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageConfig(Config):
    """What is done with photos, the same for every command that reads them."""

    on_bad_image: str = setting(
        "skip",
        "What a photo that can't be read does: `skip` leaves it out, lists it with its reason and"
        " goes on; `fail` stops the command.",
        choices=("skip", "fail"),
        section="Photos",
    )
    max_image_pixels: int = setting(
        200_000_000,
        "Photos with more pixels than this are not decoded (a small file can claim billions).",
        minimum=1,
        section="Photos",
    )
    max_image_bytes: int = setting(
        200_000_000,
        "Files larger than this many bytes are not read.",
        minimum=1,
        section="Photos",
    )
    bottleneck_dir: str | None = setting(
        None,
        "Folder of the cached bottlenecks. Default: xferlearn/bottlenecks in $XDG_CACHE_HOME or"
        " ~/.cache. Several runs may share it at the same time.",
        section="Photos",
    )
    engine: str = setting(
        "auto",
        "What runs the frozen network. `auto` takes the fastest that is installed and agrees with"
        " float32 TensorFlow on some of your photos.",
        choices=("auto", "tensorflow", "openvino"),
        section="Speed",
    )
    precision: str = setting(
        "auto",
        "Number format of the frozen network. `auto` takes bfloat16 where the processor has it"
        " and the engine stays exact enough.",
        choices=("auto", "float32", "bfloat16"),
        section="Speed",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(ImageConfig):
    """Settings of `xferlearn train` and of `xferlearn.train(...)`."""

    image_dir: str | None = setting(
        None,
        "Folder with one sub-folder of photos a class (jpg, jpeg, png, bmp, gif, webp; nested"
        " folders below a class are read too).",
        section="Data",
    )
    dataset: str | None = setting(
        None,
        "Name of a TensorFlow Datasets image classification dataset, or `elpv`, instead of"
        " --image_dir.",
        section="Data",
    )
    data_dir: str | None = setting(
        None,
        "Folder where TensorFlow Datasets keeps its data. Default: its own, ~/tensorflow_datasets.",
        section="Data",
    )
    testing_percentage: float = setting(
        10.0,
        "Percent of the photos that are kept for the test at the end.",
        minimum=0,
        maximum=90,
        section="Data",
    )
    validation_percentage: float = setting(
        10.0,
        "Percent of the photos that decide when training stops.",
        minimum=0,
        maximum=90,
        section="Data",
    )
    split_seed: int = setting(
        0,
        "Salt of the split. A photo's content and this number decide where the photo goes.",
        minimum=0,
        section="Data",
    )
    model_dir: str | None = setting(
        None, "Folder that the trained model is written to. Required.", section="Output"
    )
    overwrite: bool = setting(False, "Replace the model in --model_dir.", section="Output")
    logs_dir: str = setting(
        "logs",
        "Folder for TensorBoard; each run makes a folder of its own in it.",
        aliases=("summaries_dir",),
        section="Output",
    )
    summaries: str = setting(
        "full",
        "What goes to --logs_dir for TensorBoard: `none`; `scalars` for charts, run card and"
        " HParams row (50 KB); `full` also for graph, images, histograms, PR curves and projector"
        " (9 MB and 3 seconds for the 1,000 flowers).",
        choices=("none", "scalars", "full"),
        section="Output",
    )
    print_misclassified_test_images: bool = setting(
        False, "List the test photos that the model gets wrong.", section="Output"
    )
    backbone: str = setting(
        DEFAULT_BACKBONE,
        "The pretrained network, a Keras Applications name or one of the lab's, such as"
        " mobilenet_0.50_224. The default needs no download.",
        aliases=("architecture",),
        section="Network",
    )
    weights: str = setting(
        "imagenet",
        "The backbone's weights: `imagenet`, `none` (random), or a file.",
        section="Network",
    )
    image_size: int | None = setting(
        None,
        "Side in pixels of the square that the backbone sees. Default: the backbone's own.",
        minimum=32,
        maximum=2048,
        section="Network",
    )
    hidden_units: int = setting(
        0,
        "Units of a hidden layer before the last one; 0 for none.",
        minimum=0,
        section="Head",
    )
    dropout: float = setting(
        0.5,
        "Share of the head's inputs dropped in training. On the flowers 0.5 has a lower validation"
        " loss than 0, with MobileNet and with EfficientNet-Lite0.",
        minimum=0,
        maximum=0.95,
        section="Head",
    )
    learning_rate: float = setting(
        0.001,
        "Peak step size of the Adam optimizer; it falls to zero along a cosine. From 0.001 to 0.01"
        " validation accuracy hardly differs; the smallest is the steadiest.",
        above=0,
        section="Head",
    )
    how_many_training_steps: int | None = setting(
        None,
        "Most steps to train; training ends earlier when the validation loss has stopped"
        " falling, and the best weights are kept. Default: 1000, or 10 passes over the photos"
        " where that is more.",
        minimum=1,
        section="Head",
    )
    train_batch_size: int = setting(100, "Photos a training step.", minimum=1, section="Head")
    weight_decay: float = setting(
        0.03,
        "Penalty on the kernels of the head: half of it times their squares joins the loss.",
        minimum=0,
        section="Head",
    )
    class_weight: str = setting(
        "none",
        "`balanced` weighs each class by the inverse of its number of photos.",
        choices=("none", "balanced"),
        section="Head",
    )
    seed: int = setting(0, "Seed of the training: weights, shuffling, dropout.", section="Head")

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.image_dir is None) == (self.dataset is None):
            came = "neither" if self.image_dir is None else "both"
            raise UserError(f"Expected either --image_dir or --dataset. Received: {came}.")
        if not self.model_dir:
            raise UserError("Expected --model_dir, the folder to write the model to. None came.")
        if self.testing_percentage + self.validation_percentage >= 100:
            raise UserError(
                "Expected --testing_percentage and --validation_percentage to leave something to"
                f" train on. Received: {self.testing_percentage:g} + {self.validation_percentage:g}"
                " percent."
            )


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
    format: str = setting("text", "Form of the output.", choices=("text", "json"))
    logs_dir: str | None = setting(
        None, "Write the model's graph for TensorBoard into a new folder in this one."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise UserError("Expected the path of a model to inspect. None came.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoardConfig(Config):
    """Settings of `xferlearn board`."""

    logs_dir: str = setting("logs", "Folder of the runs, as `train` writes it.")
    host: str = setting("localhost", "Address to listen on; 0.0.0.0 lets other machines in.")
    port: int | None = setting(
        None, "Port to listen on. Default: 6006, or the next free one.", minimum=0, maximum=65535
    )
