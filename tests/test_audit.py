"""`xferlearn audit`: what it finds in arrays, and in a folder with planted faults."""

import csv
import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pictures import picture
from PIL import Image, ImageFilter

import xferlearn
from xferlearn.auditing import KINDS, AuditResult
from xferlearn.auditing.classes import find_few_groups, find_overlaps
from xferlearn.auditing.copies import copy_of, find_copies
from xferlearn.auditing.findings import (
    ACROSS,
    BLACK,
    BLURRED,
    CONFLICT,
    EMPTY,
    LABEL,
    OUTLIER,
    SHAPE,
    TINY,
    TWINS,
    WHITE,
)
from xferlearn.auditing.label_errors import Estimate, LabelErrors
from xferlearn.auditing.outliers import find_outliers, loneliness
from xferlearn.auditing.quality import find_bad_quality, measure
from xferlearn.auditing.suspects import find_suspects
from xferlearn.cli import main
from xferlearn.commands.train import next_commands
from xferlearn.config import TrainConfig
from xferlearn.errors import UserError
from xferlearn.metrics import Evaluation
from xferlearn.photos.corrections import (
    Correction,
    Corrections,
    changing_corrections,
    read_corrections,
)
from xferlearn.photos.corrections import write_corrections as write
from xferlearn.photos.manifest import Photo
from xferlearn.photos.twins.finding import Alike
from xferlearn.training import auditing
from xferlearn.training.job import train_with

LABELS = ("a", "b", "c")
SETTINGS = {
    "backbone": "mobilenet_0.25", "weights": "none", "image_size": 32, "engine": "tensorflow",
    "precision": "float32", "verbose": 0,
}  # fmt: skip


def photo(number: int, label: int = 0, split: str | None = None, name: str = "") -> Photo:
    return Photo(bytes([number]) * 32, label, name or f"{LABELS[label]}/{number}.jpg", split)


def measured(*pictures: Image.Image | np.ndarray, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    return np.stack([measure(np.asarray(one), *size) for one in pictures])


def square(number: int) -> Image.Image:
    return picture(number, (224, 224))


def with_stripes(number: int) -> Image.Image:
    """A picture with sharp edges, as photos of things have them."""
    pixels = np.array(square(number))
    pixels[:, 40:90] = 255 - pixels[:, 40:90]
    pixels[100:140] = pixels[100:140] // 3
    return Image.fromarray(pixels)


def kinds_of(measurements: np.ndarray, classes: int = 1) -> list[tuple[int, str]]:
    photos = [photo(row, row % classes) for row in range(len(measurements))]
    return [(one.digest[0], one.kind) for one in find_bad_quality(photos, LABELS, measurements)]


def noise(low: int, high: int) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, (224, 224, 3), dtype=np.uint8)


def test_photos_that_show_nothing_are_told_apart_from_dark_ones() -> None:
    night = (np.asarray(with_stripes(9)) * 0.25).astype(np.uint8)
    hot = noise(0, 9)
    hot[7, 7:12] = 255  # pixels of a sensor
    others = [with_stripes(number) for number in range(8)]
    found = kinds_of(
        measured(noise(0, 9), noise(245, 255), noise(120, 127), night, hot, *others), 3
    )
    assert found == [(0, BLACK), (4, BLACK), (1, WHITE), (2, EMPTY)]


def test_a_photo_is_blurred_where_even_its_sharpest_part_is() -> None:
    sharp = [with_stripes(number) for number in range(8)]
    blurred = sharp[0].filter(ImageFilter.GaussianBlur(4))
    bokeh = blurred.copy()
    bokeh.paste(sharp[0].crop((20, 20, 120, 120)), (20, 20))
    measurements = measured(blurred, bokeh, *sharp)
    assert measurements[0, 3] == pytest.approx(4, rel=0.25)
    assert kinds_of(measurements) == [(0, BLURRED)]


def test_a_soft_camera_is_not_suspicious_photo_by_photo() -> None:
    soft = [with_stripes(number).filter(ImageFilter.GaussianBlur(3)) for number in range(6)]
    assert kinds_of(measured(*soft)) == []


