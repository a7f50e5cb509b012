"""The proof of exports: what must fail it, which photos it is made on, and what is left behind."""

import collections
import dataclasses
import errno
import json
import os
import re
import shutil
import time

import numpy as np
import pytest
from model_folders import add_familiarity, edit_metadata
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util

import xferlearn
from xferlearn.cli import main
from xferlearn.errors import XferlearnError
from xferlearn.exports import photos as photos_module
from xferlearn.exports.formats import FORMATS
from xferlearn.exports.frozen_graph import GRAPH_FILE, frozen_graph_def, write_frozen_graph
from xferlearn.exports.photos import ProofPhotos, export_photos, stratified
from xferlearn.exports.proof import Reference, Speed, prove
from xferlearn.exports.report import ExportRow, table_rows, write_report
from xferlearn.exports.result import ExportResult
from xferlearn.inspection import METADATA_NODE
from xferlearn.model_folder import read_model_folder
from xferlearn.photos.folders import file_source
from xferlearn.photos.recorded import RecordedPhoto
from xferlearn.predictors import Answers, Predictor, own_photos
from xferlearn.system.fetching import staging_folder

LABELS = ("blue", "green", "red")
FROZEN = "exports/frozen_graph"


@pytest.fixture
def model_dir(small_model, tmp_path):
    """A copy of the model folder, to export into."""
    shutil.copytree(small_model, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def export(model_dir, capsys):
    """Runs `xferlearn export` of the quickest format; returns exit code, stdout and stderr."""

    def run(*words, format="frozen_graph"):
        code = main(["export", f"--model={model_dir}", f"--format={format}", *map(str, words)])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def writer(monkeypatch):
    """Replaces the writer of the frozen graph."""

    def replace(write):
        broken = dataclasses.replace(FORMATS["frozen_graph"], write=write)
        monkeypatch.setitem(FORMATS, "frozen_graph", broken)

    return replace


def wrong_mean(model, model_folder, folder, calibration):
    """Writes a graph that shifts all pixels, beside metadata that are right."""
    write_frozen_graph(model, model_folder, folder)
    import tensorflow as tf

    right = tf.compat.v1.GraphDef.FromString((folder / GRAPH_FILE).read_bytes())
    wrong = frozen_graph_def(model, "input", "final_result", mean=0.0, std=1 / 255)
    wrong.node.extend(node for node in right.node if node.name == METADATA_NODE)
    (folder / GRAPH_FILE).write_bytes(wrong.SerializeToString())


def unwrapped(text):
    return " ".join(text.split())


def report(model_dir):
    return json.loads((model_dir / "exports/report.json").read_text())


def test_broken_preprocessing_fails_the_proof(export, writer, model_dir, monkeypatch):
    assert export()[0] == 0
    with monkeypatch.context():
        writer(wrong_mean)
        code, out, err = export()
    assert code == 1
    assert "FAILED" in out
    assert "xferlearn: frozen_graph: agreement" in err
    assert "is below 99.00%" in err
    assert "frozen_graph.failed-proof" in err
    names = {path.name for path in (model_dir / "exports").iterdir()}
    assert "frozen_graph.failed-proof" in names
    assert "frozen_graph" not in names, "no file bears the good name"
    row = report(model_dir)["formats"]["frozen_graph"]
    assert row["result"] == "FAILED"
    changed = row["proof"]["changed"]
    assert len(changed) == round((1 - row["proof"]["agreement"]) * row["proof"]["photos"]) > 0
    for one in changed[:20]:
        assert one["name"] in out
        assert one["before"][0] != one["after"][0]
        assert one["truth"] == one["name"].split("/")[0]
    # The same again with the writer repaired: the name that says it failed is gone.
    writer(
        lambda model, model_folder, folder, calibration: write_frozen_graph(
            model, model_folder, folder
        )
    )
    assert export()[0] == 0
    names = {path.name for path in (model_dir / "exports").iterdir()}
    assert names == {"frozen_graph", "labels.txt", "report.json"}


def test_min_agreement_is_the_user_s(export, writer):
    writer(wrong_mean)
    assert export("--min_agreement=0")[0] == 0
    assert export("--min_agreement=1")[0] == 1


def test_wrong_labels_in_the_file_fail_the_proof(export, writer, model_dir):
    def swapped(model, model_folder, folder, calibration):
        other = dataclasses.replace(model_folder, labels=model_folder.labels[::-1])
        write_frozen_graph(model, other, folder)

    writer(swapped)
    code, _, err = export()
    assert code == 1
    assert "the written file states labels ('red', 'green', 'blue'), but the model has" in err
    assert not (model_dir / FROZEN).exists()


def test_photos_that_are_decoded_otherwise_fail_the_proof(export, model_dir, monkeypatch):
    from xferlearn.exports import saved_model

    decode = saved_model.decode_photo
    monkeypatch.setattr(saved_model, "decode_photo", lambda *args: 255 - decode(*args))
    code, _, err = export(format="saved_model")
    assert code == 1
    assert "saved_model: serve_image_bytes gives other probabilities than the model" in err
    assert not (model_dir / "exports/saved_model").exists()


def test_one_format_that_fails_does_not_stop_the_others(export, writer, model_dir):
    def full_disk(model, model_folder, folder, calibration):
        folder.mkdir()
        (folder / GRAPH_FILE).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    writer(full_disk)
    code, out, err = export(format="frozen_graph,saved_model")
    assert code == 1
    assert err == "xferlearn: frozen_graph: No space left on device\n"
    assert "saved_model" in out
    assert {path.name for path in (model_dir / "exports").iterdir()} == {
        "saved_model",
        "labels.txt",
        "report.json",
    }
    assert not list(model_dir.glob(".export*"))


def test_full_disk_is_named_whatever_the_converter_says(export, writer, model_dir, monkeypatch):
    def iostream_error(model, model_folder, folder, calibration):
        raise RuntimeError("basic_ios::clear: iostream error")

    writer(iostream_error)
    assert export()[2] == "xferlearn: frozen_graph: basic_ios::clear: iostream error\n"
    usage = shutil.disk_usage(model_dir)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    code, _, err = export()
    assert code == 1
    free = f"(only 0 MB are free on the disk of {model_dir})"
    assert err == f"xferlearn: frozen_graph: basic_ios::clear: iostream error {free}\n"


def test_interrupted_export_leaves_nothing_half(export, writer, model_dir):
    assert export()[0] == 0
    before = (model_dir / FROZEN / GRAPH_FILE).read_bytes()

    def interrupted(model, model_folder, folder, calibration):
        folder.mkdir()
        (folder / GRAPH_FILE).write_bytes(before[:1000])
        raise KeyboardInterrupt

    writer(interrupted)
    assert export()[0] == 130
    assert (model_dir / FROZEN / GRAPH_FILE).read_bytes() == before
    assert {path.name for path in (model_dir / "exports").iterdir()} == {
        "frozen_graph",
        "labels.txt",
        "report.json",
    }


def test_what_a_killed_export_left_is_cleared_after_a_day(export, model_dir):
    old, young = (model_dir / f".export.onnx.{number * 8}.tmp" for number in "01")
    report = model_dir / "exports" / f".report.json.{'2' * 8}.tmp"
    report.parent.mkdir(exist_ok=True)
    report.write_text("half")
    for folder in (old, young):
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    for path in (old, report):
        os.utime(path, (yesterday, yesterday))
    assert export()[0] == 0
    assert (old.exists(), report.exists(), young.exists()) == (False, False, True)


# --- The photos


def test_photos_are_found_by_content_where_they_were_moved(export, model_dir, photo_dir, tmp_path):
    photos = read_model_folder(model_dir).photos()
    new = tmp_path / "elsewhere" / "deep"
    new.mkdir(parents=True)
    for number, photo in enumerate(photos):
        shutil.copyfile(photo_dir / photo.name, new / f"{number}.jpg")
    code, out, err = export(f"--image_dir={tmp_path / 'elsewhere'}")
    assert (code, err) == (0, "")
    tested = sum(photo.split == "test" for photo in photos)
    assert f"\n{tested} test photos, " in out


def test_missing_photos_are_counted_and_named(export, model_dir, photo_dir, tmp_path):
    tested = [photo for photo in read_model_folder(model_dir).photos() if photo.split == "test"]
    gone = [photo.name for photo in tested[:2]]
    shutil.copytree(photo_dir, tmp_path / "photos")
    (tmp_path / "photos" / gone[0]).unlink()
    (tmp_path / "photos" / gone[1]).write_bytes(b"changed")
    code, _, err = export(f"--image_dir={tmp_path / 'photos'}")
    assert code == 0
    assert err.startswith("warning: 2 of ")
    assert all(name in err for name in gone)
    assert err.endswith("If they were moved, give --image_dir.\n")
    assert set(report(model_dir)["about"]["missing"]) == set(gone)


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_without_any_photo_nothing_is_written(export, model_dir, tmp_path, place):
    (tmp_path / "empty").mkdir()
    code, _, err = export(f"--image_dir={tmp_path / place}")
    assert code == 2
    assert "Found none of the model's" in err
    assert err.rstrip().endswith("Say where they are with --image_dir.")
    assert not (model_dir / "exports").exists()


@pytest.mark.parametrize("left", ["validation", "train"])
def test_a_model_without_test_photos(export, model_dir, left):
    text = (model_dir / "photos.csv").read_text()
    for split in ("test", "validation", "train"):
        text = text.replace(f",{split},", f",{left},") if split != left else text
    (model_dir / "photos.csv").write_text(text)
    edit_metadata(model_dir, lambda told: None)
    code, out, _ = export("--max_photos=15")
    assert code == 0
    assert f"15 {left} photos" in out
    assert "It has learned from these photos, so no accuracy is measured on them." in unwrapped(out)
    assert report(model_dir)["reference"]["accuracy"] is None
    assert "accuracy change" not in out


def test_the_sample_is_always_the_same_and_keeps_the_shares(model_dir):
    model_folder = read_model_folder(model_dir)
    sample, _ = export_photos(model_folder, 6)
    again, _ = export_photos(model_folder, 6)
    assert sample.names == again.names
    assert len(sample.names) == 6
    np.testing.assert_array_equal(sample.pixels, again.pixels)
    assert sample.pixels.shape == (6, 32, 32, 3)
    for name, truth in zip(sample.names, sample.truth, strict=True):
        assert name.split("/")[0] == LABELS[truth]
    many = [RecordedPhoto(bytes([n, 0]), "a", "test", f"a{n}") for n in range(90)]
    many += [RecordedPhoto(bytes([n, 1]), "b", "test", f"b{n}") for n in range(10)]
    shares = [photo.label for photo in stratified(many, 20)]
    assert (shares.count("a"), shares.count("b")) == (18, 2)
    turns = [photo.label for photo in stratified(many, 20, balanced=True)]
    assert (turns.count("a"), turns.count("b")) == (10, 10)
    assert stratified(many[::-1], 20) == stratified(many, 20)


def test_calibration_takes_training_photos_of_all_classes(model_dir, monkeypatch):
    model_folder = read_model_folder(model_dir)
    asked = []
    found = photos_module.found_photos
    monkeypatch.setattr(
        photos_module, "found_photos", lambda b, p, d: (asked.extend(p), found(b, p, d))[1]
    )
    photos, calibration = export_photos(model_folder, 5, calibrate=12)
    values = list(calibration())
    assert len(values) == 12
    assert {(one.shape, str(one.dtype)) for one in values} == {((1, 32, 32, 3), "uint8")}
    assert [photo.name for photo in asked[:5]] == list(photos.names)
    assert {photo.split for photo in asked[5:]} == {"train"}
    assert sorted(photo.label for photo in asked[5:]) == sorted(LABELS * 4)
    np.testing.assert_array_equal(values, list(calibration()))


def test_a_missing_photo_costs_one_search(model_dir, photo_dir, tmp_path, monkeypatch):
    model_folder = read_model_folder(model_dir)
    shutil.copytree(photo_dir, tmp_path / "photos")
    photos = model_folder.photos()
    for split in ("test", "train"):
        gone = next(photo for photo in photos if photo.split == split)
        (tmp_path / "photos" / gone.name).unlink()
    reads = collections.Counter()
    read = file_source._read_file

    def counted(path):
        reads[path] += 1
        return read(path)

    monkeypatch.setattr(file_source, "_read_file", counted)
    proof, calibration = export_photos(model_folder, 500, str(tmp_path / "photos"), calibrate=200)
    assert len(proof.missing) == 1
    assert sum(1 for _ in calibration()) == sum(photo.split == "train" for photo in photos) - 1
    assert set(reads.values()) == {1}


def test_photos_of_a_dataset(model_dir, photo_dir, monkeypatch):
    place = {"image_dir": None, "dataset": "colours", "data_dir": "d"}
    edit_metadata(model_dir, lambda told: told["training"].update(place))
    asked = []

    def open_dataset(name, data_dir):
        asked.append((name, data_dir))
        return xferlearn.photos.folders.files.read_image_dir(str(photo_dir))

    monkeypatch.setattr(own_photos, "open_dataset", open_dataset)
    assert len(export_photos(read_model_folder(model_dir), 5)[0].names) == 5
    assert asked == [("colours", "d")]


# --- The comparison


def compared(scores, before, truth, labels=LABELS, minimum=0.99, learned=False):
    count = len(truth)
    photos = ProofPhotos(
        tuple(f"{n}.jpg" for n in range(count)),
        np.array(truth),
        np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8),
        (lambda: b"",) * count,
        "test",
        learned,
    )
    speed = Speed(1.0, 1.0, 1.0)
    before = np.array(before, np.float32)
    reference = Reference(LABELS, "crop", before, float(np.mean(before.argmax(1) == truth)), speed)
    scores = np.array(scores, np.float32)
    predictor = Predictor(labels, 4, 4, "crop", lambda pixels: Answers(scores[pixels[:, 0, 0, 0]]))
    return prove(lambda: predictor, photos, reference, minimum)


