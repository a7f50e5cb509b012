"""A model with two outputs and a decision: in every format, and in the proof of each."""

import contextlib
import dataclasses
import io
import json
import shutil
import sys
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from model_folders import add_familiarity, edit_metadata
from tensorrt_stand_ins import FakeCuda, fake_tensorrt, install_trtexec
from tflite_reading import metadata

import xferlearn
from xferlearn.cli import main
from xferlearn.config import AnswerConfig, ModelConfig
from xferlearn.decisions import Decision
from xferlearn.errors import UserError
from xferlearn.exports import tensorrt_files
from xferlearn.exports.familiarity import Familiarity, compare_familiarity
from xferlearn.exports.foreign import foreign_pictures
from xferlearn.exports.formats import FORMATS
from xferlearn.exports.outputs import with_outputs
from xferlearn.exports.saved_model import decided
from xferlearn.exports.tflite_files import write_tflite
from xferlearn.inspection import inspect_model
from xferlearn.inspection.metadata import StatedFamiliarity
from xferlearn.inspection.readers import flat
from xferlearn.inspection.readers.wire import Budget
from xferlearn.labelling.answering import Answerer
from xferlearn.labelling.streaming import Labelled
from xferlearn.model_folder import read_model_folder
from xferlearn.predictors import Answers, open_predictor

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*np.object.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tf2onnx"),
]

SIDE = 32
LABELS = ("blue", "green", "red")
REJECT = 0.03
# Bottlenecks that a head gets are those that a cache would have, in float16.
ROUNDED = 5e-4
DECISION = {"rule": "thresholds", "thresholds": {"red": 0.2}, "asked": {}}
# Format: file that is given to `label`.
FILES = {
    "saved_model": "saved_model/1",
    "tflite": "model.tflite",
    "tflite_float16": "model_float16.tflite",
    "tflite_int8": "model_int8.tflite",
    "onnx": "model.onnx",
    "openvino": "openvino/model.xml",
    "frozen_graph": "frozen_graph/frozen_graph.pb",
}
ONE_OUTPUT = {"frozen_graph"}
# That the familiarity is measured on.
PHOTOS = 73
# Largest difference of a probability, and of a familiarity.
TOLERANCES = {"tflite_float16": (0.01, 0.1), "tflite_int8": (0.05, 0.2)}


@pytest.fixture(scope="module")
def familiar(small_model, tmp_path_factory):
    """A model folder with two outputs and a decision. Shared: copy it to change it."""
    folder = tmp_path_factory.mktemp("familiar") / "model"
    shutil.copytree(small_model, folder)
    add_familiarity(folder, REJECT)
    edit_metadata(folder, lambda told: told.update(decision=DECISION))
    return folder


