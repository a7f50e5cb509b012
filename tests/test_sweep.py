"""`xferlearn sweep` through its command line, its files, and what TensorBoard reads of them."""

import csv
import dataclasses
import functools
import json
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import xferlearn
from xferlearn.bottlenecks.engines import build_engine
from xferlearn.cli import main
from xferlearn.config import TrainConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.experiments.outcomes import Outcome, difference, share
from xferlearn.experiments.rates import Rates, measure_rates
from xferlearn.photos.folders.files import read_image_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.training.fit import prepare
from xferlearn.training.networks import load_networks

TINY = ("--backbone=mobilenet_0.25", "--weights=none", "--image_size=32", "--engine=tensorflow")


@pytest.fixture(scope="module")
def bottlenecks(tmp_path_factory):
    return tmp_path_factory.mktemp("bottlenecks")


@pytest.fixture
def real_sweep(run_tiny, bottlenecks):
    """Runs `xferlearn sweep` with a tiny network."""
    return functools.partial(run_tiny, "sweep", f"--bottleneck_dir={bottlenecks}")


@pytest.fixture
def sweep(real_sweep, monkeypatch):
    """The same without measuring how fast the network is, for which it is built once more."""
    rates = Rates(decode=1000.0, network=100.0)
    monkeypatch.setattr("xferlearn.experiments.sweeping.measure_rates", lambda *_: rates)
    return real_sweep


def run_dirs(logs):
    """The runs of single heads, not those of whole sweeps."""
    return sorted(path for path in logs.iterdir() if "_mobilenet" in path.name)


def events_of(run_dir):
    events = EventAccumulator(str(run_dir))
    events.Reload()
    return events


def test_a_grid_is_compared_and_the_best_is_tested_once(real_sweep, tmp_path):
    code, out, err = real_sweep("--learning_rate=0.00001,0.01,0.01", "--seed=0,1,2")
    # Nor does TensorFlow complain of the sixth head.
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["learning_rate", "accuracy"]
    assert [line.split()[0] for line in lines[1:3]] == ["0.01", "1e-05"]
    assert out.count("its test accuracy: ") == 1
    folder = tmp_path / "logs" / "experiments"
    table = list(csv.DictReader((folder / "sweep.csv").read_text().splitlines()))
    assert [row["learning_rate"] for row in table] == ["0.01", "1e-05"]
    assert float(table[0]["accuracy"]) >= float(table[1]["accuracy"])
    assert [row["runs"] for row in table] == ["3", "3"]
    with Image.open(folder / "sweep.png") as light, Image.open(folder / "sweep_dark.png") as dark:
        assert light.size == dark.size
        assert light.getpixel((0, 0)) > dark.getpixel((0, 0))
    # The command that is printed is one that `train` takes, with the settings that won.
    command = next(line for line in out.splitlines() if line.startswith("  xferlearn train "))
    words = shlex.split(command)
    assert "--learning_rate=0.01" in words
    assert "--how_many_training_steps=20" in words
    assert not any(word.startswith("--seed") for word in words)
    words[words.index("--model_dir=out/best")] = f"--model_dir={tmp_path / 'model'}"
    assert main([*words[1:], "--summaries=none"]) == 0


def test_every_run_has_charts_a_card_and_a_row_of_hparams_but_no_test_result(sweep, tmp_path):
    assert sweep("--learning_rate=0.001,0.01", "--testing_percentage=30")[0] == 0
    runs = run_dirs(tmp_path / "logs")
    assert len(runs) == 2
    assert all(re.match(r"photos\d+_mobilenet\S*_lr0\.0", run.name) for run in runs)
    # The sweep is a run of its own for tab Transfer, with all that it has found.
    (whole,) = (tmp_path / "logs").glob("photos*_sweep_*")
    tensor = events_of(whole).Tensors("transfer/report")[0].tensor_proto
    found = json.loads(tensor.string_val[0])
    assert (found["kind"], len(found["tables"][0]["rows"])) == ("sweep", 2)
    assert found["tables"][0]["head"] == ["learning_rate", "accuracy", "s/run", "points behind"]
    best, other = (row[1]["at"] for row in found["tables"][0]["rows"])
    behind = found["tables"][0]["rows"][1][3]
    assert behind["at"] == pytest.approx(100 * (best - other))
    assert behind["low"] <= behind["at"] <= behind["high"]
    assert found["measured"]["accuracy"] == best
    assert any("its test accuracy" in line for line in found["verdict"])
    assert found["next"].startswith("xferlearn train ")
    for run_dir in runs:
        events = events_of(run_dir)
        tags = events.Tags()["tensors"]
        assert "run_card" in tags
        row = events_of(run_dir / "hparams")
        compared = row.Tags()["tensors"]
        assert "results/validation_accuracy" in compared
        assert not any("test" in tag for tag in tags + compared)
        assert "_hparams_/session_start_info" in row.summary_metadata
        assert not (run_dir / "test").exists()
        card = events.Tensors("run_card")[0].tensor_proto.string_val[0].decode()
        assert "| test | not looked at |" in card
        assert (run_dir / "train").is_dir()


