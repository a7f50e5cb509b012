"""How long it takes a review from an answer to the new accuracy, and to the new list.

    python tools/bench_review.py
    python tools/bench_review.py --photos=50000

Bottlenecks are simulated: classes are clouds, and 5% of the labels are wrong. Ten answers are
given; measured is the time until the state has the accuracy of heads that learned from them, and
until it has what they would ask next. Promised are 2 s for 1,000 photos and 10 s for 50,000.
"""

import hashlib
import tempfile
import time
from pathlib import Path
from typing import cast

import benching
import numpy as np
from absl import flags

from xferlearn.photos.manifest import Manifest, Photo
from xferlearn.review.answers import Answers
from xferlearn.review.finding import Finder
from xferlearn.review.session import Session
from xferlearn.system.runtime import start_tensorflow
from xferlearn.training.fit import Prepared
from xferlearn.training.material import LinearHeads, Material

_PHOTOS = flags.DEFINE_list("photos", ["1000", "50000"], "Numbers of photos.")
_CLASSES = flags.DEFINE_integer("classes", 10, "How many classes.")
_WIDTH = flags.DEFINE_integer("width", 1280, "Values per bottleneck.")
_UNLABELLED = flags.DEFINE_float("unlabelled", 0.1, "Share of the photos without a class.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Of ten answers each; the median is told.")
_PROMISED = {1_000: 2.0, 50_000: 10.0}
_FOLDS = 5


def _simulated(number: int) -> Material:
    generator = np.random.default_rng(0)
    classes = _CLASSES.value
    truth = generator.integers(classes, size=number)
    centres = generator.normal(0, 1, (classes, _WIDTH.value)).astype(np.float32)
    x = generator.normal(0, 6, (number, _WIDTH.value)).astype(np.float32)
    x += centres[truth]
    wrong = generator.random(number) < 0.05
    labels = np.where(wrong, generator.integers(classes, size=number), truth)
    labelled = int(number * (1 - _UNLABELLED.value))
    labels[labelled:] = -1
    photos = tuple(
        Photo(hashlib.sha256(str(row).encode()).digest(), int(label), f"{label}/{row}.jpg")
        for row, label in enumerate(labels)
    )
    names = tuple(f"class {place}" for place in range(classes))
    return Material(
        cast(Prepared, None),  # nothing is read again
        Manifest(names, photos[:labelled], ("train",) * labelled),
        photos,
        x,
        np.arange(number) % _FOLDS,
        np.arange(number),
        (None,) * number,
    )


def _measure(number: int, folder: Path) -> tuple[float, float, float]:
    material = _simulated(number)
    heads = LinearHeads(material.bottlenecks, material.folds, (_WIDTH.value,))
    started = time.perf_counter()
    with Answers(folder / f"{number}.csv") as answers:
        session = Session(material, answers, heads, Finder(material, heads))
        opened = time.perf_counter() - started
        accuracies, lists = [], []
        for _ in range(_REPEATS.value):
            state = session.state()
            asked = [item for item in state["items"] if item["answer"] is None][:10]
            started = time.perf_counter()
            for item in asked:
                (label,) = item["proposed"] or state["labels"][:1]
                session.answer([bytes.fromhex(item["id"])], "relabel", label)
            while session.state()["pending"]:
                session.wait(session.state()["revision"], 60)
            accuracies.append(time.perf_counter() - started)
            while (state := session.state())["fit"]["busy"]:
                session.wait(state["revision"], 60)
            lists.append(time.perf_counter() - started)
    return opened, float(np.median(accuracies)), float(np.median(lists))


def main(_: list[str]) -> bool:
    """Measures and prints; returns whether the promises are kept."""
    start_tensorflow()
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'photos':>8}  {'opened':>8}  {'accuracy':>8}  {'list':>8}  promised")
        for number in map(int, _PHOTOS.value):
            opened, accuracy, listed = _measure(number, Path(folder))
            promised = _PROMISED.get(number)
            kept &= promised is None or accuracy < promised
            told = "-" if promised is None else f"{promised:.0f} s"
            print(f"{number:>8,}  {opened:>6.2f} s  {accuracy:>6.2f} s  {listed:>6.2f} s  {told}")
    return kept


if __name__ == "__main__":
    benching.run(main)
