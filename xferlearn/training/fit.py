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
from xferlearn.bottlenecks.settling import Candidates, Features, sample_pixels
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore, PrintStore
from xferlearn.config import TrainConfig, default_bottleneck_dir
from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.corrected import Applied, CorrectedSource
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import TEST, VALIDATION, BadPhoto, Manifest, Photo
from xferlearn.photos.selecting import pick_photos, views_of
from xferlearn.photos.sources import PhotoSource
from xferlearn.photos.splitting import build_manifest
from xferlearn.photos.views import Augmentation
from xferlearn.runners import Runner
from xferlearn.system.folders import check_writable
from xferlearn.system.text import count

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """One frozen network, with the bottlenecks that it has made of photos.

    Attributes:
        frozen: the network, which may not be loaded yet.
        features: its engine and store.
        extraction: the photos, and those that were left out; its seconds include the settling of
            the engine.
    """

    frozen: FrozenNetwork
    features: Features
    extraction: Extraction

    @property
    def network(self) -> "keras.Model":
        """The network, as `load_backbone` returns it for one name, or fine-tuned."""
        return self.frozen.model()

    @property
    def space(self) -> FeatureSpace:
        """The feature space of its bottlenecks."""
        return self.features.store.space


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Photos whose bottlenecks are cached, and the frozen networks that made them.

    Attributes:
        source: where the photos can be read again; with the labels that corrections give them.
        parts: the networks; of several, bottlenecks are joined in their order.
        extraction: the photos, and those that were left out; counts and seconds are those of all
            parts together.
        looks: which photos have equal pixels, and which are near twins.
    """

    source: PhotoSource
    parts: tuple[Part, ...]
    extraction: Extraction
    looks: Looks

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
        return _joined(self.source, self.parts[parts], self.looks)

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

    def read(self, photos: tuple[Photo, ...]) -> np.ndarray:
        """Returns the bottlenecks of photos in the plain view, float32, [photos, sum of widths].

        Raises:
            XferlearnError: when one has none.
        """
        for photo in photos:
            if not self._has(photo.key):
                raise XferlearnError(
                    f"{photo.name} changed or was removed while this was running. Run again."
                )
        return self._read([photo.key for photo in photos])

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
            Float32, [views, sum of widths], and int, [views], the position of each one's photo: all
            views of a photo one after the other, the plain one first.
        """
        augmentation = Augmentation.of(config)
        numbers = augmentation.numbers(config.augment_views)
        named = [
            (position, augmentation.view(photo.digest, number).key(photo.key))
            for position, photo in enumerate(photos)
            for number in numbers
        ]
        # The plain view, number 0, is cached already.
        drawn = numbers[1:]
        bad: list[BadPhoto] = []
        for part in self.parts:
            store = part.features.store
            missing = dict.fromkeys(photos[position] for position, key in named if key not in store)
            found = extract(
                pick_photos(self.source, missing, augmentation=augmentation, numbers=drawn),
                store,
                part.features.engine,
                PhotoLimits.of(config),
                count=len(missing) * len(drawn),
                views=True,
                verbose=config.verbose,
            )
            bad += found.bad
        # A photo may be broken in a part that the plain view does not see.
        kept = [(position, key) for position, key in named if self._has(key)]
        if len(kept) < len(named):
            lost = {photos[position].name for position, key in named if not self._has(key)}
            on_warning(
                f"The head learns without {len(named) - len(kept):,} of"
                f" {count(len(named), 'view')}, e.g. those of {example_of(bad, lost)}."
            )
        positions = np.array([position for position, _ in kept], int)
        return self._read([key for _, key in kept]), positions

    def _has(self, key: bytes) -> bool:
        return all(key in part.features.store for part in self.parts)

    def _read(self, keys: list[bytes]) -> np.ndarray:
        rows = [part.features.store.read(keys) for part in self.parts]
        return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)


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
    found = _joined(source, parts, looks)
    if isinstance(source, CorrectedSource) and source.applied is None:
        # What a photo is called by corrections is known once it is read.
        extraction = found.extraction
        source = source.settled(extraction.photos, extraction.bad)
        found = _joined(source, [_corrected(part, source) for part in parts], looks)
    return found


def _corrected(part: Part, source: CorrectedSource) -> Part:
    extraction = dataclasses.replace(
        part.extraction,
        photos=tuple(source.relabelled(part.extraction.photos)),
        bad=tuple(source.relabelled(part.extraction.bad)),
    )
    return dataclasses.replace(part, extraction=extraction)


def join(prepared: Sequence[Prepared]) -> Prepared:
    """Returns photos with the bottlenecks of several, which were prepared with the same looks."""
    parts = [part for one in prepared for part in one.parts]
    return _joined(prepared[0].source, parts, prepared[0].looks)


def _joined(source: PhotoSource, parts: Sequence[Part], looks: Looks) -> Prepared:
    first, *others = (part.extraction for part in parts)
    return Prepared(source, tuple(parts), first.joined(others), looks)


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
    prints = looks.prints if looks else PrintStore(store.folder.parent, store.space.image_size)
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
    return Part(network, features, extraction), looks


def check_result_folders(config: TrainConfig) -> None:
    """Checks, before any work, that bottlenecks and logs can be written.

    Raises:
        UserError: when they can't be.
    """
    check_writable("bottleneck_dir", config.bottleneck_dir or default_bottleneck_dir())
    if config.summaries != "none":
        check_writable("logs_dir", config.logs_dir)
