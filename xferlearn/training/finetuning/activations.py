"""What the frozen part of a network makes of photos, kept on disk while the rest is trained.

The photos go through the frozen part once per view. Their activations lie in a store like that of
the bottlenecks, in float16, so a killed run computes none of them again.
"""

import dataclasses
import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xferlearn.bottlenecks.compute import example_of, extract
from xferlearn.bottlenecks.engines import REFERENCE, Engine, build_engine
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.config import TrainConfig, local_bottleneck_dir
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import Photo
from xferlearn.photos.selecting import pick_photos
from xferlearn.photos.views import Augmentation
from xferlearn.system.files import expire
from xferlearn.system.terminal import tell
from xferlearn.system.text import count
from xferlearn.training.finetuning.cutting import Halves
from xferlearn.training.finetuning.photos import Batch
from xferlearn.training.fit import Prepared

if TYPE_CHECKING:
    import keras

# The most that activations may take on the disk, and the most of what is free there.
MOST_BYTES = 20 * 10**9
MOST_OF_FREE = 0.8
# float16 places at the end of a row that hold its scale.
_SCALE = 2
# Photos that are asked about at a time in validation.
_ASKED = 32
# What a killed run left that was never started again is removed after this time.
_LEFT_SECONDS = 7 * 24 * 3600


class CantKeepError(Exception):
    """Activations can't be kept; its text says why. The whole network can be trained instead."""


