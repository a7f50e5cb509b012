"""Settling: which engine computes, whose bottlenecks are shared, what an inexact engine does."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from model_folders import edit_metadata

import xferlearn
from xferlearn import labelling, load_backbone
from xferlearn.bottlenecks import settling
from xferlearn.bottlenecks.compute import Extraction, extract
from xferlearn.bottlenecks.engines import Engine, EnginePlan, planning
from xferlearn.bottlenecks.networks import FrozenNetwork
from xferlearn.bottlenecks.settling import Candidates, Features, sample_pixels
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.cli import main
from xferlearn.config import ImageConfig, TrainConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.folders.files import FileSource, read_files, read_image_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.sources import Entry
from xferlearn.training.fit import prepare

MakePhotoDir = Callable[..., Path]
PhotoBytes = Callable[..., bytes]
LIMITS = PhotoLimits()
TINY = ("--backbone=mobilenet_0.25", "--weights=none", "--image_size=32", "--summaries=none")


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("mobilenet_0.25", weights="none", image_size=32)


@pytest.fixture(scope="module")
def source(make_photo_dir: MakePhotoDir) -> FileSource:
    return read_image_dir(str(make_photo_dir({"red": 5, "blue": 5})))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with everything, whatever this one has."""
    monkeypatch.setattr(planning, "has_bfloat16", lambda: True)
    monkeypatch.setattr("xferlearn.predictors.model_folder.has_bfloat16", lambda: True)
    monkeypatch.setattr(planning, "openvino_installed", lambda: True)


@dataclasses.dataclass
class Networks:
    """Stands in for all engines: 256 mean colours; some engines are off by a factor."""

    factors: dict[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    built: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    photos: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)

    def build(self, load, plan: EnginePlan, kept=None) -> Engine:
        key = (plan.name, plan.precision)
        self.built.append(key)

        def run(pixels: np.ndarray) -> np.ndarray:
            self.photos[key] = self.photos.get(key, 0) + len(pixels)
            colours = pixels.mean(axis=(1, 2)).astype(np.float32) / 255
            return np.resize(colours.T, (256, len(pixels))).T * self.factors.get(key, 1.0)

        return Engine(plan.name, plan.precision, run)

    def forget(self) -> None:
        self.built.clear()
        self.photos.clear()


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    """The engines that are built from here on."""
    found = Networks()
    monkeypatch.setattr(settling, "start_engine", found.build)
    return found


Extracted = tuple[Features, Extraction]
Photos = Sequence[Entry]


@pytest.fixture
def candidates_of(backbone, tmp_path: Path) -> Callable[..., Candidates]:
    """The engines of the backbone, with stores in one folder."""

    def make(engine: str = "auto", precision: str = "auto") -> Candidates:
        config = ImageConfig(
            engine=engine, precision=precision, bottleneck_dir=str(tmp_path / "bottlenecks")
        )
        frozen = FrozenNetwork.of(backbone)
        return Candidates.of(config, frozen.model, frozen.space)

    return make


@pytest.fixture
def extract_with(candidates_of, source) -> Callable[..., Extracted]:
    """Settles an engine on the photos that its store lacks, and computes their bottlenecks."""

    def run(engine: str = "auto", precision: str = "auto", photos: Photos = ()) -> Extracted:
        def entries() -> Iterable[Entry]:
            return photos or source.entries()

        given = candidates_of(engine, precision).settle(
            lambda store: sample_pixels(entries(), store, LIMITS)
        )
        return given, extract(entries(), given.store, given.engine, LIMITS)

    return run


def few_pixels(store: BottleneckStore) -> np.ndarray:
    """Pixels of three photos that no store has."""
    return np.full((3, 32, 32, 3), 51, np.uint8)


def no_pixels(store: BottleneckStore) -> np.ndarray:
    """A sample of a source whose photos are all cached."""
    return np.zeros((0, 32, 32, 3), np.uint8)


def refuse_sample(store: BottleneckStore) -> np.ndarray:
    raise AssertionError("photos were read")


@pytest.mark.parametrize(
    ("first", "second"), [("openvino", "tensorflow"), ("tensorflow", "openvino")]
)
def test_one_engines_bottlenecks_serve_the_other(
    extract_with, networks, first: str, second: str
) -> None:
    one, result = extract_with(first, "float32")
    assert (result.computed, result.cached) == (10, 0)
    networks.forget()
    other, result = extract_with(second, "float32")
    assert (result.computed, result.cached) == (0, 10)
    assert networks.built == []
    assert other.store.folder == one.store.folder
    digests = [photo.digest for photo in result.photos]
    np.testing.assert_array_equal(other.store.read(digests), one.store.read(digests))


