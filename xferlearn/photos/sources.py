"""Where photos come from: a folder of folders, a list of files, or a TensorFlow Datasets builder.

A source lists what there is without reading it; `read` then yields bytes.
"""

import dataclasses
import errno
import functools
import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import NoReturn, Protocol

from xferlearn.errors import UserError
from xferlearn.photos.headers import SUFFIXES
from xferlearn.photos.splitting import check_counts
from xferlearn.photos.views import Augmentation
from xferlearn.system.text import one_line


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One photo that has not been read yet.

    Attributes:
        name: path below the photos' folder with `/`, the path as given, or the data set's key.
        label: index of its class; -1 where it has none.
        read: returns the file's bytes; raises OSError.
        size: bytes, as the file system says; 0 where it is not known before reading.
        fixed_split: the split that the data set's authors gave it.
        view: how it is looked at, and the number of the view; None for the plain view.
    """

    name: str
    label: int
    read: Callable[[], bytes]
    size: int = 0
    fixed_split: str | None = None
    view: tuple[Augmentation, int] | None = None


class PhotoSource(Protocol):
    """Labelled photos.

    Attributes:
        labels: class names, sorted.
        count: number of entries, for progress.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, sorted."""

    @property
    def count(self) -> int:
        """Number of entries."""

    def entries(self) -> Iterator[Entry]:
        """Yields the photos, always in the same order."""


@dataclasses.dataclass(frozen=True)
class FileSource:
    """Photos in files; see `read_image_dir`.

    Attributes:
        labels: class names, sorted.
        files: path and label's index of each photo.
        root: folder that the photos' names are relative to; "" for names as given.
    """

    labels: tuple[str, ...]
    files: tuple[tuple[str, int], ...]
    root: str = ""

    @property
    def count(self) -> int:
        """Number of files."""
        return len(self.files)

    def entries(self) -> Iterator[Entry]:
        """Yields the photos in the order of `files`."""
        for path, label in self.files:
            name = os.path.relpath(path, self.root).replace(os.sep, "/") if self.root else path
            yield Entry(name, label, functools.partial(_read_file, path), _size(path))


@dataclasses.dataclass(frozen=True)
class Selection:
    """Some photos of a source, plain or in several views each.

    Attributes:
        source: all photos.
        names: those that are meant.
        augmentation: how their views vary; None for the plain view.
        numbers: which views of each photo.
    """

    source: PhotoSource
    names: Set[str]
    augmentation: Augmentation | None = None
    numbers: Sequence[int] = (0,)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of the whole source."""
        return self.source.labels

    @property
    def count(self) -> int:
        """Number of views."""
        return len(self.names) * len(self.numbers)

    def entries(self) -> Iterator[Entry]:
        """Yields the views in the source's order, those of a photo one after the other."""
        left = len(self.names)
        for entry in self.source.entries():
            if entry.name not in self.names:
                continue
            for number in self.numbers:
                view = None if self.augmentation is None else (self.augmentation, number)
                yield dataclasses.replace(entry, view=view)
            left -= 1
            if not left:  # what follows need not be read, nor looked for
                return


def read_image_dir(image_dir: str, labels: tuple[str, ...] | None = None) -> FileSource:
    """Lists a folder with one sub-folder of photos a class. Reads no photo.

    Hidden files and folders, and files that are no photos by their ending, are passed over.

    Args:
        image_dir: the folder.
        labels: the classes to look for, in a model's order; folders of other names are an error,
            missing ones are not. None takes every sub-folder as a class, with at least three
            photos each.

    Raises:
        UserError: when there is no such folder, or it does not hold classes with photos.
    """
    root = Path(image_dir)
    try:
        if not root.is_dir():
            came = "a file" if root.exists() else "nothing"
            raise UserError(f"Expected --image_dir to be a folder. Found {came} at {image_dir}.")
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
                f"{image_dir} holds photos but no sub-folders. Expected one sub-folder a class,"
                f" such as {root / 'daisy'}."
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
                f"Found no photos in {image_dir}. Expected one sub-folder a class, named"
                f" {', '.join(labels)}."
            )
    index = {name: i for i, name in enumerate(labels)}
    files = tuple((path, index[name]) for name in folders for path in found[name])
    return FileSource(labels, files, str(root))


def read_files(patterns: Iterable[str]) -> FileSource:
    """Lists photos given as files, folders (all photos below) and globs (`**` goes deep).

    Raises:
        UserError: for a folder without photos, or a pattern that nothing matches. A file that is
            not there is listed all the same, so that it is reported among the others.
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
        f"Can't read folder {error.filename}: {one_line(error)}. Make it readable, or take it out."
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
            " label a line. Rename it."
        )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
