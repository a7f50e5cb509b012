"""`xferlearn train --export`: the model first, then its files, each proved."""

import json

import pytest

import xferlearn
from xferlearn.cli import main


@pytest.fixture
def words(photo_dir, tmp_path):
    """Words of a training that takes seconds."""
    return [
        *("train", f"--image_dir={photo_dir}", f"--model_dir={tmp_path / 'model'}"),
        *("--backbone=mobilenet_0.25", "--weights=none", "--image_size=32", "--dropout=0"),
        *("--how_many_training_steps=100", "--summaries=none"),
        # One engine, so that none has to be compared with another.
        *("--engine=tensorflow", "--precision=float32"),
        f"--bottleneck_dir={tmp_path / 'bottlenecks'}",
    ]


def test_the_files_are_there_and_the_table_says_so(words, tmp_path, capsys) -> None:
    assert main([*words, "--export=frozen_graph,openvino"]) == 0
    shown = capsys.readouterr().out
    exports = tmp_path / "model" / "exports"
    report = json.loads((exports / "report.json").read_text())
    assert set(report["formats"]) == {"frozen_graph", "openvino"}
    assert (exports / "frozen_graph" / "frozen_graph.pb").is_file()
    assert shown.index("\nmodel ") < shown.index("exports:") < shown.index("next:")
    assert "100.00%" in shown


def test_a_wrong_format_ends_before_the_work(words, tmp_path, capsys) -> None:
    assert main([*words, "--export=onx"]) == 2
    assert "Received: 'onx'. Did you mean onnx?" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "bottlenecks").exists()


def test_a_failed_export_leaves_the_model(words, tmp_path, capsys, monkeypatch) -> None:
    def full(config: object) -> None:
        raise xferlearn.XferlearnError("No space left on device.")

    monkeypatch.setattr("xferlearn.training.job.export_with", full)
    assert main([*words, "--export=frozen_graph"]) == 1
    out, err = capsys.readouterr()
    assert "warning: Nothing was exported: No space left on device." in err
    assert "\nmodel " in out
    assert (tmp_path / "model" / "model.keras").is_file()
