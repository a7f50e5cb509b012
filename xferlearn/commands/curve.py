"""`xferlearn curve`: prints how accuracy grows with the number of photos."""

from xferlearn.commands import print_warnings
from xferlearn.config import CurveConfig
from xferlearn.experiments import Curve, curve_with
from xferlearn.system.tables import format_table


def run(config: CurveConfig) -> int:
    """Measures and prints the table; returns 1 where every number of photos had draws diverge."""
    result = curve_with(config)
    print_warnings(result.warnings)
    print(report(result))
    return 0 if any(point.test.photos for point in result.points) else 1


def report(result: Curve) -> str:
    """Returns the table, the forecast and the answer."""
    rows = [["photos a class", "photos", "test accuracy", "draws"]]
    for point in result.points:
        diverged = sum(outcome.diverged for outcome in point.outcomes)
        draws = len(point.outcomes)
        found = f"{diverged} of {draws} diverged" if diverged else str(point.test)
        rows.append([str(point.photos), str(point.total), found, str(draws)])
    return "\n".join(
        [
            format_table(rows),
            "",
            f"Always tested on the same {result.tests} photos. Larger draws contain the smaller"
            f" ones; each head trains {result.steps} steps, without validation photos.",
            str(result.forecast) if result.forecast else f"No forecast: {result.why_not}.",
            result.answer,
            f"table  {result.table}",
            f"plot   {result.plot}",
            f"logs   {result.run_dir}",
        ]
    )
