"""Text of others, made safe: what an exception says, and names from a stranger's file."""

import re
import unicodedata

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


def printable(text: str, limit: int | None = 160) -> str:
    """Returns text of any origin without what a terminal would obey, such as escape sequences.

    Args:
        text: any Unicode; characters that can't be printed become U+FFFD. Blanks of all widths
            stay, and what joins letters and emoji.
        limit: most characters; longer text ends in "...". None for no limit.
    """
    shown = text
    if not text.isprintable():
        shown = "".join(
            sign if _is_harmless(sign) else "\N{REPLACEMENT CHARACTER}" for sign in text
        )
    return shown if limit is None or len(shown) <= limit else shown[: limit - 3] + "..."


def _is_harmless(sign: str) -> bool:
    return (
        sign.isprintable()
        or sign in "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
        or unicodedata.category(sign) == "Zs"
    )


def readable(text: str, limit: int | None = 1000) -> str:
    """Returns a file's or a class's name for a person, on one line.

    Args:
        text: any Unicode; as `printable`, but bytes that are not UTF-8 become escapes, so that
            the file can still be found.
        limit: as `printable`.

    Example:
        >>> readable("caf\\udce9.jpg")
        'caf\\\\udce9.jpg'
    """
    return printable(text.encode("utf-8", "backslashreplace").decode("utf-8"), limit)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Returns a number with its noun, in the plural unless it is one.

    Args:
        number: shown with commas between thousands.
        noun: singular; of several words the last one changes.
        plural: where it is not the noun with "s", or with "es" after an "s".

    Example:
        >>> count(1, "photo"), count(1200, "class")
        ('1 photo', '1,200 classes')
    """
    return f"{number:,} {plural_of(number, noun, plural)}"


def plural_of(number: int, noun: str, plural: str | None = None) -> str:
    """Returns the noun alone, as `count` has it."""
    if number == 1:
        return noun
    return plural or noun + ("es" if noun.endswith("s") else "s")
