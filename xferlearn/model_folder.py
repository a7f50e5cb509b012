"""The model folder, as `train` writes it: model.keras, labels.txt, metadata.json and photos.csv.

It describes itself: nobody has to know the model's size, mean or layer names.
"""

import csv
import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.manifest import Manifest
from xferlearn.system.files import real_path, remove_stale, replace_folder, temporary_folder
from xferlearn.system.folders import check_writable
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras

FORMAT_VERSION = 1
MODEL_FILE = "model.keras"
LABELS_FILE = "labels.txt"
METADATA_FILE = "metadata.json"
PHOTOS_FILE = "photos.csv"
PHOTO_COLUMNS = ("sha256", "label", "split", "file", "look")
# Folders of earlier versions have no more than these.
_FIRST_COLUMNS = PHOTO_COLUMNS[:4]
EXPORTS_DIR = "exports"
# Exports are made in hidden folders of the model folder whose names begin with this.
UNFINISHED_EXPORT = "export"
_OWN_NAMES = (MODEL_FILE, LABELS_FILE, METADATA_FILE, PHOTOS_FILE, EXPORTS_DIR)
_MOST_METADATA_BYTES = 16 * 2**20


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


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """A model folder whose metadata has been read.

    Attributes:
        path: the folder.
        labels: class names in output order.
        metadata: content of metadata.json.
    """

    path: Path
    labels: tuple[str, ...]
    metadata: dict[str, Any]

    def __repr__(self) -> str:
        return f"ModelFolder({str(self.path)!r}, {len(self.labels)} classes)"

    @property
    def image_size(self) -> int:
        """Side of the square that the model sees, px."""
        return int(self.metadata["input"]["height"])

    def load_model(self) -> "keras.Model":
        """Loads model.keras.

        Returns:
            A Keras model: float32 [batch, image_size, image_size, 3], RGB, range [0, 255], to
            float32 [batch, len(labels)], range [0, 1].

        Raises:
            UserError: when the file is missing or damaged, or contradicts metadata.json.
        """
        import keras

        path = self.path / MODEL_FILE
        try:
            model = keras.saving.load_model(path, compile=False)
        except Exception as error:  # Keras raises many types on damaged files
            raise UserError(f"Can't load {path}: {one_line(error)}") from error
        outputs, sides = model.output_shape[-1], model.input_shape[1:3]
        if outputs != len(self.labels):
            raise UserError(
                f"{self.path} is damaged: {len(self.labels)} labels, but its model gives {outputs}"
                " scores."
            )
        if sides != (self.image_size, self.image_size):
            raise UserError(
                f"{self.path} is damaged: its {METADATA_FILE} says {self.image_size} px, but its"
                f" model takes {' x '.join(map(str, sides))}."
            )
        return model

    def photos(self) -> tuple[RecordedPhoto, ...]:
        """Returns the photos that the model was made from, in the order of photos.csv.

        Raises:
            UserError: when photos.csv is missing or damaged.
        """
        path = self.path / PHOTOS_FILE
        try:
            with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                return tuple(_recorded_photos(file))
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise UserError(
                f"Can't read {path}, the list of photos that the model was made from"
                f" ({one_line(error)})."
            ) from None


def is_model_folder(folder: Path) -> bool:
    """Returns whether a folder's metadata.json is that of a model folder, of any version."""
    file = folder / METADATA_FILE
    try:
        # A .keras file that was unpacked has a metadata.json too, a small one.
        if not file.is_file() or file.stat().st_size > _MOST_METADATA_BYTES:
            return False
        metadata: Any = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(metadata, dict) and {"format_version", "labels", "input"} <= metadata.keys()


def read_model_folder(model_dir: str | Path) -> ModelFolder:
    """Reads a model folder's metadata; loads no model and needs no TensorFlow.

    Args:
        model_dir: the folder.

    Raises:
        UserError: when it is no model folder, is damaged, or was written by a newer version.

    Example:
        >>> read_model_folder("out/flowers").labels
        ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
    """
    path = Path(model_dir)
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing"
        raise UserError(
            f"Expected a model folder, as `xferlearn train` writes it. Found {found} at {path}."
        )
    try:
        metadata = json.loads((path / METADATA_FILE).read_text(encoding="utf-8"))
        version = metadata["format_version"]
        labels = tuple(str(label) for label in metadata["labels"])
        int(metadata["input"]["height"])
    except FileNotFoundError:
        raise UserError(
            f"Expected a model folder, as `xferlearn train` writes it. {path} has no"
            f" {METADATA_FILE}."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path / METADATA_FILE} is damaged ({one_line(error)}).") from None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path} has format_version {version}; this version of xferlearn reads"
            f" {FORMAT_VERSION}. Install the xferlearn that wrote it"
            f" ({metadata.get('versions', {}).get('xferlearn', 'unknown')})."
        )
    return ModelFolder(path, labels, metadata)


