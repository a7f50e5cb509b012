"""Names of classes: compared as people read them, and refused where nobody could."""

import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from xferlearn.errors import UserError, did_you_mean
from xferlearn.system.text import count, plural_of, readable

# What becomes of photos of classes that a model does not have is decided once they are read.
UNDECIDED = "undecided"
# What turns the direction of text around; a name that holds one is not what it looks like.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def class_label(name: str) -> str:
    """Returns the label of a class that is called `name`: in Unicode's form NFC, without blanks.

    macOS writes accents as signs of their own (NFD), Windows and Linux mostly do not; the same
    class must be the same label on each.

    Example:
        >>> class_label("rose\\u0301 ") == "ros\\u00e9"
        True
    """
    return normal(name).strip()


def normal(text: str) -> str:
    """Returns text in Unicode's form NFC, in which names are compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def check_name(name: str, what: str, place: str) -> None:
    """Checks that a class can be called `name`.

    Args:
        name: as the disk or a table has it.
        what: what it is the name of, for messages, such as "folder".
        place: where that is.

    Raises:
        UserError: on a name that is blank, holds control characters, or is not readable text.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(_undecodable(name, what, place)) from None
    if _in_another_encoding(name):
        raise UserError(_undecodable(name, what, place))
    if all(unicodedata.category(sign)[0] in "ZC" for sign in name):
        raise UserError(f"The name of {what} {shown(name)} in {place} is blank. Rename it.")
    for sign in name:
        if unicodedata.category(sign) in ("Cc", "Zl", "Zp") or sign in _TURNING:
            kind = "a line break" if len(f"a{sign}b".splitlines()) > 1 else "a control character"
            raise UserError(
                f"The name of {what} {shown(name)} in {place} has {kind} (U+{ord(sign):04X}), which"
                " breaks lists of labels and terminals. Rename it."
            )


def same_class_error(first: str, second: str, place: str) -> UserError:
    """Returns the error of two folders in one place that make the same label.

    Args:
        first: name of one.
        second: name of the other.
        place: where both are.
    """
    differ_in_form = first.strip() != second.strip()
    how = "in two forms of Unicode" if differ_in_form else "but for blanks"
    return UserError(
        f"The names of folders {shown(first)} and {shown(second)} of {place} are the same {how}."
        " Move their photos into one folder, or rename one."
    )


def case_warnings(labels: Iterable[str]) -> list[str]:
    """Returns one line for each two labels that differ only in upper and lower case."""
    by_fold: dict[str, list[str]] = {}
    for label in labels:
        by_fold.setdefault(unicodedata.normalize("NFC", label.casefold()), []).append(label)
    return [
        f"Classes {' and '.join(map(shown, same))} differ only in upper and lower case, and are"
        f" {len(same)} classes. Give them one name if they are one class."
        for same in by_fold.values()
        if len(same) > 1
    ]


def match_labels(
    found: Mapping[str, int],
    labels: Sequence[str],
    other_classes: str,
    place: str,
    hint: str = "",
    what: str = "folder",
) -> tuple[dict[str, int | None], tuple[str, ...], list[str]]:
    """Matches the classes of photos with those of a model.

    Args:
        found: number of photos by class, under the names that folders or a table have.
        labels: the model's, in its order.
        other_classes: what to do with a class that the model does not have: "error", "skip" or
            "count"; `UNDECIDED` lists it like "count", and says nothing.
        place: where the classes were found, for messages.
        hint: sentence at the end of the error.
        what: what a class is there: a "folder", or a "label" of a table.

    Returns:
        By name the index of its label, None where its photos are left out; the labels that the
        indices count, the model's first and then the others; and warnings.

    Raises:
        UserError: on a class that the model does not have, unless these are skipped or counted.
    """
    index = {class_label(label): i for i, label in enumerate(labels)}
    others = [name for name in found if class_label(name) not in index]
    if others and other_classes == "error":
        raise UserError(
            f"The model has no class {shown(others[0])}, a {what} of {place}."
            f"{did_you_mean(others[0], labels)} Its classes are {first_names(labels, 12)}. Rename"
            f" the {what}, or say what becomes of such photos: `other_classes='skip'` leaves them"
            f" out, `other_classes='count'` counts them as wrong answers.{hint}"
        )
    warnings = []
    if other_classes != UNDECIDED:
        warnings = other_classes_lines({name: found[name] for name in others}, other_classes)
    kept = others if other_classes in ("count", UNDECIDED) else []
    for name in kept:
        index.setdefault(class_label(name), len(index))
    known = (*labels, *dict.fromkeys(map(class_label, kept)))
    return {name: index.get(class_label(name)) for name in found}, known, warnings


def other_classes_lines(others: Mapping[str, int], other_classes: str) -> list[str]:
    """Returns what became of photos of classes that a model does not have, one line or none.

    Args:
        others: number of photos by such a class.
        other_classes: "skip" or "count".
    """
    if not others:
        return []
    photos = sum(others.values())
    done = "counted as wrong answers" if other_classes == "count" else "left out"
    are = plural_of(photos, "is", "are")
    listed = first_names([f"{readable(name)} ({number:,})" for name, number in others.items()])
    return [
        f"{count(photos, 'photo')} of classes that the model does not have {are} {done}: {listed}."
    ]


def shown(name: str) -> str:
    """Returns a name in quotes, with escapes for all that looks like something else.

    Example:
        >>> shown("rose\\u0301 ")
        "'rose\\\\u0301 '"
    """
    return ascii(name)


def _in_another_encoding(name: str) -> bool:
    """Returns whether a name is UTF-8 that a locale of another encoding has read wrongly."""
    if sys.getfilesystemencoding() == "utf-8" or name.isascii():
        return False
    try:
        return os.fsencode(name).decode("utf-8") != name
    except UnicodeError:
        return False


def _undecodable(name: str, what: str, place: str) -> str:
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8":
        return f"The name of {what} {shown(name)} in {place} is not valid UTF-8. Rename it."
    return (
        f"The name of {what} {shown(name)} in {place} can't be read: this process takes names as"
        f" {encoding}, because of its locale. Run it with LC_ALL=C.UTF-8 or PYTHONUTF8=1."
    )


def first_names(names: Sequence[str], most: int = 6) -> str:
    """Returns names with commas between, of many the first and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
