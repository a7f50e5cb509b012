"""What a person sees of `xferlearn review`: its page, in a real browser."""

import contextlib
import csv
import re
import subprocess
import sys

import pytest
from chromium import Chromium, find_chromium
from several import CLASSES, make_halves

from xferlearn.review import open_review
from xferlearn.review.server import STATIC_DIR

HOSTILE = (
    "<img src=x onerror=window.hacked=1>.jpg",
    "\"'><script>window.hacked=1<",
    "a\u202egpj.exe\u2066\nb.jpg",
    "{{constructor}}${window.hacked=1}&lt;b&gt;.jpg",
)
CLASS = '<b onclick="hacked=1">blue\''
_SAVED = "document.querySelector('.saving').textContent === ''"
_NAME = "document.querySelector('.file bdi').textContent"


@pytest.fixture(scope="module")
def settings(photo_bytes, tmp_path_factory):
    """Settings of a review of colours: two reds lie under green, and ten photos have no class."""
    root = tmp_path_factory.mktemp("review")
    for label, colour in (("red", "red"), ("green", "green"), (CLASS, "blue")):
        (root / "photos" / label).mkdir(parents=True)
        for number in range(12):
            (root / "photos" / label / f"{number}.jpg").write_bytes(photo_bytes(colour, number))
    for number in range(2):
        data = photo_bytes("red", 50 + number)
        (root / "photos" / "green" / f"wrong{number}.jpg").write_bytes(data)
    (root / "new").mkdir()
    for number, name in enumerate((*HOSTILE, *(f"{number}.jpg" for number in range(6)))):
        (root / "new" / name).write_bytes(photo_bytes("blue", 100 + number))
    return {
        "image_dir": str(root / "photos"),
        "unlabelled": str(root / "new"),
        "corrections": str(root / "corrections.csv"),
        "bottleneck_dir": str(root / "bottlenecks"),
        "backbone": "mobilenet_0.25",
        "weights": "none",
        "image_size": 32,
        "engine": "tensorflow",
        "precision": "float32",
        "port": 0,
    }


@pytest.fixture(scope="module")
def page():
    """A browser."""
    if find_chromium() is None:
        pytest.skip("needs Chromium or Chrome on PATH")
    with Chromium() as page:
        yield page


@pytest.fixture(scope="module")
def command(settings):
    """The command at work, and the address of its page."""
    words = [f"--{name}={value}" for name, value in settings.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "xferlearn", "review", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            said = ""
            while not (address := re.search(r"http://\S+", said)):
                line = process.stdout.readline()
                assert line, said
                said += line
            yield process, address.group()
        finally:
            process.kill()


def test_the_page_makes_no_markup_and_needs_nothing_from_elsewhere():
    files = sorted(STATIC_DIR.iterdir())
    assert {"index.html", "page.js", "style.css"} <= {path.name for path in files}
    for path in files:
        text = path.read_text(encoding="utf-8")
        for forbidden in ("://", "innerHTML", "outerHTML", "insertAdjacent", "eval(", "@import"):
            assert forbidden not in text, path.name


def test_hostile_names_do_nothing(page, command):
    page.open(command[1])
    page.wait_for("document.querySelector('.share')?.textContent")
    names = set()
    for _ in range(10):
        names.add(page.evaluate(_NAME))
        page.press("ArrowRight")
        page.wait_for(f"!{sorted(names)}.includes({_NAME}) || {len(names) == 10}")
    shown = "".join(names)
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[3], "a\\u202egpj.exe\\u2066\\u000ab.jpg"):
        assert name in shown
    assert page.evaluate("all('.classes .label').map(e => e.textContent)").count(CLASS) == 1
    page.press("g")
    page.wait_for("all('.cell').length >= 8")
    assert (
        page.evaluate("window.hacked ?? all('b[onclick], img[onerror], body script').length") == 0
    )
    # Styles and scripts in attributes are refused as well.
    page.evaluate("document.body.setAttribute('onclick', 'window.hacked = 1')")
    page.evaluate("document.body.click()")
    assert page.evaluate("window.hacked ?? null") is None
    assert page.problems() == []


