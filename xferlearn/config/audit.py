"""Settings of the commands that look for what is wrong with photos and labels, and mend it."""

import dataclasses
from typing import Annotated

from xferlearn.config.base import Setting, StrPath
from xferlearn.config.experiments import FitConfig, like_train
from xferlearn.config.heads import BackboneConfig
from xferlearn.config.images import ImageConfig
from xferlearn.config.models import output_format
from xferlearn.config.runners import RunnerConfig
from xferlearn.config.training import TrainConfig
from xferlearn.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class LookConfig(FitConfig, ImageConfig, BackboneConfig):
    """What audit and review share: photos, their network, and how they are dealt into folds."""

    image_size: Annotated[int | None, like_train("image_size")] = TrainConfig.image_size
    split_seed: Annotated[
        int,
        Setting(
            "Seed of the folds: a photo's content and this number decide which head predicts it.",
            minimum=0,
            section="Data",
        ),
    ] = 0
    seed: Annotated[int, like_train("seed")] = TrainConfig.seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditConfig(LookConfig, RunnerConfig):
    """Settings of `xferlearn audit` and of `xferlearn.audit(...)`."""

    output: Annotated[
        StrPath | None,
        Setting(
            "Also write the findings to this file, whose ending says how: .csv, .tsv, .parquet, or"
            " .jsonl for JSON Lines.",
            section="Output",
            form="FILE",
            common=True,
        ),
    ] = None
    page: Annotated[
        StrPath | None,
        Setting(
            "Also write the findings with their photos as one HTML file, which needs nothing else.",
            section="Output",
            form="FILE",
            common=True,
        ),
    ] = None
    proposals: Annotated[
        StrPath | None,
        Setting(
            "Also write what the audit proposes as a file of corrections. Nobody has looked at"
            " them: the audit says how many of them it expects to be wrong.",
            section="Output",
            form="FILE",
            common=True,
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.train_config()  # says what is missing or too much
        output_format(self.output)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReviewConfig(LookConfig):
    """Settings of `xferlearn review` and of `xferlearn.open_review(...)`."""

    corrections: Annotated[
        StrPath,
        Setting(
            "File of corrections (CSV) that the answers go to; the first one makes it. Those that"
            " it holds count already. The photos themselves are not touched.",
            section="Data",
            form="FILE",
            common=True,
        ),
    ] = "corrections.csv"

    model_dir: Annotated[
        StrPath | None,
        Setting(
            "A trained model, whose photos and backbone are used where no others are given.",
            section="Data",
            form="FOLDER",
            common=True,
        ),
    ] = None
    port: Annotated[
        int | None,
        Setting(
            "Port of the page; 0 for any that is free. Default: 6116, or any if that is in use.",
            minimum=0,
            maximum=65535,
            section="Output",
            form="PORT",
            common=True,
        ),
    ] = None
    open: Annotated[bool, Setting("Open the page in a browser.", section="Output", common=True)] = (
        False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        places = (self.image_dir, self.labels, self.dataset, self.model_dir)
        if all(one is None for one in places):
            raise UserError(
                "Expected one of `image_dir`, `labels`, `dataset` and `model_dir`. Received: none."
            )
