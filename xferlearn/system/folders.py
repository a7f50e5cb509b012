"""Folders that a command writes to, checked before its work."""

import os
import tempfile
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.system.text import one_line


def check_outside(image_dir: str, name: str, folder: str | Path) -> None:
    """Checks that a folder to be written to lies outside of the photos' folder.

    Args:
        image_dir: the photos' folder.
        name: the setting that names the other one.
        folder: the other one.

    Raises:
        UserError: when it would become a class of its own, or part of one. Hidden folders don't.
    """
    root, path = Path(image_dir).resolve(), Path(folder).resolve()
    if not path.is_relative_to(root):
        return
    inside = path.relative_to(root).parts
    if not inside or not inside[0].startswith("."):
        raise UserError(
            f"--{name}={folder} lies in --image_dir={image_dir}, where every folder is a class."
            f" Choose a --{name} outside of it."
        )


def check_outside_model(model_dir: str | Path, name: str, folder: str | Path) -> None:
    """Checks that a folder that is read or written lies outside of the model folder.

    Args:
        model_dir: the model folder.
        name: the setting that names the other one.
        folder: the other one.

    Raises:
        UserError: when it would be replaced with the model.
    """
    if Path(folder).resolve().is_relative_to(Path(model_dir).resolve()):
        raise UserError(
            f"--{name}={folder} lies in --model_dir={model_dir}, which is replaced as a whole."
            f" Choose a --{name} outside of it."
        )


def check_writable(name: str, folder: str | Path) -> None:
    """Checks that files can be written to a folder, which need not be there yet.

    Args:
        name: the setting that names it.
        folder: the folder.

    Raises:
        UserError: when they can't.
    """
    path = Path(folder).absolute()
    there = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
    try:
        # Rights alone don't tell: a disk may be full, or mounted to be read only.
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(
            f"Can't write to {folder}: {one_line(error)}. Choose another --{name}."
        ) from None
