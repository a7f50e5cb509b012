"""Models that give several labels per photo: their files in every format, and those of others."""

import contextlib
import csv
import dataclasses
import io
import json
import shutil

import keras
import numpy as np
import pytest
from model_folders import add_familiarity, edit_metadata, training_photos
from tflite_reading import metadata

import xferlearn
from xferlearn.cli import main
from xferlearn.config import ModelConfig
from xferlearn.decisions import MultiLabelDecision, decision_of
from xferlearn.errors import UserError
from xferlearn.exports.changed import ChangedSet
from xferlearn.exports.formats import FORMATS
from xferlearn.exports.frozen_graph import write_frozen_graph
from xferlearn.exports.photos import ProofPhotos
from xferlearn.exports.proof import Reference, Speed, prove
from xferlearn.inspection import inspect_model
from xferlearn.inspection.readers import flat
from xferlearn.inspection.readers.wire import Budget
from xferlearn.model_folder import read_model_folder
from xferlearn.predictors import Answers, Predictor, open_predictor
from xferlearn.training.head import build_classifier, build_head

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*np.object.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tf2onnx"),
]

LABELS = ("blue", "green", "red")
# What is said to be on the photos of each folder.
SHOWN = {"blue": "", "green": "green", "red": "green|red"}
THRESHOLDS = {"blue": 0.5, "green": 0.3, "red": 0.45}
FILES = {
    "saved_model": "saved_model/1",
    "tflite": "model.tflite",
    "tflite_int8": "model_int8.tflite",
    "onnx": "model.onnx",
    "openvino": "openvino/model.xml",
    "frozen_graph": "frozen_graph/frozen_graph.pb",
}
MEDIAPIPE_TRANSFORM, CALIBRATES, THRESHOLDS_SCORES = 2, 2, 3


@pytest.fixture(scope="module")
def several(small_model, tmp_path_factory):
    """A model folder whose photos have several labels, or none. Shared: copy it to change it."""
    folder = tmp_path_factory.mktemp("several") / "model"
    shutil.copytree(small_model, folder)
    with (folder / "photos.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    place = head.index("label")
    for row in rows:
        row[place] = SHOWN[row[place]]
    with (folder / "photos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    decision = MultiLabelDecision(LABELS, THRESHOLDS)

    def change(told):
        told.update(multi_label=True, decision=decision.as_dict())
        told["output"]["activation"] = "sigmoid"

    edit_metadata(folder, change)
    model = read_model_folder(folder).load_model()
    features = keras.Model(model.input, model.get_layer("pooling").output)
    photos = training_photos(folder)
    bottlenecks = np.asarray(features(photos))
    # Training photos come by their labels in turn: none, green, both.
    wanted = np.array([[-4, -3, -4], [-4, 2, -2], [-4, 3, 3]])[np.arange(len(photos)) % 3]
    kernel = np.linalg.lstsq(np.c_[bottlenecks, np.ones(len(photos))], wanted, rcond=1e-3)[0]
    several = build_head(16, 3, hidden_units=0, multi_label=True)
    several.get_layer("predictions").set_weights([kernel[:-1], kernel[-1]])
    build_classifier(features, several).save(folder / "model.keras")
    add_familiarity(folder, reject=0.03)
    return folder


@pytest.fixture(scope="module")
def exported(several, tmp_path_factory):
    """Its exports, and what the command printed. Shared: do not change it."""
    model = tmp_path_factory.mktemp("exported") / "model"
    shutil.copytree(several, model)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["export", f"--model={model}", f"--format={','.join(FILES)}"])
    assert code == 0, out.getvalue()
    return model / "exports", out.getvalue()


@pytest.fixture(scope="module")
def pixels(several):
    return training_photos(several)[:6].astype(np.uint8)


@pytest.fixture(scope="module")
def expected(several, pixels):
    model = read_model_folder(several).load_model()
    return Answers.of_model(model(pixels.astype(np.float32))).scores


def opened(path, **settings):
    return open_predictor(ModelConfig(model=str(path), **settings))


def test_every_file_gives_equal_sets(exported):
    folder, out = exported
    held = json.loads((folder / "report.json").read_text())
    for name in FILES:
        proof = held["formats"][name]["proof"]
        assert (proof["agreement"], proof["decided"], proof["changed"]) == (1.0, None, [])
        assert proof["minimum"] == (0.9 if name == "tflite_int8" else 0.99)
        assert proof["largest_difference"] < (0.1 if name == "tflite_int8" else 1e-4)
        # Photos without any label count: of each folder all are right.
        assert proof["accuracy"] == 1.0
    assert held["about"]["multi_label"] is True
    assert (held["about"]["activation"], held["about"]["thresholds"]) == ("sigmoid", THRESHOLDS)
    said = " ".join(out.split())
    assert "Agreement is the share of photos that get the same labels at the model's" in said
    assert "compare the probabilities with [0.5, 0.3, 0.45], as in labels.txt" in said


@pytest.mark.parametrize("name", FILES)
def test_file_alone_gives_the_labels(exported, expected, pixels, name, tmp_path):
    file = FILES[name]
    source = exported[0] / file.partition("/")[0]
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, tmp_path / source.name)
    predictor = opened(tmp_path / file)
    assert predictor.warnings == ()
    scores = predictor.run(pixels)
    np.testing.assert_allclose(scores, expected, atol=0.1 if "int8" in name else 1e-4)
    decision = decision_of(predictor.metadata)
    assert dict(decision.thresholds) == THRESHOLDS
    right = [[False] * 3, [False, True, False], [False, True, True]] * 2
    assert decision.decide(scores).tolist() == right
    assert predictor.metadata["multi_label"] is True
    with pytest.raises(UserError, match=r"`label_threshold=0.5` .* states how its labels are"):
        opened(tmp_path / file, label_threshold=0.5)
    report = inspect_model(tmp_path / file)
    assert (report.multi_label, report.labels, report.classes) == (True, LABELS, 3)
    said = " ".join(repr(report).split())
    assert "a photo may have several labels, or none" in said
    assert "largest F1 on: blue 0.5, green 0.3, red 0.45" in said
    assert "label_threshold" not in said


