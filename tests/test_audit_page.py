"""The page of an audit: what it says, shows and never runs."""

import hashlib
import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xferlearn.auditing import AuditResult, ClassFinding, Finding
from xferlearn.auditing import page as audit_page
from xferlearn.auditing.findings import BLACK, CONFLICT, LABEL, OVERLAP
from xferlearn.auditing.page import write_page
from xferlearn.metrics import evaluate_predictions
from xferlearn.photos.folders.files import read_image_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import BadPhoto, Photo
from xferlearn.summaries.notebook import Pictures

HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def audited(make_photo_dir: Callable[..., Path]) -> Callable[..., AuditResult]:
    """`audited(findings)`: an audit of ten red and ten green photos; a function of a photo."""
    root = make_photo_dir({"green": 10, "red": 10})
    source = read_image_dir(root)
    places = {}
    for entry in source.entries():
        digest = hashlib.sha256((root / entry.name).read_bytes()).digest()
        places[digest] = Photo(digest, entry.label, entry.name)
    photos = list(places.values())

    def make(found: Callable[[list[Photo]], list[Finding]], **rest: Any) -> AuditResult:
        values: dict[str, Any] = {
            "labels": ("green", "red"),
            "counts": {"green": 10, "red": 10},
            "findings": tuple(found(photos)),
            "classes": (),
            "expected": (1.0, 2.0, 3.0),
            "evaluation": evaluate_predictions(("green", "red"), [0, 1] * 10, [0, 1] * 10),
            "digests": tuple(places),
            "probabilities": np.full((20, 2), 0.5, np.float32),
            "places": places,
            "bad": (),
            "pictures": Pictures(source, PhotoLimits()),
        }
        return AuditResult(**(values | rest))

    return make


def label_error(photo: Photo, score: float = 0.93, **rest: Any) -> Finding:
    values = {"label": "green", "proposed": "red", "text": "rather red"} | rest
    return Finding(LABEL, photo.digest, photo.name, score=score, **values)


def test_the_page_has_pictures_labels_and_what_to_expect(
    audited: Callable[..., AuditResult], tmp_path: Path
) -> None:
    def found(photos: list[Photo]) -> list[Finding]:
        twin = Finding(
            CONFLICT, photos[3].digest, photos[3].name, "green", 0.9, others=(photos[12].digest,),
            text="The same picture is in red.",
        )  # fmt: skip
        dark = Finding(BLACK, photos[4].digest, photos[4].name, "green", 0.7, text="It is black.")
        return [*(label_error(photo) for photo in photos[:3]), twin, dark]

    result = audited(
        found,
        classes=(ClassFinding(OVERLAP, ("green", "red"), 0.4, "12 of green are like red."),),
        bad=(BadPhoto("red/broken.jpg", 1, "not a JPEG"),),
        warnings=("Mind the gap.",),
    )
    write_page(tmp_path / "page.html", result)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("data:image/webp;base64,") == 6
    assert text.count('loading="lazy"') == len(re.findall(r' alt="[^"]+"', text)) == 6
    assert text.count("93% likely wrong") == 3
    plain = html.unescape(re.sub(r"<[^>]*>", "", text))
    for said in (
        *(
            "Audit of 20 photos",
            "Likely label errors: 3",
            "green → red",
            "Twins of several classes: 1",
        ),
        *(result.expected_text(), "It is black."),
        *("The same picture is in red.", "12 of green are like red.", "Mind the gap."),
        *("red/broken.jpg was left out: not a JPEG", "xferlearn review", "--corrections=FILE"),
    ):
        assert said in plain, said
    assert {f'href="#{kind.replace(" ", "-")}"' in text for kind in (LABEL, CONFLICT, BLACK)} == {
        True
    }


def test_names_are_text_and_nothing_is_loaded_or_run(
    audited: Callable[..., AuditResult], tmp_path: Path
) -> None:
    def found(photos: list[Photo]) -> list[Finding]:
        return [
            label_error(photos[0], label=HOSTILE, proposed=HOSTILE),
            Finding(BLACK, photos[1].digest, HOSTILE, HOSTILE, 0.5, text=HOSTILE),
        ]

    result = audited(found, classes=(ClassFinding(OVERLAP, (HOSTILE,), 0.5, HOSTILE),))
    write_page(tmp_path / "page.html", result)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "&lt;img src=x" in text
    assert "default-src 'none'" in text
    assert not re.search(r"<script|<link|https?://| on\w+=\"", text)


def test_what_is_too_much_is_counted(
    audited: Callable[..., AuditResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_page, "MOST_LABEL_ERRORS", 8)
    write_page(tmp_path / "page.html", audited(lambda photos: [*map(label_error, photos)]))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<figure>") == 8
    assert "12 more photos, not shown here" in text
    monkeypatch.setattr(audit_page, "MOST_BYTES", 9_000)
    write_page(tmp_path / "page.html", audited(lambda photos: [*map(label_error, photos)]))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert 0 < text.count("<figure>") < 8
    assert len(text.encode()) < 10_000


def test_photos_that_are_gone_are_named_and_a_clean_audit_says_so(
    audited: Callable[..., AuditResult], tmp_path: Path
) -> None:
    result = audited(lambda photos: [label_error(photos[0])])
    for path in Path(result.pictures.source.root).rglob("*.jpg"):
        path.unlink()
    write_page(tmp_path / "page.html", result)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "not found" in text
    assert "green/0000.jpg" in text
    write_page(tmp_path / "page.html", audited(lambda photos: []))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Nothing is suspicious." in text
    assert "<section" not in text
