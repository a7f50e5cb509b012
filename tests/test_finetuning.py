"""Fine-tuning through its public surface: `xferlearn train --unfreeze`, its files, and the kill."""

import contextlib
import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import xferlearn
from xferlearn.backbones import weights_digest
from xferlearn.cli import main
from xferlearn.config import TrainConfig
from xferlearn.photos.folders.files import read_image_dir
from xferlearn.photos.manifest import Photo
from xferlearn.photos.pixels.headers import prepare
from xferlearn.photos.pixels.operations import decode_pixels
from xferlearn.training.finetuning import FineTuned, activations, select_layers
from xferlearn.training.finetuning.activations import pack, unpack
from xferlearn.training.finetuning.cutting import split_before
from xferlearn.training.finetuning.layers import copy_of
from xferlearn.training.finetuning.photos import Photos, endless
from xferlearn.training.finetuning.state import State
from xferlearn.training.job import train_with

TINY = {
    "backbone": "mobilenet_0.25",
    "weights": "none",
    "image_size": 32,
    # One engine, so that none has to be compared with another.
    "engine": "tensorflow",
    "precision": "float32",
}
SHORT = {
    "how_many_training_steps": 20,
    "dropout": 0.0,
    "unfreeze": "conv_dw_12",
    "fine_tune_epochs": 2,
    "fine_tune_learning_rate": 0.001,
    "summaries": "none",
}


@pytest.fixture
def settings(photo_dir, tmp_path):
    """Settings of a fine-tuning that takes seconds."""
    return {
        **TINY,
        **SHORT,
        "image_dir": str(photo_dir),
        "model_dir": str(tmp_path / "model"),
        "logs_dir": str(tmp_path / "logs"),
        "bottleneck_dir": str(tmp_path / "bottlenecks"),
    }


@pytest.fixture
def killed(monkeypatch):
    """`killed(settings, after=1)`: a training that is interrupted after so many passes."""

    def train(settings, after):
        save = State.save

        def interrupted(self):
            save(self)
            if self.keeper.looks == after:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(State, "save", interrupted)
            with pytest.raises(KeyboardInterrupt):
                xferlearn.train(**settings)

    return train


def words(settings):
    return ["train", *(f"--{name}={value}" for name, value in settings.items())]


@pytest.fixture(scope="module")
def tuned(photo_dir, tmp_path_factory):
    """Settings, what they give, and what was shown and said. Shared: do not change it."""
    root = tmp_path_factory.mktemp("tuned")
    settings = {
        **TINY,
        **SHORT,
        "image_dir": str(photo_dir),
        "model_dir": str(root / "model"),
        "logs_dir": str(root / "logs"),
        "bottleneck_dir": str(root / "bottlenecks"),
        "summaries": "scalars",
    }
    results = []

    def kept(config):
        results.append(train_with(config))
        return results[-1]

    shown, said = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xferlearn.commands.train.train_with", kept)
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
            assert main(words(settings)) == 0
    return settings, results[0], shown.getvalue(), said.getvalue()


def weights(model):
    """Weights by layer and name, of all layers however deep."""
    return {variable.path: np.asarray(variable) for variable in model.weights}


def frozen_backbone():
    return xferlearn.load_backbone(TINY["backbone"], weights="none", image_size=32)


def test_only_what_was_unfrozen_moves_bit_by_bit(tuned) -> None:
    _, result, *_ = tuned
    layers = result.fine_tuned.layers
    before, after = weights(frozen_backbone()), weights(result.fine_tuned.prepared.backbone)
    assert before.keys() == after.keys()
    moved = {path.split("/")[-2] for path in before if (before[path] != after[path]).any()}
    assert moved == set(layers)
    assert set(layers) == {"conv_dw_12", "conv_pw_12", "conv_dw_13", "conv_pw_13"}
    # BatchNormalization stays, its statistics too.
    assert any("moving_mean" in path for path in before)
    assert not any("bn" in name for name in moved)


