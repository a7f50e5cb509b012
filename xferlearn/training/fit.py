"""Bottlenecks -> a trained head: what `train` and every run of an experiment share."""

import dataclasses
import time
from collections.abc import Callable, Set
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xferlearn import summaries
from xferlearn.config import TrainConfig
from xferlearn.errors import UserError
from xferlearn.metrics import Evaluation, evaluate_predictions
from xferlearn.photos.manifest import TRAIN, VALIDATION, Manifest
from xferlearn.photos.views import Augmentation
from xferlearn.training import head as heads
from xferlearn.training.callbacks import Training
from xferlearn.training.prepared import Prepared, classes_of

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained head, and the photos that it was trained on and can be measured on.

    Attributes:
        manifest: the photos and their split.
        bottlenecks: of `manifest.photos`, float32, [photos, width].
        head: from bottlenecks to probabilities.
        training: how its training went.
        seconds: wall time of its training, without that of its bottlenecks.
    """

    manifest: Manifest
    bottlenecks: np.ndarray
    head: "keras.Model"
    training: Training
    seconds: float

    def only(self, digests: Set[bytes]) -> "Fitted":
        """Returns the same head with only the photos that have these digests."""
        rows = [i for i, photo in enumerate(self.manifest.photos) if photo.digest in digests]
        return dataclasses.replace(
            self, manifest=self.manifest.only(rows), bottlenecks=self.bottlenecks[rows]
        )

    def predict(self, bottlenecks: np.ndarray) -> np.ndarray:
        """Returns the head's probabilities, float32, [photos, classes], range [0, 1]."""
        return heads.predict_head(self.head, bottlenecks)

    def probabilities(self, split: str) -> np.ndarray:
        """Returns the head's probabilities for a split's photos, float32, [photos, classes]."""
        return self.predict(self.bottlenecks[self.manifest.indices(split)])

    def truth(self, split: str) -> np.ndarray:
        """Returns the class indices of a split's photos, int32, [photos]."""
        return classes_of([self.manifest.photos[i] for i in self.manifest.indices(split)])

    def evaluate(self, split: str, probabilities: np.ndarray) -> Evaluation:
        """Returns what probabilities for a split's photos amount to: accuracy, and per class."""
        groups = self.manifest.groups
        return evaluate_predictions(
            self.manifest.labels,
            self.truth(split),
            probabilities.argmax(axis=1),
            [groups[i] for i in self.manifest.indices(split)] if groups else None,
        )


def fit_head(
    config: TrainConfig,
    prepared: Prepared,
    *,
    run_dir: Path | None = None,
    manifest: Manifest | None = None,
    on_warning: Callable[[str], None] = lambda problem: None,
) -> Fitted:
    """Trains a head as `config` says; a training that diverged is returned as such.

    Args:
        config: settings of split, augmentation and head.
        prepared: the photos.
        run_dir: folder for the charts of the training; None for none.
        manifest: the photos and their split; None for all photos, split as `config` says.
        on_warning: called with what could not be written there, and which views are missing.
    """
    manifest = manifest or prepared.split(config)
    y = classes_of(manifest.photos)
    train, validation = manifest.indices(TRAIN), manifest.indices(VALIDATION)
    augmented = None
    if Augmentation.of(config).most_views != 1:
        augmented = prepared.views([manifest.photos[i] for i in train], config, on_warning)
    x = prepared.read(manifest.photos)
    train_x, train_y = augmented or (x[train], y[train])
    callbacks = []
    if run_dir is not None:
        callbacks.append(
            summaries.scalars_callback(
                run_dir,
                batch=(train_x[: config.train_batch_size], train_y[: config.train_batch_size]),
                histograms=config.summaries == "full",
                on_warning=on_warning,
            )
        )
    started = time.perf_counter()
    head = heads.build_head(
        x.shape[1],
        len(manifest.labels),
        hidden_units=config.hidden_units,
        dropout=config.dropout,
        weight_decay=config.weight_decay,
        scale=heads.measure_scale(train_x, prepared.widths),
        seed=config.seed,
    )
    training = heads.train_head(
        head,
        (train_x, train_y),
        (x[validation], y[validation]),
        learning_rate=config.learning_rate,
        steps=heads.planned_steps(
            config.how_many_training_steps, len(train), config.train_batch_size
        ),
        batch_size=config.train_batch_size,
        optimizer=config.optimizer,
        class_weight=config.class_weight,
        seed=config.seed,
        callbacks=callbacks,
    )
    return Fitted(manifest, x, head, training, time.perf_counter() - started)


def diverged_error(config: TrainConfig, name: str = "learning_rate") -> UserError:
    """Returns the error of a training that diverged; `name` is the setting that caused it."""
    return UserError(
        f"Training diverged: the loss became infinite or NaN. `{name}={getattr(config, name):g}` is"
        " too large; try a tenth of it."
    )
