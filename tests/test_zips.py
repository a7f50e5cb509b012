"""Zip archives as Teachable Machine and Lobe hand them out, and what is not unpacked."""

import contextlib
import json
import stat
import tempfile
import zipfile

import numpy as np
import pytest
from PIL import Image

import xferlearn
from xferlearn.cli import main
from xferlearn.config import ModelConfig
from xferlearn.errors import UserError
from xferlearn.inspection import inspect_model
from xferlearn.predictors import open_predictor

pytestmark = pytest.mark.filterwarnings(
    # NumPy's own words when HDF5 or a converter of TensorFlow's looks for its old names.
    "ignore:.*np.object.*:FutureWarning",
)

SIDE = 16
NUMBERED = "0 daisy\n1 roses\n2 wild tulips\n"
NAMES = ("daisy", "roses", "wild tulips")


@pytest.fixture(scope="module")
def model():
    """A network that takes [0, 255]."""
    import keras

    keras.utils.set_random_seed(7)
    picture = keras.Input((SIDE, SIDE, 3), name="picture")
    x = keras.layers.Conv2D(5, 3)(picture / 255.0)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, keras.layers.Dense(3, activation="softmax")(x))


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """The network as keras_model.h5, as a SavedModel and as a `.tflite` file."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("absl.logging.warning", lambda *_: None)  # HDF5 is called legacy
        patch.setattr("warnings.warn", lambda *_, **__: None)
        model.save(folder / "keras_model.h5")
        model.export(folder / "model.savedmodel", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "model.savedmodel"))
        (folder / "model_unquant.tflite").write_bytes(converter.convert())
    return folder


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, which is to be empty in the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def packed(path, *sources, prefix="", texts=None):
    """Writes files and folders, and texts by name, into an archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for source in sources:
            for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
                name = file.relative_to(source.parent).as_posix()
                archive.write(file, prefix + name)
        for name, text in (texts or {}).items():
            archive.writestr(name, text)
    return path


def photos(count=3):
    return np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def opened(path, **settings):
    return open_predictor(ModelConfig(model=str(path), **settings))


