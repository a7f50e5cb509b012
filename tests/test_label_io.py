"""What `label` reads and writes: lists of names, files of every form, and no URLs."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import xferlearn
from xferlearn.cli import main
from xferlearn.errors import UserError
from xferlearn.photos import read_files

Run = Callable[..., tuple[int, str, str]]
COLUMNS = [
    "image", "label_1", "score_1", "label_2", "score_2", "status", "familiarity", "error"
]  # fmt: skip
NUMBERS = {"score_1", "score_2", "familiarity"}


@pytest.fixture
def label(small_model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `xferlearn label` with a model of colours; returns exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        exact = ("--engine=tensorflow", "--precision=float32", "--top_k=2")
        cache = f"--bottleneck_dir={tmp_path / 'cache'}"
        code = main(["label", f"--model={small_model}", *exact, cache, *map(str, words)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def photos(
    photo_bytes: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder, in the current one, with a red and a blue photo and one that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a red.jpg").write_bytes(photo_bytes("red", 77))
    (folder / "b\rbad.jpg").write_bytes(b"no photo at all")
    (folder / "c_blue.jpg").write_bytes(photo_bytes("blue", 78))
    monkeypatch.chdir(tmp_path)
    return folder


def rows_of(path: Path) -> list[dict]:
    """The rows of a file of labels; cells without a value are None."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = path.read_bytes().decode()
    if path.suffix in (".jsonl", ".ndjson"):
        found = []
        for row in map(json.loads, text.rstrip("\n").split("\n")):
            pairs = [(one["label"], one["score"]) for one in row["labels"]] or [(None, None)] * 2
            said = (row["status"], row.get("familiarity"), row.get("error"))
            cells = [row["image"], *pairs[0], *pairs[1], *said]
            found.append(dict(zip(COLUMNS, cells, strict=True)))
        return found
    separator = "\t" if path.suffix == ".tsv" else ","
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    return [
        {
            key: float(value) if value and key in NUMBERS else value or None
            for key, value in row.items()
        }
        for row in rows
    ]


@pytest.mark.parametrize("ending", [".csv", ".TSV", ".parquet", ".jsonl"])
def test_labels_are_written_to_a_file_by_its_ending(
    label: Run, colour_model: Path, photos: Path, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"labels{ending}"
    path.write_bytes(b"what was there before")
    code, out, err = label(photos, f"--model={colour_model}", f"--output={path}")
    assert (code, out) == (1, f"2 photos labelled: {path}\n")
    assert "1 red, 1 blue\n1 of 3 photos could not be read." in err
    found = rows_of(path.rename(path.with_suffix(ending.lower())))
    assert all(list(row) == COLUMNS for row in found)
    assert [Path(row["image"]).name for row in found] == ["a red.jpg", "b\rbad.jpg", "c_blue.jpg"]
    assert [row["label_1"] for row in found] == ["red", None, "blue"]
    assert [row["score_2"] is None for row in found] == [False, True, False]
    assert [row["status"] for row in found] == ["answered", "failed", "answered"]
    assert [row["familiarity"] is None for row in found] == [False, True, False]
    assert [bool(row["error"]) for row in found] == [False, True, False]
    assert sum(row["score_1"] for row in (found[0], found[2])) > 1
    assert not [one for one in tmp_path.iterdir() if one.name.endswith(".tmp")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--output=labels.xlsx",), "Expected --output to end in .csv, .tsv, .parquet, .jsonl, "),
        (("--output=a.csv", "--format=json"), "--output=a.csv is csv, and --format says json"),
        (("--output=a.jsonl", "--format=text"), "is json, and --format says text"),
        (("--output=photos.csv/a.csv",), "There is no folder photos.csv for --output"),
        (("--output=folder.csv",), "Found a folder at folder.csv"),
        (("--output=ftp://bucket/a.csv",), "Expected --output to be a path or one of s3://, gs://"),
    ],
)
def test_an_output_that_can_not_be_written_is_refused_before_the_work(
    label: Run, photos: Path, words: tuple[str, ...], message: str
) -> None:
    Path("folder.csv").mkdir()
    code, out, err = label(photos, *words)
    assert (code, out) == (2, "")
    assert message in err