def test_the_test_photos_are_looked_at_after_the_choice_and_for_it_alone(sweep, monkeypatch):
    from xferlearn.training.fitting import Fitted

    seen = []
    look = Fitted.probabilities

    def watched(self, split):
        seen.append(split)
        return look(self, split)

    monkeypatch.setattr(Fitted, "probabilities", watched)
    assert sweep("--learning_rate=0.001,0.01", "--seed=0,1")[0] == 0
    assert seen[-2:] == ["test"] * 2
    assert set(seen[:-2]) == {"validation"}


def test_a_run_that_diverges_is_a_row_and_no_error(sweep, tmp_path):
    code, out, _ = sweep("--learning_rate=1e38,0.01", "--optimizer=sgd")
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("1e+38"))
    assert "diverged" in row
    assert "photos: learning_rate=0.01" in out
    first = next(path for path in run_dirs(tmp_path / "logs") if "lr1e" in path.name)
    events = events_of(first / "hparams")
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert "results/validation_accuracy" not in events.Tags()["tensors"]

    code, out, _ = sweep("--learning_rate=1e38", "--optimizer=sgd")
    assert code == 1
    assert "No combination converged" in out
    assert "xferlearn train" not in out


def test_a_killed_sweep_goes_on_where_it_was(sweep, tmp_path, monkeypatch):
    from xferlearn.experiments import running

    fit = running.fit_head
    trained = []

    def dies(config, *args, **more):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(config.learning_rate)
        return fit(config, *args, **more)

    monkeypatch.setattr(running, "fit_head", dies)
    flags = ("--learning_rate=0.001,0.01,0.02,0.03",)
    assert sweep(*flags)[0] == 130
    assert trained == [0.001, 0.01]

    def counts(config, *args, **more):
        trained.append(config.learning_rate)
        return fit(config, *args, **more)

    monkeypatch.setattr(running, "fit_head", counts)
    assert sweep(*flags)[0] == 0
    assert trained[2:4] == [0.02, 0.03]
    assert len(trained) == 5  # the best one once more, for the test
    assert sweep(*flags)[0] == 0
    assert len(trained) == 5


def test_a_damaged_result_is_made_again(sweep, tmp_path):
    assert sweep("--learning_rate=0.01")[0] == 0
    kept = list((tmp_path / "logs" / "experiments" / "runs").glob("*.json"))
    assert len(kept) == 2
    for path in kept:
        path.write_text(path.read_text()[:20])
    assert sweep("--learning_rate=0.01")[0] == 0
    assert all("right" in json.loads(path.read_text()) for path in kept)


def test_other_photos_or_settings_are_other_results(sweep, tmp_path, make_photo_dir):
    photos = make_photo_dir({"red": 25, "blue": 25})
    changed = shutil.copytree(photos, tmp_path / "changed")
    (changed / "red" / "0000.jpg").unlink()
    for flags in (
        (f"--image_dir={photos}",),
        (f"--image_dir={changed}",),
        (f"--image_dir={photos}", "--weight_decay=0.5"),
        (f"--image_dir={photos}",),  # known
    ):
        assert sweep(*flags)[0] == 0
    assert len(run_dirs(tmp_path / "logs")) == 3