def check_model_dir(model_dir: str | Path, overwrite: bool) -> None:
    """Checks, before any work, that a model may be written to a folder, and that it can be.

    Args:
        model_dir: the folder, which need not exist.
        overwrite: whether a model that is there may be replaced.

    Raises:
        UserError: when the folder holds what must not be replaced, or can't be written.
    """
    # Beside it, because it is written under a temporary name first.
    check_writable("model_dir", real_path(model_dir).parent)
    _check_replaceable(Path(model_dir), overwrite)


def write_model_folder(
    model_dir: str | Path,
    model: "keras.Model",
    manifest: Manifest,
    metadata: dict[str, Any],
    *,
    looks: Sequence[bytes] = (),
    overwrite: bool = False,
) -> ModelFolder:
    """Writes a model folder: under a temporary name, then renamed, so it is whole or not there.

    Args:
        model_dir: the folder.
        model: as `build_classifier` returns it.
        manifest: the photos that it was made from.
        metadata: goes to metadata.json, after format_version and labels.
        looks: by which copies of the manifest's photos are recognised; empty for none.
        overwrite: whether a model that is there may be replaced.

    Returns:
        The folder that was written.

    Raises:
        UserError: when the folder holds what must not be replaced.
        XferlearnError: when it can't be written.
    """
    path = real_path(model_dir)
    content = {"format_version": FORMAT_VERSION, "labels": list(manifest.labels), **metadata}
    try:
        with temporary_folder(path) as new:
            model.save(new / MODEL_FILE)
            _write_texts(new, manifest, content, looks)
            replace_folder(path, new, lambda: _check_replaceable(path, overwrite))
    except OSError as error:
        raise XferlearnError(
            f"Can't write the model to {path}: {one_line(error)}. Make room there and run again:"
            " bottlenecks, and what was fine-tuned, are kept."
        ) from None
    # Of models, and of the states of fine-tuning, which are written beside them.
    remove_stale(path.parent, path.name)
    return ModelFolder(Path(model_dir), manifest.labels, content)


def _check_replaceable(path: Path, overwrite: bool) -> None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not is_model_folder(path) or not (path / MODEL_FILE).is_file():
        raise UserError(f"{path} exists and is not a model folder. Choose another `model_dir`.")
    if not overwrite:
        raise UserError(
            f"{path} holds a model already. Choose another `model_dir`, or replace it with"
            " `overwrite=True`."
        )
    for name in sorted(entry.name for entry in path.iterdir()):
        # A killed export leaves a hidden folder.
        if name not in _OWN_NAMES and not name.startswith(f".{UNFINISHED_EXPORT}."):
            raise UserError(
                f"{path} holds {name}, which is not part of a model and would be deleted with it."
                " Move it away, or choose another `model_dir`."
            )


def _write_texts(
    folder: Path, manifest: Manifest, metadata: dict[str, Any], looks: Sequence[bytes]
) -> None:
    labels = "".join(f"{label}\n" for label in manifest.labels)
    (folder / LABELS_FILE).write_text(labels, encoding="utf-8")
    text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
    # File names that are not valid UTF-8 become escapes, which JSON reads back.
    (folder / METADATA_FILE).write_text(text, encoding="utf-8", errors="backslashreplace")
    photos = folder / PHOTOS_FILE
    with photos.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(PHOTO_COLUMNS)
        rows = zip(manifest.photos, manifest.splits, looks or itertools.repeat(b""), strict=False)
        for photo, split, look in rows:
            label = manifest.labels[photo.label]
            writer.writerow([photo.digest.hex(), label, split, photo.name, look.hex()])


def _recorded_photos(file: Iterator[str]) -> Iterator[RecordedPhoto]:
    rows = csv.DictReader(file)
    # Without a header there are no rows, and all photos would pass for unseen ones.
    if tuple(rows.fieldnames or ())[: len(_FIRST_COLUMNS)] != _FIRST_COLUMNS:
        raise ValueError(f"it does not begin with {','.join(_FIRST_COLUMNS)}")
    for row in rows:
        digest, look = bytes.fromhex(row["sha256"]), bytes.fromhex(row.get("look") or "")
        yield RecordedPhoto(digest, row["label"], row["split"], row["file"], look)
