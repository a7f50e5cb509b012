"""The split: decided by content alone, stable, honest, and never empty for a class."""

import collections
import dataclasses
import hashlib
import random
import time

import numpy as np
import pytest

from xferlearn.errors import UserError
from xferlearn.photos.class_table import ClassTable
from xferlearn.photos.columns import Photos, Splits
from xferlearn.photos.dealing import deal
from xferlearn.photos.kinship import Kinship
from xferlearn.photos.manifest import SPLITS, TEST, TRAIN, VALIDATION, BadPhoto, Manifest, Photo
from xferlearn.photos.splitting import build_manifest, check_counts
from xferlearn.photos.twins.finding import Alike
from xferlearn.photos.units import units_of


def photo(content: object, label: int = 0, name: str = "", fixed_split: str | None = None) -> Photo:
    digest = hashlib.sha256(str(content).encode()).digest()
    return Photo(digest, label, name or f"class{label}/{content}.jpg", fixed_split)


def photos_of(count: int, label: int = 0, first: int = 0) -> list[Photo]:
    return [photo(f"{label}-{number}", label) for number in range(first, first + count)]


def splits_of(
    photos: list[Photo], twins: dict[bytes, bytes] | None = None, **settings: float
) -> tuple[str, ...]:
    columns, labels = Photos.of(photos), [f"class{label}" for label in range(1000)]
    units = units_of(
        labels, columns, Kinship.of(columns, Alike(twins=twins or {})), np.arange(len(photos))
    )
    asked = {"testing_percentage": 10, "validation_percentage": 10, "split_seed": 0, **settings}
    return tuple(
        Splits(deal(units, columns.labels, ClassTable(1000), columns.fixed_splits, **asked))
    )


def split_by_digest(photos: list[Photo], **settings: float) -> dict[bytes, str]:
    splits = splits_of(photos, **settings)
    return {p.digest: split for p, split in zip(photos, splits, strict=True)}


def test_split_of_named_photos_is_pinned() -> None:
    # A golden: whoever changes these moves every user's photos between training and test.
    photos = [photo(number, number % 3) for number in range(12)]
    short = "".join(split[:2] for split in splits_of(photos))
    assert short == "trtrtrtrtevatetrtevavatr"
    salted = "".join(split[:2] for split in splits_of(photos, split_seed=1))
    assert salted == "vatrtetrtrtrtetevatrvatr"


def test_split_of_groups_is_pinned() -> None:
    photos = [
        photo(number, 0, f"daisy/plant{number // 4}_nohash_{number}.jpg") for number in range(80)
    ]
    whole = "".join(split[0] + split[1] for split in splits_of(photos)[::4])
    assert whole == "trtrtrtrtrtrvatrtrtrvatrtrtrtrtrtetetrtr"


def test_split_is_stable_when_photos_are_added_renamed_and_moved() -> None:
    photos = photos_of(300) + photos_of(300, label=1)
    before = split_by_digest(photos)
    assert set(before.values()) == set(SPLITS)

    shuffled = photos.copy()
    random.Random(1).shuffle(shuffled)
    assert split_by_digest(shuffled) == before

    renamed = [dataclasses.replace(p, name=f"elsewhere/deep/{i}.PNG") for i, p in enumerate(photos)]
    assert split_by_digest(renamed) == before

    more = photos_of(700) + photos_of(400, label=1) + photos_of(500, label=2)
    after = split_by_digest(more)
    assert {digest: after[digest] for digest in before} == before

    fewer = photos_of(200) + photos_of(200, label=1)
    assert split_by_digest(fewer) == {p.digest: before[p.digest] for p in fewer}


def test_moving_a_photo_to_another_class_keeps_its_split() -> None:
    photos = photos_of(300) + photos_of(300, label=1)
    moved = [dataclasses.replace(p, label=1) if i < 50 else p for i, p in enumerate(photos)]
    assert split_by_digest(moved) == split_by_digest(photos)


