"""Settings of `xferlearn train`, and those that the experiments share with it."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

from xferlearn.config.base import Config, Setting, Several, StrPath, settings_of
from xferlearn.config.data import SourceConfig
from xferlearn.config.decisions import DecisionConfig
from xferlearn.config.images import DEFAULT_BACKBONE, ImageConfig
from xferlearn.config.models import EXPORT_FORMATS, ModelConfig
from xferlearn.config.presets import (
    AUGMENTATIONS,
    HIDDEN_UNITS,
    HIDDEN_UNITS_OF_FEW,
    LINEAR_WEIGHT_DECAY,
    RECIPES,
    TESTING_PERCENTAGE,
    WEIGHT_DECAY,
)
from xferlearn.errors import UserError

_FULL = AUGMENTATIONS["full"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig(SourceConfig):
    """What every training takes, whether alone or as part of an experiment."""

    testing_percentage: Annotated[
        float | None,
        Setting(
            "Percentage of the photos that are kept for the test at the end. Default:"
            f" {TESTING_PERCENTAGE:g}; none where a class has at most 10 photos and there are"
            " fewer than 1,000 in all, because cross-validation then needs them more.",
            minimum=0,
            maximum=90,
            section="Data",
        ),
    ] = None
    test_size: float | None = None
    class_weight: Annotated[
        str,
        Setting(
            "`balanced` weights each class by the inverse of its number of photos.",
            choices=("none", "balanced"),
            section="Head",
        ),
    ] = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadConfig(RunConfig, ImageConfig):
    """What every training takes one value of; `sweep` takes lists of it."""

    image_size: Annotated[
        int | None,
        Setting(
            "Side in pixels of the square that the backbone sees. Default: the backbone's own.",
            minimum=32,
            maximum=2048,
            section="Network",
        ),
    ] = None
    hidden_units: Annotated[
        int | None,
        Setting(
            f"Units of a hidden layer before the last one; 0 for none. Default: {HIDDEN_UNITS}, and"
            f" {HIDDEN_UNITS_OF_FEW} for at most 40 photos.",
            minimum=0,
            maximum=2**16,
            section="Head",
        ),
    ] = None
    dropout: Annotated[
        float,
        Setting(
            "Share of the values before the last layer that is dropped in training.",
            minimum=0,
            maximum=0.95,
            section="Head",
        ),
    ] = 0.5
    optimizer: Annotated[
        str,
        Setting(
            "How the head's weights follow the gradient: `adam`, or `sgd`, the lab's plain"
            " gradient descent, which needs a larger learning rate.",
            choices=("adam", "sgd"),
            section="Head",
        ),
    ] = "adam"
    learning_rate: Annotated[
        float,
        Setting(
            "Peak step size of the optimizer; it falls to zero along a cosine.",
            above=0,
            maximum=1e38,
            section="Head",
        ),
    ] = 0.002
    train_batch_size: Annotated[
        int,
        Setting("Batch size: photos per training step.", minimum=1, maximum=10**6, section="Head"),
    ] = 100
    batch_size: int | None = None
    weight_decay: Annotated[
        float | None,
        Setting(
            "Penalty on the kernels of the head: half of it times their squares is added to the"
            f" loss. Default: {WEIGHT_DECAY:g}, or {LINEAR_WEIGHT_DECAY:g} without a hidden layer.",
            minimum=0,
            maximum=1e6,
            section="Head",
        ),
    ] = None
    seed: Annotated[
        int,
        Setting(
            "Seed of the training: weights, shuffling, dropout.",
            minimum=-(2**63),
            maximum=2**63 - 1,
            section="Head",
        ),
    ] = 0
    augment: Annotated[
        str,
        Setting(
            "Train on more than one view of each photo: `flip` adds its mirror image, `full` also"
            f" random windows of it ({_FULL['random_crop']:g} percent margin, enlarged by up to"
            f" {_FULL['random_scale']:g} percent, up to {_FULL['random_brightness']:g} percent"
            " brighter or darker). `auto` is `none` for the head and `full` for fine-tuning.",
            choices=("auto", "none", "flip", "full"),
            section="Augmentation",
        ),
    ] = "auto"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewConfig(Config):
    """What the views of a photo are, for every training."""

    augment_views: Annotated[
        int,
        Setting(
            "How many views of each training photo go through the frozen network and are cached.",
            minimum=1,
            maximum=1000,
            section="Augmentation",
        ),
    ] = 8
    flip_left_right: Annotated[
        bool, Setting("Mirror half of the views left to right.", section="Augmentation")
    ] = False
    random_crop: Annotated[
        float,
        Setting(
            "Margin in percent that a view leaves out, at random sides of the photo.",
            minimum=0,
            maximum=300,
            section="Augmentation",
        ),
    ] = 0.0
    random_scale: Annotated[
        float,
        Setting(
            "Enlarge a view by up to this many percent.",
            minimum=0,
            maximum=300,
            section="Augmentation",
        ),
    ] = 0.0
    random_brightness: Annotated[
        float,
        Setting(
            "Make a view up to this many percent brighter or darker.",
            minimum=0,
            maximum=100,
            section="Augmentation",
        ),
    ] = 0.0


def _of_own_model(name: str) -> Setting:
    """Returns what `label` knows of a setting, for a model that is used as a backbone."""
    rules = settings_of(ModelConfig)[name][1]
    text = f"Of a Keras model of your own as `backbone`: {rules.help[0].lower()}{rules.help[1:]}"
    return dataclasses.replace(rules, help=text, section="Network")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnNetworkConfig(Config):
    """What a network does not say of itself, where it is none of the table's."""

    bottleneck_layer: Annotated[
        str | None,
        Setting(
            "Of a Keras model of your own as `backbone`: the layer whose values the head sees, the"
            " mean of them where they are a map. Default: the one before the last dense layer.",
            section="Network",
        ),
    ] = None
    input_range: Annotated[Several[float] | None, _of_own_model("input_range")] = None
    input_mean: Annotated[Several[float] | None, _of_own_model("input_mean")] = None
    input_std: Annotated[Several[float] | None, _of_own_model("input_std")] = None
    input_channels: Annotated[str | None, _of_own_model("input_channels")] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneConfig(OwnNetworkConfig):
    """The network of a command that takes one."""

    backbone: Annotated[
        str | Sequence[str],
        Setting(
            "The pretrained network: a name of Keras Applications or of the lab, e.g."
            " mobilenet_0.50_224; hub:PRESET for one of KerasHub; or the path of a Keras model of"
            " your own, in Python also the model itself. The default needs no download. Several"
            " with + between them are combined: the head sees the bottlenecks of all.",
            joined="+",
            aliases=("architecture",),
            section="Network",
            model=True,
        ),
    ] = DEFAULT_BACKBONE


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(DecisionConfig, ViewConfig, HeadConfig, BackboneConfig):
    """Settings of `xferlearn train` and of `xferlearn.train(...)`."""

    validation_percentage: Annotated[
        float,
        Setting(
            "Percentage of the photos that are held out for validation. With 0, each photo outside"
            " the test is instead predicted by a head that has not learned from it"
            " (cross-validation), so that all of them are learned from and all are measured.",
            minimum=0,
            maximum=90,
            section="Data",
        ),
    ] = 0.0
    validation_size: float | None = None
    refit: Annotated[
        str,
        Setting(
            "What the delivered head learns from, once the accuracy is measured: `all` photos,"
            " those of test and validation too, or `none` but the training photos. A fine-tuned"
            " network is not trained again: it has learned from the training photos outside the"
            " fold that judged it.",
            choices=("all", "none"),
            section="Data",
        ),
    ] = "all"
    split_seed: Annotated[
        int,
        Setting(
            "Seed of the split: a photo's content and this number decide whether it is for"
            " training, validation or test, and in which fold it is left out.",
            minimum=0,
            section="Data",
        ),
    ] = 0
    quality: Annotated[
        str,
        Setting(
            "A recipe that decides what you leave open: `fast` (one backbone, one pass per photo),"
            " `balanced` (three backbones, two of them at more pixels: six times the network's"
            " time), or `best` (the first of them fine-tuned too: minutes). The manual has the"
            ' accuracy of each. `balanced` and `best` need pip install "xferlearn[lite]".',
            choices=tuple(RECIPES),
            section="Network",
        ),
    ] = "fast"
    model_dir: Annotated[
        StrPath | None,
        Setting("Folder that the trained model is written to. Required.", section="Output"),
    ] = None
    overwrite: Annotated[bool, Setting("Replace the model in `model_dir`.", section="Output")] = (
        False
    )
    summaries: Annotated[
        str,
        Setting(
            "What is written to `logs_dir` for TensorBoard: `none`; `scalars` for charts, run card"
            " and HParams row (50 KB); `full` also for graph, images, histograms, PR curves and"
            " projector (9 MB and 3 seconds for the 1,000 flowers).",
            choices=("none", "scalars", "full"),
            section="Output",
        ),
    ] = "full"
    export: Annotated[
        Several[str] | None,
        Setting(
            "Also export the model in these formats, and prove the files, as `xferlearn export`"
            " does.",
            choices=EXPORT_FORMATS,
            section="Output",
        ),
    ] = None
    audit: Annotated[
        bool,
        Setting(
            "Also look for photos and labels that are likely wrong, as `xferlearn audit` does; they"
            " are shown in TensorBoard too.",
            section="Output",
        ),
    ] = False
    print_misclassified_test_images: Annotated[
        bool,
        Setting(
            "List the test photos that are labelled wrongly, or where there are none the"
            " cross-validated or validation ones; in Python, the result's `misclassified` and"
            " `misclassified_in_validation` have them.",
            section="Output",
        ),
    ] = False
    how_many_training_steps: Annotated[
        int | None,
        Setting(
            "Number of training steps. Default: 40 passes over the photos, but at least 400 steps;"
            " above 4,000 steps, 10 passes if that is more. With several views of each photo 2.5"
            " times as many.",
            minimum=1,
            maximum=10**9,
            section="Head",
        ),
    ] = None
    steps: int | None = None
    unfreeze: Annotated[
        str | None,
        Setting(
            "After the head, also train layers of the backbone: `auto`, those after a suitable"
            " place; `all`; a number, for that many of the last layers with weights; or the name of"
            " a layer or block, e.g. block5, for everything from there on. What comes before stays"
            " frozen, and runs once per view. BatchNormalization stays frozen too. Of several"
            " backbones the first is tuned. The photos of one fold judge it; it is kept where it is"
            " better, and is not trained again on them. Takes minutes; `all` takes much longer.",
            section="Fine-tuning",
        ),
    ] = None
    fine_tune_epochs: Annotated[
        int,
        Setting(
            "Passes over the training photos, each with new views.",
            minimum=1,
            maximum=10**6,
            section="Fine-tuning",
        ),
    ] = 6
    fine_tune_learning_rate: Annotated[
        float,
        Setting(
            "Peak step size of the fine-tuning: a warm-up, then a cosine down to zero.",
            above=0,
            maximum=1e38,
            section="Fine-tuning",
        ),
    ] = 0.0003
    fine_tune_batch_size: Annotated[
        int,
        Setting("Batch size of the fine-tuning.", minimum=1, maximum=10**6, section="Fine-tuning"),
    ] = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        recipe = RECIPES[self.quality]
        if "backbone" in recipe and "backbone" not in self.given:
            for name in ("image_size", "weights"):
                if name in self.changed():
                    raise UserError(
                        f"`quality={self.quality!r}` chooses backbones with sizes and weights of"
                        f" their own. Leave `{name}` out, or choose a `backbone`."
                    )
        for name, value in recipe.items():
            if name not in self.given:
                object.__setattr__(self, name, value)
        where = "image_dir" if self.labels is None else "labels"
        if (getattr(self, where) is None) == (self.dataset is None):
            came = "neither" if self.dataset is None else "both"
            raise UserError(f"Expected either `{where}` or `dataset`. Received: {came}.")
        if self.dataset is not None and self.group_by is not None:
            raise UserError("`group_by` needs `image_dir` or `labels`; a `dataset` has no groups.")
        if not self.model_dir:
            raise UserError(
                "Expected `model_dir`, the folder to write the model to. Received: nothing."
            )
        testing = self.testing_percentage
        if testing is None:
            testing = TESTING_PERCENTAGE
        if testing + self.validation_percentage >= 100:
            raise UserError(
                "Expected `testing_percentage` and `validation_percentage` to leave something to"
                f" train on. Received: {testing:g} + {self.validation_percentage:g} percent."
            )
