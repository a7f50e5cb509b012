"""Writes a model folder, whole or not at all."""

import json
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xferlearn.errors import UserError, XferlearnError
from xferlearn.model_folder.buckets import check_bucket, fetched_model, put_model
from xferlearn.model_folder.layout import (
    EXPORTS_DIR,
    FILES,
    LABELS_FILE,
    METADATA_FILE,
    MODEL_FILE,
    OWN_DIGEST,
    PHOTOS_FILE,
    PREDICTIONS_FILE,
    UNFINISHED_EXPORT,
)
from xferlearn.model_folder.reading import (
    FORMAT_VERSION,
    ModelFolder,
    is_model_folder,
    own_digest,
    read_model_folder,
)
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.predicted import Predicted, write_predicted
from xferlearn.photos.recorded import write_photos
from xferlearn.system.addresses import bucket_reason, is_bucket, last_name
from xferlearn.system.fetching import staging_folder
from xferlearn.system.files import (
    expire,
    file_digest,
    real_path,
    recover_folder,
    remove_stale,
    replace_folder,
    temporary_folder,
    write_atomically,
)
from xferlearn.system.folders import check_writable
from xferlearn.system.places import place_of
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras

_OWN_NAMES = (
    MODEL_FILE, LABELS_FILE, METADATA_FILE, PHOTOS_FILE, PREDICTIONS_FILE, EXPORTS_DIR
)  # fmt: skip
# Changes of metadata.json that other changes come before, one after the other.
_MOST_CHANGES = 10
# What was put to a bucket, or could not be.
_STAGED_SECONDS = 24 * 3600


def check_model_dir(model_dir: str | Path, overwrite: bool) -> None:
    """Checks, before any work, that a model may be written to a folder, and that it can be.

    Args:
        model_dir: the folder, which need not exist.
        overwrite: whether a model that is there may be replaced.

    Raises:
        UserError: when the folder holds what must not be replaced, or can't be written.
    """
    if is_bucket(str(model_dir)):
        check_writable("model_dir", model_dir)
        check_bucket(str(model_dir), overwrite)
        return
    recover_folder(real_path(model_dir))
    # Beside it, because it is written under a temporary name first.
    check_writable("model_dir", real_path(model_dir).parent)
    _check_replaceable(Path(model_dir), overwrite)


def staged_model(model_dir: str) -> Path:
    """Returns a new path of this machine for a model that is then put to an address."""
    folder = staging_folder(model_dir)
    expire(folder, "?" * 8, _STAGED_SECONDS)
    return folder / uuid.uuid4().hex[:8] / last_name(model_dir)


def write_model_folder(
    model_dir: str | Path,
    model: "keras.Model",
    manifest: Manifest,
    metadata: dict[str, Any],
    *,
    predicted: Predicted | None = None,
    looks: Iterable[bytes] | None = None,
    learned_test: bool = False,
    overwrite: bool = False,
) -> ModelFolder:
    """Writes a model folder: under a temporary name, then renamed, so it is whole or not there.

    Args:
        model_dir: the folder.
        model: as `build_classifier` returns it.
        manifest: the photos that it was made from.
        metadata: goes to metadata.json, after format_version and labels.
        predicted: what heads that have not learned from them say of these photos; None for nothing.
        looks: by which copies of the manifest's photos are recognised; None for none.
        learned_test: whether the model has learned from the test photos too, once measured.
        overwrite: whether a model that is there may be replaced.

    Returns:
        The folder that was written.

    Raises:
        UserError: when the folder holds what must not be replaced.
        XferlearnError: when it can't be written.
    """
    bucket = str(model_dir) if is_bucket(str(model_dir)) else ""
    path = staged_model(bucket) if bucket else real_path(model_dir)
    content = {"format_version": FORMAT_VERSION, "labels": list(manifest.labels), **metadata}
    try:
        with temporary_folder(path) as new:
            model.save(new / MODEL_FILE)
            write_photos(new / PHOTOS_FILE, manifest, looks, learned_test=learned_test)
            if predicted is not None:
                with (new / PREDICTIONS_FILE).open("wb") as file:
                    write_predicted(file, predicted)
            content = _write_texts(new, manifest, content)
            replace_folder(path, new, lambda: _check_replaceable(path, overwrite))
    except OSError as error:
        raise XferlearnError(
            f"Can't write the model to {path}: {one_line(error)}. Make room there and run again:"
            " bottlenecks, and what was fine-tuned, are kept."
        ) from None
    # Of models, and of the states of fine-tuning, which are written beside them.
    remove_stale(path.parent, path.name)
    if bucket:
        put_model(path, bucket, overwrite)
    return ModelFolder(path if bucket else Path(model_dir), manifest.labels, content)


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
        # A killed export leaves a hidden folder, a killed change of the metadata a hidden file.
        left_behind = name.startswith((f".{UNFINISHED_EXPORT}.", f".{METADATA_FILE}."))
        if name not in _OWN_NAMES and not left_behind:
            raise UserError(
                f"{path} holds {name}, which is not part of a model and would be deleted with it."
                " Move it away, or choose another `model_dir`."
            )


