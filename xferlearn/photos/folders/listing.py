"""Which files of a folder are photos, told by ending or content, and what else there is.

System folders and files are passed over, everything else that is no photo is counted.
"""

import bisect
import collections
import dataclasses
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from xferlearn.errors import UserError
from xferlearn.photos.folders.columns import UNKNOWN, bytes_of, text_of
from xferlearn.photos.pixels.formats import HEAD_BYTES, SUFFIXES, is_photo
from xferlearn.system.growing_table import BLOCK_ROWS, GrowingTable
from xferlearn.system.places import is_bucket
from xferlearn.system.text import count, one_line

# In lower case. What systems keep beside photos, most of it small copies of them. Those whose
# names begin with a dot need no row.
_SYSTEM_FOLDERS = frozenset(
    ("__macosx", "@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "recycler",
     "recycled", "lost+found", "system volume information", "network trash folder",
     "temporary items", "__pycache__")
)  # fmt: skip
_SYSTEM_FILES = frozenset(
    (".ds_store", ".localized", ".directory", ".nomedia", ".picasa.ini", "picasa.ini", "thumbs.db",
     "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "@synoresource")
)  # fmt: skip
_MOST_ENDINGS = 8
_LONGEST_ENDING = 16


class Names(Sequence[str]):
    """Names of photos of one folder, sorted: a part of those of all folders."""

    def __init__(self, listed: "Listed", start: int = 0, stop: int = 0) -> None:
        self._listed, self._start, self._stop = listed, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, row: Any) -> Any:
        rows = range(self._start, self._stop)[row]
        if isinstance(rows, range):
            return Names(self._listed, rows.start, rows.stop)
        return text_of(self._listed.table.column("name")[rows].as_py())

    def rows(self) -> Iterator[tuple[bytes, int, int]]:
        """Yields each name, size and time of the last change, as `FilesBuilder.add` takes them."""
        for block in self._listed.table.slice(self._start, len(self)).to_batches(BLOCK_ROWS):
            yield from zip(*block.to_pydict().values(), strict=True)


class Listed:
    """The names, sizes and times of all photos of a tree, folder after folder.

    Attributes:
        table: as `schema` says, once all are known.
    """

    schema = pa.schema([("name", pa.large_binary()), ("size", pa.int64()), ("changed", pa.int64())])
    table: pa.Table = schema.empty_table()


@dataclasses.dataclass(eq=False)
class Folder:
    """What a folder holds.

    Attributes:
        photos: names of its photos, sorted.
        folders: the folders in it by name, sorted, without those of the system. Through links a
            folder can be in several others, and in itself.
    """

    photos: Names = dataclasses.field(default_factory=lambda: Names(Listed()))
    folders: "dict[str, Folder]" = dataclasses.field(default_factory=dict)

    def walk(self, path: str = "") -> Iterator[tuple[str, "Folder"]]:
        """Yields this folder and all below with their paths, each once, parents first."""
        seen: set[int] = set()
        waiting = [(path, self)]
        while waiting:
            path, folder = waiting.pop()
            if id(folder) in seen:
                continue
            seen.add(id(folder))
            yield path, folder
            # The last one is taken first.
            waiting += [
                (path_below(path, name), below) for name, below in reversed(folder.folders.items())
            ]

    def photo_count(self) -> int:
        """Returns the number of photos in it and below."""
        return sum(len(folder.photos) for _, folder in self.walk())

    def runs(self, path: str) -> list[tuple[str, Names]]:
        """Returns all photos in it and below, sorted by path: folders with some of their names.

        Args:
            path: of this folder.

        Returns:
            Beginnings of paths, with the separator, and names. A folder is there several times
            where the paths of folders in it come between those of its own photos.
        """
        found = []
        for place, folder in self.walk(path):
            start, names = path_below(place, ""), folder.photos
            between = {bisect.bisect_left(names, name + start[-1:]) for name in folder.folders}
            cuts = sorted({0, len(names), *between})
            found += [(start, names[one:end]) for one, end in itertools.pairwise(cuts)]
        return sorted(found, key=lambda run: run[0] + run[1][0])

    def holds_photos(self) -> bool:
        """Returns whether there are photos in it or below."""
        return any(folder.photos for _, folder in self.walk())


def path_below(path: str, name: str) -> str:
    """Returns the path, or address, of what is in a folder; of "" the folder with a separator."""
    if is_bucket(path):
        return f"{path.rstrip('/')}/{name}".replace(os.sep, "/")
    return os.path.join(path, name)


