"""Checks of the folders that a command writes to, made before its work."""

import errno
import os
import tempfile
from pathlib import Path

from xferlearn.errors import UserError
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
    root, path = Path(image_dir).resolve(), Path(folder).resolve()
    if not path.is_relative_to(root):
        return
    inside = path.relative_to(root).parts
    if not inside or not inside[0].startswith("."):
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
    if Path(folder).resolve().is_relative_to(Path(model_dir).resolve()):
        raise UserError(
            f"`{name}={str(folder)!r}` lies in `model_dir={str(model_dir)!r}`, which is replaced"
            f" as a whole. Choose a `{name}` outside of it."
        )


def check_writable(name: str, folder: str | Path) -> None:
    """Checks that files can be written to a folder, which need not exist yet.

    Args:
        name: setting that names the folder.
        folder: the folder.

    Raises:
        UserError: when they can't be written.
    """
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
