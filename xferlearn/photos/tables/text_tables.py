"""Tables in text files: separators, encodings and headers as programs leave them."""

import collections
import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv

from xferlearn.errors import UserError
from xferlearn.photos.pixels.formats import SUFFIXES
from xferlearn.system.text import one_line, printable

_SEPARATORS = (",", ";", "\t", "|")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_FOREIGN = (
    (b"PK\x03\x04", "an Excel workbook or another zip file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"SQLite format 3", "an SQLite database"),
    (b"%PDF", "a PDF file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x80\x04", "a Python pickle"),
    (b"\xff\xd8\xff", "a photo"),
    (b"\x89PNG", "a photo"),
)
_SAMPLE_LINES = 200


class TextTable(NamedTuple):
    """A table that was text.

    Attributes:
        columns: its columns, as text.
        header: whether they have names of their own.
        nested: names of the columns with several values per row, which `columns` lacks.
        notes: what a person should know, one line each.
    """

    columns: pa.Table
    header: bool = True
    nested: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_text_table(
    path: str, is_photo: Callable[[str], bool], content: bytes | None = None
) -> TextTable:
    """Reads a table in text: CSV with any usual separator, JSON or JSON Lines; also compressed.

    Args:
        path: the file.
        is_photo: returns whether a cell names a photo that is there.
        content: its bytes; None to read them.

    Raises:
        OSError: when it can't be read.
        UserError: when it is no such table.
    """
    if content is None:
        with open(path, "rb") as raw:
            content = raw.read()
    with pa.input_stream(pa.py_buffer(content), compression=_compression(path)) as file:
        data = file.read()
    if not data.strip():
        raise UserError(f"{path} is empty.")
    for magic, kind in _FOREIGN:
        if data.startswith(magic):
            raise UserError(
                f"{path} is {kind}. Expected a table: CSV, TSV, JSON Lines, Parquet or Arrow; save"
                " it as one of these."
            )
    text, notes = _decoded(path, data)
    if "\0" in text:
        raise UserError(f"{path} is no text. Expected CSV, TSV, JSON Lines, Parquet or Arrow.")
    if text.lstrip()[:1] in ("{", "["):
        return _read_json(path, text)._replace(notes=notes)
    table = _read_csv(path, text, is_photo)
    return table._replace(notes=(*notes, *table.notes))


def _compression(path: str) -> str | None:
    try:
        return pa.Codec.detect(path).name
    except (TypeError, ValueError):  # of a name that tells none
        return None


def _decoded(path: str, data: bytes) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace"), ()
    # Half of the bytes of UTF-16 text in Latin letters are zero.
    if data[:400].count(0) > len(data[:400]) // 4:
        return data.decode("utf-16-le" if data[1] == 0 else "utf-16-be", "replace"), ()
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        note = (
            f"{path} is not UTF-8 (line {line}). It was read as Windows-1252, which is a guess:"
            " save it as UTF-8 where names come out wrong."
        )
        return data.decode("cp1252", "replace"), (note,)


def _read_csv(path: str, text: str, is_photo: Callable[[str], bool]) -> TextTable:
    text = _without_comments(text.lstrip("\r\n"))
    separator = None
    if told := re.match(r"sep=(.)\r?\n", text):  # as Excel writes it
        separator, text = told[1], text[told.end() :]
    separator = separator or _separator(text)
    if separator is None:
        text, separator = _without_runs(path, text), "\t"
    first = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    cells = [cell.strip().lstrip("#").strip() for cell in first]
    header = not any(_is_value(cell, is_photo) for cell in cells)
    numbered = [f"column {number}" for number in range(1, len(cells) + 1)]
    # Index columns have no name.
    names = [c or n for c, n in zip(cells, numbered, strict=True)] if header else numbered
    table = _parsed(path, text, separator, names, skip=int(header))
    notes: tuple[str, ...] = ()
    if not header:
        shown = ", ".join(
            f"{n!r} ({printable(c, 40)}, ...)" for n, c in zip(names, cells, strict=True)
        )
        notes = (f"{path} has no names of columns in its first line. They are called {shown}.",)
    return TextTable(table, header, notes=notes)


def _without_comments(text: str) -> str:
    """Returns a table without the lines before it that begin with `#` and have other columns."""
    while text.startswith("#"):
        first, _, rest = text.partition("\n")
        separator = _separator(rest) if rest.strip() else None
        following = rest.lstrip("\r\n").partition("\n")[0]
        alike = len(first.split(separator)) == len(following.split(separator))
        if alike and not following.startswith("#"):
            return text  # the names of the columns
        text = rest.lstrip("\r\n")
    return text


def _separator(text: str) -> str | None:
    """Returns what separates the columns; None for runs of blanks."""
    lines = text.splitlines(keepends=True)[:_SAMPLE_LINES]
    lines = [line for line in lines if line.strip()]
    widths = {
        separator: collections.Counter(len(row) for row in csv.reader(lines, delimiter=separator))
        for separator in _SEPARATORS
    }
    regular = {s: next(iter(found)) for s, found in widths.items() if len(found) == 1}
    best = max(regular, key=lambda s: regular[s], default=",")
    if regular.get(best, 1) > 1:
        return best
    words = {len(line.split()) for line in lines}
    if len(words) == 1 and words != {1}:
        return None
    # Not all rows are alike: the one that the first line has most of will be named.
    return max(_SEPARATORS, key=lines[0].count)


def _without_runs(path: str, text: str) -> str:
    rows = [line.split() for line in text.splitlines()]
    for number, row in enumerate(rows, start=1):
        if row and len(row) != len(rows[0]):
            raise _ragged(path, number, len(row), len(rows[0]))
    return "\n".join("\t".join(row) for row in rows)


def _is_value(cell: str, is_photo: Callable[[str], bool]) -> bool:
    return cell.lower().endswith(SUFFIXES) or bool(cell and "/" in cell and is_photo(cell))


def _parsed(path: str, text: str, separator: str, names: list[str], skip: int) -> pa.Table:
    if len(names) == 1:
        raise UserError(
            f"{path} has one column only, {names[0]!r}. Expected two or more, separated by"
            " commas, semicolons, tabs or bars: the photo's file, and its label."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path} has two columns named {twice!r}. Rename one.")
    wrong: list[Any] = []

    def remember(row: Any) -> str:
        wrong.append(row)
        return "error"

    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(text.encode("utf-8", "replace")),
            # Rows are counted for messages, which threads can't do.
            pyarrow.csv.ReadOptions(
                use_threads=False, column_names=names, skip_rows_after_names=skip
            ),
            pyarrow.csv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=remember
            ),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        if wrong:
            row = wrong[0]
            raise _ragged(path, row.number, row.actual_columns, row.expected_columns) from None
        raise UserError(f"Can't read {path} as a table: {one_line(error)}.") from None


