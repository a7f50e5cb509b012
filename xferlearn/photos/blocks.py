"""Entries as Arrow tables, for workers, and back: what reads a photo on another machine."""

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from xferlearn.photos.folders.columns import bytes_of, text_of
from xferlearn.photos.folders.file_source import reading
from xferlearn.photos.sources import Entry
from xferlearn.photos.views import Augmentation
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
        A table with a row per photo: `POSITION`, what its entry says, addresses absolute, and
        `content` or what went wrong where there is no address.
    """
    import pyarrow as pa

    def column(name: str, kind: "pa.DataType") -> "pa.Array":
        return pa.array([getattr(one, name) for one in entries], kind)

    # Names of files need not be text.
    names, addresses = [bytes_of(one.name) for one in entries], [_address(one) for one in entries]
    contents = [_content(entry) if entry.address is None else (None, None) for entry in entries]
    return pa.table(
        {
            POSITION: pa.array(range(first, first + len(entries)), pa.int64()),
            "name": pa.array(names, pa.large_binary()),
            "label": column("label", pa.int32()),
            "size": column("size", pa.int64()),
            "fixed_split": column("fixed_split", pa.string()),
            "group": pa.array([_bytes(one.group) for one in entries], pa.binary()),
            "view": pa.array([_view(one) for one in entries], pa.string()),
            "expected_digest": pa.array([one.digest for one in entries], pa.binary()),
            "bit_depth": column("bit_depth", pa.int8()),
            "address": pa.array(addresses, pa.large_binary()),
            "changed": column("changed", pa.int64()),
            "content": pa.array([content for content, _ in contents], pa.large_binary()),
            "unread": pa.array([error for _, error in contents], pa.string()),
        }
    )


def entries_in(block: "pa.Table") -> list[Entry]:
    """Returns the photos of a block that `block_of` made, ready to be read.

    Columns that a result adds to those of its block are passed over.
    """
    found = []
    for row in block.to_pylist():
        address, content = row["address"], row["content"]
        if address is not None:
            address = text_of(address)
            read = reading(address)
        else:
            read = functools.partial(_held, content, row["unread"])
        group, view = row["group"], json.loads(row["view"] or "null")
        found.append(
            Entry(
                text_of(row["name"]),
                row["label"],
                read,
                row["size"] if content is None else len(content),
                row["fixed_split"],
                None if group is None else text_of(group),
                None if view is None else (Augmentation(**view[0]), view[1]),
                row["expected_digest"],
                row["bit_depth"],
                address,
                row["changed"],
            )
        )
    return found


def _address(entry: Entry) -> bytes | None:
    return None if entry.address is None else bytes_of(absolute_address(entry.address))


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes_of(text)


def _view(entry: Entry) -> str | None:
    if entry.view is None:
        return None
    augmentation, number = entry.view
    return json.dumps([dataclasses.asdict(augmentation), number])


def _content(entry: Entry) -> tuple[bytes | None, str | None]:
    try:
        return entry.read(), None
    except OSError as error:
        return None, one_line(error)


def _held(content: bytes | None, unread: str | None) -> bytes:
    if content is None:
        raise OSError(unread)
    return content
