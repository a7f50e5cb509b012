"""Which measure knows photos of no class: on classes left out, and on foreign pictures.

    python tools/bench_unknown.py --image_dir=flower_photos --foreign_dataset=elpv
    python tools/bench_unknown.py --dataset=elpv --foreign_dir=flower_photos

Each class is left out once: a head is trained on the others as `train` does, and its class is
looked for among their photos, each measured by what has not learned from it. Then all classes are
learned, and foreign pictures looked for: those that are given, drawings, text and noise that are
made on the spot, and the faces and photos that come with scikit-image and scikit-learn, where these
are installed. Random halves say how many of one's own photos are rejected. The network runs for
photos whose bottlenecks are not cached, once.
"""

import dataclasses
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import benching
import numpy as np
from absl import flags
from PIL import Image, ImageDraw, ImageFont

from xferlearn.config import DEFAULT_BACKBONE, TrainConfig
from xferlearn.decisions import fit_familiarity
from xferlearn.errors import UserError
from xferlearn.metrics import wilson_interval
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.opening import open_source
from xferlearn.system.runtime import start_tensorflow
from xferlearn.training.fit import Prepared, prepare
from xferlearn.training.fitting import fit_head
from xferlearn.training.networks import load_networks

LEVEL = 0.01
# Of the parameters of EfficientNet Lite0.
WEIGHTS = 270_000

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_DATASET = flags.DEFINE_string("dataset", None, "TensorFlow Datasets name, instead.")
_FOREIGN_DIR = flags.DEFINE_string("foreign_dir", None, "Folder of photos of other things.")
_FOREIGN_DATASET = flags.DEFINE_string("foreign_dataset", None, "TensorFlow Datasets name of such.")
_BACKBONE = flags.DEFINE_string("backbone", DEFAULT_BACKBONE, "The network.")
_WEIGHTS = flags.DEFINE_string("weights", "imagenet", "imagenet, none or a file.")
_BOTTLENECK_DIR = flags.DEFINE_string("bottleneck_dir", None, "Where bottlenecks are cached.")
_MOST_WEIGHTS = flags.DEFINE_integer("most_weights", WEIGHTS, "Of the familiarity.")
_PICTURES = flags.DEFINE_integer("pictures", 100, "Of each kind that is made.", lower_bound=3)
_DRAWS = flags.DEFINE_integer("draws", 5, "How many core sets are drawn.", lower_bound=1)
_HALVES = flags.DEFINE_integer("halves", 10, "How many random halves.", lower_bound=1)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a head and its network say of photos.

    Attributes:
        x: bottlenecks, float32, [photos, width].
        probabilities: float32, [photos, classes].
        energy: logarithm of the sum of the powers of the logits, [photos].
    """

    x: np.ndarray
    probabilities: np.ndarray
    energy: np.ndarray

    def only(self, rows: np.ndarray) -> "Seen":
        """Returns those of some photos."""
        return Seen(self.x[rows], self.probabilities[rows], self.energy[rows])


@dataclasses.dataclass(frozen=True)
class Task:
    """Photos that are learned, as heads that have not seen them see them, and what sees others."""

    own: Seen
    y: np.ndarray
    folds: np.ndarray
    groups: np.ndarray
    see: Callable[[np.ndarray], Seen]

    def without(self, fold: int) -> "Task":
        """Returns the task without the photos of one fold."""
        rows = np.flatnonzero(self.folds != fold)
        return Task(
            self.own.only(rows), self.y[rows], self.folds[rows], self.groups[rows], self.see
        )


Scores = Callable[[Seen], np.ndarray]
Method = Callable[[Task, int], Scores]


def _familiarity(task: Task, seed: int) -> Scores:
    rows = np.flatnonzero(task.folds >= 0)
    familiarity = fit_familiarity(
        task.own.x,
        task.y,
        rows,
        task.own.probabilities[rows],
        folds=task.folds.tolist(),
        groups=task.groups.tolist(),
        most_weights=_MOST_WEIGHTS.value,
        seed=seed,
    )
    return lambda seen: familiarity.apply(seen.x, seen.probabilities)


def _largest(_task: Task, _seed: int) -> Scores:
    return lambda seen: seen.probabilities.max(axis=1)


def _entropy(_task: Task, _seed: int) -> Scores:
    return lambda seen: (seen.probabilities * np.log(seen.probabilities + 1e-12)).sum(axis=1)


def _energy(_task: Task, _seed: int) -> Scores:
    return lambda seen: seen.energy


def _nearest(number: int) -> Method:
    def fit(task: Task, _seed: int) -> Scores:
        reference = _unit(task.own.x)
        return lambda seen: -np.sort(-_unit(seen.x) @ reference.T, axis=1)[:, number - 1]

    return fit


def _nearest_and_sure(task: Task, seed: int) -> Scores:
    nearest = _nearest(1)
    usual = np.zeros(len(task.y))
    for fold in np.unique(task.folds[task.folds >= 0]).tolist():
        rows = task.folds == fold
        usual[rows] = nearest(task.without(fold), seed)(task.own.only(rows))
    sure = task.own.probabilities.max(axis=1)
    near = nearest(task, seed)
    return lambda seen: (
        (near(seen) - usual.mean()) / usual.std()
        + (seen.probabilities.max(axis=1) - sure.mean()) / sure.std()
    )


def _mahalanobis(*, relative: bool) -> Method:
    """K. Lee et al., NeurIPS 2018; relative: J. Ren et al., 2021. Covariances are shrunken."""

    def fit(task: Task, _seed: int) -> Scores:
        x = _unit(task.own.x)
        centres = np.stack([x[task.y == label].mean(axis=0) for label in np.unique(task.y)])
        within = _precision(x - centres[np.searchsorted(np.unique(task.y), task.y)])
        mean = x.mean(axis=0)
        whole = _precision(x - mean) if relative else None

        def scores(seen: Seen) -> np.ndarray:
            query = _unit(seen.x)
            found = np.stack([_squares(query - one, within) for one in centres]).min(axis=0)
            return -found if whole is None else _squares(query - mean, whole) - found

        return scores

    return fit


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _squares(x: np.ndarray, precision: np.ndarray) -> np.ndarray:
    return ((x @ precision) * x).sum(axis=1)


def _precision(x: np.ndarray) -> np.ndarray:
    """Returns the inverse of a covariance, shrunken as O. Ledoit and M. Wolf say (2004)."""
    photos, width = x.shape
    covariance = x.T @ x / photos
    mean = np.trace(covariance) / width
    apart = np.square(covariance - mean * np.eye(width)).sum()
    noise = (np.square(np.square(x).sum(axis=1)).mean() - np.square(covariance).sum()) / photos
    share = min(max(noise / apart, 1e-3), 1)
    return np.linalg.inv((1 - share) * covariance + share * mean * np.eye(width))


METHODS: dict[str, Method] = {
    "largest probability": _largest,
    "entropy": _entropy,
    "energy": _energy,
    "nearest photo": _nearest(1),
    "fifth nearest photo": _nearest(5),
    "Mahalanobis": _mahalanobis(relative=False),
    "relative Mahalanobis": _mahalanobis(relative=True),
    "nearest + probability": _nearest_and_sure,
    "familiarity": _familiarity,
}
# Of which several core sets are drawn.
DRAWN = ("familiarity",)


def learn(config: TrainConfig, prepared: Prepared, manifest: Manifest) -> Task:
    """Trains heads on photos, one per fold and one on all of them."""
    import keras

    fitted = fit_head(config, prepared, manifest=manifest)
    if fitted.out_of_fold is None or fitted.fold_head is None:
        raise UserError("There are too few photos to measure anything on: add some.")

    def seen(head: keras.Model, x: np.ndarray) -> Seen:
        last = head.get_layer("predictions")
        before = keras.Model(head.input, last.input)
        kernel, bias = last.get_weights()
        logits = np.asarray(before(x)) @ kernel + bias
        top = logits.max(axis=1, keepdims=True)
        powers = np.exp(logits - top)
        total = powers.sum(axis=1, keepdims=True)
        return Seen(x, powers / total, (top + np.log(total))[:, 0])

    folds = np.array(manifest.folds)
    y = np.array([photo.label for photo in manifest.photos])
    own = seen(fitted.head, fitted.bottlenecks)
    for fold in range(manifest.fold_count):
        rows = folds == fold
        of_fold = seen(fitted.fold_head(fold), fitted.bottlenecks[rows])
        own.probabilities[rows], own.energy[rows] = of_fold.probabilities, of_fold.energy
    groups = np.array(manifest.groups or range(len(y)))
    return Task(own, y, folds, groups, lambda x: seen(fitted.head, x))


def own_scores(method: Method, task: Task, seed: int) -> np.ndarray:
    """Returns the scores of the photos in folds, each by what has not learned from its fold."""
    found = np.zeros(len(task.y))
    for fold in np.unique(task.folds[task.folds >= 0]).tolist():
        rows = task.folds == fold
        found[rows] = method(task.without(fold), seed)(task.own.only(rows))
    return found[task.folds >= 0]


def auroc(own: np.ndarray, other: np.ndarray) -> float:
    """Returns how often an own photo has the higher score than another, 0 to 1; ties are halves."""
    below, upto = (np.searchsorted(np.sort(other), own, side=side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(other))


def false_alarms(own: np.ndarray, other: np.ndarray) -> float:
    """Returns the share of own photos that are rejected where 95% of others are, 0 to 1."""
    return float((own <= np.quantile(other, 0.95)).mean())


def rejected(name: str, own: np.ndarray, other: np.ndarray) -> float:
    """Returns the share of photos below the level, 0 to 1; by rank where scores are no shares."""
    if name in DRAWN:
        return float((other < LEVEL).mean())
    ranks = (1 + np.searchsorted(np.sort(own), other, side="right")) / (len(own) + 1)
    return float((ranks < LEVEL).mean())


def without_class(manifest: Manifest, label: int) -> Manifest:
    """Returns a manifest without one class."""
    rows = [row for row, photo in enumerate(manifest.photos) if photo.label != label]
    kept = manifest.only(rows)
    photos = tuple(
        dataclasses.replace(photo, label=photo.label - (photo.label > label))
        for photo in kept.photos
    )
    labels = tuple(name for place, name in enumerate(manifest.labels) if place != label)
    return dataclasses.replace(kept, photos=photos, labels=labels)


def classes_left_out(config: TrainConfig, prepared: Prepared, manifest: Manifest) -> None:
    """Prints how well each class is known as none of the others."""
    of_photo = np.array([photo.label for photo in manifest.photos])
    areas: dict[str, list[list[float]]] = {name: [] for name in METHODS}
    alarms: dict[str, list[float]] = {name: [] for name in METHODS}
    for label in range(len(manifest.labels)):
        task = learn(config, prepared, without_class(manifest, label))
        left_out = [manifest.photos[row] for row in np.flatnonzero(of_photo == label)]
        others = task.see(prepared.read(left_out))
        for name, method in METHODS.items():
            pairs = [
                (own_scores(method, task, seed), method(task, seed)(others))
                for seed in _seeds(name)
            ]
            areas[name].append([auroc(*pair) for pair in pairs])
            alarms[name].append(float(np.mean([false_alarms(*pair) for pair in pairs])))
    print(f"One class left out, N={len(manifest.photos):,}: AUROC, and false alarms at 95%")
    print(f"{'':22} mean  {' '.join(name[:7].rjust(7) for name in manifest.labels)}  alarms")
    for name in METHODS:
        found = np.array(areas[name])
        per_class = " ".join(f"{area:7.3f}" for area in found.mean(axis=1))
        spread = found.mean(axis=0)
        drawn = f"  draws {spread.min():.3f} to {spread.max():.3f}" if name in DRAWN else ""
        print(f"{name:22} {found.mean():.3f} {per_class} {np.mean(alarms[name]):6.0%}{drawn}")


def foreign_pictures(
    config: TrainConfig, prepared: Prepared, manifest: Manifest, foreign: dict[str, np.ndarray]
) -> None:
    """Prints how well foreign pictures are told from one's own photos."""
    task = learn(config, prepared, manifest)
    others = {kind: task.see(x) for kind, x in foreign.items()}
    areas, shares = {}, {}
    for name, method in METHODS.items():
        found = []
        for seed in _seeds(name):
            own, score = own_scores(method, task, seed), method(task, seed)
            scores = [score(seen) for seen in others.values()]
            found.append([(auroc(own, one), rejected(name, own, one)) for one in scores])
        areas[name], shares[name] = np.mean(found, axis=0).T
    counts = ", ".join(f"{len(x):,} {kind}" for kind, x in foreign.items())
    for title, table in {
        "Foreign pictures: AUROC": areas,
        f"Foreign pictures below {LEVEL:.0%}": shares,
    }.items():
        print(f"\n{title}; {counts}")
        print(f"{'':22}{''.join(kind.rjust(12) for kind in foreign)}")
        for name, row in table.items():
            print(f"{name:22}{''.join(f'{value:12.3f}' for value in row)}")