def _ragged(path: str, number: int | None, came: int, expected: int) -> UserError:
    place = "A row" if number is None else f"Row {number}"
    return UserError(
        f"{place} of {path} has {came} column{'' if came == 1 else 's'}. Expected {expected}, as"
        " its first line has. Put quotation marks around values that hold a separator."
    )


def _read_json(path: str, text: str) -> TextTable:
    try:
        content = json.loads(text)
    except ValueError:
        content = _json_lines(path, text)
    except RecursionError:
        raise UserError(f"{path} is nested too deeply for a table.") from None
    if isinstance(content, Mapping):
        content = _rows_of(path, content)
    rows = [_flat(row) for row in content if isinstance(row, Mapping)]
    if not rows or len(rows) != len(content):
        raise UserError(
            f"Expected {path} to hold one object per photo, such as"
            ' {"file": "a.jpg", "label": "daisy"}.'
        )
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns, nested = {}, []
    for name in names:
        values = [row.get(name) for row in rows]
        if not any(isinstance(value, list) for value in values):
            columns[name] = pa.array(map(_json_text, values), pa.string())
        elif any(isinstance(one, (list, Mapping)) for value in values for one in value or ()):
            nested.append(name)
        else:
            lists = [_json_texts(value) for value in values]
            columns[name] = pa.array(lists, pa.list_(pa.string()))
    return TextTable(pa.table(columns), nested=tuple(nested))


def _json_lines(path: str, text: str) -> list[Any]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise UserError(
                    f"Line {number} of {path} is no JSON: {one_line(error)}. Expected one object"
                    " per line."
                ) from None
    return rows


def _rows_of(path: str, content: Mapping[str, Any]) -> list[Any]:
    """Returns the rows of an object: of columns, as pandas writes them, or of labels by file."""
    if {"images", "annotations"} <= content.keys():
        raise UserError(
            f"{path} is a COCO file. Expected a table with one row per photo: write file_name and"
            " category name of each image to a CSV file."
        )
    values = list(content.values())
    if all(isinstance(value, Mapping) for value in values):
        rows = list(dict.fromkeys(key for value in values for key in value))
        if len(rows) > len(values):  # {"file": {"0": "a.jpg", ...}, "label": {"0": "daisy", ...}}
            return [{name: value.get(row) for name, value in content.items()} for row in rows]
        return [{"key": key, **value} for key, value in content.items()]
    if all(isinstance(value, list) for value in values):
        columns = itertools.zip_longest(*values)
        return [dict(zip(content, row, strict=True)) for row in columns]
    if len(values) > 20 or any(key.lower().endswith(SUFFIXES) for key in content):
        return [{"key": key, "value": value} for key, value in content.items()]
    return [content]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{key}": inner for key, inner in value.items()})
        else:
            flat[name] = value
    return flat


def _json_texts(value: Any) -> list[str | None]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [_json_text(one) for one in values]


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, (list, Mapping)):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
