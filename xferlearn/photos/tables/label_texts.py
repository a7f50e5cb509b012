"""Cells of a table -> the labels of each row, one or several."""

import collections
from collections.abc import Iterable, Iterator, Sequence

from xferlearn.errors import UserError
from xferlearn.photos.folders.names import class_label, first_names
from xferlearn.photos.several import label_text, labels_in, read_label_text
from xferlearn.photos.tables.column_words import is_yes, no_label
from xferlearn.photos.tables.reading import Table
from xferlearn.system.text import count, readable

# What people write between labels, too.
_OTHER_SIGNS = ";,/+&\t "


def labels_of_rows(table: Table, columns: Sequence[str], *, several: bool) -> Iterator[str | None]:
    """Yields the label of each row, None for none; of several labels their text.

    Args:
        table: the table.
        columns: the column that has the labels; or several, each of which says of one class whether
            a photo has it.
        several: whether photos may have several labels; the text of none is "" then.
    """
    if len(columns) > 1:
        names = [class_label(name) for name in columns]
        for row in zip(*(table.texts(name) for name in columns), strict=True):
            yes = [name for name, text in zip(names, row, strict=True) if is_yes(text)]
            yield label_text(yes) if several else yes[0]
    elif columns[0] in table.lists:
        for labels in table.listed(columns[0]):
            found = [class_label(one) for one in labels if not no_label(one)]
            yield label_text(found) if several else next(iter(found), None)
    elif several:
        for text in table.texts(columns[0]):
            yield "" if text is None or no_label(text) else read_label_text(text)
    else:
        texts = table.texts(columns[0])
        truths = {text.lower() for text in texts if text and not no_label(text)} <= {
            "true",
            "false",
        }
        for text in texts:
            if text is None or no_label(text):
                yield None
            else:
                yield text.lower() if truths else class_label(text)


def how_many_labels(
    table: Table, columns: Sequence[str], multi_label: bool | None
) -> tuple[bool, list[str]]:
    """Returns whether photos may have several labels, and what a person should know of it.

    Args:
        table: the table.
        columns: as for `labels_of_rows`.
        multi_label: what the user says; None where the table is to tell.

    Raises:
        UserError: when it can't be told, or is not what the user says.
    """
    name, notes = table.name, []
    if len(columns) > 1:
        several = _switches_have_several(table, columns, multi_label)
        empty = {one: sum(map(no_label, table.texts(one))) for one in columns}
        said = [f"{readable(one, 60)} ({number:,})" for one, number in empty.items() if number]
        if several and said:
            notes.append(
                f"{name} has empty cells that are taken as 0, in {', '.join(said)}. Leave out"
                " photos of which it is not known whether they have a class."
            )
    else:
        several = _has_several(table, columns[0], multi_label)
        sign, joined = _joined_otherwise(table, columns[0], alone=not several)
        said_of = f"Column {columns[0]!r} of {name} has values such as {readable(joined)!r}"
        # A blank is part of many names.
        if several and sign.strip():
            raise UserError(f"{said_of}. Expected | between several labels of a photo.")
        if sign:
            notes.append(
                f"{said_of}, which is taken as one class. Write | between them if these are several"
                " labels."
            )
    if several and multi_label is None:
        notes.append(
            f"{name}: photos may have several labels, or none; `multi_label=False` expects one per"
            " photo."
        )
    return several, notes


def _has_several(table: Table, column: str, multi_label: bool | None) -> bool:
    """Returns whether the cells of a column name several labels.

    Args:
        table: the table.
        column: the column.
        multi_label: what the user says; None where the column is to tell.

    Raises:
        UserError: when it can't be told, or is not what the user says.
    """
    if column in table.lists:
        longest = max(map(len, table.listed(column)), default=0)
        if multi_label is False and longest > 1:
            raise UserError(
                f"Column {column!r} of {table.name} has several labels per photo. Expected one:"
                " leave out `multi_label=False`, or choose another `label_column`."
            )
        return longest > 1 if multi_label is None else multi_label
    if multi_label is not None:
        return multi_label
    texts = {text for text in table.texts(column) if text}
    joined = [text for text in texts if len(labels_in(text)) > 1]
    if not joined:
        return False
    # A label that stands alone elsewhere, or with another one, is a label.
    sets = {frozenset(labels_in(read_label_text(text))) for text in texts}
    if any(one != other and one & other for one in map(_set_of, joined) for other in sets):
        return True
    raise UserError(
        f"Column {column!r} of {table.name} has values such as {readable(joined[0])!r}. Say whether"
        " these are several labels, `multi_label=True`, or one with such a name,"
        " `multi_label=False`."
    )


def _joined_otherwise(table: Table, column: str, *, alone: bool) -> tuple[str, str]:
    """Returns another sign than | that seems to stand between labels, and a value that has it.

    Args:
        table: the table.
        column: the column.
        alone: whether each of them must be a value of its own too, not only a part of another one.

    Returns:
        Both "" where none seems to, or some value has |.
    """
    texts = {text for text in table.texts(column) if text} if column in table.names else set()
    if any(len(labels_in(text)) > 1 for text in texts):
        return "", ""
    for sign in _OTHER_SIGNS:
        parts = {text: [class_label(one) for one in text.split(sign)] for text in texts}
        times = collections.Counter(one for found in parts.values() for one in set(found))
        for text in sorted(texts):
            found = parts[text]
            known = [one in texts if alone else times[one] > 1 for one in found]
            if len(found) > 1 and all(known):
                return sign, text
    return "", ""


def _switches_have_several(table: Table, columns: Sequence[str], multi_label: bool | None) -> bool:
    """Returns whether columns that each say of one class whether a photo has it name several.

    Args:
        table: the table.
        columns: the columns.
        multi_label: as for `how_many_labels`.

    Raises:
        UserError: when there are other values than 0 and 1, it can't be told, or is not what the
            user says.
    """
    for name in columns:
        values = {text for text in table.texts(name) if text and not no_label(text)}
        wrong = sorted(text for text in values if not is_switch([text]))
        if wrong:
            raise UserError(
                f"Column {name!r} of {table.name} has {readable(wrong[0])!r}. Expected 0 and 1 only"
                " in each of several columns of labels."
            )
    ones = [sum(map(is_yes, row)) for row in zip(*map(table.texts, columns), strict=True)]
    if multi_label is not None and (multi_label or set(ones) == {1}):
        return multi_label
    several, none = sum(one > 1 for one in ones), ones.count(0)
    if multi_label is None and (several or not none):
        return several > 0
    named = first_names([repr(readable(name, 60)) for name in columns], 8)
    raise UserError(
        f"Columns {named} of {table.name} have 0 and 1 only, but {count(several, 'row')} with"
        f" several ones and {none:,} with none. Expected one class per photo: with"
        " `multi_label=True` a photo may have several, or none; otherwise give `label_column`."
    )


def is_switch(values: Iterable[str]) -> bool:
    """Returns whether values say yes or no, of which there is at least one."""
    found = {value.lower() for value in values}
    return bool(found) and (found <= {"0", "1"} or found <= {"true", "false"})


def _set_of(text: str) -> frozenset[str]:
    return frozenset(labels_in(read_label_text(text)))