@pytest.fixture(scope="module")
def exported(familiar):
    """The same with exports; what the command printed. Shared: do not change it."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        # One of the few photos is at a step of int8.
        settings = [f"--model={familiar}", f"--format={','.join(FILES)}", "--min_agreement=0.9"]
        code = main(["export", *settings])
    assert code == 0, out.getvalue()
    return familiar / "exports", out.getvalue()


@pytest.fixture(scope="module")
def pixels():
    """Pictures that are more and less familiar."""
    random = np.random.default_rng(0)
    colours = np.array([(30, 60, 210), (40, 180, 50), (210, 40, 30), (235, 235, 235)])
    noise = random.normal(0, 8, (4, SIDE, SIDE, 3))
    photos = np.clip(colours[:, None, None] + noise, 0, 255).astype(np.uint8)
    return np.concatenate([photos, foreign_pictures(SIDE)[:2]])


@pytest.fixture(scope="module")
def expected(familiar, pixels):
    model = read_model_folder(familiar).load_model()
    return Answers.of_model(model(pixels.astype(np.float32)))


def test_the_branch_tells_its_own_photos_from_others(expected):
    assert expected.familiarity[:3].min() >= REJECT > expected.familiarity[4:].max()


def test_every_file_was_proved(exported):
    folder, out = exported
    held = json.loads((folder / "report.json").read_text())["formats"]
    head, *rows = out.split("\n\n")[1].splitlines()
    lines = {row.split()[0]: row for row in rows}
    assert "familiarity" in head
    assert "mean diff" not in head
    assert "Below a familiarity of 0.03 it rejects" in " ".join(out.split())
    for name in FILES:
        proof = held[name]["proof"]
        assert (proof["passed"], proof["decided"]) == (True, 1.0)
        if name in ONE_OUTPUT:
            assert proof["familiarity"] is None
            assert " -" in lines[name]
            continue
        found = proof["familiarity"]
        assert (found["reject"], found["pictures"]) == (REJECT, 48)
        assert found["agreement"] == 1 or name == "tflite_int8"
        if name != "tflite_int8":  # which has a few steps only
            assert found["photos_rejected"] == found["photos_rejected_before"] < 0.1
            assert found["largest_difference"] < TOLERANCES.get(name, (0, 1e-3))[1]
        assert found["pictures_rejected_before"] > 0.5


@pytest.fixture(scope="module", params=FILES)
def alone(request, exported, tmp_path_factory):
    """Name of the format; its file, copied alone."""
    name = request.param
    top = FILES[name].split("/")[0]
    source, target = exported[0] / top, tmp_path_factory.mktemp("alone") / top
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    return name, target.parent / FILES[name]


def test_file_alone_gives_both(alone, pixels, expected):
    name, file = alone
    predictor = open_predictor(ModelConfig(model=str(file)))
    assert predictor.warnings == ()
    said = {"output": "familiarity", "reject": REJECT, "photos": PHOTOS}
    if name == "tflite_int8":
        said["step"] = pytest.approx(1 / 255, rel=0.3)
    familiarity = {} if name in ONE_OUTPUT else {"familiarity": said}
    decision = {"labels": list(LABELS), "decision": DECISION}
    assert predictor.metadata == {**decision, **familiarity}
    answers = predictor.answer(pixels)
    of_scores, of_familiarity = TOLERANCES.get(name, (1e-4, 1e-3))
    # What is unlike anything leaves the range of int8.
    known = slice(3 if name == "tflite_int8" else None)
    np.testing.assert_allclose(answers.scores[known], expected.scores[known], atol=of_scores)
    if name in ONE_OUTPUT:
        assert answers.familiarity is None
        return
    assert answers.familiarity.dtype == np.float32
    np.testing.assert_allclose(answers.familiarity, expected.familiarity, atol=of_familiarity)
    asked = "final_result" if name == "frozen_graph" else "probabilities"
    predictor = open_predictor(ModelConfig(model=str(file), output_layer=asked))
    assert predictor.answer(pixels).familiarity is None, "the output that was asked for alone"
    assert predictor.metadata == decision


def test_file_alone_says_what_it_gives(alone, capsys):
    name, file = alone
    report = inspect_model(file)
    assert (report.classes, report.labels, report.decision) == (3, LABELS, DECISION)
    assert report.outputs[0].name == ("final_result" if name == "frozen_graph" else "probabilities")
    assert not [warning for warning in report.warnings if "metadata state" in warning]
    assert main(["inspect", f"--model={file}"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "decision red from 0.2 on" in text
    if name in ONE_OUTPUT:
        assert report.familiarity is None
        assert "familiarity" not in text
        return
    assert (report.familiarity.output, report.familiarity.reject) == ("familiarity", REJECT)
    assert "less typical; below 0.03 a photo is unknown" in text
    assert report.familiarity.photos == PHOTOS
    assert "output familiarity" in text
    assert "output_layer" not in text, "with which the familiarity would not be read"


def test_what_is_stated_in_the_file(exported):
    import onnx

    said = {one.key: one.value for one in onnx.load(exported[0] / "model.onnx").metadata_props}
    held = json.loads(said["xferlearn"])
    assert held["decision"] == DECISION
    assert held["familiarity"] == {"output": "familiarity", "reject": REJECT, "photos": PHOTOS}
    data = (exported[0] / "frozen_graph/frozen_graph.pb").read_bytes()
    assert b'"output": null' in data
    assert b'"left_out": "this file does not give it"' in data


def test_signatures(exported, pixels, expected, familiar):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported[0] / "saved_model/1"))
    given = loaded.signatures["serving_default"](image=tf.constant(pixels, tf.float32))
    assert set(given) == {"probabilities", "labels", "familiarity", "decision"}
    assert given["familiarity"].shape == (len(pixels),)
    np.testing.assert_allclose(given["familiarity"], expected.familiarity, atol=1e-4)
    decision = Decision(LABELS, thresholds={"red": 0.2})
    labels = [LABELS[one] for one in decision.decide(expected.scores)]
    assert [one.decode() for one in given["decision"].numpy()] == labels
    files = [tf.io.encode_png(one).numpy() for one in pixels]
    by_bytes = loaded.signatures["serve_image_bytes"](image_bytes=tf.constant(files))
    assert set(by_bytes) == set(given)


@pytest.mark.parametrize(
    "decision",
    [
        Decision(LABELS, thresholds={"red": 0.2}),
        Decision(LABELS, thresholds={"red": 0.2, "blue": 0.5}),
        Decision(LABELS, thresholds=dict.fromkeys(LABELS, 0.6)),
        Decision(LABELS, costs={"red": {"blue": 5.0, "green": 2.0}, "blue": {"red": 0.2}}),
    ],
)
def test_served_decisions_are_the_decision_s(decision):
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 400).astype(np.float32)
    wanted = [LABELS[one] for one in decision.decide(scores)]
    assert [one.decode() for one in decided(decision, scores).numpy()] == wanted
    assert len({*wanted}) > 1


def test_the_first_tensor_is_the_one_that_others_read(exported):
    """MediaPipe and the Task Library take each output for a head, and the first for the labels."""
    for name in ("model.tflite", "model_float16.tflite", "model_int8.tflite"):
        data = (exported[0] / name).read_bytes()
        interpreter = Interpreter(model_content=data)
        given = interpreter.get_output_details()
        assert [one["name"] for one in given] == ["probabilities", "familiarity"]
        assert [one["shape"].tolist() for one in given] == [[1, 3], [1, 1]]
        # Both of them or none may be of whole numbers.
        assert {one["dtype"] for one in given} == {np.uint8 if "int8" in name else np.float32}
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            lists = {one: archive.read(one).decode().split() for one in archive.namelist()}
        assert lists == {"labels.txt": [*LABELS], "familiarity.txt": ["familiarity"]}
        heads = tflite_heads(data)
        assert heads == [("probabilities", "labels.txt"), ("familiarity", "familiarity.txt")]


def tflite_heads(data):
    """Name and label file of each output in the metadata, as others read them."""
    held = metadata(data, "TFLITE_METADATA")
    (graph,) = flat.root(held, Budget(len(held))).tables(3)
    return [(one.text(0), next(one.tables(6)).text(0)) for one in graph.tables(3)]


def test_onnx_and_openvino_give_the_probabilities_first(exported):
    import onnxruntime
    import openvino

    session = onnxruntime.InferenceSession(exported[0] / "model.onnx")
    assert [one.name for one in session.get_outputs()] == ["probabilities", "familiarity"]
    assert [one.shape for one in session.get_outputs()] == [["batch", 3], ["batch", 1]]
    model = openvino.Core().read_model(exported[0] / "openvino/model.xml")
    assert [one.get_names() for one in model.outputs] == [{"probabilities"}, {"familiarity"}]


def test_int8_computes_with_whole_numbers_only(exported):
    interpreter = Interpreter(str(exported[0] / "model_int8.tflite"))
    kinds = {one["dtype"] for one in interpreter.get_tensor_details()}
    assert kinds == {np.uint8, np.int8, np.int32}


@pytest.mark.parametrize("by", ["trtexec", "package"])
def test_engines_give_both(exported, familiar, tmp_path, monkeypatch, by):
    shutil.copytree(familiar, tmp_path / "model", ignore=shutil.ignore_patterns("exports"))

    def write(model, model_folder, path, calibration):
        shutil.copyfile(exported[0] / "model.onnx", path)

    quick = dataclasses.replace(FORMATS["tensorrt"], write=write)
    monkeypatch.setitem(FORMATS, "tensorrt", quick)
    if by == "trtexec":
        monkeypatch.setenv("PATH", str(install_trtexec(tmp_path / "bin")))
    else:
        cuda = FakeCuda()
        monkeypatch.setenv("PATH", "")
        monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt())
        monkeypatch.setattr(tensorrt_files, "_cuda", lambda: cuda)
    result = xferlearn.export(model=tmp_path / "model", format="tensorrt")
    assert result.passed
    for row in result.rows:
        assert row.proof.familiarity.agreement == row.proof.decided == 1.0
        assert row.proof.familiarity.pictures_rejected > 0.5


# --- model.keras itself


def test_model_keras_in_and_out_of_its_folder(familiar, tmp_path, pixels, expected, capsys):
    """Its folder says which output is which; alone, the layers show it."""
    settings = {"labels": str(familiar / "labels.txt"), "input_range": "0,255"}
    predictor = open_predictor(ModelConfig(model=str(familiar / "model.keras")))
    np.testing.assert_allclose(
        predictor.answer(pixels).familiarity, expected.familiarity, atol=1e-4
    )
    shutil.copyfile(familiar / "model.keras", tmp_path / "other.keras")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.write(familiar / "model.keras", "model.keras")
        archive.write(familiar / "labels.txt", "labels.txt")
    for name in ("other.keras", "other.zip"):
        path = tmp_path / name
        report = inspect_model(path)
        assert [one.name for one in report.outputs] == ["predictions", "familiarity"]
        assert (report.classes, report.familiarity.output) == (3, "familiarity")
        predictor = open_predictor(ModelConfig(model=str(path), **settings))
        answers = predictor.answer(pixels)
        np.testing.assert_allclose(answers.familiarity, expected.familiarity, atol=1e-4)
        np.testing.assert_allclose(answers.scores, expected.scores, atol=1e-5)
        assert not any("familiarity" in one for one in predictor.warnings)


def test_an_output_of_another_maker_that_is_called_familiarity(tmp_path):
    import keras

    pixels = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(pixels)
    outputs = {
        "predictions": keras.layers.Dense(3, activation="softmax", name="predictions")(pooled),
        "familiarity": keras.layers.Dense(1, name="familiarity")(pooled),
    }
    keras.Model(pixels, outputs).save(tmp_path / "model.keras")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    assert inspect_model(tmp_path / "model.keras").familiarity is None
    predictor = open_predictor(
        ModelConfig(model=str(tmp_path / "model.keras"), input_range="0,255")
    )
    assert not predictor.says_familiarity
    assert any("'familiarity' is not used, as nothing" in one for one in predictor.warnings)


@pytest.mark.parametrize("file", ["", "model.keras", "exports/model.onnx"])
@pytest.mark.parametrize("names", [("blau", "gruen", "rot"), ("red", "blue", "green")])
def test_renamed_labels_are_decided_by_their_place(exported, tmp_path, file, names):
    """Also where the new names are the old ones in another order."""
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(names))
    path = str(exported[0].parent / file)
    predictor = open_predictor(ModelConfig(model=path, labels=str(labels)))
    assert predictor.labels == names
    answerer = Answerer.of(predictor, AnswerConfig())
    assert answerer.decision.thresholds == {"red": 0.2}
    scores = np.array([0.7, 0.05, 0.25], np.float32)
    answer = answerer.answer(Labelled("a.jpg", -1, bytes(32), scores, 0.5))
    assert answer.label == names[2], "the output of the threshold"


def test_a_file_of_another_model_in_the_folder_has_no_part_in_its_decision(familiar, tmp_path):
    import keras

    shutil.copytree(familiar, tmp_path / "model", ignore=shutil.ignore_patterns("exports"))
    pixels = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(pixels)
    other = tmp_path / "model/other.keras"
    keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(pooled)).save(other)
    (tmp_path / "labels.txt").write_text("cat\ndog")
    labels = str(tmp_path / "labels.txt")
    predictor = open_predictor(ModelConfig(model=str(other), labels=labels, input_range="0,255"))
    assert predictor.metadata == {}


@pytest.mark.parametrize("file", ["", "model.keras"])
def test_the_folder_says_what_reject_can_do(familiar, file):
    predictor = open_predictor(ModelConfig(model=str(familiar / file)))
    said = {"output": "familiarity", "reject": REJECT, "photos": PHOTOS}
    assert predictor.metadata["familiarity"] == said


def test_the_output_of_a_folder_that_is_asked_for(familiar, pixels, expected):
    with pytest.raises(UserError, match=r"`output_layer='familiarity'`: .*'predictions'"):
        open_predictor(ModelConfig(model=str(familiar), output_layer="familiarity"))
    predictor = open_predictor(ModelConfig(model=str(familiar), output_layer="predictions"))
    assert not predictor.says_familiarity
    answers = predictor.answer(pixels)
    assert answers.familiarity is None
    np.testing.assert_allclose(answers.scores, expected.scores, atol=ROUNDED)


@pytest.mark.parametrize(("photos", "rejects"), [(20, False), (32, False), (33, True)])
def test_inspect_says_where_nothing_can_be_unknown(familiar, tmp_path, capsys, photos, rejects):
    shutil.copytree(familiar, tmp_path / "model", ignore=shutil.ignore_patterns("exports"))
    edit_metadata(tmp_path / "model", lambda told: told["familiarity"].update(photos=photos))
    assert main(["inspect", f"--model={tmp_path / 'model'}"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert ("below 0.03 a photo is unknown" in text) == rejects
    assert ("never below 0.03, so that no photo is unknown" in text) != rejects


def test_the_least_familiarity_in_steps():
    def least(photos, step):
        return StatedFamiliarity("familiarity", 0.01, photos, step).least

    assert least(199, None) == pytest.approx(0.005)
    assert least(99, 1 / 255) == pytest.approx(3 / 255)
    assert least(1000, 1 / 255) == 0
    assert least(None, None) == 0


def test_the_folder_itself(familiar, pixels, expected, tmp_path):
    report = inspect_model(familiar)
    assert report.outputs[0].name == "predictions"
    assert report.familiarity.output == "familiarity"
    predictor = open_predictor(
        ModelConfig(model=str(familiar), bottleneck_dir=str(tmp_path), engine="tensorflow")
    )
    answers = predictor.answer(pixels)
    np.testing.assert_allclose(answers.scores, expected.scores, atol=ROUNDED)
    # Of a random network bottlenecks differ little, so their rounding counts.
    np.testing.assert_allclose(answers.familiarity, expected.familiarity, atol=0.02)
    assert predictor.warnings == ()


def test_a_second_output_that_gives_no_number_per_photo(tmp_path):
    """Metadata that were edited, or are another file's."""
    import onnx
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4, 4, 3])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3])
        for name in ("probabilities", "familiarity")
    ]
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["pooled"], keepdims=0),
        helper.make_node("Softmax", ["pooled"], ["probabilities"]),
        helper.make_node("Identity", ["pooled"], ["familiarity"]),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    graph = helper.make_graph(nodes, "classifier", [image], ends, [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    said = {
        "format_version": 1,
        "labels": LABELS,
        "input": {"height": 4, "width": 4, "value_range": [0, 255], "resize": "crop"},
        "familiarity": {"output": "familiarity"},
    }
    helper.set_model_props(model, {"xferlearn": json.dumps(said)})
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(UserError, match=r"one number per photo from output 'familiarity'.*2, 3"):
        open_predictor(ModelConfig(model=str(tmp_path / "model.onnx")))
    said["familiarity"]["output"] = "other"
    helper.set_model_props(model, {"xferlearn": json.dumps(said)})
    onnx.save(model, tmp_path / "model.onnx")
    (warning,) = inspect_model(tmp_path / "model.onnx").warnings
    assert "state an output 'other', which" in warning


# --- The proof


@pytest.fixture
def broken(familiar, tmp_path, monkeypatch):
    """Exports with a writer of TFLite files in whose branch the last layer is wrong."""
    import keras

    shutil.copytree(familiar, tmp_path / "model", ignore=shutil.ignore_patterns("exports"))

    def export(name, kind, factor=1.0, offset=3.0):
        def write(model, model_folder, path, calibration):
            if isinstance(model.output, dict):
                other = keras.models.clone_model(model)
                other.set_weights(model.get_weights())
                kernel, _ = other.get_layer("familiarity").get_weights()
                weights = [factor * kernel, np.array([offset])]
                other.get_layer("familiarity").set_weights(weights)
                model = other
            write_tflite(model, path, kind, model_folder, calibration if kind == "int8" else None)

        monkeypatch.setitem(FORMATS, name, dataclasses.replace(FORMATS[name], write=write))
        return xferlearn.export(model=tmp_path / "model", format=name)

    return export


def test_a_familiarity_that_disagrees_fails_the_proof(broken):
    result = broken("tflite", "float32")
    (row,) = result.rows
    assert (row.passed, row.result) == (False, "FAILED")
    assert " is below 99.00%: model.keras rejects " in row.problem
    assert "of 48 foreign pictures, the file 0.0% and 0.0%; the file is kept as" in row.problem
    assert "first label" not in row.problem
    assert row.proof.familiarity.pictures_rejected == 0
    assert row.path.name == "model.failed-proof.tflite"


@pytest.mark.parametrize("wrong", [(0.0, 0.5), (-1.0, 1.0), (1.0, 0.5)])
def test_where_nothing_can_be_rejected_the_values_count(broken, tmp_path, wrong):
    """A constant file, an inverted one, and one that adds a half."""

    edit_metadata(tmp_path / "model", lambda told: told["familiarity"].update(reject=0.0))
    (row,) = broken("tflite", "float32", *wrong).rows
    assert row.result == "FAILED"
    assert row.proof.familiarity.agreement == 1
    assert "the familiarity differs by " in row.problem


def test_the_table_says_that_nothing_can_be_rejected(familiar, tmp_path):
    shutil.copytree(familiar, tmp_path / "model", ignore=shutil.ignore_patterns("exports"))
    edit_metadata(tmp_path / "model", lambda told: told["familiarity"].update(reject=0.0))
    result = xferlearn.export(model=tmp_path / "model", format="tflite")
    assert result.passed
    assert " nothing to reject " in str(result)


def test_an_inverted_familiarity_is_left_out_of_int8(broken):
    (row,) = broken("tflite_int8", "int8", -1.0, 1.0).rows
    assert row.left_out


def test_int8_is_written_without_where_its_steps_are_too_coarse(broken):
    result = broken("tflite_int8", "int8")
    (row,) = result.rows
    assert row.passed
    assert row.proof.familiarity is None
    assert "int8 would change it: agreement " in row.left_out
    assert " left out " in str(result)
    assert "tflite_int8: familiarity left out, as int8" in " ".join(result.summary().split())
    held = json.loads(result.report.read_text())["formats"]["tflite_int8"]
    assert held["left_out"] == row.left_out
    (output,) = Interpreter(str(row.path)).get_output_details()
    assert output["name"] == "probabilities"
    assert inspect_model(row.path).familiarity is None


def test_a_file_that_says_nothing_fails_the_proof(familiar, tmp_path, monkeypatch, capsys):
    shutil.copytree(familiar, tmp_path / "model", ignore=shutil.ignore_patterns("exports"))

    def write(model, model_folder, path, calibration):
        write_tflite(with_outputs(model, 1), path, "float32", model_folder, None)

    monkeypatch.setitem(FORMATS, "tflite", dataclasses.replace(FORMATS["tflite"], write=write))
    assert main(["export", f"--model={tmp_path / 'model'}", "--format=tflite"]) == 1
    assert "the written file does not say how familiar a photo is" in capsys.readouterr().err


def test_what_both_reject():
    before = Familiarity(np.array([0.5, 0.001, 0.02, 0.9]), np.array([0.0, 0.005]))
    after = Familiarity(np.array([0.4, 0.002, 0.001, np.nan]), np.array([0.0, 0.2]))
    proof = compare_familiarity(before, after, 0.01, 0.1)
    assert proof.agreement == pytest.approx(2 / 4)
    assert np.isnan(proof.mean_difference)
    assert proof.disagreement(0.4).startswith("the familiarity differs by nan"), (
        "agrees with nothing"
    )
    assert (proof.photos_rejected, proof.photos_rejected_before) == (0.5, 0.25)
    assert (proof.pictures_rejected, proof.pictures_rejected_before) == (0.5, 1.0)
    assert proof.text() == (
        "model.keras rejects 25.0% of the photos and 100.0% of 2 foreign pictures, the file 50.0%"
        " and 50.0%"
    )


def test_photos_do_not_hide_that_no_picture_is_rejected():
    before = Familiarity(np.full(1000, 0.5), np.zeros(4))
    proof = compare_familiarity(
        before, Familiarity(np.full(1000, 0.5), np.full(4, 0.02)), 0.01, 0.1
    )
    assert (proof.agreement, proof.rejects) == (0, True)
    assert proof.disagreement(0.97).startswith("agreement 0.00% is below 97.00%: ")


def test_foreign_pictures_are_always_the_same():
    pictures = foreign_pictures(20)
    assert (pictures.shape, pictures.dtype) == ((48, 20, 20, 3), np.uint8)
    foreign_pictures.cache_clear()
    np.testing.assert_array_equal(foreign_pictures(20), pictures)
    assert len({one.tobytes() for one in pictures}) == 48
