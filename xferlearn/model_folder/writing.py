"""Writes a model folder, whole or not at all."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xferlearn.errors import UserError, XferlearnError
from xferlearn.model_folder.reading import (
    EXPORTS_DIR,
    FILES,
    FORMAT_VERSION,
    LABELS_FILE,
    METADATA_FILE,
    MODEL_FILE,
    OWN_DIGEST,
    PHOTOS_FILE,
    UNFINISHED_EXPORT,
    ModelFolder,
    is_model_folder,
    own_digest,
)
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.recorded import write_photos
from xferlearn.system.files import (
    file_digest,
    real_path,
    recover_folder,
    remove_stale,
    replace_folder,
    temporary_folder,
)
from xferlearn.system.folders import check_writable
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras

_OWN_NAMES = (MODEL_FILE, LABELS_FILE, METADATA_FILE, PHOTOS_FILE, EXPORTS_DIR)


def check_model_dir(model_dir: str | Path, overwrite: bool) -> None:
    """Checks, before any work, that a model may be written to a folder, and that it can be.

    Args:
        model_dir: the folder, which need not exist.
        overwrite: whether a model that is there may be replaced.

    Raises:
        UserError: when the folder holds what must not be replaced, or can't be written.
    """
    recover_folder(real_path(model_dir))
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
    learned_test: bool = False,
    overwrite: bool = False,
) -> ModelFolder:
    """Writes a model folder: under a temporary name, then renamed, so it is whole or not there.

    Args:
        model_dir: the folder.
        model: as `build_classifier` returns it.
        manifest: the photos that it was made from.
        metadata: goes to metadata.json, after format_version and labels.
        looks: by which copies of the manifest's photos are recognised; empty for none.
        learned_test: whether the model has learned from the test photos too, once measured.
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
            write_photos(new / PHOTOS_FILE, manifest, looks, learned_test=learned_test)
            content = _write_texts(new, manifest, content)
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


def _write_texts(folder: Path, manifest: Manifest, metadata: dict[str, Any]) -> dict[str, Any]:
    """Writes labels.txt, then metadata.json with the digests of all; returns its content."""
    labels = "".join(f"{label}\n" for label in manifest.labels)
    (folder / LABELS_FILE).write_text(labels, encoding="utf-8")
    files = {name: file_digest(folder / name) for name in (MODEL_FILE, LABELS_FILE, PHOTOS_FILE)}
    # As it will be read: JSON has neither tuples nor keys that are numbers.
    content = json.loads(json.dumps({**metadata, FILES: files}))
    content[OWN_DIGEST] = own_digest(content)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    # File names that are not valid UTF-8 become escapes, which JSON reads back.
    (folder / METADATA_FILE).write_text(text, encoding="utf-8", errors="backslashreplace")
    return content
