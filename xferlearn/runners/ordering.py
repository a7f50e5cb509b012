"""Results in the order of the input, however late one of them comes."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xferlearn.runners.base import POSITION

if TYPE_CHECKING:
    import pyarrow as pa

# What waits for an earlier result is kept in memory up to this size, then on disk.
_HELD_BYTES = 64 * 2**20


def in_order(results: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
    """Yields results by position, from 0 on and without a gap, in bounded memory.

    Args:
        results: tables, each of which has consecutive positions.
    """
    import pyarrow as pa

    waiting: dict[int, pa.Table | Path] = {}
    following, held = 0, 0
    with tempfile.TemporaryDirectory(prefix="xferlearn-") as folder:
        for result in results:
            if not result.num_rows:
                continue
            first = result[POSITION][0].as_py()
            waiting[first] = result
            if first != following:
                if held + result.nbytes > _HELD_BYTES:
                    waiting[first] = _written(result, Path(folder, f"{first}.arrow"))
                else:
                    held += result.nbytes
            while following in waiting:
                found = waiting.pop(following)
                if isinstance(found, Path):
                    path, found = found, _read(found)
                    path.unlink()
                elif following != first:
                    held -= found.nbytes
                following += found.num_rows
                yield found


def _written(table: "pa.Table", path: Path) -> Path:
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return path


def _read(path: Path) -> "pa.Table":
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as file:
        return pa.ipc.open_file(file).read_all()
