"""The folder of a run, and what is left of runs that were killed."""

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.system.addresses import bucket_reason, is_bucket, last_name
from xferlearn.system.fetching import origin, staging_folder
from xferlearn.system.files import remove_stale, temporary_folder
from xferlearn.system.places import place_of
from xferlearn.system.results import Failure
from xferlearn.system.text import one_line

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# A file in the folder of a run that has not ended, which its process holds locked: a kill frees
# the lock and leaves the file.
_MARK = ".unfinished"
# File systems take names of 255 bytes.
_LONGEST = 180


def create_run(logs_dir: str | Path, name: str) -> Path:
    """Makes a new folder for a run, `<logs_dir>/<name>_<date>_<time>`, and returns it.

    Never an existing one: the names of runs that start in the same second end in `-2`, `-3`, ...

    Raises:
        UserError: when it can't be made.
    """
    return _at_a_new_name(_here(logs_dir), name, lambda path: path.mkdir(parents=True))


@contextlib.contextmanager
def run_folder(logs_dir: str | Path, name: str) -> Iterator[Path]:
    """Makes a new folder for a run, as `create_run` does, which stays if the block ends well.

    Otherwise, and after a kill, the next run in these logs removes it. For a bucket it is made on
    this machine, and `deliver_run` puts it there.

    Args:
        logs_dir: folder of all runs.
        name: of the run.

    Raises:
        UserError: when it can't be made.
    """
    path, lock = _make_marked(_here(logs_dir), name)
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


def deliver_run(run_dir: Path | None) -> list[str]:
    """Moves a run that is complete to the bucket that its logs are in, if they are in one.

    Args:
        run_dir: as `run_folder` makes it; None for no run.

    Returns:
        A `Failure` where that failed, because a run must not cost what it shows; else nothing.
    """
    if run_dir is None or not is_bucket(origin(run_dir.parent)):
        return []
    logs_dir = origin(run_dir.parent)
    files = [path for path in run_dir.rglob("*") if path.is_file() and path.name != _MARK]
    try:
        place = place_of(origin(run_dir), "`logs_dir`")
        if any(place.files(below=True)):
            raise UserError("another run has its name")
        # Event files make a run appear: what they show is there before.
        for path in sorted(files, key=lambda path: "tfevents" in path.name):
            place.write(path.relative_to(run_dir).as_posix(), path.read_bytes())
    except (OSError, UserError) as error:
        return [
            Failure(
                f"Can't write the run to {logs_dir}: {bucket_reason(error)}. It is in"
                f" {run_dir}, for a month."
            )
        ]
    shutil.rmtree(run_dir, ignore_errors=True)
    return []


def joined_name(model: str, data: str) -> str:
    """Returns what a run of a model on some photos is called; the photos' name, where it is new.

    Example:
        >>> joined_name("flowers", "flower_photos"), joined_name("model", "flower_photos")
        ('flowers', 'model_flower_photos')
    """
    first, other = (re.split(r"[\W_]", name.lower())[0] for name in (model, data))
    said = first and other and (first.startswith(other) or other.startswith(first))
    return "_".join(filter(None, [model, "" if said else data]))


def folder_bytes(folder: Path) -> int:
    """Returns the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _here(logs_dir: str | Path) -> Path:
    """Returns the folder of this machine that runs are made in."""
    if not is_bucket(logs_dir):
        return Path(logs_dir)
    return staging_folder(str(logs_dir)) / "runs" / last_name(str(logs_dir))


def _make_marked(logs_dir: str | Path, name: str) -> tuple[Path, int | None]:
    """Makes a folder for a run and marks it as unfinished; returns it, and the lock."""
    root = Path(logs_dir)
    _remove_unfinished(root)
    remove_stale(root)
    try:
        # It has its name when it is marked, so that a kill leaves no folder for ever.
        with temporary_folder(root / "run") as hidden:
            lock = _mark(hidden)
            return _at_a_new_name(logs_dir, name, hidden.rename), lock
    except OSError as error:
        raise _refused(logs_dir, error) from None


def _at_a_new_name(logs_dir: str | Path, name: str, make: Callable[[Path], object]) -> Path:
    """Calls `make` with names for a run until one is free; returns it."""
    # Never hidden, and never so long that nothing can be added to it.
    plain = re.sub(r"[^A-Za-z0-9_.=-]+", "-", name).lstrip(".")[:_LONGEST] or "run"
    stem = f"{plain}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    for attempt in range(1, 1000):
        path = Path(logs_dir) / (stem if attempt == 1 else f"{stem}-{attempt}")
        if path.exists():  # a rename would take the place of an empty folder
            continue
        try:
            make(path)
            return path
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise _refused(logs_dir, error) from None
    raise UserError(f"{logs_dir} has 1,000 runs of this second already. Run again.")


def _refused(logs_dir: str | Path, error: OSError) -> UserError:
    return UserError(
        f"Can't write logs to {logs_dir}: {one_line(error)}. Choose another `logs_dir`."
    )


def _mark(run_dir: Path) -> int | None:
    """Marks a run as unfinished; returns the lock that it holds, None where there are no locks."""
    if fcntl is None:
        return None
    descriptor = os.open(run_dir / _MARK, os.O_RDWR | os.O_CREAT, 0o666)
    if _lock(descriptor):
        return descriptor
    os.close(descriptor)  # some network disks have no locks; unfinished runs stay there
    (run_dir / _MARK).unlink()
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
