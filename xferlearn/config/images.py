"""Settings of every command that reads photos, and what they share."""

import dataclasses
from pathlib import Path
from typing import Annotated

from xferlearn.config.base import Config, Setting, StrPath, Verbose
from xferlearn.system.addresses import is_bucket
from xferlearn.system.files import cache_folder


def default_bottleneck_dir() -> Path:
    """Returns the folder for bottlenecks where none is given, below `cache_folder`."""
    return cache_folder() / "bottlenecks"


def local_bottleneck_dir(config: "PhotoConfig") -> Path:
    """Returns the folder of this machine for what is kept beside bottlenecks and not shared.

    Where they are in a bucket it is the default folder: networks made ready for this processor,
    and what fine-tuning reads over and over.
    """
    if config.bottleneck_dir is None or is_bucket(str(config.bottleneck_dir)):
        return default_bottleneck_dir()
    return Path(config.bottleneck_dir)


DEFAULT_BACKBONE = "efficientnet_lite0"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotoConfig(Config):
    """How photos are read and passed through the network, but for the device."""

    on_bad_image: Annotated[
        str,
        Setting(
            "What to do with a photo that can't be read: `skip` leaves it out, lists it with the"
            " reason and goes on; `fail` stops the command.",
            choices=("skip", "fail"),
            section="Photos",
        ),
    ] = "skip"
    max_image_pixels: Annotated[
        int,
        Setting(
            "Photos with more pixels than this are not decoded: a small file can claim billions.",
            minimum=1,
            section="Photos",
            form="PIXELS",
        ),
    ] = 200_000_000
    max_image_bytes: Annotated[
        int,
        Setting(
            "Files larger than this many bytes are not read.",
            minimum=1,
            section="Photos",
            form="BYTES",
        ),
    ] = 200_000_000
    max_memory: Annotated[
        str | int | None,
        Setting(
            "Memory that the command may take, e.g. `4GiB`. Photos being decoded take at most 1 GiB"
            " of it; one that takes more is decoded alone where it is given and has room, and left"
            " out otherwise. Heads learn from bottlenecks in memory where they fit into it, and"
            " otherwise stream them from disk. Default: half of what is free.",
            minimum=2**30,
            size=True,
            section="Photos",
        ),
    ] = None
    bottleneck_dir: Annotated[
        StrPath | None,
        Setting(
            "Folder of the cached bottlenecks. Several runs may share it at the same time."
            " Default: xferlearn/bottlenecks in $XDG_CACHE_HOME or ~/.cache.",
            section="Photos",
            form="FOLDER",
            bucket=True,
        ),
    ] = None
    engine: Annotated[
        str,
        Setting(
            "What runs the frozen network. `auto` takes the fastest engine that is installed and"
            " agrees with float32 TensorFlow on some of your photos.",
            choices=("auto", "tensorflow", "openvino"),
            section="Speed",
        ),
    ] = "auto"
    precision: Annotated[
        str,
        Setting(
            "Number format of the frozen network. `auto` takes bfloat16 if the processor has it"
            " and the engine stays exact enough.",
            choices=("auto", "float32", "bfloat16"),
            section="Speed",
        ),
    ] = "auto"
    verbose: Verbose = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageConfig(PhotoConfig):
    """What is done with photos, the same for every command that reads them."""

    device: Annotated[
        str,
        Setting(
            "Where to compute: `cpu`, `gpu`, or `auto`, which takes a GPU if TensorFlow sees one.",
            choices=("auto", "cpu", "gpu"),
            section="Speed",
        ),
    ] = "auto"