def test_split_seed_changes_the_split_and_repeats() -> None:
    photos = photos_of(500)
    first, second = splits_of(photos, split_seed=0), splits_of(photos, split_seed=1)
    assert first == splits_of(photos, split_seed=0)
    differing = sum(a != b for a, b in zip(first, second, strict=True))
    # 1 - (0.8^2 + 0.1^2 + 0.1^2) = 34% of the photos are expected to move.
    assert 110 < differing < 230


@pytest.mark.parametrize(("testing", "validation"), [(10, 10), (20, 5), (1, 50), (33.3, 33.3)])
def test_percentages_are_about_right(testing: float, validation: float) -> None:
    splits = collections.Counter(
        splits_of(photos_of(10_000), testing_percentage=testing, validation_percentage=validation)
    )
    expected = {TEST: testing, VALIDATION: validation, TRAIN: 100 - testing - validation}
    for split, percent in expected.items():
        deviation = (percent * (100 - percent) / 10_000) ** 0.5
        assert abs(splits[split] / 100 - percent) < 4 * deviation, split


def test_every_class_of_three_photos_is_in_every_split() -> None:
    generator = random.Random(0)
    for trial in range(4000):
        count = generator.choice([3, 3, 4, 5, 6, 8, 13])
        testing, validation = generator.choice([(10, 10), (5, 20), (30, 30), (1, 1), (45, 45)])
        photos = photos_of(count, first=trial * 20)
        splits = splits_of(
            photos,
            testing_percentage=testing,
            validation_percentage=validation,
            split_seed=trial % 7,
        )
        assert set(splits) == set(SPLITS), (trial, count, testing, validation, splits)


def test_every_class_is_in_every_split_though_it_shares_a_photo_with_another() -> None:
    for trial in range(500):
        first = [photo(f"{trial}/{n}", 0) for n in range(3)]
        # The last photo is in both classes: it may not be moved for the sake of one of them.
        second = [photo(f"{trial}/{n}", 1) for n in range(2, 5)]
        photos = first + second
        splits = splits_of(photos)
        found = collections.defaultdict(set)
        for p, split in zip(photos, splits, strict=True):
            found[p.label].add(split)
        assert found == {0: set(SPLITS), 1: set(SPLITS)}, (trial, splits)


@pytest.mark.parametrize("zero", ["testing_percentage", "validation_percentage"])
def test_a_percentage_of_zero_takes_no_photo(zero: str) -> None:
    photos = photos_of(3) + photos_of(2000, label=1)
    splits = set(splits_of(photos, **{zero: 0}))
    assert splits == set(SPLITS) - {TEST if zero == "testing_percentage" else VALIDATION}
    assert set(splits_of(photos, testing_percentage=0, validation_percentage=0)) == {TRAIN}


def test_same_bytes_are_never_on_two_sides() -> None:
    generator = random.Random(2)
    for seed in range(20):
        photos = [photo(generator.randrange(40), generator.randrange(3)) for _ in range(150)]
        for group in (photos, photos[:60]):
            sides = collections.defaultdict(set)
            for p, split in zip(group, splits_of(group, split_seed=seed), strict=True):
                sides[p.digest].add(split)
            assert all(len(found) == 1 for found in sides.values())


def test_same_bytes_in_two_classes_are_warned_about_by_name() -> None:
    photos = [*photos_of(30), *photos_of(30, label=1), photo("0-7", 1, "tulips/copy.jpg")]
    manifest = build_manifest(("daisy", "tulips"), photos)
    assert [w for w in manifest.warnings if "class0/0-7.jpg = tulips/copy.jpg" in w], (
        manifest.warnings
    )
    assert len(manifest.photos) == 61
    sides = {s for p, s in zip(manifest.photos, manifest.splits, strict=True) if "0-7" in p.name}
    assert len(sides) == 1


def test_photos_of_one_object_stay_together() -> None:
    for seed in range(30):
        photos = [
            photo(f"{plant} {shot}", 0, f"daisy/site/plant{plant}_nohash_{shot}.jpg")
            for plant in range(25)
            for shot in range(4)
        ]
        sides = collections.defaultdict(set)
        for p, split in zip(photos, splits_of(photos, split_seed=seed), strict=True):
            sides[p.name.split("_nohash_")[0]].add(split)
        assert all(len(found) == 1 for found in sides.values())
        assert {split for found in sides.values() for split in found} == set(SPLITS)


