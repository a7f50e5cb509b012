"""Opens a file as a view of its bytes: the disk's pages are read when they are looked at."""

import mmap
from pathlib import Path

from xferlearn.inspection.readers.wire import MalformedError, View


def open_view(path: Path) -> View:
    """Returns a read-only view of a file; it is closed when the last part of it is dropped.

    Raises:
        MalformedError: the file is empty.
        OSError: it can't be opened.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise MalformedError("it is empty")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
