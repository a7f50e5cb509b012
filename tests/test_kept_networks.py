"""Converted networks in the cache: a first use pays, and whatever happens to them does no harm."""

import inspect
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pictures import encode, picture

import xferlearn
from xferlearn.bottlenecks import engines, networks
from xferlearn.bottlenecks.engines import tensorflow_runtime
from xferlearn.bottlenecks.engines.kept import deciding_files
from xferlearn.config import TrainConfig
from xferlearn.errors import XferlearnError
from xferlearn.photos.folders.files import read_image_dir
from xferlearn.predictors import splitting
from xferlearn.system.constants import without_updates
from xferlearn.system.files import file_digest, read_record, write_record
from xferlearn.training.fit import Prepared, prepare
from xferlearn.training.networks import load_networks

Prepare = Callable[..., Prepared]
ROW = {"backbone": "mobilenet_0.25", "weights": "none", "image_size": 32}


@pytest.fixture(scope="module")
def photos(make_photo_dir) -> str:
    return str(make_photo_dir({"red": 6, "blue": 6}))


@pytest.fixture(scope="module")
def small() -> networks.FrozenNetwork:
    """A network of two layers."""
    import keras

    layers = [keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="convolution")]
    model = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    return networks.FrozenNetwork.of(xferlearn.load_backbone(model, input_range=(0.0, 255.0)))


@pytest.fixture(scope="module")
def prepare_in(photos: str, small: networks.FrozenNetwork) -> Prepare:
    """`prepare_in(folder)`: the photos with their bottlenecks by a small network, cached there."""

    def run(folder: Path, **settings: str | int) -> Prepared:
        config = TrainConfig(
            image_dir=photos, model_dir=str(folder / "model"), bottleneck_dir=str(folder),
            engine="openvino", precision="float32", verbose=0, **settings,
        )  # fmt: skip
        given = load_networks(config) if settings else [small]
        return prepare(config, read_image_dir(photos), given)

    return run