def test_a_copy_joins_two_groups_and_classes_do_not_share_groups() -> None:
    names = [f"daisy/a{i // 3}_nohash_{i}.jpg" for i in range(30)]
    photos = [photo(i, 0, name) for i, name in enumerate(names)]
    # The same bytes as the first photo, filed under another object: all of both must agree.
    photos.append(photo(0, 0, "daisy/a5_nohash_copy.jpg"))
    for seed in range(40):
        splits = splits_of(photos, split_seed=seed)
        assert len({splits[0], splits[1], splits[2], splits[15], splits[16], splits[30]}) == 1
    same_name = [photo((label, i), label, "x_nohash_1.jpg") for label in range(2) for i in range(5)]
    more = photos_of(30) + photos_of(30, label=1)
    splits = [splits_of(same_name + more, split_seed=seed) for seed in range(60)]
    assert sum(found[0] != found[5] for found in splits) > 3


def test_a_group_keeps_its_split_when_a_photo_joins_it() -> None:
    for trial in range(100):
        group = [photo(f"{trial}/{i}", 0, f"d/cup{trial}_nohash_{i}.jpg") for i in range(6)]
        others = photos_of(60)
        splits = [splits_of(group[:size] + others)[0] for size in range(1, 7)]
        assert len(set(splits)) == 1, trial


def alike_of(*groups: list[Photo], pixels: bool = False) -> Alike:
    found = {p.digest: same[0].digest for same in groups for p in same}
    return Alike(pixels=found if pixels else {}, twins=found)


def test_twins_are_in_one_split_and_move_nobody_else() -> None:
    photos = photos_of(300) + photos_of(300, label=1)
    alone = dict(zip([p.digest for p in photos], splits_of(photos), strict=True))
    groups = [photos[3 * number : 3 * number + 3] for number in range(40)]
    twins = alike_of(*groups).twins
    together = split_by_digest(photos, twins=twins)
    assert {digest: together[digest] for digest in alone if digest not in twins} == {
        digest: split for digest, split in alone.items() if digest not in twins
    }
    for group in groups:
        # As one of them would be split alone, so a group can be given up again.
        assert {together[p.digest] for p in group} == {alone[max(p.digest for p in group)]}


def test_twins_of_grouped_photos_join_their_groups() -> None:
    first = [photo(f"x{i}", 0, f"a/one_nohash_{i}.jpg") for i in range(4)]
    second = [dataclasses.replace(p, group="plant 7") for p in photos_of(4)]
    others = photos_of(80, first=10)
    twins = alike_of([first[1], second[2]]).twins
    apart = 0
    for seed in range(40):
        photos = [*first, *second, *others]
        assert len(set(splits_of(photos, twins=twins, split_seed=seed)[:8])) == 1
        apart += len(set(splits_of(photos, split_seed=seed)[:8])) > 1
    assert apart


def test_equal_pixels_are_one_photo_and_are_counted() -> None:
    photos = [*photos_of(30), *photos_of(30, label=1)]
    copies = [photo(f"copy {i}", 0, f"class0/copy{i}.jpg") for i in range(4)]
    same = [[photos[i], copies[i]] for i in range(4)]
    everything = [*photos, *copies, photos[20]]
    manifest = build_manifest(("a", "b"), everything, alike=alike_of(*same, pixels=True))
    assert (manifest.duplicates, manifest.equal_pixels, manifest.near_twins) == (5, 4, 0)
    assert manifest.notes == (
        "5 duplicate photos are left out: 1 with equal bytes, 4 with equal pixels",
    )
    # Which of them is used follows from content, not from names or order.
    turned = build_manifest(("a", "b"), everything[::-1], alike=alike_of(*same, pixels=True))
    assert {p.digest for p in manifest.photos} == {p.digest for p in turned.photos}
    claimed = dataclasses.replace(copies[0], fixed_split=TEST)
    kept = build_manifest(("a", "b"), [*photos, claimed], alike=alike_of(same[0], pixels=True))
    assert claimed in kept.photos
    assert photos[0] not in kept.photos


