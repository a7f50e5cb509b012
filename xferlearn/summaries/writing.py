"""Writes everything that TensorBoard shows of a finished run."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from xferlearn.summaries.augmentation import write_augmentation
from xferlearn.summaries.card import write_card
from xferlearn.summaries.events import RunWriters
from xferlearn.summaries.graph import write_graph
from xferlearn.summaries.hparams import write_hparams
from xferlearn.summaries.pictures import write_pictures
from xferlearn.summaries.pr_curves import write_pr_curves
from xferlearn.summaries.projector import write_projector
from xferlearn.summaries.record import RunRecord
from xferlearn.summaries.scalars import write_results, write_seconds
from xferlearn.system.progress import progress_bar
from xferlearn.system.results import Failure
from xferlearn.system.text import one_line

Part = Callable[[RunWriters, RunRecord], None]

_ALWAYS: tuple[Part, ...] = (
    write_results,
    lambda writers, record: write_card(writers[""], record),
    write_hparams,
)
_FULL: tuple[Part, ...] = (
    lambda writers, record: write_graph(writers[""], record.classifier),
    write_pictures,
    write_augmentation,
    write_pr_curves,
)
# What takes its time in native code, while the others draw in Python.
_DECODING: tuple[Part, ...] = (lambda writers, record: write_projector(writers.run_dir, record),)


def write_run(run_dir: str | Path, record: RunRecord, level: str = "full") -> tuple[str, ...]:
    """Writes the summaries of a finished run.

    Args:
        run_dir: the run's folder, as `run_folder` makes it.
        record: the run.
        level: "scalars" for charts, run card and HParams row; "full" for everything.

    Returns:
        What could not be written, one line each: neither a full disk nor a part that fails may
        cost a finished training or the other parts.
    """
    started = time.perf_counter()
    warnings: list[str] = []
    writers = RunWriters(run_dir)

    def write(part: Part) -> None:
        # Besides the disk, drawing photos and labels of any origin may fail in many ways.
        try:
            part(writers, record)
        except Exception as error:
            warnings.append(
                Failure(f"The summaries in {run_dir} are not complete: {one_line(error)}.")
            )

    def write_all_seconds(writers: RunWriters, record: RunRecord) -> None:
        spent = time.perf_counter() - started
        write_seconds(writers, {**record.seconds, "summaries": spent})

    parts = (*_ALWAYS, *(_FULL if level == "full" else ()))
    decoding = _DECODING if level == "full" else ()
    verbose = record.config.verbose if level == "full" else 0  # the others take no time
    with (
        progress_bar("TensorBoard", len(parts) + len(decoding), "part", verbose=verbose) as bar,
        ThreadPoolExecutor(1) as beside,
    ):
        waiting = [beside.submit(write, part) for part in decoding]
        for part in parts:
            write(part)
            bar.update()
        for future in waiting:
            future.result()
            bar.update()
    write(write_all_seconds)
    write(lambda writers, record: writers.close())
    return tuple(dict.fromkeys(warnings))
