"""Compares what an exported file and model.keras reject as unknown."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Familiarity:
    """How familiar photos and foreign pictures are to model.keras, or to a file.

    Attributes:
        photos: of the model's own photos, float32, [photos], range [0, 1].
        pictures: of `foreign_pictures`, likewise, [pictures].
    """

    photos: np.ndarray
    pictures: np.ndarray


@dataclasses.dataclass(frozen=True)
class FamiliarityProof:
    """A comparison of a file's familiarity with that of model.keras.

    Attributes:
        reject: below this familiarity a photo is unknown, 0 to 1.
        agreement: share of the photos and foreign pictures that both reject, or neither does, 0 to
            1.
        largest_difference: of any familiarity, 0 to 1.
        pictures: how many foreign pictures were compared.
        photos_rejected: share of the photos that the file rejects.
        photos_rejected_before: share that model.keras rejects.
        pictures_rejected: share of the foreign pictures that the file rejects.
        pictures_rejected_before: share that model.keras rejects.
    """

    reject: float
    agreement: float
    largest_difference: float
    pictures: int
    photos_rejected: float
    photos_rejected_before: float
    pictures_rejected: float
    pictures_rejected_before: float

    def agrees(self, minimum: float) -> bool:
        """Returns whether enough photos and pictures are rejected as model.keras does."""
        return self.agreement >= minimum

    def text(self) -> str:
        """Returns what both reject, as the end of a sentence."""
        return (
            f"model.keras rejects {self.photos_rejected_before:.1%} of the photos and"
            f" {self.pictures_rejected_before:.1%} of {self.pictures} foreign pictures, the file"
            f" {self.photos_rejected:.1%} and {self.pictures_rejected:.1%}"
        )


def compare_familiarity(before: Familiarity, after: Familiarity, reject: float) -> FamiliarityProof:
    """Returns how a file's familiarity compares with that of model.keras.

    Args:
        before: of model.keras.
        after: of the file. What is not finite agrees with nothing.
        reject: below this familiarity a photo is unknown, 0 to 1.
    """
    first, second = (np.concatenate([one.photos, one.pictures]) for one in (before, after))
    same = ((first < reject) == (second < reject)) & np.isfinite(second)
    return FamiliarityProof(
        reject=reject,
        agreement=float(same.mean()),
        largest_difference=float(np.abs(first - second).max()),
        pictures=len(before.pictures),
        photos_rejected=float((after.photos < reject).mean()),
        photos_rejected_before=float((before.photos < reject).mean()),
        pictures_rejected=float((after.pictures < reject).mean()),
        pictures_rejected_before=float((before.pictures < reject).mean()),
    )
