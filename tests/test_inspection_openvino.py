"""OpenVINO's files, also foreign, hostile and damaged ones."""

import numpy as np
import pytest

from xferlearn.cli import main
from xferlearn.config import ModelConfig
from xferlearn.errors import UserError
from xferlearn.inspection import inspect_model
from xferlearn.predictors import open_predictor

pytestmark = pytest.mark.filterwarnings(
    # NumPy's own words when OpenVINO looks for its old names.
    "ignore:.*np.object.*:FutureWarning"
)

SIDE = 16


@pytest.fixture
def foreign(tmp_path):
    """A small network that this package did not write: (x - 127.5) / 127.5, conv, softmax."""
    import openvino
    from openvino import opset8 as ops

    rng = np.random.default_rng(0)
    image = ops.parameter([-1, SIDE, SIDE, 3], np.float32, name="pixels")
    image.output(0).tensor.set_names({"pixels"})
    x = ops.subtract(image, np.float32([127.5]))
    x = ops.multiply(x, np.float32([1 / 127.5]))
    x = ops.transpose(x, np.int64([0, 3, 1, 2]))
    kernel = rng.normal(size=(8, 3, 3, 3)).astype(np.float32)
    x = ops.convolution(x, kernel, [2, 2], [0, 0], [0, 0], [1, 1])
    x = ops.relu(x)
    x = ops.reduce_mean(x, np.int64([2, 3]), keep_dims=False)
    x = ops.matmul(x, rng.normal(size=(8, 4)).astype(np.float32), False, False)
    scores = ops.softmax(x, 1)
    scores.output(0).tensor.set_names({"scores"})
    model = openvino.Model([ops.result(scores)], [image], "foreign")
    openvino.save_model(model, str(tmp_path / "m.xml"), compress_to_fp16=False)
    return tmp_path / "m.xml", openvino.Core().compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )


def test_foreign_file_is_understood(foreign):
    path, compiled = foreign
    report = inspect_model(path)
    assert report.format == "openvino"
    assert report.file_size == path.stat().st_size + path.with_suffix(".bin").stat().st_size
    (fed,), (scores,) = report.inputs, report.outputs
    assert (fed.name, fed.shape, fed.dtype) == ("pixels", (None, SIDE, SIDE, 3), "float32")
    assert (fed.layout, fed.value_range) == ("NHWC", (0.0, 255.0))
    assert fed.range_source == "constants in the graph"
    assert (scores.name, scores.shape) == ("scores", (None, 4))
    assert (report.classes, report.labels) == (4, ())
    # The kernels and the two numbers of the arithmetic.
    assert report.parameters == 8 * 27 + 8 * 4 + 2
    photos = np.random.default_rng(1).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
    predictor = open_predictor(ModelConfig(model=str(path)))
    expected = compiled(photos.astype(np.float32))[0]
    np.testing.assert_allclose(predictor.run(photos), expected, atol=1e-5)


def test_without_its_weights_it_can_be_inspected_but_not_run(foreign, capsys):
    path, _ = foreign
    path.with_suffix(".bin").unlink()
    assert inspect_model(path).inputs[0].name == "pixels"
    assert main(["label", f"--model={path}", "--input_mean=0", "--input_std=1", "x.jpg"]) == 2
    _, err = capsys.readouterr()
    assert "m.bin, which is not beside it" in err
    assert err.count("\n") == 1


def test_a_missing_package_is_named(foreign, monkeypatch):
    from xferlearn.predictors import openvino_files

    monkeypatch.setattr(openvino_files, "openvino_installed", lambda: False)
    with pytest.raises(UserError, match=r'pip install "xferlearn\[openvino\]"'):
        open_predictor(ModelConfig(model=str(foreign[0])))


BOMB = '<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "aaaa">]><net name="&a;"></net>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "declares XML entities or a document type"),
        ('<?xml version="1.0"?><net name="a"><layers>', "its XML is broken"),
        ("<?xml version='1.0'?><html></html>", "an XML page without a model"),
        ('<net name="a"><layers><layer id="0" name="a"/></layers></net>', "no name or type"),
        ('<net name="a"><rt_info><xferlearn value="[1]"/></rt_info></net>', "not a JSON object"),
        ('<net name="a"><rt_info><xferlearn value="{"/></rt_info></net>', "JSON breaks off"),
        pytest.param(
            f'<net name="a">{"<a/>" * 1_100_000}</net>',
            "more than 1000000 XML elements",
            id="many elements",
        ),
        pytest.param(
            '<net name="a"><layers><layer id="0" name="a" type="Parameter"><output><port>'
            f"<dim>{'9' * 4000}</dim></port></output></layer></layers></net>",
            "size of over 63 bits",
            id="large size",
        ),
        (
            '<net name="a"><layers><layer id="0" name="a" type="B"><output><port><dim>x</dim>'
            "</port></output></layer></layers></net>",
            "can't be read as a model",
        ),
    ],
)
def test_hostile_and_damaged_files(tmp_path, text, message):
    (tmp_path / "m.xml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        inspect_model(tmp_path / "m.xml")
    assert "\n" not in str(caught.value)


def test_file_cut_off_anywhere_is_one_line(foreign):
    path, _ = foreign
    whole = path.read_bytes()
    for length in range(0, len(whole) - 10, 997):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError) as caught:
            inspect_model(path)
        assert "\n" not in str(caught.value)
