"""photos.csv of a model folder: the photos that a model was made from."""

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

from xferlearn.photos.manifest import Manifest

_COLUMNS = ("sha256", "label", "split", "file")
# Behind the others, where photos belong to groups.
_GROUP = "group"


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedPhoto:
    """A row of photos.csv: one photo that the model was made from.

    Attributes:
        digest: SHA-256 of the file's bytes, 32 bytes.
        label: name of its class.
        split: "train", "validation" or "test".
        name: path below the photos' folder with `/`, or the key in the dataset.
    """

    digest: bytes
    label: str
    split: str
    name: str


def write_photos(path: Path, manifest: Manifest) -> None:
    """Writes a manifest's photos, with a column for groups where there are any."""
    grouped = any(photo.group is not None for photo in manifest.photos)
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_COLUMNS, *([_GROUP] if grouped else [])])
        for photo, split in zip(manifest.photos, manifest.splits, strict=True):
            row = [photo.digest.hex(), manifest.labels[photo.label], split, photo.name]
            writer.writerow([*row, *([photo.group or ""] if grouped else [])])


def parse_photos(data: bytes) -> Iterator[RecordedPhoto]:
    """Yields the photos of a file's content.

    Raises:
        ValueError, KeyError, TypeError, csv.Error: when it is damaged.
    """
    text = data.decode("utf-8", "surrogateescape")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    # Without a header there are no rows, and all photos would pass for unseen ones.
    if list(rows.fieldnames or ())[: len(_COLUMNS)] != list(_COLUMNS):
        raise ValueError(f"it does not begin with {','.join(_COLUMNS)}")
    for row in rows:
        digest = bytes.fromhex(row["sha256"])
        yield RecordedPhoto(digest, row["label"], row["split"], row["file"])
