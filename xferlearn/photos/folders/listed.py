"""Lists of file names, in a file or on stdin, as `find`, spreadsheets and shells write them."""

import codecs
import os
import sys

from xferlearn.errors import UserError
from xferlearn.system.text import one_line

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    # As PowerShell writes what `>` is given.
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_list(word: str) -> list[str] | None:
    """Returns the names in the list that a word stands for; None where it is a name itself.

    Args:
        word: "-" for the list on stdin, or "@" and the path of one. A file that is called so
            comes first.

    Returns:
        The names as they stand there, one per line, or each up to a NUL where there are any.
        Blank lines are passed over.

    Raises:
        UserError: when the list can't be read, or names nothing.

    Example:
        >>> read_list("@new_photos.txt")
        ['new/0001.jpg', 'new/0002.jpg']
    """
    is_list = word == "-" or (word.startswith("@") and len(word) > 1)
    if not is_list or os.path.exists(word):
        return None
    place = "stdin" if word == "-" else word[1:]
    try:
        if word == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(place, "rb") as file:
                data = file.read()
    except OSError as error:
        raise UserError(f"Can't read the list of photos {place}: {one_line(error)}.") from None
    names = [name for name in _names(data) if name.strip()]
    if not names:
        raise UserError(f"Expected {place} to list photos, one name per line. It is empty.")
    return names


def _names(data: bytes) -> list[str]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            text = data[len(mark) :].decode(encoding, "replace")
            return text.replace("\r\n", "\n").split("\n")
    text = os.fsdecode(data)
    if "\0" in text:  # a name may hold a line break there
        return text.split("\0")
    return text.replace("\r\n", "\n").split("\n")
