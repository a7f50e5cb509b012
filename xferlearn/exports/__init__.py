"""Trained models in other formats, each proved on the model's own photos."""

from xferlearn.exports.exporting import export, export_with
from xferlearn.exports.formats import check_formats
from xferlearn.exports.report import ExportRow
from xferlearn.exports.result import ExportResult

__all__ = [
    "ExportResult",
    "ExportRow",
    "check_formats",
    "export",
    "export_with",
]
