"""Photos with equal pixels and near twins: found whatever was done to them, and nothing else."""

import collections
import random
from pathlib import Path

import numpy as np
import pytest
from pictures import TWINS, Pictures, encode, picture, turned, with_comment, with_text
from PIL import Image, ImageDraw

from xferlearn.bottlenecks.prints import look_at_photos
from xferlearn.bottlenecks.store import PrintStore
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.reading import load_photos
from xferlearn.photos.twins import finding, neighbours
from xferlearn.photos.twins.finding import (
    Alike,
    find_alike,
    find_copies,
    find_recorded,
    recorded_looks,
)
from xferlearn.photos.twins.neighbours import near_pairs
from xferlearn.photos.twins.prints import PRINT_BYTES, Prints, make_prints

LIMITS = PhotoLimits()
SIZE = 128


def prints_of(files: list[bytes], root: Path, size: int = SIZE) -> tuple[list[bytes], Prints]:
    """Digests and prints of photos, made as a command makes them for which they are missing."""
    source, store = Pictures(files), PrintStore(root, size)
    photos = [item.photo for item in load_photos(source.entries(), size, LIMITS)]
    look_at_photos(source, photos, store, LIMITS, near=False)
    return source.digests(), Prints(store.read(source.digests()))


def groups_of(digests: list[bytes], alike: Alike) -> list[set[int]]:
    groups = collections.defaultdict(set)
    for row, digest in enumerate(digests):
        if digest in alike.twins:
            groups[alike.twins[digest]].add(row)
    return sorted(groups.values(), key=min)


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [picture(number) for number in range(40)]


@pytest.fixture(scope="module")
def originals(
    pictures: list[Image.Image], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[bytes], Prints]:
    return prints_of([encode(one) for one in pictures], tmp_path_factory.mktemp("prints"))


@pytest.mark.parametrize("change", TWINS)
def test_near_twins_are_found(
    change: str, pictures: list[Image.Image], originals: tuple[list[bytes], Prints], tmp_path: Path
) -> None:
    changed, prints = prints_of([TWINS[change](one) for one in pictures[:10]], tmp_path)
    digests = [*originals[0], *changed]
    everything = Prints(np.concatenate([originals[1].rows, prints.rows]))
    alike = find_alike(digests, everything)
    assert groups_of(digests, alike) == [{row, 40 + row} for row in range(10)]
    assert not alike.pixels
    assert find_copies(prints, originals[1]).tolist() == list(range(10))
    assert not find_alike(digests, everything, near=False).twins


@pytest.mark.parametrize(
    "change",
    {
        "JPEG comment": lambda one: [encode(one), with_comment(encode(one), b"messenger")],
        "EXIF": lambda one: [encode(one), encode(one, exif=Image.Exif(), comment=b"camera")],
        "PNG chunks": lambda one: [encode(one, "PNG"), with_text(one)],
        "PNG and BMP": lambda one: [encode(one, "PNG"), encode(one, "BMP")],
        "PNG and lossless WebP": lambda one: [
            encode(one, "PNG"),
            encode(one, "WEBP", lossless=True),
        ],
    }.items(),
    ids=lambda change: change[0],
)
def test_equal_pixels_are_found_whatever_the_bytes(
    change: tuple[str, object], pictures: list[Image.Image], tmp_path: Path
) -> None:
    files = [data for one in pictures[:3] for data in change[1](one)]
    digests, prints = prints_of(files, tmp_path)
    assert len(set(digests)) == 6
    for near in (True, False):
        alike = find_alike(digests, prints, near=near)
        assert groups_of(digests, alike) == [{0, 1}, {2, 3}, {4, 5}]
        assert len({alike.pixels[digest] for digest in digests}) == 3


def test_different_pictures_are_no_twins(originals: tuple[list[bytes], Prints]) -> None:
    alike = find_alike(*originals)
    assert repr(alike) == "Alike(0 share pixels, 0 have twins)"
    assert not alike.flat
    assert (find_copies(originals[1][range(20)], originals[1][range(20, 40)]) == -1).all()


