"""Why a photo has its label: heat maps, nearest photos, `explain`, and the page of `--why`."""

import re
import shutil

import keras
import numpy as np
import pytest
from chromium import Chromium, find_chromium
from model_folders import edit_metadata
from PIL import Image

import xferlearn
from xferlearn.cli import main
from xferlearn.decisions import HeatMaps
from xferlearn.errors import UserError
from xferlearn.labelling import Answer, Explanation, why_page
from xferlearn.labelling.explanation import familiarity_text, strongest_text
from xferlearn.model_folder import read_model_folder

layers = keras.layers
SIDE = 12


def network(pooling=None, side=SIDE, strides=1):
    """Feature maps that are linear in the pixels, so that twice the pixels are twice the maps."""
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Resizing(side, side)(image) if side != SIDE else image
    x = layers.Conv2D(5, 1, strides=strides, use_bias=False)(x)
    return keras.Model(image, layers.GlobalAveragePooling2D()(x) if pooling else x)


def dense(units=3, activation="softmax"):
    return layers.Dense(units, activation, bias_initializer="normal")


def topped(*top):
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), *top])


def two_networks():
    image = keras.Input((SIDE, SIDE, 3))
    pooled = [
        layers.GlobalAveragePooling2D()(network(strides=strides)(image)) for strides in (1, 2)
    ]
    return keras.Model(image, dense()(layers.Dense(4, "tanh")(layers.Concatenate()(pooled))))


def operation():
    image = keras.Input((SIDE, SIDE, 3))
    return keras.Model(image, keras.ops.softmax(dense(3, None)(network("avg")(image))))


MODELS = {
    "softmax": lambda: topped(network(), layers.GlobalAveragePooling2D(), dense()),
    "two classes": lambda: topped(network(), layers.GlobalAveragePooling2D(), dense(2)),
    "one score": lambda: topped(network("avg"), dense(1, "sigmoid")),
    "sigmoid": lambda: topped(network("avg"), dense(3, "sigmoid")),
    "softmax layer": lambda: topped(network("avg"), dense(3, None), layers.Softmax()),
    "activation layer": lambda: topped(
        network("avg"), dense(3, None), layers.Activation("softmax")
    ),
    "hidden layer": lambda: topped(
        network("avg"), layers.Dense(6, "tanh"), layers.Dropout(0.5), dense()
    ),
    "model in a model": lambda: topped(topped(network("avg"), dense())),
    "pooled maps": lambda: topped(network(), layers.GlobalAveragePooling2D(), layers.Softmax()),
    "1 x 1 maps": lambda: topped(
        network(),
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Conv2D(3, 1, bias_initializer="normal"),
        layers.Reshape((3,)),
        layers.Softmax(),
    ),
    "two networks": two_networks,
    "nothing after the softmax": lambda: topped(
        network("avg"), dense(), layers.Rescaling(1.0), layers.Activation("linear")
    ),
    "reshaped": lambda: topped(
        network("avg"), dense(), layers.Identity(), layers.Reshape((1, 3)), layers.Flatten()
    ),
    "model and reshaped": lambda: topped(topped(network("avg"), dense()), layers.Reshape((3,))),
    "operation": operation,
}  # fmt: skip


def log_odds(model, pixels, shown):
    scores = np.asarray(model(pixels), np.float64)
    if scores.shape[1] == 1:
        scores = np.concatenate([1 - scores, scores], axis=1)
    own = scores[np.arange(len(shown)), shown]
    return np.log(own / (1 - own))


@pytest.mark.parametrize("kind", MODELS)
def test_the_mean_of_a_heat_map_is_what_the_features_contribute(kind):
    keras.utils.set_random_seed(1)
    model = MODELS[kind]()
    pixels = np.random.default_rng(0).random((11, SIDE, SIDE, 3)).astype(np.float32)
    shown = np.arange(11) % (2 if model.output_shape[-1] == 1 else model.output_shape[-1])
    maps = HeatMaps(model, model.outputs[0])
    found = maps.of_classes(maps.look(pixels), shown)
    # More of all features is more light in the photo, as the maps are linear in it.
    step = 1e-2
    up, down = (log_odds(model, pixels * (1 + sign * step), shown) for sign in (1, -1))
    means = [one.scale * one.values.mean() for one in found]
    np.testing.assert_allclose(means, (up - down) / (2 * step), atol=2e-3)
    for one in found:
        assert one.values.shape == (SIDE, SIDE)
        assert one.values.dtype == np.float32
        assert np.abs(one.values).max() == pytest.approx(1)


