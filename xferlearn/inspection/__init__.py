"""Inspects model files of any format; nothing in them is run."""

from typing import TYPE_CHECKING, Any

from xferlearn.inspection.inspection import inspect_model
from xferlearn.inspection.report import (
    BackboneReport,
    BottleneckReport,
    GraphReport,
    InputReport,
    OutputReport,
)

if TYPE_CHECKING:
    from xferlearn.inspection.writing import write_graph

__all__ = [
    "BackboneReport",
    "BottleneckReport",
    "GraphReport",
    "InputReport",
    "OutputReport",
    "inspect_model",
    "write_graph",
]


def __getattr__(name: str) -> Any:
    # TensorBoard's classes are needed for writing only.
    if name == "write_graph":
        from xferlearn.inspection.writing import write_graph

        return write_graph
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
