"""The model folder is one thing: no file of it can be changed, mixed or replaced unnoticed."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from model_folders import edit_metadata

import xferlearn
from xferlearn.cli import main
from xferlearn.errors import UserError
from xferlearn.model_folder import read_as_one, read_model_folder
from xferlearn.photos.manifest import Manifest, Photo
from xferlearn.photos.recorded import parse_photos, write_photos
from xferlearn.system import files

EXACT = ("--engine=tensorflow", "--precision=float32", "--format=json", "--verbose=0")


@pytest.fixture
def model(colour_model: Path, tmp_path: Path) -> Path:
    """A copy of a model that tells red, green and blue."""
    return Path(shutil.copytree(colour_model, tmp_path / "model"))


@pytest.fixture
def photo(tmp_path: Path, photo_bytes: Any) -> Path:
    path = tmp_path / "a_red.jpg"
    path.write_bytes(photo_bytes("red", 999))
    return path


@pytest.fixture
def refused(model: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Labels with the model, which must fail in one line; returns it."""

    def run(*words: str) -> str:
        code = main(["label", f"--model={model}", *EXACT, *words, str(photo)])
        out, err = capsys.readouterr()
        assert (code, out, err.count("\n")) == (2, "", 1), err
        return err

    return run


def test_metadata_hold_the_digests_of_the_files(model: Path) -> None:
    told = json.loads((model / "metadata.json").read_text())
    assert told["files"] == {
        name: hashlib.sha256((model / name).read_bytes()).hexdigest()
        for name in ("model.keras", "labels.txt", "photos.csv", "predictions.parquet")
    }