def test_twins_are_counted_and_those_in_two_classes_are_listed() -> None:
    photos = [*photos_of(30), *photos_of(30, label=1)]
    twins = alike_of(photos[:2], [photos[5], photos[35]])
    manifest = build_manifest(("a", "b"), photos, alike=twins)
    assert manifest.near_twins == 4
    assert manifest.notes == ("4 photos have a near twin, which is in the same split",)
    assert manifest.warnings == (
        "1 photo is in one class and in another as a near twin (check which label is right):"
        " class0/0-5.jpg = class1/1-5.jpg.",
    )
    assert len(set(manifest.groups)) == 58
    assert manifest.groups[5] == manifest.groups[35]
    equal = build_manifest(("a", "b"), photos, alike=alike_of([photos[5], photos[35]], pixels=True))
    assert equal.warnings == (
        "1 photo is in more than one class with the same pixels, which no model can learn:"
        " class0/0-5.jpg = class1/1-5.jpg.",
    )


def test_a_class_of_twins_is_warned_about() -> None:
    photos = [*photos_of(30), *photos_of(30, label=1)]
    manifest = build_manifest(("a", "b"), photos, alike=alike_of(photos[:29]))
    assert "All 30 photos of class 'a' are near twins of two" in manifest.warnings[0]


def test_the_authors_split_is_kept() -> None:
    photos = [photo(i, i % 2, fixed_split=TEST if i < 40 else None) for i in range(400)]
    manifest = build_manifest(("a", "b"), photos, testing_percentage=0)
    assert {manifest.photos[i].name for i in manifest.indices(TEST)} == {
        p.name for p in photos if p.fixed_split == TEST
    }
    assert manifest.judged(VALIDATION) == manifest.indices(TRAIN)
    manifest = build_manifest(("a", "b"), photos, testing_percentage=0, validation_percentage=10)
    assert manifest.judged(VALIDATION) == manifest.indices(VALIDATION) != []


def test_the_authors_test_photo_is_never_learned_though_a_copy_is_for_training() -> None:
    photos = [
        *photos_of(100),
        photo("twice", 0, "train/1", TRAIN),
        photo("twice", 1, "test/1", TEST),
        *photos_of(100, label=1),
    ]
    splits = splits_of(photos)
    assert splits[100] == splits[101] == TEST


def test_counts_duplicates_and_keeps_the_first() -> None:
    copies = [photo("0-3", 0, "class0/zz copy.jpg"), photo("0-3", 0, "class0/zzz copy.jpg")]
    manifest = build_manifest(("a", "b"), [*photos_of(25), *copies, *photos_of(25, label=1)])
    assert manifest.duplicates == 2
    assert len(manifest.photos) == len(manifest.splits) == 50
    assert not [p for p in manifest.photos if "copy" in p.name]
    counts = manifest.counts()
    assert list(counts) == ["a", "b"]
    assert {label: sum(row.values()) for label, row in counts.items()} == {"a": 25, "b": 25}
    for split in SPLITS:
        assert len(manifest.indices(split)) == sum(row[split] for row in counts.values())


def test_three_and_six_photos_of_two_classes_are_enough() -> None:
    photos = photos_of(3) + photos_of(3, label=1)
    manifest = build_manifest(("a", "b"), photos)
    assert manifest.splits == (TRAIN,) * 6
    # Each is left out once.
    assert manifest.few
    assert sorted(manifest.folds) == list(range(6))
    apart = build_manifest(("a", "b"), photos, testing_percentage=10, validation_percentage=10)
    assert apart.counts() == {label: dict.fromkeys(SPLITS, 1) for label in "ab"}
    assert not apart.folds


