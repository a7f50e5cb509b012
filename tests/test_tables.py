"""Labels from tables: every form that people keep them in ends right, or in a clear question."""

import csv
import io
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import xferlearn
from xferlearn.config import EvaluateConfig, TrainConfig
from xferlearn.errors import UserError
from xferlearn.photos import PhotoSource, open_source, pick_photos
from xferlearn.photos.manifest import Photo
from xferlearn.photos.opening import open_labelled

CLASSES = ("cat", "dog")
NAMES = [(f"{label}_{number:02d}.jpg", label) for label in CLASSES for number in range(12)]
NUMBERS = {"cat": 0, "dog": 1}
Cells = Callable[[int, str, str], Sequence[object]]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with 24 photos in `photos`, which are not read when they are listed."""
    (tmp_path / "photos").mkdir()
    for name, _ in NAMES:
        (tmp_path / "photos" / name).write_bytes(b"\xff\xd8\xff" + name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(cells: Cells, head: Sequence[str] = (), separator: str = ",") -> str:
    rows = [head] if head else []
    rows += [cells(number, name, label) for number, (name, label) in enumerate(NAMES)]
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


PLAIN = table(lambda i, name, label: (name, label), ("file", "label"))


def opened(**settings: Any) -> PhotoSource:
    given = {"model_dir": "model", "summaries": "none", "image_dir": "photos", **settings}
    return open_source(TrainConfig(**given))


def counts(source: PhotoSource) -> dict[str, int]:
    found = Counter(source.labels[entry.label] for entry in source.entries())
    assert source.count == sum(found.values())
    return dict(found)


def labelled(text: str | bytes, name: str = "labels.csv", **settings: Any) -> PhotoSource:
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    return opened(labels=name, **settings)


def stem(name: str) -> str:
    return name.removesuffix(".jpg")


# Name, text, and which columns are for photos and classes.
FORMS: dict[str, tuple[str, str | bytes, str, str]] = {
    "plain": ("a.csv", PLAIN, "file", "label"),
    "kaggle": (
        "train.csv",
        table(lambda i, name, label: (stem(name), label), ("Id", "Label")),
        "Id",
        "Label",
    ),
    "lesions": (
        "meta.csv",
        table(
            lambda i, name, label: (stem(name), label, ("histo", "other")[i % 2], 40 + i % 3),
            ("image_id", "dx", "dx_type", "age"),
            ";",
        ),
        "image_id",
        "dx",
    ),
    "boxes": (
        "boxes.tsv",
        table(
            lambda i, name, label: (name, 640, 480, NUMBERS[label], label),
            ("file_name", "width", "height", "category_id", "category_name"),
            "\t",
        ),
        "file_name",
        "category_name",
    ),
    "own words": (
        "liste.csv",
        table(lambda i, name, label: (name, label), ("Datei", "Tierart"), ";").encode("utf-8-sig"),
        "Datei",
        "Tierart",
    ),
    "excel": (
        "excel.csv",
        "sep=;\r\n" + table(lambda i, name, label: (name, label), ("file", "label"), ";"),
        "file",
        "label",
    ),
    "comments": ("c.csv", f"# made by hand, in May\n# {PLAIN}", "file", "label"),
    "utf-16": ("u.csv", PLAIN.encode("utf-16"), "file", "label"),
    "index": (
        "pandas.csv",
        table(lambda i, name, label: (i, name, label), ("", "filename", "breed")),
        "filename",
        "breed",
    ),
    "windows": (
        "w.csv",
        table(lambda i, name, label: (f"C:\\data\\photos\\{name}", label), ("path", "class")),
        "path",
        "class",
    ),
    "upper case": (
        "upper.csv",
        table(lambda i, name, label: (name.upper(), label), ("file", "label")),
        "file",
        "label",
    ),
    "json lines": (
        "metadata.jsonl",
        "".join(json.dumps({"file_name": n, "label": one}) + "\n" for n, one in NAMES),
        "file_name",
        "label",
    ),
    "json list": (
        "a.json",
        json.dumps([{"image": n, "class": one, "tags": ["x"]} for n, one in NAMES]),
        "image",
        "class",
    ),
    "json by file": ("b.json", json.dumps(dict(NAMES)), "key", "value"),
    "json columns": (
        "c.json",
        json.dumps(
            {
                "image": {str(i): n for i, (n, _) in enumerate(NAMES)},
                "y": {str(i): one for i, (_, one) in enumerate(NAMES)},
            }
        ),
        "image",
        "y",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_table_is_read_and_its_columns_are_said(root: Path, form: str) -> None:
    name, text, path, label = FORMS[form]
    source = labelled(text, name)
    assert source.labels == CLASSES
    assert counts(source) == {"cat": 12, "dog": 12}
    assert [entry.name for entry in source.entries()] == [name for name, _ in NAMES]
    said = source.warnings[0]
    assert said.startswith(f"{name}: the photos are named in column {path!r}, the classes are in")
    assert f"column {label!r}" in said
    assert "`path_column` or `label_column`" in said


def test_columns_that_are_given_need_not_be_found(root: Path) -> None:
    text = table(lambda i, name, label: (name, label, i % 2), ("a", "b", "c"))
    source = labelled(text, path_column="a", label_column="2")
    assert (counts(source), source.warnings) == ({"cat": 12, "dog": 12}, ())
    assert source.labels == CLASSES


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ({"cat": "0", "dog": "1"}, ("0", "1")),
        ({"cat": "0.0", "dog": "3.0"}, ("0", "3")),
        ({"cat": "0.5", "dog": "1.0"}, ("0.5", "1")),
        ({"cat": "v1.0", "dog": "1.0"}, ("1.0", "v1.0")),
        ({"cat": "007", "dog": "1"}, ("007", "1")),
        ({"cat": "True", "dog": "FALSE"}, ("false", "true")),
        ({"cat": "none", "dog": "some"}, ("none", "some")),
        ({"cat": " pa\u0302querette ", "dog": "ros\u00e9"}, ("p\u00e2querette", "ros\u00e9")),
    ],
)
def test_labels_are_text_in_one_form(root: Path, values: dict, labels: tuple[str, ...]) -> None:
    text = table(lambda i, name, label: (name, values[label]), ("file", "label"))
    assert labelled(text).labels == labels


def test_the_same_classes_come_from_numbers_and_truth_values_of_parquet(root: Path) -> None:
    files = [name for name, _ in NAMES]
    for values, labels in (
        ([float(NUMBERS[label]) for _, label in NAMES], ("0", "1")),
        ([0.5 + NUMBERS[label] / 2 for _, label in NAMES], ("0.5", "1")),
        ([label == "dog" for _, label in NAMES], ("false", "true")),
    ):
        pq.write_table(pa.table({"file": files, "label": values}), "a.parquet")
        assert opened(labels="a.parquet").labels == labels
    names = pa.array([label for _, label in NAMES]).dictionary_encode()
    pyarrow.feather.write_feather(pa.table({"file": files, "species": names}), "a.feather")
    assert opened(labels="a.feather").labels == CLASSES


@pytest.mark.parametrize("name", ["list.csv", "train.txt"])
def test_a_table_without_names_of_columns_is_recognised(root: Path, name: str) -> None:
    separator = "," if name == "list.csv" else "   "
    text = table(lambda i, name, label: (name, label), (), separator)
    source = labelled(text, name)
    assert counts(source) == {"cat": 12, "dog": 12}
    assert "has no names of columns in its first line" in source.warnings[0]
    assert "'column 2', a guess by its values" in source.warnings[1]


def test_two_columns_that_may_be_the_classes_are_asked_for(root: Path) -> None:
    text = table(lambda i, name, label: (name, f"{i % 4 / 3:.4f}", "xy"[i % 2]), (), "  ")
    with pytest.raises(UserError, match=r"'column 2' \(4 values: 0.0000, .*'column 3' \(2 values"):
        labelled(text)
    source = opened(labels="labels.csv", label_column="column 3")
    assert source.labels == ("x", "y")
    named = table(lambda i, name, label: (name, label, "xy"[i % 2]), ("file", "label", "category"))
    with pytest.raises(UserError, match="Choose one with `label_column='label'`"):
        labelled(named)


def test_one_column_per_class_is_one_label(root: Path) -> None:
    head = ("image", *CLASSES)

    def row(i: int, name: str, label: str) -> tuple[object, ...]:
        return (stem(name), *(f"{float(label == one)}" for one in CLASSES))

    source = labelled(table(row, head))
    assert (source.labels, counts(source)) == (CLASSES, {"cat": 12, "dog": 12})
    assert "the classes are in columns 'cat', 'dog'" in source.warnings[0]
    none = table(lambda i, name, label: (name, i % 3 // 2, 0, 0), ("image", "a", "b", "c"))
    with pytest.raises(
        UserError, match=r"have 0 and 1 only, but 0 rows with several.* 16 with none"
    ):
        labelled(none)


@pytest.mark.parametrize(
    ("head", "words", "splits"),
    [
        ("is_valid", ("False", "True"), {None: 18, "validation": 6}),
        ("Set", ("Train", "VAL"), {None: 18, "validation": 6}),
        ("split", ("training", "Test"), {None: 18, "test": 6}),
        ("is_train", ("1", "0"), {None: 18, "test": 6}),
        ("is_test", ("False", "True"), {None: 18, "test": 6}),
        ("test", ("False", "True"), {None: 18, "test": 6}),
        ("anything", ("train", "dev"), {None: 18, "validation": 6}),
    ],
)
def test_the_split_of_a_table_is_used(root: Path, head: str, words: tuple, splits: dict) -> None:
    text = table(lambda i, n, label: (n, label, words[i % 4 == 0]), ("file", "label", head))
    source = labelled(text)
    assert Counter(entry.fixed_split for entry in source.entries()) == splits
    assert any("says the split, and this split is used: 18 train, 6" in w for w in source.warnings)
    source = opened(labels="labels.csv", split_column="none")
    assert {entry.fixed_split for entry in source.entries()} == {None}


def test_other_splits_are_refused_and_one_alone_splits_nothing(root: Path) -> None:
    head = ("file", "label", "split")
    text = table(lambda i, n, label: (n, label, ("train", "test", "extra")[i % 3]), head)
    with pytest.raises(UserError, match=r"'split' of labels.csv has 'extra'.*split_column='none'"):
        labelled(text)
    source = labelled(table(lambda i, n, label: (n, label, "train"), head))
    assert {entry.fixed_split for entry in source.entries()} == {None}
    assert any("is 'train' in all rows, so it splits nothing" in w for w in source.warnings)
    text = table(lambda i, n, label: (n, label, "train" if label == "cat" else "test"), head)
    with pytest.raises(UserError, match=r"Class 'dog' of labels.csv has no training photos"):
        labelled(text)


def test_a_model_is_measured_on_the_test_rows_and_on_its_classes(root: Path) -> None:
    head = ("file", "label", "split")
    text = table(lambda i, n, label: (n, label, ("train", "test")[i % 4 == 0]), head)
    Path("labels.csv").write_text(text)
    settings: dict = {"model": "m", "image_dir": "photos", "labels": "labels.csv"}
    source = open_labelled(EvaluateConfig(**settings), ("dog", "cat", "bird"))
    assert (source.labels, counts(source)) == (("dog", "cat", "bird"), {"cat": 3, "dog": 3})
    assert "only its test photos are measured" in source.warnings[-1]
    source = open_labelled(EvaluateConfig(**settings, split_column="none"), ("dog", "cat"))
    assert counts(source) == {"cat": 12, "dog": 12}
    with pytest.raises(UserError, match=r"The model has no class 'dog', a label of labels.csv"):
        open_labelled(EvaluateConfig(**settings), ("cat", "bird"))
    source = open_labelled(EvaluateConfig(**settings), ("cat", "bird"), "skip")
    assert counts(source) == {"cat": 3}
    with pytest.raises(UserError, match="has no photo of the model's classes, bird"):
        open_labelled(EvaluateConfig(**settings), ("bird",), "skip")


def test_what_can_not_be_used_is_counted_and_named(root: Path) -> None:
    for name in ("deep/twice.jpg", "deeper/twice.jpg", "left.jpg"):
        path = root / "photos" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff")
    rows = [
        ("gone.jpg", "cat"), ("twice.jpg", "cat"), ("https://example.org/a.jpg", "dog"),
        ("", "dog"), ("cat_00.jpg", "cat"), ("cat_01.jpg", "dog"), ("dog_00.jpg", "NaN"),
    ]  # fmt: skip
    text = PLAIN.replace("dog_00.jpg,dog\n", "") + "".join(f"{a},{b}\n" for a, b in rows)
    source = labelled(text)
    assert counts(source) == {"cat": 11, "dog": 11}
    left_out = {bad.name: bad.reason for bad in source.left_out}
    assert left_out == {
        "gone.jpg": "not found",
        "twice.jpg": "2 photos have this name, such as deep/twice.jpg and deeper/twice.jpg",
        "https://example.org/a.jpg": "is a URL; download the photo",
        "row 27": "has no file name",
        "cat_01.jpg": "has rows with different labels: cat, dog",
    }
    said = "\n".join(source.warnings)
    assert "1 photo is not found: gone.jpg." in said
    assert "1 photo has a name that several files have: twice.jpg." in said
    assert "1 photo is a URL, which is not downloaded: https://example.org/a.jpg." in said
    assert "1 row without a label is left out: dog_00.jpg." in said
    assert "1 row of photos that have one already is passed over: cat_00.jpg." in said
    assert "1 photo has rows with different labels: cat_01.jpg." in said
    assert "no row for 3 photos, which are not used: deep/twice.jpg, deeper/twice.jpg" in said
    with pytest.raises(UserError, match=r"gone.jpg can't be used: not found"):
        opened(labels="labels.csv", on_bad_image="fail")


def test_photos_lie_anywhere_below_the_folder_beside_the_table_or_at_absolute_paths(
    root: Path,
) -> None:
    inner = root / "photos" / "all" / "of them"
    inner.mkdir(parents=True)
    for name, _ in NAMES:
        (root / "photos" / name).rename(inner / name)
    assert counts(labelled(PLAIN)) == {"cat": 12, "dog": 12}
    beside = table(lambda i, n, label: (f"./all/of them/{n}", label), ("file", "label"))
    source = labelled(beside, "photos/labels.csv", image_dir=None)
    assert next(source.entries()).name == "all/of them/cat_00.jpg"
    absolute = table(lambda i, n, label: (inner / n, label), ("file", "label"))
    source = labelled(absolute, image_dir=None)
    assert next(source.entries()).name == str(inner / "cat_00.jpg")
    assert next(source.entries()).read().endswith(b"cat_00.jpg")
    elsewhere = table(lambda i, n, label: (f"/mnt/x/all/of them/{n}", label), ("file", "label"))
    source = labelled(elsewhere)
    assert counts(source) == {"cat": 12, "dog": 12}
    assert "'/mnt/x/' at the beginning of names stands for photos" in source.warnings[1]


def test_names_are_compared_in_one_form_of_unicode(root: Path) -> None:
    for name, _ in NAMES:
        accent = unicodedata.normalize("NFD", f"pâ{name}")
        (root / "photos" / name).rename(root / "photos" / accent)
    text = table(lambda i, n, label: (unicodedata.normalize("NFC", f"pâ{n}"), label), ("f", "l"))
    assert counts(labelled(text)) == {"cat": 12, "dog": 12}


def test_text_that_is_not_utf8_is_read_as_a_guess(root: Path) -> None:
    text = table(lambda i, n, label: (n, label.replace("cat", "pâquerette")), ("file", "label"))
    source = labelled(text.encode("latin-1"))
    assert source.labels == ("dog", "pâquerette")
    assert (
        "is not UTF-8 (line 2). It was read as Windows-1252, which is a guess"
        in (source.warnings[0])
    )


def test_line_breaks_in_quotes_are_part_of_a_value(root: Path) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["file", "note", "label"])
    writer.writerows([name, f'two\nlines, "{i}"', label] for i, (name, label) in enumerate(NAMES))
    assert counts(labelled(file.getvalue())) == {"cat": 12, "dog": 12}


WRONG = {
    "empty": ("", "labels.csv is empty"),
    "no rows": ("file,label\n", "labels.csv has no rows"),
    "one column": ("file\na.jpg\n", "has one column only, 'file'"),
    "ragged": (PLAIN + "a.jpg,b,c\n", "Row 26 of labels.csv has 3 columns. Expected 2"),
    "twice": ("file,label,label\na,b,c\n", "two columns named 'label'"),
    "workbook": (b"PK\x03\x04...", "is an Excel workbook"),
    "binary": (b"abc\0\1\2,def\n" * 9, "is no text"),
    "coco": ('{"images": [], "annotations": []}', "is a COCO file"),
    "broken json": ('{"file": "a.jpg"}\n{"file"\n', "Line 2 of labels.csv is no JSON"),
    "no objects": ("[1, 2, 3]", "Expected labels.csv to hold one object per photo"),
    "objects": (
        json.dumps([{"image": name, "labels": [{"name": label}]} for name, label in NAMES]),
        "Column 'labels' of labels.csv holds objects",
    ),
    "no labels": (
        table(lambda i, n, label: (n, ""), ("file", "label")),
        "No row of labels.csv has a label",
    ),
    "one class": (
        table(lambda i, n, label: (n, "cat"), ("file", "label")),
        "Expected at least two classes. labels.csv has 1: cat",
    ),
    "few photos": (
        table(lambda i, n, label: (n, f"{label}{i // 11}"), ("file", "label")),
        r"some to measure with\. \S+ has fewer in 2 of 4 classes: cat1 \(1\), dog2",
    ),
    "names of rows": (
        table(lambda i, n, label: (i, label), ("file", "label")),
        "No column of labels.csv names photos below photos. For example, column 'file' has '0'",
    ),
    "nothing like classes": (
        table(lambda i, n, label: (n, i * 1.5), ("file", "score")),
        "No column of labels.csv looks like classes. Its columns are 'file', 'score'",
    ),
    "URLs": (
        table(lambda i, n, label: (f"https://example.org/{n}", label), ("url", "label")),
        "Column 'url' of labels.csv has URLs.*download them",
    ),
    "several labels": (
        PLAIN + table(lambda i, n, label: (n, f"not {label}")),
        "24 of 24 photos of labels.csv have several labels",
    ),
    "a line break in a label": (
        PLAIN.replace(",cat", ',"c\nat"'),
        "The name of label .* has a line break",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_table_of_labels_is_refused_in_clear_words(root: Path, case: str) -> None:
    text, message = WRONG[case]
    with pytest.raises(UserError, match=message):
        labelled(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": "gone.csv"}, "Expected `labels` to be a table. Found nothing at gone.csv"),
        ({"labels": "photos"}, "Found a folder at photos"),
        ({"labels": "photos/cat_00.jpg"}, "is a photo. Expected a table"),
        ({"labels": "https://example.org/a.csv"}, "Expected `labels` to be a path or one of s3://"),
        ({"image_dir": "ftp://h/photos"}, "Expected `image_dir` to be a path or one of s3://"),
        ({"label_column": "label"}, "`label_column` needs a table of `labels`"),
        ({"labels": "labels.csv", "image_dir": None}, "Give `image_dir`, the folder of the photos"),
        ({"labels": "labels.csv", "image_dir": "gone"}, "Found nothing at gone"),
        ({"labels": "labels.csv", "label_column": "lable"}, "'lable' .*Did you mean label?"),
        ({"labels": "labels.csv", "layout": "classes"}, "`layout='classes'` is for folders"),
        ({"image_dir": "labels.csv"}, "labels.csv is a table, .*Give it as `labels`"),
        ({"labels": 5}, "Expected `labels` to be the path of a table, or a table such as"),
        ({"labels": "labels.csv", "dataset": "mnist"}, "Expected either `labels` or `dataset`"),
    ],
)
def test_settings_that_do_not_fit_are_refused(root: Path, settings: dict, message: str) -> None:
    Path("labels.csv").write_text(PLAIN)
    with pytest.raises(UserError, match=message):
        opened(**settings)


class Frame:
    """A table of another library, which gives its columns through a protocol."""

    def __init__(self, columns: pa.Table, protocol: str) -> None:
        self.columns = columns
        setattr(self, protocol, getattr(columns, protocol))

    def __len__(self) -> int:
        return len(self.columns)


@pytest.mark.parametrize("protocol", ["", "__arrow_c_stream__", "__dataframe__"])
def test_python_gives_tables_as_objects(root: Path, protocol: str) -> None:
    columns = pa.table(dict(zip(("file", "label"), map(list, zip(*NAMES)))))  # noqa: B905
    given = Frame(columns, protocol) if protocol else columns
    config = TrainConfig(model_dir="m", summaries="none", image_dir="photos", labels=given)
    assert counts(open_source(config)) == {"cat": 12, "dog": 12}
    kind = type(given).__name__
    assert json.dumps(config.as_dict()["labels"]) == f'"<{kind} with 24 rows>"'


# Photos inside tables.


def pictures(names: Sequence[tuple[str, str]] = NAMES, **labels: list) -> pa.Table:
    """A table as Hugging Face datasets write it."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": f"bytes of {name}".encode(), "path": name} for name, _ in names]
    numbers = labels.get("label") or [NUMBERS[label] for _, label in names]
    made = pa.table({"image": pa.array(images, kind), "label": pa.array(numbers, pa.int64())})
    features = {"label": {"names": [*CLASSES, "bird"], "_type": "ClassLabel"}}
    told = json.dumps({"info": {"features": features}})
    return made.replace_schema_metadata({"huggingface": told})


