"""From words to an exit code: one command runs, and what goes wrong becomes lines on stderr."""

import atexit
import contextlib
import importlib
import io
import os
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from xferlearn.cli.helping import command_help, general_help
from xferlearn.cli.parsing import parse_settings
from xferlearn.commands.table import COMMAND_HINTS, COMMANDS
from xferlearn.config import ImageConfig
from xferlearn.config.wording import as_flags
from xferlearn.errors import UserError, XferlearnError, nearest
from xferlearn.system.streams import open_standard_streams
from xferlearn.system.terminal import say, tell
from xferlearn.system.text import one_line

_HELP = ("--help", "-h", "-help")
_HELP_ALL = ("--help_all", "--help-all", "--helpfull")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code.

    Args:
        argv: the words after the program's name; None takes sys.argv.

    Returns:
        0 when all went well; 1 when something failed outside the user's control, an export does
        not agree with its model, `label` could not read a photo, or `evaluate` could read none;
        2 for the user's mistakes; 130 when interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file's name need not be valid in any encoding, and must not end a command.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except XferlearnError as error:
        for message in error.args:
            tell(f"xferlearn: {as_flags(str(message))}")
        return error.exit_code
    except BrokenPipeError:
        # The reader (such as `head`) went away; point stdout elsewhere so that the interpreter's
        # own flush at exit stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = "a file" if error.filename is None else error.filename
        tell(f"xferlearn: can't use {where}: {one_line(error)}.")
        return 1
    except Exception as error:
        # Asked by its name, TensorFlow's error for it does not have to be imported.
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
            raise
        tell(
            "xferlearn: the memory is full; what was cached so far is kept. Close other programs,"
            " or use smaller photos or batches, and run again."
        )
        return 1
    except KeyboardInterrupt:
        tell("xferlearn: interrupted; what was cached so far is kept.")
        return 130


def run_and_exit() -> NoReturn:
    """Runs the command that the program was called with, and ends the process.

    Threads have ended and what runs at exit has run then, as Python has it, but TensorFlow is not
    taken apart, which takes half a second.
    """
    _keep_pandas_out()
    code = main()
    if sys.getprofile() is not None or sys.gettrace() is not None:
        sys.exit(code)  # who watches the process has still to write what was seen
    with contextlib.suppress(KeyboardInterrupt):  # who does not want to wait
        threading._shutdown()  # type: ignore[attr-defined]  # ends executors' threads too
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it any more
            stream.flush()
    os._exit(code)


def _keep_pandas_out() -> None:
    """Has Arrow do without pandas, which it imports with its first array where it is installed.

    That takes 0.4 s, and no command gives Arrow a data frame.
    """
    asked = COMMANDS.get(next(iter(sys.argv[1:]), ""))
    if asked is None or not issubclass(asked.settings, ImageConfig) or "pandas" in sys.modules:
        return
    import pyarrow

    sys.meta_path.insert(0, _NoPandas)
    try:
        pyarrow.array([])
    finally:
        sys.meta_path.remove(_NoPandas)


class _NoPandas:
    """Finds no pandas, as if it were not installed."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:  # noqa: ARG004
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def _run(words: list[str]) -> int:
    if words and words[0] == "help":
        words = [*words[1:], "--help"]
    if not words or words[0] in (*_HELP, *_HELP_ALL):
        say(general_help())
        return 0
    if words[0] == "--version":
        words = ["version"]
    name = _command_name(words[0])
    if any(word in _HELP_ALL for word in words[1:]):
        say(command_help(name, everything=True))
        return 0
    if any(word in _HELP for word in words[1:]):
        say(command_help(name))
        return 0
    settings = parse_settings(name, words[1:])
    return importlib.import_module(COMMANDS[name].module).run(settings)


def _command_name(word: str) -> str:
    """Returns the command that a word means, by its own name or another tool's."""
    names = {name: name for name in COMMANDS}
    names |= {alias: name for name, row in COMMANDS.items() for alias in row.aliases}
    if word in names:
        return names[word]
    near = nearest(word, names)
    hint = COMMAND_HINTS.get(word) or (f"Did you mean {names[near]}?" if near else "")
    raise UserError(
        f"There is no command {word!r}. {hint}{' ' * bool(hint)}"
        f"The commands are {', '.join(COMMANDS)}."
    )
