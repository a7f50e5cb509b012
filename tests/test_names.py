"""Names that disks hold: the same in each form of Unicode, refused where nobody could read them."""

import csv
import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from xferlearn.errors import UserError
from xferlearn.photos.folders.files import read_image_dir
from xferlearn.photos.manifest import Manifest, Photo
from xferlearn.photos.recorded import parse_photos, write_photos
from xferlearn.system.terminal import say, say_csv, say_json, tell
from xferlearn.system.text import count, plural_of

ROOT = Path(__file__).resolve().parent.parent
HOSTILE = 'a\x1b[31m\x9b2J\u202e\r\n,"b".jpg'


def classes(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir()
        for number in range(3):
            (root / name / f"{number}.jpg").write_bytes(b"\xff\xd8\xff" + name.encode())
    return root


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_labels_are_nfc_whatever_the_disk_has(tmp_path: Path, form: str) -> None:
    names = ("pâquerette", "rosé", "Tülpe")
    source = read_image_dir(classes(tmp_path, *(unicodedata.normalize(form, n) for n in names)))
    assert source.labels == tuple(sorted(unicodedata.normalize("NFC", name) for name in names))
    for entry in source.entries():
        assert entry.read()  # under the name that it has
    for model in ("NFC", "NFD"):
        labels = tuple(unicodedata.normalize(model, label) for label in source.labels)
        assert [e.label for e in read_image_dir(tmp_path, labels).entries()] == (
            [e.label for e in source.entries()]
        )


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (
            ("rosé", "rose\u0301", "b"),
            r"'rose\\u0301' and 'ros\\xe9' of .* in two forms of Unicode",
        ),
        (("a", "a ", "b"), r"folders 'a' and 'a ' of .* are the same but for blanks"),
        (("a", "\u00a0a", "b"), r"'\\xa0a' and 'a'|'a' and '\\xa0a'"),
    ],
)
def test_two_folders_of_one_name_are_shown(tmp_path: Path, names, error) -> None:
    with pytest.raises(UserError, match=error):
        read_image_dir(classes(tmp_path, *names))


def test_names_that_differ_in_case_warn(tmp_path: Path) -> None:
    if Path(str(tmp_path).upper()).exists():
        pytest.skip("this file system does not tell case")
    source = read_image_dir(classes(tmp_path, "daisy", "Daisy", "tulips"))
    assert source.labels == ("Daisy", "daisy", "tulips")
    assert source.warnings[0].startswith("Classes 'Daisy' and 'daisy' differ only in upper and")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (" ", "is blank"),
        ("\u00a0\u2003", "is blank"),
        ("\u200b", "is blank"),
        ("a\u2028b", r"'a\\u2028b' .* has a line break \(U\+2028\)"),
        ("c\u0085d", r"has a line break \(U\+0085\)"),
        ("e\x0bf", "has a line break"),
        ("a\tb", r"has a control character \(U\+0009\)"),
        ("\x1b[31mred", r"'\\x1b\[31mred' .*\(U\+001B\)"),
        ("a\x7f", "has a control character"),
        ("gpj.\u202eevil", r"\(U\+202E\)"),
    ],
)
def test_names_that_nobody_could_read_are_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        read_image_dir(classes(tmp_path, name, "b"))
    assert str(caught.value).isprintable()
    with pytest.raises(UserError, match=reason):
        read_image_dir(tmp_path, ("b",), other_classes="count")


def test_odd_names_are_names(tmp_path: Path) -> None:
    names = [
        "-h",
        "--model",
        "...",
        "%s{0}",
        '=1+1,"x"',
        "🌼 daisy",
        "👩\u200d🌾",
        "t" * 255,
        "`image_dir`",
    ]
    source = read_image_dir(classes(tmp_path, *names, " edge "))
    assert source.labels == tuple(sorted([*names, "edge"]))
    assert source.warnings == ()


def test_a_locale_that_can_not_read_a_name_is_blamed(tmp_path: Path) -> None:
    classes(tmp_path, "rosé", "b")
    script = (
        "import sys\nfrom xferlearn.errors import UserError\n"
        "from xferlearn.photos.folders.files import read_image_dir\n"
        "try: read_image_dir(sys.argv[1])\nexcept UserError as error: print(ascii(error))"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, **plain},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "this process takes names as ascii" in done.stdout
    assert "LC_ALL=C.UTF-8" in done.stdout
    assert "Rename" not in done.stdout


def test_names_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"one\n{HOSTILE.replace(chr(10), '')}")
    tell(HOSTILE)
    out, err = capsys.readouterr()
    assert out.count("\n") == 2
    assert err.count("\n") == 1
    assert (out + err).replace("\n", "").isprintable()
    tell("A long line is not cut: " + "x" * 3000)
    assert len(capsys.readouterr().err) > 3000
    tell("caf\udce9 Screenshot 10.00\u202fAM 👩\u200d🌾")
    assert capsys.readouterr().err == "caf\\udce9 Screenshot 10.00\u202fAM 👩\u200d🌾\n"


def test_programs_read_exact_names(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({"image": HOSTILE, "emoji": "🌼\U000e0001"})
    out = capsys.readouterr().out
    assert out.removesuffix("\n").isprintable()
    assert json.loads(out) == {"image": HOSTILE, "emoji": "🌼\U000e0001"}
    names = [HOSTILE, "a\rb", "c\nd", 'e"f', "g,h", ""]
    for name in names:
        say_csv([name, 1])
    written = capsys.readouterr().out
    assert [row[0] for row in csv.reader(io.StringIO(written, newline=""))] == names


def test_csv_on_a_terminal_is_not_obeyed(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    say_csv([HOSTILE, 1])
    assert capsys.readouterr().out.removesuffix("\n").isprintable()


def test_photos_csv_gives_back_every_name(tmp_path: Path) -> None:
    names = [
        "a\rb.jpg",
        "c\nd.jpg",
        "e\r\nf",
        '"g",h',
        "caf\udce9.jpg",
        "\x1b[31m\u2028",
        " i ",
        "=1+1",
    ]
    photos = tuple(Photo(bytes([n]) * 32, 0, name) for n, name in enumerate(names))
    manifest = Manifest(("=cmd|' /C'!A0",), photos, ("train",) * len(photos))
    write_photos(tmp_path / "photos.csv", manifest)
    read = tuple(parse_photos((tmp_path / "photos.csv").read_bytes()))
    assert [photo.name for photo in read] == names
    assert {photo.label for photo in read} == {"=cmd|' /C'!A0"}


def test_one_is_singular() -> None:
    assert count(1, "photo") == "1 photo"
    assert count(0, "photo") == "0 photos"
    assert count(1200, "class") == "1,200 classes"
    assert count(2, "more pass") == "2 more passes"
    assert (plural_of(1, "is", "are"), plural_of(2, "is", "are")) == ("is", "are")
