"""HTML for notebooks: readable on light and dark pages, and safe with text of any origin."""

import base64
import contextlib
import hashlib
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xferlearn.system.text import readable

_VOID = ("br", "img", "wbr")

# Colours are those of the page around it, or work on light and on dark ones. The class is doubled
# so that these rules win over the notebook's own, which colour the rows of tables.
STYLE = """
.xferlearn{font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;max-width:960px}
.xferlearn.xferlearn *{box-sizing:border-box}
.xferlearn .xf-tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(164px,1fr));gap:12px}
.xferlearn .xf-tile{border:1px solid rgba(128,128,128,.4);border-radius:6px;padding:10px 14px}
.xferlearn .xf-main{border-left:4px solid #d9660b}
.xferlearn .xf-tile b{display:block;font-size:24px;font-weight:500;line-height:1.3}
.xferlearn .xf-faint{opacity:.75;font-size:13px;overflow-wrap:anywhere}
.xferlearn h4{font-size:15px;font-weight:600;margin:18px 0 6px}
.xferlearn p{margin:6px 0}
.xferlearn ul.xf-notices{list-style:none;margin:12px 0;padding:8px 14px;border-left:4px solid
#d9660b;background:rgba(217,102,11,.13);border-radius:4px;overflow-wrap:anywhere}
.xferlearn ul.xf-notices li{margin:2px 0}
.xferlearn .xf-range{display:block;position:relative;height:6px;margin:6px 0;border-radius:3px;
background:rgba(128,128,128,.25)}
.xferlearn .xf-range i{position:absolute;top:0;bottom:0;border-radius:3px;
left:calc(var(--from)*100%);right:calc(100% - var(--to)*100%);background:rgba(217,102,11,.55)}
.xferlearn .xf-range u{position:absolute;top:-3px;width:3px;height:12px;margin-left:-1px;
left:calc(var(--at)*100%);background:currentColor}
.xferlearn .xf-scroll{overflow-x:auto;max-width:100%}
.xferlearn.xferlearn table{border-collapse:collapse;border:0;margin:0;font-size:13px;width:auto;
color:inherit;background:none}
.xferlearn.xferlearn table tr,.xferlearn.xferlearn table tr:nth-child(odd){background:none}
.xferlearn.xferlearn table :is(td,th){padding:4px 10px;border:0;text-align:right;
vertical-align:middle;font-weight:400;white-space:nowrap;background:none;
font-variant-numeric:tabular-nums}
.xferlearn.xferlearn table :is(td,th).xf-text{text-align:left;white-space:normal;
overflow-wrap:anywhere}
.xferlearn.xferlearn .xf-data thead th{opacity:.75;border-bottom:1px solid rgba(128,128,128,.5)}
.xferlearn.xferlearn .xf-data tbody :is(td,th){border-bottom:1px solid rgba(128,128,128,.25)}
.xferlearn.xferlearn .xf-data tbody th{min-width:120px}
.xferlearn.xferlearn .xf-facts th{text-align:left;vertical-align:top;opacity:.75;padding-left:0}
.xferlearn.xferlearn .xf-matrix td{border:1px solid rgba(128,128,128,.3);text-align:center;
min-width:34px;height:30px;padding:0 4px}
.xferlearn.xferlearn .xf-wide td{min-width:84px}
.xferlearn.xferlearn .xf-small td{min-width:24px;height:22px;font-size:11px;padding:0 2px}
.xferlearn.xferlearn .xf-matrix th{padding:0 8px 0 0;max-width:180px;overflow:hidden;
text-overflow:ellipsis}
.xferlearn.xferlearn .xf-matrix thead th{padding:0 2px 6px;vertical-align:bottom;
text-align:center;max-height:150px}
.xferlearn.xferlearn .xf-matrix thead th span{writing-mode:vertical-rl;transform:rotate(180deg);
max-height:140px;overflow:hidden;text-overflow:ellipsis;display:inline-block}
.xferlearn.xferlearn .xf-matrix td.xf-right{background:rgba(26,115,232,calc(.12 + var(--s)*.45))}
.xferlearn.xferlearn .xf-matrix td.xf-wrong{background:rgba(245,124,0,calc(.22 + var(--s)*.5))}
.xferlearn .xf-columns{display:flex;flex-wrap:wrap;gap:12px 36px;align-items:flex-start}
.xferlearn .xf-columns>div{min-width:0;max-width:100%}
.xferlearn .xf-photos{display:flex;flex-wrap:wrap;gap:14px 12px}
.xferlearn figure{margin:0;width:104px;font-size:12px;line-height:1.35;overflow-wrap:anywhere}
.xferlearn.xferlearn figure :is(img,.xf-gone){width:96px;height:96px;margin:0 0 4px;display:flex;
border-radius:4px;align-items:center;justify-content:center;text-align:center;
background:rgba(128,128,128,.2)}
.xferlearn figure .xf-file{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.xferlearn figure b{font-weight:600}
.xferlearn figure span{display:block}
.xferlearn .xf-plot{width:760px;max-width:100%;height:auto;border-radius:6px;margin:6px 0}
""".replace("\n", "")

