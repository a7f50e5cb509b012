"""Whether wrong labels are found, what mending them is worth, and which photos to label next.

    python tools/bench_audit.py --image_dir=flower_photos
    python tools/bench_audit.py --dataset=elpv --tables=find
    python tools/bench_audit.py --image_dir=flower_photos --tables=simulate,rare

Labels are made wrong at random, or those of one class are given to another, and looked for. Then
what is proposed is applied without a look: each fifth of the photos is kept apart, the others are
searched and mended, and a head that learns from them is measured on that fifth by its true labels.
A few photos have labels, and of 400 others 100 are labelled: by the order that a review proposes,
or drawn at random. Then photos of many classes are simulated, whose true probabilities are known;
and last, one class is common and one rare. The network runs for photos whose bottlenecks are not
cached, once.
"""

import copy
import functools
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import benching
import numpy as np
from absl import flags

from xferlearn.auditing.label_errors import LabelErrors, find_label_errors
from xferlearn.config import DEFAULT_BACKBONE, TrainConfig
from xferlearn.errors import UserError
from xferlearn.photos.opening import open_source
from xferlearn.review.choosing import BATCH, next_photos
from xferlearn.system.runtime import start_tensorflow
from xferlearn.training.fit import prepare
from xferlearn.training.material import LinearHeads, Material, material_of
from xferlearn.training.networks import load_networks

# Percent of those flipped found in a list of their number; points gained; gained by choosing.
FOUND, GAIN, CHOSEN = 80.0, 3.0, 1.5
MUST = 0.1
# Of simulated photos: classes, photos of each, how far classes are apart, and labels made wrong.
SIMULATED = ((20, 30, 0.2, 0.0), (100, 20, 0.2, 0.0), (100, 20, 0.4, 0.05), (1000, 5, 0.4, 0.0))
FEATURES = 64
COMMON, RARE = 200, 30
# What the choice of photos begins with, draws from and takes.
START, POOL, TAKEN = 5, 400, 100

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_DATASET = flags.DEFINE_string("dataset", None, "TensorFlow Datasets name, instead.")
_BACKBONE = flags.DEFINE_string("backbone", DEFAULT_BACKBONE, "The network.")
_WEIGHTS = flags.DEFINE_string("weights", "imagenet", "imagenet, none or a file.")
_BOTTLENECK_DIR = flags.DEFINE_string("bottleneck_dir", None, "Where bottlenecks are cached.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "How often labels are made wrong.", lower_bound=1)
_SHARES = flags.DEFINE_list("shares", ["0", "0.05", "0.1", "0.2"], "Of labels made wrong.")
_MOVED = flags.DEFINE_list("moved", ["0.1", "0.3"], "Of the last class, given to another.")
_TABLES = flags.DEFINE_list(
    "tables", ["find", "mend", "choose", "simulate", "rare"], "What is measured."
)
_CHOICES = flags.DEFINE_integer("choices", 10, "How often photos are chosen.", lower_bound=1)


class Searched(Protocol):
    """Photos whose labels are looked for."""

    y: np.ndarray
    classes: int

    def search(self, y: np.ndarray, rows: np.ndarray) -> LabelErrors:
        """Looks for wrong labels among some photos, whose labels are given."""


class Simulated:
    """Photos of normally distributed classes, and heads that know the true probabilities."""

    def __init__(self, classes: int, photos: int, distance: float, seed: int) -> None:
        generator = np.random.default_rng(seed)
        means = distance * generator.normal(size=(classes, FEATURES))
        self.classes, self.y = classes, np.repeat(np.arange(classes), photos)
        x = means[self.y] + generator.normal(size=(len(self.y), FEATURES))
        logs = x @ means.T - np.square(means).sum(axis=1) / 2
        powers = np.exp(logs - logs.max(axis=1, keepdims=True))
        self._probabilities = powers / powers.sum(axis=1, keepdims=True)

    def search(self, y: np.ndarray, rows: np.ndarray) -> LabelErrors:
        """Looks for wrong labels among some photos, whose labels are given."""
        return find_label_errors(y, lambda learned: self._probabilities[rows])


class Task:
    """Photos with their true labels, and heads for some of them."""

    def __init__(self, material: Material) -> None:
        self.x, self.folds, self.groups = material.bottlenecks, material.folds, material.groups
        self.y, self.classes = material.y, len(material.labels)
        self.labels = material.labels
        self.widths = material.prepared.widths

    def some(self, rows: np.ndarray) -> "Task":
        """Returns some photos, whose classes are numbered anew."""
        found = copy.copy(self)
        found.x, found.folds, found.groups = self.x[rows], self.folds[rows], self.groups[rows]
        present, found.y = np.unique(self.y[rows], return_inverse=True)
        found.classes = len(present)
        found.labels = tuple(self.labels[label] for label in present.tolist())
        return found

    def heads(self, rows: np.ndarray) -> LinearHeads:
        """Returns heads of some photos, whose folds are numbered anew."""
        folds = np.unique(self.folds[rows], return_inverse=True)[1]
        return LinearHeads(self.x[rows], folds, self.widths)

    def search(self, y: np.ndarray, rows: np.ndarray) -> LabelErrors:
        """Looks for wrong labels among some photos, whose labels are given."""
        heads = self.heads(rows)
        return find_label_errors(
            y, lambda learned: heads.fit(y, self.classes, learned), self.groups[rows]
        )

    def accuracy(self, y: np.ndarray, rows: np.ndarray, others: np.ndarray) -> float:
        """Returns how many other photos are right by a head of these, 0 to 1; label -1 is none."""
        # In no fold, so that one head is fitted, to all.
        heads = LinearHeads(self.x[rows], np.full(len(rows), -1), self.widths)
        heads.fit(y, self.classes)
        found = heads.stack.predict(0, self.x[others]).argmax(axis=1)
        return float((found == self.y[others]).mean())


def flipped(y: np.ndarray, classes: int, share: float, seed: int) -> np.ndarray:
    """Returns labels of which a share is another one, drawn at random."""
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(y))[: round(share * len(y))]
    found = y.copy()
    found[rows] = (y[rows] + generator.integers(1, classes, len(rows))) % classes
    return found


