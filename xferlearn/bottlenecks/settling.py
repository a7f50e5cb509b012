"""Settles, before any work, which engine computes a backbone's bottlenecks and where they go."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.bottlenecks.engines import (
    REFERENCE,
    Engine,
    EnginePlan,
    KeptNetwork,
    Parity,
    measure_parity,
    plan_engines,
    start_engine,
)
from xferlearn.bottlenecks.engines.parity import PHOTOS, read_parity, write_parity
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.config import ImageConfig, default_bottleneck_dir
from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.reading import Loaded, load_photos, readable
from xferlearn.photos.sources import Entry
from xferlearn.system.memory import return_freed_memory
from xferlearn.system.progress import working
from xferlearn.system.runtime import gpu_is_visible
from xferlearn.system.text import count

if TYPE_CHECKING:
    import keras

# From a store to pixels of up to 16 photos that it lacks, uint8, [photos, height, width, 3].
Sample = Callable[[BottleneckStore], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Features:
    """The engine that computes a backbone's bottlenecks and the store that keeps them, settled.

    Attributes:
        plan: which engine.
        store: the bottlenecks on disk, of `store.space`.
        engine: returns the engine; loads it on the first call.
        parity: how it compares with float32 TensorFlow, measured now or earlier; None for float32
            TensorFlow itself, and if it was never measured.
        fallbacks: why faster engines are not used, one line each.
        damage: what is damaged in the stores of those engines, one line each.
    """

    plan: EnginePlan
    store: BottleneckStore
    engine: Callable[[], Engine]
    parity: Parity | None = None
    fallbacks: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of engines and stores, one line each."""
        return (*self.fallbacks, *self.damage, *self.store.warnings)

    @property
    def proven(self) -> bool:
        """Whether the engine may compute; if not, no photo was missing from the store."""
        return self.plan == REFERENCE or self.parity is not None

    def as_dict(self) -> dict[str, Any]:
        """Returns engine, precision and parity for the metadata."""
        return {
            "name": self.plan.name,
            "precision": self.plan.precision,
            "parity": self.parity.as_dict() if self.parity else None,
            "fallbacks": list(self.fallbacks),
        }


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The engines that may compute a backbone's bottlenecks.

    Attributes:
        load: returns the backbone, from pixels to bottlenecks.
        plans: the engines, fastest first.
        open_store: returns the store for a precision.
        verbose: 0 does not show that engines are compared.
        keep: whether the backbone is kept in OpenVINO's form.
    """

    load: Callable[[], "keras.Model"]
    plans: tuple[EnginePlan, ...]
    open_store: Callable[[str], BottleneckStore]
    verbose: int = 0
    keep: bool = True

    @classmethod
    def of(
        cls,
        config: ImageConfig,
        load: Callable[[], "keras.Model"],
        space_of: Callable[[str], FeatureSpace],
        trained: str | None = None,
        *,
        keep: bool = True,
    ) -> "Candidates":
        """Returns the engines that settings allow; loads none and opens no store.

        Args:
            config: engine, precision, device, bottleneck_dir.
            load: returns the backbone, from pixels to bottlenecks; called where an engine needs it.
            space_of: returns the feature space for a precision.
            trained: the precision that a head was trained in: with precision "auto" it comes
                first, and float32 after it.
            keep: whether the backbone is kept in OpenVINO's form for later runs.

        Raises:
            UserError: when the engine or precision that was asked for is not available.
        """
        engine, precision = config.engine, config.precision
        if engine == "auto" and config.device != "cpu" and gpu_is_visible():
            # OpenVINO is for the CPU, and bfloat16 was not measured on a GPU.
            engine, precision = "tensorflow", "float32" if precision == "auto" else precision
        choices = [precision]
        if trained is not None and precision == "auto":
            choices = list(dict.fromkeys([trained, "float32"]))
        plans = tuple(plan for one in choices for plan in plan_engines(engine, one))
        root = Path(config.bottleneck_dir or default_bottleneck_dir())
        # Opening a store reads all of its shards.
        open_store = functools.cache(lambda kind: BottleneckStore(root, space_of(kind)))
        return cls(load, plans, open_store, config.verbose, keep)

    def settle(self, sample: Sample) -> Features:
        """Returns the first engine that is exact enough.

        An engine is compared with float32 TensorFlow once per feature space and machine; the
        result is kept beside the network. If nothing is missing from its store, nothing is compared
        or loaded.

        Args:
            sample: called for an engine that was never compared.

        Raises:
            UserError: when no engine is exact enough, or a store can't be opened.
        """
        fallbacks: list[str] = []
        damage: list[str] = []
        said = (fallbacks, damage)
        waiting = list(self.plans)
        while True:
            plan = waiting.pop(0)
            store = self.open_store(plan.precision)
            if plan == REFERENCE:
                return Features(plan, store, self._loader(plan), None, *map(tuple, said))
            lost: list[str] = []
            kept = self._kept(plan)
            parity, engine = read_parity(kept.folder, plan, lost), None
            if parity is None:
                pixels = sample(store)
                if not len(pixels):
                    return Features(plan, store, never_compared, None, *map(tuple, said))
                damage += lost  # not where nothing is computed, in each run anew
                checked = f"preparing the engine, checked on {count(len(pixels), 'photo')}"
                with working(checked, self.verbose):
                    engine = self._start(plan)
                    reference = self._start(REFERENCE)
                    parity = measure_parity(engine, reference, pixels)
                write_parity(kept.folder, parity)
                # Building two engines leaves hundreds of megabytes, and photos take their place.
                del reference
                return_freed_memory()
            if parity.passed:
                return Features(plan, store, self._loader(plan, engine), parity, *map(tuple, said))
            if not waiting:
                other = "`engine='auto'`"
                if plan.precision != "float32":
                    other = "`precision='float32'`"
                raise UserError(f"{parity}. Use {other}.")
            fallbacks.append(f"{parity}: {waiting[0].name} {waiting[0].precision} is used.")
            if waiting[0].precision != plan.precision:  # the next engine has another store
                damage += store.warnings

    def _loader(self, plan: EnginePlan, engine: Engine | None = None) -> Callable[[], Engine]:
        return functools.cache(lambda: engine or self._start(plan))

    def _start(self, plan: EnginePlan) -> Engine:
        return start_engine(self.load, plan, self._kept(plan) if self.keep else None)

    def _kept(self, plan: EnginePlan) -> KeptNetwork:
        store = self.open_store(plan.precision)
        return KeptNetwork.of(
            store.folder.parent, store.space.folder, {"space": store.space.digest}
        )


def never_compared() -> Engine:
    """Ends the extraction of photos that were not there when no engine was needed.

    Raises:
        XferlearnError: always.
    """
    raise XferlearnError(
        "A photo was added or changed while this was running, before an engine was compared with"
        " float32 TensorFlow. Run again."
    )


def sample_pixels(
    entries: Iterable[Entry],
    store: BottleneckStore,
    limits: PhotoLimits,
    *,
    resize: str = "crop",
    views: bool = False,
) -> np.ndarray:
    """Returns the pixels of the first 16 different photos that a store lacks.

    Args:
        entries: the photos; few are read after the 16th.
        store: the store, whose space says the size.
        limits: caps on bytes and pixels; photos that can't be used are passed over.
        resize: "crop" or "squash", see `pixels.resize_pixels`.
        views: whether photos are seen as their `view` says.

    Returns:
        uint8, [at most 16, height, width, 3], range [0, 255].
    """
    size = store.space.image_size
    found = np.zeros((0, size, size, 3), np.uint8)
    taken: set[bytes] = set()

    def missing() -> Iterator[Loaded]:
        loaded = load_photos(entries, size, limits, store.__contains__, resize=resize)
        for item in readable(loaded):
            if item.digest not in taken:
                taken.add(item.digest)
                yield item

    photos = missing()
    while few := list(itertools.islice(photos, PHOTOS - len(found))):
        for batch in decoded_batches(iter(few), size, limits, resize=resize, views=views):
            if batch.photos:
                found = np.concatenate([found, batch.pixels])
    return found
