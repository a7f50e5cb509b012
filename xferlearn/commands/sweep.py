"""`xferlearn sweep`: prints what each combination of settings gave, and what to make of it."""

import shlex
from collections.abc import Sequence

from xferlearn.commands import print_warnings
from xferlearn.config import SweepConfig
from xferlearn.config.wording import as_flags
from xferlearn.experiments import Candidate, SpaceTimes, Sweep, sweep_with
from xferlearn.system.tables import format_facts, format_table

# Fewer photos than this can't tell one setting from another.
FEWEST_PHOTOS = 20


def run(config: SweepConfig) -> int:
    """Sweeps and prints the table; returns 1 where there is nothing to choose from."""
    result = sweep_with(config)
    print_warnings(result.warnings)
    print(as_flags(report(result)))  # a backbone's problem may name settings
    return 0 if result.candidates[0].validation.photos else 1


def report(result: Sweep) -> str:
    """Returns the table, the times, and the command for the best one."""
    head = ["settings", "validation accuracy", "over seeds", "runs", "s a run", "behind, points"]
    enough = result.candidates[0].validation.photos >= FEWEST_PHOTOS
    lines = [format_table([head, *(_row(one, enough) for one in result.candidates)]), ""]
    missing = [one for one in result.candidates if one.problem]
    lines += [f"{one.name}: not run: {one.problem}" for one in missing] + [""] * bool(missing)
    lines += _verdict(result)
    measured = [space for space in result.spaces if space.rates is not None]
    if measured:
        lines += ["", "where the time goes:", _times_table(measured)]
        lines += [_explanation(space) for space in measured]
    lines.append("")
    lines.append(format_facts({"table": str(result.table), "plot": str(result.plot)}))
    lines += ["", "next:"]
    if result.command:
        lines.append(f"  {result.command}")
    lines.append(f"  tensorboard --logdir {shlex.quote(result.logs_dir)}")
    return "\n".join(lines)


def _row(candidate: Candidate, enough: bool) -> list[str]:
    if candidate.problem:
        return [candidate.name, "not run", "", "0", "", ""]
    runs = len(candidate.outcomes)
    found = str(candidate.validation)
    if candidate.diverged == runs:
        found = "diverged"
    elif candidate.diverged:
        found = f"diverged in {candidate.diverged} of {runs} runs"
    seeds = candidate.over_seeds
    span = f"{seeds[0]:.1%} to {seeds[1]:.1%}" if seeds else ""
    behind = ""
    if candidate.behind is not None:
        mean, low, high = (100 * value for value in candidate.behind)
        behind = f"{mean:.1f} ({low:.1f} to {high:.1f})" + (" *" if low > 0 and enough else "  ")
    return [candidate.name, found, span, str(runs), f"{candidate.seconds:.1f}", behind]


def _verdict(result: Sweep) -> list[str]:
    best = result.candidates[0]
    seen = best.validation.photos
    if not seen:
        return ["No combination converged with every seed: there is nothing to choose from."]
    lines = [f"best on the {seen} validation photos: {best.name}"]
    if result.test is not None and result.test.photos:
        lines.append(f"its test accuracy: {result.test} over {result.test.photos} photos")
    else:
        lines.append("its test accuracy: there are no test photos")
    compared = [one for one in result.candidates[1:] if one.behind is not None]
    if seen < FEWEST_PHOTOS:
        return [*lines, f"{seen} validation photos can't tell which one is better."]
    if not compared:
        return [*lines, "There was nothing to compare it with."]
    worse = [one.name for one in compared if one.behind and one.behind[1] > 0]
    same = [one.name for one in compared if one.behind and one.behind[1] <= 0]
    if worse:
        lines.append(f"worse beyond chance (*): {_some(worse)}")
    if same:
        lines.append(f"not distinguishable from the best: {_some(same)}")
    return lines


def _some(names: Sequence[str]) -> str:
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")


def _name(space: SpaceTimes) -> str:
    return " ".join(f"{k}={v}" for k, v in space.settings.items() if v is not None)


def _times_table(spaces: Sequence[SpaceTimes]) -> str:
    rows = [["", "decode", "network", "a head", "bottlenecks of this command"]]
    for space in spaces:
        decode, network = _seconds(space)
        took = f"{space.extraction:.1f} s, {space.computed} computed"
        head = space.training / max(space.heads, 1)
        rows.append([_name(space), f"{decode:.1f} s", f"{network:.1f} s", f"{head:.1f} s", took])
    return format_table(rows)


def _seconds(space: SpaceTimes) -> tuple[float, float]:
    """Seconds that all photos take to decode, and to pass through the network, each by itself."""
    rates = space.rates
    return (space.photos / rates.decode, space.photos / rates.network) if rates else (0.0, 0.0)


def _explanation(space: SpaceTimes) -> str:
    decode, network = _seconds(space)
    head = space.training / max(space.heads, 1)
    share = network / (decode + network + head)
    return (
        f"{_name(space)}: the network is {share:.0%} of decoding {space.photos} photos, network and"
        " one head. A GPU can shorten that part; decoding stays on the CPU, and cached bottlenecks"
        " need neither."
    )
