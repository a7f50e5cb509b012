"""Photos -> bottlenecks -> a trained head: what `train` and every run of an experiment share."""

import dataclasses
import time
from collections.abc import Callable, Set
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xferlearn import backbones, summaries
from xferlearn.bottlenecks.compute import Extraction
from xferlearn.bottlenecks.features import Features
from xferlearn.bottlenecks.space import feature_space
from xferlearn.config import TrainConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.metrics import Evaluation, evaluate_predictions
from xferlearn.photos.manifest import TEST, TRAIN, VALIDATION, BadPhoto, Manifest, Photo
from xferlearn.photos.sources import PhotoSource, Selection
from xferlearn.photos.splitting import build_manifest
from xferlearn.photos.views import Augmentation
from xferlearn.training import head as heads
from xferlearn.training.callbacks import Training

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Photos whose bottlenecks are cached, and the frozen network that made them.

    Attributes:
        source: where the photos can be read again.
        backbone: the network.
        features: its engine and store.
        extraction: the photos, and those that were left out.
    """

    source: PhotoSource
    backbone: "keras.Model"
    features: Features
    extraction: Extraction

    def split(self, config: TrainConfig, test_seed: int | None = None) -> Manifest:
        """Returns the photos, split as `config` says.

        Where the dataset's authors have set test or validation photos apart, none are added to
        them.

        Args:
            config: shares and seed of the splits.
            test_seed: the seed that chooses the test photos; None for the same one.
        """
        official = {photo.fixed_split for photo in self.extraction.photos}
        return build_manifest(
            self.source.labels,
            self.extraction.photos,
            self.extraction.bad,
            testing_percentage=0 if TEST in official else config.testing_percentage,
            validation_percentage=0 if VALIDATION in official else config.validation_percentage,
            split_seed=config.split_seed,
            test_seed=test_seed,
        )

    def read(self, photos: tuple[Photo, ...]) -> np.ndarray:
        """Returns the bottlenecks of photos in the plain view, float32, [photos, width].

        Raises:
            XferlearnError: where one has none.
        """
        store = self.features.store
        for photo in photos:
            if photo.digest not in store:
                raise XferlearnError(
                    f"{photo.name} changed or went away while this was running. Run again."
                )
        return store.read([photo.digest for photo in photos])

    def views(
        self,
        photos: list[Photo],
        config: TrainConfig,
        on_warning: Callable[[str], None] = lambda problem: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns bottlenecks and classes of the views of training photos; computes missing ones.

        Args:
            photos: the photos.
            config: which views, and how many; limits.
            on_warning: called with which views could not be had.

        Returns:
            Float32, [views, width], and int32, [views]: all views of a photo one after the other,
            the plain one first.
        """
        bad: tuple[BadPhoto, ...] = ()
        augmentation = Augmentation.of(config)
        count = min(config.augment_views, augmentation.most_views or config.augment_views)
        if count > 1:
            names = {photo.name for photo in photos}
            chosen = Selection(self.source, names, augmentation, range(1, count))
            store = self.features.store
            bad = self.features.extract(chosen, config, views=True).bad
            if self.features.store is not store:
                # The engine was given up for an exact one, of which nothing is cached yet.
                self.features.extract(self.source, config)
        named = [
            (photo, augmentation.view(photo.digest, number).key(photo.digest))
            for photo in photos
            for number in range(count)
        ]
        # A photo may be broken in a part that the plain view does not see.
        there = [(photo, key) for photo, key in named if key in self.features.store]
        if len(there) < len(named):
            lost = {photo.name for photo, key in named if key not in self.features.store}
            reasons = {photo.name: photo.reason for photo in bad}
            name = next((name for name in reasons if name in lost), min(lost))
            on_warning(
                f"The head learns without {len(named) - len(there)} of {len(named)} views, such as"
                f" of {name}: {reasons.get(name, 'it changed while this was running')}."
            )
        keys = [key for _, key in there]
        return self.features.store.read(keys), _labels([photo for photo, _ in there])


def prepare(config: TrainConfig, source: PhotoSource, backbone: "keras.Model") -> Prepared:
    """Returns photos with their bottlenecks: those that are not cached yet are computed.

    Args:
        config: engine, precision, folder of the bottlenecks, limits.
        source: the photos.
        backbone: as `load_backbone` returns it, or fine-tuned.
    """
    features = Features(lambda kind: feature_space(backbone, kind), lambda: backbone, config)
    return Prepared(source, backbone, features, features.extract(source, config))


def load_backbone_of(config: TrainConfig) -> "keras.Model":
    """Returns the frozen backbone that a config names."""
    return backbones.load_backbone(
        config.backbone, weights=config.weights, image_size=config.image_size
    )


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained head with the photos that it was trained, and can be measured, on.

    Attributes:
        manifest: the photos and their split.
        bottlenecks: of `manifest.photos`, float32, [photos, width].
        head: from bottlenecks to probabilities.
        training: how its training went.
        seconds: wall time of its training, its bottlenecks at hand.
    """

    manifest: Manifest
    bottlenecks: np.ndarray
    head: "keras.Model"
    training: Training
    seconds: float

    def only(self, digests: Set[bytes]) -> "Fitted":
        """Returns the same head with nothing but the photos that have these digests."""
        rows = [i for i, photo in enumerate(self.manifest.photos) if photo.digest in digests]
        return dataclasses.replace(
            self, manifest=self.manifest.only(rows), bottlenecks=self.bottlenecks[rows]
        )

    def predict(self, bottlenecks: np.ndarray) -> np.ndarray:
        """Returns the head's answers for bottlenecks, float32, [photos, classes], range [0, 1]."""
        return heads.predict_head(self.head, bottlenecks)

    def probabilities(self, split: str) -> np.ndarray:
        """Returns the head's answers for a split's photos, float32, [photos, classes]."""
        return self.predict(self.bottlenecks[self.manifest.indices(split)])

    def truth(self, split: str) -> np.ndarray:
        """Returns the class indices of a split's photos, int32, [photos]."""
        return _labels([self.manifest.photos[i] for i in self.manifest.indices(split)])

    def evaluate(self, split: str, probabilities: np.ndarray) -> Evaluation:
        """Returns how good probabilities of a split's photos are."""
        return evaluate_predictions(
            self.manifest.labels, self.truth(split), probabilities.argmax(axis=1)
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
        on_warning: called with what could not be written there, and with views that are missing.
    """
    manifest = manifest or prepared.split(config)
    y = _labels(manifest.photos)
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
        scale=heads.measure_scale(train_x),
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
    """Returns the error of a training that diverged; `name` is the setting to blame."""
    return UserError(
        f"Training diverged: the loss is not a number any more. `{name}={getattr(config, name):g}`"
        " is too large; try a tenth of it."
    )


def _labels(photos: tuple[Photo, ...] | list[Photo]) -> np.ndarray:
    return np.array([photo.label for photo in photos], np.int32)
