"""What an audit found, as `audit` returns it, and how it shows itself."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from xferlearn.auditing.copies import LIKELY
from xferlearn.auditing.findings import (
    CLASS_KINDS,
    KINDS,
    LABEL,
    OVERLAP,
    PLURALS,
    SET_KINDS,
    TWINS,
    UNREADABLE,
    ClassFinding,
    Finding,
)
from xferlearn.auditing.set_errors import change_text
from xferlearn.backbones.synsets.names import readable_label
from xferlearn.metrics import AnyEvaluation, MultiLabelEvaluation
from xferlearn.photos.corrections import RELABEL, Correction, Corrections, now
from xferlearn.photos.photo import BadPhoto, Photo
from xferlearn.photos.several import labels_in
from xferlearn.summaries.notebook import (
    PICTURE_SIZE,
    Pictures,
    accuracy_tile,
    classes_tile,
    left_out_lines,
)
from xferlearn.summaries.terminal import bad_block
from xferlearn.system.html import Markup, faint, h, notices, picture, table, tile, tiles
from xferlearn.system.progress import duration
from xferlearn.system.results import Block, Result, facts_block, wrapped
from xferlearn.system.row_files import joined, write_rows
from xferlearn.system.tables import format_table
from xferlearn.system.text import count, plural_of

# Rows of a table whose cells are texts, but for the score.
COLUMNS: Mapping[str, type] = {
    "kind": str, "sha256": str, "file": str, "label": str, "proposed": str, "score": float,
    "others": str, "text": str,
}  # fmt: skip
_MOST_PICTURES = 6
# Of the summary, for all kinds but label errors together; and of each at least.
_MOST_LINES, _FEWEST_LINES = 8, 1
# Label errors that are shown whatever else there is.
_LABEL_LINES, _BRIEF_LINES = 5, 3

# What corrections that nobody has looked at say of where they come from.
COMMAND = "xferlearn audit"


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class AuditResult(Result):
    """What an audit found.

    Its `repr` is the summary that the command prints; in a notebook it shows the first photos of
    each kind.

    Attributes:
        labels: class names, in output order.
        counts: photos that were looked at, by class.
        findings: suspicious photos, in the order of `KINDS`, and within one by falling score.
        classes: what is suspicious about classes.
        expected: how many of the label errors are expected to be really wrong: at least, about, and
            at most.
        evaluation: predictions of the photos by linear heads that have not learned from them.
        digests: of the photos that were predicted, [photos].
        probabilities: what those heads say of them, calibrated, float32, [photos, classes], range
            [0, 1]; NaN for photos that no head could be asked about.
        places: a photo, with its name and label, by digest; others that findings name too.
        bad: photos that can't be read.
        pictures: where the photos are read again.
        texts: what a photo's label is called; empty where photos have one label each, and these are
            `labels`.
        corrected: what corrections did, and copies that were left out, one line each.
        warnings: what the user should know besides, one line each.
        seconds: wall time of each stage.
        output: the file that the findings were written to; None for none.
        page: the page that was written; None for none.
        proposals: the file of corrections that was written; None for none.
    """

    labels: tuple[str, ...]
    counts: Mapping[str, int]
    findings: tuple[Finding, ...]
    classes: tuple[ClassFinding, ...]
    expected: tuple[float, float, float]
    evaluation: AnyEvaluation
    digests: tuple[bytes, ...]
    probabilities: np.ndarray
    places: Mapping[bytes, Photo]
    bad: tuple[BadPhoto, ...]
    pictures: Pictures
    texts: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    output: Path | None = None
    page: Path | None = None
    proposals: Path | None = None

    @property
    def photos(self) -> int:
        """Number of photos that were looked at."""
        return len(self.digests)

    @property
    def is_multi_label(self) -> bool:
        """Whether photos may have several labels, or none."""
        return isinstance(self.evaluation, MultiLabelEvaluation)

    def shown(self, label: str | None) -> str:
        """Returns a photo's label, or all its labels, for a person; "" for None."""
        if label is None:
            return ""
        if not self.is_multi_label:
            return readable_label(label)
        return " + ".join(map(readable_label, labels_in(label))) or "no label"

    def change(self, finding: Finding) -> str:
        """Returns what is proposed, for a person, where something is."""
        if finding.proposed is None or not self.is_multi_label:
            return f"rather {self.shown(finding.proposed)}"
        return change_text(finding.label, finding.proposed)

    def label_of(self, photo: BadPhoto) -> str:
        """Returns the label that an unreadable photo lies under; "" for none."""
        return (self.texts or self.labels)[photo.label] if photo.label >= 0 else ""

    def of_kind(self, kind: str) -> tuple[Finding, ...]:
        """Returns the findings of one of `KINDS`, the highest score first."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def corrections(self) -> Corrections:
        """Returns what is proposed: photos whose label is more likely wrong than right get another.

        Of a label error that is the label that fits best, of twins of several classes the one that
        a person has decided for one of them, or that is itself more likely right than wrong. Copies
        with the same pixels and label are relabelled together.

        Nothing is left out by it: a black photo may be what its class is of, and which label twins
        of several classes should have, no number says.
        """
        when = now()
        rows = {
            digest: Correction(digest, one.name, RELABEL, one.proposed, when, COMMAND)
            for one in reversed(self.findings)
            if one.proposed is not None and one.score >= LIKELY
            # Of a label error the others are copies with the same label.
            for digest in (one.digest, *(one.others if one.kind == LABEL else ()))
        }
        return Corrections(rows)

    def expected_text(self) -> str:
        """Returns how many of the label errors are expected to be none, one sentence."""
        listed = len(self.of_kind(LABEL))
        if not listed:
            return ""
        low, about, high = (round(number) for number in self.expected)
        if listed == 1:
            return f"It is wrong with a probability of {self.expected[1]:.0%}: look at it."
        fine = max(listed - about, 0)
        return (
            f"About {about:,} of these {listed:,} {plural_of(about, 'is', 'are')} wrong"
            f" (95%: {low:,} to {high:,}), {fine:,} fine: look at each."
        )

    def blocks(self) -> list[Block]:
        """Returns the summary: a table of kinds, then the first findings of each."""
        where = f"{self.output} has all" if self.output else "`output` writes all to a file"
        files = {"output": self.output, "page": self.page, "proposals": self.proposals}
        written = {name: str(path) for name, path in files.items() if path is not None}
        return [
            facts_block(self._facts()),
            Block(self.corrected),
            Block(self.table()),
            self._label_block(where, _LABEL_LINES),
            Block(self._others()),
            bad_block(self.bad, where),
            facts_block(written) if written else Block(),
        ]

    def _facts(self) -> dict[str, str]:
        return {
            "photos": f"{self.photos:,} of {count(len(self.labels), 'class')}",
            "cross-validated": self.evaluation.summary(),
            "time": duration(sum(self.seconds.values())),
        }

    def kinds(self) -> dict[str, int]:
        """Returns how many findings there are of each kind, those of classes last."""
        kinds = [*(one.kind for one in self.findings), *(one.kind for one in self.classes)]
        others = (OVERLAP,) if self.is_multi_label else SET_KINDS
        return {kind: kinds.count(kind) for kind in (*KINDS, *CLASS_KINDS) if kind not in others}

    def table(self) -> list[str]:
        """Returns how many findings there are of each kind, one line each, and of which none."""
        counted = self.kinds()
        rows = [(PLURALS[kind], f"{number:,}") for kind, number in counted.items() if number]
        none = [PLURALS[kind] for kind, number in counted.items() if not number]
        lines = format_table([("suspicious", "found"), *rows]).split("\n") if rows else []
        return [*lines, *(wrapped(f"None found: {', '.join(none)}.") if none else [])]

    def brief(self) -> list[str]:
        """Returns how many label errors are expected to be none, and the likeliest few."""
        where = "`xferlearn audit --output=FILE` writes all to a file"
        return self._label_block(where, _BRIEF_LINES).lines(0)

    def _label_block(self, where: str, most: int) -> Block:
        found = self.of_kind(LABEL)
        if not found:
            return Block()
        head = [f"{PLURALS[LABEL]}, the likeliest first:", *wrapped(self.expected_text())]
        lines = [
            f"  {one.score:.2f}  {one.name}: {self.shown(one.label)}, {self.change(one)}"
            for one in found
        ]
        return Block([*head, *lines[:most]], lines[most:], "photo", where)

    def _others(self) -> list[str]:
        """Returns the first findings of all kinds but harmless twins; of many kinds fewer each."""
        found: dict[str, list[str]] = {}
        for one in self.findings:
            if one.kind not in (LABEL, TWINS):
                rather = f"; {self.change(one)}" if one.proposed is not None else ""
                found.setdefault(one.kind, []).append(f"  {one.name}: {one.text}{rather}")
        for pair in self.classes:
            found.setdefault(pair.kind, []).append(f"  {pair.text}")
        lines = []
        for kind, items in found.items():
            most = max(_FEWEST_LINES, _MOST_LINES // len(found))
            first = ", the first" if len(items) > most else ""
            lines += [f"{PLURALS[kind]}{first}:", *items[:most]]
        return lines

    def html(self) -> list[Any]:
        """Returns tiles, warnings, the table of kinds, and the first photos of each."""
        return [
            tiles(
                accuracy_tile(
                    f"Cross-validated {self.evaluation.measure}", self.evaluation, main=True
                ),
                tile("Photos", f"{self.photos:,}"),
                classes_tile(self.labels),
                tile("Time", duration(sum(self.seconds.values()))),
            ),
            notices([*self.warnings, *self.corrected, *left_out_lines(self.bad)]),
            self.sections(),
        ]

    def sections(self) -> list[Any]:
        """Returns the table of kinds and the first photos of each, as part of a notebook's page."""
        first = {kind: self.of_kind(kind)[:_MOST_PICTURES] for kind in KINDS}
        found, problem = self._read([one for some in first.values() for one in some])
        counted = {kind: number for kind, number in self.kinds().items() if number}
        rows = [(PLURALS[kind], f"{number:,}") for kind, number in counted.items()]
        shown: list[Any] = [faint(problem)] if problem else []
        for kind, some in first.items():
            if some:
                figures = [_figure(self, one, found.get(one.digest)) for one in some]
                shown += [
                    h("h4", f"{PLURALS[kind]}: {counted[kind]:,}"),
                    faint(self.expected_text()) if kind == LABEL else None,
                    h("div", figures, class_="xf-photos"),
                ]
        return [
            table(("Suspicious", "found"), rows) if rows else faint("Nothing suspicious."),
            shown,
            [h("p", h("b", f"{PLURALS[one.kind]}: "), one.text) for one in self.classes],
        ]

    def _read(self, findings: Sequence[Finding]) -> tuple[dict[bytes, bytes], str]:
        photos = {one.digest: self.places[one.digest] for one in findings}
        if not photos:
            return {}, ""
        try:
            return self.pictures.read(tuple(photos.values())), ""
        except Exception as error:  # a folder that was removed; the list is shown all the same
            return {}, f"The photos can't be read: {error}"

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON."""
        low, about, high = self.expected
        return {
            "labels": list(self.labels),
            "photos": dict(self.counts),
            "findings": [dict(zip(COLUMNS, _cells(one), strict=True)) for one in self.findings],
            "classes": [
                dataclasses.asdict(one) | {"labels": list(one.labels)} for one in self.classes
            ],
            "label_errors_expected": {"low": low, "about": about, "high": high},
            "evaluation": self.evaluation.as_dict(),
            "left_out": [dataclasses.asdict(one) for one in self.bad],
            "corrected": list(self.corrected),
            "warnings": list(self.warnings),
            "seconds": dict(self.seconds),
        }


def write_findings(file: BinaryIO, result: AuditResult, form: str) -> None:
    """Writes one row per finding, of photos and then of classes, and per photo left out.

    Args:
        file: open for writing.
        result: the audit.
        form: "csv", "tsv", "parquet" or "json" (JSON Lines).
    """
    rows = [
        *map(_cells, result.findings),
        *(
            (one.kind, "", "", joined(one.labels), "", round(one.score, 4), "", one.text)
            for one in result.classes
        ),
        *(
            (UNREADABLE, "", bad.name, result.label_of(bad), "", None, "", bad.reason)
            for bad in result.bad
        ),
    ]
    write_rows(file, form, COLUMNS, rows)


def _cells(finding: Finding) -> tuple[object, ...]:
    return (
        finding.kind,
        finding.digest.hex(),
        finding.name,
        finding.label,
        finding.proposed or "",
        round(finding.score, 4),
        " ".join(digest.hex() for digest in finding.others),
        finding.text,
    )


def _figure(result: AuditResult, finding: Finding, content: bytes | None) -> Markup:
    name = finding.name.rsplit("/", 1)[-1]
    said = f"{finding.name}: {finding.text}"
    shown: Any = h("span", "not there", class_="xf-gone")
    if content is not None:
        shown = picture(content, "webp", said, width=PICTURE_SIZE, height=PICTURE_SIZE)
    words = result.change(finding).split(" ", 1)
    rather = [h("span", f"{words[0]} ", h("b", *words[1:]), f" {finding.score:.0%}")]
    return h(
        "figure",
        shown,
        h("span", h("b", result.shown(finding.label))),
        *(rather if finding.proposed is not None else []),
        h("span", name, class_="xf-faint xf-file"),
        title=said,
    )