def test_the_better_model_is_saved_and_both_are_shown(tuned) -> None:
    settings, _, shown, said = tuned
    metadata = json.loads((Path(settings["model_dir"]) / "metadata.json").read_text())
    tuning = metadata["fine_tuning"]
    losses = {name: row["cross_entropy"] for name, row in tuning["validation"].items()}
    assert tuning["kept"] == (losses["fine_tuned"] < losses["frozen"])
    assert f"cross-entropy {losses['frozen']:.3f}" in shown
    assert f"cross-entropy {losses['fine_tuned']:.3f}" in shown
    assert "mobilenet_0.25: 4 layers, conv_dw_12 to conv_pw_13" in shown
    told = shown[shown.index("fine-tuning  ") : shown.index("  kept ")].splitlines()
    assert max(map(len, told)) <= 80, shown
    assert "views of the photos take less than 1 MB below" in said
    assert not list(Path(settings["bottleneck_dir"], "activations").iterdir())
    assert tuning["kept"], "two passes on plain colours are better than twenty steps of a head"


def test_a_tuned_model_labels_as_its_file_does(tuned, photo_dir) -> None:
    import keras
    import tensorflow as tf

    settings, result, *_ = tuned
    assert result.fine_tuned.better
    photos = sorted(photo_dir.glob("red/*.jpg"))[:3]
    classifier = xferlearn.load_classifier(settings["model_dir"], precision="float32")
    model = keras.saving.load_model(Path(settings["model_dir"]) / "model.keras")
    size = classifier.predictor.image_size
    seen = []
    for photo in photos:
        image = prepare(photo.read_bytes(), size, 10**8)
        parts = (tf.constant(part) for part in (image.data, image.kind, image.orientation))
        seen.append(decode_pixels(*parts, size).numpy())
    expected = model.predict(np.array(seen, np.float32), verbose=0)["predictions"]
    np.testing.assert_allclose(classifier.predict(photos), expected, atol=1e-3)
    digest = classifier.metadata["feature_space"]["weights_sha256"]
    assert digest != weights_digest(frozen_backbone()), "a feature space of its own"


def test_all_folds_show_how_good_the_frozen_model_was(tuned) -> None:
    settings, _, shown, said = tuned
    metadata = json.loads((Path(settings["model_dir"]) / "metadata.json").read_text())
    tuning = metadata["fine_tuning"]
    outside = metadata["split"]["totals"]["train"] + metadata["split"]["totals"]["validation"]
    judged = tuning["validation"]["fine_tuned"]["n"]
    folds = tuning["frozen_cross_validated"]
    assert (folds["n"], folds["folds"]) == (outside, 5)
    assert judged < 50 < folds["n"]
    assert f"frozen, cross-validated: {folds['correct']} of {folds['n']} right" in shown
    assert f"Fine-tuning was judged by {judged} photos only" in said


def test_photos_held_out_need_no_folds(settings) -> None:
    result = xferlearn.train(**settings | {"validation_percentage": 60})
    assert result.fine_tuned.tuned.total >= 50
    assert result.fine_tuned.as_dict()["frozen_cross_validated"] is None
    assert not any("judged by" in warning for warning in result.warnings)
    assert "cross-validated" not in repr(result)


@pytest.fixture(scope="module")
def two_tuned(photo_dir, tmp_path_factory):
    """Settings with two backbones, and what they give. Shared: do not change it."""
    root = tmp_path_factory.mktemp("two")
    settings = {
        **{name: value for name, value in TINY.items() if name != "image_size"},
        **SHORT,
        "backbone": "mobilenet_0.25_32+mobilenet_0.50_48",
        "testing_percentage": 20,
        "image_dir": str(photo_dir),
        "model_dir": str(root / "model"),
        "bottleneck_dir": str(root / "bottlenecks"),
    }
    with pytest.MonkeyPatch.context() as patch:
        # On plain colours two untrained networks make no mistakes that tuning could mend.
        patch.setattr(FineTuned, "better", True)
        return settings, xferlearn.train(**settings)


