"""Whether promises are kept on photos that they were not chosen on.

    python tools/bench_promises.py --image_dir=flower_photos
    python tools/bench_promises.py --dataset=elpv --min_recall=defective=0.95 \
        --cost=defective:functional=5

The first form, without thresholds or costs: on random halves of the photos a head is trained as
`train` does. What `label --max_error` and `label --coverage` promise is chosen on its
cross-validated predictions, and counted on the other half. The second form trains on several splits
and counts on their test photos what `--min_recall`, `--min_precision` and `--cost` give. Photos of
one group stay together. The network runs for photos whose bottlenecks are not cached, once.
"""

import dataclasses
import sys
from collections.abc import Sequence

import benching
import numpy as np
from absl import flags

from xferlearn.config import DEFAULT_BACKBONE, TrainConfig
from xferlearn.decisions import (
    Answering,
    Judged,
    LabelSets,
    choose_decision,
    confidence_of,
    measure_decision,
)
from xferlearn.metrics import wilson_interval, worth_of
from xferlearn.photos.manifest import TEST, VALIDATION, Manifest
from xferlearn.photos.opening import open_source
from xferlearn.system.runtime import start_tensorflow
from xferlearn.training.fit import Prepared, prepare
from xferlearn.training.fitting import fit_head
from xferlearn.training.networks import load_networks

MAX_ERRORS = (0.02, 0.05)
COVERAGES = (0.9, 0.95)
FEWEST_KEPT = 0.9
LEAST_LOWERED = 0.4

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_DATASET = flags.DEFINE_string("dataset", None, "TensorFlow Datasets name, instead.")
_BACKBONE = flags.DEFINE_string("backbone", DEFAULT_BACKBONE, "The network.")
_WEIGHTS = flags.DEFINE_string("weights", "imagenet", "imagenet, none or a file.")
_BOTTLENECK_DIR = flags.DEFINE_string("bottleneck_dir", None, "Where bottlenecks are cached.")
_HALVES = flags.DEFINE_integer("halves", 40, "How many random halves.", lower_bound=1)
_SPLITS = flags.DEFINE_integer("splits", 5, "How many split seeds.", lower_bound=1)
_MIN_RECALL = flags.DEFINE_string("min_recall", None, "As for train.")
_MIN_PRECISION = flags.DEFINE_string("min_precision", None, "As for train.")
_COST = flags.DEFINE_string("cost", None, "As for train.")


@dataclasses.dataclass(frozen=True)
class Trial:
    """A promise on one half, counted on the other.

    Attributes:
        kept: of the photos that it is about, how many keep it.
        total: how many there are.
        worth: what they are worth, groups considered.
        share: how many photos are answered, 0 to 1, or how large the mean set is.
    """

    kept: int
    total: int
    worth: float
    share: float

    def holds(self, promised: float) -> bool:
        """Whether as many keep it as was promised; also where nothing was."""
        return self.kept >= promised * self.total

    def contradicts(self, promised: float) -> bool:
        """Whether the 95% interval says that fewer do."""
        share = self.kept / self.total if self.total else 1.0
        return wilson_interval(share * self.worth, self.worth)[1] < promised


def _half(
    config: TrainConfig, prepared: Prepared, manifest: Manifest, seed: int
) -> tuple[tuple[Judged, list[bytes]], tuple[Judged, list[bytes]]]:
    """Trains on a random half; returns its out-of-fold predictions, and those of the rest."""
    groups = np.array(manifest.groups or range(len(manifest.photos)))
    order = np.random.default_rng(seed).permutation(np.unique(groups))
    sizes = np.bincount(groups)[order]
    drawn = np.isin(groups, order[: np.searchsorted(sizes.cumsum(), len(groups) / 2) + 1])
    photos = tuple(photo for photo, chosen in zip(manifest.photos, drawn, strict=True) if chosen)
    half = dataclasses.replace(
        prepared, extraction=dataclasses.replace(prepared.extraction, photos=photos, bad=())
    )
    fitted = fit_head(config, half)
    own = fitted.judged(VALIDATION, fitted.probabilities(VALIDATION))
    of_own = [fitted.manifest.photos[row].digest for row in fitted.rows(VALIDATION)]
    others = manifest.only(np.flatnonzero(~drawn).tolist())
    rest = Judged(
        fitted.predict(prepared.read(others.photos)),
        np.array([photo.label for photo in others.photos]),
        others.groups or None,
    )
    return (own, of_own), (rest, [photo.digest for photo in others.photos])


def _trial(kept: np.ndarray, groups: np.ndarray, share: float) -> Trial:
    worth = worth_of(groups) if len(groups) else 0.0
    return Trial(int(kept.sum()), len(kept), worth, share)


def halves(config: TrainConfig, prepared: Prepared, manifest: Manifest) -> bool:
    """Counts on halves how often promises of answers and of label sets are kept."""
    trials: dict[str, list[Trial]] = {}
    for seed in range(_HALVES.value):
        (own, of_own), (rest, of_rest) = _half(config, prepared, manifest, seed)
        decided = own.probabilities.argmax(axis=1)
        best = rest.probabilities.argmax(axis=1)
        right = best == rest.y
        groups = np.arange(len(right)) if rest.groups is None else np.asarray(rest.groups)
        for error in MAX_ERRORS:
            found = Answering.choose(own.probabilities, decided, own.y, error, own.groups)
            answered = np.zeros(len(right), bool)
            if found is not None:
                answered = found.answers(confidence_of(rest.probabilities, best))
            trial = _trial(right[answered], groups[answered], float(answered.mean()))
            trials.setdefault(f"max_error {error:g}", []).append(trial)
        for coverage in COVERAGES:
            fitted = LabelSets.fit(own.probabilities, own.y, coverage, of_own, own.groups)
            sets = fitted.sets(rest.probabilities, of_rest)
            hit = sets[np.arange(len(right)), rest.y]
            trial = _trial(hit, groups, float(sets.sum(axis=1).mean()))
            trials.setdefault(f"coverage {coverage:g}", []).append(trial)
        print(f"\rhalf {seed + 1} of {_HALVES.value}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print("promise         holds     contradicted  mean     answered or labels")
    good = True
    for name, found_trials in trials.items():
        kind, number = name.split()
        promised = 1 - float(number) if kind == "max_error" else float(number)
        holds = sum(one.holds(promised) for one in found_trials)
        against = sum(one.contradicts(promised) for one in found_trials)
        total = sum(one.total for one in found_trials)
        mean = sum(one.kept for one in found_trials) / total if total else 1.0
        shares = [one.share for one in found_trials]
        unit = f"{np.mean(shares):.1%} of photos, none in {shares.count(0.0)} halves"
        if kind == "coverage":
            unit = f"{np.mean(shares):.2f} labels per photo"
        good &= holds >= FEWEST_KEPT * len(found_trials)
        print(f"{name:14}  {holds:2} of {len(found_trials):2}  {against:12}  {mean:6.2%}  {unit}")
    return good


def splits(configs: Sequence[TrainConfig], prepared: Prepared) -> bool:
    """Counts on the test photos of several splits what thresholds and costs give."""
    good, before, after = True, 0.0, 0.0
    for seed in range(_SPLITS.value):
        seeded = dataclasses.replace(configs[0], split_seed=seed)
        manifest = prepared.split(seeded)
        fitted = fit_head(seeded, prepared, manifest=manifest)
        own, test = (fitted.judged(one, fitted.probabilities(one)) for one in (VALIDATION, TEST))
        for config in configs:
            asked = config.asked(manifest.labels)
            (wanted,) = (name for name, value in asked.items() if value)
            decision = choose_decision(
                manifest.labels, own.probabilities, own.y, groups=own.groups, **asked
            )
            measured = measure_decision(decision, *test[:3])
            if measured.cost is not None and measured.cost.lowered is not None:
                before += measured.cost.largest * measured.cost.photos
                after += measured.cost.cost * measured.cost.photos
                print(f"split {seed}  cost lowered by {measured.cost.lowered:.0%}")
            for point in measured.classes if wanted != "costs" else ():
                recall = wanted == "min_recall"
                share = point.recall if recall else point.precision
                low, high = point.recall_interval if recall else point.precision_interval
                promised = asked[wanted][point.label]
                # A precision is to be kept with 95% confidence, a recall on average.
                within = (low <= promised or not recall) and promised <= high
                good &= within
                print(
                    f"split {seed}  {wanted} {promised:g} of {point.label}: {share:.3f}, 95%"
                    f" {low:.3f} to {high:.3f} {'' if within else '!'}"
                )
    if before:
        lowered = 1 - after / before
        good &= lowered >= LEAST_LOWERED
        print(f"all splits: cost lowered by {lowered:.0%} (at least {LEAST_LOWERED:.0%})")
    return good


def main(argv: list[str]) -> bool:
    """Runs the benchmark; returns whether the promises are kept."""
    del argv
    asked = {
        name: flag.value
        for name, flag in (
            ("min_recall", _MIN_RECALL), ("min_precision", _MIN_PRECISION), ("cost", _COST)
        )
        if flag.value is not None
    }  # fmt: skip
    config = TrainConfig(
        image_dir=_IMAGE_DIR.value,
        dataset=_DATASET.value,
        backbone=_BACKBONE.value,
        weights=_WEIGHTS.value,
        bottleneck_dir=_BOTTLENECK_DIR.value,
        model_dir="not written",
        testing_percentage=None if asked else 0.0,
        summaries="none",
    )
    wishes = [dataclasses.replace(config, **{name: value}) for name, value in asked.items()]
    source = open_source(config)
    start_tensorflow()
    prepared = prepare(config, source, load_networks(config))
    if not wishes:
        return halves(config, prepared, prepared.split(config))
    return splits(wishes, prepared)


if __name__ == "__main__":
    benching.run(main)
