"""Predictions by photo: what is written is read again, and what is damaged is named."""

import csv
import hashlib
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from xferlearn.photos.manifest import Manifest, Photo
from xferlearn.photos.predicted import (
    Predicted,
    predicted_photos,
    read_predicted,
    write_predicted,
)

NAMES = ("a/1.jpg", "a/caf\udce9.jpg", "b/2,3.jpg", 'b/"4".jpg')


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


@pytest.fixture
def predicted() -> Predicted:
    photos = tuple(Photo(digest(name), int(name[0] == "b"), name) for name in NAMES)
    splits = ("train", "test", "train", "train")
    manifest = Manifest(("a", "b\udce9"), photos, splits, groups=(0, 1, 1, 2), folds=(0, -1, 1, -1))
    probabilities = {
        "validation": np.float32([[0.9, 0.1], [0.25, 0.75]]),
        "test": np.float32([[1 / 3, 2 / 3]]),
    }
    return predicted_photos(manifest, probabilities, np.float32([0.1, 0.2, np.nan, 1.0]))


def written(predicted: Predicted, form: str = "parquet") -> bytes:
    file = io.BytesIO()
    write_predicted(file, predicted, form)
    return file.getvalue()


def test_parquet_gives_back_what_was_written(predicted: Predicted) -> None:
    read = read_predicted(written(predicted), predicted.labels)
    assert read.names == (NAMES[0], "a/caf\\udce9.jpg", *NAMES[2:])
    for name in ("labels", "digests", "splits", "truth", "groups"):
        assert getattr(read, name) == getattr(predicted, name), name
    for name in ("probabilities", "familiarity", "y"):
        np.testing.assert_array_equal(getattr(read, name), getattr(predicted, name))
    assert (read.y.dtype, read.probabilities.dtype) == (np.int32, np.float32)
    assert written(read) == written(predicted)


def test_what_no_head_was_judged_by_is_null(predicted: Predicted) -> None:
    table = pq.read_table(io.BytesIO(written(predicted))).to_pydict()
    assert table["probability_a"] == [
        pytest.approx(v) if v else v for v in (0.9, 1 / 3, 0.25, None)
    ]
    assert table["familiarity"][2] is None
    assert table["probability_b\\udce9"][3] is None
    assert table["group"] == [0, 1, 1, 2]


def test_judged_photos_are_those_with_probabilities(predicted: Predicted) -> None:
    folds, test = predicted.judged(test=False), predicted.judged(test=True)
    assert (folds.names, test.names) == ((NAMES[0], NAMES[2]), (NAMES[1],))
    assert (folds.y.tolist(), folds.groups, test.y.tolist()) == ([0, 1], (0, 1), [0])
    assert folds.probabilities.tolist() == [pytest.approx([0.9, 0.1]), [0.25, 0.75]]


def test_photos_that_stand_alone_have_no_group(predicted: Predicted) -> None:
    alone = Predicted(**{**vars(predicted), "groups": ()})
    assert read_predicted(written(alone), alone.labels).groups == ()
    assert alone.only([1]).groups == ()


@pytest.mark.parametrize(("form", "separator"), [("csv", ","), ("tsv", "\t")])
def test_text_files_have_the_same_rows(predicted: Predicted, form: str, separator: str) -> None:
    text = written(predicted, form).decode("utf-8", "surrogateescape")
    head, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    assert head[:6] == ["sha256", "file", "split", "label", "group", "familiarity"]
    assert head[6:] == ["probability_a", "probability_b\udce9"]
    assert [row[1] for row in rows] == list(NAMES)
    assert rows[0][2:] == ["train", "a", "0", "0.1", "0.9", "0.1"]
    assert rows[3][5:] == ["1.0", "", ""]


def test_json_lines_have_probabilities_by_class(predicted: Predicted) -> None:
    rows = [json.loads(line) for line in written(predicted, "json").splitlines()]
    assert rows[0]["probabilities"] == {"a": 0.9, "b\udce9": 0.1}
    assert rows[3]["probabilities"] == {"a": None, "b\udce9": None}
    assert (rows[1]["sha256"], rows[1]["split"]) == (digest(NAMES[1]).hex(), "test")


def test_damaged_files_and_those_of_other_classes_are_refused(predicted: Predicted) -> None:
    data = written(predicted)
    with pytest.raises(ValueError, match="classes"):
        read_predicted(data, ("a", "c"))
    with pytest.raises(ValueError, match=r"\w"):
        read_predicted(data[: len(data) // 2], predicted.labels)
    with pytest.raises(ValueError, match=r"\w"):
        read_predicted(b"", predicted.labels)
