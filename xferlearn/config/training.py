"""Settings of `xferlearn train`."""

import dataclasses
import types
from collections.abc import Mapping

from xferlearn.config.base import setting
from xferlearn.config.images import DEFAULT_BACKBONE, ImageConfig
from xferlearn.errors import UserError

# What `--augment` stands for, in the settings that it stands for.
AUGMENTATIONS: Mapping[str, Mapping[str, float]] = types.MappingProxyType(
    {
        "none": {},
        "flip": {"flip_left_right": True},
        "full": {
            "flip_left_right": True, "random_crop": 15, "random_scale": 30, "random_brightness": 20
        },
    }
)  # fmt: skip
_FULL = AUGMENTATIONS["full"]


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
    export: str | None = setting(
        None,
        "Also export the model, in comma-separated formats of `xferlearn export`, and prove them.",
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
        maximum=2**16,
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
    optimizer: str = setting(
        "adam",
        "How the head's weights follow the gradient: `adam`, or `sgd`, the lab's plain gradient"
        " descent, which needs a larger learning rate.",
        choices=("adam", "sgd"),
        section="Head",
    )
    learning_rate: float = setting(
        0.001,
        "Peak step size of the optimizer; it falls to zero along a cosine. From 0.001 to 0.01"
        " validation accuracy hardly differs; the smallest is the steadiest.",
        above=0,
        maximum=1e38,
        section="Head",
    )
    how_many_training_steps: int | None = setting(
        None,
        "Most steps to train; training ends earlier when the validation loss has stopped"
        " falling, and the best weights are kept. Default: 1000, or 10 passes over the photos"
        " where that is more.",
        minimum=1,
        maximum=10**9,
        section="Head",
    )
    train_batch_size: int = setting(
        100, "Photos a training step.", minimum=1, maximum=10**6, section="Head"
    )
    weight_decay: float = setting(
        0.03,
        "Penalty on the kernels of the head: half of it times their squares joins the loss.",
        minimum=0,
        maximum=1e6,
        section="Head",
    )
    class_weight: str = setting(
        "none",
        "`balanced` weighs each class by the inverse of its number of photos.",
        choices=("none", "balanced"),
        section="Head",
    )
    seed: int = setting(
        0,
        "Seed of the training: weights, shuffling, dropout.",
        minimum=-(2**63),
        maximum=2**63 - 1,
        section="Head",
    )
    augment: str = setting(
        "auto",
        "Train on more than one view of each photo: `flip` adds its mirror image, `full` also"
        f" windows of it ({_FULL['random_crop']:g} percent margin, enlarged by up to"
        f" {_FULL['random_scale']:g} percent, brightness up to"
        f" {_FULL['random_brightness']:g} percent up or down). `auto` is `none` for the head"
        " and `full` for fine-tuning.",
        choices=("auto", "none", "flip", "full"),
        section="Augmentation",
    )
    augment_views: int = setting(
        8,
        "How many views of each training photo go through the frozen network and are cached.",
        minimum=1,
        maximum=1000,
        section="Augmentation",
    )
    flip_left_right: bool = setting(
        False, "Mirror half of the views left to right.", section="Augmentation"
    )
    random_crop: float = setting(
        0.0,
        "Margin in percent that a view leaves out, at random sides of the photo.",
        minimum=0,
        maximum=300,
        section="Augmentation",
    )
    random_scale: float = setting(
        0.0,
        "Enlarge a view by up to this many percent.",
        minimum=0,
        maximum=300,
        section="Augmentation",
    )
    random_brightness: float = setting(
        0.0,
        "Make a view up to this many percent brighter or darker.",
        minimum=0,
        maximum=100,
        section="Augmentation",
    )
    unfreeze: str | None = setting(
        None,
        "After the head, also train the backbone's layers: `all`; a number, for that many of the"
        " last layers with weights; or a layer's or block's name, such as block5, for everything"
        " from there on. BatchNormalization stays frozen. Takes minutes to hours.",
        section="Fine-tuning",
    )
    fine_tune_epochs: int = setting(
        10,
        "Passes over the training photos, each in new views.",
        minimum=1,
        maximum=10**6,
        section="Fine-tuning",
    )
    fine_tune_learning_rate: float = setting(
        0.0003,
        "Peak step size of the fine-tuning; it is warmed up to, and falls to zero along a cosine.",
        above=0,
        maximum=1e38,
        section="Fine-tuning",
    )
    fine_tune_batch_size: int = setting(
        32, "Photos a step of the fine-tuning.", minimum=1, maximum=10**6, section="Fine-tuning"
    )

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
