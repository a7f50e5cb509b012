"""What runs blocks of photos: a job goes to workers, blocks go in, results come out.

Blocks and results are Arrow tables. A block is work of seconds to minutes, which a worker that was
lost does again elsewhere: a job must do no harm when it is done twice.
"""

import dataclasses
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

POSITION = "position"
"""Column of each block and result: where a row stands in all of the input, int64."""

PROBLEM = "problem"
"""Column of a result: why a photo could not be used, text; null where it could."""

Work: TypeAlias = "Callable[[pa.Table], pa.Table]"
"""Does one block. Its result has a row for each row of the block, with its `POSITION`."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What workers do.

    Attributes:
        make: returns the work, called once in each worker; a function that can be imported there.
            It loads networks and opens caches.
        arguments: for `make`; small, because each worker gets a copy.
        failed: returns the result of a block of one row whose worker it ended, with a reason in
            `PROBLEM`; called in this process.
    """

    make: Callable[..., Work]
    arguments: Mapping[str, Any]
    failed: "Callable[[pa.Table, str], pa.Table]"


class Runner(Protocol):
    """Runs a job on blocks; `open_runner` returns one."""

    @property
    def name(self) -> str:
        """Name of the runner, as the setting has it."""

    def block_rows(self, total: int) -> int:
        """Returns how many rows a block should have.

        Args:
            total: rows of all blocks together.
        """

    def run(self, job: Job, blocks: "Iterable[pa.Table]") -> "Generator[pa.Table, None, None]":
        """Yields the results of blocks, in no certain order, each row once.

        Args:
            job: what is done.
            blocks: read as workers become free, so there may be any number of them.

        Raises:
            UserError, XferlearnError: what the work raised, in any worker.
        """
