"""The pictures of a run: text in any script, confusion matrices of any size, photos read again."""

import dataclasses
import hashlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from xferlearn.decisions import reliability
from xferlearn.metrics import Evaluation, evaluate_predictions
from xferlearn.photos.folders.files import FileSource, read_image_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import Photo
from xferlearn.photos.sources import named
from xferlearn.summaries import pixels as pixels_module
from xferlearn.summaries.drawing import (
    CARD_WIDTH,
    draw_photo,
    draw_sheet,
    draw_text,
    font_for,
    png,
    text_size,
)
from xferlearn.summaries.matrix import draw_confusion
from xferlearn.summaries.pixels import read_pixels
from xferlearn.summaries.reliability import draw_reliability

WHITE = (255, 255, 255)


def ink(image):
    """Returns the box of everything that is not white."""
    return Image.eval(image.convert("L"), lambda value: 255 - value).getbbox()


@pytest.mark.parametrize("text", ["daisy", "Löwenzahn", "şakayık", "Ромашка", "μαργαρίτα"])
def test_letters_of_any_script_leave_ink(text):
    image = Image.new("RGB", (200, 30), WHITE)
    draw_text(ImageDraw.Draw(image), (0, 15), text, 15)
    left, _, right, _ = ink(image)
    assert right - left == pytest.approx(text_size(text, 15), abs=4)


def test_letters_that_no_font_has_become_their_numbers(monkeypatch):
    monkeypatch.setattr("xferlearn.summaries.drawing._SYSTEM_FONTS", ("no such font.ttf",))
    assert font_for("花 x", 12)[1] == "U+82B1  x"
    assert font_for("é", 12)[1] == "e"
    assert font_for("a\tb\u202e", 12)[1] == "a b "


def test_a_long_line_is_cut_with_dots():
    image = Image.new("RGB", (400, 30), WHITE)
    draw_text(ImageDraw.Draw(image), (0, 15), "long " * 40, 15, width=100)
    assert 70 < ink(image)[2] <= 101


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


def confusion(classes, name="class {}"):
    counts = np.eye(classes, dtype=np.int64) * 90
    counts[0, 1] += 10
    return Evaluation(tuple(name.format(index) for index in range(classes)), counts)


@pytest.mark.parametrize("percent", [False, True])
@pytest.mark.parametrize("classes", [2, 5, 7])
def test_few_classes_fill_a_card_pixel_by_pixel(classes, percent):
    image = draw_confusion(confusion(classes), "test", percent=percent)
    assert image.width == CARD_WIDTH
    assert image.height < 600


@pytest.mark.parametrize(("classes", "drawn"), [(20, 20), (100, 100), (130, 100)])
def test_many_classes_keep_cells_that_can_be_read(classes, drawn):
    image = draw_confusion(
        confusion(classes, "a species with a long name {}"), "test", percent=True
    )
    assert image.width >= 28 * drawn
    assert len(png(image)) < 300_000
    # Of classes that are not all drawn, those that are confused are.
    pixels = np.asarray(image)
    assert _count(pixels, lambda red, blue: red > blue + 10) > 0


def test_mistakes_are_orange_and_right_ones_blue():
    image = draw_confusion(
        evaluate_predictions(["a", "b"], [0] * 10 + [1] * 10, [0] * 9 + [1] * 11),
        "test",
        percent=False,
    )
    pixels = np.asarray(image)
    blue = _count(pixels, lambda red, blue: blue > red + 60)
    orange = _count(pixels, lambda red, blue: red > blue + 10)
    cell = 56 * 56
    assert blue == pytest.approx(2 * cell, rel=0.15)
    assert orange == pytest.approx(cell, rel=0.15)


def _count(pixels, condition):
    red, blue = pixels[..., 0].astype(int), pixels[..., 2].astype(int)
    return int(condition(red, blue).sum())


def test_labels_of_any_script_and_length_fit():
    labels = ("花", "מרגנית", "x" * 300, "", "tab\tline")
    counts = np.ones((5, 5), np.int64)
    image = draw_confusion(Evaluation(labels, counts), "validation", percent=True)
    assert image.width == CARD_WIDTH


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


@pytest.mark.parametrize("photos", [1, 30, 2000])
@pytest.mark.parametrize("surest", [0.5, 0.999, 1.0])
def test_a_reliability_diagram_has_its_points_inside_the_frame(photos, surest):
    first = np.linspace(0.5, surest, photos)
    found = reliability(np.stack([first, 1 - first], axis=1), np.arange(photos) % 2)
    image = draw_reliability(found, "test")
    assert image.width == CARD_WIDTH
    pixels = np.asarray(image).astype(int)
    blue = np.argwhere(np.abs(pixels - (21, 101, 192)).sum(axis=2) < 9)
    assert len(blue)
    assert (blue.min(axis=0) > (66, 44)).all()
    assert (blue.max(axis=0) < (image.height - 40, CARD_WIDTH - 14)).all()