@dataclasses.dataclass(frozen=True)
class Activations:
    """The activations of photos, on disk: what the trained part of a network learns from.

    Attributes:
        config: seed, batch size, limits.
        halves: the network.
        store: where they are; a row is float16, [values + 2], as `pack` makes it.
        folder: what holds nothing else, and can be removed.
        augmentation: how the views of training photos vary.
        views: how many different views of each there are.
        training: the training photos.
        validation: the validation photos, which are seen in the plain view.
        targets: the classes of photos by their label's index, as `Manifest.targets` has them.
    """

    config: TrainConfig
    halves: Halves
    store: BottleneckStore
    folder: Path
    augmentation: Augmentation
    views: int
    training: Sequence[Photo]
    validation: Sequence[Photo]
    targets: np.ndarray

    @classmethod
    def plan(
        cls,
        config: TrainConfig,
        prepared: Prepared,
        halves: Halves,
        training: Sequence[Photo],
        validation: Sequence[Photo],
        targets: np.ndarray,
        owner: Path,
    ) -> "Activations":
        """Returns where the activations of photos belong; computes none.

        Every pass sees another view of each photo, or fewer views take turns where all would take
        more than `MOST_BYTES`.

        Args:
            config: passes, augmentation, folder of the bottlenecks.
            prepared: the photos, and the engine that made their bottlenecks.
            halves: the network.
            training: the training photos.
            validation: the validation photos.
            targets: as the attribute.
            owner: what no two runs share, such as the file of their state.

        Raises:
            CantKeepError: when they would take too much of the disk.
        """
        augmentation = Augmentation.of(config, fine_tuning=True)
        asked = min(config.fine_tune_epochs, augmentation.most_views or config.fine_tune_epochs)
        root = local_bottleneck_dir(config) / "activations"
        root.mkdir(parents=True, exist_ok=True)
        expire(root, "*", _LEFT_SECONDS)
        folder = root / hashlib.sha256(os.fsencode(owner)).hexdigest()[:16]
        space = dataclasses.replace(
            prepared.parts[0].space,
            # Not its name: Keras numbers some layers anew in every process.
            pooling=f"none, cut after operation {halves.cut.position}",
            width=halves.cut.values + _SCALE,
        )
        for other in folder.glob("*") if folder.is_dir() else ():
            if other.name != space.folder:  # of other settings
                shutil.rmtree(other, ignore_errors=True)
        row = 2 * space.width
        held = sum(path.stat().st_size for path in folder.rglob("*.arrow"))
        most = min(MOST_BYTES, MOST_OF_FREE * shutil.disk_usage(root).free + held)
        views = min(asked, int((most / row - len(validation)) // len(training)))
        if views < 1:
            needed = (len(training) + len(validation)) * row
            raise CantKeepError(
                f"activations after {halves.cut.name} take {needed / 1e9:,.1f} GB or more, where"
                f" {most / 1e9:,.1f} GB are allowed below {root}"
            )
        store = BottleneckStore(folder, space, np.float16)
        os.utime(folder)
        return cls(
            config, halves, store, folder, augmentation, views, training, validation, targets
        )

    @property
    def trained(self) -> "keras.Model":
        """The part of the network that takes them."""
        return self.halves.trained

    @property
    def size_bytes(self) -> int:
        """What they take on the disk when all are computed."""
        rows = len(self.training) * self.views + len(self.validation)
        return rows * 2 * self.store.width

    def compute(self, prepared: Prepared, on_warning: Callable[[str], None]) -> None:
        """Computes those that are not there yet, and says before how much they take.

        Args:
            prepared: the photos, and the engine that made their bottlenecks.
            on_warning: called with which are missing, and why.
        """
        numbers = range(1, self.views + 1)
        views = [(photo, self._key(photo, number)) for photo in self.training for number in numbers]
        views += [(photo, photo.key) for photo in self.validation]
        store = self.store
        lacking = {photo for photo, key in views if key not in store}
        missing = sum(key not in store for _, key in views)
        if missing and self.config.verbose:
            size = self.size_bytes / 1e6
            taken = f"{size:,.0f} MB" if size >= 1 else "less than 1 MB"
            tell(
                f"fine-tuning: {count(len(views), 'view')} of the photos take {taken} below"
                f" {self.folder} until it is done."
            )
        entries = itertools.chain(
            pick_photos(
                prepared.source,
                [photo for photo in self.training if photo in lacking],
                augmentation=self.augmentation,
                numbers=numbers,
            ),
            pick_photos(prepared.source, [photo for photo in self.validation if photo in lacking]),
        )
        features = prepared.parts[0].features
        # Where all bottlenecks were cached, their engine may never have been compared.
        plan = features.plan if features.proven else REFERENCE
        found = extract(
            entries,
            store,
            lambda: _packing(build_engine(self.halves.frozen, plan)),
            PhotoLimits.of(self.config),
            count=missing,
            views=True,
            verbose=self.config.verbose,
        )
        if lost := [photo.name for photo, key in views if key not in store]:
            on_warning(
                f"Fine-tuning learns without {len(lost):,} of {count(len(views), 'view')}, e.g."
                f" those of {example_of(found.bad, set(lost))}."
            )

    def training_pass(self, epoch: int) -> Iterator[Batch]:
        """Yields the batches of a pass, in views and in an order of its own.

        Args:
            epoch: number of the pass, from 0.

        Returns:
            Activations, float32, [batch, values], and classes as `targets` has them.
        """
        number = 1 + epoch % self.views
        keyed = [(self._key(photo, number), photo.label) for photo in self.training]
        keyed = [one for one in keyed if one[0] in self.store]
        # NumPy takes no negative seeds.
        order = np.random.default_rng([self.config.seed % 2**64, epoch]).permutation(len(keyed))
        yield from self._batches([keyed[i] for i in order], self.config.fine_tune_batch_size)

    def validation_pass(self) -> Iterator[Batch]:
        """Yields the validation photos in the plain view, as `training_pass` does."""
        keyed = [(photo.key, photo.label) for photo in self.validation]
        yield from self._batches([one for one in keyed if one[0] in self.store], _ASKED)

    def remove(self) -> None:
        """Removes them from the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _batches(self, keyed: list[tuple[bytes, int]], size: int) -> Iterator[Batch]:
        # Of about the same size: a step on one last photo would count as much as the others.
        batches = -(-len(keyed) // size)
        for part in np.array_split(np.arange(len(keyed)), batches) if keyed else ():
            keys, labels = zip(*(keyed[i] for i in part), strict=True)
            yield unpack(self.store.read(keys)), self.targets[list(labels)]

    def _key(self, photo: Photo, number: int) -> bytes:
        return self.augmentation.view(photo.digest, number).key(photo.key)


def _packing(engine: Engine) -> Engine:
    return dataclasses.replace(engine, run=lambda pixels: pack(engine.run(pixels)))


def pack(rows: np.ndarray) -> np.ndarray:
    """Returns rows in float16, each divided by its largest value, which its last two places hold.

    Networks differ by orders of magnitude in what they give, and float16 ends at 65,504 and 6e-8.
    """
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=np.finfo(np.float32).tiny)
    scale = largest.astype(np.float32)
    return np.concatenate([(rows / scale).astype(np.float16), scale.view(np.float16)], axis=1)


def unpack(rows: np.ndarray) -> np.ndarray:
    """Returns float32 rows of what `pack` returned."""
    scale = np.ascontiguousarray(rows[:, -_SCALE:]).view(np.float32)
    return rows[:, :-_SCALE].astype(np.float32) * scale
