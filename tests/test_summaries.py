"""What a run leaves for TensorBoard, read back from its files; see test_browser.py for the page."""

import csv
import errno
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto import graph_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.projector import projector_config_pb2
from tensorboard.util import tensor_util

import xferlearn
from xferlearn import summaries
from xferlearn.errors import UserError
from xferlearn.metrics import evaluate_predictions
from xferlearn.summaries.events import EventWriter, RunWriters
from xferlearn.summaries.graph import conceptual_graph_is_right
from xferlearn.summaries.pr_curves import pr_curve, write_curves
from xferlearn.summaries.projector import FRAMES

STAGES = (
    *("list_photos", "import", "backbone", "bottlenecks"),
    *("training", "test", "model", "summaries"),
)
CLASSES = ("blue", "green|`x`", "red")
TRANSFER = {"transfer/report", "transfer/photos"}


def read(folder):
    """Returns the values of one TensorBoard run by plugin and tag, as (step, value) pairs."""
    found = {}
    for path in sorted(Path(folder).glob("*tfevents*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                if plugin == "hparams":
                    held = value.metadata.plugin_data.content
                elif plugin == "graphs":
                    held = graph_pb2.GraphDef.FromString(value.tensor.string_val[0])
                else:
                    held = tensor_util.make_ndarray(value.tensor)
                found.setdefault(plugin, {}).setdefault(value.tag, []).append((event.step, held))
    found.pop("", None)
    return found


def tags(folder):
    return {plugin: set(values) for plugin, values in read(folder).items()}


@pytest.fixture(scope="module")
def trained(make_photo_dir, photo_bytes, tmp_path_factory):
    """A function that trains on three classes with mistakes and a broken photo."""
    photos = make_photo_dir({"blue": 30, "green|`x`": 30, "red": 30})
    for number in range(15):
        # Blue photos among the red ones: the model must get some of them wrong.
        (photos / "red" / f"wrong{number}.jpg").write_bytes(photo_bytes("blue", 900 + number))
    (photos / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    root = tmp_path_factory.mktemp("trained")

    def train(name, **settings):
        return xferlearn.train(
            **{
                "image_dir": str(photos),
                "model_dir": str(root / name),
                "logs_dir": str(root / "logs"),
                "bottleneck_dir": str(root / "bottlenecks"),
                "backbone": "mobilenet_0.25",
                "weights": "none",
                "image_size": 32,
                "how_many_training_steps": 60,
                "learning_rate": 0.01,
                "testing_percentage": 30.0,
                **settings,
            }
        )

    return train


@pytest.fixture(scope="module")
def full(trained):
    result = trained("full")
    assert result.warnings == ()
    assert result.misclassified
    return result


@pytest.fixture(scope="module")
def scalars(trained):
    return trained("scalars", summaries="scalars", hidden_units=8, dropout=0.3)


RESULTS = {
    f"results/{name}"
    for name in (*("test_cross_entropy", "validation_cross_entropy", "validation_ece", "test_ece"),)
}
# What HParams compares.
COMPARED = {
    *("results/test_accuracy", "results/validation_accuracy"),
    *("speed/photos_per_second", "speed/seconds"),
}
SECONDS = {f"seconds/{stage}" for stage in STAGES}
HPARAMS = {f"_hparams_/{name}" for name in ("session_start_info", "session_end_info")}
LEARNING = {"accuracy", "loss"}
NORMS = {"learning_rate", "gradient_norm", "weight_norm"}


def test_exact_tags_of_a_full_run(full):
    judged = {"confusion_matrix/photos", "confusion_matrix/row_percent", "reliability"}
    curves = {f"pr_curves/{name}" for name in CLASSES} | {"macro_average/all_classes"}
    run = tags(full.run_dir)
    assert run.pop("transfer") == TRANSFER
    assert run == {
        "scalars": RESULTS | SECONDS,
        "text": {"run_card", "bad_photos"},
        "graphs": {"__run_graph__"},
        "graph_keras_model": {"keras"},
        "images": {f"samples/{name}" for name in CLASSES},
    }
    assert tags(full.run_dir / "hparams") == {"scalars": COMPARED, "hparams": HPARAMS}
    assert tags(full.run_dir / "train") == {
        "scalars": LEARNING | NORMS,
        # The three biases would be three spikes.
        "histograms": {
            f"weights/{n}" for n in ("hidden/kernel", "hidden/bias", "predictions/kernel")
        },
    }
    assert tags(full.run_dir / "validation") == {
        "scalars": LEARNING,
        "images": judged,
        "pr_curves": curves,
    }
    assert tags(full.run_dir / "test") == {
        "scalars": LEARNING,
        "images": judged | {"misclassified/test", "most_confident/test"},
        "pr_curves": curves,
    }
    assert sorted(path.name for path in (full.run_dir / "projector").iterdir()) == [
        "bottlenecks.bin",
        "photos.jpg",
        "photos.tsv",
    ]


def test_exact_tags_of_scalars_alone(scalars):
    run = tags(scalars.run_dir)
    assert run.pop("transfer") <= TRANSFER
    assert run == {
        "scalars": RESULTS | SECONDS,
        "text": {"run_card", "bad_photos"},
    }
    assert tags(scalars.run_dir / "hparams") == {"scalars": COMPARED, "hparams": HPARAMS}
    assert tags(scalars.run_dir / "train") == {"scalars": LEARNING | NORMS}
    assert tags(scalars.run_dir / "validation") == {"scalars": LEARNING}
    assert tags(scalars.run_dir / "test") == {"scalars": LEARNING}
    assert not (scalars.run_dir / "projector").exists()


def test_no_summaries_leave_no_folder(trained, tmp_path):
    result = trained("none", summaries="none", logs_dir=str(tmp_path / "logs"))
    assert result.run_dir is None
    assert not (tmp_path / "logs").exists()
    with pytest.raises(UserError, match=r"`summaries` to be one of none, scalars, full"):
        trained("wrong", summaries="ful")


def test_charts_share_the_step_axis_and_say_what_the_result_says(full):
    train, validation = (read(full.run_dir / name)["scalars"] for name in ("train", "validation"))
    steps = [step for step, _ in train["loss"]]
    assert steps == list(range(6, 61, 6))
    assert all([step for step, _ in values] == steps for values in validation.values())
    rates = [float(value) for _, value in train["learning_rate"]]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 1e-4
    assert all(value > 0 for _, value in train["gradient_norm"] + train["weight_norm"])
    run, test = read(full.run_dir)["scalars"], read(full.run_dir / "test")["scalars"]
    assert test["accuracy"] == read(full.run_dir / "hparams")["scalars"]["results/test_accuracy"]
    assert test["loss"] == run["results/test_cross_entropy"]
    step, accuracy = test["accuracy"][0]
    assert step == full.training.steps == steps[-1]
    assert accuracy == pytest.approx(full.test.accuracy)
    # The curves are of out-of-fold predictions before their temperature, which improves them.
    assert validation["accuracy"][-1] == (step, pytest.approx(full.validation.accuracy))
    ((_, loss),) = run["results/validation_cross_entropy"]
    saved = full.model_folder.metadata["training"]["validation_loss"]
    assert loss == pytest.approx(saved, rel=1e-3)
    assert loss <= validation["loss"][-1][1]


def test_the_graph_has_layers_by_name_with_shapes(full):
    ((_, graph),) = read(full.run_dir)["graphs"]["__run_graph__"]
    nodes = {node.name: node for node in graph.node}
    image = nodes["image"]
    assert image.op == "Placeholder"
    assert [dim.size for dim in image.attr["shape"].shape.dim] == [-1, 32, 32, 3]
    boxes = {name.split("/")[0] for name in nodes if "/" in name}
    assert boxes == {"mobilenet_0.25", "familiarity"}
    shapes = {
        name: [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim]
        for name, node in nodes.items()
    }
    assert shapes["pooling"] == [-1, 256]
    assert shapes["predictions"] == [-1, 3]
    assert all(source in nodes for node in nodes.values() for source in node.input)
    assert [name for name, node in nodes.items() if not node.input] == ["image"]
    ((_, keras_json),) = read(full.run_dir)["graph_keras_model"]["keras"]
    assert json.loads(keras_json.item())["config"]["name"] == "classifier"


def test_the_conceptual_graph_is_left_out_where_it_loses_edges():
    import keras

    inner_input = keras.Input((4,))
    inner = keras.Model(inner_input, keras.layers.Dense(2)(inner_input), name="inner")
    sequential = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)], name="first")
    image = keras.Input((4,))
    right = keras.Model(image, inner(image))
    wrong = keras.Model(image, inner(sequential(image)))
    assert conceptual_graph_is_right(json.loads(right.to_json()))
    assert not conceptual_graph_is_right(json.loads(wrong.to_json()))
    assert not conceptual_graph_is_right({"config": {"layers": [{}]}})


