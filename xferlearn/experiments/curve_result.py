"""What a learning curve found, and how it shows itself."""

import dataclasses
from pathlib import Path
from typing import Any

from xferlearn.dashboard.experiments import Table, build_experiment
from xferlearn.experiments.forecasting import Forecast
from xferlearn.experiments.outcomes import Outcome, Share, heading_of, measure_of
from xferlearn.experiments.shown import headline, plot, share_cells, share_estimate
from xferlearn.system.html import faint, h, notices, table
from xferlearn.system.results import Block, Result, facts_block, table_block, wrapped


@dataclasses.dataclass(frozen=True)
class Point:
    """Training on a number of photos per class.

    Attributes:
        photos: most photos per class that a head learns from; smaller classes give all they have.
            Where photos have several labels it is the fewest, because each counts for all its
            classes.
        total: how many photos a head learns from in all; the most of those of any fold.
        validation: accuracy, or mean average precision, over the draws on photos that the heads
            have not learned from.
        outcomes: the draws.
    """

    photos: int
    total: int
    validation: Share
    outcomes: tuple[Outcome, ...] = dataclasses.field(repr=False)

    def cells(self) -> list[str]:
        """Returns its row of the table."""
        diverged = sum(outcome.diverged for outcome in self.outcomes)
        draws = len(self.outcomes)
        found = f"{diverged} of {draws} diverged" if diverged else str(self.validation)
        return [str(self.photos), str(self.total), found, str(draws)]


@dataclasses.dataclass(frozen=True, repr=False)
class Curve(Result):
    """What a learning curve found.

    Its `repr` is the summary that the command prints; in a notebook it shows table and plot.

    Attributes:
        points: by number of photos.
        forecast: None where the curve has too few points or photos for one.
        why_not: the reason for that, one line.
        answer: whether it took many photos, one sentence.
        warnings: one line each.
        table: path of the CSV.
        plot: path of the PNG.
        run_dir: folder of the curve in the logs.
    """

    points: tuple[Point, ...]
    forecast: Forecast | None
    why_not: str
    answer: str
    warnings: tuple[str, ...]
    table: Path
    plot: Path
    run_dir: Path

    def blocks(self) -> list[Block]:
        """Returns the summary: the table, the forecast and the answer."""
        files = {"table": self.table, "plot": self.plot, "logs": self.run_dir}
        return [
            table_block([self._header, *(point.cells() for point in self.points)], "row"),
            Block(wrapped(self._explanation())),
            Block([*wrapped(self._forecast()), *wrapped(self.answer)]),
            facts_block({name: str(path) for name, path in files.items()}),
        ]

    @property
    def measure(self) -> str:
        """What heads are measured by: "accuracy", or "mean average precision"."""
        return measure_of(point.validation for point in self.points)

    @property
    def _header(self) -> tuple[str, ...]:
        return "photos per class", "photos", heading_of(self.measure), "draws"

    def document(self) -> dict[str, Any]:
        """Returns what tab Transfer shows, for JSON."""
        cells = [point.cells() for point in self.points]
        rows = [
            [first, total, share_estimate(point.validation, found), draws]
            for point, (first, total, found, draws) in zip(self.points, cells, strict=True)
        ]
        title = f"{self.measure.capitalize()} by number of photos"
        return build_experiment(
            "curve",
            headline(self.points[-1].validation, f" with {self.points[-1].total:,} photos"),
            verdict=[self.answer, self._forecast()],
            tables=[Table(title, self._header, rows, [self._explanation()])],
            warnings=self.warnings,
            curve={
                "x": self._header[0],
                "points": [
                    [point.photos, found.low, found.mean, found.high]
                    for point in self.points
                    if (found := point.validation).photos
                ],
                "fit": self._fitted(),
            },
        )

    def _fitted(self) -> dict[str, Any] | None:
        """Returns the fitted curve and where it leads; None where there is none."""
        forecast = self.forecast
        # It goes through the last points, so none of them may be missing.
        if forecast is None or not all(point.validation.photos for point in self.points):
            return None
        photos = [point.photos for point in self.points[-len(forecast.fitted) :]]
        last = forecast.fitted[-1]
        ends = [min(max(last + gain, 0.0), 1.0) for gain in (forecast.low, forecast.high)]
        return {
            "points": [*zip(photos, forecast.fitted, strict=True)],
            "next": [photos[-1] + forecast.more, ends[0], last + forecast.gain, ends[1]],
        }

    def _explanation(self) -> str:
        last = self.points[-1].validation
        measured = f"{last.explanation}. " if last.photos else ""
        return f"{measured}Larger draws contain the smaller ones; no test photos were used."

    def _forecast(self) -> str:
        return str(self.forecast) if self.forecast else f"No forecast: {self.why_not}."

    def html(self) -> list[Any]:
        """Returns the answer, warnings, the table and the plot."""
        cell = share_cells([point.validation for point in self.points])
        rows: list[list[Any]] = [list(point.cells()) for point in self.points]
        for cells, point in zip(rows, self.points, strict=True):
            if point.validation.photos:
                cells[2] = cell(point.validation)
        return [
            h("p", h("b", self.answer)),
            h("p", self._forecast()),
            notices(self.warnings),
            plot(self.plot, f"{self.measure} by photos per class"),
            table(self._header, rows, text=()),
            faint(self._explanation()),
        ]