def test_missing_weights_are_said_and_the_others_compared(sweep, fail_to_load):
    missing = XferlearnError("Can't download the ImageNet weights of mobilenet_0.50")
    fail_to_load("mobilenet_0.50", missing)
    code, out, _ = sweep("--backbone=mobilenet_0.50,mobilenet_0.25")
    assert code == 0
    assert "backbone=mobilenet_0.50: not run: Can't download the ImageNet weights" in out
    assert "photos: backbone=mobilenet_0.25" in out


def test_where_no_gpu_is_visible_the_cpu_is_explained(real_sweep, monkeypatch):
    from xferlearn.experiments import running

    monkeypatch.setattr(running, "gpu_is_visible", lambda: False)
    code, out, _ = real_sweep("--device=cpu,gpu")
    assert code == 0
    assert "device=gpu: not run: TensorFlow sees no GPU on this machine" in out
    assert "photos: device=cpu" in out
    header = next(line for line in out.splitlines() if line.split()[:2] == ["decode", "network"])
    assert "one run" in header
    assert "the network is" in " ".join(out.split())
    assert "A GPU can shorten that part" in " ".join(out.split())


def test_max_runs_draws_the_same_combinations_each_time(sweep, tmp_path):
    flags = ("--learning_rate=0.001,0.01,0.1", "--seed=0,1", "--max_runs=5")
    tables = []
    for _ in range(2):
        assert sweep(*flags)[0] == 0
        tables.append((tmp_path / "logs" / "experiments" / "sweep.csv").read_text())
    # Two of the three, each with both seeds: otherwise like would not be compared with like.
    assert len(run_dirs(tmp_path / "logs")) == 4
    rows = [list(csv.DictReader(table.splitlines())) for table in tables]
    assert [row["runs"] for row in rows[0]] == ["2", "2"]
    assert [row["learning_rate"] for row in rows[0]] == [row["learning_rate"] for row in rows[1]]
    assert sweep(*flags[:2], "--max_runs=1")[0] == 0
    assert (tmp_path / "logs" / "experiments" / "sweep.csv").read_text().count("\n") == 2


def test_three_and_six_photos_end_with_what_cannot_be_concluded(sweep, make_photo_dir):
    photos = make_photo_dir({"red": 3, "blue": 6})
    code, out, err = sweep(f"--image_dir={photos}", "--learning_rate=0.001,0.01")
    assert code == 0
    assert "Fewer than 20 photos in blue (6), red (3)" in err
    assert "are too few to tell which one is better" in out
    assert " *" not in out


def test_photos_that_are_left_out_are_named(sweep, make_photo_dir):
    photos = make_photo_dir({"red": 12, "blue": 12})
    (photos / "red" / "broken.jpg").write_bytes(b"no photo")
    shutil.copy(photos / "blue" / "0000.jpg", photos / "blue" / "copy.jpg")
    code, _, err = sweep(f"--image_dir={photos}")
    assert code == 0
    assert "red/broken.jpg is left out: not a JPEG" in err
    assert "1 duplicate photo is left out: 1 with equal bytes" in err


def test_a_folder_that_cannot_be_written_is_found_before_the_work(sweep, tmp_path, monkeypatch):
    from xferlearn.experiments import running

    monkeypatch.setattr(running, "prepare", lambda *_: pytest.fail("photos were read"))
    (tmp_path / "file").touch()
    for name in ("logs_dir", "output_dir"):
        code, out, err = sweep(f"--{name}={tmp_path / 'file'}")
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert f"--{name}" in err


def test_weights_that_are_wrong_are_a_row_where_others_can_be_had(sweep, fail_to_load):
    fail_to_load("mobilenet_0.50", UserError("m.h5 does not hold the weights of mobilenet_0.50"))
    code, out, _ = sweep("--backbone=mobilenet_0.50,mobilenet_0.25")
    assert code == 0
    assert "backbone=mobilenet_0.50: not run: m.h5 does not hold the weights" in out
    code, out, err = sweep("--backbone=mobilenet_0.50")
    assert (code, out) == (2, "")
    assert "m.h5 does not hold the weights" in err


def test_runs_whose_charts_are_gone_are_made_again(sweep, tmp_path):
    flags = ("--learning_rate=0.001,0.01", f"--output_dir={tmp_path / 'kept'}")
    assert sweep(*flags)[0] == 0
    shutil.rmtree(run_dirs(tmp_path / "logs")[0])
    assert sweep(*flags)[0] == 0
    assert len(run_dirs(tmp_path / "logs")) == 2
    assert sweep(*flags, f"--logs_dir={tmp_path / 'others'}")[0] == 0
    assert len(run_dirs(tmp_path / "others")) == 2


