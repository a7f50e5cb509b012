"""`decide`: sets a decision by what `train` kept; `train` and `evaluate` with a decision."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from model_folders import edit_metadata

import xferlearn
from xferlearn.cli import main
from xferlearn.config import DecideConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.evaluation import decide_with
from xferlearn.model_folder import read_model_folder
from xferlearn.system import files


@pytest.fixture
def model(colour_model: Path, tmp_path: Path) -> Path:
    """A copy of a model that tells red, green and blue."""
    return Path(shutil.copytree(colour_model, tmp_path / "model"))


def metadata_of(model: Path) -> dict[str, Any]:
    return dict(json.loads((model / "metadata.json").read_text()))


def test_train_keeps_one_row_per_photo(colour_model: Path) -> None:
    folder = read_model_folder(colour_model)
    predicted, photos = folder.predictions(), folder.photos()
    assert [(photo.digest, photo.label, photo.split) for photo in photos] == list(
        zip(predicted.digests, predicted.truth, predicted.splits, strict=True)
    )
    test = predicted.judged(test=True)
    right = (test.probabilities.argmax(axis=1) == test.y).sum()
    assert int(right) == folder.metadata["metrics"]["test"]["correct"]
    folds = predicted.judged(test=False)
    assert len(folds.names) == folder.metadata["metrics"]["validation"]["n"]
    assert len(folds.names) + len(test.names) == len(photos)


def test_a_decision_is_set_without_training(model: Path) -> None:
    before = metadata_of(model)
    result = xferlearn.decide(model=model, min_recall={"red": 0.9}, min_precision="blue=0.8")
    after = metadata_of(model)
    assert set(result.chosen.decision.thresholds) == {"red", "blue"}
    assert after["decision"]["thresholds"] == dict(result.chosen.decision.thresholds)
    assert after["decision"]["asked"] == {
        "min_recall": {"red": 0.9},
        "min_precision": {"blue": 0.8},
    }
    measured = after["decision"]["measured"]
    assert measured["validation"]["classes"]["red"]["recall"] >= 0.9
    assert 0 <= measured["test"]["classes"]["red"]["recall_interval_95"][0] <= 1
    # Nothing else changed, and the folder is whole.
    changed = {"decision", "answers_alone", "sha256"}
    assert {k: v for k, v in before.items() if k not in changed} == {
        k: v for k, v in after.items() if k not in changed
    }
    assert read_model_folder(model).load_model() is not None
    assert not [path for path in model.iterdir() if path.name.startswith(".")]


def test_the_command_says_what_a_decision_gives(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decide", f"--model={model}", "--cost=red:green=5,blue:green=2"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for expected in (
        "smallest expected cost: red as green 5, blue as green 2, any other mistake",
        "cost per photo",
        "answers alone",
        "Operating points, cross-validated",
    ):
        assert expected in " ".join(out.split()), out
    assert max(len(line) for line in out.splitlines() if str(model) not in line) <= 80
    assert main(["decide", f"--model={model}", "--clear"]) == 0
    assert "decision       largest probability" in capsys.readouterr().out
    assert metadata_of(model)["decision"] is None


def test_what_can_not_be_reached_leaves_the_model_as_it_was(model: Path) -> None:
    before = (model / "metadata.json").read_bytes()
    for asked, match in (
        ({"min_recall": "red=0.999"}, "needs at least 999 photos"),
        ({"min_recall": "rot=0.9"}, "`min_recall` names 'rot'"),
    ):
        with pytest.raises(UserError, match=match):
            xferlearn.decide(model=model, **asked)
    assert (model / "metadata.json").read_bytes() == before


def test_exports_that_decide_as_before_are_named(model: Path) -> None:
    (model / "exports").mkdir()
    (model / "exports" / "model.tflite").write_bytes(b"")
    result = xferlearn.decide(model=model, min_recall="red=0.9")
    assert "exports were made before" in result.warnings[0]
    assert xferlearn.decide(model=model, min_recall="red=0.9").warnings == ()


def test_a_model_without_predictions_says_so(model: Path) -> None:
    (model / "predictions.parquet").unlink()
    with pytest.raises(UserError, match=r"has no predictions\.parquet.*Train again"):
        xferlearn.decide(model=model, min_recall="red=0.9")
    edit_metadata(model, lambda metadata: metadata.update(decision={"rule": "cost", "costs": {}}))
    points = metadata_of(model)["operating_points"]
    assert "largest probability" in repr(xferlearn.decide(model=model, clear=True))
    assert metadata_of(model)["decision"] is None
    assert metadata_of(model)["operating_points"] == points
    # It can be handed on without.
    assert read_model_folder(model).load_model() is not None


def test_predictions_of_another_model_are_noticed(model: Path) -> None:
    path = model / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"predictions\.parquet is damaged, or is not the one"):
        xferlearn.decide(model=model, clear=True)


@pytest.mark.parametrize("asked", [{"clear": True}, {"cost": "red:green=5"}])
def test_a_decision_of_another_kind_is_replaced(model: Path, asked: dict[str, Any]) -> None:
    edit_metadata(model, lambda metadata: metadata.update(decision={"rule": "vote"}))
    (model / "exports").mkdir()
    (model / "exports" / "model.tflite").write_bytes(b"")
    result = xferlearn.decide(model=model, **asked)
    assert "exports were made before" in result.warnings[0]
    assert metadata_of(model)["decision"] == result.chosen.as_dict()["decision"]


def test_an_edited_model_without_digests_still_names_what_is_damaged(model: Path) -> None:
    edit_metadata(model, lambda metadata: None)
    (model / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"Can't read .*predictions\.parquet"):
        xferlearn.decide(model=model, clear=True)


def test_a_kill_leaves_the_former_decision(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (model / "metadata.json").read_bytes()

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            xferlearn.decide(model=model, min_recall="red=0.9")
    assert (model / "metadata.json").read_bytes() == before
    # What is left behind where nothing could be removed any more does not keep from training.
    (model / ".metadata.json.0123abcd.tmp").write_text("{")
    xferlearn.decide(model=model, min_recall="red=0.9")
    from xferlearn.model_folder import check_model_dir

    check_model_dir(model, overwrite=True)


def test_a_full_disk_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xferlearn.model_folder.writing.write_atomically", full)
    with pytest.raises(XferlearnError, match=r"Can't write .*metadata\.json: No space left"):
        xferlearn.decide(model=model, min_recall="red=0.9")


def test_two_at_once_are_set_one_after_the_other(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xferlearn.model_folder import writing

    write, seen = writing.write_atomically, []

    def overtaken(path: Path, content: bytes, check: Callable[[], None]) -> None:
        if not seen:  # between reading and writing, another one is quicker
            seen.append(path)
            monkeypatch.setattr(writing, "write_atomically", write)
            decide_with(DecideConfig(model=str(model), cost="red:green=9"))
            monkeypatch.setattr(writing, "write_atomically", overtaken)
        write(path, content, check)

    monkeypatch.setattr(writing, "write_atomically", overtaken)
    xferlearn.decide(model=model, min_recall="red=0.9")
    assert metadata_of(model)["decision"]["rule"] == "thresholds"
    assert read_model_folder(model).metadata == metadata_of(model)


def test_one_that_is_always_overtaken_gives_up(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xferlearn.model_folder.ModelFolder.is_replaced", lambda self: True)
    with pytest.raises(UserError, match="changed again and again"):
        xferlearn.decide(model=model, min_recall="red=0.9")


def test_evaluate_obeys_the_decision(
    model: Path, photo_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # From so low a probability on, nearly everything is called red, and much is unknown.
    decision = {"rule": "thresholds", "thresholds": {"red": 1e-30}, "asked": {}}
    familiarity = {**metadata_of(model)["familiarity"], "reject": 0.3}
    edit_metadata(model, lambda told: told.update(decision=decision, familiarity=familiarity))
    output = tmp_path / "predictions.parquet"
    words = [f"--model={model}", f"--image_dir={photo_dir}", "--engine=tensorflow"]
    words += ["--precision=float32", "--verbose=0", f"--output={output}", "--include_seen"]
    assert main(["evaluate", *words, "--format=json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decision"]["thresholds"] == {"red": 1e-30}
    assert told["accuracy"] == pytest.approx(1 / 3)
    assert told["classes"]["red"]["recall"] == 1
    measured = told["decision"]["measured"]
    assert measured["accuracy"] == told["accuracy"]
    assert measured["accuracy_of_largest_probability"] > 0.5
    assert {point["label"] for point in told["operating_points"]} == {"red", "green", "blue"}
    table = pq.read_table(output)
    assert table.num_rows == 90
    below = (table["familiarity"].to_numpy() < 0.3).sum()
    assert 0 < below < 90
    assert told["unknown"] == below
    assert set(table["split"].to_pylist()) == {"train", "test"}
    scores = np.stack([table[f"probability_{c}"].to_numpy() for c in ("blue", "green", "red")], 1)
    assert scores.sum(axis=1) == pytest.approx(np.ones(90), abs=1e-3)
    assert main(["evaluate", *words]) == 0
    out = capsys.readouterr().out
    assert "decision  red from 1e-30 on" in out
    assert f"unknown   {below} of 90 photos: `label` gives them no label" in out
    assert "Operating points of `train` on these photos" in out
    assert f"probabilities  {output}" in out


def test_an_output_that_can_not_be_written_loses_no_evaluation(
    model: Path,
    photo_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xferlearn.system.outputs.write_atomically", full)
    words = [f"--model={model}", f"--image_dir={photo_dir}", "--engine=tensorflow"]
    output = tmp_path / "predictions.csv"
    assert main(["evaluate", *words, "--verbose=0", f"--output={output}"]) == 1
    out, err = capsys.readouterr()
    assert "accuracy" in out
    assert "probabilities  " not in out
    assert f"Can't write --output {output}: " in err
    assert "No space left on device" in err


@pytest.mark.parametrize("name", ["labels.txt", "labels"])
def test_evaluate_writes_to_known_endings(model: Path, photo_dir: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"Expected `output` to end in \.csv"):
        xferlearn.evaluate(model=model, image_dir=photo_dir, output=name)
    with pytest.raises(UserError, match="There is no folder"):
        xferlearn.evaluate(model=model, image_dir=photo_dir, output=f"none/{name}.csv")


def test_train_with_what_can_not_be_reached_keeps_the_model(
    run_tiny: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    words = (f"--model_dir={model}", "--summaries=none")
    code, out, err = run_tiny("train", *words, "--min_recall=red=0.99")
    assert code == 1
    assert "No decision was set. --min_recall 0.99 of 'red' needs at least 99 photos" in err
    assert f"model            {model}" in out
    assert metadata_of(model)["decision"] is None
    assert metadata_of(model)["training"]["min_recall"] == {"red": 0.99}
    code, out, err = run_tiny("train", *words, "--overwrite", "--min_recall=rot=0.9")
    assert (code, out) == (2, "")
    assert "--min_recall names 'rot', which is no class. The classes are blue, green" in err
    code, out, err = run_tiny("train", *words, "--overwrite", "--cost=red:blue=5")
    assert code == 0, err
    assert "smallest expected cost: red as blue 5" in " ".join(out.split())
    assert "all else by the largest probability: the table" in " ".join(out.split())
    assert metadata_of(model)["decision"]["costs"] == {"red": {"blue": 5.0}}
