"""`xferlearn label`, by command lines: forms of output, bad photos, ImageNet, the lab's flags."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from model_folders import edit_metadata
from PIL import Image

import xferlearn
from xferlearn.bottlenecks.engines import planning
from xferlearn.cli import main
from xferlearn.errors import UserError
from xferlearn.model_folder import read_model_folder


@pytest.fixture
def model_dir(small_model):
    """A model that tells red, green and blue. Shared: do not change it."""
    return small_model


@pytest.fixture
def label(capsys, tmp_path):
    """Runs `xferlearn label`; returns exit code, stdout and stderr."""

    def run(*words):
        # The exact engine needs no comparison with itself, which would take seconds.
        exact = ("--engine=tensorflow", "--precision=float32")
        cache = f"--bottleneck_dir={tmp_path / 'cache'}"
        code = main(["label", *exact, cache, *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def photos(photo_bytes, tmp_path):
    """A folder with a red and a blue photo, and one that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a_red.jpg").write_bytes(photo_bytes("red", 77))
    (folder / "b_bad.jpg").write_bytes(b"no photo at all")
    (folder / "c_blue.png").write_bytes(photo_bytes("blue", 78, form="PNG"))
    return folder


def test_text(model_dir, photos, label):
    code, out, err = label(f"--model={model_dir}", "--top_k=2", photos / "c_blue.png")
    assert (code, err) == (0, "")
    name, best, second = out.splitlines()
    assert name == str(photos / "c_blue.png")
    assert best.split()[0] == "blue"
    assert float(best.split()[1]) > float(second.split()[1])


def test_json_is_a_line_a_photo_and_bad_photos_are_named(model_dir, photos, label):
    code, out, err = label(f"--graph={model_dir}", "--format=json", photos)
    assert code == 1
    rows = [json.loads(line) for line in out.splitlines()]
    names = [os.path.basename(row["image"]) for row in rows]
    assert names == ["a_red.jpg", "b_bad.jpg", "c_blue.png"]
    best = [row["labels"][0]["label"] if row["labels"] else None for row in rows]
    assert best == ["red", None, "blue"]
    assert sum(one["score"] for one in rows[0]["labels"]) == pytest.approx(1, abs=1e-4)
    assert "not a JPEG" in rows[1]["error"]
    assert "b_bad.jpg: not a JPEG" in err
    assert "1 of 3 photos could not be read." in err


def test_csv(model_dir, photos, label):
    code, out, _ = label(f"--model={model_dir}", "--format=csv", "--top_k=2", photos)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 1
    assert list(rows[0]) == [
        "image", "label_1", "score_1", "label_2", "score_2", "status", "familiarity", "error"
    ]  # fmt: skip
    assert [row["label_1"] for row in rows] == ["red", "", "blue"]
    assert [bool(row["error"]) for row in rows] == [False, True, False]


def test_bad_photo_can_stop_it(model_dir, photos, label):
    code, _, err = label(f"--model={model_dir}", "--on_bad_image=fail", photos)
    assert code == 2
    assert "b_bad.jpg can't be used: not a JPEG" in err


def test_lab_flags_photos_and_globs(model_dir, photos, label):
    code, out, err = label(
        *(f"--graph={model_dir}", "--format=json", "--top_k=1", "--input_layer=image"),
        *(f"--image={photos / 'a_red.jpg'}", f"{photos}/c_*.png", photos / "a_red.jpg"),
    )
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["labels"][0]["label"] for row in rows] == ["red", "blue"]


def test_labels_of_a_model_folder_can_be_translated(model_dir, photos, label, tmp_path):
    (tmp_path / "deutsch.txt").write_text("blau\ngrün\nrot\n", encoding="utf-8")
    words = (f"--model={model_dir}", f"--labels={tmp_path / 'deutsch.txt'}")
    code, out, err = label(*words, photos / "a_red.jpg")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split()[0] == "rot"
    (tmp_path / "deutsch.txt").write_text("blau\nrot\n")
    code, _, err = label(*words, photos / "a_red.jpg")
    assert code == 2
    assert f"deutsch.txt has 2 labels, but {model_dir} gives 3 scores" in err


def changed_copy(model_dir, path, change):
    """A copy of a model folder with other metadata."""
    shutil.copytree(model_dir, path)
    edit_metadata(path, change)
    return path


