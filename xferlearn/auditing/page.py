"""The page of an audit: one HTML file with the suspicious photos, which needs nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xferlearn.auditing.findings import (
    ACROSS,
    CLASS_KINDS,
    CONFLICT,
    KINDS,
    LABEL,
    OUTLIER,
    PLURALS,
    QUALITIES,
    TWINS,
    Finding,
)
from xferlearn.auditing.result import AuditResult
from xferlearn.errors import UserError
from xferlearn.summaries.notebook import left_out_lines
from xferlearn.system.files import write_atomically
from xferlearn.system.html import (
    DOCUMENT_STYLE,
    Markup,
    document_head,
    h,
    is_document,
    note_list,
    picture,
)
from xferlearn.system.outputs import check_output
from xferlearn.system.text import count, readable

PICTURE_SIZE = 176  # px
# Of label errors most, because each of them is to be looked at.
MOST_LABEL_ERRORS, MOST_OF_A_KIND = 400, 60
MOST_BYTES = 10_000_000
_MOST_OTHERS = 2
# By which a page that may be replaced is known.
_MARK = "xferlearn: audit"
_ENDINGS = (".html", ".htm")
_STYLE = DOCUMENT_STYLE + """
section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:16px;
margin-top:16px;scroll-margin-top:8px}
nav{display:flex;flex-wrap:wrap;gap:8px;margin-top:12px}
nav a{color:inherit;text-decoration:none;background:var(--card);border:1px solid var(--line);
border-radius:16px;padding:4px 12px}
nav a:hover{border-color:var(--bar)}
nav b{font-weight:600;margin-left:6px;font-variant-numeric:tabular-nums}
.photos{display:grid;grid-template-columns:repeat(auto-fill,minmax(176px,1fr));gap:20px 16px;
margin-top:12px}
.pair{display:grid;gap:4px}
.pair:has(:nth-child(2)){grid-template-columns:1fr 1fr}
.photos img,.gone{width:100%;max-width:220px}
.gone{display:flex;align-items:center;justify-content:center;aspect-ratio:1;color:var(--faint)}
figcaption .change{font-size:15px}
figcaption b{font-weight:600}
.meter{display:block;height:4px;border-radius:2px;background:var(--rest);margin:4px 0;
max-width:220px}
.meter rect{fill:var(--edge)}
.list{margin:8px 0 0;padding-left:20px;overflow-wrap:anywhere}
code{font:13px ui-monospace,"SF Mono",Menlo,Consolas,monospace;background:var(--rest);
border-radius:4px;padding:1px 5px;overflow-wrap:anywhere}
@media(max-width:600px){.photos{grid-template-columns:repeat(2,minmax(0,1fr));gap:16px 10px}
section{padding:12px}}
@media print{figure{break-inside:avoid}}
""".replace("\n", "")  # fmt: skip
_MEANING = {
    LABEL: "Heads that have not learned from these photos think that another label fits better.",
    CONFLICT: "The same picture lies in several classes. At most one of them is right.",
    ACROSS: "The same picture is on both sides of a split that was given: the test looks too good.",
    OUTLIER: "Nothing else looks like these: a wrong upload, or a rare but true example.",
    TWINS: "The same picture, saved or scaled again. They stay in one split, so they harm little.",
    **dict.fromkeys(QUALITIES, "By the pixels alone. What is meant to look so is fine."),
}

_MEANING_OF_SETS = {
    LABEL: "Heads that have not learned from these photos think that other labels fit better.",
    CONFLICT: "The same picture has different labels. At most one of them is right.",
}


def checked_page(path: str | Path) -> Path:
    """Returns the file of a page; sees, before any work, that it may be written.

    Raises:
        UserError: its name does not end as that of a page, something else than such a page is
            there, or it can't be written.
    """
    place = check_output(path, "page")
    if Path(path).suffix.lower() not in _ENDINGS:
        raise UserError(f"Expected `page` to end in .html. Received: {readable(str(path))}.")
    if place.exists() and not is_document(place, _MARK):
        raise UserError(
            f"{readable(str(path))} is there and is no page of an audit. Choose another `page`."
        )
    return place


def write_page(path: Path, result: AuditResult) -> None:
    """Writes the findings with their photos as one HTML file of at most about 10 MB.

    Photos that can't be read any more are named without a picture.

    Args:
        path: the file; it is whole under its name, or as it was before.
        result: what an audit found.

    Raises:
        OSError: when it can't be written.

    Example:
        >>> write_page(Path("audit.html"), xferlearn.audit(image_dir="photos"))
    """
    shown = {kind: result.of_kind(kind)[: _most(kind)] for kind in KINDS}
    pictures, problem = _read(result, [one for some in shown.values() for one in some])
    parts = [*_head(result, problem)]
    left = MOST_BYTES - sum(len(part.encode()) for part in parts)
    for kind, findings in shown.items():
        if findings:
            section = _section(result, kind, findings, pictures, left)
            left -= len(section.encode())
            parts.append(section)
    parts += [*_classes(result), *_left_out(result), "</main></body></html>\n"]
    write_atomically(path, "".join(parts).encode())


def _most(kind: str) -> int:
    return MOST_LABEL_ERRORS if kind == LABEL else MOST_OF_A_KIND


def _read(result: AuditResult, findings: Sequence[Finding]) -> tuple[dict[bytes, bytes], str]:
    digests = [digest for one in findings for digest in (one.digest, *_others(one))]
    photos = {digest: result.places[digest] for digest in digests if digest in result.places}
    if not photos:
        return {}, ""
    try:
        return result.pictures.read([*photos.values()], PICTURE_SIZE), ""
    except Exception as error:  # a folder that was removed; the list is shown all the same
        return {}, f"The photos can't be read: {error}"


def _others(finding: Finding) -> tuple[bytes, ...]:
    return finding.others[: _MOST_OTHERS - 1] if finding.kind != OUTLIER else ()


def _head(result: AuditResult, problem: str) -> Iterator[str]:
    title = f"Audit of {count(result.photos, 'photo')}"
    yield document_head(title, _STYLE, _MARK)
    total = sum(bool(result.of_kind(kind)) for kind in KINDS)
    links = [
        h("a", PLURALS[kind], h("b", f"{len(result.of_kind(kind)):,}"), href=f"#{_place(kind)}")
        for kind in KINDS
        if result.of_kind(kind)
    ]
    measure = result.evaluation.measure
    about = (
        f"{count(len(result.labels), 'class')}; cross-validated {measure} of linear heads"
        f" {result.evaluation.summary().removeprefix(f'{measure} ')}."
    )
    how = h(
        "p",
        "No photo was changed. To go on, ",
        h("code", "xferlearn review"),
        " with the same photos asks about one after the other and keeps your answers in a file of"
        " corrections; ",
        h("code", "xferlearn train --corrections=FILE"),
        " learns from them. Photos are shown as a network sees them: the centre, as a square.",
        class_="faint",
    )
    notes = [*result.warnings, *result.corrected, *([problem] if problem else [])]
    yield str(
        h(
            "header",
            h("h1", title),
            h("p", about, class_="faint"),
            how,
            note_list(notes),
            h("nav", links, aria_label="Kinds") if total else h("p", "Nothing is suspicious."),
        )
    )
    yield "<main>\n"


def _section(
    result: AuditResult,
    kind: str,
    findings: Sequence[Finding],
    pictures: Mapping[bytes, bytes],
    most_bytes: int,
) -> str:
    number = len(result.of_kind(kind))
    figures: list[Markup] = []
    for one in findings:
        figure = _figure(one, result, pictures)
        most_bytes -= len(figure.encode())
        if most_bytes < 0:
            break
        figures.append(figure)
    rest = number - len(figures)
    more = f"{count(rest, 'more photo')}, not shown here: "
    return str(
        h(
            "section",
            h("h2", f"{_title(kind)}: {number:,}"),
            h("p", _meaning(result, kind), class_="faint"),
            h("p", h("b", result.expected_text())) if kind == LABEL else None,
            h("div", figures, class_="photos"),
            h("p", more, h("code", "xferlearn audit --output=FILE"), " lists all.", class_="faint")
            if rest
            else None,
            id=_place(kind),
        )
    ) + "\n"  # fmt: skip


def _figure(finding: Finding, result: AuditResult, pictures: Mapping[bytes, bytes]) -> Markup:
    label, proposed = result.shown(finding.label), result.shown(finding.proposed)
    shown = [_picture(pictures.get(finding.digest), f"{finding.name}, labelled {label}")]
    names = [finding.name]
    for digest in _others(finding):
        if digest in result.places:
            other = result.places[digest]
            shown.append(_picture(pictures.get(digest), f"{other.name}, found with it"))
            if other.name not in finding.text:
                names.append(other.name)
    change: list[Any] = [h("b", label)]
    if proposed:
        change += [" → ", h("b", proposed)]
    likely = None
    if finding.kind == LABEL:
        meter = h("rect", width=f"{finding.score:.0%}", height="100%")
        likely = [
            h("svg", meter, class_="meter", aria_hidden="true", width="100%"),
            # Rounded to 100% it would promise too much.
            h(
                "span",
                "over 99%" if finding.score >= 0.995 else f"{finding.score:.0%}",
                " likely wrong",
            ),
        ]
    return h(
        "figure",
        h("div", shown, class_="pair"),
        h(
            "figcaption",
            h("span", change, class_="change"),
            likely,
            h("span", finding.text)
            if finding.text and (finding.kind != LABEL or result.is_multi_label)
            else None,
            [h("span", name, class_="faint") for name in names],
        ),
    )


def _meaning(result: AuditResult, kind: str) -> str:
    several = _MEANING_OF_SETS if result.is_multi_label else {}
    return several.get(kind, _MEANING[kind])


def _picture(content: bytes | None, alt: str) -> Markup:
    if content is None:
        return h("div", "not found", class_="gone", role="img", aria_label=alt)
    side = str(PICTURE_SIZE)
    return picture(content, "webp", alt, width=side, height=side, loading="lazy")


def _classes(result: AuditResult) -> Iterator[str]:
    for kind in CLASS_KINDS:
        found = [one for one in result.classes if one.kind == kind]
        if found:
            title = h("h2", f"{_title(kind)}: {len(found):,}")
            yield str(h("section", title, h("ul", [h("li", one.text) for one in found],
                                            class_="list")))  # fmt: skip


def _left_out(result: AuditResult) -> Iterator[str]:
    if result.bad:
        title = h("h2", f"Not readable: {len(result.bad):,}")
        lines = [h("li", line) for line in left_out_lines(result.bad)]
        yield str(h("section", title, h("ul", lines, class_="list")))


def _title(kind: str) -> str:
    return f"{PLURALS[kind][0].upper()}{PLURALS[kind][1:]}"


def _place(kind: str) -> str:
    return kind.replace(" ", "-")