def test_the_run_card_answers_the_question(full):
    pages = read(full.run_dir)["text"]
    card = pages["run_card"][0][1].item().decode()
    for line in (
        "| input layer | `image` |",
        "| resolution | 32 x 32 px, RGB |",
        "| value range | 0 to 255, float32: raw pixels |",
        "| normalisation | inside the model: (x - 127.5) / 127.5, which gives -1 to 1 |",
        "| bottleneck layer | `pooling`, 256 values |",
        "| output layer | `predictions`, softmax over 3 labels |",
        "| `learning_rate` | 0.01 |",
        f"| cross-validated | {full.validation.summary()}; 5 folds, each by a head without it |",
        f"| test | {full.test.summary()}; nothing was chosen on these photos, which"
        " the measured head never saw |",
        f"| delivered | trained on all {len(full.manifest.photos)} photos after measuring |",
        "Photos left out: 1; see `bad_photos`.",
    ):
        assert line in card
    counts = full.manifest.counts()["green|`x`"]
    assert f"| green&#124;\\`x\\` | {counts['train']} | {counts['test']} |" in card
    assert "| class | cross-validated | test | precision, cross-validated |" in card
    assert "seed" not in card.split("## Settings")[1].split("## Versions")[0]
    assert f"| tensorflow | {full.model_folder.metadata['versions']['tensorflow']} |" in card
    bad = pages["bad_photos"][0][1].item().decode()
    assert "| red/broken.jpg | red | broken JPEG header" in bad