def test_a_broken_photo_is_left_out_though_no_engine_was_compared(
    extract_with, networks, source, photo_bytes, tmp_path: Path
) -> None:
    """The only photo missing from the store can't be decoded, so there is none to compare on."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo_bytes("red", 77, size=(200, 200))[:2000])
    extract_with("tensorflow", "float32")
    networks.forget()
    photos = [*source.entries(), *read_files([str(broken)]).entries()]
    given, result = extract_with("openvino", "float32", photos)
    assert (result.computed, result.cached) == (0, 10)
    assert [bad.name for bad in result.bad] == [str(broken)]
    assert not given.proven
    assert networks.built == []


def test_damage_in_the_store_of_an_engine_that_failed_is_a_warning(
    extract_with, candidates_of, networks
) -> None:
    coarse, _ = extract_with("tensorflow", "bfloat16")
    (shard,) = coarse.store.folder.glob("*.arrow")
    shard.write_bytes(shard.read_bytes()[:-1])
    networks.factors[("openvino", "bfloat16")] = 2.0
    exact = candidates_of("auto", "auto").settle(few_pixels)
    assert exact.plan.precision == "float32"
    assert any(shard.name in warning for warning in exact.warnings)


def test_precisions_are_never_mixed(extract_with, candidates_of, networks) -> None:
    coarse, _ = extract_with("tensorflow", "bfloat16")
    exact = candidates_of("tensorflow", "float32").settle(refuse_sample)
    assert exact.store.folder != coarse.store.folder
    assert len(exact.store) == 0
    assert extract_with("tensorflow", "float32")[1].computed == 10
    assert extract_with("openvino", "bfloat16")[1].computed == 0


def test_real_engines_agree_within_the_bound(extract_with) -> None:
    fast, result = extract_with("openvino", "float32")
    digests = [photo.digest for photo in result.photos]
    assert fast.parity is not None
    assert fast.parity.found <= fast.parity.bound == 0.001
    found = fast.store.read(digests).astype(np.float64)
    shutil.rmtree(fast.store.folder)
    exact, result = extract_with("tensorflow", "float32")
    assert result.computed == 10
    expected = exact.store.read(digests)
    error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    # The error that was recorded is that of these very photos.
    assert error.max() == pytest.approx(fast.parity.found, rel=0.01)
    assert error.max() > 0, "the engines can't be told apart, so this compared one with itself"


def test_the_record_of_a_comparison_is_read_again(extract_with, candidates_of, networks) -> None:
    first, result = extract_with("openvino", "float32")
    assert result.computed == 10
    assert networks.built == [("openvino", "float32"), ("tensorflow", "float32")]
    assert first.proven
    networks.forget()
    second = candidates_of("openvino", "float32").settle(refuse_sample)
    assert second.parity == first.parity
    assert second.as_dict() == {
        "name": "openvino",
        "precision": "float32",
        "parity": {
            "engine": "openvino",
            "precision": "float32",
            "photos": 10,
            "found": 0.0,
            "bound": 0.001,
        },
        "fallbacks": [],
    }
    assert networks.built == [], "loaded before any photo needed it"
    for _ in range(2):
        assert second.engine().run(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 256)
    assert networks.built == [("openvino", "float32")], "compared or loaded once more"


def test_float32_tensorflow_is_not_compared_with_itself(extract_with, networks) -> None:
    plain, _ = extract_with("tensorflow", "float32")
    assert networks.built == [("tensorflow", "float32")]
    assert networks.photos == {("tensorflow", "float32"): 10}
    assert plain.proven
    assert plain.as_dict()["parity"] is None
    assert list(plain.store.folder.parent.rglob("parity*")) == []


def test_an_inexact_engine_is_found_before_it_computes(extract_with, networks) -> None:
    networks.factors[("openvino", "bfloat16")] = 1.5
    given, result = extract_with()
    assert (given.plan.name, given.plan.precision) == ("openvino", "float32")
    assert given.store.space.precision == "float32"
    assert result.computed == len(given.store) == 10
    # Ten to compare it, none to keep.
    assert networks.photos[("openvino", "bfloat16")] == 10
    (line,) = given.as_dict()["fallbacks"]
    assert line == (
        "openvino bfloat16 differs from float32 TensorFlow by up to 0.5 of a bottleneck's length"
        " on 10 photos (allowed: 0.1): openvino float32 is used."
    )
    networks.forget()
    again, result = extract_with()
    assert (again.plan, again.store.folder) == (given.plan, given.store.folder)
    assert again.fallbacks == (line,)
    assert result.computed == 0
    assert networks.built == []


def test_what_was_settled_can_not_change(extract_with, networks) -> None:
    given, _ = extract_with("tensorflow", "float32")
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.store = None


def test_the_last_resort_is_float32_tensorflow(extract_with, candidates_of, networks) -> None:
    networks.factors.update(
        {("openvino", "bfloat16"): np.nan, ("openvino", "float32"): 1.01}  # both unusable
    )
    given = candidates_of().settle(few_pixels)
    assert given.plan == EnginePlan("tensorflow", "float32")
    assert given.parity is None
    assert given.proven
    assert len(given.fallbacks) == 2
    found = given.engine().run(np.full((3, 32, 32, 3), 51, np.uint8))
    np.testing.assert_allclose(found, 0.2, rtol=1e-6)
    assert "differs from float32 TensorFlow by up to inf of" in given.fallbacks[0]
    assert given.fallbacks[1].endswith("tensorflow float32 is used.")
    again, result = extract_with()
    assert result.computed == 10
    assert again.plan == given.plan


@pytest.mark.parametrize(
    ("engine", "precision", "instead"),
    [
        ("openvino", "float32", "`engine='auto'`"),
        ("openvino", "auto", "`engine='auto'`"),
        ("openvino", "bfloat16", "`precision='float32'`"),
        ("tensorflow", "bfloat16", "`precision='float32'`"),
        ("auto", "bfloat16", "`precision='float32'`"),
    ],
)
def test_an_engine_that_was_asked_for_is_not_replaced(
    candidates_of, networks, tmp_path, engine: str, precision: str, instead: str
) -> None:
    for name in ("openvino", "tensorflow"):
        for kind in ("float32", "bfloat16"):
            networks.factors[(name, kind)] = 2.0
    networks.factors[("tensorflow", "float32")] = 1.0
    message = rf"differs from float32 TensorFlow .*\. Use {instead}\.$"
    with pytest.raises(UserError, match=message):
        candidates_of(engine, precision).settle(few_pixels)
    assert list((tmp_path / "bottlenecks").glob("*/*.arrow")) == []
    networks.forget()
    with pytest.raises(UserError, match=message):  # the record says so without computing
        candidates_of(engine, precision).settle(refuse_sample)
    assert networks.built == []


def test_an_engine_that_was_never_compared_does_not_compute(
    extract_with, candidates_of, networks, photo_bytes: PhotoBytes
) -> None:
    extract_with("tensorflow", "float32")
    networks.forget()
    given = candidates_of("openvino", "float32").settle(no_pixels)
    assert not given.proven
    data = photo_bytes("red", 777)
    new = Entry("new.jpg", 0, lambda: data)
    with pytest.raises(XferlearnError, match=r"added or changed while this was running.*again\.$"):
        extract([new], given.store, given.engine, LIMITS)
    assert networks.built == []
    given, result = extract_with("openvino", "float32", photos=[new])
    assert given.proven
    assert result.computed == 1


def test_a_sample_is_the_first_16_different_photos_that_can_be_used(
    candidates_of, networks, photo_bytes: PhotoBytes
) -> None:
    data = [photo_bytes("red", 0, size=(200, 150))[:-400]] * 3  # broken in its data
    data += [b"", *[photo_bytes("blue", 1)] * 5]
    data += [photo_bytes("green", number) for number in range(200)]
    reads: list[int] = []

    def entry(number: int) -> Entry:
        return Entry(f"{number}", 0, lambda: reads.append(number) or data[number])

    store = candidates_of("tensorflow", "float32").settle(refuse_sample).store
    pixels = sample_pixels(map(entry, range(len(data))), store, LIMITS)
    assert pixels.shape == (16, 32, 32, 3)
    assert pixels.dtype == np.uint8
    colours = pixels.mean(axis=(1, 2)).argmax(axis=1)
    assert colours.tolist() == [2] + [1] * 15
    assert len(reads) < len(data), "all were read"
    assert len(sample_pixels([], store, LIMITS)) == 0
    assert len(sample_pixels(map(entry, range(4)), store, LIMITS)) == 0


def test_a_sample_passes_over_what_is_cached(extract_with, source, networks) -> None:
    given, _ = extract_with("tensorflow", "float32")
    assert len(sample_pixels(source.entries(), given.store, LIMITS)) == 0


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b"{}",
        b'{"engine": "openvino"}',
        {"found": "0.0"},
        {"found": None},
        {"bound": None},
        {"bound": 1000.0},
        {"precision": "bfloat16"},
        {"engine": "tensorflow"},
        {"more": 1},
    ],
)
def test_a_damaged_record_is_measured_again(candidates_of, networks, damage) -> None:
    first = candidates_of("openvino", "float32").settle(few_pixels)
    (path,) = first.store.folder.parent.glob("networks/*/parity-openvino.json")
    whole = path.read_bytes()
    if isinstance(damage, dict):
        damage = json.dumps({**json.loads(whole), **damage}).encode()
    path.write_bytes(damage)
    assert candidates_of("openvino", "float32").settle(no_pixels).parity is None
    second = candidates_of("openvino", "float32").settle(few_pixels)
    assert second.parity == first.parity
    assert path.read_bytes() == whole
    assert list(path.parent.glob(".*.tmp")) == []


def test_training_falls_back_and_says_so(
    networks, photo_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    networks.factors[("openvino", "bfloat16")] = 0.5
    words = (*TINY, f"--image_dir={photo_dir}", "--how_many_training_steps=5")
    words += (f"--bottleneck_dir={tmp_path / 'bottlenecks'}",)
    assert main(["train", *words, f"--model_dir={tmp_path / 'model'}"]) == 0
    out, err = capsys.readouterr()
    line = "openvino bfloat16 differs from float32 TensorFlow by up to 0.5 of a bottleneck's length"
    # Slower is not wrong: a line of the summary, no warning.
    assert line in " ".join(out.split())
    assert "openvino float32 is used" in " ".join(out.split())
    assert line not in err
    metadata = json.loads((tmp_path / "model" / "metadata.json").read_text())
    engine = metadata["engine"]
    assert (engine["name"], engine["precision"]) == ("openvino", "float32")
    assert engine["parity"]["found"] == 0
    assert engine["parity"]["photos"] == 16
    assert len(engine["fallbacks"]) == 1
    assert metadata["feature_space"]["precision"] == "float32"
    words += (f"--model_dir={tmp_path / 'b'}", "--engine=openvino", "--precision=bfloat16")
    code = main(["train", *words])
    _, err = capsys.readouterr()
    assert code == 2
    assert err.count("\n") == 1
    assert line in err
    assert not (tmp_path / "b").exists()


def test_an_engine_is_compared_on_views_where_all_photos_are_cached(
    networks, photo_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*TINY, f"--image_dir={photo_dir}", "--how_many_training_steps=5", "--overwrite")
    words += (f"--bottleneck_dir={tmp_path / 'bottlenecks'}", f"--model_dir={tmp_path / 'model'}")
    words += ("--precision=float32",)
    assert main(["train", *words, "--engine=tensorflow"]) == 0
    networks.forget()
    assert main(["train", *words]) == 0
    assert networks.built == []
    networks.factors[("openvino", "float32")] = 2.0
    capsys.readouterr()
    assert main(["train", *words, "--augment=flip"]) == 0
    assert "tensorflow float32 is used" in " ".join(capsys.readouterr().out.split())
    assert networks.photos[("openvino", "float32")] == 16
    engine = json.loads((tmp_path / "model" / "metadata.json").read_text())["engine"]
    assert (engine["name"], len(engine["fallbacks"])) == ("tensorflow", 1)


def test_an_engine_is_compared_where_any_head_to_come_needs_it(
    networks, backbone, source, tmp_path
) -> None:
    config = TrainConfig(
        image_dir=source.root,
        model_dir=str(tmp_path / "model"),
        bottleneck_dir=str(tmp_path / "bottlenecks"),
        engine="tensorflow",
        precision="float32",
    )
    networks = [FrozenNetwork.of(backbone)]
    prepare(config, source, networks)
    config = dataclasses.replace(config, engine="openvino")
    assert not prepare(config, source, networks).parts[0].features.proven
    others = [dataclasses.replace(config, augment=name) for name in ("none", "flip")]
    prepared = prepare(config, source, networks, others)
    assert prepared.parts[0].features.proven
    photos = list(prepared.extraction.photos)
    assert prepared.views(photos, others[1], pytest.fail)[0].shape == (20, 256)


# Labelling -----------------------------------------------------------------------------------


@pytest.fixture
def cache(colour_model: Path, tmp_path: Path) -> Path:
    """A copy of the bottlenecks that the colour model was trained on."""
    return shutil.copytree(colour_model.parent / "bottlenecks", tmp_path / "cache")


def refuse(*args: object) -> Engine:
    raise AssertionError("the network was called for")


def label(
    model: Path, cache: str | Path, photos: list[str], **settings: str
) -> list[labelling.Labelled]:
    config = ImageConfig(bottleneck_dir=str(cache), **settings)
    predictor = xferlearn.load_classifier(model, bottleneck_dir=str(cache), **settings).predictor
    limits = PhotoLimits.of(config)
    return list(labelling.label_photos(read_files(photos).entries, predictor, limits))


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_photos_of_the_training_cost_no_network_pass(
    colour_model, photo_dir, cache, monkeypatch, engine: str
) -> None:
    monkeypatch.setattr(settling, "start_engine", refuse)
    found = label(colour_model, cache, [str(photo_dir)], engine=engine)
    assert len(found) == 90
    names = [max(zip(one.scores, ("blue", "green", "red"), strict=True))[1] for one in found]
    right = [name == Path(one.name).parent.name for one, name in zip(found, names, strict=True)]
    assert sum(right) > 80


def test_what_was_labelled_before_costs_no_network_pass(
    colour_model, photo_bytes: PhotoBytes, tmp_path, networks
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02d}.jpg").write_bytes(photo_bytes("red", 500 + number))
    exact = ("tensorflow", "float32")
    settings = {"engine": exact[0], "precision": exact[1]}
    first = label(colour_model, tmp_path / "cache", [str(folder)], **settings)
    assert networks.photos == {exact: 40}
    networks.forget()
    second = label(colour_model, tmp_path / "cache", [str(folder)], **settings)
    assert networks.built == []
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)

    (folder / "07.jpg").write_bytes(photo_bytes("blue", 1))
    (folder / "08.jpg").rename(folder / "renamed.jpg")
    third = label(colour_model, tmp_path / "cache", [str(folder)], **settings)
    assert networks.photos == {exact: 1}
    before = {Path(one.name).name: one for one in first}
    before["renamed.jpg"] = before.pop("08.jpg")
    for one in third:
        old = before[Path(one.name).name]
        if Path(one.name).name == "07.jpg":
            assert one.digest != old.digest
        else:
            np.testing.assert_allclose(one.scores, old.scores, atol=1e-5)


def test_leaving_early_keeps_what_was_computed(colour_model, photo_dir, tmp_path, networks) -> None:
    settings = {"engine": "tensorflow", "precision": "float32"}
    cache = str(tmp_path / "cache")
    predictor = xferlearn.load_classifier(colour_model, bottleneck_dir=cache, **settings).predictor
    results = labelling.label_photos(read_files([str(photo_dir)]).entries, predictor, LIMITS)
    first = next(results)
    results.close()
    networks.forget()
    (again,) = label(colour_model, cache, [first.name], **settings)
    assert networks.built == []
    np.testing.assert_allclose(again.scores, first.scores, atol=1e-5)


def test_labellings_at_the_same_time_share_one_engine(
    colour_model, photo_dir, tmp_path, networks
) -> None:
    expected = label(colour_model, tmp_path / "one by one", [str(photo_dir)])
    networks.forget()
    cache = str(tmp_path / "cache")
    predictor = xferlearn.load_classifier(colour_model, bottleneck_dir=cache).predictor

    def scores(colour: str) -> list[labelling.Labelled]:
        photos = read_files([str(photo_dir / colour)])
        return list(labelling.label_photos(photos.entries, predictor, LIMITS))

    with ThreadPoolExecutor(3) as pool:
        found = [one for part in pool.map(scores, ("blue", "green", "red")) for one in part]
    assert sorted(networks.built) == [("openvino", "float32"), ("tensorflow", "float32")]
    assert [one.name for one in found] == [one.name for one in expected]
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b.scores, a.scores, atol=1e-5)


def test_pixels_alone_settle_an_engine_too(colour_model, tmp_path, networks) -> None:
    networks.factors[("openvino", "float32")] = 2.0
    classifier = xferlearn.load_classifier(colour_model, bottleneck_dir=str(tmp_path / "cache"))
    assert networks.built == []
    assert classifier.predictor.later_warnings() == ()
    red = np.zeros((32, 32, 3), np.uint8) + np.array([200, 0, 0], np.uint8)
    assert classifier.predict([red]).shape == (1, 3)
    (line,) = classifier.predictor.later_warnings()
    assert line.endswith("tensorflow float32 is used.")
    assert networks.photos == {("openvino", "float32"): 1, ("tensorflow", "float32"): 2}


@pytest.fixture
def trained_in_bfloat16(colour_model, photo_dir, tmp_path, photo_bytes: PhotoBytes):
    """A model folder that says so, a photo that it has not seen, and all that it has."""
    model = shutil.copytree(colour_model, tmp_path / "model")
    edit_metadata(model, lambda told: told["feature_space"].update(precision="bfloat16"))
    new = tmp_path / "00.jpg"
    new.write_bytes(photo_bytes("red", 999))
    known = sorted(str(path) for path in photo_dir.glob("*/*.jpg"))
    return model, new, known


def test_labelling_with_the_next_engine_leaves_all_scores_right(
    trained_in_bfloat16, tmp_path, networks
) -> None:
    """The engine goes, the precision that the head was trained in stays, with what is cached."""
    model, new, known = trained_in_bfloat16
    expected = label(model, tmp_path / "other", [str(new), *known], engine="tensorflow")
    label(model, tmp_path / "cache", known, engine="tensorflow")
    networks.factors[("openvino", "bfloat16")] = 3.0
    networks.forget()
    found = label(model, tmp_path / "cache", [str(new), *known])
    assert networks.photos[("tensorflow", "bfloat16")] == 1
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b.scores, a.scores, atol=1e-5, err_msg=b.name)


def test_labelling_falls_back_to_float32_and_says_so(
    trained_in_bfloat16, tmp_path, networks, capsys
) -> None:
    """All photos then go through float32, though some were cached in the other precision."""
    model, new, known = trained_in_bfloat16
    expected = label(model, tmp_path / "other", [*known, str(new)], engine="tensorflow")
    label(model, tmp_path / "cache", known, engine="tensorflow")
    for record in (tmp_path / "cache").glob("networks/*/parity-*.json"):
        record.unlink()
    networks.factors[("openvino", "bfloat16")] = networks.factors[("tensorflow", "bfloat16")] = 3.0
    networks.forget()
    words = [f"--model={model}", f"--bottleneck_dir={tmp_path / 'cache'}", "--format=json"]
    assert main(["label", *words, *known, str(new)]) == 0
    out, err = capsys.readouterr()
    assert ("openvino", "float32") in networks.photos
    found = [json.loads(line)["labels"] for line in out.splitlines()]
    for a, labels in zip(expected, found, strict=True):
        scores = {one["label"]: one["score"] for one in labels}
        np.testing.assert_allclose(
            [scores[name] for name in ("blue", "green", "red")], a.scores, atol=1e-5
        )
    first, second = err.splitlines()
    assert first.startswith("warning: openvino bfloat16 differs from float32 TensorFlow")
    assert second.endswith("openvino float32 is used.")
    spaces = [json.loads(path.read_text()) for path in (tmp_path / "cache").glob("*/space.json")]
    rows = {
        space["precision"]: len(BottleneckStore(tmp_path / "cache", FeatureSpace(**space)))
        for space in spaces
    }
    assert rows == {"bfloat16": len(known), "float32": len(known) + 1}
    assert main(["label", *words, str(new), "--precision=bfloat16"]) == 2
    assert "Use --precision=float32." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("precision", "used"), [("auto", "float32"), ("float32", "float32"), ("bfloat16", "bfloat16")]
)
def test_with_a_gpu_tensorflow_computes_in_the_precision_that_was_asked_for(
    candidates_of, monkeypatch: pytest.MonkeyPatch, precision: str, used: str
) -> None:
    monkeypatch.setattr(settling, "gpu_is_visible", lambda: True)
    (plan,) = candidates_of("auto", precision).plans
    assert (plan.name, plan.precision) == ("tensorflow", used)