def test_the_saved_model_says_which_labels_apply(exported, pixels, expected):
    import tensorflow as tf

    call = tf.saved_model.load(str(exported[0] / FILES["saved_model"])).signatures[
        "serving_default"
    ]
    answers = call(image=tf.constant(pixels, tf.float32))
    assert answers["decision"].dtype == tf.bool
    limits = [THRESHOLDS[label] for label in LABELS]
    np.testing.assert_array_equal(answers["decision"].numpy(), expected >= limits)
    assert answers["labels"].numpy()[0].astype(str).tolist() == list(LABELS)


@pytest.mark.parametrize("name", ["tflite", "tflite_int8"])
def test_mediapipe_is_told_the_thresholds(exported, name):
    """Scores below the threshold of their class become 0, others stay, and 0 is left out."""
    data = (exported[0] / FILES[name]).read_bytes()
    held = flat.root(metadata(data, "TFLITE_METADATA"), Budget(len(data)))
    first, second = next(held.tables(3)).tables(3)
    units = {unit.value(0, "B"): unit.table(1) for unit in first.tables(4)}
    assert set(units) == {CALIBRATES, THRESHOLDS_SCORES}
    assert units[CALIBRATES].value(0, "B") == MEDIAPIPE_TRANSFORM
    assert units[THRESHOLDS_SCORES].value(0, "f") == pytest.approx(0.15)
    assert list(second.tables(4)) == []
    names = [one.text(0, 100) for one in first.tables(6)]
    assert names == ["labels.txt", "thresholds.txt"]
    assert b"1,1,0,0.5\n1,1,0,0.300000012\n1,1,0,0.449999988" in data


# --- The proof


def proved(before, after, truth, minimum=0.5):
    photos = ProofPhotos(
        tuple(f"{i}.jpg" for i in range(len(before))),
        np.array(truth, bool),
        np.arange(len(before), dtype=np.uint8)[:, None, None, None] * np.ones((4, 4, 3), np.uint8),
        (),
        "test",
        False,
    )
    decision = MultiLabelDecision(LABELS, THRESHOLDS)
    stated = {"labels": list(LABELS), "decision": decision.as_dict()}
    scores = np.array(after, np.float32)
    reference = Reference(
        LABELS, "crop", np.array(before, np.float32), 1.0, Speed(1, 1, 1), decision
    )
    predictor = Predictor(
        LABELS, 4, 4, "crop", lambda pixels: Answers(scores[pixels[:, 0, 0, 0]]), metadata=stated
    )
    return prove(lambda: predictor, photos, reference, minimum)


