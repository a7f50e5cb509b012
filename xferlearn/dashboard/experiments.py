"""What tab "Transfer" shows of experiments and evaluations: one JSON document, as of a training."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xferlearn.dashboard.summary import write_report
from xferlearn.metrics import FEW_PHOTOS
from xferlearn.system.results import Failure
from xferlearn.system.text import one_line

EXPERIMENT_FORMAT = 2
"""Version of these documents, which earlier versions of the page could not show."""

KINDS = ("sweep", "curve", "compare", "evaluate")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A cell of a table: a number, and its 95% interval as a bar on an axis of the whole column.

    Attributes:
        text: both, in words.
        low: lower end.
        at: the number.
        high: upper end.
    """

    text: str
    low: float
    at: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """Returns it for JSON."""
        return dataclasses.asdict(self)


Cell = str | Estimate


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a document.

    Attributes:
        title: its heading.
        head: what stands above each column.
        rows: cells; texts that are numbers are sorted as such.
        notes: sentences below it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns it for JSON."""
        rows = [[_cell(cell) for cell in row] for row in self.rows]
        return {"title": self.title, "head": [*self.head], "rows": rows, "notes": [*self.notes]}


def measured(
    name: str,
    accuracy: float | None,
    photos: int,
    interval: tuple[float, float],
    *,
    seen: bool = False,
) -> dict[str, Any] | None:
    """Returns an accuracy as the list of runs and the top of a page show it; None without photos.

    Args:
        name: what it is, e.g. "Accuracy".
        accuracy: 0 to 1.
        photos: how many were measured.
        interval: 95% interval.
        seen: whether the model has learned from some of them.
    """
    if accuracy is None or not photos:
        return None
    return {
        **{"name": name, "accuracy": accuracy, "n": photos, "interval_95": [*interval]},
        **{"few": photos < FEW_PHOTOS, "seen": seen},
    }


def build_experiment(
    kind: str,
    headline: Mapping[str, Any] | None,
    *,
    verdict: Sequence[str] = (),
    tables: Sequence[Table] = (),
    warnings: Sequence[str] = (),
    command: str = "",
    **more: Any,
) -> dict[str, Any]:
    """Returns what the page shows of an experiment or an evaluation, for JSON.

    Args:
        kind: one of `KINDS`.
        headline: its main accuracy, as `measured` returns it.
        verdict: what it found, in sentences.
        tables: the numbers.
        warnings: one line each.
        command: what to run next; "" for nothing.
        **more: what only some kinds have.
    """
    return {
        "format": EXPERIMENT_FORMAT,
        "kind": kind,
        "measured": headline,
        "verdict": [*verdict],
        "tables": [table.as_dict() for table in tables],
        "warnings": [*warnings],
        "next": command,
        **more,
    }


def write_experiment(
    run_dir: str | Path, document: Mapping[str, Any], jpegs: Sequence[bytes] = ()
) -> tuple[str, ...]:
    """Writes a document into the folder of its run.

    Args:
        run_dir: the folder, as `run_folder` makes it.
        document: as `build_experiment` returns it.
        jpegs: thumbnails, one per entry of its `photos`.

    Returns:
        What could not be written, one line each: a full disk must not cost what was measured.
    """
    import tensorflow as tf

    try:
        write_report(run_dir, document, jpegs)
    except (OSError, tf.errors.OpError) as error:
        return (Failure(f"{run_dir} lacks the data of tab Transfer: {one_line(error)}."),)
    return ()


def in_short(report: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the list of runs needs of an experiment.

    Raises:
        KeyError, TypeError, ValueError: where it is not as `build_experiment` makes it.
    """
    kind, headline = report["kind"], report["measured"]
    if kind not in KINDS:
        raise ValueError(kind)
    if headline is not None:
        numbers = (headline["accuracy"], headline["n"], *headline["interval_95"])
        if len(numbers) != 4 or not all(
            isinstance(one, (int, float)) and math.isfinite(one) for one in numbers
        ):
            raise ValueError(numbers)
        names = ("accuracy", "n", "interval_95", "few")
        # Evaluations of earlier versions do not say it.
        headline = {**{name: headline[name] for name in names}, "seen": headline.get("seen", False)}
    return {"kind": kind, "measured": headline}


def _cell(cell: Cell) -> Any:
    return cell.as_dict() if isinstance(cell, Estimate) else cell
