"""The folder of a run, and what is left of runs that were killed."""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.system.text import one_line

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# A file in the folder of a run that has not ended, which its process holds locked: a kill frees
# the lock and leaves the file.
_MARK = ".unfinished"


def create_run(logs_dir: str | Path, name: str) -> Path:
    """Makes a new folder for a run, `<logs_dir>/<date>_<time>_<name>`, and returns it.

    Never an existing one: the names of runs that start in the same second end in `-2`, `-3`, ...

    Raises:
        UserError: when it can't be made.
    """
    stem = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{re.sub(r'[^A-Za-z0-9_.=-]+', '-', name)}"
    try:
        for attempt in range(1, 1000):
            path = Path(logs_dir) / (stem if attempt == 1 else f"{stem}-{attempt}")
            try:
                path.mkdir(parents=True)
                return path
            except FileExistsError:
                continue
    except OSError as error:
        raise UserError(
            f"Can't write logs to {logs_dir}: {one_line(error)}. Choose another `logs_dir`."
        ) from None
    raise UserError(f"{logs_dir} has 1,000 runs of this second already. Run again.")


@contextlib.contextmanager
def run_folder(logs_dir: str | Path, name: str) -> Iterator[Path]:
    """Makes a new folder for a run, as `create_run` does, which stays if the block ends well.

    Otherwise, and after a kill, the next run in these logs removes it.

    Args:
        logs_dir: folder of all runs.
        name: of the run.

    Raises:
        UserError: when it can't be made.
    """
    _remove_unfinished(Path(logs_dir))
    path = create_run(logs_dir, name)
    lock = _mark(path)
    try:
        yield path
        keep_run(path)
    finally:
        if lock is not None:
            os.close(lock)


def keep_run(run_dir: Path) -> None:
    """Lets a run of `run_folder` stay, whatever comes, for what it shows so far."""
    with contextlib.suppress(OSError):
        (run_dir / _MARK).unlink(missing_ok=True)


def folder_bytes(folder: Path) -> int:
    """Returns the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _mark(run_dir: Path) -> int | None:
    """Marks a run as unfinished; returns the lock that it holds, None where there are no locks."""
    if fcntl is None:
        return None
    # It has its name when it is locked: before, another run could take it for one of the dead.
    hidden = run_dir / f"{_MARK}.new"
    with contextlib.suppress(OSError):
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT, 0o666)
        if _lock(descriptor):
            hidden.rename(run_dir / _MARK)
            return descriptor
        os.close(descriptor)  # some network disks have no locks; unfinished runs stay there
        hidden.unlink()
    return None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_unfinished(logs_dir: Path) -> None:
    """Removes the folders of marked runs whose processes are gone."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        for mark in logs_dir.glob(f"*/{_MARK}"):
            with contextlib.suppress(OSError):
                descriptor = os.open(mark, os.O_RDWR)
                try:
                    if _lock(descriptor):
                        shutil.rmtree(mark.parent, ignore_errors=True)
                finally:
                    os.close(descriptor)
