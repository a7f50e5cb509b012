"""What speed costs in accuracy: bfloat16 and decoding at a fraction, against neither.

    python tools/bench_precision.py --image_dir=flower_photos

The photos are enlarged first, so that decoding at a fraction has something to leave out. Both ways
train on the same files, splits and seeds; they differ in the bottlenecks alone. One split's
accuracy moves by about a point with the last digits of its bottlenecks, so it takes many splits to
tell; they share the photos, which makes the interval a little too narrow.
"""

import math
import tempfile
from pathlib import Path
from unittest import mock

import benching
import numpy as np
from absl import flags
from PIL import Image

import xferlearn
from xferlearn.config import DEFAULT_BACKBONE
from xferlearn.photos.folders.files import read_image_dir
from xferlearn.photos.pixels import headers as preparing

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_BACKBONE = flags.DEFINE_string("backbone", DEFAULT_BACKBONE, "The network.")
_WEIGHTS = flags.DEFINE_string("weights", "imagenet", "imagenet, none or a file.")
_SEEDS = flags.DEFINE_list("seeds", [str(seed) for seed in range(30)], "Split seeds.")
_ENLARGE = flags.DEFINE_integer("enlarge", 4, "How many times wider and higher photos are made.")
_LIMIT = flags.DEFINE_integer("limit", None, "Photos to use, spread over the classes.")
flags.mark_flag_as_required("image_dir")


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


def accuracies(folder: Path, name: str, precision: str) -> list[float]:
    """Returns the test accuracy of every split seed."""
    return [
        xferlearn.train(
            image_dir=str(folder / "photos"),
            model_dir=str(folder / name / seed),
            bottleneck_dir=str(folder / name / "bottlenecks"),
            backbone=_BACKBONE.value,
            weights=_WEIGHTS.value,
            precision=precision,
            testing_percentage=10.0,
            split_seed=int(seed),
            refit="none",
            summaries="none",
        ).test.accuracy
        for seed in _SEEDS.value
    ]


def main(argv: list[str]) -> bool:
    """Runs the benchmark."""
    del argv
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        enlarge(folder / "photos")
        found = {"as by default": accuracies(folder, "quick", "auto")}
        with mock.patch.object(preparing, "_halvings", return_value=0):
            exact = accuracies(folder, "exact", "float32")
        found["float32, decoded in full"] = exact
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
