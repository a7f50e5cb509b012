"""All photos with their bottlenecks, and linear heads that predict each without having seen it.

It is what audit and review work on: nothing is kept for a test, labels may change, and photos need
not have one. A refit takes half a second for a thousand photos.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from xferlearn.config import TrainConfig
from xferlearn.config.presets import LINEAR_WEIGHT_DECAY
from xferlearn.decisions import fit_temperature, with_temperature
from xferlearn.errors import UserError
from xferlearn.photos.corrected import CorrectedSource
from xferlearn.photos.folding import FOLDS
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.photo import Photo
from xferlearn.photos.several import labelled_rows
from xferlearn.training import head as heads
from xferlearn.training.cross_fitting import HeadStack, fit_heads
from xferlearn.training.fit import Prepared
from xferlearn.training.plan import PASSES, HeadPlan
from xferlearn.training.stored_rows import StoredRows

# Fewer passes and larger batches than a delivered head has: what it is asked is which label fits.
_MOST_STEPS, _FEWEST_STEPS = 1000, 400
_BATCH, _MOST_BATCH = 100, 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """Photos, with and without a class, and their bottlenecks.

    Attributes:
        prepared: where they come from.
        manifest: those with a class, in folds; none is kept for a test.
        photos: those of the manifest, and behind them the ones that have not been labelled, whose
            label is -1.
        bottlenecks: float32, [photos, width], in memory or in their stores.
        folds: the head that does not learn from a photo, int, [photos]; -1 for photos that every
            head learns from, because their class is one unit.
        groups: the number of what each photo belongs to, int, [photos].
        fixed: the split that the data's authors gave each photo; None for none.
    """

    prepared: Prepared
    manifest: Manifest
    photos: tuple[Photo, ...]
    bottlenecks: np.ndarray | StoredRows
    folds: np.ndarray
    groups: np.ndarray
    fixed: tuple[str | None, ...]

    def __repr__(self) -> str:
        return f"Material({len(self.photos)} photos, {len(self.labels)} classes)"

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, sorted."""
        return self.manifest.labels

    @property
    def texts(self) -> tuple[str, ...]:
        """What a photo's label is called: its class, or where it may have several all of them."""
        return self.prepared.source.labels if self.manifest.is_multi_label else self.labels

    @property
    def y(self) -> np.ndarray:
        """Class index of each photo, int32, [photos]; -1 for those that have not been labelled.

        Where photos may have several labels, whether each has each class, int8, [photos, classes]:
        1, 0, or -1 in all of a row.
        """
        label = np.array([photo.label for photo in self.photos], np.int32)
        if not self.manifest.is_multi_label:
            return label
        found = np.full((len(label), len(self.labels)), -1, np.int8)
        found[label >= 0] = self.manifest.targets[label[label >= 0]]
        return found


def material_of(prepared: Prepared, config: TrainConfig) -> Material:
    """Returns the photos of an audit or a review, all of them in folds.

    Args:
        prepared: the photos.
        config: seed of the folds.

    Raises:
        UserError: when the photos can't be split, or all are one group.
    """
    free = prepared.extraction.photos.without_splits()
    undivided = dataclasses.replace(
        prepared, extraction=dataclasses.replace(prepared.extraction, photos=free)
    )
    settings = dataclasses.replace(config, testing_percentage=0.0, validation_percentage=0.0)
    manifest = undivided.split(settings)
    if not manifest.folds:
        raise UserError(
            "An audit predicts photos by heads that have not learned from them. Expected at least"
            " two photos per class that may be separated. Found: all in one group. Add photos."
        )
    source = prepared.source
    others = source.unlabelled if isinstance(source, CorrectedSource) else ()
    # One of each, whatever its name.
    others = tuple({photo.digest: photo for photo in others}.values())
    photos = (*manifest.photos, *others)
    twins = prepared.looks.alike.twins
    places: dict[object, tuple[int, int]] = {}
    for row, photo in enumerate(manifest.photos):
        place = manifest.folds[row], manifest.groups[row]
        places |= dict.fromkeys(_company(photo, twins), place)
    last = max(manifest.groups, default=-1) + 1
    folds, groups = [*manifest.folds], [*manifest.groups]
    for number, photo in enumerate(others):
        drawn = int.from_bytes(hashlib.sha256(photo.digest).digest()[:8], "big")
        place = drawn % min(manifest.fold_count, FOLDS), last + number
        company = _company(photo, twins)
        place = next((places[key] for key in company if key in places), place)
        places |= dict.fromkeys((key for key in company if key not in places), place)
        folds.append(place[0])
        groups.append(place[1])
    given = {(one.name, one.digest): one.fixed_split for one in prepared.extraction.photos}
    return Material(
        prepared,
        manifest,
        photos,
        prepared.read(photos),
        np.array(folds),
        np.array(groups),
        tuple(given.get((photo.name, photo.digest)) for photo in photos),
    )


