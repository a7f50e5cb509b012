"""Files that one process at a time may hold; no kill leaves one behind that holds."""

import contextlib
import os
import stat
import sys
from pathlib import Path

# Windows locks bytes, which no other process can read then: one far behind what is written.
_PLACE = 2**30
# A process id, and nothing that anyone would miss.
_MOST_DIGITS = 20
# Neither a link is followed nor a pipe waited for.
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class FileLock:
    """A lock on a file, which the operating system takes back when the process ends, however.

    Example:
        >>> lock = FileLock(folder / ".corrections.csv.lock")
        >>> lock.acquire()
        >>> lock.release()
    """

    def __init__(self, path: str | Path) -> None:
        """Prepares a lock.

        Args:
            path: the file, which is made when needed and removed by `release`.
        """
        self._path = Path(path)
        self._file: int | None = None

    def acquire(self) -> None:
        """Takes the lock, without waiting.

        Raises:
            BlockingIOError: another process has it.
            OSError: the file can't be made or locked, or it is there and is no lock.
        """
        while self._file is None:
            self._check()
            file = os.open(self._path, _FLAGS, 0o644)
            try:
                _lock(file)
                # Who had it before may have removed the file since it was opened here.
                if _is_at(file, self._path):
                    if not _is_id(os.read(file, _MOST_DIGITS + 1)):
                        raise self._no_lock()
                    os.lseek(file, 0, os.SEEK_SET)
                    os.truncate(file, 0)
                    os.write(file, str(os.getpid()).encode())
                    self._file = file
            finally:
                if self._file is None:
                    os.close(file)

    def owner(self) -> str:
        """Returns the process id of who has the lock; "" where that is not known."""
        try:
            self._check()
            with self._path.open("rb") as file:
                content = file.read(_MOST_DIGITS + 1)
        except OSError:
            return ""
        return content.decode() if _is_id(content) else ""

    def release(self) -> None:
        """Gives the lock back, if it is held."""
        if self._file is None:
            return
        if _is_at(self._file, self._path):
            with contextlib.suppress(OSError):  # Windows removes no file that is open
                self._path.unlink()
        os.close(self._file)
        self._file = None

    def _check(self) -> None:
        """Raises OSError where something else than a file of its own is there."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise self._no_lock()

    def _no_lock(self) -> OSError:
        return OSError(f"{self._path} is there and is no lock; remove it")


def _is_id(content: bytes) -> bool:
    return len(content) <= _MOST_DIGITS and (not content or content.isdigit())


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, _PLACE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from None
        os.lseek(file, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
