"""Whether what `xferlearn train` says of itself is true: on random halves of the photos.

    python tools/bench_honesty.py --image_dir=flower_photos
    python tools/bench_honesty.py --dataset=elpv

For each half a head is trained on it as `train` does, with the default settings. Its
cross-validated accuracy, the number that people go by, is compared with that of the delivered head
on the other half, of which it knows nothing: are they as close as their 95% intervals say, and is
one the larger on average? The calibration of the head's probabilities is measured on the other half
too. Photos of one group stay together. The network runs for photos whose bottlenecks are not
cached, once.
"""

import dataclasses
import math

import benching
import numpy as np
from absl import flags

from xferlearn.config import DEFAULT_BACKBONE, TrainConfig
from xferlearn.decisions import Reliability, reliability
from xferlearn.errors import UserError
from xferlearn.metrics import Evaluation, evaluate_predictions
from xferlearn.photos.manifest import VALIDATION, Manifest
from xferlearn.photos.opening import open_source
from xferlearn.system.runtime import start_tensorflow
from xferlearn.training.fit import Prepared, prepare
from xferlearn.training.fitting import fit_head
from xferlearn.training.networks import load_networks

FEWEST_WITHIN = 0.9
LARGEST_MEAN_DIFFERENCE = 0.007
LARGEST_ECE = 0.03

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_DATASET = flags.DEFINE_string("dataset", None, "TensorFlow Datasets name, instead.")
_BACKBONE = flags.DEFINE_string("backbone", DEFAULT_BACKBONE, "The network.")
_WEIGHTS = flags.DEFINE_string("weights", "imagenet", "imagenet, none or a file.")
_BOTTLENECK_DIR = flags.DEFINE_string("bottleneck_dir", None, "Where bottlenecks are cached.")
_TESTING_PERCENTAGE = flags.DEFINE_float(
    "testing_percentage", 0.0, "Of the half; the other half is test enough."
)
_HALVES = flags.DEFINE_integer("halves", 40, "How many random halves.", lower_bound=1)


@dataclasses.dataclass(frozen=True)
class Half:
    """A head trained on one half, measured by itself and on the other half.

    Attributes:
        own: what the training says of the head.
        other: the head on the other half.
        reliability: of its probabilities there.
        probabilities: of the other half, float32, [photos, classes].
        truth: true class index of each photo of the other half, [photos].
    """

    own: Evaluation
    other: Evaluation
    reliability: Reliability
    probabilities: np.ndarray
    truth: np.ndarray

    @property
    def difference(self) -> float:
        """The head's accuracy by itself minus that on the other half, -1 to 1."""
        return _accuracy(self.own) - _accuracy(self.other)

    @property
    def margin(self) -> float:
        """How far both may be apart by chance in 95 of 100 halves, 0 to 1.

        The ends that face each other of both intervals, squared and added (R. G. Newcombe,
        Statistics in Medicine 17, 1998, pp. 873-890, method 10).
        """
        lower, higher = sorted((self.own, self.other), key=_accuracy)
        below = _accuracy(higher) - higher.interval[0]
        return math.hypot(below, lower.interval[1] - _accuracy(lower))

    @property
    def within(self) -> bool:
        """Whether the difference is no larger than chance allows."""
        return abs(self.difference) <= self.margin


def _accuracy(evaluation: Evaluation) -> float:
    if evaluation.accuracy is None:
        raise UserError("There are too few photos to measure anything on: add some.")
    return evaluation.accuracy


def measure(config: TrainConfig, prepared: Prepared, manifest: Manifest, seed: int) -> Half:
    """Trains on a random half of a manifest's photos, and measures on both."""
    groups = np.array(manifest.groups or range(len(manifest.photos)))
    order = np.random.default_rng(seed).permutation(np.unique(groups))
    sizes = np.bincount(groups)[order]
    drawn = order[: np.searchsorted(sizes.cumsum(), len(groups) / 2) + 1]
    in_half = np.isin(groups, drawn)
    photos = tuple(photo for photo, chosen in zip(manifest.photos, in_half, strict=True) if chosen)
    half = dataclasses.replace(
        prepared, extraction=dataclasses.replace(prepared.extraction, photos=photos, bad=())
    )
    fitted = fit_head(config, half)
    own = fitted.evaluate(VALIDATION, fitted.probabilities(VALIDATION))
    others = manifest.only(np.flatnonzero(~in_half).tolist())
    probabilities = fitted.predict(prepared.read(others.photos))
    truth = np.array([photo.label for photo in others.photos])
    of_others = others.groups or None
    other = evaluate_predictions(manifest.labels, truth, probabilities.argmax(axis=1), of_others)
    found = reliability(probabilities, truth, of_others)
    return Half(own, other, found, probabilities, truth)


def main(argv: list[str]) -> bool:
    """Runs the benchmark; returns whether the tool says the truth."""
    del argv
    config = TrainConfig(
        image_dir=_IMAGE_DIR.value,
        dataset=_DATASET.value,
        backbone=_BACKBONE.value,
        weights=_WEIGHTS.value,
        bottleneck_dir=_BOTTLENECK_DIR.value,
        model_dir="not written",
        testing_percentage=_TESTING_PERCENTAGE.value,
        summaries="none",
    )
    source = open_source(config)
    start_tensorflow()
    prepared = prepare(config, source, load_networks(config))
    manifest = prepared.split(config)
    print("half   by itself          other half         difference   joint 95%   ECE")
    halves = []
    for seed in range(_HALVES.value):
        half = measure(config, prepared, manifest, seed)
        halves.append(half)
        print(
            f"{seed:4}   {_counted(half.own)}   {_counted(half.other)}"
            f"   {100 * half.difference:+6.1f}       {100 * half.margin:5.1f}"
            f" {' ' if half.within else '!'}  {half.reliability.ece:6.1%}",
            flush=True,
        )
    return _verdict(halves)


def _counted(evaluation: Evaluation) -> str:
    return f"{evaluation.correct:5}/{evaluation.total:<5} {_accuracy(evaluation):6.1%}"


def _verdict(halves: list[Half]) -> bool:
    differences = np.array([half.difference for half in halves])
    within = sum(half.within for half in halves)
    mean = float(differences.mean())
    # Halves share photos, so this is a little too narrow.
    error = 1.96 * differences.std(ddof=1) / math.sqrt(len(halves)) if len(halves) > 1 else math.nan
    ece, by_chance = (
        float(np.mean([getattr(half.reliability, name) for half in halves]))
        for name in ("ece", "by_chance")
    )
    pooled = reliability(
        np.concatenate([half.probabilities for half in halves]),
        np.concatenate([half.truth for half in halves]),
    )
    checks = {
        f"within the joint 95% interval: {within} of {len(halves)} halves"
        f" (at least {FEWEST_WITHIN:.0%})": within >= FEWEST_WITHIN * len(halves),
        f"mean difference: {100 * mean:+.2f} points, 95% {100 * (mean - error):+.2f} to"
        f" {100 * (mean + error):+.2f} (below {100 * LARGEST_MEAN_DIFFERENCE:.1f})":
            abs(mean) < LARGEST_MEAN_DIFFERENCE,
        f"mean ECE on the other half: {ece:.2%}, of which chance alone gives {by_chance:.2%};"
        f" all halves together {pooled.ece:.2%} (at most {LARGEST_ECE:.0%})": ece <= LARGEST_ECE,
    }  # fmt: skip
    for said, held in checks.items():
        print(f"{'yes' if held else 'NO':4}{said}")
    return all(checks.values())


if __name__ == "__main__":
    benching.run(main)