@pytest.fixture(scope="module")
def first(prepare_in: Prepare, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache after the first run of both networks. Shared: copy it to change it."""
    folder = tmp_path_factory.mktemp("first")
    prepare_in(folder)
    prepare_in(folder, **ROW)
    return folder


def bottlenecks_of(prepared: Prepared) -> np.ndarray:
    assert prepared.extraction.computed == 12
    return prepared.read(prepared.extraction.photos)


@pytest.fixture
def expected(prepare_in: Prepare, first: Path) -> np.ndarray:
    """What the small network gives."""
    prepared = prepare_in(first)
    assert prepared.extraction.cached == 12
    return prepared.read(prepared.extraction.photos)


@pytest.fixture
def primed(first: Path, tmp_path: Path) -> Path:
    """A cache without bottlenecks, as one for new photos is."""
    shutil.copytree(first / "networks", tmp_path / "primed" / "networks")
    return tmp_path / "primed"


def refuse(*args: object, **named: object) -> None:
    raise AssertionError("a network was built")


def test_a_second_run_builds_and_converts_no_network(
    prepare_in, primed, first, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "load_rows", refuse)
    monkeypatch.setattr(engines, "convert", refuse)
    monkeypatch.setattr(engines, "build_engine", refuse)
    prepared, before = prepare_in(primed, **ROW), prepare_in(first, **ROW)
    assert np.array_equal(bottlenecks_of(prepared), before.read(before.extraction.photos))
    features = prepared.parts[0].features
    assert features.parity is not None
    assert features.parity.passed
    with pytest.raises(AssertionError, match="a network was built"):
        prepared.load()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def of_another(path: Path) -> None:
    """Puts a file of the same kind and length there."""
    data = path.read_bytes()
    path.write_bytes(data[:100] + data[100:].replace(b"1", b"2") if path.suffix else data)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("network.xml", truncated),
        ("network.xml", lambda path: path.write_text("<!DOCTYPE x [<!ENTITY y 'z'>]><x>&y;</x>")),
        ("network.bin", of_another),
        ("network.bin", lambda path: (path.unlink(), path.mkdir())),
        ("network.json", of_another),
        ("network.json", lambda path: path.write_text("[]")),
        (".", shutil.rmtree),
        (".", lambda path: (shutil.rmtree(path), path.write_bytes(b"a file"))),
    ],
)
def test_a_damaged_network_is_converted_again(
    prepare_in, small, primed, expected, file: str, damage: Callable[[Path], object]
) -> None:
    (entry,) = (primed / "networks").glob(f"{small.spec.name}-*/openvino")
    damage(entry / file)
    assert np.array_equal(bottlenecks_of(prepare_in(primed)), expected)
    if entry.is_dir():
        said = json.loads((entry / "network.json").read_bytes())["sha256"]
        assert said == {name: file_digest(entry / name) for name in said}


@pytest.mark.parametrize("damage", [truncated, of_another, lambda path: path.write_text("[1]")])
def test_a_damaged_record_of_a_network_is_written_again(prepare_in, primed, damage) -> None:
    (path,) = (primed / "networks").glob("*.json")
    whole = path.read_bytes()
    damage(path)
    assert len(bottlenecks_of(prepare_in(primed, **ROW))) == 12
    assert path.read_bytes() == whole


def test_what_is_said_of_another_network_ends_the_run_once(prepare_in, primed) -> None:
    (path,) = (primed / "networks").glob("*.json")
    write_record(path, {**read_record(path), "weights_sha256": 64 * "0"})
    with pytest.raises(XferlearnError, match=r"\.json said something else of mobilenet_0\.25"):
        prepare_in(primed, **ROW)
    assert len(bottlenecks_of(prepare_in(primed, **ROW))) == 12


def test_where_nothing_can_be_kept_all_works(prepare_in, tmp_path, expected) -> None:
    (tmp_path / "networks").write_bytes(b"a file where a folder would be")
    assert np.array_equal(bottlenecks_of(prepare_in(tmp_path)), expected)


def test_two_runs_at_once_share_a_cache(prepare_in, tmp_path, expected) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(prepare_in, [tmp_path, tmp_path]))
    for prepared in both:
        assert np.array_equal(prepared.read(prepared.extraction.photos), expected)
    (entry,) = (tmp_path / "networks").glob("*/openvino")
    assert len(list(entry.iterdir())) == 3
    assert list(tmp_path.rglob("*.tmp")) == []


def test_what_nobody_has_used_for_a_month_is_removed(prepare_in, small, primed) -> None:
    folder = primed / "networks"
    old = time.time() - 31 * 24 * 3600

    def make_old() -> None:
        """Makes all that is kept a month old, and the small network new to the cache."""
        for path in (*folder.glob(f"{small.spec.name}-*"), *primed.glob(f"{small.spec.name}-*")):
            shutil.rmtree(path)
        for path in folder.iterdir():
            os.utime(path, (old, old))

    make_old()
    prepare_in(primed, **ROW)
    prepare_in(primed)
    assert len(list(folder.iterdir())) == 3, "what is used is not old"
    make_old()
    prepare_in(primed)
    (left,) = folder.iterdir()
    assert left.name.startswith(small.spec.name)


def test_a_network_that_is_not_to_be_kept_is_not(prepare_in, small, photos, tmp_path) -> None:
    config = TrainConfig(
        image_dir=photos, model_dir=str(tmp_path / "model"), bottleneck_dir=str(tmp_path),
        engine="openvino", precision="float32", verbose=0,
    )  # fmt: skip
    prepare(config, read_image_dir(photos), [small], keep=False)
    assert list((tmp_path / "networks").glob("*/openvino")) == []


# Labelling -----------------------------------------------------------------------------------

LABEL = """
import sys
from xferlearn.cli import main
code = main(["label", "--format=json", *sys.argv[1:]])
print(code, "tensorflow" in sys.modules)
"""


def label(*words: str) -> tuple[list[dict], str]:
    """Labels in a process of its own; returns the lines, and whether TensorFlow was started."""
    result = subprocess.run(
        [sys.executable, "-c", LABEL, *words], capture_output=True, text=True, check=True
    )
    *lines, last = result.stdout.splitlines()
    return [json.loads(line) for line in lines], last


def test_a_new_photo_is_labelled_without_tensorflow(colour_model: Path, tmp_path: Path) -> None:
    """Where the head and the network are kept; the first time gives the same to the last digit."""
    from xferlearn.cli import main

    (tmp_path / "new.jpg").write_bytes(encode(picture(1), subsampling=0))
    words = [f"--model={colour_model}", str(tmp_path / "new.jpg"), "--engine=openvino"]
    cold = [*words, f"--bottleneck_dir={tmp_path / 'cache'}", "--precision=float32"]
    assert main(["label", *cold, f"--output={tmp_path / 'first.jsonl'}"]) == 0
    first = [json.loads(line) for line in (tmp_path / "first.jsonl").read_text().splitlines()]
    for path in (tmp_path / "cache").glob("*/*.arrow"):
        path.unlink()
    assert label(*cold) == (first, "0 False")


def test_the_last_heads_are_kept(tmp_path: Path) -> None:
    (tmp_path / "networks" / "heads").mkdir(parents=True)
    now = time.time()
    for number in range(70):
        path = tmp_path / "networks" / "heads" / f"{number}"
        path.mkdir()
        os.utime(path, (now - number, now - number))
    kept = engines.KeptNetwork.of(tmp_path, "heads/new", {"model": "new"})
    kept.write(small_graph())
    assert kept.read() is not None
    left = {path.name for path in kept.folder.parent.iterdir()}
    assert left == {kept.folder.name, *map(str, range(64))}


def test_networks_follow_from_the_code_that_makes_them() -> None:
    used = (
        *(engines.convert, engines.build_engine, tensorflow_runtime.freeze, without_updates),
        *(networks.load_rows, networks.FrozenNetwork, splitting.one_output, splitting.SplitModel),
    )
    assert {Path(inspect.getfile(one)) for one in used} <= {*deciding_files()}


def small_graph():
    """A network that adds one."""
    from openvino import Model, opset13

    values = opset13.parameter([-1, 3], np.float32)
    return Model([opset13.add(values, np.float32(1))], [values], "small")
