"""A notebook that trains, labels and evaluates, executed as `jupyter nbconvert --execute` does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def page(make_photo_dir, tmp_path_factory) -> str:
    """The page that the notebook becomes; some of its photos have the wrong class."""
    root = tmp_path_factory.mktemp("notebook")
    photos = make_photo_dir({"red": 40, "green": 40, "<b>blue": 40})
    for number in range(15):
        photo = photos / "red" / f"{number:04d}.jpg"
        photo.rename(photos / "green" / f"is_red_{number}.jpg")
    cells = [
        f"""
import xferlearn

result = xferlearn.train(
    image_dir={str(photos)!r}, model_dir={str(root / "model")!r}, logs_dir={str(root / "logs")!r},
    bottleneck_dir={str(root / "cache")!r}, backbone="mobilenet_0.25", weights="none",
    image_size=32, how_many_training_steps=40, testing_percentage=30.0,
    engine="tensorflow", precision="float32")
result""",
        f"classifier = xferlearn.load_classifier({str(root / 'model')!r})\nclassifier",
        f"classifier.label({str(photos / 'red' / '0020.jpg')!r})",
        f"""xferlearn.evaluate(model={str(root / "model")!r}, image_dir={str(photos)!r},
    bottleneck_dir={str(root / "cache")!r}, include_seen=True)""",
        "result.manifest, result.test",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    file = root / "colours.ipynb"
    nbformat.write(notebook, file)
    # Of the templates this one adds nothing of its own: the default one is 280 KB when empty.
    options = ["--execute", "--to", "html", "--template", "basic"]
    subprocess.run(
        [sys.executable, "-m", "nbconvert", *options, str(file)],
        # A kernel starts in the notebook's folder; the package to test is this one.
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return file.with_suffix(".html").read_text(encoding="utf-8")


def test_the_page_is_small_and_has_no_errors(page):
    assert len(page.encode()) < MOST_BYTES
    assert "Traceback" not in page
    assert "output_stderr" not in page, "a warning, or a progress bar as text"


def test_progress_stays_on_the_page_as_one_line_per_job(page):
    lines = re.findall(r'<div class="xferlearn-progress".*?<span>(.*?)</span>', page)
    assert [line.split(":")[0] for line in lines] == ["bottlenecks", "TensorBoard", "evaluate"]
    assert all(re.search(r": \d+ (photos|parts) in ", line) for line in lines)
    # nbconvert sorts attributes.
    assert page.count('<progress max="120"') == 2


def test_results_show_tiles_matrix_and_wrong_photos(page):
    for tile in ("Cross-validated accuracy", "Test accuracy", "Accuracy", "Classes", "Time"):
        assert f'<div class="xf-faint">{tile}</div>' in page
    assert page.count('<table class="xf-matrix') == 2
    assert page.count("Misclassified photos: ") == 2
    assert page.count('src="data:image/webp;base64,') >= 2
    assert "green</b>" in page
    assert "What is measured is too high: it is also of " in page


def test_names_of_classes_are_escaped(page):
    assert "<b>blue" not in page
    assert "&lt;b&gt;blue" in page


def test_a_classifier_and_the_parts_of_a_result_are_a_few_lines(page):
    assert re.search(r"backbone\s+mobilenet_0\.25", page)
    assert re.search(r"input\s+32 x 32 px, crop", page)
    assert "Manifest(3 classes, " in page
    assert "Evaluation(3 classes, " in page
