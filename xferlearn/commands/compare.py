"""`xferlearn compare`: prints which backbone is accurate, fast and small."""

from xferlearn.commands import print_warnings
from xferlearn.config import CompareConfig
from xferlearn.config.wording import as_flags
from xferlearn.experiments import ComparedBackbone, Comparison, compare_with
from xferlearn.system.tables import format_table


def run(config: CompareConfig) -> int:
    """Compares and prints the table; returns 1 where no backbone could be measured."""
    result = compare_with(config)
    print_warnings(result.warnings)
    print(as_flags(report(result)))  # a backbone's problem may name settings
    return 0 if any(row.validation.photos for row in result.backbones) else 1


def report(result: Comparison) -> str:
    """Returns the table, and which backbones could not be had."""
    head = ["backbone", "px", "validation accuracy", "network photos/s", "decode photos/s"]
    rows = [[*head, "parameters", "MB", "Pareto"]]
    rows += [_row(row) for row in result.backbones]
    seen = max((row.validation.photos for row in result.backbones), default=0)
    lines = [format_table(rows), ""]
    lines += [f"{row.name}: {row.problem}" for row in result.backbones if row.problem]
    lines += [
        f"Accuracy is the mean over {seen} photos, validated on in {result.splits}"
        f" split{'s' if result.splits > 1 else ''}; the test photos were not looked at.",
        "Pareto: no other one is at least as accurate and as fast.",
        f"table  {result.table}",
        f"plot   {result.plot}",
    ]
    return "\n".join(lines)


def _row(row: ComparedBackbone) -> list[str]:
    if row.problem or row.rates is None:
        return [row.name, "", "not here", "", "", "", "", ""]
    return [
        row.name,
        str(row.image_size),
        f"diverged in {row.diverged} runs" if row.diverged else str(row.validation),
        f"{row.rates.network:.0f}",
        f"{row.rates.decode:.0f}",
        f"{row.parameters:,}",
        f"{row.megabytes:.1f}",
        "yes" if row.pareto else "",
    ]
