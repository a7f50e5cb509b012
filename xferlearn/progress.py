"""What a person sees while work goes on: a bar on a terminal, nothing in a pipe or a log."""

import sys

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
