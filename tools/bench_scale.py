"""What many photos cost: memory and time of each stage, without any real photo.

python tools/bench_scale.py --photos=1000000 --width=1280
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags

from xferlearn.bottlenecks.shards import make_shard
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.bottlenecks.writing import ROWS_PER_SHARD, SHARD

_PHOTOS = flags.DEFINE_integer("photos", 1_000_000, "How many there are.", lower_bound=1000)
_WIDTH = flags.DEFINE_integer("width", 16, "Numbers per bottleneck.", lower_bound=1)


def measure_store(number: int, width: int) -> None:
    """Prints what it takes to open a store, for the first time and again, and to look up all rows.

    Args:
        number: how many bottlenecks it has.
        width: numbers in each; 2 bytes per number are written below the temporary folder.
    """
    space = FeatureSpace("fake", "0" * 64, 224, "none", "none", "none", "float32", width)
    draw = np.random.default_rng(0)
    keys = draw.integers(0, 256, (number, 32), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        place = BottleneckStore(folder, space).folder
        for start in range(0, number, ROWS_PER_SHARD):
            some = [key.tobytes() for key in keys[start : start + ROWS_PER_SHARD]]
            rows = draw.normal(size=(len(some), width)).astype(np.float16)
            name, data = make_shard(some, rows, space.digest)
            (place / f"{name}{SHARD}").write_bytes(data)
        times, sizes = [time.perf_counter()], [anonymous_mib()]
        for _ in range(2):
            store = BottleneckStore(folder, space)
            times.append(time.perf_counter())
            sizes.append(anonymous_mib())
        need(store.has(keys).all())
        times.append(time.perf_counter())
        read = sum(len(rows) for _, rows in store.blocks(keys, rng=draw))
        times.append(time.perf_counter())
        need(read == number)
        first, again, asked, streamed = np.diff(times)
        index = Path(store.folder, "index").stat().st_size / 2**20
    print(
        f"store: {number:,} rows of {width}, opened first in {first:.2f} s, again in {again:.3f} s"
        f" ({sizes[2] - sizes[1]:+.0f} MiB, index {index:.0f} MiB mapped), all keys looked up in"
        f" {asked:.2f} s, all rows read in {streamed:.1f} s"
    )


def need(right: object) -> None:
    """Ends the benchmark where it has not measured what it says."""
    if not right:
        raise SystemExit("The store lacks rows that were written.")


def anonymous_mib() -> float:
    """Returns this process' memory that no file backs, MiB; not on Linux: its peak."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**10
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main(_: list[str]) -> None:
    """Prints a line per stage."""
    measure_store(_PHOTOS.value, _WIDTH.value)


if __name__ == "__main__":
    app.run(main)