def write_stream(path: Path, made: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, made.schema) as writer:
        writer.write_table(made, max_chunksize=5)


def write_file(path: Path, made: pa.Table) -> None:
    pyarrow.feather.write_feather(made, str(path), chunksize=5, compression="lz4")


def write_parquet(path: Path, made: pa.Table) -> None:
    pq.write_table(made, path, row_group_size=5)


@pytest.mark.parametrize("write", [write_stream, write_file, write_parquet])
@pytest.mark.parametrize("setting", ["image_dir", "labels"])
def test_photos_inside_a_file_are_found_and_found_again(root: Path, write: Any, setting) -> None:
    path = root / ("photos.parquet" if write is write_parquet else "photos.arrow")
    write(path, pictures())
    source = opened(**{"image_dir": None, setting: path})
    assert (source.labels, counts(source)) == (CLASSES, {"cat": 12, "dog": 12})
    entries = list(source.entries())
    assert [entry.name for entry in entries] == [name for name, _ in NAMES]
    assert entries[7].read() == b"bytes of cat_07.jpg"
    wanted = [Photo(bytes(32), entries[i].label, entries[i].name) for i in (3, 4, 21)]
    found = [(entry.name, entry.read()) for entry in pick_photos(source, wanted)]
    assert found == [(one.name, f"bytes of {one.name}".encode()) for one in wanted]
    most = 2 * entries[0].size
    assert len(list(pick_photos(source, wanted, most_bytes=most))) == 2