def test_synsets_are_readable_in_text_alone(
    model_dir, photos, photo_bytes, label, tmp_path, capsys
):
    synsets = ["n03476684", "n11939491", "n07697537"]
    model = changed_copy(model_dir, tmp_path / "m", lambda told: told.update(labels=synsets))
    _, out, _ = label(f"--model={model}", "--top_k=1", photos / "a_red.jpg")
    assert out.splitlines()[1].split()[:2] == ["n07697537", "hotdog"]
    for form in ("json", "csv"):
        _, out, _ = label(f"--model={model}", f"--format={form}", photos / "a_red.jpg")
        assert "n07697537" in out
        assert "hotdog" not in out
    (tmp_path / "wrong/n11939491").mkdir(parents=True)
    (tmp_path / "wrong/n11939491/1.jpg").write_bytes(photo_bytes("red", 77))
    assert main(["evaluate", f"--model={model}", f"--image_dir={tmp_path / 'wrong'}"]) == 0
    out = capsys.readouterr().out
    assert "1.jpg: n11939491 daisy predicted as n07697537 hotdog" in out


def test_scores_that_are_no_numbers_are_null(model_dir, photos, label, tmp_path):
    model = changed_copy(model_dir, tmp_path / "m", lambda told: None)
    network = read_model_folder(model).load_model()
    last = network.get_layer("predictions")
    last.set_weights([value * np.nan for value in last.get_weights()])
    network.save(model / "model.keras")
    code, out, _ = label(f"--model={model}", "--format=json", photos / "a_red.jpg")
    assert code == 0
    assert "NaN" not in out
    assert [one["score"] for one in json.loads(out)["labels"]] == [None] * 3
    assert json.loads(out)["status"] == "failed"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--device=gpu", "Expected a GPU for --device=gpu"),
        ("--engine=openvino", "Engine openvino is a package of its own"),
        ("--precision=bfloat16", "This processor has no bfloat16 arithmetic"),
        ("--bottleneck_dir={file}", "Can't write bottlenecks to {file}"),
    ],
)
def test_what_was_asked_for_and_cannot_be_had_is_refused(
    model_dir, photo_dir, tmp_path, capsys, monkeypatch, flag, message
):
    monkeypatch.setattr("xferlearn.system.runtime.gpu_is_visible", lambda: False)
    monkeypatch.setattr(planning, "openvino_installed", lambda: False)
    monkeypatch.setattr(planning, "has_bfloat16", lambda: False)
    (tmp_path / "file").touch()
    flag, message = (text.format(file=tmp_path / "file") for text in (flag, message))
    for words in (["label", str(photo_dir)], ["evaluate", f"--image_dir={photo_dir}"]):
        code = main([*words, f"--model={model_dir}", flag])
        out, err = capsys.readouterr()
        assert (code, out) == (2, "")
        assert message in err
        assert len(err.splitlines()) == 1


def test_a_default_cache_that_cannot_be_used_is_told(
    model_dir, photos, tmp_path, capsys, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert main(["label", f"--model={model_dir}", str(photos / "a_red.jpg")]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[0] == "red"
    assert err.startswith("warning: all photos go through float32 TensorFlow, and none is cached: ")
    assert "damaged" not in err
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = changed_copy(
        model_dir, tmp_path / "m", lambda told: told["feature_space"].update(width=10)
    )
    assert main(["label", f"--model={model}", str(photos / "a_red.jpg")]) == 0
    err = capsys.readouterr().err
    said = "is damaged (it says that a bottleneck has 10 values, and the model's has 16)"
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_damaged_cache_is_told(model_dir, photos, label, tmp_path):
    words = (f"--model={model_dir}", photos / "a_red.jpg")
    first = label(*words)
    (shard,) = (tmp_path / "cache").glob("*/*.arrow")
    shard.write_bytes(shard.read_bytes()[:-100])
    code, out, err = label(*words)
    assert (code, out) == first[:2]
    assert err.startswith(f"warning: Shard {shard} is damaged (")
    assert len(err.splitlines()) == 1


def test_another_fit_is_noted_and_stays_out_of_the_cache(model_dir, photos, label):
    words = (f"--model={model_dir}", "--format=json", photos / "a_red.jpg")
    plain = label(*words)
    code, squashed, err = label(*words, "--resize=squash")
    assert code == 0
    assert err == "warning: --resize=squash, but the model was trained with crop.\n"
    assert squashed != plain[1]
    assert label(*words, "--resize=crop") == plain


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Expected either --model or --backbone. Received: neither."),
        (["--model=m", "--backbone=mobilenet"], "Expected either --model or --backbone"),
        (["--model=m", "--weights=none"], "--weights belongs to --backbone"),
        (["--backbone=mobilenet", "--input_mean=0"], "--input_mean belongs to --model"),
        (["--backbone=mobilenet", "--labels=x"], "--labels belongs to --model"),
        (["--backbone=mobilnet", "--weights=none"], "Did you mean mobilenet"),
        (["--model=m", "--input_std=0"], "Expected --input_std to be above 0"),
        (["--model=m", "--resize=stretch"], "Expected --resize to be one of crop, squash"),
        (["--model=m", "--input_mean=grey"], "grey"),
        (["--model=no/such/model"], "There is no no/such/model"),
        (["--model=m", "--input_layr=x"], "Did you mean --input_layer"),
    ],
)
def test_mistakes_are_one_line(label, words, message):
    code, out, err = label(*words, "photo.jpg")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_photo_instead_of_a_model(photos, label):
    code, _, err = label(f"--model={photos / 'a_red.jpg'}", photos / "a_red.jpg")
    assert code == 2
    assert "is a JPEG photo: give the model here, and photos as photos" in err


