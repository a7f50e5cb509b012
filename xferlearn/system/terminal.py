"""The one way to stdout and stderr: names from strangers are shown there, and not obeyed."""

import csv
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable
from typing import Any

from xferlearn.system.text import printable, readable


def say(text: str = "", *, flush: bool = False) -> None:
    """Prints lines for a person on stdout.

    Args:
        text: lines; what a terminal would obey in them is replaced.
        flush: whether they are to be seen at once.
    """
    if sys.stdout.isatty():
        show_status("")
    print("\n".join(readable(line, None) for line in text.split("\n")), flush=flush)


def tell(line: str) -> None:
    """Prints one line for a person on stderr; a line break in it is replaced as well."""
    show_status("")
    print(readable(line, None), file=sys.stderr, flush=True)


def overwrites() -> bool:
    """Returns whether stderr is a terminal, whose last line can be written anew."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def show_status(text: str) -> None:
    """Shows on a terminal what is going on, in a line that the next status replaces.

    Args:
        text: cut to the terminal's width; "" removes the line.
    """
    if overwrites():
        shown = readable(text, max(shutil.get_terminal_size().columns - 1, 4))
        print(f"\r\x1b[K{shown}", end="", file=sys.stderr, flush=True)


def say_json(value: Any, *, indent: int | None = None) -> None:
    """Prints a value for programs on stdout: exact, with escapes for what a terminal would obey.

    Args:
        value: what JSON can hold.
        indent: blanks per level; None for one line.
    """
    print(_UNPRINTED.sub(_escaped, json.dumps(value, indent=indent, ensure_ascii=False)))


def say_csv(cells: Iterable[object]) -> None:
    """Prints one row for programs on stdout: exact, unless a terminal would read it.

    Cells with line breaks and carriage returns are quoted.
    """
    row = list(cells)
    if sys.stdout.isatty():
        row = [readable(str(cell), None) for cell in row]
    line = io.StringIO(newline="")
    # The writer quotes the characters that end its own rows.
    csv.writer(line, lineterminator="\r\n").writerow(row)
    print(line.getvalue().removesuffix("\r\n"))


# Outside of ASCII; JSON itself has escapes for the others.
_UNPRINTED = re.compile(r"[^\x00-\x7e]")


def _escaped(found: re.Match[str]) -> str:
    sign = found[0]
    return sign if printable(sign) == sign else json.dumps(sign)[1:-1]