def test_splits_share_their_test_photos_and_none_is_judged_on_them(sweep, monkeypatch):
    from xferlearn.experiments import running

    manifests = []
    fit = running.fit_head

    def watched(config, prepared, **more):
        manifests.append(more["manifest"])
        return fit(config, prepared, **more)

    monkeypatch.setattr(running, "fit_head", watched)
    code, out, _ = sweep("--split_seed=3,0,1", "--testing_percentage=20")
    assert code == 0
    tests = [{m.photos[i].digest for i in m.indices("test")} for m in manifests]
    judged = [{m.photos[i].digest for i in m.judged("validation")} for m in manifests]
    assert all(each == tests[0] for each in tests)
    assert all(each == judged[0] for each in judged)
    assert judged[0].isdisjoint(tests[0])
    assert len(judged[0]) + len(tests[0]) == 90
    # Each split leaves the same photos out in folds of its own.
    assert len({m.folds for m in manifests}) == 3
    assert f"best on the {len(judged[0])} photos" in out
    # In the words of `train`, as one number of three runs.
    said = rf"its test accuracy: [\d.]+ of {len(tests[0])} right, 95%: \d+% to \d+%"
    assert re.search(said, out)
    # `train` tests on the same photos.
    assert "--split_seed=3" in out


def test_photos_held_out_for_validation_are_called_so(sweep, tmp_path):
    code, out, _ = sweep("--learning_rate=0.001,0.01", "--validation_percentage=30")
    assert code == 0
    assert "held out for validation" in " ".join(out.split())
    assert "cross-validated" not in out
    assert " --validation_percentage=30 " in out
    table = tmp_path / "logs" / "experiments" / "sweep.csv"
    held_out = list(csv.DictReader(table.read_text().splitlines()))
    code, out, _ = sweep("--learning_rate=0.001,0.01")
    assert code == 0
    assert "cross-validated (5 folds)" in out
    folded = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["folding"] for row in held_out] == ["", ""]
    assert [row["folding"] for row in folded] == ["5 folds", "5 folds"]
    assert int(folded[0]["photos"]) > 2 * int(held_out[0]["photos"])


def test_other_folds_are_other_results_and_known_ones_are_kept(sweep, monkeypatch):
    from xferlearn.experiments import running

    trained = []
    fit = running.fit_head

    def counts(config, prepared, **more):
        trained.append((config.split_seed, more["only"]))
        return fit(config, prepared, **more)

    monkeypatch.setattr(running, "fit_head", counts)
    assert sweep("--split_seed=0", "--testing_percentage=0")[0] == 0
    assert sweep("--split_seed=0,1", "--testing_percentage=0")[0] == 0
    assert trained == [(0, "validation"), (1, "validation")]


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--learning_rate=0.1,fast", "Expected --learning_rate to be a number. Received: 'fast'"),
        ("--learning_rate=0.1,", "Expected --learning_rate to be a number"),
        ("--seed=0,1.5", "Expected --seed to be a whole number"),
        ("--learning_rate=0.1,-1", "Expected --learning_rate to be above 0"),
        ("--optimizer=adam,addam", "Expected --optimizer to be one of adam, sgd"),
        ("--backbone=mobilenet,mobilnet", "mobilnet"),
        ("--device=cpu,tpu", "Expected --device to be one of auto, cpu, gpu"),
        ("--max_runs=0", "Expected --max_runs to be at least 1"),
        ("--train_batch_size=99999999999999999999", "Expected --train_batch_size to be at most"),
        ("--hidden_units=99999999999999999999", "Expected --hidden_units to be at most 65536"),
        ("--how_many_training_steps=99999999999999999999", "to be at most 1000000000"),
        ("--weight_decay=1e39", "Expected --weight_decay to be at most 1e+06"),
        ("--learning_rate=1e300", "Expected --learning_rate to be at most 1e+38"),
        ("--image_size=16,32", "Expected --image_size to be at least 32"),
        ("--model_dir=out", "has no flag --model_dir"),
    ],
)
def test_what_train_would_not_take_is_told_in_one_line(sweep, capsys, flag, told):
    code, out, err = sweep(flag)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_the_help_has_the_lists_and_no_model_dir(capsys):
    assert main(["sweep", "--help_all"]) == 0
    out = capsys.readouterr().out
    assert "--learning_rate=NUMBER[,...]" in out
    assert "--model_dir=" not in out