LOBE = {
    "doc_id": "a", "doc_name": "flowers", "export_model_version": 1, "format": "tf",
    "classes": {"Label": list(NAMES)}, "filename": "saved_model.pb",
    "inputs": {"Image": {"dtype": "float32", "shape": [None, SIDE, SIDE, 3], "name": "Image:0"}},
    "outputs": {"Confidences": {"dtype": "float32", "shape": [None, 3], "name": "Softmax:0"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "texts", "prefix", "shown"),
    [
        ("keras_model.h5", {"labels.txt": NUMBERED}, "", "keras_h5"),
        ("model_unquant.tflite", {"labels.txt": NUMBERED}, "", "tflite"),
        ("model.savedmodel", {"labels.txt": NUMBERED}, "", "saved_model"),
        (
            "model.savedmodel",
            {"export/model.savedmodel/signature.json": json.dumps(LOBE)},
            "export/",
            "saved_model",
        ),
        (
            "model_unquant.tflite",
            {"signature.json": json.dumps(LOBE), "__MACOSX/._x.tflite": "x", "example.py": "x"},
            "",
            "tflite",
        ),
    ],
)
def test_archives_label_photos(source, texts, prefix, shown, model, files, tmp_path, temporary):
    path = packed(tmp_path / "export.zip", files / source, texts=texts, prefix=prefix)
    # The TFLite converter folds the division into the first kernel.
    said = {"input_range": (0, 255)} if shown == "tflite" else {}
    report = inspect_model(path)
    assert (report.format, report.labels, report.path) == (shown, NAMES, str(path))
    assert any(f"{source} in the archive" in warning for warning in report.warnings)
    assert list(temporary.iterdir()) == []
    predictor = opened(path, **said)
    assert (predictor.labels, predictor.name) == (NAMES, str(path))
    expected = np.asarray(model(photos().astype(np.float32)))
    np.testing.assert_allclose(predictor.run(photos()), expected, atol=1e-4)
    if predictor.load_model is not None:
        assert predictor.load_model().output_shape == (None, 3)
    del predictor
    assert list(temporary.iterdir()) == []


def test_command_on_an_archive(files, tmp_path, temporary, capsys):
    path = packed(tmp_path / "a b.zip", files / "keras_model.h5", texts={"labels.txt": NUMBERED})
    photo = tmp_path / "photo.png"
    Image.fromarray(photos(1)[0]).save(photo)
    assert main(["label", f"--model={path}", "--format=json", str(photo)]) == 0
    best = json.loads(capsys.readouterr().out)["labels"]
    assert {one["label"] for one in best} == set(NAMES)
    assert main(["inspect", str(path)]) == 0
    assert f"xferlearn label --model='{path}' PHOTO" in capsys.readouterr().out
    packed(path, files / "keras_model.h5", texts={"labels.txt": "a\nb\n"})
    assert main(["label", f"--model={path}", str(photo)]) == 2
    assert f"but {path}/keras_model.h5 gives 3 scores" in capsys.readouterr().err
    assert list(temporary.iterdir()) == []


def test_model_folder_in_an_archive(colour_model, tmp_path, temporary):
    path = packed(tmp_path / "mine.zip", colour_model)
    classifier = xferlearn.load_classifier(path, bottleneck_dir=tmp_path / "b", verbose=0)
    assert classifier.labels == ("blue", "green", "red")
    red = np.full((32, 32, 3), (210, 40, 30), np.uint8)
    assert classifier.label(red, 1)[0][0] == "red"
    del classifier
    assert list(temporary.iterdir()) == []


def test_lobe_folder_needs_no_archive(files, tmp_path):
    import shutil

    shutil.copytree(files / "model.savedmodel", tmp_path / "flowers")
    (tmp_path / "flowers/signature.json").write_text(json.dumps(LOBE))
    assert inspect_model(tmp_path / "flowers").labels == NAMES
    assert opened(tmp_path / "flowers").labels == NAMES
    for damaged in ("{", "[]", '{"classes": {"Label": 3}}', '{"classes": 3}'):
        (tmp_path / "flowers/signature.json").write_text(damaged)
        assert inspect_model(tmp_path / "flowers").labels == ()


def test_lobe_states_the_size_and_its_own_code_the_range(tmp_path):
    import keras

    picture = keras.Input((None, None, 3), name="picture")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(picture))
    keras.Model(picture, keras.layers.Dense(3, "softmax")(x)).export(tmp_path / "m", verbose=False)
    (tmp_path / "m/signature.json").write_text(json.dumps(LOBE))
    one = inspect_model(tmp_path / "m").image_input
    assert one.resolution == "16 x 16"
    with pytest.raises(UserError, match=r"\(Lobe's own code feeds 0 to 1\)"):
        opened(tmp_path / "m")
    assert opened(tmp_path / "m", input_range=(0, 1)).image_size == (SIDE, SIDE)


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../keras_model.h5", b"x")], r"named '\.\./keras_model\.h5', which leads out of"),
        ([("a/../../keras_model.h5", b"x")], "leads out of"),
        ([("C:\\keras_model.h5", b"x")], "leads out of"),
        ([("a\\..\\..\\keras_model.h5", b"x")], "leads out of"),
        ([("keras_model.h5", b"x"), ("../labels.txt", b"a")], "leads out of"),
        ([(link("keras_model.h5"), b"/etc/passwd")], "holds a link, 'keras_model.h5'"),
        ([("keras_model.h5", bytes(70 * 2**20))], r"would unpack to 73,400,320 bytes, which is no"),
        ([("a.h5", b"x"), ("b/c.tflite", b"x")], r"holds 2 models: a\.h5, b/c\.tflite\. Unpack it"),
        ([(f"{place}.h5", b"") for place in range(10_001)], "holds 10,001 files, more than"),
        ([("keras_model.h5", b"no HDF5")], r"/keras_model\.h5 is of no known format"),
        ([("notes.txt", b"x")], "a zip archive with no model in it"),
        (
            [("model.json", b"{}"), ("weights.bin", b"x"), ("metadata.json", b"{}")],
            r"is a TF\.js model in a zip archive, .* Teachable Machine, export .* Keras or TFLite",
        ),
        ([("my/model.json", b"{}"), ("my/group1-shard1of1.bin", b"x")], r"is a TF\.js model in a"),
    ],
)
def test_what_is_not_unpacked(members, message, tmp_path, temporary):
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    for use in (inspect_model, opened):
        with pytest.raises(UserError, match=message) as caught:
            use(path)
        said = str(caught.value)
        assert "\n" not in said
        assert str(temporary) not in said
    assert list(temporary.iterdir()) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["m.zip", "temporary"]


def test_damaged_archives_leave_nothing(files, tmp_path, temporary):
    path = packed(tmp_path / "m.zip", files / "keras_model.h5")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 40):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        path.write_bytes(broken)
        with contextlib.suppress(UserError):
            inspect_model(path)
        assert list(temporary.iterdir()) == []
    encrypted = bytearray(whole)
    encrypted[6] |= 1
    encrypted[whole.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(encrypted)
    with pytest.raises(UserError, match=r"m\.zip is encrypted\. Unpack it"):
        inspect_model(path)


def test_a_member_before_the_start_of_the_file_is_damage(tmp_path, temporary):
    path = tmp_path / "converted.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.tflite", bytes(500))
    data = path.read_bytes()
    path.write_bytes(data[:4] + data[24:])  # as a transfer that lost some bytes leaves it
    with pytest.raises(UserError, match="can't be unpacked") as caught:
        inspect_model(path)
    assert "\n" not in str(caught.value)
