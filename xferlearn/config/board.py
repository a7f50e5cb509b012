"""Settings of `xferlearn board`."""

import dataclasses
from typing import Annotated

from xferlearn.config.base import Config, Setting, StrPath


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoardConfig(Config):
    """Settings of `xferlearn board`."""

    logs_dir: Annotated[
        StrPath,
        Setting(
            "Folder with the runs that `xferlearn train` wrote.",
            aliases=("logdir",),
            form="FOLDER",
            bucket=True,
        ),
    ] = "logs"
    host: Annotated[
        str, Setting("Address to listen on; 0.0.0.0 lets other machines connect.", form="ADDRESS")
    ] = "localhost"
    port: Annotated[
        int | None,
        Setting(
            "Port to listen on. Default: 6006, or the next free one.",
            minimum=0,
            maximum=65535,
            form="PORT",
        ),
    ] = None
    open: Annotated[bool, Setting("Open the page in a browser.", common=True)] = False
