"""Files and folders are whole under their names or not there; leftovers of killed runs go."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xferlearn.system.files import (
    remove_stale,
    replace_folder,
    temporary_folder,
    write_atomically,
)

ROOT = Path(__file__).resolve().parent.parent
HEX, LONG_HEX = "8f3a0c12", "8f3a0c12" * 4


@pytest.mark.parametrize("content", [b"new\r\n\0", lambda file: file.write(b"new\r\n\0")])
@pytest.mark.parametrize("before", [None, b"a longer content than the new one"])
def test_a_file_is_written_and_replaced(tmp_path: Path, content, before) -> None:
    path = tmp_path / "report.json"
    if before is not None:
        path.write_bytes(before)
    write_atomically(path, content)
    assert path.read_bytes() == b"new\r\n\0"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_that_can_not_be_written_stays_as_it_was(tmp_path: Path, problem) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"old")

    def half(file) -> None:
        file.write(b"half of the n")
        raise problem

    with pytest.raises(type(problem)):
        write_atomically(path, half)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "report.json", b"")


KILLED = """
import os, pathlib, signal, sys
from xferlearn.system.files import temporary_folder, write_atomically

def kill(file):
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

with temporary_folder(pathlib.Path(sys.argv[1], "model")) as folder:
    write_atomically(folder.parent / ".model.state", kill)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_what_a_killed_run_left_goes_after_a_day(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    left = list(tmp_path.iterdir())
    assert sorted(path.is_dir() for path in left) == [False, True]
    remove_stale(tmp_path, "model")
    assert sorted(tmp_path.iterdir()) == sorted(left), "it may be another run's, at work"
    for path in left:
        make_old(path)
    remove_stale(tmp_path, "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folders", [False, True])
@pytest.mark.parametrize(
    ("of", "names", "kept"),
    [
        # As the versions before named them, too.
        ("", [f".{LONG_HEX}.tmp", f".a.arrow.{HEX}.tmp", f".m.{HEX}.old"], ["a.arrow", ".a.tmp"]),
        ("m", [f".m.{HEX}.tmp", f".m.fine-tuning.{HEX}.tmp"], [f".mm.{HEX}.tmp", ".m.notes.tmp"]),
        (".m.fine-tuning", [f".m.fine-tuning.{HEX}.tmp"], [f".m.{HEX}.tmp", ".m.fine-tuning"]),
        ("export", [f".export.onnx.{HEX}.tmp"], ["export", f"export.onnx.{HEX}.tmp", ".export."]),
        ("[a]*", [f".[a]*.{HEX}.tmp"], [f".a.{HEX}.tmp", f".[a]*b.{HEX}.tmp"]),
    ],
)
def test_only_what_is_left_over_is_removed(tmp_path: Path, of, names, kept, folders) -> None:
    for name in (*names, *kept):
        path = tmp_path / name
        if folders:
            path.mkdir()
            (path / "model.keras").write_bytes(b"half")
        else:
            path.write_bytes(b"half")
        make_old(path)
    remove_stale(tmp_path, of)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / f".m.{HEX}.tmp").symlink_to(precious)
    os.utime(tmp_path / f".m.{HEX}.tmp", (1e9, 1e9), follow_symlinks=False)
    remove_stale(tmp_path)
    assert list(tmp_path.iterdir()) == [precious]


def test_where_nothing_was_written_nothing_is_removed(tmp_path: Path) -> None:
    remove_stale(tmp_path / "none", "model")
    assert not list(tmp_path.iterdir())


def test_a_new_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with temporary_folder(tmp_path / "model") as new:
            assert new.parent == tmp_path
            (new / content).write_text(content)
            replace_folder(tmp_path / "model", new)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["second"]


def test_a_folder_that_fails_while_it_is_made_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with temporary_folder(tmp_path / "model") as new:
            (new / "model.keras").write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_half()
    assert not list(tmp_path.iterdir())


def make_old(path: Path) -> None:
    """Makes a file or folder look as if it was written two days ago."""
    two_days_ago = time.time() - 2 * 86_400
    os.utime(path, (two_days_ago, two_days_ago))
