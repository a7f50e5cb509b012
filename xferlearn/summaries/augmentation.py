"""The Images page: what augmentation makes of some training photos."""

from xferlearn.photos.decoding import decoded_batches
from xferlearn.photos.manifest import TRAIN, Photo
from xferlearn.photos.reading import load_photos
from xferlearn.photos.sources import Selection
from xferlearn.photos.views import Augmentation
from xferlearn.summaries.drawing import draw_photo, draw_sheet, jpeg
from xferlearn.summaries.events import RunWriters
from xferlearn.summaries.pixels import narrowed
from xferlearn.summaries.record import RunRecord

MOST_PHOTOS = 6
MOST_VIEWS = 6
SIDE = 160  # px


def write_augmentation(writers: RunWriters, record: RunRecord) -> None:
    """Writes a sheet with a row a photo, one of each class, and its first views beside each other.

    The first view is the plain one. Without augmentation there is nothing to show.
    """
    config = record.config
    augmentation = Augmentation.of(config, fine_tuning=config.unfreeze is not None)
    if augmentation.most_views == 1:
        return
    manifest = record.manifest
    by_label: dict[int, Photo] = {}
    training = [manifest.photos[i] for i in manifest.indices(TRAIN)]
    for photo in sorted(training, key=lambda photo: photo.name):
        by_label.setdefault(photo.label, photo)
    photos = [by_label[label] for label in sorted(by_label)][:MOST_PHOTOS]
    numbers = range(min(MOST_VIEWS, augmentation.most_views or MOST_VIEWS))
    names = frozenset(photo.name for photo in photos)
    chosen = Selection(narrowed(record.source, names), names, augmentation, numbers)
    size = record.image_size
    seen = {
        item.digest: pixels
        for batch in decoded_batches(load_photos(chosen, size, config), size, config, views=True)
        for item, pixels in zip(batch.photos, batch.pixels, strict=True)
    }
    tiles = [
        draw_photo(seen.get(augmentation.view(photo.digest, number).key(photo.digest)), (), SIDE)
        for photo in photos
        for number in numbers
    ]
    sheet = draw_sheet(tiles, columns=len(numbers))
    said = f"A training photo a row, the plain view first: {augmentation}"
    writers[""].images("augmentation/views", [jpeg(sheet)], sheet.size, said)
