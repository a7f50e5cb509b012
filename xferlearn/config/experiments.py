"""Settings of the commands that train many heads: those of `train`, some of them as lists."""

import dataclasses
from typing import Annotated, Any

from xferlearn.config.base import Setting, Several, StrPath, settings_of, takes_list
from xferlearn.config.data import SourceConfig
from xferlearn.config.heads import (
    BackboneConfig,
    HeadConfig,
    OwnNetworkConfig,
    RunConfig,
    ViewConfig,
)
from xferlearn.config.images import DEFAULT_BACKBONE
from xferlearn.config.training import TrainConfig

# A result is a mean over these, and its interval says how much they matter.
SEEDS = ("split_seed", "seed")
_MEAN = " Over several values the accuracy is averaged."


def like_train(name: str, note: str = "", **changed: Any) -> Setting:
    """Returns what is known of a setting of `train`, with a sentence more in its help.

    Args:
        name: the setting.
        note: the sentence.
        **changed: what else differs here.
    """
    rules = settings_of(TrainConfig)[name][1]
    return dataclasses.replace(rules, help=f"{rules.help}{note}", **changed)


def _listed(name: str, **changed: Any) -> Setting:
    return like_train(name, " Several values are compared.", **changed)


def _compared_backbones() -> Setting:
    note = " Several that are compared have commas between them."
    return dataclasses.replace(like_train("backbone", note), joined="")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitConfig(SourceConfig):
    """What every command takes that fits heads on the way to something else than a model."""

    # Runs are found again there, and gone on with.
    logs_dir: Annotated[StrPath, like_train("logs_dir", bucket=False)] = TrainConfig.logs_dir

    def train_config(self, **changed: Any) -> TrainConfig:
        """Returns the settings of one run.

        Args:
            **changed: settings of `TrainConfig` in their own types.

        Raises:
            UserError: on a value that `train` would not take either.
        """
        shared = settings_of(TrainConfig).keys() & settings_of(self).keys() - {*self.lists()}
        settings = {name: getattr(self, name) for name in shared}
        return TrainConfig(**{**settings, "model_dir": "model", "summaries": "scalars", **changed})

    @classmethod
    def lists(cls) -> tuple[str, ...]:
        """Names of the settings that take several values here, in the order of declaration."""
        settings = settings_of(cls)
        names = (field.name for field in dataclasses.fields(cls))
        return tuple(
            name
            for name in names
            if name in settings
            and takes_list(settings[name][0])
            and settings[name][1].counts is None  # such as the three numbers of one mean
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig(FitConfig, RunConfig):
    """What every experiment takes."""

    output_dir: Annotated[
        StrPath | None,
        Setting(
            "Folder for the table (CSV), the plot (PNG), and the results from which a command that"
            " was killed goes on. Default: experiments in `logs_dir`.",
            section="Output",
            form="FOLDER",
            common=True,
        ),
    ] = None

    def values(self, name: str) -> tuple[Any, ...]:
        """Returns the values of a list, each once; (None,) where none was given nor is default."""
        values = getattr(self, name)
        return (None,) if values is None else values


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepConfig(ViewConfig, ExperimentConfig, OwnNetworkConfig):
    """Settings of `xferlearn sweep` and of `xferlearn.sweep(...)`."""

    # Lists in the order that combinations are run in: those that decide which bottlenecks a run
    # needs come first.
    backbone: Annotated[Several[str], _compared_backbones()] = TrainConfig.backbone
    image_size: Annotated[Several[int] | None, _listed("image_size")] = TrainConfig.image_size
    device: Annotated[Several[str], _listed("device")] = TrainConfig.device
    learning_rate: Annotated[Several[float], _listed("learning_rate")] = TrainConfig.learning_rate
    optimizer: Annotated[Several[str], _listed("optimizer")] = TrainConfig.optimizer
    how_many_training_steps: Annotated[Several[int] | None, _listed("how_many_training_steps")] = (
        TrainConfig.how_many_training_steps
    )
    steps: Several[int] | None = None
    train_batch_size: Annotated[Several[int], _listed("train_batch_size")] = (
        TrainConfig.train_batch_size
    )
    batch_size: Several[int] | None = None
    hidden_units: Annotated[Several[int] | None, _listed("hidden_units", common=True)] = (
        TrainConfig.hidden_units
    )
    dropout: Annotated[Several[float], _listed("dropout")] = TrainConfig.dropout
    weight_decay: Annotated[Several[float] | None, _listed("weight_decay")] = (
        TrainConfig.weight_decay
    )
    augment: Annotated[Several[str], _listed("augment")] = TrainConfig.augment
    split_seed: Annotated[Several[int], like_train("split_seed", _MEAN)] = TrainConfig.split_seed
    seed: Annotated[Several[int], like_train("seed", _MEAN, common=True)] = TrainConfig.seed
    validation_percentage: Annotated[float, like_train("validation_percentage")] = (
        TrainConfig.validation_percentage
    )
    validation_size: float | None = None
    max_runs: Annotated[
        int | None,
        Setting(
            "Train at most this many heads: some of the combinations, drawn at random, the same"
            " each time, and each of them with all seeds.",
            minimum=1,
            section="Data",
            common=True,
        ),
    ] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareConfig(ViewConfig, HeadConfig, ExperimentConfig, OwnNetworkConfig):
    """Settings of `xferlearn compare` and of `xferlearn.compare(...)`."""

    backbone: Annotated[Several[str], _compared_backbones()] = (DEFAULT_BACKBONE, "mobilenet")
    combine: Annotated[
        bool,
        Setting(
            "Also compare all pairs of these backbones, and say which pair is better than each of"
            " its two alone. A pair has the bottlenecks of both, so it costs only heads.",
            section="Network",
            common=True,
        ),
    ] = False
    # One is enough: it judges all photos outside the test, and others judge no more of them.
    split_seed: Annotated[Several[int], like_train("split_seed", _MEAN)] = TrainConfig.split_seed
    validation_percentage: Annotated[float, like_train("validation_percentage")] = (
        TrainConfig.validation_percentage
    )
    validation_size: float | None = None
    how_many_training_steps: Annotated[int | None, like_train("how_many_training_steps")] = (
        TrainConfig.how_many_training_steps
    )
    steps: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurveConfig(ViewConfig, HeadConfig, ExperimentConfig, BackboneConfig):
    """Settings of `xferlearn curve` and of `xferlearn.curve(...)`."""

    draws: Annotated[
        int,
        Setting(
            "How many times photos are drawn for each number of photos per class.",
            minimum=1,
            section="Data",
            common=True,
        ),
    ] = 3
    split_seed: Annotated[int, like_train("split_seed")] = TrainConfig.split_seed
    how_many_training_steps: Annotated[int | None, like_train("how_many_training_steps")] = (
        TrainConfig.how_many_training_steps
    )
    steps: int | None = None
