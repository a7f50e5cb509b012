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
    """

    settings: Mapping[str, Any]
    right: tuple[bool, ...] = ()
    loss: float | None = None
    steps: int = 0
    seconds: float = 0.0
    diverged: bool = False
    run_dir: str = ""
    problem: str | None = None


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
        del told["settings"], told["problem"]
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
        splits.setdefault(outcome.settings.get("split_seed", 0), []).append(outcome.right)
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


def difference(better: Sequence[Outcome], worse: Sequence[Outcome]) -> tuple[float, float, float]:
    """Returns by how much accuracies differ, with a 95% interval, paired by photo and split.

    The interval is that of a mean of paired differences; where no photo was judged differently it
    is taken as if one more photo had been.

    Returns:
        Mean, lower and upper end, -1 to 1; NaN, -1 and 1 where the photos are not the same.
    """
    first, second = by_photo(better), by_photo(worse)
    if len(first) != len(second) or not len(first):
        return math.nan, -1.0, 1.0
    change = first - second
    count = len(change)
    spread = float(np.std(change, ddof=1)) if count > 1 else 1.0
    margin = 1.96 * max(spread / math.sqrt(count), 1 / (count * math.sqrt(2)))
    mean = float(change.mean())
    return mean, mean - margin, mean + margin