def _company(photo: Photo, twins: Mapping[bytes, bytes]) -> list[object]:
    """Returns what a photo has in common with those that it must stay together with."""
    group = [] if photo.group is None else [("group", photo.group)]
    return [twins.get(photo.digest, photo.digest), *group]


class LinearHeads:
    """Linear heads, one per fold, that are fitted again whenever labels change.

    Attributes:
        stack: the heads as they were fitted last; the last of them has learned from all photos.

    Example:
        >>> heads = LinearHeads(material.bottlenecks, material.folds, prepared.widths)
        >>> heads.fit(material.y, len(material.labels)).shape
        (1000, 5)
    """

    stack: HeadStack

    def __init__(
        self,
        bottlenecks: np.ndarray | StoredRows,
        folds: np.ndarray,
        widths: Sequence[int],
        seed: int = 0,
    ) -> None:
        """Prepares fits.

        Args:
            bottlenecks: float32, [photos, width].
            folds: the head that does not learn from each photo, int, [photos]; -1 for none.
            widths: values per bottleneck of each backbone.
            seed: of weights and shuffling.
        """
        self._x = bottlenecks
        self._folds = folds
        self._scale = heads.measure_scale(bottlenecks, widths)
        self._seed = seed

    def fit(
        self,
        y: np.ndarray,
        classes: int,
        learned: np.ndarray | None = None,
        check: Callable[[], None] | None = None,
    ) -> np.ndarray:
        """Fits the heads to labels, and returns what those say that have not learned from a photo.

        Args:
            y: class index of each photo, int, [photos]; -1 for none, which no head learns from.
                Where photos may have several labels, whether each has each class, [photos,
                classes]: 1, 0, -1 in all of a row, and between 0 and 1 where that is not known.
            classes: number of classes.
            learned: which photos heads may learn from, bool, [photos]; None for all.
            check: called some ten times; what it raises ends the fit. None for nothing.

        Returns:
            Probabilities, float32, [photos, classes], range [0, 1], calibrated on the photos with
            a class. A photo that no head learns from is predicted by all of them, on average; NaN
            for those that all learn from.
        """
        used = labelled_rows(y) if learned is None else labelled_rows(y) & learned
        multi_label = y.ndim == 2
        rows = np.flatnonzero(used)
        number = int(self._folds.max(initial=-1)) + 1
        of_heads = self._folds[rows, None] != np.arange(number)
        of_heads = np.concatenate([of_heads, np.ones((len(rows), 1), bool)], axis=1)
        batch = int(np.clip(len(rows) // 100, _BATCH, _MOST_BATCH))
        steps = int(np.clip(PASSES * len(rows) // batch, _FEWEST_STEPS, _MOST_STEPS))
        plan = HeadPlan(
            0,
            0.0,
            LINEAR_WEIGHT_DECAY,
            steps,
            batch_size=batch,
            seed=self._seed,
            multi_label=multi_label,
        )
        stack, _ = fit_heads(
            self._x.take(rows, axis=0),
            y[rows].astype(np.float32 if multi_label else np.int32),
            of_heads,
            classes,
            plan,
            self._scale,
            check=check,
        )
        self.stack = stack
        found = np.full((len(y), classes), np.nan, np.float32)
        judged = self._folds >= 0
        for fold in range(number):
            held = np.flatnonzero(used & (self._folds == fold))
            found[held] = stack.predict(fold, self._x, held)
        rest = np.flatnonzero(~used & judged)
        if len(rest):
            found[rest] = np.mean([stack.predict(n, self._x, rest) for n in range(number)], axis=0)
        known = np.flatnonzero(used & judged)
        if len(known):
            told, truth = found[known], y[known]
            if multi_label:
                certain = (truth == 0) | (truth == 1)
                told, truth = told[certain][:, None], truth[certain][:, None] == 1
            temperature = fit_temperature(told, truth)
            found[judged] = with_temperature(found[judged], temperature, multi_label=multi_label)
            self.stack = stack.with_temperature(temperature)
        return found
