"""The model folder, as `train` writes it: the model, labels, metadata, photos and predictions.

It describes itself: nobody has to know the model's size, mean or layer names. It is one thing:
metadata.json holds the SHA-256 of the other files and its own, so that none can be changed, damaged
or taken from another model unnoticed.
"""

import csv
import dataclasses
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from xferlearn.errors import UserError
from xferlearn.model_folder.buckets import fetched_model
from xferlearn.model_folder.layout import (
    EXPORTS_DIR,
    FILES,
    LABELS_FILE,
    METADATA_FILE,
    MODEL_FILE,
    OWN_DIGEST,
    PHOTOS_FILE,
    PREDICTIONS,
    PREDICTIONS_FILE,
)
from xferlearn.photos.predicted import Predicted, read_predicted
from xferlearn.photos.recorded import RecordedPhoto, parse_photos
from xferlearn.system.fetching import origin, told_by_address
from xferlearn.system.files import file_digest, recover_folder
from xferlearn.system.text import count, one_line

if TYPE_CHECKING:
    import keras

T = TypeVar("T")

FORMAT_VERSION = 1
# Settings that are paths, and what `weights` may be instead.
_PATHS = ("image_dir", "labels", "data_dir", "unlabelled", "corrections", "weights")
_WEIGHTS = ("imagenet", "none")
_MOST_METADATA_BYTES = 16 * 2**20
# A folder that is replaced more often than that while it is read is given up.
_MOST_READS = 10


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
        return f"ModelFolder({self.place!r}, {len(self.labels)} classes)"

    @property
    def place(self) -> str:
        """Where the model is, for people and records: its address, or its path."""
        return origin(self.path)

    @property
    def is_multi_label(self) -> bool:
        """Whether photos may have several labels, or none."""
        return bool(self.metadata.get("multi_label"))

    @property
    def image_size(self) -> int:
        """Side of the square that the model sees, px."""
        return int(self.metadata["input"]["height"])

    @property
    def training(self) -> dict[str, Any]:
        """The settings that the model was trained with, by name; empty where none are recorded.

        Relative paths begin in the folder that the training ran in, where they are there still.
        """
        recorded = self.metadata.get("training")
        settings = dict(recorded) if isinstance(recorded, Mapping) else {}
        base = self.metadata.get("working_dir")
        for name in _PATHS:
            value = settings.get(name)
            if isinstance(base, str) and isinstance(value, str) and value not in _WEIGHTS:
                there = os.path.join(base, value)
                settings[name] = there if os.path.exists(there) else value
        return settings

    def load_model(self) -> "keras.Model":
        """Loads model.keras.

        Returns:
            A Keras model of float32 [batch, image_size, image_size, 3], RGB, range [0, 255]. It
            gives a dict of `predictions`, float32 [batch, len(labels)], range [0, 1], and
            `familiarity`, float32 [batch, 1], range [0, 1]; models without the latter give the
            predictions alone.

        Raises:
            UserError: when the file is missing or damaged, or contradicts metadata.json.
        """
        import keras

        path = self.path / MODEL_FILE
        before = self.check_model()
        try:
            model = keras.saving.load_model(path, compile=False)
        except Exception as error:  # Keras raises many types on damaged files
            if "keras_hub" in str(error) and importlib.util.find_spec("keras_hub") is None:
                raise UserError(
                    f'{path} has layers of KerasHub: pip install "xferlearn[hub]".'
                ) from error
            raise UserError(f"Can't load {path}: {one_line(error)}") from error
        # What was loaded must be what was checked.
        if before != _identity(path):
            raise UserError(f"{path} was replaced while it was read. Run again.")
        # Keras' `output_shape` is a list where the outputs are a dict.
        ends = model.output
        outputs = (ends[PREDICTIONS] if isinstance(ends, dict) else ends).shape[-1]
        sides = model.input_shape[1:3]
        if outputs != len(self.labels):
            raise UserError(
                f"{self.path} is damaged: {count(len(self.labels), 'label')}, but its model gives"
                f" {count(outputs, 'score')}."
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
            data = path.read_bytes()
            self._check_digest(PHOTOS_FILE, hashlib.sha256(data).hexdigest())
            return tuple(parse_photos(data))
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise UserError(
                f"Can't read {path}, the list of photos that the model was made from"
                f" ({one_line(error)})."
            ) from None

    @property
    def has_predictions(self) -> bool:
        """Whether there is a predictions.parquet: who hands a model on may leave it out."""
        return os.path.lexists(self.path / PREDICTIONS_FILE)

    def predictions(self) -> Predicted:
        """Returns what was predicted of those photos by heads that have not learned from them.

        Raises:
            UserError: when predictions.parquet is missing or damaged.
        """
        path = self.path / PREDICTIONS_FILE
        try:
            data = path.read_bytes()
            self._check_digest(PREDICTIONS_FILE, hashlib.sha256(data).hexdigest())
            return read_predicted(data, self.labels, multi_label=self.is_multi_label)
        except FileNotFoundError:
            raise UserError(
                f"{self.path} has no {PREDICTIONS_FILE}, by which this is chosen: an earlier"
                " version wrote the model, or it was handed on without. Train again."
            ) from None
        except UserError:
            raise
        except (OSError, ValueError) as error:
            raise UserError(f"Can't read {path} ({one_line(error)}). Train again.") from None

    def is_replaced(self) -> bool:
        """Returns whether another model has taken the folder's place since this was read."""
        try:
            return _read_metadata(self.path) != self.metadata
        except (OSError, ValueError, RecursionError):
            return True

    def check_labels(self) -> None:
        """Checks that labels.txt, which tools of others read, says what metadata.json says.

        Raises:
            UserError: when it was edited, or is missing.
        """
        path = self.path / LABELS_FILE
        try:
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            if LABELS_FILE not in self.metadata.get(FILES, {}):
                return
            raise UserError(
                f"{path} is missing, which {METADATA_FILE} describes. Restore the whole folder."
            ) from None
        except OSError as error:
            raise UserError(f"Can't read {path}: {one_line(error)}.") from None
        found = text.rstrip("\n").split("\n")
        if found == list(self.labels):
            return
        pairs = enumerate(zip_longest(found, self.labels, fillvalue=""))
        line, (came, label) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
        raise UserError(
            f"{path} was edited: its line {line + 1} is {came!r}, and the model's label is"
            f" {label!r}. Restore it; for other names, write them to another file and give"
            f" `labels=FILE`."
        )

    def check_model(self) -> tuple[int, ...] | None:
        """Checks digests without loading the model; returns which file model.keras was.

        That of predictions.parquet is checked when it is read: few need it, and it may be large.
        """
        path = self.path / MODEL_FILE
        before = _identity(path)
        for name in (MODEL_FILE, PHOTOS_FILE):
            file = self.path / name
            # Who hands a model on may leave out what is said of the photos.
            if FILES in self.metadata and (name == MODEL_FILE or file.is_file()):
                try:
                    self._check_digest(name, file_digest(file))
                except OSError as error:
                    raise UserError(f"Can't read {file}: {one_line(error)}.") from None
        return before

    def _check_digest(self, name: str, digest: str) -> None:
        if self.metadata.get(FILES, {}).get(name, digest) != digest:
            raise UserError(
                f"{self.path / name} is damaged, or is not the one that {METADATA_FILE} describes"
                " (their SHA-256 differ). Restore the whole folder, or train again."
            )


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


def read_model_folder(model_dir: str | Path, *, renamed: bool = False) -> ModelFolder:
    """Reads a model folder's metadata; loads no model and needs no TensorFlow.

    Args:
        model_dir: the folder; one in a bucket is fetched.
        renamed: True where the classes are given other names, so that labels.txt does not matter.

    Raises:
        UserError: when it is no model folder, is damaged, or was written by a newer version; when
            labels.txt was edited or is missing.

    Example:
        >>> read_model_folder("out/flowers").labels
        ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
    """
    path = fetched_model(model_dir)
    with told_by_address(path):
        return _read_model_folder(path, renamed=renamed)


def _read_model_folder(path: Path, *, renamed: bool) -> ModelFolder:
    recover_folder(path)
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing"
        raise UserError(
            f"Expected a model folder, as `xferlearn train` writes it. Found {found} at {path}."
        )
    try:
        metadata = _read_metadata(path)
        version = metadata["format_version"]
        labels = tuple(str(label) for label in metadata["labels"])
        int(metadata["input"]["height"])
        told = metadata.get(OWN_DIGEST)
        if told is None and FILES in metadata:
            raise ValueError(f"it has no {OWN_DIGEST}")
        if told not in (None, own_digest(metadata)):
            raise ValueError("its text is not the one that was written")
        if not isinstance(metadata.get(FILES, {}), dict):
            raise ValueError(f"its {FILES} are no table")
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
    folder = ModelFolder(path, labels, metadata)
    if not renamed:
        folder.check_labels()
    return folder


def find_model_folder_around(path: Path, *, renamed: bool = False) -> ModelFolder | None:
    """Returns the model folder that a model file lies in, also in its exports/; None for none.

    Raises:
        UserError: as `read_model_folder`, which `renamed` is for.
    """
    path = path.absolute()
    folders = [path, path.parent] if path.is_dir() else [path.parent]
    folders += [folder.parent for folder in path.parents if folder.name == EXPORTS_DIR]
    found = next((folder for folder in folders if is_model_folder(folder)), None)
    return read_model_folder(found, renamed=renamed) if found is not None else None


def read_as_one(
    model_dir: str | Path, read: Callable[[ModelFolder], T], *, renamed: bool = False
) -> T:
    """Reads a model folder and files of it, all of one model, though it may be replaced meanwhile.

    Args:
        model_dir: the folder.
        read: reads the files; called again where another model has taken the folder's place.
        renamed: as for `read_model_folder`.

    Raises:
        UserError: as `read_model_folder` and `read`; when it is replaced again and again.
    """
    path = fetched_model(model_dir)
    for _ in range(_MOST_READS):
        seen = _identity(path / METADATA_FILE)
        try:
            with told_by_address(path):
                result = read(read_model_folder(path, renamed=renamed))
        except UserError:
            if seen == _identity(path / METADATA_FILE):
                raise
        else:
            if seen == _identity(path / METADATA_FILE):
                return result
    raise UserError(f"{model_dir} is replaced again and again. Try when that has ended.")


def _read_metadata(path: Path) -> Any:
    return json.loads((path / METADATA_FILE).read_text(encoding="utf-8"))


def own_digest(metadata: dict[str, Any]) -> str:
    """Returns the SHA-256 of metadata without their own."""
    content = {name: value for name, value in metadata.items() if name != OWN_DIGEST}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _identity(path: Path) -> tuple[int, ...] | None:
    """Returns what tells a file from one that has its name later; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