def test_a_folder_of_files_says_the_split_and_keeps_the_rows_apart(root: Path) -> None:
    data = root / "repo" / "data"
    data.mkdir(parents=True)
    (root / "repo" / "README.md").write_text("about")
    for number in range(2):
        write_parquet(data / f"train-0000{number}-of-00002.parquet", pictures(NAMES[number::3]))
    write_parquet(data / "test-00000-of-00001.parquet", pictures(NAMES[2::3]))
    source = opened(image_dir="repo")
    assert Counter(entry.fixed_split for entry in source.entries()) == {None: 16, "test": 8}
    for entry in source.entries():
        assert entry.read() == f"bytes of {entry.name}".encode()


def test_bytes_alone_have_the_numbers_of_their_rows_as_names(root: Path) -> None:
    made = pa.table({"img": [b"a", b"", b"c"] * 4, "kind": ["x", "y"] * 6})
    pq.write_table(made, "plain.parquet")
    source = opened(image_dir="plain.parquet")
    assert [entry.name for entry in source.entries()] == [str(row) for row in range(12)]
    assert [entry.read() for entry in source.entries()] == [b"a", b"", b"c"] * 4
    assert "'kind', a guess by its values" in source.warnings[0]


def test_a_cell_without_bytes_names_a_file_and_one_without_a_label_is_counted(root: Path) -> None:
    labels = [-1, *(NUMBERS[label] for _, label in NAMES[1:])]
    made = pictures(label=labels).to_pydict()
    images = [{"bytes": None, "path": f"photos/{one['path']}"} for one in made["image"]]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    metadata = pictures().schema.metadata
    table = pa.table({"image": pa.array(images, kind), "label": labels})
    pq.write_table(table.replace_schema_metadata(metadata), "named.parquet")
    source = opened(image_dir="named.parquet")
    assert counts(source) == {"cat": 11, "dog": 12}
    assert next(source.entries()).read().endswith(b"cat_01.jpg")
    assert any("1 row without a label is left out" in line for line in source.warnings)


