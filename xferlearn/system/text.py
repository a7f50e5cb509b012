"""Text of others, made safe: what an exception says, and names from a stranger's file."""

import re

# What libraries add to a reason: TensorFlow the operation and where it was traced, an OSError its
# number.
_NOISE = re.compile(
    r"\[\[\{\{[^{}]*\}\}\]\]|\{\{[^{}]*\}\}|\[Op:[^\]]*\](?: name:)?|\A\[(?:Err|WinErr)\w* -?\d+\] "
    r"|\AGraph execution error:\s*"
    r"(?:Detected at node [^\n]*\n(?:\s*(?:File [^\n]*|<stack[^\n]*)?\n)*)?"
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


def readable(text: str, limit: int = 1000) -> str:
    """Returns a file's or a class's name for a person, on one line.

    Args:
        text: any Unicode; as `printable`, but bytes that are not UTF-8 become escapes, so that
            the file can still be found.
        limit: most characters; longer text ends in "...".

    Example:
        >>> readable("caf\\udce9.jpg")
        'caf\\\\udce9.jpg'
    """
    return printable(text.encode("utf-8", "backslashreplace").decode("utf-8"), limit)
