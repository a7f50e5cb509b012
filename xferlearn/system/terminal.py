"""The one way to stdout and stderr: names from strangers are shown there, and not obeyed."""

import csv
import io
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import Any, TextIO

from xferlearn.system.text import printable, readable


def say(text: str = "", *, flush: bool = False) -> None:
    """Prints lines for a person on stdout.

    Args:
        text: lines; what a terminal would obey in them is replaced.
        flush: whether they are to be seen at once.
    """
    if sys.stdout.isatty():
        show_status("")
    lines = [readable(line, None) for line in text.split("\n")]
    if _has_colour(sys.stdout):
        lines = [_coloured(line) for line in lines]
    print("\n".join(lines), flush=flush)


def tell(line: str) -> None:
    """Prints one line for a person on stderr; a line break in it is replaced as well.

    A terminal shows it in as many lines as it takes, parted at words.
    """
    show_status("")
    shown = readable(line, None)
    if sys.stderr.isatty():
        columns = shutil.get_terminal_size().columns
        shown = textwrap.fill(shown, columns, break_long_words=False, break_on_hyphens=False)
    print(_coloured(shown) if _has_colour(sys.stderr) else shown, file=sys.stderr, flush=True)


def _has_colour(stream: TextIO) -> bool:
    """Returns whether a stream gets colours: see no-color.org and force-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return os.environ["FORCE_COLOR"] != "0"
    return stream.isatty() and os.environ.get("TERM") != "dumb"


# What stands at the start of a line, and its colour; nothing is said by colour alone.
_COLOURS = (
    (re.compile(r"xferlearn:"), "1;31"),  # bold red: errors
    (re.compile(r"warning:"), "33"),  # yellow
    (re.compile(r" +(?:ask a person|unknown): .*"), "33"),
    (re.compile(r"[^\s:][^:]*:$"), "1"),  # bold: headings
    (re.compile(r" +(?:\$ )?(?:xferlearn|tensorboard) .*"), "36"),  # cyan: commands to run
    (re.compile(r"  --\S+$"), "36"),  # flags in a help
)


def _coloured(line: str) -> str:
    for pattern, colour in _COLOURS:
        if found := pattern.match(line):
            return f"\x1b[{colour}m{found[0]}\x1b[0m{line[found.end() :]}"
    return line


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