def test_random_weights_are_said_to_mean_nothing(photos, label):
    words = ("--backbone=mobilenet_0.25_128", "--weights=none", "--format=json")
    code, out, err = label(*words, photos / "a_red.jpg")
    assert code == 0
    assert "random weights (--weights=none) the labels mean nothing" in err
    top = json.loads(out)["labels"]
    assert len(top) == 5
    assert all(one["label"].startswith("n0") or one["label"].startswith("n1") for one in top)


DAISY = "flower_photos/daisy/21652746_cc379e0eea_m.jpg"


def test_default_network_knows_daisies(shared_data, label):
    code, out, err = label("--backbone=efficientnet_lite0", "--top_k=1", shared_data / DAISY)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split()[:2] == ["n11939491", "daisy"]


def test_weights_of_keras_know_daisies(shared_data, tmp_path):
    home = tmp_path / "keras"
    (home / "models").mkdir(parents=True)
    weights = "mobilenet_2_5_128_tf.h5"
    shutil.copyfile(shared_data / "keras/models" / weights, home / "models" / weights)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "xferlearn", "label", "--architecture=mobilenet_0.25_128"),
            *("--top_k=1", f"--image={shared_data / DAISY}"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_HOME": str(home)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split()[:2] == ["n11939491", "daisy"]


@pytest.mark.parametrize("names", [None, "given"])
def test_plain_graph_of_the_lab(shared_data, label, tmp_path, names):
    words = [f"--graph={shared_data / 'graphs/mobilenet_v1_0.25_128_frozen.pb'}", "--format=json"]
    if names:
        file = tmp_path / "names.txt"
        file.write_text("".join(f"class {index}\n" for index in range(1001)))
        words.append(f"--labels={file}")
    code, out, err = label(*words, f"--image={shared_data / DAISY}")
    assert code == 0
    best = json.loads(out)["labels"][0]
    assert best["label"] == ("class 986" if names else "#986 n11939491 daisy")
    assert best["score"] > 0.9
    assert "warning: photos are squashed to the model's size" in err
    assert ("ImageNet's were assumed" in err) == (names is None)


def test_retrained_graph_of_the_lab(shared_data, label):
    path = shared_data / "graphs/mobilenet_v1_1.0_224_retrained.pb"
    code, out, err = label(f"--graph={path}", "--format=json", shared_data / DAISY)
    assert code == 0
    assert sorted(one["label"] for one in json.loads(out)["labels"]) == ["#0", "#1"]
    assert "no labels were found: #0 to #1 count the outputs" in err
    code, _, err = label(f"--graph={path}", "--input_layer=27", shared_data / DAISY)
    assert code == 2
    assert "has no operation 27; its input is 'input', float32, 224 x 224." in err


@pytest.mark.parametrize("top_k", [0, -1, 1.5, "a"])
def test_a_classifier_refuses_a_number_of_labels_that_is_none(colour_model, top_k):
    classifier = xferlearn.load_classifier(colour_model, verbose=0)
    with pytest.raises(UserError, match=r"Expected `top_k` to be a whole number from 1. Received"):
        classifier.label(np.zeros((8, 8, 3), np.uint8), top_k=top_k)


@pytest.fixture(scope="module")
def classifier(colour_model, tmp_path_factory):
    """Tells red, green and blue; it may have scored other tests' photos before."""
    return xferlearn.load_classifier(
        colour_model, verbose=0, bottleneck_dir=tmp_path_factory.mktemp("bottlenecks")
    )


def test_a_classifier_predicts_photos_of_every_kind_alike(classifier, photo_bytes, tmp_path):
    data = photo_bytes("red", 1, form="PNG")
    file = tmp_path / "red.png"
    file.write_bytes(data)
    image = Image.open(io.BytesIO(data))
    pixels = np.asarray(image)
    expected = classifier.predict([str(file)])
    assert expected.shape == (1, 3)
    kinds = [file, str(file), data, image, pixels, pixels.astype(np.float32)]
    for one in kinds:
        np.testing.assert_allclose(classifier.predict(one), expected, atol=1e-3)
        assert classifier.label(one, 1)[0][0] == "red"
    many = np.repeat(expected, len(kinds), axis=0)
    np.testing.assert_allclose(classifier.predict(kinds), many, atol=1e-3)
    np.testing.assert_allclose(classifier.predict(iter(kinds)), many, atol=1e-3)
    np.testing.assert_allclose(classifier.predict(one for one in kinds), many, atol=1e-3)
    batch = np.stack([pixels] * 40)
    np.testing.assert_allclose(classifier.predict(batch), np.repeat(expected, 40, 0), atol=1e-3)
    assert classifier.predict([]).shape == (0, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I;16"])
def test_images_of_any_mode_are_read_as_files(classifier, mode):
    image = Image.fromarray(np.full((50, 40, 3), (210, 40, 30), np.uint8))
    if mode == "I;16":
        image = Image.fromarray(np.full((50, 40), 90 << 8, np.uint16))
    else:
        image = image.convert(mode)
    if mode in ("1", "L", "LA", "I;16"):
        gray = np.asarray(image.convert("L") if mode != "I;16" else np.full((50, 40), 90, np.uint8))
        expected = classifier.predict([gray])
    else:
        expected = classifier.predict([np.asarray(image.convert("RGB"))])
    np.testing.assert_allclose(classifier.predict([image]), expected, atol=0.02)


def test_images_are_turned_as_their_exif_says(classifier, tmp_path):
    steps = np.arange(64, dtype=np.uint8) * 3
    pixels = np.stack([np.tile(one, (64, 1)) for one in (steps, steps[::-1], steps // 2)], axis=-1)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    image = Image.open(tmp_path / "turned.png")
    turned = classifier.predict([np.rot90(pixels, -1)])
    assert not np.allclose(turned, classifier.predict([pixels]), atol=0.01)
    np.testing.assert_allclose(classifier.predict([image]), turned, atol=0.01)
    np.testing.assert_allclose(classifier.predict([tmp_path / "turned.png"]), turned, atol=0.03)


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ([""], "Received '' for photo 0"),
        ([3], "Received 3 for photo 0"),
        ([[b""]], r"Received \[b''\] for photo 0"),
        (3, "Expected photos: paths, .* Received: 3"),
        ({"a": 1}, "Expected photos: paths"),
        (None, "Expected photos: paths"),
        (np.zeros((4, 4, 4), np.uint8), r"\[height, width, 3\].* Received \[4, 4, 4\]"),
        (np.full((4, 4, 3), 0.5), "Received 0.5 to 0.5 for photo 0: multiply them by 255"),
        (np.full((4, 4, 3), -1.0), r"range \[0, 255\]\. Received -1 to -1"),
        (b"no photo", "photo 0 can't be used: not a JPEG"),
    ],
)
def test_what_is_no_photo_is_refused(classifier, photos, message):
    with pytest.raises(UserError, match=message):
        classifier.predict(photos)


def test_a_classifier_prints_its_classes_backbone_and_size(colour_model):
    classifier = xferlearn.load_classifier(colour_model, verbose=0)
    assert repr(classifier).split("\n") == [
        f"classifier  {colour_model}",
        "classes     3: blue, green, red",
        "backbone    mobilenet_0.25",
        "input       32 x 32 px, crop",
    ]


def test_the_keras_model_of_a_model_folder_answers_as_the_classifier(colour_model):
    classifier = xferlearn.load_classifier(colour_model, precision="float32")
    pixels = np.full((1, 32, 32, 3), (210, 40, 30), np.uint8)
    answer = np.asarray(classifier.model(pixels.astype(np.float32))["predictions"])
    np.testing.assert_allclose(answer, classifier.predict([pixels[0]]), atol=1e-5)
    assert classifier.model is classifier.model


def test_the_keras_model_of_a_keras_file_is_loaded_when_it_is_asked_for(colour_model, tmp_path):
    file = shutil.copyfile(colour_model / "model.keras", tmp_path / "mine.keras")
    classifier = xferlearn.load_classifier(file, labels=str(colour_model / "labels.txt"))
    assert repr(classifier).startswith(f"classifier  {file}\nclasses     3: blue, green, red")
    assert classifier.model.output["predictions"].shape == (None, 3)


def test_models_of_other_formats_have_no_keras_model(shared_data):
    graph = shared_data / "graphs/mobilenet_v1_0.25_128_frozen.pb"
    classifier = xferlearn.load_classifier(graph)
    assert "classes     1,001: " in repr(classifier)
    assert "995 more" in repr(classifier)
    with pytest.raises(UserError, match=r"Expected a model folder or a Keras file.*frozen\.pb is"):
        _ = classifier.model