def test_images_can_be_decoded_and_show_the_photos(full):
    run, test = read(full.run_dir)["images"], read(full.run_dir / "test")["images"]
    for tag, values in {**run, **test}.items():
        ((_, tensor),) = values
        width, height, *files = tensor
        for data in files:
            image = Image.open(io.BytesIO(data))
            image.load()
            assert image.size == (int(width), int(height)), tag
    sheet = Image.open(io.BytesIO(run["samples/blue"][0][1][2]))
    red, _, blue = np.asarray(sheet, float).mean(axis=(0, 1))
    assert blue > 150
    assert red < 100
    assert len(test["misclassified/test"][0][1]) - 2 == len(full.misclassified)
    assert len(test["most_confident/test"][0][1]) - 2 == min(12, full.test.correct)


def test_pr_curves_end_at_the_share_of_the_class(full):
    ((step, curve),) = read(full.run_dir / "test")["pr_curves"]["pr_curves/red"]
    assert step == full.training.steps
    red = full.manifest.counts()["red"]["test"]
    assert curve.shape == (6, 101)
    assert curve[4, 0] == pytest.approx(red / full.test.total)
    assert curve[5, 0] == 1


def test_of_many_classes_the_worst_have_a_curve_and_all_have_a_mean(tmp_path):
    labels = [f"class {index:02}" for index in range(40)]
    truth = np.repeat(np.arange(39), 5)  # none of the last class
    scores = np.full((len(truth), 40), 0.01, np.float32)
    scores[np.arange(len(truth)), truth] = 0.6
    wrong = [3, 8, 20, 21, 22, 30, 31, 32, 33, 34, 35, 36]
    for label in wrong:
        scores[5 * label, label], scores[5 * label, (label + 1) % 2] = 0.01, 0.6
    evaluation = evaluate_predictions(labels, truth, scores.argmax(axis=1))
    with EventWriter(tmp_path) as events:
        write_curves(events, evaluation, truth, scores)
    curves = read(tmp_path)["pr_curves"]
    mean = curves.pop("macro_average/all_classes")[0][1]
    assert len(curves) == 12
    assert {f"pr_curves/class {label:02}" for label in wrong[:10]} < set(curves)
    # At 0.5 a photo of 12 classes is not found; 5 and 7 of them are taken for the first two.
    assert mean[5, 50] == pytest.approx(1 - 12 / 5 / 39)
    assert mean[4, 50] == pytest.approx((37 + 5 / 10 + 5 / 12) / 39)
    # Nothing is above 0.7, and the precision of nothing is 0.
    assert mean[4, 70] == 0


