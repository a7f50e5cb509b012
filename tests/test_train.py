"""The main job through its public surface: `xferlearn train` and `evaluate`, and their files."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import weakref
import zlib
from pathlib import Path

import numpy as np
import pytest
from model_folders import edit_metadata
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import xferlearn
from xferlearn.bottlenecks import engines
from xferlearn.cli import main
from xferlearn.commands.train import misclassified_list
from xferlearn.config import TrainConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.labelling import label_photos
from xferlearn.model_folder import write_model_folder
from xferlearn.photos.manifest import Manifest
from xferlearn.training.job import train_with

# A random network sees colours well enough, and is small and needs no file.
TINY = ("--backbone=mobilenet_0.25", "--weights=none", "--image_size=32")
# One engine, so that none has to be compared with another; and no progress, which a busy machine
# shows where a stage takes long.
PLAIN = ("--engine=tensorflow", "--precision=float32", "--summaries=none", "--verbose=0")


@pytest.fixture
def train(tmp_path, capsys):
    """Runs `xferlearn train` with a tiny network; returns exit code, stdout and stderr."""

    def run(*flags):
        defaults = {
            "--model_dir": tmp_path / "model",
            "--logs_dir": tmp_path / "logs",
            "--bottleneck_dir": tmp_path / "bottlenecks",
            "--how_many_training_steps": 200,
        }
        given = {flag.split("=")[0] for flag in flags}
        words = [f"{name}={value}" for name, value in defaults.items() if name not in given]
        code = main(["train", *TINY, *PLAIN, *words, *flags])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def model_dir(photo_dir, tmp_path_factory):
    """A model that tells red, green and blue. Shared: do not change it."""
    root = tmp_path_factory.mktemp("trained")
    xferlearn.train(
        image_dir=str(photo_dir),
        model_dir=str(root / "model"),
        logs_dir=str(root / "logs"),
        bottleneck_dir=str(root / "bottlenecks"),
        backbone="mobilenet_0.25",
        weights="none",
        image_size=32,
        engine="tensorflow",
        precision="float32",
        summaries="none",
    )
    return root / "model"


def read_metadata(path):
    return json.loads((path / "metadata.json").read_text())


def test_learns_colours_and_writes_a_model_that_describes_itself(model_dir, photo_dir):
    metadata = read_metadata(model_dir)
    assert metadata["format_version"] == 1
    assert metadata["labels"] == ["blue", "green", "red"]
    assert (model_dir / "labels.txt").read_text() == "blue\ngreen\nred\n"
    assert metadata["input"] == {
        "name": "image",
        "height": 32,
        "width": 32,
        "channels": 3,
        "dtype": "float32",
        "value_range": [0, 255],
        "resize": metadata["feature_space"]["resize"],
        "bit_depth": None,
    }
    assert metadata["backbone"]["name"] == "mobilenet_0.25"
    assert len(metadata["backbone"]["weights_sha256"]) == 64
    assert metadata["bottleneck"] == {"layer": "pooling", "width": 256}
    assert metadata["training"]["learning_rate"] == 0.002
    # 40 passes over 90 photos are fewer.
    assert metadata["training"]["steps_run"] == 400
    totals = metadata["split"]["totals"]
    assert sum(totals.values()) == 90
    measured = {"test": totals["test"], "validation": 90 - totals["test"]}
    for split, photos in measured.items():
        found = metadata["metrics"][split]
        assert found["n"] == photos == sum(row["n"] for row in found["classes"].values()) > 0
        assert found["accuracy"] >= 0.9
        low, high = found["interval_95"]
        assert low < found["accuracy"] <= high <= 1
    assert metadata["cross_validation"] == {"folds": 5, "leave_one_out": False}
    assert metadata["delivered"] == {"photos": 90, "learned_test_photos": True}
    head = metadata["head"]
    assert (head["hidden_units"], head["weight_decay"]) == (128, 0.003)
    assert 0.05 <= head["temperature"] <= 20
    assert metadata["timings"]["computed"] == 90
    assert metadata["timings"]["cached"] == 0
    assert {"import", "bottlenecks", "training"} <= set(metadata["timings"]["seconds"])
    assert metadata["versions"]["xferlearn"] == xferlearn.__version__
    with (model_dir / "photos.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {
        str(path.relative_to(photo_dir)) for path in photo_dir.glob("*/*.jpg")
    }
    folds = {split: {row["fold"] for row in rows if row["split"] == split} for split in totals}
    assert folds == {"train": set("01234"), "validation": set(), "test": {""}}
    assert {row["learned"] for row in rows} == {"1"}


def test_without_refit_the_model_is_the_one_that_was_measured(train, photo_dir, tmp_path, capsys):
    model = tmp_path / "model"
    code, _, _ = train(f"--image_dir={photo_dir}", "--refit=none", "--testing_percentage=30")
    assert code == 0
    metadata = read_metadata(model)
    totals, test = metadata["split"]["totals"], metadata["metrics"]["test"]
    assert metadata["delivered"] == {"photos": totals["train"], "learned_test_photos": False}
    with (model / "photos.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["split"], row["learned"]) for row in rows} == {("train", "1"), ("test", "0")}
    for row in rows:
        if row["split"] == "test":
            copy = tmp_path / "test" / row["file"]
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo_dir / row["file"], copy)
    flags = [f"--model={model}", f"--image_dir={tmp_path / 'test'}", "--format=json"]
    assert main(["evaluate", *flags]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert err == ""
    assert (report["n"], report["correct"]) == (totals["test"], test["correct"])
    assert report["confusion"] == test["confusion"]


def test_model_takes_raw_pixels_without_this_package(model_dir):
    """model.keras loads where xferlearn can't be imported, and knows its own preprocessing."""
    code = (
        "import sys; sys.modules['xferlearn'] = None\n"
        "import keras, numpy as np\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "red = np.zeros((1, 32, 32, 3), 'float32'); red[..., 0] = 210; red[..., 1:] = 35\n"
        "scores = model.predict(red, verbose=0)['predictions'][0]\n"
        "names = [layer.name for layer in model.layers]\n"
        "names = [name for name in names if not name.startswith('familiarity_')]\n"
        "print(scores.argmax(), round(float(scores.sum()), 3), *names)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(model_dir / "model.keras")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == [
        *("2", "1.0"),
        *(
            "image",
            "preprocessing",
            "mobilenet_0.25",
            "pooling",
            "normalization",
            "hidden",
            "dropout",
            "predictions",
            "familiarity",
        ),
    ]


