"""Results show themselves: a summary of at most 40 lines, and a page for notebooks."""

import dataclasses
import html.parser
import re
import shutil

import numpy as np
import pytest

import xferlearn
from xferlearn.bottlenecks.compute import Extraction
from xferlearn.decisions import Judged, choose
from xferlearn.evaluation import EvaluationResult
from xferlearn.evaluation.seen import SeenPhotos
from xferlearn.metrics import Evaluation, Misclassified, evaluate_label_sets
from xferlearn.model_folder import ModelFolder
from xferlearn.photos import read_image_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import TEST, TRAIN, VALIDATION, BadPhoto, Manifest, Photo
from xferlearn.summaries.measured import delivered_text
from xferlearn.summaries.notebook import Pictures
from xferlearn.summaries.terminal import (
    class_block,
    confusion_block,
    label_block,
    misclassified_block,
)
from xferlearn.system.html import h, interval_bar
from xferlearn.system.results import Block, fit, table_block
from xferlearn.training import TrainResult
from xferlearn.training.callbacks import Training

HOSTILE = '<script>alert("1")</script>&\x1b[31m\n\udce9"\''


def evaluation(classes: int, right: int = 8, wrong: int = 2) -> Evaluation:
    """Every class has `right` photos that are right, and `wrong` predicted as the next class."""
    confusion = np.eye(classes, dtype=np.int64) * right
    confusion += np.roll(np.eye(classes, dtype=np.int64) * wrong, 1, axis=1)
    return Evaluation(tuple(f"class_{i:04d}" for i in range(classes)), confusion)


def mistakes(count: int, name: str = "red/{}.jpg") -> tuple[Misclassified, ...]:
    return tuple(
        Misclassified(
            name.format(i), "class_0000", "class_0001", (i + 1) / (count + 1), bytes([i] * 32)
        )
        for i in range(count)
    )


def train_result(classes: int, *, bad: int = 0, wrong: int = 0, name: str = "red/{}.jpg"):
    labels = evaluation(classes).labels
    splits = (TRAIN, VALIDATION, TEST)
    photos = tuple(
        Photo(f"{label} {split}".encode().ljust(32), label, f"{label}/{split}.jpg")
        for label in range(classes)
        for split in splits
    )
    left_out = tuple(BadPhoto(name.format(i), 0, "not an image") for i in range(bad))
    manifest = Manifest(labels, photos, splits * classes, left_out, duplicates=3)
    metadata = {
        "delivered": {"photos": classes, "learned_test_photos": False},
        "cross_validation": None,
        "split": {"totals": dict.fromkeys(splits, classes)},
        "engine": {"name": "tensorflow"},
    }
    judged = [Judged(np.eye(classes, dtype=np.float32), np.arange(classes))] * 2
    return TrainResult(
        model_folder=ModelFolder("out/model", labels, metadata),
        run_dir=None,
        manifest=manifest,
        extraction=Extraction(photos, left_out, len(photos), 0, 2.0),
        training=Training(100),
        fine_tuned=None,
        exported=None,
        chosen=choose(labels, *judged),
        familiarity=None,
        validation=evaluation(classes),
        test=evaluation(classes),
        misclassified=mistakes(wrong, name),
        misclassified_in_validation=(),
        pictures=Pictures(Gone(), PhotoLimits()),
        warnings=("Fewer than 20 photos in red (3).",),
        seconds={"bottlenecks": 2.0, "training": 1.0},
    )


class Gone:
    """Photos of which none is left."""

    labels = tuple(f"class_{index:04}" for index in range(200))
    count = 0

    def entries(self):
        return iter(())

    def only(self, names, most_bytes=None):
        return self


def evaluation_result(classes: int, wrong: int = 0, name: str = "red/{}.jpg") -> EvaluationResult:
    bad = tuple(BadPhoto(name.format(i), 0, "not an image") for i in range(wrong))
    pictures = Pictures(Gone(), PhotoLimits())
    seen = SeenPhotos({}, {})
    return EvaluationResult(evaluation(classes), mistakes(wrong, name), bad, seen, pictures, 1.5)