def test_with_two_classes_and_one_layer_it_is_the_log_odds_but_for_the_bias():
    model = topped(network("avg"), dense(2))
    pixels = np.random.default_rng(1).random((2, SIDE, SIDE, 3)).astype(np.float32)
    _, bias = model.layers[-1].get_weights()
    maps = HeatMaps(model, model.outputs[0])
    for label, one in enumerate(maps.of_classes(maps.look(pixels), [0, 1])):
        constant = bias[label] - bias[1 - label]
        odds = log_odds(model, pixels[[label]], [label])[0]
        assert one.scale * one.values.mean() == pytest.approx(odds - constant, abs=1e-3)


def red_finder(path):
    """A Keras file that calls a photo red where there is red; it takes pixels from 0 to 1."""
    image = keras.Input((SIDE, SIDE, 3))
    maps = layers.Conv2D(2, 1, use_bias=False)(image)
    pooled = layers.GlobalAveragePooling2D()(maps)
    model = keras.Model(image, layers.Dense(2, activation="softmax", use_bias=False)(pooled))
    model.layers[1].set_weights([np.array([[1, 0], [0, 1], [0, 1]], np.float32)[None, None]])
    model.layers[-1].set_weights([np.array([[4, 0], [0, 4]], np.float32)])
    model.save(path)
    path.with_name("labels.txt").write_text("red\nother\n")
    return xferlearn.load_classifier(path, input_range=(0, 1))


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        (slice(0, 4), slice(0, 4), "at the top left"),
        (slice(8, 12), slice(4, 8), "at the bottom"),
        (slice(4, 8), slice(8, 12), "on the right"),
        (slice(4, 8), slice(4, 8), "in the middle"),
    ],
)
def test_a_heat_map_is_where_the_reason_is(tmp_path, rows, columns, words):
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[rows, columns, 0] = 255
    found = red_finder(tmp_path / "red.keras").explain(pixels)
    assert found.label == "red"
    expected = np.zeros((SIDE, SIDE))
    expected[rows, columns] = 1
    np.testing.assert_allclose(found.heat_map, expected, atol=1e-5)
    assert f"for red strongest {words}" in repr(found)
    # Where the reason is there is colour; elsewhere the photo in gray.
    drawn = np.asarray(found.overlay()).astype(int)
    assert drawn.shape == (16 * SIDE, 16 * SIDE, 3)
    drawn = drawn[8::16, 8::16]
    assert np.ptp(drawn[rows, columns], axis=2).max() > 60
    far = np.ones((SIDE, SIDE), bool)
    far[max(rows.start - 1, 0) : rows.stop + 1, max(columns.start - 1, 0) : columns.stop + 1] = (
        False
    )
    assert np.ptp(drawn[far], axis=1).max() == 0


def test_a_label_that_nothing_speaks_for_is_said_so(tmp_path):
    classifier = red_finder(tmp_path / "red.keras")
    green = np.zeros((SIDE, SIDE, 3), np.uint8)
    green[..., 1] = 255
    assert classifier.explain(green).label == "other"
    model = classifier.model
    model.layers[-1].set_weights([-np.array([[4, 0], [0, 4]], np.float32)])
    maps = HeatMaps(model, model.outputs[0])
    (one,) = maps.of_classes(maps.look(green[None] / np.float32(255)), [1])
    assert one.values.max() < 0
    assert strongest_text(one.values) == (
        "at no clear place: hardly anything in the photo speaks for it"
    )


def flat():
    return topped(layers.Conv2D(4, 3), layers.Flatten(), dense())


def odd():
    return topped(network("avg"), dense(3, "softplus"))


def average():
    image = keras.Input((SIDE, SIDE, 3))
    pooled = network("avg")(image)
    return keras.Model(image, layers.Average()([dense()(pooled), dense()(pooled)]))


def rescaled():
    return topped(network("avg"), dense(), layers.Rescaling(2.0))


def convolved():
    return topped(
        network(),
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Conv2D(3, 1, activation="softmax"),
        layers.Flatten(),
    )


def largest():
    return topped(network(), layers.GlobalMaxPooling2D(), dense())


def channels_first():
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Permute((3, 1, 2))(layers.Conv2D(4, 3)(image))
    x = layers.GlobalAveragePooling2D(data_format="channels_first")(x)
    return keras.Model(image, dense()(x))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (flat, "does not end in global average pooling"),
        (largest, "does not end in global average pooling"),
        (odd, "ends in softplus"),
        (average, "ends in Average"),
        (rescaled, "ends in Rescaling"),
        (convolved, "ends in Conv2D"),
        (channels_first, "channels first"),
    ],
)
def test_networks_without_a_map_are_told(build, reason):
    model = build()
    with pytest.raises(ValueError, match=reason):
        HeatMaps(model, model.outputs[0])


