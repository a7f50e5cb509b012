"""The one place that writes files and folders: each is whole under its name, or not there.

Both are written beside their place under a temporary name, `.NAME.8f3a0c12.tmp`, and renamed. What
a killed run leaves behind is removed by later runs, once it is a day old.
"""

import contextlib
import ctypes
import errno
import functools
import hashlib
import json
import os
import re
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from xferlearn.system.text import one_line

# Writing takes minutes at most; what is younger may be another run's, at work.
_STALE_SECONDS = 24 * 3600
# Earlier versions named the temporary files of some folders by 32 digits alone.
_CHECKSUM = "crc32"
_TEMPORARY = r"(?:.+\.)?[0-9a-f]{8}(?:[0-9a-f]{24})?\.(?:tmp|old)"


def cache_folder() -> Path:
    """Returns the package's folder for what can be made again: `$XDG_CACHE_HOME/xferlearn`.

    Where XDG_CACHE_HOME is unset or not absolute it is ~/.cache, as the XDG Base Directory
    Specification asks.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not root.is_absolute():
        root = Path.home() / ".cache"
    return root / "xferlearn"


def real_path(path: str | Path) -> Path:
    """Returns where a path leads: a link to a folder stays one when the folder is replaced."""
    return Path(os.path.realpath(path))


def write_atomically(
    path: Path,
    content: bytes | Callable[[BinaryIO], object],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Writes a file that is whole on disk before it has its name; replaces one that is there.

    Args:
        path: the file; its folder exists.
        content: the bytes, or a function that writes them to an open file.
        check: called in the end; raises where what is at `path` must not be replaced.

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
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(path, temporary)
        check()
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync(path.parent)


def write_record(path: Path, fields: Mapping[str, Any], *, indent: int | None = None) -> None:
    """Writes fields as JSON with a checksum, for `read_record`; as `write_atomically` does.

    Args:
        path: the file.
        fields: what JSON can hold, under any names but "crc32".
        indent: spaces per level, for files that people read; None for one line.

    Raises:
        OSError: when it can't be written.
    """
    content = json.dumps({**fields, _CHECKSUM: _checksum(fields)}, indent=indent)
    write_atomically(path, f"{content}\n".encode())


def read_record(path: Path) -> dict[str, Any]:
    """Returns the fields of a file that `write_record` wrote.

    Raises:
        OSError: when it can't be read; FileNotFoundError when there is no such file.
        ValueError: when it is damaged, with the reason.
    """
    try:
        fields = json.loads(path.read_bytes())
        told = fields.pop(_CHECKSUM, None)
        intact = told == _checksum(fields)
    except OSError:
        raise
    except Exception as error:  # a damaged file raises many types
        raise ValueError(one_line(error)) from None
    if told is None:
        raise ValueError("it has no checksum; those of earlier versions had none")
    if not intact:
        raise ValueError("its bytes are not those that were written")
    return dict(fields)


def unusable(path: Path, error: Exception) -> str:
    """Returns that a record can't be read or is damaged, and why: the start of a sentence.

    Args:
        path: the file.
        error: what `read_record` raised, or what its fields led to.
    """
    what = "can't be read" if isinstance(error, OSError) else "is damaged"
    return f"{path} {what} ({one_line(error)})"


def _checksum(fields: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(fields, sort_keys=True).encode())


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

    It reaches the disk before it has its name. Linux swaps the two folders in one step; elsewhere
    the name is missing for a moment, and `recover_folder` mends a kill in it.

    Args:
        path: where it belongs.
        new: the new folder, on the same disk.
        check: raises where what is at `path` must not be replaced. Another run may put something
            there at any time, so it may be called again.

    Raises:
        OSError: when it can't be put there.
    """
    for folder, _, names in os.walk(new):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))
    old = _temporary_path(path).with_suffix(".old")
    while True:
        # Another run may move it, and put its own there, at any time.
        with contextlib.suppress(FileNotFoundError):
            check()
            if _swap(new, path):
                break
            path.rename(old)
            os.utime(old)
        try:
            new.rename(path)
        except OSError:
            if not path.exists():
                with contextlib.suppress(FileNotFoundError):
                    old.rename(path)
                raise
        if not new.exists():
            break
        shutil.rmtree(old, ignore_errors=True)
    _sync(path.parent)
    # A swap leaves the old folder under the new one's temporary name.
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Puts a folder back that a kill in the middle of `replace_folder` left under another name.

    Does nothing where the name is there, or nothing was left behind.
    """
    if os.path.lexists(path):
        return
    beginning = re.escape(f".{path.name.removeprefix('.')}.")
    left_behind = re.compile(beginning + r"[0-9a-f]{8}(?:[0-9a-f]{24})?\.old")
    with contextlib.suppress(OSError):
        old = [one for one in path.parent.iterdir() if left_behind.fullmatch(one.name)]
        if old:
            max(old, key=lambda one: one.stat().st_mtime).rename(path)


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hex; reads it in parts.

    Raises:
        OSError: when it can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def expire(folder: Path, pattern: str, seconds: float) -> None:
    """Removes the files and folders in a folder that match a pattern and are older than that.

    What can't be removed stays.

    Args:
        folder: where they are.
        pattern: as `Path.glob` takes it.
        seconds: age by the time of their last change.
    """
    with contextlib.suppress(OSError):
        for path in folder.glob(pattern):
            _remove_if_stale(path, seconds)


def keep_newest(folder: Path, most: int) -> None:
    """Removes all but some of the files and folders in a folder: those that changed last stay.

    What can't be removed stays too.

    Args:
        folder: where they are.
        most: how many stay.
    """
    with contextlib.suppress(OSError):
        found = sorted(folder.iterdir(), key=lambda path: path.lstat().st_mtime, reverse=True)
        for path in found[most:]:
            _remove_if_stale(path, 0)


def _remove_if_stale(path: Path, seconds: float = _STALE_SECONDS) -> None:
    with contextlib.suppress(OSError):
        if time.time() - path.lstat().st_mtime <= seconds:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _temporary_path(path: Path) -> Path:
    """Returns a new name beside `path`, hidden, which `remove_stale` knows."""
    return path.with_name(f".{path.name.removeprefix('.')}.{uuid.uuid4().hex[:8]}.tmp")


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk, where the system can tell."""
    # Windows can't open a folder, and needs no fsync; some network disks have none.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def _swap(one: Path, other: Path) -> bool:
    """Swaps the names of two folders in one step; returns False where the system can't.

    Raises:
        FileNotFoundError: when one of them is missing.
    """
    rename = _renameat2()
    if rename is None:
        return False
    if not rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
        return True
    number = ctypes.get_errno()
    if number == errno.ENOENT:
        raise FileNotFoundError(number, os.strerror(number), str(other))
    return False


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux, or a C library without it
        return None
