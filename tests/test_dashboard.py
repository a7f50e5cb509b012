"""Tab Transfer: what is written, what is served, and what a person sees and does on the page."""

import argparse
import contextlib
import dataclasses
import hashlib
import importlib.metadata
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from pathlib import Path

import numpy as np
import pytest
from chromium import Chromium, find_chromium
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from werkzeug.test import Client

import xferlearn.dashboard
from xferlearn.auditing import AuditResult, ClassFinding, Finding
from xferlearn.auditing.findings import BLACK, LABEL, OVERLAP
from xferlearn.config import TrainConfig
from xferlearn.dashboard import REPORT_TAG
from xferlearn.dashboard.changes import judged_photos, photo_sets
from xferlearn.dashboard.report import Shown, build_report
from xferlearn.dashboard.summary import _blob_sequence, write_report, write_transfer_summary
from xferlearn.dashboard.thumbnails import choose_photos, read_thumbnails
from xferlearn.decisions import MultiLabelDecision
from xferlearn.metrics import evaluate_label_sets, evaluate_predictions
from xferlearn.photos.folders.files import read_image_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import SPLITS, TEST, TRAIN, VALIDATION, Manifest, Photo
from xferlearn.summaries.events import EventWriter
from xferlearn.summaries.notebook import Pictures
from xferlearn.summaries.record import RunRecord
from xferlearn.training import job as training

with warnings.catch_warnings():
    # The html5lib that TensorBoard carries warns of itself.
    warnings.filterwarnings("ignore", "html5lib's sanitizer", DeprecationWarning)
    from tensorboard.backend.application import TensorBoardWSGIApp
    from tensorboard.plugins.base_plugin import BasicLoader
    from tensorboard.plugins.core.core_plugin import CorePlugin

    from xferlearn.dashboard.plugin import STATIC_DIR, TransferPlugin


HOSTILE = '<img src=x onerror="document.title=1">'
PREFIX = "/data/plugin/transfer"


@pytest.fixture(scope="module")
def logs(make_photo_dir, photo_bytes, tmp_path_factory):
    """A real run with mistakes, and one of an earlier version: 600 photos, a hostile label."""
    root = tmp_path_factory.mktemp("dashboard")
    photos = make_photo_dir({"red": 40, "green": 40, "blue": 40})
    for number in range(12):
        # Red photos in the folder of green ones: what a person should find in the tab.
        (photos / "green" / f"wrong{number}.jpg").write_bytes(photo_bytes("red", 1000 + number))
    result = training.train(
        image_dir=str(photos),
        model_dir=str(root / "model"),
        logs_dir=str(root / "logs"),
        bottleneck_dir=str(root / "bottlenecks"),
        backbone="mobilenet_0.25",
        weights="none",
        image_size=32,
        how_many_training_steps=100,
        learning_rate=0.01,
        testing_percentage=30.0,
        summaries="full",
    )
    assert result.warnings == ()
    name = {"run": result.run_dir.name}
    large = _client(root / "logs").get(f"{PREFIX}/report", query_string=name).json
    large["labels"][0] = HOSTILE
    for later in ("made_with", "scores", "reliability", "files"):
        del large[later]
    large["command"] = ["/usr/bin/xferlearn", "train", "--image_dir=my photos"]
    # More than the four megabytes that gRPC lets pass in one message.
    large["warnings"] = ["x" * 5_000_000]
    jpegs = [b"\xff\xd8\xff" + bytes([n % 256, n // 256]) for n in range(600)]
    large["photos"] = [{**large["photos"][0], "name": str(n)} for n in range(600)]
    write_report(root / "logs" / "large", large, jpegs)
    return result, root / "logs", photos


def _provider(logs_dir):
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logs_dir))
    multiplexer.Reload()
    return MultiplexerDataProvider(multiplexer, str(logs_dir))


def _client(logs_dir):
    flags = argparse.Namespace(
        **{"path_prefix": "", "generic_data": "auto", "samples_per_plugin": {}, "logdir": "x"},
        **{"logdir_spec": "", "window_title": "", "reuse_port": False},
    )
    plugins = [BasicLoader(CorePlugin), BasicLoader(TransferPlugin)]
    return Client(TensorBoardWSGIApp(flags, plugins, _provider(logs_dir)))


@pytest.fixture(scope="module")
def client(logs):
    return _client(logs[1])


def test_the_report_is_the_result(logs, client):
    result, _, _ = logs
    name = result.run_dir.name
    report = client.get(f"{PREFIX}/report", query_string={"run": name}).json
    assert report["run"] == name
    assert report["labels"] == ["blue", "green", "red"]
    assert report["input"] == {
        **{"name": "image", "height": 32, "width": 32, "channels": 3, "dtype": "float32"},
        **{"value_range": [0, 255], "resize": result.model_folder.metadata["input"]["resize"]},
        "bit_depth": None,
    }
    assert report["bottleneck"] == {"layer": "pooling", "width": 256, "pooling": "average"}
    assert report["backbone"]["preprocessing"] == {
        **{"name": "tf", "mean": [127.5] * 3, "std": [127.5] * 3, "bgr": False}
    }
    assert re.fullmatch("[0-9a-f]{64}", report["backbone"]["weights_sha256"])
    for split, evaluation in (("test", result.test), ("validation", result.validation)):
        came = report["evaluations"][split]
        confusion = np.zeros((3, 3), int)
        for truth, predicted, count in came["cells"]:
            assert count > 0
            confusion[truth, predicted] = count
        np.testing.assert_array_equal(confusion, evaluation.confusion)
        assert came["accuracy"] == evaluation.accuracy
        assert came["n"] == evaluation.total
        assert came["interval_95"] == list(evaluation.interval)
        for row, expected in zip(came["classes"], evaluation.classes, strict=True):
            assert (row["precision"], row["recall"], row["f1"], row["n"]) == (
                *(expected.precision, expected.recall, expected.f1, expected.photos),
            )
    counts = result.manifest.counts()
    for split in SPLITS:
        assert report["counts"][split] == [counts[label][split] for label in report["labels"]]
    changed = {row["name"]: row["value"] for row in report["settings"] if row["changed"]}
    assert changed["learning_rate"] == 0.01
    assert changed["how_many_training_steps"] == 100
    assert "train_batch_size" not in changed
    assert report["training"]["steps_run"] == result.training.steps
    assert report["timings"]["seconds"].keys() >= {"bottlenecks", "training", "test", "model"}
    assert report["versions"]["xferlearn"] == xferlearn.__version__


def test_thumbnails_are_the_photos_of_their_cells(logs, client):
    result, _, photo_dir = logs
    name = result.run_dir.name
    report = client.get(f"{PREFIX}/report", query_string={"run": name}).json
    wrong = [
        photo
        for photo in report["photos"]
        if photo["split"] == "test" and photo["truth"] != photo["predicted"]
    ]
    expected = {photo.name: photo for photo in result.misclassified}
    assert len(expected) >= 2
    assert {photo["name"] for photo in wrong} == set(expected)
    for photo in wrong:
        assert photo["score"] == pytest.approx(expected[photo["name"]].score, abs=1e-4)
        assert report["labels"][photo["predicted"]] == expected[photo["name"]].predicted
    for index, photo in enumerate(report["photos"]):
        answer = client.get(f"{PREFIX}/photo", query_string={"run": name, "index": index})
        assert answer.status_code == 200
        assert answer.mimetype == "image/jpeg"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        small = Image.open(io.BytesIO(answer.data))
        assert small.size == (160, 160)
        with Image.open(photo_dir / photo["name"]) as original:
            colour = np.asarray(original).mean(axis=(0, 1))
        np.testing.assert_allclose(np.asarray(small).mean(axis=(0, 1)), colour, atol=4)


def test_photos_are_served_whole_and_the_course_of_the_training(logs, client):
    result, _, photo_dir = logs
    run = {"run": result.run_dir.name}
    report = client.get(f"{PREFIX}/report", query_string=run).json
    for index in (0, len(report["files"]["names"]) - 1):
        answer = client.get(f"{PREFIX}/original", query_string={**run, "index": index})
        assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
        with Image.open(photo_dir / report["files"]["names"][index]) as original:
            assert Image.open(io.BytesIO(answer.data)).size == original.size == (64, 48)
    number = {**run, "index": index + 1}
    assert client.get(f"{PREFIX}/original", query_string=number).status_code == 404
    course = client.get(f"{PREFIX}/course", query_string=run).json
    assert {tag: [*splits] for tag, splits in course.items()} == {
        "loss": ["train", "validation"],
        "accuracy": ["train", "validation"],
    }
    step, accuracy = course["accuracy"]["validation"][-1]
    assert step == result.training.steps
    assert accuracy == pytest.approx(result.validation.accuracy)
    assert client.get(f"{PREFIX}/course?run=none").json == {"loss": {}, "accuracy": {}}


def test_photos_have_their_probabilities_and_what_their_head_has_learned_from(logs, client):
    result, _, photo_dir = logs
    manifest = result.manifest
    run = {"run": result.run_dir.name}
    report = client.get(f"{PREFIX}/report", query_string=run).json
    rows = {photo.name: row for row, photo in enumerate(manifest.photos)}
    pictures = set()
    for photo in report["photos"]:
        scores = [score for _, score in photo["top"]]
        assert photo["top"][0] == [photo["predicted"], photo["score"]]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-3)
        assert 0 <= photo["familiarity"] <= 1
        assert len(photo["nearest"]) == 3
        similarities = [near["similarity"] for near in photo["nearest"]]
        assert similarities == sorted(similarities, reverse=True)
        assert -1 <= similarities[-1] <= similarities[0] <= 1.001
        for near in photo["nearest"]:
            row, own = rows[near["name"]], rows[photo["name"]]
            assert manifest.splits[row] == TRAIN
            assert photo["split"] == "test" or manifest.folds[row] != manifest.folds[own]
            assert manifest.photos[row].label == near["label"]
            pictures |= {(near["picture"], near["name"])} - {(None, near["name"])}
    assert any(number >= len(report["photos"]) for number, _ in pictures)
    for number, name in pictures:
        answer = client.get(f"{PREFIX}/photo", query_string={**run, "index": number})
        with Image.open(photo_dir / name) as original:
            colour = np.asarray(original).mean(axis=(0, 1))
        shown = np.asarray(Image.open(io.BytesIO(answer.data))).mean(axis=(0, 1))
        np.testing.assert_allclose(shown, colour, atol=4)


