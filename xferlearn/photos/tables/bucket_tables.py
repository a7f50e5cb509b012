"""Tables in buckets: fetched once and held in memory, unless they hold photos."""

from collections.abc import Callable

import pyarrow.parquet as pq

from xferlearn.errors import UserError
from xferlearn.photos.tables.arrow_files import (
    DAMAGED,
    MemoryPart,
    arrow_reader,
    damaged,
    is_picture,
)
from xferlearn.photos.tables.text_tables import TextTable, read_text_table
from xferlearn.system.addresses import split_name, split_options
from xferlearn.system.places import place_of
from xferlearn.system.text import one_line


def fetch_table(address: str, is_photo: Callable[[str], bool]) -> MemoryPart | TextTable:
    """Returns a table of a bucket.

    Args:
        address: of the file.
        is_photo: returns whether a cell names a photo that is there.

    Raises:
        UserError: when there is none, it can't be read, or it holds the photos themselves.
    """
    bare = split_options(address)[0]
    folder, name = split_name(address)
    place = place_of(folder or address, "`labels`")
    try:
        if place.find(name) is None:
            raise UserError(f"Expected `labels` to be a table. Found nothing at {address}.")
        with place.open(name) as file:
            magic = file.read(8)
        if not magic.startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")):
            return read_text_table(bare, is_photo, place.read(name))
    except (OSError, ValueError) as error:
        raise UserError(f"Can't read {bare}: {one_line(error)}.") from None
    try:
        with place.open(name) as file:
            reader = pq.ParquetFile(file) if magic.startswith(b"PAR1") else arrow_reader(file)
            schema = getattr(reader, "schema_arrow", reader.schema)
            if any(is_picture(field.type) for field in schema):
                raise UserError(
                    f"{bare} holds the photos itself. Such tables are read from this machine alone:"
                    " download it, and give its path."
                )
            table = reader.read() if isinstance(reader, pq.ParquetFile) else reader.read_all()
            return MemoryPart(table)
    except DAMAGED as error:
        raise damaged(bare, error) from None
