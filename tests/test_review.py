"""`xferlearn review`: what is asked and answered, who may ask, and what survives."""

import contextlib
import csv
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from werkzeug.test import Client, TestResponse

import xferlearn
from xferlearn import UserError
from xferlearn.cli import main
from xferlearn.commands import review as command
from xferlearn.config import ReviewConfig
from xferlearn.model_folder import change_metadata, read_model_folder
from xferlearn.photos.corrections import read_corrections
from xferlearn.photos.folders.files import read_files
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import Manifest, Photo
from xferlearn.photos.reading import load_photos
from xferlearn.review import answers as answers_module
from xferlearn.review.answers import Answers, ChangedMeanwhile
from xferlearn.review.browser import browser_at
from xferlearn.review.evidence import Evidence
from xferlearn.review.finding import Finder
from xferlearn.review.pictures import Pictures
from xferlearn.review.server import ReviewApp, listen
from xferlearn.review.session import Session
from xferlearn.training.material import Material

LABELS = ("blue", "red")
HOSTILE = "red/<img src=x onerror=alert(1)>\u202e\n'\".jpg"


class Centroids:
    """Heads that need no training: each fold's photos belong to the nearest mean of the others."""

    stack = None

    def __init__(self, x: np.ndarray, folds: np.ndarray) -> None:
        self._x, self._folds = x, folds
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()

    def fit(
        self, y: np.ndarray, classes: int, learned: np.ndarray | None = None, check: object = None
    ) -> np.ndarray:
        self.entered.set()
        assert self.gate.wait(10)
        used = y >= 0 if learned is None else (y >= 0) & learned
        found = np.zeros((len(y), classes), np.float32)
        for fold in np.unique(self._folds):
            rows = self._folds == fold
            for place in range(classes):
                others = self._x[used & ~rows & (y == place)]
                if len(others):
                    far = np.linalg.norm(self._x[rows] - others.mean(axis=0), axis=1)
                    found[rows, place] = np.exp(-far)
        return found / np.maximum(found.sum(axis=1, keepdims=True), 1e-9)


def simulated(
    labels: tuple[str, ...] = LABELS, unlabelled: int = 4, *, is_doubled: bool = False
) -> Material:
    """Forty photos in two clouds: the first of each class lies in the other's; some have none.

    Where one is doubled, the first of both classes are the same bytes.
    """
    generator = np.random.default_rng(0)
    y = np.array([row % 2 for row in range(40)])
    truth = y.copy()
    truth[:2] = 1 - y[:2]
    truth = np.concatenate([truth, np.arange(unlabelled) % 2])
    y = np.concatenate([y, np.full(unlabelled, -1)])
    x = generator.normal(0, 0.2, (len(y), 4)).astype(np.float32)
    x[:, 0] += 3 * truth
    photos = tuple(
        Photo(
            bytes([0 if is_doubled and row == 1 else row]) * 32,
            int(label),
            HOSTILE if row == 1 else f"{label}/{row}.jpg",
        )
        for row, label in enumerate(y)
    )
    manifest = Manifest(labels, photos[:40], ("train",) * 40)
    fixed = (None,) * len(photos)
    number = np.arange(len(photos))
    return Material(None, manifest, photos, x, number % 4, number, fixed)


Open = Callable[..., Session]


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Open]:
    """`open_session()`: a review of simulated photos, with its file in `tmp_path`."""
    opened: list[Session] = []

    def make(**more: Any) -> Session:
        material = more.pop("material", None) or simulated()
        heads = more.pop("heads", None) or Centroids(material.bottlenecks, material.folds)
        answers = Answers(tmp_path / "corrections.csv")
        finder = more.pop("finder", None) or Finder(material, heads)
        opened.append(Session(material, answers, heads, finder, **more))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


def item(session: Session, row: int) -> dict[str, Any]:
    name = session.material.photos[row].digest.hex()
    return next(one for one in session.state()["items"] if one["id"] == name)


