"""Views: which part of a photo is seen, that they repeat, and training on them."""

import dataclasses
import hashlib
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from test_store_faults import check_same, weights

from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.cli import main
from xferlearn.config import TrainConfig
from xferlearn.photos.folders import file_source
from xferlearn.photos.folders.files import read_image_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import SPLITS, TEST, TRAIN, Photo
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.pixels.headers import prepare
from xferlearn.photos.pixels.operations import decode_pixels
from xferlearn.photos.reading import load_photos
from xferlearn.photos.selecting import pick_photos
from xferlearn.photos.views import CROP_FRACTION, PLAIN, Augmentation, View

SIZE = 64
LIMITS = PhotoLimits()
FULL = Augmentation(flip_left_right=True, random_crop=15, random_scale=30, random_brightness=20)
FLIP = Augmentation(flip_left_right=True)
DIGESTS = [bytes([number]) * 32 for number in range(40)]
SIDES = [(64, 64), (640, 480), (480, 640), (4000, 3000), (3000, 1), (1, 3000), (100, 37), (2, 3)]
MAX_PIXELS = 10**8


def picture(width: int, height: int) -> Image.Image:
    """A smooth picture without symmetry."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    channels = (x, y * y, (x + 2 * y) / 3)
    return Image.fromarray(np.stack([30 + 190 * c for c in channels], -1).astype(np.uint8))


def jpeg(image: Image.Image, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=98, subsampling=0, exif=exif)
    return buffer.getvalue()


def seen(data: bytes, view: View, size: int = SIZE, smallest: float = 0.1) -> np.ndarray:
    """What the network sees of a photo through a view."""
    image = prepare(data, size, MAX_PIXELS, smallest)
    parameters = tf.constant(view.parameters(image.width, image.height), tf.float32)
    arguments = (image.data, image.kind, image.orientation)
    return decode_pixels(*map(tf.constant, arguments), size, view=parameters).numpy()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


# What is drawn --------------------------------------------------------------------------------


def test_a_view_follows_from_content_and_number() -> None:
    for digest, number in itertools.product(DIGESTS[:5], range(6)):
        assert FULL.view(digest, number) == dataclasses.replace(FULL).view(digest, number)
    # Written down, so that views that an earlier version cached are still found.
    view = FULL.view(bytes(32), 1)
    assert view == View(
        0.8480496324042127, 1.0, 0.8909868641518128, 0.18872515384011002, True, 0.8322783259991378
    )
    assert view.key(bytes(32)).hex().startswith("4f774f9fc6479b02d18592464199852f")
    views = [FULL.view(digest, number) for digest in DIGESTS for number in range(1, 10)]
    assert len(set(views)) == len(views)


def test_the_plain_view_is_number_zero_and_named_by_the_photo() -> None:
    for augmentation in (Augmentation(), FLIP, FULL):
        assert augmentation.view(DIGESTS[3], 0) == PLAIN
    assert PLAIN.key(DIGESTS[3]) == DIGESTS[3]
    assert View().key(DIGESTS[3]) == DIGESTS[3]


def test_every_view_of_every_photo_has_a_name_of_its_own() -> None:
    keys = {FULL.view(digest, n).key(digest) for digest in DIGESTS for n in range(20)}
    assert len(keys) == 40 * 20
    assert {len(key) for key in keys} == {32}
    names = [field.name for field in dataclasses.fields(View)]
    changed = [dataclasses.replace(PLAIN, **{name: 0.25}) for name in names]
    changed[names.index("flip")] = View(flip=True)
    assert len({view.key(DIGESTS[0]) for view in [PLAIN, *changed]}) == len(names) + 1


@pytest.mark.parametrize(
    ("augmentation", "most"),
    [
        (Augmentation(), 1),
        (FLIP, 2),
        (Augmentation(random_crop=1), None),
        (Augmentation(random_scale=1), None),
        (Augmentation(random_brightness=1), None),
        (FULL, None),
    ],
)
def test_most_views(augmentation: Augmentation, most: int | None) -> None:
    assert augmentation.most_views == most
    found = {augmentation.view(DIGESTS[0], number) for number in range(12)}
    assert len(found) == (most or 12)


def test_what_is_drawn_stays_in_its_range_and_fills_it() -> None:
    views = [FULL.view(digest, number) for digest in DIGESTS for number in range(1, 30)]
    ranges = {
        "window": (FULL.smallest_window, 100 / 115),
        "x": (0, 1),
        "y": (0, 1),
        "brightness": (0.8, 1.2),
    }
    for name, (low, high) in ranges.items():
        values = np.array([getattr(view, name) for view in views])
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high >= values.max() > high - 0.02 * (high - low)
    assert FULL.smallest_window == pytest.approx(100 / 115 / 1.3)
    assert 0.45 < np.mean([view.flip for view in views]) < 0.55


def test_what_was_not_asked_for_does_not_vary() -> None:
    for digest in DIGESTS:
        bright = Augmentation(random_brightness=50).view(digest, 1)
        assert (bright.window, bright.reach, bright.flip) == (CROP_FRACTION, 0.0, False)
        scaled = Augmentation(random_scale=50).view(digest, 1)
        assert (scaled.flip, scaled.brightness, scaled.reach) == (False, 1.0, 0.0)
        assert CROP_FRACTION / 1.5 <= scaled.window <= CROP_FRACTION
        assert FLIP.view(digest, 1) == View(flip=True)
    assert Augmentation().smallest_window == FLIP.smallest_window == CROP_FRACTION


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("aspect", [1.0, 1.5, 0.5])
def test_windows_stay_inside_and_keep_their_shape(size: tuple[int, int], aspect: float) -> None:
    width, height = size
    edges = [View(w, r, x, y) for w in (0.05, 0.5, CROP_FRACTION, 1.0) for r in (0.0, 1.0)
             for x in (0.0, 0.3, 1.0) for y in (0.0, 1.0)]  # fmt: skip
    drawn = [
        augmentation.view(digest, 1)
        for augmentation in (
            FULL,
            Augmentation(random_crop=300, random_scale=300),
            Augmentation(random_scale=20),
            Augmentation(random_crop=1),
        )
        for digest in DIGESTS
    ]
    for view in [PLAIN, *edges, *drawn]:
        top, left, tall, wide, _, _ = view.parameters(width, height, aspect)
        assert min(top, left) >= -1e-9
        assert max(top + tall, left + wide) <= 1 + 1e-9 or view.window > CROP_FRACTION
        assert wide * width / (tall * height) == pytest.approx(aspect)
        largest = min(width, height * aspect)
        assert wide * width == pytest.approx(view.window * largest)
        if view.reach == 0 and view.window <= CROP_FRACTION:
            # The centre that the plain view sees is not left.
            margin = (width - largest * CROP_FRACTION) / 2
            assert left * width >= margin - 1e-6
            assert (left + wide) * width <= width - margin + 1e-6


def test_windows_with_reach_come_to_every_border() -> None:
    crop = Augmentation(random_crop=50)
    boxes = np.array(
        [crop.view(d, n).parameters(400, 300)[:4] for d in DIGESTS for n in range(1, 20)]
    )
    top, left, tall, wide = boxes.T
    assert top.min() < 0.01
    assert left.min() < 0.01
    assert (top + tall).max() > 0.99
    assert (left + wide).max() > 0.99


# What is seen ---------------------------------------------------------------------------------


def cut(data: bytes, view: View) -> np.ndarray:
    """The window of a view, cut from the whole photo by Pillow, upright, 64 px."""
    stored = Image.open(io.BytesIO(data))
    top, left, tall, wide, flip, brightness = view.parameters(*stored.size)
    corner = round(left * stored.width), round(top * stored.height)
    sides = round(wide * stored.width), round(tall * stored.height)
    box = (*corner, corner[0] + sides[0], corner[1] + sides[1])
    part = stored.crop(box)
    part.getexif()[0x0112] = stored.getexif().get(0x0112, 1)
    exif = part.getexif()
    part = ImageOps.exif_transpose(part) if exif[0x0112] != 1 else part
    part = part.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    pixels = np.asarray(ImageOps.mirror(part) if flip else part).astype(float)
    return np.clip(np.round(pixels * brightness), 0, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("sides", [(160, 120), (121, 203)])
def test_a_view_is_the_window_of_the_upright_photo(orientation: int, sides) -> None:
    data = jpeg(picture(*sides), orientation)
    shorter = min(sides)
    views = [
        View(SIZE / shorter, 1.0, x, y, flip) for x in (0, 1) for y in (0, 1) for flip in (0, 1)
    ]
    found = [seen(data, view) for view in views]
    for view, pixels in zip(views, found, strict=True):
        assert difference(pixels, cut(data, view)) < 1.5
    for a, b in itertools.combinations(found, 2):
        assert difference(a, b) > 5, "windows at different places can be told apart"
    for number in range(1, 12):
        view = FULL.view(DIGESTS[orientation], number)
        assert difference(seen(data, view), cut(data, view)) < 2


@pytest.mark.parametrize("form", ["PNG", "GIF", "WEBP", "BMP"])
def test_views_of_other_formats(form: str) -> None:
    buffer = io.BytesIO()
    picture(160, 120).save(buffer, form, lossless=True)
    data = buffer.getvalue()
    shown = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").save(shown, "PNG")
    for number in range(1, 8):
        view = FULL.view(DIGESTS[0], number)
        assert difference(seen(data, view), cut(shown.getvalue(), view)) < 2


@pytest.mark.parametrize("orientation", [1, 2, 5, 6, 8])
@pytest.mark.parametrize("sides", [(160, 120), (301, 97), (1200, 900)])
def test_flipping_mirrors_every_pixel(orientation: int, sides: tuple[int, int]) -> None:
    data = jpeg(picture(*sides), orientation)
    for view in (PLAIN, View(0.6, 1.0, 0.1, 0.8), View(0.5, brightness=1.1)):
        mirrored = seen(data, dataclasses.replace(view, flip=True))
        np.testing.assert_array_equal(mirrored, seen(data, view)[:, ::-1])
        assert difference(mirrored, seen(data, view)) > 5


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.8, 1.2, 2.0])
def test_brightness_multiplies_the_pixels(factor: float) -> None:
    data = jpeg(picture(160, 120))
    plain = seen(data, PLAIN).astype(float)
    found = seen(data, View(brightness=factor))
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, np.clip(plain * factor, 0, 255), atol=0.51)


@pytest.mark.parametrize("sides", [(160, 120), (97, 301), (500, 333), (1500, 1100)])
def test_the_plain_view_is_what_is_seen_without_views(sides: tuple[int, int]) -> None:
    data = jpeg(picture(*sides))
    image = prepare(data, SIZE, MAX_PIXELS)
    arguments = (image.data, image.kind, image.orientation)
    plain = decode_pixels(*map(tf.constant, arguments), SIZE).numpy()
    # The window may be rounded to the next pixel.
    assert difference(seen(data, PLAIN, smallest=CROP_FRACTION), plain) < 2


@pytest.mark.parametrize("sides", [(1, 1), (1, 3000), (3000, 1), (3, 5), (7, 64)])
def test_tiny_and_extreme_photos(sides: tuple[int, int]) -> None:
    data = jpeg(Image.new("RGB", sides, (120, 60, 30)))
    harsh = Augmentation(True, 300, 300, 0)
    for number in range(10):
        found = seen(data, harsh.view(DIGESTS[0], number), smallest=harsh.smallest_window)
        assert found.shape == (SIZE, SIZE, 3)
        np.testing.assert_allclose(found.mean(axis=(0, 1)), (120, 60, 30), atol=6)


@pytest.mark.parametrize("smallest", [1.0, CROP_FRACTION, 0.5, 0.2])
@pytest.mark.parametrize("shorter", [100, 400, 700, 1500])
def test_jpegs_are_never_decoded_below_what_the_smallest_window_needs(
    smallest: float, shorter: int
) -> None:
    image = prepare(jpeg(picture(shorter + 50, shorter)), SIZE, MAX_PIXELS, smallest)
    ratio = 2**image.kind
    decoded = min(tf.io.decode_jpeg(image.data, ratio=ratio).shape[:2])
    assert decoded * smallest >= SIZE or ratio == 1
    # Nor larger than needed: half of it would be too small.
    assert shorter / (2 * ratio) * smallest < SIZE or ratio == 8


def test_a_small_window_of_a_large_photo_is_sharp() -> None:
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::16] = stripes[:, 1::16] = stripes[:, 2::16] = stripes[:, 3::16] = 250
    data = jpeg(Image.fromarray(stripes))
    strong = Augmentation(random_scale=300)
    view = View(window=0.125, reach=1.0, x=0.5, y=0.5)
    assert strong.smallest_window == pytest.approx(CROP_FRACTION / 4)
    sharp = seen(data, view, smallest=0.125)
    blurred = seen(data, view, smallest=CROP_FRACTION)
    assert sharp.std() > 90
    assert blurred.std() < 0.6 * sharp.std(), "decoded for the plain view it would be lost"


def test_selected_views_are_read_in_order_and_decoded_as_drawn(make_photo_dir) -> None:
    source = read_image_dir(str(make_photo_dir({"red": 4, "blue": 4}, size=(160, 120))))
    photos = [
        Photo(hashlib.sha256(entry.read()).digest(), entry.label, entry.name)
        for entry in source.entries()
        if entry.name in ("red/0001.jpg", "blue/0003.jpg")
    ]
    entries = list(pick_photos(source, photos, augmentation=FULL, numbers=range(1, 4)))
    assert [entry.name for entry in entries] == ["blue/0003.jpg"] * 3 + ["red/0001.jpg"] * 3
    assert [entry.view for entry in entries] == [(FULL, 1), (FULL, 2), (FULL, 3)] * 2
    (batch,) = decoded_batches(load_photos(entries, SIZE, LIMITS), SIZE, LIMITS, views=True)
    assert len(batch.photos) == 6
    for item, pixels in zip(batch.photos, batch.pixels, strict=True):
        data = item.entry.read()
        digest = hashlib.sha256(data).digest()
        view = FULL.view(digest, item.entry.view[1])
        assert (item.digest, item.key) == (digest, view.key(digest))
        np.testing.assert_array_equal(pixels, seen(data, view, smallest=FULL.smallest_window))


# Settings and training ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "fine_tuning", "expected"),
    [
        ({}, False, Augmentation()),
        ({}, True, FULL),
        ({"augment": "none"}, True, Augmentation()),
        ({"augment": "flip"}, False, FLIP),
        ({"augment": "full"}, False, FULL),
        ({"random_scale": 5}, True, Augmentation(random_scale=5)),
        ({"augment": "full", "random_crop": 40}, False, dataclasses.replace(FULL, random_crop=40)),
        ({"augment": "flip", "random_brightness": 9}, False, Augmentation(True, 0, 0, 9)),
        ({"flip_left_right": True}, False, FLIP),
    ],
)
def test_what_the_settings_stand_for(settings, fine_tuning: bool, expected: Augmentation) -> None:
    config = TrainConfig(image_dir="photos", model_dir="model", **settings)
    assert Augmentation.of(config, fine_tuning=fine_tuning) == expected


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--random_crop=-1", "random_crop"),
        ("--random_crop=301", "random_crop"),
        ("--random_scale=-0.5", "random_scale"),
        ("--random_brightness=101", "random_brightness"),
        ("--random_brightness=bright", "random_brightness"),
        ("--random_scale=nan", "random_scale"),
        ("--augment=foo", "one of auto, none, flip, full"),
        ("--augment_views=0", "augment_views"),
        ("--augment_views=2.5", "augment_views"),
    ],
)
def test_bad_values_are_one_line(tmp_path, capsys, flag: str, message: str) -> None:
    assert main(["train", "--image_dir=x", f"--model_dir={tmp_path / 'm'}", flag]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.fixture
def train(photo_dir: Path, tmp_path: Path, capsys) -> Callable[..., tuple[dict, str]]:
    """Trains a tiny network on the colours; returns the metadata and stdout."""

    def run(*flags: str) -> tuple[dict, str]:
        words = [
            *("--backbone=mobilenet_0.25", "--weights=none", "--image_size=32"),
            *("--summaries=none", "--engine=tensorflow", "--precision=float32", "--overwrite"),
            *(f"--image_dir={photo_dir}", f"--model_dir={tmp_path / 'model'}"),
            *(f"--bottleneck_dir={tmp_path / 'cache'}", "--how_many_training_steps=40"),
        ]
        assert main(["train", *words, *flags]) == 0
        out, _ = capsys.readouterr()
        return json.loads((tmp_path / "model" / "metadata.json").read_text()), out

    return run


def cached(metadata: dict, folder: Path) -> BottleneckStore:
    return BottleneckStore(folder, FeatureSpace(**metadata["feature_space"]))


@pytest.mark.parametrize(
    ("flags", "views"),
    [
        (("--augment=flip", "--refit=none"), 2),
        (("--augment=full", "--augment_views=3", "--validation_percentage=20"), 3),
    ],
)
def test_only_photos_that_are_learned_from_are_seen_in_views_and_each_once(
    train, tmp_path: Path, monkeypatch, flags: tuple[str, ...], views: int
) -> None:
    metadata, _ = train(*flags)
    totals = metadata["split"]["totals"]
    assert sum(totals[split] for split in SPLITS) == 90
    assert totals[TEST]
    learned = metadata["delivered"]["photos"]
    assert learned == (totals[TRAIN] if "--refit=none" in flags else 90)
    store = cached(metadata, tmp_path / "cache")
    assert len(store) == 90 + learned * (views - 1)

    def refuse(*args: object) -> None:
        raise AssertionError("the network was called for")

    monkeypatch.setattr("xferlearn.bottlenecks.settling.start_engine", refuse)
    cold = weights(tmp_path / "model")
    read, reads = file_source._read_file, []
    monkeypatch.setattr(file_source, "_read_file", lambda path: reads.append(path) or read(path))
    again, out = train(*flags)
    assert "90 cached, 0 computed" in out
    assert again["metrics"] == metadata["metrics"]
    check_same(weights(tmp_path / "model"), cold)
    assert len(reads) == 90, "views that are cached need no file"


def test_more_views_add_to_those_that_are_cached_and_change_the_head(train, tmp_path) -> None:
    plain, _ = train("--augment=none", "--augment_views=5")
    assert len(cached(plain, tmp_path / "cache")) == 90
    few, _ = train("--augment=full", "--augment_views=2")
    assert len(cached(few, tmp_path / "cache")) == 2 * 90
    many, _ = train("--augment=full", "--augment_views=4")
    assert len(cached(many, tmp_path / "cache")) == 4 * 90
    assert plain["split"]["totals"] == few["split"]["totals"] == many["split"]["totals"]
    heads = {one["training"]["validation_loss"] for one in (plain, few, many)}
    assert len(heads) == 3, "views were not trained on"
    assert many["metrics"]["test"]["accuracy"] > 0.8


@pytest.fixture
def broken_below(make_photo_dir, photo_bytes) -> Path:
    """Photos of which one breaks off below what its plain view sees."""
    root = make_photo_dir({"red": 12, "blue": 12})
    whole = photo_bytes("red", 99, size=(64, 640))
    for number in range(8):
        data = photo_bytes("red", 100 + number, size=(64, 640))
        (root / "red" / f"cut{number}.jpg").write_bytes(data[: len(whole) * 7 // 10])
    return root


def test_a_photo_that_is_broken_in_some_views_only_is_named_and_the_rest_is_learned(
    broken_below: Path, tmp_path: Path, capsys
) -> None:
    words = [
        *("--backbone=mobilenet_0.25", "--weights=none", "--image_size=32"),
        *("--summaries=none", "--engine=tensorflow", "--precision=float32"),
        *(f"--image_dir={broken_below}", f"--model_dir={tmp_path / 'model'}"),
        *(f"--bottleneck_dir={tmp_path / 'cache'}", "--how_many_training_steps=40"),
        *("--augment=full", "--augment_views=6"),
    ]
    assert main(["train", *words]) == 0
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "views" in one]
    assert line.startswith("warning: The head learns without ")
    assert "e.g. those of red/cut" in line
    assert "can't be decoded" in line
    assert main(["train", *words, "--overwrite", "--on_bad_image=fail"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("xferlearn: red/cut")


def test_a_curve_tells_of_missing_views_once(broken_below: Path, run_tiny) -> None:
    flags = (f"--image_dir={broken_below}", "--augment=full", "--augment_views=6", "--draws=1")
    code, _, err = run_tiny("curve", *flags)
    assert code == 0
    (line,) = [one for one in err.splitlines() if "views" in one]
    assert "e.g. those of red/cut" in line