def icon(number: int, colour: str = "black") -> Image.Image:
    random.seed(number)
    x, y, r = (random.randint(*ends) for ends in ((80, 170), (80, 170), (40, 80)))
    image = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(image).ellipse([x - r, y - r, x + r, y + r], fill=colour)
    return image


def form(number: int) -> Image.Image:
    random.seed(number)
    image = Image.new("RGB", (600, 600), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((30, 30, 570, 110), fill="gray")
    for line in range(14):
        draw.line((220, 140 + line * 30, 560, 140 + line * 30), fill="black", width=2)
        words = "".join(random.choices("abcdefghij klmnop 0123456789", k=random.randint(5, 25)))
        draw.text((225, 122 + line * 30), words, fill="black")
    return image


def bars(number: int) -> Image.Image:
    """As a solar cell: bars where all have them, and a structure of its own."""
    image = picture(number, (300, 300)).convert("L")
    image = Image.eval(image, lambda value: 100 + value // 4)
    for top in (60, 150, 240):
        ImageDraw.Draw(image).rectangle((0, top, 300, top + 6), fill=20)
    return image


@pytest.mark.parametrize("make", [icon, form, bars], ids=lambda make: make.__name__)
def test_pictures_of_one_template_are_not_merged(make: object, tmp_path: Path) -> None:
    digests, prints = prints_of([encode(make(number)) for number in range(30)], tmp_path, 224)
    groups = groups_of(digests, find_alike(digests, prints))
    # Two circles may be all but the same.
    assert all(len(group) == 2 for group in groups)
    assert len(groups) <= 2


def test_the_same_drawing_in_another_colour_is_another_picture(tmp_path: Path) -> None:
    files = [encode(icon(1, colour)) for colour in ("red", "blue")]
    blobs = [np.asarray(picture(7).convert("L"))[..., None] * share for share in _TINTS]
    files += [encode(Image.fromarray(blob.astype(np.uint8))) for blob in blobs]
    digests, prints = prints_of(files, tmp_path)
    assert not find_alike(digests, prints).twins


_TINTS = (np.array([1, 0.5, 0.2]), np.array([0.3, 0.6, 1]))


def test_photos_of_one_colour_are_flat_and_never_twins(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    files = [
        encode(Image.new("RGB", (200, 150 + number), colour))
        for number, colour in enumerate(["black", "black", "white", "red"])
    ]
    files += [
        encode(Image.fromarray(noise.poisson(2, (300, 300, 3)).astype(np.uint8))) for _ in range(3)
    ]
    digests, prints = prints_of(files, tmp_path)
    alike = find_alike(digests, prints)
    assert not alike.twins
    assert not alike.pixels
    assert set(alike.flat) == set(digests)
    assert np.abs(np.array(alike.flat[digests[3]]) - (254, 0, 0)).max() <= 2
    assert (find_copies(prints, prints) == -1).all()
    assert (find_recorded(prints, recorded_looks(prints)) == -1).all()


def drift(count: int, step: int) -> list[Image.Image]:
    """Pictures each of which is like the one before it, and the last like none of the first."""
    ends = [picture(number) for number in range(count // step + 2)]
    return [
        Image.blend(ends[row // step], ends[row // step + 1], row % step / step)
        for row in range(count)
    ]


def test_many_copies_are_one_group_and_a_chain_stays_whole(tmp_path: Path) -> None:
    files = [encode(picture(50), quality=40 + number) for number in range(50)]
    files += [encode(one) for one in drift(80, 20)]
    digests, prints = prints_of(files, tmp_path)
    assert groups_of(digests, find_alike(digests, prints)) == [set(range(50)), set(range(50, 130))]


def test_a_chain_takes_few_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.stack([np.asarray(one.resize((96, 96))) for one in drift(600, 60)])
    prints = Prints(make_prints(pixels))
    compared, compare = [], finding.same_picture
    monkeypatch.setattr(
        finding, "same_picture", lambda one, *rest: compared.append(len(one)) or compare(one, *rest)
    )
    digests = [row.to_bytes(32, "big") for row in range(600)]
    assert len(set(find_alike(digests, prints).twins.values())) == 1
    assert sum(compared) < 4 * 600


def test_order_does_not_matter(pictures: list[Image.Image], tmp_path: Path) -> None:
    files = [encode(one, quality=quality) for one in pictures[:8] for quality in (95, 80, 60)]
    digests, prints = prints_of(files, tmp_path)
    shuffled = np.random.default_rng(1).permutation(len(digests))
    found = find_alike([digests[row] for row in shuffled], prints[shuffled])
    assert found == find_alike(digests, prints)
    assert len(found.twins) == 24


def test_thousands_are_compared_with_their_neighbours_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(0)
    base = generator.standard_normal((3000, 54)).astype(np.float32)
    base[1500:] = base[:1500] + 0.1 * base[1500:]
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    exact = {(a, b) for a, b, _ in zip(*near_pairs(base, base, 0.9, own=True), strict=True)}
    assert exact == {(row, (row + 1500) % 3000) for row in range(3000)}
    monkeypatch.setattr(neighbours, "_EXACT", 100)
    found = {(a, b) for a, b, _ in zip(*near_pairs(base, base, 0.9, own=True), strict=True)}
    assert found <= exact
    assert len(found) > 0.97 * len(exact)
    # Of more neighbours than anybody needs the nearest are given.
    crowd = np.repeat(base[:1], 300, axis=0)
    rows, _, cosines = near_pairs(crowd, crowd, 0.9, own=True)
    assert set(np.bincount(rows)) <= set(range(neighbours.MOST, 301))
    assert cosines == pytest.approx(1, abs=1e-5)
    assert not len(near_pairs(base[:0], base, 0.9)[0])


def test_what_goes_with_a_model_recognises_copies_too(
    pictures: list[Image.Image], originals: tuple[list[bytes], Prints], tmp_path: Path
) -> None:
    looks = recorded_looks(originals[1])
    assert looks.shape == (40, 76)
    files = [encode(one, quality=80) for one in pictures[:5]]
    files += [with_comment(encode(pictures[5]), b"x"), encode(picture(99)), encode(icon(3))]
    _, prints = prints_of(files, tmp_path)
    assert find_recorded(prints, looks).tolist() == [0, 1, 2, 3, 4, 5, -1, -1]


@pytest.mark.parametrize("size", [32, 33, 96, 299])
def test_a_print_is_as_long_for_every_size(size: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, size, size, 3), np.uint8)
    prints = Prints(make_prints(pixels))
    assert prints.rows.shape == (2, PRINT_BYTES)
    assert prints.mean == pytest.approx(pixels.mean((1, 2)), abs=2.5)
    assert len(Prints(make_prints(pixels[:0]))) == 0


def test_prints_are_made_once_and_again_where_they_are_damaged(
    pictures: list[Image.Image], tmp_path: Path
) -> None:
    files = [encode(one) for one in pictures[:4]]
    _, first = prints_of(files, tmp_path)
    (shard,) = tmp_path.glob("prints/128-*/*.arrow")
    _, again = prints_of(files, tmp_path)
    assert np.array_equal(first.rows, again.rows)
    assert list(tmp_path.glob("prints/128-*/*.arrow")) == [shard]
    shard.write_bytes(shard.read_bytes()[:-9])
    assert PrintStore(tmp_path, SIZE).warnings
    _, repaired = prints_of(files, tmp_path)
    assert np.array_equal(first.rows, repaired.rows)


def test_a_photo_turned_by_exif_is_the_photo(tmp_path: Path) -> None:
    image = picture(5)
    _, prints = prints_of([turned(image), encode(image)], tmp_path)
    assert np.abs(prints.gray[0] - prints.gray[1]).mean() < 2
