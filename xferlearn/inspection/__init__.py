"""Inspects model files of any format, of which nothing is run, and backbones."""

import importlib
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
    from xferlearn.inspection.backbones import inspect_backbone
    from xferlearn.inspection.writing import write_graph

__all__ = [
    "BackboneReport",
    "BottleneckReport",
    "GraphReport",
    "InputReport",
    "OutputReport",
    "inspect_backbone",
    "inspect_model",
    "write_graph",
]


# What needs Keras or TensorBoard, and most inspections don't.
_LAZY = {
    "inspect_backbone": "xferlearn.inspection.backbones",
    "write_graph": "xferlearn.inspection.writing",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