def test_tiny_files_and_extreme_shapes_are_found_unless_all_are_like_that() -> None:
    usual = [measured(with_stripes(number)) for number in range(6)]
    tiny = measured(with_stripes(7), size=(40, 30))
    long = measured(with_stripes(8), size=(160, 960))
    assert kinds_of(np.concatenate([tiny, long, *usual])) == [(0, TINY), (1, SHAPE)]
    one = measured(noise(120, 121), size=(1, 1))
    assert kinds_of(np.concatenate([one, *usual])) == [(0, TINY)]
    small = [measured(with_stripes(number), size=(32, 32)) for number in range(6)]
    assert kinds_of(np.concatenate(small)) == []


def test_what_much_of_a_class_is_like_is_what_the_class_is_like() -> None:
    black = measured(noise(0, 9))
    usual = [measured(with_stripes(number)) for number in range(4)]
    rows = [part for one in usual for part in (one, black)]
    assert kinds_of(np.concatenate(rows), classes=2) == []


def test_photos_that_are_gone_are_not_judged() -> None:
    assert kinds_of(np.full((3, 7), np.nan, np.float32)) == []
    assert find_bad_quality([], LABELS, np.zeros((0, 7), np.float32)) == []


def test_strange_photos_come_first_even_where_they_are_like_each_other() -> None:
    generator = np.random.default_rng(1)
    usual = generator.normal(0, 0.3, (200, 16)) + 1
    strange = np.zeros((3, 16))
    strange[:, 0] = 4
    x = np.concatenate([usual, strange]).astype(np.float32)
    lonely = loneliness(x, np.arange(203) % 5)
    photos = [dataclasses.replace(photo(0), digest=bytes([row]) * 32) for row in range(203)]
    found = find_outliers(photos, LABELS, lonely)
    assert {one.digest[0] for one in found[:3]} == {200, 201, 202}
    assert len(found) <= 5
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert {one.kind for one in found} == {OUTLIER}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_few_photos_have_no_outliers(number: int) -> None:
    x = np.ones((number, 4), np.float32)
    lonely = loneliness(x, np.zeros(number, int))
    assert find_outliers([photo(row) for row in range(number)], LABELS, lonely) == []


def test_copies_of_one_class_are_told_once_per_group() -> None:
    photos = [photo(1), photo(1, name="a/copy.jpg"), photo(2), photo(3), photo(4, 1)]
    twins = {photo(number).digest: photo(2).digest for number in (2, 3)}
    found = find_copies(photos, LABELS, Alike(twins=twins), {})
    assert [(one.kind, one.name, one.text) for one in found] == [
        (TWINS, "a/1.jpg", "same bytes as a/copy.jpg"),
        (TWINS, "a/2.jpg", "same picture as a/3.jpg"),
    ]


def test_of_twins_of_several_classes_the_label_that_fits_less_is_suspected() -> None:
    photos = [photo(1), photo(2, 1), photo(3, 1)]
    common = {one.digest: photos[0].digest for one in photos}
    alike = Alike(common, common)

    def proposed(a: float, b: float) -> list[tuple[str, str, float]]:
        wrong = {copy_of(photos[0], alike): a, copy_of(photos[1], alike): b}
        found = find_copies(photos, LABELS, alike, wrong)
        return [(one.name, one.proposed, one.score) for one in found]

    assert proposed(0.1, 0.9) == [("b/2.jpg", "a", 0.9), ("b/3.jpg", "a", 0.9)]
    assert proposed(0.9, 0.1) == [("a/1.jpg", "b", 0.9)]
    # Nothing is proposed where it is not clear, both are wrong, or no head could be asked.
    assert proposed(0.1, 0.33) == [("b/2.jpg", None, 0.33), ("b/3.jpg", None, 0.33)]
    assert proposed(0.6, 0.9) == [("b/2.jpg", None, 0.9), ("b/3.jpg", None, 0.9)]
    found = find_copies(photos, LABELS, alike, {})
    assert {(one.kind, one.proposed) for one in found} == {(CONFLICT, None)}
    assert found[0].text == "same pixels as a/1.jpg"
    assert found[0].others == (photos[0].digest,)