def test_runs_are_listed_in_short(logs, client):
    result, _, _ = logs
    answer = client.get(f"{PREFIX}/runs")
    assert answer.mimetype == "application/json"
    large, short = answer.json["runs"]
    assert (short["run"], large["run"]) == (result.run_dir.name, "large")
    assert short["evaluations"]["test"] == {
        "accuracy": result.test.accuracy,
        "n": result.test.total,
        "interval_95": list(result.test.interval),
        **{"few": True, "folding": "", "measure": "accuracy"},
    }
    assert "labels" not in short
    assert short["classes"] == 3


def test_every_static_file_is_served_and_no_other(client):
    types = {".js": "text/javascript", ".css": "text/css"}
    names = [path.name for path in STATIC_DIR.iterdir()]
    assert "index.js" in names
    for name in names:
        answer = client.get(f"{PREFIX}/{name}")
        assert answer.data == (STATIC_DIR / name).read_bytes()
        assert answer.mimetype == types[Path(name).suffix]
    for path in (
        "plugin.py",
        "../plugin.py",
        "%2e%2e/plugin.py",
        "static/index.js",
        "",
        "/etc/passwd",
    ):
        assert client.get(f"{PREFIX}/{path}").status_code == 404


def test_the_page_needs_nothing_from_elsewhere_and_makes_no_markup():
    for path in STATIC_DIR.iterdir():
        text = path.read_text(encoding="utf-8")
        for forbidden in (
            "://",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "@import",
        ):
            assert forbidden not in text, f"{path.name}: {forbidden}"


@pytest.mark.parametrize(
    ("path", "arguments", "code", "reason"),
    [
        ("report", {"run": "none such"}, 404, "no run 'none such'"),
        ("report", {}, 400, "Expected the argument 'run'"),
        ("report", {"run": "../logs"}, 404, "no run"),
        ("photo", {"run": "none such", "index": "0"}, 404, "has 0 photos"),
        ("original", {"run": "none such", "index": "0"}, 404, "no run"),
        ("original", {"run": "large", "index": "0"}, 404, "has 0 photos"),
        ("course", {}, 400, "Expected the argument 'run'"),
        ("photo", {"run": "large"}, 400, "Expected the argument 'index'"),
        ("photo", {"run": "large", "index": "600"}, 404, "has 600 photos. Received: index=600"),
        ("photo", {"run": "large", "index": "9" * 9000}, 404, "has 600 photos"),
        ("photo", {"run": "large", "index": "-1"}, 400, "Expected `index` to be a whole number"),
        ("photo", {"run": "large", "index": "²"}, 400, "Expected `index` to be a whole number"),
        ("photo", {"run": "large", "index": "٣"}, 400, "Expected `index` to be a whole number"),
    ],
)
def test_what_is_not_there_is_an_error_in_json(client, path, arguments, code, reason):
    answer = client.get(f"{PREFIX}/{path}", query_string=arguments)
    assert answer.status_code == code
    assert answer.mimetype == "application/json"
    assert reason in answer.json["error"]


