"""The folder of a run."""

import re
import time
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.system.text import one_line


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


def folder_bytes(folder: Path) -> int:
    """Returns the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
