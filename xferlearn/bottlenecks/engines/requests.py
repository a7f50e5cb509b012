"""Splits batches into requests that run side by side, one for each core."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xferlearn.system.runtime import core_count

# Small enough to keep a core's activations in its cache, and to share a batch evenly.
REQUEST_SIZE = 8


def side_by_side(
    request: Callable[[np.ndarray], np.ndarray], width: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function on batches of any size that runs `request` on parts of 8 photos.

    It may be called by several threads; their parts share the same workers, so that no core waits
    for the end of a batch.

    Args:
        request: pixels, [at most 8, height, width, 3], to outputs, [at most 8, width]. Must be
            safe to call from several threads, and should release the interpreter's lock.
        width: of the outputs, also for a batch without photos.
    """
    workers = ThreadPoolExecutor(core_count(), thread_name_prefix="engine")

    def run(pixels: np.ndarray) -> np.ndarray:
        starts = range(0, len(pixels), REQUEST_SIZE)
        parts = (pixels[start : start + REQUEST_SIZE] for start in starts)
        empty = np.empty((0, width), np.float32)
        return np.concatenate([empty, *workers.map(request, parts)])

    return run