def test_damaged_files_are_named(root: Path) -> None:
    pq.write_table(pictures(), root / "whole.parquet", compression="none")
    whole = (root / "whole.parquet").read_bytes()
    write_stream(root / "whole.arrow", pictures())
    stream = (root / "whole.arrow").read_bytes()
    for name, data in {
        "cut.parquet": whole[:-9],
        "no.parquet": b"hello",
        "empty.parquet": b"",
        "cut.arrow": stream[: len(stream) // 2],
    }.items():
        (root / name).write_bytes(data)
        with pytest.raises(UserError, match=f"Can't read {name} as a Parquet or Arrow file"):
            opened(image_dir=name)
    start = whole.index(b"bytes of cat_03")
    (root / "hole.parquet").write_bytes(whole[: start - 60] + bytes(90) + whole[start + 30 :])
    with pytest.raises(UserError, match=r"Can't read hole.parquet"):
        list(opened(image_dir="hole.parquet").entries())
    with pytest.raises(UserError, match=r"holds the photos itself, in column 'image'"):
        opened(labels="whole.parquet")


def test_photos_in_a_file_are_learned_exported_and_measured(
    photo_bytes: Callable[..., bytes], run_tiny: Any, tmp_path: Path
) -> None:
    images = [photo_bytes(colour, i) for colour in ("red", "blue") for i in range(15)]
    labels = [colour for colour in ("red", "blue") for _ in range(15)]
    splits = ["train", "train", "test"] * 10
    path, model = tmp_path / "photos.parquet", tmp_path / "model"
    columns = {"image": images, "label": labels, "split": splits, "session": list(range(10)) * 3}
    pq.write_table(pa.table(columns), path, row_group_size=7)
    given = (f"--image_dir={path}", f"--model_dir={model}", "--summaries=full", "--export=tflite")
    code, out, err = run_tiny("train", *given)
    assert (code, "tflite  " in out) == (0, True), err
    assert "says the split, and this split is used: 20 train, 10 test photos.\n" in err
    assert "the given split parts 10 of its 10 values. It is not used" in err
    metadata = xferlearn.load_classifier(model).metadata
    assert metadata["split"]["totals"]["test"] >= 10
    assert metadata["training"]["image_dir"] == str(path)
    done = xferlearn.evaluate(
        model=model, image_dir=path, split_column="split", engine="tensorflow", precision="float32",
        split="test", include_seen=True,
    )  # fmt: skip
    assert done.evaluation.total == 10
    assert not any("says the split" in line for line in done.warnings)  # it was asked for


def said(source: PhotoSource) -> str:
    return "\n".join(source.warnings)


def test_a_photo_that_is_put_aside_is_missing_where_the_other_names_are_whole(root: Path) -> None:
    for folder in ("backup/dog_old", "rejected"):
        (root / "photos" / folder).mkdir(parents=True)
    (root / "photos/cat_00.jpg").rename(root / "photos/backup/dog_old/cat_00.jpg")
    (root / "photos/dog_00.jpg").rename(root / "photos/rejected/dog_00.jpg")
    source = labelled(PLAIN)
    assert counts(source) == {"cat": 11, "dog": 11}
    assert {bad.name: bad.reason for bad in source.left_out} == {
        "cat_00.jpg": "not found; backup/dog_old/cat_00.jpg only ends alike",
        "dog_00.jpg": "not found; rejected/dog_00.jpg only ends alike",
    }
    assert "2 photos are not found: cat_00.jpg, dog_00.jpg." in said(source)
    assert "alone" not in said(source)


def test_names_that_lead_below_folders_are_said(root: Path) -> None:
    for name, label in NAMES:
        (root / "photos" / label).mkdir(exist_ok=True)
        (root / "photos" / name).rename(root / "photos" / label / name)
    source = labelled(PLAIN)
    assert counts(source) == {"cat": 12, "dog": 12}
    assert (
        "24 photos were found by their file name alone, in folders below photos: cat, dog."
        in said(source)
    )


def test_a_class_of_which_no_photo_is_there_is_said_and_counted(root: Path) -> None:
    text = PLAIN + "".join(f"owl_{number}.jpg,owl\n" for number in range(4))
    source = labelled(text)
    assert source.labels == CLASSES
    assert next((bad.name, bad.label, bad.reason) for bad in source.left_out) == (
        "owl_0.jpg",
        -1,
        "not found; its label is 'owl'",
    )
    assert len(source.left_out) == 4
    assert "Class 'owl' of labels.csv is lost: 4 photos, of which none can be used." in said(source)
    with pytest.raises(UserError, match=r"owl_0.jpg can't be used: not found; its label is 'owl'"):
        opened(labels="labels.csv", on_bad_image="fail")
    for name, label in NAMES:
        if label == "dog":
            (root / "photos" / name).unlink()
    with pytest.raises(UserError, match=r"has 1: cat. No photo can be used of dog \(12\), owl"):
        opened(labels="labels.csv")


def test_only_photos_that_are_measured_are_missed(root: Path) -> None:
    head = ("file", "label", "split")
    text = table(lambda i, n, label: (n, label, ("train", "test")[i % 4 == 0]), head)
    Path("labels.csv").write_text(text + "owl.jpg,owl,test\n")
    settings: dict = {"model": "m", "image_dir": "photos", "labels": "labels.csv"}
    for number, (name, _) in enumerate(NAMES):
        if number % 4:
            (root / "photos" / name).unlink()
    with pytest.raises(UserError, match=r"owl.jpg can't be used: not found"):
        open_labelled(EvaluateConfig(**settings, on_bad_image="fail"), (*CLASSES, "owl"))
    source = open_labelled(EvaluateConfig(**settings), (*CLASSES, "owl"))
    assert [(bad.name, bad.label) for bad in source.left_out] == [("owl.jpg", 2)]
    source = open_labelled(EvaluateConfig(**settings, on_bad_image="fail"), CLASSES, "skip")
    assert (counts(source), source.left_out) == ({"cat": 3, "dog": 3}, ())
    assert "only its test photos are measured" in said(source)
    assert "not found" not in said(source)
    assert "lost" not in said(source)
    for number, (name, _) in enumerate(NAMES):
        if number % 4 == 0:
            (root / "photos" / name).unlink()
        else:
            (root / "photos" / name).write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match=r"None of 7 test photos of labels.csv can be used"):
        open_labelled(EvaluateConfig(**settings), CLASSES)