def settle(session: Session) -> dict[str, Any]:
    """The state once no head is learning."""
    while (state := session.state())["fit"]["busy"]:
        session.wait(state["revision"], 10)
    return state


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ONE, TWO, LOST = bytes(32), bytes([1]) * 32, bytes([99]) * 32
BARE = bytes([40]) * 32


# --- The session


def test_suspicious_labels_are_asked_and_photos_without_a_class(open_session: Open) -> None:
    state = open_session(title="colours").state()
    asked = {one["id"]: one for one in state["items"]}
    assert {ONE.hex(), TWO.hex(), BARE.hex()} <= asked.keys()
    assert asked[ONE.hex()]["kind"] == "label error"
    assert (asked[ONE.hex()]["labels"], asked[ONE.hex()]["proposed"]) == (["blue"], ["red"])
    assert (asked[BARE.hex()]["kind"], asked[BARE.hex()]["labels"]) == ("unlabelled", None)
    assert state["unlabelled"] == 4
    assert state["accuracy"]["n"] == 40
    assert state["accuracy"]["now"] == state["accuracy"]["before"] == 0.95
    assert state["classes"] == [
        {"label": "blue", "photos": 20, "right": 19},
        {"label": "red", "photos": 20, "right": 19},
    ]


def test_an_answer_is_on_disk_before_it_is_acknowledged(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    session.answer([ONE, TWO], "relabel", "red")
    (first, second) = rows_of(tmp_path / "corrections.csv")
    assert (first["digest"], first["action"], first["label"]) == (ONE.hex(), "relabel", "red")
    # The second one lies under red already: that it is red says that its label is right.
    assert (second["action"], second["label"]) == ("keep", "red")
    assert first["command"] == "xferlearn review"
    state = session.state()
    assert (state["answered"], state["pending"]) == (2, 2)
    assert item(session, 0)["answer"] == {"action": "relabel", "labels": ["red"]}


def test_heads_learn_from_answers_and_both_are_judged_by_the_labels_as_they_are(
    open_session: Open,
) -> None:
    session = open_session()
    session.answer([ONE], "relabel", "red")
    session.answer([TWO], "relabel", "blue")
    session.answer([BARE], "relabel", "blue")
    session.refit()
    state = settle(session)
    assert state["pending"] == 0
    # The heads at the start know both by their true labels, too; the third had none then.
    assert (state["accuracy"]["n"], state["accuracy"]["before"]) == (40, 1.0)
    assert "+0.0 points" in state["accuracy"]["text"]
    assert state["unlabelled"] == 3
    assert state["items"][0]["answer"] is not None  # what was answered comes first, and stays


def test_ten_answers_are_learned_from_unasked_and_those_given_meanwhile_afterwards(
    open_session: Open,
) -> None:
    material = simulated()
    heads = Centroids(material.bottlenecks, material.folds)
    session = open_session(material=material, heads=heads)
    heads.gate.clear()
    heads.entered.clear()
    for row in range(10):
        session.answer([bytes([row]) * 32], "keep")
    assert session.state()["fit"]["busy"]
    assert heads.entered.wait(10)  # with the ten: a thread may begin late
    for row in range(10, 21):
        session.answer([bytes([row]) * 32], "exclude")
    assert session.state()["pending"] == 21
    heads.gate.set()
    state = settle(session)
    assert state["pending"] == 0
    assert state["accuracy"]["n"] == 29


def test_undo_takes_back_the_last_answer_with_all_its_photos(
    open_session: Open, tmp_path: Path
) -> None:
    session = open_session()
    session.answer([ONE], "keep")
    session.answer([ONE, TWO], "exclude")
    session.undo()
    assert item(session, 0)["answer"] == {"action": "keep", "labels": ["blue"]}
    assert item(session, 1)["answer"] is None
    assert [row["action"] for row in rows_of(tmp_path / "corrections.csv")] == ["keep"]
    session.undo()
    assert session.state()["pending"] == 0
    with pytest.raises(UserError, match="Nothing to undo"):
        session.undo()


def test_a_class_is_added_and_learned_with_its_first_photo(open_session: Open) -> None:
    session = open_session()
    session.add_class(" green ")
    for bad, why in (("Green", "already"), (" ", "empty"), ("a\nb", "label")):
        with pytest.raises(UserError, match=why):
            session.add_class(bad)
    session.answer([ONE], "relabel", "green")
    session.refit()
    state = settle(session)
    assert not state["fit"]["error"]
    assert state["labels"] == ["blue", "red", "green"]
    assert state["classes"][2]["photos"] == 1


@pytest.mark.parametrize(
    ("digest", "action", "label", "why"),
    [
        (LOST, "keep", "", "no such photo"),
        (BARE, "keep", "", "has no class that could be kept"),
        (ONE, "relabel", "rad", "Did you mean red"),
        (ONE, "relabel", "", "no class ''"),
        (ONE, "delete", "", "relabel, exclude or keep"),
    ],
)
def test_an_answer_that_a_photo_cannot_have_changes_nothing(
    open_session: Open, tmp_path: Path, digest: bytes, action: str, label: str, why: str
) -> None:
    session = open_session()
    with pytest.raises(UserError, match=why):
        session.answer([TWO, digest], action, label)
    assert session.state()["answered"] == 0
    assert not (tmp_path / "corrections.csv").exists()


def test_the_same_bytes_in_two_classes_are_one_photo_that_no_class_is_kept_of(
    open_session: Open, tmp_path: Path
) -> None:
    session = open_session(material=simulated(is_doubled=True))
    assert item(session, 0)["name"] == "0/0.jpg"
    with pytest.raises(UserError, match="lies in blue and in red, so there is no one label"):
        session.answer([ONE], "keep")
    assert item(session, 0)["answer"] is None
    session.answer([ONE], "relabel", "red")
    (row,) = rows_of(tmp_path / "corrections.csv")
    assert (row["name"], row["action"], row["label"]) == ("0/0.jpg", "relabel", "red")
    assert [one["photos"] for one in session.state()["classes"]] == [19, 21]


def test_an_added_class_is_the_same_in_every_form_of_unicode(
    open_session: Open, tmp_path: Path
) -> None:
    session = open_session()
    session.add_class("ros\u0065\u0301")
    session.answer([ONE], "relabel", "ros\u0065\u0301")
    assert rows_of(tmp_path / "corrections.csv")[0]["label"] == "ros\u00e9"
    assert session.state()["labels"] == ["blue", "red", "ros\u00e9"]


def test_several_answers_of_one_act_are_undone_as_one_and_no_other_windows(
    open_session: Open,
) -> None:
    session = open_session()
    act = session.answer_all([([ONE], "relabel", "red"), ([TWO], "relabel", "blue")])
    others = session.answer([BARE], "exclude")
    with pytest.raises(UserError, match="another window"):
        session.undo(act)
    assert session.state()["pending"] == 3
    session.undo(others)
    assert session.state()["last"] == act
    session.undo(act)
    assert (session.state()["pending"], session.state()["last"]) == (0, 0)


def test_a_review_without_heads_is_opened_and_says_what_is_missing(open_session: Open) -> None:
    session = open_session()
    session.answer([bytes([row]) * 32 for row in range(0, 40, 2)], "exclude")
    settle(session)
    session.close()
    again = open_session()
    state = again.state()
    assert "at least two classes" in state["fit"]["error"]
    assert state["accuracy"] is None
    assert item(again, 40)["text"] == "no class yet"
    again.answer([ONE, bytes([2]) * 32], "keep")
    again.refit()
    state = settle(again)
    # The first heads that there are, are those that later ones are compared with.
    assert (state["fit"]["error"], state["accuracy"]["refitted"]) == ("", False)


def test_what_is_asked_is_found_without_waiting_for_what_nobody_wants(open_session: Open) -> None:
    material = simulated()
    heads = Centroids(material.bottlenecks, material.folds)
    listed, gate = threading.Event(), threading.Event()

    class Slow(Finder):
        slow = False

        def find(self, last: Any, labels: Any, rows: Any, check: Any = lambda: None) -> Any:
            if self.slow:
                listed.set()
                assert gate.wait(10)
                check()
            return super().find(last, labels, rows, check)

    finder = Slow(material, heads)
    session = open_session(material=material, heads=heads, finder=finder)
    before = session.state()["items"]
    finder.slow = True
    session.answer([ONE], "exclude")
    session.refit()
    assert listed.wait(10)
    assert session.state()["pending"] == 0  # the accuracy is there
    finder.slow = False
    session.answer([TWO], "exclude")
    session.refit()
    gate.set()
    state = settle(session)
    assert (state["pending"], state["fit"]["error"], state["accuracy"]["n"]) == (0, "", 38)
    assert len(state["items"]) == len(before)
    # And what a review that has ended would ask is found by nobody.
    finder.slow = True
    listed.clear()
    gate.clear()
    session.refit()
    assert listed.wait(10)
    closing = threading.Thread(target=session.close)
    closing.start()
    with session._changed:
        assert session._changed.wait_for(lambda: session._closed, 10)
    gate.set()
    closing.join(10)
    assert not closing.is_alive()
    assert [one["id"] for one in session.state()["items"]] == [one["id"] for one in state["items"]]


def test_too_few_classes_are_an_error_that_keeps_the_page_usable(open_session: Open) -> None:
    session = open_session()
    session.answer([bytes([row]) * 32 for row in range(0, 40, 2)], "exclude")
    assert "at least two classes" in settle(session)["fit"]["error"]
    session.undo()
    session.refit()
    assert settle(session)["fit"]["error"] == ""


def test_a_file_that_another_program_changed_is_not_overwritten(
    open_session: Open, tmp_path: Path
) -> None:
    session = open_session()
    session.answer([ONE], "keep")
    path = tmp_path / "corrections.csv"
    others = path.read_text() + f"{TWO.hex()},x,exclude,,,by hand\n"
    path.write_text(others)
    for change in (lambda: session.answer([TWO], "keep"), session.undo):
        with pytest.raises(ChangedMeanwhile, match="start it again"):
            change()
    assert path.read_text() == others
    session.close()
    again = open_session()
    assert item(again, 1)["answer"] == {"action": "exclude", "labels": None}
    assert item(again, 1)["kind"] == "answered before"


def test_copies_of_a_photo_are_corrected_with_it(open_session: Open, tmp_path: Path) -> None:
    copy = Photo(LOST, 0, "blue/copy.jpg")
    session = open_session(copies={ONE: [copy]})
    session.answer([ONE], "relabel", "red")
    assert {row["digest"] for row in rows_of(tmp_path / "corrections.csv")} == {
        ONE.hex(),
        LOST.hex(),
    }
    assert session.state()["pending"] == 1
    session.undo()
    assert rows_of(tmp_path / "corrections.csv") == []


def test_of_copies_without_a_class_one_is_asked_and_all_are_labelled(
    open_session: Open, tmp_path: Path
) -> None:
    material = simulated()
    bare, other = material.photos[40:42]
    copies = {bare.digest: [other], other.digest: [bare]}
    session = open_session(material=material, copies=copies)
    assert session.state()["unlabelled"] == 3
    assert other.digest.hex() not in {one["id"] for one in session.state()["items"]}
    session.answer([bare.digest], "relabel", "red")
    assert [row["label"] for row in rows_of(tmp_path / "corrections.csv")] == ["red", "red"]
    assert session.state()["pending"] == 1
    assert session.labels_of(other) == ["red"]


def test_a_second_review_of_the_same_file_is_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    with Answers(path), pytest.raises(UserError, match=f"process {os.getpid()}"):
        Answers(path)
    with Answers(path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "hard link", "text", "folder"])
