"""Photos -> what they have in common: bytes, pixels, one picture."""

import dataclasses

import numpy as np

from xferlearn.photos.columns import Photos
from xferlearn.photos.digests import colours_of, first_rows, map_of
from xferlearn.photos.twins.finding import Alike


@dataclasses.dataclass(frozen=True)
class Kinship:
    """What photos have in common, as numbers: those that share it have the same, int32, [photos].

    Attributes:
        files: of the same bytes.
        pixels: of the same bytes or pixels.
        twins: of the same bytes, or near twins.
        has_pixels: whether other files with its pixels are known, bool, [photos].
        has_twins: whether twins of it are known, bool, [photos].
        is_flat: whether it is of one colour, bool, [photos].
    """

    files: np.ndarray
    pixels: np.ndarray
    twins: np.ndarray
    has_pixels: np.ndarray
    has_twins: np.ndarray
    is_flat: np.ndarray

    @classmethod
    def of(cls, photos: Photos, alike: Alike) -> "Kinship":
        """Returns what photos have in common.

        Args:
            photos: the photos.
            alike: what is known of their looks.
        """
        files = first_rows(photos.digests)
        shared, kinds = [], (alike.pixels, alike.twins)
        for known in map(map_of, kinds):
            numbers, found = files, np.full(len(photos), False)
            if known:
                places = known.find(photos.digests)
                found = places >= 0
                rows = np.flatnonzero(found)
                first = rows[first_rows(known.table[places[rows]])]
                # Named by the first of them, as those of the same bytes are.
                numbers = files.copy()
                numbers[rows] = files[first]
            shared.append((numbers, found))
        (pixels, has_pixels), (twins, has_twins) = shared
        is_flat = np.full(len(photos), False)
        if alike.flat:
            is_flat = colours_of(alike.flat).find(photos.digests) >= 0
        return cls(files, pixels, twins, has_pixels, has_twins, is_flat)

    def take(self, rows: np.ndarray) -> "Kinship":
        """Returns the same of the photos at these positions."""
        if len(rows) == len(self.files):  # each once, so all of them
            return self
        return Kinship(*(getattr(self, one.name)[rows] for one in dataclasses.fields(self)))