def _write_texts(folder: Path, manifest: Manifest, metadata: dict[str, Any]) -> dict[str, Any]:
    """Writes labels.txt, then metadata.json with the digests of all; returns its content."""
    labels = "".join(f"{label}\n" for label in manifest.labels)
    (folder / LABELS_FILE).write_text(labels, encoding="utf-8")
    files = {
        name: file_digest(folder / name)
        for name in (MODEL_FILE, LABELS_FILE, PHOTOS_FILE, PREDICTIONS_FILE)
        if (folder / name).is_file()
    }
    # As it will be read: JSON has neither tuples nor keys that are numbers.
    content = json.loads(json.dumps({**metadata, FILES: files}))
    content[OWN_DIGEST] = own_digest(content)
    (folder / METADATA_FILE).write_bytes(_as_text(content))
    return content


def _as_text(metadata: dict[str, Any]) -> bytes:
    text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
    # File names that are not valid UTF-8 become escapes, which JSON reads back.
    return text.encode("utf-8", "backslashreplace")


class _Changed(Exception):
    """Another process was quicker."""


def change_metadata(
    model_dir: str | Path, change: Callable[[ModelFolder], dict[str, Any]]
) -> ModelFolder:
    """Changes a model's metadata.json, which is the former one or the new one at any time.

    Args:
        model_dir: the folder.
        change: returns the new values, by key, of the model that it is given; called again where
            the model was replaced or changed meanwhile.

    Returns:
        The folder with its new metadata.

    Raises:
        UserError: as `read_model_folder` and `change`; when others change it again and again.
        XferlearnError: when it can't be written.
    """
    if is_bucket(str(model_dir)):
        return _change_in_bucket(str(model_dir), change)
    for _ in range(_MOST_CHANGES):
        folder = read_model_folder(model_dir)
        content = _changed(folder, change)

        def check(read: ModelFolder = folder) -> None:
            if read.is_replaced():
                raise _Changed

        try:
            path = real_path(model_dir)
            write_atomically(path / METADATA_FILE, _as_text(content), check)
        except (_Changed, FileNotFoundError):
            continue
        except OSError as error:
            raise XferlearnError(
                f"Can't write {path / METADATA_FILE}: {one_line(error)}."
            ) from None
        remove_stale(path, METADATA_FILE)
        return ModelFolder(Path(model_dir), folder.labels, content)
    raise UserError(f"{model_dir} is changed again and again. Try when that has ended.")


def _changed(
    folder: ModelFolder, change: Callable[[ModelFolder], dict[str, Any]]
) -> dict[str, Any]:
    """Returns a model's metadata with other values, and the digest that belongs to them."""
    content = {**folder.metadata, **json.loads(json.dumps(change(folder)))}
    if content.pop(OWN_DIGEST, None) is not None:
        content[OWN_DIGEST] = own_digest(content)
    return content


def _change_in_bucket(
    model_dir: str, change: Callable[[ModelFolder], dict[str, Any]]
) -> ModelFolder:
    folder = read_model_folder(model_dir)
    content = _changed(folder, change)
    if fetched_model(model_dir) != folder.path:
        raise UserError(f"{model_dir} was changed meanwhile. Run again.")
    try:
        place_of(model_dir, "`model`").write(METADATA_FILE, _as_text(content))
    except OSError as error:
        raise XferlearnError(
            f"Can't write {METADATA_FILE} to {model_dir}: {bucket_reason(error)}."
        ) from None
    return read_model_folder(model_dir)