def test_reports_that_are_damaged_or_from_the_future_are_named(tmp_path):
    write_report(tmp_path / "future", {"format": 3}, [])
    write_report(tmp_path / "empty", {"format": 1, "files": {"names": ["a"]}}, [])
    write_report(tmp_path / "list", [], [])
    client = _client(tmp_path)
    runs = {run["run"]: run["problem"] for run in client.get(f"{PREFIX}/runs").json["runs"]}
    assert runs.keys() == {"future", "empty", "list"}
    assert "has format 3; this version of xferlearn shows 1 and 2" in runs["future"]
    assert "damaged" in runs["empty"]
    assert "damaged" in runs["list"]
    assert client.get(f"{PREFIX}/report?run=future").status_code == 404
    assert client.get(f"{PREFIX}/report?run=list").status_code == 404
    assert "damaged" in client.get(f"{PREFIX}/original?run=empty&index=0").json["error"]


def _nested(report):
    report["backbone"]["name"] = [[[[[[[[[]]]]]]]]]


@pytest.mark.parametrize(
    "change",
    [
        _nested,
        lambda report: report["timings"].update(photos_per_second="fast"),
        lambda report: report["timings"]["seconds"].update(training=float("nan")),
        lambda report: report["training"].update(steps_run=None),
        lambda report: report["evaluations"]["test"].update(interval_95=0.5),
        lambda report: report["evaluations"]["test"].update(accuracy="good"),
        lambda report: report["settings"].append({"name": 1}),
        lambda report: report.update(settings={}),
    ],
)
def test_a_report_of_wrong_types_costs_only_its_own_run(client, logs, tmp_path, change):
    report = client.get(f"{PREFIX}/report", query_string={"run": logs[0].run_dir.name}).json
    write_report(tmp_path / "good", report, [])
    change(report)
    write_report(tmp_path / "odd", report, [])
    with EventWriter(tmp_path / "deep") as events:
        blob = b'{"format": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        events.summary(_blob_sequence(REPORT_TAG, [blob]))
    good, odd = _client(tmp_path), {"good": None, "odd": "damaged", "deep": "damaged"}
    runs = {run["run"]: run.get("problem") for run in good.get(f"{PREFIX}/runs").json["runs"]}
    assert runs.keys() == odd.keys()
    assert all(word is None or word in runs[run] for run, word in odd.items())
    assert runs["good"] is None
    assert good.get(f"{PREFIX}/report?run=deep").status_code == 404


def test_times_are_shown_in_whole_seconds_from_two_minutes_on(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js")
    (tmp_path / "numbers.mjs").write_bytes((STATIC_DIR / "numbers.js").read_bytes())
    (tmp_path / "say.mjs").write_text(
        'import { seconds } from "./numbers.mjs";'
        "console.log([9, 119.4, 119.97, 179.7].map(seconds).join());"
    )
    said = subprocess.run([node, "say.mjs"], cwd=tmp_path, capture_output=True, text=True)
    assert said.stdout == "9.00 s,119.4 s,2 min 0 s,3 min 0 s\n"


def test_a_folder_without_our_data_has_no_runs(tmp_path):
    client = _client(tmp_path)
    assert client.get(f"{PREFIX}/runs").json == {"runs": []}
    listing = client.get("/data/plugins_listing").json["transfer"]
    assert listing["enabled"] is False
    assert listing["tab_name"] == "Transfer"


def test_the_tab_is_enabled_by_data(client):
    assert client.get("/data/plugins_listing").json["transfer"]["enabled"] is True


def _judged(record, labels, splits, probabilities):
    """A run of two classes, of which only the predictions are known."""
    digests = [bytes([n]) * 32 for n in range(len(labels))]
    photos = [Photo(d, label, f"{d[0]}.jpg") for d, label in zip(digests, labels, strict=True)]
    manifest = Manifest(("a", "b"), tuple(photos), tuple(splits))
    return dataclasses.replace(record, manifest=manifest, probabilities=probabilities)


def test_wrong_photos_come_first_the_surest_leading(record):
    probabilities = {
        TEST: np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8]]),
        VALIDATION: np.array([[0.7, 0.3]]),
    }
    labels, splits = [0, 0, 0, 0, 1, 0, 1], [TEST] * 5 + [TRAIN, VALIDATION]
    run = _judged(record, labels, splits, probabilities)
    choices = choose_photos(run)
    assert [choice.photo.name for choice in choices] == [
        *("3.jpg", "6.jpg", "2.jpg"),  # wrong: of each cell the surest, then the next
        *("1.jpg", "4.jpg", "0.jpg"),  # right: of each cell the least sure, then the next
    ]
    assert [round(choice.score, 1) for choice in choices] == [0.9, 0.7, 0.6, 0.6, 0.8, 0.9]
    assert {(choice.truth, choice.predicted) for choice in choices[:3]} == {
        *{((0,), (1,)), ((1,), (0,))}
    }
    capped = choose_photos(run, most_per_cell=1)
    assert [choice.photo.name for choice in capped] == ["3.jpg", "6.jpg", "1.jpg", "4.jpg"]
    assert choose_photos(run, most_in_all=2) == choices[:2]
    assert choose_photos(_judged(record, labels, splits, {})) == []


