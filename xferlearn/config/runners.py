"""Settings of where the work is done."""

import dataclasses
from typing import Annotated

from xferlearn.config.base import Config, Setting
from xferlearn.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunnerConfig(Config):
    """Where photos are read and go through the network."""

    runner: Annotated[
        str,
        Setting(
            "Where photos are read and go through the network: `local`, this process with all its"
            " cores, or `ray`, the machines of a Ray cluster (`pip install 'xferlearn[ray]'`), all"
            " of which must reach the photos and `bottleneck_dir`.",
            choices=("local", "ray"),
            section="Speed",
        ),
    ] = "local"
    ray_address: Annotated[
        str | None,
        Setting(
            "Address of the Ray cluster, such as head:6379, or `auto` for the one that this"
            " machine belongs to. Default: RAY_ADDRESS, else Ray is started on this machine alone.",
            section="Speed",
            form="ADDRESS",
        ),
    ] = None
    workers: Annotated[
        int | None,
        Setting(
            "How many machines work at a time, each with all its cores. Default: all of the"
            " cluster.",
            minimum=1,
            section="Speed",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("ray_address", "workers"):
            if self.runner == "local" and getattr(self, name) is not None:
                raise UserError(f"`{name}` needs `runner='ray'`. Received: `runner='local'`.")
