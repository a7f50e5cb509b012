"""Tables of labels as people keep them -> columns of text."""

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xferlearn.config.in_memory import TableInMemory
from xferlearn.errors import UserError, did_you_mean
from xferlearn.photos.tables.arrow_files import (
    DAMAGED,
    MemoryPart,
    Part,
    class_names,
    damaged,
    has_paths,
    is_picture,
    open_part,
)
from xferlearn.photos.tables.bucket_tables import fetch_table
from xferlearn.photos.tables.table_files import arrow_files_below
from xferlearn.photos.tables.text_tables import TextTable, read_text_table
from xferlearn.system.addresses import is_bucket, split_options
from xferlearn.system.text import one_line, readable

Text = str | None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of photos, of which every plain column can be read as text.

    Attributes:
        name: what messages call it.
        folder: what its paths may be relative to; "" for the current folder.
        parts: where its rows are, one part after the other.
        names: the plain columns.
        pictures: the columns that can hold photos.
        lists: the columns that hold a list of plain values per row.
        nested: the columns that hold several values per row in another way.
        opaque: the columns that are no text in another way, such as bytes of a fixed number.
        header: whether the columns have names of their own.
        notes: what a person should know of how it was read, one line each.
    """

    name: str
    folder: str
    parts: tuple[Part, ...] = dataclasses.field(repr=False)
    names: tuple[str, ...]
    pictures: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()
    header: bool = True
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def count(self) -> int:
        """Number of rows."""
        return sum(block.rows for part in self.parts for block in part.blocks())

    def texts(self, name: str) -> list[Text]:
        """Returns a column as text without blanks around it, None where there is nothing.

        Numbers lose a `.0`, truth values become `true` and `false`, and numbers that have the names
        of classes become these.

        Raises:
            UserError: when the file is damaged.
        """
        return self._cached[name]

    @functools.cached_property
    def _cached(self) -> "_Columns":
        return _Columns(self)

    def listed(self, name: str) -> list[list[str]]:
        """Returns a column of lists as texts, as `texts` has them, without those that say nothing.

        Raises:
            UserError: when the file is damaged.
        """
        return self._lists[name]

    @functools.cached_property
    def _lists(self) -> "_Lists":
        return _Lists(self)

    def paths(self, picture: str) -> list[Text]:
        """Returns the names of the files that a column of photos was made from, None without."""
        if not has_paths(self.parts[0].schema.field(picture).type):
            return [None] * self.count
        return [_stripped(text) for part in self.parts for text in _paths(part, picture)]

    def origins(self) -> list[str]:
        """Returns the path of the file that each row is in."""
        return [part.name for part in self.parts for _ in range(_rows(part))]

    def check_column(self, setting: str, name: str, among: Sequence[str] | None = None) -> str:
        """Returns a column's name as the table has it; it may be given as a number from 1.

        Raises:
            UserError: when there is no such column.
        """
        names = self.names if among is None else among
        if name in names:
            return name
        if name.isdecimal() and 1 <= int(name) <= len(names):
            return names[int(name) - 1]
        if setting == "label_column" and name in self.lists:
            return name
        if name in (*self.lists, *self.nested):
            raise UserError(
                f"Column {name!r} of {self.name} has several values per row. Expected one per"
                f" photo for `{setting}`."
            )
        if name in self.opaque:
            raise UserError(
                f"Column {name!r} of {self.name} holds bytes or objects. Expected text, numbers or"
                f" truth values for `{setting}`."
            )
        near = did_you_mean(name, names)
        raise UserError(
            f"{self.name} has no column {name!r} for `{setting}`.{near} {self.has_columns(names)}"
        )

    def has_columns(self, names: Sequence[str] | None = None) -> str:
        """Returns a sentence that names the columns."""
        names = self.names if names is None else names
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        listed = ", ".join(repr(readable(name, 60)) for name in names[:20])
        return f"Its columns are {listed}{more}." if names else "It has no such columns."


class _Columns(dict[str, list[Text]]):
    """Columns as text, each read when it is first asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __missing__(self, name: str) -> list[Text]:
        values: list[Text] = []
        for part in self._table.parts:
            try:
                column = part.read([name]).column(0)
                place = part.name or self._table.name
                values += _texts(column, class_names(part.schema, name), place)
            except UserError:
                raise
            except DAMAGED as error:
                raise damaged(part.name, error) from None
        self[name] = _plain_numbers(values)
        return self[name]