def test_what_a_person_has_decided_of_a_twin_is_proposed_for_the_others() -> None:
    photos = [photo(1), photo(2, 1), photo(3, 2)]
    alike = Alike(twins={one.digest: photos[0].digest for one in photos})
    sure = {copy_of(photos[0], alike): 0.01, copy_of(photos[1], alike): 0.99}
    found = find_copies(photos, LABELS, alike, sure, {copy_of(photos[1], alike)})
    assert [(one.name, one.proposed, one.score) for one in found] == [
        ("a/1.jpg", "b", 1.0),
        ("c/3.jpg", "b", 1.0),
    ]
    # Of twins with a decision each there is nothing left to say.
    every = {copy_of(one, alike) for one in photos}
    assert find_copies(photos, LABELS, alike, sure, every) == []


def test_equal_bytes_in_two_classes_are_one_finding() -> None:
    photos = [photo(1, name="a/x.jpg"), photo(1, 1, name="b/x.jpg")]
    wrong = {copy_of(one, Alike()): 0.99 - 0.98 * one.label for one in photos}
    (found,) = find_copies(photos, LABELS, Alike(), wrong)
    assert (found.kind, found.name, found.proposed) == (CONFLICT, "a/x.jpg", "b")


def errors_of(score: list[float], proposed: list[int]) -> LabelErrors:
    """Label errors as they come out where all photos are judged."""
    scores, none = np.array(score, np.float32), Estimate(0.0, 0, 0)
    order = np.argsort(-scores, kind="stable")
    likely = np.full((len(score), len(LABELS)), 1 / 3, np.float32)
    return LabelErrors(scores, np.array(proposed), order, none, none, likely, lambda some: none)


def test_a_photo_is_suspected_once_and_copies_are_decided_together() -> None:
    # Three copies with one label, a twin of another class, and a photo of its own.
    photos = [photo(1), photo(4, 1), photo(5, 1), photo(6, 2)]
    every = [*photos, photo(2), photo(3)]
    same = {photo(number).digest: photo(1).digest for number in (1, 2, 3)}
    errors = errors_of([0.9, 0.05, 0.8, 0.7], [1, 0, 0, 1])
    alike = Alike(same, same | {photo(5).digest: photo(6).digest, photo(6).digest: photo(6).digest})
    found = find_suspects(photos, LABELS, errors, every, alike)
    kinds = [(one.kind, one.name) for one in found.findings]
    assert kinds[:3] == [(LABEL, "a/1.jpg"), (LABEL, "c/6.jpg"), (LABEL, "b/4.jpg")]
    assert (CONFLICT, "b/5.jpg") in kinds
    assert found.findings[0].others == (photo(2).digest, photo(3).digest)
    assert found.rows.tolist() == [0, 3, 1]
    decided = find_suspects(photos, LABELS, errors, every, alike, {photo(3).digest})
    assert [one.name for one in decided.findings if one.kind == LABEL] == ["c/6.jpg", "b/4.jpg"]


def test_twins_across_given_splits_name_the_photo_that_is_measured() -> None:
    photos = [photo(1, name="train/a/1.jpg"), photo(1, split="test", name="test/a/1.jpg")]
    (found,) = find_copies(photos, LABELS, Alike(), {})
    assert (found.kind, found.name) == (ACROSS, "test/a/1.jpg")
    assert found.text == "in test, and same bytes as train/a/1.jpg in train"


def test_classes_that_are_confused_more_than_others_overlap() -> None:
    confusion = np.array([[80, 18, 2], [20, 79, 1], [1, 0, 99]])
    (found,) = find_overlaps(Evaluation(LABELS, confusion))
    assert found.labels == ("a", "b")
    assert found.text == "a and b: 18 of 100 and 20 of 100 taken for the other"
    even = np.full((3, 3), 10) + 70 * np.eye(3, dtype=int)
    assert find_overlaps(Evaluation(LABELS, even)) == []
    one_way = np.array([[80, 20, 0], [0, 100, 0], [0, 0, 100]])
    assert find_overlaps(Evaluation(LABELS, one_way)) == []
    assert find_overlaps(Evaluation(LABELS, np.zeros((3, 3), int))) == []


