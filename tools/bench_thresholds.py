"""Which threshold gives a class of few photos the larger F1 on photos that did not choose it.

    python tools/paste_pairs.py --image_dir=flower_photos --output=pairs
    python tools/bench_thresholds.py --image_dir=pairs --labels=pairs/multi.csv

Of random 60% of the photos only a few keep one of the classes: those with more of it are left out.
A head is trained on them as `train` does, and the threshold of that class is chosen on its
cross-validated predictions in two ways: where the F1 of these photos is largest, and where the F1
is largest that the probabilities expect, which is what `train` does. Each is measured on the other
photos, weighted so that the class is as rare among them. The network runs for photos whose
bottlenecks are not cached, once.
"""

import benching
import numpy as np
from absl import flags

from xferlearn.config import TrainConfig
from xferlearn.decisions import choose_label_thresholds
from xferlearn.photos.manifest import VALIDATION
from xferlearn.photos.opening import open_source
from xferlearn.system.runtime import start_tensorflow
from xferlearn.training.fit import prepare
from xferlearn.training.fitting import fit_head
from xferlearn.training.networks import load_networks

KEPT = (5, 10, 20)
SHARE = 0.6
DRAWS = 4000

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder of the photos.", required=True)
_LABELS = flags.DEFINE_string("labels", None, "Table of their labels.", required=True)
_BACKBONE = flags.DEFINE_string("backbone", "efficientnet_lite0", "The network.")
_WEIGHTS = flags.DEFINE_string("weights", "imagenet", "imagenet, none or a file.")
_BOTTLENECK_DIR = flags.DEFINE_string("bottleneck_dir", None, "Where bottlenecks are cached.")
_ROUNDS = flags.DEFINE_integer("rounds", 25, "Trainings per number of photos.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of what is drawn.")


def largest_f1(scores: np.ndarray, has: np.ndarray) -> float:
    """Returns the threshold at which the F1 of these photos is largest."""
    levels = np.sort(scores)
    return float(max(levels, key=lambda level: f1(scores >= level, has, np.ones(len(has)))))


def f1(labelled: np.ndarray, has: np.ndarray, weights: np.ndarray) -> float:
    """Returns the F1 of photos with weights, 0 to 1."""
    right = (weights * (labelled & has)).sum()
    return float(2 * right / ((weights * labelled).sum() + (weights * has).sum()))


def main(argv: list[str]) -> bool:
    """Prints both, and their difference with its interval; true where `train` does no worse."""
    del argv
    config = TrainConfig(
        image_dir=_IMAGE_DIR.value,
        labels=_LABELS.value,
        model_dir="unused",
        backbone=_BACKBONE.value,
        weights=_WEIGHTS.value,
        bottleneck_dir=_BOTTLENECK_DIR.value,
        summaries="none",
        testing_percentage=0,
    )
    source = open_source(config)
    start_tensorflow()
    prepared = prepare(config, source, load_networks(config))
    manifest = prepared.split(config)
    rows = np.arange(len(manifest.photos))
    y, x = manifest.truth(rows.tolist()), prepared.read(manifest.photos)
    generator = np.random.default_rng(_SEED.value)
    found: dict[int, list[tuple[float, float]]] = {few: [] for few in KEPT}
    for turn in range(_ROUNDS.value):
        number = turn % len(manifest.labels)
        for few, pairs in found.items():
            drawn = generator.permutation(rows)
            learned, others = np.split(drawn, [round(SHARE * len(rows))])
            having = learned[y[learned, number]][:few]
            learned = np.sort(np.concatenate([having, learned[~y[learned, number]]]))
            fitted = fit_head(config, prepared, manifest=manifest.only(learned.tolist()))
            scores, has = fitted.probabilities(VALIDATION)[:, number], fitted.truth(VALIDATION)
            chosen = choose_label_thresholds(("",), scores[:, None], has[:, [number]])
            of_others, truth = fitted.predict(x[others])[:, number], y[others, number]
            rare = len(having) / len(learned)
            weights = np.where(truth, rare / truth.mean(), (1 - rare) / (1 - truth.mean()))
            limits = (largest_f1(scores, has[:, number]), chosen.thresholds[""])
            pairs.append(tuple(f1(of_others >= np.float32(one), truth, weights) for one in limits))
    print("photos of the class  trainings  F1 of photos  F1 expected  difference")
    low = 0.0
    for few, pairs in [*found.items(), (0, [one for some in found.values() for one in some])]:
        values = np.array(pairs)
        change = values[:, 1] - values[:, 0]
        draws = generator.choice(change, (DRAWS, len(change))).mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        print(
            f"{few or 'all':>19}  {len(values):>9}  {values[:, 0].mean():>12.3f}"
            f"  {values[:, 1].mean():>11.3f}  {change.mean():+.3f} (95%: {low:+.3f} to {high:+.3f})"
        )
    return bool(high >= 0)


if __name__ == "__main__":
    benching.run(main)
