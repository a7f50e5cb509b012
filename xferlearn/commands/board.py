"""`xferlearn board`: TensorBoard on the runs, with tab Transfer in front."""

import contextlib
import dataclasses
import io
import logging
import os
import shlex
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path

from xferlearn.config import BoardConfig
from xferlearn.errors import UserError
from xferlearn.system.addresses import is_bucket
from xferlearn.system.fetching import fetched
from xferlearn.system.runtime import start_tensorflow
from xferlearn.system.terminal import say, tell
from xferlearn.system.text import count, one_line


def run(config: BoardConfig) -> int:
    """Starts TensorBoard, prints its address, and serves until Ctrl-C.

    Args:
        config: the command's settings.

    Returns:
        0.

    Raises:
        UserError: there are no runs, or the port is in use.
        XferlearnError: TensorBoard can't start.
    """
    here = dataclasses.replace(config, logs_dir=str(fetched(config.logs_dir, "`logs_dir`")))
    runs = find_runs(here.logs_dir)
    later = "; later ones appear when it is started again" if is_bucket(config.logs_dir) else ""
    say(f"{count(len(runs), 'run')} in {config.logs_dir}{later}")
    try:
        address = start_board(here)
        say(f"TensorBoard is at {address} (Ctrl-C ends it)", flush=True)
        if config.open and not webbrowser.open(address):
            tell("No browser was found to open it in.")
        threading.Event().wait()
    except KeyboardInterrupt:
        say()
    return 0


def find_runs(logs_dir: str | Path) -> list[Path]:
    """Returns the folders below `logs_dir`, or it itself, that hold TensorBoard's event files.

    A run's train, validation and test are part of it.

    Raises:
        UserError: there is no such folder, or none in it.
    """
    root = Path(logs_dir)
    if not root.is_dir():
        came = "a file" if root.exists() else "nothing"
        raise UserError(
            f"Expected `logs_dir` to be a folder with runs. Found {came} at {logs_dir}."
            " `xferlearn train` makes one."
        )
    folders = set(_event_folders(root))
    runs = [path for path in folders if not folders.intersection(path.parents)]
    if not runs:
        raise UserError(
            f"There are no runs in {logs_dir}."
            f" `xferlearn train --logs_dir={shlex.quote(str(logs_dir))} ...` makes one."
        )
    return sorted(runs)


def _event_folders(root: Path) -> Iterator[Path]:
    """Yields the folders with event files, links to folders followed as TensorBoard does."""
    seen: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        place = os.path.realpath(folder)
        if place in seen:
            below.clear()  # a link back up would never end
            continue
        seen.add(place)
        if any("tfevents" in name for name in files):
            yield Path(folder)


def start_board(config: BoardConfig) -> str:
    """Starts TensorBoard in threads of this process and returns the address of tab Transfer.

    Raises:
        UserError: the port is in use, or the host is not an address of this machine.
    """
    # TensorBoard imports TensorFlow itself, but not as quietly.
    start_tensorflow()
    from tensorboard import default, program

    from xferlearn.dashboard.plugin import FirstTab, TransferPlugin

    # It writes to stderr which optional packages are missing.
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    # It opens the first tab in its list, and would have those of other packages behind its own.
    others = [plugin for plugin in default.get_plugins() if plugin is not TransferPlugin]
    board = program.TensorBoard(plugins=[FirstTab, *others])
    words = ["tensorboard", "--logdir", str(config.logs_dir), "--host", config.host]
    if config.port is not None:
        words += ["--port", str(config.port)]
    written = io.StringIO()
    try:
        # It advertises its loader there, and its web server gives its reason before it exits.
        with contextlib.redirect_stderr(written):
            board.configure(argv=words)
            return f"{board.launch()}#{TransferPlugin.plugin_name}"
    except program.TensorBoardPortInUseError:
        raise UserError(
            f"Port {config.port} is in use. Choose another with `port`, 0 for any."
        ) from None
    except (program.TensorBoardServerException, OSError, SystemExit) as error:
        reason = [str(error), *written.getvalue().split("\n\n")][-1].strip()
        raise UserError(
            f"TensorBoard can't listen on `host={config.host!r}`: {one_line(reason)}"
        ) from None