# Of a page in a file of its own, with the names that `document_head` and `note_list` use.
DOCUMENT_STYLE = """
:root{color-scheme:light dark;--text:#202124;--faint:#5f6368;--ground:#f5f5f5;--card:#fff;
--line:#dadce0;--bar:#1a73e8;--rest:#e8eaed;--note:#fff3e8;--edge:#c65102}
@media(prefers-color-scheme:dark){:root{--text:#f1f1f1;--faint:#b4b4b4;--ground:#1f1f1f;--card:#2b2b2b;
--line:#4a4a4a;--bar:#6ea8fe;--rest:#424242;--note:#4a3b2e;--edge:#ffa15a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:24px 16px 48px;background:var(--ground);
color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:22px;font-weight:600;margin:0 0 4px}
h2{font-size:16px;font-weight:600;margin:0;overflow-wrap:anywhere}
h2 a{color:inherit;text-decoration:none}
h2 a:hover{text-decoration:underline}
h3{font-size:13px;font-weight:500;color:var(--faint);margin:0 0 8px}
p{margin:4px 0;overflow-wrap:anywhere}
a:focus-visible{outline:2px solid var(--bar);outline-offset:2px;border-radius:2px}
.faint{color:var(--faint);font-size:13px}
figure{margin:0;min-width:0;font-size:13px}
figure img,.gone{display:block;width:100%;height:auto;border-radius:4px;background:var(--rest)}
figcaption{margin-top:4px;overflow-wrap:anywhere}
figcaption span{display:block}
.notes{margin:12px 0 0;padding:8px 14px;list-style:none;background:var(--note);font-size:13px;
border-left:4px solid var(--edge);border-radius:4px;overflow-wrap:anywhere}
@media(max-width:600px){body{padding:16px 10px 32px}}
""".replace("\n", "")


class Markup(str):
    """HTML that is safe to show: text of any origin in it has been escaped."""

    __slots__ = ()


