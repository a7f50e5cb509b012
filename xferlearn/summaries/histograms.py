"""How the values of each class's bottlenecks are distributed."""

import numpy as np

from xferlearn.summaries.events import EventWriter
from xferlearn.summaries.record import RunRecord

MOST_CLASSES = 50
MOST_PHOTOS = 200


def write_histograms(events: EventWriter, record: RunRecord) -> None:
    """Writes `bottlenecks/<class>` for the first `MOST_CLASSES`, of up to `MOST_PHOTOS` each.

    The distributions of the head's weights are written while it trains, by `scalars_callback`.
    """
    labels = np.array([photo.label for photo in record.manifest.photos])
    for index, label in enumerate(record.manifest.labels[:MOST_CLASSES]):
        rows = np.flatnonzero(labels == index)[:MOST_PHOTOS]
        events.histogram(f"bottlenecks/{label}", record.bottlenecks[rows])
