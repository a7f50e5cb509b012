"""Rows -> a file, as they come: CSV, TSV, JSON Lines and Parquet."""

import csv
import io
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, TypeVar

T = TypeVar("T")
# Rows that are held until they are written to a Parquet file together.
_GROUP_ROWS = 10_000


def write_csv(
    file: BinaryIO, columns: Sequence[str], rows: Iterable[Sequence[object]], separator: str = ","
) -> None:
    """Writes rows as CSV, UTF-8, or as TSV; None becomes an empty cell.

    Args:
        file: open for writing.
        columns: their names.
        rows: one cell per column.
        separator: what stands between cells.
    """
    line = io.StringIO(newline="")
    # The writer quotes the characters that end its own rows, so a carriage return breaks no row.
    writer = csv.writer(line, delimiter=separator, lineterminator="\r\n")
    for row in itertools.chain([columns], rows):
        line.seek(0)
        line.truncate()
        writer.writerow(row)
        text = line.getvalue().removesuffix("\r\n") + "\n"
        # Names of files are bytes: those that are not UTF-8 are written as they are.
        file.write(text.encode("utf-8", "surrogateescape"))


def write_json_lines(file: BinaryIO, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes one JSON object per line, UTF-8.

    Args:
        file: open for writing.
        rows: the objects.
    """
    for row in rows:
        # Half a character, of a name that is not UTF-8, becomes the escape that JSON has for it.
        file.write(f"{json.dumps(row, ensure_ascii=False)}\n".encode("utf-8", "backslashreplace"))


def write_parquet(
    file: BinaryIO, columns: Mapping[str, type], rows: Iterable[Sequence[object]]
) -> None:
    """Writes rows as Parquet, some thousands at a time, with checksums of its pages.

    Args:
        file: open for writing.
        columns: str or float by name.
        rows: one value per column; None for nothing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), float: pa.float64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(file, schema, write_page_checksum=True) as writer:
        left = iter(rows)
        while group := list(itertools.islice(left, _GROUP_ROWS)):
            values = ([utf8(value) for value in column] for column in zip(*group, strict=True))
            writer.write_table(pa.table(list(values), schema=schema))


def utf8(value: T) -> T | str:
    """Returns a text with escapes for what is not UTF-8; everything else as it is."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def joined(values: Iterable[str]) -> str:
    """Returns several values as one cell, with | between them, which a value has as \\|."""
    return "|".join(one.replace("\\", "\\\\").replace("|", "\\|") for one in values)


def parted(cell: str) -> list[str]:
    """Returns the values of a cell that `joined` made; of an empty cell, none."""
    if not cell:
        return []
    if "\\" not in cell:
        return cell.split("|")
    values, escaped = [""], False
    for sign in cell:
        if not escaped and sign == "|":
            values.append("")
            continue
        escaped = not escaped and sign == "\\"
        values[-1] += "" if escaped else sign
    return values


def write_rows(
    file: BinaryIO, form: str, columns: Mapping[str, type], rows: Iterable[Sequence[object]]
) -> None:
    """Writes rows in the form that a file's ending asks for.

    Args:
        file: open for writing.
        form: "csv", "tsv", "parquet" or "json" (JSON Lines).
        columns: str or float by name.
        rows: one value per column; None for nothing.
    """
    if form == "parquet":
        write_parquet(file, columns, rows)
    elif form == "json":
        write_json_lines(file, (dict(zip(columns, row, strict=True)) for row in rows))
    else:
        write_csv(file, [*columns], rows, "\t" if form == "tsv" else ",")