def test_random_labels_are_not_learned(train, photo_bytes, tmp_path):
    """Guards against leaks: with labels that mean nothing, accuracy must stay near one half."""
    for number in range(160):
        folder = tmp_path / "photos" / ("a" if number % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        data = photo_bytes(("red", "green")[number // 2 % 2], number)
        (folder / f"{number}.jpg").write_bytes(data)
    code, _, _ = train(f"--image_dir={tmp_path / 'photos'}", "--testing_percentage=40")
    assert code == 0
    assert read_metadata(tmp_path / "model")["metrics"]["test"]["accuracy"] < 0.8


def test_second_run_computes_nothing(train, photo_dir, tmp_path, monkeypatch):
    code, out, _ = train(f"--image_dir={photo_dir}", "--summaries=scalars")
    assert code == 0
    assert "0 cached, 90 computed" in out

    def no_network(*args):
        raise AssertionError("the backbone was called")

    monkeypatch.setattr("xferlearn.bottlenecks.settling.start_engine", no_network)
    code, out, _ = train(f"--image_dir={photo_dir}", "--overwrite", "--summaries=scalars")
    assert code == 0
    assert "90 cached, 0 computed" in out
    assert len(list((tmp_path / "logs").iterdir())) == 2


def test_a_changed_photo_alone_is_computed_again(train, photo_dir, photo_bytes, tmp_path):
    copy = shutil.copytree(photo_dir, tmp_path / "photos")
    train(f"--image_dir={copy}")
    (copy / "red" / "0003.jpg").write_bytes(photo_bytes("red", 999))
    (copy / "red" / "0004.jpg").rename(copy / "red" / "renamed.JPG")
    _, out, _ = train(f"--image_dir={copy}", "--overwrite")
    assert "89 cached, 1 computed" in out


def test_summary_names_everything_to_do_next(train, photo_dir, tmp_path):
    _, out, err = train(
        f"--image_dir={photo_dir}", "--print_misclassified_test_images", "--summaries=full"
    )
    assert re.search(r"^test .*\d of \d+ right, 95%: \d+% to \d+%", out, re.MULTILINE)
    assert f"xferlearn label --model={tmp_path / 'model'} PHOTO" in out
    assert f"xferlearn board --open --logs_dir={tmp_path / 'logs'}" in out
    (run_dir,) = (tmp_path / "logs").iterdir()
    assert re.fullmatch(r"model_photos\d+_mobilenet.*_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", run_dir.name)
    assert "test photos are misclassified" in out
    assert "Traceback" not in err


def test_three_and_six_photos(train, make_photo_dir, tmp_path):
    folder = make_photo_dir({"red": 3, "blue": 6})
    code, out, err = train(f"--image_dir={folder}", "--print_misclassified_test_images")
    assert code == 0
    assert "Fewer than 20 photos in blue (6), red (3)" in err
    metadata = read_metadata(tmp_path / "model")
    # None is kept for a test: each is left out once, and all are learned from.
    assert metadata["split"]["totals"] == {"train": 9, "validation": 0, "test": 0}
    assert metadata["cross_validation"] == {"folds": 9, "leave_one_out": True}
    assert metadata["delivered"] == {"photos": 9, "learned_test_photos": False}
    assert metadata["metrics"]["test"]["accuracy"] is None
    measured = metadata["metrics"]["validation"]
    assert measured["n"] == 9
    low, high = measured["interval_95"]
    assert high - low > 0.25
    assert f"{measured['correct']} of 9 right, 95%: " in out
    wrong = 9 - measured["correct"]
    assert f"{wrong} of 9 cross-validated photos {'is' if wrong == 1 else 'are'} miscl" in out
    assert "\ntest             none: no photos were set aside\n" in out


def test_validation_photos_are_what_a_run_without_test_photos_is_known_by(
    make_photo_dir, photo_bytes, tmp_path
):
    folder = make_photo_dir({"red": 20, "blue": 20})
    for number in range(10):
        (folder / "blue" / f"wrong{number}.jpg").write_bytes(photo_bytes("red", 900 + number))
    config = TrainConfig(
        image_dir=str(folder),
        model_dir=str(tmp_path / "model"),
        logs_dir=str(tmp_path / "logs"),
        bottleneck_dir=str(tmp_path / "bottlenecks"),
        **{"backbone": "mobilenet_0.25", "weights": "none", "image_size": 32},
        **{"engine": "tensorflow", "precision": "float32", "summaries": "scalars"},
        **{"validation_percentage": 30.0, "testing_percentage": 0.0},
        how_many_training_steps=60,
    )
    result = train_with(config)
    measured = result.validation
    wrong = result.misclassified_in_validation
    assert (len(wrong), result.test.total) == (measured.total - measured.correct, 0)
    assert wrong
    assert result.misclassified == ()
    summary = result.summary()
    shares = rf"{measured.correct}/{measured.total}"
    assert re.search(r"^class +train +validation +test +right in validation$", summary, re.M)
    assert re.search(rf"^all .* 0 +{shares}$", summary, re.M)
    assert re.search(r"^to compare +always blue: \d", summary, re.M)
    assert re.search(r"^delivered +trained on all 50 photos after measuring$", summary, re.M)
    said = misclassified_list(result)
    assert f"{len(wrong)} of {measured.total} validation photo" in said
    assert all(photo.name in said for photo in wrong)
    page = result._repr_html_()
    assert "Confusion matrix of the validation photos" in page
    assert f"Misclassified photos: {len(wrong)} of {measured.total}" in page
    assert "not measured" not in page
    events = EventAccumulator(str(result.run_dir), size_guidance={"tensors": 0})
    events.Reload()
    (card,) = events.Tensors("run_card")
    text = card.tensor_proto.string_val[0].decode()
    assert f": validation {measured.summary()}\n" in text
    assert "| precision, validation | recall, validation |" in text
    assert re.search(r"^\| red \| .*% \| \d.*% \|$", text, re.M)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "Expected at least two classes"),
        ({"red": 5}, "Expected at least two classes"),
        ({"red": 5, "blue": 0}, "1 folder holds no photos and is passed over: blue."),
        ({"red": 5, "blue": 1}, "Class 'blue' has 1 photo"),
        ({"red": 2, "blue": 5}, "Class 'red' has 2 photos"),
    ],
)
def test_too_few_photos_are_told_before_any_work(train, make_photo_dir, tmp_path, counts, message):
    code, _, err = train(f"--image_dir={make_photo_dir(counts)}")
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "bottlenecks").exists()


