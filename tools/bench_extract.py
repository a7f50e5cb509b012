"""From JPEG files to bottlenecks: photos per second of every engine, against Keras' own recipe.

    python tools/bench_extract.py --image_dir=flower_photos
    python tools/bench_extract.py --image_dir=flower_photos --backbone=mobilenet --weights=none
    python tools/bench_extract.py --image_dir=flower_photos --megapixels=12
    python tools/bench_extract.py --image_dir=flower_photos --photos=100000

Everything runs in one process, by turns, on the same photos; ratios mean more than rates. Cold is
the first pass, which includes building and compiling, warm the best of those after it.
"""

import dataclasses
import itertools
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import benching
import numpy as np
from absl import flags

from xferlearn import load_backbone
from xferlearn.bottlenecks import compute as extraction
from xferlearn.bottlenecks.engines import Engine, EnginePlan, build_engine
from xferlearn.bottlenecks.engines.planning import has_bfloat16, openvino_installed
from xferlearn.bottlenecks.space import feature_space
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.config import DEFAULT_BACKBONE
from xferlearn.photos import reading
from xferlearn.photos.folders.files import FileSource, read_image_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.pixels import decoding
from xferlearn.photos.pixels.decoding import BATCH_SIZE
from xferlearn.photos.pixels.operations import resize_pixels
from xferlearn.photos.sources import Entry
from xferlearn.system.runtime import core_count, start_tensorflow
from xferlearn.system.tables import format_table

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_BACKBONE = flags.DEFINE_string("backbone", DEFAULT_BACKBONE, "The network.")
_WEIGHTS = flags.DEFINE_string("weights", "imagenet", "imagenet, none or a file.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Passes over the photos; the first one is cold.")
_LIMIT = flags.DEFINE_integer("limit", None, "Photos to use, spread over the classes.")
_MEGAPIXELS = flags.DEFINE_float(
    "megapixels", None, "Enlarge 48 photos to this size and compare with full decoding instead."
)
_PHOTOS = flags.DEFINE_integer(
    "photos", None, "Extract this many photos (real ones under new content) and report memory."
)
flags.mark_flag_as_required("image_dir")

LIMITS = PhotoLimits()
# Pillow's default, and what cameras write: the more data, the less there is to be left out.
_QUALITIES = (75, 90)


def repeated(source: FileSource, count: int) -> Iterator[Entry]:
    """Yields a folder's photos over and over; bytes after the end make each one new to any run."""
    salt = os.urandom(8)
    paths = itertools.cycle(path for path, _ in source.files)
    for number, path in zip(range(count), paths, strict=False):
        tail = salt + number.to_bytes(8, "big")
        size = Path(path).stat().st_size
        yield Entry(f"{number}", 0, lambda p=path, t=tail: Path(p).read_bytes() + t, size)


def plans() -> list[EnginePlan]:
    """Returns every engine that this machine has."""
    names = ["tensorflow", *(["openvino"] if openvino_installed() else [])]
    precisions = ["float32", *(["bfloat16"] if has_bfloat16() else [])]
    return [EnginePlan(name, precision) for name in names for precision in precisions]


def rates(work: Callable[[], int], rounds: int) -> tuple[float, float]:
    """Returns photos per second of the first call and of the best call after it."""
    found = []
    for _ in range(max(2, rounds)):
        started = time.perf_counter()
        count = work()
        found.append(count / (time.perf_counter() - started))
    return found[0], max(found[1:])


