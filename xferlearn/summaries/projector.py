"""The bottlenecks for the Projector: points, a small picture of each photo, and what it is."""

from pathlib import Path

import numpy as np
from tensorboard.plugins.projector import projector_config_pb2

from xferlearn.photos.limits import PhotoLimits
from xferlearn.summaries.drawing import draw_photo, draw_sheet, jpeg
from xferlearn.summaries.events import plain
from xferlearn.summaries.pixels import read_pixels
from xferlearn.summaries.record import RunRecord

MOST_PHOTOS = 5000
SPRITE = 48
_CONFIG_FILE = "projector_config.pbtxt"  # the name that TensorBoard looks for
_COLUMNS = ("label", "predicted", "right", "score", "split", "file")


def write_projector(run_dir: Path, record: RunRecord) -> None:
    """Writes the Projector's files of a run, for up to `MOST_PHOTOS` of its photos.

    `projector/` gets the bottlenecks (float32, row by row), a table of the photos and a sheet of
    their small pictures, all in one order.
    """
    photos = record.manifest.photos
    # A digest is as good as a random number: the same photos each time, from all classes.
    order = sorted(range(len(photos)), key=lambda i: photos[i].digest)[:MOST_PHOTOS]
    order.sort(key=lambda i: (photos[i].label, photos[i].name))
    points = np.ascontiguousarray(record.bottlenecks[order], np.float32)
    folder = run_dir / "projector"
    folder.mkdir()
    points.tofile(folder / "bottlenecks.bin")
    rows = [_COLUMNS, *_table(record, order)]
    (folder / "photos.tsv").write_text(
        "".join("\t".join(row) + "\n" for row in rows), encoding="utf-8"
    )
    (folder / "photos.jpg").write_bytes(_sprites(record, order))

    config = projector_config_pb2.ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "bottlenecks"
    embedding.tensor_path = "projector/bottlenecks.bin"
    embedding.tensor_shape.extend(points.shape)
    embedding.metadata_path = "projector/photos.tsv"
    embedding.sprite.image_path = "projector/photos.jpg"
    embedding.sprite.single_image_dim.extend([SPRITE, SPRITE])
    (run_dir / _CONFIG_FILE).write_text(str(config), encoding="utf-8")


def _table(record: RunRecord, order: list[int]) -> list[tuple[str, ...]]:
    manifest = record.manifest
    rows = []
    for index, scores in zip(order, record.predictions(order), strict=True):
        photo, best = manifest.photos[index], int(scores.argmax())
        cells = (
            manifest.labels[photo.label],
            manifest.labels[best],
            "yes" if best == photo.label else "no",
            f"{scores[best]:.3f}",
            manifest.splits[index],
            photo.name,
        )
        rows.append(tuple(" ".join(plain(cell).split()) for cell in cells))
    return rows


def _sprites(record: RunRecord, order: list[int]) -> bytes:
    photos = [record.manifest.photos[index] for index in order]
    pixels = read_pixels(record.source, photos, SPRITE, PhotoLimits.of(record.config))
    grey = np.full((SPRITE, SPRITE, 3), 224, np.uint8)
    tiles = [draw_photo(pixels.get(photo.digest, grey), (), SPRITE) for photo in photos]
    # The Projector takes the picture's width for the number of columns, and expects a square.
    columns = int(np.ceil(np.sqrt(len(tiles))))
    return jpeg(draw_sheet(tiles, columns, gap=0), quality=80)