def test_a_run_of_several_labels_has_the_same_page(record, logs, tmp_path):
    sets = (("a",), ("a", "b"), (), ("b",))
    index = {"a": 0, "b": 1}
    photos = [Photo(bytes([n]) * 32, n % 4, f"{n}.jpg") for n in range(80)]
    manifest = Manifest(
        ("a", "b"),
        tuple(photos),
        (VALIDATION,) * 60 + (TEST,) * 20,
        label_sets=tuple(tuple(index[one] for one in some) for some in sets),
    )
    rng = np.random.default_rng(0)
    truth = {split: manifest.truth(manifest.judged(split)) for split in (VALIDATION, TEST)}
    scores = {
        split: np.clip(has * 0.5 + rng.uniform(0, 0.6, has.shape), 0, 1).astype(np.float32)
        for split, has in truth.items()
    }
    limits = np.array([0.45, 0.6], np.float32)
    decided = {split: some >= limits for split, some in scores.items()}
    run = dataclasses.replace(
        record,
        manifest=manifest,
        probabilities=scores,
        evaluations={
            split: evaluate_label_sets(
                ("a", "b"), truth[split], scores[split], decided[split], thresholds=limits
            )
            for split in scores
        },
        metadata={
            **logs[0].model_folder.metadata,
            "decision": MultiLabelDecision(("a", "b"), {"a": 0.45, "b": 0.6}).as_dict(),
        },
    )
    choices = choose_photos(run)
    wrong = (decided[TEST] != truth[TEST]).any(axis=1)
    assert sum(c.split == TEST and c.truth != c.predicted for c in choices) == min(wrong.sum(), 12)
    for choice in choices:
        row, first = choice.row, 60 if choice.split == TEST else 0
        has, gets = truth[choice.split][row - first], decided[choice.split][row - first]
        assert choice.truth == tuple(np.flatnonzero(has)) == manifest.classes_of(choice.photo)
        assert choice.predicted == tuple(np.flatnonzero(gets))
    write_report(tmp_path / "a", build_report(run, [Shown(choice) for choice in choices]), [])
    write_report(tmp_path / "b", build_report(run), [])
    client = _client(tmp_path)
    report = client.get(f"{PREFIX}/report?run=a").json
    assert report["several_labels"]
    assert report["totals"] == {"train": 0, "validation": 60, "test": 20}
    assert report["counts"]["test"] == truth[TEST].sum(axis=0).tolist()
    assert report["photos"][0]["truth"] == list(choices[0].truth)
    measured, told = run.evaluations[TEST], report["evaluations"]["test"]
    assert told["accuracy"] == pytest.approx(measured.value)
    assert told["measure"] == "mean average precision"
    assert [row["average_precision"] for row in told["classes"]] == [
        row.average_precision for row in measured.classes
    ]
    for one in report["scores"]["test"]["classes"]:
        has, gets = truth[TEST][:, one["label"]], decided[TEST][:, one["label"]]
        assert one["today"] == [
            *(gets.sum(), (has & gets).sum(), [0.45, 0.6][one["label"]]),
            pytest.approx((has != gets).mean(), abs=1e-4),
        ]
        assert "below" not in one
        assert sum(one["positive"][1::2]) == has.sum()
    runs = client.get(f"{PREFIX}/runs").json["runs"]
    assert [one["evaluations"]["test"]["measure"] for one in runs] == [measured.measure] * 2
    problem = client.get(f"{PREFIX}/change?before=a&after=b").json["problem"]
    assert "several labels" in problem


def test_changed_and_missing_photos_are_left_out(make_photo_dir, photo_bytes):
    root = make_photo_dir({"blue": 3, "red": 3})
    source = read_image_dir(str(root))
    digests = {entry.name: hashlib.sha256(entry.read()).digest() for entry in source.entries()}
    photos = [Photo(digest, int(name[0] == "r"), name) for name, digest in digests.items()]
    assert len(read_thumbnails(source, photos, PhotoLimits())) == 6
    (root / "blue" / "0000.jpg").unlink()
    (root / "red" / "0001.jpg").write_bytes(photo_bytes("green", 7))
    gone = {digests["blue/0000.jpg"], digests["red/0001.jpg"]}
    assert read_thumbnails(source, photos, PhotoLimits()).keys() == set(digests.values()) - gone
    assert read_thumbnails(source, [], PhotoLimits()) == {}


@pytest.fixture
def record(logs, photo_dir):
    """A run whose test has two photos, one of them wrong, and whose validation has none."""
    source = read_image_dir(str(photo_dir))
    entries = [entry for entry in source.entries() if entry.name.endswith("0.jpg")]
    photos = [Photo(hashlib.sha256(e.read()).digest(), e.label, e.name) for e in entries]
    manifest = Manifest(source.labels, tuple(photos), (TEST, TEST) + (TRAIN,) * (len(photos) - 2))
    probabilities = {
        TEST: np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3]], np.float32),
        VALIDATION: np.zeros((0, 3), np.float32),
    }
    labels = [photo.label for photo in photos]
    return RunRecord(
        config=TrainConfig(image_dir=str(photo_dir), model_dir="model"),
        source=source,
        manifest=manifest,
        bottlenecks=np.zeros((len(photos), 4), np.float32),
        predict=lambda points: points,
        classifier=None,
        probabilities=probabilities,
        evaluations={
            TEST: evaluate_predictions(source.labels, labels[:2], [0, 1]),
            VALIDATION: evaluate_predictions(source.labels, [], []),
        },
        photos_per_second=10.0,
        seconds={"training": 1.23456},
        metadata=logs[0].model_folder.metadata,
    )


def test_without_photos_the_report_says_so(record, tmp_path):
    assert write_transfer_summary(tmp_path / "with", record) == ()
    assert write_transfer_summary(tmp_path / "without", record, photos=False) == ()
    client = _client(tmp_path)
    full = client.get(f"{PREFIX}/report?run=with").json
    assert [(photo["truth"], photo["predicted"]) for photo in full["photos"]] == [(0, 1), (0, 0)]
    assert full["timings"]["seconds"] == {"training": 1.235}
    assert full["evaluations"]["validation"]["accuracy"] is None
    assert full["evaluations"]["validation"]["cells"] == []
    bare = client.get(f"{PREFIX}/report?run=without").json
    assert bare["photos"] == []
    assert bare["evaluations"] == full["evaluations"]
    assert client.get(f"{PREFIX}/photo?run=without&index=0").status_code == 404


def _audit(record, findings):
    return AuditResult(
        labels=record.manifest.labels,
        counts={},
        findings=tuple(findings),
        classes=(ClassFinding(OVERLAP, ("blue", "red"), 0.5, "blue and red: 2 taken for red"),),
        expected=(1.0, 2.0, 3.0),
        evaluation=record.evaluations[TEST],
        digests=(),
        probabilities=np.zeros((0, 3), np.float32),
        places={photo.digest: photo for photo in record.manifest.photos},
        bad=(),
        pictures=Pictures(record.source, PhotoLimits()),
    )