def test_two_classes_alone_overlap_where_many_are_confused() -> None:
    def found(right: int) -> int:
        confusion = np.array([[right, 100 - right], [100 - right, right]])
        return len(find_overlaps(Evaluation(("a", "b"), confusion)))

    assert (found(93), found(80)) == (0, 1)


def test_a_class_of_few_groups_is_found_and_one_of_few_single_photos_is_not() -> None:
    y = np.array([0] * 10 + [1] * 10 + [2] * 3)
    groups = np.array([0] * 10 + [1, 2] * 5 + [5, 6, 7])
    found = find_few_groups(LABELS, y, groups)
    assert [one.text for one in found] == [
        "a: its 10 photos are 1 group: learned, but it can't be measured",
        "b: its 10 photos are only 2 groups: its accuracy is that of 2",
    ]


@pytest.fixture(scope="module")
def faulty(photo_bytes, tmp_path_factory) -> Path:
    """Photos of three colours, with planted faults."""
    root = tmp_path_factory.mktemp("audit") / "photos"
    for label in ("red", "green", "blue"):
        (root / label).mkdir(parents=True)
        for number in range(24):
            data = photo_bytes(label, number)
            (root / label / f"{number:02d}.jpg").write_bytes(data)
    (root / "green" / "wrong.jpg").write_bytes(photo_bytes("red", 101))
    (root / "red" / "copy.jpg").write_bytes(photo_bytes("red", 3))
    (root / "blue" / "same.jpg").write_bytes(photo_bytes("red", 4))
    (root / "blue" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    buffer = io.BytesIO()
    Image.fromarray(noise(0, 9)[:48, :64]).save(buffer, "PNG")
    (root / "red" / "black.png").write_bytes(buffer.getvalue())
    return root


@pytest.fixture(scope="module")
def store(faulty) -> Path:
    return faulty.parent / "bottlenecks"


@pytest.fixture(scope="module")
def audited(faulty, store) -> AuditResult:
    names = {"output": "o.csv", "page": "p.html", "proposals": "c.csv"}
    places = {setting: faulty.parent / name for setting, name in names.items()}
    return xferlearn.audit(image_dir=faulty, bottleneck_dir=store, **places, **SETTINGS)


def test_planted_faults_are_found(audited) -> None:
    found = {(one.kind, one.name) for one in audited.findings}
    assert {
        (LABEL, "green/wrong.jpg"),
        (CONFLICT, "blue/same.jpg"),
        (TWINS, "red/03.jpg"),
        (BLACK, "red/black.png"),
    } <= found
    assert (OUTLIER, "red/black.png") not in found
    order = [(KINDS.index(one.kind), -one.score) for one in audited.findings]
    assert order == sorted(order)
    assert [bad.name for bad in audited.bad] == ["blue/broken.jpg"]
    low, about, high = audited.expected
    assert low <= about <= high <= len(audited.of_kind(LABEL))
    assert audited.photos == 75


def test_only_what_is_more_likely_wrong_than_right_is_proposed(audited) -> None:
    proposed = audited.corrections()
    likely = [one for one in audited.findings if one.proposed and one.score >= 0.5]
    assert proposed.keys() == {one.digest for one in likely}
    assert {(row.action, row.command) for row in proposed.values()} == {
        ("relabel", "xferlearn audit")
    }
    assert {row.name for row in proposed.values()} >= {"blue/same.jpg"}


def test_the_summary_fits_a_terminal_and_says_how_many_are_fine(audited) -> None:
    text = audited.summary()
    assert len(text.split("\n")) <= 45
    number = len(audited.of_kind(LABEL))
    assert f"of these {number} are wrong (95%: " in text or f"of these {number} is wrong" in text
    assert "fine: look at each." in text
    few = dataclasses.replace(audited, findings=audited.of_kind(LABEL)[:1], expected=(0, 0.331, 1))
    assert few.expected_text() == "It is wrong with a probability of 33%: look at it."
    assert "green/wrong.jpg: green, rather red" in text
    assert "None found: twins across given splits" in text


def test_a_notebook_shows_the_photos(audited) -> None:
    page = audited._repr_html_()
    assert page.count("data:image/webp") >= 3
    assert "twins, kept in one fold: 1" in page


def test_the_result_is_json(audited) -> None:
    value = json.loads(json.dumps(audited.as_dict()))
    assert value["findings"][0].keys() >= {"kind", "sha256", "file", "label", "proposed", "score"}
    assert value["evaluation"]["n"] == 75


def test_files_have_all_findings(audited) -> None:
    rows = list(csv.DictReader(audited.output.read_text().splitlines()))
    *rows, broken = [row for row in rows if row["file"]]
    assert [row["file"] for row in rows] == [one.name for one in audited.findings]
    assert (broken["kind"], broken["file"], broken["label"], broken["score"]) == (
        "not readable",
        "blue/broken.jpg",
        "blue",
        "",
    )
    assert "<html" in audited.page.read_text()
    assert read_corrections(audited.proposals).keys() == audited.corrections().keys()
    assert f"output     {audited.output}" in audited.summary()


@pytest.mark.parametrize("ending", ["tsv", "parquet", "jsonl"])
def test_other_forms_hold_the_same(audited, tmp_path, ending) -> None:
    from xferlearn.auditing import write_findings

    path = tmp_path / f"o.{ending}"
    with path.open("wb") as file:
        write_findings(file, audited, "json" if ending == "jsonl" else ending)
    if ending == "parquet":
        names = pq.ParquetFile(path).read().column("file").to_pylist()
    elif ending == "jsonl":
        names = [json.loads(line)["file"] for line in path.read_text().splitlines()]
    else:
        rows = csv.DictReader(path.read_text().splitlines(), delimiter="\t")
        names = [row["file"] for row in rows]
    names = [name for name in names if name]
    assert names == [*(one.name for one in audited.findings), "blue/broken.jpg"]


def test_proposals_leave_what_was_decided_and_decisions_are_not_listed_again(
    audited, faulty, store, tmp_path, monkeypatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(auditing, "write_page", full)
    # The second audit reads no photo.
    monkeypatch.setattr("xferlearn.auditing.measuring.load_photos", None)
    decided = next(one for one in audited.of_kind(LABEL) if one.name == "green/wrong.jpg")
    path = tmp_path / "c.csv"
    keep = Correction(decided.digest, decided.name, "keep", "green", command="review")
    write(path, Corrections({decided.digest: keep}))
    page = tmp_path / "p.html"
    other = next(digest for digest in audited.corrections() if digest != decided.digest)
    find = auditing.find_suspects

    def find_slowly(*given: object) -> object:
        # Meanwhile a person decides about another photo.
        late = Correction(other, "late.jpg", "exclude", command="review")
        write(path, Corrections({decided.digest: keep, other: late}))
        return find(*given)

    monkeypatch.setattr(auditing, "find_suspects", find_slowly)
    again = xferlearn.audit(
        image_dir=faulty,
        bottleneck_dir=store,
        corrections=path,
        proposals=path,
        page=page,
        **SETTINGS,
    )
    # A disk that is full in the end does not cost the findings.
    assert not again.complete
    assert again.warnings[-1] == f"Can't write `page` {page}: No space left on device."
    assert (again.page, again.proposals) == (None, path)
    assert "green/wrong.jpg" not in {one.name for one in again.of_kind(LABEL)}
    assert again.expected[1] < audited.expected[1]
    written = read_corrections(path)
    assert written[decided.digest].action == "keep"
    assert written[other].action == "exclude"
    assert any("1 kept" in line for line in again.corrected)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"output": "missing/o.csv"}, "There is no folder .*missing for `output`"),
        ({"page": "missing/p.html"}, "There is no folder .*missing for `page`"),
        ({"proposals": "."}, "Expected `proposals` to be a file"),
        ({"output": "same.csv", "proposals": "same.csv"}, "are the same file"),
        ({"output": "o.xlsx"}, "Expected `output` to end in"),
        ({"output": "decided.csv"}, "is a file of corrections, which `output` would replace"),
        ({"page": "model.keras"}, r"Expected `page` to end in \.html"),
        ({"page": "my.html"}, "is there and is no page of an audit"),
        ({"proposals": "open.csv"}, "Can't write `proposals` .*: a review has it open"),
        ({"proposals": "damaged.csv"}, "`proposals` adds to the file .* can't be read"),
        ({"corrections": "damaged.csv"}, "Expected the columns"),
    ],
)
def test_what_can_not_work_is_told_before_any_work(
    faulty, tmp_path, monkeypatch, flags, message
) -> None:
    monkeypatch.setattr(auditing, "prepare", None)
    (tmp_path / "damaged.csv").write_text("no,corrections\n")
    write(tmp_path / "decided.csv", Corrections())
    for name in ("my.html", "model.keras"):
        (tmp_path / name).write_text("mine")
    given = {name: tmp_path / place for name, place in flags.items()}
    with changing_corrections(tmp_path / "open.csv"), pytest.raises(UserError, match=message):
        xferlearn.audit(image_dir=faulty, bottleneck_dir=tmp_path / "b", **given, **SETTINGS)
    assert (tmp_path / "my.html").read_text() == "mine"


