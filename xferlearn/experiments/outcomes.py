"""Results of single runs and their statistics, on disk so that a killed experiment continues."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from xferlearn.errors import XferlearnError
from xferlearn.metrics import wilson_interval, worth_of
from xferlearn.photos.manifest import Manifest
from xferlearn.system.files import read_record, remove_stale, write_record
from xferlearn.system.text import one_line


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of one run.

    Attributes:
        settings: the settings that an experiment varies, by name.
        right: for each validation photo, whether it was labelled correctly.
        photos: names of these photos, which are the same in every run.
        groups: what each of them belongs to, such as near twins; empty where each stands alone.
        loss: cross-entropy on the validation photos; None without any.
        steps: steps run.
        seconds: wall time of the training, s.
        diverged: whether the loss became NaN or infinite; `right` is empty then.
        run_dir: the run's folder in the logs.
        problem: why there was no run; None where there was one.
        warnings: what could not be written to the run's folder, one line each; not kept on disk.
    """

    settings: Mapping[str, Any]
    right: tuple[bool, ...] = dataclasses.field(default=(), repr=False)
    photos: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    groups: tuple[int, ...] = dataclasses.field(default=(), repr=False)
    loss: float | None = None
    steps: int = 0
    seconds: float = 0.0
    diverged: bool = False
    run_dir: str = ""
    problem: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def seeds(self) -> tuple[int, int]:
        """Seed of the split and seed of the training."""
        return self.settings.get("split_seed", 0), self.settings.get("seed", 0)

    @property
    def accuracy(self) -> float:
        """Share of the photos that were labelled correctly, 0 to 1; NaN without photos."""
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
            fields["right"] = tuple(digit == "1" for digit in fields["right"])
            fields["photos"] = tuple(fields["photos"])
            fields["groups"] = tuple(fields.get("groups", ()))
            outcome = Outcome(settings, **fields)
            if len(outcome.right) != len(outcome.photos):
                raise ValueError("it has not as many answers as photos")
            return outcome
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.warnings.append(f"{path} is damaged ({one_line(error)}); its run is made again.")
            return None

    def put(self, key: str, outcome: Outcome) -> None:
        """Stores an outcome.

        Raises:
            XferlearnError: when the file can't be written.
        """
        fields = dataclasses.asdict(outcome)
        del fields["settings"], fields["problem"], fields["warnings"]
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
    """An accuracy over runs that differ in their seeds.

    Attributes:
        mean: 0 to 1; NaN without photos.
        low: lower end of its 95% interval.
        high: upper end.
        photos: number of different photos. One that several runs judged counts once, because
            further runs add little evidence.
    """

    mean: float
    low: float
    high: float
    photos: int

    def __str__(self) -> str:
        if not self.photos:
            return "not measured"
        return f"{self.mean:.1%} ({self.low:.1%} to {self.high:.1%})"


def judged_photos(manifest: Manifest, split: str) -> dict[str, Any]:
    """Returns `photos` and `groups` of an outcome on a split's photos.

    A photo's name is the first half of its digest's digits.
    """
    rows = manifest.judged(split)
    return {
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
    """Returns the mean accuracy of runs, with Wilson's interval over the photos and their groups.

    It is not measured without photos, or where some run diverged: the mean of the others would
    be that of the luckier seeds.
    """
    judged: dict[str, list[bool]] = {}
    for outcome in outcomes:
        for name, right in zip(outcome.photos, outcome.right, strict=True):
            judged.setdefault(name, []).append(right)
    if not judged or not all(outcome.right for outcome in outcomes):
        return Share(math.nan, 0.0, 1.0, 0)
    correct = sum(sum(rights) / len(rights) for rights in judged.values())
    alone = _alone(outcomes)
    low, high = wilson_interval(round(correct) * alone, len(judged) * alone)
    mean = correct / len(judged)
    return Share(mean, min(low, mean), max(high, mean), len(judged))


def difference(
    better: Sequence[Outcome], worse: Sequence[Outcome], comparisons: int = 1
) -> tuple[float, float, float] | None:
    """Returns the difference of two accuracies with its 95% interval, paired by seeds and photos.

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
    mean, centre, variance = _moments(changes)
    margin = z * math.sqrt(variance / _alone(better))
    return mean, max(centre - margin, -1.0), min(centre + margin, 1.0)


def _moments(changes: Sequence[tuple[tuple[int, int], str, float]]) -> tuple[float, float, float]:
    """Returns mean, centre of the interval and variance of changes by seeds and photo.

    The variance is clustered by photo and by seed. The variance of the photos' means and that of
    the runs' means both contain that of single judgements, so it is subtracted once (Cameron,
    Gelbach and Miller 2011). Runs of one split are one cluster where there are several splits.
    Two photos are added, one for each side; without them a few differing photos would prove too
    much (Agresti and Min 2005).
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
        return mean, centre, of_photos
    weight = 1 / (judged[of_photo] * photos)
    by_run = np.bincount(of_cluster, weight * (change - mean))
    of_runs = float(np.square(by_run).sum()) * runs / (runs - 1)
    # About the photo's own mean where it was judged more than once, else about the overall mean.
    once = judged[of_photo] == 1
    alone = np.where(once, change - mean, change - by_photo[of_photo])
    unbiased = judged[of_photo] / np.maximum(judged[of_photo] - 1, 1)
    of_both = float((np.square(weight * alone) * unbiased).sum())
    return mean, centre, max(of_photos + of_runs - of_both, of_photos, of_runs)