@pytest.mark.parametrize("rows", ["train test", "test train"])
def test_a_photo_in_two_splits_is_tested_whatever_the_order_of_rows(root: Path, rows: str) -> None:
    first, second = rows.split()
    head = ("file", "label", "split", "patient")
    text = table(lambda i, n, label: (n, label, ("train", "test")[i % 4 == 3], f"p{i // 2}"), head)
    text = text.replace("cat_00.jpg,cat,train,p0", f"cat_00.jpg,cat,{first},p{len(first)}")
    source = labelled(f"{text}cat_00.jpg,cat,{second},p{len(second)}\n", group_column="patient")
    entry = next(entry for entry in source.entries() if entry.name == "cat_00.jpg")
    assert (entry.fixed_split, entry.group) == ("test", "p4")
    assert "1 photo has rows with different splits: cat_00.jpg (test and train)." in said(source)
    assert "1 photo has rows with different groups: cat_00.jpg (p4 and p5)." in said(source)


@pytest.mark.parametrize("encoded", [False, True])
def test_columns_that_are_no_text_are_passed_over(root: Path, encoded: bool) -> None:
    hashes = pa.array([b"\xff\xfe" + bytes([i]) * 6 for i in range(len(NAMES))], pa.binary(8))
    columns = {
        "hash": hashes.dictionary_encode() if encoded else hashes,
        "file": pa.array([name for name, _ in NAMES]),
        "label": pa.array([label for _, label in NAMES]),
    }
    pyarrow.feather.write_feather(pa.table(columns), "labels.arrow", compression="uncompressed")
    assert counts(opened(labels="labels.arrow")) == {"cat": 12, "dog": 12}
    with pytest.raises(UserError, match=r"Column 'hash' of labels.arrow holds bytes or objects"):
        opened(labels="labels.arrow", label_column="hash")


def test_text_that_is_none_is_a_damaged_file(root: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 24, pa.array([b"\xff"] * 24, pa.binary()).buffers())
    columns = {"file": pa.array([name for name, _ in NAMES]), "label": broken}
    pyarrow.feather.write_feather(pa.table(columns), "labels.arrow", compression="uncompressed")
    with pytest.raises(UserError, match=r"Can't read labels.arrow as a Parquet or Arrow file"):
        opened(labels="labels.arrow")


def test_folds_are_said_and_not_used(root: Path) -> None:
    source = labelled(table(lambda i, n, one: (n, one, i % 5), ("file", "label", "fold")))
    assert "Column 'fold' of labels.csv is not used" in said(source)
    assert "`group_column='fold'`" in said(source)
    assert {entry.group for entry in source.entries()} == {None}
    source = opened(labels="labels.csv", group_column="fold")
    assert {entry.group for entry in source.entries()} == set("01234")
    assert "is not used: it" not in said(source)
