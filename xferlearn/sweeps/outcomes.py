"""What single runs gave, kept on disk so that a killed experiment goes on, and their statistics."""

import dataclasses
import hashlib
import json
import math
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.errors import XferlearnError
from xferlearn.metrics import wilson_interval


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one run gave.

    Attributes:
        settings: what was varied, by name.
        right: for each validation photo whether it was labelled right.
        loss: cross-entropy on the validation photos.
        steps: steps run.
        seconds: wall time of its training.
        diverged: whether its loss stopped being a number; `right` is empty then.
        run_dir: its folder in the logs.
        problem: why there was no run; None where there was.
        warnings: what could not be written to its folder, a line each; not kept on disk.
    """

    settings: Mapping[str, Any]
    right: tuple[bool, ...] = ()
    loss: float | None = None
    steps: int = 0
    seconds: float = 0.0
    diverged: bool = False
    run_dir: str = ""
    problem: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def seeds(self) -> tuple[int, int]:
        """Seeds of the split and of the training."""
        return self.settings.get("split_seed", 0), self.settings.get("seed", 0)

    @property
    def accuracy(self) -> float:
        """Share of the photos that were labelled right, 0 to 1; NaN without photos."""
        return sum(self.right) / len(self.right) if self.right else math.nan


class OutcomeStore:
    """Outcomes in a folder, one JSON file each, whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def key(self, *parts: Any) -> str:
        """Returns a name for a run: what it is made from decides, nothing else."""
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def get(self, key: str, settings: Mapping[str, Any]) -> Outcome | None:
        """Returns an outcome; None where there is none that can be read."""
        try:
            told = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
            told["right"] = tuple(sign == "1" for sign in told["right"])
            return Outcome(settings, **told)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, outcome: Outcome) -> None:
        """Keeps an outcome.

        Raises:
            XferlearnError: when the file can't be written.
        """
        told = dataclasses.asdict(outcome)
        del told["settings"], told["problem"], told["warnings"]
        told["right"] = "".join("1" if right else "0" for right in outcome.right)
        temporary = self._folder / f".{uuid.uuid4().hex}.tmp"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(told), encoding="utf-8")
            os.replace(temporary, self._folder / f"{key}.json")
        except OSError as error:
            raise XferlearnError(
                f"Can't write to {self._folder}: {error.strerror}. Choose another --output_dir."
            ) from None


@dataclasses.dataclass(frozen=True)
class Share:
    """An accuracy over runs that differ in their seeds.

    Attributes:
        mean: 0 to 1; NaN without photos.
        low: lower end of its 95% interval.
        high: upper end.
        photos: how many photos were judged; a photo that several runs of one split judged
            counts once, because it tells no more than once.
    """

    mean: float
    low: float
    high: float
    photos: int

    def __str__(self) -> str:
        if not self.photos:
            return "not measured"
        return f"{self.mean:.1%} ({self.low:.1%} to {self.high:.1%})"


def by_photo(outcomes: Sequence[Outcome]) -> np.ndarray:
    """Returns for each photo of each split the share of runs that were right, float64, [photos].

    Runs of one split judge the same photos; the splits follow one another in their order.
    """
    splits: dict[Any, list[tuple[bool, ...]]] = {}
    for outcome in outcomes:
        splits.setdefault(outcome.seeds[0], []).append(outcome.right)
    means = [np.mean(np.array(rows, float), axis=0) for _, rows in sorted(splits.items())]
    return np.concatenate(means) if means else np.zeros(0)


def share(outcomes: Sequence[Outcome]) -> Share:
    """Returns the mean accuracy of runs, with Wilson's interval."""
    rights = by_photo(outcomes)
    if not len(rights):
        return Share(math.nan, 0.0, 1.0, 0)
    low, high = wilson_interval(round(float(rights.sum())), len(rights))
    mean = float(rights.mean())
    return Share(mean, min(low, mean), max(high, mean), len(rights))


def difference(
    better: Sequence[Outcome], worse: Sequence[Outcome]
) -> tuple[float, float, float] | None:
    """Returns by how much accuracies differ, with a 95% interval, paired by seeds and photos.

    Only runs whose seeds both sides have are compared, photo by photo. Both photos and seeds count
    as drawn at random, so the interval allows for other photos and for other seeds.

    Returns:
        Mean, lower and upper end, -1 to 1; None where no run has the seeds of another.
    """
    others = {outcome.seeds: outcome for outcome in worse}
    splits: dict[int, list[np.ndarray]] = {}
    for one in better:
        if one.seeds in others:
            change = np.array(one.right, float) - np.array(others[one.seeds].right, float)
            splits.setdefault(one.seeds[0], []).append(change)
    tables = [np.array(rows) for rows in splits.values()]
    photos = sum(table.shape[1] for table in tables)
    if not photos:
        return None
    mean = sum(table.mean(axis=0).sum() for table in tables) / photos
    variance = sum((table.shape[1] / photos) ** 2 * _variance(table) for table in tables)
    margin = 1.96 * math.sqrt(variance)
    return mean, mean - margin, mean + margin


def _variance(change: np.ndarray) -> float:
    """Returns the variance of the mean of [runs, photos], both drawn at random.

    That of the photos' means and that of the runs' means both hold the interaction, so it is
    taken off once. Where no photo was judged differently it is taken as if one had been.
    """
    runs, photos = change.shape
    if photos < 2:
        return 1.0
    by_photo, by_run = change.mean(axis=0), change.mean(axis=1)
    of_photos = max(by_photo.var(ddof=1) / photos, 1 / (2 * photos**2))
    if runs < 2:
        return of_photos
    of_runs = by_run.var(ddof=1) / runs
    rest = change - by_photo - by_run[:, None] + change.mean()
    interaction = np.square(rest).sum() / ((runs - 1) * (photos - 1) * runs * photos)
    return max(of_photos + of_runs - interaction, of_photos, of_runs)