def test_of_two_backbones_the_first_is_tuned(two_tuned) -> None:
    settings, result = two_tuned
    metadata = result.model_folder.metadata
    assert metadata["fine_tuning"]["network"] == "mobilenet_0.25_32"
    assert "mobilenet_0.25_32: 4 layers, conv_dw_12 to conv_pw_13" in repr(result)
    kept = [part["weights_sha256"] for part in metadata["backbone"]["parts"]]
    names = settings["backbone"].split("+")
    before = [weights_digest(xferlearn.load_backbone(name, weights="none")) for name in names]
    assert [new == old for new, old in zip(kept, before, strict=True)] == [False, True]
    units = metadata["head"]["joined"]
    assert len(units) == 2
    hidden = result.model_folder.load_model().get_layer("hidden")
    assert sum(units) == metadata["head"]["hidden_units"] == hidden.units


def test_a_model_of_two_labels_as_its_metadata_says(two_tuned, photo_dir) -> None:
    settings, result = two_tuned
    classifier = xferlearn.load_classifier(
        settings["model_dir"],
        bottleneck_dir=settings["bottleneck_dir"],
        engine="tensorflow",
        precision="float32",
    )
    manifest = result.manifest
    photos = [manifest.photos[i] for i in manifest.indices("test")]
    scores = classifier.predict([photo_dir / photo.name for photo in photos])
    right = int(sum(scores.argmax(axis=1) == [photo.label for photo in photos]))
    said = classifier.metadata["metrics"]["test"]
    assert (right, len(photos)) == (said["correct"], said["n"])
    expected = result.fine_tuned.fitted.probabilities("test")
    # The model resizes for the smaller backbone, which learned from photos of its own size.
    np.testing.assert_allclose(scores, expected, atol=0.01)


def test_a_killed_run_of_two_learns_the_same(two_tuned, killed, tmp_path) -> None:
    settings, whole = two_tuned
    settings = settings | {"model_dir": str(tmp_path / "model")}
    killed(settings, after=1)
    assert not Path(settings["model_dir"]).exists()
    resumed = xferlearn.train(**settings)
    assert resumed.fine_tuned.resumed == 1
    expected = weights(whole.fine_tuned.prepared.parts[0].network)
    for path, value in weights(resumed.fine_tuned.prepared.parts[0].network).items():
        np.testing.assert_allclose(value, expected[path], atol=2e-3, err_msg=path)
    assert not list(tmp_path.glob(".model.fine-tuning*"))


def test_a_worse_model_is_not_saved(settings, capsys) -> None:
    settings |= {"fine_tune_learning_rate": 3.0, "how_many_training_steps": 300}
    assert main(words(settings)) == 0
    shown = capsys.readouterr().out
    assert "the frozen one: tuning was no better" in shown
    classifier = xferlearn.load_classifier(settings["model_dir"])
    digest = classifier.metadata["feature_space"]["weights_sha256"]
    assert digest == weights_digest(frozen_backbone())
    assert classifier.metadata["fine_tuning"]["kept"] is False


def test_a_killed_run_goes_on_from_its_last_pass(settings, killed, capsys) -> None:
    settings |= {"fine_tune_epochs": 3}
    killed(settings, after=2)
    left = list(Path(settings["model_dir"]).parent.glob(".model.fine-tuning*"))
    assert len(left) == 1
    assert not Path(settings["model_dir"]).exists()
    assert "views of the photos take" in capsys.readouterr().err
    result = xferlearn.train(**settings)
    assert "views of the photos take" not in capsys.readouterr().err, "all are there"
    assert result.fine_tuned.resumed == 2
    assert result.fine_tuned.epochs == 3
    assert not list(Path(settings["model_dir"]).parent.glob(".model.fine-tuning*"))


def test_it_learns_the_same_in_one_go_and_in_two(tuned, settings, killed) -> None:
    _, whole, *_ = tuned
    killed(settings, after=1)
    parts = xferlearn.train(**settings)
    assert parts.fine_tuned.resumed == 1
    expected = weights(whole.fine_tuned.prepared.backbone)
    for path, value in weights(parts.fine_tuned.prepared.backbone).items():
        np.testing.assert_allclose(value, expected[path], atol=2e-3, err_msg=path)


@pytest.mark.parametrize("change", ["damaged", "other settings"])
def test_a_state_that_does_not_fit_is_passed_over(settings, killed, change) -> None:
    killed(settings, after=1)
    state = Path(settings["model_dir"]).with_name(".model.fine-tuning")
    if change == "damaged":
        state.write_bytes(state.read_bytes()[:5000])
    else:
        settings |= {"seed": 1}
    assert xferlearn.train(**settings).fine_tuned.resumed == 0


def test_a_full_disk_costs_only_the_resuming(settings, monkeypatch) -> None:
    def full(*args: object, **arrays: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    result = xferlearn.train(**settings)
    assert result.fine_tuned.epochs == 2
    assert [p for p in result.warnings if "No space left" in p and "start over" in p]


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--unfreeze=nonsense", "no layer or block 'nonsense'"),
        ("--unfreeze=conv_pw_14", "conv_pw_1"),
        ("--unfreeze=0", "Expected --unfreeze to be 1 to 27"),
        ("--unfreeze=400", "Received: 400"),
        ("--unfreeze=conv_pw_13_relu", "No layer of mobilenet_0.25"),
        ("--fine_tune_epochs=0", "at least 1"),
        ("--fine_tune_learning_rate=0", "above 0"),
    ],
)
def test_bad_settings_end_before_the_work(settings, capsys, flag, said) -> None:
    name, _, value = flag.removeprefix("--").partition("=")
    assert main(words({**settings, name: value})) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    # The network was looked at, and what it is called kept; no photo has been.
    assert {path.name for path in Path(settings["bottleneck_dir"]).glob("*")} <= {"networks"}


def test_layers_are_chosen_by_number_name_and_block() -> None:
    backbone = frozen_backbone()

    def names(unfreeze: str) -> list[str]:
        return [layer.name for layer in select_layers(backbone, unfreeze)]

    assert names("2") == ["conv_dw_13", "conv_pw_13"]
    assert names("conv_pw_13") == ["conv_pw_13"]
    assert names("conv_dw_1") == names("all")[1:], "a layer's whole name goes before a beginning"
    assert len(names("all")) == 27
    assert not any("bn" in name for name in names("all"))


@pytest.mark.parametrize(
    ("backbone", "size"), [("efficientnet_lite0", 32), ("mobilenet_v3_small", 32), ("resnet50", 32)]
)
def test_a_network_that_was_cut_gives_the_same(backbone, size) -> None:
    whole = xferlearn.load_backbone(backbone, weights="none", image_size=size)
    copy = copy_of(whole)
    first = select_layers(copy, "auto")[0]
    if backbone == "efficientnet_lite0":
        assert first.name == "block5a_expand_conv"
    halves = split_before(copy, first)
    assert 0.25 < halves.cut.trained < 0.75
    pixels = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    got = halves.trained.predict_on_batch(halves.frozen.predict_on_batch(pixels))
    expected = whole.predict_on_batch(pixels)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * abs(expected).max())


def test_there_is_no_cut_before_the_beginning() -> None:
    backbone = frozen_backbone()
    assert split_before(backbone, select_layers(backbone, "all")[0]) is None


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_activations_of_any_size_are_kept(size) -> None:
    rows = (size * np.random.default_rng(0).normal(size=(3, 50))).astype(np.float32)
    rows[1] = 0
    kept = unpack(pack(rows))
    np.testing.assert_allclose(kept, rows, rtol=1e-3, atol=1e-6 * size)


