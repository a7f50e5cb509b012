"""Settings that the experiments share with `xferlearn train`: the head, its photos, their views."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

from xferlearn.config.base import Config, Setting, Several, settings_of
from xferlearn.config.data import SourceConfig
from xferlearn.config.images import DEFAULT_BACKBONE, ImageConfig
from xferlearn.config.models import ModelConfig
from xferlearn.config.presets import (
    AUGMENTATIONS,
    HIDDEN_UNITS,
    HIDDEN_UNITS_OF_FEW,
    LINEAR_WEIGHT_DECAY,
    TESTING_PERCENTAGE,
    WEIGHT_DECAY,
)

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
            form="PERCENT",
            common=True,
        ),
    ] = None
    test_size: float | None = None
    run_name: Annotated[
        str | None,
        Setting(
            "What the run is called in TensorBoard; the date is added. Default: after model folder,"
            " photos, network and what was changed.",
            section="Output",
            form="NAME",
        ),
    ] = None
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
            aliases=("imgsz", "img_size"),
            form="PIXELS",
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
            form="SHARE",
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
            aliases=("lr",),
            common=True,
        ),
    ] = 0.002
    train_batch_size: Annotated[
        int,
        Setting(
            "Batch size: photos per training step.",
            minimum=1,
            maximum=10**6,
            section="Head",
            aliases=("batch",),
        ),
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
            common=True,
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
            form="PERCENT",
        ),
    ] = 0.0
    random_scale: Annotated[
        float,
        Setting(
            "Enlarge a view by up to this many percent.",
            minimum=0,
            maximum=300,
            section="Augmentation",
            form="PERCENT",
        ),
    ] = 0.0
    random_brightness: Annotated[
        float,
        Setting(
            "Make a view up to this many percent brighter or darker.",
            minimum=0,
            maximum=100,
            section="Augmentation",
            form="PERCENT",
        ),
    ] = 0.0


def _of_own_model(name: str) -> Setting:
    """Returns what `label` knows of a setting, for a model that is used as a backbone."""
    rules = settings_of(ModelConfig)[name][1]
    text = f"Of a Keras model of your own as `backbone`: {rules.help[0].lower()}{rules.help[1:]}"
    return dataclasses.replace(rules, help=text, section="Network", common=False)


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
            aliases=("architecture", "arch"),
            section="Network",
            model=True,
            form="NAME",
            common=True,
        ),
    ] = DEFAULT_BACKBONE
