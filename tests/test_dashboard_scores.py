"""Tab Transfer's numbers without a browser: thresholds, what made a run, photos as files."""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from xferlearn.config import TrainConfig
from xferlearn.dashboard.originals import NoOriginal, files_of, read_original
from xferlearn.dashboard.scores import count_scores
from xferlearn.decisions import Decision
from xferlearn.photos.manifest import Photo
from xferlearn.photos.pixels.memory import PixelMemory
from xferlearn.summaries.made_with import made_with

LABELS = ("a", "b", "c", "d")


def _predictions(photos, classes, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=photos)
    logits = rng.normal(size=(photos, classes)) + 2 * np.eye(classes)[y]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return scores.astype(np.float32), y


def _above(pairs, size):
    counts = np.zeros(size)
    counts[pairs[::2]] = pairs[1::2]
    return counts[::-1].cumsum()[::-1][1:], counts.cumsum()[:-1]


@pytest.mark.parametrize(
    "decision",
    [
        Decision(LABELS),
        Decision(LABELS, thresholds={"b": 0.2}),
        Decision(LABELS, thresholds={"a": 0.6, "c": 0.15}),
        Decision(LABELS, thresholds={"a": 0.9, "b": 0.5, "c": 0.3, "d": 0.7}),
        Decision(LABELS, costs={"a": {"b": 5.0, "c": 0.0}}),
    ],
)
def test_counts_are_what_a_decision_with_that_threshold_gives(decision):
    scores, y = _predictions(300, 4)
    told = count_scores(decision, scores, y)
    assert told["n"] == 300
    assert told["costs"] == bool(decision.costs)
    decided = decision.decide(scores)
    prices = decision.cost_matrix
    thresholds = told["thresholds"]
    assert set(decision.thresholds.values()) <= set(thresholds) == {*sorted(thresholds)}
    for one in told["classes"]:
        label = one["label"]
        assert one["today"][:2] == [
            int((decided == label).sum()),
            int(((decided == label) & (y == label)).sum()),
        ]
        assert one["today"][3] == pytest.approx(prices[y, decided].mean(), abs=1e-4)
        assert one["today"][2] == decision.thresholds.get(LABELS[label])
        size = len(thresholds) + 1
        positive, negative = (_above(one[name], size)[0] for name in ("positive", "negative"))
        cost = (
            _above(one.get("cost", one["negative"]), size)[0]
            + _above(one.get("cost_below", one["below"]), size)[1]
        )
        for place in range(0, len(thresholds), 7):
            # A decision by costs has no thresholds: there the others go by the largest.
            limits = {**decision.thresholds, LABELS[label]: thresholds[place]}
            labels = Decision(LABELS, thresholds=limits).decide(scores)
            assert positive[place] == ((labels == label) & (y == label)).sum()
            assert negative[place] == ((labels == label) & (y != label)).sum()
            assert cost[place] == pytest.approx(prices[y, labels].sum(), abs=1e-3)


def test_counts_of_many_photos_and_classes_stay_small():
    scores, y = _predictions(2_000, 300)
    told = count_scores(Decision(tuple(map(str, range(300)))), scores, y)
    wrong = scores.argmax(axis=1) != y
    mistakes = np.bincount(y[wrong], minlength=300)
    mistakes += np.bincount(scores.argmax(axis=1)[wrong], minlength=300)
    shown = [one["label"] for one in told["classes"]]
    assert len(shown) == 100
    assert mistakes[shown].min() >= np.delete(mistakes, shown).max()
    assert len(json.dumps(told)) < 250_000
    assert count_scores(Decision(LABELS), np.zeros((0, 4), np.float32), np.zeros(0, int)) is None


