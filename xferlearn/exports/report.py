"""The report on an export: a table for people, report.json, and a page in TensorBoard."""

import dataclasses
from pathlib import Path
from typing import Any

from xferlearn.errors import XferlearnError
from xferlearn.exports.proof import Proof, Reference, Speed
from xferlearn.summaries import EventWriter
from xferlearn.summaries.card import escape, table
from xferlearn.system.files import read_record, unusable, write_record
from xferlearn.system.results import Failure
from xferlearn.system.text import one_line

REPORT_FILE = "report.json"
_CHANGE = "accuracy change"
_HEAD = (
    "format", "size", "load", "1 photo", "photos/s", "agreement", "largest diff",
    "familiarity", _CHANGE, "result",
)  # fmt: skip
_MOST_CHANGED = 200


@dataclasses.dataclass(frozen=True)
class ExportRow:
    """The result of one format.

    Attributes:
        format: its name; for a TensorRT engine with the precision behind it.
        path: the file or folder to give to `label`; None where nothing was written.
        bytes: its size; for a folder, of all files in it.
        proof: the comparison with model.keras; None where none was possible.
        problem: why the format failed, one line; None where it passed.
        left_out: why the file does not say how familiar a photo is although the format could; ""
            where it does, and where there is nothing to leave out.
    """

    format: str
    path: Path | None = None
    bytes: int | None = None
    proof: Proof | None = None
    problem: str | None = None
    left_out: str = ""

    @property
    def passed(self) -> bool:
        """Whether the file was written and agrees with the model."""
        return self.problem is None and self.proof is not None and self.proof.passed

    @property
    def result(self) -> str:
        """The result in one or two words, for the table."""
        if self.passed:
            return "ok"
        return "FAILED" if self.proof is not None else "not made"


def table_rows(
    reference: Reference, reference_bytes: int, rows: tuple[ExportRow, ...]
) -> list[list[str]]:
    """Returns the table's rows, the head first and then model.keras.

    There is no column for the accuracy where the model has learned from the photos.
    """
    head = [name for name in _HEAD if name != _CHANGE or reference.accuracy is not None]
    held = [head]
    accuracy = [] if reference.accuracy is None else [f"of {reference.accuracy:.1%}"]
    size = _megabytes(reference_bytes)
    speed = _speed(reference.speed)
    held.append(["model.keras", size, *speed, *[""] * 3, *accuracy, "reference"])
    for row in rows:
        size = "" if row.bytes is None else _megabytes(row.bytes)
        if row.proof is None:
            held.append([row.format, size, *[""] * (len(head) - 3), row.result])
            continue
        proof = row.proof
        held.append(
            [
                row.format,
                size,
                *_speed(proof.speed),
                f"{proof.agreement:.2%}",
                f"{proof.largest_difference:.1e}",
                _familiarity(proof, row.left_out),
                *_change(proof),
                row.result,
            ]
        )
    return held


def _familiarity(proof: Proof, left_out: str) -> str:
    found = proof.familiarity
    if found is None:
        return "left out" if left_out else "-"
    if not found.rejects and found.agreement == 1:
        return "nothing to reject"
    return f"{found.agreement:.2%}"


def _change(proof: Proof) -> list[str]:
    if proof.accuracy_change is None or proof.accuracy_interval is None:
        return []
    low, high = (100 * end for end in proof.accuracy_interval)
    return [f"{100 * proof.accuracy_change:+.1f} [{low:+.1f}, {high:+.1f}]"]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _speed(speed: Speed) -> list[str]:
    return [
        f"{speed.load_seconds:.1f} s",
        "" if speed.latency_ms is None else f"{speed.latency_ms:.1f} ms",
        "" if speed.photos_per_second is None else f"{speed.photos_per_second:.0f}",
    ]


def changed_lines(row: ExportRow) -> list[str]:
    """Returns one line per photo that is labelled otherwise."""
    return [f"  {one.text()}" for one in (row.proof.changed if row.proof is not None else ())]