def test_what_an_audit_found_has_pictures(record, photo_dir, tmp_path):
    photos = record.manifest.photos
    findings = [
        Finding(LABEL, one.digest, one.name, "blue", 0.9, proposed="red") for one in photos[:8]
    ]
    dark = Finding(BLACK, photos[8].digest, photos[8].name, "red", 0.5, text="dark")
    audited = _audit(record, [*findings, dark])
    assert write_transfer_summary(tmp_path / "with", record, audited) == ()
    assert write_transfer_summary(tmp_path / "without", record) == ()
    client = _client(tmp_path)
    assert client.get(f"{PREFIX}/report?run=without").json["audit"] is None
    audit = client.get(f"{PREFIX}/report?run=with").json["audit"]
    assert audit["kinds"] == [["likely label errors", 8], [BLACK, 1]]
    assert audit["classes"] == ["blue and red: 2 taken for red"]
    assert [one["kind"] for one in audit["findings"]] == ["likely label errors"] * 6 + [BLACK]
    for one in audit["findings"]:
        answer = client.get(f"{PREFIX}/photo?run=with&index={one['picture']}")
        with Image.open(photo_dir / one["name"]) as original:
            colour = np.asarray(original).mean(axis=(0, 1))
        shown = np.asarray(Image.open(io.BytesIO(answer.data))).mean(axis=(0, 1))
        np.testing.assert_allclose(shown, colour, atol=4)


@pytest.fixture
def changed(logs, client, tmp_path):
    """`changed(edit)`: what the server says changed from a run to one with an edited report."""
    first = client.get(f"{PREFIX}/report", query_string={"run": logs[0].run_dir.name}).json

    def change(edit):
        second = json.loads(json.dumps(first))
        edit(second)
        place = Path(tempfile.mkdtemp(dir=tmp_path))
        for name, report in (("a", first), ("b", second)):
            write_report(place / name, report, [])
        return _client(place).get(f"{PREFIX}/change?before=a&after=b")

    return change


def test_what_changed_between_two_runs_is_paired_by_photo(logs, changed):
    result = logs[0]
    others = result.validation.total

    def edit(report):
        judged = report["judged"]
        assert len(judged["truth"]) == others + judged["test"] == others + result.test.total
        judged["predicted"] = judged["truth"][:]
        # A test photo is wrong.
        right = judged["truth"].index(0, others)
        judged["predicted"][right] = (judged["truth"][right] + 1) % 3

    told = changed(edit).json
    folded, test, total = told["parts"]
    assert [part["name"] for part in told["parts"]] == ["cross-validated", "test", "all"]
    assert folded["before"]["accuracy"] == pytest.approx(result.validation.accuracy)
    assert test["before"]["accuracy"] == pytest.approx(result.test.accuracy)
    assert test["before"]["interval_95"] == pytest.approx(list(result.test.interval))
    wrong = others - result.validation.correct
    assert (folded["n"], folded["gained"], folded["lost"]) == (others, wrong, 0)
    assert folded["interval_95"][0] <= folded["change"] == pytest.approx(wrong / others)
    assert told["changed"]["gained"]["n"] == total["gained"]
    gained = told["changed"]["gained"]["photos"]
    assert {photo["name"] for photo in gained if photo["name"]} <= {
        photo.name for photo in (*result.misclassified, *result.misclassified_in_validation)
    }
    assert all(photo["after"] == photo["truth"] != photo["before"] for photo in gained)
    assert all(photo["run"] in ("a", "b") and photo["index"] >= 0 for photo in gained)
    assert told["notes"] == []
    assert [row[0] for row in told["classes"]] == ["blue", "green", "red"]


def test_runs_that_can_not_be_compared_say_why(changed):
    def others(report):
        judged = report["judged"]
        judged["keys"] = "".join(f"{row:08d}" for row in range(len(judged["truth"])))

    for edit, said in (
        (lambda report: report.pop("judged"), "written by an earlier version"),
        (lambda report: report.update(judged={"too_many": 30_000}), "has 30,000 photos, too many"),
        (others, "measured on different photos"),
    ):
        assert said in changed(edit).json["problem"]
    for edit in (
        lambda report: report.update(judged=[]),
        lambda report: report["judged"].update(keys="!"),
        lambda report: report["judged"]["truth"].append(0),
        lambda report: report["judged"]["predicted"].__setitem__(0, 99),
        lambda report: report["judged"]["together"].append([1, 10**6]),
        lambda report: report.update(photos=None),
    ):
        answer = changed(edit)
        assert answer.status_code == 404
        assert "damaged" in answer.json["error"]


