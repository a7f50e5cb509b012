"""What a person sees while work goes on: a bar on a terminal, nothing in a pipe or a log."""

import contextlib
import sys
import time
from collections.abc import Iterator

from tqdm import tqdm


def progress_bar(stage: str, total: int | None, unit: str = "photo") -> tqdm:
    """Returns a bar with rate and time left on stderr; silent where stderr is no terminal.

    Args:
        stage: what is going on, such as "bottlenecks".
        total: how many units there will be; None where that is not known.
        unit: what is counted.
    """
    return tqdm(
        desc=stage,
        total=total,
        unit=f" {unit}s",
        disable=not sys.stderr.isatty(),
        dynamic_ncols=True,
        leave=False,
        smoothing=0.1,
    )


class StageClock:
    """Measures the stages of a command.

    Attributes:
        seconds: wall time of each stage so far, in order.

    Example:
        >>> clock = StageClock()
        >>> with clock.stage("train"):
        ...     work()
        >>> clock.seconds
        {"train": 1.2}
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the block's wall time to stage `name`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed
