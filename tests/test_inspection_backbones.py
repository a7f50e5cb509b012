"""What is said of a backbone before any of its weights were downloaded."""

import dataclasses
import json
from pathlib import Path

import pytest

from xferlearn import load_backbone
from xferlearn.backbones import BACKBONES
from xferlearn.cli import main
from xferlearn.errors import UserError
from xferlearn.inspection import inspect_backbone, inspect_model
from xferlearn.inspection.signatures import SIGNATURES


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    from keras.src.utils import file_utils

    def fail(*args: object, **settings: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(file_utils, "get_file", fail)


@pytest.mark.parametrize(
    ("name", "computed"),
    [
        ("MobileNet_0.25_128", "the model itself computes (x - 127.5) / 127.5"),
        ("vgg16_32", "the model itself computes (x - [123.68, 116.779, 103.939]) / 1"),
        ("efficientnet_lite0", "the model itself computes (x - 127) / 128"),
        ("efficientnet_lite1", "the model itself computes (x - 127) / 128"),
        ("efficientnet_lite2", "the model itself computes (x - 127) / 128"),
    ],
)
def test_input_range_bottleneck_and_parameters(name: str, computed: str) -> None:
    report = inspect_backbone(name)
    spec = BACKBONES[report.backbone.name]
    size = {"MobileNet_0.25_128": 128, "vgg16_32": 32}.get(name, spec.image_size)
    one = report.image_input
    assert (one.name, one.shape, one.dtype) == ("image", (None, size, size, 3), "float32")
    assert (one.value_range, one.channel_order) == ((0, 255), "RGB")
    assert (one.range_source, one.range_detail) == ("layer in the model", computed)
    assert (report.bottleneck.name, report.bottleneck.width) == ("pooling", spec.width)
    assert (report.parameters, report.file_size) == (spec.parameters, 4 * spec.parameters)
    assert report.backbone.image_size == spec.image_size
    assert (report.format, report.warnings, report.unsafe_layers) == ("backbone", (), ())
    assert report.producer.startswith("Keras 3.")


def test_it_is_what_the_saved_network_says_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "backbone.keras"
    load_backbone("mobilenet_0.25", weights="none", image_size=64).save(path)
    told, saved = inspect_backbone("mobilenet_0.25_64"), inspect_model(path)
    assert told.licences[0].licence == BACKBONES["mobilenet_0.25"].licence.name
    # A file of weights says nothing of their licence.
    same = {"path": saved.path, "format": saved.format, "file_size": saved.file_size}
    same["licences"] = ()
    assert dataclasses.replace(told, **same) == saved


def test_every_backbone_has_a_title() -> None:
    assert {one.name for one in SIGNATURES} == set(BACKBONES)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobilnet", r"no backbone 'mobilnet'. Did you mean mobilenet\? `xferlearn backbones`"),
        ("inception_v3_64", "inception_v3 takes images of at least 75 px"),
        ("mobilenet_0.25_128_quantized", "quantised"),
    ],
)
def test_wrong_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        inspect_backbone(name)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--backbone=mobilenet_0.25_128", f"--logs_dir={tmp_path}"]) == 0
    out, err = capsys.readouterr()
    assert not err
    report, commands = out.split("\n\n")[:2]
    assert max(map(len, report.splitlines())) <= 80
    lines = report.splitlines()
    assert lines[0] == "mobilenet_0.25_128"
    assert "  resolution  128 x 128 px, NHWC" in "\n".join(lines)
    assert "  bottleneck    pooling, 256 values" in lines
    assert "  parameters    218,544" in lines
    assert commands.splitlines() == [
        "To use it:",
        "  xferlearn train FOLDER --backbone=mobilenet_0.25_128",
        "  xferlearn label --backbone=mobilenet_0.25_128 PHOTO",
    ]
    run = tmp_path / "mobilenet_0.25_128_graph"
    assert f"Its graph is in {run}:" in out
    seen = inspect_model(run)
    assert (seen.image_input.name, seen.image_input.height) == ("image", 128)


def test_the_command_writes_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--backbone=mobilenet_0.25_128", "--format=json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields == json.loads(json.dumps(inspect_backbone("mobilenet_0.25_128").to_dict()))
    assert fields["inputs"][0]["resolution"] == "128 x 128"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backbone=mobilnet"], "Did you mean mobilenet?"),
        ([], "Expected either the path of a model or --backbone=NAME. Received: neither."),
        (["a.pb", "--backbone=vgg16"], "--backbone=NAME. Received: both."),
        (["--backbone="], "Expected a value for --backbone"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    (line,) = err.splitlines()
    assert message in line
