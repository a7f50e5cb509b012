"""`label` into a folder, a part per block of photos; `label` and `evaluate` by workers."""

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from model_folders import edit_metadata
from test_runners import RAY_WARNINGS

import xferlearn
from xferlearn.cli import main
from xferlearn.config import ModelConfig
from xferlearn.labelling import blocks as labelling_blocks
from xferlearn.labelling import model_digest, parts
from xferlearn.model_folder import ModelFolder
from xferlearn.predictors import Answers, Predictor
from xferlearn.runners import Job
from xferlearn.system import places

Run = Callable[..., tuple[int, str, str]]
COLOURS = {"red": 5, "green": 4, "blue": 3}
PART = f"labels-{'a' * 40}.parquet"


@pytest.fixture(scope="module")
def photos(photo_bytes: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos in three folders, and one that is none. Shared: do not change it."""
    root = tmp_path_factory.mktemp("many")
    for colour, photos in COLOURS.items():
        (root / colour).mkdir()
        for number in range(photos):
            (root / colour / f"{number}.jpg").write_bytes(photo_bytes(colour, 100 + number))
    (root / "green" / "bad.jpg").write_bytes(b"no photo at all")
    return root


@pytest.fixture(scope="module")
def words(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags of a model of colours, with a cache that the tests share."""
    cache = tmp_path_factory.mktemp("cache")
    exact = ("--engine=tensorflow", "--precision=float32", f"--bottleneck_dir={cache}")
    return [f"--model={small_model}", *exact]


@pytest.fixture
def label(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs `xferlearn label` with parts of at most three photos."""
    monkeypatch.setattr(parts, "_LEAST_ROWS", 2)
    monkeypatch.setattr(parts, "_MOST_ROWS", 3)

    def run(*more: object) -> tuple[int, str, str]:
        code = main(["label", *words, *map(str, more)])
        return code, *capsys.readouterr()

    return run


def parts_of(folder: Path) -> list[str]:
    """The names of the parts that belong together, in their order."""
    named = json.loads((folder / "_job.json").read_text())["parts"]
    assert sorted(named) == sorted(one.name for one in folder.glob("*.parquet"))
    return named


def flip_a_byte(path: Path) -> None:
    """Changes a byte of a name in a part, which can be read all the same."""
    before = pq.read_table(path)
    column, content = pq.ParquetFile(path).metadata.row_group(0).column(0), path.read_bytes()
    place = content.index(b".jpg", column.dictionary_page_offset)
    path.write_bytes(content[:place] + b"_" + content[place + 1 :])
    assert not pq.read_table(path).equals(before)


def rows_of(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(folder / name) for name in parts_of(folder)])


def test_parts_hold_what_one_file_does_and_are_not_made_twice(
    label: Run, photos: Path, tmp_path: Path
) -> None:
    one, folder = tmp_path / "one.parquet", tmp_path / "parts"
    assert label(photos, f"--output={one}")[0] == 1
    code, out, err = label(photos, f"--output={folder}")
    assert (code, out) == (1, f"12 photos labelled: {folder}\n")
    assert "bad.jpg: not a JPEG" in err
    summary = "5 red, 4 green, 3 blue\n1 of 13 photos could not be read.\n"
    assert err.endswith(summary)
    found = rows_of(folder)
    assert found.equals(pq.read_table(one))
    assert found["error"].null_count == 12
    # Readers of a folder take it as it is.
    assert pq.read_table(folder).num_rows == 13
    names = parts_of(folder)
    # The third has the bad photo, and is made again by each run.
    times = {name: (folder / name).stat().st_mtime_ns for name in names[3:]}
    (folder / names[0]).unlink()
    flip_a_byte(folder / names[1])
    code, out, err = label(photos, f"--output={folder}/")
    found_again = "; 1 more has unreadable photos and is made again.\n"
    assert f"{len(names) - 3} of {len(names)} parts were there{found_again}" in err
    assert (code, err.endswith(summary)) == (1, True)
    assert rows_of(folder).equals(found)
    assert times == {name: (folder / name).stat().st_mtime_ns for name in names[3:]}
    code, out, err = label(photos, f"--output={folder}")
    assert (code, out) == (1, f"12 photos labelled: {folder}/\n".replace("/\n", "\n"))
    assert err.startswith(f"{len(names) - 1} of {len(names)} parts were there{found_again}")
    assert "bad.jpg: not a JPEG" in err
    assert err.endswith(summary)
    code, out, err = label(photos, f"--output={folder}", "--on_bad_image=fail")
    assert (code, out) == (2, "")
    assert "bad.jpg can't be used" in err


def test_a_photo_that_could_not_be_read_is_tried_again(
    label: Run, photos: Path, tmp_path: Path
) -> None:
    folder, photo = tmp_path / "parts", tmp_path / "photo.jpg"
    good = (photos / "red" / "0.jpg").read_bytes()
    for content, code, said in (
        (bytes(len(good)), 1, "1 of 1 photo could not be read."),
        (good, 0, "1 of 1 part has unreadable photos and is made again."),
        (good, 0, "1 of 1 part was there."),
    ):
        photo.write_bytes(content)
        os.utime(photo, (1, 1))
        found = label(photo, f"--output={folder}")
        assert (found[0], said in found[2]) == (code, True)
    assert rows_of(folder)["error"].null_count == 1


KILLED = """
import os, signal, sys
from xferlearn.cli import main
from xferlearn.labelling import parts
parts._LEAST_ROWS, parts._MOST_ROWS = 2, 3
write = parts.write_parquet
seen = []
def killed(*args):
    if seen:
        os.kill(os.getpid(), signal.SIGKILL)
    seen.append(write(*args))
parts.write_parquet = killed
main(sys.argv[1:])
"""


def test_a_killed_job_goes_on(label: Run, words: list[str], photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    command = ["label", *words, str(photos), f"--output={folder}"]
    run = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True, check=False)
    assert run.returncode == -signal.SIGKILL
    planned = json.loads((folder / "_job.json").read_text())["parts"]
    assert [one.name for one in folder.iterdir() if one.name != "_job.json"] == planned[:1]
    code, _, err = label(photos, f"--output={folder}")
    assert (code, f"1 of {len(planned)} parts was there." in err) == (1, True)
    assert rows_of(folder).num_rows == 13


def test_what_is_of_another_model_other_settings_or_photos_is_not_mixed_with(
    label: Run, small_model: Path, photos: Path, tmp_path: Path
) -> None:
    folder, mine = tmp_path / "parts", tmp_path / "photos"
    shutil.copytree(photos, mine)
    label(mine, f"--output={folder}")
    first = parts_of(folder)
    model = tmp_path / "model"
    shutil.copytree(small_model, model)
    edit_metadata(model, lambda told: told.update(trained_by="another"))
    for other in (f"--model={model}", "--top_k=2", "--reject=0"):
        code, out, err = label(mine, f"--output={folder}", other)
        assert (code, out) == (2, "")
        assert f"holds {len(first)} parts of other photos, another model or other settings" in err
    assert parts_of(folder) == first
    # One photo that changes makes one part again.
    os.utime(mine / "red" / "3.jpg", (1, 1))
    assert "holds 1 part of other photos" in label(mine, f"--output={folder}")[2]
    code, _, err = label(mine, f"--output={folder}", "--replace_parts")
    # Another part has the bad photo.
    assert (code, f"{len(first) - 2} of {len(first)} parts were there; 1" in err) == (1, True)
    assert len(set(first) - set(parts_of(folder))) == 1
    code, _, err = label(mine, f"--output={folder}", "--replace_parts", "--top_k=2")
    assert (code, "were there" in err, set(first) & set(parts_of(folder))) == (1, False, set())
    assert "label_3" not in rows_of(folder).column_names


def test_another_job_that_took_the_folder_meanwhile_is_told(
    label: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "parts"
    write = parts.write_parquet

    def meanwhile(*args: object) -> None:
        (folder / f"labels-{'0' * 40}.parquet").write_bytes(b"")
        write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(parts, "write_parquet", meanwhile)
    code, out, err = label(photos, f"--output={folder}")
    assert (code, out) == (1, "")
    assert "Another job wrote to" in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--output=full",), "Found notes.txt in full"),
        (("--output=mine", "--replace_parts"), "Found labels-mine.parquet in mine"),
        (("--output=deep", "--replace_parts"), f"Found old/{PART} in deep"),
        (("--output=new/", "--runner=ray"), "pip install 'xferlearn[ray]'"),
        (("--output=s3://bucket/labels",), "Can't write to s3://bucket/labels: "),
        (("--output=new/", "--why=page"), "and a folder --output is for more photos"),
        (("--runner=ray", "--why=page"), "and --runner=ray is for more photos"),
        (("--output=new/", "--format=csv"), "is parquet, and --format says csv"),
        (("--output=a.csv", "--replace_parts"), "--replace_parts belongs to a folder --output"),
        (("--output=a.csv/deeper",), "Can't write to a.csv/deeper"),
        (("--output=ftp://host/folder",), "Expected --output to be a path or one of s3://"),
    ],
)
def test_a_folder_that_can_not_be_used_is_refused(
    label: Run,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/notes.txt").write_text("notes")
    Path("full/.hidden").write_text("hidden")
    Path("a.csv").write_text("")
    for kept in (Path("mine/labels-mine.parquet"), Path("deep/old") / PART):
        kept.parent.mkdir(parents=True)
        kept.write_text("")
    monkeypatch.setitem(sys.modules, "ray", None)
    Path("bucket").write_text("not one")
    system = pyarrow.fs.SubTreeFileSystem(str(tmp_path), pyarrow.fs.LocalFileSystem())
    monkeypatch.setattr(places, "file_system", lambda scheme, bucket, options: system)
    code, out, err = label(photos, *flags)
    assert (code, out) == (2, "")
    assert message in err
    assert not Path("new").exists()
    assert Path("mine/labels-mine.parquet").exists()


def test_parts_go_to_a_bucket(
    label: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "store"
    root.mkdir()
    system = pyarrow.fs.SubTreeFileSystem(str(root), pyarrow.fs.LocalFileSystem())
    monkeypatch.setattr(places, "file_system", lambda scheme, bucket, options: system)
    code, out, _ = label(photos, "--output=s3://bucket/labels")
    assert (code, out) == (1, "12 photos labelled: s3://bucket/labels\n")
    assert rows_of(root / "bucket" / "labels").num_rows == 13
    assert "parts were there" in label(photos, "--output=s3://bucket/labels/")[2]


class Elsewhere:
    """A runner that is late with what comes first, and loses the last photo."""

    name = "ray"

    def block_rows(self, total: int) -> int:
        return 5

    def run(self, job: Job, blocks: Iterable[pa.Table]) -> Iterator[pa.Table]:
        work = job.make(**pickle.loads(pickle.dumps(dict(job.arguments))))
        *before, last = blocks
        yield job.failed(last.slice(last.num_rows - 1), "the process that read it ended")
        if last.num_rows > 1:
            yield work(last.slice(0, last.num_rows - 1))
        yield from map(work, reversed(before))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--runner=ray` without Ray."""

    @contextlib.contextmanager
    def opened(config: object, **rest: object) -> Iterator[Elsewhere]:
        yield Elsewhere()

    monkeypatch.setattr(labelling_blocks, "open_runner", opened)


@pytest.mark.usefixtures("elsewhere")
def test_workers_label_as_this_process_does(
    label: Run, words: list[str], photos: Path, tmp_path: Path
) -> None:
    cache = Path(words[-1].partition("=")[2])
    (cache / ".probe-0").touch()  # of a job that was killed
    os.utime(cache / ".probe-0", (1, 1))
    answers = {}
    for runner in ("local", "ray"):
        one, folder = tmp_path / f"{runner}.csv", tmp_path / runner
        code, _, err = label(photos, f"--output={one}", f"--runner={runner}")
        assert code == 1
        label(photos, f"--output={folder}", f"--runner={runner}")
        answers[runner] = one.read_text().splitlines(), rows_of(folder), err.splitlines()
    assert not [*cache.glob(".probe-*")]
    here, there = answers["local"], answers["ray"]
    assert here[0][:-1] == there[0][:-1]
    assert there[0][-1].endswith(",failed,,the process that read it ended")
    assert there[2][-2:] == ["4 green, 4 red, 3 blue", "2 of 13 photos could not be read."]
    assert there[1].slice(0, 12).equals(here[1].slice(0, 12))
    assert there[1]["error"][12].as_py() == "the process that read it ended"


@pytest.mark.usefixtures("elsewhere")
def test_workers_measure_as_this_process_does(
    words: list[str], photo_dir: Path, photos: Path, tmp_path: Path
) -> None:
    settings = dict(word.removeprefix("--").split("=", 1) for word in words)
    mine = tmp_path / "photos"
    shutil.copytree(photos, mine)
    for colour in COLOURS:  # some that the model has learned from
        for number in range(10):
            shutil.copy(photo_dir / colour / f"{number:04d}.jpg", mine / colour / f"s{number}.jpg")
    # The last one is lost.
    (mine / "red" / "z.jpg").write_bytes(b"unreadable here")
    here, there = (
        xferlearn.evaluate(**settings, image_dir=mine, runner=runner) for runner in ("local", "ray")
    )
    numbers = [one.as_dict() for one in (here, there)]
    for one in numbers:
        one.pop("seconds", None)
        assert [Path(bad["file"]).name for bad in one["bad_photos"]] == ["bad.jpg", "z.jpg"]
        one.pop("bad_photos")
    assert numbers[0] == numbers[1]
    assert here.evaluation.total
    assert here.seen.photos["train"]


@pytest.mark.usefixtures("elsewhere")
def test_workers_refuse_a_model_that_was_replaced_meanwhile(
    label: Run,
    words: list[str],
    small_model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tmp_path / "model"
    shutil.copytree(small_model, model)
    opened = labelling_blocks.open_predictor

    def late(config: ModelConfig) -> Predictor:
        edit_metadata(model, lambda told: told.update(trained_by=told.get("trained_by", "") + "x"))
        return opened(config)

    monkeypatch.setattr(labelling_blocks, "open_predictor", late)
    said = f"the model {model} changed while this was running"
    for output in ("new/", "new.csv"):
        where = f"--output={tmp_path}/{output}"
        code, out, err = label(photos, where, f"--model={model}", "--runner=ray")
        assert (code, out) == (2, "")
        assert said in err
    settings = dict(word.removeprefix("--").split("=", 1) for word in words) | {"model": model}
    with pytest.raises(xferlearn.UserError, match=said):
        xferlearn.evaluate(**settings, image_dir=photos, runner="ray")


def test_a_model_is_known_by_the_bytes_of_its_files(tmp_path: Path) -> None:
    def digest(**settings: Any) -> str:
        return model_digest(Predictor(("a",), 8, 8, "crop", Answers, **settings))

    def folder_digest(files: dict[str, str]) -> str:
        told = {"files": files} if files else {}
        folder = ModelFolder(tmp_path, ("a",), told)
        return digest(metadata=told, model_folder=folder)

    net = tmp_path / "model.keras"
    seen = set()
    for content in (b"one", b"two"):
        net.write_bytes(content)
        weights = model_digest(Predictor(("a",), 8, 8, "crop", Answers), net)
        seen |= {digest(path=net), digest(path=tmp_path), folder_digest({}), weights}
        seen.add(folder_digest({"model.keras": "of the metadata"}))
    # By file, folder, model folder of an earlier version, weights, each twice; and metadata.
    assert len(seen) == 3 * 2 + 1


@RAY_WARNINGS
@pytest.mark.slow
def test_ray_labels_and_measures_as_this_process_does(
    label: Run, words: list[str], photos: Path, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert label(photos, f"--output={here}")[0] == 1
    assert label(photos, f"--output={there}", "--runner=ray")[0] == 1
    assert rows_of(here).equals(rows_of(there))
    settings = dict(word.removeprefix("--").split("=", 1) for word in words)
    both = [
        xferlearn.evaluate(**settings, image_dir=photos, runner=runner)
        for runner in ("local", "ray")
    ]
    assert both[0].as_dict()["confusion"] == both[1].as_dict()["confusion"]
