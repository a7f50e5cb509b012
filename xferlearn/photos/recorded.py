"""photos.csv of a model folder: the photos that a model was made from."""

import csv
import dataclasses
import io
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from xferlearn.photos.manifest import Manifest
from xferlearn.photos.photo import TEST

# Those of the first version have no more than these.
_COLUMNS = ("sha256", "label", "split", "file")
_LOOK, _FOLD, _LEARNED = "look", "fold", "learned"
# Behind the others, where photos belong to groups.
_GROUP = "group"


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedPhoto:
    """A row of photos.csv: one photo that the model was made from.

    Attributes:
        digest: SHA-256 of the file's bytes, 32 bytes.
        label: name of its class; where photos may have several, their text, see `photos.several`.
        split: "train", "validation" or "test".
        name: path below the photos' folder with `/`, or the key in the dataset.
        look: by which copies are recognised, see `recorded_looks`; empty where it is unknown.
        fold: the fold in which it was left out and predicted; -1 for none.
        learned: whether the model has learned from it, or was chosen by it.
    """

    digest: bytes
    label: str
    split: str
    name: str
    look: bytes = b""
    fold: int = -1
    learned: bool = True


def write_photos(
    path: Path,
    manifest: Manifest,
    looks: Iterable[bytes] | None = None,
    *,
    learned_test: bool = False,
) -> None:
    """Writes a manifest's photos, with a column for groups where there are any.

    Args:
        path: the file.
        manifest: the photos.
        looks: of each photo, as in `RecordedPhoto`; None for none.
        learned_test: whether the model has learned from the test photos too, once measured.
    """
    grouped = manifest.photos.are_grouped
    known = looks if looks is not None else itertools.repeat(b"", len(manifest.photos))
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_COLUMNS, _LOOK, _FOLD, _LEARNED, *([_GROUP] if grouped else [])])
        folds = manifest.folds or itertools.repeat(-1, len(manifest.photos))
        for photo, split, look, fold in zip(
            manifest.photos, manifest.splits, known, folds, strict=True
        ):
            row = [photo.digest.hex(), manifest.label_text(photo), split, photo.name, look.hex()]
            row += [str(fold) if fold >= 0 else "", str(int(learned_test or split != TEST))]
            writer.writerow([*row, *([photo.group or ""] if grouped else [])])


def parse_photos(data: bytes) -> Iterator[RecordedPhoto]:
    """Yields the photos of a file's content, of any version.

    Raises:
        ValueError, KeyError, TypeError, csv.Error: when it is damaged.
    """
    text = data.decode("utf-8", "surrogateescape")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    # Without a header there are no rows, and all photos would pass for unseen ones.
    if list(rows.fieldnames or ())[: len(_COLUMNS)] != list(_COLUMNS):
        raise ValueError(f"it does not begin with {','.join(_COLUMNS)}")
    for row in rows:
        digest, look = bytes.fromhex(row["sha256"]), bytes.fromhex(row.get(_LOOK) or "")
        fold = int(row.get(_FOLD) or -1)
        # Files of earlier versions don't say it: nothing learned from the test photos then.
        learned = bool(int(row.get(_LEARNED) or row["split"] != TEST))
        yield RecordedPhoto(digest, row["label"], row["split"], row["file"], look, fold, learned)