def test_python_has_it_too(photo_dir, bottlenecks, tmp_path):
    settings = {
        "image_dir": photo_dir,
        "bottleneck_dir": bottlenecks,
        "logs_dir": tmp_path / "logs",
        "backbone": "mobilenet_0.25",
        "weights": "none",
        "image_size": "32",
        "engine": "tensorflow",
        "precision": "float32",
        "how_many_training_steps": "40",
    }
    result = xferlearn.sweep(**settings, learning_rate="0.00001,0.01", output_dir=tmp_path / "here")
    assert result.candidates[0].settings == {"learning_rate": 0.01}
    assert result.candidates[0].behind is None
    assert result.table == tmp_path / "here" / "sweep.csv"
    assert result.test.photos > 0
    with pytest.raises(UserError, match="There is no setting `learning_rates`"):
        xferlearn.sweep(learning_rates="1")


def outcomes(rights, split=0, photos=None):
    rows = np.array(rights, bool)
    names = tuple(map(str, range(rows.shape[1]) if photos is None else photos))
    return [
        Outcome({"split_seed": split, "seed": seed}, right=tuple(row), photos=names)
        for seed, row in enumerate(rows.tolist())
    ]


def test_photos_of_one_group_prove_less():
    alone = outcomes([[1, 1, 1, 0, 1, 1, 1, 0]] * 2)
    pairs = [dataclasses.replace(one, groups=(0, 0, 1, 2, 3, 3, 4, 2)) for one in alone]
    whole, grouped = share(alone), share(pairs)
    assert (whole.mean, whole.photos) == (grouped.mean, grouped.photos) == (0.75, 8)
    assert grouped.high - grouped.low > whole.high - whole.low
    worse = outcomes([[0, 0, 1, 0, 1, 1, 1, 0]] * 2)
    _, low, high = difference(alone, worse)
    _, lower, higher = difference(pairs, worse)
    assert lower < low
    assert higher > high


def test_differences_are_paired_and_allow_for_photos_and_seeds():
    rng = np.random.default_rng(0)
    covered, trials = 0, 400
    for _ in range(trials):
        # Each photo has its own difficulty for each side, each run its own luck.
        chance = np.clip(
            0.8 + rng.normal(0, 0.15, (2, 1, 60)) + rng.normal(0, 0.04, (2, 4, 1)), 0, 1
        )
        first, second = rng.random((2, 4, 60)) < chance
        mean, low, high = difference(outcomes(first), outcomes(second))
        assert mean == pytest.approx(first.mean() - second.mean())
        covered += low <= 0 <= high
    assert 0.91 < covered / trials < 0.99


def test_differences_allow_for_photos_that_several_splits_judge():
    rng = np.random.default_rng(0)
    covered, trials = 0, 400
    for _ in range(trials):
        # Every photo has one answer, whoever asks: ten splits know little more than one.
        answers = rng.random((2, 300)) < 0.85
        sides = ([], [])
        for split in range(10):
            photos = np.flatnonzero(rng.random(300) < 0.1)
            for side, answer in zip(sides, answers, strict=True):
                side += outcomes(answer[None, photos], split, photos)
        _, low, high = difference(*sides)
        covered += low <= 0 <= high
    assert 0.91 < covered / trials < 0.995


def test_runs_that_differ_by_luck_make_the_interval_of_their_mean_wider():
    rng = np.random.default_rng(0)
    covered, widths, trials = 0, [], 300
    for _ in range(trials):
        # What was drawn moves all photos of a run by 5 points.
        chance = np.clip(0.7 + rng.normal(0, 0.05, (5, 1)) + np.zeros((5, 400)), 0, 1)
        found = share(outcomes(rng.random((5, 400)) < chance))
        covered += found.low <= 0.7 <= found.high
        widths.append(found.high - found.low)
    assert 0.91 < covered / trials < 1
    alike = share(outcomes(np.tile(rng.random(400) < 0.7, (5, 1))))
    assert alike.high - alike.low < np.mean(widths)


