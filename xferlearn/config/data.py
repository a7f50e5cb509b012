"""Settings that say where labelled photos are: shared by all commands that learn or measure."""

import dataclasses
from typing import Annotated

from xferlearn.config.base import Setting, StrPath
from xferlearn.config.images import PhotoConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig(PhotoConfig):
    """Where labelled photos are, and how they are read."""

    image_dir: Annotated[
        StrPath | None,
        Setting(
            "Folder with one sub-folder per class (jpg, jpeg, png, bmp, gif, webp; photos in nested"
            " folders count too).",
            section="Data",
        ),
    ] = None
