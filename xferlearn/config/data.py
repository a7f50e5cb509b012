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
            "Folder with one sub-folder per class; photos in nested folders count too. A tree that"
            " is split already, such as train/CLASS and test/CLASS, is used as it is split.",
            section="Data",
        ),
    ] = None
    layout: Annotated[
        str,
        Setting(
            "What the sub-folders of `image_dir` are: `classes`, `split` (train, validation and"
            " test, with the classes inside), or `groups` (the classes are inside, and the photos"
            " of a group stay together in the split). `auto` tells by structure, and stops where"
            " that is not certain.",
            choices=("auto", "classes", "split", "groups"),
            section="Data",
        ),
    ] = "auto"
