"""What a comparison of backbones found, and how it shows itself."""

import collections
import dataclasses
from pathlib import Path
from typing import Any

from xferlearn.dashboard.experiments import Cell, Table, build_experiment
from xferlearn.experiments.outcomes import Share, heading_of, measure_of
from xferlearn.experiments.rates import Rates
from xferlearn.experiments.shown import (
    headline,
    plot,
    points_estimate,
    share_cells,
    share_estimate,
)
from xferlearn.system.html import faint, notices, table
from xferlearn.system.results import Block, Result, facts_block, table_block, wrapped
from xferlearn.system.text import count

_BYTES_PER_WEIGHT = 4


@dataclasses.dataclass(frozen=True)
class Gain:
    """How much more accurate a combination is than the best of its backbones alone.

    Attributes:
        over: name of that one.
        mean: difference of what they are measured by, -1 to 1, paired by photos and splits.
        low: lower end of its 95% interval, which holds for all combinations together.
        high: upper end.
    """

    over: str
    mean: float
    low: float
    high: float

    def cells(self, name: str) -> list[str]:
        """Returns the row of the table of gains of the combination with a name."""
        span = f"{100 * self.mean:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"
        return [name, self.over, span, "yes" if self.low > 0 else "no" if self.high < 0 else "open"]


@dataclasses.dataclass(frozen=True)
class ComparedBackbone:
    """One backbone of a comparison, or several that are combined.

    Attributes:
        name: its name.
        image_size: px; of several, of the largest.
        validation: accuracy, or mean average precision, over all splits, on photos that the heads
            have not learned from.
        rates: photos per second by stage; None where the backbone is not available.
        parameters: how many numbers backbone and head have.
        pareto: whether no other one is at least as accurate, as fast and as small, and better in
            one of these.
        diverged: how many of its runs diverged; it is not measured then.
        problem: why the backbone is not available here, one line; None where it is.
        parts: name and px of each backbone that is combined; of itself where it is one.
        gain: of a combination whose backbones are compared alone too, how much better it is.
        licence: licence of the weights of the backbone, or of each that is combined.
    """

    name: str
    image_size: int
    validation: Share
    rates: Rates | None
    parameters: int
    pareto: bool = False
    diverged: int = 0
    problem: str | None = None
    parts: tuple[tuple[str, int], ...] = ()
    gain: Gain | None = None
    licence: str = ""

    @property
    def megabytes(self) -> float:
        """Size of its weights in float32."""
        return self.parameters * _BYTES_PER_WEIGHT / 1e6

    def cells(self) -> list[str]:
        """Returns its row of the table."""
        if self.problem or self.rates is None:
            return [self.name, "", "not available", "", "", "", ""]
        return [
            self.name,
            str(self.image_size),
            f"diverged in {count(self.diverged, 'run')}" if self.diverged else str(self.validation),
            f"{self.rates.network:.0f}",
            f"{self.rates.decode:.0f}",
            f"{self.megabytes:.1f}",
            "yes" if self.pareto else "",
        ]


