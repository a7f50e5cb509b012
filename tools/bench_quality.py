"""How many spoilt and strange photos an audit finds, and how many others it lists.

    python tools/bench_quality.py --image_dir=flower_photos --foreign_dataset=elpv

Photos are blurred, darkened or shrunk, a few at a time among all others as they are. Foreign photos
are put among them, a few at a time too. What is found of photos as they are is printed for both.
"""

import collections
from collections.abc import Callable

import benching
import numpy as np
from absl import flags
from PIL import Image, ImageDraw, ImageFilter

from xferlearn.auditing.outliers import find_outliers, loneliness
from xferlearn.auditing.quality import SIDE, find_bad_quality, measure
from xferlearn.config import TrainConfig
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import Photo
from xferlearn.photos.opening import open_source
from xferlearn.summaries.pixels import read_pixels
from xferlearn.system.runtime import start_tensorflow
from xferlearn.training.fit import prepare
from xferlearn.training.material import Material, material_of
from xferlearn.training.networks import load_networks

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_FOREIGN = flags.DEFINE_string("foreign_dataset", None, "TensorFlow Datasets name of others.")
_BACKBONE = flags.DEFINE_string("backbone", TrainConfig.backbone, "The network.")
_WEIGHTS = flags.DEFINE_string("weights", TrainConfig.weights, "imagenet, none or a file.")
_BOTTLENECK_DIR = flags.DEFINE_string("bottleneck_dir", None, "Where bottlenecks are cached.")
_SPOILT = flags.DEFINE_integer("spoilt", 200, "How many photos are spoilt.", lower_bound=1)
_DRAWS = flags.DEFINE_integer("draws", 10, "How often foreign photos are drawn.", lower_bound=1)
# Spoilt at a time: of many, the others would no longer say what is usual.
_FEW = 10
_STRANGE = (1, 5, 10, 20)


def _spoil() -> dict[str, Callable[[Image.Image], Image.Image]]:
    def blur(pixels: float) -> Callable[[Image.Image], Image.Image]:
        return lambda image: image.filter(ImageFilter.GaussianBlur(pixels))

    def dark(share: float) -> Callable[[Image.Image], Image.Image]:
        return lambda image: image.point([int(value * share) for value in range(256)] * 3)

    def small(side: int) -> Callable[[Image.Image], Image.Image]:
        return lambda image: image.resize((side, side)).resize((SIDE, SIDE))

    def dated(image: Image.Image) -> Image.Image:
        image = blur(6)(image)
        ImageDraw.Draw(image).text((10, 10), "2021-03-04 12:33", fill=(255, 200, 0))
        return image

    return {
        **{f"blurred by {pixels:g} px": blur(pixels) for pixels in (1.5, 2, 2.5, 3, 4, 6)},
        "blurred by 6 px, with a date": dated,
        **{f"at {share:.0%} brightness": dark(share) for share in (0.05, 0.1, 0.15, 0.2, 0.3)},
        **{f"made of {side} px": small(side) for side in (32, 48, 64, 96)},
    }


def main(_: list[str]) -> bool:
    """Prints the tables; returns whether 99% of what is blurred by 3 px is found."""
    start_tensorflow()
    own = _material(image_dir=_IMAGE_DIR.value)
    pixels = _pixels(own)
    before = _measured(pixels)
    print(f"as they are: {_counted(before, range(len(before)))} of {len(before)}")
    chosen = np.random.default_rng(0).permutation(len(pixels))[: _SPOILT.value]
    found_of = {}
    for what, spoil in _spoil().items():
        found: collections.Counter[str] = collections.Counter()
        for start in range(0, len(chosen), _FEW):
            rows = chosen[start : start + _FEW]
            now = before.copy()
            now[rows] = _measured([np.asarray(spoil(Image.fromarray(pixels[r]))) for r in rows])
            found += collections.Counter(_counted(now, rows.tolist()))
        found_of[what] = found["blurred"]
        print(f"{what}: {dict(found)} of {len(chosen)}")
    if _FOREIGN.value:
        _put_foreign(own, _material(dataset=_FOREIGN.value))
    return found_of["blurred by 3 px"] >= 0.99 * len(chosen)


def _put_foreign(own: Material, foreign: Material) -> None:
    others = _measured(_pixels(foreign))
    print(f"foreign as they are: {_counted(others, range(len(others)))} of {len(others)}")
    generator, number = np.random.default_rng(0), len(own.photos)
    for strange in _STRANGE:
        last, listed = [], 0
        for _ in range(_DRAWS.value):
            rows = generator.permutation(len(foreign.photos))[:strange]
            x = np.concatenate([own.bottlenecks, foreign.bottlenecks[rows]])
            folds = np.append(own.folds, generator.integers(0, own.folds.max() + 1, strange))
            lonely = loneliness(x, folds)
            last.append(int(np.flatnonzero(np.argsort(-lonely) >= number).max()) + 1)
            found = find_outliers(_numbered(len(x)), ("",), lonely)
            listed += sum(int(one.name) >= number for one in found)
        share = listed / (strange * _DRAWS.value)
        print(f"{strange} foreign: {share:.0%} listed, the last in place {sorted(last)}")


def _material(**place: str | None) -> Material:
    config = TrainConfig(
        model_dir="model",
        backbone=_BACKBONE.value,
        weights=_WEIGHTS.value,
        bottleneck_dir=_BOTTLENECK_DIR.value,
        **place,
    )
    return material_of(prepare(config, open_source(config), load_networks(config)), config)


def _pixels(material: Material) -> list[np.ndarray]:
    found = read_pixels(material.prepared.source, material.photos, SIDE, PhotoLimits())
    return [found[photo.digest] for photo in material.photos if photo.digest in found]


def _measured(pixels: list[np.ndarray]) -> np.ndarray:
    return np.stack([measure(one, SIDE, SIDE) for one in pixels])


def _numbered(number: int) -> list[Photo]:
    return [Photo(row.to_bytes(32, "big"), 0, str(row)) for row in range(number)]


def _counted(measured: np.ndarray, rows: range | list[int]) -> dict[str, int]:
    wanted = set(rows)
    found = find_bad_quality(_numbered(len(measured)), ("",), measured)
    return dict(collections.Counter(one.kind for one in found if int(one.name) in wanted))


if __name__ == "__main__":
    benching.run(main)
