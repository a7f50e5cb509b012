"""What people see of a run: in TensorBoard, in a notebook, on a terminal.

For TensorBoard that is scalars, graph, run card, images, histograms, PR curves and projector.
"""

from xferlearn.summaries.evaluations import write_evaluation
from xferlearn.summaries.events import EventWriter
from xferlearn.summaries.graph import write_graph
from xferlearn.summaries.record import RunRecord
from xferlearn.summaries.runs import (
    create_run,
    deliver_run,
    folder_bytes,
    joined_name,
    keep_run,
    run_folder,
)
from xferlearn.summaries.scalars import scalars_callback
from xferlearn.summaries.writing import write_run

__all__ = [
    "EventWriter",
    "RunRecord",
    "create_run",
    "deliver_run",
    "folder_bytes",
    "joined_name",
    "keep_run",
    "run_folder",
    "scalars_callback",
    "write_evaluation",
    "write_graph",
    "write_run",
]
