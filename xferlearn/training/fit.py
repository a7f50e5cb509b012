"""Photos -> bottlenecks: what `train` and every run of an experiment start from."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from xferlearn.backbones import combine_backbones, combined_name
from xferlearn.bottlenecks.blocks import BlockWork, extract_blocks
from xferlearn.bottlenecks.compute import Extraction, example_of, extract, extract_source
from xferlearn.bottlenecks.networks import FrozenNetwork
from xferlearn.bottlenecks.prints import Looks, look_at_photos
from xferlearn.bottlenecks.settling import Candidates, sample_pixels
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore, PrintStore
from xferlearn.config import TrainConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.columns import Photos
from xferlearn.photos.corrected import Applied, CorrectedSource
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.photo import SPLITS, TEST, VALIDATION, BadPhoto, Photo
from xferlearn.photos.selecting import pick_photos, views_of
from xferlearn.photos.sources import PhotoSource
from xferlearn.photos.splitting import build_manifest
from xferlearn.photos.views import Augmentation
from xferlearn.runners import Runner
from xferlearn.system.text import count
from xferlearn.training.parts import Part
from xferlearn.training.stored_rows import StoredRows, read_rows

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Photos whose bottlenecks are cached, and the frozen networks that made them.

    Attributes:
        source: where the photos can be read again; with the labels that corrections give them.
        parts: the networks; of several, bottlenecks are joined in their order.
        extraction: the photos, and those that were left out; counts and seconds are those of all
            parts together.
        looks: which photos have equal pixels, and which are near twins.
        max_memory: bytes that the command may take; None for half of what is free.
    """

    source: PhotoSource
    parts: tuple[Part, ...]
    extraction: Extraction
    looks: Looks
    max_memory: int | None = None

    @functools.cached_property
    def backbone(self) -> "keras.Model":
        """The networks as one, from pixels to joined bottlenecks."""
        return combine_backbones([part.network for part in self.parts])

    def load(self) -> None:
        """Loads the networks that are not loaded yet."""
        for part in self.parts:
            part.frozen.model()

    def only(self, parts: slice) -> "Prepared":
        """Returns the same photos with the bottlenecks of some of the parts."""
        return _joined(self.source, self.parts[parts], self.looks, self.max_memory)

    @property
    def name(self) -> str:
        """The backbone's name; of several, those of all."""
        return combined_name([(one.backbone, one.image_size) for one in self.spaces])

    @property
    def spaces(self) -> tuple[FeatureSpace, ...]:
        """The feature space of each part."""
        return tuple(part.space for part in self.parts)

    @property
    def image_size(self) -> int:
        """Side in px of the square that the backbone takes, that of its largest part."""
        return max(space.image_size for space in self.spaces)

    @property
    def parameters(self) -> int:
        """Number of the networks' weights."""
        return sum(part.frozen.parameters for part in self.parts)

    @property
    def widths(self) -> tuple[int, ...]:
        """Values per bottleneck of each part."""
        return tuple(space.width for space in self.spaces)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of engines and stores, one line each."""
        return tuple(dict.fromkeys(w for part in self.parts for w in part.features.warnings))

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Those among the warnings that say why a faster engine is not used."""
        return tuple(dict.fromkeys(w for part in self.parts for w in part.features.fallbacks))

    @property
    def corrected(self) -> Applied | None:
        """What corrections did to the photos; None where none were asked for."""
        return self.source.applied if isinstance(self.source, CorrectedSource) else None

    def split(self, config: TrainConfig, test_seed: int | None = None) -> Manifest:
        """Returns the photos, split as `config` says.

        If the dataset's authors have set test or validation photos apart, none are added to them.

        Args:
            config: shares and seed of the splits.
            test_seed: the seed that chooses the test photos; None for the same one.
        """
        official = {
            SPLITS[code] for code in np.unique(self.extraction.photos.fixed_splits) if code >= 0
        }
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
                multi_label=self.source.is_multi_label,
            )
        except UserError as error:
            raise UserError(" ".join([str(error), *self.extraction.remedies])) from None
        return dataclasses.replace(
            manifest,
            # They are no broken photos, of which a class may have too many.
            bad=(*self.source.left_out, *manifest.bad),
            corrected=self.corrected.lines() if self.corrected else (),
        )

    def read(self, photos: Sequence[Photo]) -> np.ndarray | StoredRows:
        """Returns the bottlenecks of photos in the plain view, float32, [photos, sum of widths].

        Those that turn out to be damaged are computed again. Those of more photos than a training
        has memory for stay in the store.

        Raises:
            XferlearnError: when one has none.
        """
        every = Photos.of(photos)
        keys = every.keys
        self._check(keys, every)

        def compute() -> None:
            for part in self.parts:
                lost = every.take(np.flatnonzero(~part.features.store.has(keys)))
                part.compute(functools.partial(pick_photos, self.source, lost), len(lost))
            self._check(keys, every)

        return self._read(keys, compute)

    def views(
        self,
        photos: Sequence[Photo],
        config: TrainConfig,
        on_warning: Callable[[str], None] = lambda problem: None,
    ) -> tuple[np.ndarray | StoredRows, np.ndarray]:
        """Returns bottlenecks of the views of photos; computes missing ones.

        Args:
            photos: the photos.
            config: which views, and how many; limits.
            on_warning: called with which views are missing, and why.

        Returns:
            Float32, [views, sum of widths], and int, [views], the position of each one's photo: all
            views of a photo one after the other, the plain one first.
        """
        augmentation = Augmentation.of(config)
        numbers = augmentation.numbers(config.augment_views)
        every = Photos.of(photos)
        named = (
            augmentation.view(photo.digest, number).key(photo.key)
            for photo in every
            for number in numbers
        )
        positions = np.repeat(np.arange(len(every), dtype=np.int32), len(numbers))
        keys = np.fromiter(named, "V32", len(positions)).view(np.uint8).reshape(-1, 32)
        # The plain view, number 0, is cached already.
        drawn = numbers[1:]
        bad: list[BadPhoto] = []

        def compute() -> None:
            for part in self.parts:
                missing = every.take(np.unique(positions[~part.features.store.has(keys)]))
                again = functools.partial(
                    pick_photos, self.source, missing, augmentation=augmentation, numbers=drawn
                )
                bad.extend(part.compute(again, len(missing) * len(drawn), views=True).bad)

        compute()
        # A photo may be broken in a part that the plain view does not see.
        kept = self._have(keys)
        if not kept.all():
            lost = {photo.name for photo in every.take(np.unique(positions[~kept]))}
            on_warning(
                f"The head learns without {int((~kept).sum()):,} of"
                f" {count(len(kept), 'view')}, e.g. those of {example_of(bad, lost)}."
            )
        keys, positions = keys[kept], positions[kept]

        def heal() -> None:
            self.read(every)
            compute()
            self._check(keys, every, positions)

        # The plain bottlenecks of all photos may be in memory beside them.
        return self._read(keys, heal, beside=len(every)), positions

    def _have(self, keys: np.ndarray) -> np.ndarray:
        return np.all([part.features.store.has(keys) for part in self.parts], axis=0)

    def _check(self, keys: np.ndarray, photos: Photos, positions: np.ndarray | None = None) -> None:
        lost = np.flatnonzero(~self._have(keys))
        if len(lost):
            name = photos[lost[0] if positions is None else positions[lost[0]]].name
            raise XferlearnError(
                f"{name} changed or was removed while this was running. Run again."
            )

    def _read(
        self, keys: np.ndarray, compute: Callable[[], None], beside: int = 0
    ) -> np.ndarray | StoredRows:
        stores = [part.features.store for part in self.parts]
        return read_rows(stores, keys, self.max_memory, compute, beside)


def prepare(
    config: TrainConfig,
    source: PhotoSource,
    networks: Sequence[FrozenNetwork],
    others: Iterable[TrainConfig] = (),
    looks: Looks | None = None,
    *,
    runner: Runner | None = None,
    keep: bool = True,
) -> Prepared:
    """Returns photos with their bottlenecks: those that are not cached yet are computed.

    Args:
        config: engine, precision, folder of the bottlenecks, limits, augmentation.
        source: the photos.
        networks: each has the store that it has alone.
        others: settings of more heads on these photos, which may see them in other views.
        looks: which photos look alike, where another network's pixels have told it: prints depend
            on the size of the photos, and runs that are compared need the same split.
        runner: where the bottlenecks are computed; None for here.
        keep: whether networks are kept for later runs in a form that starts at once.

    Raises:
        UserError: the photos can't be used, or can't be read by another machine than this one.
        XferlearnError: something outside failed, here or on another machine.
    """
    if _is_elsewhere(runner) and source.holds_bytes:
        raise UserError(
            f"`runner={runner.name!r}` is for photos in files, which every machine can read."
            " Received: photos inside a dataset or a table. Leave it out, or write them to files."
        )
    configs = (config, *others)
    # First the largest: prints of the size that the whole model takes are those that `evaluate`
    # looks up.
    first = max(networks, key=lambda network: network.image_size)
    largest, looks = _prepare_part(source, first, configs, looks, runner, keep=keep)
    parts = [
        largest
        if network is first
        else _prepare_part(source, network, configs, looks, runner, keep=keep)[0]
        for network in networks
    ]
    most = PhotoLimits.of(config).max_memory
    found = _joined(source, parts, looks, most)
    if isinstance(source, CorrectedSource) and source.applied is None:
        # What a photo is called by corrections is known once it is read.
        extraction = found.extraction
        source = source.settled(extraction.photos, extraction.bad)
        found = _joined(source, [_corrected(part, source) for part in parts], looks, most)
    return found