def h(tag: str, *children: Any, **attributes: Any) -> Markup:
    """Returns an element; text is escaped, markup and lists of both are taken as they are.

    Args:
        tag: its name.
        children: `Markup`, iterables of children, None for nothing; all else as text.
        attributes: their values as text; None leaves one out. A trailing `_` of a name is
            dropped, so that `class_` can be written, and others become `-`.

    Example:
        >>> h("p", "1 < 2", h("br"), class_="note")
        '<p class="note">1 &lt; 2<br></p>'
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_escaped(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    start = f"<{tag}{written}>"
    return Markup(start if tag in _VOID else f"{start}{join(children)}</{tag}>")


def join(children: Iterable[Any]) -> Markup:
    """Returns children, as `h` takes them, one after the other."""
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(str(child))
        elif isinstance(child, (list, tuple)):
            parts.append(str(join(child)))
        else:
            parts.append(_escaped(child))
    return Markup("".join(parts))


def _escaped(text: Any) -> str:
    return html.escape(readable(str(text)))


def page(*parts: Any) -> str:
    """Returns the parts of a result, with their style, as `_repr_html_` shows them."""
    return str(h("div", h("style", Markup(STYLE)), parts, class_="xferlearn"))


def tiles(*rows: Any) -> Markup:
    """Returns tiles side by side, as `tile` makes them."""
    return h("div", rows, class_="xf-tiles")


def tile(title: str, value: str, *details: Any, main: bool = False) -> Markup:
    """Returns a number in large letters, with its title above and details below."""
    kind = "xf-tile xf-main" if main else "xf-tile"
    lines = [detail if isinstance(detail, Markup) else faint(detail) for detail in details]
    return h("div", faint(title), h("b", value), lines, class_=kind)


def faint(text: Any) -> Markup:
    """Returns a line of less important text."""
    return h("div", text, class_="xf-faint")


def notices(lines: Sequence[str]) -> Markup | None:
    """Returns warnings, one line each; None without any."""
    return h("ul", [h("li", line) for line in lines], class_="xf-notices") if lines else None


def interval_bar(low: float, value: float, high: float) -> Markup:
    """Returns a bar from 0 to 1 with an interval and a mark in it."""
    place = f"--from:{low:.4f};--to:{high:.4f};--at:{value:.4f}"
    return h("span", h("i"), h("u"), class_="xf-range", style=place, aria_hidden="true")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], text: Sequence[int] = (0,)) -> Markup:
    """Returns a table of data that scrolls sideways where the page is narrow.

    Args:
        head: titles of the columns.
        rows: cells, the first one naming the row.
        text: indices of the columns that hold text; the others are numbers, to the right.
    """
    kinds = ["xf-text" if index in text else None for index in range(len(head))]

    def cells(row: Sequence[Any], first: str, rest: str) -> list[Markup]:
        tags = [first, *[rest] * (len(row) - 1)]
        return [h(*pair, class_=kind) for *pair, kind in zip(tags, row, kinds, strict=True)]

    body = [h("tr", cells(row, "th", "td")) for row in rows]
    titles = h("thead", h("tr", cells(head, "th", "th")))
    return h("div", h("table", titles, h("tbody", body), class_="xf-data"), class_="xf-scroll")


def facts(rows: Mapping[str, str]) -> Markup:
    """Returns names and values, one pair per line."""
    body = [
        h("tr", h("th", name), h("td", value, class_="xf-text")) for name, value in rows.items()
    ]
    return h("table", h("tbody", body), class_="xf-facts")


def picture(
    content: bytes, kind: str, alt: str, *, dark: bytes | None = None, **attributes: Any
) -> Markup:
    """Returns an image that the page itself holds.

    Args:
        content: the file.
        kind: "jpeg", "png" or "webp".
        alt: what it shows.
        dark: the file for readers who prefer dark pages; None for the same one.
        attributes: further ones, as for `h`.
    """
    # Not through `h`, whose text is shortened.
    rest = h("img", alt=alt, **attributes)
    shown = rest.replace("<img", f'<img src="{_data(content, kind)}"', 1)
    if dark is None:
        return Markup(shown)
    preferred = f'media="(prefers-color-scheme: dark)" srcset="{_data(dark, kind)}"'
    return Markup(f"<picture><source {preferred}>{shown}</picture>")


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def document_head(title: str, style: str, generator: str) -> str:
    """Returns the start of a page in a file of its own, up to its body.

    The page loads nothing and runs nothing, whatever the name of a photo tries.

    Args:
        title: its title.
        style: all its CSS.
        generator: what made it, by which such a page is known.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="generator" content="{_escaped(generator)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_escaped(title)}</title><style>{style}</style></head><body>"
    )


def is_document(path: Path, generator: str) -> bool:
    """Returns whether a file is a page that `document_head` has begun for a generator."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return f'<meta name="generator" content="{_escaped(generator)}">'.encode() in file.read(
            4096
        )
    return False


def note_list(lines: Iterable[str]) -> Markup | None:
    """Returns what should be known, one line each, as such a page shows it; None without any."""
    items = [h("li", line) for line in lines]
    return h("ul", items, class_="notes") if items else None
