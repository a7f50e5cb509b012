"""Inspects model files of any format, of which nothing is run, and backbones.

A file goes this way: `formats` recognises it from its content and has a reader (readers/, one
module per format) turn it into a `layers.Graph`, with what its maker states about it (`metadata`
for this package, `makers` for others); `inspection` works out the report from that graph, with
`analysis` (value range, classes, bottleneck), `purpose` (what outputs are for) and `signatures`
(backbones); `text_report` prints it, `proposing` says whether `label` can use it, and `writing`
writes the graph for TensorBoard. What is no model that is read goes to `strangers`.

To add a format, add its module to readers/ and its row to `formats.FORMATS`; for a format that can
be run or exported too, see `xferlearn.predictors` and `xferlearn.exports`.

The names below are for the rest of the package; all others are for this folder alone.
"""

from typing import TYPE_CHECKING

from xferlearn.inspection.analysis import layer_before_scores
from xferlearn.inspection.archives import Unpacked, is_archive
from xferlearn.inspection.endings import Ending, find_ending
from xferlearn.inspection.formats import FORMATS, ModelFile
from xferlearn.inspection.inspection import build_report, inspect_model, open_model, open_unpacked
from xferlearn.inspection.layers import Calibration, Graph, Node, Shape, constant_names, walk_back
from xferlearn.inspection.metadata import (
    METADATA_ASSET,
    METADATA_KEY,
    METADATA_NODE,
    parse_labels,
)
from xferlearn.inspection.proposing import (
    find_label_files,
    fitting_labels,
    has_imagenet_classes,
    missing_size,
    missing_values,
)
from xferlearn.inspection.purpose import output_kind, refusal
from xferlearn.inspection.readers.hdf5 import read_hdf5
from xferlearn.inspection.readers.keras_config import read_keras_config
from xferlearn.inspection.readers.keras_files import read_json_member
from xferlearn.inspection.readers.keras_layers import refused_layers
from xferlearn.inspection.readers.keras_two import modernised
from xferlearn.inspection.readers.saved_model import find_saved_model
from xferlearn.inspection.report import (
    BackboneReport,
    BottleneckReport,
    GraphReport,
    InputReport,
    OutputReport,
)
from xferlearn.inspection.text_report import format_report, format_shape, printable
from xferlearn.inspection.values import eight_bit_span, fits_integers
from xferlearn.system.lazy import lazy_names

if TYPE_CHECKING:
    from xferlearn.inspection.backbones import inspect_backbone, open_backbone
    from xferlearn.inspection.writing import build_graph_def, write_graph, write_held

__all__ = [
    "FORMATS",
    "METADATA_ASSET",
    "METADATA_KEY",
    "METADATA_NODE",
    "BackboneReport",
    "BottleneckReport",
    "Calibration",
    "Ending",
    "Graph",
    "GraphReport",
    "InputReport",
    "ModelFile",
    "Node",
    "OutputReport",
    "Shape",
    "Unpacked",
    "build_graph_def",
    "build_report",
    "constant_names",
    "eight_bit_span",
    "find_ending",
    "find_label_files",
    "find_saved_model",
    "fits_integers",
    "fitting_labels",
    "format_report",
    "format_shape",
    "has_imagenet_classes",
    "inspect_backbone",
    "inspect_model",
    "is_archive",
    "layer_before_scores",
    "missing_size",
    "missing_values",
    "modernised",
    "open_backbone",
    "open_model",
    "open_unpacked",
    "output_kind",
    "parse_labels",
    "printable",
    "read_hdf5",
    "read_json_member",
    "read_keras_config",
    "refusal",
    "refused_layers",
    "walk_back",
    "write_graph",
    "write_held",
]


# What needs Keras or TensorBoard, and most inspections don't.
_LAZY = {
    "build_graph_def": "xferlearn.inspection.writing",
    "inspect_backbone": "xferlearn.inspection.backbones",
    "open_backbone": "xferlearn.inspection.backbones",
    "write_graph": "xferlearn.inspection.writing",
    "write_held": "xferlearn.inspection.writing",
}


__getattr__ = lazy_names(__name__, _LAZY)
