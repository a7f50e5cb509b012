"""Photos in files: a folder of class folders, or files, folders and globs as a user names them."""

import dataclasses
import errno
import functools
import glob
import os
import stat
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import NoReturn

from xferlearn.errors import UserError
from xferlearn.photos.formats import SUFFIXES
from xferlearn.photos.sources import Entry
from xferlearn.photos.splitting import check_counts
from xferlearn.system.text import one_line


@dataclasses.dataclass(frozen=True)
class FileSource:
    """A source of photos in files; see `read_image_dir` and `read_files`.

    Attributes:
        labels: class names, sorted.
        files: path and label's index of each photo.
        root: folder that the photos' names are relative to; "" for names as given.
        warnings: what a person should know of what was found, one line each.
    """

    labels: tuple[str, ...]
    files: tuple[tuple[str, int], ...] = dataclasses.field(repr=False)
    root: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of files."""
        return len(self.files)

    def entries(self) -> Iterator[Entry]:
        """Yields the photos in the order of `files`."""
        for path, label in self.files:
            name = os.path.relpath(path, self.root).replace(os.sep, "/") if self.root else path
            yield Entry(name, label, functools.partial(_read_file, path), _size(path))

    def only(self, names: Set[str]) -> "FileSource":
        """Returns a source of the photos with these names, without listing the others."""
        # Making the name of every path takes seconds at a million photos.
        paths = {os.path.normpath(os.path.join(self.root, name)) for name in names}
        files = tuple(file for file in self.files if os.path.normpath(file[0]) in paths)
        return dataclasses.replace(self, files=files)


def read_image_dir(image_dir: str | Path, labels: tuple[str, ...] | None = None) -> FileSource:
    """Lists a folder with one sub-folder of photos per class. Reads no photo.

    Hidden files and folders, and files whose ending is not that of a photo, are ignored.

    Args:
        image_dir: the folder.
        labels: the classes to look for, in a model's order; folders with other names are an error,
            missing ones are not. None takes every sub-folder as a class, with at least three
            photos each.

    Returns:
        The photos, classes in the order of their folders' names, paths sorted.

    Raises:
        UserError: when there is no such folder, or it does not hold classes with photos.

    Example:
        >>> read_image_dir("flower_photos").labels
        ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
    """
    root = Path(image_dir)
    try:
        if not root.is_dir():
            came = "a file" if root.exists() else "nothing"
            raise UserError(f"Expected `image_dir` to be a folder. Found {came} at {image_dir}.")
        folders = sorted(
            entry.name
            for entry in root.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )
    except OSError as error:
        _refuse_folder(error)
    if labels is None:
        found: dict[str, list[str]] = {name: photos_below(root / name) for name in folders}
        if not found and photos_below(root):
            raise UserError(
                f"{image_dir} holds photos but no sub-folders. Expected one sub-folder per"
                f" class, e.g. {root / 'daisy'}."
            )
        check_counts({name: len(paths) for name, paths in found.items()})
        for name in folders:
            _check_label(name, root)
        labels = tuple(folders)
    else:
        for name in folders:
            if name not in labels:
                raise UserError(
                    f"The model has no class {name!r}, a folder of {image_dir}. Its classes are"
                    f" {', '.join(labels)}."
                )
        found = {name: photos_below(root / name) for name in folders}
        if not any(found.values()):
            raise UserError(
                f"Found no photos in {image_dir}. Expected one sub-folder per class, named"
                f" {', '.join(labels)}."
            )
    index = {name: i for i, name in enumerate(labels)}
    files = tuple((path, index[name]) for name in folders for path in found[name])
    return FileSource(labels, files, str(root))


def read_files(patterns: Iterable[str]) -> FileSource:
    """Lists photos given as files, folders (all photos below) and globs (`**` goes deep).

    A file that does not exist is listed all the same, so that it is reported among the others.

    Args:
        patterns: paths and globs, relative to the current folder or absolute.

    Returns:
        The photos without labels, each path once, in the order given.

    Raises:
        UserError: for a folder without photos, or a glob that nothing matches.
    """
    files: list[str] = []
    for pattern in patterns:
        if os.path.isdir(pattern):
            below = photos_below(Path(pattern))
            if not below:
                raise UserError(f"Found no photos in folder {pattern}.")
            files += below
        elif glob.has_magic(pattern) and not os.path.exists(pattern):
            matches = sorted(glob.glob(pattern, recursive=True))
            below = [
                path
                for match in matches
                for path in (photos_below(Path(match)) if Path(match).is_dir() else [match])
            ]
            if not below:
                raise UserError(f"Nothing matches {pattern}.")
            files += below
        else:
            files.append(pattern)
    return FileSource((), tuple((path, -1) for path in dict.fromkeys(files)))


def photos_below(folder: Path) -> list[str]:
    """Returns the paths of all files below a folder that end like photos, sorted.

    Links are followed; a folder that is reached twice is read once, so loops end.

    Raises:
        UserError: on a folder that can't be read.
    """
    paths: list[str] = []
    seen: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [
            # Strings: Path objects cost seconds at a million photos.
            os.path.join(parent, name)
            for name in files
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return sorted(paths)


def _refuse_folder(error: OSError) -> NoReturn:
    raise UserError(
        f"Can't read folder {error.filename}: {one_line(error)}. Make it readable, or remove it."
    ) from None


def _read_file(path: str) -> bytes:
    # Reading a pipe would wait forever, and a device might never end.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    return Path(path).read_bytes()


def _check_label(name: str, root: Path) -> None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(
            f"The name of folder {name!r} in {root} is not valid UTF-8. Rename it."
        ) from None
    if "\n" in name or "\r" in name:
        raise UserError(
            f"The name of folder {name!r} in {root} has a line break, and labels.txt holds one"
            " label per line. Rename it."
        )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