def test_files_are_not_written_among_the_photos(faulty, tmp_path) -> None:
    with pytest.raises(UserError, match=r"`page=.* lies in `image_dir="):
        xferlearn.audit(image_dir=faulty, page=faulty / "red" / "p.html", **SETTINGS)


def test_train_audits_after_the_model_and_keeps_it_if_that_fails(
    audited, faulty, store, tmp_path, monkeypatch
) -> None:
    def broken(*args: object) -> None:
        raise ValueError("broken on purpose")

    monkeypatch.setattr("xferlearn.training.job.audit_prepared", broken)
    config = TrainConfig(
        image_dir=faulty,
        model_dir=tmp_path / "m",
        bottleneck_dir=store,
        summaries="none",
        how_many_training_steps=5,
        audit=True,
        **SETTINGS,
    )
    result = train_with(config)
    assert "Nothing was audited: broken on purpose" in result.warnings
    assert (result.complete, result.audit) == (False, None)
    assert (tmp_path / "m" / "model.keras").is_file()
    assert "review" not in next_commands(config, result)
    well = dataclasses.replace(result, audit=audited)
    assert "likely label errors, the likeliest first:" in well.summary()
    assert "green/wrong.jpg: green, rather red" in well.summary()
    assert f"\n  xferlearn review --model_dir={tmp_path}/m" in next_commands(config, well)


def test_two_classes_one_of_a_single_group(faulty, store, tmp_path, capsys) -> None:
    root = tmp_path / "photos"
    for label, group in (("red", ""), ("green", "session/")):
        (root / label / group).mkdir(parents=True)
        for path in sorted((faulty / label).glob("0*.jpg")):
            shutil.copy(path, root / label / group / path.name)
    words = [f"--{name}={value}" for name, value in SETTINGS.items()]
    places = [f"--image_dir={root}", f"--bottleneck_dir={store}", f"--output={tmp_path}/o.csv"]
    assert main(["audit", *places, "--group_by=folder", *words]) == 0
    out = capsys.readouterr().out
    assert "photos           20 of 2 classes" in out
    assert "cross-validated  10 of 10 right" in out
    said = "green: its 10 photos are 1 group: learned, but it can't be measured"
    assert f"classes of too few groups:\n  {said}" in out
    rows = list(csv.DictReader((tmp_path / "o.csv").read_text().splitlines()))
    assert (rows[-1]["kind"], rows[-1]["label"]) == ("too few groups", "green")