_GAINS_HEAD = ("combination", "best of its backbones", "points more", "better")


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison(Result):
    """What a comparison found.

    Its `repr` is the summary that the command prints; in a notebook it shows table and plot.

    Attributes:
        backbones: the most accurate first; those that are not available come last.
        splits: over how many splits of the photos accuracies are means. They have the test photos
            of the first one, which are not looked at.
        warnings: one line each.
        table: path of the CSV.
        plot: path of the PNG.
        run_dir: the run in the logs that shows all of this; None before it is written.
    """

    backbones: tuple[ComparedBackbone, ...]
    splits: int
    warnings: tuple[str, ...]
    table: Path
    plot: Path
    run_dir: Path | None = None

    def blocks(self) -> list[Block]:
        """Returns the summary: the table, which backbones are missing, and how it was measured."""
        return [
            table_block([self._header, *(row.cells() for row in self.backbones)], "backbone", 0),
            Block((), self._problems(), "backbone"),
            table_block([_GAINS_HEAD, *gains], "combination")
            if (gains := self._gains())
            else Block(),
            Block([line for sentence in self._explanations() for line in wrapped(sentence)]),
            facts_block({name: str(path) for name, path in self._files().items() if path}),
        ]

    @property
    def measure(self) -> str:
        """What backbones are measured by: "accuracy", or "mean average precision"."""
        return measure_of(row.validation for row in self.backbones)

    @property
    def _header(self) -> tuple[str, ...]:
        return "backbone", "px", heading_of(self.measure), "network/s", "decode/s", "MB", "Pareto"

    def _files(self) -> dict[str, Path | None]:
        return {"table": self.table, "plot": self.plot, "logs": self.run_dir}

    def document(self) -> dict[str, Any]:
        """Returns what tab Transfer shows, for JSON."""
        rows: list[list[Cell]] = [[*row.cells()] for row in self.backbones]
        for cells, row in zip(rows, self.backbones, strict=True):
            cells[2] = share_estimate(row.validation, str(cells[2]))
        title = "Backbones, the most accurate first"
        tables = [Table(title, self._header, rows, self._explanations())]
        gained = [row for row in self.backbones if row.gain]
        if gained:
            gains: list[list[Cell]] = [[*cells] for cells in self._gains()]
            for cells, row in zip(gains, gained, strict=True):
                if row.gain:
                    gain = (row.gain.mean, row.gain.low, row.gain.high)
                    cells[2] = points_estimate(str(cells[2]), gain)
            tables.append(Table("What a combination gains", _GAINS_HEAD, gains))
        best = self.backbones[0]
        return build_experiment(
            "compare",
            headline(best.validation, f" of {best.name}"),
            tables=tables,
            warnings=[*self.warnings, *self._problems()],
        )

    def _gains(self) -> list[list[str]]:
        return [row.gain.cells(row.name) for row in self.backbones if row.gain]

    def _licences(self) -> list[str]:
        names = collections.defaultdict(list)
        for row in self.backbones:
            if row.licence:
                names[row.licence].append(row.name)
        said = "; ".join(f"{licence} ({', '.join(those)})" for licence, those in names.items())
        return [f"Licences of the weights: {said}."] if said else []

    def _problems(self) -> list[str]:
        return [f"{row.name}: {row.problem}" for row in self.backbones if row.problem]

    def _explanations(self) -> list[str]:
        measured = next((row.validation for row in self.backbones if row.validation.photos), None)
        over = f", in the mean over {count(self.splits, 'split')}" if self.splits > 1 else ""
        lines = [f"{measured.explanation}{over}. No test photos were used."] if measured else []
        lines.append(
            "network/s, decode/s: photos per second. Pareto: no other backbone is at least as"
            " accurate, as fast and as small."
        )
        lines += self._licences()
        if pairs := len(self._gains()):
            together = f", which holds for all {pairs} combinations together" if pairs > 1 else ""
            lines.append(
                f"Points more: {self.measure} of the combination minus that of the best of its"
                f" backbones, paired by photo, with its 95% interval{together}; open where that has"
                " 0 in it."
            )
        return lines

    def html(self) -> list[Any]:
        """Returns warnings, the table and the plot."""
        cell = share_cells([row.validation for row in self.backbones])
        rows: list[list[Any]] = [list(row.cells()) for row in self.backbones]
        for cells, row in zip(rows, self.backbones, strict=True):
            if row.validation.photos:
                cells[2] = cell(row.validation)
        return [
            notices([*self.warnings, *self._problems()]),
            table(self._header, rows),
            table(_GAINS_HEAD, gains, (0, 1, 3)) if (gains := self._gains()) else [],
            [faint(line) for line in self._explanations()],
            plot(self.plot, f"{self.measure} by backbone"),
        ]