def _photos(tmp_path, size=(40, 20)):
    root = tmp_path / "my 'photos'"
    photos = []
    for number, name in enumerate(("red/0.png", "blue/ä 1.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (200, 30 * number, 0)).save(root / name)
        photos.append(Photo(hashlib.sha256((root / name).read_bytes()).digest(), number, name))
    return root, photos


def test_a_photo_is_shown_whole_while_it_is_the_same(tmp_path):
    root, photos = _photos(tmp_path, (4000, 1000))
    files = json.loads(json.dumps(files_of(TrainConfig(image_dir=root), photos)))
    assert (files["root"], files["names"]) == (str(root), [photo.name for photo in photos])
    memory = PixelMemory()
    for index, photo in enumerate(photos):
        image = Image.open(io.BytesIO(read_original(files, index, memory)))
        assert (image.format, image.size) == ("JPEG", (1600, 400))
        assert abs(image.getpixel((800, 200))[1] - 30 * photo.label) < 8
    Image.new("RGB", (9, 9)).save(root / photos[0].name)
    with pytest.raises(NoOriginal, match="changed"):
        read_original(files, 0, memory)
    (root / photos[0].name).unlink()
    with pytest.raises(NoOriginal, match="not where it was"):
        read_original(files, 0, memory)
    os.mkfifo(root / photos[0].name)  # would be read for ever
    with pytest.raises(NoOriginal, match="not where it was"):
        read_original(files, 0, memory)
    assert files_of(TrainConfig(dataset="elpv"), photos) is None


@pytest.mark.parametrize("name", ["secret.txt", "../secret.txt", "/etc/passwd", "red", "\0", ""])
def test_no_other_file_is_ever_shown(tmp_path, name):
    root, photos = _photos(tmp_path)
    secret = b"not of this run"
    for place in (root, tmp_path):
        (place / "secret.txt").write_bytes(secret)
    files = {**files_of(TrainConfig(image_dir=root), photos), "names": [name]}
    with pytest.raises(NoOriginal):
        read_original(files, 0, PixelMemory())
    # Also by its digest: what is shown is a picture, never a file's bytes.
    files["digests"] = base64.b64encode(hashlib.sha256(secret).digest()).decode()
    with pytest.raises(NoOriginal):
        read_original(files, 0, PixelMemory())


def test_a_run_of_the_command_line_is_made_with_its_command(tmp_path):
    config = TrainConfig(image_dir="my photos")
    words = ["train", "--image_dir=my photos", "--learning_rate=0.01", "--x=it's"]
    for program in ("/usr/bin/xferlearn", "/x/xferlearn/__main__.py", r"C:\x\xferlearn.exe"):
        made = made_with(config, [program, *words], str(tmp_path))
        assert (made.language, made.needs) == ("shell", ())
        done = subprocess.run(
            ["sh", "-c", f"xferlearn() {{ printf '%s\\n' \"$@\"; }}\n{made.text}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines() == words
    folder = tmp_path / "a 'folder'"
    (folder / "my photos").mkdir(parents=True)
    made = made_with(config, ["xferlearn", *words], str(folder))
    assert made.text.startswith("cd ")
    done = subprocess.run(
        ["sh", "-c", f"xferlearn() {{ pwd; }}\n{made.text}"], capture_output=True, text=True
    )
    assert done.stdout.strip() == str(folder)


class _Table:
    def __dataframe__(self):
        raise AssertionError

    def __len__(self):
        return 3


def test_a_run_from_python_is_made_with_a_call(tmp_path, monkeypatch):
    given = {
        "image_dir": "it's",
        "quality": "balanced",
        "min_recall": {"a 'b'": 0.9},
        "learning_rate": 0.01,
        "overwrite": True,
    }
    (tmp_path / "it's").mkdir()
    config = TrainConfig(**given)
    calls = []
    fake = type(sys)("xferlearn")
    fake.train = lambda **settings: calls.append((os.getcwd(), settings))
    monkeypatch.setitem(sys.modules, "xferlearn", fake)
    monkeypatch.chdir("/")
    for argv in (["-c"], ["/x/ipykernel_launcher.py", "-f", "k.json"], ["train.py", "x"], [""]):
        made = made_with(config, argv, str(tmp_path))
        assert (made.language, made.needs) == ("python", ())
        exec(made.text, {})
        where, settings = calls[-1]
        assert where == str(tmp_path)
        assert TrainConfig(**settings).changed() == config.changed()
    made = made_with(TrainConfig(labels=_Table(), image_dir="x"), ["-c"], None)
    assert made.needs == ("`labels` was an object: <_Table with 3 rows>.",)
    exec(made.text, {"labels": 7})
    assert calls[-1][1]["labels"] == 7
