"""Makes the pictures of the manual: pages of TensorBoard, plots, and a cell that is opened.

    python tools/screenshots.py --image_dir=flower_photos
    python tools/screenshots.py --image_dir=flower_photos --only=transfer,cell

Trains three models on the photos (the 1,000 flowers of the manual), opens them in a headless
Chromium with `xferlearn board`, and writes each page light and dark, as sharp as fine screens show
it. Needs Chromium or Chrome.
"""

import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from absl import flags
from benching import run as run_tool
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from chromium import Chromium  # noqa: E402 - it lies beside the tests

from xferlearn.dashboard import PLUGIN_NAME  # noqa: E402
from xferlearn.decisions import reliability  # noqa: E402
from xferlearn.summaries.charts import DARK, LIGHT  # noqa: E402
from xferlearn.summaries.drawing import png  # noqa: E402
from xferlearn.summaries.reliability import draw_reliability  # noqa: E402

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_OUTPUT = flags.DEFINE_string("output", str(ROOT / "docs/images"), "Folder for the pictures.")
_ONLY = flags.DEFINE_list("only", [], "Names of the pictures to make; all, if empty.")
_BOTTLENECK_DIR = flags.DEFINE_string("bottleneck_dir", None, "Cache; the usual one, if not given.")

_FINENESS = 1.5
_LONGEST_WAIT = 60.0  # s


class Shot(NamedTuple):
    """A page of TensorBoard.

    Attributes:
        page: what is behind the # of its address.
        size: width and height of the window, px.
        ready: JavaScript that is true as soon as the page shows what it is for.
        all_runs: whether it shows all runs, or the default one alone.
        dark: whether TensorBoard has it dark too.
    """

    page: str
    size: tuple[int, int]
    ready: str
    all_runs: bool = False
    dark: bool = True


_MATRIX = "all('.matrix td').length > 20 && all('.pairs img, td img').every(i => i.complete)"
_SHOTS = {
    "transfer": Shot(PLUGIN_NAME, (1440, 900), _MATRIX, all_runs=True),
    "graph": Shot("graphs", (1240, 820), "all('g.node').length > 5", dark=False),
    "scalars": Shot("scalars", (1240, 640), r"/tag: accuracy [\d.]/.test(text())"),
    "images": Shot(
        "images",
        (1240, 800),
        "(i => i.length > 1 && i.every(e => e.naturalWidth))"
        "(all('tf-image-loader').map(e => all('img', e.shadowRoot || e)[0]).filter(e => e))",
    ),
    "projector": Shot("projector", (1240, 760), r"/Points: *[1-9]/.test(text())", dark=False),
    "hparams": Shot(
        "hparams", (1440, 420), "all('vaadin-grid-cell-content').length > 9", all_runs=True
    ),
}
# Pages show names of folders, but nothing of the machine that they were made on.
_PHOTOS, _MODEL = "flower_photos", "out/flowers"
# The default run is the newest, which Transfer opens.
_OTHER_RUNS = {
    "flowers_faster": ("--learning_rate=0.01", "--dropout=0.3"),
    "flowers_linear": ("--hidden_units=0",),
}


def main(argv: list[str]) -> bool:
    """Makes the pictures."""
    del argv
    output = Path(_OUTPUT.value)
    with tempfile.TemporaryDirectory() as temporary, Chromium() as browser:
        folder = Path(temporary)
        train(folder)
        with board(folder, "logs") as all_runs, board(folder, "one") as one_run:
            for name, shot in _SHOTS.items():
                if not wanted(name):
                    continue
                for suffix, dark in (("", False), ("_dark", True))[: 1 + shot.dark]:
                    browser.show(*shot.size, fineness=_FINENESS, dark=dark)
                    browser.open(f"{all_runs if shot.all_runs else one_run}#{shot.page}")
                    browser.wait_for(shot.ready, _LONGEST_WAIT)
                    save(output / f"{name}{suffix}.webp", settled(browser))
            if wanted("cell"):
                (output / "cell.gif").write_bytes(opened_cell(browser, one_run))
        if wanted("reliability"):
            draw_run(folder / _MODEL, output)
        if wanted("curve"):  # minutes
            draw_curve(folder, output)
    return True


def wanted(name: str) -> bool:
    """Returns whether a picture is to be made."""
    return not _ONLY.value or name in _ONLY.value


def train(folder: Path) -> None:
    """Trains the runs that the pages show: all in `logs`, the default one in `one` too."""
    (folder / _PHOTOS).symlink_to(Path(_IMAGE_DIR.value).resolve())
    for name, words in _OTHER_RUNS.items():
        command(folder, "train", _PHOTOS, f"--model_dir=out/{name}", *words)
    command(folder, "train", _PHOTOS, f"--model_dir={_MODEL}", "--logs_dir=one")
    shutil.copytree(folder / "one", folder / "logs", dirs_exist_ok=True)


def command(folder: Path, *words: str) -> None:
    """Runs a command of xferlearn in a folder, quietly."""
    cache = [f"--bottleneck_dir={_BOTTLENECK_DIR.value}"] if _BOTTLENECK_DIR.value else []
    subprocess.run(
        [sys.executable, "-m", "xferlearn", *words, *cache],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def board(folder: Path, logs: str) -> Iterator[str]:
    """Serves the runs of a folder in the block; yields the address."""
    words = ["board", f"--logs_dir={logs}", "--port=0"]
    with subprocess.Popen(
        [sys.executable, "-m", "xferlearn", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said = ""
            while not (found := re.search(r"http://localhost:\d+/", said)):
                line = process.stdout.readline() if process.stdout else ""
                if not line:
                    raise RuntimeError(f"xferlearn board said: {said}")
                said += line
            yield found.group()
        finally:
            process.terminate()


def settled(browser: Chromium) -> Image.Image:
    """Returns what the window shows, once it has stopped changing or a while later."""
    end = time.monotonic() + _LONGEST_WAIT / 4
    before = window(browser)
    while time.monotonic() < end:
        time.sleep(1.5)
        now = window(browser)
        if np.array_equal(np.asarray(now), np.asarray(before)):
            break
        before = now
    return before


def window(browser: Chromium) -> Image.Image:
    """Returns what the window shows."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        browser.screenshot(file.name)
        return Image.open(io.BytesIO(Path(file.name).read_bytes())).convert("RGB")


def save(path: Path, image: Image.Image) -> None:
    """Writes a screenshot without bands in its photos and without blurred text."""
    image.save(path, quality=88, method=6)


def opened_cell(browser: Chromium, address: str) -> bytes:
    """Returns a GIF in which a cell of the confusion matrix is pointed at and opened."""
    browser.show(980, 640)
    browser.open(f"{address}#{PLUGIN_NAME}")
    browser.wait_for(_MATRIX, _LONGEST_WAIT)
    cell = "all('.matrix tbody')[0].rows[2].cells[5]"
    browser.evaluate(f"({cell}.closest('section, .card').scrollIntoView(), true)")
    time.sleep(1)
    # The frame of the tab has its own origin.
    x, y = browser.evaluate(
        f"(b => {{ const f = all('iframe').map(e => e.getBoundingClientRect())"
        f".find(r => r.width > 300); return [f.x + b.x + b.width / 2, f.y + b.y + b.height / 2] }})"
        f"({cell}.getBoundingClientRect())"
    )
    shown = settled(browser)
    start = (x + 300, y + 170)
    steps = [1 - (1 - step / 8) ** 2 for step in range(8)]
    frames = [
        (pointed(shown, *(a + (b - a) * step for a, b in zip(start, (x, y), strict=True))), 60)
        for step in steps
    ]
    browser.evaluate(
        f"({cell}.dispatchEvent(new MouseEvent('mouseover', {{bubbles: true}})), true)"
    )
    frames = [(frames[0][0], 900), *frames[1:], (pointed(settled(browser), x, y), 1200)]
    browser.evaluate(f"({cell}.click(), true)")
    browser.wait_for("all('dialog[open] img, [role=dialog] img').length > 3")
    opened = settled(browser)
    frames += [(pointed(opened, x, y), 900), (opened, 3600)]
    return as_gif(frames)


def pointed(image: Image.Image, x: float, y: float) -> Image.Image:
    """Returns a picture with an arrow that points to a place."""
    shape = [(0, 0), (0, 17), (4, 13), (7, 19), (10, 18), (7, 12), (12, 12)]
    fine = 4
    layer = Image.new("L", (20 * fine, 24 * fine), 0)
    edge = Image.new("L", layer.size, 0)
    points = [((a + 2) * fine, (b + 2) * fine) for a, b in shape]
    ImageDraw.Draw(edge).polygon(points, 255, 255, 3 * fine)
    ImageDraw.Draw(layer).polygon(points, 255)
    result = image.copy()
    for mask, colour in ((edge, (255, 255, 255)), (layer, (20, 20, 20))):
        small = mask.resize((20, 24), Image.Resampling.LANCZOS)
        result.paste(colour, (round(x) - 2, round(y) - 2), small)
    return result


def as_gif(frames: list[tuple[Image.Image, int]]) -> bytes:
    """Returns frames, with their milliseconds, as a GIF of one palette and no dots for colours."""
    width, height = frames[0][0].size
    both = Image.new("RGB", (width, 2 * height))
    both.paste(frames[0][0], (0, 0))
    both.paste(frames[-1][0], (0, height))
    palette = both.quantize(255, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    shown = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image, _ in frames]
    buffer = io.BytesIO()
    shown[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=shown[1:],
        duration=[milliseconds for _, milliseconds in frames],
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()


def draw_run(model_dir: Path, output: Path) -> None:
    """Draws the reliability of the photos that were cross-validated."""
    table = pq.read_table(model_dir / "predictions.parquet").to_pydict()
    judged = np.array(table["split"]) != "test"
    start = "probability_"
    labels = [name.removeprefix(start) for name in table if name.startswith(start)]
    scores = np.stack([table[start + label] for label in labels], axis=1)[judged]
    truth = np.array([labels.index(label) for label in table["label"]])[judged]
    found = reliability(scores, truth, np.array(table["group"])[judged])
    for suffix, theme in (("", LIGHT), ("_dark", DARK)):
        picture = draw_reliability(found, "cross-validated", theme)
        (output / f"reliability{suffix}.png").write_bytes(png(picture))


def draw_curve(folder: Path, output: Path) -> None:
    """Draws the learning curve."""
    command(folder, "curve", _PHOTOS, "--output_dir=curve")
    for name in ("curve.png", "curve_dark.png"):
        shutil.copy(folder / "curve" / name, output / name)


if __name__ == "__main__":
    run_tool(main)
