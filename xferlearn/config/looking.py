"""Settings of the commands that only look: at a model file, at the list of backbones."""

import dataclasses
from typing import Annotated

from xferlearn.config.base import Config, Setting, StrPath
from xferlearn.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectConfig(Config):
    """Settings of `xferlearn inspect`."""

    model: Annotated[
        StrPath | None,
        Setting(
            "Model file or folder, or a TensorBoard folder.",
            positional=True,
            aliases=("graph", "model_dir"),
            form="PATH",
            bucket=True,
        ),
    ] = None
    backbone: Annotated[
        str | None,
        Setting(
            "Instead of a path: a pretrained network, whose weights are not needed for it."
            " `xferlearn backbones` lists them.",
            aliases=("architecture", "arch"),
            form="NAME",
        ),
    ] = None
    format: Annotated[str, Setting("Output format.", choices=("text", "json"))] = "text"
    logs_dir: Annotated[
        StrPath | None,
        Setting(
            "Write the model's graph for TensorBoard to a new folder in this one.", form="FOLDER"
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.model) == bool(self.backbone):
            came = "both" if self.model else "neither"
            raise UserError(
                f"Expected either the path of a model or `backbone=NAME`. Received: {came}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackbonesConfig(Config):
    """Settings of `xferlearn backbones`."""

    hub: Annotated[
        bool,
        Setting(
            "List the networks for photos that KerasHub has presets of, instead of the table's;"
            " each is used as `backbone='hub:PRESET'`. Nothing is downloaded."
        ),
    ] = False
    format: Annotated[str, Setting("Output format.", choices=("text", "json"))] = "text"


@dataclasses.dataclass(frozen=True, kw_only=True)
class VersionConfig(Config):
    """Settings of `xferlearn version`: none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompletionConfig(Config):
    """Settings of `xferlearn completion`."""

    shell: Annotated[
        str | None,
        Setting(
            "The shell that the script is for.", choices=("bash", "zsh", "fish"), positional=True
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("shell")
