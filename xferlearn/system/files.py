"""Replaces a folder as a whole, though other runs may do the same at the same time."""

import contextlib
import glob
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

_STALE_SECONDS = 24 * 3600


def real_path(path: str | Path) -> Path:
    """Returns where a path leads: a link to a folder stays one when the folder is replaced."""
    return Path(os.path.realpath(path))


def replace_folder(path: Path, temporary: Path, check: Callable[[], None]) -> None:
    """Puts a new folder where it belongs; whatever fails, what was there is there again.

    Args:
        path: where it belongs.
        temporary: the new folder, beside it.
        check: raises where what is at `path` must not be replaced. Another run may put something
            there at any time, so it may be called again.

    Raises:
        OSError: when it can't be put there.
    """
    old = temporary.with_suffix(".old")
    while True:
        # Another run may move it, and put its own there, at any time.
        with contextlib.suppress(FileNotFoundError):
            check()
            path.rename(old)
            os.utime(old)
        try:
            temporary.rename(path)
        except OSError:
            if not path.exists():
                with contextlib.suppress(FileNotFoundError):
                    old.rename(path)
                raise
        shutil.rmtree(old, ignore_errors=True)
        if not temporary.exists():
            return


def remove_stale(path: Path) -> None:
    """Removes what runs that were killed left beside a folder; a younger one may be at work."""
    for ending in ("tmp", "old"):
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.{ending}"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)
