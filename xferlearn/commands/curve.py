"""`xferlearn curve`: prints how accuracy grows with the number of photos."""

from xferlearn.commands import print_result
from xferlearn.config import CurveConfig
from xferlearn.experiments import curve_with


def run(config: CurveConfig) -> int:
    """Measures and prints the summary; returns 1 where draws diverged at every number of photos."""
    result = curve_with(config)
    print_result(result)
    return 0 if result.complete and any(point.validation.photos for point in result.points) else 1