def test_a_review_is_driven_killed_and_reopened(page, command, settings):
    process, address = command
    page.open(address)
    page.wait_for("document.querySelector('.share')?.textContent")
    page.wait_for("text().includes(' 0 of ')")

    # Relabel by key, exclude, and undo the exclusion: the photo comes back.
    first = page.evaluate(_NAME)
    page.press(_key(page, CLASS))
    second = page.wait_for(f"{_NAME} !== {first!r} && {_NAME}")
    page.press("x")
    page.wait_for(f"text().includes(' 2 of ') && {_SAVED}")
    assert _rows(settings) == {first: ("relabel", CLASS), second: ("exclude", "")}
    page.press("u")
    page.wait_for(f"text().includes(' 1 of ') && {_NAME} === {second!r}")
    assert _rows(settings) == {first: ("relabel", CLASS)}

    # What the server refuses is said, and the photo is there again.
    page.evaluate("window.asked = window.fetch")
    refused = 'new Response(\'{"error": "No space left."}\', {status: 500})'
    page.evaluate(f"window.fetch = async () => {refused}")
    page.press("x")
    page.wait_for("document.querySelector('[role=alert]')?.innerText.includes('No space left.')")
    assert page.evaluate(_NAME) == second
    page.evaluate("window.fetch = window.asked")

    # In the grid one answer is for many.
    page.press("g")
    page.wait_for("all('.cell').length >= 8")
    page.evaluate(
        "(s => { s.value = 'unlabelled'; s.dispatchEvent(new Event('change')) })(all('select')[1])"
    )
    page.wait_for("all('.cell').length === 9")
    page.click("all('button').find(b => b.textContent === 'Select all shown')")
    page.press(_key(page, "green"))
    page.wait_for(f"text().includes(' 10 of ') && {_SAVED}")
    given = _rows(settings)
    assert given.pop(first) == ("relabel", CLASS)
    assert len(given) == 9
    assert set(given.values()) == {("relabel", "green")}

    # Ten answers make the heads learn: the accuracy moves, with its interval.
    page.wait_for(r"/ points 95%: \S+ to \S+/.test(text(document.querySelector('.accuracy')))")
    page.press("r")
    page.wait_for("document.querySelector('.refit').ariaBusy === 'false'")
    page.press("g")
    page.evaluate("(s => { s.value = ''; s.dispatchEvent(new Event('change')) })(all('select')[0])")
    page.wait_for(_NAME)

    process.kill()
    process.wait()
    page.press("x")
    said = page.wait_for("document.querySelector('[role=alert]')?.innerText")
    assert "The review has ended" in said
    assert "10 answers are safe in" in said
    page.wait_for("document.querySelector('[role=alert]').innerText.includes('not confirmed')")

    with contextlib.closing(open_review(**settings)) as review:
        page.open(review.url)
        page.wait_for("text().includes(' 10 of ')")
    assert _rows(settings) == {first: ("relabel", CLASS), **given}


def test_one_act_is_undone_whole_and_a_class_is_for_the_photo_it_was_asked_for(
    page, settings, tmp_path
):
    corrections = str(tmp_path / "corrections.csv")
    with contextlib.closing(open_review(**{**settings, "corrections": corrections})) as review:
        session = review.session
        page.open(review.url)
        page.wait_for("document.querySelector('.share')?.textContent")
        assert page.evaluate("text(document.querySelector('.accuracy'))").count("at the start")

        # The photo that is shown when the server answers is another one.
        first = page.evaluate(_NAME)
        page.press("+")
        page.wait_for("document.querySelector('dialog input') !== null")
        with session._changed:  # a busy server
            page.evaluate(
                "(document.querySelector('dialog input').value = 'lily',"
                " document.querySelector('dialog form').requestSubmit(), 1)"
            )
            page.wait_for("document.querySelector('dialog') === null")
            page.press("ArrowRight")
            second = page.wait_for(f"{_NAME} !== {first!r} && {_NAME}")
        page.wait_for(f"text().includes(' 1 of ') && {_SAVED}")
        assert _rows({"corrections": corrections}) == {first: ("relabel", "lily")}
        assert page.evaluate(_NAME) == second
        page.press("u")
        page.wait_for(f"text().includes(' 0 of ') && {_SAVED}")

        # Proposals of several classes are one act, which another window's answer lies on.
        proposed = {one["id"]: str(one["proposed"] or "") for one in session.state()["items"]}
        assert len({one for one in proposed.values() if one}) > 1
        page.press("g")
        page.click("all('button').find(b => b.textContent === 'Select all shown')")
        page.press("Enter")
        number = sum(one != "" for one in proposed.values())
        page.wait_for(f"text().includes(' {number} of ') && {_SAVED}")
        theirs = session.material.photos[-1].digest
        session.answer([theirs], "exclude")
        page.press("u")
        page.wait_for(
            "document.querySelector('[role=alert]')?.innerText.includes('another window')"
        )
        assert session.answers.corrections[theirs].action == "exclude"
        session.undo()
        page.press("u")
        page.wait_for(f"text().includes(' 0 of ') && {_SAVED}")
        assert not session.answers.corrections


def test_keys_turn_labels_on_and_off_until_they_are_confirmed(page, settings, tmp_path):
    table = make_halves(tmp_path / "halves", 35, {0: "red"})
    given = {"image_dir": table.parent, "labels": table, "multi_label": True, "unlabelled": None}
    corrections = str(tmp_path / "corrections.csv")
    on = "all('.classes button').map(e => e.getAttribute('aria-pressed') === 'true')"
    with contextlib.closing(
        open_review(**{**settings, **given, "corrections": corrections})
    ) as review:
        page.open(review.url)
        page.wait_for("all('.classes button').length === 3")
        assert "several labels" in page.evaluate("text()")
        assert "mean average precision" in page.evaluate("text()")
        name, before = page.evaluate(_NAME), page.evaluate(on)
        for number in (0, 2):
            page.press(str(number + 1))
            page.wait_for(f"({on})[{number}] === {str(not before[number]).lower()}")
        page.press("Enter")
        page.wait_for(f"text().includes(' 1 of ') && {_SAVED}")
        wanted = [not before[0], before[1], not before[2]]
        label = "|".join(one for one, is_on in zip(CLASSES, wanted, strict=True) if is_on)
        (found,) = _rows({"corrections": corrections}).values()
        assert found[1] == label
        assert _rows({"corrections": corrections}).keys() == {name}


def _key(page, label):
    labels = page.wait_for(
        "(a => a.length >= 3 && a)(all('.classes .label').map(e => e.textContent))"
    )
    return str(1 + labels.index(label))


def _rows(settings):
    with open(settings["corrections"], newline="", encoding="utf-8") as file:
        return {row["name"]: (row["action"], row["label"]) for row in csv.DictReader(file)}
