"""Auditing, correcting and reviewing photos that may have several labels."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from several import CLASSES, make_halves

import xferlearn
from xferlearn import UserError
from xferlearn.auditing import AuditResult
from xferlearn.auditing.classes import find_few_photos, find_together
from xferlearn.auditing.findings import ALWAYS, CONFLICT, FEW_PHOTOS, LABEL, NEVER
from xferlearn.auditing.set_errors import change_text, find_set_errors
from xferlearn.config import EvaluateConfig, TrainConfig
from xferlearn.photos.corrected import CorrectedSource, MeasuredClasses
from xferlearn.photos.corrections import COLUMNS, Correction, Corrections, read_corrections
from xferlearn.photos.manifest import Photo
from xferlearn.photos.opening import open_source
from xferlearn.review.answers import Answers
from xferlearn.review.choosing import next_photos
from xferlearn.review.finding import Finder
from xferlearn.review.session import Session
from xferlearn.training.auditing import find_by_looks
from xferlearn.training.fit import prepare
from xferlearn.training.material import LinearHeads, material_of
from xferlearn.training.networks import load_networks

SETTINGS = {
    "backbone": "mobilenet_0.25", "weights": "none", "image_size": 32, "engine": "tensorflow",
    "precision": "float32", "verbose": 0,
}  # fmt: skip
# A label that is missing, one that is too much, and a photo without any that should have one.
WRONG = {0: "red", 8: "green|red", 15: ""}
HEAD = ",".join(COLUMNS)


def told(share: float, photos: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Labels of three classes, and probabilities of heads that are right and rather sure."""
    generator = np.random.default_rng(0)
    y = (generator.random((photos, 3)) < share).astype(np.int8)
    logits = np.where(y == 1, 3, -3) + generator.normal(0, 1, y.shape)
    return y, (1 / (1 + np.exp(-logits))).astype(np.float32)


def test_labels_that_are_missing_or_too_much_are_found_with_their_probability() -> None:
    truth, said = told(0.4)
    y = truth.copy()
    missing, surplus = np.argwhere(truth == 1)[:12], np.argwhere(truth == 0)[:6]
    y[tuple(missing.T)], y[tuple(surplus.T)] = 0, 1
    y[-1] = -1  # nobody has labelled it
    given: list[np.ndarray] = []

    def fit(targets: np.ndarray) -> np.ndarray:
        given.append(targets)
        return said

    found = find_set_errors(y, CLASSES, fit)
    wrong = (y != truth) & (y >= 0)
    assert (found.suspected & wrong).sum() >= 15
    rows = wrong.any(axis=1)[found.order].sum()
    expected = found.estimate(found.order)
    assert expected.low <= rows <= expected.high
    # What looks wrong is not learned; the rest of those photos is.
    assert len(given) == 2
    soft = (given[1] > 0) & (given[1] < 1)
    assert 0 < soft.sum() < 40
    assert (given[1][~soft] == y[~soft]).all()
    assert not found.suspected[-1].any()
    row, place = surplus[0]
    proposed, text = found.told(int(row))
    assert CLASSES[place] not in proposed.split("|")
    assert f"remove {CLASSES[place]} (" in text


def test_nothing_is_suspected_of_photos_that_no_head_judges() -> None:
    y, said = told(0.4, 20)
    found = find_set_errors(y, CLASSES, lambda targets: np.full_like(said, np.nan))
    assert not found.suspected.any()
    assert found.estimate(found.order).value == 0


def test_changes_are_said_as_what_is_to_be_added_and_removed() -> None:
    assert change_text("cat|dog", "bird|dog") == "add bird, remove cat"
    assert change_text("", "cat|dog") == "add cat and dog"
    assert change_text("cat", "") == "remove cat"
    assert change_text("cat", None) == ""


