"""Photos -> bottlenecks: what `train` and every run of an experiment start from."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from xferlearn import backbones
from xferlearn.bottlenecks.compute import Extraction, extract, extract_source
from xferlearn.bottlenecks.prints import Looks, look_at_photos
from xferlearn.bottlenecks.settling import Candidates, Features, sample_pixels
from xferlearn.bottlenecks.space import feature_space
from xferlearn.bottlenecks.store import BottleneckStore, PrintStore
from xferlearn.config import TrainConfig, default_bottleneck_dir
from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import TEST, VALIDATION, Manifest, Photo
from xferlearn.photos.selecting import pick_photos, views_of
from xferlearn.photos.sources import PhotoSource
from xferlearn.photos.splitting import build_manifest
from xferlearn.photos.views import Augmentation
from xferlearn.system.folders import check_writable
from xferlearn.system.text import count

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

    @property
    def parts(self) -> int:
        """Number of backbones."""
        return 1

    def split(self, config: TrainConfig, test_seed: int | None = None) -> Manifest:
        """Returns the photos, split as `config` says.

        If the dataset's authors have set test or validation photos apart, none are added to them.

        Args:
            config: shares and seed of the splits.
            test_seed: the seed that chooses the test photos; None for the same one.
        """
        official = {photo.fixed_split for photo in self.extraction.photos}
        try:
            manifest = build_manifest(
                self.source.labels,
                self.extraction.photos,
                self.extraction.bad,
                testing_percentage=0 if TEST in official else config.testing_percentage,
                validation_percentage=0 if VALIDATION in official else config.validation_percentage,
                split_seed=config.split_seed,
                test_seed=test_seed,
                alike=self.looks.alike,
                warnings=(*self.source.warnings, *self.extraction.warnings),
            )
        except UserError as error:
            raise UserError(" ".join([str(error), *self.extraction.remedies])) from None
        # They are no broken photos, of which a class may have too many.
        return dataclasses.replace(manifest, bad=(*self.source.left_out, *manifest.bad))

    def read(self, photos: tuple[Photo, ...]) -> np.ndarray:
        """Returns the bottlenecks of photos in the plain view, float32, [photos, width].

        Raises:
            XferlearnError: when one has none.
        """
        store = self.features.store
        for photo in photos:
            if photo.key not in store:
                raise XferlearnError(
                    f"{photo.name} changed or was removed while this was running. Run again."
                )
        return store.read([photo.key for photo in photos])

    def views(
        self,
        photos: list[Photo],
        config: TrainConfig,
        on_warning: Callable[[str], None] = lambda problem: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns bottlenecks of the views of photos; computes missing ones.

        Args:
            photos: the photos.
            config: which views, and how many; limits.
            on_warning: called with which views are missing, and why.

        Returns:
            Float32, [views, width], and int, [views], the position of each one's photo: all views
            of a photo one after the other, the plain one first.
        """
        store = self.features.store
        augmentation = Augmentation.of(config)
        numbers = augmentation.numbers(config.augment_views)
        named = [
            (position, augmentation.view(photo.digest, number).key(photo.key))
            for position, photo in enumerate(photos)
            for number in numbers
        ]
        missing = dict.fromkeys(photos[position] for position, key in named if key not in store)
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
        kept = [(position, key) for position, key in named if key in store]
        if len(kept) < len(named):
            lost = {photos[position].name for position, key in named if key not in store}
            on_warning(
                f"The head learns without {len(named) - len(kept):,} of"
                f" {count(len(named), 'view')}, e.g. those of {found.example_of(lost)}."
            )
        positions = np.array([position for position, _ in kept], int)
        return store.read([key for _, key in kept]), positions


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
    extraction = extract_source(
        source,
        store,
        features.engine,
        limits,
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


def check_result_folders(config: TrainConfig) -> None:
    """Checks, before any work, that bottlenecks and logs can be written.

    Raises:
        UserError: when they can't be.
    """
    check_writable("bottleneck_dir", config.bottleneck_dir or default_bottleneck_dir())
    if config.summaries != "none":
        check_writable("logs_dir", config.logs_dir)


def load_backbone_of(config: TrainConfig) -> "keras.Model":
    """Returns the frozen backbone that a config names."""
    return backbones.load_backbone(
        config.backbone,
        weights=config.weights,
        image_size=config.image_size,
        verbose=config.verbose,
    )
