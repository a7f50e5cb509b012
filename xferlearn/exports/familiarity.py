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
        agreement: share of the photos that both reject, or neither does, 0 to 1, or of the foreign
            pictures, whichever is smaller.
        largest_difference: of any familiarity, 0 to 1.
        mean_difference: of the photos, or of the foreign pictures, whichever is larger.
        most_difference: the largest mean difference that passes.
        pictures: how many foreign pictures were compared.
        photos_rejected: share of the photos that the file rejects.
        photos_rejected_before: share that model.keras rejects.
        pictures_rejected: share of the foreign pictures that the file rejects.
        pictures_rejected_before: share that model.keras rejects.
    """

    reject: float
    agreement: float
    largest_difference: float
    mean_difference: float
    most_difference: float
    pictures: int
    photos_rejected: float
    photos_rejected_before: float
    pictures_rejected: float
    pictures_rejected_before: float

    @property
    def rejects(self) -> bool:
        """Whether model.keras rejects any of them; of few photos it never can."""
        return self.photos_rejected_before > 0 or self.pictures_rejected_before > 0

    def disagreement(self, minimum: float) -> str:
        """Returns why the file's familiarity is not that of model.keras, a clause; "" if it is.

        Args:
            minimum: agreement that is asked for, 0 to 1.
        """
        if self.agreement < minimum:
            return f"agreement {self.agreement:.2%} is below {minimum:.2%}: {self.text()}"
        # Not `>`, which numbers that are not finite would pass.
        if not self.mean_difference <= self.most_difference:
            return (
                f"the familiarity differs by {self.mean_difference:.2g} on average, and by"
                f" {self.most_difference:g} at most if it is the same"
            )
        return ""

    def text(self) -> str:
        """Returns what both reject, as the end of a sentence."""
        return (
            f"model.keras rejects {self.photos_rejected_before:.1%} of the photos and"
            f" {self.pictures_rejected_before:.1%} of {self.pictures} foreign pictures, the file"
            f" {self.photos_rejected:.1%} and {self.pictures_rejected:.1%}"
        )


def compare_familiarity(
    before: Familiarity, after: Familiarity, reject: float, most_difference: float
) -> FamiliarityProof:
    """Returns how a file's familiarity compares with that of model.keras.

    Args:
        before: of model.keras.
        after: of the file. What is not finite agrees with nothing.
        reject: below this familiarity a photo is unknown, 0 to 1.
        most_difference: the largest mean difference that passes.
    """
    # Each on its own: many photos would hide that no picture is rejected.
    pairs = ((before.photos, after.photos), (before.pictures, after.pictures))
    same = [((one < reject) == (other < reject)) & np.isfinite(other) for one, other in pairs]
    differences = [np.abs(one - other) for one, other in pairs]
    return FamiliarityProof(
        reject=reject,
        agreement=float(min(one.mean() for one in same)),
        largest_difference=float(np.max([one.max() for one in differences])),
        mean_difference=float(np.max([one.mean() for one in differences])),
        most_difference=most_difference,
        pictures=len(before.pictures),
        photos_rejected=float((after.photos < reject).mean()),
        photos_rejected_before=float((before.photos < reject).mean()),
        pictures_rejected=float((after.pictures < reject).mean()),
        pictures_rejected_before=float((before.pictures < reject).mean()),
    )
