"""What a sweep found, and how it shows itself."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xferlearn.dashboard.experiments import Cell, Table, build_experiment
from xferlearn.experiments.outcomes import Outcome, Share, heading_of, measure_of
from xferlearn.experiments.rates import Rates
from xferlearn.experiments.shown import (
    headline,
    plot,
    points_estimate,
    share_cells,
    share_estimate,
    without_empty,
)
from xferlearn.system.html import faint, h, notices, table
from xferlearn.system.results import Block, Result, facts_block, table_block, wrapped
from xferlearn.system.text import count, plural_of

# With fewer photos than this no setting can be told from another.
FEWEST_PHOTOS = 20
# Rows of the table in a notebook.
MOST_ROWS = 40
# Backbones whose times are explained in a sentence each; the table has all.
MOST_EXPLAINED = 3
_TIMES_HEAD = ("", "decode", "network", "one run", "bottlenecks now")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One combination of settings, over all its seeds.

    Attributes:
        settings: what was varied besides the seeds.
        outcomes: its runs.
        validation: their accuracy, or mean average precision, on photos that their heads have not
            learned from; not measured where some run diverged.
        behind: how far the best one is ahead, with an interval that holds, at 95%, for all
            candidates together; None for the best one.
    """

    settings: dict[str, Any]
    outcomes: tuple[Outcome, ...] = dataclasses.field(repr=False)
    validation: Share
    behind: tuple[float, float, float] | None = None

    @property
    def diverged(self) -> int:
        """How many of its runs diverged."""
        return sum(outcome.diverged for outcome in self.outcomes)

    @property
    def problem(self) -> str | None:
        """Why it was not run; None where it was."""
        return next((outcome.problem for outcome in self.outcomes if outcome.problem), None)

    @property
    def over_seeds(self) -> tuple[float, float] | None:
        """Lowest and highest value of its runs; None where there are not two."""
        found = [outcome.value for outcome in self.outcomes if outcome.right]
        return (min(found), max(found)) if len(found) > 1 else None

    @property
    def over_runs(self) -> str:
        """Says of how many runs its numbers are the mean; "" of one."""
        runs = len(self.outcomes)
        return f", in the mean over {count(runs, 'run')}" if runs > 1 else ""

    @property
    def seconds(self) -> float:
        """Mean wall time of its trainings."""
        return sum(outcome.seconds for outcome in self.outcomes) / max(len(self.outcomes), 1)

    @property
    def name(self) -> str:
        """What was varied, in words."""
        words = (f"{name}={value}" for name, value in self.settings.items())
        return " ".join(words) or "defaults"

    @property
    def values(self) -> str:
        """The values alone, as a row of a table whose head names the settings."""
        return ", ".join(map(str, self.settings.values())) or "defaults"

    def cells(self, marks: bool) -> list[str]:
        """Returns its row of the table.

        Args:
            marks: whether a `*` says that it is worse beyond chance.
        """
        if self.problem:
            return [self.name, "not run", "", "", ""]
        runs = len(self.outcomes)
        found = str(self.validation)
        if self.diverged == runs:
            found = "diverged"
        elif self.diverged:
            found = f"diverged in {self.diverged} of {count(runs, 'run')}"
        seeds = self.over_seeds
        span = ""
        if seeds:
            span = "-".join(self.validation.text(end).removesuffix("%") for end in seeds)
        behind = ""
        if self.behind is not None:
            mean, low, high = (100 * value for value in self.behind)
            behind = f"{mean:.1f} ({low:.1f} to {high:.1f})" + (" *" if low > 0 and marks else "  ")
        return [self.name, found, span, f"{self.seconds:.1f}", behind]


