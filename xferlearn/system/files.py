"""The one place that writes files and folders: each is whole under its name, or not there.

Both are written beside their place under a temporary name, `.NAME.8f3a0c12.tmp`, and renamed. What
a killed run leaves behind is removed by later runs, once it is a day old.
"""

import contextlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

# Writing takes minutes at most; what is younger may be another run's, at work.
_STALE_SECONDS = 24 * 3600
# Earlier versions named the temporary files of some folders by 32 digits alone.
_TEMPORARY = r"(?:.+\.)?[0-9a-f]{8}(?:[0-9a-f]{24})?\.(?:tmp|old)"


def real_path(path: str | Path) -> Path:
    """Returns where a path leads: a link to a folder stays one when the folder is replaced."""
    return Path(os.path.realpath(path))


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Writes a file that is whole on disk before it has its name; replaces one that is there.

    Args:
        path: the file; its folder exists.
        content: the bytes, or a function that writes them to an open file.

    Raises:
        OSError: when it can't be written. What was there before is untouched.

    Example:
        >>> write_atomically(folder / "report.json", json.dumps(report).encode())
    """
    temporary = _temporary_path(path)
    try:
        with temporary.open("wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    # The rename itself must reach the disk too. Windows can't open a folder, and needs no fsync.
    with contextlib.suppress(OSError):
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Makes a folder with a temporary name beside `path`, and removes it when the block ends.

    Args:
        path: the place that the folder, or something in it, is meant for.

    Raises:
        OSError: when it can't be made.

    Example:
        >>> with temporary_folder(path) as temporary:
        ...     (temporary / "labels.txt").write_text(labels)
        ...     replace_folder(path, temporary)
    """
    temporary = _temporary_path(path)
    try:
        temporary.mkdir(parents=True)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(path: Path, new: Path, check: Callable[[], None] = lambda: None) -> None:
    """Puts a new folder where it belongs; whatever fails, what was there is there again.

    Args:
        path: where it belongs.
        new: the new folder, on the same disk.
        check: raises where what is at `path` must not be replaced. Another run may put something
            there at any time, so it may be called again.

    Raises:
        OSError: when it can't be put there.
    """
    old = new.with_suffix(".old")
    while True:
        # Another run may move it, and put its own there, at any time.
        with contextlib.suppress(FileNotFoundError):
            check()
            path.rename(old)
            os.utime(old)
        try:
            new.rename(path)
        except OSError:
            if not path.exists():
                with contextlib.suppress(FileNotFoundError):
                    old.rename(path)
                raise
        shutil.rmtree(old, ignore_errors=True)
        if not new.exists():
            return


def remove_stale(folder: Path, name: str = "") -> None:
    """Removes the temporary files and folders that runs left in a folder when they were killed.

    Those younger than a day stay, because another run may be writing them. What can't be removed
    stays too.

    Args:
        folder: where they were written.
        name: name of the file or folder that was written, or its beginning up to a dot; "" for
            everything that was written there.
    """
    beginning = re.escape(f".{name.removeprefix('.')}.") if name else r"\."
    left_behind = re.compile(beginning + _TEMPORARY, re.DOTALL)
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if left_behind.fullmatch(path.name):
                _remove_if_stale(path)


def _remove_if_stale(path: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - path.lstat().st_mtime <= _STALE_SECONDS:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _temporary_path(path: Path) -> Path:
    """Returns a new name beside `path`, hidden, which `remove_stale` knows."""
    return path.with_name(f".{path.name.removeprefix('.')}.{uuid.uuid4().hex[:8]}.tmp")
