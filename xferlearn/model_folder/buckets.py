"""Model folders in buckets: a copy is read, and a new one is put there so that no reader mixes two.

A bucket can't rename a folder. So what names a model, its metadata.json, goes first and comes last:
between, a reader finds no model there; before and after, the digests in it say which files are its.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from xferlearn.errors import UserError, XferlearnError
from xferlearn.model_folder.layout import (
    EXPORTS_DIR,
    LABELS_FILE,
    METADATA_FILE,
    MODEL_FILE,
    PHOTOS_FILE,
    PREDICTIONS_FILE,
)
from xferlearn.system.addresses import bucket_reason, is_bucket, last_name, shown_address
from xferlearn.system.fetching import fetched, origin, told_by_address
from xferlearn.system.places import Place, place_of

_OWN_NAMES = (MODEL_FILE, LABELS_FILE, METADATA_FILE, PHOTOS_FILE, PREDICTIONS_FILE)
# What tools of others call the file of labels beside a model.
_LABELS = (LABELS_FILE, "retrained_labels.txt", "output_labels.txt")


def fetched_model(address: str | Path, what: str = "`model`") -> Path:
    """Returns where a model file or folder is on this machine, as `fetched` does.

    Of a model folder its exports stay where they are; of a file, its labels and what else has its
    name, such as OpenVINO's weights, come with it.

    Raises:
        UserError: when there is nothing at the address.
        XferlearnError: when it can't be fetched.
    """
    stem = last_name(str(address)).rpartition(".")[0]
    return fetched(
        address,
        what,
        skip=lambda name: name.startswith((f"{EXPORTS_DIR}/", ".")),
        beside=lambda name: name in _LABELS or bool(stem and name.startswith(f"{stem}.")),
    )


def check_bucket(model_dir: str, overwrite: bool) -> Place:
    """Checks that a model may be put to an address; returns the place.

    Raises:
        UserError: when it holds what must not be replaced.
        XferlearnError: when the bucket can't be read.
    """
    place = place_of(model_dir, "`model_dir`")
    shown = shown_address(model_dir)
    try:
        names = sorted(one.name for one in place.files(below=True))
    except OSError as error:
        raise XferlearnError(f"Can't read {shown}: {bucket_reason(error)}.") from None
    strange = [
        name for name in names if name not in _OWN_NAMES and not name.startswith(f"{EXPORTS_DIR}/")
    ]
    if strange:
        raise UserError(
            f"{shown} holds {strange[0]}, which is not part of a model. Choose another `model_dir`."
        )
    if METADATA_FILE in names and not overwrite:
        raise UserError(
            f"{shown} holds a model already. Choose another `model_dir`, or replace it with"
            " `overwrite=True`."
        )
    return place


def put_model(folder: Path, model_dir: str, overwrite: bool) -> None:
    """Puts a model folder of this machine to an address; the exports of a former model go.

    Args:
        folder: the folder, which nobody else changes.
        model_dir: the address.
        overwrite: whether a model that is there may be replaced.

    Raises:
        UserError: when it holds what must not be replaced.
        XferlearnError: when the bucket can't be written; then there is no model at the address.
    """
    place = check_bucket(model_dir, overwrite)
    try:
        place.remove(METADATA_FILE)
        for one in [*place.files(below=True)]:
            if one.name.startswith(f"{EXPORTS_DIR}/") or not (folder / one.name).is_file():
                place.remove(one.name)
        names = [one.name for one in folder.iterdir() if one.is_file()]
        for name in sorted(names, key=lambda name: name == METADATA_FILE):
            place.write(name, (folder / name).read_bytes())
    except OSError as error:
        raise XferlearnError(
            f"Can't write the model to {shown_address(model_dir)}:"
            f" {bucket_reason(error)}. It is in {folder}, for a day: put its files there,"
            f" {METADATA_FILE} last, or run again."
        ) from None


@contextlib.contextmanager
def mirrored_exports(folder: Path) -> Iterator[None]:
    """Brings the exports of a model in a bucket beside its copy, and puts back what changed there.

    Args:
        folder: of the model; nothing is done for one that is on this machine.

    Raises:
        XferlearnError: when the bucket can't be read or written.
    """
    address = origin(folder / EXPORTS_DIR)
    if not is_bucket(address):
        yield
        return
    exports = folder / EXPORTS_DIR
    try:
        place = place_of(address, "`model`")
        shutil.rmtree(exports, ignore_errors=True)
        before = {}
        for one in place.files(below=True):
            if ".." not in one.name.split("/"):
                (exports / one.name).parent.mkdir(parents=True, exist_ok=True)
                (exports / one.name).write_bytes(place.read(one.name))
                before[one.name] = _identity(exports / one.name)
        with told_by_address(folder):
            yield
        after = {path.relative_to(exports).as_posix(): path for path in exports.rglob("*")}
        for name, path in sorted(after.items()):
            if path.is_file() and before.get(name) != _identity(path):
                place.write(name, path.read_bytes())
        for name in before.keys() - after.keys():
            place.remove(name)
    except OSError as error:
        raise XferlearnError(
            f"Can't write {shown_address(address)}: {bucket_reason(error)}."
        ) from None


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns
