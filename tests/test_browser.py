"""What a person sees of a run: `xferlearn board` and TensorBoard's pages in a real browser.

The tab Transfer has its own test, in test_dashboard.py.
"""

import re
import signal
import socket
import subprocess
import sys

import pytest
from chromium import Chromium, find_chromium

import xferlearn
from xferlearn.cli import main
from xferlearn.commands.board import find_runs


@pytest.fixture(scope="module")
def result(photo_dir, tmp_path_factory):
    """A real, small run."""
    root = tmp_path_factory.mktemp("board")
    result = xferlearn.train(
        image_dir=str(photo_dir),
        model_dir=str(root / "model"),
        logs_dir=str(root / "logs"),
        bottleneck_dir=str(root / "bottlenecks"),
        backbone="mobilenet_0.25",
        weights="none",
        image_size=32,
        how_many_training_steps=40,
        dropout=0.0,
    )
    assert result.warnings == ()
    return result


@pytest.fixture(scope="module")
def board(result):
    """Address of `xferlearn board` on the run, and its process."""
    # A shell that runs the tests in the background has its children ignore the interrupt.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from xferlearn.cli import main; sys.exit(main())"
    )
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", code, "board", "--port=0"),
            f"--logs_dir={result.run_dir.parent}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            said = process.stdout.readline() + process.stdout.readline()
            address = re.search(r"http://localhost:\d+/(?=#transfer )", said)
            assert address, said + process.stderr.read()
            assert said.startswith("1 run in ")
            yield address.group(), process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def page(board):
    """A browser."""
    if find_chromium() is None:
        pytest.skip("needs Chromium or Chrome on PATH")
    with Chromium() as page:
        yield page


def test_graphs_show_the_layers_by_name_and_the_shapes(page, board):
    page.open(f"{board[0]}#graphs")
    nodes = page.wait_for(
        "(n => n.length && n)(all('g.node').map(e => [e.dataset.name, e.getAttribute('class')]))"
    )
    # A box for the backbone and one for the familiarity, and the layers that are asked for.
    assert dict(nodes) == {
        "image": "node op",
        "preprocessing": "node op",
        "mobilenet_0.25": "node meta",
        "pooling": "node op",
        "normalization": "node op",
        "hidden": "node op",
        "predictions": "node op",
        "familiarity": "node meta",
    }
    edges = page.wait_for(
        "(n => n.length && n)(all('textPath, g.edge text').map(e => e.textContent))"
    )
    assert {"?×32×32×3", "?×256"} <= set(edges)


def test_images_show_the_confusion_matrix_and_the_photos(page, board, result):
    page.open(f"{board[0]}#images")
    # Only what is in sight is loaded, and sections may be closed.
    page.wait_for("all('tf-image-loader').length >= 4")
    shown = page.wait_for(
        "(i => i.length >= 4 && i.every(e => e.naturalWidth) && i.map(e => e.naturalWidth))"
        "(all('tf-image-loader').filter(e => e.tag.startsWith('confusion_matrix/'))"
        ".map(e => all('img', e.shadowRoot || e)[0]).filter(e => e))"
    )
    assert set(shown) == {700}
    runs = page.evaluate("all('tf-image-loader').map(e => [e.tag, e.run])")
    name = result.run_dir.name
    for split in ("test", "validation"):
        assert ["confusion_matrix/row_percent", f"{name}/{split}"] in runs
    assert "samples" in page.evaluate("text()")


def test_hparams_show_the_run_as_a_row(page, board, result):
    page.open(f"{board[0]}#hparams")
    cells = page.wait_for(
        "(c => c.some(t => /_mobilenet/.test(t)) && c)"
        "(all('vaadin-grid-cell-content').map(e => e.innerText.trim()))"
    )
    assert result.run_dir.name in cells
    assert {"results/test_accuracy", "results/validation_accuracy"} <= set(cells)
    assert {"speed/seconds", "speed/photos_per_second"} <= set(cells)
    assert {"mobilenet_0.25", "backbone", "changed"} <= set(cells)
    assert f"{result.test.accuracy:.5g}" in [cell.rstrip("0").rstrip(".") for cell in cells] + cells


def test_the_projector_shows_every_photo_as_a_point(page, board, result):
    page.open(f"{board[0]}#projector")
    points = page.wait_for(r"text().match(/Points: *([1-9]\d*)[ |]*Dimension: *(\d+)/)", 60)
    assert int(points[1]) == len(result.manifest.photos)
    assert int(points[2]) == 256
    page.wait_for("text().includes('label predicted right score split frame file')")


def test_the_text_page_shows_the_run_card(page, board):
    page.open(f"{board[0]}#text")
    page.wait_for("all('td').some(e => e.innerText.trim() === 'input layer')")
    cells = page.evaluate("all('td').map(e => e.innerText.trim())")
    assert cells[cells.index("input layer") + 1] == "image"
    assert cells[cells.index("resolution") + 1] == "32 x 32 px, RGB"


def test_board_ends_on_interrupt(board):
    process = board[1]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    assert process.stderr.read() == ""


def test_board_says_what_is_missing(tmp_path, capsys):
    assert main(["board", f"--logs_dir={tmp_path / 'nothing'}"]) == 2
    assert "to be a folder with runs. Found nothing at" in capsys.readouterr().err
    assert main(["board", f"--logs_dir={tmp_path}"]) == 2
    assert f"There are no runs in {tmp_path}." in capsys.readouterr().err


def test_board_follows_links_to_runs(tmp_path):
    run = tmp_path / "elsewhere" / "run"
    (run / "train").mkdir(parents=True)
    for folder in (run, run / "train"):
        (folder / "events.out.tfevents.1").touch()
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "linked").symlink_to(run)
    (run / "up").symlink_to(tmp_path)
    assert find_runs(str(logs)) == [logs / "linked"]


def test_board_says_that_a_port_is_in_use(result):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        words = ["board", f"--logs_dir={result.run_dir.parent}", f"--port={port}"]
        ended = subprocess.run(
            [sys.executable, "-m", "xferlearn", *words], capture_output=True, text=True
        )
    assert ended.returncode == 2
    assert ended.stderr == (
        f"xferlearn: Port {port} is in use. Choose another with --port, 0 for any.\n"
    )
