"""Where the work is done: in this process, or on the machines of a Ray cluster."""

from xferlearn.runners.base import POSITION, PROBLEM, Job, Runner, Work
from xferlearn.runners.local import LocalRunner
from xferlearn.runners.opening import open_runner
from xferlearn.runners.ordering import in_order

__all__ = [
    "POSITION", "PROBLEM", "Job", "LocalRunner", "Runner", "Work", "in_order", "open_runner"
]  # fmt: skip
