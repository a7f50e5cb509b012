"""What is said of why a model gives a photo its labels, in Python and in a notebook."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.decisions import HeatMap
from xferlearn.labelling.answering import NONE_REACHES, Answer
from xferlearn.photos.several import NO_LABEL
from xferlearn.summaries.drawing import webp
from xferlearn.summaries.overlay import LEGEND, draw_overlay
from xferlearn.system.html import Markup, faint, h, notices, picture, table
from xferlearn.system.results import Block, Result, facts_block, table_block, wrapped

# What is below this share of what speaks against a label is nothing.
_HARDLY = 0.25


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """One of the photos that a model has learned from, beside one that it labels.

    Attributes:
        name: of the photo, as in photos.csv.
        label: the class that it was given in training; where photos may have several, their text,
            e.g. "cat|dog", and "" for none.
        similarity: cosine of the angle between the bottlenecks of both photos, -1 to 1; 1 for
            photos in which the network sees the same.
        digest: SHA-256 of its bytes.
        path: its file; None where that is gone or has changed, and for photos that are no files.
        pixels: what the model sees of it, uint8, [height, width, 3]; None where it is gone.
    """

    name: str
    label: str
    similarity: float
    digest: bytes = dataclasses.field(repr=False)
    path: str | None = None
    pixels: np.ndarray | None = dataclasses.field(default=None, repr=False, compare=False)

    def label_text(self) -> str:
        """Returns its label as people read it."""
        return readable_label(self.label) or NO_LABEL


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Explanation(Result):
    """What speaks for the label that a model gives to a photo, or the labels.

    Attributes:
        name: the photo, as given.
        answer: what is answered for it, with `top_k` labels.
        heat_maps: by label, where in the photo there is what speaks for it, on the grid of the
            network's last feature map: of the labels that were asked for, else of those that were
            decided, or of the most probable one where that is none. Empty where there can be none,
            and `notes` say why.
        nearest: the nearest photos that the model has learned from, best first.
        pixels: what the model sees of the photo, uint8, [height, width, 3].
        notes: what could not be found out and why, and whether the model has learned from this very
            photo, one sentence each.
    """

    name: str
    answer: Answer
    heat_maps: Mapping[str, HeatMap]
    nearest: tuple[Neighbour, ...]
    pixels: np.ndarray
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The label that was decided; `answer.status` says if it counts.

        Where photos may have several it is their text, e.g. "cat|dog".
        """
        return self.answer.label or ""

    @property
    def heat_map(self) -> np.ndarray | None:
        """The first of `heat_maps`: what speaks for its label (positive), or against it (negative).

        Float32, [rows, columns], range [-1, 1]; None where there is none.
        """
        return next((heat.values for heat in self.heat_maps.values()), None)

    @property
    def heat_scale(self) -> float:
        """The log-odds that 1 stands for in `heat_map`, 0 without; see `decisions.HeatMaps`."""
        return next((heat.scale for heat in self.heat_maps.values()), 0.0)

    @property
    def probabilities(self) -> tuple[tuple[str, float], ...]:
        """Labels with their probabilities: those that were decided, then others, best first."""
        return self.answer.scores

    @property
    def familiarity(self) -> float | None:
        """The share of your own photos that are less typical, 0 to 1; None where it is not known.

        Your own photos are those that the model was made from.
        """
        return self.answer.familiarity

    def overlay(self, label: str | None = None) -> Image.Image | None:
        """Returns the photo in gray with a heat map over it; None where there is none.

        Args:
            label: a label of `heat_maps`; None for the first.
        """
        values = self.heat_map if label is None else self.heat_maps[label].values
        return None if values is None else draw_overlay(self.pixels, values)

    def answer_text(self) -> str:
        """Returns the answer in words."""
        scores = dict(self.answer.scores)
        given = [f"{readable_label(one)}, {scores[one]:.1%}" for one in self.answer.labels]
        label = "; ".join(given) or NONE_REACHES
        if self.answer.status == "unknown":
            return f"unknown, unlike your own photos; it would be {label}"
        return f"ask a person; it would be {label}" if self.answer.status == "ask" else label

    def blocks(self) -> list[Block]:
        """Returns the summary in parts."""
        facts = {"photo": self.name, "answer": self.answer_text()}
        if self.familiarity is not None:
            facts["familiarity"] = f"{self.familiarity:.3f}, {familiarity_text(self.familiarity)}"
        if self.heat_map is not None:
            where = [
                f"for {readable_label(label)} strongest {strongest_text(heat.values)}"
                for label, heat in self.heat_maps.items()
            ]
            shape = " x ".join(map(str, self.heat_map.shape))
            facts["heat map"] = f"{shape}, {'; '.join(where)}"
        labels = [(readable_label(name), f"{score:.4f}") for name, score in self.probabilities]
        near = [(one.name, one.label_text(), f"{one.similarity:.3f}") for one in self.nearest]
        return [
            facts_block(facts, prose=("answer", "heat map")),
            table_block([("label", "probability"), *labels], "label"),
            table_block([("nearest photos", "label", "similarity"), *near], "photo")
            if near
            else Block(),
            Block([line for note in self.notes for line in wrapped(note)]),
        ]

    def html(self) -> list[Any]:
        """Returns the page in parts, as `system.html.h` takes them."""
        shown = [_figure(Image.fromarray(self.pixels), "what the model sees", self.name)]
        shown += [
            _figure(self.overlay(label), f"for {readable_label(label)}", f"heat map of {self.name}")
            for label in self.heat_maps
        ]
        near = [
            _figure(
                None if one.pixels is None else Image.fromarray(one.pixels),
                f"{one.label_text()} {one.similarity:.3f}",
                one.name,
            )
            for one in self.nearest
        ]
        rows = [(readable_label(name), f"{score:.4f}") for name, score in self.probabilities]
        return [
            h("h4", self.name),
            h("div", shown, class_="xf-photos"),
            faint(LEGEND) if self.heat_maps else None,
            h("p", "Answer: ", h("b", self.answer_text())),
            table(("label", "probability"), rows),
            faint(familiarity_text(self.familiarity)) if self.familiarity is not None else None,
            [h("h4", "Nearest photos of the training"), h("div", near, class_="xf-photos")]
            if near
            else None,
            notices(self.notes),
        ]


