"""corrections.csv: read, written, and applied to photos by what learns or measures."""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import MakePhotoDir

from xferlearn.cli import main
from xferlearn.config import TrainConfig
from xferlearn.errors import UserError
from xferlearn.photos.corrected import CorrectedSource
from xferlearn.photos.corrections import (
    COLUMNS,
    Correction,
    Corrections,
    read_corrections,
    write_corrections,
)
from xferlearn.photos.folders.files import read_image_dir
from xferlearn.photos.manifest import BadPhoto, Photo
from xferlearn.photos.opening import open_source

HEAD = ",".join(COLUMNS)
DIGEST = "ab" * 32


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def _row(path: Path, action: str, label: str = "") -> Correction:
    return Correction(_digest(path), path.name, action, label, "2026-01-31T12:00:00Z", "review")


def _write(path: Path, *rows: Correction) -> Path:
    write_corrections(path, Corrections({row.digest: row for row in rows}))
    return path


def test_a_file_is_read_as_it_was_written_with_any_name(tmp_path: Path) -> None:
    names = ['a,"b".jpg', "line\nbreak\rs.jpg", "ros\u00e9.jpg", "not utf8 \udcff.jpg"]
    rows = [
        Correction(bytes([number]) * 32, name, "relabel", "tulips", "2026-01-31T12:00:00Z", "me")
        for number, name in enumerate(names)
    ]
    path = _write(tmp_path / "c.csv", *rows)
    found = read_corrections(path)
    assert [row.label for row in found.values()] == ["tulips"] * 4
    assert found[rows[0].digest] == rows[0]
    assert found[rows[2].digest] == rows[2]
    # A name is for people: a photo has one line whatever it is called.
    assert len(path.read_text().splitlines()) == 1 + len(rows)


def test_lines_are_in_the_order_of_digests_so_that_two_files_can_be_merged(tmp_path: Path) -> None:
    rows = [Correction(bytes([number]) * 32, "x", "exclude") for number in (7, 1, 200)]
    lines = _write(tmp_path / "c.csv", *rows).read_text().splitlines()
    assert lines[0] == HEAD
    assert [line[:2] for line in lines[1:]] == ["01", "07", "c8"]


def test_a_file_that_was_appended_to_another_is_read_and_equal_lines_count_once(
    tmp_path: Path,
) -> None:
    one = f"{HEAD}\n{DIGEST},a.jpg,relabel,roses,,me\n"
    other = f"{HEAD}\n{DIGEST.upper()},b.jpg,keep,roses,later,you\n{'cd' * 32},c.jpg,exclude,,,\n\n"
    path = tmp_path / "c.csv"
    path.write_text((one + "\ufeff" + other).replace("\n", "\r\n"), "utf-8-sig", newline="")
    found = read_corrections(path)
    assert [row.action for row in found.values()] == ["relabel", "exclude"]


def test_a_label_that_is_given_outweighs_the_same_label_kept(tmp_path: Path) -> None:
    lines = [f"{DIGEST},a,keep,roses,,", f"{DIGEST},a,relabel,roses,,"]
    for number, order in enumerate((lines, lines[::-1])):
        path = tmp_path / f"{number}.csv"
        path.write_text("\n".join([HEAD, *order]))
        (found,) = read_corrections(path).values()
        assert found.action == "relabel"


