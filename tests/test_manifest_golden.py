"""What was decided of awkward photos stays decided: splits, folds, groups, warnings, as hashes."""

import hashlib
import random

import pytest

from xferlearn.errors import UserError
from xferlearn.photos.manifest import BadPhoto, Photo
from xferlearn.photos.splitting import build_manifest
from xferlearn.photos.twins.finding import Alike

LABELS = ("agate", "beryl", "citrine", "dia\udce9monds")
SETS = ("", "agate", "agate|beryl", "agate|beryl|citrine", "beryl", "citrine|opal", "opal")
# Of each number the photos per label, and what they have.
KINDS = {
    1: ((40, 40), ""),
    2: ((12, 9), ""),
    3: ((400, 300, 90, 12), ""),
    4: ((60, 60, 30), "copies"),
    5: ((60, 60, 30), "pixels copies"),
    6: ((80, 50, 20), "twins"),
    7: ((80, 50, 20), "twins pixels copies groups"),
    8: ((200, 100), "groups"),
    9: ((200, 100, 50), "nohash"),
    10: ((200, 100, 50), "nohash groups twins"),
    11: ((100, 80), "official"),
    12: ((100, 80, 30), "official twins pixels copies"),
    13: ((100, 80, 30), "official groups nohash"),
    14: ((3, 3, 3), ""),
    15: ((3, 60, 4), "groups twins"),
    16: ((30, 40, 10, 20, 30, 40, 20), "several"),
    17: ((9, 40, 10, 5, 7, 40, 1), "several twins copies"),
    18: ((60, 60, 60, 60, 60, 60, 60), "several groups nohash official pixels"),
    19: ((50, 40), "flat"),
    20: ((300, 60), "crowd twins"),
    21: ((25, 25), "official crowd"),
    22: ((60, 40), "bad flat twins"),
    23: ((40, 30, 5), "one_group copies"),
    24: ((60, 60), "across pixels copies"),
    25: ((20, 3), "official copies across"),
}  # fmt: skip
ASKED = (
    {},
    {"split_seed": 7},
    {"testing_percentage": 0},
    {"testing_percentage": 25, "validation_percentage": 15},
    {"split_seed": 3, "test_seed": 5, "testing_percentage": 20},
    {"split_seed": 3, "test_seed": 5, "validation_percentage": 30},
)
# Changes only with what decides a split: every user's test photos would change with it.
GOLDEN = {
    1: "659577ba97d638d6",
    2: "5d5df62bae550547",
    3: "e784491d0199dc16",
    4: "ee8c88c065fc6b5a",
    5: "ca12a5f68a4fbcbe",
    6: "1c01fcc0377f1f48",
    7: "5b4b5150c2d9dcf5",
    8: "a2c2b8eb35f2989b",
    9: "4f4c6cba5525cbad",
    10: "c9ade6f5963593f0",
    11: "9b99647a1e7fb7da",
    12: "57991f298ea9396e",
    13: "9b1e348611fdd9fd",
    14: "c841b4e1fbd22c36",
    15: "4d353904ace4b457",
    16: "5a26f5f8b1432e44",
    17: "f849dec1a6af807b",
    18: "7308ba4cd30de48f",
    19: "c2c06eb62dfa34f9",
    20: "870b91897da0aef8",
    21: "2f125b675434a2d9",
    22: "9102acaca94a736a",
    23: "8b0c17ad8ca7b250",
    24: "3a0a2ca49bc8ffbd",
    25: "238e93a387cb25a4",
}


def photo_set(number: int) -> tuple[list[Photo], list[BadPhoto], Alike]:
    """Returns awkward photos, always the same of one number."""
    sizes, kinds = KINDS[number]
    rng = random.Random(number)
    photos: list[Photo] = []
    for label, size in enumerate(sizes):
        for row in range(size):
            name = f"{label}/{'é' * (row % 3)}{row}.jpg"
            if "nohash" in kinds and rng.random() < 0.5:
                name = f"{label}/stone{rng.randrange(20)}_nohash_{row}.jpg"
            group = None
            if "one_group" in kinds and label == 2:
                group = "all of them"
            elif "groups" in kinds and rng.random() < 0.6:
                group = f"site \udcff{rng.randrange(30)}"
            split = rng.choice([None, "train", "test", "validation", "train"])
            digest = hashlib.sha256(f"{number} {label} {row}".encode()).digest()
            depth = rng.choice([None, None, 12])
            given = split if "official" in kinds else None
            photos.append(Photo(digest, label, name, given, group, depth))
    return awkward(photos, kinds, rng)


def awkward(
    photos: list[Photo], kinds: str, rng: random.Random
) -> tuple[list[Photo], list[BadPhoto], Alike]:
    """Returns photos with copies, twins and photos of one colour among them."""
    pixels: dict[bytes, bytes] = {}
    twins: dict[bytes, bytes] = {}
    if "copies" in kinds:
        for one in rng.sample(photos, len(photos) // 5):
            label = rng.randrange(2) if "across" in kinds else one.label
            copy = Photo(one.digest, label, f"copy of {one.name}", rng.choice([None, "test"]))
            photos.insert(rng.randrange(len(photos)), copy)
    for kind, common, most in (("pixels", pixels, 3), ("twins", twins, 4)):
        if kind not in kinds:
            continue
        left = list({one.digest: None for one in photos if one.digest not in pixels})
        rng.shuffle(left)
        for start in range(0, len(left) // 3, most):
            same = left[start : start + rng.randint(2, most)]
            common |= dict.fromkeys(same, min(same))
    twins |= {digest: value for digest, value in pixels.items() if digest not in twins}
    if "crowd" in kinds:
        crowd = sorted({one.digest for one in photos if one.label == 1})[5:]
        twins |= dict.fromkeys(crowd, crowd[0])
    flat = {}
    if "flat" in kinds:
        for one in photos:
            if one.digest not in twins and (one.label == 1 or rng.random() < 0.1):
                flat[one.digest] = (2, 1, 3) if one.label else (200, 20, 10)
    bad = [BadPhoto(f"0/bad{row}.jpg", row % 2, "it is no photo") for row in range(9)]
    return photos, bad if "bad" in kinds else [], Alike(pixels, twins, flat)


def decided(number: int, asked: dict[str, float]) -> str:
    """Returns all that was decided of a set of photos, as text."""
    photos, bad, alike = photo_set(number)
    several = "several" in KINDS[number][1]
    labels = SETS if several else LABELS[: len(KINDS[number][0])]
    try:
        found = build_manifest(labels, photos, bad, alike=alike, multi_label=several, **asked)  # type: ignore[arg-type]
    except UserError as error:
        return f"refused: {error}"
    columns = zip(found.photos, found.splits, found.groups, strict=True)
    rows = [f"{one.name!a} {one.label} {split} {group}" for one, split, group in columns]
    counts = found.duplicates, found.equal_pixels, found.near_twins, found.fold_count, found.few
    return "\n".join(
        [*rows, *map(str, found.folds), *found.warnings, *found.notes, str(counts)]
    )  # fmt: skip


@pytest.mark.parametrize("number", KINDS)
def test_what_was_decided_stays_decided(number: int) -> None:
    text = "\f".join(decided(number, asked) for asked in ASKED)
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    assert digest == GOLDEN[number]