def test_other_models_have_probabilities_and_say_what_they_lack(tmp_path):
    flat().save(tmp_path / "flat.keras")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    found = xferlearn.load_classifier(tmp_path / "flat.keras", input_range=(0, 1)).explain(
        np.zeros((SIDE, SIDE, 3), np.uint8), top_k=2
    )
    assert found.heat_map is None
    assert found.overlay() is None
    assert found.nearest == ()
    assert len(found.probabilities) == 2
    assert any("global average pooling" in note for note in found.notes)
    assert any("only a model folder" in note for note in found.notes)
    assert "There is no heat map" in repr(found)
    assert "There is no heat map" in found._repr_html_()


@pytest.fixture(scope="module")
def classifier(colour_model):
    """The model of colours, with the cache that it was trained with."""
    return load(colour_model, colour_model.parent / "bottlenecks")


def load(model, cache):
    return xferlearn.load_classifier(
        model, bottleneck_dir=str(cache), engine="tensorflow", precision="float32"
    )


def test_the_nearest_photos_are_those_of_the_training(classifier, photo_dir, photo_bytes):
    found = classifier.explain(photo_bytes("red", 500))
    assert found.label == "red"
    assert found.heat_map.shape == (1, 1)
    recorded = {photo.digest: photo for photo in classifier.predictor.model_folder.photos()}
    assert len(found.nearest) == 3
    assert [one.label for one in found.nearest] == ["red"] * 3
    similarities = [one.similarity for one in found.nearest]
    assert similarities == sorted(similarities, reverse=True)
    for one in found.nearest:
        assert recorded[one.digest].learned
        assert one.path == str(photo_dir / one.name)
        assert one.pixels.shape == (32, 32, 3)
    assert found.notes == ()
    text = repr(found)
    assert found.nearest[0].name in text
    assert "The model has learned" not in text
    assert found._repr_html_().count("<img ") == 5


def test_the_label_that_is_decided_is_explained(colour_model, photo_bytes, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(colour_model, model)
    costly = {"rule": "cost", "costs": {"green": {"red": 1e30}}, "other_costs": 1.0}
    edit_metadata(model, lambda told: told.update(decision=costly))
    found = load(model, colour_model.parent / "bottlenecks").explain(photo_bytes("red", 500))
    assert found.label != "red"
    assert max(found.probabilities, key=lambda pair: pair[1])[0] == "red"
    assert any("thresholds or costs decide" in note for note in found.notes)
    assert f"for {found.label} strongest" in repr(found)


def test_the_familiarity_is_that_of_the_answer(classifier, photo_bytes):
    photo = photo_bytes("green", 504)
    found = classifier.explain(photo)
    assert found.familiarity == pytest.approx(classifier.answers(photo)[0].familiarity, abs=1e-3)
    assert f"familiarity  {found.familiarity:.3f}" in repr(found)
    assert "of your own photos" in found._repr_html_()


@pytest.mark.parametrize(
    ("familiarity", "words"),
    [
        (0.0, "less typical than nearly all of your own photos"),
        (0.008, "less typical than 99.2% of your own photos"),
        (0.75, "more typical than 75.0% of your own photos"),
        (1.0, "more typical than nearly all of your own photos"),
    ],
)
def test_a_familiarity_in_words(familiarity, words):
    assert familiarity_text(familiarity) == words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("answered", "red, 90.0%"),
        ("unknown", "unknown, unlike your own photos; it would be red, 90.0%"),
        ("ask", "ask a person; it would be red, 90.0%"),
    ],
)
def test_an_answer_in_words(status, words):
    answer = Answer(status, "red", 0.9, 0.5, (("red", 0.9), ("blue", 0.1)))
    pixels = np.zeros((8, 8, 3), np.uint8)
    found = Explanation("a.jpg", answer, {}, (), pixels)
    assert found.answer_text() == words
    assert words in repr(found)
    assert words in found._repr_html_()


def test_a_photo_is_not_its_own_neighbour(classifier, photo_dir):
    recorded = {photo.name: photo for photo in classifier.predictor.model_folder.photos()}
    name = next(name for name, photo in recorded.items() if photo.learned)
    found = classifier.explain(photo_dir / name)
    assert recorded[name].digest not in {one.digest for one in found.nearest}
    assert "The model has learned from this very photo." in found.notes
    test = next(name for name, photo in recorded.items() if not photo.learned)
    assert classifier.explain(photo_dir / test).notes == ()