@pytest.mark.parametrize(
    ("count", "others", "plant", "tested"),
    # Photos of one plant are one.
    [(10, 989, 0, False), (10, 990, 0, True), (11, 30, 0, True), (11, 30, 2, False)],
)
def test_few_photos_are_not_kept_for_a_test_unless_asked(
    count: int, others: int, plant: int, tested: bool
) -> None:
    photos = photos_of(count) + photos_of(others, label=1)
    photos[:plant] = [dataclasses.replace(p, group="plant") for p in photos[:plant]]
    usual = build_manifest(("a", "b"), photos)
    assert bool(usual.indices(TEST)) == tested
    assert sorted([*usual.judged(VALIDATION), *usual.indices(TEST)]) == list(range(count + others))
    asked = build_manifest(("a", "b"), photos, testing_percentage=10).counts()
    assert all(row[TEST] for row in asked.values())


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, "Expected at least two classes.*Found 0: none"),
        ({"daisy": 30}, "Expected at least two classes.*Found 1: 'daisy'"),
        ({"daisy": 30, "rose": 0}, "Class 'rose' has no photos.*at least 3.*Add photos"),
        ({"daisy": 1, "rose": 30}, "Class 'daisy' has 1 photo. Expected at least 3"),
        ({"daisy": 30, "rose": 2}, "Class 'rose' has 2 photos. Expected at least 3"),
    ],
)
def test_too_few_photos_are_named(counts: dict[str, int], expected: str) -> None:
    with pytest.raises(UserError, match=expected) as caught:
        check_counts(counts)
    assert "\n" not in str(caught.value)
    photos = [p for i, count in enumerate(counts.values()) for p in photos_of(count, label=i)]
    with pytest.raises(UserError, match="at least"):
        build_manifest(tuple(counts), photos)


def test_three_copies_of_one_photo_are_one_photo() -> None:
    copies = [photo("same", 0, f"a/{i}.jpg") for i in range(3)]
    with pytest.raises(UserError, match=r"Class 'a' has 1 different readable photo\. Expected"):
        build_manifest(("a", "b"), [*copies, *photos_of(30, label=1)])


def test_more_than_half_unreadable_stops_and_names_one() -> None:
    bad = [BadPhoto(f"b/{i}.jpg", 1, "the file is empty") for i in range(31)]
    photos = photos_of(30) + photos_of(30, label=1)
    with pytest.raises(
        UserError,
        match=r"More than half of class 'b' can't be used: 31 of 61 photos, e.g. b/0.jpg"
        r" \(the file is empty\)",
    ):
        build_manifest(("a", "b"), photos, bad)
    manifest = build_manifest(("a", "b"), photos, bad[:30])
    assert manifest.bad == tuple(bad[:30])


@pytest.mark.parametrize(("count", "warned"), [(19, True), (20, False)])
def test_few_photos_are_warned_about(count: int, warned: bool) -> None:
    manifest = build_manifest(("few", "many"), photos_of(count) + photos_of(30, label=1))
    few = [w for w in manifest.warnings if "Fewer than 20 photos in few (19)" in w]
    assert bool(few) == warned
    assert len(manifest.warnings) == warned


def test_many_warned_classes_make_one_short_line() -> None:
    labels = tuple(f"class{i:03d}" for i in range(200))
    photos = [p for i in range(200) for p in photos_of(4, label=i)]
    (warning,) = build_manifest(labels, photos).warnings
    assert "and 195 more" in warning
    assert len(warning) < 250


def test_names_that_are_no_unicode_are_split_all_the_same() -> None:
    broken = b"caf\xe9_nohash_".decode("utf-8", "surrogateescape")
    photos = [photo(i, 0, f"a/{broken}{i}.jpg") for i in range(3)] + photos_of(30)
    assert len(set(splits_of(photos)[:3])) == 1


def test_a_hundred_thousand_photos_of_a_thousand_classes_take_seconds() -> None:
    photos = [
        Photo(hashlib.sha256(b"%d" % i).digest(), i % 1000, f"{i % 1000}/p{i}_nohash_{i % 7}.jpg")
        for i in range(100_000)
    ]
    started = time.process_time()
    manifest = build_manifest(tuple(map(str, range(1000))), photos)
    # It takes about 1.5 s; something quadratic takes minutes.
    assert time.process_time() - started < 20
    assert isinstance(manifest, Manifest)
    assert all(row[TRAIN] and row[TEST] for row in manifest.counts().values())
    assert manifest.judged(VALIDATION) == manifest.indices(TRAIN)