def test_four_photos_of_ninety_two_prove_nothing():
    first, second = np.ones((1, 92)), np.ones((1, 92))
    second[0, :4] = 0
    mean, low, _ = difference(outcomes(first), outcomes(second))
    assert mean == pytest.approx(4 / 92)
    assert low < 0
    second[0, :10] = 0
    assert difference(outcomes(first), outcomes(second))[1] > 0


def test_the_best_of_many_is_not_ahead_by_luck():
    rng = np.random.default_rng(0)
    fooled, trials = 0, 200
    for _ in range(trials):
        chance = np.clip(0.9 + rng.normal(0, 0.1, 92), 0, 1)
        equal = [outcomes(rng.random((1, 92)) < chance) for _ in range(10)]
        equal.sort(key=lambda one: -one[0].value)
        fooled += any(difference(equal[0], one, 45)[1] > 0 for one in equal[1:])
    assert fooled / trials < 0.08


def test_runs_without_a_partner_are_not_compared():
    ones, zeros = [[1, 1, 1]], [[0, 0, 0]]
    assert difference(outcomes(ones), outcomes(zeros, split=1)) is None
    mean, low, high = difference([*outcomes(ones), *outcomes(zeros, 1)], outcomes(zeros))
    assert mean == 1.0
    assert low < high == 1.0  # the same in all three, and still not certain


def test_a_photo_that_many_seeds_judge_counts_once():
    found = share(outcomes([[1, 1, 0, 1]] * 5))
    assert (found.mean, found.photos) == (0.75, 4)
    twice = share([*outcomes([[1, 1]], 0, "ab"), *outcomes([[0, 1]], 1, "bc")])
    assert (twice.mean, twice.photos) == (pytest.approx(2.5 / 3), 3)
    assert share([]).photos == 0
    # A mean over the seeds that happened to converge would flatter.
    assert share([*outcomes([[1, 1]]), Outcome({"seed": 1}, diverged=True)]).photos == 0


def test_an_engine_computes_where_it_was_made():
    """Two CPUs in TensorFlow's eyes stand for CPU and GPU; engines use threads of their own."""
    script = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration(), tf.config.LogicalDeviceConfiguration()]
tf.config.set_logical_device_configuration(cpu, two)
import keras
from xferlearn.bottlenecks.engines import tensorflow_runtime
seen = []
def freeze(model):
    def function(pixels):
        seen.append(tf.zeros(()).device)
        return [tf.zeros((len(pixels), 3))]
    return function
tensorflow_runtime.freeze = freeze
image = keras.Input((8, 8, 3))
model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image), name="tiny")
with tf.device("/CPU:1"):
    engine = tensorflow_runtime.tensorflow_engine(model)
engine.run(np.zeros((20, 8, 8, 3), np.uint8))
print(*seen)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    devices = done.stdout.split()
    assert len(devices) == 3
    assert all(device.endswith("CPU:1") for device in devices)


def test_photos_that_were_removed_are_not_counted_in_the_rates(
    make_photo_dir, bottlenecks, tmp_path, monkeypatch
):
    root = make_photo_dir({"red": 20, "blue": 20})
    config = TrainConfig(
        image_dir=str(root),
        model_dir=str(tmp_path / "model"),
        bottleneck_dir=str(bottlenecks),
        backbone="mobilenet_0.25",
        weights="none",
        image_size=32,
        engine="tensorflow",
        precision="float32",
    )
    prepared = prepare(config, read_image_dir(str(root)), load_networks(config))
    for path in [*root.glob("red/*"), *root.glob("blue/*")][:35]:
        path.unlink()
    seen = []

    def watched(*args):
        engine = build_engine(*args)
        run = engine.run
        return dataclasses.replace(engine, run=lambda x: seen.append(len(x)) or run(x))

    monkeypatch.setattr("xferlearn.experiments.rates.build_engine", watched)
    limits = PhotoLimits.of(config)
    assert measure_rates(prepared, limits) is not None
    assert set(seen) == {5}
    for path in root.glob("*/*"):
        path.unlink()
    assert measure_rates(prepared, limits) is None
