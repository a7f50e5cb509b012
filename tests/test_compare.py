"""`xferlearn compare` through its command line and its files."""

import csv
import json

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import xferlearn
from xferlearn.errors import XferlearnError
from xferlearn.experiments import comparing
from xferlearn.experiments.outcomes import Share
from xferlearn.experiments.rates import Rates


@pytest.fixture(scope="module")
def bottlenecks(tmp_path_factory):
    return tmp_path_factory.mktemp("bottlenecks")


@pytest.fixture
def compare(run_tiny, bottlenecks):
    """Runs `xferlearn compare` with two tiny networks."""

    def run(*flags):
        given = {flag.split("=")[0] for flag in flags}
        defaults = (
            "--backbone=mobilenet_0.25,mobilenet_0.50",
            "--split_seed=0,1",
            f"--bottleneck_dir={bottlenecks}",
        )
        return run_tiny("compare", *(d for d in defaults if d.split("=")[0] not in given), *flags)

    return run


def test_backbones_are_compared_by_accuracy_speed_and_size(compare, tmp_path):
    code, out, err = compare()
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert "has not learned from it, in the mean over 2 splits. No test photos were used." in said
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 80
    folder = tmp_path / "logs" / "experiments"
    table = list(csv.DictReader((folder / "compare.csv").read_text().splitlines()))
    by_name = {row["backbone"]: row for row in table}
    # 128 units on 256 and 512 values, and what Keras counts in MobileNets without their top.
    assert by_name["mobilenet_0.25"]["parameters"] == str(218_544 + 257 * 128 + 129 * 3)
    assert by_name["mobilenet_0.50"]["parameters"] == str(829_536 + 513 * 128 + 129 * 3)
    assert by_name["mobilenet_0.50"]["megabytes"] == "3.6"
    assert {row["folding"] for row in table} == {"5 folds"}
    assert all(float(row["network_photos_per_second"]) > 0 for row in table)
    assert any(row["pareto"] == "True" for row in table)
    with (
        Image.open(folder / "compare.png") as light,
        Image.open(folder / "compare_dark.png") as dark,
    ):
        assert light.size == dark.size
    (run_dir,) = (tmp_path / "logs").glob("photos*_compare_*")
    assert f"logs   {run_dir}" in out
    (tensor,) = EventAccumulator(str(run_dir)).Reload().Tensors("transfer/report")
    shown = json.loads(tensor.tensor_proto.string_val[0])
    rows = shown["tables"][0]["rows"]
    assert [row[2]["at"] for row in rows] == [float(row["accuracy"]) for row in table]
    assert shown["measured"]["accuracy"] == rows[0][2]["at"]


def test_who_is_beaten_in_both_is_not_on_the_front(compare, tmp_path, monkeypatch):
    speeds = {"mobilenet_0.25": 100.0, "mobilenet_0.50": 50.0}

    def rates(prepared, *_):
        return Rates(decode=200.0, network=speeds[prepared.name])

    monkeypatch.setattr(comparing, "measure_rates", rates)
    monkeypatch.setattr(comparing, "share", lambda outcomes: Share(0.9, 0.8, 0.95, 50))
    assert compare("--split_seed=0")[0] == 0
    table = (tmp_path / "logs" / "experiments" / "compare.csv").read_text().splitlines()
    pareto = {row["backbone"]: row["pareto"] for row in csv.DictReader(table)}
    assert pareto == {"mobilenet_0.25": "True", "mobilenet_0.50": "False"}


def test_missing_weights_are_said_and_the_others_compared(compare, fail_to_load):
    missing = XferlearnError("Can't download the ImageNet weights of mobilenet_0.50")
    fail_to_load("mobilenet_0.50", missing)
    code, out, _ = compare()
    assert code == 0
    assert "mobilenet_0.50: Can't download the ImageNet weights of mobilenet_0.50" in out
    row = next(line for line in out.splitlines() if line.startswith("mobilenet_0.50 "))
    assert "not available" in row
    code, out, _ = compare("--backbone=mobilenet_0.50")
    assert code == 1


def test_hidden_units_count_as_parameters(compare, tmp_path):
    assert compare("--backbone=mobilenet_0.25", "--split_seed=0", "--hidden_units=100")[0] == 0
    table = (tmp_path / "logs" / "experiments" / "compare.csv").read_text().splitlines()
    assert next(csv.DictReader(table))["parameters"] == str(218_544 + 257 * 100 + 101 * 3)


def test_what_diverged_is_not_measured(compare):
    code, out, _ = compare("--optimizer=sgd", "--learning_rate=1e38")
    assert code == 1
    assert out.count("diverged in 2 runs") == 2
    assert "yes" not in out


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--backbone=mobilenet,", "Expected a value for --backbone"),
        ("--backbone=mobilnet", "mobilnet"),
        ("--split_seed=a", "Expected --split_seed to be a whole number. Received: 'a'"),
        ("--device=gpu", "Expected a GPU for --device=gpu. TensorFlow sees none here"),
    ],
)
def test_a_mistake_is_told_in_one_line(compare, monkeypatch, flag, told):
    from xferlearn.system import runtime

    monkeypatch.setattr(runtime, "gpu_is_visible", lambda: False)
    code, out, err = compare(flag)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_python_has_it_too_and_nine_photos_are_no_error(make_photo_dir, tmp_path):
    result = xferlearn.compare(
        image_dir=make_photo_dir({"red": 3, "blue": 6}),
        logs_dir=tmp_path / "logs",
        bottleneck_dir=tmp_path / "bottlenecks",
        backbone="mobilenet_0.25",
        weights="none",
        image_size=32,
        engine="tensorflow",
        how_many_training_steps=20,
    )
    assert [row.name for row in result.backbones] == ["mobilenet_0.25"]
    assert result.splits == 1
    assert result.backbones[0].validation.photos == 9
    assert "leave-one-out" in repr(result)
    assert "Fewer than 20 photos" in " ".join(result.warnings)