def test_what_a_changed_set_is():
    before = [[0.9, 0.31, 0.1], [0.1, 0.1, 0.1], [0.6, 0.2, 0.9]]
    # All first labels stay.
    after = [[0.9, 0.28, 0.2], [0.4, 0.2, 0.2], [np.nan, 0.2, 0.9]]
    proof = proved(before, after, [[1, 1, 0], [0, 0, 0], [1, 0, 1]])
    assert proof.agreement == pytest.approx(1 / 3)
    assert proof.accuracy == pytest.approx(1 / 3)
    assert not proof.passed
    changed, failed = proof.changed
    assert (changed.before, changed.after, changed.truth) == ("blue|green", "blue", "blue|green")
    assert changed.labels == {"green": pytest.approx((0.31, 0.28, 0.3))}
    assert changed.text() == ("0.jpg: lost green, wrongly (0.3100 became 0.2800, threshold 0.3000)")
    assert failed.after == "red"
    (reason,) = proof.disagreements
    assert "2 changed the set of labels, by labels within 0.1 of their threshold" in reason
    got = ChangedSet("1.jpg", "red", "", "red", {"red": (0.25, 0.5, 0.25 + 0.125)})
    assert got.text() == "1.jpg: got red (0.2500 became 0.5000, threshold 0.3750)"
    assert ChangedSet("1.jpg", "", "", "", {}).text() == "1.jpg: not all of its scores are numbers"


def test_other_thresholds_in_the_file_fail_the_proof(several, tmp_path, monkeypatch):
    model = tmp_path / "model"
    shutil.copytree(several, model)

    def others(network, model_folder, folder, calibration):
        decision = MultiLabelDecision(LABELS, THRESHOLDS | {"red": 0.9})
        said = {**model_folder.metadata, "decision": decision.as_dict()}
        write_frozen_graph(network, dataclasses.replace(model_folder, metadata=said), folder)

    broken = dataclasses.replace(FORMATS["frozen_graph"], write=others)
    monkeypatch.setitem(FORMATS, "frozen_graph", broken)
    result = xferlearn.export(model=str(model), format="frozen_graph", verbose=0)
    assert not result.passed
    assert "the written file states thresholds" in result.rows[0].problem


# --- Models of other makers


def foreign(path, activation, units=3):
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    keras.Model(image, keras.layers.Dense(units, activation=activation)(x)).save(path)
    (path.parent / "labels.txt").write_text("a\nb\nc\n")


def test_a_foreign_sigmoid_asks_whether_there_may_be_several(tmp_path):
    path = tmp_path / "m.keras"
    foreign(path, "sigmoid")
    predictor = opened(path)
    assert predictor.metadata == {}
    (warning,) = (one for one in predictor.warnings if "label_threshold" in one)
    assert "That each photo has one, of the largest score, was assumed" in warning
    report = inspect_model(path)
    assert (report.has_lone_scores, report.multi_label) == (True, False)
    said = " ".join(repr(report).split())
    assert "from which score on is not" in said
    assert "whether photos may have several labels" in said
    assert f"xferlearn label --model={path} --label_threshold=0.5 PHOTO" in said
    told = opened(path, label_threshold=0.25)
    assert not any("label_threshold" in one for one in told.warnings)
    assert dict(decision_of(told.metadata).thresholds) == dict.fromkeys("abc", 0.25)


@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_a_threshold_for_one_label_per_photo_is_refused(tmp_path, activation):
    foreign(tmp_path / "m.keras", activation)
    with pytest.raises(UserError, match=r"`label_threshold=0.5` is for models .* one label per"):
        opened(tmp_path / "m.keras", label_threshold=0.5)
    assert "label_threshold" not in repr(inspect_model(tmp_path / "m.keras"))


def test_thresholds_of_a_folder_and_wrong_ones(several, small_model):
    for folder, reason in ((several, "states how its labels"), (small_model, "has one label per")):
        with pytest.raises(UserError, match=f"`label_threshold=0.5` .* {reason}"):
            opened(folder, label_threshold=0.5)
    for wrong in (0, 1.5):
        with pytest.raises(UserError, match="label_threshold"):
            opened(several, label_threshold=wrong)
    with pytest.raises(UserError, match="`label_threshold` belongs to `model`"):
        ModelConfig(backbone="efficientnet_lite0", label_threshold=0.5)


def test_a_file_that_contradicts_its_metadata_is_refused(exported, tmp_path):
    path = tmp_path / "frozen_graph.pb"
    shutil.copyfile(exported[0] / FILES["frozen_graph"], path)
    with pytest.raises(UserError, match="states that photos may have several labels"):
        opened(path, output_layer=_logits(path))


def _logits(path):
    """The operation before the sigmoid."""
    from xferlearn.inspection import open_model

    graph = open_model(path)[0].graph
    return next(
        source for node in graph.nodes.values() if node.op == "Sigmoid" for source in node.inputs
    )