def test_a_new_class_moves_no_group() -> None:
    def photos(classes: list[str]) -> list[Photo]:
        return [
            photo(f"{name}{i}", label, f"{name}/plant{i // 3}_nohash_{i % 3}.jpg")
            for label, name in enumerate(classes)
            for i in range(90)
        ]

    def sides(classes: list[str], validation: float) -> dict[str, tuple[str, int]]:
        manifest = build_manifest(classes, photos(classes), validation_percentage=validation)
        folds = manifest.folds or [-1] * len(manifest.photos)
        names = (p.name for p in manifest.photos)
        return dict(zip(names, zip(manifest.splits, folds, strict=True), strict=True))

    held_out = {(split, -1) for split in SPLITS}
    folds = {(TEST, -1), *((TRAIN, fold) for fold in range(5))}
    for validation, expected in ((10, held_out), (0, folds)):
        before = sides(["cat", "dog"], validation)
        assert set(before.values()) == expected
        assert before.items() <= sides(["ant", "cat", "dog"], validation).items()


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("official", [TEST, VALIDATION])
def test_of_equal_photos_the_one_that_the_authors_set_apart_is_used(
    order: int, official: str
) -> None:
    photos = [*photos_of(20), *photos_of(20, label=1)]
    apart = dataclasses.replace(photos[3], name="apart/3.jpg", fixed_split=official)
    manifest = build_manifest(("a", "b"), [*photos, apart][::order], testing_percentage=0)
    assert manifest.duplicates == 1
    splits = {p.name: s for p, s in zip(manifest.photos, manifest.splits, strict=True)}
    assert splits["apart/3.jpg"] == official
    assert photos[3].name not in splits


def test_splits_of_other_seeds_may_share_their_test_photos() -> None:
    photos = [photo(f"{label}/{n}", label) for label in (0, 1) for n in range(150)]
    few = [photo(f"2/{n}", 2) for n in range(3)]

    def dealt_by(split_seed: int, test_seed: int | None, validation: float = 10) -> Manifest:
        return build_manifest(
            ("a", "b", "c"),
            [*photos, *few],
            testing_percentage=10,
            validation_percentage=validation,
            split_seed=split_seed,
            test_seed=test_seed,
        )

    def deal(split_seed: int, test_seed: int | None) -> tuple[str, ...]:
        return dealt_by(split_seed, test_seed).splits

    usual = deal(5, None)
    assert deal(5, 5) == usual
    tests = {i for i, split in enumerate(usual) if split == TEST}
    dealt = {seed: deal(seed, 5) for seed in range(6)}
    assert dealt[5] == usual
    for splits in dealt.values():
        assert {i for i, split in enumerate(splits) if split == TEST} == tests
        # A tenth of all, and each class of three photos has one in each split.
        assert 18 < splits.count(VALIDATION) < 44
        assert set(splits[-3:]) == {TRAIN, VALIDATION, TEST}
    assert len(set(dealt.values())) == 6
    folded = [dealt_by(seed, 5, validation=0) for seed in range(6)]
    assert {manifest.splits for manifest in folded} == {folded[5].splits}
    assert len({manifest.folds for manifest in folded}) == 6


def given(count: int, split: str | None, *, label: int, first: int = 0) -> list[Photo]:
    return [
        dataclasses.replace(p, name=f"{split}/{p.name}", fixed_split=split)
        for p in photos_of(count, label, first)
    ]


@pytest.mark.parametrize("learned", [TRAIN, None])
@pytest.mark.parametrize("measured", [TEST, VALIDATION])
def test_a_class_whose_training_photos_are_copies_of_test_photos_is_refused(
    learned: str | None, measured: str
) -> None:
    others = [*given(20, learned, label=0), *given(5, measured, label=0, first=50)]
    copied = [*given(8, learned, label=1), *given(8, measured, label=1)]
    noun = "test" if measured == TEST else "validation"
    with pytest.raises(UserError) as caught:
        build_manifest(("cat", "emu"), [*others, *copied], testing_percentage=0)
    assert str(caught.value) == (
        "Class 'emu' has no training photos left: its 8 training photos are copies of"
        f" {noun} photos. Remove them from one side."
    )


