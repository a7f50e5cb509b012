"""Inspects model files of any format; nothing in a file is run.

A file goes this way: `formats` recognises it from its content and has a reader (readers/, one
module per format) turn it into a `layers.Graph`; `inspection` works out the report from that graph,
with `analysis` (value range, classes, bottleneck) and `signatures` (backbones); `text_report`
prints it, and `writing` writes the graph for TensorBoard.

To add a format, add its module to readers/ and its row to `formats.FORMATS`; for a format that can
be run or exported too, see `xferlearn.predictors` and `xferlearn.exports`.

The names below are for the rest of the package; all others are for this folder alone.
"""

from typing import TYPE_CHECKING, Any

from xferlearn.inspection.formats import FORMATS, ModelFile
from xferlearn.inspection.inspection import inspect_model, open_model
from xferlearn.inspection.layers import Graph, Node, Shape, constant_names, walk_back
from xferlearn.inspection.metadata import (
    METADATA_ASSET,
    METADATA_KEY,
    METADATA_NODE,
    parse_labels,
)
from xferlearn.inspection.readers.hdf5 import read_hdf5
from xferlearn.inspection.readers.keras_config import read_keras_config
from xferlearn.inspection.readers.keras_files import read_json_member
from xferlearn.inspection.readers.saved_model import find_saved_model
from xferlearn.inspection.report import (
    BackboneReport,
    BottleneckReport,
    GraphReport,
    InputReport,
    OutputReport,
)
from xferlearn.inspection.text_report import format_report, format_shape, printable

if TYPE_CHECKING:
    from xferlearn.inspection.writing import build_graph_def, write_graph, write_held

__all__ = [
    "FORMATS",
    "METADATA_ASSET",
    "METADATA_KEY",
    "METADATA_NODE",
    "BackboneReport",
    "BottleneckReport",
    "Graph",
    "GraphReport",
    "InputReport",
    "ModelFile",
    "Node",
    "OutputReport",
    "Shape",
    "build_graph_def",
    "constant_names",
    "find_saved_model",
    "format_report",
    "format_shape",
    "inspect_model",
    "open_model",
    "parse_labels",
    "printable",
    "read_hdf5",
    "read_json_member",
    "read_keras_config",
    "walk_back",
    "write_graph",
    "write_held",
]


def __getattr__(name: str) -> Any:
    # TensorBoard's classes are needed for writing only.
    if name in ("build_graph_def", "write_graph", "write_held"):
        from xferlearn.inspection import writing

        return getattr(writing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