def test_what_is_kept_for_comparing_is_small(record, monkeypatch):
    digests = [hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(1000)]
    photos = tuple(Photo(one, n % 3, f"{n}.jpg") for n, one in enumerate(digests))
    groups = tuple(n // 2 for n in range(1000))
    manifest = Manifest(record.manifest.labels, photos, (TEST,) * 1000, groups=groups)
    probabilities = {TEST: np.eye(3, dtype=np.float32)[[n % 3 for n in range(1000)]]}
    many = dataclasses.replace(record, manifest=manifest, probabilities=probabilities)
    assert len(json.dumps(judged_photos(many))) < 20_000
    monkeypatch.setattr(xferlearn.dashboard.changes, "MOST_JUDGED", 999)
    judged = judged_photos(many)
    assert judged["too_many"] == 1000
    # Reports of the same photos are known as such nevertheless.
    assert photo_sets({"judged": judged}) == judged["sets"]
    monkeypatch.undo()
    assert photo_sets({"judged": judged_photos(many)})[TEST] == judged["sets"][TEST]


def test_what_can_not_be_written_is_told_not_raised(record, tmp_path):
    (tmp_path / "file").write_text("")
    (problem,) = write_transfer_summary(tmp_path / "file" / "run", record)
    assert "tab Transfer" in problem
    assert "\n" not in problem


def test_tensorboard_finds_the_plugin_and_starts_without_tensorflow():
    (entry,) = importlib.metadata.entry_points(group="tensorboard_plugins", name="xferlearn")
    assert entry.load() is TransferPlugin
    code = (
        "import sys, xferlearn.dashboard.plugin;"
        "print([name for name in ('tensorflow', 'keras', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@contextlib.contextmanager
def _board(logs_dir, *flags):
    """A TensorBoard as a user starts it; gives its address."""
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logs_dir}", "--port=0", *flags]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        try:
            for line in process.stderr:
                found = re.search(r"http://\S+:\d+", line)
                if found:
                    yield found[0].replace("//" + found[0][7:].split(":")[0], "//localhost")
                    return
            raise AssertionError("TensorBoard did not start")
        finally:
            process.terminate()


def _get(address, path, **arguments):
    query = urllib.parse.urlencode(arguments)
    with urllib.request.urlopen(f"{address}{PREFIX}/{path}?{query}", timeout=20) as answer:
        return answer.read()


@pytest.fixture(scope="module")
def board(logs):
    """TensorBoard on the two runs, with its default data server."""
    with _board(logs[1]) as address:
        yield address


def _wait_for_runs(address, count):
    for _ in range(100):
        with contextlib.suppress(urllib.error.URLError):
            runs = json.loads(_get(address, "runs"))["runs"]
            if len(runs) == count:
                return
        time.sleep(0.2)
    raise AssertionError(f"{runs} are not {count} runs")


def _assert_nothing_is_dropped(address):
    _wait_for_runs(address, 2)
    report = json.loads(_get(address, "report", run="large"))
    assert len(report["warnings"][0]) == 5_000_000
    assert [photo["name"] for photo in report["photos"]] == [str(n) for n in range(600)]
    for index in (0, 1, 9, 10, 11, 255, 256, 599):
        expected = b"\xff\xd8\xff" + bytes([index % 256, index // 256])
        assert _get(address, "photo", run="large", index=index) == expected
    with pytest.raises(urllib.error.HTTPError, match="404"):
        _get(address, "report", run="none such")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        _get(address, "photo", run="large", index=600)


def test_the_default_data_server_drops_nothing(board):
    _assert_nothing_is_dropped(board)


def test_the_other_data_server_drops_nothing(logs):
    with _board(logs[1], "--load_fast=false") as address:
        _assert_nothing_is_dropped(address)


class Tab:
    """Tab Transfer in a browser, as a person uses it."""

    def __init__(self, browser):
        self.browser = browser

    def js(self, expression):
        """Evaluates in the tab's frame, with `$` and `$$` for its elements."""
        return f"""(() => {{
            const frame = all('iframe').find(f => f.src.includes('name=transfer'));
            const page = frame?.contentDocument;
            if (!page) return null;
            const $ = selector => page.querySelector(selector);
            const $$ = selector => [...page.querySelectorAll(selector)];
            return {expression};
        }})()"""

    def see(self, expression):
        return self.browser.wait_for(self.js(expression), 20)

    def now(self, expression):
        return self.browser.evaluate(self.js(expression))

    def choose(self, run):
        """Opens a run by its button, once: each click may fetch and draw."""
        self.now("$$('dialog').forEach(d => d.close())")
        name = json.dumps(run)
        self.now(f"$$('.runs li button').find(b => b.textContent.includes({name})).click()")
        self.see(f"$('h1')?.textContent === {name} && !!$('.matrix')")

    def resize(self, width, height=900):
        self.browser._call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def press(self, key):
        codes = {
            **{"Enter": 13, "Escape": 27, "End": 35, "Home": 36},
            **{"ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40},
        }
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.browser._call(
                "Input.dispatchKeyEvent",
                **{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": codes[key]},
                **text,
            )


@pytest.fixture(scope="module")
def browser():
    if find_chromium() is None:
        pytest.skip("needs Chromium: no chromium or chrome on PATH")
    with Chromium() as page:
        yield page


@pytest.fixture(scope="module")
def opened(browser, board):
    """The tab, opened once."""
    _wait_for_runs(board, 2)
    browser.open(f"{board}/#transfer")
    tab = Tab(browser)
    tab.see("$$('.runs li button').length === 2 && !!$('.tiles')")
    return tab


@pytest.fixture
def tab(opened, logs):
    """The tab on the real run, in a large window, with nothing open."""
    opened.resize(1400)
    opened.choose(logs[0].run_dir.name)
    opened.now("($('input[value=test]').click(), $('input[value=count]').click())")
    return opened


def test_a_person_sees_the_input_layer_and_the_numbers(tab, logs):
    result, _, _ = logs
    layer = tab.see("$('.pipeline .input').innerText")
    assert "image" in layer.split()
    assert "32 × 32 px, RGB" in layer
    assert "float32, 0 to 255" in layer
    validation, test = result.validation, result.test
    assert tab.now("$$('.tiles dt').map(t => t.textContent)")[:2] == [
        *("Cross-validated accuracy", "Test accuracy")
    ]
    low, high = (f"{100 * end:.1f}" for end in validation.interval)
    # Of few photos the interval is as large as the accuracy.
    assert validation.few
    assert tab.now("$$('.tiles .main b').map(b => b.textContent)") == [
        *(f"{validation.accuracy:.1%}", f"{low}–{high}%")
    ]
    assert f"N = {validation.total}, 5 folds" in tab.now("$('.tiles .main').innerText")
    photos = tab.now("$$('.tiles > div').map(t => t.innerText)[2]")
    assert f"{validation.total} cross-validated, {test.total} test" in photos
    assert f"Delivered: trained on all {len(result.manifest.photos)} photos" in photos
    tab.now("$('input[value=validation]').click()")
    cells = tab.now(
        "$$('.matrix tbody tr').map(r => [...r.cells].slice(1).map(c => c.textContent))"
    )
    assert cells == [[str(n) if n else "" for n in row] for row in validation.confusion.tolist()]
    heads = tab.now("$$('.matrix thead th, .matrix tbody th').map(h => [h.scope, h.innerText])")
    labels = list(test.labels)
    assert heads == [["col", x] for x in labels] + [["row", x] for x in labels]
    assert tab.now("$('table.matrix').getAttribute('role')") == "grid"
    # The other split, and shares of rows instead of counts.
    tab.now("$('input[value=test]').click()")
    cells = tab.now(
        "$$('.matrix tbody tr').map(r => [...r.cells].slice(1).map(c => c.textContent))"
    )
    assert cells == [[str(n) if n else "" for n in row] for row in test.confusion]
    tab.now("$('input[value=percent]').click()")
    shares = tab.now(
        "$$('.matrix tbody tr').map(r => [...r.cells].slice(1).map(c => c.textContent))"
    )
    for row, counts in zip(shares, test.confusion, strict=True):
        assert [float(x or 0) for x in row] == pytest.approx(100 * counts / counts.sum(), abs=0.51)
    tab.now("$('input[value=count]').click()")
    answers = tab.now("$$('.answers tr').map(r => [...r.cells].map(c => c.textContent))")
    facts = str(result)
    assert [name for name, _ in answers] == ["unknown", "answers alone"]
    assert all(f"{name} " in facts and text[:20] in facts for name, text in answers)


def test_cells_open_their_photos_by_mouse_and_keyboard(tab, logs):
    result, _, _ = logs
    truth, predicted = np.argwhere((result.test.confusion > 0) & ~np.eye(3, dtype=bool))[0].tolist()
    count = int(result.test.confusion[truth, predicted])
    names = [result.test.labels[index] for index in (truth, predicted)]
    cell = f"$('.matrix tbody').rows[{truth}].cells[{predicted + 1}]"
    tab.see(f"({cell}.click(), true)")
    assert tab.see("$('dialog h2')?.textContent") == f"{names[0]} predicted as {names[1]}"
    shown = tab.see(
        "($$('dialog img').every(i => i.complete) && $$('dialog img').map(i => i.naturalWidth))"
    )
    assert shown == [160] * min(count, 12)
    expected = {
        photo.name.split("/")[-1]
        for photo in result.misclassified
        if (photo.truth, photo.predicted) == tuple(names)
    }
    assert set(tab.now("$$('dialog .file').map(f => f.textContent)")) <= expected
    assert tab.now("$('dialog .score').textContent").startswith(names[1])
    tab.press("Escape")
    tab.see("!$('dialog')")
    # The browser moves the focus once it has painted the page without the dialog.
    tab.see(f"page.activeElement === {cell}")
    tab.now("$('.matrix tbody').rows[0].cells[1].focus()")
    tab.press("ArrowRight")
    tab.press("ArrowDown")
    tab.see("page.activeElement === $('.matrix tbody').rows[1].cells[2]")
    tab.press("Enter")
    assert tab.see("$('dialog h2')?.textContent") == f"{result.test.labels[1]}, predicted right"
    tab.press("Escape")
    tab.see("!$('dialog')")
    tab.see("page.activeElement === $('.matrix tbody').rows[1].cells[2]")


def test_a_photo_opens_whole_with_what_speaks_for_its_label(tab, logs):
    result, _, photo_dir = logs
    truth, predicted = max(
        np.argwhere(~np.eye(3, dtype=bool)).tolist(),
        key=lambda pair: result.test.confusion[*pair],
    )
    number = int(result.test.confusion[truth, predicted])
    assert number > 1
    tab.see(f"($('.matrix tbody').rows[{truth}].cells[{predicted + 1}].click(), true)")
    tab.see("($('dialog button.why')?.focus(), !!$('dialog button.why'))")
    tab.press("Enter")
    name = tab.see("$('dialog.evidence h2')?.textContent")
    photo = next(one for one in result.misclassified if one.name == name)
    # The photo itself, not its thumbnail, and where it is.
    tab.see("(i => i?.complete && i.naturalWidth === 64)($('img.large'))")
    said = f"{name}: {photo.truth}, predicted as {photo.predicted}"
    assert tab.now("$('img.large').alt") == said
    assert tab.now("$('.path code').textContent") == str(photo_dir / name)
    assert tab.now("$('.path button').textContent") == "Copy path"
    assert tab.now("$('.photo > p.note').textContent") == (
        f"{photo.truth}, predicted as {photo.predicted}."
    )
    labels = tab.now("$$('.evidence tbody th').map(h => h.firstChild.textContent)")
    assert labels[0] == photo.predicted
    assert set(labels) == set(result.test.labels)
    assert tab.now("$('.evidence .badge').parentNode.firstChild.textContent") == photo.truth
    assert tab.now("$('.evidence tbody .number').textContent") == f"{photo.score:.1%}"
    near = tab.now("$$('.evidence .grid figcaption b').map(b => b.textContent)")
    assert len(near) == 3
    said = tab.now("$('.evidence .command').textContent")
    model = result.model_folder.path
    assert said == f"xferlearn label --model={model} --why=why {photo_dir / name}"
    # The arrow keys go round, and what has the focus keeps it.
    tab.press("ArrowRight")
    other = tab.see(f"(t => t !== {json.dumps(name)} && t)($('dialog.evidence h2').textContent)")
    assert other in {one.name for one in result.misclassified}
    assert tab.now("$('.steps [role=status]').textContent") == f"2 of {min(number, 12)}"
    assert tab.now("!!page.activeElement.closest('dialog.evidence')")
    tab.press("ArrowLeft")
    tab.see(f"$('dialog.evidence h2').textContent === {json.dumps(name)}")
    tab.press("Escape")
    tab.see("!$('dialog.evidence') && page.activeElement === $('dialog button.why')")
    tab.press("Escape")
    tab.see("!$('dialog')")


def test_the_surest_mistakes_hang_on_the_wall(tab, logs):
    result, _, _ = logs
    shown = tab.now("$$('.wall .file').map(f => f.title)")
    surest = sorted(result.misclassified, key=lambda photo: -photo.score)
    assert shown == [photo.name for photo in surest[:12]]
    assert tab.now("$('.wall figcaption').innerText").startswith(
        f"{surest[0].truth} → {surest[0].predicted}"
    )


def test_thresholds_and_curves_give_values_by_keyboard(tab, logs):
    result, _, _ = logs
    rows = {row.label: row for row in result.test.classes}
    label = tab.now("$('.threshold-side') && $('.thresholds select').value")
    today = tab.now("[...$$('.threshold tbody tr')[1].cells].map(c => c.textContent)")
    row = rows[label]
    assert today[:5] == [
        *("As decided today", str(row.predicted), f"{row.precision:.1%}", f"{row.recall:.1%}"),
        f"{row.photos - row.correct} of {row.photos}",
    ]
    assert float(today[6]) == pytest.approx(1 - result.test.accuracy, abs=1e-4)
    # It starts where as many photos are labelled, and the keyboard moves it.
    now = "$('.threshold .now').innerText"
    first = tab.now(f"($('.slider input').focus(), {now})")
    assert first.split("\t")[1] == today[1]
    tab.press("Home")
    lowest = tab.see(f"(t => t.startsWith('Threshold 0.001') && t)({now})").split("\t")
    assert lowest[3] == "100.0%"
    assert "recall 100.0%" in tab.now("$('.slider input').getAttribute('aria-valuetext')")
    tab.press("End")
    tab.see(f"{now}.startsWith('Threshold 0.999')")
    tab.now("$('.slider button').click()")
    assert tab.now(now) == first
    # Charts: a value by each key, and all of them in a table.
    charts = (
        ("Precision and recall", "Recall "),
        ("Share that is right", "Probability "),
        ("Loss by step", "Step "),
        ("Accuracy by step", "Step "),
    )
    tab.see("$$('.plot').length === 4")
    for place, (title, said) in enumerate(charts):
        chart = f"$$('.chart')[{place}]"
        assert title in tab.now(f"{chart}.querySelector('.plot').getAttribute('aria-label')")
        tab.now(f"{chart}.querySelector('.plot').focus()")
        tab.press("ArrowRight")
        tab.see(f"{chart}.querySelector('.status').textContent.startsWith('{said}')")
        assert tab.now(f"{chart}.querySelectorAll('tbody tr').length") >= 2
    steps = tab.now("$$('.chart')[3].querySelector('tbody tr:last-child th').textContent")
    assert steps == str(result.training.steps)
    # Another class, and another split.
    tab.now("(s => { s.value = [...s.options].find(o => o.value !== s.value).value;"
            " s.dispatchEvent(new Event('change')) })($('.thresholds select'))")  # fmt: skip
    other = tab.now("$('.thresholds select').value")
    assert other != label
    tab.now("$('input[value=validation]').click()")
    assert tab.now("$('.thresholds select').value") == other
    assert "cross-validated" in tab.now("$('.thresholds h2').textContent")


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (800, True), (400, False)])
def test_nothing_is_outside_the_window_nor_hard_to_reach(tab, logs, width, dark):
    tab.resize(width)
    tab.browser.evaluate(f"document.body.classList.toggle('dark-mode', {json.dumps(dark)})")
    tab.see(f"page.documentElement.dataset.theme === '{'dark' if dark else 'light'}'")
    if width < 1000:  # beside the page, the list of runs folds
        tab.choose(logs[0].run_dir.name)
        assert tab.now("$('.fold').getAttribute('aria-expanded')") == "false"
        assert tab.now("$('.runs-body').offsetHeight") == 0
    states = {
        "run": "$$('details').forEach(d => d.open = true)",
        "cell": "$$('.matrix td.wrong')[0].click()",
        "photo": "$('dialog button.why').click()",
        "compare": "($$('dialog').forEach(d => d.close()), $('input[value=compare]').click())",
    }
    outside = (
        "$$('body *').filter(e => !e.closest('.scroll, .hidden, svg') && e.getBoundingClientRect()"
        ".right > page.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 200))"
    )
    for name, act in states.items():
        tab.now(act)
        if name == "compare":
            tab.see("!!$('.change .headline')")
        assert tab.now(outside) == [], name
        assert tab.browser.problems("name=transfer") == [], name
    if width == 400:
        small = tab.now(
            "$$('main button, main select, .fold').filter(e => e.offsetHeight"
            " && !e.closest('.matrix, .pairs, table') && e.offsetHeight < 44).map(e => e.outerHTML)"
        )
        assert small == []
    tab.browser.evaluate("document.body.classList.remove('dark-mode')")
    tab.now("$('input[value=run]').click()")


def test_tables_sort_and_runs_compare(tab, logs):
    result, _, _ = logs
    tab.now("$$('.classes thead button').find(b => b.textContent === 'Recall').click()")
    order = tab.now("$$('.classes tbody th').map(h => h.textContent)")
    recall = {row.label: row.recall for row in result.test.classes}
    assert [recall[label] for label in order] == sorted(recall.values(), reverse=True)
    assert tab.now("$('.classes [aria-sort]').textContent") == "Recall"
    # What was changed comes first, the rest is folded.
    changed = tab.now("[...$('.settings').querySelectorAll('code')].map(c => c.textContent)")
    assert {"learning_rate", "image_size", "weights"} <= set(changed)
    assert "train_batch_size" not in changed
    tab.now("$('input[value=compare]').click()")
    rows = tab.see("$$('table[aria-label=\"Runs side by side\"] tbody tr').map(r => r.innerText)")
    assert len(rows) == 2
    assert any(result.run_dir.name in row for row in rows)
    assert all(f"{result.test.accuracy:.1%}" in row for row in rows)
    # One of the two has another name for a class.
    before, after = tab.see("$('.change .headline') && $$('select').map(s => s.value)")
    assert {before, after} == {"large", result.run_dir.name}
    notes = tab.now("$('.change .notices').innerText")
    assert HOSTILE in notes
    assert "another label since" in notes
    shown = tab.see(
        "(i => i.length && i.every(e => e.complete) && i.map(e => e.naturalWidth))"
        "($$('.change figure img'))"
    )
    assert len(shown) >= 1
    choice = "$$('select')[0]"
    tab.now(f"({choice}.value = $$('select')[1].value, "
            f"{choice}.dispatchEvent(new Event('change')))")  # fmt: skip
    assert tab.see("$('.change').innerText === 'Choose two runs.'")
    tab.now("$('input[value=run]').click()")


def test_labels_are_text_whatever_they_hold(tab):
    tab.choose("large")
    assert tab.now("$('.matrix tbody th').textContent") == HOSTILE
    # What earlier versions did not write is left out; of photos there is the thumbnail.
    assert tab.now("$$('.threshold, .calibration .card').length") == 0
    assert tab.now("$$('pre').at(-1).textContent") == "xferlearn train '--image_dir=my photos'"
    tab.now("$('.wall button.why').click()")
    tab.see("$('figure.large figcaption')?.textContent.includes('not on this machine')")
    assert tab.browser.problems("name=transfer") == []
    assert tab.now("$$('img').filter(i => i.getAttribute('src') === 'x').length") == 0


@pytest.mark.parametrize(
    ("evaluations", "main"),
    [
        ({"validation": {"n": 80, "folding": "5 folds"}, "test": {"n": 9}}, "validation"),
        ({"validation": {"n": 30, "folding": ""}, "test": {"n": 9}}, "test"),
        ({"validation": {"n": 30, "folding": ""}, "test": {"n": 0}}, "validation"),
        ({"validation": {"n": 0, "folding": ""}, "test": {"n": 9}}, "test"),
    ],
)
def test_the_main_number_is_one_that_was_measured(tab, evaluations, main):
    said = json.dumps({"evaluations": evaluations})
    numbers = f"(await import('{PREFIX}/numbers.js'))"
    assert tab.browser.evaluate(f"{numbers}.mainSplit({said})") == main


def test_the_tab_follows_tensorboards_dark_mode(tab):
    colour = "page.defaultView.getComputedStyle($('main')).color"
    light = tab.now(colour)
    tab.browser.evaluate("document.body.classList.add('dark-mode')")
    assert tab.see("page.documentElement.dataset.theme === 'dark'")
    assert tab.now(colour) != light
    tab.browser.evaluate("document.body.classList.remove('dark-mode')")
    assert tab.see("page.documentElement.dataset.theme === 'light'")