def test_a_class_whose_training_photos_are_twins_of_test_photos_is_refused() -> None:
    others = [*given(20, TRAIN, label=0), *given(5, TEST, label=0, first=50)]
    learned, tested = given(6, TRAIN, label=1), given(6, TEST, label=1, first=50)
    alike = alike_of(*map(list, zip(learned, tested, strict=True)))
    message = "6 training photos are near twins of test photos.* or set `twins='ignore'`"
    with pytest.raises(UserError, match=message):
        build_manifest(("cat", "emu"), [*others, *learned, *tested], alike=alike)
    build_manifest(("cat", "emu"), [*others, *learned, *tested])
    with pytest.raises(UserError, match="'emu' has no training photos: all its photos are for"):
        build_manifest(("cat", "emu"), [*others, *tested])


def test_photos_moved_from_a_given_split_are_counted() -> None:
    photos = [
        *(p for label in (0, 1) for p in given(40, TRAIN, label=label)),
        *(p for label in (0, 1) for p in given(20, VALIDATION, label=label, first=100)),
        *(p for label in (0, 1) for p in given(20, TEST, label=label, first=200)),
    ]
    assert not build_manifest(("a", "b"), photos).warnings
    copies = [dataclasses.replace(p, name=f"copy/{p.name}", fixed_split=TEST) for p in photos[:6]]
    grouped = [dataclasses.replace(photos[number], group="plant") for number in (11, 80)]
    twins = alike_of([photos[10], photos[125]])
    rest = [p for number, p in enumerate(photos) if number not in (11, 80)]
    manifest = build_manifest(("a", "b"), [*rest, *copies, *grouped], alike=twins)
    assert manifest.warnings == (
        "8 photos of the given train split are copies, near twins or group members of test or"
        " validation photos, and were moved there.",
    )
    one = build_manifest(("a", "b"), photos, alike=alike_of([photos[85], photos[125]]))
    assert one.warnings == (
        "1 photo of the given validation split is a near twin of a test photo, and was moved"
        " there.",
    )


@pytest.mark.parametrize("pixels", [False, True])
def test_groups_that_share_a_photo_are_one(pixels: bool) -> None:
    first, second = (
        [dataclasses.replace(p, group=f"s{number}") for p in photos_of(4, 0, 10 * number)]
        for number in (1, 2)
    )
    shared = photo("shared")
    again = photo("saved again") if pixels else shared
    alike = alike_of([shared, again], pixels=True) if pixels else None
    copies = [
        dataclasses.replace(shared, group="s1", name="s1/shared.jpg"),
        dataclasses.replace(again, group="s2", name="s2/shared.jpg"),
    ]
    named = [photo(f"n{n}", 0, f"a/one_nohash_{n}.jpg") for n in range(3)]
    copies.append(dataclasses.replace(named[0], name="b/two_nohash_0.jpg"))
    named += [photo(f"m{n}", 0, f"b/two_nohash_{n}.jpg") for n in range(1, 3)]
    others = [*photos_of(60, 0, 100), *photos_of(60, 1)]
    for seed in range(20):
        manifest = build_manifest(
            ("a", "b"), [*first, *second, *named, *copies, *others], split_seed=seed, alike=alike
        )
        assert manifest.duplicates == 2
        split_of = dict(zip(manifest.photos, manifest.splits, strict=True))
        assert len({split_of[p] for p in [*first, *second]}) == 1
        assert len({split_of[p] for p in named}) == 1


def test_a_group_of_most_photos_is_named() -> None:
    photos = [*photos_of(30), *photos_of(30, label=1)]
    (warning,) = build_manifest(("a", "b"), photos, alike=alike_of(photos[:20])).warnings
    assert "More than half of the photos of a (20 of 30) are one group of near twins" in warning
    assert "`twins='ignore'`" in warning
    assert "`group_by`" in warning
    warning, _ = build_manifest(("a", "b"), photos, alike=alike_of(photos[8:52])).warnings
    assert warning.startswith("44 of 60 photos are one group")
    assert not build_manifest(("a", "b"), photos, alike=alike_of(photos[:15])).warnings
