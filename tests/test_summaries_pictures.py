"""The pictures of a run: text in any script, confusion matrices of any size, photos read again."""

import dataclasses
import hashlib

import numpy as np
import pytest
from PIL import Image

from xferlearn.decisions import reliability
from xferlearn.metrics import Evaluation, evaluate_predictions
from xferlearn.photos.folders.files import FileSource, read_image_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import Photo
from xferlearn.photos.sources import named
from xferlearn.summaries import fonts
from xferlearn.summaries import pixels as pixels_module
from xferlearn.summaries.charts import (
    CARD_WIDTH,
    DARK,
    LIGHT,
    Chart,
    ink_on,
    luminance,
    mixed,
)
from xferlearn.summaries.curves import Axis, Curve, draw_curves, draw_ranking, share_ticks
from xferlearn.summaries.drawing import draw_photo, draw_sheet, png
from xferlearn.summaries.fonts import caption_font, chart_font, cut, text_width
from xferlearn.summaries.matrix import draw_confusion
from xferlearn.summaries.pixels import read_pixels
from xferlearn.summaries.reliability import draw_reliability

WHITE = (255, 255, 255)


def ink(image):
    """Returns the box of everything that is not white."""
    return Image.eval(image.convert("L"), lambda value: 255 - value).getbbox()


@pytest.fixture
def no_system_fonts(monkeypatch):
    """As on a machine whose fonts have none of the letters that matplotlib's own font lacks."""
    monkeypatch.setattr(fonts, "_system_fonts", dict)


@pytest.mark.parametrize("text", ["daisy", "Löwenzahn", "şakayık", "Ромашка", "μαργαρίτα"])
def test_letters_of_any_script_leave_ink_below_a_photo(text, no_system_fonts):
    photo = np.full((200, 200, 3), 255, np.uint8)
    left, top, right, _ = ink(draw_photo(photo, [text], 200))
    assert top >= 200
    assert right - left == pytest.approx(text_width(text, 15), abs=4)


def test_letters_that_no_font_has_become_their_numbers(no_system_fonts):
    assert chart_font("花 x", 12)[0] == "U+82B1  x"
    assert chart_font("a\tb\u202e", 12)[0] == "a b"
    assert caption_font("花 é", 12)[1] == "U+82B1  é"


def test_a_long_line_is_cut_with_dots():
    assert cut("short", 15, 100) == "short"
    shown = cut("long " * 40, 15, 100)
    assert shown.startswith("long long")
    assert shown.endswith("...")
    assert 60 < text_width(shown, 15) <= 100


def test_a_photo_that_is_missing_is_a_grey_square_that_says_so():
    image = draw_photo(None, ["a line"], 100)
    assert image.size[0] == 100
    assert image.size[1] > 115
    assert image.getpixel((3, 3)) == (224, 224, 224)
    assert len(np.unique(np.asarray(image)[30:70])) > 2


def test_a_sheet_places_tiles_row_by_row():
    tiles = [Image.new("RGB", (10, 10), (shade, 0, 0)) for shade in (10, 20, 30, 40, 50)]
    sheet = draw_sheet(tiles, columns=2, gap=1)
    assert sheet.size == (21, 32)
    assert [sheet.getpixel(place)[0] for place in ((5, 5), (15, 5), (5, 16), (5, 27))] == [
        *(10, 20, 30, 50)
    ]
    assert sheet.getpixel((15, 27)) == WHITE