def test_a_file_of_labels_is_whole_or_not_there(label: Run, photos: Path, tmp_path: Path) -> None:
    code, _, err = label(photos, "--output=labels.csv", "--on_bad_image=fail")
    assert (code, "can't be used" in err) == (2, True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cache", "photos"]
    code, out, _ = label(photos / "a red.jpg", "--output=labels.csv", "--format=csv")
    assert (code, out) == (0, "1 photo labelled: labels.csv\n")


def test_a_format_without_a_file_goes_to_the_terminal(label: Run, photos: Path) -> None:
    code, out, _ = label(photos / "a red.jpg")
    assert (code, out.splitlines()[1].split()[0]) == (0, "red")
    code, out, _ = label(photos, "--format=csv")
    found = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [row["label_1"] for row in found] == ["red", "", "blue"]


LISTS = {
    "lines": b"photos/a red.jpg\n\n  \nphotos/c_blue.jpg\n",
    "windows": b"photos/a red.jpg\r\nphotos/c_blue.jpg",
    "nul": b"photos/a red.jpg\0photos/c_blue.jpg\0",
    "bom": b"\xef\xbb\xbfphotos/a red.jpg\nphotos/c_blue.jpg\n",
    "powershell": "photos/a red.jpg\r\nphotos/c_blue.jpg\r\n".encode("utf-16"),
}


@pytest.mark.parametrize("form", LISTS)
def test_a_list_names_photos(photos: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["photos/a red.jpg", "photos/c_blue.jpg"]
    Path("list.txt").write_bytes(LISTS[form])
    assert [entry.name for entry in read_files(["@list.txt"]).entries()] == names
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LISTS[form])))
    assert [entry.name for entry in read_files(["-"]).entries()] == names


def test_what_a_list_names_is_taken_as_it_stands(photos: Path) -> None:
    Path("list.txt").write_bytes(
        "gone[1].jpg\nphotos\nphotos/a red.jpg\ncaf\xe9.jpg".encode("latin-1")
    )
    Path("@home.jpg").write_bytes(b"")
    found = [entry.name for entry in read_files(["@list.txt", "@home.jpg"]).entries()]
    below = ["photos/a red.jpg", "photos/b\rbad.jpg", "photos/c_blue.jpg"]
    assert found == ["gone[1].jpg", *below, "caf\udce9.jpg", "@home.jpg"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("@gone.txt", "Can't read the list of photos gone.txt: No such file or directory"),
        ("@photos", "Can't read the list of photos photos: Is a directory"),
        ("@empty.txt", "Expected empty.txt to list photos, one name per line"),
        (
            "@urls.txt",
            "Expected photos to be a path or one of s3://, gs://, hdfs://. Received: http:/",
        ),
        (
            "https://example.org/a.jpg",
            "Expected --photos to be a path or one of s3://, gs://, hdfs://. Received: https:/",
        ),
        ("abfs://bucket/*.jpg", "Expected --photos to be a path or one of s3://, gs://"),
        ("@folders.txt", "Found no photos in folder nothing."),
        ("noth*", "Found no photos in folder nothing, which noth* matches."),
        ("gone*", "Nothing matches gone*."),
    ],
)
def test_lists_and_names_that_lead_nowhere_are_refused(
    label: Run, photos: Path, word: str, message: str
) -> None:
    Path("empty.txt").write_text("\n \n")
    Path("urls.txt").write_text("http://example.org/a.jpg\n")
    Path("folders.txt").write_text("photos\nnothing\n")
    Path("nothing").mkdir()
    code, _, err = label(word)
    assert code == 2
    assert message in err


def test_stdin_names_photos_on_the_command_line(
    label: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"photos/c_blue.jpg\n")))
    code, out, _ = label("-", "--format=json")
    assert (code, json.loads(out)["labels"][0]["label"]) == (0, "blue")


def test_an_empty_folder_on_stdin_is_refused(
    label: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("nothing").mkdir()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"nothing\n")))
    code, _, err = label("-")
    assert (code, "Found no photos in folder nothing." in err) == (2, True)


def test_raw_photos_in_a_folder_are_named_and_fail_where_asked(label: Run, photos: Path) -> None:
    (photos / "b\rbad.jpg").unlink()
    heads = {".RAF": b"FUJIFILMCCD-RAW ", ".cr3": b"\0\0\0\x18ftypcrx ", ".orf": b"IIRO"}
    for ending, head in {**heads, ".rw2": b"IIU\0"}.items():
        (photos / f"raw{ending}").write_bytes(head + bytes(200))
    (photos / "note.txt").write_text("note")
    _, out, err = label("photos", "--format=json")
    rows = map(json.loads, out.splitlines())
    errors = {row["image"]: row["error"] for row in rows if row.get("error")}
    assert "Passed over in photos: 1 .txt." in err
    assert list(errors) == [f"photos/raw{ending}" for ending in (".RAF", ".cr3", ".orf", ".rw2")]
    assert all("a camera's raw photo" in error for error in errors.values())
    assert "Fujifilm RAF" in errors["photos/raw.RAF"]
    code, _, err = label("photos", "--on_bad_image=fail")
    assert (code, "raw.RAF" in err, "Fujifilm RAF" in err) == (2, True, True)


def test_urls_are_refused_in_python_and_by_export(colour_model: Path) -> None:
    with pytest.raises(UserError, match=r"Received: https://example.org/a.jpg"):
        xferlearn.load_classifier(colour_model).label("https://example.org/a.jpg")
    with pytest.raises(UserError, match="Expected `image_dir` to be a path on this machine"):
        xferlearn.export(model=colour_model, format="tflite", image_dir="s3://bucket/photos")