def write_report(
    exports: Path,
    about: dict[str, Any],
    reference: Reference,
    rows: tuple[ExportRow, ...],
    damage: list[str],
) -> Path:
    """Writes report.json, completely or not at all; rows of other formats are kept.

    Args:
        exports: the folder.
        about: what was compared: digest of the model, photos, machine.
        reference: model.keras.
        rows: of this run.
        damage: takes one line on an earlier report that is damaged.

    Raises:
        XferlearnError: it can't be written.
    """
    path = exports / REPORT_FILE
    kept: dict[str, Any] = {}
    try:
        old = read_record(path)
        if old["about"]["model_sha256"] == about["model_sha256"]:
            kept = dict(old["formats"])
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        damage.append(f"{unusable(path, error)}; it is written anew.")
    # "tensorrt" is a row where no engine was built; the rows of engines have a precision behind it.
    redone = {row.format.partition("_fp")[0] for row in rows}
    kept = {name: one for name, one in kept.items() if name.partition("_fp")[0] not in redone}
    for row in rows:
        kept[row.format] = {
            "result": row.result,
            "file": None if row.path is None else row.path.relative_to(exports).as_posix(),
            "bytes": row.bytes,
            "problem": row.problem,
            "left_out": row.left_out,
            "about": about,
            "proof": None if row.proof is None else row.proof.as_dict(),
        }
    figures = {"accuracy": reference.accuracy, **dataclasses.asdict(reference.speed)}
    content = {"about": about, "reference": figures, "formats": kept}
    try:
        write_record(path, content, indent=2)
    except OSError as error:
        raise XferlearnError(f"Can't write {path}: {one_line(error)}.") from None
    return path


def write_events(
    run_dir: Path, name: str, comparison: str, cells: list[list[str]], rows: tuple[ExportRow, ...]
) -> tuple[str, ...]:
    """Shows the comparison in TensorBoard: a page with the table, and one scalar per figure.

    Args:
        run_dir: the run's folder, as `run_folder` makes it.
        name: of the model.
        comparison: what was compared on, one sentence.
        cells: as `table_rows` returns them.
        rows: the results of all formats.

    Returns:
        What could not be written, one line each.
    """
    page = [f"# Exports of {escape(name)}", escape(comparison)]
    page.append(table(cells[0], [[escape(cell) for cell in row] for row in cells[1:]]))
    for row in rows:
        if row.problem is not None:
            page.append(f"{escape(row.format)}: {escape(row.problem)}")
        if row.left_out:
            page.append(f"{escape(row.format)}: familiarity {escape(row.left_out)}")
        lines = changed_lines(row)
        page += [f"- {escape(line)}" for line in lines[:_MOST_CHANGED]]
        if len(lines) > _MOST_CHANGED:
            page.append(f"{len(lines) - _MOST_CHANGED} more; all are in {REPORT_FILE}")
    try:
        with EventWriter(run_dir) as events:
            events.text("exports", "\n\n".join(page) + "\n")
            for row in rows:
                for tag, value in _scalars(row).items():
                    events.scalar(f"{tag}/{row.format}", value)
    except Exception as error:  # TensorFlow raises its own types on a full disk
        return (Failure(f"the logs in {run_dir} are not complete: {one_line(error)}."),)
    return ()


def _scalars(row: ExportRow) -> dict[str, float]:
    if row.proof is None:
        return {}
    proof, speed = row.proof, row.proof.speed
    values = {
        "agreement": proof.agreement,
        "accuracy": proof.accuracy,
        "largest_difference": proof.largest_difference,
        "decided": proof.decided,
        "familiarity": None if proof.familiarity is None else proof.familiarity.agreement,
        "megabytes": None if row.bytes is None else row.bytes / 1e6,
        "latency_ms": speed.latency_ms,
        "photos_per_second": speed.photos_per_second,
        "load_seconds": speed.load_seconds,
    }
    return {f"export_{tag}": value for tag, value in values.items() if value is not None}
