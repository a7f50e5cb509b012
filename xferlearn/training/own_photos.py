"""How familiar a model's own photos are to it, and the model that says it of any photo."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.config.presets import REJECT
from xferlearn.decisions import Familiarity, fit_familiarity
from xferlearn.metrics import wilson_interval, worth_of
from xferlearn.model_folder import FAMILIARITY, PREDICTIONS
from xferlearn.photos.photo import TEST, VALIDATION
from xferlearn.system.runtime import float32_layers
from xferlearn.training.familiar import familiarity_of
from xferlearn.training.fit import Prepared
from xferlearn.training.fitting import Fitted

if TYPE_CHECKING:
    import keras

# Of the weights of a classifier, which no file grows by more than about.
_MOST_SHARE = 0.08


@dataclasses.dataclass(frozen=True)
class OwnFamiliarity:
    """What photos are compared with, and how familiar the photos of a manifest are.

    Attributes:
        familiarity: what the model computes; it knows no photo of the test.
        values: of the manifest's photos, each compared with photos of other folds alone, float32,
            [photos], range [0, 1]; NaN for those that no head has judged.
        tested: how many of the test photos would be unknown, how many there are, and how many that
            stand alone these are worth.
    """

    familiarity: Familiarity
    values: np.ndarray
    tested: tuple[int, int, float]

    def unknown(self, rows: Sequence[int]) -> np.ndarray:
        """Returns which photos at these positions would be unknown, bool, [rows]."""
        return self.values[rows] < REJECT

    def text(self) -> str:
        """Returns how many of one's own photos would be unknown."""
        if not self.familiarity.can_reject(REJECT):
            return f"nothing ever: that takes {round(1 / REJECT)} photos or more"
        unknown, number, worth = self.tested
        if not number:
            return f"about {REJECT:.0%} of your own photos (no test)"
        low, high = wilson_interval(unknown / number * worth, worth)
        return f"{unknown} of {number} test photos (95%: {low:.1%} to {high:.1%})"

    def as_dict(self) -> dict[str, Any]:
        """Returns what metadata.json says of it."""
        unknown, number, _ = self.tested
        return {
            "output": FAMILIARITY,
            "reject": REJECT,
            "photos": self.familiarity.photos,
            "compared_with": len(self.familiarity.core),
            "test": {"n": number, "unknown": unknown},
        }


def measure_familiarity(prepared: Prepared, fitted: Fitted, seed: int) -> OwnFamiliarity | None:
    """Measures how familiar photos are; None where no photo was judged by a head that is new to it.

    Args:
        prepared: the photos.
        fitted: their heads.
        seed: of what is drawn.
    """
    manifest = fitted.manifest
    judged = manifest.judged(VALIDATION)
    if not judged:
        return None
    weights = prepared.parameters + fitted.head.count_params()
    tested = set(manifest.indices(TEST))
    rows = [row for row in range(len(manifest.photos)) if row not in tested]
    place = {row: position for position, row in enumerate(rows)}
    truth = manifest.truth(rows)
    familiarity = fit_familiarity(
        fitted.bottlenecks,
        # Photos of several classes are compared with those of all: divided by their rarest class,
        # pairs of flowers with one of a class left out are known as rarely (AUROC 0.66), and solar
        # cells as surely (1.00).
        truth if truth.ndim == 1 else np.zeros(len(rows), np.int64),
        np.array([place[row] for row in judged], np.int64),
        fitted.probabilities(VALIDATION),
        rows=rows,
        folds=[manifest.folds[row] for row in rows] if manifest.folds else (),
        groups=[manifest.groups[row] for row in rows] if manifest.groups else (),
        widths=prepared.widths,
        most_weights=int(_MOST_SHARE * weights),
        seed=seed,
    )
    values = np.full(len(manifest.photos), np.nan, np.float32)
    values[judged] = familiarity.own
    test = manifest.judged(TEST)
    of_test = familiarity.apply(fitted.bottlenecks, fitted.probabilities(TEST), test)
    values[test] = of_test
    groups = [manifest.groups[row] for row in test] if manifest.groups else range(len(test))
    worth = worth_of(groups) if test else 0.0
    return OwnFamiliarity(familiarity, values, (int((of_test < REJECT).sum()), len(test), worth))


def class_of_each(y: np.ndarray) -> np.ndarray:
    """Returns one class of each photo, int64, [photos]: of several the rarest, of none any.

    Args:
        y: class indices, int, [photos]; or whether each photo has each class, bool, [photos,
            classes].
    """
    if y.ndim == 1:
        return y.astype(np.int64)
    rarity = np.where(y, y.sum(axis=0), len(y) + 1)
    any_class = np.arange(len(y)) % y.shape[1]
    return np.where(y.any(axis=1), rarity.argmin(axis=1), any_class)


def with_familiarity(
    classifier: "keras.Model", bottleneck: str, familiarity: Familiarity
) -> "keras.Model":
    """Returns a classifier that also says how familiar photos are.

    Args:
        classifier: as `build_classifier` returns it.
        bottleneck: name of its layer that gives the bottlenecks.
        familiarity: what photos are compared with.

    Returns:
        The same layers and more, from pixels to a dict of `predictions`, the output of the
        classifier, and `familiarity`, float32, [batch, 1], range [0, 1].
    """
    import keras

    predictions = classifier.output
    with float32_layers():
        output = familiarity_of(classifier.get_layer(bottleneck).output, predictions, familiarity)
        outputs = {PREDICTIONS: predictions, FAMILIARITY: output}
        return keras.Model(classifier.input, outputs, name=classifier.name)