def test_pr_curve_counts_as_the_definition_says():
    generator = np.random.default_rng(0)
    positive = generator.random(200) < 0.3
    scores = np.round(generator.random(200), 2).astype(np.float32)
    scores[:3] = 0, 1, 0.5
    levels = np.linspace(0, 1, 11)
    above = scores[None] >= levels[:, None]
    expected = [
        (above & positive).sum(axis=1),
        (above & ~positive).sum(axis=1),
        (~above & ~positive).sum(axis=1),
        (~above & positive).sum(axis=1),
    ]
    curve = pr_curve(positive, scores, 11)
    np.testing.assert_array_equal(curve[:4], expected)
    np.testing.assert_allclose(curve[5], curve[0] / positive.sum())
    nothing = pr_curve(np.zeros(2, bool), np.zeros(2), 3)
    assert np.isfinite(nothing).all()


def session(result):
    held = read(result.run_dir / "hparams")["hparams"]["_hparams_/session_start_info"][0][1]
    return hparams_metadata.parse_session_start_info_plugin_data(held)


def test_hparams_make_comparable_rows(full, scalars):
    first, second = session(full), session(scalars)
    assert set(first.hparams) == set(second.hparams)
    # With the id, a box to tick and the results.
    assert len(first.hparams) + 2 + len(COMPARED) <= 25
    assert first.group_name != second.group_name
    # Whole numbers as text, which TensorBoard shows as it is.
    assert first.hparams["image_size"].string_value == "32"
    assert second.hparams["hidden_units"].string_value == "8"
    assert second.hparams["dropout"].number_value == 0.3
    changed = second.hparams["changed"].string_value.split()
    assert {"hidden_units=8", "dropout=0.3", "learning_rate=0.01"} <= set(changed)
    assert not {"model_dir", "logs_dir", "overwrite", "summaries"} & set(first.hparams)
    assert not any(one.startswith(("model_dir", "logs_dir", "summaries")) for one in changed)


def test_the_projector_has_a_point_a_row_and_a_picture_for_each_photo(full):
    from google.protobuf import text_format

    config = projector_config_pb2.ProjectorConfig()
    text_format.Parse((full.run_dir / "projector_config.pbtxt").read_text(), config)
    (embedding,) = config.embeddings
    photos = len(full.manifest.photos)
    assert list(embedding.tensor_shape) == [photos, 256]
    points = np.fromfile(full.run_dir / embedding.tensor_path, np.float32)
    assert points.size == photos * 256
    with (full.run_dir / embedding.metadata_path).open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) == photos
    assert list(rows[0]) == ["label", "predicted", "right", "score", "split", "frame", "file"]
    frames = {row["label"]: row["frame"] for row in rows}
    assert frames == dict(zip(CLASSES, FRAMES, strict=False))
    wrong = [row for row in rows if row["right"] == "no"]
    tested = {row["file"] for row in wrong if row["split"] == "test"}
    assert tested == {photo.name for photo in full.misclassified}
    # Those of the folds, too, are predicted by heads that have not learned from them.
    folded = {row["file"] for row in wrong if row["split"] == "train"}
    assert folded == {photo.name for photo in full.misclassified_in_validation}
    side = embedding.sprite.single_image_dim[0]
    columns = int(np.ceil(np.sqrt(photos)))
    sheet = np.asarray(Image.open(full.run_dir / embedding.sprite.image_path), float)
    assert sheet.shape[1] == columns * side
    colours = {"red": 0, "blue": 2}
    for index in (0, 10, photos - 30):
        row, column = divmod(index, columns)
        tile = sheet[row * side : (row + 1) * side, column * side : (column + 1) * side]
        frame = FRAMES[rows[index]["frame"]]
        assert tile[1, 4:-4].mean(axis=0) == pytest.approx(frame, abs=12)
        tile = tile[8:-8, 8:-8]
        if not rows[index]["file"].startswith("red/wrong"):
            assert tile.mean(axis=(0, 1)).argmax() == colours[rows[index]["label"]]


