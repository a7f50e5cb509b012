"""Writes everything that TensorBoard shows of a finished run."""

import time
from collections.abc import Callable
from pathlib import Path

from xferlearn.summaries.augmentation import write_augmentation
from xferlearn.summaries.card import write_card
from xferlearn.summaries.events import RunWriters
from xferlearn.summaries.graph import write_graph
from xferlearn.summaries.histograms import write_histograms
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
    lambda writers, record: write_hparams(writers[""], record),
)
_FULL: tuple[Part, ...] = (
    lambda writers, record: write_graph(writers[""], record.classifier),
    write_pictures,
    write_augmentation,
    lambda writers, record: write_histograms(writers[""], record),
    write_pr_curves,
    lambda writers, record: write_projector(writers.run_dir, record),
)


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

    def write_all_seconds(writers: RunWriters, record: RunRecord) -> None:
        spent = time.perf_counter() - started
        write_seconds(writers, {**record.seconds, "summaries": spent})

    writers = RunWriters(run_dir)
    parts = (*_ALWAYS, *(_FULL if level == "full" else ()), write_all_seconds)
    warnings: list[str] = []
    parts = (*parts, lambda writers, record: writers.close())
    verbose = record.config.verbose if level == "full" else 0  # the others take no time
    with progress_bar("TensorBoard", len(parts), "part", verbose=verbose) as bar:
        for part in parts:
            # Besides the disk, drawing photos and labels of any origin may fail in many ways.
            try:
                part(writers, record)
            except Exception as error:
                warnings.append(
                    Failure(f"The summaries in {run_dir} are not complete: {one_line(error)}.")
                )
            bar.update()
    return tuple(dict.fromkeys(warnings))
