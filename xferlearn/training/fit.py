"""Photos -> bottlenecks -> a trained head: what `train` and every run of an experiment share."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Set
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xferlearn import backbones, summaries
from xferlearn.bottlenecks.compute import Extraction, extract
from xferlearn.bottlenecks.prints import Looks, look_at_photos
from xferlearn.bottlenecks.settling import Candidates, Features, sample_pixels
from xferlearn.bottlenecks.space import feature_space
from xferlearn.bottlenecks.store import BottleneckStore, PrintStore
from xferlearn.config import TrainConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.metrics import Evaluation, evaluate_predictions
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import TEST, TRAIN, VALIDATION, Manifest, Photo
from xferlearn.photos.selecting import pick_photos, views_of
from xferlearn.photos.sources import PhotoSource
from xferlearn.photos.splitting import build_manifest
from xferlearn.photos.views import Augmentation
from xferlearn.system.text import count
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
        extraction: the photos, and those that were left out; its seconds include the settling of
            the engine.
        looks: which photos have equal pixels, and which are near twins.
    """

    source: PhotoSource
    backbone: "keras.Model"
    features: Features
    extraction: Extraction
    looks: Looks

    def split(self, config: TrainConfig, test_seed: int | None = None) -> Manifest:
        """Returns the photos, split as `config` says.

        If the dataset's authors have set test or validation photos apart, none are added to them.

        Args:
            config: shares and seed of the splits.
            test_seed: the seed that chooses the test photos; None for the same one.
        """
        official = {photo.fixed_split for photo in self.extraction.photos}
        manifest = build_manifest(
            self.source.labels,
            self.extraction.photos,
            self.extraction.bad,
            testing_percentage=0 if TEST in official else config.testing_percentage,
            validation_percentage=0 if VALIDATION in official else config.validation_percentage,
            split_seed=config.split_seed,
            test_seed=test_seed,
            alike=self.looks.alike,
            warnings=self.source.warnings,
        )
        # They are no broken photos, of which a class may have too many.
        return dataclasses.replace(manifest, bad=(*self.source.left_out, *manifest.bad))

    def read(self, photos: tuple[Photo, ...]) -> np.ndarray:
        """Returns the bottlenecks of photos in the plain view, float32, [photos, width].

        Raises:
            XferlearnError: when one has none.
        """
        store = self.features.store
        for photo in photos:
            if photo.digest not in store:
                raise XferlearnError(
                    f"{photo.name} changed or was removed while this was running. Run again."
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
            on_warning: called with which views are missing, and why.

        Returns:
            Float32, [views, width], and int32, [views]: all views of a photo one after the other,
            the plain one first.
        """
        store = self.features.store
        augmentation = Augmentation.of(config)
        numbers = augmentation.numbers(config.augment_views)
        named = [
            (photo, augmentation.view(photo.digest, number).key(photo.digest))
            for photo in photos
            for number in numbers
        ]
        missing = dict.fromkeys(photo for photo, key in named if key not in store)
        # The plain view, number 0, is cached already.
        drawn = numbers[1:]
        found = extract(
            pick_photos(self.source, missing, augmentation=augmentation, numbers=drawn),
            store,
            self.features.engine,
            PhotoLimits.of(config),
            count=len(missing) * len(drawn),
            views=True,
            verbose=config.verbose,
        )
        # A photo may be broken in a part that the plain view does not see.
        kept = [(photo, key) for photo, key in named if key in store]
        if len(kept) < len(named):
            reasons = {bad.name: bad.reason for bad in found.bad}
            lost = {photo.name for photo, key in named if key not in store}
            name = next((name for name in reasons if name in lost), min(lost))
            on_warning(
                f"The head learns without {len(named) - len(kept):,} of"
                f" {count(len(named), 'view')}, e.g."
                f" those of {name}: {reasons.get(name, 'it was removed while this was running')}."
            )
        return store.read([key for _, key in kept]), _labels([photo for photo, _ in kept])


def prepare(
    config: TrainConfig,
    source: PhotoSource,
    backbone: "keras.Model",
    others: Iterable[TrainConfig] = (),
    looks: Looks | None = None,
) -> Prepared:
    """Returns photos with their bottlenecks: those that are not cached yet are computed.

    Args:
        config: engine, precision, folder of the bottlenecks, limits, augmentation.
        source: the photos.
        backbone: as `load_backbone` returns it, or fine-tuned.
        others: settings of more heads on these photos, which may see them in other views.
        looks: which photos look alike, where another network's pixels have told it: prints depend
            on the size of the photos, and runs that are compared need the same split.
    """
    started = time.perf_counter()
    limits = PhotoLimits.of(config)

    def sample(store: BottleneckStore) -> np.ndarray:
        pixels = sample_pixels(source.entries(), store, limits)
        for one in (config, *others):
            augmentation = Augmentation.of(one)
            drawn = augmentation.numbers(one.augment_views)[1:]
            if drawn and not len(pixels):
                views = views_of(source.entries(), augmentation, drawn)
                pixels = sample_pixels(views, store, limits, views=True)
        return pixels

    space_of = functools.partial(feature_space, backbone)
    features = Candidates.of(config, backbone, space_of).settle(sample)
    store = features.store
    prints = looks.prints if looks else PrintStore(store.folder.parent, store.space.image_size)
    extraction = extract(
        source.entries(),
        store,
        features.engine,
        limits,
        count=source.count,
        prints=prints if looks is None else None,
        verbose=config.verbose,
    )
    if looks is None:
        near = config.twins == "group"
        looks = look_at_photos(source, extraction.photos, prints, limits, near=near)
        store.warnings += prints.warnings
    seconds = time.perf_counter() - started
    return Prepared(
        source, backbone, features, dataclasses.replace(extraction, seconds=seconds), looks
    )


def load_backbone_of(config: TrainConfig) -> "keras.Model":
    """Returns the frozen backbone that a config names."""
    return backbones.load_backbone(
        config.backbone,
        weights=config.weights,
        image_size=config.image_size,
        verbose=config.verbose,
    )


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
        return _labels([self.manifest.photos[i] for i in self.manifest.indices(split)])

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
    """Returns the error of a training that diverged; `name` is the setting that caused it."""
    return UserError(
        f"Training diverged: the loss became infinite or NaN. `{name}={getattr(config, name):g}` is"
        " too large; try a tenth of it."
    )


def _labels(photos: tuple[Photo, ...] | list[Photo]) -> np.ndarray:
    return np.array([photo.label for photo in photos], np.int32)