def contrast(one, other):
    """As WCAG 2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_all_colours_can_be_told_from_the_paper(theme):
    assert min(contrast(theme.paper, text) for text in (theme.ink, theme.faint)) >= 4.5
    assert min(contrast(theme.paper, mark) for mark in (theme.first, theme.second)) >= 3
    for colour in (theme.first, theme.second):
        cells = [mixed(colour, theme.paper, share) for share in np.linspace(0, 1, 50)]
        assert min(contrast(cell, ink_on(cell)) for cell in cells) >= 4.5


def confusion(classes, name="class {}"):
    counts = np.eye(classes, dtype=np.int64) * 90
    counts[0, 1] += 10
    return Evaluation(tuple(name.format(index) for index in range(classes)), counts)


@pytest.mark.parametrize("percent", [False, True])
@pytest.mark.parametrize("classes", [2, 5, 7])
def test_few_classes_fill_a_card_for_fine_screens(classes, percent):
    image = draw_confusion(confusion(classes), "test", percent=percent)
    assert image.width == 2 * CARD_WIDTH
    assert image.height < 1200


def test_of_many_classes_the_worst_thirty_are_drawn_and_the_heading_says_so(monkeypatch):
    said = []
    text = Chart.text
    monkeypatch.setattr(
        Chart, "text", lambda self, x, y, line, **more: (said.append(line), text(self, x, y, line))
    )
    image = draw_confusion(confusion(60, "species {}"), "test", percent=True)
    assert "the worst 30 of 60 classes" in said
    # Those that were confused are among them.
    assert {"species 0", "species 1"} <= set(said)
    assert sum(line.startswith("species") for line in said) == 2 * 30
    assert image.width >= 28 * 30
    assert len(png(image)) < 200_000


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_mistakes_are_orange_and_right_ones_blue(theme):
    image = draw_confusion(
        evaluate_predictions(["a", "b"], [0] * 10 + [1] * 10, [0] * 5 + [1] * 15),
        "test",
        percent=False,
        theme=theme,
    )
    pixels = np.asarray(image).astype(int)
    assert tuple(pixels[0, 0]) == theme.paper
    cell = (2 * 56) ** 2

    def filled(colour, strength):
        share = 0.12 + 0.88 * strength
        return int((np.abs(pixels - mixed(colour, theme.paper, share)).sum(axis=2) < 6).sum())

    # The numbers in the cells, and the grid, have colours of their own.
    for colour, strength in ((theme.first, 1.0), (theme.first, 0.5), (theme.second, 0.5)):
        assert 0.8 * cell < filled(colour, strength) < cell


def test_labels_of_any_script_and_length_fit_and_are_no_formulas(no_system_fonts):
    labels = ("花", "מרגנית", "x" * 300, "", "tab\tline", "$\\frac{a}$", "$")
    image = draw_confusion(Evaluation(labels, np.ones((7, 7), int)), "$x$", percent=True)
    assert image.width == 2 * CARD_WIDTH


def _photos(source):
    return [
        Photo(hashlib.sha256(entry.read()).digest(), entry.label, entry.name)
        for entry in source.entries()
    ]


@dataclasses.dataclass(frozen=True)
class Stream:
    """A source with no way to a photo but past all before it, as a dataset is."""

    source: FileSource

    @property
    def labels(self):
        return self.source.labels

    @property
    def count(self):
        return self.source.count

    def entries(self):
        return self.source.entries()

    def only(self, names, most_bytes=None):
        return Some(tuple(named(self.entries(), names, most_bytes)))


class Some:
    """Photos of a stream."""

    def __init__(self, found):
        self.found = found

    def entries(self):
        return iter(self.found)


@pytest.mark.parametrize("wrap", [lambda source: source, Stream])
def test_chosen_photos_are_read_and_no_others(photo_dir, wrap):
    source = read_image_dir(str(photo_dir))
    photos = _photos(source)
    chosen = [photos[0], photos[40], photos[89]]
    gone = dataclasses.replace(photos[1], digest=b"changed".ljust(32))
    found = read_pixels(wrap(source), [*chosen, gone], 24, PhotoLimits())
    assert set(found) == {photo.digest for photo in chosen}
    for photo in chosen:
        assert found[photo.digest].shape == (24, 24, 3)
        assert found[photo.digest].dtype == np.uint8
        colour = source.labels[photo.label]
        expected = {"red": 0, "green": 1, "blue": 2}[colour]
        assert found[photo.digest].mean(axis=(0, 1)).argmax() == expected


def test_a_large_dataset_is_not_read_to_its_end(photo_dir, monkeypatch):
    source = read_image_dir(str(photo_dir))
    photos = _photos(source)
    first = next(source.entries()).size
    monkeypatch.setattr(pixels_module, "MOST_BYTES_PASSED", 5 * first)
    found = read_pixels(Stream(source), [photos[0], photos[80]], 24, PhotoLimits())
    assert set(found) == {photos[0].digest}


@pytest.mark.parametrize("photos", [1, 2000])
@pytest.mark.parametrize("surest", [0.5, 0.999, 1.0])
def test_a_reliability_diagram_has_its_points_inside_the_frame(photos, surest):
    first = np.linspace(0.5, surest, photos)
    found = reliability(np.stack([first, 1 - first], axis=1), np.arange(photos) % 2)
    image = draw_reliability(found, "test")
    assert image.width == 2 * CARD_WIDTH
    pixels = np.asarray(image).astype(int)
    # Below heading and legend.
    blue = np.argwhere(np.abs(pixels - LIGHT.first).sum(axis=2) < 9)
    blue = blue[blue[:, 0] > 160]
    assert len(blue)
    assert (blue.min(axis=0) > (170, 92)).all()
    assert (blue.max(axis=0) < (image.height - 80, 2 * CARD_WIDTH - 32)).all()


def test_a_curve_has_its_numbers_of_photos_in_their_places_and_a_dashed_fit():
    axis = Axis("photos per class", [1, 10, 100], ["1", "10", "100"], log=True)
    nothing = (float("nan"), float("nan"))
    flat = Curve("$measured$", [1, 100], [0.5, 0.5], [(0.45, 0.55), (0.4, 0.6)])
    fit = Curve("fitted", [1, 10, 100], [0.9, 0.9, 0.9], [nothing, nothing, (0.85, 0.95)])
    pixels = np.asarray(draw_curves(["x"], [flat, fit], axis, size=(400, 200))).astype(int)

    def widest_run(colour, most):
        """The longest stretch of a colour in any row of the plot."""
        same = (np.abs(pixels[120:] - colour).sum(axis=2) < 30).astype(int)
        edges = np.diff(np.pad(same, ((0, 0), (1, 1))), axis=1)
        starts, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
        return int((ends[:, 1] - starts[:, 1]).max())

    assert widest_run(LIGHT.first, 1) > 600
    assert 8 < widest_run(LIGHT.second, 1) < 60


@pytest.mark.parametrize("lowest", [0.0, 0.03, 0.45, 0.87, 0.995, 1.0])
def test_ticks_are_round_shares_up_to_all(lowest):
    ticks = share_ticks(lowest, most=6)
    assert ticks[0] <= lowest
    assert ticks[-1] == 1
    assert 2 <= len(ticks) <= 7
    assert len(set(np.diff(ticks).round(9))) == 1


def test_nothing_measured_is_an_empty_plot():
    axis = Axis("photos per class", [], [], log=True)
    for empty in (
        draw_curves(["x"], [Curve("measured", [], [])], axis, size=(400, 200)),
        draw_ranking("accuracy", []),
    ):
        assert len(empty.getcolors(2**20)) > 2


def test_a_ranking_says_what_was_not_measured():
    drawn = draw_ranking("accuracy", [("a", (0.9, 0.85, 0.95)), ("b $x", None), ("c", (1, 1, 1))])
    assert drawn.size == draw_ranking("accuracy", [("a", None)] * 3, theme=DARK).size