class Page(html.parser.HTMLParser):
    """Counts the elements of a page, and keeps its text and its elements' titles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.titles: list[str] = []
        self.feed(page)
        assert not self.open, "an element was not closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.titles += [value for name, value in attrs if name == "title"]
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] != "style":
            self.text += data + " "


@pytest.fixture(scope="module")
def trained(photo_dir, tmp_path_factory):
    """A model of colours whose test photos are partly misclassified: two reds are in green."""
    root = tmp_path_factory.mktemp("trained")
    photos = shutil.copytree(photo_dir, root / "photos")
    for number in range(12):
        photo = photos / "red" / f"{number:04d}.jpg"
        photo.rename(photos / "green" / f"red_{number}.jpg")
    result = xferlearn.train(
        image_dir=str(photos),
        model_dir=str(root / "model"),
        bottleneck_dir=str(root / "bottlenecks"),
        backbone="mobilenet_0.25",
        weights="none",
        image_size=32,
        how_many_training_steps=60,
        testing_percentage=30.0,
        summaries="none",
        engine="tensorflow",
        precision="float32",
        verbose=0,
    )
    return photos, result


def test_a_block_is_shortened_where_room_is_short_and_says_what_is_missing():
    short = Block(("names:",), ["anna", "bert"], "name")
    long = Block((), [str(i) for i in range(20)], "number", "all are in numbers.csv", ("end",))
    assert fit([short, long], most=10).split("\n") == [
        *("names:", "anna", "bert", ""),
        *("0", "1", "2", "3", "... 16 more numbers; all are in numbers.csv", "end"),
    ]
    assert "more" not in fit([short, long], most=25)


def test_the_most_important_items_stay_in_their_order():
    block = Block((), list("abcdef"), "class", rank=lambda index: -index)
    assert fit([block], most=4).split("\n") == ["d", "e", "f", "... 3 more classes"]


def test_one_missing_item_is_one():
    assert fit([Block((), list("abc"), "photo")], most=2) == "a\n... 2 more photos"
    assert Block((), list("abc"), "photo").lines(2)[-1] == "... 1 more photo"


def test_what_has_no_list_is_never_shortened():
    assert fit([Block(["fact"] * 50)], most=40) == "\n".join(["fact"] * 50)


def test_empty_blocks_leave_no_gap():
    assert fit([Block(("a",)), Block(), Block(("b",))]) == "a\n\nb"


@pytest.mark.parametrize("classes", [2, 5, 13, 100, 1000])
def test_summaries_have_at_most_40_lines(classes):
    for result in (train_result(classes, bad=300, wrong=200), evaluation_result(classes, 200)):
        for text in (result.summary(), repr(result)):
            lines = text.split("\n")
            assert len(lines) <= 40
            assert all(len(line) <= 200 for line in lines)
    assert "... " in evaluation_result(classes, 200).summary()


def test_many_classes_are_shown_as_the_worst_and_the_best():
    confusion = np.diag(np.arange(10, 31))
    confusion[4, 5] += 9
    confusion[12, 0] += 30
    labels = tuple(f"class_{index:02}" for index in range(21))
    lines = class_block(Evaluation(labels, confusion), "it is there").lines(40)
    shown = [line.split()[0] for line in lines]
    assert {*shown[1:3]} == {"class_00", "class_12"}
    assert {*shown[3:5]} == {"class_04", "class_05"}
    assert len(shown) == 1 + 10 + 1 + 3
    assert lines[11] == "... 8 classes between the 10 worst and the 3 best; it is there"
    assert shown[-3:] == ["class_18", "class_19", "class_20"]
    few = Evaluation(labels[:20], confusion[:20, :20])
    assert len(class_block(few, "it is there").lines(40)) == 21


def test_the_surest_mistakes_come_first_and_the_rest_is_elsewhere():
    wrong = [
        dataclasses.replace(photo, score=place / 100) for place, photo in enumerate(mistakes(50))
    ]
    lines = fit([misclassified_block(wrong, "wrong:", "photos.csv has all")], most=500).split("\n")
    assert [line[-5:] for line in lines[1:-1]] == [f"0.{score})" for score in range(49, 29, -1)]
    assert lines[-1] == "... 30 more photos; photos.csv has all"


def test_tables_fit_a_terminal():
    name = "a_name_that_goes_on_" * 6
    rows = [["class", "photos", "recall"], [f"{name}1", "10", "0.5"], [f"{name}2", "7", "0.1"]]
    lines = table_block(rows, "class").lines(40)
    assert {len(line) for line in lines} == {80}
    assert lines[1].startswith("a_name_that_goes_on_a_name")
    assert re.search(r"goes_on_1 +10 +0\.5$", lines[1])
    labels = tuple(f"{name}{index}" for index in range(3))
    block = confusion_block(Evaluation(labels, np.ones((3, 3), int)))
    assert block.head[0].startswith("Classes that were confused")
    assert max(map(len, block.lines(40))) <= 80


@pytest.mark.parametrize("folds", [None, 5])
def test_only_names_are_shortened_in_the_table_of_several_labels(folds):
    labels = ("traffic_light_1", "traffic_light_2")
    y = np.arange(40)[:, None] % (2, 3) == 0
    found = evaluate_label_sets(labels, y, y * 0.5 + 0.2, y, folds=folds)
    lines = label_block(found, "", {"traffic_light_1": 0.412, "traffic_light_2": 0.3}).lines(40)
    assert max(map(len, lines)) <= 80
    assert re.match(r"traf\S*\.\.\.\S*_1 +20 +1\.000 \(\S+ to \S+\) +0\.412 ", lines[-2])
    assert (folds is None) == lines[0].startswith("class ")
    assert "other folds" in lines[0] or folds is None


def test_a_summary_keeps_the_facts_and_the_classes_with_the_most_mistakes():
    result = train_result(300, bad=50)
    confusion = result.test.confusion.copy()
    confusion[250, 7] += 40
    result = dataclasses.replace(result, test=Evaluation(result.test.labels, confusion))
    summary = result.summary()
    assert "class_0250" in summary
    assert "class_0007" in summary
    assert "... 287 classes between the 10 worst and the 3 best; metadata.json of the" in summary
    assert re.search(r"\.\.\. \d+ more photos", summary)
    assert "\nall  " in summary
    assert re.search(rf"^test +{re.escape(result.test.summary())}$", summary, re.MULTILINE)
    assert re.search(r"^to compare +always class_0250: \d", summary, re.MULTILINE)
    delivered = "trained on 300 of 900 photos, not on those it was measured on"
    assert re.search(rf"^delivered +{delivered}$", summary, re.MULTILINE)
    assert "3 duplicate photos are left out: 3 with equal bytes" in summary


@pytest.mark.parametrize(
    ("learned", "folded", "said"),
    [
        (90, True, "trained on all 90 photos after measuring"),
        (90, False, "trained on all 90 photos after measuring"),
        (81, True, "trained on 81 of 90 photos, not on those of the test"),
        (63, False, "trained on 63 of 90 photos, not on those it was measured on"),
    ],
)
def test_what_was_delivered_is_told_from_what_was_measured(learned, folded, said):
    metadata = {
        "delivered": {"photos": learned, "learned_test_photos": False},
        "cross_validation": {"folds": 5, "leave_one_out": False} if folded else None,
        "split": {"totals": {TRAIN: 81, VALIDATION: 0, TEST: 9}},
    }
    assert delivered_text(metadata) == said


def test_repr_says_the_warnings_too():
    result = train_result(3)
    assert repr(result) == f"warning: {result.warnings[0]}\n\n{result.summary()}"
    quiet = dataclasses.replace(result, warnings=())
    assert repr(quiet) == quiet.summary()


def test_what_results_hold_prints_little():
    result = train_result(1000, bad=1000, wrong=256)
    for held in (result.manifest, result.extraction, result.test, result.model_folder):
        assert len(repr(held)) < 200
    assert len(repr(result.pictures)) < 200
    assert repr(result.manifest) == (
        "Manifest(1000 classes, 1000 train, 1000 validation, 1000 test, 1000 left out,"
        " 3 duplicates)"
    )


def test_names_from_strangers_are_shown_and_not_obeyed():
    named = HOSTILE + "{}.jpg"
    labels = (HOSTILE, "tame")
    result = dataclasses.replace(
        evaluation_result(2, 3, named),
        evaluation=Evaluation(labels, np.array([[3, 1], [0, 4]])),
        warnings=(HOSTILE,),
    )
    for shown in (result, train_result(2, bad=2, wrong=3, name=named)):
        text = repr(shown)
        assert text.replace("\n", "").isprintable()
        text.encode("utf-8")
        page = shown._repr_html_()
        page.encode("utf-8")
        assert "script" not in Page(page).tags
        assert "<script>alert" in Page(page).text
        assert "\x1b" not in page


def test_html_helpers_escape_text_and_attributes():
    made = h("p", "1 < 2 & 3", [h("b", '"'), None], title='a"b<c', class_="x", hidden=None)
    assert made == '<p title="a&quot;b&lt;c" class="x">1 &lt; 2 &amp; 3<b>&quot;</b></p>'
    assert h("img", alt="a") == '<img alt="a">'
    assert "--from:0.2500;--to:0.7500;--at:0.5000" in interval_bar(0.25, 0.5, 0.75)


@pytest.mark.parametrize(("classes", "rows"), [(2, 2), (20, 20), (100, 21), (1000, 21)])
def test_the_matrix_on_a_page_is_small_for_any_number_of_classes(classes, rows):
    result = evaluation_result(classes)
    shown = result._repr_html_()
    page = Page(shown)
    assert len(shown) < 60_000
    matrix = re.search(r'<table class="xf-matrix.*?</table>', shown).group()
    assert matrix.count("<tr>") == rows + 1
    counts = [int(cell.replace(",", "")) for cell in re.findall(r"<td[^>]*>([\d,]+)</td>", matrix)]
    assert sum(counts) == result.evaluation.total
    assert ("others" in matrix) == (classes > 20)
    assert "class_0000 predicted as class_0001: 2 of 10" in page.titles


def test_tiles_say_how_sure_an_accuracy_is():
    result = evaluation_result(2)
    few = result._repr_html_()
    assert "80.0%" in Page(few).text
    # Of few photos the interval is as large as the accuracy.
    assert "<b>58% to 92%</b>" in few
    assert "95% interval, N = 20" in Page(few).text
    assert "always class_0000: 50.0%" in Page(few).text
    many = Evaluation(("a", "b"), np.array([[80, 20], [20, 80]]), folds=5)
    page = dataclasses.replace(result, evaluation=many)._repr_html_()
    assert "<b>80.0%</b>" in page
    assert "<b>73.9% to 85.0%</b>" not in page
    assert "73.9% to 85.0%" in page
    assert "95% interval, N = 200, 5 folds" in page
    nothing = Evaluation(("a", "b"), np.zeros((2, 2), np.int64))
    none = dataclasses.replace(evaluation_result(2), evaluation=nothing)
    assert "not measured" in Page(none._repr_html_()).text


def test_a_page_has_a_bounded_number_of_photos_the_surest_first():
    page = evaluation_result(2, 200)._repr_html_()
    assert page.count("<figure") == 18
    assert "Misclassified photos: 200 of 20" in page
    assert page.index("red/199.jpg") < page.index("red/198.jpg")
    assert "red/181.jpg" not in page


def test_the_page_of_a_training_shows_what_it_got_wrong(trained):
    _, result = trained
    wrong = result.misclassified_in_validation
    assert wrong
    page = result._repr_html_()
    shown = Page(page)
    count = min(len(wrong), 18)
    assert page.count('<img src="data:image/webp;base64,') == count
    assert "not there" not in shown.text
    for word in ("Test accuracy", "Cross-validated accuracy", "Photos", "Classes", "Time"):
        assert word in shown.text
    assert "Confusion matrix of the cross-validated photos" in shown.text
    total = len(result.manifest.photos)
    assert f"Delivered: trained on all {total} photos after measuring" in shown.text
    assert f"{result.validation.total} cross-validated, {result.test.total} test" in shown.text
    assert len(page) < 100_000
    summary = result.summary()
    assert repr(result).endswith(summary)
    assert re.search(rf"^model +{re.escape(str(result.model_folder.path))}$", summary, re.MULTILINE)
    assert re.search(
        r"^class +photos +right, cross-validated +right in test$", summary, re.MULTILINE
    )
    assert re.search(r"^training +60 steps, 5 folds$", summary, re.MULTILINE)


def test_photos_that_are_gone_or_changed_are_said_to_be(trained, photo_bytes, tmp_path):
    photos, result = trained
    moved = shutil.copytree(photos, tmp_path / "photos")
    wrong = result.misclassified_in_validation
    (moved / wrong[0].name).write_bytes(photo_bytes("white", 1))
    for photo in wrong[1:]:
        (moved / photo.name).unlink()
    pictures = Pictures(read_image_dir(str(photos)), PhotoLimits())
    source = dataclasses.replace(
        pictures.source,
        files=tuple(
            (path.replace(str(photos), str(moved)), i) for path, i in pictures.source.files
        ),
        root=str(moved),
    )
    gone = dataclasses.replace(result, pictures=Pictures(source, PhotoLimits()))
    page = gone._repr_html_()
    assert "data:image/webp" not in page
    assert f"{len(wrong)} can't be shown: the file is gone or has changed." in Page(page).text
    assert wrong[0].name.rsplit("/", 1)[-1] in page


def test_a_source_that_fails_costs_the_pictures_alone():
    class Broken(Gone):
        def entries(self):
            raise OSError("the dataset was removed")

    result = dataclasses.replace(
        evaluation_result(2, 3), pictures=Pictures(Broken(), PhotoLimits())
    )
    text = Page(result._repr_html_()).text
    assert "The photos can't be read: the dataset was removed" in text
    assert "80.0%" in text
