"""photos.csv: the photos that a model was made from, written with it and read again."""

import csv
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import TextIO

from xferlearn.photos.manifest import Manifest

PHOTO_COLUMNS = ("sha256", "label", "split", "file", "look")
# Those of earlier versions have no more than these.
_FIRST_COLUMNS = PHOTO_COLUMNS[:4]


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedPhoto:
    """A row of photos.csv: one photo that the model was made from.

    Attributes:
        digest: SHA-256 of the file's bytes, 32 bytes.
        label: name of its class.
        split: "train", "validation" or "test".
        name: path below the photos' folder with `/`, or the key in the dataset.
        look: by which copies are recognised, see `recorded_looks`; empty where it is unknown.
    """

    digest: bytes
    label: str
    split: str
    name: str
    look: bytes = b""


def write_recorded(file: TextIO, manifest: Manifest, looks: Sequence[bytes] = ()) -> None:
    """Writes the table of a model's photos.

    Args:
        file: open for text, with `newline=""`.
        manifest: the photos.
        looks: of each photo, as in `RecordedPhoto`; empty for none.
    """
    writer = csv.writer(file)
    writer.writerow(PHOTO_COLUMNS)
    known = looks or itertools.repeat(b"", len(manifest.photos))
    for photo, split, look in zip(manifest.photos, manifest.splits, known, strict=True):
        label = manifest.labels[photo.label]
        writer.writerow([photo.digest.hex(), label, split, photo.name, look.hex()])


def read_recorded(file: TextIO) -> Iterator[RecordedPhoto]:
    """Yields the rows of the table of a model's photos, of any version.

    Raises:
        ValueError: when it is damaged. Likewise KeyError, TypeError and csv.Error.
    """
    rows = csv.DictReader(file)
    # Without a header there are no rows, and all photos would pass for unseen ones.
    if tuple(rows.fieldnames or ())[: len(_FIRST_COLUMNS)] != _FIRST_COLUMNS:
        raise ValueError(f"it does not begin with {','.join(_FIRST_COLUMNS)}")
    for row in rows:
        digest, look = bytes.fromhex(row["sha256"]), bytes.fromhex(row.get("look") or "")
        yield RecordedPhoto(digest, row["label"], row["split"], row["file"], look)
