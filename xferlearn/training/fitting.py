"""Bottlenecks -> heads, and what they are worth: what `train` and every experiment share."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xferlearn import summaries
from xferlearn.config import TrainConfig
from xferlearn.decisions import (
    Judged,
    MultiLabelDecision,
    choose_label_thresholds,
    decide_by_others,
    fit_temperature,
    with_temperature,
)
from xferlearn.errors import UserError
from xferlearn.metrics import AnyEvaluation, evaluate_label_sets, evaluate_predictions
from xferlearn.photos.columns import Numbers
from xferlearn.photos.folding import MOST_LEFT_OUT
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.photo import SPLITS, TEST, TRAIN, VALIDATION
from xferlearn.photos.views import Augmentation
from xferlearn.system.progress import StageClock
from xferlearn.system.vectors import Vectors
from xferlearn.training import head as heads
from xferlearn.training.batches import Rows
from xferlearn.training.callbacks import Training
from xferlearn.training.cross_fitting import HeadStack, fit_heads
from xferlearn.training.fit import Prepared
from xferlearn.training.plan import HeadPlan, plan_head
from xferlearn.training.stored_rows import StoredRows

if TYPE_CHECKING:
    import keras


# Validation photos by which the charts of a training are drawn whose bottlenecks are not in memory:
# an accuracy is then known to about half a point.
_MOST_CHARTED = 16_384


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained head, and the photos that it was trained on and can be measured on.

    Attributes:
        manifest: the photos, their split and their folds.
        bottlenecks: of `manifest.photos`, float32, [photos, width], in memory or in their stores.
        head: from bottlenecks to probabilities: the one that is delivered.
        measured: a head like it that has not seen the test photos; `head` itself where that has
            not seen them either.
        training: how the training went.
        seconds: wall time of the training, without that of the bottlenecks.
        plan: what the head is.
        temperature: what the logits of all these heads were divided by.
        out_of_fold: probabilities of the photos in folds, each by a head that has not seen it,
            float32, [photos, classes], range [0, 1]; None where there are no folds.
        fold_head: returns the head that has not seen a fold.
    """

    manifest: Manifest
    bottlenecks: np.ndarray | StoredRows
    head: "keras.Model"
    measured: "keras.Model"
    training: Training
    seconds: float
    plan: HeadPlan
    temperature: float = 1.0
    out_of_fold: np.ndarray | None = None
    fold_head: Callable[[int], "keras.Model"] | None = None

    @property
    def refitted(self) -> bool:
        """Whether the delivered head has learned from all photos, those of the test too."""
        return self.head is not self.measured

    def only(self, digests: Set[bytes]) -> "Fitted":
        """Returns the same heads with only the photos that have these digests."""
        photos, out_of_fold = self.manifest.photos, self.out_of_fold
        rows = [i for i, photo in enumerate(photos) if photo.digest in digests]
        if out_of_fold is not None:
            judged = self.manifest.judged(VALIDATION)
            out_of_fold = out_of_fold[[photos[i].digest in digests for i in judged]]
        return dataclasses.replace(
            self,
            manifest=self.manifest.only(rows),
            bottlenecks=self.bottlenecks.take(rows, axis=0),
            out_of_fold=out_of_fold,
        )

    def held_out(self) -> "Fitted":
        """Returns the same photos with those of one fold for validation, and the head without it.

        It is for what can't be done for every fold; without folds it is this.
        """
        if self.fold_head is None:
            return dataclasses.replace(self, head=self.measured)
        head = self.fold_head(0)
        return dataclasses.replace(
            self,
            manifest=self.manifest.held_out(0),
            head=head,
            measured=head,
            out_of_fold=None,
            fold_head=None,
        )

    def predict(self, bottlenecks: np.ndarray) -> np.ndarray:
        """Returns the delivered head's probabilities, float32, [photos, classes], range [0, 1]."""
        return heads.predict_head(self.head, bottlenecks)

    def rows(self, split: str) -> Sequence[int]:
        """Returns the positions of photos that a split is measured on: `Manifest.judged`."""
        return self.manifest.judged(split)

    def probabilities(self, split: str) -> np.ndarray:
        """Returns the probabilities of `rows(split)`, each by a head that has not seen the photo.

        Returns:
            Float32, [photos, classes], range [0, 1].
        """
        if split == VALIDATION and self.out_of_fold is not None:
            return self.out_of_fold
        return heads.predict_head(self.measured, self.bottlenecks, np.array(self.rows(split), int))

    def truth(self, split: str) -> np.ndarray:
        """Returns the classes of `rows(split)`, as `Manifest.truth` does."""
        return self.manifest.truth(self.rows(split))

    def judged(self, split: str, probabilities: np.ndarray) -> Judged:
        """Returns probabilities of `rows(split)` with what they are compared with."""
        groups = self.manifest.groups
        of_rows = [groups[i] for i in self.rows(split)] if groups else None
        return Judged(probabilities, self.truth(split), of_rows)

    def evaluate(self, split: str, probabilities: np.ndarray) -> AnyEvaluation:
        """Returns what probabilities of `rows(split)` amount to: accuracy, and per class.

        Where photos may have several labels, those are at the thresholds of the largest F1 of
        photos in other folds, or of the validation.
        """
        labels, judged = self.manifest.labels, self.judged(split, probabilities)
        decided = self.decided(split, probabilities)
        folds = self.manifest.fold_count if self._is_folded(split) else None
        if not self.manifest.is_multi_label:
            return evaluate_predictions(labels, judged.y, decided, judged.groups, folds)
        thresholds = None if folds else self._thresholds.limits
        return evaluate_label_sets(
            labels, judged.y, probabilities, decided, judged.groups, folds, thresholds
        )

    def decided(self, split: str, probabilities: np.ndarray) -> np.ndarray:
        """Returns the labels of `rows(split)`, as `evaluate` counts them.

        Returns:
            Class indices, int, [photos]; where photos may have several labels, whether each gets
            each class, bool, [photos, classes].
        """
        if not self.manifest.is_multi_label:
            return np.asarray(probabilities.argmax(axis=1))
        if not self._is_folded(split):
            return self._thresholds.decide(probabilities)
        folds = np.array([self.manifest.folds[row] for row in self.rows(split)])
        return decide_by_others(self.manifest.labels, probabilities, self.truth(split), folds)

    def _is_folded(self, split: str) -> bool:
        return split == VALIDATION and bool(self.manifest.folds)

    @functools.cached_property
    def _thresholds(self) -> MultiLabelDecision:
        return choose_label_thresholds(
            self.manifest.labels, self.probabilities(VALIDATION), self.truth(VALIDATION)
        )


