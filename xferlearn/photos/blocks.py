"""Entries as Arrow tables, for workers, and back: what reads a photo on another machine."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from xferlearn.photos.folders.columns import Files
from xferlearn.photos.folders.file_source import FileSource
from xferlearn.photos.sources import Entry
from xferlearn.runners import POSITION
from xferlearn.system.addresses import absolute_address
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import pyarrow as pa

# Photos that have no address travel with their blocks, which may be large then.
_MOST_BYTES = 256 * 2**20


def blocks_of(entries: Iterable[Entry], rows: int) -> "Iterator[pa.Table]":
    """Yields photos in blocks, numbered from 0.

    Args:
        entries: the photos.
        rows: most photos per block.
    """
    first, waiting, held = 0, list[Entry](), 0
    for entry in entries:
        waiting.append(entry)
        held += 0 if entry.address is not None else entry.size
        if len(waiting) == rows or held > _MOST_BYTES:
            yield block_of(waiting, first)
            first, waiting, held = first + len(waiting), [], 0
    if waiting:
        yield block_of(waiting, first)


def block_of(entries: Sequence[Entry], first: int) -> "pa.Table":
    """Returns photos as one block.

    Args:
        entries: the photos; those that have no address are read.
        first: position of the first of them.

    Returns:
        A table with a row per photo: `POSITION`, `name`, `label`, and `address`, or `content` or
        what went wrong where there is no address.
    """
    import pyarrow as pa

    contents = [_content(entry) if entry.address is None else (None, None) for entry in entries]
    addresses = [
        None if one.address is None else os.fsencode(absolute_address(one.address))
        for one in entries
    ]
    return pa.table(
        {
            POSITION: pa.array(range(first, first + len(entries)), pa.int64()),
            # Names of files are bytes, which need not be text.
            "name": pa.array([os.fsencode(one.name) for one in entries], pa.large_binary()),
            "label": pa.array([one.label for one in entries], pa.int32()),
            "address": pa.array(addresses, pa.large_binary()),
            "content": pa.array([content for content, _ in contents], pa.large_binary()),
            "unread": pa.array([error for _, error in contents], pa.string()),
        }
    )


def entries_in(block: "pa.Table") -> list[Entry]:
    """Returns the photos of a block that `block_of` made, ready to be read."""
    rows = block.to_pylist()
    addressed = [(os.fsdecode(row["address"]), row["label"]) for row in rows if row["address"]]
    files = FileSource((), Files.of(tuple(addressed))).entries()
    found = []
    for row in rows:
        name = os.fsdecode(row["name"])
        if row["address"]:
            found.append(dataclasses.replace(next(files), name=name))
        else:
            read = functools.partial(_held, row["content"], row["unread"])
            found.append(Entry(name, row["label"], read, len(row["content"] or b"")))
    return found


def _content(entry: Entry) -> tuple[bytes | None, str | None]:
    try:
        return entry.read(), None
    except OSError as error:
        return None, one_line(error)


def _held(content: bytes | None, unread: str | None) -> bytes:
    if content is None:
        raise OSError(unread)
    return content
