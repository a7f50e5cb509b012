"""Names that people give to the parts of a split, in folders, files and columns."""

from collections.abc import Collection, Iterable, Mapping

from xferlearn.errors import UserError
from xferlearn.photos.photo import SPLITS, TEST, TRAIN, VALIDATION

_NAMES = {
    "train": TRAIN, "training": TRAIN,
    "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION, "dev": VALIDATION,
    "test": TEST, "testing": TEST, "holdout": TEST,
}  # fmt: skip
# The test, or the validation where there is a test besides.
_EVAL = ("eval", "evaluation")


def splits_of_names(names: Iterable[str]) -> dict[str, str]:
    """Returns the split that each name is that of, in any case; others are not in the result.

    Example:
        >>> splits_of_names(["Train", "eval", "cats"])
        {'Train': 'train', 'eval': 'test'}
    """
    found = {name: _NAMES.get(name.casefold()) for name in names}
    rest = VALIDATION if TEST in found.values() else TEST
    return {
        name: split or rest for name, split in found.items() if split or name.casefold() in _EVAL
    }


def part_to_measure(place: str, given: Collection[str], split: str | None) -> tuple[str, str]:
    """Returns which part of a given split a model is measured on, and what a person should know.

    Args:
        place: what says the split, for messages.
        given: the parts that have photos; none where no split is given.
        split: the part that was asked for, "all", or None for the test photos.

    Returns:
        The part, "" for all photos; and a sentence, "" for none.

    Raises:
        UserError: when there are no photos of the part that was asked for.
    """
    if not given or split == "all":
        return "", ""
    if split is not None:
        if split not in given:
            there = " and ".join(part for part in SPLITS if part in given)
            raise UserError(f"{place} has no {split} photos. It has {there} photos.")
        return split, ""
    chosen = next((part for part in (TEST, VALIDATION) if part in given), "")
    if not chosen or len(given) < 2:
        return "", ""
    return chosen, (
        f"{place} says the split, and only its {chosen} photos are measured; `split='all'` measures"
        " all."
    )


def split_summary(counts: Mapping[str, int]) -> str:
    """Returns how many photos a given split has in each part, as the end of a sentence.

    Example:
        >>> split_summary({"train": 1200, "test": 300})
        'and this split is used: 1,200 train, 300 test photos.'
    """
    given = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts.get(split))
    taken = " It has no test photos; `testing_percentage` takes some from the training photos."
    return f"and this split is used: {given} photos.{'' if counts.get(TEST) else taken}"