def test_what_lies_where_the_lock_would_is_neither_followed_nor_overwritten(
    tmp_path: Path, kind: str
) -> None:
    precious, lock = tmp_path / "precious.txt", tmp_path / ".corrections.csv.lock"
    precious.write_text("precious")
    if kind == "link":
        lock.symlink_to(precious)
    elif kind == "hard link":
        lock.hardlink_to(precious)
    elif kind == "text":
        precious = lock
        lock.write_text("precious")
    else:
        lock.mkdir()
    with pytest.raises(UserError, match="is no lock; remove it"):
        Answers(tmp_path / "corrections.csv")
    assert precious.read_text() == "precious"
    assert os.path.lexists(lock)


def test_a_file_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        Answers(tmp_path / "gone" / "corrections.csv")
    (tmp_path / "corrections.csv").write_text("name,price\n")
    with pytest.raises(UserError, match="Expected the columns"):
        Answers(tmp_path / "corrections.csv")
    with pytest.raises(UserError, match="on this machine"):
        Answers("https://example.org/corrections.csv")


# --- The server


class Page:
    """A review's application, asked as a browser would."""

    def __init__(self, app: ReviewApp) -> None:
        app.port = 6116
        self.app, self._client = app, Client(app)
        self.origin = {"Origin": "http://127.0.0.1:6116"}

    def get(self, path: str, host: str = "127.0.0.1:6116", **headers: str) -> TestResponse:
        return self._client.get(f"/{self.app.token}/{path}", headers={"Host": host, **headers})

    def post(self, path: str, body: Any, **headers: str | None) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Host": "127.0.0.1:6116", "Content-Type": "application/json", **self.origin}
        sent = {name: value for name, value in {**sent, **named}.items() if value is not None}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._client.post(f"/{self.app.token}/{path}", data=data, headers=sent)

    def raw(self, path: str) -> TestResponse:
        return self._client.get(path, headers={"Host": "127.0.0.1:6116"})


