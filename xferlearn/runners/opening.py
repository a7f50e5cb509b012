"""Settings -> the runner that they ask for."""

import contextlib
from collections.abc import Iterator

from xferlearn.config.runners import RunnerConfig
from xferlearn.runners.base import Runner
from xferlearn.runners.local import LocalRunner


@contextlib.contextmanager
def open_runner(config: RunnerConfig, *, verbose: int = 0) -> Iterator[Runner]:
    """Returns the runner that a config asks for, in a block that ends it.

    Args:
        config: runner, address and number of workers.
        verbose: 0 does not show that Ray starts.

    Raises:
        UserError: when Ray is not installed, or there is no cluster at the address.

    Example:
        >>> with open_runner(config) as runner:
        ...     for table in runner.run(job, blocks):
        ...         print(table.num_rows)
    """
    if config.runner == "local":
        yield LocalRunner()
        return
    from xferlearn.runners.ray import RayRunner, connected

    with connected(config.ray_address, verbose):
        yield RayRunner(config.workers)
