"""Files that one process at a time may hold; no kill leaves one behind that holds."""

import contextlib
import os
import sys
from pathlib import Path

# Windows locks bytes, which no other process can read then: one far behind what is written.
_PLACE = 2**30


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
            OSError: the file can't be made or locked.
        """
        while self._file is None:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _lock(file)
                # Who had it before may have removed the file since it was opened here.
                if _is_at(file, self._path):
                    os.truncate(file, 0)
                    os.write(file, str(os.getpid()).encode())
                    self._file = file
            finally:
                if self._file is None:
                    os.close(file)

    def owner(self) -> str:
        """Returns the process id of who has the lock; "" where that is not known."""
        try:
            text = self._path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return ""
        return text if text.isdigit() else ""

    def release(self) -> None:
        """Gives the lock back, if it is held."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # Windows removes no file that is open
            self._path.unlink()
        os.close(self._file)
        self._file = None


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
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
