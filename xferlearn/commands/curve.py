"""`xferlearn curve`: prints how accuracy grows with the number of photos."""

import sys
from typing import Any

from xferlearn.experiments import curve_with


def run(config: Any) -> int:
    """Measures and prints the summary; returns 1 where draws diverged at every number of photos."""
    result = curve_with(config)
    for line in result.remarks():
        print(line, file=sys.stderr)
    print(result.summary())
    return 0 if any(point.test.photos for point in result.points) else 1
