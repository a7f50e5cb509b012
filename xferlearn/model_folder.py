"""The model folder: model.keras, labels.txt, metadata.json and photos.csv.

The folder says everything about itself; nobody has to know sizes, means or layer names.
"""

import csv
import dataclasses
import json
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.manifest import Manifest
from xferlearn.system.files import real_path, remove_stale, replace_folder
from xferlearn.system.folders import check_writable

if TYPE_CHECKING:
    import keras

FORMAT_VERSION = 1
MODEL_FILE = "model.keras"
LABELS_FILE = "labels.txt"
METADATA_FILE = "metadata.json"
PHOTOS_FILE = "photos.csv"
PHOTO_COLUMNS = ("sha256", "label", "split", "file")
EXPORTS_DIR = "exports"
_OWN_NAMES = (MODEL_FILE, LABELS_FILE, METADATA_FILE, PHOTOS_FILE, EXPORTS_DIR)
_MOST_BYTES = 16 * 2**20


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedPhoto:
    """A photo that a model was made from: its digest, class, split and name in the source."""

    digest: bytes
    label: str
    split: str
    name: str


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """A model folder that has been read.

    Attributes:
        path: the folder.
        labels: class names in output order.
        metadata: content of metadata.json; README.md lists its keys.
    """

    path: Path
    labels: tuple[str, ...]
    metadata: dict[str, Any]

    def __repr__(self) -> str:
        return f"ModelFolder({str(self.path)!r}, {len(self.labels)} classes)"

    @property
    def image_size(self) -> int:
        """Side in px of the square that the model sees."""
        return int(self.metadata["input"]["height"])

    def load_model(self) -> "keras.Model":
        """Returns the Keras model: raw pixels in, probabilities out.

        Raises:
            UserError: when the file is missing or damaged, or is not what metadata.json tells of.
        """
        import keras

        path = self.path / MODEL_FILE
        try:
            model = keras.saving.load_model(path, compile=False)
        except Exception as error:  # Keras raises many types on damaged files
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"Can't load {path}: {reason}") from error
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

    def photo_splits(self) -> dict[bytes, str]:
        """Returns the split of each photo that the model was made from, by SHA-256 digest.

        Raises:
            UserError: when the list is missing or damaged.
        """
        return {photo.digest: photo.split for photo in self.photos()}

    def photos(self) -> tuple["RecordedPhoto", ...]:
        """Returns the photos that the model was made from.

        Raises:
            UserError: when the list is missing or damaged.
        """
        path = self.path / PHOTOS_FILE
        try:
            with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                rows = csv.DictReader(file)
                # Without a header there are no rows, and all photos would pass for unseen ones.
                if rows.fieldnames != list(PHOTO_COLUMNS):
                    raise ValueError(f"it does not begin with {','.join(PHOTO_COLUMNS)}")
                return tuple(
                    RecordedPhoto(
                        bytes.fromhex(row["sha256"]), row["label"], row["split"], row["file"]
                    )
                    for row in rows
                )
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise UserError(
                f"Can't read {path}, the list of photos that the model was made from ({error})."
            ) from None


def check_model_dir(model_dir: str | Path, overwrite: bool) -> None:
    """Checks, before any work, that a model may, and can, be written to a folder.

    Raises:
        UserError: when there is something that must not be replaced, or nothing can be written.
    """
    # Beside it, where it is written under another name first.
    check_writable("model_dir", real_path(model_dir).parent)
    _check_replaceable(Path(model_dir), overwrite)


def is_model_folder(folder: Path) -> bool:
    """Returns whether a folder's metadata.json is that of a model folder, of any version."""
    file = folder / METADATA_FILE
    try:
        # A .keras file that was unpacked has a metadata.json too, a small one.
        if not file.is_file() or file.stat().st_size > _MOST_BYTES:
            return False
        held: Any = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(held, dict) and {"format_version", "labels", "input"} <= held.keys()


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
        # An export that was killed leaves a hidden folder.
        if name not in _OWN_NAMES and not name.startswith(".export."):
            raise UserError(
                f"{path} holds {name}, which is no part of a model and would be deleted with it."
                " Move it away, or choose another `model_dir`."
            )


def write_model_folder(
    model_dir: str | Path,
    model: "keras.Model",
    manifest: Manifest,
    metadata: dict[str, Any],
    *,
    overwrite: bool = False,
) -> ModelFolder:
    """Writes a model folder: under a temporary name, then renamed, so it is whole or not there.

    Args:
        model_dir: the folder.
        model: as `build_classifier` returns it.
        manifest: the photos that it was made from.
        metadata: goes to metadata.json, after format_version and labels.
        overwrite: replace a model that is there.

    Raises:
        UserError: when there is something that must not be replaced.
        XferlearnError: when the folder can't be written.
    """
    path = real_path(model_dir)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    content = {"format_version": FORMAT_VERSION, "labels": list(manifest.labels), **metadata}
    try:
        temporary.mkdir(parents=True)
        model.save(temporary / MODEL_FILE)
        labels = "".join(f"{label}\n" for label in manifest.labels)
        (temporary / LABELS_FILE).write_text(labels, encoding="utf-8")
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        # File names that are not valid UTF-8 become escapes, which JSON reads back.
        (temporary / METADATA_FILE).write_text(text, encoding="utf-8", errors="backslashreplace")
        _write_photos(temporary / PHOTOS_FILE, manifest)
        replace_folder(path, temporary, lambda: _check_replaceable(path, overwrite))
        remove_stale(path)
    except OSError as error:
        raise XferlearnError(
            f"Can't write the model to {path}: {error.strerror or error}. Make room there and run"
            " again: bottlenecks, and what was fine-tuned, are kept."
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return ModelFolder(Path(model_dir), manifest.labels, content)


def _write_photos(path: Path, manifest: Manifest) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(PHOTO_COLUMNS)
        for photo, split in zip(manifest.photos, manifest.splits, strict=True):
            writer.writerow([photo.digest.hex(), manifest.labels[photo.label], split, photo.name])


def read_model_folder(model_dir: str | Path) -> ModelFolder:
    """Reads a model folder; loads no model and needs no TensorFlow.

    Raises:
        UserError: when it is none, or was written by a newer version.
    """
    path = Path(model_dir)
    if not path.is_dir():
        came = "a file" if path.exists() else "nothing"
        raise UserError(
            f"Expected a model folder, as `xferlearn train` writes it. Found {came} at {path}."
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
        raise UserError(f"{path / METADATA_FILE} is damaged ({error}).") from None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path} has format_version {version}; this version of xferlearn reads"
            f" {FORMAT_VERSION}. Install the xferlearn that wrote it"
            f" ({metadata.get('versions', {}).get('xferlearn', 'unknown')})."
        )
    return ModelFolder(path, labels, metadata)