def test_an_existing_folder_is_never_replaced_unasked(train, photo_dir, tmp_path):
    model = tmp_path / "model"
    train(f"--image_dir={photo_dir}")
    before = (model / "metadata.json").read_bytes()
    code, _, err = train(f"--image_dir={photo_dir}")
    assert code == 2
    assert "--overwrite" in err
    assert (model / "metadata.json").read_bytes() == before
    diary = tmp_path / "diary"
    diary.mkdir()
    (diary / "monday.txt").write_text("rain")
    code, _, err = train(f"--image_dir={photo_dir}", f"--model_dir={diary}", "--overwrite")
    assert code == 2
    assert "not a model folder" in err
    assert (diary / "monday.txt").read_text() == "rain"


def model_of(number):
    """Stands in for a Keras model; its file tells which one it is."""

    class Model:
        def save(self, path):
            path.write_text(str(number))

    return Model()


@pytest.fixture
def write(tmp_path):
    """Writes model `number` to tmp_path/m, or elsewhere; returns which one is there then."""

    def run(number, path=tmp_path / "m", **settings):
        manifest = Manifest(("a", "b"), (), ())
        write_model_folder(path, model_of(number), manifest, {"input": {"height": 1}}, **settings)
        return int((path / "model.keras").read_text())

    return run


