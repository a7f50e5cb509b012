"""Settings of `xferlearn board`."""

import dataclasses

from xferlearn.config.base import Config, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoardConfig(Config):
    """Settings of `xferlearn board`."""

    logs_dir: str = setting("logs", "Folder of the runs, as `train` writes it.")
    host: str = setting("localhost", "Address to listen on; 0.0.0.0 lets other machines in.")
    port: int | None = setting(
        None, "Port to listen on. Default: 6006, or the next free one.", minimum=0, maximum=65535
    )
