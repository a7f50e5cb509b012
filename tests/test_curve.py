"""`xferlearn curve` through its command line and its files."""

import csv
import dataclasses
import functools
import json

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import xferlearn
from xferlearn.errors import XferlearnError
from xferlearn.experiments import learning_curve
from xferlearn.experiments.forecasting import fit_power_law, forecast_gain
from xferlearn.experiments.learning_curve import order_photos
from xferlearn.photos.manifest import TEST, TRAIN, VALIDATION, Manifest, Photo
from xferlearn.summaries.charts import DARK, LIGHT
from xferlearn.training.fitting import Fitted


@pytest.fixture
def curve(run_tiny):
    """Runs `xferlearn curve` with a tiny network and two draws."""
    return functools.partial(run_tiny, "curve", "--draws=2")


def test_a_curve_is_a_table_a_plot_and_a_chart_by_number_of_photos(curve, tmp_path, monkeypatch):
    manifests, looked_at = [], []
    fit, look = learning_curve.fit_head, Fitted.probabilities

    def watched(*args, **more):
        manifests.append(more["manifest"])
        return fit(*args, **more)

    def looks(self, split):
        looked_at.append(split)
        return look(self, split)

    monkeypatch.setattr(learning_curve, "fit_head", watched)
    monkeypatch.setattr(Fitted, "probabilities", looks)
    code, out, err = curve("--testing_percentage=30")
    assert (code, err) == (0, "")
    tested = len(manifests[0].indices(TEST))
    assert tested > 10
    assert set(looked_at) == {VALIDATION}
    assert "100 more per class: about " in out
    assert "Does it take many photos? " in out
    folder = tmp_path / "logs" / "experiments"
    rows = list(csv.DictReader((folder / "curve.csv").read_text().splitlines()))
    sizes = [int(row["photos_a_class"]) for row in rows]
    assert sizes[:4] == [1, 3, 5, 10]
    assert sizes == sorted(sizes)
    assert [row["draws"] for row in rows] == ["2"] * (len(rows) - 1) + ["1"]
    # All photos outside the test are judged, at every size.
    assert {row["judged"] for row in rows} == {str(90 - tested)}
    assert {row["folding"] for row in rows} == {"5 folds"}
    assert [int(row["photos"]) for row in rows[:4]] == [3, 9, 15, 30]
    for name, theme in (("curve.png", LIGHT), ("curve_dark.png", DARK)):
        with Image.open(folder / name) as plot:
            assert plot.format == "PNG"
            colours = {colour for _, colour in plot.getcolors(2**20)}
        # What was measured, and the fitted curve with where it leads.
        assert {theme.paper, theme.first, theme.second} <= colours
    (run_dir,) = (tmp_path / "logs").glob("photos*_curve_*")
    events = EventAccumulator(str(run_dir))
    events.Reload()
    points = events.Tensors("curve/accuracy")
    assert [point.step for point in points] == sizes
    (tensor,) = events.Tensors("transfer/report")
    shown = json.loads(tensor.tensor_proto.string_val[0])
    assert [point[0] for point in shown["curve"]["points"]] == sizes
    means = [float(row["accuracy"]) for row in rows]
    assert [point[2] for point in shown["curve"]["points"]] == pytest.approx(means)
    assert shown["curve"]["fit"]["next"][0] == sizes[-1] + 100
    assert "Does it take many photos? " in shown["verdict"][0]


def test_a_killed_curve_goes_on_where_it_was(curve, monkeypatch):
    fit = learning_curve.fit_head
    trained = []

    def dies(*args, **more):
        trained.append(more["drawn"].sum(axis=0).max())
        if len(trained) == 3:
            raise KeyboardInterrupt
        return fit(*args, **more)

    monkeypatch.setattr(learning_curve, "fit_head", dies)
    assert curve()[0] == 130
    assert trained == [3, 3, 9]
    assert curve()[0] == 0
    assert trained[3:5] == [9, 9]
    known = len(trained)
    assert curve()[0] == 0
    assert len(trained) == known


def test_three_and_six_photos_end_with_what_cannot_be_concluded(curve, make_photo_dir):
    code, out, err = curve(f"--image_dir={make_photo_dir({'red': 3, 'blue': 6})}")
    assert code == 0
    assert "Fewer than 20 photos in blue (6), red (3)" in err
    assert "No forecast: too few photos per class" in out
    assert "9 photos can't tell how many are needed" in out
    # Each photo is left out once, and the head that predicts it has all others.
    assert "leave-one-out" in out
    assert "\n6                      8 " in out


def test_a_curve_that_diverges_says_so(curve):
    code, out, _ = curve("--optimizer=sgd", "--learning_rate=1e38", "--testing_percentage=30")
    assert code == 1
    assert "2 of 2 diverged" in out
    assert "No forecast: every number of photos had draws that diverged." in out
    assert "0 photos" not in out
    assert "nothing can be concluded" in out