def fit_head(
    config: TrainConfig,
    prepared: Prepared,
    *,
    run_dir: Path | None = None,
    manifest: Manifest | None = None,
    only: str | None = None,
    drawn: np.ndarray | None = None,
    on_warning: Callable[[str], None] = lambda problem: None,
    clock: StageClock | None = None,
) -> Fitted:
    """Trains heads as `config` says; a training that diverged is returned as such.

    One fit trains a head per fold, which never sees the photos of that fold; one on all photos
    outside the test and the validation; and one on all photos, which is delivered.

    Args:
        config: settings of split, augmentation and head.
        prepared: the photos.
        run_dir: folder for the charts of the training; None for none.
        manifest: the photos and their split; None for all photos, split as `config` says.
        only: the split that heads are to be judged on, where none is delivered: "validation" or
            "test"; no others are trained then than those that this takes. None for all.
        drawn: which photos each head may learn from, bool, [photos, heads]: a head per fold, or one
            where there are no folds; with `only="validation"`. None for all photos.
        on_warning: called with what could not be written there, and which views are missing.
        clock: takes the time of the views apart; None for no such clock.
    """
    manifest = manifest or prepared.split(config)
    few = manifest.few
    if only == TEST:
        manifest = dataclasses.replace(manifest, folds=Numbers())
    y = manifest.truth(range(len(manifest.photos)))
    x, multi_label = prepared.read(manifest.photos), manifest.is_multi_label
    training = manifest.splits.codes == SPLITS.index(TRAIN)
    folds = np.asarray(manifest.folds) if manifest.folds else np.full(len(y), -1)
    refit = only is None and config.refit == "all" and not training.all()
    of_folds = [training & (folds != fold) for fold in range(manifest.fold_count)]
    whole = [] if only == VALIDATION and of_folds else [training]
    everything = [np.ones(len(y), bool)] if refit else []
    learned = np.stack([*of_folds, *whole, *everything], axis=1)
    number = int(training.sum())
    if drawn is not None:
        whole_size = int(learned.sum(axis=0).max())
        learned &= drawn
        number = int(learned.sum(axis=0).max())
        few = few or (number < whole_size and number <= MOST_LEFT_OUT)
    used = np.flatnonzero(learned.any(axis=1))
    seen = used
    train_x = x if len(used) == len(x) else x.take(used, axis=0)
    augmented = Augmentation.of(config).most_views != 1
    if augmented:
        with (clock or StageClock()).stage("views"):
            train_x, of_photo = prepared.views(manifest.photos.take(used), config, on_warning)
        seen = used[of_photo]
    started = time.perf_counter()
    plan = plan_head(config, number, few=few, views=augmented, multi_label=multi_label)
    judged = np.array(manifest.judged(VALIDATION), int)

    def predicted(
        stack: HeadStack, x: Vectors, folds: np.ndarray, rows: np.ndarray | None
    ) -> np.ndarray:
        if manifest.folds:
            return stack.out_of_fold(x, folds)
        return stack.predict(len(of_folds), x, rows)

    # Every point of the charts asks again: of what is not in memory, some photos are kept there.
    charted, charted_x, asked = judged, x, judged
    if run_dir is not None and not isinstance(x, np.ndarray):
        charted = _some(judged, config.seed)
        charted_x, asked = x[charted], np.arange(len(charted))
    folds_of_charted = folds if charted_x is x else folds[charted]

    def validation(stack: HeadStack) -> tuple[np.ndarray, np.ndarray]:
        return predicted(stack, charted_x, folds_of_charted, asked), y[charted]

    def charts(rows: Rows, stack: Callable[[], HeadStack]) -> list["keras.callbacks.Callback"]:
        first = np.arange(min(config.train_batch_size, len(rows.y)))
        return [
            summaries.scalars_callback(
                run_dir or "",
                batch=rows.batch(first),
                weights=lambda: stack().weights(learned.shape[1] - 1),
                histograms=config.summaries == "full",
                on_warning=on_warning,
            )
        ]

    stack, course = fit_heads(
        train_x,
        y[seen].astype(np.float32) if multi_label else y[seen],
        learned[seen],
        len(manifest.labels),
        plan,
        # Labels play no part in it, nor do test photos.
        heads.measure_scale(train_x, prepared.widths, np.flatnonzero(training[seen])),
        known=training[seen],
        validation=validation,
        callbacks=charts if run_dir is not None else None,
    )
    temperature, out_of_fold = 1.0, None
    if not course.diverged:
        probabilities, truth = predicted(stack, x, folds, judged), y[judged]
        groups = [manifest.groups[i] for i in judged] if manifest.groups else None
        temperature = fit_temperature(probabilities, truth, groups)
        stack = stack.with_temperature(temperature)
        if manifest.folds:
            out_of_fold = with_temperature(probabilities, temperature, multi_label=multi_label)
    # Where folds alone are judged it is a head that has seen neither the test nor one fold.
    measured = stack.head(len(of_folds) + len(whole) - 1)
    return Fitted(
        manifest,
        x,
        stack.head(len(of_folds) + 1) if refit else measured,
        measured,
        course,
        time.perf_counter() - started,
        plan,
        temperature,
        out_of_fold,
        stack.head if manifest.folds else None,
    )


def _some(rows: np.ndarray, seed: int) -> np.ndarray:
    """Returns rows, or as many of them as a chart needs, drawn at random, rising."""
    drawn = np.random.default_rng(seed % 2**64).permutation(rows)[:_MOST_CHARTED]
    return np.sort(drawn)


def diverged_error(config: TrainConfig, name: str = "learning_rate") -> UserError:
    """Returns the error of a training that diverged; `name` is the setting that caused it."""
    return UserError(
        f"Training diverged: the loss became infinite or NaN. `{name}={getattr(config, name):g}` is"
        " too large; try a tenth of it."
    )
