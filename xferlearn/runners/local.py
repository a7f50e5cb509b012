"""Blocks in this process, one after the other."""

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from xferlearn.runners.base import Job

if TYPE_CHECKING:
    import pyarrow as pa

# Of a killed run at most one block is lost.
_ROWS = 4096


class LocalRunner:
    """Runs a job here: reading, decoding and the network use all cores already."""

    name = "local"

    def block_rows(self, total: int) -> int:
        """Returns how many rows a block should have; see `Runner.block_rows`."""
        return _ROWS

    def run(self, job: Job, blocks: "Iterable[pa.Table]") -> "Generator[pa.Table, None, None]":
        """Yields the results in the order of the blocks; see `Runner.run`."""
        work = job.make(**job.arguments)
        for block in blocks:
            yield work(block)
