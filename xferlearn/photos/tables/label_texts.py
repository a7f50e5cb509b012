"""Cells of a table -> the labels of each row, one or several."""

from collections.abc import Iterable, Iterator, Sequence

from xferlearn.errors import UserError
from xferlearn.photos.folders.names import class_label, first_names
from xferlearn.photos.several import label_text, labels_in, read_label_text
from xferlearn.photos.tables.column_words import is_yes, no_label
from xferlearn.photos.tables.reading import Table
from xferlearn.system.text import count, readable


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


def has_several(table: Table, column: str, multi_label: bool | None) -> bool:
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


def switches_have_several(table: Table, columns: Sequence[str], multi_label: bool | None) -> bool:
    """Returns whether columns that each say of one class whether a photo has it name several.

    Args:
        table: the table.
        columns: the columns.
        multi_label: as for `has_several`.

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
