"""What speed and space cost in accuracy: coarse numbers against exact ones.

    python tools/bench_precision.py --image_dir=flower_photos
    python tools/bench_precision.py --what=store --image_dir=flower_photos --seeds=0,1,2,3,4
    python tools/bench_precision.py --what=store --dataset=elpv --seeds=0,1,2,3,4

`speed` compares bfloat16 and decoding at a fraction with neither, by test accuracy. The photos are
enlarged first, so that decoding at a fraction has something to leave out. `store` compares
bottlenecks that are stored in float16 with float32, by cross-validation; each seed is that of the
split and of the head.

Both ways train on the same files, splits and seeds; they differ in the bottlenecks alone. One
split's accuracy moves by about a point with the last digits of its bottlenecks, so it takes many
splits to tell; they share the photos, which makes the interval a little too narrow.
"""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import benching
import numpy as np
from absl import flags
from PIL import Image

import xferlearn
from xferlearn.bottlenecks import store, writing
from xferlearn.bottlenecks.shards import as_halves
from xferlearn.config import DEFAULT_BACKBONE
from xferlearn.photos.folders.files import read_image_dir
from xferlearn.photos.pixels import headers as preparing
from xferlearn.training.result import TrainResult

_WHAT = flags.DEFINE_enum("what", "speed", ["speed", "store"], "What is compared.")
_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_DATASET = flags.DEFINE_string("dataset", None, "A dataset instead of a folder, for the store.")
_BACKBONE = flags.DEFINE_string("backbone", DEFAULT_BACKBONE, "The network.")
_WEIGHTS = flags.DEFINE_string("weights", "imagenet", "imagenet, none or a file.")
_SEEDS = flags.DEFINE_list("seeds", [str(seed) for seed in range(30)], "Seeds.")
_ENLARGE = flags.DEFINE_integer("enlarge", 4, "How many times wider and higher photos are made.")
_LIMIT = flags.DEFINE_integer("limit", None, "Photos to use, spread over the classes.")
flags.mark_flags_as_mutual_exclusive(["image_dir", "dataset"], required=True)


@flags.multi_flags_validator(["what", "dataset"], "--what=speed takes a folder")
def _takes_folder(given: dict[str, Any]) -> bool:
    return given["what"] == "store" or given["dataset"] is None


def enlarge(folder: Path) -> None:
    """Writes the photos of `--image_dir`, enlarged, with one sub-folder a class."""
    source = read_image_dir(_IMAGE_DIR.value)
    step = max(1, source.count // (_LIMIT.value or source.count))
    for path, label in source.files[::step]:
        target = folder / source.labels[label] / f"{Path(path).stem}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        image = Image.open(path).convert("RGB")
        sides = (image.width * _ENLARGE.value, image.height * _ENLARGE.value)
        image.resize(sides).save(target, "JPEG", quality=90)


def trained(folder: Path, seeds: Sequence[str], **settings: Any) -> list[TrainResult]:
    """Returns what a training gives with every one of `--seeds`.

    Args:
        folder: where models and bottlenecks go.
        seeds: the settings that each is given to.
        **settings: the others.
    """
    return [
        xferlearn.train(
            model_dir=str(folder / seed),
            bottleneck_dir=str(folder / "bottlenecks"),
            backbone=_BACKBONE.value,
            weights=_WEIGHTS.value,
            refit="none",
            summaries="none",
            **dict.fromkeys(seeds, int(seed)),
            **settings,
        )
        for seed in _SEEDS.value
    ]


def compare_speed(folder: Path) -> dict[str, list[float]]:
    """Returns the test accuracy of every split, in both ways."""
    enlarge(folder / "photos")

    def accuracies(name: str, precision: str) -> list[float]:
        found = trained(
            folder / name,
            ["split_seed"],
            image_dir=str(folder / "photos"),
            precision=precision,
            testing_percentage=10.0,
        )
        return [result.test.accuracy for result in found]

    quick = accuracies("quick", "auto")
    with mock.patch.object(preparing, "_halvings", return_value=0):
        return {"as by default": quick, "float32, decoded in full": accuracies("exact", "float32")}


def compare_store(folder: Path) -> dict[str, list[float]]:
    """Returns the cross-validated accuracy of every split and head, in both ways."""

    def accuracies(name: str) -> list[float]:
        photos = {"image_dir": _IMAGE_DIR.value, "dataset": _DATASET.value}
        found = trained(folder / name, ["split_seed", "seed"], **photos)
        return [result.validation.accuracy for result in found]

    def never(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        halves, fit = as_halves(vectors)
        return halves, np.zeros_like(fit)

    halves = accuracies("halves")
    with (
        mock.patch.object(store, "as_halves", never),
        mock.patch.object(writing, "as_halves", never),
    ):
        return {"stored in float16": halves, "stored in float32": accuracies("floats")}


def main(argv: list[str]) -> bool:
    """Runs the benchmark."""
    del argv
    with tempfile.TemporaryDirectory() as name:
        found = {"speed": compare_speed, "store": compare_store}[_WHAT.value](Path(name))
    for way, each in found.items():
        print(f"{way:26}{np.mean(each):.4f}: {', '.join(f'{accuracy:.3f}' for accuracy in each)}")
    change = 100 * np.subtract(*found.values())
    print(f"difference {change.mean():+.2f} points over {len(change)} splits", end="")
    if len(change) > 1:
        margin = 1.96 * change.std(ddof=1) / math.sqrt(len(change))
        print(f" (95% interval {change.mean() - margin:+.2f} to {change.mean() + margin:+.2f})")
    else:
        print()
    return True


if __name__ == "__main__":
    benching.run(main)
