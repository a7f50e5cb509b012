"""One frozen network of a training, with the bottlenecks that it has made of photos."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from xferlearn.bottlenecks.compute import Extraction, extract
from xferlearn.bottlenecks.networks import FrozenNetwork
from xferlearn.bottlenecks.settling import Candidates, Features, sample_pixels
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.errors import XferlearnError
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.sources import Entry

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
        candidates: the engines that could compute more of them.
        limits: caps on bytes and pixels of photos.
        verbose: 0 shows no progress.
    """

    frozen: FrozenNetwork
    features: Features
    extraction: Extraction
    candidates: Candidates
    limits: PhotoLimits
    verbose: int

    @property
    def network(self) -> "keras.Model":
        """The network, as `load_backbone` returns it for one name, or fine-tuned."""
        return self.frozen.model()

    @property
    def space(self) -> FeatureSpace:
        """The feature space of its bottlenecks."""
        return self.features.store.space

    def compute(
        self, entries: Callable[[], Iterable[Entry]], number: int, *, views: bool = False
    ) -> Extraction:
        """Computes the bottlenecks of more photos or views that the store lacks.

        Args:
            entries: returns the photos.
            number: how many there are.
            views: as for `extract`.

        Raises:
            XferlearnError: when no engine is exact enough for this store, or it can't be written.
        """
        features, store = self.features, self.features.store
        if number and not features.proven:  # nothing was missing before, so none was compared
            features = self.candidates.settle(
                lambda store: sample_pixels(entries(), store, self.limits, views=views)
            )
            if features.store is not store:
                raise XferlearnError(
                    f"{' '.join(features.fallbacks)} Bottlenecks are missing, and no engine can"
                    " compute them again beside those that there are. Run again."
                )
        return extract(
            entries(),
            store,
            features.engine,
            self.limits,
            count=number,
            views=views,
            verbose=self.verbose,
        )
