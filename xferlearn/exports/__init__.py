"""Trained models in other formats, each proved on the model's own photos."""

from xferlearn.exports.exporting import ExportResult, export, export_with
from xferlearn.exports.formats import check_formats
from xferlearn.exports.report import ExportRow, changed_lines

__all__ = [
    "ExportResult",
    "ExportRow",
    "changed_lines",
    "check_formats",
    "export",
    "export_with",
]
