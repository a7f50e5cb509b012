"""Trained models in other formats, each proved on the model's own photos.

`exporting` does an export: it finds the model's photos (`photos`) and runs one `format_job` per
format, which has the file written by the module of its format, has it opened by
`xferlearn.predictors`, compares the answers (`proof`) and moves it to its place; `report` shows the
results. What an exported file states about itself comes from `metadata`.

To add a format, add its module here, under the name that it has in `xferlearn.inspection` and
`xferlearn.predictors`, its row to `formats.FORMATS`, and its name to `EXPORT_FORMATS` of
`xferlearn.config`.

The names below are for the rest of the package; all others are for this folder alone.
"""

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
