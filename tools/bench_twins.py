"""How many copies of photos are found, and how many other photos are taken for copies.

    python tools/bench_twins.py --image_dir=flower_photos
    python tools/bench_twins.py --synthetic=100000

Changes some photos of a folder in several ways, and looks for each among all photos. Pairs within
the folder that are taken for twins are counted too: look at them, they may be true. With
`--synthetic` seconds and memory are measured on prints of pictures that never were.
"""

import hashlib
import io
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.reading import load_photos, readable
from xferlearn.photos.sources import Entry
from xferlearn.photos.twins.finding import find_alike
from xferlearn.photos.twins.prints import PRINT_BYTES, SIDE, Prints, make_prints

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with photos, at any depth.")
_CHANGED = flags.DEFINE_integer("changed", 200, "How many photos are changed.")
_SIZE = flags.DEFINE_integer("image_size", 224, "Side in px of the pixels that prints are made of.")
_SYNTHETIC = flags.DEFINE_integer("synthetic", 0, "Instead: this many prints, 5% of them copies.")


def _jpeg(image: Image.Image, quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _cropped(image: Image.Image, share: float, place: float = 0.5) -> Image.Image:
    width, height = (round(side * (1 - share)) for side in image.size)
    left, top = round((image.width - width) * place), round((image.height - height) * place)
    return image.crop((left, top, left + width, top + height))


def _scaled(image: Image.Image, share: float) -> Image.Image:
    return image.resize((round(image.width * share), round(image.height * share)))


def _marked(image: Image.Image) -> Image.Image:
    image = image.copy()
    width, height = image.size
    box = (width * 0.55, height * 0.85, width * 0.95, height * 0.95)
    ImageDraw.Draw(image).rectangle(box, fill="white")
    return image


_CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG quality 90": lambda image: _jpeg(image, 90),
    "JPEG quality 50": lambda image: _jpeg(image, 50),
    "JPEG quality 20": lambda image: _jpeg(image, 20),
    "half the size": lambda image: _jpeg(_scaled(image, 1 / 2)),
    "a third of the size": lambda image: _jpeg(_scaled(image, 1 / 3)),
    "gray": lambda image: _jpeg(image.convert("L")),
    "20% brighter": lambda image: _jpeg(ImageEnhance.Brightness(image).enhance(1.2)),
    "20% darker": lambda image: _jpeg(ImageEnhance.Brightness(image).enhance(0.8)),
    "5% cropped": lambda image: _jpeg(_cropped(image, 0.05)),
    "5% cropped, at a corner": lambda image: _jpeg(_cropped(image, 0.05, 0)),
    "15% cropped": lambda image: _jpeg(_cropped(image, 0.15)),
    "15% cropped, at a corner": lambda image: _jpeg(_cropped(image, 0.15, 0)),
    "mirrored": lambda image: _jpeg(ImageOps.mirror(image)),
    "in a white border": lambda image: _jpeg(
        ImageOps.expand(image, round(0.04 * min(image.size)), "white")
    ),
    "a white box on 4% of it": lambda image: _jpeg(_marked(image)),
    "10% less high": lambda image: _jpeg(image.resize((image.width, round(image.height * 0.9)))),
    "turned by 90 degrees": lambda image: _jpeg(image.transpose(Image.Transpose.ROTATE_90)),
}


def prints_of(files: list[bytes]) -> Prints:
    """Returns the prints of photos."""

    def entries() -> Iterator[Entry]:
        for number, data in enumerate(files):
            yield Entry(str(number), 0, lambda data=data: data, len(data))

    limits = PhotoLimits()
    loaded = readable(load_photos(entries(), _SIZE.value, limits))
    batches = decoded_batches(loaded, _SIZE.value, limits)
    return Prints(np.concatenate([make_prints(batch.pixels) for batch in batches if batch.photos]))


def _digests(count: int) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest() for number in range(count)]


def measure_recall() -> None:
    """Prints, per change, how many of the changed photos are found."""
    paths = sorted(Path(_IMAGE_DIR.value).rglob("*.jpg"))
    base = prints_of([path.read_bytes() for path in paths])
    own = find_alike(_digests(len(base)), base)
    print(f"{len(base)} photos: {len(own.twins)} are taken for twins, in"
          f" {len(set(own.twins.values()))} groups")  # fmt: skip
    changed = np.random.default_rng(0).permutation(len(base))[: _CHANGED.value]
    images = [Image.open(paths[row]).convert("RGB") for row in changed]
    digests = _digests(len(base) + len(changed))
    for name, change in _CHANGES.items():
        rows = prints_of([change(image) for image in images]).rows
        alike = find_alike(digests, Prints(np.concatenate([base.rows, rows])))
        found = wrong = 0
        for copy, row in zip(digests[len(base) :], changed, strict=True):
            same = copy in alike.twins and alike.twins[copy] == alike.twins.get(digests[row])
            found += same
            wrong += copy in alike.twins and not same
        print(f"{name:26} found {found} of {len(changed)}, with others {wrong}")


def measure_cost(count: int) -> None:
    """Prints seconds and memory for prints of pictures with the spectrum of photos."""
    generator = np.random.default_rng(0)
    grid = np.fft.fftfreq(SIDE) * SIDE
    frequency = np.hypot(grid[:, None], grid)
    frequency[0, 0] = 1
    rows = np.zeros((count, PRINT_BYTES), np.uint8)
    rows[:, :32] = generator.integers(0, 256, (count, 32), np.uint8)
    rows[:, 32 + SIDE**2 :] = 128
    gray = rows[:, 32 : 32 + SIDE**2]
    for start in range(0, count, 4096):
        noise = generator.standard_normal((min(4096, count - start), SIDE, SIDE))
        field = np.fft.ifft2(np.fft.fft2(noise) / frequency**1.3).real
        field /= field.std((1, 2), keepdims=True)
        gray[start : start + 4096] = (128 + 45 * field).clip(0, 255).reshape(len(noise), -1)
    pairs = generator.permutation(count)[: count // 20 * 2].reshape(2, -1)
    noise = generator.integers(-2, 3, (pairs.shape[1], SIDE**2))
    gray[pairs[1]] = (gray[pairs[0]] + noise).clip(0, 255)
    digests = _digests(count)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    alike = find_alike(digests, Prints(rows))
    seconds = time.perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    found = sum(
        alike.twins.get(digests[one], one) == alike.twins.get(digests[other], other)
        for one, other in pairs.T
    )
    print(f"{count} prints: {seconds:.1f} s, {grown / 1024:.0f} MB beside the prints'"
          f" {rows.nbytes >> 20} MB; found {found} of {pairs.shape[1]} copies")  # fmt: skip


def main(argv: list[str]) -> None:
    """Runs the benchmark."""
    del argv
    if _SYNTHETIC.value:
        measure_cost(_SYNTHETIC.value)
    else:
        measure_recall()


if __name__ == "__main__":
    app.run(main)
