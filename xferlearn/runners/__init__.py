"""Where the work is done: in this process, or on the machines of a Ray cluster."""

from xferlearn.runners.base import POSITION, PROBLEM, Job, Runner, Work
from xferlearn.runners.local import LocalRunner

__all__ = ["POSITION", "PROBLEM", "Job", "LocalRunner", "Runner", "Work"]
