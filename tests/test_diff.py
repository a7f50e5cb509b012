"""`diff`: what one model gained and lost against another, photo by photo."""

import csv
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from model_folders import edit_metadata

import xferlearn
from xferlearn.cli import main
from xferlearn.errors import UserError
from xferlearn.metrics import paired_interval
from xferlearn.photos.corrections import Correction, Corrections, write_corrections
from xferlearn.photos.predicted import Predicted, write_predicted

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves variables through NumPy's older __array__ protocol.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

CATS_DOGS = ("cat", "dog")
Row = tuple[str, str, str, float]


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def write_model(
    folder: Path,
    rows: Sequence[Row],
    labels: tuple[str, ...] = CATS_DOGS,
    groups: Sequence[int] = (),
    **metadata: Any,
) -> Path:
    """A model folder without a model: photos by name, split, class and probability of the first."""
    folder.mkdir()
    names, splits, truth, first = zip(*rows, strict=True)
    rest = (1 - np.array(first)) / (len(labels) - 1)
    probabilities = np.stack([np.array(first), *[rest] * (len(labels) - 1)], 1)
    predicted = Predicted(
        labels,
        tuple(map(digest, names)),
        names,
        splits,
        truth,
        probabilities.astype(np.float32),
        np.full(len(names), np.nan, np.float32),
        tuple(groups),
    )
    with (folder / "predictions.parquet").open("wb") as file:
        write_predicted(file, predicted)
    told = {
        **{"format_version": 1, "labels": list(labels), "input": {"height": 32}},
        **{"cross_validation": {"folds": 5}, "decision": None},
    }
    (folder / "metadata.json").write_text(json.dumps({**told, **metadata}))
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    return folder


def cats(numbers: range, probability: float, split: str = "train") -> list[Row]:
    return [(f"cat/{number}", split, "cat", probability) for number in numbers]


@pytest.fixture
def models(tmp_path: Path) -> tuple[str, str]:
    """Before, 30 of 40 are right and 8 of 10 of the test; after, 36 and 7."""
    before = cats(range(30), 0.9) + cats(range(30, 40), 0.2)
    before += cats(range(40, 48), 0.8, "test") + cats(range(48, 50), 0.3, "test")
    after = cats(range(28), 0.9) + cats(range(28, 30), 0.4) + cats(range(30, 38), 0.7)
    after += cats(range(38, 40), 0.1) + cats(range(40, 47), 0.8, "test")
    after += [*cats(range(47, 50), 0.3, "test"), ("dog/new", "train", "dog", 0.1)]
    folders = write_model(tmp_path / "a", before), write_model(tmp_path / "b", after[::-1])
    return str(folders[0]), str(folders[1])


def test_photos_are_matched_by_content_and_the_change_is_paired(models: tuple[str, str]) -> None:
    result = xferlearn.diff(models=models)
    assert list(result.parts) == ["cross-validated", "test"]
    folded, test = result.parts.values()
    assert (folded.before.correct, folded.after.correct, folded.change.photos) == (30, 36, 40)
    assert (test.before.correct, test.after.correct, test.change.photos) == (8, 7, 10)
    assert (folded.change.gained, folded.change.lost) == (8, 2)
    assert folded.change.mean == pytest.approx(0.15)
    assert folded.change.interval == pytest.approx(paired_interval(28, 2, 8, 2))
    assert result.total.change.photos == 50
    assert result.only == (0, 1)
    assert {one.name for one in result.of_change("lost")} == {"cat/28", "cat/29", "cat/47"}
    assert len(result.of_change("gained")) == 8
    one = result.of_change("gained")[0]
    assert (one.truth, one.before, one.after) == ("cat", "dog", "cat")
    assert (one.score_before, one.score_after) == pytest.approx((0.8, 0.7))


