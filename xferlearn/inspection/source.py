"""A file or folder that may be a model, as the readers look at it; every part is read once."""

import mmap
from functools import cached_property
from itertools import islice
from pathlib import Path

from xferlearn.inspection.readers.hdf5 import HDF5Content, read_hdf5
from xferlearn.inspection.readers.wire import MalformedError, View, outer_fields

_HEAD_BYTES = 1024
_MOST_FILES = 100_000


class ModelSource:
    """A file or folder that may be a model.

    Attributes:
        path: where it is.
        is_folder: whether it is a folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_folder = path.is_dir()

    @cached_property
    def head(self) -> bytes:
        """The first bytes of the file, at most 1,024; none of a folder."""
        if self.is_folder:
            return b""
        with self.path.open("rb") as file:
            return file.read(_HEAD_BYTES)

    @cached_property
    def data(self) -> View:
        """The bytes of the file, see `open_view`."""
        return open_view(self.path)

    @cached_property
    def outer_fields(self) -> frozenset[tuple[int, bool]]:
        """The outermost fields of a protocol buffer, see `wire.outer_fields`; none of a folder."""
        return frozenset() if self.is_folder else outer_fields(self.data)

    @cached_property
    def hdf5(self) -> HDF5Content:
        """What an HDF5 file holds, without its numbers."""
        return read_hdf5(self.path)

    @property
    def size(self) -> int:
        """Bytes of the file, or of all files below the folder."""
        if not self.is_folder:
            return self.path.stat().st_size
        files = (path for path in islice(self.path.rglob("*"), _MOST_FILES) if path.is_file())
        return sum(path.stat().st_size for path in files)


def open_view(path: Path) -> View:
    """Returns a read-only view of a file: its pages are read when they are looked at.

    The file is closed when the last part of the view is dropped.

    Raises:
        MalformedError: the file is empty.
        OSError: it can't be opened.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise MalformedError("it is empty")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
