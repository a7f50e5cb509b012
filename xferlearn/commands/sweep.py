"""`xferlearn sweep`: prints what each combination of settings gave, and what to make of it."""

import sys
from typing import Any

from xferlearn.sweeps import Candidate, Sweep, sweep_with
from xferlearn.tables import format_table


def run(config: Any) -> int:
    """Sweeps and prints the table."""
    result = sweep_with(config)
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(report(result))
    return 0 if result.command else 1


def report(result: Sweep) -> str:
    """Returns the table, the times, and the command for the best one."""
    rows = [["settings", "validation accuracy", "runs", "s a run", "behind the best, points"]]
    rows += [_row(candidate) for candidate in result.candidates]
    lines = [format_table(rows), ""]
    lines += [f"{one.name}: not run, {one.problem}" for one in result.candidates if one.problem]
    for space in result.spaces:
        if space.rates is None:
            continue
        name = " ".join(f"{k}={v}" for k, v in space.settings.items() if v is not None)
        slower = "decoding" if space.rates.decode < space.rates.network else "the network"
        lines.append(
            f"{name}: bottlenecks {space.extraction:.1f} s ({space.computed} computed), heads"
            f" {space.training:.1f} s; decoding alone {space.rates.decode:.0f} photos/s, the"
            f" network alone {space.rates.network:.0f}, so {slower} takes longer"
        )
    if result.command:
        best = result.candidates[0]
        test = result.test
        lines += [
            "",
            f"best by validation: {best.name}",
            f"its test accuracy: {test} over {test.photos} photos" if test else "not tested",
            _verdict(result.candidates),
            "",
            f"table  {result.table}",
            f"plot   {result.plot}",
            "next:",
            f"  {result.command}",
            f"  tensorboard --logdir {result.logs_dir}",
        ]
    else:
        lines.append("No combination converged: there is nothing to choose from.")
    return "\n".join(lines)


def _row(candidate: Candidate) -> list[str]:
    if candidate.problem:
        return [candidate.name, "not run", "0", "", ""]
    found = str(candidate.validation)
    if candidate.diverged:
        found = f"diverged in {candidate.diverged} of {len(candidate.outcomes)} runs"
    behind = ""
    if candidate.behind is not None:
        mean, low, high = (100 * value for value in candidate.behind)
        certain = "" if low <= 0 <= high else " *"
        behind = f"{mean:.1f} ({low:.1f} to {high:.1f}){certain}"
    runs = str(len(candidate.outcomes))
    return [candidate.name, found, runs, f"{candidate.seconds:.1f}", behind]


def _verdict(candidates: tuple[Candidate, ...]) -> str:
    best = candidates[0]
    if best.validation.photos < 20:
        return f"{best.validation.photos} validation photos can't tell which one is better."
    compared = [one for one in candidates[1:] if one.behind is not None]
    same = [one.name for one in compared if one.behind and one.behind[1] <= 0 <= one.behind[2]]
    if not compared:
        return "There was nothing to compare it with."
    if same:
        some = ", ".join(same[:5]) + (f" and {len(same) - 5} more" if len(same) > 5 else "")
        return f"Not distinguishable from it on {best.validation.photos} photos: {some}."
    return "All others are worse beyond chance (marked *)."