def test_what_is_printed_and_written(
    models: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", *models, f"--output={tmp_path / 'changed.csv'}"]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines() if str(tmp_path) not in line)
    assert "photos  50 photos compared, 1 only after" in out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    low, high = (f"{100 * end:+.1f}" for end in paired_interval(28, 2, 8, 2))
    assert rows["cross-validated"] == ["40", "75.0%", "90.0%", "+15.0", low, "to", high]
    assert rows["test"][:4] == ["10", "80.0%", "70.0%", "-10.0"]
    assert rows["cat"] == ["50", "76.0%", "86.0%", "+10.0"]
    assert "3 photos lost: right before, wrong after:\n  cat/47: cat -> dog (0.80, 0.70)" in out
    assert "8 photos gained: wrong before, right after:" in out
    assert "0 photos changed, wrong both times." in out
    result = xferlearn.diff(models=models, output=tmp_path / "changed.csv")
    told = {block.where for block in result.blocks() if block.noun == "photo"}
    assert told == {f"{tmp_path / 'changed.csv'} has all"}
    with (tmp_path / "changed.csv").open() as file:
        written = list(csv.DictReader(file))
    assert len(written) == 11
    assert {row["change"] for row in written} == {"gained", "lost"}
    assert written[0]["sha256"] == digest(written[0]["file"]).hex()

    assert main(["diff", *models, "--format=json", f"--output={tmp_path / 'c.parquet'}"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n"], told["gained"], told["lost"]) == (50, 8, 3)
    assert told["parts"]["test"]["accuracy_after"] == pytest.approx(0.7)
    assert told["classes"] == {"cat": {"n": 50, "recall_before": 0.76, "recall_after": 0.86}}
    assert told["changed"] == pq.read_table(tmp_path / "c.parquet").to_pylist()

    page = xferlearn.diff(models=models)._repr_html_()
    for said in ("Before", "+10.0 points", "cat/47", "paired by photo"):
        assert said in page


def test_a_photo_that_is_a_test_photo_of_one_model_alone_is_not_compared(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a", cats(range(5), 0.9) + cats(range(5, 10), 0.9, "test"))
    second = write_model(tmp_path / "b", cats(range(3), 0.9, "test") + cats(range(3, 10), 0.9))
    result = xferlearn.diff(models=[str(first), str(second)])
    assert (result.total.change.photos, result.apart, result.only) == (2, 8, (0, 0))
    assert "8 are test photos of one model alone" in " ".join(repr(result).split())


def test_labels_that_changed_are_counted_and_the_newer_ones_judge(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a", cats(range(10), 0.9))
    relabelled = [(name, split, "dog", 0.1) for name, split, _, _ in cats(range(4), 0.1)]
    second = write_model(tmp_path / "b", relabelled + cats(range(4, 10), 0.9))
    result = xferlearn.diff(models=[str(first), str(second)])
    assert result.relabelled == 4
    assert (result.total.before.correct, result.total.after.correct) == (6, 10)
    assert "4 photos have another label since" in repr(result)


def test_corrections_judge_both_models(tmp_path: Path, models: tuple[str, str]) -> None:
    rows = [
        Correction(digest("cat/0"), "cat/0", "exclude"),
        Correction(digest("cat/39"), "cat/39", "relabel", "dog"),
    ]
    write_corrections(tmp_path / "c.csv", Corrections().with_rows(rows))
    result = xferlearn.diff(models=models, corrections=tmp_path / "c.csv")
    folded = result.parts["cross-validated"]
    assert (folded.before.correct, folded.after.correct, folded.before.total) == (30, 36, 39)
    assert result.only == (0, 1)
    assert result.warnings == ("corrections of 2 photos: 1 relabelled, 1 left out",)


def test_classes_of_one_model_alone_are_told(tmp_path: Path) -> None:
    labels = ("owl", "cat", "dog")
    first = write_model(tmp_path / "a", cats(range(6), 0.9), ("cat", "dog", "hen"))
    second = [(f"cat/{number}", "train", "owl", 0.9) for number in range(6)]
    result = xferlearn.diff(models=[str(first), str(write_model(tmp_path / "b", second, labels))])
    assert (result.total.before.correct, result.total.after.correct) == (0, 6)
    told = result.as_dict()
    assert told["classes_only_before"] == ["hen"]
    assert told["classes_only_after"] == ["owl"]
    assert "hen only before, owl only after" in repr(result)
    assert list(told["classes"]) == ["owl"]


def test_labels_are_those_that_each_model_decides(tmp_path: Path) -> None:
    rule = {"rule": "thresholds", "thresholds": {"cat": 0.2}, "asked": {}}
    rows = cats(range(8), 0.3)
    first = write_model(tmp_path / "a", rows)
    second = write_model(tmp_path / "b", rows, decision=rule)
    result = xferlearn.diff(models=[str(first), str(second)])
    assert (result.total.before.correct, result.total.after.correct) == (0, 8)
    assert "decision after  cat from 0.2 on" in repr(result)


def test_photos_of_a_group_count_as_less(tmp_path: Path) -> None:
    def interval(*groups: int) -> tuple[float, float]:
        place = tmp_path / str(len(set(groups)))
        place.mkdir()
        first = write_model(place / "a", cats(range(20), 0.9) + cats(range(20, 40), 0.1))
        after = write_model(place / "b", cats(range(40), 0.9), groups=groups)
        return xferlearn.diff(models=[str(first), str(after)]).total.change.interval

    (low, high), (wide_low, wide_high) = interval(), interval(*(n // 4 for n in range(40)))
    assert wide_low < low < 0.5 < high < wide_high


def test_both_models_label_photos_and_what_they_have_seen_is_told(
    colour_model: Path, make_photo_dir: Any, photo_dir: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(colour_model, other)
    rule = {"rule": "thresholds", "thresholds": {"red": 1e-30}, "asked": {}}
    edit_metadata(other, lambda told: told.update(decision=rule))
    photos = make_photo_dir({"red": 3, "green": 3, "yellow": 2})
    (photos / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xffnothing")
    models = [str(colour_model), str(other)]
    result = xferlearn.diff(models=models, image_dir=photos, bottleneck_dir=tmp_path / "cache")
    assert list(result.parts) == ["labelled by both"]
    # Of the two new ones of its classes the first model is right, the second never.
    totals = [result.total.before.total, result.total.before.correct, result.total.after.correct]
    assert totals == [4, 2, 0]
    told = "4 photos that the model has learned from (4 train); left out, `include_seen` compares"
    assert [line for line in result.warnings if told in line] == [
        f"{model}: {told} them too" for model in models
    ]
    assert {one.change for one in result.changed} == {"lost"}
    assert result.as_dict()["classes"]["yellow"]["recall_before"] == 0
    assert sum("broken.jpg was left out" in line for line in result.warnings) == 1


def test_what_can_not_be_compared(
    tmp_path: Path, models: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    decided = tmp_path / "corrections.csv"
    write_corrections(decided, Corrections())
    for words, said in (
        (models[:1], "Expected two model folders. Received: 1."),
        ((models[0], "nowhere"), "Found nothing at nowhere."),
        ((*models, "--output=x.txt"), "Expected --output to end in .csv"),
        ((*models, f"--output={decided}"), "is a file of corrections, which --output would"),
    ):
        assert main(["diff", *words]) == 2
        assert said in capsys.readouterr().err
    others = write_model(tmp_path / "c", [("else", "train", "cat", 0.9)])
    with pytest.raises(UserError, match=r"No photo was measured in both .*: 50 only in .*, 1 only"):
        xferlearn.diff(models=[models[0], str(others)])
    (others / "predictions.parquet").unlink()
    with pytest.raises(UserError, match=r"has no predictions of its photos.*give `image_dir`"):
        xferlearn.diff(models=[models[0], str(others)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError):
        xferlearn.diff(models=models, image_dir=tmp_path / "empty")
