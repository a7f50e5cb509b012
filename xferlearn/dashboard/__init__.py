"""Tab "Transfer" of TensorBoard: a run's input, accuracy, and the photos behind each number.

`write_transfer_summary` (summary.py) writes what the tab shows into the run's event file;
TensorBoard finds `TransferPlugin` (plugin.py) by its entry point, and it serves that to the page
in static/. Importing this package imports neither TensorFlow nor TensorBoard.
"""

PLUGIN_NAME = "transfer"
"""Owner of the data in event files, and the tab's part of TensorBoard's addresses."""

DATA_NAMES = (PLUGIN_NAME, "xferlearn")
"""All owners whose data the tab shows; the second one owns that of earlier versions."""

REPORT_TAG = "transfer/report"
"""One blob: the report as JSON, see `report.build_report`."""

PHOTOS_TAG = "transfer/photos"
"""One blob per thumbnail, JPEG: the report's `photos`, then those that it names by `picture`."""

REPORT_FORMAT = 1
"""Version of the report; it grows when an older page can't show a newer report."""