@pytest.fixture
def page(open_session: Open, tmp_path: Path) -> Page:
    session = open_session()
    folder = tmp_path / "photos"
    (folder / "a").mkdir(parents=True)
    turned = Image.new("RGB", (90, 30), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "a" / "turned.tif", exif=exif)
    Image.new("L", (200, 100), 77).save(folder / "a" / "gray.jpg", exif=exif)
    (folder / "b").mkdir()
    Image.new("RGBA", (300, 150), (9, 9, 9, 0)).save(folder / "b" / "clear.webp")
    source = read_files([str(folder)])
    found = [one.photo for one in load_photos(source.entries(), 32, PhotoLimits())]
    pictures = Pictures(source, found, PhotoLimits())
    evidence = Evidence(session, session.material.prepared, source, pictures, {}, PhotoLimits())
    made = Page(ReviewApp(session, pictures, evidence))
    made.photos = {Path(one.name).name: one.digest.hex() for one in found}
    made.folder, made.session = folder, session
    return made


def test_the_state_is_json_whatever_names_are(page: Page) -> None:
    answer = page.get("state")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    names = [one["name"] for one in answer.json["items"]]
    assert HOSTILE in names
    assert "script" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not any(name.startswith("Access-Control") for name, _ in answer.headers)


@pytest.mark.parametrize("path", ["/", "/state", "/wrong/state", "/../state", "//", "/%00/state"])
def test_without_the_token_there_is_nothing(page: Page, path: str) -> None:
    answer = page.raw(path)
    assert (answer.status_code, answer.data) == (404, b"")