def test_draws_of_which_some_diverge_are_no_error(curve, monkeypatch):
    fit = learning_curve.fit_head
    trained = []

    def some(*args, **more):
        trained.append(fit(*args, **more))
        lost = dataclasses.replace(trained[-1].training, diverged=len(trained) == 2)
        return dataclasses.replace(trained[-1], training=lost)

    monkeypatch.setattr(learning_curve, "fit_head", some)
    code, out, _ = curve()
    assert code == 0
    assert out.count("1 of 2 diverged") == 1
    assert "1 of 2 diverged" in curve()[1]


def test_weights_that_cannot_be_had_are_not_the_users_mistake(curve, fail_to_load):
    fail_to_load("mobilenet_0.25", XferlearnError("Can't download the ImageNet weights."))
    code, _, err = curve()
    assert (code, err) == (1, "xferlearn: Can't download the ImageNet weights.\n")


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--draws=0", "Expected --draws to be at least 1"),
        ("--how_many_training_steps=0", "Expected --how_many_training_steps to be at least 1"),
        ("--backbone=mobilenet,inception_v3", "inception_v3 takes images of at least 75 px"),
        ("--image_dir=nowhere", "nowhere"),
    ],
)
def test_a_mistake_is_told_in_one_line(curve, flag, told):
    code, out, err = curve(flag)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def manifest_of(train, test, folds=5):
    photos = tuple(
        Photo(bytes([label, number]) * 16, label, f"{label}/{number}")
        for label in (0, 1)
        for number in range(train + test)
    )
    splits = ((TRAIN,) * train + (TEST,) * test) * 2
    of_class = (*(number % max(folds, 1) for number in range(train)), *(-1,) * test)
    return Manifest(("a", "b"), photos, splits, folds=of_class * 2 if folds else ())


def test_draws_are_nested_and_differ_and_leave_out_folds_and_the_test():
    whole = manifest_of(train=20, test=4)
    folds, labels = np.array(whole.folds), np.array([photo.label for photo in whole.photos])
    first = []
    for draw in (0, 1):
        places = order_photos(whole, draw)
        assert places.shape == (48, 5)
        assert (places[whole.indices(TEST)] == -1).all()
        for head in range(5):
            assert (places[folds == head, head] == -1).all()
            for label in (0, 1):
                # So those below any size are that many per class, and those of smaller ones.
                of_class = places[(labels == label) & (places[:, head] >= 0), head]
                assert sorted(of_class) == list(range(16))
        first.append(places)
    assert (first[0] != first[1]).any()
    # Heads of one draw learn from the same photos, but for those of their folds.
    least, most = first[0][:, 0], first[0][:, 1]
    both = (least >= 0) & (most >= 0)
    for label in (0, 1):
        rows = np.flatnonzero(both & (labels == label))
        assert (np.argsort(least[rows]) == np.argsort(most[rows])).all()


def test_without_folds_there_is_one_head():
    places = order_photos(manifest_of(train=20, test=4, folds=0), 0)
    assert places.shape == (48, 1)
    assert sorted(places[places >= 0]) == sorted([*range(20)] * 2)


def test_a_power_law_is_found_again():
    sizes = np.array([3.0, 5, 10, 20, 50, 100])
    a, b, c = fit_power_law(sizes, 0.95 - 0.5 * sizes**-0.7)
    assert (a, b, c) == pytest.approx((0.95, 0.5, 0.7), abs=0.02)
    # More photos are never said to hurt.
    assert fit_power_law(sizes, np.linspace(0.9, 0.8, 6))[1] == 0


def test_a_forecast_follows_the_curve_and_names_what_it_lacks():
    sizes = [1, 3, 5, 10, 20, 50]
    shares = [0.3, *(0.9 - 0.6 * size**-0.8 for size in sizes[1:])]
    right = [[[i < round(200 * share) for i in range(200)]] * 3 for share in shares]
    forecast, why_not = forecast_gain(sizes, right)
    assert why_not == ""
    # A single photo a class is left out of the fit.
    assert forecast.fitted == pytest.approx(shares[1:], abs=0.01)
    assert forecast.gain == pytest.approx(0.6 * (50**-0.8 - 150**-0.8), abs=0.01)
    assert forecast.low <= forecast.gain <= forecast.high
    assert forecast_gain(sizes[:4], right[:4])[1].startswith("too few photos")
    few = [[draw[:19] for draw in draws] for draws in right]
    assert forecast_gain(sizes, few)[1].startswith("19 photos are too few")
    # Photos that are right or wrong together tell less.
    groups = [number // 4 for number in range(200)]
    grouped, _ = forecast_gain(sizes, right, groups)
    assert grouped.gain == forecast.gain
    assert grouped.high - grouped.low > forecast.high - forecast.low


def test_python_has_it_too(make_photo_dir, tmp_path):
    result = xferlearn.curve(
        image_dir=make_photo_dir({"red": 12, "blue": 12}),
        logs_dir=tmp_path / "logs",
        bottleneck_dir=tmp_path / "bottlenecks",
        backbone="mobilenet_0.25",
        weights="none",
        image_size=32,
        engine="tensorflow",
        how_many_training_steps=20,
        draws=1,
    )
    assert [point.photos for point in result.points][:3] == [1, 3, 5]
    assert result.points[-1].validation.folding == "leave-one-out"
    assert (result.forecast is None) == bool(result.why_not)
