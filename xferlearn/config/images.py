"""Settings of every command that reads photos, and what they share."""

import dataclasses
import os
from pathlib import Path

from xferlearn.config.base import Config, setting


def default_bottleneck_dir() -> Path:
    """Returns the folder for bottlenecks: `$XDG_CACHE_HOME/xferlearn/bottlenecks`.

    Where XDG_CACHE_HOME is unset or not absolute it is ~/.cache, as the XDG Base Directory
    Specification asks.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not root.is_absolute():
        root = Path.home() / ".cache"
    return root / "xferlearn" / "bottlenecks"


DEFAULT_BACKBONE = "efficientnet_lite0"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageConfig(Config):
    """What is done with photos, the same for every command that reads them."""

    on_bad_image: str = setting(
        "skip",
        "What a photo that can't be read does: `skip` leaves it out, lists it with its reason and"
        " goes on; `fail` stops the command.",
        choices=("skip", "fail"),
        section="Photos",
    )
    max_image_pixels: int = setting(
        200_000_000,
        "Photos with more pixels than this are not decoded (a small file can claim billions).",
        minimum=1,
        section="Photos",
    )
    max_image_bytes: int = setting(
        200_000_000,
        "Files larger than this many bytes are not read.",
        minimum=1,
        section="Photos",
    )
    bottleneck_dir: str | None = setting(
        None,
        "Folder of the cached bottlenecks. Default: xferlearn/bottlenecks in $XDG_CACHE_HOME or"
        " ~/.cache. Several runs may share it at the same time.",
        section="Photos",
    )
    device: str = setting(
        "auto",
        "What computes: `cpu`, `gpu`, or `auto`, a GPU where TensorFlow sees one.",
        choices=("auto", "cpu", "gpu"),
        section="Speed",
    )
    engine: str = setting(
        "auto",
        "What runs the frozen network. `auto` takes the fastest that is installed and agrees with"
        " float32 TensorFlow on some of your photos.",
        choices=("auto", "tensorflow", "openvino"),
        section="Speed",
    )
    precision: str = setting(
        "auto",
        "Number format of the frozen network. `auto` takes bfloat16 where the processor has it"
        " and the engine stays exact enough.",
        choices=("auto", "float32", "bfloat16"),
        section="Speed",
    )
    verbose: int = setting(
        1,
        "How much is shown while work goes on: 0 nothing, 1 progress. Progress is a bar on a"
        " terminal and in a notebook, and one line every 30 s in a log.",
        minimum=0,
        maximum=1,
        section="Output",
    )
