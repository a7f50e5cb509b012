"""What many photos cost: memory and time of each stage, without any real photo.

python tools/bench_scale.py --photos=1000000
"""

import hashlib
import resource
import sys
import time

from absl import app, flags

from xferlearn.photos.columns import PhotosBuilder
from xferlearn.photos.photo import Photo
from xferlearn.photos.splitting import build_manifest

_PHOTOS = flags.DEFINE_integer("photos", 1_000_000, "How many there are.", lower_bound=1000)
_CLASSES = 100


def measure_manifest(number: int) -> None:
    """Prints what it takes to gather rows of photos and to split them.

    Args:
        number: how many photos.
    """
    labels = tuple(f"class {label:03}" for label in range(_CLASSES))
    before, started = peak_mib(), time.perf_counter()
    builder = PhotosBuilder()
    for row in range(number):
        label = row * _CLASSES // number
        digest = hashlib.sha256(b"%d" % row).digest()
        # As threads finish them: nearly in order.
        builder.add(Photo(digest, label, f"{labels[label]}/photo_{row:09}.jpg"), row ^ 1)
    photos, gathered = builder.finish(), time.perf_counter()
    manifest = build_manifest(labels, photos)
    ended = time.perf_counter()
    print(
        f"manifest: {number:,} photos, {peak_mib() - before:.0f} MiB above the start,"
        f" {1e6 * (gathered - started) / number:.1f} us per photo to gather,"
        f" {1e6 * (ended - gathered) / number:.1f} us to split; {manifest}"
    )


def peak_mib() -> float:
    """Returns the most memory that this process has taken so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main(_: list[str]) -> None:
    """Prints a line per stage."""
    measure_manifest(_PHOTOS.value)


if __name__ == "__main__":
    app.run(main)