@pytest.mark.parametrize(
    "host", ["example.org", "example.org:6116", "127.0.0.1", "127.0.0.1:80", "localhost.evil:6116"]
)
def test_another_host_is_refused(page: Page, host: str) -> None:
    assert page.get("state", host=host).status_code == 421
    assert page.get("state", host="localhost:6116").status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "http://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:6116"}, 403),
        ({"Origin": "http://127.0.0.1:6117", "Sec_Fetch_Site": "same-origin"}, 403),
        ({"Origin": None}, 403),
        ({"Origin": None, "Sec_Fetch_Site": "cross-site"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Origin": None, "Sec_Fetch_Site": "same-origin"}, 200),
    ],
)
def test_answers_are_taken_from_the_page_alone(
    page: Page, headers: dict[str, str | None], code: int
) -> None:
    answer = page.post("answer", {"ids": [ONE.hex()], "action": "keep"}, **headers)
    assert answer.status_code == code
    assert page.session.state()["answered"] == (code == 200)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("answer", b"{", 400),
        ("answer", b"[" * 100_000, 400),
        ("answer", ["keep"], 400),
        ("answer", {"ids": ONE.hex(), "action": "keep"}, 400),
        ("answer", {"ids": [], "action": "keep"}, 400),
        ("answer", {"answers": {}}, 400),
        ("answer", {"answers": [7]}, 400),
        ("answer", {"answers": [{"ids": [ONE.hex()], "action": "keep"}, {"ids": []}]}, 400),
        ("undo", {"act": "1"}, 400),
        ("answer", {"ids": [1], "action": "keep"}, 400),
        ("answer", {"ids": [ONE.hex()], "action": ["keep"]}, 400),
        ("answer", {"ids": [ONE.hex()], "action": "relabel", "label": 7}, 400),
        ("answer", {"ids": ["../../etc/passwd"], "action": "keep"}, 404),
        ("answer", {"ids": [LOST.hex()], "action": "keep"}, 404),
        ("answer", b" " * 2_000_000, 413),
        ("class", {"label": "red"}, 400),
        ("undo", {}, 400),
        ("state", {}, 404),
    ],
)
def test_a_bad_answer_is_one_line(page: Page, path: str, body: Any, code: int) -> None:
    answer = page.post(path, body)
    assert answer.status_code == code
    assert answer.json["error"]
    assert "\n" not in answer.json["error"]
    assert page.session.state()["answered"] == 0


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("photo/../../../../etc/passwd", 404),
        ("static/..%2f..%2fserver.py", 404),
        ("static/../server.py", 404),
        ("static/", 404),
        (f"photo/{LOST.hex()}", 404),
        (f"heat/{LOST.hex()}", 404),
        (f"detail/{LOST.hex()}", 404),
        (f"photo/{LOST.hex().upper()}", 404),
        ("state?since=x", 400),
        ("nothing", 404),
    ],
)
def test_only_what_is_known_is_served(page: Page, path: str, code: int) -> None:
    assert page.get(path).status_code == code