def _figure(image: Image.Image | None, text: str, name: str) -> Markup:
    shown: Any = h("div", "not found", class_="xf-gone")
    if image is not None:
        shown = picture(webp(image), "webp", name, width="96", height="96")
    return h("figure", shown, h("figcaption", h("b", text), h("span", name, class_="xf-file")))


def familiarity_text(familiarity: float) -> str:
    """Returns a familiarity in words."""
    word, share = ("less", 1 - familiarity) if familiarity < 0.5 else ("more", familiarity)
    than = "nearly all" if share > 0.9995 else f"{share:.1%}"  # 100.0% would claim too much
    return f"{word} typical than {than} of your own photos"


def strongest_text(heat_map: np.ndarray) -> str:
    """Returns where a heat map is strongest, in words, as the end of "strongest"."""
    if heat_map.max() < _HARDLY:
        return "at no clear place: hardly anything in the photo speaks for it"
    weights = np.where(heat_map >= heat_map.max() / 2, heat_map, 0)
    row, column = (
        3 * np.average(np.arange(size) + 0.5, weights=weights.sum(axis=1 - axis)) / size
        for axis, size in enumerate(heat_map.shape)
    )
    above = ("at the top", "", "at the bottom")[min(int(row), 2)]
    aside = ("left", "", "right")[min(int(column), 2)]
    if above:
        return f"{above} {aside}".rstrip()
    return f"on the {aside}" if aside else "in the middle"