@pytest.mark.parametrize("form", ["path", "bytes", "image", "array", "gray"])
def test_every_form_of_a_photo_is_explained(classifier, photo_bytes, tmp_path, form):
    data = photo_bytes("blue", 501, form="PNG", size=(40, 32))
    (tmp_path / "blue.png").write_bytes(data)
    image = Image.open(tmp_path / "blue.png")
    photo = {
        "path": str(tmp_path / "blue.png"),
        "bytes": data,
        "image": image,
        "array": np.asarray(image),
        "gray": np.asarray(image.convert("L")),
    }[form]
    found = classifier.explain(photo, top_k=3)
    assert found.pixels.shape == (32, 32, 3)
    assert len(found.nearest) == 3
    expected = dict(classifier.label(photo, top_k=3))
    assert dict(found.probabilities) == pytest.approx(expected, abs=1e-6)


def test_mistakes_are_named(classifier, photo_bytes):
    photo = photo_bytes("red", 1)
    with pytest.raises(UserError, match=r"`top_k` to be a whole number from 1\. Received: 0"):
        classifier.explain(photo, top_k=0)
    with pytest.raises(UserError, match=r"one photo to explain\. Received: several"):
        classifier.explain([photo, photo])
    with pytest.raises(UserError, match=r"one photo to explain\. Received: several"):
        classifier.explain(np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(UserError, match="can't be used: not a JPEG"):
        classifier.explain(b"no photo")
    with pytest.raises(UserError, match="Expected photos"):
        classifier.explain(3)


def test_what_is_gone_is_said_and_fails_nothing(
    colour_model, make_photo_dir, photo_bytes, tmp_path
):
    model, cache = tmp_path / "model", tmp_path / "bottlenecks"
    shutil.copytree(colour_model, model)
    shutil.copytree(colour_model.parent / "bottlenecks", cache)
    elsewhere = make_photo_dir({"red": 2})
    edit_metadata(model, lambda told: told["training"].update(image_dir=str(elsewhere)))
    found = load(model, cache).explain(photo_bytes("red", 502))
    assert len(found.nearest) == 3
    # A name may be there again: what counts is what the file holds.
    there = {one.name: one.path for one in found.nearest}
    assert set(there.values()) <= {None, *(str(path) for path in elsewhere.rglob("*.jpg"))}
    assert None in there.values()
    assert "not found" in found._repr_html_()
    shutil.rmtree(cache)
    found = load(model, cache).explain(photo_bytes("red", 502))
    assert found.nearest == ()
    learned = sum(photo.learned for photo in recorded_photos(model))
    assert any(f"{learned} of {learned} photos" in note for note in found.notes)
    assert found.heat_map is not None
    (model / "photos.csv").unlink()
    found = load(model, cache).explain(photo_bytes("red", 502))
    assert any("There are no nearest photos: Can't read" in note for note in found.notes)


def recorded_photos(model):
    return read_model_folder(model).photos()


@pytest.fixture
def label(colour_model, tmp_path, capsys):
    """Runs `xferlearn label --why=tmp_path/why`; returns exit code, stdout and stderr."""

    def run(*words):
        cache = colour_model.parent / "bottlenecks"
        exact = ("--engine=tensorflow", "--precision=float32", f"--bottleneck_dir={cache}")
        flags = (f"--model={colour_model}", f"--why={tmp_path / 'why'}", *exact)
        code = main(["label", *flags, *map(str, words)])
        return code, *capsys.readouterr()

    return run


HOSTILE = "<img src=x onerror=alert(1)>.jpg"


@pytest.fixture
def photos(tmp_path, photo_bytes):
    """A photo of each kind that is hard to show, and one that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a_red.jpg").write_bytes(photo_bytes("red", 600))
    (folder / "a_red_again.jpg").write_bytes(photo_bytes("red", 600))
    (folder / HOSTILE).write_bytes(photo_bytes("blue", 601))
    (folder / "bad.jpg").write_bytes(b"no photo at all")
    (folder / "gray.png").write_bytes(photo_bytes("green", 602, form="PNG", mode="L"))
    exif = Image.Exif()
    exif[0x112] = 6
    (folder / "turned.jpg").write_bytes(photo_bytes("green", 603, exif=exif.tobytes()))
    Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)).save(folder / "deep.png")
    return folder


def test_the_page_shows_every_photo(label, photos, tmp_path):
    code, out, err = label("--format=csv", "--top_k=2", photos)
    assert code == 1
    assert len(out.splitlines()) == 8
    assert f"why: {tmp_path / 'why'}/index.html" in err
    assert [one.name for one in (tmp_path / "why").iterdir()] == ["index.html"]
    page = (tmp_path / "why" / "index.html").read_text(encoding="utf-8")
    assert page.count("<article") == 7
    # Photo, heat map and three neighbours of each; each says what it shows.
    assert page.count("<img ") == page.count(" alt=") == 6 * 5
    assert page.count('src="data:image/webp;base64,') == 6 * 5
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in page
    assert "<script" not in page
    assert HOSTILE not in page
    assert "&lt;img src=x onerror=alert(1)&gt;.jpg" in page
    assert "It can&#x27;t be used: not a JPEG" in page
    assert re.search("Answer: <b>red, [0-9.]+%</b>", page)


def test_its_own_page_is_replaced_and_nothing_else(label, photos, tmp_path):
    photo = photos / "a_red.jpg"
    assert label(photo)[0] == 0
    first = (tmp_path / "why" / "index.html").read_bytes()
    (tmp_path / "why" / ".index.html.0123abcd.tmp").write_text("of a run that was killed")
    assert label(photos / "turned.jpg")[0] == 0
    assert (tmp_path / "why" / "index.html").read_bytes() != first
    (tmp_path / "why" / "notes.txt").write_text("mine")
    code, out, err = label(photo)
    assert (code, out) == (2, "")
    assert "why holds notes.txt, which is not a page of --why" in err
    (tmp_path / "why" / "notes.txt").unlink()
    (tmp_path / "why" / "index.html").write_text("<title>mine</title>")
    code, _, err = label(photo)
    assert code == 2
    assert "holds index.html" in err
    assert (tmp_path / "why" / "index.html").read_text() == "<title>mine</title>"
    shutil.rmtree(tmp_path / "why")
    (tmp_path / "why").write_text("a file")
    code, _, err = label(photo)
    assert code == 2
    assert "Expected --why to be a folder. Found a file" in err


def test_a_run_that_fails_leaves_the_page_that_was_there(label, photos, tmp_path):
    assert label(photos / "a_red.jpg")[0] == 0
    first = (tmp_path / "why" / "index.html").read_bytes()
    code, _, err = label("--on_bad_image=fail", photos)
    assert code == 2
    assert "bad.jpg can't be used" in err
    assert (tmp_path / "why" / "index.html").read_bytes() == first
    assert len(list((tmp_path / "why").iterdir())) == 1


def test_the_page_has_a_cap_and_labels_go_on(label, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(why_page, "MOST_PHOTOS", 2)
    code, out, _ = label("--format=csv", photos)
    assert code == 1
    assert len(out.splitlines()) == 8
    page = (tmp_path / "why" / "index.html").read_text(encoding="utf-8")
    assert page.count("<article") == 2
    assert "The first 2 are shown." in page


def test_labels_go_to_a_file_beside_the_page(label, photos, tmp_path):
    assert label(f"--output={tmp_path / 'labels.csv'}", photos / "a_red.jpg")[0] == 0
    assert (tmp_path / "labels.csv").read_text().count("\n") == 2
    assert (tmp_path / "why" / "index.html").is_file()


@pytest.mark.parametrize("width", [400, 1440])
def test_a_person_reads_the_page_in_a_browser(label, photos, tmp_path, width):
    if find_chromium() is None:
        pytest.skip("needs Chromium or Chrome on PATH")
    label(photos)
    with Chromium(width) as page:
        page.open((tmp_path / "why" / "index.html").as_uri())
        page.wait_for("document.readyState === 'complete' && all('article').length === 7")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        titles = page.evaluate("all('h2').map(e => e.textContent.split('/').pop())")
        assert HOSTILE in titles
        assert page.evaluate("all('img').filter(e => e.getAttribute('src') === 'x').length") == 0
        shown = "all('article')[1].querySelectorAll('img')"
        page.evaluate(f"{shown}[0].scrollIntoView()")
        page.wait_for(f"[...{shown}].every(e => e.complete && e.naturalWidth > 0)")
        # The policy lets the page's own style through.
        assert page.evaluate("getComputedStyle(all('article')[0]).borderTopWidth") == "1px"
        page._call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark"}],
        )
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(31, 31, 31)"
        assert page.problems() == []
