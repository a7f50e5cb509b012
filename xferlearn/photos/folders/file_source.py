"""Photos in files as a source: what is known of them is in columns, and each is read on demand."""

import dataclasses
import errno
import functools
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path

import numpy as np

from xferlearn.photos.folders.columns import Coded, FileRow, Files, blocks_of
from xferlearn.photos.photo import BadPhoto
from xferlearn.photos.sources import Entry
from xferlearn.system.addresses import is_bucket, split_name, split_options
from xferlearn.system.places import Place, place_of
from xferlearn.system.text import one_line

_FOLDERS_REMEMBERED = 4096


@dataclasses.dataclass(frozen=True)
class FileSource:
    """A source of photos in files; see `read_image_dir` and `read_files`.

    Attributes:
        labels: class names, sorted.
        files: path, or address in a bucket, and label's index of each photo. Other sequences are
            taken too and become columns, as with `splits` and `groups`.
        root: folder that the photos' names are relative to; "" for names as given.
        warnings: what a person should know of what was found, one line each.
        splits: the split that each photo is given, None for one that is still to be decided; empty
            where none is given.
        groups: what each photo stays together with, None for nothing; empty where none is given.
        left_out: photos that were named and can't be found.
        part: the part of a given split that these are; "" where they are all, or none is given.
        is_multi_label: whether photos may have several labels, see `PhotoSource`.
        group_by: the regular expression that found the groups in names; None for none.
        place: a folder in a bucket that what is in it is read from; other objects are read from
            their addresses.
    """

    labels: tuple[str, ...]
    files: Files = dataclasses.field(repr=False)
    root: str = ""
    warnings: tuple[str, ...] = ()
    splits: Coded = dataclasses.field(default=Coded.of(()), repr=False)
    groups: Coded = dataclasses.field(default=Coded.of(()), repr=False)
    left_out: tuple[BadPhoto, ...] = dataclasses.field(default=(), repr=False)
    part: str = ""
    is_multi_label: bool = False
    group_by: str | None = None
    place: Place | None = None
    holds_bytes = False
    any_order = True

    def __post_init__(self) -> None:
        """Makes columns of what else is given."""
        object.__setattr__(self, "files", Files.of(self.files))
        object.__setattr__(self, "splits", Coded.of(self.splits))
        object.__setattr__(self, "groups", Coded.of(self.groups))

    @property
    def count(self) -> int:
        """Number of files."""
        return len(self.files)

    def entries(self, order: np.ndarray | None = None) -> Iterator[Entry]:
        """Yields the photos in the order of `files`, or those at certain positions, as `order`."""
        for rows in blocks_of(self.count if order is None else len(order)):
            if order is not None:
                rows = order[rows]
            splits, groups = (
                given.at(rows) if given else itertools.repeat(None, len(rows))
                for given in (self.splits, self.groups)
            )
            for file, split, group in zip(self.files.rows(rows), splits, groups, strict=True):
                yield self._entry(file, split, group)

    def _entry(self, file: FileRow, split: str | None, group: str | None) -> Entry:
        path, name = file.folder + file.name, _folder_below(file.folder, self.root) + file.name
        read, size, changed = reading(path), max(file.size, 0), file.changed
        if not is_bucket(path):
            size, changed = _size_and_time(path)
        elif self.place is not None:
            inside = _folder_below(file.folder, split_options(self.place.address)[0])
            if inside != file.folder:
                read = functools.partial(_read_object, self.place, inside + file.name)
                path = self.place.address_of(inside + file.name)
        return Entry(name, file.label, read, size, split, group, address=path, changed=changed)

    def only(self, names: Set[str], most_bytes: int | None = None) -> "FileSource":
        """Returns a source of the photos with these names, without listing the others."""
        kept = np.fromiter(
            (
                _folder_below(file.folder, self.root) + file.name in names
                for rows in blocks_of(self.count)
                for file in self.files.rows(rows)
            ),
            bool,
        )
        return self.at(np.flatnonzero(kept))

    def at(self, rows: np.ndarray) -> "FileSource":
        """Returns a source of the photos at these positions, integers, [rows]."""
        return dataclasses.replace(
            self,
            files=self.files.take(rows),
            splits=self.splits.take(rows) if self.splits else self.splits,
            groups=self.groups.take(rows) if self.groups else self.groups,
        )

    def grouped(
        self, groups: Coded, warnings: Sequence[str], group_by: str | None = None
    ) -> "FileSource":
        """Returns the same photos in groups; see `with_groups`."""
        return dataclasses.replace(
            self, groups=groups, warnings=(*self.warnings, *warnings), group_by=group_by
        )


@functools.lru_cache(_FOLDERS_REMEMBERED)
def _folder_below(folder: str, root: str) -> str:
    """Returns the beginning of names in a folder, which paths there have as `folder`."""
    if not root:
        return folder
    if is_bucket(root) or is_bucket(folder):
        return folder.removeprefix(root.rstrip("/") + "/")
    # Its own part of a path depends on a name that follows it.
    return os.path.relpath(f"{folder}x", root)[:-1].replace(os.sep, "/")


def reading(address: str) -> Callable[[], bytes]:
    """Returns what reads a file, on this machine or in a bucket, as `Entry.read`."""
    return functools.partial(_read_address if is_bucket(address) else _read_file, address)


def _read_file(path: str) -> bytes:
    # Reading a pipe would wait forever, and a device might never end.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    return Path(path).read_bytes()


def _read_object(place: Place, name: str) -> bytes:
    try:
        return place.read(name)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "no such object, or no such bucket") from None
    except ValueError as error:  # pyarrow's, of a name or an answer that it can't use
        raise OSError(one_line(error)) from None


def _read_address(address: str) -> bytes:
    folder, name = split_name(address)
    return _read_object(_place(folder or address), name)


@functools.lru_cache(_FOLDERS_REMEMBERED)
def _place(address: str) -> Place:
    return place_of(address, "photos")


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