@pytest.mark.parametrize(
    ("share", "told", "warned"),
    [(0.6, "fine-tuning: 83 views", ""), (0.1, "", "through the whole network in every pass")],
)
def test_activations_take_no_more_than_they_may(
    settings, monkeypatch, capsys, share, told, warned
) -> None:
    monkeypatch.setattr(activations, "MOST_BYTES", share * 148 * 2 * (2 * 2 * 128 + 2))
    result = xferlearn.train(**settings)
    assert told in capsys.readouterr().err
    assert any(warned in warning for warning in result.warnings) or not warned
    assert result.fine_tuned.epochs == 2
    assert set(result.fine_tuned.layers) == {"conv_dw_12", "conv_pw_12", "conv_dw_13", "conv_pw_13"}


def test_the_charts_are_a_run_of_their_own(tuned) -> None:
    _, result, *_ = tuned
    events = EventAccumulator(str(result.run_dir / "fine_tuning" / "validation"))
    events.Reload()
    steps = [event.step for event in events.Tensors("accuracy")]
    batches = -(-len(result.manifest.indices("train")) // 32)
    assert steps == [batches, 2 * batches]


def test_a_kept_tuning_is_what_the_run_shows(tuned) -> None:
    _, result, *_ = tuned
    tuning = result.model_folder.metadata["fine_tuning"]
    assert tuning["kept"]
    photos = len(result.manifest.indices("train"))
    steps = -(-photos // 32)
    assert tuning["steps_run"] == 2 * steps
    found = {
        value.tag: (event.step, value.tensor)
        for path in result.run_dir.glob("*tfevents*")
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    }
    report = json.loads(found["transfer/report"][1].string_val[0])
    assert report["fine_tuning"] == tuning
    assert report["training"] == {
        "steps_run": tuning["steps_run"],
        "validation_loss": tuning["validation"]["fine_tuned"]["cross_entropy"],
    }
    assert found["results/test_cross_entropy"][0] == tuning["steps_run"]
    assert f"| fine-tuning | {2 * steps} steps |" in found["run_card"][1].string_val[0].decode()


def test_several_devices_share_the_batches(settings) -> None:
    script = f"""
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from xferlearn.training.finetuning import tuning
tuning.distribution = lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
import xferlearn
result = xferlearn.train(**{settings!r})
print("passes", result.fine_tuned.epochs, result.fine_tuned.better)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["passes", "2", "True"]


def test_the_views_that_it_learns_from_are_shown(settings) -> None:
    result = xferlearn.train(**settings | {"summaries": "full", "fine_tune_epochs": 1})
    events = EventAccumulator(str(result.run_dir), size_guidance={"tensors": 0})
    events.Reload()
    width, height, sheet = events.Tensors("augmentation/views")[0].tensor_proto.string_val
    assert (int(width), int(height)) == (6 * 164 - 4, 3 * 164 - 4)
    assert sheet.startswith(b"\xff\xd8")
    assert [text.partition(":")[0] for text in result.warnings] == [
        "Fine-tuning was judged by 18 photos only"
    ]
    text = events.Tensors("run_card")[0].tensor_proto.string_val[0].decode()
    assert "fine-tuned (validation cross-entropy" in text


@pytest.fixture
def own_photos(settings, make_photo_dir):
    """A folder of photos that may be taken away, from a network that reads them in every pass."""
    root = make_photo_dir({"red": 20, "green": 20, "blue": 20})
    settings |= {"image_dir": str(root), "seed": -1, "unfreeze": "all"}
    settings |= {"validation_percentage": 20}
    return root


@pytest.fixture
def after_first_pass(monkeypatch):
    """`after_first_pass(action)`: does something once a fine-tuning has made one pass."""

    def plan(action):
        save = State.save

        def saved(self):
            save(self)
            if self.keeper.looks == 1:
                action()

        monkeypatch.setattr(State, "save", saved)

    return plan


def test_photos_that_go_away_meanwhile_are_left_out_of_both_sides(
    settings, own_photos, after_first_pass, capsys
) -> None:
    photos = xferlearn.train(**{**settings, "unfreeze": None}).manifest
    gone = [
        next(photos.photos[i].name for i in photos.indices(split))
        for split in ("train", "validation", "test")
    ]
    after_first_pass(lambda: [(own_photos / name).unlink() for name in gone])
    settings |= {"overwrite": True}
    assert main(words(settings)) == 0
    shown = capsys.readouterr()
    assert "compared without 3 of 60 photos, which changed or were removed" in shown.err
    assert f"e.g. {min(gone)}." in shown.err
    metadata = json.loads((Path(settings["model_dir"]) / "metadata.json").read_text())
    tuning = metadata["fine_tuning"]
    held = len(photos.indices("validation")) - 1
    assert {row["n"] for row in tuning["validation"].values()} == {held}
    if tuning["kept"]:
        listed = (Path(settings["model_dir"]) / "photos.csv").read_text()
        assert not any(name in listed for name in gone)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_where_all_photos_go_away_it_ends_in_one_line_and_can_go_on(
    settings, own_photos, after_first_pass, capsys, split
) -> None:
    settings |= {"fine_tune_epochs": 4}
    photos = xferlearn.train(**{**settings, "unfreeze": None}).manifest
    kept = {
        photos.photos[i].name: (own_photos / photos.photos[i].name).read_bytes()
        for i in photos.indices(split)
    }
    after_first_pass(lambda: [(own_photos / name).unlink(missing_ok=True) for name in kept])
    settings |= {"overwrite": True}
    capsys.readouterr()
    assert main(words(settings)) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    kind = {"train": "training"}.get(split, split)
    assert line.startswith(f"xferlearn: None of the {kind} photos can be read any more.")
    for name, data in kept.items():
        (own_photos / name).write_bytes(data)
    after_first_pass(lambda: None)
    assert xferlearn.train(**settings).fine_tuned.resumed >= 1


def test_few_photos_end_before_training(settings, make_photo_dir, capsys) -> None:
    settings |= {"image_dir": str(make_photo_dir({"red": 6, "blue": 6}))}
    assert main(words(settings)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--unfreeze needs more than 40 photos" in line


def test_what_killed_writers_left_is_cleared_away(tmp_path) -> None:
    state = tmp_path / ".model.fine-tuning"
    old, new = (state.with_name(f"{state.name}.{name}.tmp") for name in ("0" * 8, "1" * 8))
    old.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    new.write_bytes(b"another run's, at this moment")
    assert State(state, "key", None, None, pytest.fail).restore() == 0
    assert not old.exists()
    assert new.exists()


def test_it_learns_from_no_photo_that_was_removed_or_changed(
    settings, own_photos, photo_bytes
) -> None:
    source = read_image_dir(str(own_photos))
    photos = [
        Photo(hashlib.sha256(entry.read()).digest(), entry.label, entry.name)
        for entry in source.entries()
    ]
    for photo in photos[:40]:
        (own_photos / photo.name).unlink()
    for photo in photos[40:50]:
        (own_photos / photo.name).write_bytes(photo_bytes("white"))
    lessons = Photos(
        TrainConfig(**settings),
        source,
        frozen_backbone(),
        photos,
        [],
        np.arange(len(source.labels)),
    )
    batches = endless(lessons.training_pass, 0, lessons.trained, failures := [])
    passes = list(itertools.islice(batches.as_numpy_iterator(), 3))
    assert [len(pixels) for pixels, _ in passes] == [10, 10, 10]
    assert all((pixels.max(axis=(1, 2, 3)) > 0).all() for pixels, _ in passes)
    assert all((pixels.mean(axis=(1, 2, 3)) < 200).all() for pixels, _ in passes), "one is white"
    assert not failures
