"""The photos that a model has learned from and that are nearest to others, from the cache."""

from collections.abc import Sequence

import numpy as np

from xferlearn.bottlenecks.shards import as_keys
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.config import ImageConfig, default_bottleneck_dir
from xferlearn.decisions import Near, Nearest
from xferlearn.errors import UserError
from xferlearn.model_folder import METADATA_FILE, ModelFolder
from xferlearn.photos.pixels.depth import key_at
from xferlearn.photos.recorded import RecordedPhoto
from xferlearn.predictors.model_folder import model_folder_bit_depth
from xferlearn.system.text import one_line


class NearestPhotos:
    """Finds, for any photos, the nearest ones that a model has learned from.

    Attributes:
        learned: the digests of the photos that the model has learned from.
        missing: how many of them have no bottleneck in the cache any more, and are not compared.
    """

    def __init__(self, model_folder: ModelFolder, config: ImageConfig) -> None:
        """Opens the bottlenecks of the photos that a model was made from.

        Args:
            model_folder: the model folder.
            config: `bottleneck_dir`.

        Raises:
            UserError: when the list of these photos or the cache can't be read.
        """
        root = config.bottleneck_dir or default_bottleneck_dir()
        said = model_folder.metadata.get("feature_space", {})
        try:
            spaces = [FeatureSpace(**part) for part in said.get("parts", [said])]
        except (TypeError, AttributeError) as error:
            raise UserError(
                f"{model_folder.path / METADATA_FILE} is damaged ({one_line(error)})."
            ) from None
        self._stores = [BottleneckStore(root, space) for space in spaces]
        self._photos = [photo for photo in model_folder.photos() if photo.learned]
        self.learned = {photo.digest for photo in self._photos}
        bits = model_folder_bit_depth(model_folder)
        self._numbers = {
            key: number
            for number, photo in enumerate(self._photos)
            # Those with more than 8 bits per channel have a name that says how many are used.
            for key in (photo.digest, key_at(photo.digest, bits))
            if all(key in store for store in self._stores)
        }
        self.missing = len(self._photos) - len(set(self._numbers.values()))

    def find(
        self, bottlenecks: Sequence[np.ndarray], digests: Sequence[bytes], most: int
    ) -> list[list[Near[RecordedPhoto]]]:
        """Returns the nearest photos of each photo, best first, without the photo itself.

        Args:
            bottlenecks: of the photos, float32, [photos, width], per backbone.
            digests: SHA-256 of the photos' bytes; empty for photos that are no files.
            most: how many of each.
        """
        nearest = Nearest(bottlenecks, most)
        own = np.array(digests, object)[:, None]
        first, *others = self._stores
        keys, every = as_keys([*self._numbers]), np.array([*self._numbers.values()], int)
        there = np.logical_and.reduce([store.has(keys) for store in self._stores])
        keys, every = keys[there], every[there]
        for positions, vectors in first.blocks(keys):
            numbers = every[positions]
            same = own == np.array([self._photos[one].digest for one in numbers], object)
            nearest.add(
                numbers, [vectors, *(store.read(keys[positions]) for store in others)], same
            )
        return nearest.found(self._photos)
