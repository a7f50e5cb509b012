"""What a million photos take: each stage on made-up data, in a process of its own.

    python tools/bench_scale.py --photos=196608 --width=1280 --classes=100

One line per stage: wall and CPU time per photo, and the largest memory of the process. The data go
to `--folder` and are removed.
"""

import hashlib
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import benching
import numpy as np
from absl import flags

from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.config import TrainConfig
from xferlearn.config.presets import HIDDEN_UNITS, WEIGHT_DECAY

FLAGS = flags.FLAGS
flags.DEFINE_integer("photos", 196_608, "Number of photos.")
flags.DEFINE_integer("width", 1280, "Values per bottleneck.")
flags.DEFINE_integer("classes", 100, "Number of classes.")
flags.DEFINE_bool("in_memory", True, "Whether the head is also trained from memory.")
flags.DEFINE_string("folder", None, "Where the data go; a temporary folder where none is given.")

T = TypeVar("T")
_FOLDS = 5
_MOST_GIB = 2.5


def main(_: list[str]) -> bool:
    """Measures the head, streamed and in memory; returns whether streaming stays small."""
    folder = Path(FLAGS.folder or tempfile.mkdtemp(prefix="bench_scale_"))
    arguments = FLAGS.photos, FLAGS.width, FLAGS.classes, folder
    try:
        _apart(write_store, *arguments)
        peak = _apart(measure_head, *arguments, True)
        if FLAGS.in_memory:
            _apart(measure_head, *arguments, False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return peak <= _MOST_GIB


def _apart(function: Callable[..., T], *arguments: Any) -> T:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _space(width: int) -> FeatureSpace:
    return FeatureSpace("fake", "", 224, "", "", "", "float32", width)


def _keys(number: int) -> np.ndarray:
    digests = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(number))
    return np.frombuffer(digests, np.uint8).reshape(number, 32)


def write_store(number: int, width: int, classes: int, folder: Path) -> None:
    """Writes bottlenecks around one centre per class, classes mixed."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (classes, width)).astype(np.float32)
    keys = _keys(number)
    with BottleneckStore(folder, _space(width)).writer() as writer:
        for start in range(0, number, 4096):
            some = np.arange(start, min(start + 4096, number))
            rows = centres[some * 7919 % classes]
            rows = rows + rng.normal(0, 2, rows.shape).astype(np.float32)
            for key, row in zip(keys[some], rows, strict=True):
                writer.add(key.tobytes(), row)


def measure_head(number: int, width: int, classes: int, folder: Path, streamed: bool) -> float:
    """Trains seven heads for one pass, and predicts every photo by that which has not seen it.

    Returns:
        The largest memory of the process while the heads learn, in GiB.
    """
    from xferlearn.system.runtime import start_tensorflow

    start_tensorflow()
    from xferlearn.training.cross_fitting import fit_heads
    from xferlearn.training.head import measure_scale
    from xferlearn.training.plan import HeadPlan
    from xferlearn.training.stored_rows import StoredRows

    rows = StoredRows([BottleneckStore(folder, _space(width))], _keys(number))
    y = (np.arange(number) * 7919 % classes).astype(np.int32)
    folds = np.arange(number) // 7 % (_FOLDS + 1) - 1
    known = folds >= 0  # the others are the test
    heads = [*(known & (folds != fold) for fold in range(_FOLDS)), known, np.ones(number, bool)]
    steps = number // TrainConfig.train_batch_size
    plan = HeadPlan(HIDDEN_UNITS, TrainConfig.dropout, WEIGHT_DECAY, steps)
    wall, cpu = time.perf_counter(), time.process_time()
    x = rows if streamed else rows[:]
    scale = measure_scale(x, rows=np.flatnonzero(known))
    stack, training = fit_heads(x, y, np.stack(heads, axis=1), classes, plan, scale, known=known)
    fitted = time.process_time()
    # What is predicted is a table of a temporary file where it is large, which the machine may keep
    # in memory as long as there is room.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = stack.out_of_fold(x, folds)
    right = float((found.argmax(axis=1) == y[known]).mean())
    wall, ended = time.perf_counter() - wall, time.process_time()
    print(
        f"head, {'streamed' if training.streamed else 'in memory'}: {number:,} x {width},"
        f" {classes} classes, {len(heads)} heads, one pass: {(fitted - cpu) / number * 1e6:.1f} us"
        f" of CPU per photo, predicting them {(ended - fitted) / number * 1e6:.1f} us,"
        f" {wall:.0f} s in all, {right:.1%} right, {peak:.2f} GiB at most while"
        " learning",
        flush=True,
    )
    return peak


if __name__ == "__main__":
    sys.exit(benching.run(main))
