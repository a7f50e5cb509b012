"""`xferlearn export`: writes a model in other formats and shows that they answer the same."""

import sys

from xferlearn.commands import print_warnings
from xferlearn.config import ExportConfig
from xferlearn.config.wording import as_flags
from xferlearn.exports import ExportResult, changed_lines, export_with
from xferlearn.system.tables import format_table


def run(config: ExportConfig) -> int:
    """Exports and prints the table; returns 1 where a format failed or was not made."""
    result = export_with(config)
    print(report(result))
    print_failures(result)
    return 0 if result.passed else 1


def report(result: ExportResult) -> str:
    """Returns what was written and how it compares with the model, for a person to read."""
    lines = [format_table(result.table), "", result.summary]
    for row in result.rows:
        changed = changed_lines(row)
        if changed:
            lines += ["", f"{row.format}: photos with another first label", *changed]
    lines.append("")
    lines += [f"{row.format}  {row.path}" for row in result.rows if row.passed]
    lines.append(f"report  {result.report}")
    if result.run_dir is not None:
        lines.append(f"logs  {result.run_dir}")
    return "\n".join(lines)


def print_failures(result: ExportResult) -> None:
    """Prints the warnings and what failed on stderr, one line each."""
    print_warnings(f"{warning}." for warning in result.warnings)
    for row in result.rows:
        if row.problem is not None:
            print(f"xferlearn: {row.format}: {as_flags(row.problem)}", file=sys.stderr)
