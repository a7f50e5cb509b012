"""Which files of a folder are photos, told by ending or content, and what else there is.

System folders and files are passed over, everything else that is no photo is counted.
"""

import collections
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.photos.pixels.formats import HEAD_BYTES, SUFFIXES, is_photo
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


@dataclasses.dataclass(eq=False)
class Folder:
    """What a folder holds.

    Attributes:
        photos: names of its photos.
        folders: the folders in it by name, sorted, without those of the system. Through links a
            folder can be in several others, and in itself.
    """

    photos: list[str] = dataclasses.field(default_factory=list)
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
                (os.path.join(path, name), below)
                for name, below in reversed(folder.folders.items())
            ]

    def photo_paths(self, path: str) -> list[str]:
        """Returns the paths of all photos in it and below, sorted.

        Args:
            path: of this folder.
        """
        # Strings: Path objects cost seconds at a million photos.
        return sorted(
            os.path.join(place, name) for place, folder in self.walk(path) for name in folder.photos
        )

    def holds_photos(self) -> bool:
        """Returns whether there are photos in it or below."""
        return any(folder.photos for _, folder in self.walk())


@dataclasses.dataclass
class PassedOver:
    """What is no photo, counted.

    Attributes:
        endings: number of files by ending; "" for those without one.
        hidden: number of files whose names begin with a dot.
        folders: number of hidden folders and of those of the system, by name.
    """

    endings: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    hidden: int = 0
    folders: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

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
            with os.scandir(place) as entries:
                for entry in entries:
                    if _is_folder(entry):
                        if _is_hidden(entry.name) or entry.name.lower() in _SYSTEM_FOLDERS:
                            passed.folders[entry.name] += 1
                        else:
                            below.append(entry.name)
                    elif _is_photo_file(entry, passed):
                        folder.photos.append(entry.name)
            for name in sorted(below):
                folder.folders[name] = folder_at(os.path.join(place, name))
    except OSError as error:
        raise UserError(
            f"Can't read folder {error.filename}: {one_line(error)}. Make it readable, or remove"
            " it."
        ) from None
    return top


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_photo_file(entry: os.DirEntry[str], passed: PassedOver) -> bool:
    """Returns whether a file is to be read as a photo; counts it where it is not."""
    name = entry.name.lower()
    if _is_hidden(name):
        # Of each file on a foreign disk macOS keeps a second one, ._NAME.
        passed.hidden += name not in _SYSTEM_FILES and not name.startswith("._")
        return False
    if name.endswith(SUFFIXES) or _begins_like_photo(entry):
        return True
    if name not in _SYSTEM_FILES:
        ending = os.path.splitext(name)[1]
        passed.endings[ending if len(ending) <= _LONGEST_ENDING else ""] += 1
    return False


def _is_hidden(name: str) -> bool:
    # A name of dots alone is a name.
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
