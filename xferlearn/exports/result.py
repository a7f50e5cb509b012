"""What an export gave, as `export` returns it, and how it shows itself."""

import dataclasses
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from xferlearn.exports.formats import FORMATS
from xferlearn.exports.report import REPORT_FILE, ExportRow, changed_lines
from xferlearn.system.addresses import is_bucket
from xferlearn.system.fetching import origin
from xferlearn.system.html import facts, h, notices, table
from xferlearn.system.results import Block, Result, facts_block, table_block, wrapped


@dataclasses.dataclass(frozen=True, repr=False)
class ExportResult(Result):
    """What an export gave.

    Its `repr` is the summary that the command prints; in a notebook it shows the same as tables.

    Attributes:
        rows: what became of each format.
        table: the same as text cells, the head first and then model.keras.
        comparison: what the files were compared on, one sentence.
        warnings: one line each.
        report: path of report.json.
        run_dir: folder of the run in the logs; None where no logs were asked for.
        thresholds: by class in output order, where photos may have several labels; else none.
    """

    rows: tuple[ExportRow, ...]
    table: list[list[str]]
    comparison: str
    warnings: tuple[str, ...]
    report: Path
    run_dir: Path | None = None
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every format was written and agrees with the model."""
        return all(row.passed for row in self.rows)

    def remarks(self) -> list[str]:
        """Returns the warnings and what failed, one line each."""
        return [*super().remarks(), *(f"xferlearn: {line}" for line in self._failures())]

    def _failures(self) -> list[str]:
        return [f"{row.format}: {row.problem}" for row in self.rows if row.problem is not None]

    def _left_out(self) -> list[str]:
        return [f"{row.format}: familiarity {row.left_out}." for row in self.rows if row.left_out]

    def blocks(self) -> list[Block]:
        """Returns the summary: the table, the photos that are labelled otherwise, and the files."""
        return [
            self._table_block(_MADE),
            self._table_block(_PROVED),
            Block(wrapped(self.comparison)),
            *(Block(wrapped(line)) for line in self._left_out()),
            *(
                Block(
                    (f"{row.format}: photos with another {row.proof.changed[0].noun}",),
                    changed_lines(row),
                    "photo",
                    f"all are in {REPORT_FILE}",
                )
                for row in self.rows
                if row.proof is not None and row.proof.changed
            ),
            facts_block(self._files()),
            *self._next_blocks(),
        ]

    def _table_block(self, columns: Collection[str]) -> Block:
        """Returns some columns of the table, which is too wide for a terminal as a whole."""
        places = [place for place, name in enumerate(self.table[0]) if name in columns]
        rows = [[row[place] for place in places] for row in self.table]
        shown = [row for row in rows if any(row[1:])]
        if len(shown) == 1:
            return Block()
        block = table_block(shown, "format")
        return Block((*block.head, *block.items))  # no format is left out

    def _next_blocks(self) -> list[Block]:
        made = {row.format: row for row in self.rows if row.passed}
        if not made:
            return []
        path = shlex.quote(origin(str(next(iter(made.values())).path)))
        facts = {name: _then(row) for name, row in made.items()}
        block = facts_block(facts, prose=facts)
        applied = Block(wrapped(_applied(self.thresholds))) if self.thresholds else Block()
        return [Block(("next:", f"  xferlearn label --model={path} PHOTO...")), block, applied]

    def _files(self) -> dict[str, str]:
        files = {row.format: origin(str(row.path)) for row in self.rows if row.passed}
        files["report"] = origin(self.report)
        return files if self.run_dir is None else {**files, "logs": origin(self.run_dir)}

    def html(self) -> list[Any]:
        """Returns warnings, failures, the table, changed photos, and where the files are."""
        head, *rows = self.table
        changed = [(row.format, line.strip()) for row in self.rows for line in changed_lines(row)]
        nouns = {one.noun for row in self.rows if row.proof for one in row.proof.changed}
        shown = changed[:_MOST_CHANGED]
        left = len(changed) - len(shown)
        return [
            notices([*self.warnings, *self._failures()]),
            table(head, rows),
            h("p", self.comparison),
            [h("p", line) for line in self._left_out()],
            [h("h4", f"Photos with another {noun}") for noun in nouns],
            table(("format", "photo"), shown, text=(0, 1)) if shown else None,
            h("p", f"{left} more; all are in {REPORT_FILE}") if left else None,
            h("h4", "Files"),
            facts(self._files()),
            h("p", _applied(self.thresholds)) if self.thresholds else None,
        ]


def _then(row: ExportRow) -> str:
    """Returns what to do with a file next; only xferlearn reads it from a bucket."""
    one = FORMATS[row.format.partition("_fp")[0]]
    path, address = Path(str(row.path)), origin(str(row.path))
    if not is_bucket(address) or one.then == one.then.format(path=""):
        return one.then.format(path=address)
    whole = path.parent if one.opened else path
    here = path.relative_to(whole.parent).as_posix()
    return f"Copy {origin(whole)} to this machine. {one.then.format(path=here)}"


def _applied(thresholds: Mapping[str, float]) -> str:
    """Returns how labels follow from probabilities where there may be several."""
    listed = f"[{', '.join(f'{one:g}' for one in thresholds.values())}], as in labels.txt"
    if len(thresholds) > _MOST_THRESHOLDS:
        listed = f"the thresholds of {REPORT_FILE}"
    return (
        "A photo has every label whose probability reaches its threshold, and may have none."
        " xferlearn, the output `decision` of the SavedModel and MediaPipe apply the thresholds;"
        f" elsewhere compare the probabilities with {listed}."
    )


_MOST_CHANGED = 20
_MOST_THRESHOLDS = 12
# The columns of the two tables on a terminal: what was made, and how it answers.
_MADE = ("format", "size", "load", "1 photo", "photos/s", "result")
_PROVED = ("format", "agreement", "largest diff", "familiarity", "accuracy change")