def test_a_full_disk_costs_the_summaries_but_not_the_model(trained, tmp_path, monkeypatch):
    def full_disk(self, event):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(EventWriter, "_write", full_disk)
    result = trained("full_disk", logs_dir=str(tmp_path))
    assert len([line for line in result.warnings if "No space left on device" in line]) >= 2
    assert result.model_folder.load_model().input_shape == (None, 32, 32, 3)


def test_a_part_that_fails_costs_no_other(trained, tmp_path, monkeypatch):
    def failing(*arguments, **more):
        raise ValueError("no such colour")

    monkeypatch.setattr("xferlearn.summaries.pictures.draw_confusion", failing)
    result = trained("one_part", logs_dir=str(tmp_path))
    (problem,) = result.warnings
    assert "no such colour" in problem
    run = tags(result.run_dir)
    assert "graphs" in run
    assert run["scalars"] == RESULTS | SECONDS
    assert (result.run_dir / "projector" / "photos.tsv").exists()


def test_event_files_sort_in_the_order_of_their_writing(tmp_path):
    names = []
    for _ in range(20):
        with EventWriter(tmp_path) as events:
            events.scalar("x", 1.0)
        names += [path.name for path in tmp_path.iterdir() if path.name not in names]
    assert len(names) == 20
    assert names == sorted(names)


def test_a_run_that_can_not_be_written_says_so_once(tmp_path):
    import keras

    (tmp_path / "file").write_text("")
    told = []
    callback = summaries.scalars_callback(tmp_path / "file" / "run", on_warning=told.append)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.zeros((4, 2)), np.zeros((4, 1)), epochs=3, callbacks=[callback], verbose=0)
    assert len(told) == 1
    assert "Can't write events" in told[0]


def test_the_callbacks_work_in_a_fit_of_ones_own(tmp_path):
    import keras

    x, y = np.random.default_rng(0).normal(size=(64, 4)).astype("float32"), np.arange(64) % 2
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(40, name="answers")])
    model.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    run_dir = summaries.create_run(tmp_path, "my model")
    callback = summaries.scalars_callback(run_dir, batch=(x[:8], y[:8]), histograms=True)
    model.fit(
        x, y, validation_data=(x, y), batch_size=16, epochs=2, callbacks=[callback], verbose=0
    )
    short = summaries.scalars_callback(tmp_path / "short", histograms=True)
    model.fit(x, y, epochs=1, callbacks=[short], verbose=0)
    assert "histograms" not in read(tmp_path / "short" / "train")
    with summaries.EventWriter(run_dir) as events:
        summaries.write_graph(events, model)
    train = read(run_dir / "train")
    assert set(train["scalars"]) == {"loss", "accuracy"} | NORMS
    assert [step for step, _ in train["scalars"]["loss"]] == [4, 8]
    assert [len(values) for values in train["histograms"].values()] == [2, 2]
    assert tags(run_dir / "validation") == {"scalars": {"loss", "accuracy"}}
    ((_, graph),) = read(run_dir)["graphs"]["__run_graph__"]
    assert "answers" in {node.name.split("/")[-1] for node in graph.node}


def test_every_run_gets_a_folder_of_its_own(tmp_path):
    runs = {summaries.create_run(tmp_path, "a b/c") for _ in range(3)}
    assert len(runs) == 3
    assert all(re.fullmatch(r"a-b-c_[\d_-]{19}(-\d)?", run.name) for run in runs)
    assert summaries.create_run(tmp_path, "." * 300).name.startswith("run_2")
    assert all(run.is_dir() and run.parent == tmp_path for run in runs)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Choose another `logs_dir`"):
        summaries.create_run(tmp_path / "file", "run")


def test_names_that_are_no_utf8_are_written_escaped(tmp_path):
    with RunWriters(tmp_path) as writers:
        writers["test"].text("page", "caf\udce9.jpg")
        writers["test"].scalar("caf\udce9", 1.0)
    found = read(tmp_path / "test")
    assert found["text"]["page"][0][1].item() == b"caf\\udce9.jpg"
    assert list(found["scalars"]) == ["caf\\udce9"]
