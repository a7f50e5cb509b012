"""Photos with several labels: a model of them labels, explains, is measured and decides."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import xferlearn
from xferlearn.cli import main
from xferlearn.config import AnswerConfig, DecideConfig
from xferlearn.decisions import MultiLabelDecision, choose_label_thresholds
from xferlearn.errors import UserError
from xferlearn.labelling import Answerer, AnswerTable, Labelled
from xferlearn.model_folder import read_model_folder
from xferlearn.predictors import Predictor
from xferlearn.predictors.base import Answers

LABELS = ("blue", "green", "red")
SETS = ("blue", "green", "red", "blue|green", "blue|red", "green|red", "")
Run = Callable[..., tuple[int, str, str]]


def patches(colours: str, number: int, photo_bytes: Callable[..., bytes]) -> bytes:
    """Two pictures side by side: of each colour, or of black where there are fewer."""
    names = [*filter(None, colours.split("|")), "black", "black"][:2]
    halves = [Image.open(io.BytesIO(photo_bytes(name, number, size=(32, 48)))) for name in names]
    both = Image.new("RGB", (64, 48))
    for place, half in enumerate(halves):
        both.paste(half, (32 * place, 0))
    buffer = io.BytesIO()
    both.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, photo_bytes: Callable[..., bytes]) -> Path:
    """Ninety-eight photos with two, one or no colours, and the table that says which."""
    root = tmp_path_factory.mktemp("patches")
    rows = []
    for number in range(14):
        for place, text in enumerate(SETS):
            name = f"{number:02d}-{place}.png"
            (root / name).write_bytes(patches(text, 7 * number + place, photo_bytes))
            rows.append((name, text))
    write_table(root / "labels.csv", rows)
    return root


def write_table(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "labels"), *rows])
    return path


@pytest.fixture(scope="module")
def trained(photos: Path) -> Any:
    """What `train` returns of them: a network that knows nothing, so that some are wrong."""
    root = photos.parent / "trained"
    return xferlearn.train(
        image_dir=str(photos),
        labels=str(photos / "labels.csv"),
        model_dir=str(root / "model"),
        bottleneck_dir=str(root / "bottlenecks"),
        backbone="mobilenet_0.25",
        weights="none",
        image_size=32,
        how_many_training_steps=60,
        dropout=0.0,
        testing_percentage=20.0,
        refit="none",
        summaries="none",
        engine="tensorflow",
        precision="float32",
        min_recall={"red": 0.8},
    )


@pytest.fixture
def model(trained: Any, tmp_path: Path) -> Path:
    """A copy of the model."""
    return Path(shutil.copytree(trained.model_folder.path, tmp_path / "model"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], trained: Any) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        cache = trained.model_folder.path.parent / "bottlenecks"
        flags = () if words[0] in ("decide", "diff") else (f"--bottleneck_dir={cache}",)
        code = main([*map(str, words), *flags])
        return code, *capsys.readouterr()

    return call


def predictor(decision: MultiLabelDecision, familiar: bool = True) -> Predictor:
    """A model whose scores are the first pixels of a photo."""

    def answer(pixels: np.ndarray) -> Answers:
        return Answers(pixels[:, 0, 0].astype(np.float32) / 255)

    metadata = {"labels": LABELS, "multi_label": True, "decision": decision.as_dict()}
    return Predictor(LABELS, 8, 8, "crop", answer, metadata=metadata, says_familiarity=familiar)


def test_an_answer_has_all_labels_that_reach_their_threshold() -> None:
    decision = MultiLabelDecision(LABELS, {"blue": 0.2, "green": 0.9, "red": 0.5})
    answerer = Answerer.of(predictor(decision), AnswerConfig())
    answer = answerer.answer(Labelled("a", scores=np.array([0.3, 0.8, 0.7], np.float32)), 1)
    assert (answer.label, answer.labels, answer.label_set) == ("blue|red", *[("red", "blue")] * 2)
    assert answer.probability is None, "each label has its own"
    # Labels that the photo has are all there, first; so is the likelier one that it has not.
    assert [label for label, _ in answer.scores] == ["red", "blue"]
    none = answerer.answer(Labelled("a", scores=np.array([0.1, 0.8, 0.2], np.float32)))
    assert (none.status, none.label, none.labels) == ("answered", "", ())
    assert [label for label, _ in none.scores] == ["green", "red", "blue"]
    strange = Labelled("a", scores=np.ones(3, np.float32), familiarity=0.001)
    assert answerer.answer(strange).status == "unknown"
    failed = answerer.answer(Labelled("a", scores=np.full(3, np.nan, np.float32)))
    assert (failed.status, failed.labels) == ("failed", ())
    assert answerer.answer(Labelled("a")).labels == ()


def test_the_end_counts_labels_and_photos_without() -> None:
    decision = MultiLabelDecision(LABELS, dict.fromkeys(LABELS, 0.5))
    table = AnswerTable(Answerer.of(predictor(decision), AnswerConfig()), 1)
    rows = []
    for scores in ([0.7, 0.8, 0.9], [0.9, 0.1, 0.1], [0.1, 0.1, 0.2]):
        photo = Labelled("a", scores=np.array(scores, np.float32))
        rows.append(dict(zip(table.columns, table.texts(photo), strict=True)))
    assert [row["labels"] for row in rows] == ["blue|green|red", "blue", ""], "by name"
    assert [row["label_1"] for row in rows] == ["red", "blue", "red"]
    assert table.counted() == "2 blue, 1 red, 1 green, 1 without a label"
    record = table.record(Labelled("a", scores=np.array([0.7, 0.8, 0.9], np.float32)))
    assert record["label_set"] == ["blue", "green", "red"]
    assert [one["label"] for one in record["labels"]] == ["red", "green", "blue"]


@pytest.mark.parametrize("asked", [{"max_error": 0.1}, {"coverage": 0.9}])
def test_promises_of_one_answer_per_photo_are_refused(asked: dict[str, float]) -> None:
    decision = MultiLabelDecision(LABELS, dict.fromkeys(LABELS, 0.5))
    with pytest.raises(UserError, match=r"is about one answer per photo.*`min_precision`"):
        Answerer.of(predictor(decision), AnswerConfig(**asked))


def test_train_tells_thresholds_and_what_was_asked(trained: Any) -> None:
    said = " ".join(repr(trained).split())
    assert "threshold precision recall" in said
    assert "red from" in said
    assert "(recall 0.8), each other class from its threshold" in said
    assert "all else" in said
    assert "at the thresholds of the largest F1" in said
    assert "mean over classes with photos at thresholds of the other folds" in said
    assert "14 with none" in said
    assert (
        "Threshold: the model's. Precision, recall, F1: at those chosen on other folds. class"
        in said
    )
    assert trained.validation.total + trained.test.total == 98
    [measured] = trained.chosen.validation.classes
    assert (measured.label, measured.recall >= 0.8) == ("red", True)
    assert trained.model_folder.metadata["decision"]["asked"] == {"min_recall": {"red": 0.8}}


def test_label_prints_and_writes_all_labels(
    run: Run, trained: Any, photos: Path, tmp_path: Path
) -> None:
    folder = trained.model_folder.path
    thresholds = trained.chosen.decision.thresholds
    code, out, err = run("label", *sorted(photos.glob("0[0-2]*")), f"--model={folder}")
    assert code == 0
    assert "labels: " in out
    assert " red" in err
    code, out, _ = run("label", photos, f"--model={folder}", "--format=json")
    rows = [json.loads(line) for line in out.splitlines()]
    for row in rows:
        scores = {one["label"]: one["score"] for one in row["labels"]}
        has = {label for label, score in scores.items() if score >= np.float32(thresholds[label])}
        assert set(row["label_set"]) == has
        assert sorted(one["label"] for one in row["labels"][: len(has)]) == row["label_set"]
    assert any(not row["label_set"] for row in rows)
    file = tmp_path / "labels.parquet"
    assert run("label", photos, f"--model={folder}", "--top_k=1", f"--output={file}")[0] == 0
    table = pq.read_table(file)
    assert table.column_names == [
        "image", "labels", "label_1", "score_1", "status", "familiarity", "error",
    ]  # fmt: skip
    assert table["labels"].to_pylist() == ["|".join(row["label_set"]) for row in rows]


def test_why_has_a_heat_map_for_each_label(
    run: Run, trained: Any, photos: Path, tmp_path: Path
) -> None:
    classifier = xferlearn.load_classifier(
        str(trained.model_folder.path),
        bottleneck_dir=str(trained.model_folder.path.parent / "bottlenecks"),
    )
    answers = classifier.answers(sorted(map(str, photos.glob("*.png"))))
    several = next(i for i, one in enumerate(answers) if len(one.labels) > 1)
    without = next(i for i, one in enumerate(answers) if not one.labels)
    names = sorted(photos.glob("*.png"))
    found = classifier.explain(str(names[several]))
    assert tuple(found.heat_maps) == answers[several].labels
    assert found.overlay(answers[several].labels[1]) is not None
    assert all(label in found.answer_text() for label in answers[several].labels)
    assert {one.label for one in found.nearest} <= set(SETS)
    nothing = classifier.explain(str(names[without]))
    assert "no label: none reaches its threshold" in repr(nothing)
    assert list(nothing.heat_maps) == [answers[without].scores[0][0]]
    asked = classifier.explain(str(names[several]), labels=["green"])
    assert list(asked.heat_maps) == ["green"]
    with pytest.raises(UserError, match=r"Received: 'gren'. Did you mean green"):
        classifier.explain(str(names[several]), labels="gren")
    page = tmp_path / "why"
    words = ("label", names[several], names[without], f"--model={trained.model_folder.path}")
    assert run(*words, f"--why={page}", "--verbose=0")[0] == 0
    html = (page / "index.html").read_text()
    assert html.count("strongest") == len(answers[several].labels) + 1
    assert "|<wbr>" in html, "labels of the nearest photos may be parted"


def test_evaluate_measures_what_train_measured(
    run: Run, trained: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    words = ("evaluate", photos, f"--labels={photos / 'labels.csv'}", f"--model={model}")
    file, logs = tmp_path / "photos.parquet", tmp_path / "logs"
    more = ("--split=test", f"--output={file}", f"--logs_dir={logs}", "--verbose=0")
    code, out, err = run(*words, *more)
    assert code == 0, err
    assert f"measured          {trained.test.summary()}" in out
    assert "red: recall" in out
    assert "have a label too many or lack one:" in out or "has a label too many" in out
    assert [*logs.iterdir()]
    # The table of predictions is a table of labels again.
    again = xferlearn.evaluate(
        model=str(model), image_dir=str(photos), labels=str(file), label_column="label"
    )
    said = again.as_dict()
    assert said["mean_average_precision"] == pytest.approx(trained.test.value)
    assert said["classes"]["red"]["threshold"] == trained.chosen.decision.thresholds["red"]
    wrong = {one.name: one for one in again.misclassified}
    assert len(wrong) == again.evaluation.total - again.evaluation.exact
    assert all(set(one.truth.split("|")) <= {*LABELS, ""} for one in wrong.values())


def test_truth_from_folders_corrections_and_other_classes(
    model: Path, photos: Path, tmp_path: Path, photo_bytes: Callable[..., bytes]
) -> None:
    # A folder is read as several labels per photo: copies have all of theirs.
    folders = tmp_path / "folders"
    for number, text in enumerate(("blue|red", "green", "red")):
        for label in text.split("|"):
            (folders / label).mkdir(parents=True, exist_ok=True)
            data = patches(text, 900 + number, photo_bytes)
            (folders / label / f"{number}.png").write_bytes(data)
    settings: dict[str, Any] = {"model": str(model), "image_dir": str(folders)}
    result = xferlearn.evaluate(**settings)
    assert [row.photos for row in result.evaluation.classes] == [1, 1, 2]
    with pytest.raises(UserError, match="`multi_label=False` is for models"):
        xferlearn.evaluate(**settings, multi_label=False)
    table = write_table(
        tmp_path / "other.csv", [("00-0.png", "blue|violet"), ("01-1.png", "green|red")]
    )
    settings = {"model": str(model), "image_dir": str(photos), "labels": str(table)}
    settings |= {"include_seen": True, "path_column": "file", "label_column": "labels"}
    with pytest.raises(UserError, match="no class 'violet'"):
        xferlearn.evaluate(**settings)
    assert xferlearn.evaluate(**settings, other_classes="skip").evaluation.total == 1
    counted = xferlearn.evaluate(**settings, other_classes="count").evaluation
    assert counted.labels == (*LABELS, "violet")
    assert (counted.classes[3].recall, counted.classes[3].threshold) == (0.0, None)
    digest = next(
        photo.digest.hex()
        for photo in read_model_folder(model).photos()
        if photo.name == "00-0.png"
    )
    corrections = tmp_path / "corrections.csv"
    corrections.write_text(
        f"digest,name,action,label,when,command\n{digest},00-0.png,relabel,blue|green,,\n",
        newline="",
    )
    mended = xferlearn.evaluate(**settings, corrections=str(corrections)).evaluation
    assert [row.photos for row in mended.classes] == [1, 2, 1]


def test_one_kind_of_model_is_not_measured_as_the_other(
    colour_model: Path, photos: Path, model: Path, photo_dir: Path
) -> None:
    with pytest.raises(UserError, match="gives each photo one label, and photos of"):
        xferlearn.evaluate(
            model=str(colour_model), image_dir=str(photos), labels=str(photos / "labels.csv")
        )
    with pytest.raises(UserError, match=r"gives it one\. Expected two models of one kind"):
        xferlearn.diff(models=[str(model), str(colour_model)])
    with pytest.raises(UserError, match="Expected two models of one kind"):
        xferlearn.diff(models=[str(colour_model), str(model)], image_dir=str(photo_dir))


def test_decide_sets_thresholds_and_clear_returns_to_those_of_f1(
    run: Run, model: Path, photos: Path
) -> None:
    folder = read_model_folder(model)
    code, out, _ = run("decide", f"--model={model}", "--clear")
    assert code == 0
    assert "each class from its threshold of the largest F1 on" in out
    cleared = read_model_folder(model).metadata["decision"]
    known = folder.predictions().judged(test=False)
    best = choose_label_thresholds(LABELS, known.probabilities, known.y)
    assert cleared["thresholds"] == dict(best.thresholds)
    code, out, _ = run("decide", f"--model={model}", "--min_recall=green=0.9")
    assert "green     decision" in out
    assert "green: recall" in out
    assert "accuracy" not in out
    decided = read_model_folder(model).metadata["decision"]
    assert decided["asked"] == {"min_recall": {"green": 0.9}}
    assert {label: decided["thresholds"][label] for label in ("blue", "red")} == {
        label: cleared["thresholds"][label] for label in ("blue", "red")
    }
    answers = xferlearn.load_classifier(str(model)).answers(str(next(photos.glob("*.png"))))
    scores = dict(answers[0].scores)
    assert ("green" in answers[0].labels) == (
        scores["green"] >= np.float32(decided["thresholds"]["green"])
    )
    code, _, err = run("decide", f"--model={model}", "--cost=red:green=5")
    assert code == 2
    assert "--cost is of one class taken for another" in err
    (model / "predictions.parquet").unlink()
    code, _, err = run("decide", f"--model={model}", "--clear")
    assert code == 2, "there is nothing to choose thresholds by"
    assert read_model_folder(model).metadata["decision"] == decided


def test_what_is_asked_of_classes_is_checked_before_any_work(photos: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "labels": str(photos / "labels.csv"), "image_dir": str(photos),
        "model_dir": str(tmp_path / "model"),
    }  # fmt: skip
    with pytest.raises(UserError, match=r"names 'reed', which is no class. Did you mean red"):
        xferlearn.train(**settings, min_recall={"reed": 0.9})
    with pytest.raises(UserError, match="`cost` is of one class taken for another"):
        xferlearn.train(**settings, cost={("red", "green"): 5})
    with pytest.raises(UserError, match="`cost` is of one class taken for another"):
        DecideConfig(model="m", cost={("red", "green"): 5}).asked(LABELS, multi_label=True)


def test_diff_compares_average_precision(run: Run, trained: Any, model: Path) -> None:
    other = read_model_folder(model)
    edited = model.parent / "edited"
    shutil.copytree(model, edited)
    assert run("decide", f"--model={edited}", "--min_recall=blue=0.9")[0] == 0
    result = xferlearn.diff(models=[str(model), str(edited)])
    said = result.as_dict()
    assert said["change"] == 0.0, "thresholds do not order photos"
    low, high = said["interval_95"]
    assert low < 0 < high
    assert said["n"] == len(other.predictions().names)
    assert said["parts"]["test"]["mean_average_precision_after"] == pytest.approx(
        trained.test.value
    )
    assert said["classes"]["red"]["average_precision_before"] == pytest.approx(
        said["classes"]["red"]["average_precision_after"]
    )
    changed = {one["before"] != one["after"] for one in said["changed"]}
    assert changed == {True}
    assert "measured         mean average precision" in repr(result)


def test_thresholds_expect_as_many_photos_as_there_are() -> None:
    generator = np.random.default_rng(7)
    logits = generator.normal(-2, 2, (4000, 1))
    y = generator.random(logits.shape) < 1 / (1 + np.exp(-logits))

    def threshold(shift: float) -> float:
        p = 1 / (1 + np.exp(-logits - shift))
        return choose_label_thresholds(("a",), p, y).thresholds["a"]

    # Whether probabilities are all too high or too low, the same photos are labelled.
    truly = threshold(0.0)
    assert 0.3 < truly < 0.5, "half of the F1 that it gives"
    for shift in (-1.0, 1.0):
        wrong = threshold(shift)
        assert np.log(wrong / (1 - wrong)) - shift == pytest.approx(
            np.log(truly / (1 - truly)), abs=1e-4
        )
    everywhere = np.ones((5, 1), bool)
    assert choose_label_thresholds(("a",), np.linspace(0.1, 1, 5)[:, None], everywhere).decide(
        np.array([[0.1]])
    )
