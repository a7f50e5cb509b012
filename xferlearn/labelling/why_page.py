"""The page of `label --why`: one HTML file that shows what speaks for the label of each photo."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.config import LabelConfig
from xferlearn.errors import UserError
from xferlearn.labelling.answering import Answerer
from xferlearn.labelling.explaining import Explainer, Pixels
from xferlearn.labelling.explanation import Explanation, Neighbour, familiarity_text, strongest_text
from xferlearn.labelling.streaming import Labelled
from xferlearn.photos.pixels.decoding import BATCH_SIZE
from xferlearn.predictors import Predictor
from xferlearn.summaries.drawing import webp
from xferlearn.summaries.overlay import LEGEND, draw_overlay
from xferlearn.system.files import real_path, remove_stale, write_atomically
from xferlearn.system.folders import check_writable
from xferlearn.system.html import (
    DOCUMENT_STYLE,
    Markup,
    document_head,
    h,
    is_document,
    note_list,
    picture,
)
from xferlearn.system.text import count

PAGE = "index.html"
MOST_PHOTOS = 500
_NEIGHBOUR_SIZE = 112  # px
# By which a page that may be replaced is known.
_MARK = "xferlearn: why these labels"
_STYLE = (
    DOCUMENT_STYLE
    + """
article{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:16px;
margin-top:16px;scroll-margin-top:8px}
.parts{display:grid;grid-template-columns:minmax(0,452px) minmax(240px,1fr) minmax(0,340px);
gap:16px 24px;margin-top:12px;align-items:start}
.pair,.near{display:flex;gap:12px}
.pair{flex-wrap:wrap}
.pair figure{flex:0 1 220px}
.near figure{flex:0 1 112px}
.gone{aspect-ratio:1;width:112px;max-width:100%;padding:8px;color:var(--faint);font-size:12px}
.scores{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
.scores th{font-weight:400;text-align:left;overflow-wrap:anywhere;padding:2px 12px 2px 0}
.scores .given :is(th,td){font-weight:600}
.scores td{padding:2px 0;text-align:right;width:56px}
.scores td.bar{width:34%;padding-right:4px}
svg{display:block;width:100%;height:10px;border-radius:3px;background:var(--rest)}
rect{fill:var(--bar)}
@media(max-width:1060px){.parts{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}
.parts>:first-child{grid-column:1/-1}}
@media(max-width:600px){.parts{grid-template-columns:minmax(0,1fr)}}
@media print{article{break-inside:avoid}}
""".replace("\n", "")
)


class WhyPage:
    """Writes a page on photos while they are labelled, in flat memory.

    Attributes:
        path: the page.
        onlooker: sees the photos' pixels, for `label_photos`.
    """

    def __init__(
        self,
        folder: Path,
        predictor: Predictor,
        answerer: Answerer,
        config: LabelConfig,
        total: int,
    ) -> None:
        """Sees what the model admits.

        Args:
            folder: as `checked_folder` returns it.
            predictor: the model.
            answerer: how its scores become answers.
            config: `top_k` and `bottleneck_dir`.
            total: how many photos are labelled.
        """
        self.path = folder / PAGE
        self.onlooker = Pixels(MOST_PHOTOS)
        self._explainer = Explainer(predictor, answerer, config)
        self._predictor = predictor
        self._top_k = config.top_k
        self._total = total

    def write(
        self, photos: Iterable[Labelled], deliver: Callable[[Iterable[Labelled]], None]
    ) -> None:
        """Hands photos on, and writes the page of the first `MOST_PHOTOS` of them meanwhile.

        Args:
            photos: as `label_photos` yields them.
            deliver: takes them all; the page is there once it returns.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(self.path.parent, PAGE)

        def content(file: BinaryIO) -> None:
            file.write(_head(self._predictor.name, self._total, self._explainer.notes).encode())
            deliver(self._shown(photos, file))
            file.write(b"</main></body></html>\n")

        write_atomically(self.path, content)

    def _shown(self, photos: Iterable[Labelled], file: BinaryIO) -> Iterator[Labelled]:
        waiting: list[tuple[Labelled, np.ndarray | None]] = []
        shown = 0

        def flush() -> None:
            nonlocal shown
            for article in self._articles(waiting):
                shown += 1
                file.write(f"{_article(shown, *article, self._explainer.notes)}\n".encode())
            waiting.clear()

        for photo in photos:
            if shown + len(waiting) < MOST_PHOTOS:
                waiting.append((photo, self.onlooker.take(photo.digest)))
            if len(waiting) == BATCH_SIZE:
                flush()
            yield photo
        flush()

    def _articles(
        self, photos: list[tuple[Labelled, np.ndarray | None]]
    ) -> Iterator[tuple[Labelled, Explanation | None]]:
        """Yields what is found out about each photo; None for those that can't be used."""
        usable = [pair for pair in photos if pair[1] is not None]
        found: list[Explanation] = []
        if usable:
            labelled, pixels = zip(*usable, strict=True)
            found = self._explainer.explain(labelled, np.stack(pixels), self._top_k)
        by_photo = dict(zip((id(photo) for photo, _ in usable), found, strict=True))
        for photo, _ in photos:
            yield photo, by_photo.get(id(photo))


def checked_folder(folder: str | Path) -> Path:
    """Returns the folder of a page, which need not exist; sees, before any work, that it is free.

    Raises:
        UserError: it holds other things than such a page, or can't be written to.
    """
    path = real_path(folder)
    if path.exists() and not path.is_dir():
        raise UserError(f"Expected `why` to be a folder. Found a file at {folder}.")
    check_writable("why", path)
    others = sorted(one.name for one in path.iterdir()) if path.is_dir() else []
    for name in others:
        unfinished = name.startswith(f".{PAGE}.") and name.endswith(".tmp")
        if not unfinished and not (name == PAGE and is_document(path / name, _MARK)):
            raise UserError(
                f"{folder} holds {name}, which is not a page of `why`. Choose another folder."
            )
    return path


def _head(name: str, total: int, notes: list[str]) -> str:
    about = f"{count(total, 'photo')}, labelled by {name}."
    if total > MOST_PHOTOS:
        about += f" The first {MOST_PHOTOS} are shown."
    return (
        f"{document_head('Why these labels', _STYLE, _MARK)}<header>"
        f"{h('h1', 'Why these labels')}"
        f"{h('p', about, class_='faint')}"
        f"{h('p', LEGEND, class_='faint')}{note_list(notes) or ''}</header><main>\n"
    )


def _article(number: int, photo: Labelled, why: Explanation | None, told: list[str]) -> Markup:
    """Returns what is shown of a photo; the notes of the whole page are told on its top."""
    place = f"photo-{number}"
    title = h("h2", h("a", photo.name, href=f"#{place}"))
    if why is None:
        return h("article", title, note_list([f"It can't be used: {photo.problem}."]), id=place)
    pair = [_figure(Image.fromarray(why.pixels), photo.name, "What the model sees")]
    for label, heat in why.heat_maps.items():
        where = f"For {readable_label(label)}: strongest {strongest_text(heat.values)}"
        overlay = draw_overlay(why.pixels, heat.values)
        pair.append(_figure(overlay, f"Heat map of {photo.name}", where))
    near = [_neighbour(one) for one in why.nearest]
    familiarity = None
    if why.familiarity is not None:
        familiarity = h("p", f"Familiarity: {familiarity_text(why.familiarity)}.", class_="faint")
    return h(
        "article",
        title,
        h("p", "Answer: ", h("b", why.answer_text())),
        None if why.answer.is_multi_label else _label_set(why.answer.label_set),
        h(
            "div",
            h("div", pair, class_="pair"),
            h("section", h("h3", "Probabilities"), _scores(why), familiarity),
            h(
                "section",
                h("h3", "Nearest photos of the training, with similarity"),
                h("div", near, class_="near"),
            )
            if near
            else None,
            class_="parts",
        ),
        note_list([note for note in why.notes if note not in told]),
        id=place,
    )


def _label_set(labels: Sequence[str] | None) -> Markup | None:
    if labels is None:
        return None
    return h("p", "Set of labels: ", ", ".join(map(readable_label, labels)))


def _scores(why: Explanation) -> Markup:
    rows = [
        h(
            "tr",
            h("th", readable_label(name), scope="row"),
            h(
                "td",
                h("svg", h("rect", width=f"{score:.2%}", height="100%"), aria_hidden="true"),
                class_="bar",
            ),
            h("td", f"{score:.1%}"),
            class_="given" if name in why.answer.labels else None,
        )
        for name, score in why.probabilities
    ]
    return h("table", h("tbody", rows), class_="scores")


def _neighbour(one: Neighbour) -> Markup:
    first, *others = one.label_text().split("|")
    caption = [
        # Several labels go on in the next line where they are long.
        h("b", first, [["|", h("wbr"), label] for label in others]),
        f" {one.similarity:.2f}",
        h("span", one.name, class_="faint"),
    ]
    if one.pixels is None:
        gone = h("div", "not found where it was in training", class_="gone")
        return h("figure", gone, h("figcaption", caption))
    side = (_NEIGHBOUR_SIZE, _NEIGHBOUR_SIZE)
    image = Image.fromarray(one.pixels).resize(side, Image.Resampling.LANCZOS)
    return _figure(image, one.name, caption)


def _figure(image: Image.Image, alt: str, caption: Any) -> Markup:
    width, height = map(str, image.size)
    shown = picture(webp(image), "webp", alt, width=width, height=height, loading="lazy")
    return h("figure", shown, h("figcaption", caption))
