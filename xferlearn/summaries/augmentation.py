"""The Images page: what augmentation makes of some training photos."""

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import TRAIN, Photo
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.reading import load_photos, readable
from xferlearn.photos.selecting import pick_photos
from xferlearn.photos.views import Augmentation
from xferlearn.summaries.drawing import draw_photo, draw_sheet, jpeg
from xferlearn.summaries.events import RunWriters
from xferlearn.summaries.record import RunRecord

MOST_PHOTOS = 6
MOST_VIEWS = 6
SIDE = 160  # px


def write_augmentation(writers: RunWriters, record: RunRecord) -> None:
    """Writes a sheet with one row per photo, one photo per class: its first views side by side.

    The first view is the plain one. Without augmentation nothing is written.
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
    numbers = augmentation.numbers(MOST_VIEWS)
    entries = pick_photos(record.source, photos, augmentation=augmentation, numbers=numbers)
    size, limits = record.image_size, PhotoLimits.of(config)
    loaded = readable(load_photos(entries, size, limits))
    seen = {
        item.key: pixels
        for batch in decoded_batches(loaded, size, limits, views=True)
        for item, pixels in zip(batch.photos, batch.pixels, strict=True)
    }
    tiles = [
        draw_photo(seen.get(augmentation.view(photo.digest, number).key(photo.key)), (), SIDE)
        for photo in photos
        for number in numbers
    ]
    sheet = draw_sheet(tiles, columns=len(numbers))
    said = f"One training photo per row, the plain view first: {augmentation}"
    writers[""].images("augmentation/views", [jpeg(sheet)], sheet.size, said)