def moved(y: np.ndarray, source: int, target: int, share: float, seed: int) -> np.ndarray:
    """Returns labels of which a share of one class is that of another."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(y == source))
    found = y.copy()
    found[rows[: round(share * len(rows))]] = target
    return found


def mended(y: np.ndarray, found: LabelErrors) -> dict[str, np.ndarray]:
    """Returns labels after what is suspected was mended in several ways; -1 leaves a photo out."""
    surest = found.order[found.score[found.order] > 0.5]
    relabelled, left_out, sure = y.copy(), y.copy(), y.copy()
    relabelled[found.order] = found.proposed[found.order]
    left_out[found.order] = -1
    sure[surest] = found.proposed[surest]
    return {
        "as they are": y,
        "suspected relabelled": relabelled,
        "suspected left out": left_out,
        "surest relabelled": sure,
    }


def interval(values: Sequence[float]) -> str:
    """Returns a mean and its 95% interval over seeds, by Student's t."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.2f}"
    half = _student(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{mean:.2f} (95% interval {mean - half:.2f} to {mean + half:.2f})"


def _student(freedom: int) -> float:
    """Returns the 97.5% quantile of Student's distribution.

    Cornish and Fisher's expansion is within 1% from three degrees of freedom on.
    """
    if freedom < 3:
        return (12.706, 4.303)[freedom - 1]
    z = 1.959963984540054
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def find(
    task: Searched, title: str, draw: Callable[[int], np.ndarray], seeds: Sequence[int] = ()
) -> list[float]:
    """Prints what is found of labels that are made wrong; returns the shares of each seed."""
    rows = np.arange(len(task.y))
    shares = []
    for seed in seeds or range(_SEEDS.value):
        y = draw(seed)
        wrong = y != task.y
        number = int(wrong.sum())
        found = task.search(y, rows)
        worst = np.argsort(-found.score, kind="stable")[:number]
        fitting = found.proposed[found.order] == task.y[found.order]
        if number:
            shares.append(100 * float(wrong[worst].mean()))
        share = f"{shares[-1]:.1f}%" if number else "-"
        truly, listed = int(wrong[found.order].sum()), len(found.order)
        right = int((fitting & wrong[found.order]).sum())
        expected, every = (
            f"{one.value:.0f} ({one.low} to {one.high})" for one in (found.expected, found.wrong)
        )
        print(
            f"{title:22} {seed:4} {number:5} {share:>6} {listed:6}  {expected:16}"
            f" {truly:5} {right:8}  {every}",
            flush=True,
        )
        if not number:  # all seeds are the same
            break
    return shares


def simulate() -> None:
    """Prints what is said of labels of many classes by heads that could not be better."""
    for classes, photos, distance, share in SIMULATED:
        for seed in range(_SEEDS.value):
            task = Simulated(classes, photos, distance, seed)
            y = flipped(task.y, classes, share, seed)
            find(task, f"{classes} x {photos}, {share:.0%}", lambda _, y=y: y, [seed])


def rare(task: Task) -> None:
    """Prints what is said where one class is common and one rare."""
    for common, few in ((task.classes - 3, task.classes - 1), (0, 1)):
        parts = [
            np.flatnonzero(task.y == label)[:most]
            for label, most in ((common % task.classes, COMMON), (few, RARE))
        ]
        some = task.some(np.concatenate(parts))
        every = np.arange(len(some.y))
        right = some.heads(every).fit(some.y, some.classes).argmax(axis=1) == some.y
        title = f"{some.labels[0][:9]} {some.labels[1][:9]}"
        print(
            f"{title:22} {len(parts[0])} and {len(parts[1])}: {right.mean():.1%} right, mean of the"
            f" classes {np.mean([right[some.y == label].mean() for label in (0, 1)]):.1%}"
        )
        for share in (0.0, MUST):
            draw = functools.partial(flipped, some.y, some.classes, share)
            find(some, f"{share:.0%} at random", draw)


def mend(task: Task, title: str, draw: Callable[[int], np.ndarray]) -> list[float]:
    """Prints what mending without a look is worth; returns the points gained per seed."""
    parts: dict[str, list[float]] = {}
    units = np.unique(task.groups, return_inverse=True)[1]
    for seed in range(_SEEDS.value):
        y = draw(seed)
        apart = np.random.default_rng([seed, 1]).integers(0, 5, units.max() + 1)[units]
        right: dict[str, float] = {}
        for part in range(5):
            rows, others = np.flatnonzero(apart != part), np.flatnonzero(apart == part)
            given = y[rows]
            ways = mended(given, task.search(given, rows)) | {"true": task.y[rows]}
            for way, labels in ways.items():
                share = task.accuracy(labels, rows, others) * len(others) / len(y)
                right[way] = right.get(way, 0.0) + 100 * share
        for way, points in right.items():
            parts.setdefault(way, []).append(points)
    for way, points in parts.items():
        print(f"{title:22} {way:20} {interval(points)}", flush=True)
    gains = np.subtract(parts["suspected relabelled"], parts["as they are"]).tolist()
    print(f"{title:22} {'gained':20} {interval(gains)}", flush=True)
    return gains


def choose(task: Task) -> list[float]:
    """Prints what 100 labels are worth, chosen and at random; returns the points between them."""
    accuracies: dict[str, list[float]] = {"at random": [], "chosen": []}
    for seed in range(_CHOICES.value):
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(task.y))
        of_class = [order[task.y[order] == label][:START] for label in range(task.classes)]
        start = np.concatenate(of_class)
        rest = order[~np.isin(order, start)]
        if len(rest) < POOL + TAKEN:
            raise UserError(
                f"Expected at least {POOL + TAKEN + len(start)} photos to choose from."
                f" Found: {len(order)}. Pass `--tables=find,mend`."
            )
        pool, others = rest[:POOL], rest[POOL:]
        rows = np.concatenate([start, pool])
        y = np.where(np.arange(len(rows)) < len(start), task.y[rows], -1)
        drawn = np.where(np.arange(len(rows)) < len(start) + TAKEN, task.y[rows], -1)
        heads = task.heads(rows)
        for _ in range(TAKEN // BATCH):
            probabilities = heads.fit(y, task.classes)
            left, known = np.flatnonzero(y < 0), np.flatnonzero(y >= 0)
            taken = next_photos(probabilities, task.x[rows], left, known, BATCH)
            y[taken] = task.y[rows[taken]]
        accuracies["at random"].append(100 * task.accuracy(drawn, rows, others))
        accuracies["chosen"].append(100 * task.accuracy(y, rows, others))
    for way, points in accuracies.items():
        print(f"{way:20} {interval(points)}")
    gains = np.subtract(accuracies["chosen"], accuracies["at random"]).tolist()
    print(f"{'between':20} {interval(gains)}")
    return gains


def main(argv: list[str]) -> bool:
    """Runs the benchmark; returns whether what is found and gained is enough."""
    del argv
    config = TrainConfig(
        image_dir=_IMAGE_DIR.value,
        dataset=_DATASET.value,
        backbone=_BACKBONE.value,
        weights=_WEIGHTS.value,
        bottleneck_dir=_BOTTLENECK_DIR.value,
        model_dir="not written",
        summaries="none",
    )
    source = open_source(config)
    start_tensorflow()
    task = Task(material_of(prepare(config, source, load_networks(config)), config))
    source_class, target = task.classes - 1, max(0, task.classes - 3)
    draws: dict[str, Callable[[int], np.ndarray]] = {
        f"{share:.0%} at random": functools.partial(flipped, task.y, task.classes, share)
        for share in map(float, _SHARES.value)
    }
    for share in map(float, _MOVED.value):
        title = f"{share:.0%} {task.labels[source_class][:7]} > {task.labels[target][:7]}"
        draws[title] = functools.partial(moved, task.y, source_class, target, share)
    must = f"{MUST:.0%} at random"
    good = True
    header = (
        f"{'':22} seed wrong  found listed  {'expected':16} {'truly':>5} {'proposed':>8}  wrong"
    )
    if "find" in _TABLES.value:
        print(f"Labels made wrong, N={len(task.y):,}")
        print(header)
        shares = {title: find(task, title, draw) for title, draw in draws.items()}
        for title, values in shares.items():
            if not values:
                continue
            print(f"{title:22} found in a list of that length, in %: {interval(values)}")
        good &= float(np.mean(shares.get(must, [100.0]))) >= FOUND
    if "mend" in _TABLES.value:
        print(f"\nAccuracy on true labels of photos kept apart, N={len(task.y):,}, in %")
        gains = {title: mend(task, title, draw) for title, draw in draws.items()}
        good &= float(np.mean(gains.get(must, [GAIN]))) >= GAIN
    if "choose" in _TABLES.value:
        print(f"\n{TAKEN} labels of {POOL} photos, after {START} per class; accuracy in %")
        good &= float(np.mean(choose(task))) >= CHOSEN
    if "simulate" in _TABLES.value:
        print(f"\nSimulated, classes x photos of each, labels made wrong\n{header}")
        simulate()
    if "rare" in _TABLES.value:
        print(f"\nA common and a rare class\n{header}")
        rare(task)
    return good


if __name__ == "__main__":
    benching.run(main)