def test_whoever_may_read_the_file_may_read_it_after_it_was_written_again(tmp_path: Path) -> None:
    path = _write(tmp_path / "c.csv")
    path.chmod(0o664)
    _write(path, Correction(b"a" * 32, "a", "exclude"))
    assert path.stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Found: nothing."),
        ("file,label\na,b\n", "Expected the columns digest, name, action, label, when, command"),
        (f"{HEAD}\nabc,a,keep,roses,,\n", "64 hexadecimal digits, in line 2"),
        (f"{HEAD}\n{DIGEST},a,rename,roses,,\n", "relabel, exclude or keep in line 2"),
        (f"{HEAD}\n{DIGEST},a,exclude,roses,,\n", "no `label` for a photo that is excluded"),
        (f"{HEAD}\n{DIGEST},a,relabel,ro\u202eses,,\n", "has a control character"),
        (f"{HEAD}\n{DIGEST},a,keep\n", "Expected 6 cells in line 2"),
        (
            f"{HEAD}\n{DIGEST},a,relabel,roses,,\n{DIGEST},a,relabel,tulips,,\n",
            "Lines 2 and 3 of {path} contradict each other about a: relabel 'roses', and relabel"
            " 'tulips'.",
        ),
        (f"{HEAD}\n{DIGEST},a,keep,roses,,\n{DIGEST},a,exclude,,,\n", "contradict each other"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_corrections(path)
    assert said.format(path=path) in str(error.value)
    assert "\n" not in str(error.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match="no file of corrections"):
        read_corrections(tmp_path / "photo.jpg")
    with pytest.raises(UserError, match=r"Can't read `corrections`"):
        read_corrections(tmp_path)
    with pytest.raises(UserError, match="Found nothing at"):
        read_corrections(tmp_path / "none.csv")
    assert len(read_corrections(tmp_path / "none.csv", missing_ok=True)) == 0


class Listed:
    """A source of names alone."""

    labels = ("daisy", "roses")
    warnings = left_out = ()
    count, holds_bytes, is_multi_label = 6, False, False

    def entries(self, order: None = None) -> Iterator[Photo]:
        """Yields photos as they lie."""
        del order
        yield from PHOTOS

    def only(self, names: object, most_bytes: int | None = None) -> "Listed":
        """Returns itself."""
        return self


PHOTOS = [
    Photo(bytes([number]) * 32, label, name)
    for number, (label, name) in enumerate(
        [(0, "a"), (0, "b"), (1, "c"), (1, "d"), (-1, "new/e"), (-1, "new/f")]
    )
]


def _settled(*rows: tuple[int, str, str], bad: tuple[BadPhoto, ...] = ()) -> CorrectedSource:
    corrections = Corrections(
        {
            bytes([n]) * 32: Correction(bytes([n]) * 32, "", action, label)
            for n, action, label in rows
        }
    )
    source = CorrectedSource(Listed(), corrections, Listed.labels)  # type: ignore[arg-type]
    return source.settled(PHOTOS, bad)


def test_labels_follow_corrections_and_every_photo_is_counted() -> None:
    source = _settled(
        (0, "relabel", "roses"),
        (1, "keep", "daisy"),
        (2, "exclude", ""),
        (3, "relabel", "roses"),
        (4, "relabel", "asters"),
        (99, "exclude", ""),
    )
    assert source.labels == ("asters", "daisy", "roses")
    found = {photo.name: source.labels[photo.label] for photo in source.entries()}
    assert found == {"a": "roses", "b": "daisy", "d": "roses", "new/e": "asters"}
    assert source.count == len(found)
    assert [photo.name for photo in source.unlabelled] == ["new/f"]
    assert source.applied is not None
    assert source.applied.lines() == (
        "corrections of 5 photos: 1 relabelled, 1 left out, 1 without a class before, 1 kept, 1 had"
        " the label already",
        "1 correction is of a photo that is not here",
        "new by corrections: asters",
        "1 unlabelled photo has no class yet and is not used",
    )


def test_a_class_that_corrections_empty_is_none_unless_a_photo_of_it_can_not_be_read() -> None:
    moves = (0, "relabel", "roses"), (1, "exclude", "")
    source = _settled(*moves)
    assert source.labels == ("roses",)
    assert source.applied is not None
    assert source.applied.empty == ("daisy",)
    assert {photo.label for photo in source.entries()} == {0}
    kept = _settled(*moves, bad=(BadPhoto("z", 0, "it is empty"),))
    assert kept.labels == ("daisy", "roses")


def test_a_photo_that_was_moved_since_it_was_kept_has_the_label_of_its_new_place() -> None:
    source = _settled((2, "keep", "daisy"))
    assert source.applied is not None
    assert source.applied.outdated == 1
    assert {photo.name: photo.label for photo in source.entries()}["c"] == 1


def test_a_photo_that_is_among_those_with_a_class_too_needs_none() -> None:
    photos = [*PHOTOS, Photo(PHOTOS[0].digest, -1, "new/again")]
    corrections = Corrections()
    source = CorrectedSource(Listed(), corrections, Listed.labels)  # type: ignore[arg-type]
    found = source.settled(photos, ())
    assert found.applied is not None
    assert (found.applied.twice, found.applied.unlabelled) == (1, 2)
    assert "1 unlabelled photo is among those with a class too" in found.applied.lines()


def test_a_class_of_few_photos_may_be_joined_to_another(make_photo_dir: MakePhotoDir) -> None:
    root = make_photo_dir({"red": 4, "green": 4, "gren": 1})
    with pytest.raises(UserError, match="Class 'gren' has 1 photo"):
        read_image_dir(root)
    assert read_image_dir(root, few=True).labels == ("green", "gren", "red")


@pytest.fixture(scope="module")
def corrected(make_photo_dir: MakePhotoDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos of three classes, photos without one, and corrections of both."""
    root = tmp_path_factory.mktemp("corrected")
    shutil.copytree(make_photo_dir({"red": 12, "green": 12, "blu": 1}), root / "photos")
    shutil.copytree(make_photo_dir({"blue": 9}) / "blue", root / "new")
    greens = sorted((root / "photos" / "green").iterdir())
    rows = [_row(path, "relabel", "blue") for path in sorted((root / "new").iterdir())[:8]]
    rows.append(_row(root / "photos" / "blu" / "0000.jpg", "relabel", "blue"))
    rows += [_row(greens[0], "exclude"), _row(greens[1], "keep", "green")]
    _write(root / "c.csv", *rows)
    return root


def test_train_learns_what_corrections_say_and_the_model_finds_its_photos_again(
    corrected: Path,
    run_tiny: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = [
        f"--image_dir={corrected}/photos",
        f"--unlabelled={corrected}/new",
        f"--corrections={corrected}/c.csv",
    ]
    before = {path: path.read_bytes() for path in corrected.rglob("*") if path.is_file()}
    code, out, err = run_tiny(
        "train", *flags, f"--model_dir={tmp_path}/m", "--summaries=none", "--export=onnx"
    )
    assert code == 0, err
    assert "corrections of 11 photos: 1 relabelled, 1 left out, 8 without a class before" in out
    assert "new by corrections: blue" in out
    assert "no photos left by corrections: blu" in out
    assert "1 unlabelled photo has no class yet and is not used" in out
    # The export is compared on the photos themselves, those without a folder of a class too.
    assert "onnx" in out
    assert "could not be found" not in out + err
    assert before == {path: path.read_bytes() for path in corrected.rglob("*") if path.is_file()}
    metadata = json.loads((tmp_path / "m" / "metadata.json").read_bytes())
    assert metadata["labels"] == ["blue", "green", "red"]
    assert metadata["corrections"]["labelled"] == 8
    with (tmp_path / "m" / "photos.csv").open(newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert {name: labels.count(name) for name in set(labels)} == {"blue": 9, "green": 11, "red": 12}

    # The same photos are measured by the same corrections.
    code = main(
        [
            "evaluate",
            f"--model={tmp_path}/m",
            f"--image_dir={corrected}/photos",
            f"--corrections={corrected}/c.csv",
            "--format=json",
            "--verbose=0",
            "--include_seen",
        ]
    )
    told, err = capsys.readouterr()
    assert code == 0, err
    # The folder `blu` is no class of the model, but its photo is one of `blue`.
    assert json.loads(told)["n"] == 12 + 11 + 1
    assert "does not have" not in err


def test_photos_without_a_class_belong_to_the_groups_of_their_names(
    corrected: Path, tmp_path: Path
) -> None:
    photos = corrected / "photos"
    paths = [path for label in ("red", "green") for path in sorted((photos / label).iterdir())]
    rows = [f"{path.relative_to(photos)},{path.parent.name}" for path in paths]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    config = TrainConfig(
        labels=tmp_path / "labels.csv",
        image_dir=photos,
        unlabelled=corrected / "new",
        group_by=r"(\d\d)\.jpg",
        model_dir=tmp_path / "m",
    )
    found = {one.name: one.group for one in open_source(config).entries() if one.label < 0}
    assert found == {f"../new/00{number:02}.jpg": f"{number:02}" for number in range(9)}


def test_a_class_that_the_model_does_not_have_is_asked_about(
    corrected: Path, colour_model: Path, photo_dir: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    reds = sorted((photo_dir / "red").iterdir())
    rows = [_row(reds[0], "relabel", "gren"), _row(reds[1], "exclude")]
    path = _write(tmp_path / "c.csv", *rows, _row(reds[2], "relabel", "blue"))
    words = [
        "evaluate", f"--model={colour_model}", f"--image_dir={photo_dir}",
        f"--corrections={path}", "--verbose=0", "--include_seen",
    ]  # fmt: skip
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "red/0000.jpg is of class 'gren', which the model does not have. Did you mean " in err
    for others, number in (("skip", 88), ("count", 89)):
        assert main([*words, f"--other_classes={others}", "--format=json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["n"] == number
        assert told["labels"] == ["blue", "green", "red", *(["gren"] if others == "count" else [])]


def test_no_photos_without_a_class(
    corrected: Path, run_tiny: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for given, said in (
        (tmp_path / "empty", "Found no photos in `unlabelled`"),
        (tmp_path / "none", "Expected `unlabelled` to be a folder. Found nothing"),
        (corrected / "photos" / "red", "red"),
    ):
        flags = [f"--image_dir={corrected}/photos", f"--unlabelled={given}"]
        code, _, err = run_tiny(
            "train", *flags, f"--corrections={corrected}/c.csv", f"--model_dir={tmp_path}/m"
        )
        assert code == 2
        assert said.replace("`unlabelled`", "--unlabelled") in err