class _Lists(dict[str, list[list[str]]]):
    """Columns of lists as texts, each read when it is first asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __missing__(self, name: str) -> list[list[str]]:
        lengths: list[int] = []
        values: list[Text] = []
        for part in self._table.parts:
            try:
                column = part.read([name]).column(0)
                lengths += [one or 0 for one in pc.list_value_length(column).to_pylist()]
                inner = pc.list_flatten(column)
                place = part.name or self._table.name
                values += _texts(inner, class_names(part.schema, name), place)
            except UserError:
                raise
            except DAMAGED as error:
                raise damaged(part.name, error) from None
        left = iter(_plain_numbers(values))
        self[name] = [
            [text for text in itertools.islice(left, length) if text] for length in lengths
        ]
        return self[name]


def read_table(given: str | TableInMemory, is_photo: Callable[[str], bool]) -> Table:
    """Reads a table's columns; those that hold photos are left where they are.

    Args:
        given: path of a file, or of a folder of Parquet or Arrow files; or a table in memory.
        is_photo: returns whether a cell names a photo that is there, which tells a first row of
            values from one of names.

    Raises:
        UserError: when there is no table, or it can't be read.

    Example:
        >>> read_table("labels.csv", os.path.isfile).names
        ('file', 'label')
    """
    if isinstance(given, TableInMemory):
        return _of_parts("the table", "", (MemoryPart(_as_arrow(given.table)),))
    if is_bucket(given):
        bare = split_options(given)[0]
        fetched = fetch_table(given, is_photo)
        name, folder = readable(os.path.basename(bare)), os.path.dirname(bare)
        if isinstance(fetched, TextTable):
            return _of_text(name, folder, fetched)
        return _of_parts(name, folder, (fetched,))
    name = readable(os.path.basename(os.path.normpath(given)))
    try:
        if os.path.isdir(given):
            paths = arrow_files_below(given)
            if not paths:
                raise UserError(
                    f"Expected `labels` to be a table: a CSV, TSV, JSON Lines, Parquet or Arrow"
                    f" file. Found a folder at {given}."
                )
            parts = tuple(part for path in paths if (part := open_part(path)) is not None)
            return _of_parts(name, given, parts)
        if not os.path.exists(given):
            raise UserError(f"Expected `labels` to be a table. Found nothing at {given}.")
        if not os.path.isfile(given):
            raise UserError(f"Expected `labels` to be a file. {given} is none.")
        folder = os.path.dirname(given) or "."
        part = open_part(given)
        if part is not None:
            return _of_parts(name, folder, (part,))
        text = read_text_table(given, is_photo)
    except OSError as error:
        raise UserError(f"Can't read {given}: {one_line(error)}.") from None
    return _of_text(name, folder, text)


def _of_text(name: str, folder: str, text: TextTable) -> Table:
    table = _of_parts(name, folder, (MemoryPart(text.columns),))
    return dataclasses.replace(table, header=text.header, nested=text.nested, notes=text.notes)


def _of_parts(name: str, folder: str, parts: tuple[Part, ...]) -> Table:
    first = parts[0].schema
    for part in parts[1:]:
        if part.schema.names != first.names:
            raise UserError(
                f"Expected the files of {name} to have the same columns. {parts[0].name} has"
                f" {', '.join(first.names)}; {part.name} has {', '.join(part.schema.names)}."
            )
    twice = next((one for one in first.names if first.names.count(one) > 1), None)
    if twice is not None:
        raise UserError(f"{name} has two columns named {twice!r}. Rename one.")
    pictures = [field.name for field in first if is_picture(field.type)]
    lists = [field.name for field in first if _is_list(_inner(field.type))]
    nested = [field.name for field in first if pa.types.is_nested(_inner(field.type))]
    opaque = [field.name for field in first if not _is_plain(_inner(field.type))]
    table = Table(
        name,
        folder,
        parts,
        names=tuple(one for one in first.names if one not in {*nested, *opaque, *pictures}),
        pictures=tuple(pictures),
        lists=tuple(lists),
        nested=tuple(one for one in nested if one not in {*lists, *pictures}),
        opaque=tuple(one for one in opaque if one not in {*nested, *pictures}),
    )
    if not table.count:
        raise UserError(f"{name} has no rows.")
    return table


def _inner(kind: pa.DataType) -> pa.DataType:
    """Returns the type of a column's values, behind indices and names of types."""
    if isinstance(kind, pa.BaseExtensionType):
        return _inner(kind.storage_type)
    return _inner(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _is_list(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_kind(kind) for is_kind in kinds):
        return False
    inner = _inner(kind.value_type)
    return _is_plain(inner) and not pa.types.is_nested(inner)


def _is_plain(kind: pa.DataType) -> bool:
    # Bytes of a fixed number are cast as well, until some are no text.
    if is_picture(kind) or pa.types.is_fixed_size_binary(kind):
        return False
    try:
        pa.array([], kind).cast(pa.string())
    except (pa.ArrowException, TypeError):
        return False
    return True


def _as_arrow(table: Any) -> pa.Table:
    """Returns a table of pandas, Polars, DuckDB and others as one of Arrow."""
    try:
        if isinstance(table, pa.Table):
            return table
        if type(table).__module__.partition(".")[0] == "pandas":
            return pa.Table.from_pandas(table)  # with its index, which may be the file names
        if hasattr(table, "__arrow_c_stream__"):
            return pa.table(table)
        from pyarrow.interchange import from_dataframe

        return from_dataframe(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        kind = type(table).__name__
        raise UserError(f"Can't read a {kind} for `labels`: {one_line(error)}.") from None


def _rows(part: Part) -> int:
    return sum(block.rows for block in part.blocks())


def _paths(part: Part, picture: str) -> list[Text]:
    try:
        return part.paths(picture).to_pylist()
    except DAMAGED as error:
        raise damaged(part.name, error) from None


def _texts(column: pa.ChunkedArray, names: list[str] | None, place: str) -> list[Text]:
    kind = column.type
    if names is not None and pa.types.is_integer(kind):
        numbers = column.to_pylist()
        wrong = next((n for n in numbers if n is not None and n >= len(names)), None)
        if wrong is not None:
            raise UserError(f"{place} has class {wrong}, but names only {len(names)} classes.")
        # Hugging Face datasets write -1 where the label is not known.
        return [None if n is None or n < 0 else names[n] for n in numbers]
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    return [_stripped(text) for text in column.cast(pa.string()).to_pylist()]


def _stripped(text: Text) -> Text:
    return (text.strip() or None) if text else None


def _plain_numbers(values: list[Text]) -> list[Text]:
    """Returns texts; where all are numbers, as programs write them, without `.0`."""
    if not any(value and value.endswith(".0") for value in values):
        return values
    try:
        for value in values:
            float(value or 0)
    except ValueError:
        return values
    return [value and value.removesuffix(".0") for value in values]