def test_a_single_bit_of_the_weights_is_noticed(model: Path, refused: Any) -> None:
    data = bytearray((model / "model.keras").read_bytes())
    data[len(data) // 2] ^= 64
    (model / "model.keras").write_bytes(data)
    assert "model.keras is damaged, or is not the one that metadata.json describes" in refused()


def test_the_weights_of_another_training_are_noticed(model: Path, refused: Any) -> None:
    import keras

    other = keras.saving.load_model(model / "model.keras", compile=False)
    other.layers[-1].set_weights([w[..., ::-1] for w in other.layers[-1].get_weights()])
    other.save(model / "model.keras")
    assert "model.keras is damaged, or is not the one" in refused()


@pytest.mark.parametrize(
    ("before", "after"),
    [('"height": 32', '"height": 23'), ("centre crop", "centre crow"), ("1", "7"), ("e", "f")],
)
def test_any_change_of_the_metadata_is_noticed(
    model: Path, refused: Any, before: str, after: str
) -> None:
    path = model / "metadata.json"
    text = path.read_text()
    assert before in text
    path.write_text(text[:50] + text[50:].replace(before, after, 1))
    assert "metadata.json is damaged" in refused()


def test_the_list_of_photos_of_another_model_is_noticed(
    model: Path, photo_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model / "photos.csv"
    # A photo that was learned from would pass for an unseen one.
    path.write_text(path.read_text().replace("train", "test", 1))
    words = [f"--model={model}", *EXACT]
    for command in (["evaluate", f"--image_dir={photo_dir}"], ["label", str(photo_dir)]):
        assert main([*command, *words]) == 2
        assert "photos.csv is damaged, or is not the one" in capsys.readouterr().err
    path.unlink()
    assert main(["label", str(photo_dir / "red"), *words]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blue\nred\ngreen\n", "its line 2 is 'red', and the model's label is 'green'"),
        ("blau\ngreen\nred\n", "its line 1 is 'blau', and the model's label is 'blue'"),
        ("blue\ngreen\n", "its line 3 is '', and the model's label is 'red'"),
        ("blue\ngreen\nred\nmore\n", "its line 4 is 'more', and the model's label is ''"),
        ("", "its line 1 is '', and the model's label is 'blue'"),
    ],
)
def test_edited_labels_are_an_error_with_the_way_out(
    model: Path, refused: Any, text: str, message: str
) -> None:
    (model / "labels.txt").write_text(text)
    err = refused()
    assert f"{model / 'labels.txt'} was edited: {message}" in err
    assert "give --labels=FILE" in err


def test_other_names_are_given_by_a_file(
    model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "labels.txt").write_text("blau\ngrün\nrot\n", encoding="utf-8")
    mine = shutil.copy(model / "labels.txt", tmp_path / "mine.txt")
    for given in (mine, model / "labels.txt"):
        assert main(["label", f"--model={model}", f"--labels={given}", *EXACT, str(photo)]) == 0
        first = json.loads(capsys.readouterr().out)["labels"][0]
        assert first["label"] == "rot"


def test_line_ends_of_another_system_are_no_edit(model: Path) -> None:
    (model / "labels.txt").write_bytes(b"blue\r\ngreen\r\nred\r\n")
    assert read_model_folder(model).labels == ("blue", "green", "red")
    (model / "labels.txt").write_bytes(b"blue\ngreen\nred")
    read_model_folder(model)


def test_a_missing_digest_or_list_of_labels_is_noticed(model: Path, refused: Any) -> None:
    path = model / "metadata.json"
    text = path.read_text()
    told = json.loads(text)
    del told["sha256"]
    path.write_text(json.dumps(told))
    assert "metadata.json is damaged (it has no sha256)" in refused()
    path.write_text(text)
    (model / "labels.txt").unlink()
    assert "labels.txt is missing, which metadata.json describes" in refused()


@pytest.mark.parametrize("name", ["labels.txt", "metadata.json", "model.keras"])
def test_inspect_proposes_nothing_that_label_refuses(
    model: Path, refused: Any, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = model / name
    if name == "model.keras":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("more", "x")
    else:
        path.write_text(path.read_text().replace("green", "grey"))
    err = refused()
    assert main(["inspect", f"--model={model}"]) == 2
    assert capsys.readouterr() == ("", err)
    packed = shutil.make_archive(str(model), "zip", model)
    assert main(["inspect", f"--model={packed}"]) == 2


@pytest.mark.parametrize("learned_test", [False, True])
def test_photos_csv_says_in_which_fold_a_photo_was_and_whether_it_was_learned(
    tmp_path: Path, learned_test: bool
) -> None:
    splits, folds = ("train", "train", "test", "validation"), (0, 12, -1, -1)
    photos = tuple(Photo(bytes([n]) * 32, 0, f"{n}.jpg", group="plant") for n in range(4))
    manifest = Manifest(("a",), photos, splits, folds=folds)
    write_photos(tmp_path / "photos.csv", manifest, learned_test=learned_test)
    read = tuple(parse_photos((tmp_path / "photos.csv").read_bytes()))
    assert [(photo.split, photo.fold) for photo in read] == list(zip(splits, folds, strict=True))
    assert [photo.learned for photo in read] == [True, True, learned_test, True]


def test_folders_of_earlier_versions_still_open(model: Path, photo: Path, tmp_path: Path) -> None:
    import keras

    whole = keras.saving.load_model(model / "model.keras", compile=False)
    keras.Model(whole.input, whole.output["predictions"]).save(model / "model.keras")
    (model / "predictions.parquet").unlink()
    edit_metadata(model, lambda told: [told.pop(key) for key in ("familiarity", "decision")])
    folder = read_model_folder(model)
    assert folder.load_model().output_shape == (None, 3)
    assert len(folder.photos()) == 90
    classifier = xferlearn.load_classifier(
        model, engine="tensorflow", precision="float32", bottleneck_dir=tmp_path / "cache"
    )
    (answer,) = classifier.answers(photo)
    assert (answer.status, answer.label, answer.familiarity) == ("answered", "red", None)
    with pytest.raises(UserError, match=r"has no predictions\.parquet, .*Train again"):
        classifier.answers(photo, max_error=0.1)


def test_a_model_that_is_replaced_while_it_is_read_is_read_anew(
    model: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    other = Path(shutil.copytree(model, tmp_path / "other"))
    network = keras.saving.load_model(other / "model.keras", compile=False)
    last = network.get_layer("predictions")
    last.set_weights([weight[..., ::-1] for weight in last.get_weights()])
    network.save(other / "model.keras")

    def mirrored(told: dict[str, Any]) -> None:
        told["labels"] = told["labels"][::-1]

    edit_metadata(other, mirrored)
    load, waiting = keras.saving.load_model, [other]

    def with_another(path: Path, **settings: Any) -> Any:
        if waiting:
            files.replace_folder(model, waiting.pop())
        return load(path, **settings)

    monkeypatch.setattr(keras.saving, "load_model", with_another)
    classifier = xferlearn.load_classifier(
        model, engine="tensorflow", precision="float32", bottleneck_dir=tmp_path / "cache"
    )
    assert not waiting
    assert classifier.labels == ("red", "green", "blue")
    assert classifier.metadata["labels"] == ["red", "green", "blue"]
    assert classifier.label(photo)[0][0] == "red"


def test_a_folder_that_never_rests_is_given_up(model: Path) -> None:
    count = 0

    def read(folder: Any) -> None:
        nonlocal count
        count += 1
        edit_metadata(model, lambda told: told.update(number=count))

    with pytest.raises(UserError, match="is replaced again and again"):
        read_as_one(model, read)


def test_folders_are_swapped_in_one_step(tmp_path: Path) -> None:
    """At no time is there no folder: a reader in the middle finds the old or the new one."""
    if files._renameat2() is None:
        pytest.skip("this system can't swap two folders")
    for name in ("m", "new.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    seen = []
    rename = Path.rename

    def noted(self: Path, target: Path) -> Path:
        seen.append((self.name, Path(target).name))
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", noted)
        files.replace_folder(tmp_path / "m", tmp_path / "new.tmp")
    assert seen == []
    assert (tmp_path / "m/file").read_text() == "new.tmp"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_kill_between_two_renames_is_mended(
    model: Path, photo: Path, refused: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    old = model.with_name(".model.0123abcd.old")
    model.rename(old)
    assert main(["label", f"--model={model}", *EXACT, str(photo)]) == 0
    assert not old.exists()
    capsys.readouterr()
    shutil.rmtree(model)
    assert f"There is no {model}" in refused()


def test_a_link_to_a_model_stays_one(model: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(model)
    assert read_model_folder(link).labels == ("blue", "green", "red")


def test_export_does_not_go_into_another_model(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xferlearn.exports import format_job

    prove = format_job.prove

    def with_another(*args: Any, **rest: Any) -> Any:
        edit_metadata(model, lambda told: told.update(number=2))
        return prove(*args, **rest)

    monkeypatch.setattr(format_job, "prove", with_another)
    result = xferlearn.export(model=model, format="saved_model", verbose=0)
    (row,) = result.rows
    assert "was replaced while this was running" in (row.problem or "")
    assert not (model / "exports/saved_model").exists()