def halves(config: TrainConfig, prepared: Prepared, manifest: Manifest) -> float:
    """Prints how many photos of one half are rejected by the other; returns their share."""
    groups = np.array(manifest.groups or range(len(manifest.photos)))
    counts = []
    for seed in range(_HALVES.value):
        order = np.random.default_rng(seed).permutation(np.unique(groups))
        in_half = np.isin(groups, order[: len(order) // 2])
        task = learn(config, prepared, manifest.only(np.flatnonzero(in_half).tolist()))
        others = [manifest.photos[row] for row in np.flatnonzero(~in_half)]
        found = _familiarity(task, seed)(task.see(prepared.read(others)))
        counts.append((int((found < LEVEL).sum()), len(found)))
    below, total = np.sum(counts, axis=0).tolist()
    share = below / total
    # Halves share photos, so the interval is that of all photos counted once.
    low, high = wilson_interval(share * len(manifest.photos), len(manifest.photos))
    print(
        f"\nOwn photos below {LEVEL:.0%}: {below} of {total:,} in {len(counts)} random halves,"
        f" {share:.2%} (95% interval {low:.2%} to {high:.2%})"
    )
    return share


def _seeds(name: str) -> range:
    return range(_DRAWS.value if name in DRAWN else 1)


def make_pictures(folder: Path) -> list[str]:
    """Writes drawings, noise, text, faces and photos; returns the packages that have none here."""
    generator = np.random.default_rng(0)
    kinds = {
        "drawings": lambda: _drawing(generator),
        "noise": lambda: _noise(generator),
        "text": lambda: _text(generator),
    }
    for kind, make in kinds.items():
        (folder / kind).mkdir()
        for number in range(_PICTURES.value):
            make().save(folder / kind / f"{number:03}.png")
    missing: list[str] = []
    for number, picture in enumerate(_installed(missing)):
        kind = "faces" if picture.mode == "L" and picture.width < 200 else "photos"
        (folder / kind).mkdir(exist_ok=True)
        picture.convert("RGB").save(folder / kind / f"{number:03}.png")
    return missing


def _colour(generator: np.random.Generator) -> tuple[int, ...]:
    return tuple(generator.integers(0, 256, 3).tolist())


def _drawing(generator: np.random.Generator) -> Image.Image:
    ground = "white" if generator.random() < 0.5 else _colour(generator)
    picture = Image.new("RGB", (240, 240), ground)
    pen = ImageDraw.Draw(picture)
    for _ in range(generator.integers(1, 12)):
        left, top = generator.integers(0, 200, 2).tolist()
        width, height = generator.integers(10, 120, 2).tolist()
        box, colour = (left, top, left + width, top + height), _colour(generator)
        corners = [tuple(point) for point in generator.integers(0, 240, (5, 2)).tolist()]
        kind = generator.integers(4)
        if kind == 0:
            pen.ellipse(box, colour)
        elif kind == 1:
            pen.rectangle(box, None, colour, 3)
        elif kind == 2:
            pen.line(corners, colour, int(generator.integers(1, 8)))
        else:
            pen.polygon(corners, colour)
    return picture


def _text(generator: np.random.Generator) -> Image.Image:
    dark = generator.random() < 0.2
    picture = Image.new("RGB", (320, 320), "black" if dark else "white")
    pen, size = ImageDraw.Draw(picture), int(generator.integers(8, 40))
    font = ImageFont.load_default(size)
    for top in range(5, 320, int(size * 1.3)):
        letters = "".join(chr(code) for code in generator.integers(97, 123, 60).tolist())
        cuts = np.cumsum(generator.integers(1, 10, 12)).tolist()
        words = [letters[a:b] for a, b in zip([0, *cuts], cuts, strict=False)]
        pen.text((5, top), " ".join(words), "white" if dark else "black", font)
    return picture


def _noise(generator: np.random.Generator) -> Image.Image:
    kind = generator.integers(4)
    if kind == 0:
        values = generator.integers(0, 256, (224, 224, 3))
    elif kind == 1:
        values = generator.normal(128, generator.uniform(5, 60), (224, 224, 3))
    elif kind == 2:
        values = np.linspace(0, 1, 224)[:, None, None] * generator.integers(0, 256, 3)
        values = values + np.linspace(0, 1, 224)[None, :, None] * generator.integers(0, 100, 3)
    else:
        few = generator.integers(0, 256, (*generator.integers(2, 30, 2), 3)).astype(np.uint8)
        return Image.fromarray(few).resize((224, 224), Image.Resampling.BICUBIC)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _installed(missing: list[str]) -> Iterator[Image.Image]:
    """Yields the pictures of installed packages, faces in gray; appends packages that are not."""
    folders = []
    for package, name, data in (
        ("skimage", "scikit-image", "data"),
        ("sklearn", "scikit-learn", "datasets/images"),
    ):
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            missing.append(name)
        else:
            folders.append(Path(found.submodule_search_locations[0]) / data)
    if missing:
        return
    # The second hundred are no faces.
    for face in np.load(folders[0] / "lfw_subset.npy")[:100]:
        yield Image.fromarray((face * 255).astype(np.uint8)).resize((100, 100))
    for path in sorted(path for folder in folders for path in folder.iterdir()):
        if path.suffix in (".png", ".jpg"):
            yield Image.open(path).convert("RGB")


def bottlenecks_of(config: TrainConfig, image_dir: str | None, dataset: str | None) -> Prepared:
    """Returns photos whose bottlenecks are cached."""
    other = dataclasses.replace(config, image_dir=image_dir, dataset=dataset)
    source = open_source(other)
    start_tensorflow()
    return prepare(other, source, load_networks(other))


def foreign_bottlenecks(config: TrainConfig) -> dict[str, np.ndarray]:
    """Returns the bottlenecks of foreign pictures by kind; says what is missing."""
    found = {}
    if _FOREIGN_DIR.value or _FOREIGN_DATASET.value:
        given = bottlenecks_of(config, _FOREIGN_DIR.value, _FOREIGN_DATASET.value)
        found["given"] = given.read(given.extraction.photos)
    with tempfile.TemporaryDirectory() as folder:
        missing = make_pictures(Path(folder))
        made = bottlenecks_of(config, folder, None)
        for label, kind in enumerate(made.source.labels):
            found[kind] = made.read([p for p in made.extraction.photos if p.label == label])
    if missing:
        print(f"Without faces and photos: install {' and '.join(missing)} for these.")
    return found


def main(argv: list[str]) -> bool:
    """Runs the benchmark; returns whether at most 2% of one's own photos are rejected."""
    del argv
    config = TrainConfig(
        image_dir=_IMAGE_DIR.value,
        dataset=_DATASET.value,
        backbone=_BACKBONE.value,
        weights=_WEIGHTS.value,
        bottleneck_dir=_BOTTLENECK_DIR.value,
        model_dir="not written",
        testing_percentage=0,
        validation_percentage=0,
        summaries="none",
    )
    prepared = bottlenecks_of(config, _IMAGE_DIR.value, _DATASET.value)
    foreign = foreign_bottlenecks(config)
    manifest = prepared.split(config)
    if len(manifest.labels) > 2:
        classes_left_out(config, prepared, manifest)
    foreign_pictures(config, prepared, manifest, foreign)
    return halves(config, prepared, manifest) <= 2 * LEVEL


if __name__ == "__main__":
    benching.run(main)
