"""A model with two outputs and a decision: in every format, and in the proof of each."""

import contextlib
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from model_folders import add_familiarity, edit_metadata, write_small_network

from xferlearn.cli import main
from xferlearn.config import ModelConfig
from xferlearn.decisions import Decision
from xferlearn.exports.familiarity import Familiarity, compare_familiarity
from xferlearn.exports.foreign import foreign_pictures
from xferlearn.exports.formats import FORMATS
from xferlearn.exports.saved_model import decided
from xferlearn.inspection import inspect_model
from xferlearn.model_folder import read_model_folder
from xferlearn.predictors import Answers, open_predictor

pytestmark = [
    # Keras 3.15 saves variables through NumPy's older __array__ protocol.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
    pytest.mark.filterwarnings("ignore:.*np.object.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tf2onnx"),
]

SIDE = 32
LABELS = ("blue", "green", "red")
REJECT = 0.05
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
ONE_OUTPUT = {"tflite_int8", "frozen_graph"}


@pytest.fixture(scope="module")
def familiar(colour_model, tmp_path_factory):
    """A model folder with two outputs and a decision. Shared: copy it to change it."""
    folder = tmp_path_factory.mktemp("familiar") / "model"
    shutil.copytree(colour_model, folder)
    write_small_network(folder)
    add_familiarity(folder, REJECT)
    edit_metadata(folder, lambda told: told.update(decision=DECISION))
    return folder


@pytest.fixture(scope="module")
def exported(familiar):
    """The same with exports; what the command printed. Shared: do not change it."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["export", f"--model={familiar}", f"--format={','.join(FILES)}"])
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


def test_x(exported):
    print(exported[1])
    print(open(exported[0] / "report.json").read())