def _corrected(part: Part, source: CorrectedSource) -> Part:
    extraction = dataclasses.replace(
        part.extraction,
        photos=Photos.of(source.relabelled(part.extraction.photos)),
        bad=tuple(source.relabelled(part.extraction.bad)),
    )
    return dataclasses.replace(part, extraction=extraction)


def join(prepared: Sequence[Prepared]) -> Prepared:
    """Returns photos with the bottlenecks of several, which were prepared with the same looks."""
    parts = [part for one in prepared for part in one.parts]
    return _joined(prepared[0].source, parts, prepared[0].looks, prepared[0].max_memory)


def _joined(
    source: PhotoSource, parts: Sequence[Part], looks: Looks, max_memory: int | None
) -> Prepared:
    first, *others = (part.extraction for part in parts)
    return Prepared(source, tuple(parts), first.joined(others), looks, max_memory)


def _is_elsewhere(runner: Runner | None) -> TypeGuard[Runner]:
    return runner is not None and runner.name != "local"


def _prepare_part(
    source: PhotoSource,
    network: FrozenNetwork,
    configs: Sequence[TrainConfig],
    looks: Looks | None,
    runner: Runner | None,
    *,
    keep: bool,
) -> tuple[Part, Looks]:
    config = configs[0]
    limits = PhotoLimits.of(config)

    def sample(store: BottleneckStore) -> np.ndarray:
        pixels = sample_pixels(source.entries(), store, limits)
        for one in configs:
            augmentation = Augmentation.of(one)
            drawn = augmentation.numbers(one.augment_views)[1:]
            if drawn and not len(pixels):
                views = views_of(source.entries(), augmentation, drawn)
                pixels = sample_pixels(views, store, limits, views=True)
        return pixels

    candidates = Candidates.of(config, network.model, network.space, keep=keep)
    features = candidates.settle(sample)
    store = features.store
    prints = looks.prints if looks else PrintStore(store.root, store.space.image_size)
    printing = prints if looks is None else None
    once: Callable[..., Extraction] = functools.partial(
        extract, store=store, engine=features.engine, limits=limits, prints=printing
    )
    if _is_elsewhere(runner):
        work = BlockWork.of(features, network, limits, printing, config.device)
        once = functools.partial(extract_blocks, runner=runner, work=work)
    extraction = extract_source(source, functools.partial(once, verbose=config.verbose))
    if _is_elsewhere(runner):
        store.refresh()
        prints.refresh()
    if looks is None:
        near = config.twins == "group"
        looks = look_at_photos(source, extraction.photos, prints, limits, near=near)
        store.warnings += prints.warnings
    return Part(network, features, extraction, candidates, limits, config.verbose), looks
