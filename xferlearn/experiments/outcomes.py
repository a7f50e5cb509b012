"""Results of single runs and their statistics, on disk so that a killed experiment continues."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from xferlearn.errors import XferlearnError
from xferlearn.metrics import (
    Evaluation,
    MultiLabelEvaluation,
    accuracy_text,
    mean_average_precision,
    wilson_interval,
    worth_of,
)
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.photo import VALIDATION
from xferlearn.system.files import read_record, remove_stale, unusable, write_record
from xferlearn.system.text import count, one_line


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of one run.

    Attributes:
        settings: the settings that an experiment varies, by name.
        right: for each photo that was judged, whether it was labelled correctly; where photos may
            have several labels, what it tells of the mean average precision, which is their mean.
        photos: names of these photos.
        groups: what each of them belongs to, such as near twins; empty where each stands alone.
        folding: how they were left out before they were judged, e.g. "5 folds" or "leave-one-out";
            "" where they were set apart and one head judged all.
        loss: cross-entropy on these photos; None without any.
        steps: steps run.
        seconds: wall time of the training, s.
        diverged: whether the loss became NaN or infinite; `right` is empty then.
        run_dir: the run's folder in the logs.
        problem: why there was no run; None where there was one.
        measure: what it is measured by, "accuracy" or "mean average precision".
        warnings: what could not be written to the run's folder, one line each; not kept on disk.
    """

    settings: Mapping[str, Any]
    right: tuple[float, ...] = dataclasses.field(default=(), repr=False)
    photos: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    groups: tuple[int, ...] = dataclasses.field(default=(), repr=False)
    folding: str = ""
    loss: float | None = None
    steps: int = 0
    seconds: float = 0.0
    diverged: bool = False
    run_dir: str = ""
    problem: str | None = None
    measure: str = Evaluation.measure
    warnings: tuple[str, ...] = ()

    @property
    def seeds(self) -> tuple[int, int]:
        """Seed of the split, and seed of the training or number of the draw."""
        settings = self.settings
        return settings.get("split_seed", 0), settings.get("seed", settings.get("draw", 0))

    @property
    def value(self) -> float:
        """Accuracy, or mean average precision, 0 to 1; NaN without photos."""
        return sum(self.right) / len(self.right) if self.right else math.nan


class OutcomeStore:
    """Outcomes in a folder, one JSON file each, which is whole or not there.

    Attributes:
        warnings: which files were damaged, one line each.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the store; its folder is made with the first outcome."""
        self._folder = folder
        self.warnings: list[str] = []
        remove_stale(folder)

    def key(self, *parts: Any) -> str:
        """Returns a name for a run, made from nothing but what the run depends on."""
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def get(self, key: str, settings: Mapping[str, Any]) -> Outcome | None:
        """Returns an outcome; None where it is not stored or is damaged, which `warnings` says."""
        path = self._folder / f"{key}.json"
        try:
            fields = read_record(path)
            right = fields["right"]
            fields["right"] = (
                tuple(digit == "1" for digit in right)
                if isinstance(right, str)
                else tuple(map(float, right))
            )
            fields["photos"] = tuple(fields["photos"])
            fields["groups"] = tuple(fields.get("groups", ()))
            outcome = Outcome(settings, **fields)
            if len(outcome.right) != len(outcome.photos):
                raise ValueError("it has not as many answers as photos")
            return outcome
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.warnings.append(f"{unusable(path, error)}; its run is made again.")
            return None

    def put(self, key: str, outcome: Outcome) -> None:
        """Stores an outcome.

        Raises:
            XferlearnError: when the file can't be written.
        """
        fields = dataclasses.asdict(outcome)
        del fields["settings"], fields["problem"], fields["warnings"]
        if outcome.measure == Evaluation.measure:
            fields["right"] = "".join("1" if right else "0" for right in outcome.right)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_record(self._folder / f"{key}.json", fields)
        except OSError as error:
            raise XferlearnError(
                f"Can't write to {self._folder}: {one_line(error)}. Choose another `output_dir`."
            ) from None


@dataclasses.dataclass(frozen=True)
class Share:
    """An accuracy, or mean average precision, over runs that differ in their seeds or draws.

    Attributes:
        mean: 0 to 1; NaN without photos.
        low: lower end of its 95% interval.
        high: upper end.
        photos: number of different photos. One that several runs judged counts once, because
            further runs add little evidence.
        folding: as in `Outcome`.
        measure: as in `Outcome`.
    """

    mean: float
    low: float
    high: float
    photos: int
    folding: str = ""
    measure: str = Evaluation.measure

    def __str__(self) -> str:
        if not self.photos:
            return "not measured"
        if self.measure != Evaluation.measure:
            return f"{self.mean:.3f} ({self.low:.2f} to {self.high:.2f})"
        return f"{self.mean:.1%} ({100 * self.low:.1f} to {100 * self.high:.1f})"

    def text(self, value: float) -> str:
        """Returns a value as it is written of this measure, e.g. "92.6%" or "0.896"."""
        return f"{value:.1%}" if self.measure == Evaluation.measure else f"{value:.3f}"

    def summary(self) -> str:
        """Returns the value, photos and interval, in the words of `train`."""
        if not self.photos:
            return "not measured"
        if self.measure != Evaluation.measure:
            low, high = self.text(self.low), self.text(self.high)
            return f"{self.text(self.mean)} (N={self.photos}, 95% interval {low} to {high})"
        return accuracy_text(self.mean * self.photos, self.photos, (self.low, self.high))

    @property
    def name(self) -> str:
        """What it is, for headings."""
        if not self.photos:
            return self.measure
        return f"{'cross-validated' if self.folding else 'validation'} {self.measure}"

    @property
    def explanation(self) -> str:
        """How it was measured, a sentence without its end."""
        photos, measure = count(self.photos, "photo"), self.measure.capitalize()
        if not self.folding:
            return f"{measure} is that on {photos} held out for validation"
        return (
            f"{measure} is cross-validated ({self.folding}): each of {photos} is predicted"
            " by a head that has not learned from it"
        )


def measure_of(shares: Iterable[Share]) -> str:
    """Returns what shares of the same photos are measured by, of which some were not measured."""
    return next((one.measure for one in shares if one.photos), Evaluation.measure)


def heading_of(measure: str) -> str:
    """Returns what a column of a table, or a chart, is called that holds a measure."""
    return measure.removeprefix("mean ")


def column_of(measure: str) -> str:
    """Returns what a column of a file is called that holds a measure."""
    return measure.replace(" ", "_")


def judged_photos(manifest: Manifest, split: str, probabilities: np.ndarray) -> dict[str, Any]:
    """Returns `right`, `photos`, `groups`, `folding` and `measure` of an outcome on a split.

    A photo's name is the first half of its digest's digits.

    Args:
        manifest: the photos.
        split: "validation" or "test".
        probabilities: of the split's photos, by heads that have not seen them, float32, [photos,
            classes], range [0, 1].
    """
    rows: Sequence[int] = manifest.judged(split)
    truth = manifest.truth(rows)
    if manifest.is_multi_label:
        told = mean_average_precision(truth, probabilities).of_photos
        right: list[Any] = [round(one, 6) for one in told.tolist()]
        rows = rows if right else []  # none of them has a label
    else:
        right = (probabilities.argmax(axis=1) == truth).tolist()
    folding = "leave-one-out" if manifest.few else f"{manifest.fold_count} folds"
    return {
        "right": tuple(right),
        "measure": (MultiLabelEvaluation if manifest.is_multi_label else Evaluation).measure,
        "folding": folding if split == VALIDATION and manifest.folds else "",
        "photos": tuple(manifest.photos[row].digest.hex()[:16] for row in rows),
        "groups": tuple(manifest.groups[row] for row in rows) if manifest.groups else (),
    }


def _alone(outcomes: Sequence[Outcome]) -> float:
    """Returns the share of the photos that would tell as much if each stood alone, 0 to 1."""
    groups = {
        name: group
        for outcome in outcomes
        if outcome.groups
        for name, group in zip(outcome.photos, outcome.groups, strict=True)
    }
    return worth_of(list(groups.values())) / len(groups) if groups else 1.0


def share(outcomes: Sequence[Outcome]) -> Share:
    """Returns the mean of runs, with Wilson's interval over the photos and their groups.

    Runs that differ by more than single judgements do, because their draws or seeds matter, make
    the interval wider. It is not measured without photos, or where some run diverged: the mean of
    the others would be that of the luckier seeds.
    """
    judged = {name for outcome in outcomes for name in outcome.photos}
    measure = outcomes[0].measure if outcomes else Evaluation.measure
    if not judged or not all(outcome.right for outcome in outcomes):
        return Share(math.nan, 0.0, 1.0, 0, measure=measure)
    rights = [
        (one.seeds, name, float(right))
        for one in outcomes
        for name, right in zip(one.photos, one.right, strict=True)
    ]
    mean, _, of_photos, of_runs = _moments(rights)
    mean = min(max(mean, 0.0), 1.0)
    worth, spread = len(judged) * _alone(outcomes), mean * (1 - mean)
    if spread > 0 and measure != Evaluation.measure:
        # What photos tell of an average precision varies more than being right does.
        worth = min(worth, spread * _alone(outcomes) / of_photos)
    if spread > 0:
        worth = spread / (spread / worth + of_runs)
    low, high = wilson_interval(mean * worth, worth)
    low, high = min(low, mean), max(high, mean)
    return Share(mean, low, high, len(judged), outcomes[0].folding, measure)


def difference(
    better: Sequence[Outcome], worse: Sequence[Outcome], comparisons: int = 1
) -> tuple[float, float, float] | None:
    """Returns the difference of two shares with its 95% interval, paired by seeds and photos.

    Runs with the same seeds are compared photo by photo. Photos and seeds both count as drawn at
    random, so the interval allows for other photos and for other seeds.

    Args:
        better: runs of one candidate.
        worse: runs of another.
        comparisons: how many are made. Of many, some differ by luck, so the interval holds for
            all of them together (Bonferroni).

    Returns:
        Mean, lower and upper end, -1 to 1; None where no two runs have the same seeds.
    """
    others = {outcome.seeds: outcome for outcome in worse}
    changes = [
        (one.seeds, name, float(right) - float(other))
        for one in better
        if one.seeds in others
        for name, right, other in zip(one.photos, one.right, others[one.seeds].right, strict=True)
    ]
    if not changes:
        return None
    z = NormalDist().inv_cdf(1 - 0.025 / max(comparisons, 1))
    mean, centre, of_photos, of_runs = _moments(changes)
    margin = z * math.sqrt(of_photos / _alone(better) + of_runs)
    return mean, max(centre - margin, -1.0), min(centre + margin, 1.0)


def _moments(
    changes: Sequence[tuple[tuple[int, int], str, float]],
) -> tuple[float, float, float, float]:
    """Returns mean and centre of the interval of changes by seeds and photo, and two variances.

    The first is that over photos, the second what runs add to it. Their sum is clustered by photo
    and by seed. The variance of the photos' means and that of the runs' means both contain that of
    single judgements, so it is subtracted once (Cameron, Gelbach and Miller 2011). Runs of one
    split are one cluster where there are several splits: they have the same folds. Two photos are
    added, one for each side; without them a few differing photos would prove too much (Agresti
    and Min 2005).
    """
    names = {name: row for row, name in enumerate(dict.fromkeys(name for _, name, _ in changes))}
    of_photo = np.array([names[name] for _, name, _ in changes])
    several = len({seeds[0] for seeds, _, _ in changes}) > 1
    keys = [seeds[0] if several else seeds[1] for seeds, _, _ in changes]
    clusters = {key: row for row, key in enumerate(dict.fromkeys(keys))}
    of_cluster = np.array([clusters[key] for key in keys])
    change = np.array([value for _, _, value in changes])

    photos, runs = len(names), len(clusters)
    judged = np.bincount(of_photo)
    by_photo = np.bincount(of_photo, change) / judged
    mean = float(by_photo.mean())
    centre = mean * photos / (photos + 2)
    squares = float(np.square(by_photo).sum()) + 1
    of_photos = (squares - (mean * photos) ** 2 / (photos + 2)) / (photos + 2) ** 2
    if runs < 2:
        return mean, centre, of_photos, 0.0
    weight = 1 / (judged[of_photo] * photos)
    by_run = np.bincount(of_cluster, weight * (change - mean))
    of_runs = float(np.square(by_run).sum()) * runs / (runs - 1)
    # About the photo's own mean where it was judged more than once, else about the overall mean.
    once = judged[of_photo] == 1
    alone = np.where(once, change - mean, change - by_photo[of_photo])
    unbiased = judged[of_photo] / np.maximum(judged[of_photo] - 1, 1)
    of_both = float((np.square(weight * alone) * unbiased).sum())
    return mean, centre, of_photos, max(of_runs - of_both, of_runs - of_photos, 0.0)
