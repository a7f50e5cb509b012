"""What many photos cost: memory and time of each stage, without any real photo.

python tools/bench_scale.py --photos=1000000
"""

import collections
import resource
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

from xferlearn.photos import read_image_dir

_PHOTOS = flags.DEFINE_integer("photos", 1_000_000, "How many there are.", lower_bound=1000)
_CLASSES = 100


def measure_listing(number: int) -> None:
    """Prints what it takes to list photos in folders of classes, and to go over them once.

    Args:
        number: how many photos; as many empty files are made for it, and removed.
    """
    with tempfile.TemporaryDirectory(prefix="bench_scale_") as root:
        for label in range(_CLASSES):
            folder = Path(root, f"class {label:03}")
            folder.mkdir()
            for row in range(label * number // _CLASSES, (label + 1) * number // _CLASSES):
                (folder / f"photo_{row:09}.jpg").touch()
        before, started = peak_mib(), time.perf_counter()
        source = read_image_dir(root)
        listed, peak = time.perf_counter(), peak_mib()
        collections.deque(source.entries(), maxlen=0)
        ended = time.perf_counter()
        print(
            f"listing: {source.count:,} photos, {peak - before:.0f} MiB above the start,"
            f" {listed - started:.1f} s; with one pass over all of them {peak_mib() - before:.0f}"
            f" MiB and {ended - started:.1f} s"
        )


def peak_mib() -> float:
    """Returns the most memory that this process has taken so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main(_: list[str]) -> None:
    """Prints a line per stage."""
    measure_listing(_PHOTOS.value)


if __name__ == "__main__":
    app.run(main)
