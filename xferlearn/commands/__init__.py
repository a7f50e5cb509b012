"""The commands of the command line, one module each; `cli` imports them when they run."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from xferlearn.config import BoardConfig
from xferlearn.config.wording import as_flags
from xferlearn.system.results import Result
from xferlearn.system.terminal import say, tell


def print_warnings(warnings: Iterable[str]) -> None:
    """Prints warnings on stderr, with the settings that they name as flags."""
    for warning in warnings:
        tell(f"warning: {as_flags(warning)}")


def print_remarks(result: Result) -> None:
    """Prints a result's warnings and failures on stderr, with the settings as flags."""
    for line in result.remarks():
        tell(as_flags(line))


def board_command(logs_dir: str | Path) -> str:
    """Returns the command that shows the runs of a folder, ready for the shell."""
    if str(logs_dir) == BoardConfig.logs_dir:
        return "xferlearn board --open"
    return f"xferlearn board --open --logs_dir={shlex.quote(str(logs_dir))}"


def print_result(result: Result) -> None:
    """Prints a result's warnings and failures on stderr, and its summary on stdout."""
    print_remarks(result)
    say(as_flags(result.summary()))