def test_photos_of_every_format_are_shown_upright_and_whole(page: Page) -> None:
    for name, size in (("turned.tif", (30, 90)), ("gray.jpg", (50, 100))):
        answer = page.get(f"photo/{page.photos[name]}?side=100")
        assert answer.mimetype == "image/jpeg"
        shown = Image.open(io.BytesIO(answer.data))
        assert (shown.size, shown.mode, len(shown.getexif())) == (size, "RGB", 0)
    answer = page.get(f"photo/{page.photos['clear.webp']}?side=64")
    shown = Image.open(io.BytesIO(answer.data))
    assert (shown.size, shown.getpixel((5, 5))) == ((64, 32), (255, 255, 255))
    assert page.get(f"photo/{page.photos['gray.jpg']}?side=9").status_code == 400
    (page.folder / "a" / "gray.jpg").write_bytes(b"another photo")
    assert page.get(f"photo/{page.photos['gray.jpg']}?side=80").status_code == 404


def test_the_page_waits_for_news(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xferlearn.review.server._WAIT_SECONDS", 0.01)
    revision = page.get("state").json["revision"]
    assert page.get(f"state?since={revision}").status_code == 204
    state = page.post("answer", {"ids": [ONE.hex()], "action": "exclude"}).json
    assert page.get(f"state?since={revision}").json["revision"] == state["revision"] > revision
    assert page.post("undo", {"act": state["act"]}).json["answered"] == 0
    assert page.post("class", {"label": "green"}).json["labels"][-1] == "green"


def test_the_usual_port_of_pages_is_not_in_their_host(page: Page) -> None:
    assert page.get("state", host="127.0.0.1").status_code == 421
    page.app.port = 80
    for host, code in (("127.0.0.1", 200), ("localhost:80", 200), ("example.org", 421)):
        assert page.get("state", host=host).status_code == code


def test_what_cannot_be_read_was_not_to_be_written(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(page.session, "state", broken)
    answer = page.get("state")
    assert answer.status_code == 500
    assert answer.json["error"] == "This can't be shown: Input/output error."


def test_a_full_disk_is_told_and_the_page_goes_on(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(answers_module, "write_corrections", full)
        answer = page.post("answer", {"ids": [ONE.hex()], "action": "keep"})
        assert answer.status_code == 500
        assert "No space left" in answer.json["error"]
        assert "not kept" in answer.json["error"]
    assert page.get("state").json["answered"] == 0
    assert page.post("answer", {"ids": [ONE.hex()], "action": "keep"}).json["answered"] == 1
    page.session.answers.path.write_text("changed")
    assert page.post("undo", {}).status_code == 409


# --- The command

_SERVE = """
import sys
sys.path.insert(0, {tests!r})
from test_review import Centroids, simulated
from xferlearn.review.answers import Answers
from xferlearn.review.finding import Finder
from xferlearn.review.server import ReviewApp, Serving, listen
from xferlearn.review.session import Session
material = simulated()
heads = Centroids(material.bottlenecks, material.folds)
session = Session(material, Answers({path!r}), heads, Finder(material, heads))
print(Serving(ReviewApp(session, None, None), listen(0)).url, flush=True)
sys.stdin.read()
"""


def test_a_kill_loses_no_answer_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    script = _SERVE.format(tests=str(Path(__file__).parent), path=str(path))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        url = process.stdout.readline().strip()
        origin = url.rsplit("/", 2)[0]
        body = json.dumps({"ids": [ONE.hex()], "action": "exclude"}).encode()
        headers = {"Content-Type": "application/json", "Origin": origin}
        with urllib.request.urlopen(urllib.request.Request(f"{url}answer", body, headers)) as done:
            assert json.load(done)["answered"] == 1
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{origin}/state")
    finally:
        process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        process.communicate(timeout=20)
    with Answers(path) as again:  # no lock was left behind
        assert [row.action for row in again.corrections.values()] == ["exclude"]


def test_a_browser_is_opened_without_the_address_among_its_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    with browser_at("http://127.0.0.1:6116/secret&/") as found:
        assert found
        (uri,) = opened
        assert "secret" not in uri
        page = Path(urllib.request.url2pathname(uri.removeprefix("file://")))
        assert 'url=http://127.0.0.1:6116/secret&amp;/"' in page.read_text()
        if os.name == "posix":
            assert page.stat().st_mode & 0o777 == 0o600
    assert not page.exists()


def test_the_command_says_flags_and_that_it_waits_and_ends_at_once_when_asked_again(
    open_session: Open, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    material = simulated()
    heads = Centroids(material.bottlenecks, material.folds)
    session = open_session(material=material, heads=heads)
    heads.gate.clear()
    session.refit()
    facts = ("Where that is wrong, give `label_column`.",)
    review = contextlib.nullcontext(
        SimpleNamespace(facts=facts, url="http://127.0.0.1:6116/x/", session=session)
    )
    handlers: dict[int, Any] = {}
    codes: list[int] = []

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "open_review_with", lambda _: review)
        # Of this module alone: the heads that learn meanwhile wait too.
        waiting = SimpleNamespace(Event=lambda: SimpleNamespace(wait=interrupted))
        patch.setattr(command, "threading", waiting)
        patch.setattr(command.signal, "signal", handlers.__setitem__)
        assert command.run(ReviewConfig(image_dir="photos")) == 0
    monkeypatch.setattr(os, "_exit", codes.append)
    handlers[signal.SIGINT]()
    heads.gate.set()
    said = capsys.readouterr()
    assert "give --label_column." in said.out
    assert "Ctrl-C again ends at once" in said.err
    assert codes == [130]
    with Answers(session.answers.path):  # the file is free
        pass


def test_a_review_of_the_photos_of_a_model(
    photo_dir: Path, colour_model: Path, photo_bytes: Callable[..., bytes], tmp_path: Path
) -> None:
    others = tmp_path / "others"
    others.mkdir()
    # It ran elsewhere, with paths that began there.
    model = tmp_path / "model"
    shutil.copytree(colour_model, model)
    recorded = {**read_model_folder(model).metadata["training"], "image_dir": photo_dir.name}
    recorded["corrections"] = "gone.csv"
    changed = {"training": recorded, "working_dir": str(photo_dir.parent)}
    change_metadata(model, lambda _: changed)
    for number in range(3):
        (others / f"{number}.jpg").write_bytes(photo_bytes("red", 100 + number))
    with xferlearn.open_review(
        model_dir=model,
        unlabelled=others,
        corrections=tmp_path / "corrections.csv",
        bottleneck_dir=tmp_path / "bottlenecks",
        engine="tensorflow",
        precision="float32",
        port=0,
        verbose=0,
    ) as review:

        def get(path: str) -> Any:
            with urllib.request.urlopen(f"{review.url}{path}", timeout=20) as answer:
                return answer.read()

        state = json.loads(get("state"))
        (first, *_) = [one for one in state["items"] if one["kind"] == "unlabelled"]
        assert (state["title"], state["unlabelled"]) == (photo_dir.name, 3)
        detail = json.loads(get(f"detail/{first['id']}"))
        assert sum(share for _, share in detail["probabilities"]) == pytest.approx(1, abs=0.01)
        assert (detail["width"], detail["height"], len(detail["nearest"])) == (64, 48, 6)
        assert 0 <= detail["familiarity"] <= 1
        assert detail["heat"]
        assert get(f"heat/{first['id']}").startswith(b"\x89PNG")
        assert get(f"photo/{first['id']}").startswith(b"\xff\xd8")
        review.session.answer([bytes.fromhex(first["id"])], "relabel", "red")
        with pytest.raises(UserError, match=f"process {os.getpid()}"):
            xferlearn.open_review(image_dir=photo_dir, corrections=tmp_path / "corrections.csv")
        assert f"--corrections={tmp_path / 'corrections.csv'}" in review.command
        assert "learned with, gone.csv, which are not there." in review.facts[1]
    (row,) = read_corrections(tmp_path / "corrections.csv").values()
    assert (row.label, row.name.endswith(".jpg")) == ("red", True)


def test_what_cannot_be_reviewed_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with listen(0) as listener:
        taken = listener.getsockname()[1]
        for words, why in (
            ([], "--image_dir, --labels, --dataset and --model_dir"),
            (["--image_dir=nowhere"], "nowhere"),
            (["--model_dir=nowhere"], "Expected a model folder"),
            (["--image_dir=nowhere", "--corrections=gone/c.csv"], "--corrections. Make it"),
            (["--image_dir=nowhere", "--port=99999"], "--port"),
            (["--image_dir=nowhere", f"--port={taken}"], "Choose another with --port"),
        ):
            assert main(["review", *words]) == 2
            error = capsys.readouterr().err
            assert why in error
            assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
