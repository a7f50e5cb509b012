"""Checks of the folders that a command writes to, made before its work."""

import errno
import os
import tempfile
import uuid
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.system.addresses import bucket_reason, is_bucket, names_below, shown_address
from xferlearn.system.places import place_of
from xferlearn.system.text import one_line

# A full disk still makes empty files.
_BLOCK = 4096


def check_outside(image_dir: str | Path, name: str, folder: str | Path) -> None:
    """Checks that a folder to be written to lies outside of the photos' folder.

    Args:
        image_dir: the photos' folder.
        name: setting that names the other folder.
        folder: the other folder.

    Raises:
        UserError: when it would become a class or part of one. Hidden folders don't.
    """
    inside = names_below(image_dir, folder)
    if inside is not None and (not inside or not inside[0].startswith(".")):
        raise UserError(
            f"`{name}={str(folder)!r}` lies in `image_dir={str(image_dir)!r}`, where every folder"
            f" is a class. Choose a `{name}` outside of it."
        )


def check_outside_model(model_dir: str | Path, name: str, folder: str | Path) -> None:
    """Checks that a folder that is read or written lies outside of the model folder.

    Args:
        model_dir: the model folder.
        name: setting that names the other folder.
        folder: the other folder.

    Raises:
        UserError: when it would be replaced together with the model.
    """
    if names_below(model_dir, folder) is not None:
        raise UserError(
            f"`{name}={str(folder)!r}` lies in `model_dir={str(model_dir)!r}`, which is replaced"
            f" as a whole. Choose a `{name}` outside of it."
        )


def check_writable(name: str, folder: str | Path) -> None:
    """Checks that files can be written to a folder, which need not exist yet.

    Args:
        name: setting that names the folder.
        folder: the folder, on this machine or in a bucket.

    Raises:
        UserError: when they can't be written.
    """
    if is_bucket(str(folder)):
        _check_bucket(name, str(folder))
        return
    path = Path(folder).absolute()
    there = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
    try:
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{there} is not a folder")
        # Permissions are not enough: a disk may be full, or mounted read-only.
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(_BLOCK))
            file.flush()
    except OSError as error:
        raise UserError(
            f"Can't write to {folder}: {one_line(error)}. Choose another `{name}`."
        ) from None


def _check_bucket(name: str, folder: str) -> None:
    place = place_of(folder, f"`{name}`")
    probe = f".{uuid.uuid4().hex[:8]}.tmp"
    try:
        place.write(probe, b"")
        place.remove(probe)
    except OSError as error:
        raise UserError(
            f"Can't write to {shown_address(folder)}: {bucket_reason(error)}. Check that"
            f" the bucket is there and that you may write to it, or choose another `{name}`."
        ) from None