@pytest.fixture
def no_swap(monkeypatch):
    """A system that can't swap two folders in one step."""
    monkeypatch.setattr("xferlearn.system.files._renameat2", lambda: None)


@pytest.mark.usefixtures("no_swap")
def test_two_runs_replace_a_model_at_once(write, tmp_path, monkeypatch):
    write(1)
    rename, others = Path.rename, [2]

    def with_another(self, target):
        moved = rename(self, target)
        if self.name == "m" and others:
            write(others.pop(), overwrite=True)
        return moved

    monkeypatch.setattr(Path, "rename", with_another)
    assert write(3, overwrite=True) == 3
    assert not others
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.usefixtures("no_swap")
def test_a_model_that_cannot_be_replaced_stays(write, tmp_path, monkeypatch):
    write(1)
    rename = Path.rename

    def fail(self, target):
        if self.suffix == ".tmp":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(XferlearnError, match="Input/output error"):
        write(2, overwrite=True)
    assert (tmp_path / "m/model.keras").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_model_that_another_run_wrote_meanwhile_is_not_replaced_unasked(
    write, tmp_path, monkeypatch
):
    mkdir, others = Path.mkdir, [1]

    def with_another(self, **settings):
        mkdir(self, **settings)
        if others:
            write(others.pop())

    monkeypatch.setattr(Path, "mkdir", with_another)
    with pytest.raises(UserError, match="holds a model already"):
        write(2)
    assert (tmp_path / "m/model.keras").read_text() == "1"


def test_a_link_to_a_model_folder_is_written_where_it_leads(write, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "link").symlink_to(disk / "m")
    assert write(1, tmp_path / "link") == 1
    assert write(2, tmp_path / "link", overwrite=True) == 2
    assert (tmp_path / "link").is_symlink()
    assert (disk / "m/model.keras").read_text() == "2"
    assert [path.name for path in disk.iterdir()] == ["m"]


def test_what_killed_runs_left_is_cleared_after_a_day(write, tmp_path):
    ages = {".m.0000000a.tmp": 2, ".m.0000000b.old": 2, ".m.0000000c.tmp": 0, ".n.0000000d.tmp": 2}
    for name, age in ages.items():
        (tmp_path / name).mkdir()
        long_ago = time.time() - age * 86_400
        os.utime(tmp_path / name, (long_ago, long_ago))
    # What a fine-tuning left that was killed while it wrote its state.
    state = tmp_path / ".m.fine-tuning.0000000e.tmp"
    state.write_bytes(b"half")
    os.utime(state, (1e9, 1e9))
    write(1)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".m.0000000c.tmp", ".n.0000000d.tmp", "m"]