@dataclasses.dataclass(frozen=True)
class SpaceTimes:
    """Where the time of one feature space went.

    Attributes:
        settings: its backbone, size and device.
        photos: how many it has.
        extraction: wall seconds until their bottlenecks were there, the network's start included.
        computed: how many were computed; the others were cached.
        training: wall seconds of the training of all its runs.
        runs: how many that were.
        rates: photos per second by stage; None where nothing ran.
    """

    settings: dict[str, Any]
    photos: int
    extraction: float
    computed: int
    training: float
    runs: int
    rates: Rates | None

    @property
    def name(self) -> str:
        """Its settings in words."""
        shown = {k: v for k, v in self.settings.items() if v not in (None, "auto")}
        return " ".join(f"{k}={v}" for k, v in shown.items())

    @property
    def run_seconds(self) -> float:
        """Mean wall seconds of a run's training."""
        return self.training / max(self.runs, 1)

    def stages(self) -> tuple[float, float]:
        """Returns the seconds to decode all photos, and to run the network on all, each alone."""
        rates = self.rates
        return (self.photos / rates.decode, self.photos / rates.network) if rates else (0.0, 0.0)

    def cells(self) -> list[str]:
        """Returns its row of the table of times."""
        decode, network = self.stages()
        took = f"{self.extraction:.1f} s, {self.computed} computed"
        return [
            self.name, f"{decode:.1f} s", f"{network:.1f} s", f"{self.run_seconds:.1f} s", took
        ]  # fmt: skip

    def explanation(self) -> str:
        """Returns what a GPU could shorten, one sentence."""
        decode, network = self.stages()
        share = network / (decode + network + self.run_seconds)
        return (
            f"{self.name}: of the time to decode {count(self.photos, 'photo')}, run the network"
            f" on them and train the heads of one run, the network is {share:.0%}. A GPU can"
            " shorten that part; decoding stays on the CPU. Photos whose bottlenecks are cached"
            " need neither."
        )


