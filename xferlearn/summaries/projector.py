"""The bottlenecks for the Projector: points, a small picture of each photo, and what it is.

TensorBoard starts without colours, whatever `projector_config.pbtxt` says. So the pictures have
them: a frame in the colour of the class.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.plugins.projector import projector_config_pb2

from xferlearn.decisions import MultiLabelDecision, decision_of
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.photo import Photo
from xferlearn.photos.several import NO_LABEL, label_text
from xferlearn.summaries.drawing import jpeg
from xferlearn.summaries.events import plain
from xferlearn.summaries.pixels import read_pixels
from xferlearn.summaries.record import RunRecord

# Decoding them once more takes most of the summaries' time.
MOST_PHOTOS = 2000
SPRITE = 48  # px
FRAME = 4  # px
# Of the classes, in turn.
FRAMES = {
    "blue": (31, 119, 180),
    "orange": (255, 127, 14),
    "green": (44, 160, 44),
    "red": (214, 39, 40),
    "purple": (148, 103, 189),
    "brown": (140, 86, 75),
    "pink": (227, 119, 194),
    "gray": (127, 127, 127),
    "olive": (188, 189, 34),
    "cyan": (23, 190, 207),
}
_CONFIG_FILE = "projector_config.pbtxt"  # the name that TensorBoard looks for
_COLUMNS = ("label", "predicted", "right", "score", "split", "frame", "file")


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
    decision = decision_of({**record.metadata, "labels": manifest.labels})
    for index, scores in zip(order, record.predictions(order), strict=True):
        photo, best = manifest.photos[index], int(scores.argmax())
        truth, predicted = manifest.label_text(photo), manifest.labels[best]
        if isinstance(decision, MultiLabelDecision):
            predicted = label_text(np.array(manifest.labels)[decision.decide(scores)])
        cells = (
            truth or NO_LABEL,
            predicted or NO_LABEL,
            "yes" if predicted == truth else "no",
            f"{scores[best]:.3f}",
            manifest.splits[index],
            [*FRAMES][_frame(manifest, photo)],
            photo.name,
        )
        rows.append(tuple(" ".join(plain(cell).split()) for cell in cells))
    return rows


def _frame(manifest: Manifest, photo: Photo) -> int:
    """Returns the number of the frame of a photo: that of its class, or of the first of several."""
    return next(iter(manifest.classes_of(photo)), 0) % len(FRAMES)


def _sprites(record: RunRecord, order: list[int]) -> bytes:
    photos = [record.manifest.photos[index] for index in order]
    pixels = read_pixels(record.source, photos, SPRITE, PhotoLimits.of(record.config))
    # The Projector takes the picture's width for the number of columns, and expects a square.
    columns = int(np.ceil(np.sqrt(len(photos))))
    sheet = np.full((columns, columns, SPRITE, SPRITE, 3), 224, np.uint8)
    colours = np.array([*FRAMES.values()], np.uint8)
    inside = slice(FRAME, -FRAME)
    for place, photo in enumerate(photos):
        tile = sheet[divmod(place, columns)]
        shown = pixels.get(photo.digest, tile)[inside, inside].copy()
        tile[:] = colours[_frame(record.manifest, photo)]
        tile[inside, inside] = shown
    side = columns * SPRITE
    image = Image.fromarray(sheet.transpose(0, 2, 1, 3, 4).reshape(side, side, 3))
    return jpeg(image, quality=80)