def test_classes_that_are_always_or_never_together_and_rare_ones_are_found() -> None:
    y = np.zeros((60, 5), bool)
    y[:30, 0] = y[:30, 1] = True  # always together
    y[30:, 2] = True  # never with them
    y[::2, 3] = True  # as chance has it
    y[:2, 4] = True
    names = ("puppy", "dog", "cat", "big", "rare")
    found = {one.kind: one for one in find_together(names, y)}
    assert found[ALWAYS].text == "puppy and dog: each of their 30 photos has both"
    assert found[NEVER].labels in (("puppy", "cat"), ("dog", "cat"))
    assert "none of 30 and 30 photos has both, about 15 would by chance" in found[NEVER].text
    assert not [one for one in find_together(names, y) if "big" in one.labels]
    (few,) = find_few_photos(names, y)
    assert (few.kind, few.text) == (FEW_PHOTOS, "rare: only 2 photos have it")
    (few,) = find_few_photos(("a",), ~np.eye(1, 60, dtype=bool).T)
    assert few.text == "a: only 1 photo is without it"


def test_photos_are_chosen_by_the_class_that_is_least_sure() -> None:
    said = np.array([[0.9, 0.8, 0.1], [0.99, 0.99, 0.5], [0.99, 0.01, 0.99]], np.float32)
    x = np.eye(3, dtype=np.float32)
    rows, none = np.arange(3), np.arange(0)
    assert next_photos(said, x, rows, none, 1, batch=1, multi_label=True).tolist() == [1]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("several") / "photos"
    table = make_halves(root, 84, WRONG)
    # The same picture with other labels.
    shutil.copy(root / "001.png", root / "twin.png")
    with table.open("a") as file:
        file.write("twin.png,red\n")
    place = {"image_dir": root, "labels": table, "multi_label": True}
    return place | {"bottleneck_dir": root.parent / "bottlenecks"} | SETTINGS


@pytest.fixture(scope="module")
def audited(photos: dict[str, Any]) -> AuditResult:
    folder = photos["image_dir"].parent
    names = {"output": "found.csv", "page": "page.html", "proposals": "proposed.csv"}
    return xferlearn.audit(**photos, **{name: folder / file for name, file in names.items()})


def test_planted_faults_are_found_and_said(audited: AuditResult) -> None:
    text = audited.summary()
    found = {one.name: one for one in audited.of_kind(LABEL)}
    assert found["000.png"].proposed == "blue|red"
    assert found["008.png"].proposed == "green"
    assert "000.png: red, add blue" in text
    assert "mean average precision" in text
    assert "classes that overlap" not in text
    assert audited.photos == 85
    assert {one.name for one in audited.of_kind(CONFLICT)} >= {"twin.png"}
    assert audited.as_dict()["evaluation"]["mean_average_precision"] > 0.9


def test_what_was_found_is_written_and_its_proposals_are_learned(
    audited: AuditResult, photos: dict[str, Any]
) -> None:
    with audited.output.open() as file:
        rows = {row["file"]: row for row in csv.DictReader(file) if row["kind"] == LABEL}
    assert (rows["000.png"]["label"], rows["000.png"]["proposed"]) == ("red", "blue|red")
    page = audited.page.read_text()
    assert "red + blue" in page or "blue + red" in page
    assert "other labels fit better" in page
    proposed = read_corrections(audited.proposals)
    assert {row.label for row in proposed.values()} >= {"blue|red", "green"}
    config = TrainConfig(corrections=audited.proposals, **photos)
    source = open_source(config)
    assert isinstance(source, CorrectedSource)
    assert source.is_multi_label


def test_an_empty_label_is_none_of_the_classes_or_told(
    photos: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"{HEAD}\n{'ab' * 32},x.png,relabel,,,\n{'cd' * 32},y.png,keep,red|blue,,\n")
    found = read_corrections(path)
    several = found.suited(multi_label=True)
    assert [row.label for row in several.values()] == ["", "blue|red"]
    with pytest.raises(UserError, match=r"Expected a `label` to relabel for x\.png"):
        found.suited(multi_label=False)
    for label in ("red", "blue"):
        (tmp_path / label).mkdir()
        shutil.copy(photos["image_dir"] / "001.png", tmp_path / label)
    with pytest.raises(UserError, match="its photos have one label each"):
        open_source(TrainConfig(image_dir=tmp_path, corrections=path))
    assert open_source(TrainConfig(corrections=path, **photos)).labels


