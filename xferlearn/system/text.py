"""Text of others, made safe: what an exception says, and names from a stranger's file."""

import re

# The names of operations that TensorFlow adds to its messages, and an OSError's number.
_NOISE = re.compile(
    r"\[\[\{\{[^{}]*\}\}\]\]|\{\{[^{}]*\}\}|\[Op:[^\]]*\](?: name:)?|\A\[(?:Err|WinErr)\w* -?\d+\] "
)


def one_line(error: object, limit: int = 200, *, with_file: bool = False) -> str:
    """Returns what an exception says as part of one line of ours.

    Args:
        error: an exception, or any object whose text may be long or hostile.
        limit: most characters.
        with_file: whether an OSError's file is named too, for messages that don't name it already.

    Returns:
        Printable text without line breaks, never empty: the exception's type where it says
        nothing. Of an OSError the reason alone, without its number.

    Example:
        >>> one_line(FileNotFoundError(2, "No such file or directory", "photo.jpg"))
        'No such file or directory'
    """
    reason = getattr(error, "strerror", None)
    said = str(reason if reason and not with_file else error)
    text = " ".join(_NOISE.sub(" ", said).split())
    return printable(text, limit) or type(error).__name__


def printable(text: str, limit: int = 160) -> str:
    """Returns text of any origin without what a terminal would obey, such as escape sequences.

    Args:
        text: any Unicode; characters that can't be printed become U+FFFD.
        limit: most characters; longer text ends in "...".
    """
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