def png_claiming(width, height):
    """A PNG of a few kilobytes that decodes to width x height gray pixels."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def test_bad_photos_are_left_out_and_listed(train, photo_dir, photo_bytes, tmp_path):
    """Exactly the unreadable ones are listed; rare but whole photos are learned from."""
    copy = shutil.copytree(photo_dir, tmp_path / "photos")
    red = copy / "red"
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    bad = {
        "text.jpg": b"these are words, not pixels",
        "empty.png": b"",
        "truncated.jpg": photo_bytes("red", 1, size=(200, 200))[:2000],
        "bomb.png": png_claiming(30_000, 30_000),
    }
    for name, data in bad.items():
        (red / name).write_bytes(data)
    Image.open(io.BytesIO(photo_bytes("red", 500))).convert("CMYK").save(red / "cmyk.jpg")
    frames[0].save(red / "moving.webp", save_all=True, append_images=frames[1:])
    frames[0].save(red / "moving.GIF", save_all=True, append_images=frames[1:])
    Image.fromarray(np.full((30, 40), 40_000, np.uint16)).save(red / "deep.png")
    code, out, _ = train(f"--image_dir={copy}")
    assert code == 0
    listed = read_metadata(tmp_path / "model")["bad_photos"]
    assert {row["file"] for row in listed} == {f"red/{name}" for name in bad}
    assert all(row["label"] == "red" and row["reason"] for row in listed)
    assert "4 photos were left out" in out
    assert "30000 x 30000 pixels" in out
    assert read_metadata(tmp_path / "model")["timings"]["computed"] == 94
    code, _, err = train(f"--image_dir={copy}", "--overwrite", "--on_bad_image=fail")
    assert code == 2
    assert "--on_bad_image=skip" in err


def test_mostly_unreadable_class_stops(train, photo_dir, tmp_path):
    copy = shutil.copytree(photo_dir, tmp_path / "photos")
    for path in sorted((copy / "blue").iterdir())[:16]:
        path.write_bytes(b"gone")
    code, _, err = train(f"--image_dir={copy}")
    assert code == 2
    assert "More than half of class 'blue' can't be used: 16 of 30" in err


def test_synset_folders_get_readable_names(train, make_photo_dir, tmp_path):
    folder = make_photo_dir({"n11939491": 6, "n02124075": 6})
    _, out, _ = train(f"--image_dir={folder}")
    metadata = read_metadata(tmp_path / "model")
    assert metadata["labels"] == ["n02124075", "n11939491"]
    assert metadata["label_names"] == {"n02124075": "Egyptian cat", "n11939491": "daisy"}
    assert "n11939491 daisy" in out


def test_killed_run_keeps_its_shards(make_photo_dir, tmp_path):
    """SIGKILL in the middle of extraction: what was committed is not computed again."""
    folder = make_photo_dir({"red": 100, "blue": 100})
    store = tmp_path / "bottlenecks"
    flags = [
        f"--image_dir={folder}",
        f"--model_dir={tmp_path / 'model'}",
        f"--logs_dir={tmp_path / 'logs'}",
        f"--bottleneck_dir={store}",
        *TINY,
        *PLAIN,
    ]
    # Small shards and a slow network, so that there is a middle to be killed in.
    code = (
        "import sys, time\n"
        "from xferlearn.bottlenecks import settling, writing\n"
        "from xferlearn.cli import main\n"
        "writing.ROWS_PER_SHARD = 32\n"
        "build = settling.start_engine\n"
        "def slow(*args):\n"
        "    engine = build(*args)\n"
        "    def run(pixels):\n"
        "        time.sleep(0.4)\n"
        "        return engine.run(pixels)\n"
        "    return type(engine)(engine.name, engine.precision, run)\n"
        "settling.start_engine = slow\n"
        "main(['train', *sys.argv[1:]])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, *flags], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(store.glob("*/*.arrow"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "model").exists()
    result = subprocess.run(
        [sys.executable, "-m", "xferlearn", "train", *flags],
        capture_output=True,
        text=True,
        check=True,
    )
    timings = read_metadata(tmp_path / "model")["timings"]
    # One shard at least is full; the first is written early, so that there is one.
    assert timings["cached"] > 32
    assert timings["cached"] + timings["computed"] == 200
    assert f"{timings['cached']} cached" in result.stdout
    assert result.stderr == ""


def test_two_runs_at_once(make_photo_dir, tmp_path):
    folder = make_photo_dir({"red": 40, "blue": 40})
    shared = [f"--image_dir={folder}", f"--logs_dir={tmp_path / 'logs'}", *TINY]
    shared.append(f"--bottleneck_dir={tmp_path / 'bottlenecks'}")
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "xferlearn", "train", f"--model_dir={tmp_path / name}", *shared],
            stdout=subprocess.DEVNULL,
        )
        for name in ("one", "two")
    ]
    assert [run.wait() for run in runs] == [0, 0]
    one, two = (read_metadata(tmp_path / name) for name in ("one", "two"))
    assert one["metrics"]["test"]["n"] == two["metrics"]["test"]["n"]
    assert len(list((tmp_path / "logs").iterdir())) == 2


def test_full_disk_while_saving_loses_nothing_else(train, photo_dir, tmp_path, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    import keras

    monkeypatch.setattr(keras.Model, "save", full)
    code, _, err = train(f"--image_dir={photo_dir}")
    assert code == 1
    assert "No space left on device" in err
    assert not list(tmp_path.glob("*.tmp"))
    assert not (tmp_path / "model").exists()
    monkeypatch.undo()
    _, out, _ = train(f"--image_dir={photo_dir}")
    assert "90 cached, 0 computed" in out


def test_too_large_a_learning_rate_is_named(train, photo_dir):
    code, _, err = train(f"--image_dir={photo_dir}", "--learning_rate=1e38")
    assert code == 2
    assert "learning_rate=1e+38 is too large" in err


def test_python_settings_are_checked():
    with pytest.raises(UserError, match=r"no setting `learning_rat`. Did you mean `learning_rate`"):
        xferlearn.train(image_dir="x", model_dir="y", learning_rat=1)


def test_same_seed_same_model(train, photo_dir, tmp_path):
    for name in ("one", "two"):
        train(f"--image_dir={photo_dir}", f"--model_dir={tmp_path / name}", "--dropout=0.3")
    first, second = (read_metadata(tmp_path / name) for name in ("one", "two"))
    assert first["training"]["validation_loss"] == pytest.approx(
        second["training"]["validation_loss"], rel=1e-5
    )
    assert first["metrics"] == second["metrics"]


def test_a_split_tree_is_trained_and_measured_as_it_is_split(train, photo_bytes, tmp_path, capsys):
    photos = tmp_path / "photos"
    for split, numbers in (("train", range(8)), ("val", range(8, 11)), ("test", range(11, 15))):
        for label in ("red", "blue"):
            (photos / split / label).mkdir(parents=True)
            for number in numbers:
                data = photo_bytes(label, number)
                (photos / split / label / f"{number}.jpg").write_bytes(data)
    code, out, err = train(f"--image_dir={photos}", "--refit=none")
    assert code == 0, err
    assert read_metadata(tmp_path / "model")["cross_validation"] is None
    assert "16 train, 6 validation, 8 test photos." in err
    assert re.search(r"^all +16 +6 +8", out, re.MULTILINE)
    assert main(["evaluate", f"--model={tmp_path / 'model'}", f"--image_dir={photos}"]) == 0
    out, err = capsys.readouterr()
    assert "8 of 8 right" in out
    assert "only its test photos are measured" in err
    assert "too high" not in err
    flags = [f"--model={tmp_path / 'model'}", f"--image_dir={photos}"]
    assert main(["evaluate", *flags, "--split=all"]) == 0
    out, err = capsys.readouterr()
    assert "8 of 8 right" in out
    assert "22 photos that the model has learned from (16 train, 6 validation)" in out
    assert "only its" not in err
    assert main(["evaluate", *flags, "--split=validation"]) == 2
    assert "6 photos that the model has learned from (6 validation)" in capsys.readouterr().err
    shutil.rmtree(photos / "val")
    assert main(["evaluate", *flags, "--split=validation"]) == 2
    assert "has no validation photos. It has train and test photos." in capsys.readouterr().err


def test_evaluate_leaves_out_photos_that_were_trained_on(model_dir, photo_dir, capsys):
    flags = ["evaluate", f"--model={model_dir}", f"--image_dir={photo_dir}"]
    assert main(flags) == 2
    out, err = capsys.readouterr()
    totals = read_metadata(model_dir)["split"]["totals"]
    seen = (
        "90 photos that the model has learned from"
        f" ({totals['train']} train, {totals['test']} test)"
    )
    assert err.startswith(f"xferlearn: No photo of {photo_dir} is new to {model_dir}: {seen}. Give")
    assert "--include_seen measures them all the same." in err
    assert out == ""
    assert main([*flags, "--include_seen"]) == 0
    out, err = capsys.readouterr()
    assert f"warning: What is measured is too high: it is also of {seen}." in err
    assert "90 of 90 right" in out
    assert "Confusion matrix" in out


def test_evaluate_new_photos_as_json(model_dir, photo_bytes, tmp_path, capsys):
    for label in ("red", "blue"):
        (tmp_path / "new" / label).mkdir(parents=True)
        for number in range(1000, 1004):
            data = photo_bytes(label, number)
            (tmp_path / "new" / label / f"{number}.jpg").write_bytes(data)
    (tmp_path / "new" / "red" / "actually_blue.jpg").write_bytes(photo_bytes("blue", 2000))
    (tmp_path / "new" / "red" / "broken.jpg").write_bytes(b"?")
    flags = [f"--model={model_dir}", f"--image_dir={tmp_path / 'new'}", "--format=json"]
    code = main(["evaluate", *flags])
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert report["n"] == 9
    assert report["correct"] == 8
    assert report["classes"]["red"]["recall"] == pytest.approx(0.8)
    assert report["classes"]["blue"]["precision"] == pytest.approx(0.8)
    assert report["confusion"] == [[4, 0, 0], [0, 0, 0], [1, 0, 4]]
    assert [row["name"] for row in report["misclassified"]] == ["red/actually_blue.jpg"]
    assert [row["file"] for row in report["bad_photos"]] == ["red/broken.jpg"]
    assert report["seen_in_training"] == {"train": 0, "validation": 0, "test": 0}
    assert report["seen_left_out"] is True


def test_evaluate_classes_that_the_model_does_not_have(model_dir, make_photo_dir, tmp_path, capsys):
    photos = make_photo_dir({"red": 4, "black": 3, "empty": 0})
    flags = [f"--model={model_dir}", f"--image_dir={photos}", "--include_seen"]
    assert main(["evaluate", *flags]) == 2
    assert "no class 'black'" in capsys.readouterr().err
    assert main(["evaluate", *flags, "--other_classes=skip"]) == 0
    out, err = capsys.readouterr()
    assert "4 of 4 right" in out
    assert "warning: 3 photos of classes that the model does not have are left out: black" in err
    assert "warning: 1 folder holds no photos and is passed over: empty." in err
    flags += ["--other_classes=count", f"--logs_dir={tmp_path}"]
    assert main(["evaluate", *flags, "--format=json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["n"], report["correct"]) == (7, 4)
    assert report["labels"] == ["blue", "green", "red", "black"]
    assert report["classes"]["black"] == {"n": 3, "precision": None, "recall": 0.0, "f1": 0.0}
    assert [row["truth"] for row in report["misclassified"]] == ["black"] * 3


def test_evaluate_for_tensorboard(model_dir, photo_dir, tmp_path, capsys):
    flags = [f"--model={model_dir}", f"--image_dir={photo_dir}", f"--logs_dir={tmp_path / 'logs'}"]
    assert main(["evaluate", *flags, "--include_seen"]) == 0
    (run_dir,) = (tmp_path / "logs").iterdir()
    assert f"logs  {run_dir}" in capsys.readouterr().out
    assert re.fullmatch(r"model_on_photos\d+_[\d_-]{19}", run_dir.name)
    events = EventAccumulator(str(run_dir), size_guidance={"tensors": 0}).Reload()
    assert sorted(events.Tags()["tensors"]) == [
        *("confusion_matrix/photos", "confusion_matrix/row_percent", "macro_average/all_classes"),
        *("pr_curves/blue", "pr_curves/green", "pr_curves/red"),
        *("reliability", "results/accuracy", "results/ece", "run_card", "transfer/report"),
    ]


def test_evaluate_bad_input(model_dir, make_photo_dir, tmp_path, capsys):
    cases = [
        (tmp_path / "nothing", make_photo_dir({"red": 1}), "Found nothing"),
        (model_dir, make_photo_dir({"crimson": 1}), "The model has no class 'crimson'"),
        (model_dir, tmp_path / "nowhere", "Expected --image_dir to be a folder"),
    ]
    for model, images, message in cases:
        code = main(["evaluate", f"--model={model}", f"--image_dir={images}"])
        err = capsys.readouterr().err
        assert code == 2
        assert message in err
        assert err.count("\n") == 1


def test_evaluate_finds_bad_folders_before_its_work(
    model_dir, make_photo_dir, tmp_path, capsys, monkeypatch
):
    photos = make_photo_dir({"red": 1})
    (tmp_path / "file").touch()

    def refuse(*args):
        raise AssertionError("photos were labelled")

    monkeypatch.setattr("xferlearn.evaluation.blocks.label_photos", refuse)
    for flag, message in (
        (f"--logs_dir={tmp_path / 'file'}", "Can't write to "),
        (f"--logs_dir={photos / 'logs'}", f"lies in --image_dir={photos}"),
        (f"--bottleneck_dir={photos / 'red'}", f"lies in --image_dir={photos}"),
    ):
        code = main(["evaluate", f"--model={model_dir}", f"--image_dir={photos}", flag])
        err = capsys.readouterr().err
        assert (code, err.count("\n")) == (2, 1), err
        assert message in err
    assert sorted(path.name for path in photos.rglob("*")) == ["0000.jpg", "red"]


def test_evaluate_keeps_no_photo_as_an_object(model_dir, photo_dir, tmp_path, capsys, monkeypatch):
    held, most = [], 0

    def watched(*args):
        nonlocal most
        for photo in label_photos(*args):
            held.append(weakref.ref(photo.scores))
            yield photo
            most = max(most, sum(scores() is not None for scores in held))

    monkeypatch.setattr("xferlearn.evaluation.blocks.label_photos", watched)
    flags = [f"--model={model_dir}", f"--image_dir={photo_dir}", "--include_seen"]
    assert main(["evaluate", *flags]) == 0
    assert main(["evaluate", *flags, f"--logs_dir={tmp_path / 'logs'}"]) == 0
    assert len(held) == 2 * 90
    assert most <= 64, "two batches"


def test_evaluate_without_a_readable_photo_fails(model_dir, make_photo_dir, capsys):
    photos = make_photo_dir({"red": 2})
    for path in (photos / "red").iterdir():
        path.write_bytes(b"?")
    assert main(["evaluate", f"--model={model_dir}", f"--image_dir={photos}"]) == 1
    out, err = capsys.readouterr()
    assert "accuracy  not measured (N=0)" in out
    assert err == "None of 2 photos could be read.\n"


def test_damaged_model_folders(model_dir, photo_dir, tmp_path, capsys):
    damage = {
        "metadata.json": (b"{", "metadata.json is damaged"),
        "model.keras": (b"PK", "can't be read as a Keras model"),
        "photos.csv": (b"sha256,split\n", "does not begin with sha256,label"),
    }
    for name, (data, message) in damage.items():
        copy = shutil.copytree(model_dir, tmp_path / name)
        edit_metadata(copy, lambda told: None)
        (copy / name).write_bytes(data)
        code = main(["evaluate", f"--model={copy}", f"--image_dir={photo_dir}"])
        err = capsys.readouterr().err
        assert (code, err.count("\n")) == (2, 1), err
        assert message in err


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("input", "height", float("inf"), "metadata.json is damaged"),
        ("input", "height", 64, "metadata.json says 64 px, but its model takes 32 x 32"),
    ],
)
def test_metadata_of_another_model(
    model_dir, photo_dir, tmp_path, capsys, part, name, value, message
):
    copy = shutil.copytree(model_dir, tmp_path / "model")
    edit_metadata(copy, lambda told: told[part].update({name: value}))
    for command in (["evaluate", f"--image_dir={photo_dir}"], ["label", str(photo_dir)]):
        code = main([*command, f"--model={copy}"])
        err = capsys.readouterr().err
        assert (code, err.count("\n")) == (2, 1), err
        assert message in err


def test_newer_format_is_refused_by_number(model_dir, photo_dir, tmp_path, capsys):
    copy = shutil.copytree(model_dir, tmp_path / "model")
    edit_metadata(copy, lambda told: told.update(format_version=9))
    assert main(["evaluate", f"--model={copy}", f"--image_dir={photo_dir}"]) == 2
    assert "format_version 9" in capsys.readouterr().err


def test_keras_model_builders_compose(photo_dir):
    backbone = xferlearn.load_backbone("mobilenet_0.25", weights="none", image_size=32)
    head = xferlearn.build_head(256, 3, hidden_units=8, dropout=0.1)
    model = xferlearn.build_classifier(backbone, head)
    assert [layer.name for layer in model.layers] == [
        *("image", "preprocessing", "mobilenet_0.25", "pooling", "hidden", "dropout"),
        "predictions",
    ]
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    engine = engines.build_engine(backbone)
    whole = np.asarray(model(pixels.astype(np.uint8).astype(np.float32)))
    split = np.asarray(head(engine.run(pixels.astype(np.uint8))))
    np.testing.assert_allclose(whole, split, atol=1e-5)


def test_real_flowers_with_the_default_network(shared_data, tmp_path, train):
    """A hundred real photos a class of two: far above chance, and the real weights are used."""
    photos = tmp_path / "photos"
    for label in ("daisy", "roses"):
        (photos / label).mkdir(parents=True)
        for path in sorted((shared_data / "flower_photos" / label).iterdir())[:60]:
            shutil.copy(path, photos / label)
    code, _, _ = train(
        f"--image_dir={photos}",
        "--backbone=efficientnet_lite0",
        "--weights=imagenet",
        "--image_size=224",
        "--testing_percentage=30",
    )
    assert code == 0
    test = read_metadata(tmp_path / "model")["metrics"]["test"]
    assert test["n"] > 20
    assert test["accuracy"] > 0.85


def test_lab_name_and_shared_weights(shared_data, tmp_path):
    """`--architecture=mobilenet_0.25_128` with Keras' own weights from KERAS_HOME."""
    photos = tmp_path / "photos"
    for label in ("daisy", "roses"):
        (photos / label).mkdir(parents=True)
        for path in sorted((shared_data / "flower_photos" / label).iterdir())[:25]:
            shutil.copy(path, photos / label)
    home = tmp_path / "keras"
    (home / "models").mkdir(parents=True)
    for path in (shared_data / "keras" / "models").iterdir():
        shutil.copyfile(path, home / "models" / path.name)
    result = subprocess.run(
        [
            *(sys.executable, "-m", "xferlearn", "train", f"--image_dir={photos}"),
            *("--architecture=mobilenet_0.25_128", f"--model_dir={tmp_path / 'model'}", *PLAIN),
            *(f"--logs_dir={tmp_path / 'logs'}", f"--bottleneck_dir={tmp_path / 'bottlenecks'}"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_HOME": str(home)},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    metadata = read_metadata(tmp_path / "model")
    assert metadata["input"]["height"] == 128
    assert metadata["backbone"]["name"] == "mobilenet_0.25"
    assert metadata["metrics"]["validation"]["accuracy"] > 0.6


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8_end_nothing(train, photo_dir, photo_bytes, tmp_path):
    copy = shutil.copytree(photo_dir, tmp_path / "photos")
    for name, data in ((b"whole\xff.jpg", photo_bytes("red", 700)), (b"bad\xff.jpg", b"?")):
        Path(os.fsdecode(os.path.join(os.fsencode(copy), b"red", name))).write_bytes(data)
    code, out, _ = train(f"--image_dir={copy}", "--summaries=scalars")
    assert code == 0
    assert "red/bad\\udcff.jpg" in out
    (bad,) = read_metadata(tmp_path / "model")["bad_photos"]
    assert os.fsencode(bad["file"]) == b"red/bad\xff.jpg"
    assert b"red/whole\xff.jpg" in (tmp_path / "model" / "photos.csv").read_bytes()