def test_a_model_is_measured_with_corrections_of_sets(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"{HEAD}\n{'00' * 32},x,relabel,,,\n{'01' * 32},y,relabel,red|blue,,\n")
    config = EvaluateConfig(model="m", image_dir="p", corrections=path)
    counted = MeasuredClasses(config, ("green", "blue|red"), CLASSES, multi_label=True)
    places = [counted.index(Photo(bytes([row]) * 32, row, "x")) for row in range(2)]
    assert [counted.labels[place] for place in places if place is not None] == ["", "blue|red"]
    assert (counted.applied.relabelled, counted.applied.already) == (1, 1)
    with pytest.raises(UserError, match="one label each"):
        MeasuredClasses(config, ("green", "blue"), CLASSES)


@pytest.fixture(scope="module")
def material(photos: dict[str, Any], audited: AuditResult) -> Any:
    """The audit's photos, and five without labels."""
    fresh = photos["image_dir"].parent / "new"
    make_halves(fresh, 5, first=200)
    (fresh / "labels.csv").unlink()
    config = TrainConfig(unlabelled=fresh, **photos)
    source = open_source(config)
    return material_of(prepare(config, source, load_networks(config)), config), config


def open_session(material: Any, path: Path) -> Session:
    found, config = material
    heads = LinearHeads(found.bottlenecks, found.folds, found.prepared.widths)
    others, _ = find_by_looks(found, config)
    return Session(found, Answers(path), heads, Finder(found, heads, others))


def settle(session: Session) -> dict[str, Any]:
    while (state := session.state())["fit"]["busy"]:
        session.wait(state["revision"], 60)
    return state


def test_a_review_asks_for_labels_and_learns_them(material: Any, tmp_path: Path) -> None:
    session = open_session(material, tmp_path / "c.csv")
    state = session.state()
    assert state["multi_label"]
    assert state["accuracy"]["measure"] == "mean average precision"
    assert json.dumps(state)
    asked = {one["name"].rsplit("/", 1)[-1]: one for one in reversed(state["items"])}
    assert asked["008.png"]["labels"] == ["green", "red"]
    assert asked["008.png"]["text"] == "remove red"
    bare = next(one for one in state["items"] if one["kind"] == "unlabelled")
    assert bare["labels"] is None
    assert set(bare["proposed"]) <= set(CLASSES)

    def answer(name: str, action: str, label: str = "") -> None:
        session.answer([bytes.fromhex(asked[name]["id"])], action, label)

    answer("008.png", "relabel", "green")
    answer("000.png", "relabel", "")
    session.add_class("black")
    session.answer([bytes.fromhex(bare["id"])], "relabel", "red|black")
    with pytest.raises(UserError, match="no class 'pink'"):
        answer("008.png", "relabel", "pink|red")
    other = [one for one in state["items"] if one["kind"] == "unlabelled"][1]
    with pytest.raises(UserError, match="could be kept"):
        session.answer([bytes.fromhex(other["id"])], "keep")
    session.refit()
    state = settle(session)
    assert state["labels"] == [*CLASSES, "black"]
    assert not state["fit"]["error"]
    assert "points (95%: " in state["accuracy"]["text"]
    assert {one["label"]: one["photos"] for one in state["classes"]}["black"] == 1
    session.undo()
    assert {row["label"] for row in rows_of(tmp_path / "c.csv")} == {"green", ""}
    session.close()
    again = open_session(material, tmp_path / "c.csv")
    item = next(one for one in again.state()["items"] if one["name"] == "008.png")
    assert item["answer"] == {"action": "relabel", "labels": ["green"]}
    again.close()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [*csv.DictReader(file)]


def test_corrections_of_sets_count_classes_as_new_and_gone() -> None:
    class Listed:
        labels = ("cat", "cat|dog")
        warnings = left_out = ()
        is_multi_label = True

    several = [Photo(bytes([row]) * 32, row, f"{row}") for row in range(2)]
    rows = [Correction(several[1].digest, "1", "relabel", "emu|cat")]
    corrections = Corrections({row.digest: row for row in rows}).suited(multi_label=True)
    source = CorrectedSource(Listed(), corrections, Listed.labels)  # type: ignore[arg-type]
    found = source.settled(several, ())
    assert found.labels == ("cat", "cat|emu")
    assert found.applied is not None
    assert (found.applied.new, found.applied.empty) == (("emu",), ("dog",))