def test_figures_of_the_proof():
    before = [[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]
    after = [[0.7, 0.2, 0.1], [0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.3, 0.5, 0.2]]
    proof = compared(after, before, [0, 1, 2, 1], minimum=0.5)
    assert (proof.photos, proof.agreement, proof.passed) == (4, 0.5, True)
    assert proof.largest_difference == pytest.approx(0.3)
    assert proof.mean_difference == pytest.approx((0.1 + 0.1 + 0.3 + 0.3 + 0.2 + 0.2) / 12)
    assert (proof.accuracy, proof.accuracy_change) == (0.75, 0.0)
    assert proof.accuracy_interval[0] < -0.2
    wrong, right = proof.changed
    assert (wrong.name, wrong.truth) == ("1.jpg", "green")
    assert wrong.before == ("green", pytest.approx(0.6))
    assert wrong.after == ("red", pytest.approx(0.5))
    assert (right.name, right.truth, right.after[0]) == ("3.jpg", "green", "green")


def test_no_accuracy_is_measured_on_photos_that_were_learned_from():
    scores = [[0.8, 0.1, 0.1], [0.2, 0.6, 0.2]]
    proof = compared(scores, scores, [0, 0], learned=True)
    assert proof.passed
    assert proof.as_dict()["accuracy"] is None
    assert (proof.accuracy_change, proof.accuracy_interval) == (None, None)
    reference = Reference(LABELS, "crop", np.array(scores), None, proof.speed)
    rows = table_rows(reference, 1, (ExportRow("onnx", bytes=1, proof=proof), ExportRow("tflite")))
    assert {len(row) for row in rows} == {9}
    assert "accuracy change" not in rows[0]


def test_numbers_that_are_none_agree_with_nothing():
    before = [[0.8, 0.1, 0.1]] * 3
    after = [[np.nan, 0.1, 0.1], [np.inf, 0.1, 0.1], [0.8, 0.1, 0.1]]
    proof = compared(after, before, [0, 0, 0])
    assert proof.agreement == pytest.approx(1 / 3)
    assert proof.accuracy == pytest.approx(1 / 3)
    assert not proof.passed


def test_labels_in_another_order_are_no_agreement():
    scores = [[0.8, 0.1, 0.1]]
    with pytest.raises(XferlearnError, match="states labels"):
        compared(scores, scores, [0], labels=("green", "blue", "red"))


# --- What is written down


def test_report_keeps_the_other_formats_of_the_same_model(tmp_path):
    proof = compared([[0.8, 0.1, 0.1]], [[0.8, 0.1, 0.1]], [0])
    reference = Reference(LABELS, "crop", np.zeros((1, 3)), 1.0, proof.speed)
    damage = []

    def written(*names, model="a"):
        rows = tuple(ExportRow(name, tmp_path / name, 1, proof) for name in names)
        write_report(tmp_path, {"model_sha256": model}, reference, rows, damage)
        return set(json.loads((tmp_path / "report.json").read_text())["formats"])

    assert written("onnx", "tensorrt") == {"onnx", "tensorrt"}
    assert written("tensorrt_fp32", "tensorrt_fp16") == {"onnx", "tensorrt_fp32", "tensorrt_fp16"}
    assert written("tensorrt") == {"onnx", "tensorrt"}
    assert written("tflite", model="b") == {"tflite"}
    (tmp_path / "report.json").write_text("{ half")
    assert damage == []
    assert written("onnx", model="b") == {"onnx"}
    (line,) = damage
    assert line.endswith("it is written anew.")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_what_is_exported_to_a_bucket_is_copied_before_others_open_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    exports = staging_folder("s3://b/m") / "copy" / "m" / "exports"
    proof = compared([[0.8, 0.1, 0.1]], [[0.8, 0.1, 0.1]], [0])
    paths = {"onnx": "model.onnx", "openvino": "openvino/model.xml", "frozen_graph": "g/g.pb"}
    rows = tuple(ExportRow(name, exports / path, 1, proof) for name, path in paths.items())
    cells = table_rows(Reference(LABELS, "crop", np.zeros((1, 3)), 1.0, proof.speed), 1, rows)
    result = ExportResult(rows, cells, "", (), exports / "report.json")
    shown = " ".join(repr(result).split())
    for said in (
        "--model=s3://b/m/exports/model.onnx PHOTO",
        "Copy s3://b/m/exports/model.onnx to this machine. In Python,"
        " onnxruntime.InferenceSession('model.onnx')",
        "Copy s3://b/m/exports/openvino to this machine. In Python,"
        " openvino.compile_model('openvino/model.xml')",
        "The lab's label_image.py takes it",
    ):
        assert said in shown
    assert str(tmp_path) not in shown


def test_tensorboard(export, writer, model_dir, tmp_path):
    add_familiarity(model_dir, reject=0.03)
    writer(wrong_mean)
    code, out, _ = export(f"--logs_dir={tmp_path / 'logs'}", format="frozen_graph,saved_model")
    assert code == 1
    (run,) = (tmp_path / "logs").iterdir()
    assert re.search(rf"^logs +{re.escape(str(run))}$", out, re.MULTILINE)
    held = {
        value.tag: tensor_util.make_ndarray(value.tensor)
        for file in run.glob("*tfevents*")
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
    }
    figures = ("agreement", "accuracy", "largest_difference", "megabytes", "latency_ms",
               "photos_per_second", "load_seconds")  # fmt: skip
    assert set(held) == {"exports", "export_familiarity/saved_model"} | {
        f"export_{figure}/{name}" for figure in figures for name in ("frozen_graph", "saved_model")
    }
    assert held["export_agreement/saved_model"] == 1.0
    assert held["export_agreement/frozen_graph"] < 0.99
    page = held["exports"].item().decode()
    assert page.startswith("# Exports of model")
    assert "| saved\\_model |" in page
    assert "became" in page


def test_a_folder_for_logs_that_cannot_be_is_told_before_the_work(export, model_dir, tmp_path):
    (tmp_path / "file").touch()
    code, out, err = export(f"--logs_dir={tmp_path / 'file'}")
    assert (code, out) == (2, "")
    assert "Choose another --logs_dir." in err
    photos = json.loads((model_dir / "metadata.json").read_text())["training"]["image_dir"]
    code, _, err = export(f"--image_dir={photos}", f"--logs_dir={photos}/logs")
    assert code == 2
    assert f"--logs_dir={photos}/logs lies in --image_dir={photos}" in err
    assert not (model_dir / "exports").exists()


def test_logs_that_fail_later_cost_no_export(export, model_dir, tmp_path, monkeypatch):
    def full(run_dir):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("xferlearn.exports.report.EventWriter", full)
    code, out, err = export(f"--logs_dir={tmp_path / 'logs'}")
    assert code == 1
    assert "frozen_graph" in out
    assert err.startswith("warning: the logs in ")
    assert err.endswith("are not complete: No space left on device.\n")
    assert report(model_dir)["formats"]["frozen_graph"]["result"] == "ok"


def test_in_python(model_dir):
    result = xferlearn.export(model=model_dir, format="frozen_graph")
    assert result.passed
    (row,) = result.rows
    assert row.path == model_dir / FROZEN / GRAPH_FILE
    assert xferlearn.load_classifier(row.path).labels == LABELS
    assert result.report == model_dir / "exports/report.json"
    assert result.run_dir is None