@dataclasses.dataclass(frozen=True, repr=False)
class Sweep(Result):
    """What a sweep found.

    Its `repr` is the summary that the command prints; in a notebook it shows table and plot.

    Attributes:
        candidates: best first; those that diverged or were not run come last.
        test: that of the best one on the test photos, looked at once; None without a best.
        spaces: where the time went.
        command: the `train` command of the best one; empty without one.
        warnings: one line each.
        table: path of the CSV.
        plot: path of the PNG.
        logs_dir: where the runs are.
        run_dir: the run in the logs that shows all of this; None before it is written.
    """

    candidates: tuple[Candidate, ...]
    test: Share | None
    spaces: tuple[SpaceTimes, ...]
    command: str
    warnings: tuple[str, ...]
    table: Path
    plot: Path
    logs_dir: str
    run_dir: Path | None = None

    def blocks(self) -> list[Block]:
        """Returns the summary: the table, the best combination, and where the time went."""
        marks = self._can_tell
        measured = self._measured
        head = (", ".join(self.candidates[0].settings) or "settings", *self._header[1:])
        rows = [head, *([one.values, *one.cells(marks)[1:]] for one in self.candidates)]
        times = Block()
        if measured:
            times = table_block([_TIMES_HEAD, *(space.cells() for space in measured)], "backbone")
            times = dataclasses.replace(times, head=("where the time goes:", *times.head))
        return [
            table_block(without_empty(rows), "combination", 0),
            Block((), self._problems(), "combination"),
            Block(wrapped(self._explanation())),
            Block([line for sentence in self._verdict() for line in wrapped(sentence)]),
            times,
            *(Block(wrapped(space.explanation())) for space in measured[:MOST_EXPLAINED]),
            facts_block({name: str(path) for name, path in self._files().items() if path}),
        ]

    def _files(self) -> dict[str, Path | None]:
        return {"table": self.table, "plot": self.plot, "logs": self.run_dir}

    def document(self) -> dict[str, Any]:
        """Returns what tab Transfer shows, for JSON."""
        best = self.candidates[0]
        rest = (self._row(one) for one in self.candidates)
        cells: list[list[Cell]] = [[*best.settings, *self._header[1:]], *rest]
        head, *rows = without_empty(cells)
        notes = [self._explanation()] if best.validation.photos else []
        times = [space.cells() for space in self._measured]
        tables = [Table("Combinations, the best first", [*map(str, head)], rows, notes)]
        if times:
            explained = [space.explanation() for space in self._measured[:MOST_EXPLAINED]]
            tables.append(Table("Where the time goes", _TIMES_HEAD, times, explained))
        return build_experiment(
            "sweep",
            headline(best.validation, f" of {best.name}"),
            verdict=self._verdict(),
            tables=tables,
            warnings=[*self.warnings, *self._problems()],
            command=self.command,
        )

    def _row(self, one: Candidate) -> list[Cell]:
        """Returns its settings and results; accuracy and what it is behind as estimates."""
        _, found, seeds, seconds, behind = one.cells(self._can_tell)
        told: Cell = behind
        if one.behind is not None:
            told = points_estimate(behind.strip(), one.behind)
        settings = map(str, one.settings.values())
        return [*settings, share_estimate(one.validation, found), seeds, seconds, told]

    @property
    def measure(self) -> str:
        """What combinations are measured by: "accuracy", or "mean average precision"."""
        return measure_of(one.validation for one in self.candidates)

    @property
    def _header(self) -> tuple[str, ...]:
        return "settings", heading_of(self.measure), "over seeds", "s/run", "points behind"

    @property
    def _can_tell(self) -> bool:
        return self.candidates[0].validation.photos >= FEWEST_PHOTOS

    @property
    def _measured(self) -> list[SpaceTimes]:
        return [space for space in self.spaces if space.rates is not None]

    def _problems(self) -> list[str]:
        return [f"{one.name}: not run: {one.problem}" for one in self.candidates if one.problem]

    def _explanation(self) -> str:
        best = self.candidates[0]
        if not best.validation.photos:
            return ""
        return f"{best.validation.explanation}{best.over_runs}."

    def _verdict(self) -> list[str]:
        best = self.candidates[0]
        seen = best.validation.photos
        if not seen:
            return ["No combination converged with every seed: there is nothing to choose from."]
        lines = [f"best on the {count(seen, 'photo')}: {best.name}"]
        if self.test is not None and self.test.photos:
            found = self.test.summary().removeprefix(f"{self.measure} ")
            lines.append(f"its test {self.measure}: {found}{best.over_runs}")
        else:
            lines.append(f"its test {self.measure}: there are no test photos")
        compared = [one for one in self.candidates[1:] if one.behind is not None]
        if not self._can_tell:
            return [*lines, f"{_too_few(seen)} to tell which one is better."]
        if not compared:
            return [*lines, "There was nothing to compare it with."]
        worse = [one.name for one in compared if one.behind and one.behind[1] > 0]
        same = [one.name for one in compared if one.behind and one.behind[1] <= 0]
        if worse:
            lines.append(f"worse beyond chance (*): {_some(worse)}")
        if same:
            lines.append(f"not distinguishable from the best: {_some(same)}")
        return lines

    def html(self) -> list[Any]:
        """Returns the best combination, warnings, the tables and the plot."""
        shown = self.candidates[:MOST_ROWS]
        cell = share_cells([one.validation for one in shown])
        rows: list[list[Any]] = [list(one.cells(self._can_tell)) for one in shown]
        for cells, one in zip(rows, shown, strict=True):
            if one.validation.photos:
                cells[1] = cell(one.validation)
        left = len(self.candidates) - len(shown)
        measured = self._measured
        return [
            [h("p", line) for line in self._verdict()],
            notices([*self.warnings, *self._problems()]),
            table(self._header, rows),
            faint(self._explanation()) if self._explanation() else None,
            faint(f"{count(left, 'more combination')}; all are in {self.table}") if left else None,
            plot(self.plot, f"{self.measure} by combination"),
            [h("h4", "Where the time goes")] if measured else None,
            table(_TIMES_HEAD, [space.cells() for space in measured]) if measured else None,
            [faint(space.explanation()) for space in measured[:MOST_EXPLAINED]],
            h("p", "Train it: ", h("code", self.command)) if self.command else None,
        ]


def _too_few(photos: int) -> str:
    return f"{count(photos, 'photo')} {plural_of(photos, 'is', 'are')} too few"


def _some(names: Sequence[str]) -> str:
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")