@dataclasses.dataclass
class PassedOver:
    """What is no photo, counted.

    Attributes:
        endings: number of files by ending; "" for those without one.
        hidden: number of files whose names begin with a dot.
        folders: number of hidden folders and of those of the system, by name.
        nameless: number of objects of a bucket, or of folders, whose names have empty parts.
    """

    endings: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    hidden: int = 0
    folders: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    nameless: int = 0

    def add_nameless(self, name: str) -> None:
        """Counts an object or folder of a bucket such as `a//b`, which no folder could hold."""
        self.nameless += 1

    def is_hidden(self, name: str) -> bool:
        """Returns whether a file is hidden, and counts it if it is."""
        if not is_hidden(name):
            return False
        # Of each file on a foreign disk macOS keeps a second one, ._NAME.
        self.hidden += name.lower() not in _SYSTEM_FILES and not name.startswith("._")
        return True

    def add(self, name: str) -> None:
        """Counts a file that is no photo, unless a system writes such."""
        if name.lower() not in _SYSTEM_FILES:
            self.endings[ending_of(name)] += 1

    def __str__(self) -> str:
        """Returns such as "12 .txt, 1 without ending, 1 hidden file, folder __MACOSX", or ""."""
        common = self.endings.most_common()
        parts = [
            f"{number:,} {ending or 'without ending'}" for ending, number in common[:_MOST_ENDINGS]
        ]
        if rest := sum(number for _, number in common[_MOST_ENDINGS:]):
            parts.append(f"{count(rest, 'file')} with other endings")
        if self.hidden:
            parts.append(count(self.hidden, "hidden file"))
        if self.nameless:
            parts.append(f"{count(self.nameless, 'name')} with // in it")
        parts += [
            f"{count(number, 'folder')} {name}"
            for name, number in self.folders.most_common(_MOST_ENDINGS)
        ]
        if (rest := len(self.folders) - _MOST_ENDINGS) > 0:
            parts.append(f"{count(rest, 'other hidden folder')}")
        return ", ".join(parts)

    def warnings(self, place: str | Path) -> tuple[str, ...]:
        """Returns one line that says what was passed over; nothing where nothing was.

        Args:
            place: where it was found.
        """
        return (f"Passed over in {place}: {self}.",) if str(self) else ()


def ending_of(name: str) -> str:
    """Returns the ending of a file's name in lower case, "" where it has none."""
    ending = os.path.splitext(name.lower())[1]
    return ending if len(ending) <= _LONGEST_ENDING else ""


def list_folder(path: str | Path, passed: PassedOver) -> Folder:
    """Lists a folder and all below it; reads only the first bytes of files of unknown endings.

    Links are followed; a folder that is reached twice is listed once, so loops end.

    Args:
        path: the folder.
        passed: counts what is no photo.

    Raises:
        UserError: on a folder that can't be read.
    """
    known: dict[tuple[int, int], Folder] = {}
    waiting: list[tuple[str, Folder]] = []
    listed, rows, number = Listed(), GrowingTable(Listed.schema), 0

    def folder_at(place: str) -> Folder:
        status = os.stat(place)
        key = (status.st_dev, status.st_ino)
        if key not in known:
            known[key] = Folder()
            waiting.append((place, known[key]))
        return known[key]

    try:
        top = folder_at(str(path))
        while waiting:
            place, folder = waiting.pop()
            below: list[str] = []
            photos: list[bytes] = []
            with os.scandir(place) as entries:
                for entry in entries:
                    if _is_folder(entry):
                        if is_passed_folder(entry.name):
                            passed.folders[entry.name] += 1
                        else:
                            below.append(entry.name)
                    elif _is_photo_file(entry, passed):
                        photos.append(bytes_of(entry.name))
            for photo in sorted(photos):
                rows.add(photo, UNKNOWN, 0)
            folder.photos = Names(listed, number, number + len(photos))
            number += len(photos)
            for name in sorted(below):
                folder.folders[name] = folder_at(os.path.join(place, name))
    except OSError as error:
        raise UserError(
            f"Can't read folder {error.filename}: {one_line(error)}. Make it readable, or remove"
            " it."
        ) from None
    listed.table = rows.finish()
    return top


def is_passed_folder(name: str) -> bool:
    """Returns whether a folder is passed over because it is hidden, or one of a system."""
    return is_hidden(name) or name.lower() in _SYSTEM_FOLDERS


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_photo_file(entry: os.DirEntry[str], passed: PassedOver) -> bool:
    """Returns whether a file is to be read as a photo; counts it where it is not."""
    if passed.is_hidden(entry.name):
        return False
    if entry.name.lower().endswith(SUFFIXES) or _begins_like_photo(entry):
        return True
    passed.add(entry.name)
    return False


def is_hidden(name: str) -> bool:
    """Returns whether a name begins with a dot; one of dots alone is a name."""
    return name.startswith(".") and bool(name.strip("."))


def _begins_like_photo(entry: os.DirEntry[str]) -> bool:
    try:
        # Opening a pipe would wait forever.
        if not entry.is_file():
            return False
        with open(entry.path, "rb", buffering=0) as file:
            return is_photo(file.read(HEAD_BYTES))
    except OSError:
        return False