def compare_engines(source: FileSource) -> None:
    """Prints the main table."""
    import keras

    backbone = load_backbone(_BACKBONE.value, weights=_WEIGHTS.value)
    size = backbone.input_shape[1]

    def keras_recipe() -> int:
        dataset = keras.utils.image_dataset_from_directory(
            _IMAGE_DIR.value, image_size=(size, size), batch_size=BATCH_SIZE, shuffle=False,
            verbose=False,
        )  # fmt: skip
        return len(backbone.predict(dataset, verbose=0))

    def decode_alone() -> int:
        photos = reading.load_photos(source.entries(), size, LIMITS)
        return sum(len(batch.photos) for batch in decoding.decoded_batches(photos, size, LIMITS))

    few = FileSource(source.labels, source.files[:: max(1, source.count // 256)][:256], source.root)
    loaded = reading.load_photos(few.entries(), size, LIMITS)
    ready = np.concatenate(
        [batch.pixels for batch in decoding.decoded_batches(loaded, size, LIMITS)]
    )
    rows = [["path", "cold/s", "warm/s", "x Keras", "engine alone/s", "of engine alone"]]
    cold, keras_warm = rates(keras_recipe, _ROUNDS.value)
    name = "Keras: image_dataset_from_directory + predict"
    rows.append([name, f"{cold:.0f}", f"{keras_warm:.0f}", "1.00", "", ""])
    for plan in plans():
        engine = build_engine(backbone, plan)

        def alone(run: Callable = engine.run) -> int:
            for start in range(0, len(ready), BATCH_SIZE):
                run(ready[start : start + BATCH_SIZE])
            return len(ready)

        def files_to_store(plan: EnginePlan = plan, engine: Engine = engine) -> int:
            space = feature_space(backbone, plan.precision)
            with tempfile.TemporaryDirectory() as folder:
                store = BottleneckStore(folder, space)
                found = extraction.extract(source.entries(), store, lambda: engine, LIMITS)
            return found.computed

        _, alone_warm = rates(alone, _ROUNDS.value)
        cold, warm = rates(files_to_store, _ROUNDS.value)
        rows.append(
            [
                f"xferlearn: {plan.name} {plan.precision}",
                f"{cold:.0f}",
                f"{warm:.0f}",
                f"{warm / keras_warm:.2f}",
                f"{alone_warm:.0f}",
                f"{warm / alone_warm:.2f}",
            ]
        )
    _, warm = rates(decode_alone, _ROUNDS.value)
    rows.append(["decode alone", "", f"{warm:.0f}", f"{warm / keras_warm:.2f}", "", ""])
    print(f"{source.count} photos, {_BACKBONE.value} at {size} px, {core_count()} cores")
    print(format_table(rows))


def compare_decoding(source: FileSource, megapixels: float) -> None:
    """Prints how much decoding at a fraction of the size saves on large photos."""
    import tensorflow as tf

    size = 224

    def whole(number: tf.Tensor, data: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        del rest
        pixels = tf.io.decode_jpeg(data, channels=3)
        return number, resize_pixels(pixels, tf.constant([size, size]))

    rows = [["JPEG quality", "MB per photo", "at a fraction/s", "in full/s", "ratio"]]
    for quality in _QUALITIES:
        with tempfile.TemporaryDirectory() as folder:
            paths = enlarge(source, megapixels, quality, Path(folder))
            # Often enough that starting a pipeline, some 0.2 s, does not count.
            large = FileSource((), tuple((str(path), 0) for path in paths) * 16)

            def decode(large: FileSource = large) -> int:
                loaded = reading.load_photos(large.entries(), size, LIMITS)
                batches = decoding.decoded_batches(loaded, size, LIMITS)
                return sum(len(batch.photos) for batch in batches)

            scaled = rates(decode, _ROUNDS.value)[1]
            with mock.patch.object(decoding, "decoder", return_value=whole):
                full = rates(decode, _ROUNDS.value)[1]
            megabytes = sum(path.stat().st_size for path in paths) / len(paths) / 1e6
        rates_and_ratio = [f"{scaled:.0f}", f"{full:.0f}", f"{scaled / full:.1f}"]
        rows.append([str(quality), f"{megabytes:.2f}", *rates_and_ratio])
    print(f"{large.count} photos of {megapixels:g} megapixels to {size} px, {core_count()} cores")
    print(format_table(rows))


def enlarge(source: FileSource, megapixels: float, quality: int, folder: Path) -> list[Path]:
    """Writes 48 of the photos, enlarged, as JPEG files."""
    from PIL import Image

    paths = []
    for path, _ in source.files[:: max(1, source.count // 48)][:48]:
        image = Image.open(path).convert("RGB")
        factor = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        large = image.resize((round(image.width * factor), round(image.height * factor)))
        paths.append(folder / f"{len(paths)}.jpg")
        large.save(paths[-1], quality=quality)
    return paths


def extract_many(source: FileSource, count: int) -> None:
    """Prints rate and peak memory of a long extraction."""
    backbone = load_backbone(_BACKBONE.value, weights=_WEIGHTS.value)
    plan = plans()[-1]
    with tempfile.TemporaryDirectory() as folder:
        store = BottleneckStore(folder, feature_space(backbone, plan.precision))
        entries = repeated(source, count)
        found = extraction.extract(
            entries, store, lambda: build_engine(backbone, plan), LIMITS, count=count
        )
    print(f"{found.computed} photos, {plan.name} {plan.precision}: {found.photos_per_second:.0f}/s")


def main(argv: list[str]) -> bool:
    """Runs the benchmark that the flags ask for."""
    del argv
    source = read_image_dir(_IMAGE_DIR.value)
    if _LIMIT.value:
        step = max(1, source.count // _LIMIT.value)
        source = dataclasses.replace(source, files=source.files[::step][: _LIMIT.value])
    start_tensorflow()
    if _MEGAPIXELS.value:
        compare_decoding(source, _MEGAPIXELS.value)
    elif _PHOTOS.value:
        extract_many(source, _PHOTOS.value)
    else:
        compare_engines(source)
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {peak / (2**30 if sys.platform == 'darwin' else 2**20):.2f} GiB")
    return True


if __name__ == "__main__":
    benching.run(main)
